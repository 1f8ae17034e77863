"""Move schedules by some minutes, so that not all datasets begin at once."""

import hashlib

from lading.k8s.cron import UNITS, Field, Line, parse_line, render_values

_MINUTE, _HOUR = UNITS[:2]
_LAST_HOUR = _HOUR.high
_SHORTEST_MONTH = 28


def offset_of(key: str, minutes: int) -> int:
    """Return the offset of a key: at least 0, fewer than ``minutes``; 0 of no minutes.

    It depends on nothing else: a dataset that comes or goes moves no other.
    """
    if minutes <= 0:
        return 0
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) % minutes


def shift(schedule_text: str, minutes: int) -> str | None:
    """Return the schedule whose fires are those of another, some minutes later.

    By the wall clock: on the day of a clock change, a fire may move over the change. 0 minutes
    return the text as it is.

    Args:
        schedule_text: a schedule that Kubernetes accepts.
        minutes: 0 to 59.

    Returns:
        None where one line of cron cannot say it: some minutes go over the hour and some do not,
        while hours are named; some fires go over midnight and some do not, while days are; all
        go over it, and perhaps into another month. And of ``@every``, which has no place on the
        clock, and of what never fires at all.

    Raises:
        ClusterError: Kubernetes would refuse the schedule.
        ValueError: the minutes are not within 0 to 59.
    """
    line = parse_line(schedule_text)
    if minutes not in _MINUTE.values:
        raise ValueError(f"minutes: expected 0 to 59, got {minutes}")
    if minutes == 0:
        return schedule_text
    if not isinstance(line, Line) or not (line.minutes and line.hours):
        return None
    hours = _shift_hours(line, minutes)
    days = _shift_days(line, minutes)
    if hours is None or days is None:
        return None
    moved = frozenset((each + minutes) % 60 for each in line.minutes)
    return f"{render_values(moved, _MINUTE)} {hours} {days}"


def _shift_hours(line: Line, minutes: int) -> str | None:
    field = line.fields[1]
    carried = [each for each in line.minutes if each + minutes > _MINUTE.high]
    if not carried or field.is_full:
        return field.text
    if len(carried) < len(line.minutes):
        return None
    return render_values(frozenset((each + 1) % 24 for each in line.hours), _HOUR)


def _shift_days(line: Line, minutes: int) -> str | None:
    _, _, month_days, months, week_days = line.fields
    said = f"{month_days.text} {months.text} {week_days.text}"
    is_over = _LAST_HOUR in line.hours and line.minutes[-1] + minutes > _MINUTE.high
    if not is_over or line.is_daily:
        return said
    is_all_over = line.hours == [_LAST_HOUR] and line.minutes[0] + minutes > _MINUTE.high
    if not is_all_over or line.day_fields is None:
        return None
    on, within, at = line.day_fields
    # the day after a day of a week, or of the end of a month, may be in another month
    if (on == "*" or at != "*") and within != "*":
        return None
    if on != "*" and max(month_days.values) >= _SHORTEST_MONTH:
        return None
    next_on = _next_days(month_days, 31) if on != "*" else month_days.text
    next_at = _next_days(week_days, 7) if at != "*" else week_days.text
    return f"{next_on} {months.text} {next_at}"


def _next_days(field: Field, size: int) -> str:
    return render_values(frozenset((each + 1) % size for each in field.values), field.unit)
