"""A rollout, as a target: the CronJobs of one or more releases in one namespace.

The whole set passes a dry run on the server before any of it is applied: a list of objects is
no transaction, and half a release is worse than none.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lading.errors import ClusterError, VerifyError
from lading.k8s.cluster import Cluster, JsonObject
from lading.k8s.identity import CLEANUP, CLEANUP_MANAGER, Identity
from lading.k8s.live import SUSPEND, LiveCronJob, read_live
from lading.k8s.objects import strip_suspend
from lading.k8s.receipts import RolloutReceipt, receipt_of
from lading.k8s.rollout import CronJob, Rollout
from lading.k8s.stores import shared_stores
from lading.release.receipts import now_utc
from lading.storage.progress import NO_PROGRESS, Progress

_COMPARED = ("labels", "annotations")
_KUBECTL_NOTE = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True)
class ClusterState:
    """What stands in a namespace, and what would stand."""

    live: tuple[LiveCronJob, ...]
    """All its CronJobs, by name."""
    applied: Mapping[str, JsonObject]
    """By name, what an apply would make of the rollout's CronJobs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutChanges:
    """What a namespace still needs. Each by name, sorted."""

    new: tuple[str, ...] = ()
    """CronJobs to be made."""
    changed: tuple[str, ...] = ()
    """CronJobs to be changed."""
    kept: tuple[str, ...] = ()
    """CronJobs that stand as they should."""
    resumed: tuple[str, ...] = ()
    """CronJobs that a cleanup had suspended before it was given up."""
    leftovers: Mapping[str, bool] = field(default_factory=dict)
    """CronJobs of the same releases that are no longer wanted; whether Jobs of theirs run."""
    unwatched: tuple[str, ...] = ()
    """Slugs of the leftovers' monitors, which watch nothing any more."""
    bodies: tuple[JsonObject, ...] = ()
    """What is applied: the whole set, where any of it is new or changed."""
    notes: tuple[str, ...] = ()
    """What else a person should know."""

    @property
    def is_empty(self) -> bool:
        """Whether it needs nothing."""
        return not (self.new or self.changed or self.resumed or self.leftovers)

    def describe(self) -> str:
        """Say it in a few words."""
        counts = {
            "new": len(self.new),
            "changed": len(self.changed),
            "resumed": len(self.resumed),
            "deleted": len(self.leftovers),
            "as they were": len(self.kept),
        }
        return ", ".join(f"{number} {what}" for what, number in counts.items() if number)


class RolloutTarget:
    """The CronJobs of some releases in one namespace.

    Args:
        cluster: the namespace.
        rollouts: what is to stand there; all of one context and namespace.
        take: take over fields that others hold, and CronJobs that are nobody's release.
        unwatch: ends the monitor of a slug; asked before the CronJob that tells the slug is gone.
    """

    def __init__(
        self,
        cluster: Cluster,
        rollouts: Sequence[Rollout],
        *,
        take: bool = False,
        unwatch: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._cluster = cluster
        self._rollouts = tuple(rollouts)
        self._take = take
        self._unwatch = unwatch

    @property
    def place(self) -> str:
        """Context and namespace."""
        return self._cluster.place

    def observe(self) -> ClusterState:
        """List the namespace, and let the server try the whole set without keeping it.

        Raises:
            ClusterError: a name or a store belongs to somebody else; or the API refuses an
                object; a line each. Nothing was applied.
            ConflictError: somebody else holds fields.
        """
        live = tuple(read_live(self._cluster.cron_jobs()))
        faults = [
            *find_strangers(self._rollouts, live, take=self._take),
            *find_shared_stores(self._rollouts, live),
        ]
        if faults:
            raise ClusterError("\n".join(f"{self.place}: {fault}" for fault in faults))
        tried = self._cluster.dry_run(bodies_to_apply(self._rollouts, live), take=self._take)
        return ClusterState(live, {str(each["metadata"]["name"]): each for each in tried})

    def plan(self, observed: ClusterState) -> RolloutChanges:
        """Return what is still needed. Pure."""
        return plan_rollout(self._rollouts, observed)

    def apply(self, changes: RolloutChanges, progress: Progress = NO_PROGRESS) -> None:
        """Apply the set, resume, delete leftovers. Safe to repeat, and to be cut anywhere.

        Effects: CronJobs in the cluster.

        Raises:
            ClusterError, ConflictError: as the cluster says.
        """
        progress.relative_update(0)
        if changes.bodies:
            self._cluster.apply(changes.bodies, take=self._take)
        for name in changes.resumed:
            progress.relative_update(0)
            # the note first: a release that runs must not look as if it were being cleaned up
            self._cluster.annotate(name, {CLEANUP: None})
            self._cluster.suspend(name, suspended=_is_to_sleep(self._wanted[name]))
        if changes.unwatched:
            for name in changes.leftovers:
                progress.relative_update(0)
                self._cluster.suspend(name, suspended=True)  # or it brings its monitor back
        for slug in changes.unwatched:
            progress.relative_update(0)
            self._unwatch(slug)
        for name, is_running in changes.leftovers.items():
            progress.relative_update(0)
            self._cluster.delete(name, orphan=is_running)  # what runs may come to its end

    def prove(self) -> list[RolloutReceipt]:
        """Read the namespace again; return a receipt for each release.

        Raises:
            VerifyError: a CronJob is missing, is not what was applied, or is left over.
        """
        live = read_live(self._cluster.cron_jobs())
        if faults := list(_unproved(self._rollouts, live)):
            raise VerifyError("\n".join(f"{self.place}: {fault}" for fault in faults))
        by_name = {each.name: each for each in live}
        now = now_utc()
        return [receipt_of(each, by_name, proved_at=now) for each in self._rollouts]

    @property
    def _wanted(self) -> dict[str, CronJob]:
        return {job.name: job for rollout in self._rollouts for job in rollout.cron_jobs}


def bodies_to_apply(
    rollouts: Sequence[Rollout], live: Sequence[LiveCronJob]
) -> tuple[JsonObject, ...]:
    """Return the objects that are applied beside what stands. Pure."""
    by_name = {each.name: each for each in live}
    return tuple(
        body_to_apply(cron_job, by_name.get(cron_job.name))
        for rollout in rollouts
        for cron_job in rollout.cron_jobs
    )


def body_to_apply(cron_job: CronJob, live: LiveCronJob | None) -> JsonObject:
    """Return the object that is applied: without ``suspend`` where somebody else has set it.

    An operator who suspended a CronJob, or resumed it, keeps the say, whatever the manifest says.
    """
    holder = live.holder_of(SUSPEND) if live else None
    if holder is None or holder.is_ours:
        return cron_job.body
    return strip_suspend(cron_job.body)


def find_strangers(
    rollouts: Sequence[Rollout], live: Sequence[LiveCronJob], *, take: bool
) -> Iterator[str]:
    """Yield a line for each wanted name that somebody else's CronJob bears.

    ``take`` allows one that is nobody's release, never one of another release of ours.
    """
    by_name = {each.name: each for each in live}
    for rollout in rollouts:
        for cron_job in rollout.cron_jobs:
            stranger = by_name.get(cron_job.name)
            if stranger is None:
                continue
            if stranger.identity is None and not take:
                yield (
                    f"CronJob {cron_job.name}: expected none or one of Lading's, found one made by"
                    f" {stranger.made_by!r}; delete it, or take it over with take=1"
                )
            elif stranger.identity and not _is_same(rollout.identity, stranger.identity):
                yield (
                    f"CronJob {cron_job.name}: expected none or one of {rollout.identity.title},"
                    f" found one of {stranger.identity.title}; clean that up first"
                )


def find_shared_stores(rollouts: Sequence[Rollout], live: Sequence[LiveCronJob]) -> Iterator[str]:
    """Yield a line for each store that a live release of another environment or version writes."""
    wanted = {each.identity.release for each in rollouts}
    for rollout in rollouts:
        mine = {rollout.identity.title: rollout.identity.stores}
        others = {
            each.identity.title: each.identity
            for each in live
            if each.identity and each.identity.release not in wanted
        }
        theirs = {title: identity.stores for title, identity in others.items()}
        for fault in shared_stores(mine, theirs):
            yield fault + _way_out(others.values(), fault)


def plan_rollout(rollouts: Sequence[Rollout], observed: ClusterState) -> RolloutChanges:
    """Return what a namespace still needs. Pure."""
    by_name = {each.name: each for each in observed.live}
    wanted = {job.name: job for rollout in rollouts for job in rollout.cron_jobs}
    releases = {each.identity.release for each in rollouts}
    standing = {name: by_name[name] for name in sorted(wanted) if name in by_name}
    resumed = tuple(name for name, each in standing.items() if _is_given_up(each, wanted[name]))
    changed = [
        name for name, each in standing.items() if _differs(each.body, observed.applied[name])
    ]
    leftovers = [
        each
        for each in observed.live
        if each.identity and each.identity.release in releases and each.name not in wanted
    ]
    new = tuple(name for name in sorted(wanted) if name not in by_name)
    watched = {each.monitor for each in wanted.values()}
    return RolloutChanges(
        new=new,
        changed=tuple(changed),
        kept=tuple(name for name in standing if name not in {*changed, *resumed}),
        resumed=resumed,
        leftovers={each.name: bool(each.active) for each in leftovers},
        unwatched=tuple(
            each.monitor for each in leftovers if each.monitor and each.monitor not in watched
        ),
        bodies=bodies_to_apply(rollouts, observed.live) if new or changed else (),
        notes=tuple(_notes(standing, wanted)),
    )


def _notes(standing: Mapping[str, LiveCronJob], wanted: Mapping[str, CronJob]) -> Iterator[str]:
    for name, each in standing.items():
        holder = each.holder_of(SUSPEND)
        if holder is None or holder.is_ours or holder.manager == CLEANUP_MANAGER:
            continue
        if each.suspended:
            yield f"{name} is suspended by {holder.manager!r}, kept so"
        elif wanted[name].body["spec"].get("suspend"):
            yield f"{name} was resumed by {holder.manager!r}, kept so"


def _is_given_up(live: LiveCronJob, wanted: CronJob) -> bool:
    """Say whether a cleanup of it was begun and is not to be ended: its release is wanted."""
    holder = live.holder_of(SUSPEND)
    by_cleanup = holder is not None and holder.manager == CLEANUP_MANAGER
    return bool(live.note(CLEANUP)) or (by_cleanup and live.suspended != _is_to_sleep(wanted))


def _is_to_sleep(cron_job: CronJob) -> bool:
    return bool(cron_job.body["spec"].get("suspend"))


def _differs(live: JsonObject, applied: JsonObject) -> bool:
    if live.get("spec") != applied.get("spec"):
        return True
    return any(_plain(live, part) != _plain(applied, part) for part in _COMPARED)


def _plain(body: JsonObject, part: str) -> dict[str, str]:
    found = body["metadata"].get(part) or {}
    return {name: value for name, value in found.items() if name != _KUBECTL_NOTE}


def _unproved(rollouts: Sequence[Rollout], live: Sequence[LiveCronJob]) -> Iterator[str]:
    by_name = {each.name: each for each in live}
    for rollout in rollouts:
        names = {each.name for each in rollout.cron_jobs}
        for cron_job in rollout.cron_jobs:
            found = by_name.get(cron_job.name)
            if found is None:
                yield f"CronJob {cron_job.name}: expected after the apply, found none"
            elif found.spec_sha256 != cron_job.spec_sha256:
                yield (
                    f"CronJob {cron_job.name}: expected spec {cron_job.spec_sha256[:16]}…,"
                    f" found {found.spec_sha256[:16] or 'none'}…"
                )
        for each in live:
            is_ours = each.identity and each.identity.release == rollout.identity.release
            if is_ours and each.name not in names:
                yield f"CronJob {each.name}: expected to be deleted, found it"


def _is_same(wanted: Identity, found: Identity) -> bool:
    return (wanted.release, wanted.dataset, wanted.project) == (
        found.release,
        found.dataset,
        found.project,
    )


def _way_out(others: Iterable[Identity], fault: str) -> str:
    for each in others:
        if each.environment == "staging" and each.title in fault:
            return (
                f"; end that first: `doit k8s_cleanup dataset={each.dataset}"
                f" version={each.version} yes=1`"
            )
    return ""
