"""Tests of the board: what runs now and how far it is."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lading.errors import Interrupted
from lading.tasks.board import Board, Row


@pytest.fixture
def board() -> Board:
    """Return an empty board."""
    return Board()


@pytest.fixture
def handlers() -> Iterator[None]:
    """Put the signal handlers of this process back afterwards."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class TestRows:
    """One row a task."""

    def test_rows_stand_in_the_order_of_their_begin(self, board: Board) -> None:
        """Rows keep the order in which tasks began, however they end."""
        for task in ("b", "a", "c"):
            board.start(task)
        board.end("c", "done")
        assert [row.task for row in board.rows] == ["b", "a", "c"]
        assert [row.task for row in board.running] == ["b", "a"]

    def test_end_tells_state_detail_and_time(self, board: Board) -> None:
        """An ended row tells how, what and how long."""
        board.start("a").started = time.monotonic() - 5
        row = board.end("a", "failed", "no room")
        assert (row.state, row.detail) == ("failed", "no room")
        assert 5 <= row.elapsed_s < 60

    def test_task_that_never_ran(self, board: Board) -> None:
        """A task that ends without having begun has a row that took no time."""
        row = board.end("a", "not reached", "b failed")
        assert [row] == board.rows
        assert (row.state, row.detail, row.elapsed_s) == ("not reached", "b failed", 0.0)

    def test_list_of_rows_is_a_copy(self, board: Board) -> None:
        """Who changes the list that he was given changes no board."""
        board.start("a")
        board.rows.clear()
        assert len(board.rows) == 1

    def test_progress_begins_a_row(self, board: Board) -> None:
        """A task that tells of progress before its start has a row; no second one is made."""
        board.progress("a").relative_update(3)
        board.progress("a").relative_update(4)
        assert [(row.task, row.done_bytes) for row in board.rows] == [("a", 7)]


class TestProgress:
    """What a task tells of itself."""

    def test_files_and_bytes(self, board: Board) -> None:
        """Files and bytes are announced and counted, and the file begun last is named."""
        progress = board.progress("a")
        progress.set_size(100)
        progress.set_files(3)
        for name in ("x", "y"):
            progress.start_file(name)
            progress.relative_update(20)
            progress.finish_file(name)
        progress.start_file("z")
        (row,) = board.rows
        assert (row.size_bytes, row.done_bytes, row.files, row.done_files) == (100, 40, 3, 2)
        assert row.current == "z"

    def test_threads_lose_no_byte(self, board: Board) -> None:
        """Many threads that count at once lose neither bytes nor files."""
        progress = board.progress("a")

        def count(_: int) -> None:
            for _turn in range(500):
                progress.relative_update(1)
                progress.finish_file("x")

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(count, range(8)))
        (row,) = board.rows
        assert (row.done_bytes, row.done_files) == (4000, 4000)

    def test_rows_do_not_mix(self, board: Board) -> None:
        """Each task counts in its own row."""
        board.progress("a").relative_update(1)
        board.progress("b").relative_update(2)
        assert {row.task: row.done_bytes for row in board.rows} == {"a": 1, "b": 2}


class TestDescribe:
    """A row in words."""

    def make_row(self, **facts: int) -> Row:
        """Return a row that began ten seconds ago."""
        row = Row("a", started=time.monotonic() - 10)
        for name, value in facts.items():
            setattr(row, name, value)
        return row

    def test_nothing_known(self) -> None:
        """Where neither files nor bytes are known the time stands."""
        assert self.make_row().describe().startswith("running for 10")

    def test_everything_known(self) -> None:
        """Files, bytes, rate and time left stand where they are known."""
        row = self.make_row(files=4, done_files=1, size_bytes=4_000_000, done_bytes=1_000_000)
        text = row.describe()
        assert text.startswith("1/4 files, ")
        assert [word in text for word in ("1.0", "4.0 MB", "/s", " left")] == [True] * 4

    def test_nothing_done_yet(self) -> None:
        """Without a byte done no time left is told, and nothing is divided by nothing."""
        text = self.make_row(size_bytes=100).describe()
        assert "left" not in text

    def test_all_done(self) -> None:
        """With every byte done no time is left."""
        assert "left" not in self.make_row(size_bytes=100, done_bytes=100).describe()

    def test_row_that_just_began(self) -> None:
        """A row in its first moment can be described."""
        assert Row("a", size_bytes=10, done_bytes=5).describe()


class TestInterrupt:
    """A run that is asked to stop."""

    def test_work_stops_at_its_next_piece(self, board: Board) -> None:
        """Once asked, every task stops where it counts bytes, and nothing more is counted."""
        progress = [board.progress("a"), board.progress("b")]
        board.raise_if_interrupted()
        board.interrupt(signal.SIGTERM)
        for each in progress:
            with pytest.raises(Interrupted) as caught:
                each.relative_update(5)
            assert caught.value.exit_code == 143
        assert [row.done_bytes for row in board.rows] == [0, 0]

    @pytest.mark.usefixtures("handlers")
    @pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
    def test_signals_end_the_run_in_order(
        self, board: Board, number: signal.Signals, code: int
    ) -> None:
        """A signal ends the main thread with 128 and its number, and stops all other work."""
        board.install_signal_handlers()
        with pytest.raises(SystemExit) as caught:
            os.kill(os.getpid(), number)
        assert caught.value.code == code
        with pytest.raises(Interrupted) as stopped:
            board.progress("a").relative_update(1)
        assert stopped.value.exit_code == code


def test_no_step_begins_once_the_run_was_asked_to_stop() -> None:
    """A step whose thread comes late begins nothing: nobody would wait for it to clean up."""
    board = Board()
    board.interrupt(signal.SIGTERM)
    with pytest.raises(Interrupted), board.at_work():
        pytest.fail("the step began")
    board.wait_until_idle(0)


def test_steps_at_work_are_waited_for() -> None:
    """The end of a run waits for the steps at work, and no longer than it is told."""
    board = Board()
    with board.at_work():
        waiting = threading.Thread(target=board.wait_until_idle, args=(60,))
        waiting.start()
        board.wait_until_idle(0.01)
        assert waiting.is_alive()
    waiting.join(10)
    assert not waiting.is_alive()
