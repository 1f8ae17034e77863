"""Live against receipt against branch: how each CronJob stands. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from lading.errors import ClusterError
from lading.k8s.identity import CLEANUP, Identity
from lading.k8s.live import SUSPEND, LiveCronJob, find_drift
from lading.k8s.receipts import RolloutReceipt, live_sha256
from lading.k8s.schedule import next_fires, parse_schedule

_SHORT = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class CronJobStatus:
    """How one CronJob stands."""

    name: str
    """Its name."""
    role: str
    """Its role."""
    schedule: str
    """Its schedule, with the time zone where that is not UTC."""
    last_run: str
    """When it last started a Job, in UTC as ISO 8601; "" where it never did."""
    last_success: str
    """When a Job of it last ended well; "" where none did."""
    running: tuple[str, ...]
    """Jobs that run now."""
    next_fire: str
    """When it fires next; "" while it is suspended."""
    suspended_by: str
    """Field manager that suspended it; "" where it is not suspended."""
    drift: tuple[str, ...]
    """What is not as it was rolled out, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseStatus:
    """How one version of a dataset stands."""

    place: str
    """Context and namespace."""
    environment: str
    """``production`` or ``staging``."""
    dataset: str
    """The dataset."""
    version: str
    """Its version."""
    image: str
    """Image that it runs."""
    commit: str
    """Commit that it was deployed from."""
    branch: str
    """What is known of the branch, in words."""
    stores: tuple[str, ...]
    """Stores that it writes."""
    cron_jobs: tuple[CronJobStatus, ...]
    """By name."""
    notes: tuple[str, ...]
    """What is no fault and should be known."""
    faults: tuple[str, ...]
    """What is missing, or is not as it was rolled out."""


def describe_releases(
    place: str,
    live: Sequence[LiveCronJob],
    receipts: Sequence[RolloutReceipt],
    branches: Mapping[str, str | None],
    now: datetime,
) -> list[ReleaseStatus]:
    """Return how the releases of a namespace stand: production first, then by dataset.

    Args:
        place: context and namespace.
        live: all CronJobs of the namespace.
        receipts: those that this machine keeps of it.
        branches: commit on the remote by branch, None where it is gone; what could not be asked
            is left out.
        now: aware.
    """
    identities = {each.identity.release: each.identity for each in receipts}
    identities |= {each.identity.release: each.identity for each in live if each.identity}
    kept = {each.identity.release: each for each in receipts}
    found = []
    for release, identity in identities.items():
        mine = [each for each in live if each.identity and each.identity.release == release]
        if (
            not mine
            and identity.environment == "staging"
            and branches.get(identity.branch, "") is None
        ):
            continue  # another machine has cleaned it up
        found.append(_describe(place, identity, mine, kept.get(release), branches, now))
    return sorted(found, key=lambda each: (each.environment, each.dataset, each.version))


def to_json(statuses: Sequence[ReleaseStatus]) -> list[dict[str, Any]]:
    """Return plain data for JSON."""
    return [asdict(each) for each in statuses]


def _describe(
    place: str,
    identity: Identity,
    live: Sequence[LiveCronJob],
    receipt: RolloutReceipt | None,
    branches: Mapping[str, str | None],
    now: datetime,
) -> ReleaseStatus:
    proved = receipt.cron_jobs if receipt else {}
    rows = tuple(_describe_one(each, receipt, now) for each in live)
    names = {each.name for each in live}
    faults = [f"{name}: missing" for name in proved if name not in names]
    faults += [f"{row.name}: {drift}" for row in rows for drift in row.drift]
    return ReleaseStatus(
        place=place,
        environment=identity.environment,
        dataset=identity.dataset,
        version=identity.version,
        image=identity.image,
        commit=identity.commit,
        branch=_compare_branch(identity, branches),
        stores=identity.stores,
        cron_jobs=rows,
        notes=tuple(_notes(live, receipt)),
        faults=(*faults, *_mixed(live)),
    )


def _describe_one(
    live: LiveCronJob, receipt: RolloutReceipt | None, now: datetime
) -> CronJobStatus:
    holder = live.holder_of(SUSPEND)
    zone = "" if live.time_zone == "Etc/UTC" else f" {live.time_zone or 'zone of the controller'}"
    return CronJobStatus(
        name=live.name,
        role=live.role,
        schedule=f"{live.schedule}{zone}",
        last_run=_moment(live.last_scheduled),
        last_success=_moment(live.last_succeeded),
        running=live.active,
        next_fire=_next_fire(live, now),
        suspended_by=(holder.manager if holder else "its manifest") if live.suspended else "",
        drift=tuple(_drift(live, receipt)),
    )


def _drift(live: LiveCronJob, receipt: RolloutReceipt | None) -> Iterator[str]:
    changed = [each.describe() for each in find_drift(live)]
    yield from changed
    proved = receipt.cron_jobs.get(live.name) if receipt else None
    if proved is None or changed:
        return
    if proved.spec_sha256 == live.spec_sha256 and proved.live_sha256 != live_sha256(live.body):
        yield "its spec is not the one that was read back after the rollout"


def _notes(live: Sequence[LiveCronJob], receipt: RolloutReceipt | None) -> Iterator[str]:
    if any(each.note(CLEANUP) for each in live):
        yield "a cleanup of it was begun and has not ended"
    proved = receipt.cron_jobs if receipt else {}
    for each in live:
        if each.name in proved and proved[each.name].spec_sha256 != each.spec_sha256:
            yield f"{each.name}: rolled out anew since this machine's receipt"
    if receipt is None:
        yield "no receipt on this machine: what was removed by hand cannot be told"


def _mixed(live: Sequence[LiveCronJob]) -> Iterator[str]:
    images = {each.identity.image for each in live if each.identity}
    if len(images) > 1:
        yield f"expected one image for all roles, found {', '.join(sorted(images))}"


def _compare_branch(identity: Identity, branches: Mapping[str, str | None]) -> str:
    deployed = identity.commit[:_SHORT] or "an unknown commit"
    if identity.branch not in branches:
        return f"deployed {deployed}"
    standing = branches[identity.branch]
    if standing is None:
        return f"{identity.branch} is gone, deployed {deployed}"
    if standing == identity.commit:
        return f"{identity.branch} at {deployed}, as deployed"
    return f"{identity.branch} at {standing[:_SHORT]}, deployed {deployed}"


def _next_fire(live: LiveCronJob, now: datetime) -> str:
    if live.suspended:
        return ""
    try:
        fires = next_fires(parse_schedule(live.schedule, live.time_zone or "Etc/UTC"), now, 1)
    except ClusterError:
        return "?"
    return _moment(fires[0]) if fires else "never"


def _moment(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment else ""
