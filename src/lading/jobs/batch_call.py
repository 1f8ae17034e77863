"""One call of a batch's work: tried, tried again where that helps, and told apart by item."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from lading.errors import JobError, MisconfiguredError
from lading.jobs.batch import SKIPPED, Batch, BatchHost, Result, say
from lading.jobs.retries import FailureClass, choose_pause_s, classify, ends_batch

T = TypeVar("T")

_SLICE_S = 0.5


class Brake:
    """Says whether anything more is to be begun. From several threads."""

    def __init__(self) -> None:
        self.is_on = False
        """Whether nothing more is to be begun."""
        self.error: BaseException | None = None
        """What ends the batch; of several the first."""
        self._guard = threading.Lock()

    def put_on(self) -> None:
        """Let nothing more begin."""
        self.is_on = True

    def end(self, error: BaseException, name: str = "") -> None:
        """Let nothing more begin, and have the batch end with an error.

        Args:
            error: why; that of a wrong setting becomes a ``MisconfiguredError``.
            name: the item that showed it, or "".
        """
        with self._guard:
            if self.error is None:
                self.error = _as_ending(error, name)
            self.is_on = True


@dataclass(slots=True)
class _Try(Generic[T]):
    """An item on its way."""

    item: T
    name: str
    attempts: int = 0
    state: Literal["done", "skipped", "failed", "left"] = "left"
    value: Any = None
    error: Exception | None = None
    failure_class: FailureClass | None = None

    @property
    def is_pending(self) -> bool:
        """Whether another try may help."""
        return self.failure_class is FailureClass.TEMPORARY

    def settle(self, outcome: Any) -> None:
        """Take what a try has brought."""
        self.error, self.failure_class = None, None
        if isinstance(outcome, Exception):
            self.error, self.failure_class = outcome, classify(outcome)
            is_final = self.failure_class in {FailureClass.BAD_DATA, FailureClass.UNFORESEEN}
            self.state = "failed" if is_final else "left"
        elif outcome is SKIPPED:
            self.state = "skipped"
        else:
            self.state, self.value = "done", outcome

    def result(self) -> Result[T]:
        """Return what became of it."""
        return Result(
            item=self.item,
            name=self.name,
            state=self.state,
            attempts=self.attempts,
            value=self.value,
            error=self.error,
            failure_class=self.failure_class,
        )


class Caller(Generic[T]):
    """Does some items at once; whatever happens becomes a result each. From several threads.

    Args:
        batch: what to call, and how often.
        host: asked before each try and each pause whether to go on.
        brake: heard, and put on by what ends the batch.
        sleep: how to wait.
        share: draws a random number from 0 to 1.
    """

    def __init__(
        self,
        batch: Batch[T],
        host: BatchHost,
        brake: Brake,
        sleep: Callable[[float], None],
        share: Callable[[], float],
    ) -> None:
        self._batch = batch
        self._host = host
        self._brake = brake
        self._sleep = sleep
        self._share = share

    def __call__(self, chunk: Sequence[tuple[T, str]]) -> list[Result[T]]:
        """Return a result for each item, in order; raises nothing."""
        tries = [_Try(item, name) for item, name in chunk]
        try:
            self._work_through(tries)
        except BaseException as error:  # noqa: BLE001  the thread that drives raises it
            self._brake.end(error)
        return [each.result() for each in tries]

    def _work_through(self, pending: list[_Try[T]]) -> None:
        attempt, pause_s = 0, 0.0
        while pending and attempt < self._batch.retries.attempts:
            self._wait(pause_s)
            if self._brake.is_on:
                return
            self._host.check()
            attempt += 1
            self._try_once(pending, attempt)
            pending = [each for each in pending if each.is_pending]
            pause_s = max((self._choose_pause_s(each) for each in pending), default=0.0)

    def _choose_pause_s(self, failed: _Try[T]) -> float:
        assert failed.error is not None  # noqa: S101  it is pending
        policy = self._batch.retries
        return choose_pause_s(policy, failed.attempts, failed.error, self._share())

    def _wait(self, seconds: float) -> None:
        while seconds > 0 and not self._brake.is_on:
            self._host.check()
            self._sleep(min(seconds, _SLICE_S))
            seconds -= _SLICE_S

    def _try_once(self, pending: Sequence[_Try[T]], attempt: int) -> None:
        for each in pending:
            each.attempts = attempt
        outcomes = self._call([each.item for each in pending])
        for each, outcome in zip(pending, outcomes, strict=True):
            if isinstance(outcome, BaseException) and ends_batch(outcome):
                raise outcome
            each.settle(outcome)
            if each.failure_class is FailureClass.CONFIGURATION and each.error is not None:
                self._brake.end(each.error, each.name)

    def _call(self, items: list[T]) -> Sequence[Any]:
        """Call the work; what it raises is said of each item."""
        try:
            if self._batch.work is not None:
                return [self._batch.work(items[0])]
            assert self._batch.work_many is not None  # noqa: S101  a sound batch has one of both
            outcomes = list(self._batch.work_many(items))
        except Exception as error:  # noqa: BLE001  it is classified, or ends the batch
            return [error] * len(items)
        if len(outcomes) != len(items):  # which of them is whose cannot be told
            fault = JobError(f"work_many: expected {len(items)} results, got {len(outcomes)}")
            return [fault] * len(items)
        return outcomes


def _as_ending(error: BaseException, name: str) -> BaseException:
    if ends_batch(error) or classify(error) is not FailureClass.CONFIGURATION:
        return error
    if isinstance(error, MisconfiguredError) and not name:
        return error
    kind = type(error) if isinstance(error, MisconfiguredError) else MisconfiguredError
    ending = kind(f"{name}: {say(error)}" if name else say(error))
    ending.__cause__ = error
    return ending
