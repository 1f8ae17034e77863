"""How a ledger is opened, and what is said where it cannot be."""

import re
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import exc, text

from lading.errors import LedgerError
from lading.ledger import read
from lading.ledger.faults import AwayError, fault_of
from lading.ledger.ledger import Ledger, open_ledger
from tests.ledgers import PostgresServer
from tests.unit.ledger.bad_media import full_disk, open_folder, read_only
from tests.unit.ledger.made_rows import begin


def refusal(url: str, *, is_for_writing: bool = True) -> str:
    """Return what is said when a ledger cannot be opened: one line."""
    with pytest.raises(LedgerError) as caught:
        open_ledger(url, is_for_writing=is_for_writing, timeout_s=2.0).close()
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith("ledger")
    return said


def test_ledger_is_made_with_its_folder(tmp_path: Path) -> None:
    """The first writer makes folder, file and tables, whatever is in the path."""
    path = tmp_path / "a b" / "50%?x=1#&" / "ledger.db"
    ledger = open_ledger(f"sqlite:///{path}")
    run_id = begin(ledger)
    ledger.close()
    assert path.is_file()
    reader = open_ledger(f"sqlite:///{path}", is_for_writing=False)
    assert read.find_run(reader, "").run_id == run_id
    reader.close()


def test_file_is_in_wal_mode_with_its_settings(sqlite_url: str) -> None:
    """Readers never wait for writers; foreign keys hold; a lock is waited for."""
    ledger = open_ledger(sqlite_url, timeout_s=3.0)
    asked = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
    with ledger.reading() as connection:
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in asked]
    ledger.close()
    assert found == ["wal", 1, 1, 3000]


def test_server_is_set_to_give_up_in_time(postgres_url: str) -> None:
    """Statements and locks of a server are waited for so long; times are UTC."""
    ledger = open_ledger(postgres_url, timeout_s=3.0)
    asked = ("statement_timeout", "lock_timeout", "timezone", "application_name")
    with ledger.reading() as connection:
        found = [connection.exec_driver_sql(f"SHOW {name}").scalar() for name in asked]
    ledger.close()
    assert found == ["10s", "3s", "UTC", "lading"]


def test_reader_may_not_write(postgres_url: str) -> None:
    """A server holds a transaction that reads to reading."""
    ledger = open_ledger(postgres_url)
    with pytest.raises(LedgerError, match="read-only"), ledger.reading() as connection:
        connection.execute(text("DELETE FROM runs"))
    ledger.close()


def test_readers_do_not_make_a_ledger(tmp_path: Path) -> None:
    """Where no run was recorded there is nothing to read, and nothing is made."""
    path = tmp_path / "none" / "ledger.db"
    said = refusal(f"sqlite:///{path}", is_for_writing=False)
    assert said == (
        f"ledger sqlite:///{path}: expected a ledger, found no file; no run was recorded"
    )
    assert not path.parent.exists()


def test_empty_database_has_nothing_to_read(empty_url: str) -> None:
    """A reader of a database without tables is told so; a writer makes a ledger of it."""
    if empty_url.startswith("sqlite"):
        Path(empty_url.removeprefix("sqlite:///")).touch()
    assert "expected a ledger, found no table in it" in refusal(empty_url, is_for_writing=False)
    ledger = open_ledger(empty_url)
    assert read.list_runs(ledger).total == 0
    ledger.close()


@pytest.mark.parametrize("is_for_writing", [True, False], ids=["writer", "reader"])
@pytest.mark.parametrize(
    "content",
    [b"this is no database, however long one reads in it" * 100, b"SQLite format 3\0" + b"x" * 500],
    ids=["text", "damaged"],
)
def test_file_that_is_no_database_is_refused(
    tmp_path: Path,
    content: bytes,
    is_for_writing: bool,  # noqa: FBT001
) -> None:
    """Whatever stands under the name of the ledger stays as it is."""
    path = tmp_path / "ledger.db"
    path.write_bytes(content)
    said = refusal(f"sqlite:///{path}", is_for_writing=is_for_writing)
    assert "file is not a database" in said or "malformed" in said or "disk I/O" in said, said
    assert path.read_bytes() == content


def test_folder_under_the_name_of_the_ledger_is_refused(tmp_path: Path) -> None:
    """A folder is no file, for writer and reader."""
    for is_for_writing in (True, False):
        said = refusal(f"sqlite:///{tmp_path}", is_for_writing=is_for_writing)
        assert said.endswith("expected a file, found a folder or a device")


def test_path_below_a_file_is_refused(tmp_path: Path) -> None:
    """A folder that cannot be made is said so, as what may pass."""
    (tmp_path / "file").touch()
    with pytest.raises(
        AwayError, match="expected a folder that can be made, got 'Not a directory'"
    ):
        open_ledger(f"sqlite:///{tmp_path}/file/work/ledger.db")


@pytest.mark.parametrize("is_for_writing", [True, False], ids=["writer", "reader"])
def test_database_of_another_application_is_refused_and_left_alone(
    empty_url: str,
    postgres_server: PostgresServer,
    is_for_writing: bool,  # noqa: FBT001
) -> None:
    """Tables of somebody else, even under Alembic, are not taken for an old ledger."""
    if empty_url.startswith("sqlite"):
        path = Path(empty_url.removeprefix("sqlite:///"))
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript("CREATE TABLE alembic_version (version_num TEXT)")
        before = path.read_bytes()
    else:
        name = re.findall(r"test_\d+", empty_url)[0]
        postgres_server.execute("CREATE TABLE alembic_version (version_num TEXT)", database=name)
    said = refusal(empty_url, is_for_writing=is_for_writing)
    assert "found the tables of something else, such as 'alembic_version'" in said
    if empty_url.startswith("sqlite"):
        assert path.read_bytes() == before


def test_disk_that_cannot_be_written_is_read(sqlite_template: Path) -> None:
    """A ledger on a read-only disk is read, and a writer is told in one line."""
    with open_folder() as folder:
        path = folder / "ledger.db"
        shutil.copyfile(sqlite_template, path)
        url = f"sqlite:///{path}"
        writer = open_ledger(url)
        run_id = begin(writer)
        writer.close()
        assert [*folder.iterdir()] == [path]  # a writer that ends leaves one file
        with read_only(folder):
            reader = open_ledger(url, is_for_writing=False)
            assert read.find_run(reader, "").run_id == run_id
            with pytest.raises(AwayError, match=r"readonly database|unable to open"):
                begin(reader, 2)
            reader.close()
            assert re.search(r"readonly database|unable to open", refusal(url))


def test_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """A ledger that cannot be made is one line."""
    del tmp_path
    with open_folder() as folder, read_only(folder):
        assert "unable to open database file" in refusal(f"sqlite:///{folder}/ledger.db")
        assert "'Permission denied'" in refusal(f"sqlite:///{folder}/new/ledger.db")


def test_full_disk_is_said_and_leaves_the_ledger_whole(sqlite_url: str) -> None:
    """Where the disk is full a write is refused as what may pass; later ones are done."""
    ledger = open_ledger(sqlite_url)
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    begin(ledger, 1)
    with (
        full_disk(0, beside=path.with_name("ledger.db-wal")),
        pytest.raises(AwayError, match="disk"),
    ):
        begin(ledger, 2, title="x" * 200_000)
    begin(ledger, 3)
    assert read.list_runs(ledger).total == 2
    with ledger.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    ledger.close()


def test_locked_file_is_waited_for_and_then_said(sqlite_url: str) -> None:
    """A writer waits for another one as long as it was told to."""
    first, second = open_ledger(sqlite_url), open_ledger(sqlite_url, timeout_s=0.1)
    with first.writing() as connection:
        connection.exec_driver_sql("DELETE FROM runs")
        with pytest.raises(AwayError, match="database is locked"):
            begin(second)
    begin(second)
    for each in (first, second):
        each.close()


def test_writers_of_one_ledger_take_turns(ledger_url: str) -> None:
    """Threads and engines that write at once lose nothing."""
    ledgers = [open_ledger(ledger_url) for _ in range(2)]
    faults: list[Exception] = []

    def write(ledger: Ledger, offset: int) -> None:
        try:
            for number in range(10):
                begin(ledger, offset + number)
        except LedgerError as error:
            faults.append(error)

    threads = [
        threading.Thread(target=write, args=(ledgers[number % 2], 100 * number))
        for number in range(4)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert not faults
    assert read.list_runs(ledgers[0]).total == 40
    for ledger in ledgers:
        ledger.close()


def test_port_where_nobody_listens_is_said_without_the_password() -> None:
    """A server that is not there is one line with its address, as what may pass."""
    url = "postgresql+psycopg://robot:s3cret-word@127.0.0.1:1/lading?sslpassword=other-word"
    with pytest.raises(AwayError) as caught:
        open_ledger(url, timeout_s=2.0)
    said = str(caught.value)
    assert said.startswith("ledger postgresql://robot@127.0.0.1:1/lading: expected")
    assert "Connection refused" in said
    assert not re.search(r"\n|s3cret-word|other-word", said)


def test_word_of_a_driver_that_holds_a_password_is_cut() -> None:
    """Whatever a driver says, it is one line, not for ever long, and without the password."""
    cause = Exception("cannot reach\n\trobot:s3cret-word@host " + "x" * 1000)
    error = exc.OperationalError("SELECT 'a secret parameter'", {}, cause)
    said = str(fault_of(error, "here", ("s3cret-word",)))
    assert said.startswith(
        "ledger here: expected a database that answers, got 'cannot reach robot:***@"
    )
    assert not re.search(r"\n|s3cret|parameter", said)
    assert len(said) < 400


def test_wrong_password_is_said_without_it(
    postgres_url: str, postgres_server: PostgresServer
) -> None:
    """A server that refuses a password is one line, and the password is in nobody's words."""
    with postgres_server.asking_passwords():
        url = re.sub("postgres:@", "robot:s3cret-word@", postgres_url)
        said = refusal(url)
        right = open_ledger(re.sub("s3cret-word", "right-word", url), timeout_s=5.0)
        right.close()
    assert 'password authentication failed for user "robot"' in said
    assert "s3cret-word" not in said
    assert "right-word" not in right.url


@pytest.mark.parametrize(
    ("url", "got"),
    [
        ("mysql://robot:s3cret@host/d", "one of kind 'mysql'"),
        ("postgresql+asyncpg://robot:s3cret@host/d", "one of kind 'postgresql+asyncpg'"),
        ("sqlite://", "one of kind 'sqlite'"),
        ("postgresql+psycopg://robot:s3cret@host:port/d", "one that is none"),
        ("nonsense", "one that is none"),
        ("", "one that is none"),
    ],
)
def test_other_databases_are_refused(url: str, got: str) -> None:
    """A URL that is none of ours says what kind it is, and no more."""
    said = refusal(url)
    assert said == (
        f"ledger: expected a URL such as 'postgresql://user@host:5432/lading', got {got}"
    )


def test_missing_driver_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra ``postgres`` a team's ledger cannot be opened, and one knows why."""
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    said = refusal("postgresql+psycopg://robot@127.0.0.1/lading")
    assert said.endswith("found no module 'psycopg'; install it: pip install 'lading[postgres]'")
