"""The tables of the ledger. Times are UTC: text that sorts in SQLite, timestamptz in PostgreSQL.

A change here is a new file in ``migrations/versions``: a test compares the two.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    UniqueConstraint,
    text,
)

from lading.ledger.columns import Facts, Moment, Words

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_Key = BigInteger().with_variant(Integer, "sqlite")  # SQLite's rowid is an Integer


def _key() -> Column[int]:
    return Column("id", _Key, primary_key=True, autoincrement=True)


def _run() -> Column[str]:
    return Column("run_id", Words, ForeignKey("runs.id"), nullable=False)


def _text(name: str) -> Column[str]:
    return Column(name, Words, nullable=False, server_default="")


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default="0")


projects = Table(
    "projects",
    METADATA,
    _key(),
    Column("slug", Words, nullable=False, unique=True),
    _text("title"),
    Column("created_at", Moment, nullable=False),
)

versions = Table(
    "versions",
    METADATA,
    _key(),
    Column("project_id", _Key, ForeignKey("projects.id"), nullable=False),
    Column("version", Words, nullable=False),
    Column("state", Words, nullable=False),
    _text("detail"),
    Column("changed_at", Moment, nullable=False),
    UniqueConstraint("project_id", "version"),
)

runs = Table(
    "runs",
    METADATA,
    Column("id", Words, primary_key=True),
    Column("project_id", _Key, ForeignKey("projects.id"), nullable=False),
    Column("kind", Words, nullable=False),
    Column("channel", Words, nullable=False, server_default=""),
    Column("tag", Words, nullable=False, server_default=""),
    Column("environment", Words, nullable=False, server_default=""),
    Column("is_release", Boolean, nullable=False, server_default=text("false")),
    Column("state", Words, nullable=False),
    Column("exit_code", Integer),
    _text("failed_at"),
    _text("error"),
    _text("command"),
    Column("attempt", Integer, nullable=False, server_default="1"),
    Column("percent", Float, nullable=False, server_default="0"),
    _number("done_bytes"),
    _number("size_bytes"),
    _number("done_files"),
    _number("files"),
    Column("rate_bytes_s", Float, nullable=False, server_default="0"),
    Column("left_s", Float),
    Column("created_at", Moment, nullable=False),
    Column("started_at", Moment),
    Column("ended_at", Moment),
    Column("heartbeat_at", Moment),
    _text("owner"),
    _text("process"),
    _text("tool_version"),
    _text("commit_id"),
    _text("config_sha256"),
    _text("ci_url"),
    Column("manifest_sha256", Words, nullable=False, server_default=""),
    _text("doi"),
    # of what was asked for through the API
    Column("is_job", Boolean, nullable=False, server_default=text("false")),
    _text("requested_by"),
    Column("idempotency_key", Words),
    _text("request_sha256"),
    Column("retry_of", Words, ForeignKey("runs.id")),
    Column("claim", Words),
    Column("claimed_at", Moment),
    Column("cancel_requested_at", Moment),
    Column("result", Facts),
    UniqueConstraint("idempotency_key"),
    UniqueConstraint("retry_of"),
    Index(None, "created_at"),
    Index(None, "project_id", "created_at"),
    Index(None, "state", "created_at"),
)

# one publish per project and environment at a time, whoever asks: the database itself refuses
Index(
    "uq_runs_one_publish_at_a_time",
    runs.c.project_id,
    runs.c.environment,
    unique=True,
    sqlite_where=text("state = 'running' AND is_job"),
    postgresql_where=text("state = 'running' AND is_job"),
)

steps = Table(
    "steps",
    METADATA,
    _key(),
    _run(),
    Column("attempt", Integer, nullable=False, server_default="1"),
    Column("position", Integer, nullable=False),
    Column("task", Words, nullable=False),
    Column("state", Words, nullable=False),
    _text("detail"),
    Column("started_at", Moment),
    Column("ended_at", Moment),
    Column("percent", Float, nullable=False, server_default="0"),
    _number("done_bytes"),
    _number("size_bytes"),
    _number("done_files"),
    _number("files"),
    Column("rate_bytes_s", Float, nullable=False, server_default="0"),
    Column("left_s", Float),
    UniqueConstraint("run_id", "attempt", "task"),
)

targets = Table(
    "targets",
    METADATA,
    _key(),
    _run(),
    Column("position", Integer, nullable=False),
    Column("task", Words, nullable=False),
    Column("kind", Words, nullable=False),
    Column("destination", Words, nullable=False, server_default=""),
    Column("name", Words, nullable=False, server_default=""),
    _number("planned_files"),
    _number("planned_bytes"),
    Column("state", Words, nullable=False),
    Column("verified_at", Moment),
    _text("url"),
    _text("note"),
    UniqueConstraint("run_id", "task"),
)

events = Table(
    "events",
    METADATA,
    _key(),
    _run(),
    Column("attempt", Integer, nullable=False, server_default="1"),
    Column("at", Moment, nullable=False),
    Column("kind", Words, nullable=False),
    Column("task", Words, nullable=False, server_default=""),
    Column("percent", Float, nullable=False, server_default="0"),
    _number("done_bytes"),
    _number("size_bytes"),
    _number("done_files"),
    _number("files"),
    _text("note"),
    Index(None, "run_id", "id"),
)

logs = Table(
    "logs",
    METADATA,
    _key(),
    _run(),
    Column("at", Moment, nullable=False),
    Column("level", Integer, nullable=False),
    Column("task", Words, nullable=False, server_default=""),
    Column("text", Words, nullable=False),
    Index(None, "run_id", "id"),
)

receipts = Table(
    "receipts",
    METADATA,
    _key(),
    _run(),
    Column("task", Words, nullable=False),
    _text("place"),
    Column("manifest_sha256", Words, nullable=False, server_default=""),
    Column("proved_at", Moment, nullable=False),
    _number("objects"),
    _number("size_bytes"),
    Column("facts", Facts, nullable=False),
    UniqueConstraint("run_id", "task"),
)

manifests = Table(
    "manifests",
    METADATA,
    Column("sha256", Words, primary_key=True),
    Column("project_id", _Key, ForeignKey("projects.id"), nullable=False),
    Column("channel", Words, nullable=False),
    Column("tag", Words, nullable=False),
    _number("files"),
    _number("size_bytes"),
)

# equal releases have equal manifests: a file is written once, however many runs ship it
artifacts = Table(
    "artifacts",
    METADATA,
    _key(),
    Column("manifest_sha256", Words, ForeignKey("manifests.sha256"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("key", Words, nullable=False),
    _number("size_bytes"),
    Column("sha256", Words, nullable=False),
    Column("media_type", Words, nullable=False, server_default=""),
    Column("kind", Words, nullable=False, server_default="file"),
    Column("role", Words, nullable=False, server_default=""),
    _text("url"),
    Column("rows", Facts, nullable=False),
    UniqueConstraint("manifest_sha256", "key"),
)

releases = Table(
    "releases",
    METADATA,
    _key(),
    Column("project_id", _Key, ForeignKey("projects.id"), nullable=False),
    Column("channel", Words, nullable=False),
    Column("tag", Words, nullable=False),
    Column("environment", Words, nullable=False),
    Column("manifest_sha256", Words, ForeignKey("manifests.sha256"), nullable=False),
    Column("published_at", Moment, nullable=False),
    # when it last took the place of another: a rolled back release stands again
    Column("stands_since", Moment, nullable=False),
    _run(),
    _text("url"),
    _number("files"),
    _number("size_bytes"),
    _text("doi"),
    _text("commit_id"),
    UniqueConstraint("project_id", "channel", "environment", "tag", "manifest_sha256"),
    Index(None, "project_id", "channel", "environment", "stands_since"),
    Index(None, "published_at"),
)

tokens = Table(
    "tokens",
    METADATA,
    _key(),
    Column("name", Words, nullable=False, unique=True),
    Column("role", Words, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("revoked_at", Moment),
)
