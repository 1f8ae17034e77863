"""When CronJobs fire, by Kubernetes' reading of a schedule."""

import datetime as dt
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.errors import ClusterError
from lading.k8s.cron import Line, parse_line
from lading.k8s.schedule import (
    Schedule,
    days_from,
    describe_rate,
    find_clock_changes,
    fires_per_day,
    next_fires,
    parse_schedule,
    same_minute,
)

NEW_YEAR = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
"""A Thursday."""
MINUTE = dt.timedelta(minutes=1)


def fires(text: str, count: int, after: dt.datetime = NEW_YEAR, zone: str = "Etc/UTC") -> list[str]:
    """Return the next fires of a schedule, as text in UTC."""
    found = next_fires(parse_schedule(text, zone), after, count)
    assert all(fire.tzinfo is dt.UTC for fire in found)
    return [f"{fire:%m-%dT%H:%M}" for fire in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 */6 * * *", ["01-01T06:00", "01-01T12:00", "01-01T18:00"]),
        ("43 6/6 * * *", ["01-01T06:43", "01-01T12:43", "01-01T18:43"]),
        ("0 0 4,10 * *", ["01-04T00:00", "01-10T00:00", "02-04T00:00"]),
        ("0 0 1-1 * *", ["02-01T00:00", "03-01T00:00", "04-01T00:00"]),
        ("0 0 */15 * MON", ["01-05T00:00", "01-12T00:00", "01-16T00:00"]),
        ("0 0 13 * FRI", ["01-02T00:00", "01-09T00:00", "01-13T00:00"]),
        ("0 0 13 * *,FRI", ["01-13T00:00", "02-13T00:00", "03-13T00:00"]),
        ("0 0 */2 * 0-6", ["01-02T00:00", "01-03T00:00", "01-04T00:00"]),
        ("0 0 31 2 MON", ["02-02T00:00", "02-09T00:00", "02-16T00:00"]),
        ("? 5 ? * ?", ["01-01T05:00", "01-01T05:01", "01-01T05:02"]),
        ("30 23 31 12 *", ["12-31T23:30"] * 3),
        ("@weekly", ["01-04T00:00", "01-11T00:00", "01-18T00:00"]),
        ("@every 90m", ["01-01T01:30", "01-01T03:00", "01-01T04:30"]),
        ("0 0 31 2 *", []),
        (", 0 * * *", []),
        ("0 0 , * *", []),
    ],
)
def test_next_fires(text: str, expected: list[str]) -> None:
    """Fires are those of Kubernetes, also where croniter alone would say others."""
    assert fires(text, 3) == expected


def test_after_is_left_out() -> None:
    """The next fire is later than the instant, in whatever zone the instant is given."""
    at_six = dt.datetime(2026, 1, 1, 7, tzinfo=ZoneInfo("Europe/Berlin"))
    assert fires("0 */6 * * *", 1, at_six) == ["01-01T12:00"]
    assert fires("0 */6 * * *", 1, at_six - MINUTE / 60) == ["01-01T06:00"]


def test_evening_before() -> None:
    """The day is that of the time zone: in New York the old year still has some hours."""
    after = NEW_YEAR + dt.timedelta(hours=2)
    found = next_fires(parse_schedule("0 22 31 12 *", "America/New_York"), after, 1)
    assert found == [NEW_YEAR + dt.timedelta(hours=3)]


def test_leap_day() -> None:
    """A day that comes every four years is found."""
    found = next_fires(parse_schedule("0 0 29 2 *"), NEW_YEAR, 2)
    assert [fire.year for fire in found] == [2028, 2032]


def test_clock_goes_forward() -> None:
    """In the hour that is left out nothing fires."""
    before = dt.datetime(2026, 3, 27, 12, tzinfo=dt.UTC)
    assert fires("30 2 * * *", 3, before, "Europe/Berlin") == [
        "03-28T01:30",
        "03-30T00:30",
        "03-31T00:30",
    ]


def test_clock_goes_back() -> None:
    """In the hour that is repeated a schedule fires twice."""
    before = dt.datetime(2026, 10, 24, 12, tzinfo=dt.UTC)
    assert fires("0,30 2 * * *", 5, before, "Europe/Berlin") == [
        "10-25T00:00",
        "10-25T00:30",
        "10-25T01:00",
        "10-25T01:30",
        "10-26T01:00",
    ]


FIELDS = st.tuples(
    st.sampled_from(["0", "*/20", "7,50", "5/25", "10-40/15", "*"]),
    st.sampled_from(["*", "*/6", "1-3", "2", "0,23", "6/6"]),
    st.sampled_from(["*", "*/5", "1,15", "31", "29-31", "3"]),
    st.sampled_from(["*", "*/2", "3", "MAR,oct"]),
    st.sampled_from(["*", "0", "MON-FRI", "*/3", "6"]),
)


@settings(max_examples=80, deadline=None)
@given(fields=FIELDS, minutes=st.integers(0, 3 * 366 * 1440))
def test_as_croniter(fields: tuple[str, ...], minutes: int) -> None:
    """Where croniter reads a line as Kubernetes does, both tell the same fires."""
    text, after = " ".join(fields), NEW_YEAR + minutes * MINUTE
    theirs = croniter(text, after)
    ours = next_fires(parse_schedule(text), after, 15)
    assert ours == [theirs.get_next(dt.datetime) for _ in range(15)]


@given(
    on=st.sampled_from(["*", "?", "*/1", "*/2", "1-31", "31", "1,15", "5,*", ","]),
    month=st.sampled_from(["*", "2", "*/5"]),
    at=st.sampled_from(["*", "0-6", "*/2", "MON", "5,?", ","]),
    first=st.dates(dt.date(2024, 1, 1), dt.date(2030, 1, 1)),
)
def test_days_match(on: str, month: str, at: str, first: dt.date) -> None:
    """Days are those that both fields name where one has a star, else those that either names."""
    line = parse_line(f"0 0 {on} {month} {at}")
    assert isinstance(line, Line)
    has_star = any(item in {"*", "?", "*/1"} for item in f"{on},{at}".split(","))

    def matches(day: dt.date) -> bool:
        is_on = day.day in line.fields[2].values
        is_at = (day.weekday() + 1) % 7 in line.fields[4].values
        return day.month in line.fields[3].values and (
            (is_on and is_at) if has_star else (is_on or is_at)
        )

    span = [first + dt.timedelta(days=n) for n in range(90)]
    found = list(takewhile(lambda day: day <= span[-1], days_from(line, first)))
    assert found == [day for day in span if matches(day)]


@settings(max_examples=30, deadline=None)
@given(
    fields=FIELDS,
    day=st.sampled_from([dt.date(2026, 3, 28), dt.date(2026, 10, 24), dt.date(2026, 4, 4)]),
    zone=st.sampled_from(["Europe/Berlin", "Asia/Beirut", "Australia/Lord_Howe"]),
)
def test_every_instant_whose_wall_clock_fits(
    fields: tuple[str, ...], day: dt.date, zone: str
) -> None:
    """Around a change of the clock, fires are all instants whose wall clock fits the line."""
    text = " ".join((*fields[:2], "*", "*", fields[4]))
    line = parse_line(text)
    assert isinstance(line, Line)
    after = dt.datetime.combine(day, dt.time(12), tzinfo=dt.UTC)

    def fits(minute: dt.datetime) -> bool:
        wall = minute.astimezone(ZoneInfo(zone))
        is_on = (wall.weekday() + 1) % 7 in line.fields[4].values
        return is_on and wall.hour in line.hours and wall.minute in line.minutes

    fit = [minute for minute in (after + n * MINUTE for n in range(1, 1440)) if fits(minute)]
    assert next_fires(parse_schedule(text, zone), after, len(fit)) == fit


@pytest.mark.parametrize(
    ("text", "rate", "words"),
    [
        ("* * * * *", 1440, "1 a minute"),
        ("*/15 * * * *", 96, "4 an hour"),
        ("@hourly", 24, "1 an hour"),
        ("0 */6 * * *", 4, "4 a day"),
        ("43 6/6 * * *", 3, "3 a day"),
        ("0 0,12 * * *", 2, "2 a day"),
        ("0 0 * * 1", 1 / 7, "1 a week"),
        ("0 0 * * 1-5", 5 / 7, "5 a week"),
        ("0 0,12 * * 1-5", 10 / 7, "10 a week"),
        ("@monthly", 48 / 1461, "1 a month"),
        ("0 0 4,10,16,22 * *", 4 * 48 / 1461, "4 a month"),
        ("0 0 31 * *", 28 / 1461, "7 a year"),
        ("@yearly", 4 / 1461, "1 a year"),
        ("0 0 29 2 *", 1 / 1461, "about 0.25 a year"),
        ("0 0 */2 * *", 745 / 1461, "about 3.6 a week"),
        ("0 0 30,31 * *", 72 / 1461, "18 a year"),
        ("0 0 31 2 *", 0, "never"),
        (", 0 * * *", 0, "never"),
        ("@every 90m", 16, "16 a day"),
        ("@every 30s", 2880, "2 a minute"),
    ],
)
def test_rates(text: str, rate: float, words: str) -> None:
    """A rate is told in the largest whole number's unit, else about."""
    found = fires_per_day(parse_schedule(text), NEW_YEAR)
    assert found == pytest.approx(rate)
    assert describe_rate(found) == words


@pytest.mark.parametrize(
    "zone", ["", "Mars/Olympus", "Local", "localtime", "America", "../etc/passwd", "/etc/passwd"]
)
def test_unknown_zone(zone: str) -> None:
    """A time zone that Kubernetes would not know is refused in one line."""
    with pytest.raises(ClusterError) as caught:
        parse_schedule("@daily", zone)
    assert str(caught.value) == (
        f"time zone: expected one of the IANA data base, such as Etc/UTC, got {zone!r}"
    )


def test_parsed() -> None:
    """A schedule keeps its text, and is UTC where nothing is said."""
    assert parse_schedule("@daily") == Schedule(text="@daily", time_zone="Etc/UTC")
    assert parse_schedule("@daily", "Europe/Berlin").time_zone == "Europe/Berlin"
    with pytest.raises(ClusterError, match="Sunday is 0"):
        parse_schedule("0 0 * * 7")


def schedules(**texts: str) -> dict[str, Schedule]:
    """Read a schedule for each role."""
    return {role: parse_schedule(text) for role, text in texts.items()}


@pytest.mark.parametrize(
    ("update", "validate", "fault"),
    [
        ("0 */6 * * *", "30 */6 * * *", None),
        (
            "0 * * * *",
            "0 6 * * *",
            "got the same at 35 of 35 fires of validate, next at 2026-01-01",
        ),
        ("0 6 1 * *", "0 */6 * * *", "got the same at 2 of 2 fires of update, next at 2026-01-01"),
        ("0 6 * * *", "0 */6 1 * *", None),
        ("0,30 6 * * *", "0,15 6 * * *", "got the same at 35 of 70 fires of"),
        ("@every 1h", "0 * * * *", None),
        ("0 0 31 2 *", "0 0 31 2 *", None),
    ],
)
def test_same_minute(update: str, validate: str, fault: str | None) -> None:
    """Roles that often begin at the same minute are told, by the rarer of the two."""
    found = same_minute(schedules(update=update, validate=validate), NEW_YEAR)
    assert len(found) == (fault is not None)
    assert (fault or "") in "".join(found)


def test_same_minute_over_zones() -> None:
    """It is the instant that counts, not the text; each pair has its line."""
    given = schedules(a="0 6 * * *", b="0 6 * * *") | {
        "c": parse_schedule("0 7 * * *", "Europe/Berlin")
    }
    assert [line.split(":")[0] for line in same_minute(given, NEW_YEAR)] == [
        "a and b",
        "a and c",
        "b and c",
    ]


def test_clock_changes() -> None:
    """The fires that a change of the clock drops or adds are told, within a year."""
    place = "schedule '30 2 * * *' in Europe/Berlin: expected one fire at"
    assert find_clock_changes(parse_schedule("30 2 * * *", "Europe/Berlin"), NEW_YEAR) == [
        f"{place} 2026-03-29T02:30, got none: the clock changes",
        f"{place} 2026-10-25T02:30, got two: the clock changes",
    ]


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("30 2 * * *", "Etc/UTC"),
        ("30 2 * * *", "Asia/Tokyo"),
        ("30 3 * * *", "Europe/Berlin"),
        ("30 * * * *", "Europe/Berlin"),
        ("30 2 * * 1", "Europe/Berlin"),
        ("@every 1h", "Europe/Berlin"),
    ],
)
def test_no_clock_changes(text: str, zone: str) -> None:
    """What no change of the clock touches is not told."""
    assert find_clock_changes(parse_schedule(text, zone), NEW_YEAR) == []
