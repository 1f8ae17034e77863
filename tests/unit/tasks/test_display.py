"""How a run looks, with and without a terminal."""

import io
import threading

import pytest

from lading.tasks import display as display_module
from lading.tasks.board import Board, Row
from lading.tasks.display import Display, make_console, render_table


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


class Lines(io.StringIO):
    """A stream without a terminal that tells when a line was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def write(self, text: str, /) -> int:
        """Write, and tell."""
        self.written.set()
        return super().write(text)


@pytest.fixture
def board() -> Board:
    """A board with one task half way."""
    board = Board()
    row = board.start("upload:gcs-nightly")
    row.files, row.done_files = 400, 12
    row.size_bytes, row.done_bytes = 3_400_000_000, 1_200_000_000
    return board


def test_long_work_without_a_terminal_says_where_it_is(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a terminal there is a line now and then: files, bytes, rate and time left."""
    monkeypatch.setattr(display_module, "HEARTBEAT_S", 0.01)
    stream = Lines()
    shown = Display(make_console(stream), board)
    shown.start()
    assert stream.written.wait(10)
    shown.stop()
    line = stream.getvalue().splitlines()[0]

    assert line.startswith("upload:gcs-nightly")
    assert "12/400 files, 1.2 GB/3.4 GB, " in line
    assert "left" in line


def test_plain_lines_hold_no_escape_codes(board: Board) -> None:
    """Without a terminal no colour and no cursor code is written."""
    stream = io.StringIO()
    shown = Display(make_console(stream), board)
    shown.started(board.rows[0])
    shown.ended(board.end("upload:gcs-nightly", "failed", "expected this, got that"))
    shown.table(board.rows)

    assert "\x1b" not in stream.getvalue()
    assert "failed" in stream.getvalue()


@pytest.mark.parametrize("name", ["CI", "NO_COLOR"])
def test_environment_is_honoured(board: Board, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """`CI` switches the bars off, `NO_COLOR` the colours, even in a terminal."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv(name, "1")
    console = make_console(Terminal())
    Display(console, board).ended(board.end("upload:gcs-nightly", "failed", "no"))

    assert console.is_terminal is (name == "NO_COLOR")
    assert console.no_color


def test_bars_show_tasks_and_the_whole(monkeypatch: pytest.MonkeyPatch, board: Board) -> None:
    """In a terminal each running task has a bar, and all together have one."""
    monkeypatch.delenv("CI", raising=False)
    other = board.start("upload:s3-nightly")
    other.size_bytes, other.done_bytes = 100, 50
    stream = Terminal()
    shown = Display(make_console(stream), board)
    shown.start()
    shown.stop()

    assert "upload:gcs-nightly" in stream.getvalue()
    assert "upload:s3-nightly" in stream.getvalue()
    assert "in all" in stream.getvalue()


def test_a_step_prints_above_the_bars(monkeypatch: pytest.MonkeyPatch, board: Board) -> None:
    """While bars are shown a step gets their console, which takes them away before it prints."""
    monkeypatch.delenv("CI", raising=False)
    stream = Terminal()
    shown = Display(console := make_console(stream), board)
    shown.start()
    try:
        assert make_console(stream) is console
        make_console(stream).print("a line")
    finally:
        shown.stop()
    assert make_console(stream) is not console
    assert "a line" in stream.getvalue()


def test_table_fits_eighty_columns() -> None:
    """The closing table folds long reasons instead of running over 80 columns."""
    stream = io.StringIO()
    row = Row("compress_sqlite:a_rather_long_database_name.sqlite", "failed", "because " * 30)
    make_console(stream).print(render_table([row]), soft_wrap=False)

    assert max(len(line) for line in stream.getvalue().splitlines()) <= 80
    assert stream.getvalue().count("because") == 30


def test_row_without_sizes_says_how_long_it_runs() -> None:
    """A task that announced nothing says only how long it has been running."""
    assert Row("check").describe().startswith("running for 0.")


@pytest.mark.parametrize(("waited_s", "shown"), [(0.0, False), (75.0, True)])
def test_step_that_waits_for_somebody_else(*, waited_s: float, shown: bool) -> None:
    """In a terminal a step without files or bytes is shown once it takes long, with its time."""
    board = Board()
    board.start("zenodo").started -= waited_s
    console = make_console(Terminal())
    with console.capture() as captured:
        console.print(Display(console, board)._render_bars())

    assert ("zenodo" in captured.get()) == shown
    assert ("running for 1 min" in captured.get()) == shown


def test_row_that_waits_says_for_what() -> None:
    """A task that waits for somebody else says for what, as long as it has nothing to count."""
    row = Row("zenodo", current="https://github.com/o/n/actions/runs/1 is queued")
    assert row.describe().endswith(" s, https://github.com/o/n/actions/runs/1 is queued")
    row.files = 2
    assert row.describe() == "0/2 files"
