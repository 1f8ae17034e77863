"""What a manifest must and may not say before it is renamed, labelled and applied."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lading.config.problems import render_place
from lading.k8s.identity import DOMAIN, MANAGED_BY, MANAGER
from lading.k8s.json_data import Path, describe, table_at, value_at
from lading.k8s.placeholders import fill_text, has_placeholder

JOB: Path = ("spec", "jobTemplate")
"""Way from a CronJob to the template of its Jobs."""
POD: Path = (*JOB, "spec", "template")
"""Way from a CronJob to the template of its pods."""
_ROLE = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
_METADATA: tuple[Path, ...] = (("metadata",), (*JOB, "metadata"), (*POD, "metadata"))
_OF_THE_SERVER = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What all manifests of a dataset are held to."""

    dataset: str
    """Name of the dataset."""
    image: str
    """Image that a callable may have put in itself; "" where there is none yet."""
    namespace: str
    """Namespace, the only one that a manifest may name."""


def role_of(name: str, dataset: str) -> str:
    """Return the role in a manifest's name, which is ``{dataset}-{role}`` or the role alone.

    The dataset may stand there as people say it, or as Kubernetes would take it.
    """
    filled = fill_text(name, {"dataset": dataset})
    fit = re.sub(r"[^a-z0-9-]", "-", dataset.lower())
    for beginning in (f"{dataset}-", f"{fit}-"):
        if filled.startswith(beginning):
            return filled.removeprefix(beginning)
    return filled


def find_faults(body: Any, expected: Expected) -> Iterator[str]:
    """Yield one line for each rule that a manifest breaks, without its place."""
    if not isinstance(body, Mapping):
        yield f"expected a mapping, got {describe(body)}"
        return
    kind = " ".join(str(body.get(key) or f"no {key}") for key in ("apiVersion", "kind"))
    if kind != "batch/v1 CronJob":
        yield f"expected batch/v1 CronJob, got {kind}: a manifest that is no CronJob"
        return
    yield from _name_faults(body, expected)
    yield from _server_faults(body)
    for path in _METADATA:
        yield from _metadata_faults(body, path)
    yield from _spec_faults(body)
    yield from _image_faults(body, expected.image)


def _name_faults(body: Mapping[str, Any], expected: Expected) -> Iterator[str]:
    meta = table_at(body, ("metadata",))
    name, namespace = meta.get("name"), meta.get("namespace")
    form = f"metadata.name: expected '{expected.dataset}-ROLE' or 'ROLE'"
    if "generateName" in meta:
        yield "metadata.generateName: expected none, since it cannot be applied, got one"
    if not isinstance(name, str) or not name:
        yield f"{form}, got {describe(name or None)}"
    elif not _ROLE.fullmatch(role := role_of(name, expected.dataset)):
        yield (
            f"{form}, with a role of small letters, digits and '-' that begins with a letter, got"
            f" {describe(name)}, whose role is {role!r}"
        )
    if namespace not in {None, expected.namespace}:
        allowed = f"none or {expected.namespace!r}" if expected.namespace else "none"
        yield f"metadata.namespace: expected {allowed}, got {describe(namespace)}"


def _server_faults(body: Mapping[str, Any]) -> Iterator[str]:
    meta = table_at(body, ("metadata",))
    # `kubectl create --dry-run` writes creationTimestamp: null
    found = [f"metadata.{key}" for key in _OF_THE_SERVER if meta.get(key) is not None]
    for each in [*(["status"] if "status" in body else []), *found]:
        yield f"{each}: expected none, since the server keeps it, got one; take it out"


def _metadata_faults(body: Mapping[str, Any], path: Path) -> Iterator[str]:
    for key in ("labels", "annotations"):
        place = render_place((*path, key))
        found = value_at(body, (*path, key))
        if found is not None and not isinstance(found, Mapping):
            yield f"{place}: expected a mapping, got {describe(found)}"
        for name, value in table_at(body, (*path, key)).items():
            if name.startswith(DOMAIN):
                yield f"{place}: expected none of lading's own, got {name!r}; take it out"
            elif not isinstance(value, str):
                yield f"{place}: {name}: expected a string, got {describe(value)}"
            elif name == MANAGED_BY and key == "labels" and value != MANAGER:
                yield f"{place}: {name}: expected none or {MANAGER!r}, got {value!r}"


def _spec_faults(body: Mapping[str, Any]) -> Iterator[str]:
    for path in (("metadata",), ("spec",), JOB, (*JOB, "spec"), POD, (*POD, "spec")):
        found = value_at(body, path)
        if not isinstance(found, Mapping):
            yield f"{render_place(path)}: expected a mapping, got {describe(found)}"
            break
    spec, job = table_at(body, ("spec",)), table_at(body, (*JOB, "spec"))
    schedule, completions = spec.get("schedule"), job.get("completions")
    if not isinstance(schedule, str) or not schedule.strip():
        yield f"spec.schedule: expected a schedule such as '0 6 * * *', got {describe(schedule)}"
    if not isinstance(spec.get("timeZone", ""), str):
        yield f"spec.timeZone: expected a zone such as 'Etc/UTC', got {describe(spec['timeZone'])}"
    if not isinstance(spec.get("suspend", False), bool):
        yield f"spec.suspend: expected true or false, got {describe(spec['suspend'])}"
    if completions is not None and (type(completions) is not int or completions < 0):
        place = render_place((*JOB, "spec", "completions"))
        yield f"{place}: expected a whole number, got {describe(completions)}"


def _image_faults(body: Mapping[str, Any], image: str) -> Iterator[str]:
    pod = table_at(body, (*POD, "spec"))
    containers = [*_listed(pod.get("containers")), *_listed(pod.get("initContainers"))]
    found = [str(table_at(each, ()).get("image", "")) for each in containers]
    if any(has_placeholder(each, "image") or (image and each == image) for each in found):
        return
    place = render_place((*POD, "spec", "containers"))
    got = ", ".join(repr(each) for each in found if each) or "none"
    yield f"{place}: expected a container with image '{{image}}', got {got}"


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
