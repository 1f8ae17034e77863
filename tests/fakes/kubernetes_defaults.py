"""What the API server makes of an object before it keeps it: defaults, and one way to write it."""

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from tests.fakes.kubernetes_fields import FREE, Shape, Table

_BINARY = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_QUANTITY = re.compile(r"([+-]?[0-9.]+)([KMGTPE]i|[numkMGTPE]?|[eE][-+]?[0-9]+)")
QUANTITY_FAULT = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)
_CRON_JOB = {
    "concurrencyPolicy": "Allow",
    "suspend": False,
    "successfulJobsHistoryLimit": 3,
    "failedJobsHistoryLimit": 1,
}
_POD = {
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
    "terminationGracePeriodSeconds": 30,
    "restartPolicy": "Always",
}
_CONTAINER = {
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}
_JOB = {
    "backoffLimit": 6,
    "completionMode": "NonIndexed",
    "suspend": False,
    "manualSelector": False,
}
_PLAIN_BOOLEANS = {"hostNetwork", "hostPID", "hostIPC", "stdin", "stdinOnce", "tty", "readOnly"}
_MAX_INT32 = 2**31 - 1


def canonical_quantity(given: Any) -> str:
    """Write a quantity as the API does: ``1000m`` is ``1``, ``1024Mi`` is ``1Gi``.

    Raises:
        ValueError: it is none.
    """
    found = _QUANTITY.fullmatch(str(given))
    if found is None:
        raise ValueError(QUANTITY_FAULT)
    try:
        number = Decimal(found[1])
    except InvalidOperation as error:
        raise ValueError(QUANTITY_FAULT) from error
    suffix = found[2]
    if suffix[:1] in {"e", "E"} and suffix != "E":
        return str(given)
    if suffix in _BINARY[1:]:
        return _binary(number * 1024 ** _BINARY.index(suffix))
    return _decimal(number.scaleb(_DECIMAL[suffix]))


def _binary(number: Decimal) -> str:
    if number != int(number) or abs(number) < 1024:
        return _decimal(number)
    left, power = int(number), 0
    while left and left % 1024 == 0 and power < len(_BINARY) - 1:
        left, power = left // 1024, power + 1
    return f"{left}{_BINARY[power]}"


def _decimal(number: Decimal) -> str:
    for suffix, power in reversed(_DECIMAL.items()):
        scaled = number.scaleb(-power)
        if number and scaled == int(scaled):
            return f"{int(scaled)}{suffix}"
    return "0" if not number else f"{int(number.scaleb(9).to_integral_value()) + 1}n"


def normalise(value: Any, shape: Shape) -> Any:
    """Leave out what is empty, as the API's own types do, and write quantities in one way.

    Raises:
        ValueError: a quantity is none.
    """
    if shape.kind == "quantity":
        return canonical_quantity(value)
    if isinstance(value, list):
        return [normalise(each, shape.element) for each in value]
    if not isinstance(value, dict):
        return value
    if shape.kind == "map":
        given = {name: "" if each is None else each for name, each in value.items()}
        return {name: normalise(each, shape.element) for name, each in given.items()}
    kept = {}
    for name, each in value.items():
        child = shape.child(name) or FREE
        written = None if each is None else normalise(each, child)
        if not _is_left_out(name, written, shape, child):
            kept[name] = written
    return kept


def _is_left_out(name: str, value: Any, shape: Shape, child: Shape) -> bool:
    if value is None:
        return True
    if shape.kind != "object":
        return False
    if value in ("", []) or (value is False and name in _PLAIN_BOOLEANS):
        return True
    return value == {} and child.kind in {"map", "atomic"}


def fill(body: Table, kind: str) -> None:
    """Fill in what the server sets where nothing is said."""
    spec = body.setdefault("spec", {})
    if kind == "CronJob":
        _default(spec, _CRON_JOB)
        template = spec.setdefault("jobTemplate", {})
        template.setdefault("metadata", {})
        job = template.setdefault("spec", {})
    else:
        job = spec
        _fill_job(job)
    for rule in (job.get("podFailurePolicy") or {}).get("rules") or []:
        for pattern in rule.get("onPodConditions") or []:
            pattern.setdefault("status", "True")
    pod_template = job.setdefault("template", {})
    pod_template.setdefault("metadata", {})
    _fill_pod(pod_template.setdefault("spec", {}))


def _fill_job(spec: Table) -> None:
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    if "backoffLimitPerIndex" in spec:
        spec.setdefault("backoffLimit", _MAX_INT32)
    policy = spec.get("podFailurePolicy")
    spec.setdefault("podReplacementPolicy", "TerminatingOrFailed" if policy is None else "Failed")
    _default(spec, _JOB)


def _fill_pod(spec: Table) -> None:
    _default(spec, _POD)
    spec.setdefault("securityContext", {})
    if spec.get("serviceAccountName"):
        spec["serviceAccount"] = spec["serviceAccountName"]
    elif spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"]
    for container in containers_of(spec):
        _fill_container(container)
    for volume in spec.get("volumes") or []:
        if isinstance(volume, dict):
            _fill_volume(volume)


def _fill_container(container: Table) -> None:
    _default(container, _CONTAINER)
    container.setdefault("resources", {})
    image = str(container.get("image", ""))
    tag = image.rpartition("/")[2]
    moving = "@" not in tag and (":" not in tag or tag.endswith(":latest"))
    container.setdefault("imagePullPolicy", "Always" if moving else "IfNotPresent")
    for port in container.get("ports") or []:
        port.setdefault("protocol", "TCP")
    for variable in container.get("env") or []:
        reference = (variable.get("valueFrom") or {}).get("fieldRef")
        if reference:
            reference.setdefault("apiVersion", "v1")


def _fill_volume(volume: Table) -> None:
    if set(volume) <= {"name"}:
        volume["emptyDir"] = {}
    for name in ("configMap", "secret", "projected", "downwardAPI"):
        if isinstance(volume.get(name), dict):
            volume[name].setdefault("defaultMode", 0o644)


def containers_of(spec: Table) -> Iterator[Table]:
    """Give all containers of a pod's spec."""
    for part in ("initContainers", "containers"):
        yield from (each for each in spec.get(part) or [] if isinstance(each, dict))


def _default(table: Table, defaults: Table) -> None:
    for name, value in defaults.items():
        table.setdefault(name, value)
