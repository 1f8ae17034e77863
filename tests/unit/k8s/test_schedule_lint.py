"""What schedules perhaps do not say as they were meant."""

import pytest

from lading.k8s.schedule import parse_schedule
from lading.k8s.schedule_lint import lint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("43 6/6 * * *", "hour 6/6 begins at 6, so 3 a day, not 4; `*/6` gives 4"),
        ("0 9/6 * * *", "hour 9/6 begins at 9, so 3 a day, not 4; `3/6` gives 4"),
        ("30/15 * * * *", "minute 30/15 begins at 30, so 2 an hour, not 4; `*/15` gives 4"),
        (
            "0 0 4,10,16,22 * *",
            (
                "day of month 4,10,16,22 is 4 days a month, at 00:00; did you mean hours:"
                " `0 4,10,16,22 * * *`?"
            ),
        ),
        (
            "30 6 5,17 * *",
            "day of month 5,17 is 2 days a month, at 06:30; did you mean hours: `30 5,17 * * *`?",
        ),
        (
            "*/7 * * * *",
            "minute */7 does not go evenly into an hour: from 56 to 0 it is 4, not 7",
        ),
        (
            "5/7 * * * *",
            "minute 5/7 does not go evenly into an hour: from 54 to 5 it is 11, not 7",
        ),
        (
            "0 0-23/5 * * *",
            "hour 0-23/5 does not go evenly into a day: from 20 to 0 it is 4, not 5",
        ),
        (
            "0 0 * * */2",
            "day of week */2 does not go evenly into a week: from 6 to 0 it is 1, not 2",
        ),
        ("*/90 * * * *", "minute */90 steps over all but 0, so 1 an hour"),
        (
            "0 0 */2 * *",
            "day of month */2 counts anew on the 1st, whatever day the month ended on",
        ),
        (
            "0 0 1 * 1",
            "day of month 1 and day of week 1: fires on either, not on days that are both",
        ),
        (
            "0 0 1-31 * 1",
            "day of month 1-31 and day of week 1: fires on either, which is every day",
        ),
        ("0 0 31 2 *", "expected a day that exists, got none: it never fires"),
        (", 0 * * *", "expected a day that exists, got none: it never fires"),
        ("0 0 30 2 *", "expected a day that exists, got none: it never fires"),
        ("* * * * *", "fires every minute"),
        (
            "* 6 * * *",
            "minute * is every minute of hour 6, 60 an hour; `0 6 * * *` fires once an hour",
        ),
        ("1,,2 * * * *", "minute 1,,2 has an empty item, which is passed over"),
        ("0 *-5 * * *", "hour *-5 is read as *, whatever follows"),
        (
            "@every 1h",
            (
                "@every counts from the last fire, not by the clock; for a time of day write five"
                " fields"
            ),
        ),
    ],
)
def test_told(text: str, said: str) -> None:
    """What was perhaps not meant is told in one line, with what to write where that is known."""
    assert lint(parse_schedule(text)) == [f"schedule {text!r}: {said}"]


def test_told_together() -> None:
    """All that is to be said of a schedule is said at once."""
    assert len(lint(parse_schedule("*/7 6/6 */2 * 1"))) == 4
    assert "names Jobs by the minute" in lint(parse_schedule("@every 30s"))[0]


@pytest.mark.parametrize(
    "text",
    [
        "0 */6 * * *",
        "7/15 * * * *",
        "0 3/6 * * *",
        "0 6-18/5 * * *",
        "0 0 1,15 * *",
        "0 0 1,8,15,22 * *",
        "0 0,12 4,10,16,22 * *",
        "0 0 4,10,16,22 6 *",
        "0 0 1 * *",
        "0 0 * * MON-FRI",
        "0 0 ? * 1",
        "0 0 29 2 *",
        "0 0 1 2/3 *",
        "@hourly",
        "@yearly",
    ],
)
def test_plain(text: str) -> None:
    """A schedule that says what it looks like is let alone."""
    assert lint(parse_schedule(text)) == []
