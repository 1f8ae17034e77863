"""A shard of a plan: its items, one run each, and what became of them."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lading.errors import MissingObjectError
from lading.jobs.attempt import Outcome
from lading.jobs.keys import result_key
from lading.jobs.plans import Item, Plan
from lading.jobs.running import Order, Telling, leave_word, require_told, run_job
from lading.jobs.settings import JobSettings
from lading.jobs.spec import ExitCode, Job
from lading.jobs.stopping import STOPPED, heeding
from lading.storage import Body, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemResult:
    """What became of an item."""

    name: str
    """Its name."""
    exit_code: int
    """How its run ended."""
    run_id: str
    """UUID of that run."""
    message: str
    """What it said at its end."""


def shard_stream(plan: Plan, index: int) -> str:
    """Return the stream of the audit trail in which the runs of a shard are told."""
    return f"{plan_streams(plan)}{plan.digest[:12]}-{index:06d}"


def plan_streams(plan: Plan) -> str:
    """Return what the names of all streams of a plan's shards begin with."""
    return f"{plan.job}/{plan.root[:12]}/"


def run_shard(
    job: Job,
    plan: Plan,
    index: int,
    settings: JobSettings,
    telling: Telling,
    *,
    parent: str = "",
    wait_s: float = 0,
) -> int:
    """Run the items of a shard, one after another; one that fails does not stop the rest.

    Args:
        job: the job.
        plan: the plan.
        index: number of the shard.
        settings: the project's.
        telling: how it is told of; metrics and receipt are those of the shard.
        parent: job and run id of what began it, as ``job/id``; or "".
        wait_s: seconds to wait for an item that somebody else holds.

    Effects: those of the runs; what became of each item stands beside the plan.

    Returns:
        The exit code for whoever watches shards: 78 where a setting is wrong, since all others
        would find it so; 75 where an item may work at the next try; 65 where the rest is good.

    Raises:
        MisconfiguredError: no such shard, or metrics and receipt cannot be written.
        StoreError: what became of an item cannot be kept.
    """
    items = plan.shard(index)
    require_told(telling)
    store = settings.open_store(settings.stores[0])
    codes: list[int] = []
    counts: Counter[str] = Counter()
    began, alone = time.monotonic(), replace(telling, metrics=None, receipt=None)
    order = Order(plan=plan.root, stream=shard_stream(plan, index), parent=parent, wait_s=wait_s)
    with heeding() as halt:
        for item in items:
            told = replace(alone, item=item.name)
            outcome = run_job(job, replace(order, argv=item.argv), settings, told)
            _keep(store, plan, item, outcome)
            codes.append(outcome.exit_code)
            counts.update(outcome.counts)
            if outcome.exit_code == ExitCode.CONFIGURATION:
                break
            if halt.reason and item is not items[-1]:
                codes.append(halt.reason.exit_code)
                break
    code = worst(codes)
    message = f"{codes.count(0)} of {len(items)} items done"
    whole = Outcome(exit_code=code, run_id="", message=message, counts=counts)
    leave_word(job.name, telling, whole, time.monotonic() - began)
    return code


def worst(codes: Sequence[int]) -> int:
    """Return the exit code that stands for several. Pure.

    Whoever was stopped says so; a wrong setting comes before what may pass, that before what is
    unforeseen, and bad data last: it is all that is left once everything else is mended.
    """
    failed = [code for code in codes if code]
    first = [code for code in failed if code in STOPPED]
    first += [int(code) for code in (ExitCode.CONFIGURATION, ExitCode.TEMPORARY) if code in failed]
    first += [code for code in failed if code != ExitCode.BAD_DATA]
    return next(iter([*first, *failed]), 0)


def load_result(store: Store, plan: Plan, name: str) -> ItemResult | None:
    """Return what became of an item at its last run, or None where nobody told."""
    try:
        table = json.loads(store.get(result_key(plan.root, name)))
        return ItemResult(
            name=str(table["name"]),
            exit_code=int(table["exit_code"]),
            run_id=str(table["run_id"]),
            message=str(table["message"]),
        )
    except (MissingObjectError, ValueError, KeyError, TypeError):
        return None


def _keep(store: Store, plan: Plan, item: Item, outcome: Outcome) -> None:
    table = {
        "plan": plan.digest,
        "name": item.name,
        "exit_code": outcome.exit_code,
        "run_id": outcome.run_id,
        "message": outcome.message,
    }
    data = (json.dumps(table, indent=1) + "\n").encode()
    store.put(result_key(plan.root, item.name), Body.of_bytes(data))
