"""Which lines of cron Kubernetes accepts, and which values they name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import ClusterError
from lading.k8s.cron import UNITS, Every, Line, Unit, parse_line, render_values

MINUTE, HOUR, MONTH_DAY, MONTH, WEEK_DAY = UNITS


def line_of(text: str) -> Line:
    """Read a line of five fields."""
    line = parse_line(text)
    assert isinstance(line, Line)
    return line


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("*", list(range(60))),
        ("?", list(range(60))),
        ("*/20", [0, 20, 40]),
        ("?/20", [0, 20, 40]),
        ("5/20", [5, 25, 45]),
        ("5-30/20", [5, 25]),
        ("5-5", [5]),
        ("*/90", [0]),
        ("30,5,5", [5, 30]),
        ("1,,2,", [1, 2]),
        (",", []),
        ("+5", [5]),
        ("007", [7]),
        ("*-5", list(range(60))),
        ("*-x/30", [0, 30]),
    ],
)
def test_values(text: str, minutes: list[int]) -> None:
    """Values are those of robfig/cron, with what it lets pass."""
    assert line_of(f"{text} 0 * * *").minutes == minutes


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("0 0 * * *", ("*", "*", "*")),
        ("0 0 ? JAN,dec ?", ("*", "1,12", "*")),
        ("0 0 * * MON-fri", ("*", "*", "1,2,3,4,5")),
        ("0 0 1 * *", ("1", "*", "*")),
        ("0 0 1 * */1", ("1", "*", "*")),
        ("0 0 1 * 2,*", ("1", "*", "*")),
        ("0 0 1 * 1", ("1", "*", "1")),
        ("0 0 */15 * 1", ("1,16,31", "*", "1")),
        ("0 0 1 * */3", ("1", "*", "0,3,6")),
        ("0 0 1 * 0-6", ("*", "*", "*")),
        ("0 0 1-31 * 1", ("*", "*", "*")),
        ("0 0 , * 1", ("*", "*", "1")),
        ("0 0 1 * ,", ("1", "*", "*")),
        ("0 0 , * *", None),
        ("0 0 * * ,", None),
        ("0 0 , * ,", None),
        ("0 0 * , *", None),
    ],
)
def test_days(text: str, days: tuple[str, str, str] | None) -> None:
    """A star leaves the choice to the other field; a step, a list or a range do not."""
    assert line_of(text).day_fields == days
    assert line_of(text).is_daily == (days == ("*", "*", "*"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
    ],
)
def test_named(name: str, text: str) -> None:
    """A named schedule is the line that it stands for."""
    assert parse_line(name) == parse_line(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("90s", 90),
        ("1500ms", 1),
        ("1µs", 1),
        ("0", 1),
        ("-1h", 1),
        ("+2m", 120),
        (".5m", 30),
        ("1h1h", 7200),
    ],
)
def test_every(text: str, seconds: int) -> None:
    """A duration is Go's, cut to whole seconds, and at least one."""
    assert parse_line(f"@every {text}") == Every(seconds=seconds)


FIVE = "5 fields (minute, hour, day of month, month, day of week)"
NONE_OF = "Kubernetes knows no L, W, R, H and #"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("TZ=UTC 0 0 * * *", "no time zone in it, got 'TZ=UTC 0 0 * * *'; say it in timeZone"),
        ("CRON_TZ=UTC @daily", "no time zone in it, got 'CRON_TZ=UTC @daily'; say it in timeZone"),
        ("0 0 * * * *", f"{FIVE}, got 6"),
        ("0 0 * *", f"{FIVE}, got 4"),
        ("", f"{FIVE}, got 0"),
        (" @daily", f"{FIVE}, got 1"),
        ("@Daily", "one of @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually,"),
        ("@every", "one of @hourly"),
        ("@every 1d", "a duration such as @every 1h30m, got '1d'"),
        ("@every 60", "a duration such as @every 1h30m, got '60'"),
        ("60 0 * * *", "minute from 0 to 59, got 60"),
        ("0 24 * * *", "hour from 0 to 23, got 24"),
        ("0 0 0 * *", "day of month from 1 to 31, got 0"),
        ("0 0 1-32 * *", "day of month from 1 to 31, got 32"),
        ("0 0 * 13 *", "month from 1 to 12 or JAN to DEC, got 13"),
        ("0 0 * * 7", "day of week from 0 to 6 or SUN to SAT, got 7; Sunday is 0"),
        ("0 0 * * 8", "day of week from 0 to 6 or SUN to SAT, got 8"),
        ("0 0 * * monday", "day of week from 0 to 6 or SUN to SAT, got 'monday'"),
        ("0 0 * * thur", "day of week from 0 to 6 or SUN to SAT, got 'thur'"),
        ("0 0 * * FRI-SUN", "day of week from small to large, got 'FRI-SUN'; split it: 5-6,0"),
        ("0 22-2 * * *", "hour from small to large, got '22-2'; split it: 22-23,0-2"),
        ("0 0 L * *", f"day of month from 1 to 31, got 'L'; {NONE_OF}"),
        ("0 0 15W * *", f"day of month from 1 to 31, got '15W'; {NONE_OF}"),
        ("0 0 * * 5#2", f"day of week from 0 to 6 or SUN to SAT, got '5#2'; {NONE_OF}"),
        ("H 0 * * *", f"minute from 0 to 59, got 'H'; {NONE_OF}"),
        ("R(0-9) 0 * * *", f"minute from 0 to 59, got 'R(0'; {NONE_OF}"),
        ("*/0 * * * *", "a step of minute of at least 1, got '0'"),
        ("*/x * * * *", "a step of minute of at least 1, got 'x'"),
        ("*/ * * * *", "a step of minute of at least 1, got ''"),
        ("1-2-3 * * * *", "minute as a-b/step, got '1-2-3'"),
        ("1/2/3 * * * *", "minute as a-b/step, got '1/2/3'"),
        ("-5 * * * *", "minute from 0 to 59, got ''"),
        ("5-* * * * *", "minute from 0 to 59, got '*'"),
        ("1_0 * * * *", "minute from 0 to 59, got '1_0'"),
        ("٣ * * * *", "minute from 0 to 59, got '٣'"),
        ("JAN * * * *", "minute from 0 to 59, got 'JAN'"),
    ],
)
def test_refused(text: str, fault: str) -> None:
    """What Kubernetes refuses is refused in one line, with what to write where that is known."""
    with pytest.raises(ClusterError) as caught:
        parse_line(text)
    assert str(caught.value).startswith(f"schedule {text!r}: expected {fault}")
    assert "\n" not in str(caught.value)
    assert caught.value.hint in fault


@pytest.mark.parametrize(
    ("values", "unit", "text"),
    [
        (range(60), MINUTE, "*"),
        ([0, 15, 30, 45], MINUTE, "*/15"),
        ([45, 7, 22, 37, 52], MINUTE, "7,22,37,45,52"),
        ([22, 37, 52, 7], MINUTE, "7,22,37,52"),
        (range(2, 60, 5), MINUTE, "2-57/5"),
        ([0, 30], MINUTE, "0,30"),
        ([0, 10, 20], MINUTE, "0,10,20"),
        ([4, 5, 6], HOUR, "4-6"),
        ([23, 5, 11, 17], HOUR, "5,11,17,23"),
        ([1, 16, 31], MONTH_DAY, "*/15"),
    ],
)
def test_rendered(values: list[int], unit: Unit, text: str) -> None:
    """A field is written as a person would write it."""
    assert render_values(values, unit) == text


@given(data=st.data(), unit=st.sampled_from(UNITS))
def test_rendered_is_read_back(data: st.DataObject, unit: Unit) -> None:
    """Whatever values a field names, what is written for them names the same."""
    values = data.draw(st.frozensets(st.integers(unit.low, unit.high), min_size=1))
    text = " ".join(render_values(values, unit) if each is unit else "*" for each in UNITS)
    assert line_of(text).fields[UNITS.index(unit)].values == values
