"""The writer beside a release: a thread of its own, so that nothing waits for the ledger."""

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from lading.errors import LadingError

if TYPE_CHECKING:
    # SQLAlchemy takes 0.2 s to import: the thread does so, and the release goes on meanwhile
    from lading.ledger.ledger import Ledger

BOUND = 20_000
"""Writes that wait at most, of those that may be dropped; twice as many of all."""
_GROWTH = 2.0


class BackgroundWriter:
    """Does writes in their order, in a thread of its own; trouble is told once, loudly.

    The release goes on whatever happens here: a database that is away, full, read-only or too
    new makes ``on_trouble`` hear one line; writes are kept, up to a bound, and tried again
    with growing pauses, so that a PostgreSQL that comes back misses nothing; what is beyond
    the bound is dropped, log lines and progress first, and told when it closes. A write that
    the database refuses for what it is, is left out, and the next one is done.

    Args:
        url: of the ledger, as ``names.ledger_url`` returns it; opened in the thread.
        on_trouble: is told, in one line, when writing begins to fail, when it works again,
            and what was lost. Called in the thread, or by ``close``.
        bound: writes that wait at most, of those that may be dropped.
        pauses_s: the pause before the second try, and the longest; each is twice the last.
        timeout_s: how long a database is waited for.
    """

    def __init__(
        self,
        url: str,
        on_trouble: Callable[[str], None],
        *,
        bound: int = BOUND,
        pauses_s: tuple[float, float] = (0.1, 10.0),
        timeout_s: float = 10.0,
    ) -> None:
        self._url = url
        self._on_trouble = on_trouble
        self._bound = bound
        self._first_pause_s, self._longest_pause_s = pauses_s
        self._timeout_s = timeout_s
        self._changed = threading.Condition()
        self._waiting: deque[Callable[[Ledger], object]] = deque()  # the first is at work
        self._lost = 0
        self._is_closing = False
        self._is_over = False
        self._ledger: Ledger | None = None
        self._trouble = self._refusal = ""
        self._thread = threading.Thread(target=self._work, name="lading-ledger", daemon=True)
        self._thread.start()

    def write(self, act: "Callable[[Ledger], object]", *, is_droppable: bool = False) -> None:
        """Add a write to the queue; never waits, never raises.

        Each takes a transaction, 0.2 ms in a file: many log lines belong into one write.

        Args:
            act: is called with the open ledger, in the thread. May be called again.
            is_droppable: whether it may be left out where the queue is long (progress, logs).
        """
        with self._changed:
            bound = self._bound if is_droppable else 2 * self._bound
            if self._is_over or len(self._waiting) >= bound:
                self._lost += 1
                return
            self._waiting.append(act)
            self._changed.notify_all()

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that was added is written; False where it was not in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_over or not self._waiting, timeout_s)
            return not self._waiting

    def close(self, timeout_s: float) -> bool:
        """Flush, end the thread, close the ledger; False where something was not written.

        Safe to repeat.
        """
        until = time.monotonic() + timeout_s
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self.flush(timeout_s)
        with self._changed:
            was_over, self._is_over = self._is_over, True
            self._changed.notify_all()
        self._thread.join(max(until - time.monotonic(), 0.0))
        with self._changed:
            lacks = self._lost + len(self._waiting)
        if lacks and not was_over:
            why = self._trouble or self._refusal or "too many waited at one time"
            self._tell(f"the ledger lacks {_count(lacks)} of this run: {why}")
        return not lacks

    def _work(self) -> None:
        pause_s = self._first_pause_s
        while act := self._next():
            if self._do(act):
                pause_s = self._first_pause_s
                continue
            self._pause(pause_s)
            pause_s = min(pause_s * _GROWTH, self._longest_pause_s)
        if self._ledger is not None:
            with suppress(Exception):
                self._ledger.close()

    def _next(self) -> "Callable[[Ledger], object] | None":
        """Return the write that is next, when there is one; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_over)
            return None if self._is_over else self._waiting[0]

    def _do(self, act: "Callable[[Ledger], object]") -> bool:
        """Do a write; return whether it is done with, well or for good."""
        from lading.ledger.faults import AwayError  # noqa: PLC0415  see above
        from lading.ledger.ledger import open_ledger  # noqa: PLC0415  see above

        try:
            if self._ledger is None:
                self._ledger = open_ledger(self._url, timeout_s=self._timeout_s)
        except Exception as error:  # noqa: BLE001  whatever it is, a release goes on
            self._note_away(error)
            return False
        try:
            act(self._ledger)
        except AwayError as error:
            self._note_away(error)
            return False
        except Exception as error:  # noqa: BLE001  as above
            self._note_refused(error)
            return True
        self._note_written()
        return True

    def _pause(self, pause_s: float) -> None:
        """Wait before the next try; one that is to close tries at once, and then often."""
        with self._changed:
            was_closing = self._is_closing
            pause_s = self._first_pause_s if was_closing else pause_s
            self._changed.wait_for(
                lambda: self._is_over or self._is_closing != was_closing, pause_s
            )

    def _note_away(self, error: Exception) -> None:
        is_news = not self._trouble
        self._trouble = _one_line(error)
        if is_news:
            self._tell(
                f"the ledger is not written: {self._trouble};"
                " the release goes on, what is to be written is kept and tried again"
            )

    def _note_refused(self, error: Exception) -> None:
        said = _one_line(error)
        with self._changed:
            self._waiting.popleft()
            self._lost += 1
            self._changed.notify_all()
        if not self._refusal:
            self._refusal = said
            self._tell(f"the ledger refused a write: {said}; the release goes on without it")

    def _note_written(self) -> None:
        with self._changed:
            self._waiting.popleft()
            had_trouble, self._trouble = self._trouble, ""
            lost = self._lost
            self._changed.notify_all()
        if had_trouble:
            lacks = f"; it lacks {_count(lost)} so far" if lost else "; it lacks nothing"
            self._tell(f"the ledger is written again{lacks}")

    def _tell(self, message: str) -> None:
        with suppress(Exception):  # whoever is told, a release goes on
            self._on_trouble(message)


def _one_line(error: Exception) -> str:
    text = str(error) if isinstance(error, LadingError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())


def _count(writes: int) -> str:
    return f"{writes} write" if writes == 1 else f"{writes} writes"
