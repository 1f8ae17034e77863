"""Keeps a server's workers at work: each slot has one, and one that is gone is replaced.

Workers are begun in sessions of their own and outlive their server; the next one lets each
finish its job, and starts a new one in its place.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lading.storage.owner import name_process
from lading.web.served import Served
from lading.web.slots import find_holder, slot_path, workers_folder

LOOK_S = 0.5
"""Seconds between two looks after the workers."""
_SHORT_S = 5.0
_LONGEST_PAUSE_S = 30.0
_LOG_BYTES = 1_000_000


@dataclass(slots=True)
class Slot:
    """A place for one worker."""

    number: int
    """Its number, from 0 on."""
    worker: subprocess.Popen[bytes] | None = None
    """The worker that this server began last."""
    begun_at: float = 0.0
    """When that was."""
    pause_s: float = 0.0
    """How long one that ended at once is not begun again."""


class Supervisor:
    """Begins workers where there are none.

    Args:
        served: what they work on.
        count: how many there are to be.
        say: is told, in one line, of a worker that ends again and again.
        config_name: configuration of the folder that is served, where it is not the usual one.
    """

    def __init__(
        self, served: Served, count: int, say: Callable[[str], None], config_name: str = ""
    ) -> None:
        self._served, self._say = served, say
        self._config_name = config_name
        self._slots = [Slot(number) for number in range(count)]
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="workers", daemon=True)

    def start(self) -> None:
        """Begin workers now, and wherever one is missing from now on.

        Effects: processes, their locks and logs below ``workers``.
        """
        self._thread.start()

    def close(self) -> None:
        """Begin no more; those that are at work go on."""
        self._is_over.set()
        self._thread.join()

    def look(self, now: float) -> None:
        """Look once after every slot."""
        for slot in self._slots:
            if slot.worker is not None and slot.worker.poll() is None:
                continue
            if slot.worker is not None:
                self._note_end(slot, slot.worker.returncode, now)
            if now >= slot.begun_at + slot.pause_s and not self._is_taken(slot):
                self._begin(slot, now)

    def _watch(self) -> None:
        while not self._is_over.is_set():
            try:
                self.look(time.monotonic())
            except OSError as error:  # no memory, no more processes: it may pass
                self._say(f"WARNING: workers: expected to begin one, got {error.strerror!r}")
            self._is_over.wait(LOOK_S)

    def _is_taken(self, slot: Slot) -> bool:
        return bool(find_holder(slot_path(self._served.work, slot.number)))

    def _note_end(self, slot: Slot, code: int, now: float) -> None:
        slot.worker = None
        is_short = now - slot.begun_at < _SHORT_S and code != 0
        slot.pause_s = min(max(2 * slot.pause_s, LOOK_S), _LONGEST_PAUSE_S) if is_short else 0.0
        if is_short and slot.pause_s > _SHORT_S:
            log = self._log_path(slot)
            self._say(f"WARNING: worker {slot.number} ends again and again ({code}); see {log}")

    def _begin(self, slot: Slot, now: float) -> None:
        path = self._log_path(slot)
        path.parent.mkdir(parents=True, exist_ok=True)
        is_long = path.exists() and path.stat().st_size > _LOG_BYTES
        with path.open("wb" if is_long else "ab") as log:
            slot.worker = subprocess.Popen(  # noqa: S603  our own program
                self._command(slot),
                cwd=self._served.base,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        slot.begun_at = now

    def _command(self, slot: Slot) -> Sequence[str]:
        # -P: what lies in the project's folder is no module of ours
        command = [sys.executable, "-P", "-m", "lading", "worker"]
        command += ["--slot", str(slot.number), "--server", name_process()]
        return [*command, "--config", self._config_name] if self._config_name else command

    def _log_path(self, slot: Slot) -> Path:
        return workers_folder(self._served.work) / f"{slot.number}.log"
