"""Progress: percent that never goes back, rates, time left."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.ledger.progress import ITEM_UNITS, ONE_ITEM, Rate, RunMeter, StepMeter, Work

works = st.builds(Work, st.integers(0, 10**9), st.integers(0, 1000))
looks = st.lists(st.tuples(st.floats(0.01, 60), works, works), min_size=1, max_size=30)


class TestRate:
    """How fast something grows."""

    def test_first_look_knows_nothing(self) -> None:
        """One mark makes no rate."""
        assert Rate().at(10.0, 500) == 0.0

    def test_over_the_window_only(self) -> None:
        """What moved before the window does not count."""
        rate = Rate(window_s=10.0)
        rate.at(0.0, 0)
        rate.at(10.0, 1000)
        assert rate.at(20.0, 1100) == pytest.approx(10.0)
        assert rate.at(40.0, 1100) == pytest.approx(0.0)

    def test_never_below_nothing(self) -> None:
        """A count that was taken back, since a try failed, is no speed."""
        rate = Rate()
        rate.at(0.0, 100)
        assert rate.at(1.0, 40) == 0.0


class TestStep:
    """One step."""

    def test_bytes_and_items_both_count(self) -> None:
        """Half of the bytes and all items are more than half; rate and time left follow."""
        meter = StepMeter()
        meter.measure(0.0, Work(), Work(ITEM_UNITS * 8, 8))
        found = meter.measure(10.0, Work(ITEM_UNITS * 4, 8), Work(ITEM_UNITS * 8, 8))
        assert found.percent == pytest.approx(75.0)
        assert found.rate_bytes_s == pytest.approx(ITEM_UNITS * 0.4)
        assert found.left_s == pytest.approx(10 * 4 / 12)
        assert (found.done_files, found.files) == (8, 8)

    def test_nothing_to_measure(self) -> None:
        """A step without a measure is at 0, and nobody knows how long it takes."""
        found = StepMeter().measure(1.0, Work(), Work())
        assert (found.percent, found.left_s, found.rate_bytes_s) == (0.0, None, 0.0)

    @given(looks)
    def test_never_goes_back(self, seen: list[tuple[float, Work, Work]]) -> None:
        """Whatever is announced, percent only grows, and stays below 100 until the end."""
        meter, now, last = StepMeter(), 0.0, 0.0
        for passed, done, to_do in seen:
            now += passed
            found = meter.measure(now, done, to_do)
            assert last <= found.percent < 100.0
            assert found.left_s is None or found.left_s >= 0
            last = found.percent


class TestRun:
    """A whole run."""

    def test_weighs_steps_by_their_work(self) -> None:
        """A step of nine tenths of the work is nine tenths of the run."""
        meter = RunMeter({"big": Work(900), "small": Work(100)})
        meter.end("big")
        assert meter.measure(1.0).percent == pytest.approx(90.0)

    def test_what_a_step_says_itself_goes_before(self) -> None:
        """A foreseen size gives way to the real one."""
        meter = RunMeter({"a": Work(1000), "b": Work(100)})
        meter.note("a", Work(50), Work(100))
        assert meter.measure(1.0).percent == pytest.approx(25.0)
        assert meter.measure(2.0).size_bytes == 200

    def test_better_foresight_never_takes_back(self) -> None:
        """More work than was foreseen slows the bar and does not move it back."""
        meter = RunMeter({"a": Work(100), "b": Work(100)})
        meter.end("a")
        before = meter.measure(1.0).percent
        meter.foresee({"b": Work(10_000)})
        assert meter.measure(2.0).percent == before == pytest.approx(50.0)

    def test_a_step_of_unknown_work_is_one_item(self) -> None:
        """Ten steps that nobody can measure are ten equal parts."""
        meter = RunMeter({f"t{n}": ONE_ITEM for n in range(10)})
        meter.end("t0")
        assert meter.measure(1.0).percent == pytest.approx(10.0)

    def test_time_left(self) -> None:
        """What is left at the speed of the last seconds."""
        meter = RunMeter({"a": Work(1000)})
        meter.note("a", Work(0), Work(1000))
        meter.measure(0.0)
        meter.note("a", Work(250), Work(1000))
        found = meter.measure(5.0)
        assert found.left_s == pytest.approx(15.0)
        assert found.rate_bytes_s == pytest.approx(50.0)

    @given(st.lists(st.tuples(st.sampled_from("abc"), works, works, st.booleans()), max_size=40))
    def test_never_goes_back(self, events: list[tuple[str, Work, Work, bool]]) -> None:
        """Steps that begin, grow and end in any order move it forward only."""
        meter, last = RunMeter({"a": Work(1 << 20), "b": ONE_ITEM}), 0.0
        for now, (task, done, to_do, ends) in enumerate(events):
            meter.note(task, done, to_do)
            if ends:
                meter.end(task)
            found = meter.measure(float(now))
            assert last <= found.percent < 100.0
            last = found.percent
