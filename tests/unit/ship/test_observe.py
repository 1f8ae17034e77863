"""Tests of looking at what stands under a prefix, with as few questions as possible."""

import threading
from pathlib import Path

import pytest

from lading.errors import StoreError
from lading.release.objects import Digest, digest_bytes
from lading.release.receipts import ProvedObject
from lading.ship.observe import for_each, note_written, observe_objects
from lading.storage import Body, LocalStore, MemoryStore
from tests.fakes.stores import FakeWatchedStore

WORKERS = 8
WANTED = {"a": digest_bytes(b"aaaa"), "b": digest_bytes(b"bbbb")}


@pytest.fixture
def watched(tmp_path: Path) -> FakeWatchedStore:
    """Return a folder whose listing tells no digests: what is wanted, and more."""
    store = LocalStore(tmp_path)
    files = {"nightly/a": b"aaaa", "nightly/b": b"BBBB", "nightly/c": b"cccc", "nightly2/a": b"x"}
    for key, data in files.items():
        store.put(key, Body.of_bytes(data))
    return FakeWatchedStore(store)


def asked(store: FakeWatchedStore) -> set[str]:
    """Return the keys that were asked for their digests."""
    return {key for verb, key in store.reads if verb == "digest"}


def test_keys_lose_the_prefix(watched: FakeWatchedStore) -> None:
    """Objects are told by key without the prefix, sorted; those of other prefixes are not."""
    assert [*observe_objects(watched, "nightly/", WANTED, {})] == ["a", "b", "c"]


def test_only_what_matters_is_asked(watched: FakeWatchedStore) -> None:
    """An object is asked where it is wanted and of the right size; others are only measured."""
    found = observe_objects(watched, "nightly/", WANTED, {})
    assert asked(watched) == {"nightly/a", "nightly/b"}
    assert digest_bytes(b"aaaa") == found["a"].digest
    assert digest_bytes(b"BBBB") == found["b"].digest
    assert Digest(size_bytes=4) == found["c"].digest


def test_wrong_size_is_not_asked(watched: FakeWatchedStore) -> None:
    """An object of another size is other bytes: it costs no question."""
    found = observe_objects(watched, "nightly/", {"a": digest_bytes(b"longer")}, {})
    assert asked(watched) == set()
    assert not found["a"].digest.agrees_with(digest_bytes(b"longer"))


def test_receipt_answers(watched: FakeWatchedStore) -> None:
    """What a receipt knows in this version is not asked."""
    entry = watched.stat("nightly/a")
    assert entry is not None
    known = {"a": ProvedObject(WANTED["a"], entry.version)}
    found = observe_objects(watched, "nightly/", WANTED, known)
    assert asked(watched) == {"nightly/b"}
    assert WANTED["a"] == found["a"].digest
    assert entry.version == found["a"].version


def test_receipt_of_another_version_does_not_answer(watched: FakeWatchedStore) -> None:
    """What a receipt knows in another version is asked."""
    known = {"a": ProvedObject(WANTED["a"], "another")}
    observe_objects(watched, "nightly/", WANTED, known)
    assert asked(watched) == {"nightly/a", "nightly/b"}


def test_listing_answers() -> None:
    """Where the listing itself tells digests nothing is asked, and no receipt is believed."""
    store = MemoryStore()
    entry = store.put("nightly/a", Body.of_bytes(b"aaaa"))
    watched = FakeWatchedStore(store)
    known = {"a": ProvedObject(digest_bytes(b"other"), entry.version)}
    found = observe_objects(watched, "nightly/", WANTED, known)
    assert asked(watched) == set()
    assert WANTED["a"] == found["a"].digest


def test_empty_place(tmp_path: Path) -> None:
    """A place that does not exist holds nothing."""
    assert observe_objects(LocalStore(tmp_path / "none"), "nightly/", WANTED, {}) == {}


def test_what_a_write_told_is_not_asked(tmp_path: Path) -> None:
    """What the store said of an object that it has just written is known; a bare entry is not."""
    told, silent = MemoryStore(), LocalStore(tmp_path)
    known: dict[str, ProvedObject] = {}
    body = Body.of_bytes(b"aaaa")
    note_written(known, "b", WANTED["a"], silent.put("nightly/b", body))
    note_written(known, "c", WANTED["b"], told.put("nightly/c", body))
    assert known == {}
    entry = told.put("nightly/a", body)
    note_written(known, "a", WANTED["a"], entry)
    assert known == {"a": ProvedObject(WANTED["a"], entry.version)}


class TestForEach:
    """Acting on many items at once."""

    def test_every_item_once(self) -> None:
        """Each item is acted on once, from several threads."""
        done: list[int] = []
        for_each(range(100), done.append, workers=WORKERS)
        assert sorted(done) == list(range(100))

    def test_several_at_a_time(self) -> None:
        """As many items as there are workers are acted on at the same time."""
        together = threading.Barrier(WORKERS)

        def meet(_: int) -> None:
            together.wait(timeout=30)

        for_each(range(WORKERS), meet, workers=WORKERS)

    def test_first_error_in_order_is_raised(self) -> None:
        """Of several errors that of the first item is raised."""

        def fail(number: int) -> None:
            raise StoreError(f"item {number}")

        with pytest.raises(StoreError, match="item 0"):
            for_each(range(5), fail, workers=WORKERS)

    def test_nothing_is_begun_after_an_error(self) -> None:
        """After an error the items that wait are left; those that run are waited for."""
        begun: list[int] = []
        release = threading.Event()

        def act(number: int) -> None:
            begun.append(number)
            if number == 0:
                release.set()
                raise StoreError("first")
            assert release.wait(timeout=30)

        with pytest.raises(StoreError):
            for_each(range(10_000), act, workers=WORKERS)
        assert len(begun) < 10_000

    def test_nothing_to_do(self) -> None:
        """No items are no error."""
        for_each([], lambda _: None, workers=WORKERS)
