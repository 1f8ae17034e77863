"""The columnar engine: the only door to duckdb."""

import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import duckdb

from lading.errors import JobError, MisconfiguredError, TemporaryError

T = TypeVar("T")

_SHARE = 0.7  # of the machine's memory: the rest is for reading, Parquet and the process itself
_LOOK_S = 0.1
_CGROUP = Path("/sys/fs/cgroup/memory.max")
_MEMORY = r"\d+(\.\d+)? ?(K|M|G|T)i?B"


class EngineError(JobError):
    """The engine refused a statement.

    Attributes:
        text: all that it said.
    """

    text = ""


class MemoryLimitError(MisconfiguredError):
    """The engine has not enough memory for a statement."""

    hint = "give it more with --memory, or room for temporary files"


class Engine:
    """A database in memory that spills to a folder. Closed at the end of a ``with`` block.

    Args:
        folder: where it spills.
        memory: its limit, such as ``4GB``; "": a share of what the machine or container has.
        threads: how many it uses; 0: as many as there are processors.
        check: called ten times a second while a statement runs; may raise, which ends it.

    Raises:
        MisconfiguredError: the memory is no amount, or the threads no number.
    """

    def __init__(
        self,
        folder: Path,
        *,
        memory: str = "",
        threads: int = 0,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        if memory and not re.fullmatch(_MEMORY, memory):
            raise MisconfiguredError(f"--memory: expected an amount such as 4GB, got {memory!r}")
        if threads < 0:
            raise MisconfiguredError(f"--threads: expected a number from 0, got {threads}")
        self._check = check
        self.threads = threads or _processors()
        settings: dict[str, str | bool | int | float | list[str]] = {
            "temp_directory": str(folder),
            "memory_limit": memory or f"{int(_available_bytes() * _SHARE)}B",
            "threads": self.threads,
            # the order of rows is their number
            "preserve_insertion_order": True,
            # nothing is ever downloaded
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        self._connection = duckdb.connect(":memory:", config=settings)
        self._cursors: list[Any] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        """Run a statement.

        Raises:
            EngineError: it was refused.
            MemoryLimitError: there is not enough memory.
            TemporaryError: there is no room to spill to.
            Exception: what ``check`` raises.
        """
        self.rows(statement, parameters)

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows; raises as ``execute``."""
        return self.session(lambda cursor: ask(cursor, statement, parameters))

    def session(self, work: Callable[[Any], T]) -> T:
        """Do work on the main connection, whose variables stay; raises as ``each``."""
        return self._watch([lambda: work(self._connection)], at_once=1)[0]

    def each(self, works: Sequence[Callable[[Any], T]], at_once: int, prelude: str = "") -> list[T]:
        """Do pieces of work, each with a cursor of its own; return what they return, in order.

        Args:
            works: the pieces.
            at_once: how many at one time.
            prelude: statement that each cursor begins with, or "".

        Raises:
            Exception: what ``execute``, ``check`` or the first piece that fails raises; the
                others are ended.
        """
        return self._watch([partial(self._with_cursor, each, prelude) for each in works], at_once)

    def _watch(self, works: Sequence[Callable[[], T]], at_once: int) -> list[T]:
        with ThreadPoolExecutor(at_once) as pool:
            futures = [pool.submit(each) for each in works]
            try:
                self._await(futures)
            except BaseException:
                for each in futures:
                    each.cancel()
                for cursor in [self._connection, *self._cursors]:
                    cursor.interrupt()
                raise
        return [each.result() for each in futures]

    def _await(self, futures: Sequence[Future[T]]) -> None:
        waiting: set[Future[T]] = set(futures)
        while waiting:
            done, waiting = wait(waiting, timeout=_LOOK_S, return_when=FIRST_EXCEPTION)
            for each in done:
                each.result()
            self._check()

    def _with_cursor(self, work: Callable[[Any], T], prelude: str) -> T:
        cursor = self._connection.cursor()
        self._cursors.append(cursor)
        try:
            if prelude:
                ask(cursor, prelude)
            return work(cursor)
        finally:
            self._cursors.remove(cursor)
            cursor.close()


def ask(cursor: Any, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Run a statement on a cursor and return its rows; raises as ``Engine.execute``."""
    try:
        found: list[tuple[Any, ...]] = cursor.execute(statement, parameters).fetchall()
    except duckdb.OutOfMemoryException as error:
        raise MemoryLimitError(
            f"expected enough memory for the transformation, got: {_first_line(error)}"
        ) from error
    except duckdb.Error as error:
        if "No space left" in str(error):
            raise TemporaryError(
                f"expected room for temporary files, got: {_first_line(error)}"
            ) from error
        refused = EngineError(f"expected a statement to be done, got: {_first_line(error)}")
        refused.text = str(error)
        raise refused from error
    return found


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _available_bytes() -> int:
    """Return the memory of the machine, or of the container where that has less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(machine, int(_CGROUP.read_text(encoding="ascii")))
    except (OSError, ValueError):  # no container, or one without a limit
        return machine
