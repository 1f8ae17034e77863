"""The audit trail: append-only chains of events, each holding the digest of the one before.

A stream is one chain: that of a job, or of one shard of a plan, so that a thousand pods never
contend for one place. An event is an object of one JSON line; its key is its number in the
stream, and a conditional create makes it, so that none is ever replaced. The event that ends a
plan names the heads of its shards' streams. The proof of it all: ``lading.jobs.audit_verify``.
"""

import json
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from lading.errors import (
    AuditError,
    ConditionError,
    LeaseError,
    MissingObjectError,
    TemporaryError,
)
from lading.jobs.audit_events import (
    AUDIT_ROOT,
    FIRST,
    Link,
    StoredEvent,
    event_key,
    parse_event,
    parse_event_key,
    seal_event,
)
from lading.jobs.events import EventType
from lading.services.redaction import redact
from lading.storage import IF_ABSENT, Body, Store
from lading.storage.cloud import each_at_once

__all__ = ["AuditStream", "Link", "list_events", "list_streams", "load_heads", "read_objects"]

_TRIES = 100
_LONGEST_PAUSE_S = 0.5
_CLOCKS_DIFFER = timedelta(hours=1)
_READ_AT_ONCE = 256


class AuditStream:
    """One chain. Safe from several threads and processes.

    Args:
        store: where it stands.
        name: name of the stream.
        sleep: waits some seconds before the next try, where another process was quicker.
    """

    def __init__(
        self, store: Store, name: str, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._store = store
        self._name = name
        self._sleep = sleep
        self._end = 0
        self._seen: dict[int, StoredEvent] = {}
        self._floors: dict[str, int] = {}

    def append(self, event: Mapping[str, Any], *, since: datetime | None = None) -> Link:
        """Add an event to the end. One of the same run and type is added once, an ending once.

        To find out whether it stands, the stream is read back to the START of its run. A START
        itself is looked for from where the stream ended when this object was first asked.

        Args:
            event: as ``make_event`` makes it; secrets are taken out of its facets of the run.
            since: when the run began, where another process began it: nothing older is read.

        Returns:
            Where it stands, or where the one stands that ended the run already.

        Effects: one more object in the store.

        Raises:
            AuditError: the end of the chain cannot be read.
            LeaseError: this run is to be complete, but another has said that it ended otherwise.
            TemporaryError: others were quicker, a hundred times.
        """
        told = _without_secrets(event)
        run_id, kind = str(event["run"]["runId"]), EventType(event["eventType"])
        for attempt in range(_TRIES):
            end = self._find_end()
            if kind is EventType.START:
                self._floors.setdefault(run_id, max(0, end - 1))
            if standing := self._find_equal(run_id, kind, end, since):
                return standing.link
            if link := self._create(told, end):
                return link
            longest = min(_LONGEST_PAUSE_S, 0.002 * 2 ** min(attempt, 10))
            self._sleep(random.uniform(0, longest))  # noqa: S311  no secret hangs on it
        raise TemporaryError(
            f"{self._place(self._end + 1)}: expected to add it, lost {_TRIES} races"
        )

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield number and text of the events in order, as they stand; unverified."""
        numbers = list_events(self._store, f"{self._name}/").get(self._name, [])
        keys = [event_key(self._name, each) for each in numbers]
        for sequence, data in zip(numbers, read_objects(self._store, keys), strict=True):
            if data is not None:
                yield sequence, data

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the events in order, as they stand; unverified.

        Raises:
            AuditError: one is no JSON.
        """
        for sequence, data in self.lines():
            try:
                yield json.loads(data)
            except (ValueError, RecursionError) as error:
                raise AuditError(f"{self._place(sequence)}: expected a JSON line") from error

    def head(self) -> Link | None:
        """Return the end of the chain, or None where nothing happened yet.

        Raises:
            AuditError: it cannot be read.
        """
        end = self._find_end()
        return self._require(end).link if end else None

    def ending_of(self, run_id: str, *, since: datetime | None = None) -> StoredEvent | None:
        """Return the event that ended a run, or None where none did; see ``run_events``."""
        found = self.run_events(run_id, since=since)
        return next((each for each in reversed(found) if each.kind is not EventType.START), None)

    def run_events(self, run_id: str, *, since: datetime | None = None) -> list[StoredEvent]:
        """Return the events of a run, oldest first, read back from the end to its START.

        Args:
            run_id: UUID of the run.
            since: when it began; nothing older (by an hour: clocks differ) is read. None: where
                it has no START, all of the stream is.
        """
        found: list[StoredEvent] = []
        for each in self._back_from(self._find_end(), 0, since):
            if each.run_id == run_id:
                found.append(each)
                if each.kind is EventType.START:
                    break
        return found[::-1]

    def _find_equal(
        self, run_id: str, kind: EventType, end: int, since: datetime | None
    ) -> StoredEvent | None:
        """Find the event that stands for one that is to be added."""
        for each in self._back_from(end, self._floors.get(run_id, 0), since):
            if each.run_id != run_id:
                continue
            if each.kind is kind:
                return each
            if kind is EventType.START:  # what has ended began further back
                return next(iter(self.run_events(run_id)), None)
            if each.kind is EventType.START:
                return None
            if kind is EventType.COMPLETE:
                raise LeaseError(
                    f"{self._place(each.link.sequence)}: expected run {run_id} to be open, found"
                    f" {each.kind} of it, said by whoever took it over"
                )
            return each
        return None

    def _back_from(self, end: int, floor: int, since: datetime | None) -> Iterator[StoredEvent]:
        """Yield events from the end down to above a floor; what is no event is passed over."""
        oldest = since - _CLOCKS_DIFFER if since else None
        for sequence in range(end, floor, -1):
            found = self._read(sequence)
            if isinstance(found, str):
                continue
            if oldest and found.at < oldest:
                return
            yield found

    def _create(self, event: Mapping[str, Any], end: int) -> Link | None:
        """Add an event after the end; None where another process was quicker."""
        previous = self._require(end).link.sha256 if end else FIRST
        line = seal_event(event, self._name, end + 1, previous)
        body = Body.of_bytes(line, "application/jsonl")
        try:
            self._store.put(event_key(self._name, end + 1), body, condition=IF_ABSENT)
        except ConditionError:
            return None  # or the answer was lost: then it is found among what stands
        added = parse_event(line, self._name, end + 1)
        self._seen[end + 1], self._end = added, end + 1
        if added.kind is EventType.START:
            self._floors[added.run_id] = end
        return added.link

    def _find_end(self) -> int:
        """Return the number of the last event; 0 where there is none."""
        low, step = self._end, 1
        while self._stands(low + step):
            low, step = low + step, step * 2
        high = low + step
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._stands(middle) else (low, middle)
        self._end = low
        return low

    def _stands(self, sequence: int) -> bool:
        return self._store.stat(event_key(self._name, sequence)) is not None

    def _read(self, sequence: int) -> StoredEvent | str:
        """Return an event, or what is wrong with it."""
        if sequence in self._seen:
            return self._seen[sequence]
        try:
            data = self._store.get(event_key(self._name, sequence))
            self._seen[sequence] = parse_event(data, self._name, sequence)
        except (MissingObjectError, ValueError) as error:
            return str(error)
        return self._seen[sequence]

    def _require(self, sequence: int) -> StoredEvent:
        found = self._read(sequence)
        if isinstance(found, str):
            raise AuditError(
                f"{self._place(sequence)}: {found}",
                hint="nothing can follow it; `lading audit verify` tells what else is wrong",
            )
        return found

    def _place(self, sequence: int) -> str:
        return f"{self._store.url.rstrip('/')}/{event_key(self._name, sequence)}"


def list_events(store: Store, beginning: str = "") -> dict[str, list[int]]:
    """Return the numbers of all events by stream, both sorted: one listing.

    Args:
        store: where they stand.
        beginning: what the names of the streams begin with; "": all.
    """
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    for entry in store.list(f"{AUDIT_ROOT}{beginning}"):
        if place := parse_event_key(entry.key):
            numbers[place[0]].append(place[1])
    return {stream: sorted(numbers[stream]) for stream in sorted(numbers)}


def list_streams(store: Store, beginning: str = "") -> list[str]:
    """Return the names of all streams, or of those that begin so, sorted."""
    return list(list_events(store, beginning))


def load_heads(store: Store, beginning: str) -> list[Link]:
    """Return the ends of all streams whose names begin so, by name: a listing and a read each.

    Raises:
        AuditError: one cannot be read.
    """
    ends = [(stream, numbers[-1]) for stream, numbers in list_events(store, beginning).items()]
    objects = read_objects(store, [event_key(*each) for each in ends])
    found = []
    for end, data in zip(ends, objects, strict=True):
        try:
            found.append(parse_event(data or b"", *end).link)
        except ValueError as error:
            raise AuditError(f"{store.url.rstrip('/')}/{event_key(*end)}: {error}") from error
    return found


def read_objects(store: Store, keys: Sequence[str]) -> Iterator[bytes | None]:
    """Yield the bytes of objects in the order of their keys; None for one that is gone.

    Some hundreds are read at once, and no more are held.
    """

    def read(key: str) -> bytes | None:
        try:
            return store.get(key)
        except MissingObjectError:
            return None

    for start in range(0, len(keys), _READ_AT_ONCE):
        some = keys[start : start + _READ_AT_ONCE]
        yield from each_at_once(read, some, workers=store.workers)


def _without_secrets(event: Mapping[str, Any]) -> Mapping[str, Any]:
    run = event["run"]
    # one look at all texts together: an event of a plan has thousands, and most hold no secret
    text = "\n".join(_texts(run["facets"]))
    if redact(text) == text:
        return event
    return {**event, "run": {**run, "facets": _redacted(run["facets"])}}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from chain.from_iterable(map(_texts, value.values()))
    elif isinstance(value, list | tuple):
        yield from chain.from_iterable(map(_texts, value))


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {name: _redacted(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(each) for each in value]
    return value
