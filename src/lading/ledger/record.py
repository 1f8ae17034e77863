"""What a run writes: each call one transaction, each row at the event that it tells of.

All functions may be repeated: a row is written by its own name (run, attempt, task), so that a
process that starts again after a kill goes on where the ledger stands. Only log lines have no
name: they are added again where ``write_logs`` is repeated.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import and_, case, delete, func, insert, select, update

from lading.ledger import tables
from lading.ledger.ledger import Ledger
from lading.ledger.model import (
    ENDED,
    ArtifactRow,
    Progress,
    ReceiptRow,
    ReleaseRow,
    RunStart,
    Step,
    Target,
    VersionRow,
)
from lading.ledger.rows import (
    add_event,
    add_event_once,
    add_run,
    adopt_run,
    never_back,
    project_id_of,
    run_for_update,
    say_it_lives,
    upsert_targets,
)
from lading.ledger.upsert import add_missing, upsert


def begin_run(ledger: Ledger, start: RunStart) -> int:
    """Write that a run begins; adopt the row where somebody asked for it.

    A row of that name that exists already (a job of the API, claimed by a worker) keeps its
    state, its claim and its request, and gets the facts. Return its attempt, from 1 on.

    Raises:
        LedgerError: the database does not answer.
    """
    run_id = start.run_id
    with ledger.writing() as connection:
        attempt = adopt_run(connection, start) or add_run(connection, start)
        if start.targets:
            known = [each.task for each in start.targets]
            gone = and_(tables.targets.c.run_id == run_id, tables.targets.c.task.not_in(known))
            connection.execute(delete(tables.targets).where(gone))
        upsert_targets(connection, run_id, start.targets)
        add_event_once(connection, run_id, attempt, "run_started", start.started_at)
        return attempt


def write_step(
    ledger: Ledger, run_id: str, attempt: int, position: int, step: Step, at: datetime
) -> None:
    """Write how a step stands, with an event where its state is new (started, ended).

    Raises:
        LedgerError: the database does not answer; there is no such run.
    """
    table = tables.steps
    row = {
        "run_id": run_id,
        "attempt": attempt,
        "position": position,
        "task": step.task,
        "state": step.state,
        "detail": step.detail,
        "started_at": step.started_at,
        "ended_at": step.ended_at,
        **asdict(step.progress),
    }
    with ledger.writing() as connection:
        name = and_(table.c.run_id == run_id, table.c.attempt == attempt, table.c.task == step.task)
        known = connection.execute(select(table.c.state).where(name)).scalar()
        upsert(
            connection,
            table,
            [row],
            key=("run_id", "attempt", "task"),
            changes=lambda new: {
                "started_at": func.coalesce(new.started_at, table.c.started_at),
                "percent": never_back(table, step.progress.percent),
            },
        )
        if known != step.state:
            kind = "step_started" if step.state == "running" else "step_ended"
            add_event(connection, run_id, attempt, kind, at, step)
        say_it_lives(connection, run_id, at)


def write_progress(
    ledger: Ledger, run_id: str, attempt: int, whole: Progress, steps: Sequence[Step], at: datetime
) -> None:
    """Write how far a run and its running steps are, with one event each; and that it lives.

    ``percent`` in the ledger never goes back within an attempt. A step that is not running in
    the ledger stays as it is.

    Raises:
        LedgerError: the database does not answer; there is no such run.
    """
    table = tables.steps
    with ledger.writing() as connection:
        values = {**asdict(whole), "percent": never_back(tables.runs, whole.percent)}
        connection.execute(update(tables.runs).where(tables.runs.c.id == run_id).values(values))
        say_it_lives(connection, run_id, at)
        all_of_it = Step(task="", state="running", progress=whole)
        add_event(connection, run_id, attempt, "progress", at, all_of_it)
        for step in steps:
            name = and_(
                table.c.run_id == run_id, table.c.attempt == attempt, table.c.task == step.task
            )
            values = {
                **asdict(step.progress),
                "detail": step.detail,
                "percent": never_back(table, step.progress.percent),
            }
            running = and_(name, table.c.state == "running")
            connection.execute(update(table).where(running).values(values))
            add_event(connection, run_id, attempt, "progress", at, step)


def write_targets(ledger: Ledger, run_id: str, targets: Sequence[Target]) -> None:
    """Write the matrix, or the rows of it that are given, by task.

    A ``verified_at`` that is written stays where the new row has none.

    Raises:
        LedgerError: the database does not answer; there is no such run.
    """
    with ledger.writing() as connection:
        upsert_targets(connection, run_id, targets)


def write_logs(
    ledger: Ledger, run_id: str, lines: Sequence[tuple[datetime, int, str, str]]
) -> None:
    """Append log lines: (at, level, task, text), in this order. Texts are redacted already.

    Raises:
        LedgerError: the database does not answer; there is no such run.
    """
    if not lines:
        return
    rows = [
        {"run_id": run_id, "at": at, "level": level, "task": task, "text": text}
        for at, level, task, text in lines
    ]
    with ledger.writing() as connection:
        connection.execute(insert(tables.logs), rows)


def write_receipts(ledger: Ledger, run_id: str, receipts: Sequence[ReceiptRow]) -> None:
    """Write what receipts say, by task.

    Raises:
        LedgerError: the database does not answer; there is no such run.
    """
    rows = [{**asdict(each), "facts": dict(each.facts), "run_id": run_id} for each in receipts]
    with ledger.writing() as connection:
        upsert(connection, tables.receipts, rows, key=("run_id", "task"))


def write_manifest(
    ledger: Ledger, run_id: str, sha256: str, files: Sequence[ArtifactRow], *, doi: str = ""
) -> None:
    """Write the files of a release, once for equal manifests, and that this run ships them.

    Raises:
        LedgerError: the database does not answer; there is no such run.
    """
    with ledger.writing() as connection:
        run = run_for_update(connection, run_id, ledger.url)
        manifest = {
            "sha256": sha256,
            "project_id": run.project_id,
            "channel": run.channel,
            "tag": run.tag,
            "files": len(files),
            "size_bytes": sum(each.size_bytes for each in files),
        }
        add_missing(connection, tables.manifests, [manifest], key=("sha256",))
        rows = [_artifact(sha256, position, each) for position, each in enumerate(files)]
        add_missing(connection, tables.artifacts, rows, key=("manifest_sha256", "key"))
        given = {"manifest_sha256": sha256, **({"doi": doi} if doi else {})}
        connection.execute(update(tables.runs).where(tables.runs.c.id == run_id).values(given))


def write_version(ledger: Ledger, version: VersionRow) -> None:
    """Write how a version stands; ``changed_at`` moves where its state does.

    Raises:
        LedgerError: the database does not answer.
    """
    table, at = tables.versions, version.changed_at or datetime.now(UTC)
    with ledger.writing() as connection:
        row = {
            "project_id": project_id_of(connection, version.project, "", at),
            "version": version.version,
            "state": version.state,
            "detail": version.detail,
            "changed_at": at,
        }
        upsert(
            connection,
            table,
            [row],
            key=("project_id", "version"),
            changes=lambda new: {
                "changed_at": case(
                    (table.c.state == new.state, table.c.changed_at), else_=new.changed_at
                )
            },
        )


def write_release(ledger: Ledger, release: ReleaseRow) -> None:
    """Write that a version stands published; its ``published_at`` is the first one written.

    Where another stood in its place it takes that place from now on, so that an older release
    that is published again stands again.

    Raises:
        LedgerError: the database does not answer; its run or its manifest is not there.
    """
    table = tables.releases
    with ledger.writing() as connection:
        row = asdict(release)
        at, slug = release.published_at, row.pop("project")
        row |= {"commit_id": row.pop("commit"), "stands_since": at}
        row["project_id"] = project_id_of(connection, slug, "", at)
        here = and_(*(table.c[name] == row[name] for name in ("project_id", "channel")))
        here = and_(here, table.c.environment == release.environment)
        standing = connection.execute(
            select(table.c.tag, table.c.manifest_sha256)
            .where(here)
            .order_by(table.c.stands_since.desc(), table.c.id.desc())
            .limit(1)
        ).first()
        is_new_here = standing != (release.tag, release.manifest_sha256)
        upsert(
            connection,
            table,
            [row],
            key=("project_id", "channel", "environment", "tag", "manifest_sha256"),
            changes=lambda new: {
                "published_at": table.c.published_at,
                "run_id": table.c.run_id,
                "stands_since": new.stands_since if is_new_here else table.c.stands_since,
            },
        )


def end_run(
    ledger: Ledger,
    run_id: str,
    *,
    state: str,
    exit_code: int | None,
    failed_at: str,
    error: str,
    at: datetime,
) -> None:
    """Write how a run ended, unless it has ended already.

    Of a job (claimed by a worker) only ``failed_at`` and ``error`` are written: its state is
    the worker's to write, who sees what the process ended with.

    Raises:
        LedgerError: the database does not answer; there is no such run.
    """
    with ledger.writing() as connection:
        run = run_for_update(connection, run_id, ledger.url)
        if run.state in ENDED:
            return
        values: dict[str, Any] = {"failed_at": failed_at, "error": error, "heartbeat_at": at}
        if not run.is_job:
            values |= {"state": state, "exit_code": exit_code, "ended_at": at}
            values |= {"rate_bytes_s": 0.0, "left_s": None}
            values |= {"percent": 100.0} if state == "completed" else {}
        connection.execute(update(tables.runs).where(tables.runs.c.id == run_id).values(values))
        add_event_once(connection, run_id, run.attempt, "run_ended", at, note=state)


def _artifact(sha256: str, position: int, file: ArtifactRow) -> dict[str, Any]:
    return {
        **asdict(file),
        "rows": dict(file.rows),
        "manifest_sha256": sha256,
        "position": position,
    }
