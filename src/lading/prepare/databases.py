"""Look at a SQLite database through SQLite itself, without changing a byte of it.

A database that was closed is read in place. One that was left open, with a write-ahead log or
a hot journal beside it, is never opened where it stands: SQLite would finish the work of
whoever left it, in the source. Both files are copied, proved to belong together, and SQLite
finishes the copy. Source: SQLite, "Write-Ahead Logging" and "Atomic Commit In SQLite".
"""

import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from lading.errors import GateError
from lading.storage.bytes import copy_in_kernel

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_WAL_HEADER_BYTES = 32
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
_TRIES = 3
_VIRTUAL = re.compile(r"\s*create\s+virtual\s", re.IGNORECASE)
_KEPT_BY_VIRTUAL = (  # the tables of SQLite's own modules: full-text indexes and R-trees
    *("data", "idx", "content", "docsize", "config", "segments", "segdir", "stat"),
    *("node", "parent", "rowid"),
)
_CLOSE_IT = "close the program that writes it, or copy it with `sqlite3 OLD '.backup NEW'`"


def live_journal(path: Path) -> Path | None:
    """Return the write-ahead log or hot journal of a database that was left open, if any.

    An empty log, and a journal that was closed by zeroing its header, belong to no work.
    """
    log, journal = path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-journal")
    try:
        if _first_bytes(journal, len(_JOURNAL_MAGIC)) == _JOURNAL_MAGIC:
            return journal  # a log beside it is from before: only one of them is ever in use
    except OSError:
        return journal  # it may be; whoever reads it says why it cannot
    try:
        return log if _first_bytes(log, 1) else None
    except OSError:
        return log


@contextmanager
def at_rest(path: Path, scratch: Path) -> Iterator[Path]:
    """Give a database that nobody writes: the one that was closed, or a snapshot of an open one.

    Effects: a snapshot stands in ``scratch`` while the block runs. The source is only read.

    Args:
        path: the database.
        scratch: folder for a snapshot; made where it is missing.

    Raises:
        GateError: no consistent snapshot can be had, and why.
    """
    if live_journal(path) is None:
        yield path
        return
    folder = scratch / f"{path.name}.snapshot"  # its own: others come and go beside it
    try:
        snapshot = folder / path.name
        yield snapshot if _take_snapshot(path, snapshot) else path
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            scratch.rmdir()  # where nothing else stands in it


def refuse_live(path: Path) -> None:
    """Refuse a database that somebody has not finished writing.

    Raises:
        GateError: naming the journal.
    """
    journal = live_journal(path)
    if journal is None:
        return
    try:
        size = journal.stat().st_size
    except FileNotFoundError:
        return  # its writer has ended just now
    kind = "a live write-ahead log" if journal.name.endswith("-wal") else "a hot journal"
    raise GateError(
        f"{path.name}: expected a closed database, found {kind} {journal.name} of {size} bytes",
        hint=_CLOSE_IT,
    )


def check_database(path: Path, depth: str) -> None:
    """Refuse a database that is damaged or cut short.

    Effects: none. The database is opened as immutable, so SQLite makes no file beside it.

    Args:
        path: a database at rest.
        depth: ``quick_check``, ``integrity_check`` or ``none`` (header only).

    Raises:
        GateError: naming the file and what was found.
    """
    _check_header(path)
    if depth == "none":
        return
    try:
        with closing(_open(path)) as connection:
            rows = [row[0] for row in connection.execute(f"pragma {depth}(1)")]
    except sqlite3.DatabaseError as error:
        rows = [str(error)]
    if rows != ["ok"]:
        raise GateError(f"{path.name}: expected a sound SQLite database, {depth} found {rows[0]!r}")


def count_rows(path: Path) -> dict[str, int]:
    """Count the rows of each table of a database at rest.

    Virtual tables and the tables that they keep for themselves are not counted: their rows
    come and go without a change of the data.

    Raises:
        GateError: SQLite cannot read a table.
    """
    counted = {}
    try:
        with closing(_open(path)) as connection:
            for name in _names_of_tables(connection):
                quoted = name.replace('"', '""')
                query = f'select count(*) from "{quoted}"'  # noqa: S608  quoted
                counted[name] = connection.execute(query).fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise GateError(f"{path.name}: expected tables to count, found {str(error)!r}") from error
    return counted


def _names_of_tables(connection: sqlite3.Connection) -> list[str]:
    """Return the names of ordinary tables, in the order of their making."""
    query = "select name, sql from sqlite_master where type = 'table' and name not glob 'sqlite_*'"
    made = connection.execute(query).fetchall()
    virtual = {name for name, sql in made if _VIRTUAL.match(sql or "")}
    kept = {f"{name}_{end}" for name in virtual for end in _KEPT_BY_VIRTUAL}
    return [name for name, _ in made if name not in virtual | kept]


def _open(path: Path) -> sqlite3.Connection:
    uri = f"file:{quote(str(path.resolve()))}?mode=ro&immutable=1"
    return sqlite3.connect(uri, uri=True)


def _take_snapshot(path: Path, snapshot: Path) -> bool:
    """Copy a database that was left open and let SQLite finish the copy.

    Returns:
        False where the database is at rest, so that there was nothing to do.
    """
    for _ in range(_TRIES):
        journal = live_journal(path)
        if journal is None:
            return False
        copy = snapshot.with_name(snapshot.name + journal.name.removeprefix(path.name))
        before: tuple[object, ...] = ()
        try:
            before = _fingerprint(path, journal)
            _refuse_super_journal(path, journal)
            shutil.rmtree(snapshot.parent, ignore_errors=True)  # of a try, or of a killed run
            _make_folder(snapshot.parent)
            _copy(path, snapshot)
            _copy(journal, copy)
        except OSError as error:
            with suppress(OSError):
                if _fingerprint(path, journal) != before or not before:
                    continue  # cut or closed below us
            raise GateError(
                f"{path.name}: expected to copy it to {snapshot.parent.parent} for a snapshot,"
                f" got {error.strerror!r}"
            ) from error
        if before and live_journal(path) == journal and _fingerprint(path, journal) == before:
            _recover(path, snapshot, copy)
            return True
    raise GateError(
        f"{path.name}: expected a moment at rest for a snapshot, found it written during each"
        f" of {_TRIES} copies",
        hint=_CLOSE_IT,
    )


def _make_folder(folder: Path) -> None:
    """Make a folder, also where another snapshot that ends takes the empty one above away."""
    for _ in range(_TRIES):
        with suppress(FileNotFoundError, FileExistsError):
            folder.mkdir(parents=True, exist_ok=True)
            return
    folder.mkdir(parents=True, exist_ok=True)


def _refuse_super_journal(path: Path, journal: Path) -> None:
    if journal.name.endswith("-journal") and _last_bytes(journal, 8) == _JOURNAL_MAGIC:
        raise GateError(
            f"{path.name}: expected a journal of its own, found {journal.name} of a transaction"
            " over several databases, which cannot be finished alone",
            hint=_CLOSE_IT,
        )


def _fingerprint(path: Path, journal: Path) -> tuple[object, ...]:
    """Tell whether database and journal still belong together.

    A write-ahead log may grow: what is behind the last commit that was copied is not read. It
    may not begin anew, which its header tells, nor may the database change below it. Nothing
    is told where one of them is gone.
    """
    try:
        found, beside = path.stat(), journal.stat()
    except FileNotFoundError:
        return ()
    start = _first_bytes(journal, _WAL_HEADER_BYTES)
    grown = () if journal.name.endswith("-wal") else (beside.st_size, beside.st_mtime_ns)
    return found.st_size, found.st_mtime_ns, found.st_ino, beside.st_ino, start, grown


def _copy(source: Path, target: Path) -> None:
    with source.open("rb", buffering=0) as reader, target.open("wb", buffering=0) as writer:
        copy_in_kernel(reader.fileno(), writer.fileno())


def _recover(path: Path, snapshot: Path, copy: Path) -> None:
    """Let SQLite take over the log of a snapshot, or roll its journal back."""
    try:
        with closing(sqlite3.connect(snapshot, isolation_level=None)) as connection:
            connection.execute("select count(*) from sqlite_master").fetchone()
            connection.execute("pragma wal_checkpoint(truncate)").fetchone()
    except sqlite3.DatabaseError as error:
        raise GateError(
            f"{path.name}: expected a snapshot that SQLite can finish, found {str(error)!r}"
        ) from error
    if copy.exists() and copy.stat().st_size:
        raise GateError(
            f"{path.name}: expected SQLite to take over {copy.name}, found it left as it was",
            hint=_CLOSE_IT,
        )


def _check_header(path: Path) -> None:
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except OSError as error:
        raise GateError(f"{path.name}: expected a readable file, got {error.strerror!r}") from error
    if not header.startswith(_MAGIC):
        raise GateError(f"{path.name}: expected a SQLite database, found a file of another kind")
    if len(header) < _HEADER_BYTES:
        raise GateError(
            f"{path.name}: expected a header of {_HEADER_BYTES} bytes, found {len(header)}:"
            " it is cut short"
        )
    # "The SQLite Database File Format", 1.3: page size at 16, size in pages at 28
    page_size = int.from_bytes(header[16:18], "big")
    expected = (65536 if page_size == 1 else page_size) * int.from_bytes(header[28:32], "big")
    found = path.stat().st_size
    is_current = header[24:28] == header[92:96]
    if is_current and expected and found < expected:
        raise GateError(f"{path.name}: expected {expected} bytes, found {found}: it is cut short")


def _first_bytes(path: Path, count: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(count)
    except (FileNotFoundError, IsADirectoryError):
        return b""


def _last_bytes(path: Path, count: int) -> bytes:
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - count))
        return file.read()
