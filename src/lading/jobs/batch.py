"""Many items, one after another or at once: one poisoned item never stops the rest.

What a batch is, and what it says at its end; ``batch_runner`` works through one.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar

from lading.errors import MisconfiguredError
from lading.jobs.letters import Failure
from lading.jobs.retries import FailureClass, RetryPolicy, Threshold
from lading.services.redaction import redact

T = TypeVar("T")

_THOUSAND = 1000
_UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result(Generic[T]):
    """What became of one item."""

    item: T
    """The item."""
    name: str
    """Its name."""
    state: Literal["done", "skipped", "failed", "left"]
    """``skipped``: there was nothing to do. ``left``: not tried, or failed for the time being."""
    attempts: int
    """How often it was tried."""
    value: Any = None
    """What the work returned."""
    error: Exception | None = None
    """Why it failed."""
    failure_class: FailureClass | None = None
    """What the failure means."""
    size_bytes: int = 0
    """Bytes of the item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(Generic[T]):
    """How a job works through its items."""

    work: Callable[[T], Any] | None = None
    """Does one item; may raise, return a value, or return ``SKIPPED``. From several threads. An
    exception that it returns is as good as raised."""
    work_many: Callable[[Sequence[T]], Sequence[Any]] | None = None
    """Does ``size`` items at once instead: returns, for each in order, a value, ``SKIPPED`` or an
    exception. What it raises is said of each of them."""
    name: Callable[[T], str] = str
    """Names an item, uniquely among all of the job: an item's dead letters are found by it. That
    no two of a batch have the same name is not checked, for that would hold all names in memory."""
    size_bytes: Callable[[T], int] = field(default=lambda _: 0)
    """Bytes of an item, for progress."""
    size: int = 1
    """Items that ``work_many`` gets at once."""
    together: Callable[[T], Hashable] | None = None
    """What all items of one call of ``work_many`` have in common, such as their file; None:
    nothing. Where it changes from one item to the next, a call has fewer than ``size``."""
    concurrency: int = 8
    """Calls at one time; 1: in the caller's thread."""
    retries: RetryPolicy = field(default_factory=RetryPolicy)
    """How often what is temporary is tried."""
    threshold: Threshold = field(default_factory=Threshold)
    """How many items may fail for good."""
    letter: Callable[[T, Exception], Failure] | None = None
    """What to keep of an item that failed for good; None: class, message and, where nobody foresaw
    it, trace of the error."""

    def require_sound(self) -> None:
        """Refuse a batch that cannot be worked through.

        Raises:
            MisconfiguredError: all faults at once, a line each.
        """
        checks = [
            (
                (self.work is None) != (self.work_many is None),
                "one of work and work_many",
                [name for name in ("work", "work_many") if getattr(self, name) is not None],
            ),
            (self.size >= 1, "size: 1 or more", self.size),
            (self.concurrency >= 1, "concurrency: 1 or more", self.concurrency),
            (self.retries.attempts >= 1, "retries.attempts: 1 or more", self.retries.attempts),
            (
                min(self.retries.first_pause_s, self.retries.longest_pause_s) >= 0,
                "retries: pauses of 0 s or more",
                min(self.retries.first_pause_s, self.retries.longest_pause_s),
            ),
            (
                0 <= self.threshold.tolerated <= 1,
                "threshold.tolerated: a share from 0 to 1",
                self.threshold.tolerated,
            ),
            (
                self.threshold.stop_after is None or self.threshold.stop_after >= 1,
                "threshold.stop_after: None, or 1 or more",
                self.threshold.stop_after,
            ),
        ]
        faults = [f"batch: expected {wanted}, got {got!r}" for ok, wanted, got in checks if not ok]
        if faults:
            raise MisconfiguredError("\n".join(faults))


SKIPPED = object()
"""Returned by ``work`` where an item needed nothing."""


class BatchHost(Protocol):
    """What a batch needs of its run; ``lading.jobs.run.Run`` is one."""

    def check(self) -> None:
        """Raise where the run must not go on: lease lost, signal, timeout. From any thread."""

    def wants(self, item: str) -> bool:
        """Say whether an item is to be done: a retry wants only some."""

    def began(self, items: int | None, size_bytes: int | None) -> None:
        """Hear how much there is to do; None where it is not known."""

    def ended(self, name: str, state: str, size_bytes: int, error: Exception | None) -> None:
        """Hear of each item's end: progress, log, metrics. From one thread."""

    def bury(self, item: str, failure: Failure) -> None:
        """Keep an item that failed for good."""

    def revive(self, item: str) -> None:
        """Hear that an item is good now: dead letters of it are resolved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchReport:
    """What became of all items."""

    done: int
    """Items that were done."""
    skipped: int
    """Items that needed nothing."""
    failed: int
    """Items that failed for good; all of them are dead letters."""
    left: int
    """Items that are to be tried again: failed for the time being, or not tried."""
    size_bytes: int
    """Bytes of the items that were done."""
    first_error: str
    """What the first failed or left item said, after its name; or ""."""
    exit_code: int
    """65 where it stopped early; else 75 where items are left, 65 where more failed than are
    tolerated, else 0."""
    stopped: bool = False
    """Whether it stopped early, see ``Threshold.stop_after``. Items that were not drawn by then
    are among ``left`` only where their number was known."""

    def describe(self) -> str:
        """Say it in one line for people."""
        parts = [f"{self.done} done", f"{self.skipped} skipped"]
        parts += [f"{self.failed} failed for good"] if self.failed else []
        parts += [f"{self.left} left"] if self.left else []
        parts += [format_bytes(self.size_bytes)] if self.size_bytes else []
        text = ", ".join(parts)
        if self.stopped:
            text += f"; stopped after {self.failed} failures"
        return f"{text}; first: {self.first_error}" if self.first_error else text


class Tally:
    """Counts results of a batch, as they come from ``iterate_batch``.

    Args:
        threshold: how many may fail for good.
    """

    def __init__(self, threshold: Threshold) -> None:
        self._threshold = threshold
        self._counts = {"done": 0, "skipped": 0, "failed": 0, "left": 0}
        self._size_bytes = 0
        self._first_error = ""
        self._is_stopped = False

    @property
    def must_stop(self) -> bool:
        """Whether so many have failed for good that the rest is not tried."""
        stop_after = self._threshold.stop_after
        return stop_after is not None and self._counts["failed"] >= stop_after

    def add(self, result: Result[Any]) -> None:
        """Count a result."""
        # one that is left without a try tells that there was a rest
        self._is_stopped = self._is_stopped or (self.must_stop and not result.attempts)
        self._counts[result.state] += 1
        self._size_bytes += result.size_bytes if result.state == "done" else 0
        if result.error is not None and not self._first_error:
            self._first_error = f"{result.name}: {say(result.error)}"

    def report(self) -> BatchReport:
        """Return what was counted, and the exit code that it means."""
        return BatchReport(
            **self._counts,
            size_bytes=self._size_bytes,
            first_error=self._first_error,
            exit_code=self._exit_code(),
            stopped=self._is_stopped,
        )

    def _exit_code(self) -> int:
        counts = self._counts
        if self._is_stopped:
            return 65  # the same command would stop at the same items
        if counts["left"]:
            return 75
        tolerated = self._threshold.tolerated * sum(counts.values())
        return 65 if counts["failed"] > tolerated + 1e-9 else 0


def say(error: BaseException) -> str:
    """Return what an error says, in one line, without secrets."""
    return redact(" ".join(str(error).split()) or type(error).__name__)


def format_bytes(size_bytes: float) -> str:
    """Write a size for people."""
    unit = 0
    while size_bytes >= _THOUSAND and unit < len(_UNITS) - 1:
        size_bytes, unit = size_bytes / _THOUSAND, unit + 1
    return f"{size_bytes:.1f} {_UNITS[unit]}" if unit else f"{size_bytes} B"
