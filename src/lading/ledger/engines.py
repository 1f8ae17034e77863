"""Engines of SQLAlchemy, set as a ledger needs them: who waits how long, and for what."""

import contextlib
import sqlite3
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

from lading.errors import LedgerError

WRITES = "lading_writes"
"""Option of a connection whose next transaction is to write."""
_PAUSE_S = 0.02


def make_engine(url: URL, timeout_s: float, *, mode: str = "rwc") -> Engine:
    """Make an engine; nothing is connected yet.

    Args:
        url: as ``faults.parse_url`` returns it.
        timeout_s: how long a server, a lock or a connection is waited for.
        mode: of an SQLite file: ``rwc`` (made where it is missing), ``rw``, or ``immutable``
            (on a medium that nobody can write to).

    Raises:
        LedgerError: the driver of PostgreSQL is not installed.
    """
    if url.get_backend_name() == "sqlite":
        return _make_sqlite(url, timeout_s, mode)
    return _make_postgres(url, timeout_s)


def _make_sqlite(url: URL, timeout_s: float, mode: str) -> Engine:
    path = Path(url.database or "").absolute()
    asked = "mode=ro&immutable=1" if mode == "immutable" else f"mode={mode}"
    name = f"file:{quote(str(path), errors='surrogateescape')}?{asked}"

    def connect() -> sqlite3.Connection:
        # isolation_level None: the driver begins nothing by itself, we do, below
        connection = sqlite3.connect(
            name, uri=True, timeout=timeout_s, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA foreign_keys = ON")
        # NORMAL: in WAL mode a power cut may lose the last events, and never breaks the file
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    engine = create_engine(
        url,
        creator=connect,
        poolclass=QueuePool,
        pool_size=10,
        max_overflow=50,
        pool_timeout=timeout_s,
    )
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _begin_sqlite(connection: Connection) -> None:
    # SQLite's "Transactions": one that reads first and writes later can be refused at once,
    # however long it would wait; one that is to write says so when it begins
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def switch_to_wal(url: URL, timeout_s: float) -> None:
    """Switch an SQLite file to WAL mode, for good.

    Of two that switch at once one is refused without waiting: SQLite's "Write-Ahead Logging",
    section "Sometimes Queries Return SQLITE_BUSY In WAL Mode".

    Raises:
        sqlite3.Error: it cannot be.
    """
    until = time.monotonic() + timeout_s
    while True:
        try:
            with contextlib.closing(sqlite3.connect(url.database or "")) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(_PAUSE_S)
        else:
            return


def _make_postgres(url: URL, timeout_s: float) -> Engine:
    wait_ms = max(int(timeout_s * 1000), 1)
    given: dict[str, Any] = {
        "connect_timeout": max(int(timeout_s), 2),  # libpq: less than 2 is rounded up
        "application_name": "lading",
        # a server whose cable is cut is noticed
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": wait_ms,
    }
    arguments = {name: value for name, value in given.items() if name not in url.query}
    try:
        engine = create_engine(
            url,
            connect_args={**arguments, "prepare_threshold": None},  # as PgBouncer wants it
            pool_pre_ping=True,
            pool_size=10,
            max_overflow=20,
            pool_timeout=timeout_s,
        )
    except ModuleNotFoundError as error:
        raise LedgerError(
            f"ledger: expected the driver of PostgreSQL, found no module {error.name!r}",
            hint="install it: pip install 'lading[postgres]'",
        ) from error
    _set_each_connection(engine, wait_ms)
    return engine


def _set_each_connection(engine: Engine, wait_ms: int) -> None:
    def set_connection(connection: Any, _: Any) -> None:
        connection.autocommit = True
        for name, value in (
            ("statement_timeout", str(max(wait_ms, 10_000))),
            ("lock_timeout", str(wait_ms)),
            ("idle_in_transaction_session_timeout", "60000"),
            ("timezone", "UTC"),
        ):
            connection.execute("SELECT set_config(%s, %s, false)", (name, value))
        connection.autocommit = False

    event.listen(engine, "connect", set_connection)
