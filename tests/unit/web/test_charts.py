"""Lines of values: what is drawn is always a path, inside its picture."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.web.charts import draw_spark

PATH = re.compile(r"[MLZ0-9 .]*")
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def points_of(path: str) -> list[tuple[float, float]]:
    """Return the points of a path."""
    numbers = [float(each) for each in NUMBER.findall(path)]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


@given(
    values=st.lists(st.none() | st.floats() | st.integers() | st.just(10**400), max_size=40),
    from_zero=st.booleans(),
)
def test_anything_becomes_a_path_inside_its_picture(
    values: list[float | None], *, from_zero: bool
) -> None:
    """Whatever the values are, NaN and endless ones too: letters and digits, in the box."""
    drawn = draw_spark(values, 120, 28, from_zero=from_zero)
    for path in (drawn.line, drawn.area):
        assert PATH.fullmatch(path)
        assert all(0 <= x <= 120 and 0 <= y <= 28 for x, y in points_of(path))
    assert 0 <= float(drawn.last_x) <= 120
    assert 0 <= float(drawn.last_y) <= 28


def test_growth_goes_up_and_right() -> None:
    """The first value stands at the bottom on the left, the greatest at the top on the right."""
    drawn = draw_spark([1, 2, 3], 120, 28)
    points = points_of(drawn.line)
    assert points == [(3, 25), (60, 14), (117, 3)]
    assert (float(drawn.last_x), float(drawn.last_y)) == points[-1]


def test_a_gap_breaks_the_line() -> None:
    """What is missing, or no number, is not joined over."""
    drawn = draw_spark([1, 2, None, float("nan"), 4, 5], 120, 28)
    assert drawn.line.count("M") == 2
    assert drawn.area.count("Z") == 2


def test_a_value_alone_is_seen() -> None:
    """A single point would be drawn as nothing."""
    left, right = points_of(draw_spark([None, 7, None], 120, 28).line)
    assert left[0] < right[0]
    assert left[1] == right[1] == 14


@pytest.mark.parametrize("values", [[], [None], [float("inf"), float("nan")]])
def test_nothing_is_drawn_of_nothing(values: list[float | None]) -> None:
    """No values give no path."""
    assert draw_spark(values, 120, 28).line == ""


def test_zero_is_the_bottom_where_it_is_asked_for() -> None:
    """A total that grows by a tenth looks like a tenth."""
    (_, first), (_, last) = points_of(draw_spark([100, 110], 100, 106, from_zero=True).line)
    assert last == 3
    assert first == pytest.approx(3 + 100 / 11, abs=0.1)
