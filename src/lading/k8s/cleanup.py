"""The end of a staged version: suspended, waited for, deleted, and what is left is named.

Every step is safe to repeat, and to be cut anywhere: what must be known to the end stands on the
CronJob that is deleted last, so that the same command goes on from any machine.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Literal, Protocol

from lading.errors import GuardError, Interrupted, LadingError, RefusedError
from lading.k8s.cleanup_plan import CleanupPlan, Running, Step, plan_cleanup
from lading.k8s.cleanup_result import CleanupResult, Fate, absent_fates, hindered_fates
from lading.k8s.cleanup_standing import (
    BranchStanding,
    Record,
    RunningJob,
    Standing,
    parse_standing,
)
from lading.k8s.cluster import Cluster
from lading.k8s.identity import CLEANUP, Identity, branch_of
from lading.storage.progress import NO_PROGRESS, Progress

_LOOK_S = 5
_GONE_LOOKS = 30
_SETTLE_S = 2  # the controller may still act on what it saw before a CronJob was suspended


class Monitors(Protocol):
    """The monitors of CronJobs."""

    def delete(self, slug: str) -> Literal["deleted", "absent"]:
        """Delete a monitor and see that it is gone.

        Raises:
            LadingError: it is not known to be gone.
        """


class Branch(Protocol):
    """The branch of one staged version, on its remote."""

    def standing(self) -> str | None:
        """Return the commit where it stands, in full; None where there is no such branch.

        Raises:
            LadingError: the remote did not answer.
        """

    def delete(self, commit: str) -> object:
        """Delete it where it stands at a commit, and nowhere else.

        Raises:
            LadingError: it stands elsewhere, or the remote refused or did not answer.
        """


class Cleanup:
    """Ends one staged version.

    Args:
        cluster: where its CronJobs stand.
        branch: its branch.
        monitors: its monitors; None where there is no token for them.
        identity: project, dataset and version; the rest is read from what stands.
        running: what becomes of running Jobs.
        wait_s: how long they are waited for, in seconds.
        known_commit: commit that was deployed, where no CronJob tells it any more.
        token_variable: where a token for the monitors would come from.
        clock: seconds that only grow.
        sleep: how to wait; another one in tests.

    Raises:
        RefusedError: the identity is not one of staging.
    """

    def __init__(  # noqa: PLR0913  a cleanup has many ends
        self,
        cluster: Cluster,
        branch: Branch,
        monitors: Monitors | None,
        identity: Identity,
        *,
        running: Running = "wait",
        wait_s: float = 3600.0,
        known_commit: str | None = None,
        token_variable: str = "SENTRY_AUTH_TOKEN",  # noqa: S107  a name, no secret
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if identity.environment != "staging" or not identity.version:
            raise RefusedError(
                f"cleanup: expected a staged version, got {identity.title};"
                " production is never cleaned up"
            )
        self._cluster = cluster
        self._branch = branch
        self._monitors = monitors
        self._identity = identity
        self._running: Running = running
        self._wait_s = wait_s
        self._known_commit = known_commit or ""
        self._without = "" if monitors else f"no {token_variable}"
        self._clock = clock
        self._sleep = sleep
        self._result = CleanupResult(())

    def observe(self) -> Standing:
        """Ask the cluster and the remote.

        A remote that does not answer is a fact like another: the rest can be done without it.

        Raises:
            ClusterError: the cluster did not answer, or what stands there contradicts itself.
        """
        return replace(self._look(), branch=self._look_at_branch())

    def plan(self, standing: Standing, known: Record | None = None) -> CleanupPlan:
        """Return what becomes of what stands, and of what was known before. Pure."""
        return plan_cleanup(
            standing,
            branch_of(self._identity.dataset, self._identity.version),
            running=self._running,
            known_commit=self._known_commit,
            without_monitors=self._without,
            known=known,
        )

    def apply(self, plan: CleanupPlan, progress: Progress = NO_PROGRESS) -> CleanupResult:
        """Do what was planned. Safe to repeat, and to be cut anywhere.

        What fails beside the cluster stops nothing else; it is told as left, and then the
        CronJob that remembers it is left, too, suspended.

        Effects: CronJobs are suspended and deleted, with their Jobs unless those run on;
        monitors and the branch are deleted.

        Raises:
            ClusterError: the cluster refused or did not answer, or contradicts itself.
            Interrupted: the run was asked to end.
        """
        names = {each.name for each in plan.standing.cron_jobs} | {*plan.record.names}
        hindrance = ""
        if plan.standing.cron_jobs:
            hindrance = self._still(plan, progress)
            plan = self.plan(self.observe(), plan.record)
        fates = list(absent_fates(names, plan))
        if hindrance:
            fates += hindered_fates(plan, hindrance)
        else:
            fates += self._end(plan, progress)
        fates += [Fate("store", each.name, "kept", each.why) for each in plan.of("store")]
        self._result = CleanupResult(tuple(fates))
        return self._result

    def prove(self) -> tuple[str, ...]:
        """Look again; return a line for each thing that is there and was not told as left.

        Raises:
            ClusterError: the cluster did not answer, or what stands there contradicts itself.
        """
        told = {(each.kind, each.name) for each in self._result.fates if each.outcome == "left"}
        plan = self.plan(self.observe())
        there = [each for each in plan.of("CronJob") if each.action in {"delete", "leave"}]
        there += [each for each in plan.of("branch") if each.action != "absent"]
        found = [each for each in there if (each.kind, each.name) not in told]
        again = "is there, or there again"
        return tuple(
            f"{each.kind} {each.name}: {each.why if each.action == 'leave' else again}"
            for each in found
        )

    def _look(self) -> Standing:
        return parse_standing(
            self._identity,
            self._cluster.place,
            self._cluster.cron_jobs(),
            self._cluster.jobs(self._identity.selector),
            BranchStanding(None),
        )

    def _look_at_branch(self) -> BranchStanding:
        found: list[str | None] = []
        fault = _fault_of(lambda: found.append(self._branch.standing()))
        return BranchStanding(None, fault) if fault else BranchStanding(found[0])

    def _still(self, plan: CleanupPlan, progress: Progress) -> str:
        """Suspend all, and wait until no Job runs; return why nothing may be deleted, or ""."""
        awake = [each for each in plan.standing.cron_jobs if not each.is_suspended]
        for each in awake:
            progress.relative_update(0)
            self._cluster.suspend(each.name, suspended=True)
        if awake:
            self._nap(_SETTLE_S, progress)
        until = self._clock() + self._wait_s
        while True:
            standing = self._look()
            resumed = [each.name for each in standing.cron_jobs if not each.is_suspended]
            if resumed:
                return f"somebody has resumed {', '.join(resumed)}"
            if self._running == "orphan" or not standing.jobs:
                return ""
            if self._clock() >= until:
                return f"after {self._wait_s:g} s there runs {_told(standing.jobs)}"
            self._nap(_LOOK_S, progress)

    def _end(self, plan: CleanupPlan, progress: Progress) -> Iterator[Fate]:
        """Delete in an order that forgets nothing: first it is written down, then it goes."""
        last = self._remember(plan)
        names = [each.name for each in plan.standing.cron_jobs if each.name != last]
        beside = self._delete(names, progress)
        for step in plan.of("monitor"):
            progress.relative_update(0)
            beside.append(self._end_monitor(step))
        progress.relative_update(0)
        beside.append(self._end_branch(plan.of("branch")[0], plan.standing.branch))
        yield from beside
        strays = [each for each in plan.of("CronJob") if each.action == "leave"]
        yield from (Fate("CronJob", each.name, "left", each.why) for each in strays)
        # without a token nothing could ever finish: its slugs are told, once
        unfinished = [each for each in beside if each.outcome == "left" and not self._told(each)]
        if last and unfinished:
            names = [f"{each.kind} {each.name}" for each in unfinished]
            yield Fate("CronJob", last, "left", f"suspended; it remembers {', '.join(names)}")
        elif last:
            yield from self._delete([last], progress)

    def _told(self, fate: Fate) -> bool:
        return fate.kind == "monitor" and bool(self._without)

    def _remember(self, plan: CleanupPlan) -> str:
        """Write on one CronJob what must be known to the end; return its name, "" for none."""
        names = [plan.bearer, *(each.name for each in plan.standing.cron_jobs)]
        text = plan.record.render()
        knows = {each.name for each in plan.standing.cron_jobs if each.knows(plan.record)}
        for name in dict.fromkeys(filter(None, names)):
            if name in knows or self._cluster.annotate(name, {CLEANUP: text}):
                return name
        return ""

    def _delete(self, names: Sequence[str], progress: Progress) -> list[Fate]:
        """Delete CronJobs, and believe it when the cluster no longer shows them."""
        fates: dict[str, Fate] = {}
        for name in names:
            progress.relative_update(0)
            deleted = self._cluster.delete(name, orphan=self._running == "orphan")
            fates[name] = Fate("CronJob", name, "deleted" if deleted else "absent")
        for look in range(_GONE_LOOKS if names else 0):
            if look:
                self._nap(_SETTLE_S, progress)
            there = {each["metadata"]["name"] for each in self._cluster.cron_jobs()} & set(names)
            if not there:
                return list(fates.values())
        why = f"its deletion was accepted {_GONE_LOOKS * _SETTLE_S} s ago, and it is still there"
        left = {name: Fate("CronJob", name, "left", why) for name in names if name in there}
        return list((fates | left).values())

    def _end_monitor(self, step: Step) -> Fate:
        if step.action != "delete" or self._monitors is None:
            return Fate("monitor", step.name, "kept" if step.action == "keep" else "left", step.why)
        monitors, outcomes = self._monitors, list[Literal["deleted", "absent"]]()
        fault = _fault_of(lambda: outcomes.append(monitors.delete(step.name)))
        if fault:
            return Fate("monitor", step.name, "left", fault)
        return Fate("monitor", step.name, outcomes[0])

    def _end_branch(self, step: Step, standing: BranchStanding) -> Fate:
        """Delete the branch, and believe it when the remote no longer has it."""
        if step.action == "absent":
            return Fate("branch", step.name, "absent")
        if step.action != "delete" or standing.commit is None:
            return Fate("branch", step.name, "left", step.why)
        commit = standing.commit
        fault = _fault_of(lambda: self._branch.delete(commit))
        now = self._look_at_branch()
        if not now.fault and now.commit is None:
            return Fate("branch", step.name, "deleted")
        why = fault or now.fault or f"deleted at {commit}, it stands at {now.commit}"
        return Fate("branch", step.name, "left", why)

    def _nap(self, seconds: int, progress: Progress) -> None:
        for _ in range(seconds):
            progress.relative_update(0)
            self._sleep(1.0)


def _fault_of(act: Callable[[], object]) -> str:
    """Do something that stops nothing else; return why it failed, or ""."""
    try:
        act()
    except (Interrupted, GuardError):
        raise
    except LadingError as error:
        return str(error) or type(error).__name__
    return ""


def _told(jobs: tuple[RunningJob, ...]) -> str:
    return ", ".join(
        f"Job {each.name}{f' (since {each.since})' if each.since else ''}" for each in jobs
    )
