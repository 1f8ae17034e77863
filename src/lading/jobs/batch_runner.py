"""Working through a batch: items drawn as they are needed, a bounded number of them on the way.

All that the host hears comes from the thread that drives, ``check`` apart.
"""

import random
import time
import traceback
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from contextvars import copy_context
from dataclasses import replace
from queue import SimpleQueue
from typing import Generic, TypeVar

from lading.errors import LeaseError
from lading.jobs.batch import Batch, BatchHost, BatchReport, Result, Tally
from lading.jobs.batch_call import Brake, Caller
from lading.jobs.letters import Failure
from lading.jobs.retries import FailureClass, classify, ends_batch
from lading.services.redaction import redact

T = TypeVar("T")
C = TypeVar("C")
R = TypeVar("R")

_AHEAD = 2  # calls drawn for each thread: one it does, one that waits


def run_batch(
    items: Iterable[T],
    batch: Batch[T],
    host: BatchHost,
    *,
    sleep: Callable[[float], None] = time.sleep,
    share: Callable[[], float] = random.random,
) -> BatchReport:
    """Work through items; see ``Batch``. Items are drawn as they are needed.

    At most ``2 * concurrency * size`` items are on the way at one time. Items that the host does
    not want are not counted at all. Each other one ends in one state of ``Result``: what failed
    for good is a dead letter when this returns; what failed for the time being, however often it
    was tried, is left and becomes none. Once ``Threshold.stop_after`` items have failed, the rest
    is left: all of it where the items are a collection, else one item that stands for it.

    Args:
        items: what to work through; may be endless.
        batch: how.
        host: the run.
        sleep: how to wait; another one in tests.
        share: draws a random number from 0 to 1; another one in tests.

    Effects: those of the work; dead letters are written and resolved through the host.

    Raises:
        MisconfiguredError: an item showed that a setting is wrong, or the batch is not sound;
            nothing more was begun, and what was begun has ended.
        LeaseError, Interrupted: the run must not go on; what was begun has ended.
        Exception: the items could not be drawn, or the host failed in a way nobody foresaw.
    """
    tally = Tally(batch.threshold)
    for result in iterate_batch(items, batch, host, sleep=sleep, share=share):
        tally.add(result)
    return tally.report()


def iterate_batch(
    items: Iterable[T],
    batch: Batch[T],
    host: BatchHost,
    *,
    sleep: Callable[[float], None] = time.sleep,
    share: Callable[[], float] = random.random,
) -> Iterator[Result[T]]:
    """As ``run_batch``, and yield each item's result as it ends; results are not kept.

    Whoever stops drawing stops the batch: what was begun is awaited.
    """
    batch.require_sound()
    return _results(items, batch, host, sleep, share)


def _results(
    items: Iterable[T],
    batch: Batch[T],
    host: BatchHost,
    sleep: Callable[[float], None],
    share: Callable[[], float],
) -> Iterator[Result[T]]:
    brake, tally = Brake(), Tally(batch.threshold)
    source = _Source(items, batch, host, brake)
    host.began(*source.measure())
    caller = Caller(batch, host, brake, sleep, share)
    with closing(_ahead(caller, source.chunks(), batch.concurrency, brake.put_on)) as ended:
        for results in ended:
            for result in results:
                settled = _settle(result, batch, host, brake)
                tally.add(settled)
                if tally.must_stop:
                    brake.put_on()
                yield settled
    if brake.error is not None:
        raise brake.error


class _Source(Generic[T]):
    """Draws items that are wanted, as many at once as one call takes."""

    def __init__(self, items: Iterable[T], batch: Batch[T], host: BatchHost, brake: Brake) -> None:
        self._items = items
        self._batch = batch
        self._host = host
        self._brake = brake
        self._size = batch.size if batch.work is None else 1

    def measure(self) -> tuple[int | None, int | None]:
        """Return how many items and bytes there are; None where drawing would spend them."""
        if not isinstance(self._items, Collection):
            return None, None
        sizes = [
            self._batch.size_bytes(each)
            for each in self._items
            if self._host.wants(self._batch.name(each))
        ]
        return len(sizes), sum(sizes) or None

    def chunks(self) -> Iterator[list[tuple[T, str]]]:
        """Yield items with their names; a fault in drawing them ends the batch."""
        chunk: list[tuple[T, str]] = []
        try:
            for item, name in self._wanted():
                if chunk and self._is_apart(chunk[-1][0], item):
                    yield chunk
                    chunk = []
                chunk.append((item, name))
                if len(chunk) == self._size:
                    yield chunk
                    chunk = []
                if self._brake.error is not None:
                    return
        except Exception as error:  # noqa: BLE001  raised once all that was begun has ended
            self._brake.end(error)
        if chunk:
            yield chunk

    def _is_apart(self, before: T, item: T) -> bool:
        together = self._batch.together
        return together is not None and together(before) != together(item)

    def _wanted(self) -> Iterator[tuple[T, str]]:
        for item in self._items:
            is_last = self._brake.is_on and not isinstance(self._items, Collection)
            name = self._batch.name(item)
            if self._host.wants(name):
                yield item, name
            if is_last:  # it tells that there is a rest, which may be endless
                return


def _ahead(
    work: Callable[[C], R], chunks: Iterator[C], concurrency: int, stop: Callable[[], None]
) -> Generator[R, None, None]:
    """Do chunks in threads and yield what each returns, as they end; few are on the way.

    Args:
        work: does a chunk; raises nothing.
        chunks: drawn as room is for them.
        concurrency: threads; 1: none, but the caller's own.
        stop: called before what is on the way is awaited, where nobody draws any more.
    """
    if concurrency == 1:
        yield from map(work, chunks)
        return
    ended: SimpleQueue[R] = SimpleQueue()
    on_the_way = 0
    with ThreadPoolExecutor(concurrency, thread_name_prefix="batch") as pool:
        try:
            for chunk in chunks:
                # a job asks for its run by a context variable
                pool.submit(copy_context().run, _hand_over, work, chunk, ended.put)
                on_the_way += 1
                if on_the_way == _AHEAD * concurrency:
                    yield ended.get()
                    on_the_way -= 1
            for _ in range(on_the_way):
                yield ended.get()
        except BaseException:
            stop()
            raise


def _hand_over(work: Callable[[C], R], chunk: C, put: Callable[[R], None]) -> None:
    put(work(chunk))


def _settle(result: Result[T], batch: Batch[T], host: BatchHost, brake: Brake) -> Result[T]:
    """Write down what became of an item, and tell of it; return what it is then."""
    try:
        result = replace(result, size_bytes=batch.size_bytes(result.item))
        result = _write_down(result, batch, host, brake)
    except Exception as fault:  # noqa: BLE001  what was not written down is not over
        kind = classify(fault)
        if ends_batch(fault) or kind is not FailureClass.TEMPORARY:
            brake.end(fault)
        result = replace(result, state="left", error=fault, failure_class=kind)
    try:
        host.ended(result.name, result.state, result.size_bytes, result.error)
    except Exception as fault:  # noqa: BLE001  raised once all that was begun has ended
        brake.end(fault)
    return result


def _write_down(result: Result[T], batch: Batch[T], host: BatchHost, brake: Brake) -> Result[T]:
    if isinstance(brake.error, LeaseError):  # the letters are another run's by now
        return replace(result, state="left") if result.state == "failed" else result
    if result.state == "failed":
        host.bury(result.name, _failure_of(result, batch))
    elif result.state != "left":
        host.revive(result.name)
    return result


def _failure_of(result: Result[T], batch: Batch[T]) -> Failure:
    error = result.error
    assert error is not None  # noqa: S101  it has failed
    trace = ""
    if result.failure_class is FailureClass.UNFORESEEN:
        trace = redact("".join(traceback.format_exception(error)))
    plain = Failure(
        error_class=type(error).__name__,
        message=redact(str(error) or type(error).__name__),
        trace=trace,
    )
    if batch.letter is None:
        return plain
    try:
        failure = batch.letter(result.item, error)
    except Exception:  # noqa: BLE001  its own failure must not hide that of the item
        return replace(plain, trace=redact(traceback.format_exc()))
    return replace(failure, trace=failure.trace or trace)
