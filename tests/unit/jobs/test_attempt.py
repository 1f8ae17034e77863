"""One try of a piece of work: what it finds, does, and leaves behind however it ends."""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from lading.errors import (
    BadDataError,
    Interrupted,
    LadingError,
    LeaseError,
    MisconfiguredError,
    StoreError,
    TemporaryError,
    UnavailableError,
)
from lading.jobs import attempt as attempts
from lading.jobs.audit import AuditStream
from lading.jobs.events import EventType, make_event
from lading.jobs.leases import Lease
from lading.jobs.refs import ObjectRef
from lading.jobs.run import Run
from lading.jobs.running import Order, work_of
from lading.jobs.settings import JobSettings
from lading.storage import Body, LocalStore, Store
from lading.storage.owner import name_process
from tests.fakes.stores import FakeWatchedStore
from tests.unit.jobs.job_world import World, outcome_of, tuple_job, typed_job, write_name
from tests.unit.jobs.trails import facts_of, run_id

ONCE = typed_job(identity=("name",))
GONE = name_process().rpartition("/")[0] + "/0"
"""A process of this machine that has ended."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A project."""
    return World(tmp_path)


def raising(error: BaseException) -> Callable[..., Any]:
    """Return an entrypoint that raises."""

    def entrypoint(*_: Any) -> int:
        raise error

    return entrypoint


def begin_another(world: World, *, process: str = "elsewhere/1/1", told: bool = True) -> Lease:
    """Take the work of ``ONCE`` as another process does, which has no end yet."""
    work = work_of(ONCE, Order(), world.settings)
    lease = Lease(world.store, work.identity, run_id(7), world.settings.open_store)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lading.jobs.leases.name_process", lambda: process)
        lease.take()
    if told:
        facts = replace(facts_of(7, job="hello"), identity=work.identity.key)
        at = lease.look()
        assert at is not None
        AuditStream(world.store, "hello").append(make_event(EventType.START, facts, at.started_at))
    return lease


class TestDone:
    """A run that ends well."""

    def test_what_it_leaves(self, world: World) -> None:
        """A marker with its outputs, START and COMPLETE with them, and a line that says it."""
        outcome = world.run(ONCE, "--name", "bob")
        (marker,) = world.markers()
        assert (outcome.exit_code, outcome.was_done) == (0, False)
        assert (marker.state, marker.run_id, marker.attempt) == ("done", outcome.run_id, 1)
        assert (marker.outputs, marker.message) == (1, "1 objects written")
        assert world.kinds() == ["START", "COMPLETE"]
        start, end = world.events()
        assert start["job"] == {"namespace": "acme", "name": "hello"}
        assert [each["name"] for each in end["outputs"]] == ["out/bob"]
        assert marker.audit is not None
        assert marker.audit.sequence == 2
        assert outcome_of(end)["listing"] == marker.outputs_sha256
        (line,) = world.said
        assert (line["message"], line["run"], line["level"]) == (
            "1 objects written",
            outcome.run_id,
            "INFO",
        )
        world.require_whole()

    def test_done_once(self, world: World) -> None:
        """The same again does nothing, and says who did it; other arguments are other work."""
        first = world.run(ONCE)
        again = world.run(ONCE)
        assert (again.exit_code, again.was_done, again.run_id) == (0, True, first.run_id)
        assert world.messages[0].startswith(f"done before, by run {first.run_id} at ")
        assert world.messages[0].endswith(": 1 objects stand as they were written")
        assert not world.run(ONCE, "--name", "bob").was_done
        assert world.kinds() == ["START", "COMPLETE"] * 2

    @pytest.mark.parametrize("ruin", ["gone", "changed"])
    def test_done_is_not_believed(self, world: World, ruin: str) -> None:
        """Where an output is gone or changed, the work is done again, and it is said why."""
        world.run(ONCE)
        path = world.base / "state/out/ann"
        path.unlink() if ruin == "gone" else path.write_text("other")
        outcome = world.run(ONCE)
        assert not outcome.was_done
        assert path.read_text() == "ann"
        assert world.said[0]["level"] == "WARNING"
        assert world.messages[0].startswith("done before, but ")
        assert "out/ann: expected" in world.messages[0]
        assert [each.attempt for each in world.markers()] == [2]

    @pytest.mark.parametrize("job", [tuple_job(lambda _: 0), typed_job()])
    def test_without_an_identity(self, world: World, job: Any) -> None:
        """A job that does not say what identifies its runs runs at each call."""
        assert not world.run(job).was_done
        assert not world.run(job).was_done
        assert world.kinds() == ["START", "COMPLETE"] * 2
        assert [each.attempt for each in world.markers()] == [2]

    def test_what_it_counted_and_knew(self, world: World) -> None:
        """Counts and facts of the run stand in the event of its end; counts in its last line."""

        def entrypoint(_: Any, run: Run) -> None:
            run.count("done", 3)
            run.count("dead_letters")
            run.facts["rows"] = 7

        outcome = world.run(typed_job(entrypoint))
        assert outcome.message == "3 done, 1 dead letters"
        assert outcome.counts == {"done": 3, "dead_letters": 1}
        told = outcome_of(world.events()[-1])
        assert (told["counts"], told["rows"]) == ({"done": 3, "dead_letters": 1}, 7)

    def test_what_it_will_read(self, world: World) -> None:
        """Inputs that the specification lists stand in both events."""
        ref = ObjectRef(store_url="s3://lake", key="a.csv", size_bytes=3, sha256="ab" * 32)
        world.run(typed_job(inputs=lambda *_: [ref]))
        for event in world.events():
            (found,) = event["inputs"]
            assert (found["namespace"], found["name"]) == ("s3://lake", "a.csv")

    def test_who_and_what_for(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Events say who, in which image, and which run of which job began it."""
        monkeypatch.setenv("LADING_IMAGE", "registry.example/jobs@sha256:ab")
        world.run(tuple_job(lambda _: 0), parent=f"backfill/{run_id(3)}")
        for event in world.events():
            facets = event["run"]["facets"]
            assert facets["lading"]["image"] == "registry.example/jobs@sha256:ab"
            assert facets["lading"]["who"]
            assert facets["parent"]["run"] == {"runId": run_id(3)}
            assert facets["parent"]["job"] == {"namespace": "acme", "name": "backfill"}


class TestFailed:
    """A run that does not."""

    @pytest.mark.parametrize(
        ("error", "code", "kind"),
        [
            (BadDataError("rows: expected some"), 65, "FAIL"),
            (TemporaryError("x", hint="h"), 75, "FAIL"),
            (MisconfiguredError("x"), 78, "FAIL"),
            (UnavailableError("x"), 75, "FAIL"),
            (StoreError("no such bucket"), 78, "FAIL"),
            (ConnectionResetError("x"), 75, "FAIL"),
            (RuntimeError("boom"), 70, "FAIL"),
            (RuntimeError(), 70, "FAIL"),
            (asyncio.CancelledError(), 70, "FAIL"),
            (KeyboardInterrupt(), 70, "FAIL"),
            (Interrupted(15), 143, "ABORT"),
        ],
    )
    def test_by_an_error(self, world: World, error: BaseException, code: int, kind: str) -> None:
        """Its class is the exit code; the marker is given back, the event tells why."""
        outcome = world.run(typed_job(raising(error), identity=("name",)))
        said = str(error) or type(error).__name__
        assert (outcome.exit_code, outcome.message) == (code, said)
        (marker,) = world.markers()
        assert (marker.state, marker.exit_code, marker.message) == ("failed", code, said)
        assert world.kinds() == ["START", kind]
        assert outcome_of(world.events()[-1])["message"] == said
        (line,) = world.said
        assert (line["level"], line["message"]) == ("ERROR", said)
        assert ("exception" in line) == (not isinstance(error, LadingError))
        world.require_whole()

    def test_its_trace_is_the_jobs(self, world: World) -> None:
        """The trace of what nobody foresaw begins where the job's own code does."""
        world.run(typed_job(raising(RuntimeError("boom"))))
        trace = world.said[0]["exception"]
        assert "raise error" in trace
        assert "lading/jobs" not in trace

    def test_tried_again(self, world: World) -> None:
        """After a failure the same command tries again at once, as the next attempt."""
        codes = iter([75, 0])
        job = typed_job(lambda *_: next(codes), identity=("name",))
        assert [world.run(job).exit_code for _ in range(2)] == [75, 0]
        assert world.kinds() == ["START", "FAIL", "START", "COMPLETE"]
        assert [each.attempt for each in world.markers()] == [2]

    def test_no_secret_is_told(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Log, events, marker and outcome hold no secret of the environment."""
        monkeypatch.setenv("APP_TOKEN", "s3cr3t-value")
        error = RuntimeError("denied: s3cr3t-value")
        outcome = world.run(tuple_job(raising(error)), "--token=s3cr3t-value")
        texts = [path.read_text() for path in world.base.rglob("*") if path.is_file()]
        assert len(texts) >= 3
        assert not any("s3cr3t" in text for text in (*texts, json.dumps(world.said), str(outcome)))
        assert "denied: ***" in outcome.message

    def test_signal(self, world: World) -> None:
        """SIGTERM: 143, an ABORT, and the work is given back at once."""

        def entrypoint(*_: Any) -> int:
            os.kill(os.getpid(), signal.SIGTERM)
            return 0

        assert world.run(typed_job(entrypoint, identity=("name",))).exit_code == 143
        assert world.kinds() == ["START", "ABORT"]
        assert [each.state for each in world.markers()] == ["failed"]
        assert world.run(ONCE).exit_code == 0

    def test_timeout(self, world: World) -> None:
        """A run over its time: 75, a FAIL, given back."""
        job = typed_job(lambda *_: signal.pause(), identity=("name",), timeout_s=0.05)
        assert world.run(job).exit_code == 75
        assert world.kinds() == ["START", "FAIL"]
        assert "expected to end within 0.05 s" in world.messages[0]

    def test_lost_lease(self, world: World) -> None:
        """A run whose work another has taken over ends with 75, and tells nothing in its name."""

        def entrypoint(_: Any, run: Run) -> int:
            assert run.lease is not None
            path = world.base / "state" / world.markers()[0].key
            path.write_text(path.read_text().replace(run.id, run_id(9)))
            with pytest.raises(LeaseError):
                run.lease.renew()
            run.check()
            return 0

        outcome = world.run(typed_job(entrypoint, identity=("name",)))
        assert outcome.exit_code == 75
        assert "taken over" in outcome.message
        assert world.kinds() == ["START"]
        assert [(each.run_id, each.state) for each in world.markers()] == [
            (run_id(9), "in progress")
        ]


class TestAfterAnother:
    """What a run finds of one before, that could not say how it ended."""

    def test_living_owner(self, world: World) -> None:
        """While its lease stands: 75, naming who and until when; nothing is done."""
        begin_another(world)
        outcome = world.run(ONCE)
        assert outcome.exit_code == 75
        assert "expected nobody at work on this run of hello, found process" in outcome.message
        assert not (world.base / "state/out").exists()
        assert world.kinds() == ["START"]

    def test_dead_owner(self, world: World) -> None:
        """One that is gone is taken over at once, and ABORT is said of it."""
        begin_another(world, process=GONE)
        outcome = world.run(ONCE)
        assert outcome.exit_code == 0
        assert world.kinds() == ["START", "ABORT", "START", "COMPLETE"]
        abort = world.events()[1]
        assert abort["run"]["runId"] == run_id(7)
        assert outcome_of(abort)["message"].startswith(f"taken over by run {outcome.run_id}: its")
        assert [each.attempt for each in world.markers()] == [2]
        world.require_whole()

    def test_dead_before_its_start(self, world: World) -> None:
        """Of one that had said nothing, nothing is said."""
        begin_another(world, process=GONE, told=False)
        assert world.run(ONCE).exit_code == 0
        assert world.kinds() == ["START", "COMPLETE"]

    def test_dead_after_its_complete(self, world: World) -> None:
        """One that was ended between COMPLETE and its marker has done the work: it is believed."""
        first = world.run(ONCE)
        key = world.markers()[0].key
        path = world.base / "state" / key
        table = json.loads(path.read_text())
        path.write_text(
            json.dumps({**table, "state": "in progress", "process": GONE, "exit_code": None})
        )
        outcome = world.run(ONCE)
        assert (outcome.was_done, outcome.run_id) == (True, first.run_id)
        assert world.kinds() == ["START", "COMPLETE"]
        assert [(each.state, each.run_id) for each in world.markers()] == [("done", first.run_id)]
        world.require_whole()


class TestWaiting:
    """Another is at work, and there is time."""

    def test_until_the_lease_is_over(self, world: World) -> None:
        """A pod waits for the lease of one that was killed elsewhere, and does its work."""
        lease = begin_another(world)
        naps: list[float] = []

        def sleep(seconds: float) -> None:
            naps.append(seconds)
            if len(naps) == 3:
                lease._length = timedelta(seconds=-1)
                lease.renew()

        outcome = world.told(
            lambda telling: attempts_of(world, telling, sleep, wait_s=330), sleep=sleep
        )
        assert outcome.exit_code == 0
        assert len(naps) == 3
        assert [line for line in world.messages if line.startswith("waiting: ")] == [
            world.messages[0]
        ]
        assert world.kinds() == ["START", "ABORT", "START", "COMPLETE"]

    def test_not_for_ever(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """A living owner is waited for as long as was said, then it is 75."""
        begin_another(world)
        clock = Clock()
        monkeypatch.setattr(attempts, "Circumstances", clock.around(attempts.Circumstances))
        monkeypatch.setattr("lading.jobs.running.Circumstances", attempts.Circumstances)
        outcome = world.run(ONCE, wait_s=10)
        assert outcome.exit_code == 75
        assert 10 <= clock.now <= 12

    def test_a_signal_ends_the_waiting(self, world: World) -> None:
        """Whoever waits heeds SIGTERM, and leaves nothing."""
        begin_another(world)

        def sleep(_: float) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

        outcome = world.told(
            lambda telling: attempts_of(world, telling, sleep, wait_s=60), sleep=sleep
        )
        assert outcome.exit_code == 143
        assert world.kinds() == ["START"]

    @pytest.mark.parametrize("code", [0, 65])
    def test_its_end_is_ours(self, world: World, code: int) -> None:
        """Where both are the same errand, how the other ended is how this one does."""
        lease = begin_another(world)

        naps: list[float] = []

        def sleep(seconds: float) -> None:
            naps.append(seconds)
            if len(naps) == 3:
                lease.complete([], "all of it") if code == 0 else lease.fail(code, "all of it")

        outcome = world.told(
            lambda telling: attempts_of(world, telling, sleep, wait_s=60, joins=True), sleep=sleep
        )
        assert (outcome.exit_code, outcome.run_id) == (code, run_id(7))
        assert len(naps) == 3
        assert outcome.message == f"run {run_id(7)}, which was waited for: all of it"
        assert world.kinds() == ["START"]


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        """Move on."""
        self.now += seconds

    def around(self, kind: Any) -> Callable[..., Any]:
        """Return what makes circumstances with this clock."""
        return lambda **given: kind(**{**given, "clock": lambda: self.now, "sleep": self.sleep})


def attempts_of(world: World, telling: Any, sleep: Callable[[float], None], **more: Any) -> Any:
    """Run ``ONCE`` with more of its work said."""
    from lading.jobs.running import tell  # noqa: PLC0415

    telling = replace(telling, sleep=sleep)
    work = replace(work_of(ONCE, Order(), world.settings), **more)
    return tell("hello", telling, lambda: work, world.settings)


class TestStoreFaults:
    """The place that remembers fails."""

    @pytest.mark.parametrize("after", [False, True])
    def test_each_write(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool) -> None:  # noqa: FBT001
        """Whichever write fails, done or not: no traceback, and the next run makes it good."""
        codes: list[int] = []
        number = 0
        while not codes or codes[-1]:
            number += 1
            world = World(tmp_path / f"{after}{number}")
            with monkeypatch.context() as patch:
                faulty = Faulty(number, after=after)
                patch.setattr(JobSettings, "open_store", faulty.opener())
                patch.setattr("lading.jobs.leases.name_process", lambda: GONE)
                codes.append(world.run(ONCE).exit_code)
                assert "exception" not in json.dumps(world.said)
            again = world.run(ONCE)
            assert again.exit_code == 0, (number, world.said)
            assert (world.base / "state/out/ann").read_text() == "ann"
            assert world.kinds().count("COMPLETE") <= 2
            assert world.run(ONCE).was_done
            world.require_whole()
            assert number < 20
        # marker, START, output, listing (twice the same), COMPLETE, marker
        assert set(codes[:-1]) == {75}
        assert number >= 7

    def test_end_that_cannot_be_told(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Work that is done, of which nobody can be told, has failed; it is given back at once."""
        faulty = Faulty(5, after=False)  # marker, START, output, list, COMPLETE
        with monkeypatch.context() as patch:
            patch.setattr(JobSettings, "open_store", faulty.opener())
            assert world.run(ONCE).exit_code == 75
        assert world.kinds() == ["START", "FAIL"]
        assert [each.state for each in world.markers()] == ["failed"]
        assert world.run(ONCE).exit_code == 0

    def test_broken_trail(self, world: World) -> None:
        """Where nothing can follow in the trail, it is said, and the work is given back."""
        world.run(ONCE)
        (event,) = (world.base / "state/.lading/audit").rglob("*2.jsonl")
        event.write_text("{}\n")
        outcome = world.run(ONCE, "--name", "bob")
        assert outcome.exit_code == 70
        assert "expected" in outcome.message
        assert "lading audit verify" in outcome.message
        assert sorted(each.state for each in world.markers()) == ["done", "failed"]


class Faulty:
    """Opens stores of which one write fails."""

    def __init__(self, number: int, *, after: bool) -> None:
        self._left = number
        self._after = after

    def opener(self) -> Callable[[JobSettings, str], Store]:
        """Return what stands for ``JobSettings.open_store``."""
        given = {"after" if self._after else "before": self._hook}
        return lambda settings, url: FakeWatchedStore(LocalStore(settings.base / url), **given)

    def _hook(self, verb: str, key: str) -> None:
        self._left -= 1
        if self._left == 0:
            raise UnavailableError(f"{verb} {key}: the connection was cut")


def test_nothing_else_stands_there(world: World) -> None:
    """A job's objects and its own memory are all that a run leaves."""
    world.run(typed_job(write_name, identity=("name",)))
    keys = sorted(each.key for each in world.store.list())
    assert [key.rpartition("/")[0] for key in keys] == [
        ".lading/audit/hello",
        ".lading/audit/hello",
        ".lading/jobs/hello/runs",
        ".lading/jobs/listings",
        "out",
    ]


def test_equal_bytes_are_not_written_again(world: World) -> None:
    """An output that stands as it would be written is not touched."""
    job = typed_job()
    world.run(job)
    before = (world.base / "state/out/ann").stat().st_mtime_ns
    world.run(job)
    assert (world.base / "state/out/ann").stat().st_mtime_ns == before
    body = Body.of_bytes(b"ANN")
    world.run(typed_job(lambda _, run: run.put(run.store, "out/ann", body).size_bytes - 3))
    assert (world.base / "state/out/ann").read_text() == "ANN"
