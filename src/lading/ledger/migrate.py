"""The schema of a ledger: which one it is, and how it is brought up to date."""

import threading
from pathlib import Path
from typing import Literal

from sqlalchemy import Column, Connection, MetaData, Table, Text, func, inspect, select

from lading.errors import LedgerError, LedgerVersionError

REVISIONS = ("0001", "0002")
"""Every schema that this Lading knows, oldest first: the files in ``migrations/versions``."""
VERSION_TABLE = "lading_version"
"""Where a ledger's schema is named: not Alembic's own name, for other applications have that."""
SCRIPTS = Path(__file__).parent / "migrations"
NEW_SQLITE = SCRIPTS / "new_sqlite.sql"
"""What all migrations together make of an empty SQLite file; a test holds the two equal."""
_VERSION = Table(VERSION_TABLE, MetaData(), Column("version_num", Text, primary_key=True))
_LOCK_NUMBER = 0x6C6164696E67  # "lading"
_ALEMBIC = threading.Lock()  # it keeps what it does in variables of its modules

State = Literal["empty", "older", "current"]
"""How a database stands to the schema that this Lading writes."""


def read_state(connection: Connection, place: str) -> State:
    """Say how a database stands. Alembic is not needed for that: its import takes a while.

    Args:
        connection: to the database.
        place: it, as anybody may see it.

    Raises:
        LedgerError: it holds tables and is no ledger.
        LedgerVersionError: its schema is newer.
    """
    names = inspect(connection).get_table_names()
    if not names:
        return "empty"
    if VERSION_TABLE not in names:
        raise LedgerError(
            f"ledger {place}: expected a ledger or an empty database,"
            f" found the tables of something else, such as {min(names)!r}"
        )
    found = connection.execute(select(_VERSION.c.version_num)).scalar()
    if found not in REVISIONS:
        raise LedgerVersionError(
            f"ledger {place}: expected schema {REVISIONS[-1]} or older, found {found!r}"
        )
    return "current" if found == REVISIONS[-1] else "older"


def bring_up_to_date(connection: Connection, place: str) -> None:
    """Make the schema, or bring it up to date, unless another process has done so meanwhile.

    All of it is done in the transaction at hand, or nothing: a kill leaves what there was.

    Args:
        connection: in a transaction that writes: in SQLite there is no other one by now.
        place: the database, as anybody may see it.

    Raises:
        LedgerError: it holds tables and is no ledger.
        LedgerVersionError: its schema is newer.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK_NUMBER)))
    state = read_state(connection, place)
    if state == "empty" and connection.dialect.name == "sqlite":
        _make_new(connection)  # a first release in a folder need not wait for Alembic
    elif state != "current":
        upgrade(connection)


def render_new_sqlite(connection: Connection) -> str:
    """Render the schema of a migrated SQLite database, as ``new_sqlite.sql`` has it."""
    kept = connection.exec_driver_sql(
        "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid"
    )
    stamp = f"INSERT INTO {VERSION_TABLE} VALUES ('{REVISIONS[-1]}')"  # noqa: S608  constants
    return "".join(f"{each.strip()};\n\n" for each in [*kept.scalars(), stamp])


def _make_new(connection: Connection) -> None:
    for statement in NEW_SQLITE.read_text(encoding="utf-8").split(";\n\n"):
        if statement.strip():
            connection.exec_driver_sql(statement)


def upgrade(connection: Connection, revision: str = "head", scripts: Path = SCRIPTS) -> None:
    """Run the migrations that a database lacks.

    Args:
        connection: in a transaction that writes.
        revision: how far.
        scripts: folder of the migrations.
    """
    from alembic import command  # noqa: PLC0415  0.3 s, and hardly ever needed
    from alembic.config import Config  # noqa: PLC0415  as above

    settings = Config(attributes={"connection": connection})
    settings.set_main_option("script_location", str(scripts).replace("%", "%%"))
    with _ALEMBIC:
        command.upgrade(settings, revision)
