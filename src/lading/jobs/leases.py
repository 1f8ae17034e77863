"""Who does a piece of work: taken with a conditional write, renewed while it goes on, ended once.

An expired lease, or that of a process known to be gone, may be taken over; one that was lost is
never written again.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from lading.errors import (
    ChecksumError,
    ConditionError,
    LeaseError,
    MissingObjectError,
    StoreError,
)
from lading.jobs.audit_events import Link, StoredEvent
from lading.jobs.events import EventType
from lading.jobs.identity import RunIdentity
from lading.jobs.keys import marker_key
from lading.jobs.markers import Marker, load_marker, render_marker
from lading.jobs.outputs import latest, load_listing, put_listing, verify_outputs
from lading.jobs.refs import ObjectRef, OpenStore
from lading.services.redaction import redact
from lading.storage import IF_ABSENT, Body, Condition, Store
from lading.storage.owner import is_gone, name_owner, name_process

_RACES = 10
_RENEWALS = 3
"""Renewals in the length of a lease."""
_RETRIES = 10
"""Further tries in the time between two renewals, where one failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What was found when a run asked to begin."""

    before: Marker | None
    """The marker of the try before, where there was one."""
    is_done: bool
    """Whether it is done and its outputs verify: nothing is left to do, no lease is held."""
    faults: tuple[str, ...] = ()
    """Why one that was done is not believed: its outputs that do not verify, a line each."""


class Lease:
    """The work of one identity, held by one try.

    Args:
        store: where the marker stands.
        identity: which work.
        run_id: UUID of this try.
        open_store: opens the stores of outputs.
        lease: how long it stands without being renewed.
        clock: tells the time; aware.
    """

    def __init__(
        self,
        store: Store,
        identity: RunIdentity,
        run_id: str,
        open_store: OpenStore,
        *,
        lease: timedelta = timedelta(minutes=5),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._identity = identity
        self._run_id = run_id
        self._open_store = open_store
        self._length = lease
        self._clock = clock
        self._key = marker_key(identity.job, identity.key)
        self._place = f"{store.url.rstrip('/')}/{self._key}"
        self._mine: Marker | None = None
        self._found = Standing(before=None, is_done=False)
        self._lost = ""
        self._trouble = ""
        self._turn = threading.Lock()

    @property
    def attempt(self) -> int:
        """Number of this try, from 1; 0 before it is taken."""
        return self._mine.attempt if self._mine else 0

    def look(self) -> Marker | None:
        """Return the marker that stands, or None.

        Raises:
            LeaseError: what stands there is no marker of ours.
        """
        return load_marker(self._store, self._key)

    def peek(self) -> Standing:
        """Look whether the work is done and its outputs verify; take nothing, whoever has it.

        Raises:
            LeaseError: what stands there is no marker of ours.
        """
        return self._judge(self.look())

    def take(self) -> Standing:
        """Take the work over, unless it is done, or in somebody's hands.

        Effects: the marker says that this try is in progress; nothing where it is done.

        Raises:
            LeaseError: a living owner holds it (named, with since when and until when), or what
                stands there is no marker of ours.
        """
        for _ in range(_RACES):
            standing = self.look()
            if standing and standing.run_id == self._run_id and standing.state == "in progress":
                self._mine = standing  # the answer to an earlier write was lost
                return self._found
            self._refuse_living(standing)
            self._found = self._judge(standing)
            if self._found.is_done:
                return self._found
            condition = Condition(if_version=standing.version) if standing else IF_ABSENT
            with suppress(ConditionError, MissingObjectError):
                self._mine = self._write(self._begin(standing), condition)
                return self._found
        raise LeaseError(f"{self._place}: expected to take it, lost {_RACES} races")

    @contextmanager
    def heartbeat(self, interval_s: float | None = None) -> Iterator[None]:
        """Renew the lease from a thread until the block ends; no thread is left after it.

        Args:
            interval_s: seconds between renewals; None: a third of the lease. What fails for the
                time being is tried again sooner.
        """
        interval = interval_s or self._length.total_seconds() / _RENEWALS
        stop = threading.Event()
        thread = threading.Thread(
            target=self._renew_until, args=(stop, interval), name="lease", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def renew(self) -> None:
        """Renew the lease now; nothing where it has ended.

        Raises:
            LeaseError: it was taken over.
            StoreError: the store refused, or did not answer.
        """
        with self._turn:
            if self._mine is not None and self._mine.state == "in progress":
                self._replace(replace(self._mine, expires_at=self._clock() + self._length))
                self._trouble = ""

    def require_held(self) -> None:
        """Refuse to go on where the lease was taken over, or ran out. Costs no call.

        Raises:
            LeaseError: naming whoever has it now, or why it could not be renewed.
        """
        if self._lost:
            raise LeaseError(self._lost)
        if self._mine is None:
            raise LeaseError(f"{self._place}: expected to hold it, it was never taken")
        if self._clock() >= self._mine.expires_at:
            trouble = f": {self._trouble}" if self._trouble else ""
            raise LeaseError(
                f"{self._place}: expected to renew the lease before"
                f" {_moment(self._mine.expires_at)}, it ended unrenewed{trouble}"
            )

    def complete(
        self, outputs: Sequence[ObjectRef], message: str = "", link: Link | None = None
    ) -> Marker:
        """Say that the work is done. Outputs are listed first, so that none is forgotten.

        Args:
            outputs: what was written; of a place named twice the last counts.
            message: what is to be said, one line.
            link: the event of the audit trail that says so.

        Raises:
            LeaseError: it was taken over meanwhile.
        """
        sha256 = put_listing(self._store, outputs)
        with self._turn:
            done = self._ended("done", 0, message)
            return self._replace(
                replace(done, outputs=len(latest(outputs)), outputs_sha256=sha256, audit=link)
            )

    def adopt(self, before: Marker, ending: StoredEvent) -> Marker | None:
        """Mark the work done in the name of the try before, which was ended before it could.

        Args:
            before: the marker of that try.
            ending: the event that ended it, whose outcome names its ``listing``.

        Returns:
            The marker; None where the work is to be done again: it was not completed, each call
            is to run, or what was written does not verify.

        Raises:
            LeaseError: it was taken over meanwhile.
        """
        sha256 = ending.listing
        is_theirs = ending.kind == EventType.COMPLETE and ending.run_id == before.run_id
        if not (self._identity.believes_done and is_theirs and sha256) or before.state == "done":
            return None
        outputs, faults = self._prove(sha256)
        if faults:
            return None
        with self._turn:
            done = self._ended("done", 0, str(ending.outcome.get("message", "")))
            theirs = replace(
                done,
                run_id=before.run_id,
                attempt=before.attempt,
                owner=before.owner,
                process=before.process,
                started_at=before.started_at,
            )
            return self._replace(
                replace(theirs, outputs=len(outputs), outputs_sha256=sha256, audit=ending.link)
            )

    def fail(self, exit_code: int, message: str) -> None:
        """Say that this try has failed, and give the work back. Nothing where it was lost.

        Raises:
            StoreError: the store refused, or did not answer.
        """
        with self._turn, suppress(LeaseError):
            self._replace(self._ended("failed", exit_code, message))

    def _refuse_living(self, standing: Marker | None) -> None:
        if standing is None or standing.state != "in progress" or self._is_free(standing):
            return
        raise LeaseError(
            f"{self._place}: expected nobody at work on this run of {standing.job}, found"
            f" {standing.owner}, since {_moment(standing.started_at)},"
            f" until {_moment(standing.expires_at)} or longer",
            hint="wait, or run the same command later",
        )

    def _is_free(self, standing: Marker) -> bool:
        return self._clock() >= standing.expires_at or is_gone(standing.process)

    def _judge(self, standing: Marker | None) -> Standing:
        """Say whether what stands means that nothing is left to do."""
        if standing is None or standing.state != "done" or not self._identity.believes_done:
            return Standing(before=standing, is_done=False)
        _, faults = self._prove(standing.outputs_sha256)
        return Standing(before=standing, is_done=not faults, faults=tuple(faults))

    def _prove(self, sha256: str) -> tuple[list[ObjectRef], list[str]]:
        """Return the outputs of a list, and what is wrong with them."""
        try:
            outputs = load_listing(self._store, sha256)
        except (MissingObjectError, ChecksumError) as error:
            return [], [str(error)]
        return outputs, verify_outputs(outputs, self._open_store)

    def _begin(self, standing: Marker | None) -> Marker:
        now = self._clock()
        return Marker(
            job=self._identity.job,
            identity=self._identity.key,
            state="in progress",
            run_id=self._run_id,
            attempt=standing.attempt + 1 if standing else 1,
            owner=name_owner(),
            process=name_process(),
            started_at=now,
            expires_at=now + self._length,
            exit_code=None,
            message="",
            outputs=0,
            outputs_sha256="",
            version="",
        )

    def _ended(self, state: Literal["done", "failed"], exit_code: int, message: str) -> Marker:
        """Return our marker as it is to stand after the end."""
        if self._mine is None or self._lost:
            raise LeaseError(self._lost or f"{self._place}: expected to hold it, it was not taken")
        return replace(
            self._mine,
            state=state,
            exit_code=exit_code,
            message=redact(message),
            expires_at=self._clock(),
        )

    def _replace(self, marker: Marker) -> Marker:
        """Write over our own marker, and over nobody else's; callers hold ``_turn``."""
        for _ in range(_RACES):
            version = self._mine.version if self._mine else ""
            try:
                self._mine = self._write(marker, Condition(if_version=version))
            except (ConditionError, MissingObjectError):
                standing = self._settle(marker)
                if standing.state != "in progress":
                    return standing
            else:
                return self._mine
        raise LeaseError(f"{self._place}: expected to replace it, lost {_RACES} races")

    def _settle(self, wanted: Marker) -> Marker:
        """Find what stands where a write of ours was refused: a write whose answer was lost?

        Raises:
            LeaseError: it is no longer ours.
        """
        try:
            standing = self.look()
        except LeaseError as error:
            self._lost = str(error)
            raise
        is_wanted = standing == replace(wanted, version=standing.version if standing else "")
        is_ours = standing is not None and standing.run_id == self._run_id
        if standing is None or not (is_wanted or (is_ours and standing.state == "in progress")):
            self._lost = self._tell_loss(standing)
            raise LeaseError(self._lost)
        self._mine = standing
        return standing

    def _tell_loss(self, standing: Marker | None) -> str:
        if standing is None:
            return f"{self._place}: expected to hold it still, found no marker"
        return (
            f"{self._place}: expected to hold it still, found it taken over by {standing.owner}"
            f" at {_moment(standing.started_at)} ({standing.state}, attempt {standing.attempt})"
        )

    def _write(self, marker: Marker, condition: Condition) -> Marker:
        body = Body.of_bytes(render_marker(marker))
        entry = self._store.put(self._key, body, condition=condition)
        return replace(marker, version=entry.version)

    def _renew_until(self, stop: threading.Event, interval_s: float) -> None:
        pause_s = interval_s
        while not stop.wait(pause_s):
            pause_s = interval_s
            try:
                self.renew()
            except LeaseError:
                return  # whoever asks next is told
            except StoreError as error:
                self._trouble = str(error)
                pause_s = interval_s / _RETRIES


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
