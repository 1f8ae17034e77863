"""The proof of an audit trail: every byte of every event, and all that names an event.

What nothing names can be cut off the end of a stream unseen: so markers of done runs and the
endings of plans name what they stand for.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lading.errors import LeaseError, MissingObjectError
from lading.jobs.audit import list_events, read_objects
from lading.jobs.audit_events import (
    AUDIT_ROOT,
    FIRST,
    Link,
    StoredEvent,
    event_key,
    parse_event,
    parse_event_key,
    parse_link,
)
from lading.jobs.events import EventType
from lading.jobs.markers import Marker, load_marker, marker_keys
from lading.storage import Store
from lading.storage.cloud import each_at_once

_ENDINGS = frozenset({EventType.COMPLETE, EventType.FAIL, EventType.ABORT})


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """What ``lading audit verify`` found."""

    streams: int
    """How many chains."""
    events: int
    """How many events."""
    faults: tuple[str, ...]
    """A line a fault, in the order of streams and numbers, then of markers; none where the trail
    is whole."""


def verify_audit(store: Store) -> AuditReport:
    """Read every chain of a store and prove it: no gap, no changed byte, no lost shard.

    Every event's own digest, its link, its number; one START and at most one ending a run; the
    heads that endings of plans name; the endings that markers of done runs stand for. Runs may
    go on meanwhile.
    """
    # markers first: whatever they name stands already when the trail is listed
    markers, marker_faults = _load_markers(store)
    numbers, faults = _list_trail(store)
    proof = _Proof(store)
    for stream in sorted(numbers):
        faults += proof.walk(stream, numbers[stream])
    faults += [*proof.check_heads(), *proof.check_markers(markers), *marker_faults]
    events = sum(map(len, numbers.values()))
    return AuditReport(streams=len(numbers), events=events, faults=tuple(faults))


def _load_markers(store: Store) -> tuple[list[Marker], list[str]]:
    def load(key: str) -> Marker | str | None:
        try:
            return load_marker(store, key)
        except LeaseError as error:
            return str(error)

    found = each_at_once(load, marker_keys(store), workers=store.workers)
    markers = [each for each in found if isinstance(each, Marker)]
    return markers, [each for each in found if isinstance(each, str)]


def _list_trail(store: Store) -> tuple[dict[str, list[int]], list[str]]:
    """Return the numbers of each stream's events, and a line for each object that is none."""
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    faults = []
    for entry in store.list(AUDIT_ROOT):
        if place := parse_event_key(entry.key):
            numbers[place[0]].append(place[1])
        else:
            faults.append(
                f"{_url(store, entry.key)}: expected an event of the audit trail, found another"
                " object"
            )
    return {stream: _settled(store, stream, each) for stream, each in numbers.items()}, faults


def _settled(store: Store, stream: str, numbers: list[int]) -> list[int]:
    """Return numbers in order; where one lacks, listed again: events may be added meanwhile."""
    if sorted(numbers) == list(range(1, len(numbers) + 1)):
        return sorted(numbers)
    return list_events(store, f"{stream}/").get(stream, [])


@dataclass(frozen=True, slots=True)
class _Known:
    """What is kept of an event."""

    sha256: str
    run_id: str
    kind: EventType
    listing: str


@dataclass(slots=True)
class _Proof:
    """What has been seen of a trail."""

    store: Store
    known: dict[tuple[str, int], _Known] = field(default_factory=dict)
    runs: dict[str, set[EventType]] = field(default_factory=dict)
    heads: list[tuple[str, Any]] = field(default_factory=list)

    def walk(self, stream: str, numbers: list[int]) -> Iterator[str]:
        """Yield what is wrong with a stream."""
        expected, previous = 1, FIRST
        objects = read_objects(self.store, [event_key(stream, each) for each in numbers])
        for sequence, data in zip(numbers, objects, strict=True):
            if data is None:
                continue  # removed since it was listed: a gap like any other
            place = _url(self.store, event_key(stream, sequence))
            if sequence != expected:
                yield f"{_url(self.store, event_key(stream, expected))}: {_gap(expected, sequence)}"
                previous = ""  # what should stand before it is not known
            expected = sequence + 1
            try:
                found = parse_event(data, stream, sequence)
            except ValueError as error:
                yield f"{place}: {error}"
                previous = ""
                continue
            if previous and found.previous != previous:
                yield f"{place}: expected to follow sha256 {previous}, found {found.previous}"
            previous = found.link.sha256
            yield from (f"{place}: {fault}" for fault in self._note(found, place))

    def _note(self, found: StoredEvent, place: str) -> Iterator[str]:
        """Remember an event, and yield what is wrong with its run."""
        link, seen = found.link, self.runs.setdefault(found.run_id, set())
        if found.kind is EventType.START and seen:
            yield f"expected one START of run {found.run_id}, found a second"
        if found.kind is not EventType.START and EventType.START not in seen:
            yield f"expected a START of run {found.run_id} before its {found.kind}, found none"
        if found.kind is not EventType.START and seen & _ENDINGS:
            before = next(iter(seen & _ENDINGS))
            yield f"expected one ending of run {found.run_id}, found {found.kind} after {before}"
        seen.add(found.kind)
        self.known[link.stream, link.sequence] = _Known(
            link.sha256, found.run_id, found.kind, found.listing
        )
        heads = found.outcome.get("heads", [])
        self.heads += [(place, each) for each in (heads if isinstance(heads, list) else [heads])]

    def check_heads(self) -> Iterator[str]:
        """Yield the heads of shards that no longer stand as the ending of their plan names them."""
        for place, table in self.heads:
            try:
                link = parse_link(table)
            except ValueError as error:
                yield f"{place}: {error}"
                continue
            found = self._find(link)
            if found is None or found.sha256 != link.sha256:
                yield f"{place}: expected {_describe(link)}, found {_tell(found)}"

    def check_markers(self, markers: list[Marker]) -> Iterator[str]:
        """Yield the markers of done runs whose ending does not stand."""
        for marker in markers:
            if marker.state != "done" or marker.audit is None:
                continue
            place = _url(self.store, marker.key)
            found = self._find(marker.audit)
            wanted = (marker.audit.sha256, marker.run_id, EventType.COMPLETE)
            if found is None or (found.sha256, found.run_id, found.kind) != wanted:
                yield (
                    f"{place}: expected {_describe(marker.audit)}, the COMPLETE of run"
                    f" {marker.run_id}, found {_tell(found)}"
                )
            elif found.listing not in {"", marker.outputs_sha256}:
                yield (
                    f"{place}: expected the outputs with sha256 {found.listing} that its COMPLETE"
                    f" names, found {marker.outputs_sha256}"
                )

    def _find(self, link: Link) -> _Known | None:
        """Return an event; one that was added after the listing is read now."""
        if known := self.known.get((link.stream, link.sequence)):
            return known
        try:
            data = self.store.get(event_key(link.stream, link.sequence))
            found = parse_event(data, link.stream, link.sequence)
        except (MissingObjectError, ValueError):
            return None
        return _Known(found.link.sha256, found.run_id, found.kind, found.listing)


def _gap(expected: int, found: int) -> str:
    lacking = f"event {expected}" + (f" to {found - 1}" if found > expected + 1 else "")
    return f"expected {lacking}, found none: removed"


def _describe(link: Link) -> str:
    return f"event {link.sequence} of {link.stream} with sha256 {link.sha256}"


def _tell(known: _Known | None) -> str:
    if known is None:
        return "none"
    return f"{known.kind} of run {known.run_id} with sha256 {known.sha256}"


def _url(store: Store, key: str) -> str:
    return f"{store.url.rstrip('/')}/{key}"
