"""Chains of events: appended once, by many, whatever is cut."""

import itertools
import threading
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path

import pytest

from lading.errors import AuditError, LeaseError, TemporaryError, UnavailableError
from lading.jobs.audit import AuditStream, Link, list_events, list_streams, load_heads
from lading.jobs.audit_events import event_key, parse_event, parse_event_key
from lading.jobs.audit_verify import verify_audit
from lading.jobs.events import EventType
from lading.storage import Body, LocalStore, MemoryStore, Store
from tests.fakes.stores import FakeWatchedStore
from tests.unit.jobs.trails import NOON, FakeAskedStore, end, fill, run_id, start


@pytest.fixture
def store() -> MemoryStore:
    """Return an empty store."""
    return MemoryStore("memory://a")


def never(seconds: float) -> None:
    """Refuse to wait."""
    raise AssertionError(seconds)


def overtaking(
    quick: AuditStream, events: Iterable[dict[str, object]]
) -> Callable[[str, str], None]:
    """Make a hook that lets another one add an event before each write, as long as it has some."""
    left = iter(events)

    def overtake(*_: str) -> None:
        for event in itertools.islice(left, 1):
            quick.append(event)

    return overtake


def key_of(number: int) -> str:
    """Return the key of an event of the stream."""
    return f".lading/audit/copy/{number:010d}.jsonl"


class TestAppend:
    """Adding events."""

    def test_chain(self, store: MemoryStore) -> None:
        """Each event is one JSON line under its number, and holds the digest of the one before."""
        links = fill(store, [1, 2])
        events = list(AuditStream(store, "copy").events())
        facets = [each["run"]["facets"]["lading"] for each in events]

        assert [each.key for each in store.list()] == [key_of(each) for each in (1, 2, 3, 4)]
        assert [each["eventType"] for each in events] == ["START", "COMPLETE"] * 2
        assert [each["sequence"] for each in facets] == [1, 2, 3, 4]
        assert [each["sha256"] for each in facets] == [each.sha256 for each in links]
        assert [each["previous"] for each in facets] == [
            "0" * 64,
            *(each.sha256 for each in links[:3]),
        ]
        assert all(store.get(each.key).count(b"\n") == 1 for each in store.list())

    def test_text_stays_what_it_was(self, store: MemoryStore) -> None:
        """The digest of an event is that of its canonical JSON without the digest."""
        event = {
            "eventTime": "2025-02-05T12:00:00Z",
            "eventType": "START",
            "run": {"runId": run_id(), "facets": {"lading": {"b": "ü", "a": 1}}},
        }
        link = AuditStream(store, "copy").append(event)
        line = store.get(key_of(1)).decode()

        assert link.sha256 == "73ae041d37cfbab5a80ced1d73cb73249f44b47d34cf3b6bff83d94d04a5457a"
        assert line == (
            '{"eventTime":"2025-02-05T12:00:00Z","eventType":"START","run":{"facets":{"lading":'
            f'{{"a":1,"b":"\\u00fc","previous":"{"0" * 64}","sequence":1,"sha256":"{link.sha256}",'
            f'"stream":"copy"}}}},"runId":"{run_id()}"}}}}\n'
        )

    def test_same_event_is_added_once(self, store: MemoryStore) -> None:
        """What is said again, by the same process or by another, is added once."""
        chain = AuditStream(store, "copy")
        began = chain.append(start())
        ended = chain.append(end())

        assert chain.append(start()) == began
        assert chain.append(end()) == ended
        assert AuditStream(store, "copy").append(end()) == ended
        assert AuditStream(store, "copy").append(start()) == began
        assert len(store.list()) == 2

    def test_among_others(self, store: MemoryStore) -> None:
        """An event is found again behind those that other runs have added meanwhile."""
        chain = AuditStream(store, "copy")
        chain.append(start())
        ended = chain.append(end())
        fill(store, range(2, 30))
        assert chain.append(end()) == ended
        assert AuditStream(store, "copy").append(end(), since=NOON) == ended

    def test_a_run_ends_once(self, store: MemoryStore) -> None:
        """A run that somebody ended otherwise cannot be complete; a failure of it says no more."""
        chain = AuditStream(store, "copy")
        chain.append(start())
        aborted = AuditStream(store, "copy").append(end(1, EventType.ABORT))

        with pytest.raises(LeaseError, match=f"expected run {run_id()} to be open, found ABORT"):
            chain.append(end())
        assert chain.append(end(1, EventType.FAIL)) == aborted
        assert len(store.list()) == 2

    def test_a_complete_run_does_not_fail(self, store: MemoryStore) -> None:
        """A failure after COMPLETE (the marker could not be written) changes nothing."""
        link = fill(store, [1])[1]
        assert AuditStream(store, "copy").append(end(1, EventType.FAIL)) == link

    def test_lost_race(self, store: MemoryStore) -> None:
        """One who was slower finds the end again, waits a little, and follows."""
        quick = AuditStream(store, "copy")
        pauses: list[float] = []
        slow = FakeWatchedStore(store, before=overtaking(quick, [start(2), end(2)]))
        link = AuditStream(slow, "copy", sleep=pauses.append).append(start(1))

        assert link.sequence == 3
        assert len(pauses) == 2
        assert 0 <= pauses[0] <= 0.002
        assert 0 <= pauses[1] <= 0.004
        assert verify_audit(store).faults == ()

    def test_race_without_end(self, store: MemoryStore) -> None:
        """One who is always slower gives up after a hundred tries, for the time being."""
        quick = AuditStream(store, "copy")
        slow = FakeWatchedStore(store, before=overtaking(quick, map(start, range(2, 1000))))
        with pytest.raises(TemporaryError, match="expected to add it, lost 100 races"):
            AuditStream(slow, "copy", sleep=lambda _: None).append(start(1))

    def test_lost_answer(self, store: MemoryStore) -> None:
        """An event that was added although nobody said so is not added again."""
        cut = [True]

        def lose(*_: str) -> None:
            if cut.pop():
                cut.append(False)
                raise UnavailableError("the answer was lost")
            cut.append(False)

        chain = AuditStream(FakeWatchedStore(store, after=lose), "copy", sleep=never)
        with pytest.raises(UnavailableError):
            chain.append(start())
        assert chain.append(start()).sequence == 1
        assert chain.append(end()).sequence == 2
        assert verify_audit(store).faults == ()

    def test_unreadable_end(self, store: MemoryStore) -> None:
        """Nothing is added after an end that cannot be read: it would have no link."""
        fill(store, [1])
        store.put(key_of(2), Body.of_bytes(b"{}"))
        with pytest.raises(AuditError) as caught:
            AuditStream(store, "copy").append(start(2))
        assert str(caught.value) == (
            f"memory://a/{key_of(2)}: expected an event of the audit trail, found another object;"
            " nothing can follow it; `lading audit verify` tells what else is wrong"
        )

    def test_secrets_stay_out(self, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
        """A secret of the environment in arguments or messages is not kept for ever."""
        monkeypatch.setenv("API_TOKEN", 'hunter"2hunter')
        fill(store, [1])
        AuditStream(store, "copy").append(start(2))
        inner = [{"of": ('hunter"2hunter', 1, None)}]
        told = end(2, EventType.FAIL, message='refused hunter"2hunter', inner=inner)
        AuditStream(store, "copy").append(told)

        assert b"hunter" not in store.get(key_of(4))
        assert b"refused ***" in store.get(key_of(4))
        assert verify_audit(store).faults == ()

    @pytest.mark.parametrize("length", [0, 1, 2, 3, 7, 8, 9, 31, 64, 65])
    def test_end_is_found_with_few_calls(self, store: MemoryStore, length: int) -> None:
        """The end of a chain of any length is found, with calls that grow as its logarithm."""
        for number in range(1, length + 1):
            store.put(key_of(number), Body.of_bytes(b"{}"))
        asked = FakeAskedStore(store)

        assert AuditStream(asked, "copy")._find_end() == length
        assert len(asked.reads) <= 2 * max(1, length).bit_length() + 1

    def test_known_end_costs_one_call(self, store: MemoryStore) -> None:
        """Whoever has added an event asks from there on, and reads nothing again."""
        fill(store, range(2, 9))
        asked = FakeAskedStore(store)
        chain = AuditStream(asked, "copy")
        chain.append(start())
        asked.reads.clear()
        chain.append(end())
        assert asked.reads == [("stat", key_of(16))]


class TestContention:
    """Many at once."""

    @pytest.mark.parametrize("kind", ["memory", "local"])
    def test_one_whole_chain(self, kind: str, tmp_path: Path) -> None:
        """Eight that add twenty each, all at once, make one whole chain of 160."""
        store: Store = MemoryStore("memory://a") if kind == "memory" else LocalStore(tmp_path)
        together = threading.Barrier(8)
        links: list[Link] = []

        def add(thread: int) -> None:
            chain = AuditStream(store, "copy")
            together.wait(20)
            for each in range(10):
                run = 1 + thread * 10 + each
                links.extend([chain.append(start(run)), chain.append(end(run))])

        threads = [threading.Thread(target=add, args=(each,)) for each in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)

        report = verify_audit(store)
        assert (report.streams, report.events, report.faults) == (1, 160, ())
        assert sorted(each.sequence for each in links) == list(range(1, 161))

    def test_one_object_in_several_threads(self, store: MemoryStore) -> None:
        """Threads may share a chain, too."""
        chain = AuditStream(store, "copy")
        threads = [
            threading.Thread(target=chain.append, args=(start(each),)) for each in range(1, 9)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert verify_audit(store).faults == ()
        assert len(store.list()) == 8


class TestReading:
    """Reading chains."""

    def test_head(self, store: MemoryStore) -> None:
        """The head is the last event; a chain without events has none."""
        chain = AuditStream(store, "copy")
        assert chain.head() is None
        links = fill(store, [1, 2])
        assert chain.head() == AuditStream(store, "copy").head() == links[-1]

    def test_events_of_a_run(self, store: MemoryStore) -> None:
        """A run's events are found from the end, and the ending among them."""
        fill(store, [1, 2])
        chain = AuditStream(store, "copy")
        chain.append(start(3))

        assert [each.kind for each in chain.run_events(run_id(1))] == ["START", "COMPLETE"]
        ending = chain.ending_of(run_id(2))
        assert ending is not None
        assert (ending.kind, ending.run_id) == (EventType.COMPLETE, run_id(2))
        assert ending.outcome == {"exit_code": 0, "message": "two done"}
        assert ending.listing == ""
        assert chain.ending_of(run_id(3)) is None
        assert chain.ending_of(run_id(4)) is None

    def test_nothing_older_is_read(self, store: MemoryStore) -> None:
        """A run that never began costs no read of what is older than it."""
        fill(store, range(1, 9))
        watched = FakeWatchedStore(store)
        found = AuditStream(watched, "copy").run_events(run_id(99), since=NOON + timedelta(days=1))
        assert found == []
        assert [verb for verb, _ in watched.reads] == ["get"]

    def test_broken_event_is_passed_over(self, store: MemoryStore) -> None:
        """What is no event hides no other."""
        fill(store, [1, 2])
        store.put(key_of(3), Body.of_bytes(b"\xff"))
        assert len(AuditStream(store, "copy").run_events(run_id(1))) == 2
        with pytest.raises(AuditError, match=f"{key_of(3)}: expected a JSON line"):
            list(AuditStream(store, "copy").events())

    def test_streams(self, store: MemoryStore) -> None:
        """Streams may stand below one another; each has its own events, and its own head."""
        for stream in ("copy", "copy/plan/a-000001", "copy/plan/a-000000", "move"):
            fill(store, [1], stream)
        store.put(".lading/audit/copy/readme.txt", Body.of_bytes(b""))

        assert list_streams(store) == ["copy", "copy/plan/a-000000", "copy/plan/a-000001", "move"]
        assert list_streams(store, "copy/plan/") == ["copy/plan/a-000000", "copy/plan/a-000001"]
        assert list_events(store, "move") == {"move": [1, 2]}
        assert [each for each, _ in AuditStream(store, "copy").lines()] == [1, 2]
        heads = load_heads(store, "copy/plan/")
        assert [(each.stream, each.sequence) for each in heads] == [
            ("copy/plan/a-000000", 2),
            ("copy/plan/a-000001", 2),
        ]
        store.put(event_key("copy/plan/a-000001", 2), Body.of_bytes(b"{}"))
        with pytest.raises(AuditError, match=r"a-000001/0000000002\.jsonl: expected an event"):
            load_heads(store, "copy/plan/")


@pytest.mark.parametrize(
    ("key", "place"),
    [
        (key_of(1), ("copy", 1)),
        (event_key("a/b", 12345678901), ("a/b", 12345678901)),
        (key_of(0), None),
        (".lading/audit/0000000001.jsonl", None),
        (".lading/audit/copy/1.jsonl", None),
        (".lading/audit/copy/00000000001.jsonl", None),
        (".lading/audit/copy/0000000001.json", None),
        ("copy/0000000001.jsonl", None),
    ],
)
def test_keys(key: str, place: tuple[str, int] | None) -> None:
    """Each event has one key, and no other key is one of an event."""
    assert parse_event_key(key) == place


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda _: b"", "expected an event of the audit trail, found another object"),
        (lambda _: b"[]", "expected an event of the audit trail, found another object"),
        (lambda _: b"[" * 100_000, "expected an event of the audit trail, found another object"),
        (lambda line: line[:-1], "expected its bytes as they were written"),
        (lambda line: line.replace(b'":"', b'": "', 1), "expected its bytes as they were written"),
        (lambda line: line.replace(b"two", b"six"), "expected sha256 "),
        (lambda line: line.replace(b"00Z", b"00"), "found another object"),
        (lambda line: line.replace(b"COMPLETE", b"FINISHED"), "found another object"),
        (
            lambda line: line.replace(b'"sequence":2', b'"sequence":3'),
            "expected event 2 of copy, found event 3 of copy",
        ),
    ],
)
def test_what_is_no_event(store: MemoryStore, spoil: Callable[[bytes], bytes], told: str) -> None:
    """An event is read only if it is what was written in its place, to the byte."""
    fill(store, [1])
    line = store.get(key_of(2))
    assert parse_event(line, "copy", 2).kind is EventType.COMPLETE
    with pytest.raises(ValueError, match=told):
        parse_event(spoil(line), "copy", 2)
