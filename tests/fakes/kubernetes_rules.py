"""What the API refuses of CronJobs and Jobs, in its own words; each fault begins with its field.

Source: answers of a real API server (1.36); the limits of batch/v1 as its validation tells them.
"""

import json
import re
from collections.abc import Iterator, Sequence
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tests.fakes.kubernetes_faults import invalid, required, unsupported
from tests.fakes.kubernetes_fields import Table
from tests.fakes.kubernetes_policy import policy_faults
from tests.fakes.kubernetes_schedule import schedule_fault

_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_VALUE = r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_NAME_PART = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_WORDS = "alphanumeric characters"
_ENDS = "and must start and end with an alphanumeric character"
SUBDOMAIN_FAULT = (
    f"a lowercase RFC 1123 subdomain must consist of lower case {_WORDS}, '-' or '.', {_ENDS}"
    f" (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
LABEL_FAULT = (
    f"a lowercase RFC 1123 label must consist of lower case {_WORDS} or '-', {_ENDS}"
    f" (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
VALUE_FAULT = (
    f"a valid label must be an empty string or consist of {_WORDS}, '-', '_' or '.', {_ENDS}"
    f" (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '{_VALUE}')"
)
NAME_PART_FAULT = (
    f"must consist of {_WORDS}, '-', '_' or '.', {_ENDS}"
    f" (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_NAME_PART}')"
)
NON_NEGATIVE = "must be greater than or equal to 0"
TZ_FAULT = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
MAX_CRON_JOB_NAME = 52
MAX_LABEL = 63
MAX_ANNOTATIONS_BYTES = 256 << 10
_MAX_INDEXES = 100_000
_MAX_PARALLELISM_HIGH = 10_000
_JOB_NUMBERS = (
    "parallelism completions activeDeadlineSeconds backoffLimit ttlSecondsAfterFinished"
    " backoffLimitPerIndex maxFailedIndexes"
)
_FIXED = (
    "selector",
    "template",
    "completionMode",
    "podFailurePolicy",
    "backoffLimitPerIndex",
    "managedBy",
    "successPolicy",
)
_ZONE_PART = re.compile(r"[A-Za-z.\-_0-9+]{1,14}")


def faults_of(kind: str, body: Table, old: Table | None) -> list[str]:
    """Return everything that the API refuses of an object, or of its change from ``old``."""
    faults = list(_meta_faults(body["metadata"]))
    spec = body["spec"]
    if kind == "CronJob":
        faults += _cron_job_faults(spec, (old or {}).get("spec"))
        name = body["metadata"].get("name", "")
        if old is None and len(name) > MAX_CRON_JOB_NAME:
            why = f"must be no more than {MAX_CRON_JOB_NAME} characters"
            faults.append(invalid("metadata.name", name, why))
    else:
        faults += _job_faults(spec, "spec")
        faults += _index_faults(body["metadata"].get("name", ""), spec)
        if old is not None:
            faults += _fixed_faults(spec, old["spec"])
    return faults


def is_dns_label(text: str) -> bool:
    """Say whether a text may be a hostname."""
    return len(text) <= MAX_LABEL and re.fullmatch(_LABEL, text) is not None


def _index_faults(name: str, spec: Table) -> Iterator[str]:
    if spec.get("completionMode") == "Indexed" and spec.get("completions", 0) > 0:
        host = f"{name}-{spec['completions'] - 1}"
        if not is_dns_label(host):
            why = f"will not able to create pod with invalid DNS label: {host}"
            yield invalid("metadata.name", name, why)


def _fixed_faults(spec: Table, old: Table) -> Iterator[str]:
    completions, before = spec.get("completions"), old.get("completions")
    if completions != before and spec.get("completionMode") != "Indexed":
        yield invalid("spec.completions", completions, "field is immutable")
    elif completions != before and completions != spec.get("parallelism"):
        why = "can only be modified in tandem with spec.parallelism"
        yield invalid("spec.completions", completions, why)
    for name in _FIXED:
        if spec.get(name) != old.get(name):
            yield invalid(f"spec.{name}", spec.get(name), "field is immutable")


def _meta_faults(meta: Table) -> Iterator[str]:
    name = meta.get("name", "")
    if not name:
        yield required("metadata.name", "name or generateName is required")
    elif len(name) > 253:
        yield invalid("metadata.name", name, "must be no more than 253 bytes")
    elif not re.fullmatch(_SUBDOMAIN, name):
        yield invalid("metadata.name", name, SUBDOMAIN_FAULT)
    yield from label_faults(meta.get("labels") or {}, "metadata.labels")
    yield from _annotation_faults(meta.get("annotations") or {}, "metadata.annotations")


def label_faults(labels: Table, field: str) -> Iterator[str]:
    """Give what is wrong with labels."""
    for key, value in sorted(labels.items()):
        yield from _key_faults(key, field)
        if len(value.encode()) > MAX_LABEL:
            yield invalid(field, value, f"must be no more than {MAX_LABEL} bytes")
        if not re.fullmatch(_VALUE, value):
            yield invalid(field, value, VALUE_FAULT)


def _annotation_faults(notes: Table, field: str) -> Iterator[str]:
    for key in sorted(notes):
        yield from _key_faults(key, field, lower=True)
    if sum(len(k.encode()) + len(v.encode()) for k, v in notes.items()) > MAX_ANNOTATIONS_BYTES:
        yield f"{field}: Too long: may not be more than {MAX_ANNOTATIONS_BYTES} bytes"


def _key_faults(key: str, field: str, *, lower: bool = False) -> Iterator[str]:
    shown = key.lower() if lower else key
    prefix, slash, name = shown.rpartition("/")
    if "/" in prefix:
        why = (
            f"a qualified name {NAME_PART_FAULT} with an optional DNS subdomain prefix and '/'"
            " (e.g. 'example.com/MyName')"
        )
        yield invalid(field, shown, why)
        return
    if slash and not prefix:
        yield invalid(field, shown, "prefix part must be non-empty")
    elif slash and not re.fullmatch(_SUBDOMAIN, prefix):
        yield invalid(field, shown, f"prefix part {SUBDOMAIN_FAULT}")
    if not name:
        yield invalid(field, shown, "name part must be non-empty")
    elif len(name) > MAX_LABEL:
        yield invalid(field, shown, f"name part must be no more than {MAX_LABEL} bytes")
    if not re.fullmatch(_NAME_PART, name):
        yield invalid(field, shown, f"name part {NAME_PART_FAULT}")


def _number_faults(spec: Table, names: str, field: str) -> Iterator[str]:
    for name in names.split():
        if (spec.get(name) or 0) < 0:
            yield invalid(f"{field}.{name}", spec[name], NON_NEGATIVE)


def _cron_job_faults(spec: Table, old: Table | None) -> Iterator[str]:
    schedule = spec.get("schedule", "")
    if not schedule:
        yield required("spec.schedule")
    else:
        if why := schedule_fault(schedule):
            yield invalid("spec.schedule", schedule, why)
        if "TZ" in schedule and "TZ" not in (old or {}).get("schedule", ""):
            yield invalid("spec.schedule", schedule, TZ_FAULT)
    yield from _number_faults(spec, "startingDeadlineSeconds", "spec")
    zone = spec.get("timeZone")
    if zone is not None and (old is None or old.get("timeZone") != zone):
        yield from _zone_faults(zone)
    policies = ("Allow", "Forbid", "Replace")
    if spec.get("concurrencyPolicy") not in policies:
        yield unsupported("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), policies)
    job, at = spec["jobTemplate"]["spec"], "spec.jobTemplate.spec"
    yield from _job_faults(job, at)
    if job.get("selector") is not None:
        yield invalid(f"{at}.selector", job["selector"], "`selector` will be auto-generated")
    if job.get("manualSelector"):
        yield unsupported(f"{at}.manualSelector", True, ("nil", "false"))  # noqa: FBT003
    yield from _number_faults(spec, "successfulJobsHistoryLimit failedJobsHistoryLimit", "spec")


def _zone_faults(zone: str) -> Iterator[str]:
    parts = zone.split("/")
    bad = {".", ".."}
    if any(p in bad or p.startswith("-") or not _ZONE_PART.fullmatch(p) for p in parts):
        yield invalid("spec.timeZone", zone, f"unknown time zone {zone}")
        return
    if zone.lower() == "local":
        why = "timeZone must be an explicit time zone as defined in"
        yield invalid("spec.timeZone", zone, f"{why} https://www.iana.org/time-zones")
        return
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield invalid("spec.timeZone", zone, f"unknown time zone {zone}")


def _job_faults(spec: Table, at: str) -> Iterator[str]:
    yield from _number_faults(spec, _JOB_NUMBERS, at)
    failed = spec.get("maxFailedIndexes")
    if failed is not None and spec.get("backoffLimitPerIndex") is None:
        yield required(f"{at}.backoffLimitPerIndex", "when maxFailedIndexes is specified")
    mode = spec.get("completionMode", "NonIndexed")
    if mode not in {"NonIndexed", "Indexed"}:
        yield unsupported(f"{at}.completionMode", mode, ("NonIndexed", "Indexed"))
    if mode == "Indexed":
        yield from _indexed_faults(spec, at)
    if mode == "NonIndexed":
        for name in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if spec.get(name) is not None:
                yield invalid(f"{at}.{name}", spec[name], "requires indexed completion mode")
    yield from policy_faults(spec, at)
    yield from _pod_template_faults(spec["template"], f"{at}.template")
    yield from _restart_faults(spec, f"{at}.template.spec.restartPolicy")


def _indexed_faults(spec: Table, at: str) -> Iterator[str]:
    completions, failed = spec.get("completions"), spec.get("maxFailedIndexes")
    parallelism = spec.get("parallelism") or 0
    if completions is None:
        yield required(f"{at}.completions", "when completion mode is Indexed")
    if parallelism > _MAX_INDEXES:
        why = f"must be less than or equal to {_MAX_INDEXES} when completion mode is Indexed"
        yield invalid(f"{at}.parallelism", parallelism, why)
    if completions is not None and failed is not None and failed > completions:
        yield invalid(f"{at}.maxFailedIndexes", failed, "must be less than or equal to completions")
    if failed is not None and failed > _MAX_INDEXES:
        why = f"must be less than or equal to {_MAX_INDEXES}"
        yield invalid(f"{at}.maxFailedIndexes", failed, why)
    if (completions or 0) > _MAX_INDEXES and spec.get("backoffLimitPerIndex") is not None:
        yield from _high_faults(failed, parallelism, at)


def _high_faults(failed: int | None, parallelism: int, at: str) -> Iterator[str]:
    if failed is None:
        why = f"must be specified when completions is above {_MAX_INDEXES}"
        yield required(f"{at}.maxFailedIndexes", why)
    why = (
        f"must be less than or equal to {_MAX_PARALLELISM_HIGH} when completions are above"
        f" {_MAX_INDEXES} and used with backoff limit per index"
    )
    if parallelism > _MAX_PARALLELISM_HIGH:
        yield invalid(f"{at}.parallelism", parallelism, why)
    if failed is not None and failed > _MAX_PARALLELISM_HIGH:
        yield invalid(f"{at}.maxFailedIndexes", failed, why)


def _restart_faults(spec: Table, at: str) -> Iterator[str]:
    policy = spec["template"]["spec"].get("restartPolicy")
    if policy in {None, "", "Always"}:
        yield required(at, 'valid values: "OnFailure", "Never"')
    elif policy not in {"OnFailure", "Never"}:
        yield unsupported(at, policy, ("OnFailure", "Never"))
    elif spec.get("podFailurePolicy") is not None and policy != "Never":
        yield invalid(at, policy, 'only "Never" is supported when podFailurePolicy is specified')


def _pod_template_faults(template: Table, at: str) -> Iterator[str]:
    meta, spec = template.get("metadata") or {}, template["spec"]
    yield from label_faults(meta.get("labels") or {}, f"{at}.labels")
    yield from _annotation_faults(meta.get("annotations") or {}, f"{at}.annotations")
    volumes = [each.get("name", "") for each in spec.get("volumes") or []]
    yield from _name_faults(volumes, f"{at}.spec.volumes")
    containers = spec.get("containers") or []
    if not containers:
        yield required(f"{at}.spec.containers")
    for part in ("initContainers", "containers"):
        listed = spec.get(part) or []
        yield from _name_faults([each.get("name", "") for each in listed], f"{at}.spec.{part}")
        for number, container in enumerate(listed):
            yield from _container_faults(container, volumes, f"{at}.spec.{part}[{number}]")
    yield from _number_faults(spec, "terminationGracePeriodSeconds", f"{at}.spec")


def _name_faults(names: Sequence[str], at: str) -> Iterator[str]:
    for number, name in enumerate(names):
        field = f"{at}[{number}].name"
        if not name:
            yield required(field)
        elif len(name) > MAX_LABEL:
            yield invalid(field, name, f"must be no more than {MAX_LABEL} bytes")
        elif not re.fullmatch(_LABEL, name):
            yield invalid(field, name, LABEL_FAULT)
        if name and name in names[:number]:
            yield f"{field}: Duplicate value: {json.dumps(name)}"


def _container_faults(container: Table, volumes: Sequence[str], at: str) -> Iterator[str]:
    image = container.get("image", "")
    if not image:
        yield required(f"{at}.image")
    elif image != image.strip():
        yield invalid(f"{at}.image", image, "must not have leading or trailing whitespace")
    pulls = ("Always", "IfNotPresent", "Never")
    if container.get("imagePullPolicy") not in pulls:
        yield unsupported(f"{at}.imagePullPolicy", container.get("imagePullPolicy"), pulls)
    for number, variable in enumerate(container.get("env") or []):
        yield from _variable_faults(variable, f"{at}.env[{number}]")
    for number, mount in enumerate(container.get("volumeMounts") or []):
        where = f"{at}.volumeMounts[{number}]"
        if not mount.get("name"):
            yield required(f"{where}.name")
        elif mount["name"] not in volumes:
            yield f"{where}.name: Not found: {json.dumps(mount['name'])}"
        if not mount.get("mountPath"):
            yield required(f"{where}.mountPath")


def _variable_faults(variable: Table, at: str) -> Iterator[str]:
    name = variable.get("name", "")
    if not name:
        yield required(f"{at}.name")
    elif "=" in name or not name.isascii() or not name.isprintable():
        why = (
            "a valid environment variable name must consist only of printable ASCII characters"
            " other than '='"
        )
        yield invalid(f"{at}.name", name, why)
    if variable.get("value") and variable.get("valueFrom"):
        yield invalid(f"{at}.valueFrom", "", "may not be specified when `value` is not empty")
