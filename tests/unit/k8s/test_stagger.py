"""Schedules moved by some minutes fire exactly these minutes later, or are not moved."""

import datetime as dt
from itertools import product

import pytest
from croniter import croniter
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lading.errors import ClusterError
from lading.k8s.cron import Line, parse_line
from lading.k8s.schedule import next_fires, parse_schedule
from lading.k8s.stagger import offset_of, shift

START = dt.datetime(2026, 1, 30, 12, tzinfo=dt.UTC)
"""Two days before a month ends, three before a week does."""
WEEKS = dt.timedelta(weeks=5)


@given(key=st.text(), minutes=st.integers(-1, 60))
def test_offsets(key: str, minutes: int) -> None:
    """An offset is the same each time, and fewer than the minutes; 0 where there are none."""
    assert offset_of(key, minutes) == offset_of(key, minutes)
    assert 0 <= offset_of(key, minutes) < max(minutes, 1)


def test_offsets_are_spread() -> None:
    """Datasets get different offsets, and known ones, whatever machine asks."""
    offsets = [offset_of(f"dataset-{n}", 30) for n in range(300)]
    assert set(offsets) == set(range(30))
    assert offset_of("noaa-gfs-analysis", 30) == 3


@pytest.mark.parametrize(
    ("text", "minutes", "moved"),
    [
        ("0  */6 * * *", 0, "0  */6 * * *"),
        ("@every 1h", 0, "@every 1h"),
        ("0 */6 * * *", 7, "7 */6 * * *"),
        ("0 22,4,10,16 * * *", 7, "7 22,4,10,16 * * *"),
        ("50 22,4,10,16 * * *", 15, "5 5,11,17,23 * * *"),
        ("50 23,5,11,17 * * *", 15, "5 */6 * * *"),
        ("50 5 1 * *", 15, "5 6 1 * *"),
        ("50 22 * * MON-FRI", 15, "5 23 * * MON-FRI"),
        ("*/15 * * * *", 7, "7,22,37,52 * * * *"),
        ("*/15 * * * *", 15, "*/15 * * * *"),
        ("*/5 * * * *", 2, "2-57/5 * * * *"),
        ("* * * * *", 59, "* * * * *"),
        ("50 * * * *", 20, "10 * * * *"),
        ("50 23 * * *", 20, "10 0 * * *"),
        ("50 23 * * 1", 20, "10 0 * * 2"),
        ("50 23 * * 0-6", 20, "10 0 * * 0-6"),
        ("50 23 1-31 * 1", 20, "10 0 1-31 * 1"),
        ("50 23 ? * SAT", 20, "10 0 ? * 0"),
        ("50 23 1 * *", 20, "10 0 2 * *"),
        ("50 23 27,1 2 *", 20, "10 0 2,28 2 *"),
        ("50 23 27 * SAT", 20, "10 0 28 * 0"),
        ("@daily", 17, "17 0 * * *"),
        ("@hourly", 17, "17 * * * *"),
        ("@weekly", 17, "17 0 * * 0"),
        ("@yearly", 59, "59 0 1 1 *"),
    ],
)
def test_moved(text: str, minutes: int, moved: str) -> None:
    """A moved schedule keeps what it can of how it was written."""
    assert shift(text, minutes) == moved


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("10,50 6 * * *", 20),
        ("* 6 * * *", 1),
        ("*/15 6 * * *", 50),
        ("50 23 28 * *", 20),
        ("50 23 * 1 *", 20),
        ("50 23 * 1 1", 20),
        ("50 23 1 1 1", 20),
        ("50 22,23 1 * *", 20),
        ("50 22,23 * * 1", 20),
        ("10,50 23 * * 1", 20),
        ("50 * * * 1", 20),
        ("@every 1h", 1),
        (", 23 * * *", 1),
        ("0 , * * *", 1),
    ],
)
def test_cannot_be_said(text: str, minutes: int) -> None:
    """Where one line cannot say the moved fires, none is made up."""
    assert shift(text, minutes) is None


@pytest.mark.parametrize("minutes", [-1, 60])
def test_too_far(minutes: int) -> None:
    """More than an hour is no offset."""
    with pytest.raises(ValueError, match="minutes: expected 0 to 59"):
        shift("@daily", minutes)


def test_not_a_schedule() -> None:
    """What Kubernetes would refuse is refused, also where nothing is to be moved."""
    with pytest.raises(ClusterError):
        shift("0 0 * * 7", 0)


LINES = st.tuples(
    st.sampled_from(["0", "50", "*/15", "50-59", "5,40", "*/7", "30/10", "*"]),
    st.sampled_from(["*", "*/6", "23", "22,23", "0", "5,11,17,23", "0-23", "*/2"]),
    st.sampled_from(["*", "1", "*/2", "28-31", "?", "1-27"]),
    st.sampled_from(["*", "2", "*/2"]),
    st.sampled_from(["*", "0", "6", "1-5", "SAT,MON"]),
).map(" ".join)


def fires_of(text: str, after: dt.datetime) -> list[dt.datetime]:
    """Return the fires of five weeks, by croniter alone; at most 250."""
    theirs = croniter(text, after)
    found: list[dt.datetime] = []
    while len(found) < 250:
        fire = theirs.get_next(dt.datetime)
        if fire > after + WEEKS:
            break
        found.append(fire)
    return found


@settings(max_examples=120, deadline=None)
@given(text=LINES, minutes=st.integers(1, 59))
@example(text="50 23 * * 6", minutes=30)
@example(text="50 23 1-27 2 *", minutes=30)
@example(text="50 23 1-27 * 6", minutes=30)
@example(text="*/15 23 * * *", minutes=45)
def test_moved_exactly(text: str, minutes: int) -> None:
    """The fires of the moved schedule are those of the other, each as many minutes later."""
    moved, by = shift(text, minutes), dt.timedelta(minutes=minutes)
    if moved is not None:
        assert fires_of(moved, START + by) == [fire + by for fire in fires_of(text, START)]
        after = START + dt.timedelta(days=1)
        ours = next_fires(parse_schedule(text), after, 60)
        assert next_fires(parse_schedule(moved), after + by, 60) == [fire + by for fire in ours]


@settings(max_examples=200, deadline=None)
@given(text=LINES, minutes=st.integers(1, 59))
def test_refused_only_where_it_must(text: str, minutes: int) -> None:
    """It gives up where moved times are no product of hours and minutes, or leave their day."""
    if shift(text, minutes) is not None:
        return
    line = parse_line(text)
    assert isinstance(line, Line)
    moved = [hour * 60 + minute + minutes for hour, minute in product(line.hours, line.minutes)]
    times = {divmod(each % 1440, 60) for each in moved}
    hours, minutes_of = {hour for hour, _ in times}, {minute for _, minute in times}
    leaves_its_day = max(moved) >= 1440 and not line.is_daily
    assert leaves_its_day or times != set(product(hours, minutes_of))
