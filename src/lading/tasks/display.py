"""How a run looks: live bars in a terminal, plain lines without one."""

import os
import threading
import time
from collections.abc import Iterable
from typing import IO, ClassVar

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lading.tasks.board import Board, Row
from lading.tasks.wording import format_duration

HEARTBEAT_S = 60
PLAIN_WIDTH = 80
BAR_WIDTH = 10
PATIENCE_S = 2.0  # a step without a measure is shown only where it takes longer
_STYLES = {
    "done": "green",
    "unchanged": "cyan",
    "up to date": "cyan",
    "skipped": "yellow",
    "failed": "bold red",
    "interrupted": "bold red",
    "not reached": "dim",
}


def make_console(stream: IO[str]) -> Console:
    """Make a console: 80 columns and no colour where the stream is no terminal.

    While bars are shown it is the one that shows them: another would write through them.
    """
    if Display.live_console is not None:
        return Display.live_console
    is_live = stream.isatty() and not os.environ.get("CI")
    return Console(
        file=stream,
        width=None if stream.isatty() else PLAIN_WIDTH,
        force_terminal=is_live,
        no_color=not is_live or bool(os.environ.get("NO_COLOR")),
        highlight=False,
        soft_wrap=True,
        emoji=False,
        markup=False,
    )


class Display:
    """Shows a board while a run goes on.

    Args:
        console: where to.
        board: what to show.

    Attributes:
        live_console: the console that shows bars now; None where none does.
    """

    live_console: ClassVar[Console | None] = None

    def __init__(self, console: Console, board: Board) -> None:
        self._console = console
        self._board = board
        self._live: Live | None = None
        self._stop = threading.Event()
        self._heart: threading.Thread | None = None

    def start(self) -> None:
        """Begin: bars in a terminal, a line a minute without one."""
        if self._console.is_terminal:
            self._live = Live(
                console=self._console,
                get_renderable=self._render_bars,
                refresh_per_second=6,
                transient=True,
            )
            self._live.start()
            Display.live_console = self._console
            return
        self._heart = threading.Thread(target=self._beat, daemon=True)
        self._heart.start()

    def stop(self) -> None:
        """End. Safe to repeat."""
        self._stop.set()
        if self._live is not None:
            self._live.stop()
            self._live = Display.live_console = None

    def line(self, text: str, style: str = "") -> None:
        """Print one line above the bars."""
        self._console.print(Text(text, style=style))

    def started(self, row: Row) -> None:
        """Say that a task begins; in a terminal its bar says so."""
        if not self._console.is_terminal:
            self.line(f"{row.task:<34} start")

    def ended(self, row: Row) -> None:
        """Say how a task ended."""
        duration = f" ({format_duration(row.elapsed_s)})" if row.elapsed_s else ""
        first = row.detail.splitlines()[0] if row.detail else ""
        text = Text(f"{row.task:<34} ")
        text.append(row.state, style=_STYLES.get(row.state, ""))
        text.append(f" {first}{duration}" if first else duration)
        self._console.print(text)

    def table(self, rows: Iterable[Row]) -> None:
        """Print the closing table."""
        self._console.print(render_table(rows), soft_wrap=False)

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_S):
            for row in self._board.running:
                self.line(f"{row.task:<34} {row.describe()}")

    def _render_bars(self) -> RenderableType:
        grid = Table.grid(padding=(0, 1))
        running = [row for row in self._board.running if row.size_bytes or row.files]
        for row in self._board.running:
            if row not in running and time.monotonic() - row.started > PATIENCE_S:
                # it waits for somebody else: nobody knows how long
                grid.add_row(Text(row.task, overflow="ellipsis", no_wrap=True), "", row.describe())
        for row in running:
            bar = ProgressBar(
                total=row.size_bytes or None, completed=row.done_bytes, width=BAR_WIDTH
            )
            grid.add_row(Text(row.task, overflow="ellipsis", no_wrap=True), bar, row.describe())
        if len(running) > 1:
            whole = Row("in all", started=min(row.started for row in running))
            whole.size_bytes = sum(row.size_bytes for row in running)
            whole.done_bytes = sum(row.done_bytes for row in running)
            whole.files = sum(row.files for row in running)
            whole.done_files = sum(row.done_files for row in running)
            bar = ProgressBar(
                total=whole.size_bytes or None, completed=whole.done_bytes, width=BAR_WIDTH
            )
            grid.add_row(Text(whole.task, style="bold"), bar, whole.describe())
        return grid


def render_table(rows: Iterable[Row]) -> Table:
    """Render what was done, skipped and failed, one line a task where it fits."""
    table = Table(box=None, pad_edge=False, show_header=True, header_style="bold")
    table.add_column("task", no_wrap=True)
    table.add_column("result", no_wrap=True)
    table.add_column("what", overflow="fold")
    for row in rows:
        state = Text(row.state, style=_STYLES.get(row.state, ""))
        table.add_row(Text(row.task), state, Text(row.detail))
    return table
