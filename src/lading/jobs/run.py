"""A run, as the job sees it: where it writes, what it says, and what it must not do alone."""

import logging
import threading
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from lading.errors import LadingError
from lading.jobs.batch import Batch, BatchReport
from lading.jobs.batch_runner import run_batch
from lading.jobs.dead_letters import DeadLetters, Failure
from lading.jobs.leases import Lease
from lading.jobs.refs import ObjectRef
from lading.jobs.settings import JobSettings
from lading.jobs.stopping import Stop
from lading.storage import NO_PROGRESS, Body, Entry, Progress, Store

T = TypeVar("T")

_CURRENT: ContextVar["Run"] = ContextVar("run")


@dataclass(kw_only=True)
class Run:
    """One try of one job. A job gets it with its arguments, or asks ``current_run``."""

    job: str
    """Name of the job."""
    id: str
    """UUID of this try."""
    attempt: int
    """Number of this try, from 1."""
    argv: tuple[str, ...]
    """Its arguments, as they were given."""
    settings: JobSettings
    """The project's settings."""
    store: Store
    """Where its marker, dead letters and audit trail stand; where ``JobSpec.store`` says."""
    log: logging.LoggerAdapter[logging.Logger]
    """Logs with run and job; ``extra={"item": ...}`` names an item."""
    style: Literal["json", "text"] = "json"
    """How it logs."""
    lease: Lease | None = None
    """What it holds of its work."""
    progress: Progress = NO_PROGRESS
    """Bytes and items."""
    only: frozenset[str] | None = None
    """The items of a retry; None: all."""
    inputs: list[ObjectRef] = field(default_factory=list)
    """What it has read, for the audit trail."""
    outputs: list[ObjectRef] = field(default_factory=list)
    """What it has written: done is believed as long as they verify."""
    counts: dict[str, int] = field(default_factory=dict)
    """Items by state, ``bytes``, ``dead_letters``: for the metrics and the last line."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What else the event of its end is to say: JSON."""
    halt: Stop = field(default_factory=Stop)
    """Why the run must end, where it must."""
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.dead_letters = DeadLetters(self.store, self.job)
        self._dead: frozenset[str] | None = None

    def open_store(self, url: str) -> Store:
        """Open the store of a path or URL, as the configuration says how to reach it."""
        return self.settings.open_store(url)

    def read(self, *objects: ObjectRef) -> None:
        """Note objects that were read."""
        with self._guard:
            self.inputs += objects

    def wrote(self, *objects: ObjectRef) -> None:
        """Note objects that were written. From several threads."""
        with self._guard:
            self.outputs += objects

    def put(self, store: Store, key: str, body: Body) -> Entry:
        """Write an object, unless the same bytes stand there, and note it as an output."""
        standing = store.stat(key)
        if standing is not None and _is_same(store, standing, body):
            entry = standing
        else:
            entry = store.put(key, body)  # its bytes count once, with its item
        self.wrote(ObjectRef.of_entry(store.url, entry, body.digest))
        return entry

    def batch(self, items: Iterable[T], batch: Batch[T]) -> BatchReport:
        """Work through items, see ``run_batch``."""
        return run_batch(items, batch, self)

    def fail(self, item: str, failures: Sequence[Failure]) -> int:
        """Send what failed for good to the dead letters; return how many letters stand for it."""
        self.count("dead_letters", len(failures))
        return self.dead_letters.put(item, failures, run=self.id, arguments=self.argv)

    def count(self, what: str, number: int = 1) -> None:
        """Count something for the metrics and the last line."""
        with self._guard:
            self.counts[what] = self.counts.get(what, 0) + number

    def stop(self, error: LadingError) -> None:
        """Ask the run to end: its next ``check`` raises the error."""
        self.halt.note(error)

    def describe(self) -> str:
        """Say in one line what was counted so far, or ""."""
        parts = [f"{number} {what.replace('_', ' ')}" for what, number in self.counts.items()]
        parts += [f"{len(self.outputs)} objects written"] if self.outputs else []
        return ", ".join(parts)

    # what a batch asks of its host

    def check(self) -> None:
        """Raise where the run must not go on: lease lost, signal, timeout.

        Raises:
            LeaseError: another run has taken the work over.
            TemporaryError: its time is over.
            Interrupted: a signal asked it to end.
        """
        self.halt.check()
        if self.lease is not None:
            self.lease.require_held()
        self.progress.relative_update(0)

    def wants(self, item: str) -> bool:
        """Say whether an item is to be done: a retry wants only some."""
        return self.only is None or item in self.only

    def began(self, items: int | None, size_bytes: int | None) -> None:
        """Announce how much there is to do."""
        if items is not None:
            self.progress.set_files(items)
        if size_bytes is not None:
            self.progress.set_size(size_bytes)

    def ended(self, name: str, state: str, size_bytes: int, error: Exception | None) -> None:
        """Note what became of an item."""
        self.count(state)
        self.count("bytes", size_bytes if state == "done" else 0)
        self.progress.relative_update(size_bytes)
        self.progress.finish_file(name)
        if error is not None:
            self.log.warning("%s: %s", state, error, extra={"item": name})

    def bury(self, item: str, failure: Failure) -> None:
        """Send an item that failed for good to the dead letters."""
        self.fail(item, [failure])

    def revive(self, item: str) -> None:
        """Resolve the dead letters of an item that is good now."""
        if self._dead is None:
            self._dead = self.dead_letters.items()
        if item in self._dead:
            self.dead_letters.resolve(item)


def current_run() -> Run:
    """Return the run that this job belongs to.

    Raises:
        LookupError: no job is running.
    """
    return _CURRENT.get()


def enter(run: Run) -> Any:
    """Make a run the current one; return what ``leave`` takes."""
    return _CURRENT.set(run)


def leave(token: Any) -> None:
    """Make the run before the current one again."""
    _CURRENT.reset(token)


def _is_same(store: Store, standing: Entry, body: Body) -> bool:
    if standing.size_bytes != body.digest.size_bytes:
        return False
    known = standing.digest or store.digest(standing.key)
    return known.agrees_with(body.digest)
