"""Steps as bars: all inside the picture, to the end of what is known."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from lading.ledger.model import Step
from lading.web.timeline import WIDTH, draw_timeline, pick
from tests.unit.ledger.made_runs import NOON, make_run, make_step

SECONDS = st.none() | st.integers(-(10**6), 10**7)


def moved(seconds: int | None) -> timedelta | None:
    """Return a duration, or None."""
    return None if seconds is None else timedelta(seconds=seconds)


@given(times=st.lists(st.tuples(SECONDS, SECONDS), max_size=20), is_running=st.booleans())
def test_every_bar_lies_in_the_picture(
    times: list[tuple[int | None, int | None]], *, is_running: bool
) -> None:
    """Clocks that jump, steps that end before they begin: a bar has a place and a width."""
    steps = tuple(
        Step(
            task=f"step {index}",
            state="done",
            started_at=None if begin is None else NOON + timedelta(seconds=begin),
            ended_at=None if end is None else NOON + timedelta(seconds=end),
        )
        for index, (begin, end) in enumerate(times)
    )
    run = make_run("running" if is_running else "completed", steps=steps)
    timeline = draw_timeline(run, NOON + timedelta(hours=1))
    assert [each.step for each in timeline.bars] == list(steps)
    assert timeline.span_s > 0
    for bar in timeline.bars:
        assert (bar.x is None) == (bar.step.started_at is None)
        if bar.x is not None:
            assert 0 <= bar.x < bar.x + bar.width <= WIDTH
            assert bar.elapsed_s >= 0
    assert len(timeline.ticks) <= 5
    assert all(0 < x <= WIDTH for x, _ in timeline.ticks)


def test_bars_tell_when_and_how_long() -> None:
    """A step of the first minute of three is the first third."""
    run = make_run(steps=(make_step("fetch", "done"),))
    timeline = draw_timeline(run, NOON)
    assert timeline.span_s == 180
    assert timeline.bars[0].x == 0
    assert timeline.bars[0].width == 333.3
    assert timeline.ticks == ((333.3, 60), (666.7, 120), (1000.0, 180))


def test_a_running_step_grows_to_now() -> None:
    """What runs is drawn until the moment of reading."""
    run = make_run("running", ended_at=None, steps=(make_step("upload:gcs", "running"),))
    bar = draw_timeline(run, NOON + timedelta(seconds=90)).bars[0]
    assert (bar.elapsed_s, bar.width) == (90, WIDTH)


def test_the_step_of_a_dead_run_ends_when_it_was_last_heard_of() -> None:
    """A run that was killed yesterday has not worked all night."""
    run = make_run(
        "running",
        is_aborted=True,
        heartbeat_at=NOON + timedelta(seconds=30),
        steps=(make_step("upload:gcs", "running"),),
    )
    assert draw_timeline(run, NOON + timedelta(days=1)).bars[0].elapsed_s == 30


def test_what_is_loud_is_picked_before_what_is_not() -> None:
    """Of too many, those that are wanted stay, in their order."""
    assert pick("abcdef", 3, is_wanted=[False, False, False, False, True, True]) == ("a", "e", "f")
    assert pick("abc", 3, is_wanted=[False] * 3) == ("a", "b", "c")
