"""Tests of looking at SQLite databases: what is damaged, and what is not finished."""

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from lading.errors import GateError
from lading.prepare.databases import check_database

DEPTHS = ["quick_check", "integrity_check", "none"]
PAGE_BYTES = 4096

WRITE_AND_DIE = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("pragma cache_size = 2")  # pages spill to the file before the commit
connection.execute("begin")
connection.execute("update readings set value = value || 'x'")
os.kill(os.getpid(), signal.SIGKILL)
"""


def make_database(path: Path, *, rows: int = 400, journal: str = "delete") -> Path:
    """Make a database of several pages with an index."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"pragma journal_mode = {journal}")
    connection.execute("create table readings (id integer primary key, value text)")
    connection.execute("create index by_value on readings (value)")
    connection.execute("begin")
    values = ((f"{number:08d}" * 8,) for number in range(rows))
    connection.executemany("insert into readings (value) values (?)", values)
    connection.execute("commit")
    connection.close()
    return path


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Return a sound database, alone in its folder."""
    return make_database(tmp_path / "grid.sqlite")


def check(path: Path, depth: str) -> None:
    """Check a database; hold that no byte, no time and no name in its folder changes."""
    before = snapshot(path.parent)
    try:
        check_database(path, depth)
    finally:
        assert before == snapshot(path.parent)


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return bytes and time of every file of a folder."""
    found = (each for each in folder.iterdir() if each.is_file())
    return {each.name: (each.read_bytes(), each.stat().st_mtime_ns) for each in found}


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("journal", ["delete", "wal", "truncate", "persist"])
def test_sound_database_passes(tmp_path: Path, depth: str, journal: str) -> None:
    """A closed database passes in every journal mode, and nothing appears beside it."""
    path = make_database(tmp_path / "grid.sqlite", journal=journal)
    check(path, depth)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("page_size", [512, 65536])
def test_every_page_size_passes(tmp_path: Path, depth: str, page_size: int) -> None:
    """The smallest and the greatest page size are understood."""
    path = tmp_path / "grid.sqlite"
    connection = sqlite3.connect(path)
    connection.execute(f"pragma page_size = {page_size}")
    connection.execute("create table readings (id integer primary key)")
    connection.commit()
    connection.close()
    check(path, depth)


@pytest.mark.parametrize("name", ["with space.sqlite", "a#b?c=d%41&e.sqlite", "数据'\".sqlite"])
def test_odd_names_pass(tmp_path: Path, name: str) -> None:
    """The name of a database is never taken for a part of a URI."""
    check(make_database(tmp_path / name), "quick_check")


def test_read_only_file_passes(database: Path) -> None:
    """A database that nobody may write can be looked at."""
    database.chmod(0o444)
    check(database, "quick_check")


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"PK\x03\x04" + b"\0" * 5000, b"sqlite format 3\0" + b"\0" * 100],
    ids=["empty", "text", "zip", "almost"],
)
def test_file_of_another_kind(tmp_path: Path, depth: str, data: bytes) -> None:
    """A file that is no SQLite database is refused by its name."""
    path = tmp_path / "grid.sqlite"
    path.write_bytes(data)
    with pytest.raises(GateError, match=r"^grid\.sqlite: expected a SQLite database, found"):
        check(path, depth)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("size", [16, 50, 99])
def test_header_that_is_cut(database: Path, depth: str, size: int) -> None:
    """A file that ends inside the header of 100 bytes is refused."""
    database.write_bytes(database.read_bytes()[:size])
    with pytest.raises(GateError, match=r"^grid\.sqlite: "):
        check(database, depth)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("lost", [1, PAGE_BYTES, 3 * PAGE_BYTES])
def test_truncated(database: Path, depth: str, lost: int) -> None:
    """A database without its last byte or pages is refused with both sizes, at every depth."""
    data = database.read_bytes()
    database.write_bytes(data[:-lost])
    with pytest.raises(GateError, match=f"expected {len(data)} bytes, found {len(data) - lost}"):
        check(database, depth)


@pytest.mark.parametrize("depth", ["quick_check", "integrity_check"])
@pytest.mark.parametrize("page", [2, 5])
def test_corrupted_page(database: Path, depth: str, page: int) -> None:
    """A page of rubbish is found by SQLite, and its words are passed on."""
    data = bytearray(database.read_bytes())
    data[(page - 1) * PAGE_BYTES : page * PAGE_BYTES] = b"\xa5" * PAGE_BYTES
    database.write_bytes(data)
    with pytest.raises(GateError, match=rf"^grid\.sqlite: expected a sound .*{depth} found"):
        check(database, depth)


def test_corrupted_schema(database: Path) -> None:
    """A database whose first page is damaged behind the header is refused and no crash."""
    data = bytearray(database.read_bytes())
    data[100:PAGE_BYTES] = b"\xff" * (PAGE_BYTES - 100)
    database.write_bytes(data)
    with pytest.raises(GateError, match="quick_check found"):
        check(database, "quick_check")


def test_index_that_disagrees_with_its_table(database: Path) -> None:
    """A value that differs between table and index is found by the deeper check only."""
    data = database.read_bytes()
    value = b"00000007" * 8
    assert data.count(value) == 2
    database.write_bytes(data.replace(value, b"00000007" * 7 + b"00000008", 1))
    check(database, "quick_check")
    with pytest.raises(GateError, match=r"integrity_check found .*index"):
        check(database, "integrity_check")


def test_depth_none_reads_the_header_only(database: Path) -> None:
    """Without a depth a damaged page is not looked for: it costs no read of the whole file."""
    data = bytearray(database.read_bytes())
    data[PAGE_BYTES : 2 * PAGE_BYTES] = b"\xa5" * PAGE_BYTES
    database.write_bytes(data)
    check(database, "none")


@pytest.mark.parametrize("depth", DEPTHS)
def test_live_write_ahead_log(tmp_path: Path, depth: str) -> None:
    """While another connection keeps a write-ahead log with changes, the file is refused."""
    path = make_database(tmp_path / "grid.sqlite", journal="wal")
    writer = sqlite3.connect(path, isolation_level=None)
    try:
        writer.execute("pragma wal_autocheckpoint = 0")
        writer.execute("delete from readings where id < 10")
        with pytest.raises(GateError, match=r"live write-ahead log grid\.sqlite-wal of \d+ bytes"):
            check(path, depth)
    finally:
        writer.close()
    check(path, depth)


def test_write_ahead_log_of_a_killed_writer(tmp_path: Path) -> None:
    """A log that a killed writer left holds changes that the file lacks: a way out is told."""
    path = make_database(tmp_path / "origin", journal="wal")
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("pragma wal_autocheckpoint = 0")
    writer.execute("delete from readings where id < 10")
    target = tmp_path / "grid.sqlite"
    shutil.copy(path, target)
    shutil.copy(f"{path}-wal", f"{target}-wal")
    writer.close()
    with pytest.raises(GateError, match="close the program that writes it, or copy it with"):
        check(target, "quick_check")


@pytest.mark.parametrize("depth", DEPTHS)
def test_hot_journal_of_a_killed_writer(database: Path, depth: str) -> None:
    """A journal that a killed writer left marks a transaction cut in the middle: refused."""
    done = subprocess.run(
        [sys.executable, "-c", WRITE_AND_DIE, str(database)], check=False, timeout=60
    )
    assert done.returncode == -9
    assert database.with_name("grid.sqlite-journal").stat().st_size
    with pytest.raises(GateError, match=r"hot journal grid\.sqlite-journal: a transaction was cut"):
        check(database, depth)


def test_journal_of_no_transaction_passes(database: Path) -> None:
    """An empty journal, and one whose header was wiped after the commit, are no hindrance."""
    journal = database.with_name("grid.sqlite-journal")
    for data in (b"", b"\0" * 512):
        journal.write_bytes(data)
        check(database, "quick_check")


def test_empty_write_ahead_log_passes(database: Path) -> None:
    """An empty write-ahead log holds no changes."""
    database.with_name("grid.sqlite-wal").write_bytes(b"")
    check(database, "quick_check")


def test_missing_file(tmp_path: Path) -> None:
    """A database that is gone is refused by its name with the reason."""
    with pytest.raises(GateError, match=r"grid\.sqlite: expected a readable file, got 'No such"):
        check(tmp_path / "grid.sqlite", "quick_check")


def test_folder_instead_of_a_file(tmp_path: Path) -> None:
    """A folder of that name is refused as unreadable."""
    (tmp_path / "grid.sqlite").mkdir()
    with pytest.raises(GateError, match="expected a readable file"):
        check(tmp_path / "grid.sqlite", "quick_check")
