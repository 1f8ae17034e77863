"""The process that publishes: begun for a job, watched, ended with all that it began.

Who it is stands in a file beside its log, so that whoever takes a job up again after a kill
can end what is left of it, and nothing else: a process is named with the time of its start.
It is not tied to its worker by the kernel (PR_SET_PDEATHSIG has no door in Python's standard
library): it goes on where its worker was killed, and is ended, or waited for, by the next.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lading.errors import LadingError
from lading.storage.bytes import write_atomically
from lading.storage.owner import is_gone, is_here, name_process

STOP_S = 20.0
"""Seconds that a child which was asked to end may take before it is ended by force."""
KILL_S = 5.0
"""Seconds that a killed process may take to be gone."""
_LOOK_S = 0.05
_TAIL_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class JobFiles:
    """The files of a job on this machine."""

    folder: Path
    """Where they stand."""
    run_id: str
    """The job."""

    @property
    def log(self) -> Path:
        """What its children wrote to stdout, of all attempts."""
        return self.folder / f"{self.run_id}.log"

    @property
    def errors(self) -> Path:
        """What its last child wrote to stderr."""
        return self.folder / f"{self.run_id}.err"

    @property
    def process(self) -> Path:
        """Who its last child is."""
        return self.folder / f"{self.run_id}.process"

    def read_errors(self) -> str:
        """Return the end of what its last child wrote to stderr; "" where there is nothing."""
        try:
            with self.errors.open("rb") as file:
                file.seek(max(self.errors.stat().st_size - _TAIL_BYTES, 0))
                return file.read().decode(errors="replace")
        except OSError:
            return ""


class Child:
    """A process group of its own that does a job.

    Args:
        command: program and arguments.
        folder: where it works.
        environment: its variables.
        files: where its output goes, and its name.

    Raises:
        LadingError: it cannot be begun.
    """

    def __init__(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str], files: JobFiles
    ) -> None:
        try:
            files.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _open(files.log, os.O_APPEND) as log, _open(files.errors, os.O_TRUNC) as errors:
                self._process = subprocess.Popen(  # noqa: S603  our own program
                    command,
                    cwd=folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=errors,
                    start_new_session=True,
                )
            write_atomically(files.process, name_process(self._process.pid).encode())
        except OSError as error:
            raise LadingError(
                f"{folder}: expected to begin {command[0]} there, got {error.strerror!r}"
            ) from error

    def wait(self, timeout_s: float) -> int | None:
        """Wait for its end; return its exit code, or None where it is still at work."""
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout_s)
        return None

    def stop(self, tick: Callable[[], object], stop_s: float = STOP_S) -> int:
        """Ask it to end; after a while end its whole group by force. Return its exit code.

        Args:
            tick: is called while it is waited for.
            stop_s: how long it may take.
        """
        self._process.terminate()
        until = time.monotonic() + stop_s
        while (code := self.wait(_LOOK_S)) is None and time.monotonic() < until:
            tick()
        return self.kill() if code is None else code

    def kill(self) -> int:
        """End its whole group by force; return its exit code."""
        if self._process.poll() is None:  # not waited for: its number is still its own
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        return self._process.wait()


def end_former(files: JobFiles, tick: Callable[[], object], stop_s: float = STOP_S) -> bool:
    """End what an earlier worker left of a job on this machine; whether nothing is left.

    Args:
        files: of the job.
        tick: is called while it is waited for.
        stop_s: how long it may take before it is ended by force.
    """
    try:
        process = files.process.read_text(encoding="utf-8").strip()
    except OSError:
        return True
    if not is_here(process) or is_gone(process):
        return True
    pid = int(process.split("/")[1])
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGTERM)
    if _wait_until_gone(process, tick, stop_s):
        return True
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    return _wait_until_gone(process, tick, KILL_S)


def prune_files(folder: Path, keep: int) -> None:
    """Delete the files of old jobs, but for the newest ones.

    Effects: files of jobs in this folder.
    """
    logs = sorted(folder.glob("*.log"), key=lambda each: each.name, reverse=True)
    for log in logs[keep:]:
        for each in log.parent.glob(f"{log.stem}.*"):
            each.unlink(missing_ok=True)


def _wait_until_gone(process: str, tick: Callable[[], object], timeout_s: float) -> bool:
    until = time.monotonic() + timeout_s
    while not is_gone(process):
        if time.monotonic() > until:
            return False
        tick()
        time.sleep(_LOOK_S)
    return True


def _open(path: Path, how: int) -> IO[bytes]:
    # for its owner only: a project's own tasks may print what nobody else is to see
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | how, 0o600), "wb")
