"""When a CronJob fires: fire times, rates, and what fires at the same minute.

The calendar is croniter's. What it reads in another way than Kubernetes never reaches it
(``1-1``, ``?``, ``,,``, 7 for Sunday, ranges round the end, days of the week beside days of the
month, ``@every``): it is given plain days.

In a time zone with summer time Kubernetes fires at every instant whose wall clock fits: not at
all in the hour that is left out, twice in the hour that is repeated.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from heapq import merge
from itertools import chain, combinations, groupby, islice, product, takewhile
from zoneinfo import ZoneInfo

from croniter import CroniterBadDateError, croniter

from lading.errors import ClusterError
from lading.k8s.cron import Every, Line, parse_line

_DAY = dt.timedelta(days=1)
_YEARS = 5
"""Kubernetes looks this far for the next fire. Source: robfig/cron spec.go."""
_FOUR_YEARS = 1461
_FOUR_WEEKS = 28
_SAME_DAYS = 35
"""Long enough for each day of any month."""
_OFTEN = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A schedule that Kubernetes accepts."""

    text: str
    """As it was written."""
    time_zone: str
    """Name of its time zone."""


def parse_schedule(text: str, time_zone: str = "Etc/UTC") -> Schedule:
    """Read a schedule and its time zone as Kubernetes would.

    Raises:
        ClusterError: Kubernetes would refuse it; one line.
    """
    parse_line(text)
    _zone(time_zone)
    return Schedule(text=text, time_zone=time_zone)


def next_fires(schedule: Schedule, after: dt.datetime, count: int) -> list[dt.datetime]:
    """Return the fires after an instant, aware, in UTC, in their order.

    Fewer than ``count`` where no more come within five years. Of ``@every``, which Kubernetes
    counts from the last fire, as if ``after`` were that.
    """
    return list(islice(_fires(schedule, after), count))


def fires_per_day(schedule: Schedule, after: dt.datetime) -> float:
    """Return how often it fires a day, on days without a change of the clock.

    Counted over the 28 days after an instant, or over four years where months or days of the
    month are named; so it is 4 for every six hours and 12/365.25 for monthly.
    """
    line = parse_line(schedule.text)
    if isinstance(line, Every):
        return _DAY.total_seconds() / line.seconds
    found = line.day_fields
    if found is None:
        return 0
    span = _FOUR_WEEKS if found[:2] == ("*", "*") else _FOUR_YEARS
    first = after.astimezone(dt.UTC).date()
    days = sum(1 for _ in takewhile(lambda day: day < first + span * _DAY, days_from(line, first)))
    return days * len(line.hours) * len(line.minutes) / span


def describe_rate(per_day: float) -> str:
    """Say a rate in words: ``4 a day``, ``1 a week``, ``about 5.2 a month``, ``never``."""
    if not per_day:
        return "never"
    rates = {
        "a minute": per_day / 1440,
        "an hour": per_day / 24,
        "a day": per_day,
        "a week": per_day * 7,
        "a month": per_day * _FOUR_YEARS / 48,
        "a year": per_day * _FOUR_YEARS / 4,
    }
    for unit, rate in rates.items():
        if rate > 1 - 1e-9 and abs(rate - round(rate)) < 1e-9:  # noqa: PLR2004  floats
            return f"{round(rate)} {unit}"
    unit, rate = next((each for each in rates.items() if each[1] > 1), ("a year", rates["a year"]))
    return f"about {rate:.2g} {unit}"


def same_minute(schedules: Mapping[str, Schedule], after: dt.datetime) -> list[str]:
    """Return a line for each two roles that often fire at the same minute.

    Often: every second fire of the rarer one, in the five weeks after an instant. ``@every`` is
    left out: it has no place on the clock.

    Args:
        schedules: the schedules of a dataset, by role.
        after: the instant.
    """
    end = after + _SAME_DAYS * _DAY

    @cache
    def fires(role: str) -> set[dt.datetime]:
        return set(takewhile(lambda fire: fire < end, _fires(schedules[role], after)))

    found = []
    for first, second in combinations(schedules, 2):
        if not _may_meet(schedules[first], schedules[second]):
            continue  # most pairs: then nothing need be counted
        ones, others = fires(first), fires(second)
        rarer, count = min((len(ones), first), (len(others), second))[::-1]
        both = ones & others
        if both and len(both) >= _OFTEN * count:
            found.append(
                f"{first} and {second}: expected minutes of their own, got the same at"
                f" {len(both)} of {count} fires of {rarer}, next at {min(both):%Y-%m-%dT%H:%MZ}"
            )
    return found


def _may_meet(first: Schedule, second: Schedule) -> bool:
    """Say whether two schedules may name the same time of a day; seen from two zones, any may."""
    one, other = parse_line(first.text), parse_line(second.text)
    if not (isinstance(one, Line) and isinstance(other, Line)):
        return False
    if first.time_zone != second.time_zone:
        return True
    return bool(set(one.minutes) & set(other.minutes) and set(one.hours) & set(other.hours))


def find_clock_changes(schedule: Schedule, after: dt.datetime) -> list[str]:
    """Return a line for each day within a year whose change of the clock adds or drops fires.

    A schedule of every hour is left out: its fires stay an hour apart.
    """
    line, zone = parse_line(schedule.text), _zone(schedule.time_zone)
    if isinstance(line, Every) or len(line.hours) == 24 or zone is dt.UTC:  # noqa: PLR2004  hours
        return []
    first = after.astimezone(zone).date()
    changed = {day for day in (first + n * _DAY for n in range(366)) if _is_changed(day, zone)}
    found = []
    for day in takewhile(lambda day: day <= first + 366 * _DAY, days_from(line, first)):
        walls = _walls(line, day) if day in changed else ()
        for wall in walls:
            times = len(_instants(wall, zone))
            if times != 1:
                found.append(
                    f"schedule {schedule.text!r} in {schedule.time_zone}: expected one fire at"
                    f" {wall:%Y-%m-%dT%H:%M}, got {'two' if times else 'none'}: the clock changes"
                )
    return found


def days_from(line: Line, first: dt.date) -> Iterator[dt.date]:
    """Yield the days of a line from one day on; ends where five years bring none."""
    if line.day_fields is None:
        return
    on, months, at = line.day_fields
    texts = [f"{on} {months} {at}"]
    if on != "*" and at != "*":
        # either field names a day: croniter's own reading of that has changed with its versions
        texts = [f"{on} {months} *", f"* {months} {at}"]
    for day, _ in groupby(merge(*(_days(text, first) for text in texts))):
        yield day


def _days(text: str, first: dt.date) -> Iterator[dt.date]:
    before = dt.datetime.combine(first, dt.time()) - dt.timedelta(seconds=1)
    days = croniter(f"0 0 {text}", before, max_years_between_matches=_YEARS)
    while True:
        try:
            yield days.get_next(dt.datetime).date()
        except CroniterBadDateError:
            return


def _fires(schedule: Schedule, after: dt.datetime) -> Iterator[dt.datetime]:
    line, zone = parse_line(schedule.text), _zone(schedule.time_zone)
    after = after.astimezone(dt.UTC)
    if isinstance(line, Every):
        fire = after.replace(microsecond=0)
        while True:
            fire += dt.timedelta(seconds=line.seconds)
            yield fire
    if not (line.hours and line.minutes):
        return
    for day in days_from(line, after.astimezone(zone).date()):
        instants = chain.from_iterable(_instants(wall, zone) for wall in _walls(line, day))
        yield from (fire for fire in sorted(instants) if fire > after)


def _walls(line: Line, day: dt.date) -> Iterator[dt.datetime]:
    """Yield what the wall clock shows at the fires of a day, in order, without a time zone."""
    for hour, minute in product(line.hours, line.minutes):
        yield dt.datetime.combine(day, dt.time(hour, minute))


def _instants(wall: dt.datetime, zone: dt.tzinfo) -> set[dt.datetime]:
    """Return the instants at which the wall clock shows a time: none, one, or two."""
    if zone is dt.UTC:
        return {wall.replace(tzinfo=dt.UTC)}
    found = {wall.replace(tzinfo=zone, fold=fold).astimezone(dt.UTC) for fold in (0, 1)}
    return {each for each in found if each.astimezone(zone).replace(tzinfo=None, fold=0) == wall}


def _is_changed(day: dt.date, zone: dt.tzinfo) -> bool:
    midnights = (dt.datetime.combine(day + n * _DAY, dt.time(), tzinfo=zone) for n in (0, 1))
    first, second = (midnight.utcoffset() for midnight in midnights)
    return first != second


def _zone(name: str) -> dt.tzinfo:
    """Return a time zone; ``dt.UTC`` itself for UTC, which needs no data base.

    Raises:
        ClusterError: there is none of that name.
    """
    if name in {"UTC", "Etc/UTC"}:
        return dt.UTC
    fault = ClusterError(
        f"time zone: expected one of the IANA data base, such as Etc/UTC, got {name!r}"
    )
    if name.lower() in {"local", "localtime"}:
        raise fault
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise fault from error
