"""One run at a time in a work folder. The kernel gives the lock back when the run is gone."""

import fcntl
import os
from pathlib import Path
from typing import IO

from lading.errors import RefusedError


class RunLock:
    """A lock on a file; held by one process of this machine.

    Args:
        path: the file; made when the lock is taken, and left.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            RefusedError: another run holds it, or the folder cannot be written.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = self._path.open("a+", encoding="utf-8")
        except OSError as error:
            raise RefusedError(
                f"{self._path.parent}: expected a folder to work in, got {error.strerror!r}"
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            file.close()
            raise RefusedError(
                f"{self._path.parent}: expected no other run, found process {owner} at work",
                hint="wait until it has ended",
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file

    def release(self) -> None:
        """Give the lock back. Safe to repeat."""
        if self._file is not None:
            self._file.close()
            self._file = None
