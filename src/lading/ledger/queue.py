"""Publishing by request: jobs are runs that wait for a worker.

A job is accepted once (its idempotency key), claimed by one worker at a time, taken up again
when that worker is gone, and ends once. The database holds each of these rules, so that they
stand whatever is killed when: every change of state is one conditional update, with its event
in the same transaction.

::

    submit, retry ──> queued ──claim──> running ──finish──> completed | failed | cancelled
                        │  ^               │
                        │  └─release_claim─┘        cancel: a queued one ends at once, a
                        └─────cancel─────> cancelled        running one is asked to stop
"""

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select

from lading.errors import LedgerError
from lading.ledger import read
from lading.ledger.claims import LEASE_S, claim, finish, heartbeat, note, release_claim
from lading.ledger.ledger import Ledger
from lading.ledger.model import Run
from lading.ledger.names import name_run
from lading.ledger.tables import projects, runs
from lading.ledger.upsert import add_missing, insert_into

__all__ = [
    "KIND",
    "LEASE_S",
    "JobRequest",
    "KeyConflict",
    "NotEnded",
    "cancel",
    "claim",
    "finish",
    "has_open",
    "heartbeat",
    "release_claim",
    "retry",
    "submit",
]

KIND = "publish"
"""What every job asks for: the task of doit that does it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """What somebody asks for."""

    project: str
    """Slug of the project."""
    version: str
    """The version."""
    environment: str
    """Where to."""
    requested_by: str
    """Name of the token."""
    idempotency_key: str = ""
    """Key of the request, or ""."""

    @property
    def sha256(self) -> str:
        """What tells one request from another, whoever asks: a token may be renewed between."""
        wanted = [self.project, self.version, self.environment]
        return hashlib.sha256(json.dumps(wanted).encode()).hexdigest()


class KeyConflict(Exception):  # noqa: N818  the queue's own answer, never shown as it is
    """An idempotency key was used before, for another request."""


class NotEnded(Exception):  # noqa: N818  as above
    """Only a job that failed or was cancelled can be tried again."""


def submit(ledger: Ledger, request: JobRequest, at: datetime) -> tuple[Run, bool]:
    """Add a job, or return the one that this key already made; whether it is new.

    Raises:
        KeyConflict: the key belongs to another request.
        LedgerError: the database does not answer.
    """
    with ledger.writing() as connection:
        project_id = _ensure_project(connection, request.project, at)
        values = _new_job(project_id, request, at)
        is_new = _insert_job(connection, values, "idempotency_key", at)
        if is_new:
            run_id = values["id"]
        else:
            held = _get(connection, runs.c.idempotency_key == request.idempotency_key)
            if held.request_sha256 != request.sha256:
                raise KeyConflict
            run_id = held.id
    return _load(ledger, run_id), is_new


def find_submitted(ledger: Ledger, request: JobRequest) -> Run | None:
    """Return the job that the key of a request already made; None where there is none yet.

    Raises:
        KeyConflict: the key belongs to another request.
        LedgerError: the database does not answer.
    """
    if not request.idempotency_key:
        return None
    with ledger.reading() as connection:
        held = _find(connection, runs.c.idempotency_key == request.idempotency_key)
    if held is None:
        return None
    if held.request_sha256 != request.sha256:
        raise KeyConflict
    return _load(ledger, held.id)


def cancel(ledger: Ledger, run_id: str, at: datetime) -> Run | None:
    """Cancel a queued job at once; ask a running one to stop; leave an ended one. None: unknown.

    Raises:
        LedgerError: the database does not answer.
    """
    job = (runs.c.id == run_id, runs.c.is_job)
    at_once = runs.update().where(*job, runs.c.state == "queued")
    asked = runs.update().where(
        *job, runs.c.state == "running", runs.c.cancel_requested_at.is_(None)
    )
    with ledger.writing() as connection:
        # FOR UPDATE: between the two a worker could claim it, or put it back
        row = connection.execute(select(runs.c.attempt).where(*job).with_for_update()).first()
        if row is None:
            return None
        ended = at_once.values(state="cancelled", ended_at=at, cancel_requested_at=at)
        if connection.execute(ended).rowcount:
            note(connection, run_id, row.attempt, "cancelled", at)
        elif connection.execute(asked.values(cancel_requested_at=at)).rowcount:
            note(connection, run_id, row.attempt, "cancelling", at)
    return _load(ledger, run_id)


def retry(ledger: Ledger, run_id: str, requested_by: str, at: datetime) -> tuple[Run, bool]:
    """Add a job that tries an ended one again; the same one where that was asked before.

    Raises:
        NotEnded: it is queued, running or completed.
        LedgerError: unknown; or the database does not answer.
    """
    with ledger.writing() as connection:
        held = _find(connection, (runs.c.id == run_id) & runs.c.is_job)
        if held is None:
            raise LedgerError(f"job: expected one that the ledger knows, got {run_id!r}")
        if held.state not in {"failed", "cancelled"}:
            raise NotEnded
        request = JobRequest(
            project=held.slug,
            version=held.tag,
            environment=held.environment,
            requested_by=requested_by,
        )
        values = {**_new_job(held.project_id, request, at), "retry_of": run_id}
        is_new = _insert_job(connection, values, "retry_of", at)
        if not is_new:
            values["id"] = _get(connection, runs.c.retry_of == run_id).id
    return _load(ledger, values["id"]), is_new


def has_open(ledger: Ledger, projects_here: Collection[str]) -> bool:
    """Say whether any job of these projects is yet to end.

    Raises:
        LedgerError: the database does not answer.
    """
    waiting = (
        select(runs.c.id)
        .join(projects)
        .where(runs.c.is_job, runs.c.state.in_(("queued", "running")))
        .where(projects.c.slug.in_(projects_here))
        .limit(1)
    )
    with ledger.reading() as connection:
        return connection.execute(waiting).first() is not None


def _ensure_project(connection: Connection, slug: str, at: datetime) -> int:
    add_missing(connection, projects, [{"slug": slug, "created_at": at}], key=("slug",))
    wanted = select(projects.c.id).where(projects.c.slug == slug)
    return int(connection.execute(wanted).scalar_one())


def _new_job(project_id: int, request: JobRequest, at: datetime) -> dict[str, Any]:
    version, environment = request.version, request.environment
    return {
        "id": name_run(at),
        "project_id": project_id,
        "kind": KIND,
        "channel": environment,
        "tag": version,
        "environment": environment,
        "is_release": True,
        "is_job": True,
        "state": "queued",
        "command": f"doit {KIND} version={version} environment={environment}",
        "created_at": at,
        "requested_by": request.requested_by,
        "idempotency_key": request.idempotency_key or None,
        "request_sha256": request.sha256,
    }


def _insert_job(connection: Connection, values: dict[str, Any], unique: str, at: datetime) -> bool:
    """Insert a job, unless there is one of its key; whether it was done."""
    added = connection.execute(
        insert_into(connection, runs)
        .values(values)
        .on_conflict_do_nothing(index_elements=[runs.c[unique]])
        .returning(runs.c.id)
    ).first()
    if added is not None:
        note(connection, values["id"], 1, "queued", at, values["requested_by"])
    return added is not None


def _find(connection: Connection, which: ColumnElement[bool]) -> Row[Any] | None:
    return connection.execute(select(runs, projects.c.slug).join(projects).where(which)).first()


def _get(connection: Connection, which: ColumnElement[bool]) -> Row[Any]:
    found = _find(connection, which)
    if found is None:  # nobody deletes a job in the midst of this
        raise LedgerError("job: expected it in the ledger, found that it was taken away")
    return found


def _load(ledger: Ledger, run_id: str) -> Run:
    run = read.load_run(ledger, run_id)
    if run is None:
        raise LedgerError(f"job {run_id}: expected it in the ledger, found that it was taken away")
    return run
