"""A line of cron as Kubernetes reads it: which lines it accepts, and which values they name.

Kubernetes reads with the standard parser of robfig/cron v3. What is said here of it was read in
its parser.go and in the validation of batch/v1.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from lading.errors import ClusterError

_NUMBER = re.compile(r"\+?[0-9]{1,18}")
_DURATION = re.compile(r"[+-]?(0|(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
_STARS = ("*", "?")
_FOREIGN = re.compile(r"[LWRH]([(\d].*)?|LW|\d+[LW]|.*#.*", re.IGNORECASE)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_EVERY = "@every "
_NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What one of the five fields counts."""

    name: str
    """Its name, e.g. ``day of month``."""
    low: int
    """Smallest value."""
    high: int
    """Largest value."""
    whole: str
    """What its values go round in, with an article, e.g. ``a month``."""
    names: tuple[str, ...] = ()
    """Names of the values, from the smallest."""

    @property
    def values(self) -> frozenset[int]:
        """All values."""
        return frozenset(range(self.low, self.high + 1))


UNITS = (
    Unit(name="minute", low=0, high=59, whole="an hour"),
    Unit(name="hour", low=0, high=23, whole="a day"),
    Unit(name="day of month", low=1, high=31, whole="a month"),
    Unit(name="month", low=1, high=12, whole="a year", names=_MONTHS),
    Unit(name="day of week", low=0, high=6, whole="a week", names=_DAYS),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One item of a field's list."""

    text: str
    """As it was written."""
    first: int
    """Its first value."""
    last: int
    """What its values do not go beyond."""
    step: int
    """Values from one to the next."""
    is_star: bool
    """Whether it was written with ``*`` or ``?``."""
    is_open: bool
    """Whether it is one number with a step, which runs to the end: ``6/6``."""

    @property
    def values(self) -> frozenset[int]:
        """The values that it names."""
        return frozenset(range(self.first, self.last + 1, self.step))


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One of the five fields."""

    unit: Unit
    """What it counts."""
    text: str
    """As it was written."""
    items: tuple[Item, ...]
    """Its list, in the order written."""

    @property
    def values(self) -> frozenset[int]:
        """The values that it names."""
        return frozenset().union(*(item.values for item in self.items))

    @property
    def is_full(self) -> bool:
        """Whether it names every value."""
        return self.values == self.unit.values

    @property
    def is_star(self) -> bool:
        """Whether a ``*`` leaves the choice of days to the other field; ``*/2`` does not."""
        return any(item.is_star and item.step == 1 for item in self.items)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Five fields."""

    fields: tuple[Field, Field, Field, Field, Field]
    """Minute, hour, day of month, month, day of week."""

    @property
    def minutes(self) -> list[int]:
        """Minutes of the hour, sorted."""
        return sorted(self.fields[0].values)

    @property
    def hours(self) -> list[int]:
        """Hours of the day, sorted."""
        return sorted(self.fields[1].values)

    @property
    def day_fields(self) -> tuple[str, str, str] | None:
        """Day of month, month and day of week in plain terms; None where no day is named.

        ``*`` or a sorted list of numbers each; with two lists of days, either names a day. Where
        Kubernetes sees every day in one of two lists, both become ``*``.
        """
        _, _, month_days, months, week_days = self.fields
        on, at = month_days.values, week_days.values
        if not (month_days.is_star or week_days.is_star):
            # either field names a day: a full one names all of them, an empty one adds none
            if month_days.is_full or week_days.is_full:
                on, at = month_days.unit.values, week_days.unit.values
            elif on or at:
                on, at = on or month_days.unit.values, at or week_days.unit.values
        if not (on and at and months.values):
            return None
        return (
            _plain(on, month_days.unit),
            _plain(months.values, months.unit),
            _plain(at, week_days.unit),
        )

    @property
    def is_daily(self) -> bool:
        """Whether it names every day."""
        return self.day_fields == ("*", "*", "*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Every:
    """``@every``: no place on the clock, but a time since the last fire."""

    seconds: int
    """Whole seconds from fire to fire, at least 1."""


@lru_cache(maxsize=1024)
def parse_line(text: str) -> Line | Every:
    """Read a schedule.

    Raises:
        ClusterError: Kubernetes would refuse it; one line.
    """
    if "TZ" in text:
        raise _fault(text, "no time zone in it", f"{text!r}", hint="say it in timeZone")
    if text.startswith(_EVERY):
        return _parse_every(text)
    parts = _NAMED.get(text, text).split()
    if text.startswith("@") and text not in _NAMED:
        raise _fault(text, f"one of {', '.join(_NAMED)}, @every 1h30m", repr(text))
    if len(parts) != len(UNITS):
        wanted = f"{len(UNITS)} fields ({', '.join(unit.name for unit in UNITS)})"
        raise _fault(text, wanted, f"{len(parts)}")
    minute, hour, month_day, month, week_day = (
        Field(unit=unit, text=part, items=_parse_items(text, part, unit))
        for unit, part in zip(UNITS, parts, strict=True)
    )
    return Line(fields=(minute, hour, month_day, month, week_day))


def render_values(values: frozenset[int] | Sequence[int], unit: Unit) -> str:
    """Write values as a field: ``*``, ``*/15``, a range or a sorted list."""
    found = sorted(values)
    steps = {later - earlier for earlier, later in pairwise(found)}
    if frozenset(found) == unit.values:
        return "*"
    if len(found) > 2 and len(steps) == 1:  # noqa: PLR2004  two values are read best as a list
        (step,) = steps
        if found[0] == unit.low and found[-1] + step > unit.high:
            return f"*/{step}"
        if step == 1:
            return f"{found[0]}-{found[-1]}"
        if len(found) > 6:  # noqa: PLR2004  six hours still read well as a list
            return f"{found[0]}-{found[-1]}/{step}"
    return ",".join(map(str, found))


def _plain(values: frozenset[int], unit: Unit) -> str:
    return "*" if values == unit.values else ",".join(map(str, sorted(values)))


def _fault(text: str, expected: str, got: str, hint: str = "") -> ClusterError:
    return ClusterError(f"schedule {text!r}: expected {expected}, got {got}", hint=hint)


def _parse_every(text: str) -> Every:
    said = text.removeprefix(_EVERY)
    if not _DURATION.fullmatch(said):
        raise _fault(text, "a duration such as @every 1h30m", repr(said))
    parts = re.findall(r"([0-9.]+)([a-zµμ]+)", said)
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    # robfig/cron constantdelay.go: whole seconds, at least one, so of a negative duration too
    return Every(seconds=1 if said.startswith("-") else max(int(seconds + 1e-9), 1))


def _parse_items(line: str, text: str, unit: Unit) -> tuple[Item, ...]:
    # empty items are passed over, as robfig/cron does: `1,,2`
    return tuple(_parse_item(line, item, unit) for item in text.split(",") if item)


def _parse_item(line: str, text: str, unit: Unit) -> Item:
    span, *steps = text.split("/")
    low, *highs = span.split("-")
    if len(steps) > 1 or len(highs) > 1:
        raise _fault(line, f"{unit.name} as a-b/step", repr(text))
    is_star = low in _STARS
    first = unit.low if is_star else _parse_number(line, low, unit)
    is_open = bool(steps) and not highs and not is_star
    if is_star or is_open:
        last = unit.high
    else:
        last = _parse_number(line, highs[0], unit) if highs else first
    step = _parse_step(line, steps[0], unit) if steps else 1
    if first > last:
        hint = f"split it: {_span(first, unit.high)},{_span(unit.low, last)}"
        raise _fault(line, f"{unit.name} from small to large", repr(text), hint)
    return Item(text=text, first=first, last=last, step=step, is_star=is_star, is_open=is_open)


def _parse_step(line: str, text: str, unit: Unit) -> int:
    if not _NUMBER.fullmatch(text) or int(text) == 0:
        raise _fault(line, f"a step of {unit.name} of at least 1", repr(text))
    return int(text)


def _parse_number(line: str, text: str, unit: Unit) -> int:
    if text.lower() in unit.names:
        return unit.low + unit.names.index(text.lower())
    wanted = f"{unit.name} from {unit.low} to {unit.high}"
    if unit.names:
        wanted += f" or {unit.names[0].upper()} to {unit.names[-1].upper()}"
    if not _NUMBER.fullmatch(text):
        is_foreign = _FOREIGN.fullmatch(text) is not None
        hint = "Kubernetes knows no L, W, R, H and #" if is_foreign else ""
        raise _fault(line, wanted, repr(text), hint)
    if not unit.low <= int(text) <= unit.high:
        is_sunday = unit is UNITS[-1] and int(text) == unit.high + 1
        raise _fault(line, wanted, text, "Sunday is 0" if is_sunday else "")
    return int(text)


def _span(first: int, last: int) -> str:
    return f"{first}" if first == last else f"{first}-{last}"
