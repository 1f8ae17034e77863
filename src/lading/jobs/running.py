"""Run a job once: arguments, identity, marker, events, log, exit code."""

import json
import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Literal

from lading.errors import LadingError, MisconfiguredError
from lading.jobs.arguments import identifying, parse_arguments
from lading.jobs.attempt import Circumstances, Outcome, Work, attempt, refuse
from lading.jobs.calls import TupleCall, TypedCall
from lading.jobs.identity import identify
from lading.jobs.logs import logging_to
from lading.jobs.metrics import require_metrics, write_metrics
from lading.jobs.settings import JobSettings
from lading.jobs.spec import Arguments, Job, JobSpec
from lading.jobs.stopping import heeding
from lading.jobs.words import name_run
from lading.storage.bytes import write_atomically


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be run."""

    argv: tuple[str, ...] = ()
    """Arguments of the job."""
    only: frozenset[str] | None = None
    """Items that a retry wants; None: all."""
    retries: tuple[str, ...] = ()
    """What makes a retry another run: ids of dead letters, with their attempts."""
    plan: str = ""
    """The plan that it belongs to, its digest; or ""."""
    stream: str = ""
    """Stream of the audit trail; "": that of the job."""
    parent: str = ""
    """Job and run id of what began it, as ``job/id``; or ""."""
    wait_s: float = 0
    """Seconds to wait where another run of the same work holds its lease."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """How a run is told of."""

    out: IO[str]
    """Where its log goes."""
    style: Literal["json", "text"]
    """As JSON lines, or as lines for people."""
    metrics: Path | None = None
    """Textfile for Prometheus, or None."""
    receipt: Path | None = None
    """File that says at the end, as JSON, how it ended; or None."""
    item: str = ""
    """The item of a plan that it is, which its lines name; or ""."""
    sleep: Callable[[float], None] = time.sleep
    """How to wait; what it raises ends the waiting."""


def run_job(job: Job, order: Order, settings: JobSettings, telling: Telling) -> Outcome:
    """Run a job, and return how it ended: what goes wrong becomes an exit code and a log line.

    Effects: those of the job; marker, events and dead letters in its store.
    """
    return tell(job.name, telling, lambda: work_of(job, order, settings), settings)


def tell(name: str, telling: Telling, make: Callable[[], Work], settings: JobSettings) -> Outcome:
    """Make and do a piece of work while its log is written; then its metrics and its receipt.

    From its beginning to its end SIGINT and SIGTERM are an orderly end.
    """
    run_id, began = str(uuid.uuid4()), time.monotonic()
    named = logging_to(telling.out, telling.style, job=name, run=run_id, item=telling.item)
    with heeding() as halt, named as log:
        try:
            require_told(telling)
        except MisconfiguredError as error:
            return refuse(error, run_id, log)
        try:
            with halt.raising():
                work = make()
            around = Circumstances(
                run_id=run_id,
                settings=settings,
                log=log,
                style=telling.style,
                halt=halt,
                sleep=telling.sleep,
            )
            outcome = attempt(work, around)
        except Exception as error:  # noqa: BLE001  whatever it is, it is told in one line
            outcome = refuse(error, run_id, log)
        try:
            leave_word(name, telling, outcome, time.monotonic() - began)
        except (LadingError, OSError) as error:
            # what was done is done: a scheduler is not to hear otherwise
            log.error("%s", error)  # noqa: TRY400  one line, as all that is foreseen
    return outcome


def require_told(telling: Telling) -> None:
    """Find out before a run whether its metrics and its receipt can be written after it.

    Raises:
        MisconfiguredError: they cannot.
    """
    if telling.metrics is not None:
        require_metrics(telling.metrics)
    receipt = telling.receipt
    if receipt is not None and (receipt.is_dir() or not _is_writable(receipt.parent)):
        found = "a folder" if receipt.is_dir() else f"none at {receipt.parent}"
        raise MisconfiguredError(
            f"receipt: expected a file in a folder that can be written, found {found}"
        )


def leave_word(name: str, telling: Telling, outcome: Outcome, seconds: float) -> None:
    """Write the metrics and the receipt that were asked for.

    Raises:
        MisconfiguredError, OSError: one of them cannot be written.
    """
    at = datetime.now(UTC)
    if telling.receipt is not None:
        table = {
            "job": name,
            "run": outcome.run_id,
            "exit_code": outcome.exit_code,
            "message": outcome.message,
            "was_done": outcome.was_done,
            "counts": dict(outcome.counts),
            "ended_at": at.isoformat(timespec="seconds"),
        }
        write_atomically(telling.receipt, (json.dumps(table, indent=1) + "\n").encode())
    if telling.metrics is not None:
        write_metrics(
            telling.metrics,
            name,
            exit_code=outcome.exit_code,
            counts=outcome.counts,
            seconds=seconds,
            at=at,
        )


def work_of(job: Job, order: Order, settings: JobSettings) -> Work:
    """Return the work that an order means.

    A retry of a whole run (an item of a plan, which failed) is that run itself.

    Raises:
        MisconfiguredError: the arguments do not parse, or name places that cannot be opened.
        Exception: what the job raised when it was asked what it will read.
    """
    if name_run(order.argv) in (order.only or ()):
        order = replace(order, only=None, retries=())
    if job.spec is None:
        return _tuple_work(job, order, settings)
    return _typed_work(job, job.spec, order, settings)


def _tuple_work(job: Job, order: Order, settings: JobSettings) -> Work:
    assert job.entrypoint is not None  # noqa: S101  the registry gives one of both
    told: dict[str, Any] = {"argv": list(order.argv), **_told_apart(order, is_own=False)}
    return Work(
        job=job.name,
        order_argv=order.argv,
        identity=identify(job.name, told, None, repeats=not order.plan),
        store=settings.open_store(settings.stores[0]),
        call=TupleCall(job.entrypoint, order.argv),
        only=order.only,
        stream=order.stream or job.name,
        parent=order.parent,
        wait_s=order.wait_s,
    )


def _typed_work(job: Job, spec: JobSpec, order: Order, settings: JobSettings) -> Work:
    arguments = parse_arguments(job.name, spec, order.argv)
    inputs = tuple(spec.inputs(arguments, settings.open_store)) if spec.inputs else None
    is_own = spec.identity is not None
    told = {**identifying(spec, arguments), **_told_apart(order, is_own=is_own)}
    repeats = not (is_own or order.plan)
    return Work(
        job=job.name,
        order_argv=order.argv,
        identity=identify(job.name, told, inputs, repeats=repeats),
        store=settings.open_store(_store_url(spec, arguments, settings)),
        call=TypedCall(spec, arguments),
        timeout_s=spec.timeout_s,
        only=order.only,
        stream=order.stream or job.name,
        parent=order.parent,
        inputs=inputs or (),
        wait_s=order.wait_s,
    )


def _told_apart(order: Order, *, is_own: bool) -> dict[str, Any]:
    """What else tells runs apart; a job with an identity of its own is done in any plan."""
    told: dict[str, Any] = {"lading:retries": list(order.retries)} if order.retries else {}
    if order.plan and not is_own:
        told["lading:plan"] = order.plan
    return told


def _store_url(spec: JobSpec, arguments: Arguments, settings: JobSettings) -> str:
    place = getattr(arguments, spec.store) if spec.store else None
    return settings.state_store(str(place)) if place else settings.stores[0]


def _is_writable(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK)
