"""What is asked of a ledger. Each function reads in one transaction and returns plain values."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select

from lading.errors import LedgerError
from lading.ledger import tables
from lading.ledger.ledger import Ledger
from lading.ledger.model import (
    ArtifactRow,
    LogLine,
    ProjectRow,
    ReleaseRow,
    Run,
    VersionRow,
)
from lading.ledger.values import (
    artifact_of,
    log_line_of,
    receipt_of,
    release_of,
    run_of,
    step_of,
    target_of,
)

QUIET_S = 60.0
"""Seconds without a heartbeat after which a run on another machine is shown as aborted."""
_NAMED = 5
_runs, _projects, _releases = tables.runs, tables.projects, tables.releases


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs are asked for; what is left out does not matter."""

    project: str = ""
    """Slug of the project."""
    channel: str = ""
    """Channel."""
    environment: str = ""
    """Environment."""
    tag: str = ""
    """Tag or version."""
    state: str = ""
    """State in the ledger: an aborted run is ``running`` there."""
    kind: str = ""
    """What was asked for."""
    only_jobs: bool = False
    """Whether only what was asked for through the API is wanted."""
    only_releases: bool = False
    """Whether only runs that walk the whole road are wanted."""


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list, newest first."""

    runs: tuple[Run, ...]
    """The runs, without steps, targets and receipts."""
    total: int
    """How many there are in all."""


def list_runs(
    ledger: Ledger, wanted: RunFilter = RunFilter(), *, limit: int = 50, offset: int = 0
) -> Page:
    """Return runs, newest first.

    Raises:
        LedgerError: the database does not answer.
    """
    conditions = _conditions(wanted)
    query = _select_runs().where(*conditions).order_by(*_newest_first())
    count = select(func.count()).select_from(_runs).where(*conditions)
    if wanted.project:
        count = count.join(_projects)
    with ledger.reading() as connection:
        found = connection.execute(query.limit(limit).offset(offset)).all()
        total = connection.execute(count).scalar_one()
    now = datetime.now(UTC)
    return Page(tuple(run_of(row, now, QUIET_S) for row in found), total)


def load_run(ledger: Ledger, run_id: str) -> Run | None:
    """Return a run with its steps (of its last attempt), targets and receipts; None: unknown.

    ``is_aborted`` is decided here: its state is running, and its process is known to be gone
    (``storage.owner.is_gone``), or cannot be seen from here and was not heard of for
    ``QUIET_S`` seconds. Of a job, that is the process of the worker that claimed it.

    Raises:
        LedgerError: the database does not answer.
    """
    steps, targets, receipts = tables.steps, tables.targets, tables.receipts
    with ledger.reading() as connection:
        row = connection.execute(_select_runs().where(_runs.c.id == run_id)).one_or_none()
        if row is None:
            return None
        of_attempt = select(steps).where(steps.c.run_id == run_id, steps.c.attempt == row.attempt)
        of_run = [
            connection.execute(query).all()
            for query in (
                of_attempt.order_by(steps.c.position, steps.c.id),
                select(targets).where(targets.c.run_id == run_id).order_by(targets.c.position),
                select(receipts).where(receipts.c.run_id == run_id).order_by(receipts.c.id),
            )
        ]
    return run_of(
        row,
        datetime.now(UTC),
        QUIET_S,
        steps=tuple(map(step_of, of_run[0])),
        targets=tuple(map(target_of, of_run[1])),
        receipts=tuple(map(receipt_of, of_run[2])),
    )


def find_run(ledger: Ledger, name: str, wanted: RunFilter = RunFilter()) -> Run:
    """Return the run that a person means: "" for the newest, else a name or its beginning.

    Raises:
        LedgerError: none, or more than one, with the nearest ones named; the database does not
            answer.
    """
    query = select(_runs.c.id).where(*_conditions(wanted)).order_by(*_newest_first())
    if wanted.project:
        query = query.join(_projects)
    named = query.where(_runs.c.id.startswith(name, autoescape=True)) if name else query
    with ledger.reading() as connection:
        found = connection.execute(named.limit(_NAMED)).scalars().all()
        newest = connection.execute(query.limit(_NAMED)).scalars().all()
    if name in found or (found and not name):
        run = load_run(ledger, name or found[0])
    else:
        run = load_run(ledger, found[0]) if len(found) == 1 else None
    if run is None:
        raise _not_one(ledger, name, found, newest)
    return run


def load_logs(
    ledger: Ledger,
    run_id: str,
    *,
    task: str = "",
    level: int = 0,
    after: int = 0,
    limit: int = 1000,
    last: bool = False,
) -> list[LogLine]:
    """Return log lines in their order: those after a number, or the last ones.

    Args:
        ledger: the ledger.
        run_id: the run.
        task: of this task only; "" for all.
        level: of this level and above.
        after: of a greater number only.
        limit: how many at most.
        last: whether the last ``limit`` are wanted rather than the first.

    Raises:
        LedgerError: the database does not answer.
    """
    logs = tables.logs
    query = select(logs).where(logs.c.run_id == run_id)
    if after:
        query = query.where(logs.c.id > after)
    if task:
        query = query.where(logs.c.task == task)
    if level:
        query = query.where(logs.c.level >= level)
    query = query.order_by(logs.c.id.desc() if last else logs.c.id).limit(limit)
    with ledger.reading() as connection:
        found = list(connection.execute(query))
    return [log_line_of(row) for row in (reversed(found) if last else found)]


def load_artifacts(ledger: Ledger, manifest_sha256: str) -> list[ArtifactRow]:
    """Return the files of a manifest, in its order; empty where it is unknown.

    Raises:
        LedgerError: the database does not answer.
    """
    with ledger.reading() as connection:
        return _artifacts(connection, [manifest_sha256]).get(manifest_sha256, [])


def list_projects(ledger: Ledger) -> list[ProjectRow]:
    """Return every project that the ledger knows, by slug.

    Raises:
        LedgerError: the database does not answer.
    """
    query = (
        select(_projects.c.slug, _projects.c.title, func.count(_runs.c.id).label("runs"))
        .outerjoin(_runs)
        .group_by(_projects.c.id)
        .order_by(_projects.c.slug)
    )
    with ledger.reading() as connection:
        return [ProjectRow(**row._asdict()) for row in connection.execute(query)]


def list_versions(ledger: Ledger, project: str) -> list[VersionRow]:
    """Return the versions of a project that the ledger knows, newest change first.

    Raises:
        LedgerError: the database does not answer.
    """
    versions = tables.versions
    query = (
        select(
            _projects.c.slug.label("project"),
            versions.c.version,
            versions.c.state,
            versions.c.detail,
            versions.c.changed_at,
        )
        .join(_projects)
        .where(_projects.c.slug == project)
        .order_by(versions.c.changed_at.desc(), versions.c.id.desc())
    )
    with ledger.reading() as connection:
        return [VersionRow(**row._asdict()) for row in connection.execute(query)]


def list_releases(
    ledger: Ledger, project: str = "", *, channel: str = "", environment: str = "", limit: int = 50
) -> list[ReleaseRow]:
    """Return what was published, newest first.

    Raises:
        LedgerError: the database does not answer.
    """
    query = _select_releases(project, channel, environment).limit(limit)
    with ledger.reading() as connection:
        return [release_of(row) for row in connection.execute(query)]


def standing_releases(ledger: Ledger) -> list[ReleaseRow]:
    """Return, for each project, channel and environment, what was published last.

    Ordered by these three.

    Raises:
        LedgerError: the database does not answer.
    """
    place = (_releases.c.project_id, _releases.c.channel, _releases.c.environment)
    order = func.row_number().over(
        partition_by=place, order_by=(_releases.c.stands_since.desc(), _releases.c.id.desc())
    )
    ranked = select(_releases.c.id, order.label("place")).subquery()
    query = (
        select(_releases, _projects.c.slug.label("project"))
        .join(_projects)
        .join(ranked, ranked.c.id == _releases.c.id)
        .where(ranked.c.place == 1)
        .order_by(_projects.c.slug, _releases.c.channel, _releases.c.environment)
    )
    with ledger.reading() as connection:
        return [release_of(row) for row in connection.execute(query)]


def load_release(ledger: Ledger, manifest_sha256: str, environment: str) -> ReleaseRow | None:
    """Return a published release; None where the ledger knows none.

    Raises:
        LedgerError: the database does not answer.
    """
    query = _select_releases("", "", environment)
    query = query.where(_releases.c.manifest_sha256 == manifest_sha256).limit(1)
    with ledger.reading() as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else release_of(row)


def load_history(
    ledger: Ledger, project: str, channel: str, environment: str, *, limit: int = 30
) -> Sequence[tuple[ReleaseRow, Sequence[ArtifactRow]]]:
    """Return the last releases of a channel with their files, oldest first: sizes and rows.

    Raises:
        LedgerError: the database does not answer.
    """
    query = _select_releases(project, channel, environment).limit(limit)
    with ledger.reading() as connection:
        found = [release_of(row) for row in connection.execute(query)]
        files = _artifacts(connection, [each.manifest_sha256 for each in found])
    return [(each, files.get(each.manifest_sha256, [])) for each in reversed(found)]


def _select_runs() -> Select[Any]:
    return select(_runs, _projects.c.slug.label("project"), _projects.c.title).join(_projects)


def _select_releases(project: str, channel: str, environment: str) -> Select[Any]:
    query = select(_releases, _projects.c.slug.label("project")).join(_projects)
    for column, value in (
        (_projects.c.slug, project),
        (_releases.c.channel, channel),
        (_releases.c.environment, environment),
    ):
        if value:
            query = query.where(column == value)
    return query.order_by(_releases.c.published_at.desc(), _releases.c.id.desc())


def _newest_first() -> tuple[ColumnElement[Any], ...]:
    return _runs.c.created_at.desc(), _runs.c.id.desc()


def _conditions(wanted: RunFilter) -> list[ColumnElement[bool]]:
    asked = (
        (_projects.c.slug, wanted.project),
        (_runs.c.channel, wanted.channel),
        (_runs.c.environment, wanted.environment),
        (_runs.c.tag, wanted.tag),
        (_runs.c.state, wanted.state),
        (_runs.c.kind, wanted.kind),
        (_runs.c.is_job, wanted.only_jobs),
        (_runs.c.is_release, wanted.only_releases),
    )
    return [column == value for column, value in asked if value]


def _artifacts(connection: Connection, manifests: Sequence[str]) -> dict[str, list[ArtifactRow]]:
    table = tables.artifacts
    query = (
        select(table)
        .where(table.c.manifest_sha256.in_(manifests))
        .order_by(table.c.manifest_sha256, table.c.position)
    )
    found: dict[str, list[ArtifactRow]] = {}
    for row in connection.execute(query):
        found.setdefault(row.manifest_sha256, []).append(artifact_of(row))
    return found


def _not_one(ledger: Ledger, name: str, found: Sequence[str], newest: Sequence[str]) -> LedgerError:
    place = f"ledger {ledger.url}"
    if found:
        return LedgerError(
            f"{place}: expected one run whose name begins with {name!r}, found {', '.join(found)}"
        )
    if not newest:
        return LedgerError(f"{place}: expected a run, found none of that kind")
    return LedgerError(
        f"{place}: expected a run, found none whose name begins with {name!r};"
        f" the newest are {', '.join(newest)}"
    )
