"""Log lines of a run: what is logged anywhere, and the task that it belongs to."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

TASK: ContextVar[str] = ContextVar("task", default="")
"""The task that runs in this context; "" in the threads that a task starts itself."""
_OURS = logging.getLogger("lading")
Note = Callable[[datetime, int, str, str], None]


class RunLogHandler(logging.Handler):
    """Hands each record on as (moment, level, task, text), with its traceback.

    Args:
        note: takes a line.
        guess: names the task of a record that was logged in no task's own context.
    """

    def __init__(self, note: Note, guess: Callable[[], str]) -> None:
        super().__init__()
        self._note, self._guess = note, guess

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a record on; a record that cannot be written is none."""
        try:
            at = datetime.fromtimestamp(record.created, UTC)
            self._note(at, record.levelno, TASK.get() or self._guess(), self.format(record))
        except Exception:  # noqa: BLE001  a log never ends what it tells of
            self.handleError(record)


@contextmanager
def in_task(name: str) -> Iterator[None]:
    """Let what is logged while the block runs belong to a task."""
    token = TASK.set(name)
    try:
        yield
    finally:
        TASK.reset(token)


def attach(handler: RunLogHandler) -> Callable[[], None]:
    """Let a handler hear: ours from INFO on, others' from WARNING on. Return what ends it."""
    root, level = logging.getLogger(), _OURS.level
    root.addHandler(handler)
    _OURS.setLevel(logging.INFO)

    def detach() -> None:
        root.removeHandler(handler)
        _OURS.setLevel(level)

    return detach
