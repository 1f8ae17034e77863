"""The rows of the board as steps of the ledger: how far each is, and how far the whole."""

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from lading.ledger.model import Progress, Step
from lading.ledger.progress import RunMeter, StepMeter, Work
from lading.services.redaction import redactor
from lading.tasks.board import Row

SETTLED = frozenset({"done", "unchanged", "up to date"})
"""States of a step whose target is as it should be."""
_OPEN = frozenset({"failed", "interrupted", "not reached"})


class Measures:
    """Measures the steps of one run. Not safe from several threads.

    Args:
        foreseen: work of each task, as far as it is known when the run begins.
    """

    def __init__(self, foreseen: Mapping[str, Work]) -> None:
        self._began = (datetime.now(UTC), time.monotonic())
        self._steps: dict[str, StepMeter] = {}
        self._run = RunMeter(foreseen)
        self.whole = Progress()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._began[1]

    def foresee(self, work: Mapping[str, Work]) -> None:
        """Note what is better known by now."""
        self._run.foresee(work)

    def measure(self) -> Progress:
        """Return how far the whole is, by what was noted of its steps."""
        self.whole = self._run.measure(time.monotonic())
        return self.whole

    def step_of(self, row: Row) -> Step:
        """Return a row as the ledger has it, and note how far it is."""
        done = Work(row.done_bytes, row.done_files)
        to_do = Work(max(row.size_bytes, row.done_bytes), max(row.files, row.done_files))
        meter = self._steps.setdefault(row.task, StepMeter())
        progress = meter.measure(time.monotonic(), done, to_do)
        self._run.note(row.task, done, to_do)
        began = self._moment(row)
        if row.state == "running":
            return Step(task=row.task, state="running", started_at=began, progress=progress)
        if row.state not in _OPEN:
            self._run.end(row.task)
        percent = progress.percent if row.state in _OPEN else 100.0
        return Step(
            task=row.task,
            state=row.state,  # type: ignore[arg-type]  # the board's words are the ledger's
            detail=redactor()(row.detail),
            started_at=began if row.elapsed_s else None,
            ended_at=None
            if row.state == "not reached"
            else began + timedelta(seconds=row.elapsed_s),
            progress=replace(progress, percent=percent, rate_bytes_s=0.0, left_s=None),
        )

    def _moment(self, row: Row) -> datetime:
        at, mark = self._began
        return at + timedelta(seconds=row.started - mark)
