"""An event as it stands in the audit trail: one line, its place in a chain, its digest. Pure."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lading.jobs.canonical import canonical_json, digest_json
from lading.jobs.events import EventType
from lading.jobs.keys import audit_prefix

FIRST = "0" * 64
"""What the first event of a stream holds for the digest of the one before."""
AUDIT_ROOT = audit_prefix("").rstrip("/") + "/"
"""What all keys of the trail begin with."""

_EVENT_KEY = re.compile(r"(?P<stream>.+)/(?P<number>[0-9]{10,18})\.jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Where an event stands in its stream."""

    stream: str
    """Name of the stream."""
    sequence: int
    """Its number, from 1."""
    sha256: str
    """Its digest, which the next one holds."""

    def table(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return {"stream": self.stream, "sequence": self.sequence, "sha256": self.sha256}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """An event as it was read."""

    link: Link
    """Where it stands."""
    previous: str
    """Digest of the one before it, as it says."""
    kind: EventType
    """What happened."""
    run_id: str
    """UUID of the run."""
    at: datetime
    """When; aware."""
    event: Mapping[str, Any] = field(repr=False)
    """All of it, as OpenLineage has it."""

    @property
    def outcome(self) -> Mapping[str, Any]:
        """How the run ended; empty where it began."""
        found = self.event["run"]["facets"]["lading"].get("outcome")
        return found if isinstance(found, dict) else {}

    @property
    def listing(self) -> str:
        """Digest of the list of outputs, or ""."""
        return str(self.outcome.get("listing", ""))


def event_key(stream: str, sequence: int) -> str:
    """Return the key of an event."""
    return f"{audit_prefix(stream)}{sequence:010d}.jsonl"


def parse_event_key(key: str) -> tuple[str, int] | None:
    """Return stream and number of the event under a key; None where no event has such a key."""
    found = _EVENT_KEY.fullmatch(key.removeprefix(AUDIT_ROOT))
    if found is None or not key.startswith(AUDIT_ROOT):
        return None
    place = found["stream"], int(found["number"])
    return place if place[1] and event_key(*place) == key else None


def parse_link(table: Any) -> Link:
    """Read a place in a stream as ``Link.table`` wrote it.

    Raises:
        ValueError: it is none.
    """
    try:
        return Link(
            stream=str(table["stream"]),
            sequence=int(table["sequence"]),
            sha256=str(table["sha256"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"expected a place in the audit trail, got {table!r}") from error


def seal_event(event: Mapping[str, Any], stream: str, sequence: int, previous: str) -> bytes:
    """Give an event its place, and return the line that is written.

    Raises:
        TypeError, ValueError: JSON has no word for something in it.
    """
    sealed = json.loads(canonical_json(event))
    facet = sealed["run"]["facets"]["lading"]
    facet |= {"stream": stream, "sequence": sequence, "previous": previous}
    facet["sha256"] = digest_json(sealed)
    return canonical_json(sealed) + b"\n"


def parse_event(data: bytes, stream: str, sequence: int) -> StoredEvent:
    """Read the line of an event, and prove that it is what was written in this place.

    Whether it holds the digest of the one before it is not looked at.

    Raises:
        ValueError: what was expected, what was found.
    """
    try:
        event = json.loads(data)
        facet = event["run"]["facets"]["lading"]
        stored = StoredEvent(
            link=parse_link(facet),
            previous=str(facet["previous"]),
            kind=EventType(event["eventType"]),
            run_id=str(event["run"]["runId"]),
            at=_parse_moment(event["eventTime"]),
            event=event,
        )
        is_as_written = canonical_json(event) + b"\n" == data
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError("expected an event of the audit trail, found another object") from error
    _require_place(stored.link, stream, sequence)
    found = digest_json(_without_digest(event))
    if found != stored.link.sha256:
        raise ValueError(f"expected sha256 {stored.link.sha256}, found {found}")
    if not is_as_written:
        raise ValueError("expected its bytes as they were written, found others of one meaning")
    return stored


def _parse_moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment


def _require_place(link: Link, stream: str, sequence: int) -> None:
    if (link.stream, link.sequence) != (stream, sequence):
        raise ValueError(
            f"expected event {sequence} of {stream}, found event {link.sequence} of {link.stream}"
        )


def _without_digest(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event without its own digest; everything else is shared."""
    run = event["run"]
    facets = run["facets"]
    facet = {name: each for name, each in facets["lading"].items() if name != "sha256"}
    return {**event, "run": {**run, "facets": {**facets, "lading": facet}}}
