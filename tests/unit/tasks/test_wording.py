"""Tests of numbers as people read them."""

import pytest

from lading.tasks.wording import count, format_bytes, format_duration


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1234, "1.2 kB"),
        (1_000_000, "1.0 MB"),
        (15_700_000_000, "15.7 GB"),
        (2_500_000_000_000, "2.5 TB"),
        (1_200_000_000_000_000, "1200.0 TB"),
    ],
)
def test_bytes(size: float, expected: str) -> None:
    """A size has the largest unit in which it is at least one."""
    assert expected == format_bytes(size)


@pytest.mark.parametrize(
    ("size", "expected"), [(999_999, "1.0 MB"), (999_999_999, "1.0 GB"), (999.7, "1.0 kB")]
)
def test_bytes_just_below_a_unit(size: float, expected: str) -> None:
    """A size that is rounded up to a thousand is one of the next unit."""
    assert expected == format_bytes(size)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0.0 s"),
        (0.44, "0.4 s"),
        (59.9, "59.9 s"),
        (60, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 00 min"),
        (7800, "2 h 10 min"),
        (90_000, "25 h 00 min"),
    ],
)
def test_duration(seconds: float, expected: str) -> None:
    """A duration has the two largest units that matter."""
    assert expected == format_duration(seconds)


def test_duration_just_below_a_minute() -> None:
    """There is no sixtieth second."""
    assert format_duration(59.97) == "1 min 00 s"


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "0 files"), (1, "1 file"), (2, "2 files"), (380, "380 files")]
)
def test_count(number: int, expected: str) -> None:
    """One is singular, all else is plural."""
    assert expected == count(number, "file")
