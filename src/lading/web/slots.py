"""Who is at work beside a ledger: files that are locked as long as their process lives.

The kernel gives a lock back when its process is gone, however it ended: what is said here is
never older than the moment in which it is asked.
"""

import fcntl
import time
from pathlib import Path
from typing import IO

from lading.errors import LadingError
from lading.storage.owner import name_process

MANUAL = 64
"""The first slot of workers that a person started; a server has those below."""
_GLANCE_S = 0.2
"""How long others may hold a lock only to see whether somebody does."""


class Held:
    """A locked file, that says whose it is."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def close(self) -> None:
        """Give the lock back. Safe to repeat."""
        self._file.close()


def workers_folder(work: Path) -> Path:
    """Return the folder of locks, logs and jobs of the workers."""
    return work / "workers"


def jobs_folder(work: Path) -> Path:
    """Return the folder of the files of jobs."""
    return workers_folder(work) / "jobs"


def slot_path(work: Path, slot: int) -> Path:
    """Return the lock of a worker."""
    return workers_folder(work) / f"{slot}.lock"


def server_path(work: Path) -> Path:
    """Return the lock of the server."""
    return workers_folder(work) / "server.lock"


def hold(path: Path) -> Held | None:
    """Lock a file for this process, and write its name to it; None where another holds it.

    Raises:
        LadingError: the file cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise LadingError(f"{path}: expected a file to lock, got {error.strerror!r}") from error
    if not _lock(file):
        file.close()
        return None
    file.truncate(0)
    file.write(f"{name_process()}\n")
    file.flush()
    return Held(file)


def hold_first(work: Path) -> tuple[int, Held]:
    """Lock the first free slot of those that a person may have.

    Raises:
        LadingError: the folder cannot be written.
    """
    slot = MANUAL
    while (held := hold(slot_path(work, slot))) is None:
        slot += 1
    return slot, held


def _lock(file: IO[str]) -> bool:
    """Lock a file, unless another holds it for longer than ``find_holder`` does."""
    until = time.monotonic() + _GLANCE_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(_GLANCE_S / 20)
        else:
            return True


def find_holder(path: Path) -> str:
    """Return the process that holds a lock, as it named itself; "" where none does."""
    try:
        with path.open(encoding="utf-8") as file:
            try:
                # shared: two that ask at one time do not take each other for its holder
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read().strip() or "unknown"
    except OSError:
        pass
    return ""
