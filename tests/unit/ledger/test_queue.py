"""The queue: accepted once, claimed by one, ended once, on SQLite and PostgreSQL."""

import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import exc, insert, select, text
from sqlalchemy.event import listen

from lading.errors import LedgerError
from lading.ledger.claims import (
    LEASE_S,
    _take,
    claim,
    finish,
    has_lapsed,
    heartbeat,
    read_clock,
    release_claim,
)
from lading.ledger.ledger import Ledger, open_ledger
from lading.ledger.queue import (
    JobRequest,
    KeyConflict,
    NotEnded,
    cancel,
    has_open,
    retry,
    submit,
)
from lading.ledger.read import load_run
from lading.ledger.tables import events, runs
from lading.storage.owner import name_process

AT = datetime(2026, 11, 21, 20, 30, tzinfo=UTC)
HERE = name_process()
GONE = HERE.rpartition("/")[0] + "/0"
AWAY = ("away/1/1", "away/2/2", "away/3/3")
REQUEST = JobRequest(project="maps", version="7", environment="staging", requested_by="ci")


def later(seconds: float) -> datetime:
    """Return a moment after the first."""
    return AT + timedelta(seconds=seconds)


def end(ledger: Ledger, run_id: str, process: str, state: str = "completed", **more: Any) -> bool:
    """End a job."""
    values = {"exit_code": 0, "error": "", "result": {}, "at": later(60), **more}
    return finish(ledger, run_id, process, state=state, **values)


def kinds_of(ledger: Ledger, run_id: str) -> list[str]:
    """Return the changes of state of a job, in their order."""
    wanted = select(events.c.kind).where(events.c.run_id == run_id).order_by(events.c.id)
    with ledger.reading() as connection:
        return list(connection.execute(wanted).scalars())


def test_a_job_from_beginning_to_end(ledger: Ledger) -> None:
    """A job is queued, claimed, kept and completed; each change is an event."""
    job, is_new = submit(ledger, REQUEST, AT)
    assert is_new
    assert (job.state, job.kind, job.project, job.tag) == ("queued", "publish", "maps", "7")
    assert (job.environment, job.channel, job.requested_by) == ("staging", "staging", "ci")
    assert job.command == "doit publish version=7 environment=staging"
    assert job.created_at == AT
    assert job.started_at is None
    assert has_open(ledger, ["maps"])
    assert not has_open(ledger, ["others"])

    claimed = claim(ledger, AWAY[0], "process 1 on away", later(1), ["maps"])
    assert claimed is not None
    assert (claimed.run_id, claimed.state, claimed.attempt) == (job.run_id, "running", 1)
    assert claimed.started_at == claimed.heartbeat_at == later(1)
    assert heartbeat(ledger, job.run_id, AWAY[0], later(2)) == (True, False)
    assert heartbeat(ledger, job.run_id, AWAY[1], later(3)) == (False, False)

    assert not end(ledger, job.run_id, AWAY[1])
    assert end(ledger, job.run_id, AWAY[0], result={"asset_count": 3})
    assert not end(ledger, job.run_id, AWAY[0], "failed")
    ended = load_run(ledger, job.run_id)
    assert ended is not None
    assert (ended.state, ended.exit_code, ended.progress.percent) == ("completed", 0, 100)
    assert (ended.heartbeat_at, ended.ended_at) == (later(2), later(60))
    assert ended.result == {"asset_count": 3}
    assert kinds_of(ledger, job.run_id) == ["queued", "running", "completed"]
    assert not has_open(ledger, ["maps"])


def test_a_key_makes_one_job(ledger: Ledger) -> None:
    """A request that is repeated under its key is the same job, whatever became of it."""
    asked = replace(REQUEST, idempotency_key="tonight")
    first, _ = submit(ledger, asked, AT)
    cancel(ledger, first.run_id, later(1))
    again, is_new = submit(ledger, replace(asked, requested_by="renewed"), later(2))

    assert (again.run_id, is_new, again.state) == (first.run_id, False, "cancelled")
    assert submit(ledger, REQUEST, later(3))[0].run_id != first.run_id
    assert submit(ledger, REQUEST, later(3))[1]


@pytest.mark.parametrize(
    "other", [{"version": "8"}, {"environment": "production"}, {"project": "charts"}]
)
def test_a_key_of_another_request(ledger: Ledger, other: dict[str, str]) -> None:
    """A key that stands for another request is refused, and makes nothing."""
    asked = replace(REQUEST, idempotency_key="tonight")
    submit(ledger, asked, AT)
    with pytest.raises(KeyConflict):
        submit(ledger, replace(asked, **other), AT)

    with ledger.reading() as connection:
        assert len(connection.execute(select(runs.c.id)).all()) == 1


def test_one_job_of_a_project_at_a_time(ledger: Ledger) -> None:
    """While a job of a project runs, its other jobs wait, to whatever environment; others run."""
    first, _ = submit(ledger, REQUEST, AT)
    second, _ = submit(ledger, replace(REQUEST, environment="production"), later(1))
    other, _ = submit(ledger, replace(REQUEST, project="charts"), later(2))

    claimed = [claim(ledger, each, "o", later(3)) for each in AWAY]
    assert [each and each.run_id for each in claimed] == [first.run_id, other.run_id, None]
    end(ledger, first.run_id, AWAY[0])
    third = claim(ledger, AWAY[2], "o", later(4))
    assert third is not None
    assert third.run_id == second.run_id


def test_only_projects_that_are_here(ledger: Ledger) -> None:
    """A worker leaves alone what it cannot publish, however old it is."""
    submit(ledger, REQUEST, AT)
    mine, _ = submit(ledger, replace(REQUEST, project="charts"), later(1))

    assert claim(ledger, AWAY[0], "o", later(2), []) is None
    found = claim(ledger, AWAY[0], "o", later(2), ["charts"])
    assert found is not None
    assert found.run_id == mine.run_id


def test_the_database_refuses_two_publishes(ledger: Ledger) -> None:
    """Two running jobs of one project and environment cannot stand in the ledger at all."""
    first, _ = submit(ledger, REQUEST, AT)
    second, _ = submit(ledger, REQUEST, later(1))
    claim(ledger, AWAY[0], "o", later(2))

    with pytest.raises(LedgerError) as caught, ledger.writing() as connection:
        connection.execute(runs.update().where(runs.c.id == second.run_id).values(state="running"))
    assert isinstance(caught.value.__cause__, exc.IntegrityError)
    assert first.run_id != second.run_id


@pytest.mark.parametrize(
    ("process", "silent_s"), [(GONE, 0.5), (AWAY[0], LEASE_S + 1)], ids=["gone", "silent"]
)
def test_a_worker_that_is_gone(ledger: Ledger, process: str, silent_s: float) -> None:
    """A job whose worker is gone, or silent elsewhere, is taken up again as a new attempt."""
    job, _ = submit(ledger, REQUEST, AT)
    claim(ledger, process, "o", AT)
    with ledger.writing() as connection:
        connection.execute(runs.update().values(percent=60, error="cut", failed_at="upload:a"))
    again = claim(ledger, AWAY[1], "o", later(silent_s))

    assert again is not None
    assert (again.run_id, again.attempt, again.state) == (job.run_id, 2, "running")
    assert (again.progress.percent, again.error, again.failed_at) == (0, "", "")
    assert again.started_at == AT
    assert heartbeat(ledger, job.run_id, process, later(30)) == (False, False)
    assert not end(ledger, job.run_id, process)
    assert end(ledger, job.run_id, AWAY[1])
    assert kinds_of(ledger, job.run_id) == ["queued", "running", "running", "completed"]


def test_a_worker_that_is_seen_keeps_its_job(ledger: Ledger) -> None:
    """A claim of a process that is seen at work does not lapse, however long it says nothing."""
    submit(ledger, REQUEST, AT)
    claim(ledger, HERE, "o", AT)

    assert claim(ledger, AWAY[0], "o", later(10 * LEASE_S)) is None


def test_when_a_claim_lapses() -> None:
    """A claim lapses at once where its process is seen gone, else after the lease."""
    assert has_lapsed(GONE, AT, AT)
    assert not has_lapsed(HERE, AT, later(1000))
    assert not has_lapsed(AWAY[0], AT, later(LEASE_S))
    assert has_lapsed(AWAY[0], AT, later(LEASE_S + 0.1))
    assert has_lapsed("", None, AT)


def test_back_into_the_queue(ledger: Ledger) -> None:
    """A worker that is asked to end puts its job back, for the next attempt."""
    job, _ = submit(ledger, REQUEST, AT)
    claim(ledger, HERE, "o", AT)
    release_claim(ledger, job.run_id, AWAY[0], later(1))
    assert heartbeat(ledger, job.run_id, HERE, later(1)) == (True, False)
    release_claim(ledger, job.run_id, HERE, later(2))
    release_claim(ledger, job.run_id, HERE, later(2))

    again = claim(ledger, AWAY[0], "o", later(3))
    assert again is not None
    assert (again.run_id, again.attempt) == (job.run_id, 2)
    assert kinds_of(ledger, job.run_id) == ["queued", "running", "queued", "running"]


def test_cancel(ledger: Ledger) -> None:
    """A queued job is cancelled at once; a running one is asked; an ended one stays."""
    queued, _ = submit(ledger, REQUEST, AT)
    running, _ = submit(ledger, replace(REQUEST, project="charts"), AT)
    claim(ledger, HERE, "o", AT, ["charts"])

    ended = cancel(ledger, queued.run_id, later(1))
    assert ended is not None
    assert (ended.state, ended.ended_at) == ("cancelled", later(1))
    assert cancel(ledger, queued.run_id, later(2)) == ended
    for _ in range(2):
        asked = cancel(ledger, running.run_id, later(1))
        assert asked is not None
        assert (asked.state, asked.is_cancelling) == ("running", True)
    assert heartbeat(ledger, running.run_id, HERE, later(2)) == (True, True)
    assert end(ledger, running.run_id, HERE, "cancelled")
    assert claim(ledger, AWAY[0], "o", later(9)) is None
    assert cancel(ledger, "20261121T203000-0000000000", AT) is None
    assert kinds_of(ledger, running.run_id) == ["queued", "running", "cancelling", "cancelled"]


def test_a_cancelled_job_does_not_go_back(ledger: Ledger) -> None:
    """A job that was to stop is cancelled where its worker is asked to end meanwhile."""
    job, _ = submit(ledger, REQUEST, AT)
    claim(ledger, HERE, "o", AT)
    cancel(ledger, job.run_id, later(1))
    release_claim(ledger, job.run_id, HERE, later(2))

    ended = load_run(ledger, job.run_id)
    assert ended is not None
    assert (ended.state, ended.ended_at) == ("cancelled", later(2))


def test_retry(ledger: Ledger) -> None:
    """A failed job is tried again by one new job, however often that is asked for."""
    job, _ = submit(ledger, replace(REQUEST, idempotency_key="k"), AT)
    with pytest.raises(NotEnded):
        retry(ledger, job.run_id, "me", AT)
    claim(ledger, HERE, "o", AT)
    with pytest.raises(NotEnded):
        retry(ledger, job.run_id, "me", AT)
    end(ledger, job.run_id, HERE, "failed", error="no space", exit_code=1)

    again, is_new = retry(ledger, job.run_id, "me", later(100))
    assert is_new
    assert (again.state, again.retry_of, again.requested_by) == ("queued", job.run_id, "me")
    assert (again.project, again.tag, again.environment) == ("maps", "7", "staging")
    same, is_new = retry(ledger, job.run_id, "you", later(101))
    assert (same.run_id, is_new) == (again.run_id, False)
    claim(ledger, HERE, "o", later(102))
    end(ledger, again.run_id, HERE)
    with pytest.raises(NotEnded):
        retry(ledger, again.run_id, "me", later(103))
    with pytest.raises(LedgerError, match="nothing-like-it"):
        retry(ledger, "nothing-like-it", "me", AT)


def test_the_error_of_the_run_stays(ledger: Ledger) -> None:
    """What a run wrote itself stays where its worker adds nothing, and goes once it is done."""
    job, _ = submit(ledger, REQUEST, AT)
    other, _ = submit(ledger, replace(REQUEST, project="charts"), AT)
    for _ in range(2):
        claim(ledger, HERE, "o", AT)
    with ledger.writing() as connection:
        connection.execute(runs.update().values(error="no space", failed_at="upload:a"))
    end(ledger, job.run_id, HERE, "failed")
    end(ledger, other.run_id, HERE, "completed")

    found = [load_run(ledger, each.run_id) for each in (job, other)]
    assert [each and (each.error, each.failed_at) for each in found] == [
        ("no space", "upload:a"),
        ("", ""),
    ]


def test_runs_of_people_are_no_jobs(ledger: Ledger) -> None:
    """A run that a person began is neither claimed, nor cancelled, nor tried again."""
    job, _ = submit(ledger, REQUEST, AT)
    with ledger.writing() as connection:
        row = dict(connection.execute(select(runs)).mappings().one())
        person = {**row, "id": "20261121T203000-000000000a", "is_job": False, "state": "failed"}
        connection.execute(insert(runs).values(person))
    end(ledger, job.run_id, HERE)

    assert cancel(ledger, person["id"], AT) is None
    with pytest.raises(LedgerError):
        retry(ledger, person["id"], "me", AT)
    assert claim(ledger, HERE, "o", AT) is not None
    assert claim(ledger, HERE, "o", AT) is None


def test_the_clock(ledger: Ledger) -> None:
    """Leases are judged by an aware time, that of the database's server where it has one."""
    at = read_clock(ledger)
    assert at.tzinfo is not None
    assert abs(at - datetime.now(UTC)) < timedelta(seconds=60)
    assert read_clock(ledger) > at


@dataclass
class Expected:
    """A job as the rules want it."""

    project: str
    environment: str
    key: str
    created_at: datetime
    state: str = "queued"
    claim: str = ""
    heard_at: datetime | None = None
    attempt: int = 1
    has_begun: bool = False
    is_cancelling: bool = False
    retry_of: str = ""
    changes: tuple[str, ...] = ("queued",)


class QueueMachine(RuleBasedStateMachine):
    """Any order of calls, beside a model of the rules in plain Python."""

    numbers = count()

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self.ledger = ledger
        self.name = f"m{next(self.numbers)}"
        self.at = AT
        self.jobs: dict[str, Expected] = {}

    def tick(self, seconds: float = 0.001) -> datetime:
        """Let time pass: no two calls come at one moment."""
        self.at += timedelta(seconds=seconds)
        return self.at

    def pick(self, data: st.DataObject) -> str:
        """Choose a job."""
        return data.draw(st.sampled_from(sorted(self.jobs)))

    @rule(seconds=st.sampled_from([1.0, LEASE_S - 2, LEASE_S + 1]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.tick(seconds)

    @rule(
        project=st.sampled_from("ab"),
        environment=st.sampled_from(["staging", "production"]),
        key=st.sampled_from(["", "", "k1", "k2"]),
    )
    def submit(self, project: str, environment: str, key: str) -> None:
        """Somebody asks for a publish."""
        at, key = self.tick(), f"{self.name}{key}" if key else ""
        slug = f"{self.name}{project}"
        request = JobRequest(
            project=slug,
            version="7",
            environment=environment,
            requested_by="ci",
            idempotency_key=key,
        )
        held = {each.key: (name, each) for name, each in self.jobs.items() if each.key}.get(key)
        if held is None:
            run, is_new = submit(self.ledger, request, at)
            assert is_new
            assert run.run_id not in self.jobs
            self.jobs[run.run_id] = Expected(slug, environment, key, at)
        elif (held[1].project, held[1].environment) == (slug, environment):
            run, is_new = submit(self.ledger, request, at)
            assert (run.run_id, is_new) == (held[0], False)
        else:
            with pytest.raises(KeyConflict):
                submit(self.ledger, request, at)

    def claimable(self, at: datetime) -> str | None:
        """Say which job the rules want to be claimed next."""

        def has_lapsed_now(each: Expected) -> bool:
            assert each.heard_at is not None
            silent = at - each.heard_at
            return each.claim == GONE or silent > timedelta(seconds=LEASE_S)

        def may_run(each: Expected) -> bool:
            if each.state == "running":
                return has_lapsed_now(each)
            others = [e for e in self.jobs.values() if e.project == each.project]
            return each.state == "queued" and all(e.state != "running" for e in others)

        waiting = [(each.created_at, name) for name, each in self.jobs.items() if may_run(each)]
        return min(waiting)[1] if waiting else None

    @rule(process=st.sampled_from([*AWAY, GONE]))
    def claim(self, process: str) -> None:
        """A worker asks for work."""
        at = self.tick()
        wanted = self.claimable(at)
        run = claim(self.ledger, process, "o", at, [f"{self.name}a", f"{self.name}b"])
        assert (run.run_id if run else None) == wanted
        if run is not None and wanted is not None:
            job = self.jobs[wanted]
            job.attempt += job.has_begun
            job.state, job.claim, job.heard_at, job.has_begun = "running", process, at, True
            job.changes += ("running",)
            assert run.attempt == job.attempt

    def is_mine(self, run_id: str, process: str) -> bool:
        """Say whether a job is this worker's."""
        return self.jobs[run_id].state == "running" and self.jobs[run_id].claim == process

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), process=st.sampled_from([*AWAY, GONE]))
    def heartbeat(self, data: st.DataObject, process: str) -> None:
        """A worker says that it lives."""
        run_id, at = self.pick(data), self.tick()
        is_mine = self.is_mine(run_id, process)
        told = heartbeat(self.ledger, run_id, process, at)
        assert told == (is_mine, is_mine and self.jobs[run_id].is_cancelling)
        if is_mine:
            self.jobs[run_id].heard_at = at

    @precondition(lambda self: self.jobs)
    @rule(
        data=st.data(),
        process=st.sampled_from([*AWAY, GONE]),
        state=st.sampled_from(["completed", "failed", "cancelled"]),
    )
    def finish(self, data: st.DataObject, process: str, state: str) -> None:
        """A worker ends a job, its own or not."""
        run_id, at = self.pick(data), self.tick()
        is_mine = self.is_mine(run_id, process)
        assert end(self.ledger, run_id, process, state, at=at) == is_mine
        if is_mine:
            self.jobs[run_id].state = state
            self.jobs[run_id].changes += (state,)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), process=st.sampled_from([*AWAY, GONE]))
    def release(self, data: st.DataObject, process: str) -> None:
        """A worker puts a job back, its own or not."""
        run_id, at = self.pick(data), self.tick()
        release_claim(self.ledger, run_id, process, at)
        if self.is_mine(run_id, process):
            job = self.jobs[run_id]
            job.state = "cancelled" if job.is_cancelling else "queued"
            job.changes += (job.state,)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """Somebody cancels a job."""
        run_id, at = self.pick(data), self.tick()
        cancel(self.ledger, run_id, at)
        job = self.jobs[run_id]
        if job.state == "queued":
            job.state, job.is_cancelling = "cancelled", True
            job.changes += ("cancelled",)
        elif job.state == "running" and not job.is_cancelling:
            job.is_cancelling = True
            job.changes += ("cancelling",)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        """Somebody wants a job to be tried again."""
        run_id, at = self.pick(data), self.tick()
        job = self.jobs[run_id]
        if job.state not in {"failed", "cancelled"}:
            with pytest.raises(NotEnded):
                retry(self.ledger, run_id, "ci", at)
            return
        held = [name for name, each in self.jobs.items() if each.retry_of == run_id]
        run, is_new = retry(self.ledger, run_id, "ci", at)
        assert is_new == (not held)
        if held:
            assert run.run_id == held[0]
        else:
            self.jobs[run.run_id] = Expected(job.project, job.environment, "", at, retry_of=run_id)

    @invariant()
    def the_ledger_is_the_model(self) -> None:
        """All that the ledger holds of these jobs is what the rules want."""
        if not self.jobs:
            return
        columns = (runs.c.id, runs.c.state, runs.c.attempt, runs.c.retry_of)
        wanted = select(*columns).where(runs.c.id.in_(self.jobs))
        with self.ledger.reading() as connection:
            rows = connection.execute(wanted).all()
        found = {row.id: (row.state, row.attempt, row.retry_of or "") for row in rows}
        assert found == {
            name: (each.state, each.attempt, each.retry_of) for name, each in self.jobs.items()
        }

    def teardown(self) -> None:
        """Every job's changes are in the ledger, each once, in their order."""
        for name, each in self.jobs.items():
            assert tuple(kinds_of(self.ledger, name)) == each.changes


def run_machine(ledger: Ledger, examples: int, steps: int) -> None:
    """Try orders of calls in one ledger: each has projects of its own there."""

    class Machine(QueueMachine):
        def __init__(self) -> None:
            super().__init__(ledger)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, database=None
        ),
    )


def test_any_order_of_calls(ledger: Ledger) -> None:
    """Whatever is asked in whatever order, each rule of the queue holds."""
    run_machine(ledger, 8, 25)


@pytest.mark.slow
def test_any_order_of_very_many_calls(ledger: Ledger) -> None:
    """As above, for minutes."""
    run_machine(ledger, 300, 60)


def test_a_race_for_one_key(ledger: Ledger) -> None:
    """Of many that send one request at one time, all get the same job, and one made it."""
    asked = replace(REQUEST, idempotency_key="race")
    together = threading.Barrier(12)

    def ask(_: int) -> tuple[str, bool]:
        together.wait(30)
        run, is_new = submit(ledger, asked, AT)
        return run.run_id, is_new

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, range(12)))
    assert len({run_id for run_id, _ in answers}) == 1
    assert [is_new for _, is_new in answers].count(True) == 1


def test_a_race_for_a_retry(ledger: Ledger) -> None:
    """Of many that ask for a further try at one time, all get the same one."""
    job, _ = submit(ledger, REQUEST, AT)
    cancel(ledger, job.run_id, AT)
    together = threading.Barrier(8)

    def ask(_: int) -> str:
        together.wait(30)
        return retry(ledger, job.run_id, "ci", later(1))[0].run_id

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1


def is_waiting(ledger: Ledger, future: "Future[Any]") -> bool:
    """Say whether a call is held up by a lock of PostgreSQL, or done."""
    if future.done():
        return True
    waiting = text("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    with ledger.reading() as connection:
        return connection.execute(waiting).first() is not None


def wait_until(holds: Callable[[], object]) -> None:
    """Wait until something is seen."""
    until = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < until


def test_two_claims_at_one_moment(postgres_url: str) -> None:
    """While one job of a project is being claimed, a claim of another one of it waits.

    A look names one job of a project, but two looks may name two: one was cancelled between.
    """
    ledger = open_ledger(postgres_url)
    first, _ = submit(ledger, REQUEST, AT)
    second, _ = submit(ledger, replace(REQUEST, environment="production"), later(1))
    with ledger.reading() as connection:
        project_id = connection.execute(select(runs.c.project_id)).scalars().first()
    assert project_id is not None

    def take(run_id: str, process: str) -> bool:
        with ledger.writing() as connection:
            return _take(connection, run_id, project_id, process, "o", later(2))

    with ThreadPoolExecutor(1) as pool:
        with ledger.writing() as connection:
            assert _take(connection, first.run_id, project_id, AWAY[0], "o", later(2))
            other = pool.submit(take, second.run_id, AWAY[1])
            wait_until(lambda: is_waiting(ledger, other))
        assert other.result(30) is False
    ledger.close()


def test_cancelled_while_it_is_put_back(postgres_url: str) -> None:
    """A job that goes back into the queue while it is being cancelled is cancelled."""
    ledger = open_ledger(postgres_url)
    job, _ = submit(ledger, REQUEST, AT)
    claim(ledger, AWAY[0], "o", AT)
    futures: list[Future[Any]] = []
    with ThreadPoolExecutor(1) as pool:

        def put_back(*given: Any) -> None:
            # cancel's first update has found it running; now comes its second
            if not futures and str(given[2]).startswith("UPDATE"):
                futures.append(pool.submit(release_claim, ledger, job.run_id, AWAY[0], later(2)))
                wait_until(lambda: is_waiting(ledger, futures[0]))

        listen(ledger.engine, "after_cursor_execute", put_back)
        cancel(ledger, job.run_id, later(1))
        futures[0].result(30)
    run = load_run(ledger, job.run_id)
    ledger.close()
    assert run is not None
    assert run.state == "cancelled"


JOBS, PROJECTS, CLAIMANTS = 12, 3, 3


def take_all(url: str, number: int, answers: Any) -> None:
    """Claim and end jobs, with threads, until none is left: a process of the race."""
    ledger = open_ledger(url)
    taken: list[str] = []

    def work(thread: int) -> None:
        process = f"away/{number}/{thread}"
        while has_open(ledger, [f"p{each}" for each in range(PROJECTS)]):
            run = claim(ledger, process, "o", read_clock(ledger))
            if run is not None:
                assert heartbeat(ledger, run.run_id, process, read_clock(ledger)) == (True, False)
                assert end(ledger, run.run_id, process, at=read_clock(ledger))
                taken.append(run.run_id)

    with ThreadPoolExecutor(CLAIMANTS) as pool:
        for each in [pool.submit(work, thread) for thread in range(CLAIMANTS)]:
            each.result()
    ledger.close()
    answers.put(taken)


@pytest.mark.slow
def test_a_race_of_processes_for_jobs(ledger: Ledger, ledger_url: str) -> None:
    """Threads of several processes share jobs out: each is done once, one of a project at a time.

    The database would refuse a second one in a project and environment; the events show
    that no two of a project were at work together, in whatever environments.
    """
    for number in range(JOBS):
        environment = ("staging", "production")[number % 2]
        slug = f"p{number % PROJECTS}"
        submit(ledger, replace(REQUEST, project=slug, environment=environment), later(number))
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    racers = [
        context.Process(target=take_all, args=(ledger_url, number, answers)) for number in range(2)
    ]
    for each in racers:
        each.start()
    taken = [run_id for _ in racers for run_id in answers.get(timeout=90)]
    for each in racers:
        each.join(30)

    assert len(taken) == len(set(taken)) == JOBS
    wanted = select(events.c.kind, runs.c.project_id).join(runs).order_by(events.c.id)
    at_work: Counter[int] = Counter()
    with ledger.reading() as connection:
        for kind, project_id in connection.execute(wanted):
            at_work[project_id] += {"running": 1, "completed": -1}.get(kind, 0)
            assert at_work[project_id] in {0, 1}


def hold_and_die(url: str, pipe: Any) -> None:
    """Begin a claim, and wait in the midst of its transaction: to be killed there."""
    ledger = open_ledger(url)
    with ledger.writing() as connection:
        connection.execute(runs.update().values(state="running", claim="away/9/9"))
        pipe.send("in the midst")
        pipe.recv()
    os._exit(1)


def test_killed_in_the_midst_of_a_claim(ledger: Ledger, ledger_url: str) -> None:
    """A worker that is killed within its claim has claimed nothing."""
    job, _ = submit(ledger, REQUEST, AT)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=hold_and_die, args=(ledger_url, theirs))
    process.start()
    assert ours.poll(60)
    assert ours.recv() == "in the midst"
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)

    run = claim(ledger, HERE, "o", later(1))
    assert run is not None
    assert (run.run_id, run.attempt) == (job.run_id, 1)
