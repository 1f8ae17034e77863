"""The proof of a trail: what was flipped, removed, moved, added, and what only looks like it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.jobs.audit import AuditStream
from lading.jobs.audit_events import FIRST, event_key, seal_event
from lading.jobs.audit_verify import verify_audit
from lading.jobs.events import EventType
from lading.jobs.markers import load_markers
from lading.storage import Body, Entry, LocalStore, MemoryStore
from tests.fakes.stores import FakeWatchedStore
from tests.unit.jobs.trails import end, fill, identity_of, run_id, start, whole_run


@pytest.fixture
def store() -> MemoryStore:
    """Return a store with three whole runs: markers, outputs, one chain of six events."""
    store = MemoryStore("memory://a")
    for number in (1, 2, 3):
        whole_run(store, number)
    return store


def key_of(number: int) -> str:
    """Return the key of an event of the stream."""
    return event_key("copy", number)


def url_of(number: int) -> str:
    """Return the URL of an event of the stream."""
    return f"memory://a/{key_of(number)}"


def move(store: MemoryStore, source: int, target: int) -> None:
    """Give an event another number, over whatever stands there."""
    store.put(key_of(target), Body.of_bytes(store.get(key_of(source))))
    store.delete([key_of(source)])


def faults_of(store: MemoryStore) -> tuple[str, ...]:
    """Return what the proof finds."""
    return verify_audit(store).faults


def test_whole(store: MemoryStore, tmp_path: Path) -> None:
    """A trail that nobody touched is whole, in any store; so is none at all."""
    report = verify_audit(store)
    assert (report.streams, report.events, report.faults) == (1, 6, ())

    local = LocalStore(tmp_path / "a")
    assert verify_audit(local).faults == ()
    whole_run(local)
    assert verify_audit(local).events == 2


def test_every_flipped_byte_is_found() -> None:
    """Whatever bit of whatever byte is flipped in any event, the proof names that event."""
    store = MemoryStore("memory://a")
    fill(store, [1])
    for number in (1, 2):
        line = store.get(key_of(number))
        for position in range(len(line)):
            flipped = bytearray(line)
            flipped[position] ^= 1 << position % 8
            store.put(key_of(number), Body.of_bytes(bytes(flipped)))
            assert faults_of(store)[0].startswith(f"{url_of(number)}: expected "), position
        store.put(key_of(number), Body.of_bytes(line))
    assert faults_of(store) == ()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_other_bytes_are_found(data: st.DataObject) -> None:
    """Bytes that are replaced, put in or taken out anywhere are found."""
    store = MemoryStore("memory://a")
    fill(store, [1, 2])
    number = data.draw(st.integers(1, 4))
    line = store.get(key_of(number))
    begin = data.draw(st.integers(0, len(line)))
    stop = data.draw(st.integers(begin, min(len(line), begin + 4)))
    other = line[:begin] + data.draw(st.binary(max_size=4)) + line[stop:]
    store.put(key_of(number), Body.of_bytes(other))
    assert (faults_of(store) == ()) is (other == line)


def test_forged_event(store: MemoryStore) -> None:
    """An event that was rewritten with a new digest is found by the link of the next."""
    before = AuditStream(store, "copy").run_events(run_id(1))
    forged = {**before[1].event, "eventTime": "2025-02-06T12:00:00.000000Z"}
    del forged["run"]["facets"]["lading"]["sha256"]
    store.put(key_of(2), Body.of_bytes(seal_event(forged, "copy", 2, before[0].link.sha256)))

    faults = faults_of(store)

    assert faults[0].startswith(f"{url_of(3)}: expected to follow sha256 ")
    marker = f"memory://a/.lading/jobs/copy/runs/{identity_of(1).key}.json"
    assert faults[1].startswith(f"{marker}: expected event 2 of copy with sha256 ")
    assert len(faults) == 2


@pytest.mark.parametrize(
    ("removed", "told"),
    [
        ([1], [f"{url_of(1)}: expected event 1, found none: removed"]),
        ([3], [f"{url_of(3)}: expected event 3, found none: removed"]),
        ([3, 4], [f"{url_of(3)}: expected event 3 to 4, found none: removed"]),
    ],
)
def test_removed_event(store: MemoryStore, removed: list[int], told: list[str]) -> None:
    """A removed event is a gap."""
    store.delete([key_of(each) for each in removed])
    assert faults_of(store)[:1] == tuple(told)


@pytest.mark.parametrize("kept", [5, 4, 0])
def test_removed_tail(store: MemoryStore, kept: int) -> None:
    """A tail, or all, that was cut off is found by the markers of the runs that it ended."""
    store.delete([key_of(each) for each in range(kept + 1, 7)])
    faults = faults_of(store)
    lost = (6 - kept + 1) // 2
    assert len(faults) == lost
    assert all(each.endswith(", found none") for each in faults)
    assert sum(f"the COMPLETE of run {run_id(3)}" in each for each in faults) == 1


def test_reordered(store: MemoryStore) -> None:
    """Two events that changed their places are found, each of them."""
    first, second = store.get(key_of(3)), store.get(key_of(4))
    store.put(key_of(3), Body.of_bytes(second))
    store.put(key_of(4), Body.of_bytes(first))
    faults = faults_of(store)
    assert faults[0] == f"{url_of(3)}: expected event 3 of copy, found event 4 of copy"
    assert faults[1] == f"{url_of(4)}: expected event 4 of copy, found event 3 of copy"


def test_moved_and_copied(store: MemoryStore) -> None:
    """An event under another number, or in another stream, is not taken for one of there."""
    line = store.get(key_of(6))
    move(store, 6, 7)
    moved = f"memory://a/{event_key('move', 1)}"
    store.put(event_key("move", 1), Body.of_bytes(line))
    faults = faults_of(store)
    assert faults[:3] == (
        f"{url_of(6)}: expected event 6, found none: removed",
        f"{url_of(7)}: expected event 7 of copy, found event 6 of copy",
        f"{moved}: expected event 1 of move, found event 6 of copy",
    )


@pytest.mark.parametrize("name", ["copy/readme.txt", "copy/1.jsonl", "0000000001.jsonl"])
def test_foreign_object(store: MemoryStore, name: str) -> None:
    """An object that is no event is named."""
    store.put(f".lading/audit/{name}", Body.of_bytes(b"x"))
    told = "expected an event of the audit trail, found another object"
    assert faults_of(store) == (f"memory://a/.lading/audit/{name}: {told}",)


def sealed(store: MemoryStore, event: dict[str, object]) -> None:
    """Add an event with a sound link, whatever it says: as somebody with a pen would."""
    head = AuditStream(store, "copy").head()
    number, previous = (head.sequence + 1, head.sha256) if head else (1, FIRST)
    store.put(key_of(number), Body.of_bytes(seal_event(event, "copy", number, previous)))


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (end(2), f"expected one ending of run {run_id(2)}, found COMPLETE after COMPLETE"),
        (
            end(2, EventType.FAIL),
            f"expected one ending of run {run_id(2)}, found FAIL after COMPLETE",
        ),
        (start(2), f"expected one START of run {run_id(2)}, found a second"),
        (end(9), f"expected a START of run {run_id(9)} before its COMPLETE, found none"),
        (
            end(3, EventType.FAIL, heads=[{"stream": "copy"}]),
            "expected a place in the audit trail, got {'stream': 'copy'}",
        ),
    ],
)
def test_what_no_run_does(store: MemoryStore, event: dict[str, object], told: str) -> None:
    """A run begins once, before it ends, and ends once; what it names are places."""
    sealed(store, event)
    assert f"{url_of(7)}: {told}" in faults_of(store)


def test_run_in_two_streams(store: MemoryStore) -> None:
    """A run that is told in two streams is one too many."""
    fill(store, [1], "move")
    assert faults_of(store)[0].endswith(f"expected one START of run {run_id(1)}, found a second")


def test_run_without_end(store: MemoryStore) -> None:
    """A run that goes on, or was killed, is no fault."""
    AuditStream(store, "copy").append(start(4))
    assert faults_of(store) == ()


class TestHeads:
    """What the ending of a plan names."""

    @pytest.fixture
    def plan(self) -> MemoryStore:
        """Return a store with a plan of two shards, its ending the last event."""
        store = MemoryStore("memory://a")
        heads = [fill(store, [each, each + 1], f"copy/p-{each}")[-1] for each in (1, 3)]
        chain = AuditStream(store, "copy")
        chain.append(start(9))
        chain.append(end(9, heads=[each.table() for each in heads]))
        return store

    def test_whole(self, plan: MemoryStore) -> None:
        """Shards whose heads stand are whole; they may have gone on since."""
        AuditStream(plan, "copy/p-1").append(start(7))
        assert faults_of(plan) == ()

    @pytest.mark.parametrize(
        "act",
        [
            lambda plan: plan.delete([event_key("copy/p-3", 4)]),
            lambda plan: plan.delete([each.key for each in plan.list(".lading/audit/copy/p-3/")]),
        ],
        ids=["tail", "stream"],
    )
    def test_lost_shard(self, plan: MemoryStore, act: Callable[[MemoryStore], None]) -> None:
        """A shard's cut tail, or its whole lost stream, is found by the plan's ending."""
        act(plan)
        (fault,) = faults_of(plan)
        assert fault.startswith(f"{url_of(2)}: expected event 4 of copy/p-3 with sha256 ")
        assert fault.endswith(", found none")

    def test_rewritten_shard(self, plan: MemoryStore) -> None:
        """A shard that was written anew from its first event on is another."""
        plan.delete([each.key for each in plan.list(".lading/audit/copy/p-3/")])
        fill(plan, [5, 6], "copy/p-3")
        (fault,) = faults_of(plan)
        assert f"found COMPLETE of run {run_id(6)} with sha256 " in fault


class TestMarkers:
    """What markers of done runs stand for."""

    def test_foreign_marker(self, store: MemoryStore) -> None:
        """An object that is no marker is a fault like any other, and ends nothing."""
        key = load_markers(store)[0].key
        store.put(key, Body.of_bytes(b"x"))
        (fault,) = faults_of(store)
        assert fault.startswith(f"memory://a/{key}: expected a marker of Lading, found another")

    @pytest.mark.parametrize(
        ("name", "other", "told"),
        [
            ("run_id", run_id(8), f"the COMPLETE of run {run_id(8)}, found COMPLETE of run"),
            ("outputs_sha256", "0" * 64, f"that its COMPLETE names, found {'0' * 64}"),
        ],
    )
    def test_forged_marker(self, store: MemoryStore, name: str, other: str, told: str) -> None:
        """A marker that says done of another run, or of other outputs, is found."""
        marker = load_markers(store)[0]
        text = store.get(marker.key).decode().replace(getattr(marker, name), other)
        store.put(marker.key, Body.of_bytes(text.encode()))
        (fault,) = faults_of(store)
        assert told in fault

    def test_marker_of_a_failure(self, store: MemoryStore) -> None:
        """A marker that calls a failed run done is found."""
        chain = AuditStream(store, "copy")
        chain.append(start(5))
        link = chain.append(end(5, EventType.FAIL))
        marker = load_markers(store)[0]
        assert marker.audit is not None
        text = store.get(marker.key).decode()
        text = text.replace(marker.run_id, run_id(5)).replace(marker.audit.sha256, link.sha256)
        text = text.replace(f'"sequence": {marker.audit.sequence}', f'"sequence": {link.sequence}')
        store.put(marker.key, Body.of_bytes(text.encode()))
        (fault,) = faults_of(store)
        assert f"found FAIL of run {run_id(5)}" in fault


class TestMeanwhile:
    """Runs that go on while the trail is read."""

    def test_run_that_ends_after_the_listing(self, store: MemoryStore) -> None:
        """A head or marker that names an event younger than the listing is no fault."""

        class Early(FakeWatchedStore):
            """Lists the trail as it was before the last two events."""

            def list(self, prefix: str = "") -> list[Entry]:
                late = {key_of(5), key_of(6)}
                return [each for each in super().list(prefix) if each.key not in late]

        report = verify_audit(Early(store))
        assert (report.events, report.faults) == (4, ())

    def test_listing_with_a_hole(self, store: MemoryStore) -> None:
        """An event that a first listing missed, while it was added, is no gap."""

        class Holed(FakeWatchedStore):
            """Misses an event once."""

            holes = 1

            def list(self, prefix: str = "") -> list[Entry]:
                found = super().list(prefix)
                if prefix == ".lading/audit/" and self.holes:
                    self.holes -= 1
                    return [each for each in found if each.key != key_of(5)]
                return found

        report = verify_audit(Holed(store))
        assert (report.events, report.faults) == (6, ())
