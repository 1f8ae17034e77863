"""The workers' side of the queue: a job is claimed by one, kept by its heartbeat, ended once."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, case, exc, func, literal, select

from lading.ledger import read
from lading.ledger.columns import Moment
from lading.ledger.ledger import Ledger
from lading.ledger.model import Run
from lading.ledger.tables import events, projects, runs
from lading.storage.owner import is_gone, is_here

LEASE_S = 15.0
"""Seconds without a heartbeat after which a claim of a process that cannot be seen lapses."""

_FRESH = {
    "percent": 0,
    "done_bytes": 0,
    "size_bytes": 0,
    "done_files": 0,
    "files": 0,
    "rate_bytes_s": 0,
    "left_s": None,
    "exit_code": None,
    "failed_at": "",
    "error": "",
}
"""What a new attempt has not done yet."""


def read_clock(ledger: Ledger) -> datetime:
    """Return the time by which leases are judged: the database's own, where it is a server.

    Machines that share a PostgreSQL need not agree on the time. An SQLite file has one machine.
    """
    if ledger.engine.dialect.name != "postgresql":
        return datetime.now(UTC)
    with ledger.reading() as connection:
        at: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return at.astimezone(UTC)


def claim(
    ledger: Ledger,
    process: str,
    owner: str,
    at: datetime,
    projects_here: Collection[str] | None = None,
) -> Run | None:
    """Claim the oldest job that may run now; None where there is none.

    May run: a queued job, or one whose claim has lapsed (its worker is gone: seen, or silent
    for ``LEASE_S`` where it cannot be seen), of a project of which no other job runs. One that
    had begun before gets ``attempt`` + 1. Of two that claim at one time, one gets it.

    Args:
        ledger: the ledger.
        process: who claims, as ``storage.owner.name_process`` names it.
        owner: it for people.
        at: the time, as ``read_clock`` returns it.
        projects_here: slugs of the projects that can be run here; None: all.

    Raises:
        LedgerError: the database does not answer.
    """
    for run_id, project_id in _candidates(ledger, at, projects_here):
        with ledger.writing() as connection:
            if _take(connection, run_id, project_id, process, owner, at):
                break
    else:
        return None
    return read.load_run(ledger, run_id)


def has_lapsed(process: str, heard_at: datetime | None, at: datetime) -> bool:
    """Say whether a claim has lapsed. One of a process that is seen at work never does.

    Args:
        process: who claimed.
        heard_at: its last heartbeat.
        at: the time.
    """
    if is_here(process):
        return is_gone(process)
    return heard_at is None or at - heard_at > timedelta(seconds=LEASE_S)


def heartbeat(ledger: Ledger, run_id: str, process: str, at: datetime) -> tuple[bool, bool]:
    """Say that the worker lives; return (still its job, asked to stop).

    Raises:
        LedgerError: the database does not answer.
    """
    alive = (
        runs.update()
        .where(runs.c.id == run_id, runs.c.state == "running", runs.c.claim == process)
        .values(heartbeat_at=at)
        .returning(runs.c.cancel_requested_at)
    )
    with ledger.writing() as connection:
        row = connection.execute(alive).first()
    return row is not None, row is not None and row.cancel_requested_at is not None


def finish(  # noqa: PLR0913  a row
    ledger: Ledger,
    run_id: str,
    process: str,
    *,
    state: str,
    exit_code: int | None,
    error: str,
    result: Mapping[str, Any],
    at: datetime,
) -> bool:
    """End a job, once: only its claimant can, and only a running one; whether it was done.

    What an earlier attempt failed with is forgotten where this one is completed; else
    ``error``, where there is one, stands in the place of what the run itself wrote.

    Raises:
        LedgerError: the database does not answer.
    """
    values: dict[str, Any] = {
        "state": state,
        "exit_code": exit_code,
        "ended_at": at,
        "result": dict(result),
        "left_s": None,
        "rate_bytes_s": 0,
    }
    if state == "completed":
        values |= {"error": "", "failed_at": "", "percent": 100}
    elif error:
        values["error"] = error
    mine = (runs.c.id == run_id, runs.c.state == "running", runs.c.claim == process)
    with ledger.writing() as connection:
        row = connection.execute(
            runs.update().where(*mine).values(values).returning(runs.c.attempt)
        ).first()
        if row is not None:
            note(connection, run_id, row.attempt, state, at, error)
    return row is not None


def release_claim(ledger: Ledger, run_id: str, process: str, at: datetime) -> None:
    """Put a job back into the queue: its worker was asked to end.

    One that was asked to stop meanwhile is cancelled: nothing is at work on it any more.

    Raises:
        LedgerError: the database does not answer.
    """
    was_asked = runs.c.cancel_requested_at.is_not(None)
    mine = (runs.c.id == run_id, runs.c.state == "running", runs.c.claim == process)
    back = (
        runs.update()
        .where(*mine)
        .values(
            state=case((was_asked, "cancelled"), else_="queued"),
            ended_at=case((was_asked, literal(at, Moment)), else_=None),
            claim=None,
            claimed_at=None,
            left_s=None,
            rate_bytes_s=0,
        )
        .returning(runs.c.attempt, runs.c.state)
    )
    with ledger.writing() as connection:
        row = connection.execute(back).first()
        if row is not None:
            note(connection, run_id, row.attempt, row.state, at, "its worker was asked to end")


def note(
    connection: Connection, run_id: str, attempt: int, kind: str, at: datetime, text: str = ""
) -> None:
    """Write the event of a change of state, in the transaction that makes it."""
    connection.execute(
        events.insert().values(run_id=run_id, attempt=attempt, kind=kind, at=at, note=text)
    )


def _candidates(
    ledger: Ledger, at: datetime, projects_here: Collection[str] | None
) -> list[tuple[str, int]]:
    """Return (run, project) of the jobs that may run, oldest first: a look, no promise."""
    is_open = runs.c.state.in_(("queued", "running"))
    wanted = (
        select(runs.c.id, runs.c.project_id, runs.c.state, runs.c.claim, runs.c.heartbeat_at)
        .where(runs.c.is_job, is_open)
        .order_by(runs.c.created_at, runs.c.id)
    )
    if projects_here is not None:
        wanted = wanted.join(projects).where(projects.c.slug.in_(projects_here))
    with ledger.reading() as connection:
        rows = connection.execute(wanted).all()
    return _choose(rows, at)


def _choose(rows: Collection[Any], at: datetime) -> list[tuple[str, int]]:
    """Leave out what has to wait, and all but the first of a project."""
    running = [row for row in rows if row.state == "running"]
    lapsed = {row.id for row in running if has_lapsed(row.claim or "", row.heartbeat_at, at)}
    # a project with a job at work waits; one with a lapsed job goes on with that one
    begun = {row.project_id: row.id for row in running if row.id in lapsed}
    begun |= {row.project_id: "" for row in running if row.id not in lapsed}
    chosen: dict[int, str] = {}
    for row in rows:
        if begun.get(row.project_id, row.id) == row.id:
            chosen.setdefault(row.project_id, row.id)
    return [(run_id, project_id) for project_id, run_id in chosen.items()]


def _take(
    connection: Connection, run_id: str, project_id: int, process: str, owner: str, at: datetime
) -> bool:
    """Claim one job, unless another was quicker. Claims of one project come one by one."""
    connection.execute(
        select(projects.c.id).where(projects.c.id == project_id).with_for_update(key_share=True)
    )
    open_here = and_(runs.c.project_id == project_id, runs.c.is_job, runs.c.state == "running")
    running = connection.execute(
        select(runs.c.id, runs.c.claim, runs.c.heartbeat_at).where(open_here)
    ).all()
    if any(
        row.id != run_id or not has_lapsed(row.claim or "", row.heartbeat_at, at) for row in running
    ):
        return False
    held = running[0].claim if running else None
    taken = (
        runs.update()
        .where(runs.c.id == run_id, runs.c.state == ("running" if running else "queued"))
        .where(runs.c.claim.is_not_distinct_from(held))
        .values(
            state="running",
            claim=process,
            process=process,
            owner=owner,
            claimed_at=at,
            heartbeat_at=at,
            started_at=func.coalesce(runs.c.started_at, literal(at, Moment)),
            attempt=case((runs.c.started_at.is_(None), 1), else_=runs.c.attempt + 1),
            **_FRESH,
        )
        .returning(runs.c.attempt)
    )
    try:
        with connection.begin_nested():
            row = connection.execute(taken).first()
    except exc.IntegrityError:  # uq_runs_one_publish_at_a_time
        return False
    if row is None:
        return False
    note(connection, run_id, row.attempt, "running", at, owner)
    return True
