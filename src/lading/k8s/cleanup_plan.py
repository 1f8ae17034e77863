"""The end of a staged version, as it would go: decided from what stands, asking nobody."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from lading.k8s.cleanup_standing import BranchStanding, Record, Standing
from lading.k8s.identity import RELEASE

Running = Literal["wait", "orphan"]
"""What becomes of running Jobs: they are waited for, or go on to their end without a CronJob."""
Kind = Literal["CronJob", "Job", "monitor", "branch", "store"]
_SHORT = 7


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of one thing."""

    kind: Kind
    """What it is."""
    name: str
    """Its name."""
    action: Literal["delete", "wait", "run on", "keep", "leave", "absent"]
    """``keep``: it is not this version's. ``leave``: it was asked for and cannot be done."""
    why: str = ""
    """More about it."""

    def describe(self) -> str:
        """Say it in one line."""
        verb = {"leave": "is left", "absent": "is not there", "run on": "runs on"}
        told = verb.get(self.action, self.action)
        return f"{self.kind} {self.name}: {told}{', ' if self.why else ''}{self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanupPlan:
    """What a cleanup does."""

    standing: Standing
    """What it was made from."""
    record: Record
    """All that is known of the version."""
    steps: tuple[Step, ...]
    """In the order of a cleanup: CronJobs, their Jobs, monitors, the branch, stores."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing of the version is there."""
        standing = self.standing
        branch = standing.branch
        there = (standing.cron_jobs, standing.strays, branch.commit, branch.fault)
        return not any(there)

    @property
    def bearer(self) -> str:
        """CronJob that bears the record and is deleted last; "" where there is none."""
        found = self.standing.cron_jobs
        bearing = [each.name for each in found if each.record is not None]
        return next(iter([*bearing, *(each.name for each in found)]), "")

    def of(self, kind: Kind) -> list[Step]:
        """Return the steps of a kind."""
        return [each for each in self.steps if each.kind == kind]

    def describe(self) -> list[str]:
        """Return a line for each thing."""
        return [each.describe() for each in self.steps]


def plan_cleanup(
    standing: Standing,
    branch: str,
    *,
    running: Running = "wait",
    known_commit: str = "",
    without_monitors: str = "",
    known: Record | None = None,
) -> CleanupPlan:
    """Decide what becomes of what stands. Pure.

    Args:
        standing: what stands.
        branch: name of the branch.
        running: what becomes of running Jobs.
        known_commit: commit that was deployed, where no CronJob tells it.
        without_monitors: why monitors cannot be deleted; "" where they can.
        known: what was known before; a CronJob that told it may be gone by now.
    """
    record = known or Record()
    for each in standing.cron_jobs:
        record = record.merge(each.known).merge(each.record or Record())
    plan = CleanupPlan(standing=standing, record=record, steps=())
    steps = [
        *_cron_job_steps(plan),
        *_job_steps(standing, running),
        *_monitor_steps(plan, running, without_monitors),
        _branch_step(
            standing.branch, branch, record.commits or tuple(filter(None, [known_commit]))
        ),
        *(Step("store", url, "keep", "its data is never deleted here") for url in record.stores),
    ]
    return replace(plan, steps=tuple(steps))


def _cron_job_steps(plan: CleanupPlan) -> Iterator[Step]:
    standing = plan.standing
    last = plan.bearer if plan.record.monitors or len(standing.cron_jobs) > 1 else ""
    for each in standing.cron_jobs:
        words = ["suspended already" if each.is_suspended else "suspended first"]
        words += ["the last: it remembers the rest"] if each.name == last else []
        yield Step("CronJob", each.name, "delete", ", ".join(words))
    for name in standing.strays:
        why = f"it says that it belongs to this version, and lacks the label {RELEASE}"
        yield Step("CronJob", name, "leave", why)


def _job_steps(standing: Standing, running: Running) -> Iterator[Step]:
    for each in standing.jobs:
        why = f"runs since {each.since}" if each.since else "runs"
        if running == "wait" and standing.cron_jobs:
            yield Step("Job", each.name, "wait", why)
        else:
            yield Step("Job", each.name, "run on", each.since and f"since {each.since}")


def _monitor_steps(plan: CleanupPlan, running: Running, without_monitors: str) -> Iterator[Step]:
    """A Job that runs on would bring its monitor back by its next check-in."""
    reporting = {each.monitor: each.name for each in plan.standing.jobs if running == "orphan"}
    for slug in plan.record.monitors:
        if user := plan.standing.taken.get(slug):
            yield Step("monitor", slug, "keep", f"CronJob {user} uses it, too")
        elif without_monitors:
            yield Step("monitor", slug, "leave", without_monitors)
        elif job := reporting.get(slug):
            why = f"Job {job} runs on and would bring it back; run the same command after its end"
            yield Step("monitor", slug, "leave", why)
        else:
            yield Step("monitor", slug, "delete")


def _branch_step(standing: BranchStanding, branch: str, deployed: Sequence[str]) -> Step:
    """A branch goes where it still stands at a commit that was deployed, and never else."""
    if standing.fault:
        return Step("branch", branch, "leave", standing.fault)
    if standing.commit is None:
        return Step("branch", branch, "absent")
    at = f"it stands at {standing.commit[:_SHORT]}"
    if standing.commit in deployed:
        return Step("branch", branch, "delete", f"{at}, which was deployed")
    told = " or ".join(each[:_SHORT] for each in deployed)
    expected = (
        f"not at {told}, which was deployed" if told else "and nothing tells the deployed one"
    )
    command = f"git push --force-with-lease={branch}:{standing.commit} origin :{branch}"
    return Step("branch", branch, "leave", f"{at}, {expected}; to delete it: `{command}`")
