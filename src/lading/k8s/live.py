"""What stands in a cluster, as its own objects tell it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lading.k8s.cluster import JsonObject
from lading.k8s.identity import (
    MANAGED_BY,
    MANAGER,
    MONITOR,
    ROLE,
    SPEC,
    Identity,
    identity_of,
)

SUSPEND = ".spec.suspend"
_APPLY = "Apply"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who set a field."""

    manager: str
    """Field manager, e.g. ``kubectl-edit``."""
    operation: str
    """``Apply`` or ``Update``."""
    at: str
    """When, as the API says it; "" where it does not."""

    @property
    def is_ours(self) -> bool:
        """Whether a rollout of ours set it."""
        return self.manager == MANAGER and self.operation == _APPLY


@dataclass(frozen=True, slots=True)
class LiveCronJob:
    """A CronJob that stands in the cluster."""

    body: JsonObject
    """The object."""
    identity: Identity | None
    """Who it is; None where it is not ours."""

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.body["metadata"]["name"])

    @property
    def uid(self) -> str:
        """Its identifier, which no other object has or had."""
        return str(self.body["metadata"].get("uid", ""))

    @property
    def role(self) -> str:
        """What it does for the dataset; "" where it is not ours."""
        return self.note(ROLE)

    @property
    def monitor(self) -> str:
        """Slug of its monitor; "" where it has none."""
        return self.note(MONITOR)

    @property
    def spec_sha256(self) -> str:
        """Digest of the spec that was applied; "" where it is not ours."""
        return self.note(SPEC)

    @property
    def suspended(self) -> bool:
        """Whether it starts no Jobs."""
        return bool(self.body.get("spec", {}).get("suspend"))

    @property
    def schedule(self) -> str:
        """Its schedule."""
        return str(self.body.get("spec", {}).get("schedule", ""))

    @property
    def time_zone(self) -> str:
        """Time zone of the schedule; "" where that is the controller's own."""
        return str(self.body.get("spec", {}).get("timeZone") or "")

    @property
    def last_scheduled(self) -> datetime | None:
        """When it last started a Job, aware."""
        return parse_time(self.body.get("status", {}).get("lastScheduleTime"))

    @property
    def last_succeeded(self) -> datetime | None:
        """When a Job of it last ended well, aware."""
        return parse_time(self.body.get("status", {}).get("lastSuccessfulTime"))

    @property
    def active(self) -> tuple[str, ...]:
        """Names of its Jobs that run now."""
        return tuple(each["name"] for each in self.body.get("status", {}).get("active") or ())

    @property
    def made_by(self) -> str:
        """Who made it, as far as it says so: for messages about what is not ours."""
        labelled = (self.body["metadata"].get("labels") or {}).get(MANAGED_BY)
        managers = [each.get("manager") for each in self.body["metadata"].get("managedFields", ())]
        return str(labelled or next(filter(None, managers), "nobody that it names"))

    def note(self, name: str) -> str:
        """Return an annotation, or ""."""
        return str((self.body["metadata"].get("annotations") or {}).get(name, ""))

    def holders(self) -> dict[str, list[Holder]]:
        """Return by field path who set it: ``.spec.schedule``, ``...containers[name="x"].image``.

        What the server filled in belongs to nobody; ``status`` is left out.
        """
        found: dict[str, list[Holder]] = {}
        for entry in self.body["metadata"].get("managedFields") or ():
            if entry.get("subresource"):
                continue
            holder = Holder(
                entry.get("manager", ""), entry.get("operation", ""), entry.get("time", "")
            )
            for path in _paths(entry.get("fieldsV1") or {}, ""):
                found.setdefault(path, []).append(holder)
        return found

    def holder_of(self, path: str) -> Holder | None:
        """Return who set a field last; None where nobody did."""
        found = self.holders().get(path, [])
        return next((each for each in found if not each.is_ours), next(iter(found), None))


@dataclass(frozen=True, slots=True)
class Drift:
    """A field of the spec that somebody else has set since it was rolled out."""

    path: str
    """The field."""
    holder: Holder
    """Who set it."""

    def describe(self) -> str:
        """Say it in a few words."""
        at = f" at {self.holder.at}" if self.holder.at else ""
        return f"{self.path} set by {self.holder.manager!r}{at}"


def read_live(bodies: Sequence[JsonObject]) -> list[LiveCronJob]:
    """Return live CronJobs, by name."""
    found = [LiveCronJob(body, identity_of(body)) for body in bodies]
    return sorted(found, key=lambda each: each.name)


def find_drift(live: LiveCronJob) -> list[Drift]:
    """Return the fields of the spec that others hold and a rollout of ours does not, by path.

    ``suspend`` is an operator's to set, and no drift.
    """
    drifts = []
    for path, holders in sorted(live.holders().items()):
        is_spec = path.startswith(".spec.") and path != SUSPEND
        if is_spec and not any(each.is_ours for each in holders):
            drifts.append(Drift(path, holders[0]))
    return drifts


def parse_time(text: Any) -> datetime | None:
    """Read a time of the API; None where there is none."""
    return datetime.fromisoformat(str(text)) if text else None


def _paths(fields: Mapping[str, Any], above: str) -> Iterator[str]:
    """Yield the paths of the leaves of a ``fieldsV1``."""
    for key, below in fields.items():
        if key == ".":
            continue
        path = above + _step(key)
        if below and set(below) != {"."}:
            yield from _paths(below, path)
        else:
            yield path


def _step(key: str) -> str:
    kind, _, rest = key.partition(":")
    if kind == "f":
        return f".{rest}"
    if kind == "k":
        keys = json.loads(rest)
        return "[" + ",".join(f"{name}={json.dumps(value)}" for name, value in keys.items()) + "]"
    return f"[{rest}]"
