"""Live progress: server-sent events of one job, until it has ended.

A stream tells states, not differences: ``step`` and ``progress`` say how things stand now, so
that one who comes late, or comes back, misses nothing. Log lines are told once each; the id of
every event is the number of the last line before it, and ``Last-Event-ID`` goes on from there.

Looks at the ledger are shared: many who follow one job cost as much as one.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from lading.errors import LedgerError
from lading.ledger.documents import log_table, progress_table, step_table, verdict_table
from lading.ledger.ledger import Ledger
from lading.ledger.model import LogLine, Run
from lading.ledger.read import load_logs, load_run
from lading.ledger.verdict import judge
from lading.web.problems import answer_problem, too_many

MEDIA_TYPE = "text/event-stream"
ENDED = "-end"
"""What the id of the last event ends with: who comes back with it is told not to."""
BATCH = 500
"""Log lines that are read at a time."""
TAIL = 100
"""Log lines that a new stream begins with."""

Look = tuple[Run | None, Sequence[LogLine]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often things are done, in seconds."""

    poll_s: float = 0.5
    """Between two looks at the ledger."""
    heartbeat_s: float = 15.0
    """Silence after which a comment says that the stream lives."""
    lifetime_s: float = 900.0
    """After which a stream ends: a browser comes back, and its token is asked for again."""


class Streams:
    """The streams of a server. Used from one event loop only, but for ``close``.

    Args:
        ledger: where jobs are looked at.
        limit: streams at one time.
        pace: how often.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        ledger: Ledger,
        limit: int,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.open = 0
        self._ledger = ledger
        self._limit = limit
        self._pace = pace or Pace()
        self._clock = clock
        self._looks = Looks(self._look, self._pace.poll_s / 2, clock)
        self._is_closing = False

    def close(self) -> None:
        """End every stream at its next look: the server ends. Safe from any thread or handler."""
        self._is_closing = True

    def enter(self) -> bool:
        """Take a place; False where all are taken."""
        if self.open >= self._limit or self._is_closing:
            return False
        self.open += 1
        return True

    def leave(self) -> None:
        """Give a place back."""
        self.open -= 1

    async def follow(self, run_id: str, after: int) -> AsyncIterator[str]:
        """Tell of a job until it has ended, as text of server-sent events.

        Args:
            run_id: the job.
            after: number of the last log line that is known already.
        """
        told = Told(after=after)
        began = spoke = self._clock()
        yield "retry: 2000\n\n"
        while not self._is_closing and self._clock() - began < self._pace.lifetime_s:
            try:
                run, lines = await self._looks.get((run_id, told.after))
            except LedgerError:
                # it may come back; who follows need not
                run, lines = None, ()
            for event in changes(told, run, lines):
                spoke = self._clock()
                yield event
            if len(lines) == BATCH:
                continue
            if run is not None and run.has_ended:
                yield render_event("end", f"{told.after}{ENDED}", _end_of(run))
                return
            if self._clock() - spoke >= self._pace.heartbeat_s:
                spoke = self._clock()
                yield ": still here\n\n"
            await asyncio.sleep(self._pace.poll_s)

    def _look(self, key: tuple[str, int]) -> Look:
        run_id, after = key
        # the run first: where it has ended, all its lines are written
        run = load_run(self._ledger, run_id)
        return run, load_logs(self._ledger, run_id, after=after, limit=BATCH)


class Looks:
    """Looks that are shared: of those who ask for the same within a moment, one looks.

    Args:
        look: is called in a thread.
        fresh_s: how old an answer may be.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        look: Callable[[tuple[str, int]], Look],
        fresh_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look = look
        self._fresh_s = fresh_s
        self._clock = clock
        self._asked: dict[tuple[str, int], tuple[float, asyncio.Task[Look]]] = {}

    def get(self, key: tuple[str, int]) -> Awaitable[Look]:
        """Return the answer for a run and a number of a log line."""
        at = self._clock()
        for old in [each for each, (when, task) in self._asked.items() if self._is_old(when, task)]:
            del self._asked[old]
        if key not in self._asked:
            task = asyncio.ensure_future(run_in_threadpool(self._look, key))
            self._asked[key] = (at, task)
        # shielded: who goes away does not take the look from the others
        return asyncio.shield(self._asked[key][1])

    def _is_old(self, when: float, task: asyncio.Task[Look]) -> bool:
        return task.done() and self._clock() - when >= self._fresh_s


@dataclass(slots=True)
class Told:
    """What one who follows knows already."""

    after: int
    """Number of the last log line."""
    states: dict[str, Any] = field(default_factory=dict)
    """What was told last, by the name of the step; "" for the whole."""


def changes(told: Told, run: Run | None, lines: Sequence[LogLine]) -> Iterator[str]:
    """Return the events of what is new: log lines, then steps, then the whole.

    Effects: remembers them in ``told``.
    """
    for line in lines:
        told.after = line.number
        yield render_event("log", str(line.number), log_table(line))
    if run is None:
        return
    for step in run.steps:
        table = step_table(step)
        if told.states.get(step.task) != table:
            told.states[step.task] = table
            yield render_event("step", str(told.after), table)
    whole = _whole_of(run)
    if told.states.get("") != whole:
        told.states[""] = whole
        yield render_event("progress", str(told.after), whole)


def render_event(name: str, number: str, data: dict[str, Any]) -> str:
    """Write an event; JSON has no line breaks of its own, so that its data is one line."""
    return f"event: {name}\nid: {number}\ndata: {json.dumps(data, ensure_ascii=True)}\n\n"


def parse_last_id(text: str) -> tuple[int | None, bool]:
    """Return what ``Last-Event-ID`` says: the number of a log line, and whether it was the end."""
    number, mark, rest = text.partition(ENDED)
    if rest or not (number.isascii() and number.isdigit()) or len(number) > 18:  # noqa: PLR2004  of 64 bits
        return None, False
    return int(number), bool(mark)


class EventStream(Response):
    """The answer that is a stream, where a place is free; else 429.

    Args:
        streams: gives places.
        events: what is told.
    """

    def __init__(self, streams: Streams, events: AsyncIterator[str]) -> None:
        super().__init__(media_type=MEDIA_TYPE)
        self._streams = streams
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; the place is given back however it ends."""
        if not self._streams.enter():
            told = "expected fewer live streams than are open"
            problem = too_many(told, 5, code="too-many-streams")
            await answer_problem(problem)(scope, receive, send)
            return
        try:
            headers = {"X-Accel-Buffering": "no"}  # nginx: a stream is handed on as it comes
            stream = StreamingResponse(self._events, media_type=MEDIA_TYPE, headers=headers)
            await stream(scope, receive, send)
        finally:
            self._streams.leave()


def _whole_of(run: Run) -> dict[str, Any]:
    return {
        "job_id": run.run_id,
        "status": run.state,
        "attempt": run.attempt,
        "is_cancelling": run.is_cancelling,
        "progress": progress_table(run.progress),
        "sentence": judge(run).sentence,
    }


def _end_of(run: Run) -> dict[str, Any]:
    return {
        "job_id": run.run_id,
        "status": run.state,
        "verdict": verdict_table(judge(run)),
        "error": run.error,
        "result": dict(run.result),
    }
