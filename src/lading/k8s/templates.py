"""Where CronJobs come from: manifests of the repository, in files or from a callable of it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lading.errors import ClusterError
from lading.k8s.json_data import describe, table_at
from lading.k8s.manifest_calls import call_manifests
from lading.k8s.manifest_files import read_manifests
from lading.k8s.manifest_rules import JOB, Expected, find_faults, role_of

DEFAULT_ZONE = "Etc/UTC"
"""Time zone of a schedule that names none; else the controller's own would count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """One CronJob as the repository says it, its placeholders still open."""

    role: str
    """What it does for the dataset, e.g. ``update``."""
    body: Mapping[str, Any]
    """The manifest, as plain JSON data."""
    place: str
    """Where it stands, for messages: ``k8s/noaa-gfs-analysis.yaml[1]``."""

    @property
    def schedule(self) -> str:
        """Its schedule, as the manifest says it."""
        return str(table_at(self.body, ("spec",))["schedule"])

    @property
    def time_zone(self) -> str:
        """Time zone of the schedule; ``Etc/UTC`` where the manifest names none."""
        return str(table_at(self.body, ("spec",)).get("timeZone") or DEFAULT_ZONE)

    @property
    def completions(self) -> int:
        """Number of indexes of an Indexed Job; 1 of any other."""
        job = table_at(self.body, (*JOB, "spec"))
        is_indexed = job.get("completionMode") == "Indexed"
        return int(job.get("completions") or 1) if is_indexed else 1

    @property
    def suspended(self) -> bool | None:
        """What the manifest says of ``suspend``; None where it says nothing."""
        said: bool | None = table_at(self.body, ("spec",)).get("suspend")
        return said


def load_templates(
    cronjobs: str, dataset: str, version: str, image: str, repository: Path, namespace: str = ""
) -> list[Template]:
    """Load the CronJobs of a dataset, in the order in which they stand there.

    Effects: a callable's module is imported and run, see ``call_manifests``.

    Args:
        cronjobs: a YAML or JSON file below the repository, or ``package.module:callable``.
        dataset: name of the dataset.
        version: its version; a callable may ask for it.
        image: its image; a callable may ask for it and put it in.
        repository: the repository's folder.
        namespace: the only namespace that a manifest may name; "": none at all.

    Raises:
        ClusterError: there are none, they cannot be read, or they break a rule; one line a fault.
    """
    if ":" in cronjobs:
        known = {"dataset": dataset, "image": image, "version": version}
        found = call_manifests(cronjobs, repository, known)
    else:
        found = read_manifests(cronjobs, repository)
    manifests = list(_unfold(found))
    expected = Expected(dataset=dataset, image=image, namespace=namespace)
    faults = [
        f"{place}: {each}" for place, body in manifests for each in find_faults(body, expected)
    ]
    faults += _doubled(manifests, dataset)
    if not manifests:
        faults.append(f"{cronjobs}: expected at least one CronJob of {dataset}, got none")
    if faults:
        raise ClusterError("\n".join(faults))
    return [
        Template(role=role_of(body["metadata"]["name"], dataset), body=body, place=place)
        for place, body in manifests
    ]


def _unfold(found: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Yield manifests with their places, those of a ``v1 List`` one by one."""
    for place, body in found:
        is_table = isinstance(body, dict)
        if not is_table or (body.get("apiVersion"), body.get("kind")) != ("v1", "List"):
            yield place, body
        elif not isinstance(body.get("items"), list):
            raise ClusterError(
                f"{place}: items: expected the CronJobs of the List, got"
                f" {describe(body.get('items'))}"
            )
        else:
            for at, each in enumerate(body["items"]):
                yield f"{place}.items[{at}]", each


def _doubled(manifests: Sequence[tuple[str, Any]], dataset: str) -> Iterator[str]:
    places: dict[str, list[str]] = defaultdict(list)
    for place, body in manifests:
        name = table_at(body, ("metadata",)).get("name")
        if isinstance(name, str):
            places[role_of(name, dataset)].append(place)
    for role, found in places.items():
        if len(found) > 1:
            first, *others = found
            for other in others:
                yield (
                    f"{other}: metadata.name: expected each role once, got {role!r}, which {first}"
                    " has"
                )
