"""Runs and their trails for tests: facts, events, outputs, whole runs."""

import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from lading.jobs.audit import AuditStream, Link
from lading.jobs.events import EventType, RunFacts, make_event
from lading.jobs.identity import RunIdentity, identify
from lading.jobs.leases import Lease
from lading.jobs.outputs import put_listing
from lading.jobs.refs import ObjectRef
from lading.storage import Body, Entry, Store
from tests.fakes.stores import FakeWatchedStore

NOON = datetime(2025, 2, 5, 12, tzinfo=UTC)


class FakeAskedStore(FakeWatchedStore):
    """Tells of each object that is asked for by name, too."""

    def stat(self, key: str) -> Entry | None:
        """Note the key, and pass the question on."""
        self.reads.append(("stat", key))
        return super().stat(key)


class Clock:
    """A clock that a test moves."""

    def __init__(self, at: datetime = NOON) -> None:
        self.at = at

    def __call__(self) -> datetime:
        """Return the time."""
        return self.at

    def advance(self, **by: float) -> None:
        """Let time go by."""
        self.at += timedelta(**by)


def run_id(number: int = 1) -> str:
    """Return a UUID that is the same in each test run."""
    return str(uuid.UUID(int=number))


def facts_of(number: int = 1, *, job: str = "copy", parent: str = "") -> RunFacts:
    """Return what the events of a run have in common."""
    return RunFacts(
        namespace="acme",
        job=job,
        run_id=run_id(number),
        identity="0" * 32,
        attempt=1,
        who="ada on laptop",
        arguments=("--agency-id", "7"),
        image="",
        parent=parent,
    )


def start(number: int = 1, job: str = "copy", at: datetime = NOON) -> dict[str, object]:
    """Return the event with which a run begins."""
    return make_event(EventType.START, facts_of(number, job=job), at)


def end(
    number: int = 1, kind: EventType = EventType.COMPLETE, **outcome: object
) -> dict[str, object]:
    """Return an event with which a run ends."""
    told = {"exit_code": 0, "message": "two done", **outcome}
    return make_event(kind, facts_of(number), NOON, outcome=told)


def fill(store: Store, runs: Iterable[int], stream: str = "copy") -> list[Link]:
    """Write the trail of some runs, one after another."""
    chain = AuditStream(store, stream)
    return [chain.append(event) for each in runs for event in (start(each), end(each))]


def identity_of(agency: int = 7, *, repeats: bool = False) -> RunIdentity:
    """Return the identity of an agency's run."""
    return identify("copy", {"agency_id": agency}, None, repeats=repeats)


def write(store: Store, keys: Sequence[str], text: str = "bytes of ") -> list[ObjectRef]:
    """Write an object under each key."""
    bodies = [(key, Body.of_bytes(f"{text}{key}".encode())) for key in keys]
    return [
        ObjectRef.of_entry(store.url, store.put(key, body), body.digest) for key, body in bodies
    ]


def whole_run(store: Store, number: int = 1, stream: str = "copy") -> list[ObjectRef]:
    """Do a run from its marker to its end, and return what it wrote."""
    lease = Lease(store, identity_of(number), run_id(number), lambda _: store)
    lease.take()
    chain = AuditStream(store, stream)
    chain.append(start(number))
    outputs = write(store, [f"silver/{number}/a.csv", f"silver/{number}/b.csv"])
    listing = put_listing(store, outputs)
    link = chain.append(end(number, listing=listing))
    lease.complete(outputs, "two done", link)
    return outputs
