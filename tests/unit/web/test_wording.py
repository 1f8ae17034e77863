"""Numbers as people read them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from lading.web import wording

NOON = datetime(2025, 2, 5, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("percent", "told"),
    [(0, "0 %"), (99.99, "99 %"), (100, "100 %"), (-3, "0 %"), (250, "100 %"), (1e999, "?")],
)
def test_a_share_is_never_rounded_up(percent: float, told: str) -> None:
    """100 % is said when all is done, and not before."""
    assert wording.format_percent(percent) == told


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (100, 103.2, "+3.2 %"),
        (100, 50, "-50.0 %"),
        (0, 5, "new"),
        (7, 7, "no change"),
        (7, 0, "-100 %"),
        (10**9, 10**9 + 1, "< +0.1 %"),
        (10**9, 10**9 - 1, "> -0.1 %"),
    ],
)
def test_a_change_is_told_with_its_sign(before: float, after: float, told: str) -> None:
    """What grew from nothing is new, and what rounds to nothing is still a change."""
    assert wording.format_change(before, after) == told


@pytest.mark.parametrize(
    ("size", "told"),
    [(0, "0 B"), (999, "999 B"), (999.6, "1.0 kB"), (1.2e6, "1.2 MB"), (5e18, "5,000.0 PB")],
)
def test_sizes_are_decimal(size: float, told: str) -> None:
    """As clouds bill them."""
    assert wording.format_bytes(size) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.44, "0.4 s"),
        (59.96, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7800, "2 h 10 min"),
        (97_200, "1 d 3 h"),
        (-1, "0.0 s"),
        (float("nan"), "?"),
    ],
)
def test_durations_have_two_units(seconds: float, told: str) -> None:
    """A day is a day, and no number of hours."""
    assert wording.format_duration(seconds) == told


@pytest.mark.parametrize(
    ("seconds", "told"), [(30, "30 s"), (300, "5 min"), (7200, "2 h"), (0.5, "0.5 s")]
)
def test_marks_are_whole(seconds: float, told: str) -> None:
    """What a mark of an axis stands for has one unit."""
    assert wording.format_whole(seconds) == told


def test_moments_are_utc() -> None:
    """Whatever zone a moment comes in."""
    moment = NOON.astimezone(timezone(timedelta(hours=-7)))
    assert wording.format_moment(moment) == "2025-02-05 12:00 UTC"
    assert wording.format_clock(moment) == "12:00:00"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(-5, "now"), (0, "now"), (59, "59 s ago"), (3599, "59 min ago"), (90_000, "1 d ago")],
)
def test_the_past_has_one_unit(seconds: int, told: str) -> None:
    """A clock that is behind tells of now, never of the future."""
    assert wording.format_ago(NOON - timedelta(seconds=seconds), NOON) == told


def test_one_is_one() -> None:
    """Nouns follow their number."""
    assert wording.format_count(1, "file") == "1 file"
    assert wording.format_count(20_000, "file") == "20,000 files"
