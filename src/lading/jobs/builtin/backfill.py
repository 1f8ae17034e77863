"""Run any job over a range of dates or of ids: resumable, by a plan that never changes."""

import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Literal

from pydantic import Field

from lading.errors import MisconfiguredError
from lading.jobs.items import load_items, make_plan
from lading.jobs.plans import Plan
from lading.jobs.processes import LocalShards
from lading.jobs.registry import load_registry
from lading.jobs.run import Run
from lading.jobs.scatter import Scatter
from lading.jobs.spec import Arguments, JobSpec
from lading.jobs.words import split_words

Step = Literal["day", "week", "month", "year"]
_MONTHS = 12
_MOST = 1_000_000
_RANGE = re.compile(r"([0-9]{1,18})\.\.([0-9]{1,18})")


class BackfillArguments(Arguments):
    """What is to be run, and over what."""

    job: str = Field(description="Name of the job.")
    args: str = Field(
        description="Its arguments, as one text. {date} stands for each date, {year}, {month} and"
        " {day} for its parts, {next} for the date after it; {id} for each id."
    )
    first: date | None = Field(default=None, description="First date.")
    last: date | None = Field(default=None, description="Last date, included.")
    step: Step = Field(default="day", description="From one date to the next.")
    ids: str = Field(
        default="",
        description="Ids in the place of dates: a range as 1..500 or 001..500, or a file of them.",
    )
    newest_first: bool = Field(default=False, description="Begin at the end.")
    workers: int = Field(default=2, ge=1, description="Processes at one time.")
    per_shard: int = Field(default=1, ge=1, description="Dates or ids for one process.")
    retries: int = Field(default=3, ge=0, description="Further tries of a process that failed.")
    key: str = Field(
        default="",
        description="What makes it another backfill of the same range; a job that says what"
        " identifies its runs needs none.",
    )
    dry_run: bool = Field(default=False, description="Show the plan, and run nothing.")


def backfill(arguments: BackfillArguments, run: Run) -> int:
    """Make the plan, and run what is left of it."""
    settings = run.settings
    registry = load_registry(settings.jobs.packages, settings.base)
    job = registry.find(arguments.job)
    if job.name == "backfill":
        raise MisconfiguredError("--job: expected another job, got 'backfill'")
    plan = plan_backfill(arguments, run)
    if arguments.dry_run:
        for item in plan.items:
            run.log.info("%s: %s", item.name, " ".join(item.argv))
        return 0
    shards = LocalShards(
        settings=settings,
        workers=arguments.workers,
        retries=arguments.retries,
        style=run.style,
    )
    return Scatter(job=job, plan=plan, settings=settings, runner=shards)(run)


def plan_backfill(arguments: BackfillArguments, run: Run) -> Plan:
    """Return the plan of a backfill.

    Raises:
        MisconfiguredError: neither dates nor ids, both, or a range that is none.
    """
    rows = list(_ids(arguments, run) if arguments.ids else _dates(arguments))
    if arguments.newest_first:
        rows.reverse()
    names = sorted({name for row in rows for name in row})
    used = [each for each in names if f"{{{each}}}" in arguments.args]
    if rows and not used:
        said = ", ".join(f"{{{each}}}" for each in names)
        raise MisconfiguredError(f"--args: expected one of {said}, got {arguments.args!r}")
    return make_plan(
        arguments.job,
        split_words(arguments.args),
        [{name: row[name] for name in row if name in used} for row in rows],
        per_shard=arguments.per_shard,
        key=arguments.key,
    )


def _ids(arguments: BackfillArguments, run: Run) -> Iterator[dict[str, str]]:
    if arguments.first or arguments.last:
        raise MisconfiguredError("--ids: expected either ids or --first and --last, got both")
    found = _RANGE.fullmatch(arguments.ids)
    if found is None:
        for each in load_items(run.settings.base / arguments.ids):
            yield {"id": each["item"]} if set(each) == {"item"} else each
        return
    begin, end = int(found[1]), int(found[2])
    if not begin <= end < begin + _MOST:
        raise MisconfiguredError(
            f"--ids: expected a range of 1 to {_MOST} ids as 1..500, got {arguments.ids!r}"
        )
    # 001..500: as wide as they are written
    width = len(found[1]) if found[1].startswith("0") else 0
    yield from ({"id": str(each).zfill(width)} for each in range(begin, end + 1))


def _dates(arguments: BackfillArguments) -> Iterator[dict[str, str]]:
    if arguments.first is None or arguments.last is None:
        raise MisconfiguredError("backfill: expected --first and --last, or --ids, got neither")
    if arguments.last < arguments.first:
        raise MisconfiguredError(
            f"--last: expected no date before {arguments.first}, got {arguments.last}"
        )
    if arguments.last.year == date.max.year:
        raise MisconfiguredError(
            f"--last: expected a year before {date.max.year}, got {arguments.last}"
        )
    number = 0
    while (day := step_from(arguments.first, arguments.step, number)) <= arguments.last:
        number += 1
        year, month, of_month = day.isoformat().split("-")
        yield {
            "date": day.isoformat(),
            "year": year,
            "month": month,
            "day": of_month,
            "next": step_from(arguments.first, arguments.step, number).isoformat(),
        }


def step_from(first: date, step: Step, number: int) -> date:
    """Return the date so many steps after the first; the last of its month where it has no such."""
    if step == "day":
        return first + timedelta(days=number)
    if step == "week":
        return first + timedelta(weeks=number)
    months = number if step == "month" else number * _MONTHS
    year, month = divmod(first.year * _MONTHS + first.month - 1 + months, _MONTHS)
    for day in range(first.day, first.day - 4, -1):
        try:
            return date(year, month + 1, day)
        except ValueError:
            continue
    raise AssertionError(first)


JOB = JobSpec(
    entrypoint=backfill,
    description="run any job over a range of dates or ids, resumable",
    arguments=BackfillArguments,
)
