"""A ledger that is open: one engine, its schema known to fit, and what is read and written there.

``open_ledger`` is the only way in. Nothing here is called from a release's own threads: see
``background.py``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, exc

from lading.errors import LedgerError
from lading.ledger.engines import WRITES, make_engine, switch_to_wal
from lading.ledger.faults import AwayError, parse_url, secrets_in, show_url, told_in_one_line
from lading.ledger.migrate import bring_up_to_date, read_state


class Ledger:
    """An open ledger. Safe from several threads; each call is one transaction.

    Args:
        engine: of a database whose schema fits.
        url: where it stands, without a password.
        secrets: what no message may hold.
    """

    def __init__(self, engine: Engine, url: str, secrets: tuple[str, ...] = ()) -> None:
        self.engine = engine
        self.url = url
        self._secrets = secrets

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection for one transaction that only reads: it sees one moment.

        Raises:
            LedgerError: the database does not answer; one line.
        """
        with told_in_one_line(self.url, self._secrets), self.engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql(
                    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
                )
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection for one transaction that writes; all of it is done, or nothing.

        In SQLite there is one writer at a time: others wait from the beginning.

        Raises:
            LedgerError: the database does not answer, is full or read-only; one line.
        """
        with told_in_one_line(self.url, self._secrets), self.engine.connect() as opened:
            connection = opened.execution_options(**{WRITES: True})
            with connection.begin():
                yield connection

    def close(self) -> None:
        """Give connections back."""
        self.engine.dispose()


def open_ledger(url: str, *, is_for_writing: bool = True, timeout_s: float = 10.0) -> Ledger:
    """Open a ledger; make it, or bring its schema up to date, where it is for writing.

    An SQLite ledger is in WAL mode: readers never wait for writers.

    Args:
        url: as ``names.ledger_url`` returns it.
        is_for_writing: whether it may be made and migrated. A reader migrates too where it may
            write, and else reads an older schema only if it can.
        timeout_s: how long a server, or a lock, is waited for.

    Raises:
        LedgerError: no such ledger (reading), a database that does not answer, may not be
            written, or is none; one line without a password.
        LedgerVersionError: the schema is newer than this Lading knows.
    """
    parsed = parse_url(url)
    place, secrets = show_url(parsed), secrets_in(parsed)
    if parsed.get_backend_name() == "sqlite":
        engine = _open_file(parsed, place, timeout_s, is_for_writing=is_for_writing)
    else:
        engine = make_engine(parsed, timeout_s)
    ledger = Ledger(engine, place, secrets)
    try:
        _fit_schema(ledger, timeout_s, is_for_writing=is_for_writing)
    except BaseException:
        ledger.close()
        raise
    return ledger


def _fit_schema(ledger: Ledger, timeout_s: float, *, is_for_writing: bool) -> None:
    with ledger.reading() as connection:
        state = read_state(connection, ledger.url)
        is_wal = _is_wal(connection)
    if state == "empty" and not is_for_writing:
        raise LedgerError(f"ledger {ledger.url}: expected a ledger, found no table in it")
    if state == "current" and (is_wal or not is_for_writing):
        return
    try:
        if not is_wal:
            with told_in_one_line(ledger.url):
                switch_to_wal(ledger.engine.url, timeout_s)
        with ledger.writing() as connection:
            bring_up_to_date(connection, ledger.url)
    except LedgerError:
        if is_for_writing:
            raise


def _is_wal(connection: Connection) -> bool:
    if connection.dialect.name != "sqlite":
        return True
    return bool(connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal")


def _open_file(url: URL, place: str, timeout_s: float, *, is_for_writing: bool) -> Engine:
    path = Path(url.database or "")
    try:
        if is_for_writing:
            path.parent.mkdir(parents=True, exist_ok=True)
        is_there, is_file = path.exists(), path.is_file()
    except OSError as error:
        raise AwayError(
            f"ledger {place}: expected a folder that can be made, got {error.strerror!r}"
        ) from error
    if is_there and not is_file:
        raise LedgerError(f"ledger {place}: expected a file, found a folder or a device")
    if is_for_writing:
        return make_engine(url, timeout_s)
    if not is_there:
        raise LedgerError(f"ledger {place}: expected a ledger, found no file; no run was recorded")
    engine = make_engine(url, timeout_s, mode="rw")
    if _needs_side_files(engine, path):
        engine.dispose()
        return make_engine(url, timeout_s, mode="immutable")
    return engine


def _needs_side_files(engine: Engine, path: Path) -> bool:
    """Say whether a file stands on a medium where the side files of WAL mode cannot be made."""
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql("PRAGMA schema_version")
    except exc.OperationalError:
        return not path.with_name(path.name + "-wal").exists()
    except exc.SQLAlchemyError:
        return False  # said where its schema is read
    return False
