"""Views for people who ask in SQL, or open the file in Datasette.

``views.py`` says what each of them and each of its columns is.

Revision ID: 0002
"""

from typing import Any

from alembic import op
from sqlalchemy import (
    ColumnElement,
    DDLElement,
    FromClause,
    Select,
    and_,
    case,
    cast,
    column,
    extract,
    func,
    literal,
    select,
    true,
    type_coerce,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.types import TIMESTAMP, BigInteger, Numeric

from lading.ledger.migrations.versions.v0001_tables import (
    artifacts,
    logs,
    projects,
    receipts,
    releases,
    runs,
    steps,
    targets,
)

revision = "0002"
down_revision = "0001"

_QUIET_S = 60
_TAIL = 1000
_PROJECT = projects.c.slug.label("project")
_NAMED = (runs.c.id.label("run_id"), _PROJECT, runs.c.channel, runs.c.tag, runs.c.environment)


class CreateView(DDLElement):
    """``CREATE VIEW``, of a query."""

    inherit_cache = False

    def __init__(self, name: str, query: Select[Any]) -> None:
        self.name = name
        self.query = query


@compiles(CreateView)
def _compile(element: CreateView, compiler: Any, **_: Any) -> str:
    name = compiler.preparer.quote(element.name)
    query = compiler.sql_compiler.process(element.query, literal_binds=True)
    return f"CREATE VIEW {name} AS {query}"


def upgrade() -> None:
    """Make them."""
    kind = op.get_bind().dialect.name
    for name, query in (
        ("overview", _overview()),
        ("current_releases", _current_releases()),
        ("run_timings", _run_timings(kind)),
        ("step_timings", _step_timings(kind)),
        ("failed_steps", _failed_steps()),
        ("stuck_runs", _stuck_runs(kind)),
        ("target_matrix", _target_matrix()),
        ("run_receipts", _run_receipts()),
        ("run_artifacts", _run_artifacts()),
        ("table_history", _table_history(kind)),
        ("log_tail", _log_tail()),
    ):
        op.execute(CreateView(name, query))


def _seconds(kind: str, begin: Any, end: Any) -> ColumnElement[Any]:
    """Return the seconds between two moments, to the millisecond."""
    if kind == "sqlite":
        elapsed = (func.julianday(end) - func.julianday(begin)) * 86400.0
        return func.round(elapsed, 3)
    moment = TIMESTAMP(timezone=True)
    elapsed = type_coerce(end, moment) - type_coerce(begin, moment)
    return func.round(cast(extract("epoch", elapsed), Numeric), 3)


def _now(kind: str) -> ColumnElement[Any]:
    return func.strftime("%Y-%m-%dT%H:%M:%fZ", "now") if kind == "sqlite" else func.now()


def _standing() -> FromClause:
    place = (releases.c.project_id, releases.c.channel, releases.c.environment)
    newest_first = (releases.c.stands_since.desc(), releases.c.id.desc())
    rank = func.row_number().over(partition_by=place, order_by=newest_first)
    ranked = select(releases, rank.label("place")).subquery("ranked")
    return select(ranked).where(ranked.c.place == 1).subquery("standing")


def _overview() -> Select[Any]:
    place = (runs.c.project_id, runs.c.channel, runs.c.environment)
    rank = func.row_number().over(
        partition_by=place, order_by=(runs.c.created_at.desc(), runs.c.id.desc())
    )
    ranked = select(
        runs, rank.label("place"), func.count().over(partition_by=place).label("runs")
    ).subquery("ranked_runs")
    standing = _standing()
    same = and_(*(standing.c[each.name] == ranked.c[each.name] for each in place))
    return (
        select(
            _PROJECT,
            ranked.c.channel,
            ranked.c.environment,
            standing.c.tag.label("standing_tag"),
            standing.c.published_at,
            standing.c.files,
            standing.c.size_bytes,
            ranked.c.id.label("last_run_id"),
            ranked.c.tag.label("last_tag"),
            ranked.c.state.label("last_state"),
            ranked.c.failed_at.label("last_failed_at"),
            ranked.c.created_at.label("last_created_at"),
            ranked.c.runs,
        )
        .select_from(ranked)
        .join(projects, projects.c.id == ranked.c.project_id)
        .outerjoin(standing, same)
        .where(ranked.c.place == 1)
    )


def _current_releases() -> Select[Any]:
    standing = _standing()
    return select(
        _PROJECT,
        standing.c.channel,
        standing.c.environment,
        standing.c.tag,
        standing.c.published_at,
        standing.c.stands_since,
        standing.c.files,
        standing.c.size_bytes,
        standing.c.doi,
        standing.c.commit_id,
        standing.c.manifest_sha256,
        standing.c.url,
        standing.c.run_id,
    ).join(projects, projects.c.id == standing.c.project_id)


def _run_timings(kind: str) -> Select[Any]:
    of_run = and_(steps.c.run_id == runs.c.id, steps.c.attempt == runs.c.attempt)
    step_s = _seconds(kind, steps.c.started_at, steps.c.ended_at)
    slowest = (
        select(steps.c.task)
        .where(of_run, steps.c.ended_at.is_not(None), steps.c.started_at.is_not(None))
        .order_by(step_s.desc(), steps.c.id)
        .limit(1)
    )
    return select(
        *_NAMED,
        runs.c.kind,
        runs.c.state,
        runs.c.attempt,
        runs.c.created_at,
        runs.c.started_at,
        runs.c.ended_at,
        _seconds(kind, runs.c.created_at, runs.c.started_at).label("waited_s"),
        _seconds(kind, runs.c.started_at, runs.c.ended_at).label("elapsed_s"),
        select(func.count()).where(of_run).scalar_subquery().label("steps"),
        slowest.scalar_subquery().label("slowest_step"),
        runs.c.done_bytes,
    ).join(projects)


def _step_timings(kind: str) -> Select[Any]:
    elapsed = _seconds(kind, steps.c.started_at, steps.c.ended_at)
    return _steps_of_last_attempt(
        *_NAMED,
        steps.c.position,
        steps.c.task,
        steps.c.state,
        steps.c.started_at,
        steps.c.ended_at,
        elapsed.label("elapsed_s"),
        steps.c.done_bytes,
        steps.c.done_files,
        (steps.c.done_bytes / func.nullif(elapsed, 0)).label("bytes_per_s"),
    )


def _failed_steps() -> Select[Any]:
    return _steps_of_last_attempt(
        *_NAMED, steps.c.task, steps.c.state, steps.c.ended_at, steps.c.detail, runs.c.command
    ).where(steps.c.state.in_(("failed", "interrupted")))


def _steps_of_last_attempt(*columns: ColumnElement[Any]) -> Select[Any]:
    last = and_(runs.c.id == steps.c.run_id, runs.c.attempt == steps.c.attempt)
    return select(*columns).select_from(steps).join(runs, last).join(projects)


def _stuck_runs(kind: str) -> Select[Any]:
    heard = func.coalesce(runs.c.heartbeat_at, runs.c.started_at, runs.c.created_at)
    silent = _seconds(kind, heard, _now(kind))
    return (
        select(
            *_NAMED,
            runs.c.owner,
            runs.c.percent,
            runs.c.started_at,
            heard.label("heard_at"),
            silent.label("silent_s"),
            runs.c.command,
        )
        .join(projects)
        .where(runs.c.state == "running", silent > _QUIET_S)
    )


def _target_matrix() -> Select[Any]:
    return (
        select(
            *_NAMED,
            targets.c.position,
            targets.c.task,
            targets.c.kind,
            targets.c.destination,
            targets.c.name,
            targets.c.state,
            targets.c.planned_files,
            targets.c.planned_bytes,
            targets.c.verified_at,
            targets.c.url,
            targets.c.note,
        )
        .select_from(targets)
        .join(runs)
        .join(projects)
    )


def _run_receipts() -> Select[Any]:
    return (
        select(
            *_NAMED,
            receipts.c.task,
            receipts.c.place,
            receipts.c.proved_at,
            receipts.c.objects,
            receipts.c.size_bytes,
            receipts.c.manifest_sha256,
            receipts.c.facts,
        )
        .select_from(receipts)
        .join(runs)
        .join(projects)
    )


def _run_artifacts() -> Select[Any]:
    of_run = artifacts.c.manifest_sha256 == runs.c.manifest_sha256
    return (
        select(
            *_NAMED,
            artifacts.c.key,
            artifacts.c.size_bytes,
            artifacts.c.sha256,
            artifacts.c.media_type,
            artifacts.c.kind,
            artifacts.c.role,
            artifacts.c.url,
            runs.c.manifest_sha256,
        )
        .select_from(runs)
        .join(projects)
        .join(artifacts, of_run)
    )


def _table_history(kind: str) -> Select[Any]:
    each = func.json_each if kind == "sqlite" else func.jsonb_each_text
    counted = each(artifacts.c.rows).table_valued(column("key"), column("value"), name="counted")
    rows = cast(counted.c.value, BigInteger)
    before = func.lag(rows).over(
        partition_by=(
            releases.c.project_id,
            releases.c.channel,
            releases.c.environment,
            artifacts.c.key,
            counted.c.key,
        ),
        order_by=(releases.c.published_at, releases.c.id),
    )
    return (
        select(
            _PROJECT,
            releases.c.channel,
            releases.c.environment,
            releases.c.tag,
            releases.c.published_at,
            artifacts.c.key.label("file"),
            counted.c.key.label("table_name"),
            rows.label("rows"),
            (rows - before).label("change"),
            artifacts.c.size_bytes.label("file_size_bytes"),
            releases.c.run_id,
        )
        .select_from(releases)
        .join(projects)
        .join(artifacts, artifacts.c.manifest_sha256 == releases.c.manifest_sha256)
        .join(counted, true())
    )


def _log_tail() -> Select[Any]:
    newest = select(logs).order_by(logs.c.id.desc()).limit(_TAIL).subquery("newest")
    name = case(
        *((newest.c.level >= number, literal(name)) for number, name in _LEVELS), else_="debug"
    )
    return (
        select(
            newest.c.id.label("number"),
            newest.c.at,
            name.label("level"),
            newest.c.task,
            newest.c.text,
            *_NAMED,
        )
        .select_from(newest)
        .join(runs, runs.c.id == newest.c.run_id)
        .join(projects)
    )


_LEVELS = ((50, "critical"), (40, "error"), (30, "warning"), (20, "info"))
