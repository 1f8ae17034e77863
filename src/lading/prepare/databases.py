"""Look at a SQLite database through SQLite itself, without changing a byte of it."""

import sqlite3
from pathlib import Path
from urllib.parse import quote

from lading.errors import GateError

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
_CLOSE_IT = "close the program that writes it, or copy it with `sqlite3 OLD '.backup NEW'`"


def check_database(path: Path, depth: str) -> None:
    """Refuse a database that is damaged, or that somebody has not finished writing.

    Effects: none. The database is opened as immutable, so SQLite makes no file beside it.

    Args:
        path: the database.
        depth: ``quick_check``, ``integrity_check`` or ``none`` (header and journals only).

    Raises:
        GateError: naming the file and what was found.
    """
    _check_header(path)
    _check_journals(path)
    if depth == "none":
        return
    uri = f"file:{quote(str(path.resolve()))}?mode=ro&immutable=1"
    try:
        connection = sqlite3.connect(uri, uri=True)
        try:
            rows = [row[0] for row in connection.execute(f"pragma {depth}(1)")]
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        rows = [str(error)]
    if rows != ["ok"]:
        raise GateError(f"{path.name}: expected a sound SQLite database, {depth} found {rows[0]!r}")


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


def _check_journals(path: Path) -> None:
    wal = path.with_name(path.name + "-wal")
    if wal.exists() and wal.stat().st_size:
        raise GateError(
            f"{path.name}: expected a closed database, found a live write-ahead log {wal.name}"
            f" of {wal.stat().st_size} bytes",
            hint=_CLOSE_IT,
        )
    journal = path.with_name(path.name + "-journal")
    if journal.exists() and _starts_with(journal, _JOURNAL_MAGIC):
        raise GateError(
            f"{path.name}: expected a closed database, found a hot journal {journal.name}:"
            " a transaction was cut in the middle",
            hint=_CLOSE_IT,
        )


def _starts_with(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic
