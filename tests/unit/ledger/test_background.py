"""The writer beside a release: what it writes, and what it says where it cannot."""

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lading.ledger import read, record
from lading.ledger.background import BackgroundWriter
from lading.ledger.ledger import Ledger, open_ledger
from lading.ledger.record import write_logs
from lading.storage.owner import name_process
from tests.ledgers import PostgresServer
from tests.unit.ledger.bad_media import full_disk, open_folder, read_only
from tests.unit.ledger.made_rows import AT, begin, name_of, start_of

_SOON_S = 30.0  # bounds the wait for what happens at once
_PAUSES_S = (0.01, 0.05)

_KILLED = """
import sys
from lading.ledger.background import BackgroundWriter
from lading.ledger.record import begin_run, write_step
from lading.storage.owner import name_process
from tests.unit.ledger.made_rows import AT, start_of, step_of
writer = BackgroundWriter(sys.argv[1], print)
start = start_of(process=name_process())
writer.write(lambda ledger: begin_run(ledger, start))
writer.write(lambda ledger: write_step(ledger, start.run_id, 1, 0, step_of(percent=40), AT))
print(writer.flush(30), flush=True)
sys.stdin.readline()
"""


class Listener:
    """Hears what a writer says."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self._changed = threading.Condition()

    def __call__(self, message: str) -> None:
        """Hear a line."""
        with self._changed:
            self.heard.append(message)
            self._changed.notify_all()

    def wait(self, count: int) -> None:
        """Wait until so many lines were heard."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.heard) >= count, _SOON_S), self.heard


@pytest.fixture
def listener() -> Listener:
    """Give what hears."""
    return Listener()


@pytest.fixture
def make_writer(listener: Listener) -> Iterator[Callable[..., BackgroundWriter]]:
    """Give what makes a writer that tries again at once, and is closed in any case."""
    made: list[BackgroundWriter] = []

    def make(url: str, **settings: object) -> BackgroundWriter:
        given = {"pauses_s": _PAUSES_S, "timeout_s": 2.0, **settings}
        made.append(BackgroundWriter(url, listener, **given))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for each in made:
        each.close(0.1)


def line(number: int, run_id: str = "") -> Callable[[Ledger], object]:
    """Return a write of one log line."""
    run_id = run_id or name_of(1)
    return lambda ledger: write_logs(ledger, run_id, [(AT, 20, "fetch", str(number))])


def lines_in(url: str) -> list[int]:
    """Return the numbers of the log lines that a ledger has."""
    ledger = open_ledger(url)
    found = [int(each.text) for each in read.load_logs(ledger, name_of(1), limit=10_000)]
    ledger.close()
    return found


def test_importing_the_writer_does_not_import_sqlalchemy() -> None:
    """A release does not wait for a library that its thread can load."""
    code = (
        "import sys; import lading.ledger.background;"
        " sys.exit(bool({'sqlalchemy', 'alembic'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)


def test_writes_are_done_in_their_order(
    ledger_url: str, make_writer: Callable[..., BackgroundWriter], listener: Listener
) -> None:
    """All that was added is in the ledger once it was flushed, in that order; nothing is said."""
    writer = make_writer(ledger_url)
    writer.write(begin)
    for number in range(50):
        writer.write(line(number), is_droppable=True)
    assert writer.flush(_SOON_S)
    assert lines_in(ledger_url) == [*range(50)]
    assert writer.close(_SOON_S)
    assert writer.close(_SOON_S)
    assert not listener.heard


def test_adding_a_write_never_waits(
    sqlite_url: str, make_writer: Callable[..., BackgroundWriter]
) -> None:
    """While a write takes its time, others are added, and a flush says that it is not done."""
    writer, gate = make_writer(sqlite_url), threading.Event()
    writer.write(lambda _: gate.wait(_SOON_S))
    began = time.monotonic()
    for _ in range(1000):
        writer.write(lambda _: None)
    assert time.monotonic() - began < _SOON_S / 3
    assert not writer.flush(0.01)
    gate.set()
    assert writer.flush(_SOON_S)


def test_folder_that_cannot_be_made_is_told_once_and_mended(
    tmp_path: Path, make_writer: Callable[..., BackgroundWriter], listener: Listener
) -> None:
    """A place that is none is told in one line; once it is one, nothing is missing."""
    place = tmp_path / "work"
    place.touch()
    url = f"sqlite:///{place}/ledger.db"
    writer = make_writer(url)
    writer.write(begin)
    for number in range(10):
        writer.write(line(number))
    listener.wait(1)
    assert not writer.flush(0.2)  # long enough for more tries
    assert len(listener.heard) == 1
    assert listener.heard[0] == (
        f"the ledger is not written: ledger {url}: expected a folder that can be made,"
        " got 'File exists'; the release goes on, what is to be written is kept and tried again"
    )
    place.unlink()
    assert writer.flush(_SOON_S)
    assert lines_in(url) == [*range(10)]
    assert listener.heard[1:] == ["the ledger is written again; it lacks nothing"]


def test_read_only_ledger_is_told_and_mended(
    make_writer: Callable[..., BackgroundWriter], listener: Listener
) -> None:
    """A ledger that may not be written is told; when it may, what was kept is written."""
    with open_folder() as folder:
        url = f"sqlite:///{folder}/ledger.db"
        open_ledger(url).close()
        with read_only(folder):
            writer = make_writer(url)
            writer.write(begin)
            listener.wait(1)
        assert re.search("readonly database|unable to open", listener.heard[0])
        assert writer.close(_SOON_S)
        listener.wait(2)
        ledger = open_ledger(url)
        assert read.list_runs(ledger).total == 1
        ledger.close()


def test_full_disk_is_told_and_mended(
    sqlite_url: str, make_writer: Callable[..., BackgroundWriter], listener: Listener
) -> None:
    """A disk that is full in mid run is told; once there is room, nothing is missing."""
    writer = make_writer(sqlite_url)
    writer.write(begin)
    assert writer.flush(_SOON_S)
    wal = Path(sqlite_url.removeprefix("sqlite:///") + "-wal")
    with full_disk(20_000, beside=wal):
        for number in range(100):
            writer.write(line(number))
        listener.wait(1)
        assert not writer.flush(0.1)
    assert writer.flush(_SOON_S)
    assert lines_in(sqlite_url) == [*range(100)]
    assert "disk" in listener.heard[0]
    assert [each for each in listener.heard if "written again" not in each] == listener.heard[::2]


def test_server_that_goes_away_in_mid_run_misses_nothing(
    postgres_url: str,
    postgres_server: PostgresServer,
    make_writer: Callable[..., BackgroundWriter],
    listener: Listener,
) -> None:
    """A PostgreSQL that is stopped and started again has every write, in order, once."""
    writer = make_writer(postgres_url)
    writer.write(begin)
    for number in range(20):
        writer.write(line(number))
    assert writer.flush(_SOON_S)
    postgres_server.stop()
    try:
        for number in range(20, 60):
            writer.write(line(number), is_droppable=number % 2 == 0)
        listener.wait(1)
        assert not writer.flush(0.1)
    finally:
        postgres_server.start()
    assert writer.flush(_SOON_S)
    assert writer.close(_SOON_S)
    assert lines_in(postgres_url) == [*range(60)]
    assert len(listener.heard) == 2
    assert listener.heard[0].startswith("the ledger is not written: ledger postgresql://")
    assert listener.heard[1] == "the ledger is written again; it lacks nothing"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://robot:s3cret-word@127.0.0.1:1/lading",
        "mysql://robot:s3cret-word@127.0.0.1/lading",
        "",
    ],
    ids=["unreachable", "of another kind", "none"],
)
def test_ledger_that_never_opens_is_told_at_both_ends(
    url: str, make_writer: Callable[..., BackgroundWriter], listener: Listener
) -> None:
    """What was lost is told when the writer closes, in time, without a password."""
    writer = make_writer(url)
    for _ in range(3):
        writer.write(begin)
    listener.wait(1)
    began = time.monotonic()
    assert not writer.close(0.2)
    assert time.monotonic() - began < _SOON_S / 3
    assert [each.partition(":")[0] for each in listener.heard] == [
        "the ledger is not written",
        "the ledger lacks 3 writes of this run",
    ]
    assert not re.search(r"\n|s3cret-word", "".join(listener.heard))


def test_write_that_is_refused_does_not_stop_the_others(
    ledger_url: str, make_writer: Callable[..., BackgroundWriter], listener: Listener
) -> None:
    """A write that the database, or its own code, refuses is told, left out and counted."""

    def fail(_: Ledger) -> None:
        raise ZeroDivisionError("never mind")

    writer = make_writer(ledger_url)
    acts = (begin, line(1, "no such run"), line(1), fail, line(2))
    for act in acts:
        writer.write(act)
    assert writer.flush(_SOON_S)
    assert not writer.close(_SOON_S)
    assert lines_in(ledger_url) == [1, 2]
    assert len(listener.heard) == 2
    assert re.match(
        r"the ledger refused a write: ledger .*; the release goes on without it$", listener.heard[0]
    )
    assert listener.heard[1].startswith("the ledger lacks 2 writes of this run: ledger ")


def test_queue_is_bounded_and_drops_what_matters_least(
    sqlite_url: str, make_writer: Callable[..., BackgroundWriter], listener: Listener
) -> None:
    """Beyond the bound log lines are dropped first, and what is dropped is counted and told."""
    writer, gate, reached = make_writer(sqlite_url, bound=10), threading.Event(), threading.Event()

    def stand_still(_: Ledger) -> None:
        reached.set()
        gate.wait(_SOON_S)

    writer.write(stand_still)
    writer.write(begin)
    assert reached.wait(_SOON_S)
    for number in range(10):
        writer.write(line(number), is_droppable=True)
    for number in range(100, 115):
        writer.write(line(number))
    gate.set()
    assert writer.flush(_SOON_S)
    assert lines_in(sqlite_url) == [*range(8), *range(100, 110)]
    assert not writer.close(_SOON_S)
    assert listener.heard == ["the ledger lacks 7 writes of this run: too many waited at one time"]


def test_listener_that_fails_does_not_end_the_writer(tmp_path: Path) -> None:
    """Whoever cannot be told, the writer goes on."""

    def fail(_: str) -> None:
        raise OSError("no terminal")

    (tmp_path / "file").touch()
    writer = BackgroundWriter(f"sqlite:///{tmp_path}/file/ledger.db", fail, pauses_s=_PAUSES_S)
    writer.write(begin)
    assert not writer.flush(0.1)
    (tmp_path / "file").unlink()
    assert writer.close(_SOON_S)


def test_write_after_the_end_is_not_kept(
    sqlite_url: str, make_writer: Callable[..., BackgroundWriter]
) -> None:
    """A writer that is closed takes nothing more, and says so when it is asked."""
    writer = make_writer(sqlite_url)
    writer.write(begin)
    assert writer.close(_SOON_S)
    writer.write(line(1))
    assert not writer.close(_SOON_S)
    assert lines_in(sqlite_url) == []


def test_kill_leaves_a_true_record(ledger_url: str) -> None:
    """After SIGKILL the ledger has what was written, and shows the run as aborted."""
    process = subprocess.Popen(
        [sys.executable, "-c", _KILLED, ledger_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        ledger = open_ledger(ledger_url, is_for_writing=False)
        run = read.find_run(ledger, "")
        assert (run.state, run.is_aborted) == ("running", False)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
    run = read.find_run(ledger, "")
    assert (run.state, run.is_aborted) == ("running", True)
    assert [(each.task, each.progress.percent) for each in run.steps] == [
        ("upload:gcs-nightly", 40)
    ]
    ledger.close()


def test_run_of_this_process_is_not_aborted(sqlite_ledger: Ledger) -> None:
    """A run that was silent for long is not aborted while its process is seen at work."""
    record.begin_run(sqlite_ledger, start_of(process=name_process()))
    assert not read.find_run(sqlite_ledger, "").is_aborted
