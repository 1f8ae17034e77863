"""Batches: what becomes of each item, whatever happens to others."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.errors import (
    BadDataError,
    Interrupted,
    LeaseError,
    MisconfiguredError,
    StoreError,
    TemporaryError,
    UnavailableError,
)
from lading.jobs.batch import SKIPPED, Batch, BatchReport, Result, Tally
from lading.jobs.batch_call import Brake
from lading.jobs.batch_runner import iterate_batch, run_batch
from lading.jobs.letters import Failure
from lading.jobs.retries import FailureClass, RetryPolicy, Threshold
from tests.unit.jobs.batches import FakeHost, FakeSleep

CONCURRENCY = pytest.mark.parametrize("concurrency", [1, 4])
ONCE = RetryPolicy(attempts=1)


def fails_at(bad: Mapping[int, Exception]) -> Callable[[int], int]:
    """Return a work that doubles numbers, and fails at some."""

    def work(item: int) -> int:
        if item in bad:
            raise bad[item]
        return 2 * item

    return work


def go(items: Any, batch: Batch[Any], host: FakeHost) -> BatchReport:
    """Run a batch that never waits."""
    return run_batch(items, batch, host, sleep=FakeSleep(), share=lambda: 1.0)


@CONCURRENCY
def test_one_poisoned_item_never_stops_the_rest(concurrency: int) -> None:
    """The poisoned one is a dead letter, all others are done, and the exit code tells of it."""
    host = FakeHost()
    batch = Batch(work=fails_at({3: BadDataError("no date")}), concurrency=concurrency)

    report = go(range(10), batch, host)

    assert (report.done, report.failed, report.exit_code) == (9, 1, 65)
    assert report.first_error == "3: no date"
    assert host.buried == {"3": Failure(error_class="BadDataError", message="no date")}
    assert sorted(host.revived) == [str(each) for each in range(10) if each != 3]
    assert host.announced == (10, None)


def test_results_tell_of_each_item() -> None:
    """A result has the item, its value, its tries and why it failed."""
    host = FakeHost()
    batch = Batch(work=fails_at({1: KeyError("x")}), concurrency=1, size_bytes=lambda _: 7)

    first, second = iterate_batch([0, 1], batch, host)

    assert (first.item, first.name, first.state, first.value) == (0, "0", "done", 0)
    assert (second.state, second.attempts, second.size_bytes) == ("failed", 1, 7)
    assert second.failure_class is FailureClass.UNFORESEEN
    assert host.announced == (2, 14)


def test_the_unforeseen_keeps_its_trace_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The letter of an error that nobody foresaw says where it was raised, and no secret."""
    monkeypatch.setenv("SOME_TOKEN", "hunter2hunter2")
    host = FakeHost()

    def work(_: str) -> None:
        raise KeyError("hunter2hunter2")

    go(["a"], Batch(work=work), host)

    letter = host.buried["a"]
    assert letter.error_class == "KeyError"
    assert "Traceback" in letter.trace
    assert "test_batch.py" in letter.trace
    assert "hunter2hunter2" not in letter.trace + letter.message


def test_a_job_says_what_is_kept() -> None:
    """``letter`` makes the dead letter; where it fails itself, class and message are kept."""

    def letter(item: str, error: Exception) -> Failure:
        if item == "b":
            raise IndexError("letter")
        return Failure(error_class="Own", message=str(error), payload=item * 3)

    def work(item: str) -> None:
        raise BadDataError(f"bad {item}")

    host = FakeHost()
    go(["a", "b"], Batch(work=work, letter=letter), host)

    assert host.buried["a"] == Failure(error_class="Own", message="bad a", payload="aaa")
    assert host.buried["b"].message == "bad b"
    assert "IndexError" in host.buried["b"].trace


@CONCURRENCY
def test_what_is_temporary_is_tried_again_with_growing_pauses(concurrency: int) -> None:
    """An item that works at the third try is done; it waited twice, in slices."""
    tries = count(1)
    host, sleep = FakeHost(), FakeSleep()

    def work(item: str) -> str:
        if next(tries) < 3:
            raise TemporaryError("busy")
        return item

    batch = Batch(work=work, concurrency=concurrency)
    report = run_batch(["a"], batch, host, sleep=sleep, share=lambda: 1.0)

    assert (report.done, report.exit_code) == (1, 0)
    assert sleep.slept == [0.5, 0.5, 0.5]


def test_what_stays_temporary_is_left_and_no_dead_letter() -> None:
    """After all tries an item is left for the same command: 75, even where others failed."""
    host = FakeHost()
    bad = {1: TemporaryError("busy"), 2: BadDataError("bad")}

    report = go(range(3), Batch(work=fails_at(bad), retries=RetryPolicy(attempts=3)), host)

    assert (report.done, report.failed, report.left, report.exit_code) == (1, 1, 1, 75)
    assert set(host.buried) == {"2"}
    assert host.states["1"] == "left"


def test_a_service_is_given_the_time_it_asks_for() -> None:
    """``retry_after`` is waited for, but no longer than the policy's longest pause."""
    error = UnavailableError("slow down")
    error.retry_after = 600.0
    sleep = FakeSleep()
    policy = RetryPolicy(attempts=2, longest_pause_s=2.0)
    batch = Batch(work=fails_at({1: error}), retries=policy, concurrency=1)

    run_batch([1], batch, FakeHost(), sleep=sleep, share=lambda: 0.0)

    assert sum(sleep.slept) == 2.0


@CONCURRENCY
def test_a_pause_ends_when_the_run_must(concurrency: int) -> None:
    """A long pause is left as soon as the host says that the run must not go on."""
    host, sleep = FakeHost(check_fails=Interrupted(15), checks_before=3), FakeSleep()
    policy = RetryPolicy(first_pause_s=3600, longest_pause_s=3600)
    batch = Batch(work=fails_at({1: TemporaryError("x")}), retries=policy, concurrency=concurrency)

    with pytest.raises(Interrupted):
        run_batch([1], batch, host, sleep=sleep, share=lambda: 1.0)
    assert len(sleep.slept) < 4


@CONCURRENCY
def test_a_wrong_setting_stops_everything(concurrency: int) -> None:
    """The first item that shows it ends the batch with 78; nothing is buried, no more is begun."""
    seen: list[int] = []
    host = FakeHost()

    def work(item: int) -> None:
        seen.append(item)
        if item == 5:
            raise StoreError("bucket gone")

    with pytest.raises(MisconfiguredError, match="5: bucket gone") as raised:
        go(range(10_000), Batch(work=work, concurrency=concurrency), host)

    assert raised.value.exit_code == 78
    assert isinstance(raised.value.__cause__, StoreError)
    assert len(seen) < 100
    assert host.buried == {}
    assert host.states["5"] == "left"
    assert len(host.states) < 100


@CONCURRENCY
@pytest.mark.parametrize("error", [LeaseError("taken over"), Interrupted(15)])
def test_the_end_of_a_run_ends_its_batch(concurrency: int, error: Exception) -> None:
    """What the host's check raises is raised, once every worker has ended."""
    before = threading.active_count()
    host = FakeHost(check_fails=error, checks_before=20)

    with pytest.raises(type(error)):
        go(count(), Batch(work=str, concurrency=concurrency), host)

    assert threading.active_count() == before
    assert list(host.states.values()).count("done") <= 20


@CONCURRENCY
def test_what_work_itself_ends_with_ends_the_batch(concurrency: int) -> None:
    """A lost lease that the work meets is no failure of its item."""
    host = FakeHost()
    with pytest.raises(LeaseError):
        go(count(), Batch(work=fails_at({3: LeaseError("x")}), concurrency=concurrency), host)
    assert host.buried == {}


def test_after_a_lost_lease_no_letter_is_written() -> None:
    """Items that failed while the lease went are left: the letters are another run's by now."""
    barrier = threading.Barrier(2, timeout=20)
    host = FakeHost()

    def work(item: int) -> None:
        barrier.wait()
        if item == 0:
            raise LeaseError("x")
        lost.wait(20)
        raise BadDataError("x")

    lost = threading.Event()
    results = iterate_batch(range(2), Batch(work=work, concurrency=2), host)
    assert next(results).name == "0"
    lost.set()
    with pytest.raises(LeaseError):
        list(results)

    assert host.buried == {}
    assert set(host.states.values()) == {"left"}


@CONCURRENCY
@pytest.mark.parametrize("size", [1, 5])
def test_endless_items_are_drawn_as_they_are_needed(concurrency: int, size: int) -> None:
    """No more than two calls a thread are on the way, however many items there are."""
    drawn = count()
    items: Iterator[int] = (next(drawn) for _ in iter(int, 1))
    batch: Batch[int] = Batch(work_many=list, size=size, concurrency=concurrency)
    results = iterate_batch(items, batch, FakeHost())

    taken = [next(results).item for _ in range(20)]
    results.close()  # type: ignore[attr-defined]  # a generator, as all of ours

    assert len(set(taken)) == 20
    assert next(drawn) <= 20 + 2 * concurrency * size + size


def test_whoever_stops_drawing_stops_the_batch() -> None:
    """Closing the results awaits what was begun; nothing more is."""
    before = threading.active_count()
    results = iterate_batch(count(), Batch(work=str, concurrency=4), FakeHost())
    next(results)
    results.close()  # type: ignore[attr-defined]  # as above
    assert threading.active_count() == before


def test_what_waits_is_not_begun_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody draws any more, calls on the way are awaited; one that waits is not begun."""
    is_stopped, begun = threading.Event(), []
    put_on = Brake.put_on

    def tell(brake: Brake) -> None:
        put_on(brake)
        is_stopped.set()

    def work(item: int) -> None:
        begun.append(item)
        assert item == 0 or is_stopped.wait(20)

    monkeypatch.setattr(Brake, "put_on", tell)
    results = iterate_batch(count(), Batch(work=work, concurrency=2), FakeHost())
    next(results)
    results.close()  # type: ignore[attr-defined]  # as above
    assert set(begun) <= {0, 1, 2}


def test_one_at_a_time_is_done_by_the_caller() -> None:
    """With a concurrency of one no thread is begun."""
    seen: set[int] = set()
    go(range(3), Batch(work=lambda _: seen.add(threading.get_ident()), concurrency=1), FakeHost())
    assert seen == {threading.get_ident()}


def test_many_at_a_time_run_at_once_and_are_told_of_by_one() -> None:
    """Four calls run at the same time; the host hears of all ends from one thread."""
    barrier = threading.Barrier(4, timeout=20)
    host = FakeHost()
    report = go(range(8), Batch(work=lambda _: barrier.wait() * 0, concurrency=4), host)
    assert report.done == 8
    assert host.threads == {threading.get_ident()}


def test_work_sees_the_context_of_its_caller() -> None:
    """A context variable, as ``current_run`` reads one, has its value in every thread."""
    run: ContextVar[str] = ContextVar("run")
    token = run.set("mine")
    try:
        results = list(iterate_batch(range(4), Batch(work=lambda _: run.get()), FakeHost()))
    finally:
        run.reset(token)
    assert [each.value for each in results] == ["mine"] * 4


def test_unwanted_items_are_not_counted() -> None:
    """A retry does the items it names, and tells of no other."""
    host = FakeHost(only={"2", "5"})
    report = go(range(10), Batch(work=str, size_bytes=lambda each: each), host)
    assert (report.done, report.size_bytes) == (2, 7)
    assert set(host.states) == {"2", "5"}
    assert host.announced == (2, 7)


def test_skipped_items_resolve_their_letters() -> None:
    """An item that needs nothing is good: its dead letters go."""
    host = FakeHost()
    report = go(["a"], Batch(work=lambda _: SKIPPED), host)
    assert (report.skipped, report.exit_code, host.revived) == (1, 0, ["a"])


def test_many_at_once_are_told_apart() -> None:
    """Of a call's items each has its own end; only those that failed for now are tried again."""
    calls: list[list[str]] = []

    def work_many(items: Sequence[str]) -> list[Any]:
        calls.append(list(items))
        ends = {"a": 1, "b": SKIPPED, "c": BadDataError("bad"), "d": TemporaryError("busy")}
        return [ends[each] if len(calls) == 1 else "later" for each in items]

    host = FakeHost()
    report = go(list("abcd"), Batch(work_many=work_many, size=10), host)

    assert calls == [["a", "b", "c", "d"], ["d"]]
    assert (report.done, report.skipped, report.failed, report.left) == (2, 1, 1, 0)
    assert set(host.buried) == {"c"}


@pytest.mark.parametrize("got", [[], [1], [1, 2, 3], None])
def test_results_of_the_wrong_number_are_believed_of_nobody(got: Any) -> None:
    """A list that is too short, too long or none fails all items of the call, unforeseen."""
    host = FakeHost()
    report = go(["a", "b"], Batch(work_many=lambda _: got, size=2), host)
    assert report.failed == 2
    assert set(host.buried) == {"a", "b"}


def test_what_many_raise_is_said_of_each() -> None:
    """An exception of ``work_many`` counts for all its items, and for no other call's."""

    def work_many(items: Sequence[int]) -> Sequence[int]:
        if 3 in items:
            raise ValueError("x")
        return items

    host = FakeHost()
    report = go(range(6), Batch(work_many=work_many, size=2), host)
    assert (report.done, report.failed) == (4, 2)
    assert set(host.buried) == {"2", "3"}


@pytest.mark.parametrize(
    ("failed", "tolerated", "code"),
    [(0, 0.0, 0), (1, 0.0, 65), (29, 0.29, 0), (30, 0.29, 65), (100, 1.0, 0)],
)
def test_a_share_may_be_tolerated(failed: int, tolerated: float, code: int) -> None:
    """Up to the share tolerated, to the item, the run ends with 0; letters are kept anyway."""
    host = FakeHost()
    bad: dict[int, Exception] = {each: BadDataError("x") for each in range(failed)}
    threshold = Threshold(tolerated=tolerated)
    report = go(range(100), Batch(work=fails_at(bad), threshold=threshold), host)
    assert report.exit_code == code
    assert len(host.buried) == failed


@CONCURRENCY
def test_the_rest_is_left_after_too_many_failures(concurrency: int) -> None:
    """Of a collection every item that was not tried is left; trying again is useless: 65."""
    host = FakeHost()
    batch = Batch(
        work=fails_at({each: BadDataError("x") for each in range(1000)}),
        threshold=Threshold(stop_after=3, tolerated=1.0),
        concurrency=concurrency,
    )

    report = go(range(1000), batch, host)

    assert report.stopped
    assert report.exit_code == 65
    assert 3 <= report.failed <= 3 + 2 * concurrency
    assert report.failed + report.left == 1000 == len(host.states)
    assert "stopped after" in report.describe()


@CONCURRENCY
def test_an_endless_rest_is_left_undrawn(concurrency: int) -> None:
    """Where the items are no collection the batch ends, and says that there was a rest."""
    batch = Batch(
        work=fails_at({each: BadDataError("x") for each in range(1000)}),
        threshold=Threshold(stop_after=3),
        concurrency=concurrency,
    )
    report = go(count(), batch, FakeHost())
    assert report.stopped
    assert 1 <= report.left <= 2 * concurrency


def test_without_a_rest_nothing_was_stopped() -> None:
    """Where the last items are those that fail too often, all were tried."""
    bad = fails_at({8: BadDataError("x"), 9: BadDataError("x")})
    threshold = Threshold(stop_after=2, tolerated=0.5)
    report = go(iter(range(10)), Batch(work=bad, threshold=threshold, concurrency=1), FakeHost())
    assert (report.done, report.failed, report.stopped, report.exit_code) == (8, 2, False, 0)


@CONCURRENCY
def test_items_that_cannot_be_drawn_end_the_batch(concurrency: int) -> None:
    """What drawing raises is raised after all that was begun has ended."""

    def items() -> Iterator[int]:
        yield from range(5)
        raise UnavailableError("listing cut off")

    host = FakeHost()
    with pytest.raises(UnavailableError, match="listing cut off"):
        go(items(), Batch(work=str, concurrency=concurrency), host)
    assert len(host.states) == 5


def test_a_letter_that_cannot_be_written_for_now_leaves_its_item() -> None:
    """An item counts as failed only with its letter: without one it is tried again, by 75."""
    host = FakeHost(bury_fails=UnavailableError("store down"))
    report = go(range(3), Batch(work=fails_at({1: BadDataError("x")})), host)
    assert (report.done, report.failed, report.left, report.exit_code) == (2, 0, 1, 75)
    assert report.first_error.startswith("1: store down")


@CONCURRENCY
def test_a_store_that_refuses_letters_stops_everything(concurrency: int) -> None:
    """Where letters cannot be written at all, the setting is wrong."""
    host = FakeHost(bury_fails=StoreError("read only"))
    with pytest.raises(MisconfiguredError, match="read only"):
        go(count(), Batch(work=fails_at({1: BadDataError("x")}), concurrency=concurrency), host)


def test_letters_that_cannot_be_resolved_leave_the_item() -> None:
    """A done item whose old letters stay is done again, so that they go."""
    host = FakeHost(revive_fails=UnavailableError("store down"))
    report = go(["a"], Batch(work=str), host)
    assert (report.done, report.left) == (0, 1)


def test_unsound_batches_are_refused_with_all_faults() -> None:
    """Every wrong setting is told at once, before anything is done."""
    batch: Batch[int] = Batch(
        size=0,
        concurrency=0,
        retries=RetryPolicy(attempts=0, first_pause_s=-1),
        threshold=Threshold(tolerated=2, stop_after=0),
    )
    with pytest.raises(MisconfiguredError) as raised:
        iterate_batch([1], batch, FakeHost())
    assert len(str(raised.value).splitlines()) == 7


def test_a_report_is_one_line() -> None:
    """It says how many items had which end, their bytes, and the first error in one line."""
    host = FakeHost()
    batch = Batch(work=fails_at({1: BadDataError("a\nb")}), size_bytes=lambda _: 2500)
    text = go(range(3), batch, host).describe()
    assert text == "2 done, 0 skipped, 1 failed for good, 5.0 kB; first: 1: a b"


OUTCOMES: dict[str, Any] = {
    "done": 1,
    "skipped": SKIPPED,
    "bad": BadDataError("bad"),
    "bug": ValueError("bug"),
    "busy": TemporaryError("busy"),
}


@settings(max_examples=60, deadline=None)
@given(
    plans=st.lists(st.lists(st.sampled_from(sorted(OUTCOMES)), min_size=3, max_size=3)),
    size=st.sampled_from([0, 1, 3]),
    concurrency=st.sampled_from([1, 3]),
    stop_after=st.one_of(st.none(), st.integers(1, 4)),
)
def test_every_item_ends_in_exactly_one_state(
    plans: list[list[str]], size: int, concurrency: int, stop_after: int | None
) -> None:
    """Whatever happens at each try: one end an item, and failed items are the dead letters."""
    tries = [iter(plan) for plan in plans]

    def outcome(item: int) -> Any:
        return OUTCOMES[next(tries[item])]

    def work(item: int) -> Any:
        found = outcome(item)
        if isinstance(found, Exception):
            raise found
        return found

    def work_many(items: Sequence[int]) -> list[Any]:
        return [outcome(each) for each in items]

    host = FakeHost()
    batch = Batch(
        work=None if size else work,
        work_many=work_many if size else None,
        size=size or 1,
        concurrency=concurrency,
        retries=RetryPolicy(attempts=3),
        threshold=Threshold(stop_after=stop_after),
    )
    report = go(range(len(plans)), batch, host)

    assert report.done + report.skipped + report.failed + report.left == len(plans)
    assert set(host.states) == {str(each) for each in range(len(plans))}
    assert {name for name, state in host.states.items() if state == "failed"} == set(host.buried)
    assert report.failed == len(host.buried)
    assert len(host.revived) == report.done + report.skipped
    if stop_after is None:
        assert host.states == {str(each): expected_end(plan) for each, plan in enumerate(plans)}


def expected_end(plan: list[str]) -> str:
    """Return the state that an item's outcomes lead to."""
    last = next((each for each in plan if each != "busy"), "busy")
    return {"bad": "failed", "bug": "failed", "busy": "left"}.get(last, last)


def test_what_was_tried_is_no_rest() -> None:
    """Where more fail than are allowed, but each was tried, nothing was stopped."""
    tally = Tally(Threshold(stop_after=1, tolerated=1.0))
    for name in "ab":
        tally.add(Result(item=name, name=name, state="failed", attempts=1))
    assert (tally.report().stopped, tally.report().exit_code) == (False, 0)


def test_a_tally_counts_what_is_drawn_by_hand() -> None:
    """Whoever draws results can have the report too."""
    tally = Tally(Threshold())
    batch = Batch(work=fails_at({1: BadDataError("x")}), retries=ONCE)
    for result in iterate_batch(range(3), batch, FakeHost()):
        tally.add(result)
    assert (tally.report().done, tally.report().exit_code) == (2, 65)
