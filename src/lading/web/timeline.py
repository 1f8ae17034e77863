"""The steps of a run as bars over its time. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from lading.ledger.model import Run, Step

WIDTH = 1000
"""Width of the picture in its own units."""
_LEAST = 4.0  # a bar of no time is seen all the same
_NICE_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
_MOST_TICKS = 5
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Bar:
    """One step, from its start to its end."""

    step: Step
    """The step."""
    x: float | None
    """Where it begins, 0 to ``WIDTH``; None where it never did."""
    width: float
    """How long it is, in the same units."""
    elapsed_s: float
    """How long it took, or has taken so far, in seconds."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """All steps of a run over one axis."""

    bars: tuple[Bar, ...]
    """The steps in their order."""
    span_s: float
    """Length of the axis, in seconds."""
    ticks: tuple[tuple[float, float], ...]
    """Marks of the axis: (where, seconds)."""


def draw_timeline(run: Run, now: datetime) -> Timeline:
    """Lay the steps of a run over its time.

    Args:
        run: the run, with its steps.
        now: until when running steps are drawn. Those of a run that is gone end when it was
            last heard of.
    """
    end = _end_of(run, now)
    starts = [each.started_at for each in run.steps if each.started_at]
    begin = min([*starts, run.started_at or end])
    ends = [each.ended_at or end for each in run.steps if each.started_at]
    span_s = max((max([*ends, end]) - begin).total_seconds(), 0.001)
    bars = tuple(_bar(each, begin, span_s, end) for each in run.steps)
    return Timeline(bars, span_s, _ticks(span_s))


def pick(items: Sequence[_T], limit: int, *, is_wanted: Sequence[bool]) -> tuple[_T, ...]:
    """Return at most ``limit`` items in their order: those that are wanted before the others."""
    if len(items) <= limit:
        return tuple(items)
    ranked = sorted(range(len(items)), key=lambda index: (not is_wanted[index], index))
    return tuple(items[index] for index in sorted(ranked[:limit]))


def _end_of(run: Run, now: datetime) -> datetime:
    if run.ended_at is not None:
        return run.ended_at
    if run.is_aborted and run.heartbeat_at is not None:
        return run.heartbeat_at
    return now


def _bar(step: Step, begin: datetime, span_s: float, end: datetime) -> Bar:
    if step.started_at is None:
        return Bar(step, None, 0.0, 0.0)
    elapsed = max((step.ended_at or end) - step.started_at, timedelta())
    elapsed_s = elapsed.total_seconds()
    width = max(elapsed_s / span_s * WIDTH, _LEAST)
    x = (step.started_at - begin).total_seconds() / span_s * WIDTH
    x = min(max(x, 0.0), WIDTH - _LEAST)
    return Bar(step, round(x, 1), round(min(width, WIDTH - x), 1), elapsed_s)


def _ticks(span_s: float) -> tuple[tuple[float, float], ...]:
    step = next((each for each in _NICE_S if span_s / each <= _MOST_TICKS), span_s / _MOST_TICKS)
    count = int(span_s // step)
    return tuple((round(i * step / span_s * WIDTH, 1), i * step) for i in range(1, count + 1))
