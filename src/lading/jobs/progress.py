"""Progress of a run as lines of its log: items and bytes, not more often than it helps."""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from lading.jobs.batch import format_bytes
from lading.storage import Progress

if TYPE_CHECKING:
    import logging

EVERY_S = 30.0
"""Seconds from one line to the next."""


class LoggedProgress(Progress):
    """Says how far a run is, at most every half minute. Safe from several threads.

    Args:
        log: hears it.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        log: "logging.LoggerAdapter[logging.Logger]",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._log = log
        self._clock = clock
        self._told_at = clock()
        self._files, self._done_files = 0, 0
        self._bytes, self._done_bytes = 0, 0
        self._guard = threading.Lock()

    def set_size(self, size: int) -> None:
        """Announce how many bytes more there are; a run may have several batches."""
        with self._guard:
            self._bytes += size

    def set_files(self, total: int) -> None:
        """Announce how many items more there are."""
        with self._guard:
            self._files += total

    def relative_update(self, inc: int = 1) -> None:
        """Count bytes."""
        with self._guard:
            self._done_bytes += inc
            is_due = self._is_due()
        if is_due:
            self._log.info("%s", self.describe())

    def finish_file(self, name: str) -> None:
        """Count an item."""
        del name
        with self._guard:
            self._done_files += 1

    def describe(self) -> str:
        """Say how far it is: ``120 of 5000 items, 1.2 GB of 3.4 GB``."""
        items = f"{self._done_files} of {self._files}" if self._files else f"{self._done_files}"
        parts = [f"{items} items"]
        if self._bytes:
            parts.append(f"{format_bytes(self._done_bytes)} of {format_bytes(self._bytes)}")
        elif self._done_bytes:
            parts.append(format_bytes(self._done_bytes))
        return ", ".join(parts)

    def _is_due(self) -> bool:
        if self._clock() - self._told_at < EVERY_S or not (self._files or self._done_files):
            return False
        self._told_at = self._clock()
        return True
