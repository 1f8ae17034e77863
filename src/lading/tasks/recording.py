"""What the reporter sees, written to the ledger as it happens, and kept here for its summary.

Nothing waits for the ledger: rows are handed to a writer in a thread of its own.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from lading.ledger.background import BackgroundWriter
from lading.ledger.model import Run, RunStart, Target
from lading.ledger.progress import Work
from lading.release.receipts import Receipt
from lading.services.redaction import redactor
from lading.tasks import run_log
from lading.tasks.board import Board, Row
from lading.tasks.measuring import SETTLED, Measures
from lading.tasks.writes import Act, Line, Writes

_LOOK_S, _LATER_S, _LATE_S = 0.5, 1.0, 3.0
_LONG_S, _VERY_LONG_S = 10.0, 600.0
_CLOSE_S, _BRIEF_S, _MOMENT_S = 10.0, 2.0, 3.0
_PUBLIC = "promote"  # kind of the targets that people read
_MOST_LINES = 50_000  # log lines that wait for the next look


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be recorded of a run."""

    start: RunStart
    """What is known of it."""
    url: str
    """URL of the ledger; "" where nothing is to be written."""
    work: Mapping[str, Work]
    """Work of each task, as far as it is foreseen."""
    load_receipt: Callable[[str], Receipt | None]
    """Reads the receipt of a task."""
    complete: Callable[[RunStart], RunStart]
    """Finds out what takes a while; called in the writer's thread."""


class Recorder:
    """Records one run.

    Args:
        board: its rows.
        order: what is to be recorded.
        warn: tells the person one line.
    """

    def __init__(self, board: Board, order: Order, warn: Callable[[str], None]) -> None:
        self._board, self._order, self._warn = board, order, warn
        self._lock = threading.RLock()
        self._measures = Measures(order.work)
        self._targets = {each.task: each for each in order.start.targets}
        self._lines: deque[Line] = deque(maxlen=_MOST_LINES)
        self._stop = threading.Event()
        self.writes = Writes(order.start.run_id)
        self.manifest_sha256 = self.doi = ""
        self._is_sound = True
        self._writer = BackgroundWriter(order.url, self._hear_trouble) if order.url else None
        self.write(self.writes.begin(order.start, order.complete))
        self._detach = run_log.attach(run_log.RunLogHandler(self.note, self._only_task))
        self._heart = threading.Thread(target=self._beat, name="ledger-heart", daemon=True)
        self._heart.start()

    @property
    def is_written(self) -> bool:
        """Whether there is a ledger that it is written to."""
        return self._writer is not None

    @property
    def run_id(self) -> str:
        """Name of the run."""
        return self._order.start.run_id

    def write(self, act: Act, *, is_droppable: bool = False) -> None:
        """Let the writer do something, in its order."""
        if self._writer is not None:
            self._writer.write(act, is_droppable=is_droppable)

    def foresee(self, work: Mapping[str, Work]) -> None:
        """Note what is better known by now."""
        with self._lock:
            self._measures.foresee(work)

    def started(self, row: Row) -> None:
        """Record that a step began.

        A step that changes what people see waits, a moment at most, until that is written: a
        kill in its midst must not leave a record that says nothing public was touched.
        """
        self.note(datetime.now(UTC), logging.INFO, row.task, "begins")
        self._put_step(row)
        if row.task in self._targets:
            self.put_targets(
                lambda targets: [replace(e, state="running") for e in targets if e.task == row.task]
            )
            if self._targets[row.task].kind == _PUBLIC:
                self._wait_for_writer()

    def ended(self, row: Row, log: str = "") -> None:
        """Record that a step ended, with its receipt; and its traceback, where it has one."""
        level = logging.ERROR if row.state in {"failed", "interrupted"} else logging.INFO
        told = f"{row.state}: {row.detail}" if row.detail else row.state
        self.note(datetime.now(UTC), level, row.task, f"{log}\n{told}" if log else told)
        self._put_step(row)
        self._settle_target(row)

    def note(self, at: datetime, level: int, task: str, text: str) -> None:
        """Record a text of the log; each of its lines is one."""
        self._lines.extend((at, level, task, line) for line in text.splitlines() if line.strip())

    def put_targets(self, change: Callable[[Iterable[Target]], Iterable[Target]]) -> None:
        """Change rows of the matrix, and write those that are another now."""
        with self._lock:
            changed = [e for e in change([*self._targets.values()]) if e != self._targets[e.task]]
            self._targets.update({each.task: each for each in changed})
        if changed:
            self.write(self.writes.targets(changed))

    def end(self, exit_code: int) -> Run:
        """End the run; return what became of it.

        Args:
            exit_code: what the process will end with, as far as that can be known.
        """
        self._stop.set()
        self._detach()
        at = datetime.now(UTC)
        run = replace(self.run(), exit_code=exit_code, ended_at=at)
        if exit_code:
            run = replace(run, state="failed")
        else:
            run = replace(run, state="completed", progress=replace(run.progress, percent=100.0))
        self.write(self.writes.progress(run.progress, [], at))
        self._flush_lines()
        self.write(self.writes.end(run, at))
        return run

    def flush(self) -> bool:
        """Wait a bounded time until all so far is written; say whether it is."""
        return self._writer is not None and self._writer.flush(_CLOSE_S)

    def close(self, *, is_brief: bool = False) -> bool:
        """Wait a bounded time, let the writer go; say whether all was written.

        Args:
            is_brief: whether there are only seconds left.
        """
        writer, self._writer = self._writer, None
        is_brief = is_brief or not self._is_sound
        return writer is None or writer.close(_BRIEF_S if is_brief else _CLOSE_S)

    def run(self) -> Run:
        """Return the run as it stands."""
        start, rows = self._order.start, self._board.rows
        failed = next((row for row in rows if row.state == "failed"), None)
        with self._lock:
            steps = tuple(self._measures.step_of(row) for row in rows)
            progress = self._measures.measure()
            targets = tuple(self._targets.values())
        return Run(
            run_id=start.run_id,
            kind=start.kind,
            project=start.project,
            title=start.title,
            channel=start.channel,
            tag=start.tag,
            environment=start.environment,
            is_release=start.is_release,
            state="running",
            failed_at=failed.task if failed else "",
            error=redactor()(failed.detail) if failed else "",
            command=start.command,
            attempt=self.writes.attempt,
            progress=progress,
            created_at=start.started_at,
            started_at=start.started_at,
            owner=start.owner,
            tool_version=start.tool_version,
            config_sha256=start.config_sha256,
            ci_url=start.ci_url,
            manifest_sha256=self.manifest_sha256,
            doi=self.doi,
            steps=steps,
            targets=targets,
        )

    def _wait_for_writer(self) -> None:
        """Wait until the writer has caught up; once in vain, and never where it has trouble."""
        if self._writer is not None and self._is_sound:
            self._is_sound = self._writer.flush(_MOMENT_S)

    def _hear_trouble(self, text: str) -> None:
        self._is_sound = False
        self._warn(text)

    def _only_task(self) -> str:
        """Guess the task of a line that was logged in a thread of its own."""
        running = self._board.running
        return running[0].task if len(running) == 1 else ""

    def _put_step(self, row: Row) -> None:
        with self._lock:
            step = self._measures.step_of(row)
        names = [each.task for each in self._board.rows]
        self.write(self.writes.step(names.index(row.task), step, datetime.now(UTC)))

    def _settle_target(self, row: Row) -> None:
        if row.task not in self._targets:
            return
        receipt = self._order.load_receipt(row.task) if row.state in SETTLED else None
        if receipt is not None:
            self.write(self.writes.receipt(row.task, receipt))
        self.put_targets(
            lambda all_of_them: [
                _settled(each, row, receipt) for each in all_of_them if each.task == row.task
            ]
        )

    def _beat(self) -> None:
        try:
            while not self._stop.wait(self._pause_s()):
                self._look()
        except Exception as error:  # noqa: BLE001  a release goes on without it
            self._warn(f"ledger: unexpected {type(error).__name__}: progress is not recorded")

    def _look(self) -> None:
        with self._lock:
            steps = [self._measures.step_of(row) for row in self._board.running]
            whole = self._measures.measure()
        self.write(self.writes.progress(whole, steps, datetime.now(UTC)), is_droppable=True)
        self._flush_lines()

    def _pause_s(self) -> float:
        passed = self._measures.elapsed_s
        return _LOOK_S if passed < _LONG_S else _LATER_S if passed < _VERY_LONG_S else _LATE_S

    def _flush_lines(self) -> None:
        if lines := _redacted(self._take_lines()):
            self.write(self.writes.logs(lines), is_droppable=True)

    def _take_lines(self) -> list[Line]:
        taken = []
        while self._lines:
            taken.append(self._lines.popleft())
        return taken


def _settled(target: Target, row: Row, receipt: Receipt | None) -> Target:
    """Return a row of the matrix as its task left it."""
    note = redactor()(row.detail)
    known = replace(target, state=row.state, note=note)  # type: ignore[arg-type]  # its words
    if receipt is None:
        return known
    # what is up to date was looked at just now, and needed nothing
    proved_at = receipt.proved_at if row.state == "done" else datetime.now(UTC)
    told = receipt.facts.get("url", "")
    url = known.url or (told if told.startswith("http") else "")
    return replace(known, verified_at=proved_at, url=url)


def _redacted(lines: Sequence[Line]) -> list[Line]:
    hide = redactor() if lines else str
    return [(at, level, task, hide(text)) for at, level, task, text in lines]
