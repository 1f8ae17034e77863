"""Jobs as they are to be submitted: made of an order, marked with what they run. Pure.

A Job says ``args`` and never ``command``, so that the image's entry point stays; it holds no
secret, and equal orders are equal bytes.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from lading.errors import MisconfiguredError
from lading.k8s.identity import DOMAIN, IMAGE, MANAGED_BY, MANAGER, SPEC, label_value
from lading.k8s.job_order import JobOrder
from lading.k8s.job_rules import MAX_INDEXES, MAX_PARALLELISM_HIGH, find_order_faults
from lading.k8s.json_data import canonical_json, sort_keys

JOB, PLAN, ARGUMENTS, KEY = (
    f"{DOMAIN}{each}" for each in ("job", "plan", "arguments-sha256", "key")
)
"""Labels and annotations of Jobs, beside those of all that is ours."""
QUEUE = "kueue.x-k8s.io/queue-name"
"""Label that gives a Job to a queue of Kueue. Source: Kueue, "Run A Kubernetes Job"."""
CONTAINER = "job"
"""Name of the only container."""
SCRATCH = "/tmp"  # noqa: S108  in the pod, of which nobody else has a part
"""Where a pod may write."""
_KEY_LENGTH = 16


def build_job(order: JobOrder) -> dict[str, Any]:
    """Make the Job of an order; equal orders give equal objects, their keys in order. Pure.

    Raises:
        MisconfiguredError: the order cannot be, with a line for each fault.
    """
    faults = find_order_faults(order)
    if faults:
        raise MisconfiguredError("\n".join(faults))
    spec = _spec(order)
    labels, notes = _labels(order), _annotations(order)
    meta = {
        "name": order.name,
        "namespace": order.namespace,
        "labels": {**labels, **({QUEUE: order.queue} if order.queue else {})},
        "annotations": {**notes, SPEC: digest_job_spec(spec)},
    }
    template = {"metadata": {"labels": labels, "annotations": notes}, **spec["template"]}
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta}
    marked: dict[str, Any] = sort_keys({**body, "spec": {**spec, "template": template}})
    return marked


def digest_job_spec(spec: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a Job's spec as it was built, without labels and annotations.

    Returns:
        64 hexadecimal digits.
    """
    return hashlib.sha256(canonical_json(spec)).hexdigest()


def digest_arguments(arguments: tuple[str, ...]) -> str:
    """Return the SHA-256 of arguments, 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(list(arguments))).hexdigest()


def _labels(order: JobOrder) -> dict[str, str]:
    key = order.work.key[:_KEY_LENGTH]
    return {**order.labels, MANAGED_BY: MANAGER, JOB: label_value(order.job), KEY: key}


def _annotations(order: JobOrder) -> dict[str, str]:
    found = {
        JOB: order.job,
        PLAN: order.plan,
        IMAGE: order.image,
        ARGUMENTS: digest_arguments(order.arguments),
    }
    return {name: value for name, value in found.items() if value}


def _spec(order: JobOrder) -> dict[str, Any]:
    is_indexed = order.completions is not None
    return {
        "activeDeadlineSeconds": order.deadline_s,
        "ttlSecondsAfterFinished": order.ttl_s,
        "podFailurePolicy": {"rules": _failure_rules(is_indexed=is_indexed)},
        "template": {"spec": _pod(order)},
        **(_indexed(order) if is_indexed else _plain(order)),
    }


def _plain(order: JobOrder) -> dict[str, Any]:
    return {
        "completionMode": "NonIndexed",
        "completions": 1,
        "parallelism": 1,
        "backoffLimit": order.retries,
    }


def _indexed(order: JobOrder) -> dict[str, Any]:
    completions = order.completions or 0
    spec = {
        "completionMode": "Indexed",
        "completions": completions,
        "parallelism": min(order.parallelism, completions),
        "backoffLimitPerIndex": order.retries,
    }
    # above, Kubernetes asks for it; below, any number of indexes may fail and the rest goes on
    return spec | ({"maxFailedIndexes": MAX_PARALLELISM_HIGH} if completions > MAX_INDEXES else {})


def _failure_rules(*, is_indexed: bool) -> list[dict[str, Any]]:
    """Return what each end of a pod means; the first rule that fits counts.

    What fits none is tried again: 75, and what nobody foresaw.
    """

    def on_exit(code: int, action: str) -> dict[str, Any]:
        codes = {"containerName": CONTAINER, "operator": "In", "values": [code]}
        return {"action": action, "onExitCodes": codes}

    evicted = {"type": "DisruptionTarget", "status": "True"}
    return [
        {"action": "Ignore", "onPodConditions": [evicted]},
        on_exit(65, "FailIndex" if is_indexed else "FailJob"),
        on_exit(78, "FailJob"),
    ]


def _pod(order: JobOrder) -> dict[str, Any]:
    account = {"serviceAccountName": order.service_account}
    return {
        "restartPolicy": "Never",
        # a Service that is called lading would set LADING_PORT
        "enableServiceLinks": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(order)],
        "volumes": [{"name": "scratch", "emptyDir": {}}],
        **(account if order.service_account else {"automountServiceAccountToken": False}),
    }


def _container(order: JobOrder) -> dict[str, Any]:
    separator = ("--",) if order.arguments else ()
    args = (*order.options, order.job, *separator, *order.arguments)
    container = {
        "name": CONTAINER,
        "image": order.image,
        "imagePullPolicy": "IfNotPresent",
        "args": [_literal(each) for each in args],
        "env": [{"name": name, "value": _literal(v)} for name, v in sorted(_env(order).items())],
        "envFrom": [{"secretRef": {"name": name}} for name in order.secrets],
        "resources": {
            "requests": {"cpu": order.cpu, "memory": order.memory},
            "limits": {"memory": order.memory},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": order.read_only_root,
        },
        "volumeMounts": [{"name": "scratch", "mountPath": SCRATCH}],
    }
    return {name: value for name, value in container.items() if value != []}


def _env(order: JobOrder) -> dict[str, str]:
    """Return the variables of a pod; Kubernetes adds JOB_COMPLETION_INDEX itself."""
    found = {"LADING_IMAGE": order.image}
    if order.completions is not None:
        found["LADING_JOB_COUNT"] = str(order.completions)
    if order.plan:
        found["LADING_PLAN"] = order.plan
    homes = {"HOME": SCRATCH, "TMPDIR": SCRATCH} if order.read_only_root else {}
    return {**homes, **order.env, **found}


def _literal(text: str) -> str:
    """Keep Kubernetes from putting a variable where a text says ``$(NAME)``.

    Source: Kubernetes, "Define Dependent Environment Variables": ``$$`` is one ``$``.
    """
    return text.replace("$", "$$")
