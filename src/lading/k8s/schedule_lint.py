"""What a schedule that Kubernetes accepts may not have been meant to say.

Each rule is a function that yields lines; the first two have cost somebody days of data.
"""

import datetime as dt
from collections.abc import Iterator
from itertools import pairwise

from lading.k8s.cron import UNITS, Every, Field, Item, Line, Unit, parse_line
from lading.k8s.schedule import Schedule, next_fires

_SOME_DAY = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
"""Five years from here see a 29th of February; which one is all the same."""
_MONTH_DAY = UNITS[2]
_HOURS = 24


def lint(schedule: Schedule) -> list[str]:
    """Return a line for each thing that was perhaps not meant, none where all is plain."""
    line = parse_line(schedule.text)
    if isinstance(line, Every):
        found = list(_lint_every(line))
    elif not next_fires(schedule, _SOME_DAY, 1):
        found = ["expected a day that exists, got none: it never fires"]
    else:
        rules = (_lint_starts, _lint_month_days, _lint_steps, _lint_either, _lint_minutes)
        found = [text for rule in rules for text in rule(line)] + list(_lint_writing(line))
    return [f"schedule {schedule.text!r}: {text}" for text in found]


def _lint_every(line: Every) -> Iterator[str]:
    if line.seconds < 60:  # noqa: PLR2004  a minute
        yield (
            f"expected a minute or more, got {line.seconds} s: Kubernetes names Jobs by the minute"
        )
    yield (
        "@every counts from the last fire, not by the clock; for a time of day write five fields"
    )


def _lint_starts(line: Line) -> Iterator[str]:
    for field, item in _items(line):
        unit = field.unit
        if not item.is_open or item.first < unit.low + item.step:
            continue
        first = unit.low + (item.first - unit.low) % item.step
        whole = f"*/{item.step}" if first == unit.low else f"{first}/{item.step}"
        count = len(range(first, unit.high + 1, item.step))
        yield (
            f"{unit.name} {item.text} begins at {item.first}, so {len(item.values)} {unit.whole},"
            f" not {count}; `{whole}` gives {count}"
        )


def _lint_month_days(line: Line) -> Iterator[str]:
    """Yield a line for a list of days that reads like hours: evenly round the clock."""
    month_days, months, week_days = line.fields[2:]
    days = sorted(month_days.values)
    gaps = {later - earlier for earlier, later in pairwise(days)}
    is_round = len(gaps) == 1 and gaps.pop() * len(days) == _HOURS and days[-1] < _HOURS
    if not (is_round and week_days.is_star and months.is_full and len(line.hours) == 1):
        return
    minute = line.fields[0].text
    at = f"{line.hours[0]:02}:{line.minutes[0]:02}"
    yield (
        f"day of month {month_days.text} is {len(days)} days a month, at {at}; did you mean hours:"
        f" `{minute} {month_days.text} * * *`?"
    )


def _lint_steps(line: Line) -> Iterator[str]:
    for field, item in _items(line):
        unit = field.unit
        size = len(unit.values)
        is_whole = item.is_star or item.is_open or item.last - item.first + 1 == size
        if item.step == 1 or not is_whole:
            continue
        if item.step >= size and not item.is_open:
            yield (f"{unit.name} {item.text} steps over all but {item.first}, so 1 {unit.whole}")
        elif unit is _MONTH_DAY:
            yield f"{unit.name} {item.text} counts anew on the 1st, whatever day the month ended on"
        elif size % item.step:
            last = max(item.values)
            yield (
                f"{unit.name} {item.text} does not go evenly into {unit.whole}: from {last} to"
                f" {item.first} it is {_gap(last, item, unit)}, not {item.step}"
            )


def _lint_either(line: Line) -> Iterator[str]:
    month_days, week_days = line.fields[2], line.fields[4]
    if month_days.is_star or week_days.is_star:
        return
    what = "which is every day" if line.is_daily else "not on days that are both"
    yield (
        f"day of month {month_days.text} and day of week {week_days.text}: fires on either, {what}"
    )


def _lint_minutes(line: Line) -> Iterator[str]:
    minutes, hours = line.fields[:2]
    if not minutes.is_full:
        return
    if hours.is_full:
        yield "fires every minute"
        return
    rest = " ".join(field.text for field in line.fields[1:])
    yield (
        f"minute {minutes.text} is every minute of hour {hours.text}, 60 an hour; `0 {rest}` fires"
        " once an hour"
    )


def _lint_writing(line: Line) -> Iterator[str]:
    for field in line.fields:
        if field.text.count(",") != len(field.items) - 1:
            yield f"{field.unit.name} {field.text} has an empty item, which is passed over"
        for item in field.items:
            if item.is_star and "-" in item.text:
                yield f"{field.unit.name} {item.text} is read as {item.text[0]}, whatever follows"


def _items(line: Line) -> Iterator[tuple[Field, Item]]:
    for field in line.fields:
        for item in field.items:
            yield field, item


def _gap(last: int, item: Item, unit: Unit) -> int:
    return item.first + len(unit.values) - last
