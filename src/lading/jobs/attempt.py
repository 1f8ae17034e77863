"""One try of a piece of work: taken by its marker, told in the audit trail, ended in one way."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import TracebackType
from typing import Any, Literal

from lading.errors import AuditError, Interrupted, LadingError, LeaseError
from lading.jobs.audit import AuditStream, Link
from lading.jobs.events import EventType, RunFacts, make_event
from lading.jobs.identity import RunIdentity
from lading.jobs.leases import Lease, Standing
from lading.jobs.markers import Marker
from lading.jobs.outputs import put_listing
from lading.jobs.progress import LoggedProgress
from lading.jobs.refs import ObjectRef
from lading.jobs.retries import exit_code_of
from lading.jobs.run import Run, enter, leave
from lading.jobs.settings import JobSettings
from lading.jobs.spec import ExitCode
from lading.jobs.stopping import Stop
from lading.jobs.surroundings import name_image, name_who
from lading.release.receipts import now_utc
from lading.services.redaction import redact
from lading.storage import Store

Log = logging.LoggerAdapter[logging.Logger]

_OURS = {"lading.jobs.attempt", "lading.jobs.calls"}
_LOOK_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is to be done once."""

    job: str
    """Name of the job."""
    order_argv: tuple[str, ...]
    """Its arguments, as they were given."""
    identity: RunIdentity
    """What identifies it."""
    store: Store
    """Where its marker, dead letters and audit trail stand."""
    call: Callable[[Run], int]
    """Does it, and returns an exit code."""
    stream: str
    """Stream of the audit trail."""
    timeout_s: float | None = None
    """Seconds after which it is given up; None: never."""
    only: frozenset[str] | None = None
    """Items that a retry wants; None: all."""
    parent: str = ""
    """Job and run id of what began it, as ``job/id``; or ""."""
    inputs: tuple[ObjectRef, ...] = ()
    """What it will read, where that is known before it begins."""
    lease_s: float | None = None
    """Seconds of its lease; None: as the configuration says."""
    wait_s: float = 0
    """Seconds to wait for the end of another's lease."""
    joins: bool = False
    """Whether the end of another, where it was waited for, is the end of this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended."""

    exit_code: int
    """See ``ExitCode``; or what the job itself returned."""
    run_id: str
    """UUID of the run; of the one before, where nothing was left to do."""
    message: str
    """What it says at its end, one line."""
    was_done: bool = False
    """Whether nothing was left to do."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """What it counted: items by state, bytes, dead letters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What one try needs to know beside its work."""

    run_id: str
    """UUID of this try."""
    settings: JobSettings
    """The project's settings."""
    log: Log
    """Hears what happens."""
    style: Literal["json", "text"] = "json"
    """How it logs."""
    halt: Stop = field(default_factory=Stop)
    """Why it must end, where it must."""
    sleep: Callable[[float], None] = time.sleep
    """How to wait."""
    clock: Callable[[], float] = time.monotonic
    """Seconds that never go back."""


def attempt(work: Work, around: Circumstances) -> Outcome:
    """Do a piece of work, unless it is done or in somebody's hands.

    Raises:
        LeaseError: a living owner holds it.
        Interrupted: a signal came before it began.
        StoreError, AuditError: what is remembered cannot be read or written.
    """
    lease = Lease(
        work.store,
        work.identity,
        around.run_id,
        around.settings.open_store,
        lease=timedelta(seconds=work.lease_s or around.settings.jobs.lease_seconds),
    )
    standing = _take(lease, work, around)
    if isinstance(standing, Marker):
        return _joined(standing, around.log)
    if standing.is_done and standing.before is not None:
        return _done_before(standing.before, around.log)
    for fault in standing.faults:
        around.log.warning("done before, but %s", fault)
    trial = _Trial(work, around, lease)
    with lease.heartbeat():
        adopted = trial.settle_before(standing.before)
        return adopted or trial.end(*trial.work_through())


def refuse(error: Exception, run_id: str, log: Log) -> Outcome:
    """Tell of an error that ended a run before or after its work."""
    is_foreseen = isinstance(error, LadingError)
    message = _say(error)
    log.error("%s", message, exc_info=None if is_foreseen else error)
    return Outcome(exit_code=exit_code_of(error), run_id=run_id, message=message)


def _say(error: BaseException) -> str:
    return redact(str(error) or type(error).__name__)


def _take(lease: Lease, work: Work, around: Circumstances) -> Standing | Marker:
    """Take the work; where another has it, wait for as long as the work says.

    Returns:
        What was found; or the marker of the one that was waited for, where its end is ours.
    """
    until, owner = around.clock() + work.wait_s, ""
    while True:
        marker = lease.look() if owner and work.joins else None
        if marker is not None and marker.run_id == owner and marker.state != "in progress":
            return marker
        try:
            return lease.take()
        except LeaseError as error:
            if around.clock() >= until:
                raise
            found = lease.look()
            if found is not None and found.run_id != owner:
                owner = found.run_id
                around.log.info("waiting: %s", error)
        around.halt.check()
        around.sleep(_LOOK_S)


def _theirs(trace: TracebackType | None) -> TracebackType | None:
    """Return a trace from where the job's own code begins; all of it where none of it is."""
    inner = trace
    while inner and inner.tb_frame.f_globals.get("__name__") in _OURS:
        inner = inner.tb_next
    return inner or trace


def _joined(marker: Marker, log: Log) -> Outcome:
    code = 0 if marker.exit_code is None else marker.exit_code
    message = f"run {marker.run_id}, which was waited for: {marker.message}"
    log.log(logging.ERROR if code else logging.INFO, "%s", message)
    return Outcome(exit_code=code, run_id=marker.run_id, message=message, was_done=not code)


def _done_before(marker: Marker, log: Log) -> Outcome:
    message = (
        f"done before, by run {marker.run_id} at {marker.started_at:%Y-%m-%d %H:%M:%S} UTC:"
        f" {marker.outputs} objects stand as they were written"
    )
    log.info("%s", message)
    return Outcome(exit_code=0, run_id=marker.run_id, message=message, was_done=True)


class _Trial:
    """What one try knows."""

    def __init__(self, work: Work, around: Circumstances, lease: Lease) -> None:
        self._work = work
        self._log = around.log
        self._lease = lease
        self._settings = around.settings
        self._stream = AuditStream(work.store, work.stream)
        self._run = Run(
            job=work.job,
            id=around.run_id,
            attempt=lease.attempt,
            argv=work.order_argv,
            settings=around.settings,
            store=work.store,
            log=around.log,
            style=around.style,
            lease=lease,
            progress=LoggedProgress(around.log),
            only=work.only,
            inputs=list(work.inputs),
            halt=around.halt,
        )

    def settle_before(self, before: Marker | None) -> Outcome | None:
        """End the try before in the trail, where it could not; adopt its work where it was done."""
        if before is None or before.state != "in progress":
            return None
        told = self._stream.run_events(before.run_id, since=before.started_at)
        if not told:
            return None
        if told[-1].kind is EventType.START:
            message = f"taken over by run {self._run.id}: its owner, {before.owner}, is gone"
            facts = replace(self._facts(), run_id=before.run_id, attempt=before.attempt)
            event = make_event(EventType.ABORT, facts, now_utc(), outcome={"message": message})
            self._stream.append(event, since=before.started_at)
            return None
        adopted = self._lease.adopt(before, told[-1])
        return _done_before(adopted, self._log) if adopted else None

    def work_through(self) -> tuple[int, str, BaseException | None]:
        """Call the job; return its exit code, what is to be said, and the error that ended it."""
        run = self._run
        self._begin()
        token = enter(run)
        try:
            with run.halt.raising(self._work.timeout_s):
                code = self._work.call(run)
        except BaseException as error:  # noqa: BLE001  a job may raise anything; it is classified
            foreign = error.with_traceback(_theirs(error.__traceback__))
            return exit_code_of(error), _say(error), foreign
        finally:
            leave(token)
        ended = f"ended with exit code {code}" if code else ""
        return code, ": ".join(filter(None, (ended, run.describe()))) or "done", None

    def end(self, code: int, message: str, error: BaseException | None) -> Outcome:
        """Say in the trail and on the marker how the try ended."""
        run = self._run
        if code == ExitCode.DONE:
            try:
                self._complete(message)
            except LadingError as failed:  # its work is done, but nobody would know
                code, message, error = exit_code_of(failed), _say(failed), failed
        self._tell(code, message, error)
        # of one whose lease was lost, whoever took it over tells
        if code != ExitCode.DONE and not isinstance(error, LeaseError):
            kind = EventType.ABORT if isinstance(error, Interrupted) else EventType.FAIL
            self._append(kind, {"exit_code": code, "message": message})
            self._lease.fail(code, message)
        return Outcome(exit_code=code, run_id=run.id, message=message, counts=dict(run.counts))

    def _begin(self) -> None:
        """Tell that the try begins; where the trail is broken, give the work back."""
        try:
            self._append(EventType.START)
        except AuditError as error:
            self._lease.fail(exit_code_of(error), _say(error))
            raise

    def _complete(self, message: str) -> None:
        """Tell that the work is done: its list of outputs, the event, and last the marker."""
        run = self._run
        listing = put_listing(run.store, run.outputs)
        told = {"exit_code": 0, "message": message, "listing": listing}
        link = self._append(EventType.COMPLETE, told)
        self._lease.complete(run.outputs, message, link)

    def _append(self, kind: EventType, outcome: dict[str, Any] | None = None) -> Link:
        run = self._run
        if outcome is not None:
            outcome = {**outcome, **run.facts, "counts": dict(run.counts)}
        event = make_event(
            kind,
            self._facts(),
            now_utc(),
            inputs=run.inputs,
            outputs=run.outputs,
            outcome=outcome,
        )
        return self._stream.append(event)

    def _facts(self) -> RunFacts:
        run = self._run
        parent_job, _, parent = self._work.parent.rpartition("/")
        return RunFacts(
            namespace=self._settings.project,
            job=run.job,
            run_id=run.id,
            identity=self._work.identity.key,
            attempt=run.attempt,
            who=name_who(),
            arguments=tuple(redact(each) for each in run.argv),
            image=name_image(),
            parent=parent,
            parent_job=parent_job,
        )

    def _tell(self, code: int, message: str, error: BaseException | None) -> None:
        is_foreseen = error is None or isinstance(error, LadingError)
        level = logging.INFO if code == ExitCode.DONE else logging.ERROR
        self._log.log(level, "%s", message, exc_info=None if is_foreseen else error)
