"""A plan as one run: look what is left, let shards do it, look again, keep what failed.

Who does the shards (processes here, pods there) is somebody else's; what is done is always
observed in the store, never believed of an exit code.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from lading.errors import MisconfiguredError
from lading.jobs.attempt import Work
from lading.jobs.audit import load_heads
from lading.jobs.dead_letters import DeadLetters, Failure
from lading.jobs.identity import identify
from lading.jobs.leases import Lease
from lading.jobs.plans import Item, Plan, find_plan, load_plan, save_plan, smaller_plan
from lading.jobs.run import Run
from lading.jobs.running import Order, work_of
from lading.jobs.settings import JobSettings
from lading.jobs.shards import ItemResult, load_result, plan_streams, worst
from lading.jobs.spec import ExitCode, Job
from lading.jobs.words import name_run
from lading.storage.cloud import each_at_once

_LOOKS_AT_ONCE = 16
_SHOWN = 5
_LEASE_S = 60.0


class ShardRunner(Protocol):
    """Does shards of a plan, each as often as it takes, and returns when all have ended."""

    def __call__(self, plan: Plan, indexes: Sequence[int], run: Run) -> None:
        """Do the shards of a plan.

        Raises:
            MisconfiguredError: a setting is wrong; the rest was not begun.
            TemporaryError: they could not be begun, or not be watched to their end.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Scatter:
    """What a run over a plan does."""

    job: Job
    """The job."""
    plan: Plan
    """The items."""
    settings: JobSettings
    """The project's settings."""
    runner: ShardRunner
    """Does shards."""

    def __call__(self, run: Run) -> int:
        """Do what is left of the plan; return the exit code that stands for all its items."""
        plan = self.plan
        save_plan(run.store, plan)
        left = self._left()
        run.log.info(
            "plan %s: %d of %d items are to be done", plan.digest[:12], len(left), len(plan.items)
        )
        if left:
            wanted = {each.name for each in left}
            shards = enumerate(map(plan.shard, range(plan.shards)))
            indexes = [at for at, items in shards if any(each.name in wanted for each in items)]
            self.runner(plan, indexes, run)
            left = self._left()
        return self._settle(run, left)

    def _left(self) -> list[Item]:
        look = partial(is_done, self.job, self.plan, settings=self.settings)
        done = each_at_once(look, self.plan.items, workers=_LOOKS_AT_ONCE)
        return [item for item, is_so in zip(self.plan.items, done, strict=True) if not is_so]

    def _settle(self, run: Run, left: Sequence[Item]) -> int:
        """Keep what failed as dead letters, forget those of what is good, and count."""
        letters = DeadLetters(run.store, self.job.name)
        standing, failed = letters.items(), {each.name for each in left}
        for item in self.plan.items:
            if item.name not in failed and name_run(item.argv) in standing:
                letters.resolve(name_run(item.argv))
        look = partial(load_result, run.store, self.plan)
        results = each_at_once(look, [each.name for each in left], workers=_LOOKS_AT_ONCE)
        for item, result in zip(left, results, strict=True):
            failure = Failure(error_class="ItemError", message=_message(result))
            letters.put(name_run(item.argv), [failure], run=run.id, arguments=item.argv)
        run.count("done", len(self.plan.items) - len(left))
        run.count("failed", len(left))
        heads = load_heads(run.store, plan_streams(self.plan))
        run.facts |= {"plan": self.plan.digest, "heads": [each.table() for each in heads]}
        if left:
            self._tell(run, left, results)
        return worst([_code(each) for each in results])

    def _tell(self, run: Run, left: Sequence[Item], results: Sequence[ItemResult | None]) -> None:
        """Name what is not done, and the command that does it again."""
        for item, result in list(zip(left, results, strict=True))[:_SHOWN]:
            run.log.error("%s", _message(result), extra={"item": item.name})
        run.log.error(
            "%d of %d items are not done; `lading run %s --retry %s` does them again",
            len(left),
            len(self.plan.items),
            self.job.name,
            self.plan.root[:12],
        )


def plan_work(scatter: Scatter, *, wait_s: float = 0) -> Work:
    """Return the work of a whole plan, which one coordinator does at a time.

    Args:
        scatter: what is to be done.
        wait_s: seconds to wait where another coordinates it; its end is then the end of this one.
    """
    settings, plan = scatter.settings, scatter.plan
    return Work(
        job=scatter.job.name,
        order_argv=(f"--plan={plan.digest}",),
        identity=identify(scatter.job.name, {"lading:plan": plan.root}, None, repeats=True),
        store=settings.open_store(settings.stores[0]),
        call=scatter,
        stream=scatter.job.name,
        lease_s=_LEASE_S,
        wait_s=wait_s,
        joins=bool(wait_s),
    )


def plan_retry(beginning: str, job: Job, settings: JobSettings) -> Plan:
    """Return the plan of those items of another that are not done.

    Raises:
        PlanError: there is no such plan, or it was changed.
        MisconfiguredError: it is another job's, or all its items are done.
    """
    store = settings.open_store(settings.stores[0])
    plan = find_plan(store, beginning)
    if plan.retry_of:
        plan = load_plan(store, plan.retry_of)
    if plan.job != job.name:
        raise MisconfiguredError(
            f"plan {plan.digest[:12]}: expected one of {job.name}, found one of {plan.job}"
        )
    return smaller_plan(
        plan, [each.name for each in plan.items if not is_done(job, plan, each, settings)]
    )


def is_done(job: Job, plan: Plan, item: Item, settings: JobSettings) -> bool:
    """Say whether the run of an item is done, and its outputs verify.

    An item that cannot even be asked is not: its run will say why.
    """
    try:
        work = work_of(job, Order(argv=item.argv, plan=plan.root), settings)
        return Lease(work.store, work.identity, "", settings.open_store).peek().is_done
    except Exception:  # noqa: BLE001  a job says what it will read in code of its own
        return False


def _message(result: ItemResult | None) -> str:
    if result is None:
        return "expected its run to tell how it ended, found nothing: it was ended by force"
    if result.exit_code == 0:
        return "expected its outputs to stand after its run, found them missing or changed"
    return f"exit code {result.exit_code}: {result.message}"


def _code(result: ItemResult | None) -> int:
    if result is None or result.exit_code == 0:
        return int(ExitCode.TEMPORARY)
    return result.exit_code
