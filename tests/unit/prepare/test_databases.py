"""Tests of looking at SQLite databases: what is damaged, what is not finished, what is in them."""

import hashlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event
from urllib.parse import quote

import pytest

from lading.errors import GateError
from lading.prepare import databases
from lading.prepare.databases import at_rest, check_database, count_rows, live_journal, refuse_live
from lading.storage.bytes import copy_in_kernel

DEPTHS = ["quick_check", "integrity_check", "none"]
ROLLBACK_MODES = ["delete", "truncate", "persist"]
ODD_NAMES = [
    "with space.sqlite",
    "a#b?c=d%41&e.sqlite",
    "数据'\".sqlite",
    "é%20.sqlite",
    "-x.sqlite",
]
PAGE_BYTES = 4096
JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
SPILL = "pragma cache_size = 1"  # pages go to the disk long before the commit
CHANGE = "update readings set value = value || 'x'"
INSERT = "insert into readings (value) values ('new')"

DO_AS_TOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for line in sys.stdin:
    connection.execute(line).fetchall()
    print("done", flush=True)
"""
MOVE_MONEY = """
import itertools, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
connection.execute(f"pragma journal_mode = {sys.argv[2]}")
connection.execute("pragma synchronous = off")
connection.execute("pragma cache_size = 5")
connection.execute("pragma wal_autocheckpoint = 40")
print("ready", flush=True)
for n in itertools.count():
    connection.execute("begin immediate")
    connection.execute("update one set n = n - ? where id % 7 = ?", (n, n % 7))
    connection.execute("update two set n = n + ? where id % 7 = ?", (n, n % 7))
    connection.execute("commit")
    if n % 50 == 49:
        connection.execute("pragma wal_checkpoint(restart)").fetchall()
"""
WRITE_TWO = """
import itertools, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("attach ? as other", (sys.argv[2],))
print("ready", flush=True)
for n in itertools.count():
    connection.execute("begin")
    connection.execute("update main.readings set value = ?", (str(n),))
    connection.execute("update other.readings set value = ?", (str(n),))
    connection.execute("commit")
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
    (tmp_path / "build").mkdir()
    return make_database(tmp_path / "build" / "grid.sqlite")


class Writer:
    """Another process that has a database open and runs what it is told.

    Another process and not another connection: closing a file drops all locks that this
    process holds on it.
    """

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", DO_AS_TOLD, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *statements: str) -> None:
        """Run statements, each to its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        for statement in statements:
            self._process.stdin.write(f"{statement}\n")
            self._process.stdin.flush()
            assert self._process.stdout.readline() == "done\n"

    def kill(self) -> None:
        """Kill it where it stands."""
        self._process.kill()
        assert self._process.wait(timeout=60) == -signal.SIGKILL

    def end(self) -> None:
        """Let it close the database, if it still can."""
        self._process.communicate(timeout=60)


@contextmanager
def writer(path: Path, *statements: str) -> Iterator[Writer]:
    """Keep a database open in another process while the block runs."""
    process = Writer(path)
    try:
        process.run(*statements)
        yield process
    finally:
        process.end()


@contextmanager
def started(script: str, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Run a script until the block ends; kill it then."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait(timeout=60)
        process.stdout.close()


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """Mount a small file system in memory; skip the test where that is not allowed."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, check=False, capture_output=True, timeout=30)
    except OSError as error:
        pytest.skip(f"no mount command: {error}")
    if done.returncode:
        pytest.skip("this user may not mount a small file system")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True, timeout=30)


def listing(folder: Path) -> dict[str, tuple[str, int, int]]:
    """Return sha256, size and time of every file of a folder, and the time of the folder."""
    found = {".": ("", 0, folder.stat().st_mtime_ns)}
    for each in folder.iterdir():
        state = each.stat()
        data = each.read_bytes() if each.is_file() else b""
        found[each.name] = (hashlib.sha256(data).hexdigest(), state.st_size, state.st_mtime_ns)
    return found


def check(path: Path, depth: str) -> None:
    """Check a database; hold that no byte, no time and no name in its folder changes."""
    before = listing(path.parent)
    try:
        check_database(path, depth)
    finally:
        assert before == listing(path.parent)


@contextmanager
def resting(path: Path, scratch: Path) -> Iterator[Path]:
    """Look at a database at rest; hold that its folder is untouched and the scratch empty."""
    before = listing(path.parent)
    try:
        with at_rest(path, scratch) as still:
            yield still
    finally:
        assert before == listing(path.parent)
        assert not scratch.exists() or list(scratch.iterdir()) == []


def values_of(path: Path) -> list[str]:
    """Return the values of a database at rest, in order."""
    uri = f"file:{quote(str(path))}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        return [row[0] for row in connection.execute("select value from readings order by id")]


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


class TestLiveJournal:
    """Which databases were left open."""

    @pytest.mark.parametrize("journal", ["wal", *ROLLBACK_MODES])
    def test_closed(self, tmp_path: Path, journal: str) -> None:
        """A database that was closed has none, in every journal mode."""
        path = make_database(tmp_path / "grid.sqlite", journal=journal)
        assert live_journal(path) is None
        refuse_live(path)

    def test_persisted_journal(self, tmp_path: Path) -> None:
        """A journal that stays with a header of zeros after the commit is of no transaction."""
        path = make_database(tmp_path / "grid.sqlite", journal="persist")
        left = path.with_name("grid.sqlite-journal").read_bytes()
        assert len(left) > 512
        assert set(left[:28]) == {0}
        assert live_journal(path) is None

    def test_truncated_journal(self, tmp_path: Path) -> None:
        """An empty journal is of no transaction."""
        path = make_database(tmp_path / "grid.sqlite", journal="truncate")
        assert path.with_name("grid.sqlite-journal").stat().st_size == 0
        assert live_journal(path) is None

    def test_empty_log(self, tmp_path: Path) -> None:
        """While somebody has the database open, a log without a byte holds no changes."""
        path = make_database(tmp_path / "grid.sqlite", journal="wal")
        with writer(path, "select * from readings", INSERT, "pragma wal_checkpoint(truncate)"):
            assert path.with_name("grid.sqlite-wal").stat().st_size == 0
            assert live_journal(path) is None
            check(path, "quick_check")

    @pytest.mark.parametrize("end", ["-wal", "-journal"])
    def test_folder_of_that_name(self, database: Path, tmp_path: Path, end: str) -> None:
        """A folder that is called like a journal is none: it is refused or passed, no crash."""
        database.with_name(f"{database.name}{end}").mkdir()
        try:
            with resting(database, tmp_path / "scratch") as still:
                assert still == database
        except GateError as error:
            assert str(error).startswith("grid.sqlite")  # noqa: PT017  either is right

    @pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read every file")
    @pytest.mark.parametrize("end", ["-wal", "-journal"])
    def test_unreadable(self, database: Path, tmp_path: Path, end: str) -> None:
        """A journal that may not be read is refused with the reason."""
        journal = database.with_name(f"{database.name}{end}")
        journal.write_bytes(JOURNAL_MAGIC)
        journal.chmod(0)
        with pytest.raises(GateError, match="Permission denied"), at_rest(database, tmp_path / "s"):
            pass


class TestRefuseLive:
    """Where the configuration wants closed databases only."""

    def test_write_ahead_log(self, tmp_path: Path) -> None:
        """A log with changes is refused with its size, and a way out is told."""
        path = make_database(tmp_path / "grid.sqlite", journal="wal")
        with writer(path, "pragma wal_autocheckpoint = 0", INSERT):
            size = path.with_name("grid.sqlite-wal").stat().st_size
            with pytest.raises(GateError) as caught:
                refuse_live(path)
        assert str(caught.value) == (
            "grid.sqlite: expected a closed database, found a live write-ahead log"
            f" grid.sqlite-wal of {size} bytes; close the program that writes it, or copy it with"
            " `sqlite3 OLD '.backup NEW'`"
        )
        refuse_live(path)  # it was closed

    def test_write_ahead_log_of_a_killed_writer(self, tmp_path: Path) -> None:
        """The log of a writer that was killed is refused in the same way."""
        path = make_database(tmp_path / "grid.sqlite", journal="wal")
        with writer(path, "pragma wal_autocheckpoint = 0", INSERT) as other:
            other.kill()
        with pytest.raises(GateError, match="live write-ahead log"):
            refuse_live(path)

    @pytest.mark.parametrize("journal", ROLLBACK_MODES)
    def test_hot_journal(self, tmp_path: Path, journal: str) -> None:
        """The journal of a transaction that was cut in the middle is refused with its size."""
        path = make_database(tmp_path / "grid.sqlite", journal=journal)
        mode = f"pragma journal_mode = {journal}"
        with writer(path, mode, SPILL, "begin", CHANGE) as other:
            other.kill()
        size = path.with_name("grid.sqlite-journal").stat().st_size
        said = f"closed database, found a hot journal grid.sqlite-journal of {size} bytes"
        with pytest.raises(GateError, match=said):
            refuse_live(path)


class TestSnapshot:
    """A database that was left open, as of its last commit."""

    @pytest.mark.parametrize("killed", [True, False])
    def test_write_ahead_log(self, tmp_path: Path, *, killed: bool) -> None:
        """What is committed in the log is in the snapshot; what is not, is not."""
        (tmp_path / "build").mkdir()
        path = make_database(tmp_path / "build" / "grid.sqlite", journal="wal")
        log, before = path.with_name("grid.sqlite-wal"), values_of(path)
        with writer(path, "pragma wal_autocheckpoint = 0", INSERT, SPILL) as other:
            committed = log.stat().st_size
            other.run("begin", CHANGE)
            assert log.stat().st_size > committed
            if killed:
                other.kill()
            with resting(path, tmp_path / "scratch") as still:
                assert [each.name for each in still.parent.iterdir()] == ["grid.sqlite"]
                check(still, "integrity_check")
                assert values_of(still) == [*before, "new"]
            if not killed:
                other.run("commit")  # nobody has disturbed it
                with resting(path, tmp_path / "scratch") as still:
                    assert values_of(still) == [f"{each}x" for each in [*before, "new"]]

    @pytest.mark.parametrize("killed", [True, False])
    @pytest.mark.parametrize("journal", ROLLBACK_MODES)
    def test_hot_journal(self, tmp_path: Path, journal: str, *, killed: bool) -> None:
        """A transaction that is cut in the middle, or goes on, is not in the snapshot."""
        (tmp_path / "build").mkdir()
        path = make_database(tmp_path / "build" / "grid.sqlite", journal=journal)
        data, before = path.read_bytes(), values_of(path)
        with writer(path, f"pragma journal_mode = {journal}", SPILL, "begin", CHANGE) as other:
            if killed:
                other.kill()
            assert path.read_bytes() != data
            with resting(path, tmp_path / "scratch") as still:
                assert [each.name for each in still.parent.iterdir()] == ["grid.sqlite"]
                check(still, "integrity_check")
                assert values_of(still) == before
            if not killed:
                other.run("commit")
        if not killed:
            assert values_of(path) == [f"{each}x" for each in before]

    def test_closed_database_is_not_copied(self, database: Path, tmp_path: Path) -> None:
        """A database at rest is given as it stands, and nothing is written anywhere."""
        with resting(database, tmp_path / "scratch") as still:
            assert still == database
            assert not (tmp_path / "scratch").exists()

    def test_index_file_beside_is_untouched(self, tmp_path: Path) -> None:
        """The shared-memory file of a writer is neither changed nor copied."""
        (tmp_path / "build").mkdir()
        path = make_database(tmp_path / "build" / "grid.sqlite", journal="wal")
        with (
            writer(path, "pragma wal_autocheckpoint = 0", INSERT),
            resting(path, tmp_path / "scratch"),
        ):
            assert path.with_name("grid.sqlite-shm").stat().st_size
            assert not (tmp_path / "scratch" / "grid.sqlite-shm").exists()

    def test_log_without_shared_memory(self, tmp_path: Path) -> None:
        """A writer that locks others out keeps no such file; its log is read all the same."""
        (tmp_path / "build").mkdir()
        path = make_database(tmp_path / "build" / "grid.sqlite", journal="wal")
        exclusive = "pragma locking_mode = exclusive"
        with writer(path, exclusive, "pragma wal_autocheckpoint = 0", INSERT):
            assert not path.with_name("grid.sqlite-shm").exists()
            with resting(path, tmp_path / "scratch") as still:
                assert values_of(still)[-1] == "new"

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_odd_names(self, tmp_path: Path, name: str) -> None:
        """The name of a database is never taken for a part of a URI or an option."""
        (tmp_path / "build").mkdir()
        path = make_database(tmp_path / "build" / name, journal="wal")
        with (
            writer(path, "pragma wal_autocheckpoint = 0", INSERT),
            resting(path, tmp_path / "scratch") as still,
        ):
            assert still.name == name
            check(still, "quick_check")
            assert count_rows(still) == {"readings": 401}

    def test_log_that_is_cut_or_damaged(self, tmp_path: Path) -> None:
        """Of a log that is cut or damaged anywhere, whole transactions from its start are taken."""
        path = make_database(tmp_path / "grid.sqlite", journal="wal", rows=40)
        with writer(path, "pragma wal_autocheckpoint = 0", *[INSERT] * 5) as other:
            other.kill()
        data, log = path.read_bytes(), path.with_name("grid.sqlite-wal").read_bytes()
        (tmp_path / "build").mkdir()
        spoilt = tmp_path / "build" / "grid.sqlite"
        found = []
        for place in [*range(1, len(log), len(log) // 40), len(log)]:
            damaged = bytearray(log)
            damaged[place - 1] ^= 1
            for bad in (log[:place], bytes(damaged)):
                spoilt.write_bytes(data)
                spoilt.with_name("grid.sqlite-wal").write_bytes(bad)
                with resting(spoilt, tmp_path / "scratch") as still:
                    check(still, "integrity_check")
                    found.append(count_rows(still)["readings"])
        assert set(found) == {40, 41, 42, 43, 44, 45}
        assert found[::2] == sorted(found[::2])

    def test_hot_journal_beside_a_stale_log(self, tmp_path: Path) -> None:
        """A log of another night hides no journal: the cut transaction is not in the snapshot.

        As SQLite itself would do it; to refuse is right as well.
        """
        (tmp_path / "build").mkdir()
        path = tmp_path / "build" / "grid.sqlite"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("create table readings (id integer primary key, value text)")
            rows = ((f"{number:08d}" * 8,) for number in range(400))
            connection.executemany("insert into readings (value) values (?)", rows)
            connection.commit()
        before = values_of(path)
        same_length = "update readings set value = substr(value, 2) || 'x'"
        with writer(path, SPILL, "begin", same_length) as other:
            other.kill()
        path.with_name("grid.sqlite-wal").write_bytes(b"\xa5" * 9000)
        try:
            with resting(path, tmp_path / "scratch") as still:
                found = values_of(still)
        except GateError:
            return
        assert found == before

    def test_log_of_nothing(self, database: Path, tmp_path: Path) -> None:
        """A log that holds no transaction adds nothing to its database."""
        database.with_name("grid.sqlite-wal").write_bytes(b"\xa5" * 9000)
        with resting(database, tmp_path / "scratch") as still:
            check(still, "integrity_check")
            assert values_of(still) == values_of(database)

    def test_equal_files_give_equal_snapshots(self, tmp_path: Path) -> None:
        """The bytes of a snapshot depend on those of database and log alone."""
        path = make_database(tmp_path / "grid.sqlite", journal="wal")
        with writer(path, "pragma wal_autocheckpoint = 0", INSERT, CHANGE) as other:
            other.kill()
        seen = set()
        for number, ends in enumerate([("", "-wal"), ("", "-wal", "-shm"), ("", "-wal")]):
            folder = tmp_path / f"place {number}"
            folder.mkdir()
            for end in ends:
                shutil.copyfile(f"{path}{end}", folder / f"other{number}.db{end}")
                os.utime(folder / f"other{number}.db{end}", (number, number))
            with resting(folder / f"other{number}.db", tmp_path / f"scratch{number}") as still:
                seen.add(still.read_bytes())
        assert len(seen) == 1
        assert seen != {path.read_bytes()}

    def test_transaction_over_several_databases(self, tmp_path: Path) -> None:
        """The journal of a commit over two databases is refused: one alone cannot be finished."""
        one = make_database(tmp_path / "one.sqlite")
        two = make_database(tmp_path / "two.sqlite")
        with started(WRITE_TWO, one, two) as process:
            for _ in range(5000):
                process.send_signal(signal.SIGSTOP)
                os.waitpid(process.pid, os.WUNTRACED)
                journal = live_journal(one)
                if journal is not None and journal.read_bytes().endswith(JOURNAL_MAGIC):
                    break
                process.send_signal(signal.SIGCONT)
            else:
                pytest.fail("no journal of two databases was ever seen")
        (tmp_path / "build").mkdir()
        for each in tmp_path.glob("one.sqlite*"):
            each.rename(tmp_path / "build" / each.name)
        expected = (
            r"^one\.sqlite: expected a journal of its own, found one\.sqlite-journal of a"
            " transaction over several databases, which cannot be finished alone; close the"
        )
        with (
            pytest.raises(GateError, match=expected),
            resting(tmp_path / "build" / "one.sqlite", tmp_path / "scratch"),
        ):
            pass

    @pytest.mark.parametrize("journal", ["wal", *ROLLBACK_MODES])
    def test_writer_that_never_rests(self, tmp_path: Path, journal: str) -> None:
        """While a writer commits all the time, a snapshot is one of its commits, or refused."""
        path, scratch = tmp_path / "bank.sqlite", tmp_path / "scratch"
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(f"pragma journal_mode = {journal}")
            for table in ("one", "two"):
                connection.execute(f"create table {table} (id integer primary key, n, filler)")
                rows = ((1000, "f" * 300) for _ in range(700))
                connection.execute("begin")
                connection.executemany(f"insert into {table} (n, filler) values (?, ?)", rows)
                connection.execute("commit")
        total = "select (select sum(n) from one) + (select sum(n) from two)"
        taken, refused, end = 0, 0, time.monotonic() + 3
        with started(MOVE_MONEY, path, journal):
            while taken < 60 and time.monotonic() < end:
                try:
                    with at_rest(path, scratch) as still:
                        if still == path:
                            continue
                        check(still, "integrity_check")
                        with closing(sqlite3.connect(still)) as connection:
                            assert connection.execute(total).fetchone() == (1_400_000,)
                        taken += 1
                except GateError as error:
                    assert "expected a moment at rest for a snapshot" in str(error)  # noqa: PT017
                    refused += 1
                assert not scratch.exists()
        assert taken + refused

    @pytest.mark.parametrize("end", ["-wal", "-journal"])
    def test_writer_that_closes_while_it_is_looked_at(
        self, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
    ) -> None:
        """A journal that is gone just after it was seen leaves a database at rest."""
        journal = database.with_name(f"{database.name}{end}")

        def see_and_lose(path: Path) -> Path | None:
            found = live_journal(path)
            journal.unlink(missing_ok=True)  # as its writer does at the end of a transaction
            return found

        monkeypatch.setattr(databases, "live_journal", see_and_lose)
        journal.write_bytes(JOURNAL_MAGIC * 9)
        with at_rest(database, tmp_path / "scratch") as still:
            assert still == database
        journal.write_bytes(JOURNAL_MAGIC * 9)
        refuse_live(database)

    def change_while_copying(
        self, monkeypatch: pytest.MonkeyPatch, path: Path, kind: str, times: int
    ) -> list[int]:
        """Change a file, as its writer would, behind each of the next copies; count them all."""
        copies: list[int] = []

        def copy(source: int, target: int) -> None:
            copy_in_kernel(source, target)
            copies.append(len(copies))
            if len(copies) > 2 * times:
                return
            if kind == "salt":
                with path.open("r+b") as file:
                    file.seek(16)  # the salts in the header of a log
                    file.write(len(copies).to_bytes(8, "big"))
            else:
                os.utime(path, ns=(len(copies), len(copies)))

        monkeypatch.setattr(databases, "copy_in_kernel", copy)
        return copies

    @pytest.fixture(params=["time", "time-journal", "salt-wal"])
    def moving(self, request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path, str]:
        """Return an open database, which of its files moves on, and how."""
        kind, _, end = request.param.partition("-")
        journal = "wal" if end == "wal" else "delete"
        path = make_database(tmp_path / "grid.sqlite", journal=journal)
        with writer(path, "pragma wal_autocheckpoint = 0", SPILL, INSERT, "begin", CHANGE) as other:
            other.kill()
        return path, path.with_name(f"{path.name}-{end}") if end else path, kind

    def test_file_that_changes_during_each_copy(
        self, moving: tuple[Path, Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A database, a journal or a log's header that changes during three copies is refused."""
        path, moved, kind = moving
        copies = self.change_while_copying(monkeypatch, moved, kind, 99)
        with pytest.raises(GateError) as caught, at_rest(path, tmp_path / "scratch"):
            pass
        assert str(caught.value) == (
            "grid.sqlite: expected a moment at rest for a snapshot, found it written during each of"
            " 3 copies; close the program that writes it, or copy it with"
            " `sqlite3 OLD '.backup NEW'`"
        )
        assert len(copies) == 6  # of two files
        assert not (tmp_path / "scratch").exists()

    def test_file_that_comes_to_rest(
        self, moving: tuple[Path, Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What changed during two copies and rests at the third is taken from that."""
        path, moved, kind = moving
        copies = self.change_while_copying(monkeypatch, moved, kind, 2)
        with at_rest(path, tmp_path / "scratch") as still:
            check(still, "integrity_check")
        assert len(copies) == 6

    def test_log_that_grows_while_it_is_copied(self, tmp_path: Path) -> None:
        """What is committed meanwhile, without a checkpoint, is no reason to refuse."""
        (tmp_path / "build").mkdir()
        path = make_database(tmp_path / "build" / "grid.sqlite", journal="wal", rows=10)
        with writer(path, "pragma wal_autocheckpoint = 0", INSERT) as other:
            for number in range(1, 30):
                with at_rest(path, tmp_path / "scratch") as still:
                    other.run(INSERT)
                    check(still, "quick_check")
                    assert count_rows(still) == {"readings": 10 + number}


class TestScratch:
    """Where snapshots stand, and what stays of them."""

    @pytest.fixture
    def opened(self, tmp_path: Path) -> Path:
        """Return a database whose writer was killed, with a log of some hundred KiB."""
        (tmp_path / "build").mkdir()
        path = make_database(tmp_path / "build" / "grid.sqlite", journal="wal", rows=10)
        insert = "insert into readings (value) select hex(randomblob(1000)) from readings limit 10"
        with writer(path, "pragma wal_autocheckpoint = 0", *[insert] * 12) as other:
            other.kill()
        assert path.stat().st_size < 20_000
        assert path.with_name("grid.sqlite-wal").stat().st_size > 300_000
        return path

    def test_failure_leaves_nothing(self, opened: Path, tmp_path: Path) -> None:
        """Whatever ends the work on a snapshot, it goes away."""
        with pytest.raises(KeyboardInterrupt), resting(opened, tmp_path / "scratch"):
            raise KeyboardInterrupt

    def test_others_stay(self, opened: Path, tmp_path: Path) -> None:
        """What else stands in the scratch folder is left alone."""
        (tmp_path / "scratch").mkdir()
        (tmp_path / "scratch" / "other.sqlite").write_bytes(b"x")
        with at_rest(opened, tmp_path / "scratch") as still:
            assert values_of(still)
        assert [each.name for each in (tmp_path / "scratch").iterdir()] == ["other.sqlite"]

    def test_leftovers_of_a_killed_run(self, opened: Path, tmp_path: Path) -> None:
        """What a killed run left under the same names is no part of the snapshot."""
        left = tmp_path / "scratch" / "grid.sqlite.snapshot"
        left.mkdir(parents=True)
        for end in ("", "-wal", "-shm", "-journal"):
            (left / f"grid.sqlite{end}").write_bytes(JOURNAL_MAGIC * 9000)
        with resting(opened, tmp_path / "scratch") as still:
            check(still, "integrity_check")
            assert len(values_of(still)) == 130

    def test_damaged_database_that_is_open(self, opened: Path, tmp_path: Path) -> None:
        """What SQLite cannot finish is refused in its own words."""
        opened.write_bytes(b"\xa5" * 8192)
        log = opened.with_name("grid.sqlite-wal")
        log.write_bytes(log.read_bytes()[:5000])
        said = "expected a snapshot that SQLite can finish, found 'file is not a database'"
        with (
            pytest.raises(GateError, match=said),
            resting(opened, tmp_path / "scratch"),
        ):
            pass

    @pytest.mark.parametrize("size", ["16k", "200k"])
    def test_full_disk_while_copying(self, opened: Path, tmp_path: Path, size: str) -> None:
        """A disk that has no room for the copy is told in one line, and is left empty."""
        with small_disk(tmp_path / "disk", size):
            with (
                pytest.raises(GateError) as caught,
                resting(opened, tmp_path / "disk" / "scratch"),
            ):
                pass
            assert list((tmp_path / "disk").iterdir()) == []
        assert str(caught.value) == (
            f"grid.sqlite: expected to copy it to {tmp_path / 'disk' / 'scratch'} for a snapshot,"
            " got 'No space left on device'"
        )

    def test_full_disk_while_finishing(self, opened: Path, tmp_path: Path) -> None:
        """A disk that has room for the copies, but not for what SQLite adds, is told as well."""
        sizes = [each.stat().st_size for each in opened.parent.iterdir() if "-shm" not in each.name]
        with small_disk(tmp_path / "disk", f"{sum(sizes) // 1024 + 60}k"):
            with (
                pytest.raises(GateError) as caught,
                resting(opened, tmp_path / "disk" / "scratch"),
            ):
                pass
            assert list((tmp_path / "disk").iterdir()) == []
        said = str(caught.value)
        assert said.startswith("grid.sqlite: expected a snapshot that SQLite can finish, found ")
        assert "full" in said
        assert "\n" not in said

    @pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
    def test_folder_without_write_access(self, opened: Path, tmp_path: Path) -> None:
        """A build that may not be written to needs no write access."""
        opened.parent.chmod(0o555)
        with resting(opened, tmp_path / "scratch") as still:
            assert len(values_of(still)) == 130
        opened.parent.chmod(0o755)

    def test_read_only_file_system(self, opened: Path, tmp_path: Path) -> None:
        """A build on a file system that nobody may write to is read as well."""
        with small_disk(tmp_path / "disk", "2m"):
            for each in opened.parent.iterdir():
                shutil.copyfile(each, tmp_path / "disk" / each.name)
            remount = ["mount", "-o", "remount,ro", str(tmp_path / "disk")]
            subprocess.run(remount, check=True, timeout=30)
            with resting(tmp_path / "disk" / "grid.sqlite", tmp_path / "scratch") as still:
                assert len(values_of(still)) == 130

    def test_one_folder_for_many(self, opened: Path, tmp_path: Path) -> None:
        """Snapshots of one folder are taken side by side; none disturbs another."""
        closed = make_database(opened.with_name("closed.sqlite"))
        is_over = Event()

        def take(name: str) -> set[int]:
            for end in ("", "-wal"):
                shutil.copyfile(f"{opened}{end}", opened.with_name(f"{name}{end}"))
            found = set()
            for _ in range(80):
                with at_rest(opened.with_name(name), tmp_path / "scratch") as still:
                    found.add(len(values_of(still)))
            return found

        def look(_: int) -> bool:
            while not is_over.is_set():
                with at_rest(closed, tmp_path / "scratch") as still:
                    assert still == closed
            return True

        with ThreadPoolExecutor(6) as pool:
            looks = pool.map(look, range(2))
            try:
                found = list(pool.map(take, [f"{number}.sqlite" for number in range(4)]))
            finally:
                is_over.set()
        assert found == [{130}] * 4
        assert all(looks)
        assert not (tmp_path / "scratch").exists()


class TestCountRows:
    """How many rows there are."""

    def count(self, path: Path, *statements: str) -> dict[str, int]:
        """Run statements on a database; count its rows; hold that counting changes nothing."""
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)
        before = listing(path.parent)
        try:
            return count_rows(path)
        finally:
            assert before == listing(path.parent)

    @pytest.mark.parametrize("journal", ["wal", *ROLLBACK_MODES])
    def test_every_table(self, tmp_path: Path, journal: str) -> None:
        """Each table is counted by its name, an empty one too; the database is not changed."""
        path = make_database(tmp_path / "grid.sqlite", journal=journal)
        found = self.count(path, "create table empty (a)", "create table one as select 1 as a")
        assert found == {"readings": 400, "empty": 0, "one": 1}

    def test_no_table(self, tmp_path: Path) -> None:
        """A database without tables has no rows to tell."""
        assert self.count(tmp_path / "grid.sqlite", "create table t (a)", "drop table t") == {}

    @pytest.mark.parametrize(
        "name",
        [
            'a "quoted" name',
            "it's",
            "semi; drop table readings; --",
            "select",
            "with space",
            "数据 ü",
            "100%",
            "[brackets]",
            "`ticks`",
            "new\nline",
            "?1 :a @b $c",
            "",
            "sqliteForum",
            "SQLite 3",
            "sqlite-stat",
            "create virtual",
        ],
    )
    def test_odd_table_names(self, tmp_path: Path, name: str) -> None:
        """Any name that SQLite takes for a table can be counted."""
        quoted = name.replace('"', '""')
        found = self.count(
            tmp_path / "grid.sqlite",
            f'create table "{quoted}" (a)',
            f'insert into "{quoted}" values (1), (2), (null)',
        )
        assert found == {name: 3}

    def test_tables_of_sqlite_itself(self, tmp_path: Path) -> None:
        """What SQLite keeps for itself is not counted."""
        found = self.count(
            tmp_path / "grid.sqlite",
            "create table t (id integer primary key autoincrement, a)",
            "insert into t (a) values (1), (2)",
            "create index by_a on t (a)",
            "analyze",
        )
        assert found == {"t": 2}

    def test_kinds_of_tables(self, tmp_path: Path) -> None:
        """Tables without rowid, with generated columns and with partial indexes are counted."""
        found = self.count(
            tmp_path / "grid.sqlite",
            "create table plain (a, b as (a + 1) stored)",
            "insert into plain (a) values (1), (2), (3), (null)",
            "create index some on plain (a) where a > 2",
            "create table keyed (a primary key, b) without rowid",
            "insert into keyed values (1, 1), (2, 2)",
        )
        assert found == {"plain": 4, "keyed": 2}

    def test_views_are_not_counted(self, tmp_path: Path) -> None:
        """A view is no table, not even one that can no longer be read."""
        found = self.count(
            tmp_path / "grid.sqlite",
            "create table t (a)",
            "insert into t values (1)",
            "create view v as select * from t",
            "create view broken as select * from gone",
            "create trigger r after insert on t begin select 1; end",
        )
        assert found == {"t": 1}

    def test_virtual_table_of_an_extension_that_is_not_here(self, tmp_path: Path) -> None:
        """A virtual table is not asked: its module may be another program's."""
        found = self.count(
            tmp_path / "grid.sqlite",
            "create table t (a)",
            "insert into t values (1)",
            "pragma writable_schema = on",
            "insert into sqlite_master values"
            " ('table', 'v', 'v', 0, 'CREATE VIRTUAL TABLE v USING nowhere(a)')",
        )
        assert found == {"t": 1}

    def test_full_text_index(self, tmp_path: Path) -> None:
        """A full-text index has no figure that its own upkeep could change."""
        path = tmp_path / "grid.sqlite"
        insert = "insert into docs select 'word ' || value from (select hex(randomblob(9)) value)"
        try:
            self.count(path, "create virtual table docs using fts5(text)")
        except sqlite3.OperationalError as error:
            pytest.skip(f"this SQLite has no full-text index: {error}")
        before = self.count(path, "pragma synchronous = off", "create table t (a)", *[insert] * 99)
        after = self.count(path, "insert into docs (docs) values ('optimize')")
        assert "docs" not in before
        assert before["t"] == 0
        assert before == after

    def test_table_that_is_called_like_one_of_an_index(self, tmp_path: Path) -> None:
        """A table of its own is counted, also where its name begins as that of a virtual table."""
        try:
            found = self.count(
                tmp_path / "grid.sqlite",
                "create virtual table plants using fts5(name)",
                "create table plants_and_boilers (a)",
                "insert into plants_and_boilers values (1), (2)",
            )
        except sqlite3.OperationalError as error:
            pytest.skip(f"this SQLite has no full-text index: {error}")
        assert found["plants_and_boilers"] == 2
        assert "plants" not in found

    def test_damaged_table(self, database: Path) -> None:
        """A table that cannot be counted is refused, and SQLite's words are passed on."""
        data = bytearray(database.read_bytes())
        for page in range(2, len(data) // PAGE_BYTES + 1):
            data[(page - 1) * PAGE_BYTES : page * PAGE_BYTES] = b"\xa5" * PAGE_BYTES
        database.write_bytes(data)
        said = r"^grid\.sqlite: expected tables to count, found 'database disk image is malformed'"
        with pytest.raises(GateError, match=said):
            count_rows(database)

    def test_other_file(self, tmp_path: Path) -> None:
        """A file of another kind is refused."""
        (tmp_path / "grid.sqlite").write_bytes(b"no database" * 99)
        with pytest.raises(GateError, match="expected tables to count, found 'file is not a"):
            count_rows(tmp_path / "grid.sqlite")


def test_missing_file(tmp_path: Path) -> None:
    """A database that is gone is refused by its name with the reason."""
    with pytest.raises(GateError, match=r"grid\.sqlite: expected a readable file, got 'No such"):
        check(tmp_path / "grid.sqlite", "quick_check")


def test_folder_instead_of_a_file(tmp_path: Path) -> None:
    """A folder of that name is refused as unreadable."""
    (tmp_path / "grid.sqlite").mkdir()
    with pytest.raises(GateError, match="expected a readable file"):
        check(tmp_path / "grid.sqlite", "quick_check")
