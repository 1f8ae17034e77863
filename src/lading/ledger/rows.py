"""Rows of the ledger inside a transaction that writes: what ``record`` and ``queue`` share."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Table,
    and_,
    case,
    func,
    insert,
    select,
    update,
)

from lading.errors import LedgerError
from lading.ledger import tables
from lading.ledger.model import Progress, RunStart, Step, Target
from lading.ledger.upsert import add_missing, upsert

_runs, _projects, _events = tables.runs, tables.projects, tables.events


def project_id_of(connection: Connection, slug: str, title: str, at: datetime) -> int:
    """Return the key of a project; add it where it is new, and its title where that is new."""
    wanted = select(_projects.c.id, _projects.c.title).where(_projects.c.slug == slug)
    found = connection.execute(wanted).one_or_none()
    if found is None:
        row = {"slug": slug, "title": title, "created_at": at}
        add_missing(connection, _projects, [row], key=("slug",))
        found = connection.execute(wanted).one()
    if title and found.title != title:
        connection.execute(update(_projects).where(_projects.c.id == found.id).values(title=title))
    return int(found.id)


def run_for_update(connection: Connection, run_id: str, place: str) -> Row[Any]:
    """Return a run's row, which nobody else changes until this transaction ends.

    Raises:
        LedgerError: there is none.
    """
    found = connection.execute(
        select(_runs).where(_runs.c.id == run_id).with_for_update()
    ).one_or_none()
    if found is None:
        raise LedgerError(f"ledger {place}: expected a run {run_id!r}, found none of that name")
    return found


def add_run(connection: Connection, start: RunStart) -> int:
    """Add the row of a run that begins now; return its attempt: 1."""
    row = {
        **_facts(start),
        "id": start.run_id,
        "project_id": project_id_of(connection, start.project, start.title, start.started_at),
        "state": "running",
        "created_at": start.started_at,
        "started_at": start.started_at,
        "heartbeat_at": start.started_at,
    }
    connection.execute(insert(_runs).values(row))
    return 1


def adopt_run(connection: Connection, start: RunStart) -> int | None:
    """Write the facts of a run to the row that there is; return its attempt, None without one."""
    is_it = _runs.c.id == start.run_id
    found = connection.execute(
        select(_runs.c.attempt, _runs.c.started_at).where(is_it).with_for_update()
    ).one_or_none()
    if found is None:
        return None
    project_id_of(connection, start.project, start.title, start.started_at)
    values = {**_facts(start), "started_at": found.started_at or start.started_at}
    step = and_(tables.steps.c.run_id == start.run_id, tables.steps.c.attempt == found.attempt)
    if connection.execute(select(tables.steps.c.id).where(step).limit(1)).first() is None:
        values |= {**asdict(Progress()), "failed_at": "", "error": ""}  # a new attempt
    connection.execute(update(_runs).where(is_it).values(values))
    say_it_lives(connection, start.run_id, start.started_at)
    return int(found.attempt)


def upsert_targets(connection: Connection, run_id: str, rows: Sequence[Target]) -> None:
    """Write rows of a run's matrix, by task; new ones stand behind those that are there."""
    table = tables.targets
    there = select(table.c.task, table.c.position).where(table.c.run_id == run_id)
    known = {row.task: row.position for row in connection.execute(there)}
    last = max(known.values(), default=-1)
    for row in rows:
        if row.task not in known:
            last += 1
            known[row.task] = last
    upsert(
        connection,
        table,
        [{**asdict(row), "run_id": run_id, "position": known[row.task]} for row in rows],
        key=("run_id", "task"),
        changes=lambda new: {
            "verified_at": func.coalesce(new.verified_at, table.c.verified_at),
        },
    )


def add_event(
    connection: Connection, run_id: str, attempt: int, kind: str, at: datetime, step: Step
) -> None:
    """Add an event of a step, or of a whole run: its task is "" then."""
    progress = step.progress
    connection.execute(
        insert(_events).values(
            run_id=run_id,
            attempt=attempt,
            at=at,
            kind=kind,
            task=step.task,
            percent=progress.percent,
            done_bytes=progress.done_bytes,
            size_bytes=progress.size_bytes,
            done_files=progress.done_files,
            files=progress.files,
            note="" if kind == "progress" else step.state,
        )
    )


def add_event_once(
    connection: Connection, run_id: str, attempt: int, kind: str, at: datetime, note: str = ""
) -> None:
    """Add an event of a whole run, unless its attempt has one of that kind."""
    same = and_(_events.c.run_id == run_id, _events.c.attempt == attempt, _events.c.kind == kind)
    if connection.execute(select(_events.c.id).where(same).limit(1)).first() is None:
        row = {"run_id": run_id, "attempt": attempt, "at": at, "kind": kind, "note": note}
        connection.execute(insert(_events).values(row))


def say_it_lives(connection: Connection, run_id: str, at: datetime) -> None:
    """Write that a run was heard of."""
    heard = _runs.c.heartbeat_at
    later = and_(_runs.c.id == run_id, (heard.is_(None)) | (heard < at))
    connection.execute(update(_runs).where(later).values(heartbeat_at=at))


def never_back(table: Table, percent: float) -> ColumnElement[float]:
    """Return the greater of what stands in ``percent`` and a new one."""
    return case((table.c.percent > percent, table.c.percent), else_=percent)


def _facts(start: RunStart) -> dict[str, Any]:
    return {
        "kind": start.kind,
        "channel": start.channel,
        "tag": start.tag,
        "environment": start.environment,
        "is_release": start.is_release,
        "command": start.command,
        "tool_version": start.tool_version,
        "commit_id": start.commit,
        "config_sha256": start.config_sha256,
        "ci_url": start.ci_url,
        "owner": start.owner,
        "process": start.process,
    }
