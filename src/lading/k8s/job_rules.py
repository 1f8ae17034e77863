"""What an order of a Job may not say: what Kubernetes would refuse, and what is a secret. Pure."""

import re
from collections.abc import Iterator

from lading.config.secret_names import holds_user, is_secret_name
from lading.errors import UsageError
from lading.k8s.identity import DOMAIN, MANAGED_BY
from lading.k8s.images import parse_image
from lading.k8s.job_order import JobOrder

MAX_INDEXES = 100_000
"""Completions above which ``maxFailedIndexes`` is asked for, and fewer pods may run at once."""
MAX_PARALLELISM_HIGH = 10_000
"""How many may then run at once, and how many may fail."""
_INT32, _INT64 = 2**31 - 1, 2**63 - 1
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LABEL_NAME = re.compile(r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?")
_LABEL_LENGTH = 63
_OURS = {"LADING_IMAGE", "LADING_JOB_COUNT", "LADING_PLAN", "JOB_COMPLETION_INDEX"}
_HINT = "put it into a Secret and name that in jobs.kubernetes.secrets"


def find_order_faults(order: JobOrder) -> list[str]:
    """Return one line for each thing that cannot be; it begins with the job's name."""
    faults = [
        *_image_faults(order),
        *_name_faults(order),
        *_number_faults(order),
        *_quantity_faults(order),
        *_text_faults(order),
        *_variable_faults(order),
        *_label_faults(order),
    ]
    return [f"k8s_job {order.job}: {each}" for each in faults]


def _image_faults(order: JobOrder) -> Iterator[str]:
    try:
        image = parse_image(order.image)
    except UsageError as error:
        yield str(error)
        return
    if not image.digest.startswith("sha256:"):
        yield f"image: expected one pinned as repository@sha256:..., got {order.image!r}"


def _name_faults(order: JobOrder) -> Iterator[str]:
    if not order.job or order.job.startswith("-"):
        yield f"job: expected the name of a job, got {order.job!r}"
    found = [("namespace", order.namespace), *(("secrets", each) for each in order.secrets)]
    found += [("service_account", order.service_account)] if order.service_account else []
    found += [("queue", order.queue)] if order.queue else []
    for place, name in found:
        if not _LABEL.fullmatch(name) or len(name) > _LABEL_LENGTH:
            yield f"{place}: expected at most 63 small letters, digits and '-', got {name!r}"


def _number_faults(order: JobOrder) -> Iterator[str]:
    most = MAX_INDEXES
    if order.completions is not None:
        yield from _bound("completions", order.completions, 1, _INT32)
        most = MAX_PARALLELISM_HIGH if order.completions > MAX_INDEXES else MAX_INDEXES
    yield from _bound("parallelism", order.parallelism, 1, most)
    yield from _bound("retries", order.retries, 0, _INT32)
    yield from _bound("deadline_s", order.deadline_s, 1, _INT64)
    yield from _bound("ttl_s", order.ttl_s, 0, _INT32)


def _bound(place: str, value: int, least: int, most: int) -> Iterator[str]:
    if not least <= value <= most:
        yield f"{place}: expected a number from {least} to {most}, got {value}"


def _quantity_faults(order: JobOrder) -> Iterator[str]:
    for place, value in (("cpu", order.cpu), ("memory", order.memory)):
        if not _QUANTITY.fullmatch(value) or not re.search(r"[1-9]", value):
            yield f"{place}: expected an amount as '500m' or '2Gi', got {value!r}"
    if order.memory.endswith("m"):
        yield f"memory: expected bytes as '512Mi', got {order.memory!r}, which is less than one"


def _text_faults(order: JobOrder) -> Iterator[str]:
    texts = [("arguments", each) for each in (*order.options, *order.arguments)]
    texts += [(f"env.{name}", value) for name, value in sorted(order.env.items())]
    for place, text in texts:
        if "\0" in text:
            yield f"{place}: expected a text without NUL, got one"
        if any("\ud800" <= each <= "\udfff" for each in text):
            yield f"{place}: expected a text in UTF-8, got {text[:60]!r}"
        if holds_user(text):
            yield f"{place}: expected a URL without user and password, got one with them; {_HINT}"


def _variable_faults(order: JobOrder) -> Iterator[str]:
    for name in sorted(order.env):
        if not _VARIABLE.fullmatch(name):
            yield f"env: expected the name of a variable such as 'AWS_REGION', got {name!r}"
        elif name in _OURS:
            yield f"env.{name}: expected a variable that is not set for each pod, got one"
        elif is_secret_name(name):
            yield f"env.{name}: expected no secret in a manifest, got one; {_HINT}"


def _label_faults(order: JobOrder) -> Iterator[str]:
    for name, value in sorted(order.labels.items()):
        last = name.rpartition("/")[2]
        if name.startswith(DOMAIN) or name == MANAGED_BY:
            yield f"labels: expected none of lading's own, got {name!r}"
        elif not _LABEL_NAME.fullmatch(name) or len(last) > _LABEL_LENGTH:
            yield f"labels: expected a name such as 'example.org/team', got {name!r}"
        elif not _LABEL_VALUE.fullmatch(value) or len(value) > _LABEL_LENGTH:
            yield (
                f"labels.{name}: expected at most 63 letters, digits, '.', '-' and '_',"
                f" got {value!r}"
            )
