"""``lading run NAME --over FILE``, ``--retry PLAN`` and ``--plan DIGEST``: many items."""

import argparse
import os
from pathlib import Path

from lading.cli.run import require_alone
from lading.errors import MisconfiguredError
from lading.jobs.attempt import Work
from lading.jobs.items import load_items, make_plan
from lading.jobs.plans import Plan, load_plan
from lading.jobs.processes import LocalShards
from lading.jobs.running import Telling, tell
from lading.jobs.scatter import Scatter, plan_retry, plan_work
from lading.jobs.settings import JobSettings
from lading.jobs.shards import run_shard
from lading.jobs.spec import Job


def run_scattered(
    options: argparse.Namespace, job: Job, settings: JobSettings, telling: Telling
) -> int:
    """Run a plan, or one shard of it; return the exit code."""
    given = [name for name in ("plan", "over", "retry") if getattr(options, name)]
    if len(given) > 1:
        raise MisconfiguredError(f"--{', --'.join(given)}: expected one of them, got {len(given)}")
    if options.plan:
        return _run_shard(options, job, settings, telling)

    def make() -> Work:
        shards = LocalShards(
            settings=settings,
            workers=options.workers or os.cpu_count() or 1,
            style=telling.style,
        )
        plan = plan_of(options, job, settings)
        return plan_work(
            Scatter(job=job, plan=plan, settings=settings, runner=shards), wait_s=options.wait
        )

    return tell(job.name, telling, make, settings).exit_code


def plan_of(options: argparse.Namespace, job: Job, settings: JobSettings) -> Plan:
    """Return the plan that a command line means.

    Raises:
        MisconfiguredError: the items cannot be read, or there is no such plan.
    """
    if options.over:
        rows = load_items(Path(options.over))
        return make_plan(
            job.name, options.argv, rows, per_shard=options.per_shard or 1, key=options.key
        )
    require_alone(options, but=("--workers",))
    if options.argv:
        raise MisconfiguredError(
            f"--retry: expected no arguments, for the plan holds them, got {len(options.argv)}"
        )
    return plan_retry(options.retry, job, settings)


def _run_shard(
    options: argparse.Namespace, job: Job, settings: JobSettings, telling: Telling
) -> int:
    require_alone(options)
    if options.index is None:
        raise MisconfiguredError(
            "--index: expected the number of a shard, got none; Kubernetes gives it as"
            " JOB_COMPLETION_INDEX"
        )
    plan = load_plan(settings.open_store(settings.stores[0]), options.plan)
    if plan.job != job.name:
        raise MisconfiguredError(
            f"plan {plan.digest[:12]}: expected one of {job.name}, found one of {plan.job}"
        )
    return run_shard(
        job,
        plan,
        options.index,
        settings,
        telling,
        parent=options.parent,
        wait_s=options.wait,
    )
