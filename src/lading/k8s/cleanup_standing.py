"""What there is of a staged version: its CronJobs, their Jobs that run, and what they say.

CronJobs are found by their label and known by their annotations; what the two do not agree about
is nobody's to delete.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lading.errors import ClusterError
from lading.k8s.cluster import JsonObject
from lading.k8s.identity import CLEANUP, MONITOR, RELEASE, Identity, identity_of

_ENDED = {"Complete", "Failed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a cleanup must know to its end, kept on the CronJob that is deleted last."""

    names: tuple[str, ...] = ()
    """Names of all CronJobs, sorted; so are the others."""
    monitors: tuple[str, ...] = ()
    """Slugs of their monitors."""
    branch: str = ""
    """Branch that they were deployed from."""
    commits: tuple[str, ...] = ()
    """Commits that they were deployed from, in full; more than one where a rollout was cut."""
    stores: tuple[str, ...] = ()
    """URLs of the stores that they wrote."""

    def merge(self, other: "Record") -> "Record":
        """Return what both know."""
        return Record(
            names=_sorted(self.names, other.names),
            monitors=_sorted(self.monitors, other.monitors),
            branch=self.branch or other.branch,
            commits=_sorted(self.commits, other.commits),
            stores=_sorted(self.stores, other.stores),
        )

    def render(self) -> str:
        """Return it as JSON: equal records are equal texts."""
        table = {
            "branch": self.branch,
            "commits": self.commits,
            "monitors": self.monitors,
            "names": self.names,
            "stores": self.stores,
        }
        return json.dumps(table, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingCronJob:
    """A CronJob of the version, as it stands."""

    name: str
    """Its name."""
    is_suspended: bool
    """Whether it is suspended."""
    known: Record
    """What its annotations say of itself."""
    record: Record | None = None
    """What an earlier cleanup has written on it."""

    def knows(self, record: Record) -> bool:
        """Say whether it tells all that is known already."""
        return record in {self.known, self.record}


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A Job that has not ended."""

    name: str
    """Its name."""
    since: str = ""
    """When it began, as the cluster says it; "" where it does not."""
    monitor: str = ""
    """Slug of the monitor that it reports to."""


@dataclass(frozen=True, slots=True)
class BranchStanding:
    """Where the branch stands."""

    commit: str | None
    """Commit on the remote, in full; None where there is no such branch."""
    fault: str = ""
    """Why it could not be asked; then ``commit`` says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What there is of a staged version."""

    cron_jobs: tuple[StandingCronJob, ...]
    """Those of the label, sorted by name."""
    jobs: tuple[RunningJob, ...]
    """Their Jobs that run, sorted by name."""
    strays: tuple[str, ...]
    """CronJobs that say they belong to it and lack the label; sorted."""
    taken: Mapping[str, str]
    """Monitors of other CronJobs: slug to the name of the CronJob."""
    branch: BranchStanding
    """Where the branch stands."""


def parse_standing(
    identity: Identity,
    place: str,
    cron_jobs: Sequence[JsonObject],
    jobs: Sequence[JsonObject],
    branch: BranchStanding,
) -> Standing:
    """Tell what belongs to a staged version.

    Args:
        identity: the version.
        place: the cluster and namespace, for messages.
        cron_jobs: all of the namespace.
        jobs: those that the version's selector matches.
        branch: where the branch stands.

    Raises:
        ClusterError: an object bears the version's label and says that it is another, or nobody;
            or a record of an earlier cleanup cannot be read. A line for each.
    """
    labelled = [each for each in cron_jobs if _label(each) == identity.release]
    others = [each for each in cron_jobs if _label(each) != identity.release]
    faults = [fault for each in labelled for fault in _faults(identity, place, each)]
    if faults:
        raise ClusterError("\n".join(faults), hint="nothing was changed; a person must look")
    ours = tuple(sorted((_standing(each) for each in labelled), key=lambda each: each.name))
    return Standing(
        cron_jobs=ours,
        jobs=tuple(_running(labelled, others, jobs)),
        strays=tuple(sorted(_name(each) for each in others if _is_of(identity, each))),
        taken={
            slug: _name(each) for each in others for slug in (_name(each), _note(each, MONITOR))
        },
        branch=branch,
    )


def _standing(body: JsonObject) -> StandingCronJob:
    found = identity_of(body)
    return StandingCronJob(
        name=_name(body),
        is_suspended=bool(body.get("spec", {}).get("suspend")),
        known=Record(
            names=(_name(body),),
            monitors=_sorted([_note(body, MONITOR)]),
            branch=found.branch if found else "",
            commits=_sorted([found.commit if found else ""]),
            stores=_sorted(found.stores if found else ()),
        ),
        record=_parse_record(_note(body, CLEANUP)),
    )


def _running(
    labelled: Sequence[JsonObject], others: Sequence[JsonObject], jobs: Sequence[JsonObject]
) -> Iterator[RunningJob]:
    """Give the Jobs that run: of these CronJobs, or of one that is gone.

    A CronJob itself names its active Jobs, too: those of a time before it bore the label.
    """
    foreign = {each["metadata"].get("uid") for each in others} - {None}
    found = {
        _name(each): RunningJob(_name(each), _since(each), _note(each, MONITOR))
        for each in jobs
        if not _has_ended(each) and not foreign & _owners(each)
    }
    labelled_jobs = {_name(each) for each in jobs}
    for each in labelled:
        for active in each.get("status", {}).get("active") or ():
            if active.get("name") not in labelled_jobs:
                found[active["name"]] = RunningJob(active["name"], "", _note(each, MONITOR))
    yield from (found[name] for name in sorted(found))


def _has_ended(job: JsonObject) -> bool:
    return any(
        each.get("type") in _ENDED and each.get("status") == "True"
        for each in job.get("status", {}).get("conditions") or ()
    )


def _since(job: JsonObject) -> str:
    began = job.get("status", {}).get("startTime")
    return str(began or job["metadata"].get("creationTimestamp") or "")


def _owners(body: JsonObject) -> set[Any]:
    return {each.get("uid") for each in body["metadata"].get("ownerReferences") or ()}


def _faults(identity: Identity, place: str, body: JsonObject) -> Iterator[str]:
    if not _is_of(identity, body):
        found = identity_of(body)
        told = found.title if found else "none of Lading's"
        told += f" of project {found.project!r}" if found and found.title == identity.title else ""
        yield (
            f"{place}: CronJob {_name(body)}: expected the annotations of {identity.title}, whose"
            f" label it bears, found {told}"
        )
    text = _note(body, CLEANUP)
    if text and _parse_record(text) is None:
        yield (
            f"{place}: CronJob {_name(body)}: expected the record of a cleanup in its annotation"
            f" {CLEANUP}, found {text[:80]!r}"
        )


def _parse_record(text: str) -> Record | None:
    try:
        table = json.loads(text)
    except ValueError:
        return None
    if not isinstance(table, dict):
        return None
    lists = {name: table.get(name) for name in ("names", "monitors", "commits", "stores")}
    branch = table.get("branch")
    if not isinstance(branch, str) or not all(_is_texts(each) for each in lists.values()):
        return None
    return Record(branch=branch, **{name: _sorted(each or ()) for name, each in lists.items()})


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_of(identity: Identity, body: JsonObject) -> bool:
    """Say whether an object's annotations say that it belongs to a version."""
    found = identity_of(body)
    return found is not None and _raw(found) == _raw(identity)


def _raw(identity: Identity) -> tuple[str, ...]:
    return identity.project, identity.environment, identity.dataset, identity.version


def _name(body: JsonObject) -> str:
    return str(body["metadata"]["name"])


def _label(body: JsonObject) -> str:
    return str((body["metadata"].get("labels") or {}).get(RELEASE, ""))


def _note(body: JsonObject, name: str) -> str:
    return str((body["metadata"].get("annotations") or {}).get(name, ""))


def _sorted(*texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted({text for each in texts for text in each if text}))
