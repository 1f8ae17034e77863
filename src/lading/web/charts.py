"""Numbers as lines in a small picture: points in, text of an SVG path out. Pure.

Nothing here makes markup: a path holds digits and the letters M, L and Z only, and labels are
written by the templates, which escape them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

_PAD = 3.0  # room for the stroke and for the dot at the end


@dataclass(frozen=True, slots=True)
class Spark:
    """A line of values, drawn."""

    line: str
    """Path of the line; "" where there is nothing to draw."""
    area: str
    """Path of what lies below it, closed; "" where there is nothing to draw."""
    last_x: str
    """Where the last value stands."""
    last_y: str
    """As above, from the top."""


def draw_spark(
    values: Sequence[float | None], width: float, height: float, *, from_zero: bool = False
) -> Spark:
    """Draw a line of values: one point a value, left to right, the greatest at the top.

    A value that is missing, or no number, is a gap. A value alone between gaps is drawn as a
    short dash, so that it is seen. Equal values lie in the middle.

    Args:
        values: what is drawn; None is a gap.
        width: of the picture, in its own units.
        height: as above.
        from_zero: whether the bottom is zero rather than the least value.
    """
    runs = [run for run in _runs(values, width, height, from_zero=from_zero) if run]
    if not runs:
        return Spark("", "", "0", "0")
    line = " ".join(_line(run) for run in runs)
    area = " ".join(f"{_line(run)} {_close(run, height)}" for run in runs)
    x, y = runs[-1][-1]
    return Spark(line, area, _number(x), _number(y))


def _runs(
    values: Sequence[float | None], width: float, height: float, *, from_zero: bool
) -> list[list[tuple[float, float]]]:
    known = [each for each in map(_finite, values) if each is not None]
    if not known:
        return []
    low, high = (min(0.0, *known) if from_zero else min(known)), max(known)
    step = (width - 2 * _PAD) / max(len(values) - 1, 1)
    runs: list[list[tuple[float, float]]] = [[]]
    for index, value in enumerate(map(_finite, values)):
        if value is None:
            runs.append([])
            continue
        share = _share(value, low, high)
        x = width / 2 if len(values) == 1 else _PAD + index * step
        runs[-1].append((x, height - _PAD - share * (height - 2 * _PAD)))
    return runs


def _share(value: float, low: float, high: float) -> float:
    if low == high:
        return 0.5
    # halves: the distance of two numbers that are both finite may not be
    return (value / 2 - low / 2) / (high / 2 - low / 2)


def _finite(value: float | None) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _line(points: Sequence[tuple[float, float]]) -> str:
    if len(points) == 1:
        x, y = points[0]
        points = ((x - 1, y), (x + 1, y))
    return "M" + " L".join(f"{_number(x)} {_number(y)}" for x, y in points)


def _close(points: Sequence[tuple[float, float]], height: float) -> str:
    first, last = points[0][0], points[-1][0]
    if len(points) == 1:
        first, last = first - 1, last + 1
    return f"L{_number(last)} {_number(height)} L{_number(first)} {_number(height)} Z"


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
