"""What runs now and how far it is: the one state behind bars, lines and the closing table."""

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from lading.errors import Interrupted
from lading.storage import Progress
from lading.tasks.run_log import in_task
from lading.tasks.wording import format_bytes, format_duration

_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class Row:
    """One task of a run."""

    task: str
    """Its name."""
    state: str = "running"
    """running, done, unchanged, up to date, skipped, failed, not reached, interrupted."""
    detail: str = ""
    """What was done, or why not."""
    started: float = field(default_factory=time.monotonic)
    """Monotonic time of its start, in seconds."""
    elapsed_s: float = 0.0
    """How long it took, once it has ended."""
    size_bytes: int = 0
    """Bytes to move, 0 where that is not known."""
    done_bytes: int = 0
    """Bytes moved."""
    files: int = 0
    """Files to move, 0 where that is not known."""
    done_files: int = 0
    """Files moved."""
    current: str = ""
    """The file that was begun last."""

    def describe(self) -> str:
        """Say how far it is: files, bytes, rate and time left; or what is waited for."""
        elapsed = max(time.monotonic() - self.started, 1e-3)
        parts = []
        if self.files:
            parts.append(f"{self.done_files}/{self.files} files")
        if self.size_bytes:
            rate = self.done_bytes / elapsed
            parts.append(f"{format_bytes(self.done_bytes)}/{format_bytes(self.size_bytes)}")
            parts.append(f"{format_bytes(rate)}/s")
            if rate and self.done_bytes < self.size_bytes:
                left = (self.size_bytes - self.done_bytes) / rate
                parts.append(f"{format_duration(left)} left")
        if parts:
            return ", ".join(parts)
        waited_for = f", {self.current}" if self.current else ""
        return f"running for {format_duration(elapsed)}{waited_for}"


class Board:
    """The rows of a run, in the order in which the tasks began. Safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._rows: dict[str, Row] = {}
        self._signal = 0
        self._at_work = 0
        self._idle = threading.Condition(self._lock)

    @property
    def signal(self) -> int:
        """Number of the signal that asked the run to stop, or 0."""
        return self._signal

    @property
    def rows(self) -> list[Row]:
        """A copy of the list of rows."""
        with self._lock:
            return list(self._rows.values())

    @property
    def running(self) -> list[Row]:
        """The rows of the tasks that run now."""
        return [row for row in self.rows if row.state == "running"]

    def start(self, task: str) -> Row:
        """Begin a row."""
        with self._lock:
            self._rows[task] = row = Row(task)
            return row

    def end(self, task: str, state: str, detail: str = "") -> Row:
        """End a row; begin it first where the task never ran."""
        with self._lock:
            known = task in self._rows
            row = self._rows[task] if known else self.start(task)
            row.state, row.detail = state, detail
            row.elapsed_s = time.monotonic() - row.started if known else 0.0
            return row

    def progress(self, task: str) -> "TaskProgress":
        """Return the progress hook of a task."""
        with self._lock:
            row = self._rows.get(task) or self.start(task)
            return TaskProgress(self, row)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Count a step as being at work while the block runs; begin none once asked to stop.

        Raises:
            Interrupted: the run was asked to stop.
        """
        with self._lock:
            self.raise_if_interrupted()
            self._at_work += 1
        try:
            yield
        finally:
            with self._idle:
                self._at_work -= 1
                self._idle.notify_all()

    def wait_until_idle(self, timeout_s: float) -> None:
        """Wait until no step is at work, so that each can remove what it has not finished."""
        with self._idle:
            self._idle.wait_for(lambda: not self._at_work, timeout_s)

    def interrupt(self, signal_number: int) -> None:
        """Ask all work to stop at its next piece."""
        self._signal = signal_number

    def raise_if_interrupted(self) -> None:
        """Raise ``Interrupted`` once the run was asked to stop."""
        if self._signal:
            raise Interrupted(self._signal)

    def install_signal_handlers(self) -> None:
        """Make SIGTERM and SIGINT an orderly end: work stops, finished tasks stay finished."""

        def handle(number: int, frame: FrameType | None) -> None:
            del frame
            self.interrupt(number)
            raise SystemExit(128 + number)

        signal.signal(signal.SIGTERM, handle)
        signal.signal(signal.SIGINT, handle)


class TaskProgress(Progress):
    """Writes the progress of one task to its row."""

    def __init__(self, board: Board, row: Row) -> None:
        super().__init__()
        self._board = board
        self._row = row
        self._lock = threading.Lock()

    def set_size(self, size: int) -> None:
        """Announce the bytes to move."""
        self._row.size_bytes = size

    def relative_update(self, inc: int = 1) -> None:
        """Count bytes; raise ``Interrupted`` if the run was asked to stop."""
        self._board.raise_if_interrupted()
        with self._lock:
            self._row.done_bytes += inc

    def set_files(self, total: int) -> None:
        """Announce the files to move."""
        self._row.files = total

    def start_file(self, name: str) -> None:
        """Note the file that was begun."""
        self._row.current = name

    def finish_file(self, name: str) -> None:
        """Count a file."""
        with self._lock:
            self._row.done_files += 1
        with in_task(self._row.task):  # threads of a step have no context of their own
            _LOG.info("%s: done", name)


BOARD = Board()
