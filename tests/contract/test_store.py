"""What every store must do. One more implementation is one more line in ``KINDS``."""

import os
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lading.errors import ChecksumError, ConditionError, MissingObjectError, StoreError
from lading.release.environments import STAGING_ROOT
from lading.release.objects import digest_bytes
from lading.storage import (
    IF_ABSENT,
    Body,
    Condition,
    LocalStore,
    Progress,
    StagingGuard,
    Store,
)
from lading.storage.bytes import CHUNK_BYTES
from lading.storage.memory import memory_store
from tests.contract import clouds

RACERS = 8


@dataclass(frozen=True)
class Kind:
    """One implementation: how to open a store that stands for a folder, and where to write."""

    name: str
    open: Callable[[Path], Store]
    root: str = ""


KINDS = [
    Kind("local", LocalStore),
    Kind("memory", lambda folder: memory_store(f"memory://{folder}")),
    Kind(
        "local in staging",
        lambda folder: StagingGuard(LocalStore(folder, STAGING_ROOT), STAGING_ROOT),
        STAGING_ROOT,
    ),
    Kind(
        "memory in staging",
        lambda folder: StagingGuard(memory_store(f"memory://{folder}"), STAGING_ROOT),
        STAGING_ROOT,
    ),
    Kind("s3", clouds.open_s3),
    Kind("gcs", clouds.open_gcs),
    Kind("s3 in staging", partial(clouds.open_s3, root=STAGING_ROOT), STAGING_ROOT),
    Kind("gcs in staging", partial(clouds.open_gcs, root=STAGING_ROOT), STAGING_ROOT),
]

BAD_KEYS = {
    "empty": "",
    "absolute": "/etc/x",
    "nothing between slashes": "a//b",
    "slash at the end": "a/",
    "parent first": "../x",
    "parent inside": "a/../../x",
    "dot": "./x",
    "new line": "a\nb",
    "zero": "a\0b",
    "delete": "a\x7fb",
    "half a surrogate pair": "a\ud800b",
    "too long": "x" * 1025,
    "too long in bytes": "é" * 513,
}


@dataclass(frozen=True)
class Place:
    """A store under test and the root of the keys that may be written."""

    store: Store
    another: Store
    root: str

    def put(self, key: str, data: bytes) -> str:
        """Put a document and return its version."""
        return self.store.put(self.root + key, Body.of_bytes(data)).version

    def get(self, key: str) -> bytes:
        """Read a whole object."""
        return self.store.get(self.root + key)

    def listed(self) -> list[str]:
        """List every key, without the root."""
        return [each.key.removeprefix(self.root) for each in self.store.list()]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Return a fresh store of each kind."""
    kind: Kind = request.param
    return Place(kind.open(tmp_path / "one"), kind.open(tmp_path / "two"), kind.root)


class TestList:
    """What ``list`` tells."""

    def test_place_that_does_not_exist_is_empty(self, place: Place) -> None:
        """A store that nobody has written to lists nothing and is no error."""
        assert place.store.list() == []
        assert place.store.list(f"{place.root}nightly/") == []

    def test_entries_are_sorted_by_key(self, place: Place) -> None:
        """One entry per object, sorted by key and not by folder."""
        for key in ("b", "a/z", "a.txt", "a/b/c", "A", "é", "a-b/c"):
            place.put(key, key.encode())
        expected = sorted(["b", "a/z", "a.txt", "a/b/c", "A", "é", "a-b/c"])
        assert expected == place.listed()

    def test_prefix_is_text_and_no_folder(self, place: Place) -> None:
        """A prefix chooses by the beginning of the key, wherever it ends."""
        for key in ("nightly/a", "nightly-old/b", "nightly", "other/nightly/c"):
            if key != "nightly":  # a file system cannot hold a file and a folder of one name
                place.put(key, b"x")
        listed = [each.key for each in place.store.list(f"{place.root}night")]
        assert [f"{place.root}nightly-old/b", f"{place.root}nightly/a"] == listed
        inside = [each.key for each in place.store.list(f"{place.root}nightly/")]
        assert [f"{place.root}nightly/a"] == inside

    def test_entry_tells_size_and_version(self, place: Place) -> None:
        """A listing, a stat and the put itself tell the same of one object."""
        put = place.store.put(f"{place.root}a", Body.of_bytes(b"four"))
        listed = place.store.list()[0]
        found = place.store.stat(f"{place.root}a")
        assert found is not None
        assert (f"{place.root}a", 4, put.version) == (listed.key, listed.size_bytes, listed.version)
        assert (put.key, put.size_bytes, put.version) == (
            found.key,
            found.size_bytes,
            found.version,
        )

    def test_digest_of_a_listing_is_right(self, place: Place) -> None:
        """Where a listing tells a digest, it is that of the bytes."""
        place.put("a", b"four")
        told = place.store.list()[0].digest
        assert told is None or told.agrees_with(digest_bytes(b"four"))

    def test_below_an_object_there_is_nothing(self, place: Place) -> None:
        """Listing, asking and deleting below the key of an object finds nothing."""
        place.put("a", b"x")
        assert place.store.list(f"{place.root}a/") == []
        assert place.store.stat(f"{place.root}a/b") is None
        place.store.delete([f"{place.root}a/b"])
        assert place.listed() == ["a"]


class TestRead:
    """What ``stat``, ``get`` and ``digest`` tell."""

    def test_stat_of_nothing_is_none(self, place: Place) -> None:
        """A key without an object has no entry."""
        assert place.store.stat(f"{place.root}a") is None

    def test_folder_of_objects_is_no_object(self, place: Place) -> None:
        """The beginning of some keys is no object: not for stat, get, digest or delete."""
        place.put("nightly/a", b"x")
        folder = f"{place.root}nightly"
        assert place.store.stat(folder) is None
        with pytest.raises(MissingObjectError):
            place.store.get(folder)
        with pytest.raises(MissingObjectError):
            place.store.digest(folder)
        place.store.delete([folder])
        assert place.listed() == ["nightly/a"]

    @pytest.mark.parametrize("verb", ["get", "digest"])
    def test_reading_nothing_is_refused(self, place: Place, verb: str) -> None:
        """A key without an object cannot be read, and the message names it."""
        with pytest.raises(MissingObjectError, match="nightly/a"):
            getattr(place.store, verb)(f"{place.root}nightly/a")

    @pytest.mark.parametrize(
        ("start", "stop", "expected"),
        [
            (0, None, b"0123456789"),
            (0, 10, b"0123456789"),
            (3, 6, b"345"),
            (9, None, b"9"),
            (0, 0, b""),
            (6, 3, b""),
            (8, 99, b"89"),
            (10, None, b""),
            (99, 100, b""),
        ],
    )
    def test_ranges(self, place: Place, start: int, stop: int | None, expected: bytes) -> None:
        """A range starts at ``start`` and ends before ``stop``, cut where the object ends."""
        place.put("a", b"0123456789")
        assert expected == place.store.get(f"{place.root}a", start, stop)

    def test_digest_is_that_of_the_bytes(self, place: Place) -> None:
        """The object itself tells at least its size and CRC32C."""
        place.put("a", b"some bytes")
        found = place.store.digest(f"{place.root}a")
        expected = digest_bytes(b"some bytes")
        assert (expected.size_bytes, expected.crc32c) == (found.size_bytes, found.crc32c)


class TestPut:
    """What ``put`` does and refuses."""

    def test_file_arrives_whole(self, place: Place, tmp_path: Path) -> None:
        """A file of more than one piece arrives byte for byte, and its bytes are counted."""
        data = bytes(range(256)) * (CHUNK_BYTES // 100)
        path = tmp_path / "file"
        path.write_bytes(data)
        counted = Counting()
        place.store.put(f"{place.root}deep/a", Body(digest_bytes(data), path), progress=counted)
        assert data == place.get("deep/a")
        assert len(data) == counted.total

    @pytest.mark.parametrize("data", [b"", b"\0", b"\r\n"])
    def test_any_bytes(self, place: Place, data: bytes) -> None:
        """Empty objects and bytes that are no text are kept as they are."""
        place.put("a", data)
        assert data == place.get("a")

    def test_replaces(self, place: Place) -> None:
        """A second put under the key replaces the object."""
        place.put("a", b"long old bytes")
        place.put("a", b"new")
        assert place.get("a") == b"new"

    @pytest.mark.parametrize("from_file", [False, True])
    def test_wrong_digest_is_refused(
        self, place: Place, tmp_path: Path, *, from_file: bool
    ) -> None:
        """Bytes that are not those announced leave nothing behind, and the message names both."""
        path = tmp_path / "file"
        path.write_bytes(b"what arrives")
        announced = digest_bytes(b"what is told")
        body = Body(announced, path) if from_file else Body(announced, data=b"what arrives")
        with pytest.raises(ChecksumError, match=r"expected .*12 bytes.*got .*12 bytes"):
            place.store.put(f"{place.root}new", body)
        assert place.listed() == []

    def test_wrong_size_keeps_the_old_object(self, place: Place) -> None:
        """A refused put leaves the object that stands, its bytes and its version."""
        version = place.put("a", b"old")
        body = Body(digest_bytes(b"announced"), data=b"cut short")
        with pytest.raises(ChecksumError):
            place.store.put(f"{place.root}a", body)
        found = place.store.stat(f"{place.root}a")
        assert found is not None
        assert (b"old", version) == (place.get("a"), found.version)

    def test_file_that_is_gone(self, place: Place, tmp_path: Path) -> None:
        """A file that vanished before it was sent is a refusal of ours that names the file."""
        with pytest.raises(StoreError, match=r"gone\.zip"):
            place.store.put(f"{place.root}a", Body(digest_bytes(b"x"), tmp_path / "gone.zip"))
        assert place.listed() == []

    def test_interrupted_put_leaves_nothing(self, place: Place, tmp_path: Path) -> None:
        """A put that is interrupted at its first piece leaves no object."""
        path = tmp_path / "file"
        path.write_bytes(b"x" * 10)
        with pytest.raises(KeyboardInterrupt):
            place.store.put(
                f"{place.root}a", Body(digest_bytes(b"x" * 10), path), progress=Interrupting()
            )
        assert place.listed() == []

    def test_version_changes_with_the_bytes(self, place: Place) -> None:
        """Objects of one size that follow each other at once never share a version."""
        versions = [place.put("a", b"%03d" % number) for number in range(60)]
        assert len(versions) == len(set(versions))

    def test_version_stays_while_the_bytes_stay(self, place: Place) -> None:
        """Reading an object, and writing others, leaves its version."""
        version = place.put("a", b"x")
        place.get("a")
        place.put("b", b"y")
        place.store.delete([f"{place.root}b"])
        found = place.store.stat(f"{place.root}a")
        assert found is not None
        assert version == found.version


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Let threads take turns as often as the interpreter can: races are found sooner."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("eager_threads")
class TestConditions:
    """Conditional writes."""

    def test_create_where_there_is_none(self, place: Place) -> None:
        """A conditional create makes an object, once."""
        place.store.put(f"{place.root}a", Body.of_bytes(b"one"), condition=IF_ABSENT)
        with pytest.raises(ConditionError):
            place.store.put(f"{place.root}a", Body.of_bytes(b"two"), condition=IF_ABSENT)
        assert place.get("a") == b"one"

    def test_create_again_after_delete(self, place: Place) -> None:
        """A deleted object is absent for the next conditional create."""
        place.put("a", b"one")
        place.store.delete([f"{place.root}a"])
        place.store.put(f"{place.root}a", Body.of_bytes(b"two"), condition=IF_ABSENT)
        assert place.get("a") == b"two"

    def test_empty_object_is_an_object(self, place: Place) -> None:
        """An object without bytes is there, for a conditional create as well."""
        place.put("a", b"")
        with pytest.raises(ConditionError):
            place.store.put(f"{place.root}a", Body.of_bytes(b"x"), condition=IF_ABSENT)

    def test_swap_of_the_version_seen(self, place: Place) -> None:
        """A swap on the version that stands replaces the object."""
        condition = Condition(if_version=place.put("a", b"one"))
        entry = place.store.put(f"{place.root}a", Body.of_bytes(b"two"), condition=condition)
        assert place.get("a") == b"two"
        assert condition.if_version != entry.version

    def test_swap_of_an_old_version_is_refused(self, place: Place) -> None:
        """A swap on a version that is gone changes nothing, though the size is the same."""
        condition = Condition(if_version=place.put("a", b"one"))
        place.put("a", b"two")
        with pytest.raises(ConditionError):
            place.store.put(f"{place.root}a", Body.of_bytes(b"six"), condition=condition)
        assert place.get("a") == b"two"

    def test_swap_of_a_deleted_object_is_refused(self, place: Place) -> None:
        """A swap on a version whose object was deleted is a lost race, and makes nothing."""
        condition = Condition(if_version=place.put("a", b"one"))
        place.store.delete([f"{place.root}a"])
        with pytest.raises(ConditionError):
            place.store.put(f"{place.root}a", Body.of_bytes(b"two"), condition=condition)
        assert place.listed() == []

    def test_checksum_is_asked_under_a_condition_too(self, place: Place) -> None:
        """A conditional create of wrong bytes makes nothing."""
        body = Body(digest_bytes(b"announced"), data=b"arrived!!")
        with pytest.raises(ChecksumError):
            place.store.put(f"{place.root}a", body, condition=IF_ABSENT)
        assert place.listed() == []

    def test_create_race_has_one_winner(self, place: Place) -> None:
        """Of many that create one key at once exactly one wins, and its bytes stand."""
        for turn in range(6):
            winners = race(place.store, f"{place.root}lock-{turn}", IF_ABSENT)
            assert len(winners) == 1
            assert winners[0] == place.get(f"lock-{turn}")

    def test_swap_race_has_one_winner(self, place: Place) -> None:
        """Of many that swap one version at once exactly one wins, and its bytes stand."""
        for turn in range(6):
            version = place.put("lock", b"turn %d" % turn)
            winners = race(place.store, f"{place.root}lock", Condition(if_version=version))
            assert len(winners) == 1
            assert winners[0] == place.get("lock")

    def test_no_swap_is_lost(self, place: Place) -> None:
        """Several that count upwards by swaps, each again until it wins, lose no step."""
        place.put("counter", b"0")

        def count_up(_: int) -> None:
            for _step in range(10):
                for _try in range(500):
                    entry = place.store.stat(f"{place.root}counter")
                    assert entry is not None
                    value = int(place.get("counter"))
                    body = Body.of_bytes(b"%d" % (value + 1))
                    try:
                        place.store.put(
                            entry.key, body, condition=Condition(if_version=entry.version)
                        )
                    except ConditionError:
                        continue
                    break

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(count_up, range(4)))
        assert place.get("counter") == b"40"


class TestCopy:
    """What ``copy`` does and refuses."""

    def test_copies(self, place: Place) -> None:
        """A copy has the bytes and leaves its source; its entry tells of the copy."""
        place.put("from", b"bytes")
        entry = place.store.copy(
            f"{place.root}from", f"{place.root}deep/to", digest=digest_bytes(b"bytes")
        )
        assert (place.get("from"), place.get("deep/to")) == (b"bytes", b"bytes")
        assert entry.key == f"{place.root}deep/to"
        found = place.store.stat(entry.key)
        assert found is not None
        assert entry.version == found.version

    @pytest.mark.parametrize("data", [b"", b"x" * (CHUNK_BYTES * 2 + 1)])
    def test_any_size(self, place: Place, data: bytes) -> None:
        """Empty objects and objects of several pieces are copied whole."""
        place.put("from", data)
        place.store.copy(f"{place.root}from", f"{place.root}to", digest=digest_bytes(data))
        assert data == place.get("to")

    def test_replaces(self, place: Place) -> None:
        """A copy over a longer object leaves the new bytes only, under a new version."""
        place.put("from", b"new")
        old = place.put("to", b"much longer")
        entry = place.store.copy(
            f"{place.root}from", f"{place.root}to", digest=digest_bytes(b"new")
        )
        assert place.get("to") == b"new"
        assert old != entry.version

    def test_copy_is_apart_from_its_source(self, place: Place) -> None:
        """What happens to the source afterwards does not reach the copy."""
        place.put("from", b"bytes")
        place.store.copy(f"{place.root}from", f"{place.root}to", digest=digest_bytes(b"bytes"))
        place.put("from", b"other")
        place.store.delete([f"{place.root}from"])
        assert place.get("to") == b"bytes"

    def test_missing_source(self, place: Place) -> None:
        """A copy of nothing leaves the object that stands, and names what is missing."""
        place.put("to", b"old")
        with pytest.raises(MissingObjectError, match="not-there"):
            place.store.copy(f"{place.root}not-there", f"{place.root}to", digest=digest_bytes(b"x"))
        assert place.get("to") == b"old"

    def test_wrong_digest_is_refused(self, place: Place) -> None:
        """A copy of other bytes than announced leaves the object that stands."""
        place.put("from", b"rotten")
        old = place.put("to", b"old")
        with pytest.raises(ChecksumError, match="to"):
            place.store.copy(f"{place.root}from", f"{place.root}to", digest=digest_bytes(b"sound!"))
        found = place.store.stat(f"{place.root}to")
        assert found is not None
        assert (b"old", old) == (place.get("to"), found.version)
        assert place.listed() == ["from", "to"]

    def test_from_another_store(self, place: Place) -> None:
        """A copy can come from another store of the same kind, named by its URL."""
        key = f"{place.root}a"
        place.another.put(key, Body.of_bytes(b"elsewhere"))
        place.store.copy(key, key, digest=digest_bytes(b"elsewhere"), source_url=place.another.url)
        assert place.get("a") == b"elsewhere"

    def test_version_that_was_asked_before(self, place: Place) -> None:
        """A source whose version is said is copied as it stands at that version."""
        key = f"{place.root}a"
        entry = place.another.put(key, Body.of_bytes(b"elsewhere"))
        made = place.store.copy(
            key,
            key,
            digest=digest_bytes(b"elsewhere"),
            source_url=place.another.url,
            source_version=entry.version,
        )
        found = place.store.stat(key)
        assert (place.get("a"), found and found.version) == (b"elsewhere", made.version)

    def test_replaced_version_is_not_copied(self, place: Place) -> None:
        """A source that has other bytes than at the version that is said is never copied."""
        key = f"{place.root}a"
        entry = place.another.put(key, Body.of_bytes(b"elsewhere"))
        place.another.put(key, Body.of_bytes(b"elsewhat!"))
        with pytest.raises(ChecksumError):
            place.store.copy(
                key,
                key,
                digest=digest_bytes(b"elsewhere"),
                source_url=place.another.url,
                source_version=entry.version,
            )
        assert place.listed() == []

    def test_missing_source_in_another_store_names_it(self, place: Place) -> None:
        """Where the source is missing in another store, the message names that store."""
        with pytest.raises(MissingObjectError) as caught:
            place.store.copy(
                f"{place.root}a",
                f"{place.root}a",
                digest=digest_bytes(b"x"),
                source_url=place.another.url,
            )
        assert f"{place.another.url}/{place.root}a" in str(caught.value)


class TestDelete:
    """What ``delete`` does."""

    def test_deletes(self, place: Place) -> None:
        """Deleted objects are gone, others stay."""
        for key in ("a/b", "a/c", "d"):
            place.put(key, b"x")
        place.store.delete([f"{place.root}a/b", f"{place.root}d"])
        assert place.listed() == ["a/c"]

    def test_may_be_repeated(self, place: Place) -> None:
        """Deleting nothing, or what is gone, is no error."""
        place.put("a", b"x")
        for _ in range(2):
            place.store.delete([f"{place.root}a", f"{place.root}never/there"])
        place.store.delete([])
        assert place.listed() == []

    def test_takes_any_iterable(self, place: Place) -> None:
        """Keys may come from a generator, read once."""
        for key in ("a", "b"):
            place.put(key, b"x")
        place.store.delete(f"{place.root}{key}" for key in ("a", "b"))
        assert place.listed() == []

    def test_key_can_be_used_again(self, place: Place) -> None:
        """A key below a folder that was emptied can be written at once."""
        place.put("a/b/c", b"x")
        place.store.delete([f"{place.root}a/b/c"])
        place.put("a/b", b"y")
        assert place.get("a/b") == b"y"

    def test_deleting_beside_writing(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        """Writers and deleters in the same folders do not hinder each other."""
        monkeypatch.setattr(os, "fsync", lambda _: None)  # more turns in less time

        def work(number: int) -> None:
            for turn in range(100):
                key = f"{place.root}a/b/{number}-{turn}"
                place.store.put(key, Body.of_bytes(b"x"))
                place.store.delete([key])

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        assert place.listed() == []


class TestSweep:
    """What ``sweep`` leaves."""

    def test_objects_stay(self, place: Place) -> None:
        """Sweeping, also of a store that does not exist yet, touches no object."""
        place.store.sweep()
        version = place.put("a/b", b"x")
        place.store.sweep()
        place.store.sweep()
        found = place.store.stat(f"{place.root}a/b")
        assert found is not None
        assert (["a/b"], version) == (place.listed(), found.version)

    def test_live_writers_are_left(self, place: Place, tmp_path: Path) -> None:
        """A sweep in the middle of a put does not disturb it."""
        path = tmp_path / "file"
        path.write_bytes(b"x" * (CHUNK_BYTES * 2))
        sweeping = Calling(place.store.sweep)
        body = Body(digest_bytes(path.read_bytes()), path)
        place.store.put(f"{place.root}a", body, progress=sweeping)
        assert sweeping.calls
        assert path.read_bytes() == place.get("a")


class TestKeys:
    """Which keys are keys."""

    @pytest.mark.parametrize(
        "key",
        [
            "with space",
            " leading and trailing ",
            "naïve/ünïcødé/数据/🚢",
            "e\u0301",
            "a#b?c=d&e%20f%",
            "%2e%2e/x",
            "..a/b..",
            "quote'\"`$(x);|<>*[]{}~!^",
            "back\\slash",
            "-rf",
            ".hidden",
            "CON",
            "a:b@c",
        ],
    )
    def test_odd_keys(self, place: Place, key: str) -> None:
        """A key of odd characters is written, listed, read, copied and deleted as it stands."""
        place.put(key, b"odd")
        assert [key] == place.listed()
        assert [place.root + key] == [e.key for e in place.store.list(place.root + key)]
        assert place.get(key) == b"odd"
        place.store.copy(place.root + key, f"{place.root}copy of", digest=digest_bytes(b"odd"))
        assert place.get("copy of") == b"odd"
        place.store.delete([place.root + key])
        assert place.listed() == ["copy of"]

    def test_longest_key(self, place: Place) -> None:
        """A key of 1,024 bytes of UTF-8 can be written, read, listed and deleted."""
        segments = "/".join(["é" * 100] * 5)
        key = segments + "x" * (1024 - len((place.root + segments).encode()))
        assert len((place.root + key).encode()) == 1024
        place.put(key, b"x")
        assert ([key], b"x") == (place.listed(), place.get(key))
        place.store.delete([place.root + key])
        assert place.listed() == []

    def test_forms_of_unicode_are_different_keys(self, place: Place) -> None:
        """Two Unicode forms of one letter are two keys, and neither is rewritten."""
        composed = unicodedata.normalize("NFC", "é")
        decomposed = unicodedata.normalize("NFD", "é")
        place.put(composed, b"one")
        place.put(decomposed, b"two")
        assert (place.get(composed), place.get(decomposed)) == (b"one", b"two")

    @pytest.mark.parametrize("key", BAD_KEYS.values(), ids=BAD_KEYS)
    def test_bad_keys_cannot_be_written(self, place: Place, tmp_path: Path, key: str) -> None:
        """A name that is no key is refused by every write, and nothing changes anywhere."""
        place.put("sound", b"x")
        before = sorted(tmp_path.rglob("*"))
        digest = digest_bytes(b"x")
        with pytest.raises(StoreError):
            place.store.put(place.root + key, Body.of_bytes(b"x"))
        with pytest.raises(StoreError):
            place.store.copy(f"{place.root}sound", place.root + key, digest=digest)
        with pytest.raises(StoreError):
            place.store.delete([place.root + key])
        assert place.listed() == ["sound"]
        assert before == sorted(tmp_path.rglob("*"))

    @pytest.mark.parametrize("key", BAD_KEYS.values(), ids=BAD_KEYS)
    def test_bad_keys_cannot_be_read(self, place: Place, tmp_path: Path, key: str) -> None:
        """A name that is no key reads nothing, not even a file that stands there."""
        (tmp_path / "x").write_bytes(b"secret")
        place.put("sound", b"x")
        with pytest.raises(StoreError):
            place.store.get(place.root + key)
        with pytest.raises(StoreError):
            place.store.digest(place.root + key)
        with pytest.raises(StoreError):
            place.store.copy(place.root + key, f"{place.root}to", digest=digest_bytes(b"secret"))
        assert place.listed() == ["sound"]

    @pytest.mark.parametrize("prefix", ["../", "../one/", "a/../../"])
    def test_listing_stays_inside(self, place: Place, tmp_path: Path, prefix: str) -> None:
        """A prefix that climbs out lists nothing, or is refused by an error of ours."""
        place.put("a/b", b"x")
        (tmp_path / "outside").write_bytes(b"x")
        try:
            found = place.store.list(prefix)
        except StoreError:
            found = []
        assert found == []


class TestDeleteVersion:
    """Deleting an object only as it was seen."""

    def test_version_that_stands(self, place: Place) -> None:
        """An object that still has the version is deleted, and no other."""
        version = place.put("a/b", b"one")
        place.put("a/c", b"one")
        place.store.delete_version(f"{place.root}a/b", version)
        assert place.listed() == ["a/c"]

    def test_version_that_was_replaced(self, place: Place) -> None:
        """An object that was written since stays, and the error says so."""
        version = place.put("a", b"one")
        place.put("a", b"two")
        with pytest.raises(ConditionError):
            place.store.delete_version(f"{place.root}a", version)
        assert place.get("a") == b"two"

    def test_object_that_is_gone(self, place: Place) -> None:
        """There is nothing to delete where no object stands."""
        version = place.put("a", b"one")
        place.store.delete([f"{place.root}a"])
        with pytest.raises(ConditionError):
            place.store.delete_version(f"{place.root}a", version)

    def test_one_of_many_deletes(self, place: Place) -> None:
        """Of several that delete one version at once, one does."""
        version = place.put("a", b"one")

        def run(_: int) -> bool:
            try:
                place.store.delete_version(f"{place.root}a", version)
            except ConditionError:
                return False
            return True

        with ThreadPoolExecutor(RACERS) as pool:
            assert sum(pool.map(run, range(RACERS))) == 1
        assert place.listed() == []


class TestTime:
    """When an object was written."""

    def test_listing_tells_when(self, place: Place) -> None:
        """The time is aware, and between before and after the write, give or take clocks."""
        before = datetime.now(UTC) - timedelta(seconds=5)
        place.put("a", b"one")
        after = datetime.now(UTC) + timedelta(seconds=5)
        (entry,) = place.store.list(place.root)
        assert entry.modified_at is not None
        assert before <= entry.modified_at <= after

    def test_copy_is_as_old_as_the_copy(self, place: Place) -> None:
        """A copy was written when it was made, not when its source was."""
        place.put("a", b"one")
        first = place.store.stat(f"{place.root}a")
        entry = place.store.copy(f"{place.root}a", f"{place.root}b", digest=digest_bytes(b"one"))
        assert first is not None
        assert first.modified_at is not None
        assert entry.modified_at is not None
        assert entry.modified_at >= first.modified_at


class TestHold:
    """Holds: what nobody can delete or overwrite until a person lifts it."""

    @pytest.fixture
    def held(self, place: Place) -> Place:
        """A place with a held object, and one beside it that is not."""
        if reason := place.store.cannot_hold():
            pytest.skip(reason)
        place.put("a/b", b"one")
        place.put("a/c", b"one")
        place.store.hold([f"{place.root}a/b"])
        return place

    def test_held_is_told_by_prefix(self, held: Place) -> None:
        """Below a prefix the held keys are told, and no others."""
        assert held.store.held(f"{held.root}a/") == {f"{held.root}a/b"}
        assert held.store.held(f"{held.root}b/") == frozenset()

    def test_held_object_stays(self, held: Place) -> None:
        """A held object is neither deleted nor overwritten; it can be read and copied."""
        at = f"{held.root}a/b"
        found = held.store.stat(at)
        assert found is not None
        for act in (
            lambda: held.store.delete([at]),
            lambda: held.store.delete_version(at, found.version),
            lambda: held.store.put(at, Body.of_bytes(b"two")),
            lambda: held.store.copy(f"{held.root}a/c", at, digest=digest_bytes(b"one")),
        ):
            with pytest.raises(StoreError):
                act()
        assert held.get("a/b") == b"one"
        held.store.copy(at, f"{held.root}d", digest=digest_bytes(b"one"))
        assert held.get("d") == b"one"

    def test_object_beside_it_goes(self, held: Place) -> None:
        """A hold is on one object and no other."""
        held.store.delete([f"{held.root}a/c"])
        assert held.listed() == ["a/b"]

    def test_hold_keeps_the_version(self, held: Place) -> None:
        """A hold changes no byte, so that the version stays, and may be repeated."""
        before = held.store.stat(f"{held.root}a/c")
        for _ in range(2):
            held.store.hold([f"{held.root}a/c"])
        after = held.store.stat(f"{held.root}a/c")
        assert before is not None
        assert after is not None
        assert before.version == after.version

    def test_hold_of_nothing(self, held: Place) -> None:
        """An object that is not there cannot be held."""
        with pytest.raises(MissingObjectError):
            held.store.hold([f"{held.root}none"])


class TestNoHold:
    """Places that cannot hold."""

    def test_refused_with_the_reason(self, place: Place) -> None:
        """Where nothing can be held nothing is, and asking for it is refused with the reason."""
        reason = place.store.cannot_hold()
        if not reason:
            pytest.skip("it can")
        place.put("a", b"one")
        assert place.store.held(place.root) == frozenset()
        with pytest.raises(StoreError, match=reason):
            place.store.hold([f"{place.root}a"])


class TestAccess:
    """Asking, before anything long, for all that a release needs."""

    def test_place_that_may_be_written(self, place: Place) -> None:
        """It is said without a word, and nothing lasts of the question."""
        place.put("a", b"one")
        before = place.store.list()
        for _ in range(2):
            place.store.require_access(place.root)
        assert before == place.store.list()

    def test_place_that_does_not_exist(self, place: Place) -> None:
        """A place that the first write would make may be written."""
        place.another.require_access(place.root)
        assert place.another.list() == []

    def test_nothing_is_unfinished(self, place: Place) -> None:
        """Where every upload has ended none is listed, and ending none is no error."""
        place.put("a", b"one")
        assert [*place.store.unfinished(place.root)] == []
        place.store.abandon([])


class TestReaders:
    """What a reader sees while somebody writes."""

    @pytest.mark.parametrize("old", [None, b"o" * (3 * CHUNK_BYTES)])
    def test_reader_inside_a_put(self, place: Place, tmp_path: Path, old: bytes | None) -> None:
        """In the middle of a put a reader finds what stood there before, or nothing."""
        if old is not None:
            place.put("a", old)
        path = tmp_path / "file"
        path.write_bytes(b"n" * (3 * CHUNK_BYTES))
        seen: list[tuple[list[str], bytes | None]] = []
        look = Calling(lambda: seen.append((place.listed(), read_or_none(place, "a"))))
        body = Body(digest_bytes(path.read_bytes()), path)
        place.store.put(f"{place.root}a", body, progress=look)
        assert seen
        for keys, data in seen:
            assert ([] if old is None else ["a"], old) == (keys, data)
        assert path.read_bytes() == place.get("a")

    def test_polling_reader_never_sees_a_part(self, place: Place, tmp_path: Path) -> None:
        """A reader that polls while big objects replace each other sees only whole ones."""
        whole = [bytes([65 + turn]) * (2 * CHUNK_BYTES) for turn in range(2)]
        bodies = []
        for turn, data in enumerate(whole):
            path = tmp_path / f"file-{turn}"
            path.write_bytes(data)
            bodies.append(Body(digest_bytes(data), path))
        place.store.put(f"{place.root}a", bodies[0])
        done = threading.Event()

        def poll() -> tuple[int, set[str]]:
            faults: set[str] = set()
            for turn in count(1):
                entry = place.store.stat(f"{place.root}a")
                if place.get("a") not in whole:
                    faults.add("a part")
                if entry is None or entry.size_bytes != 2 * CHUNK_BYTES:
                    faults.add(f"entry {entry}")
                if place.listed() != ["a"]:
                    faults.add("another listing")
                if done.is_set() or turn == 100_000:
                    return turn, faults
            raise AssertionError

        with ThreadPoolExecutor(2) as pool:
            polls = [pool.submit(poll) for _ in range(2)]
            for turn in range(1, 13):
                place.store.put(f"{place.root}a", bodies[turn % 2])
                place.store.copy(f"{place.root}a", f"{place.root}a", digest=bodies[turn % 2].digest)
            done.set()
            results = [each.result() for each in polls]
        assert [set(), set()] == [faults for _, faults in results]
        assert all(turns > 1 for turns, _ in results)

    def test_range_reads_of_a_version(self, place: Place) -> None:
        """Ranges put together are the object."""
        data = bytes(range(256))
        place.put("a", data)
        pieces = [place.store.get(f"{place.root}a", at, at + 100) for at in range(0, 300, 100)]
        assert data == b"".join(pieces)


class TestModel:
    """A store is a dictionary of keys and bytes."""

    @settings(
        max_examples=25,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(
        steps=st.lists(
            st.tuples(
                st.sampled_from(["put", "create", "copy", "delete", "sweep"]),
                st.sampled_from(["a/x", "a/y", "b/c/z", "d"]),
                st.sampled_from(["a/x", "a/y", "b/c/z", "d"]),
                st.binary(max_size=6),
            ),
            max_size=12,
        )
    )
    def test_behaves_as_a_dictionary(
        self, place: Place, steps: list[tuple[str, str, str, bytes]]
    ) -> None:
        """After any series of writes a store holds what a dictionary would."""
        place.store.delete([each.key for each in place.store.list()])
        model: dict[str, bytes] = {}
        for verb, key, other, data in steps:
            apply_step(place, model, verb, key, other, data)
            assert model == {name: place.get(name) for name in place.listed()}


class Counting(Progress):
    """Counts bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def relative_update(self, inc: int = 1) -> None:
        """Count."""
        self.total += inc


class Calling(Progress):
    """Calls a function at every piece."""

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__()
        self._act = act
        self.calls = 0

    def relative_update(self, inc: int = 1) -> None:
        """Call it."""
        del inc
        self.calls += 1
        self._act()


class Interrupting(Progress):
    """Interrupts at the first piece, as a signal would."""

    def relative_update(self, inc: int = 1) -> None:
        """Interrupt."""
        raise KeyboardInterrupt(inc)


def race(store: Store, key: str, condition: Condition) -> list[bytes]:
    """Put one key from several threads at once; return the bytes of those that won."""
    barrier = threading.Barrier(RACERS)

    def run(number: int) -> bytes | None:
        data = b"racer %d" % number
        barrier.wait(timeout=30)
        try:
            store.put(key, Body.of_bytes(data), condition=condition)
        except ConditionError:
            return None
        return data

    with ThreadPoolExecutor(RACERS) as pool:
        return [data for data in pool.map(run, range(RACERS)) if data is not None]


def read_or_none(place: Place, key: str) -> bytes | None:
    """Read an object, or None where there is none."""
    try:
        return place.get(key)
    except MissingObjectError:
        return None


def apply_step(
    place: Place, model: dict[str, bytes], verb: str, key: str, other: str, data: bytes
) -> None:
    """Do one step to a store and to a dictionary; both refuse the same."""
    at, source = place.root + key, place.root + other
    if verb == "put":
        place.put(key, data)
        model[key] = data
    elif verb == "create" and key in model:
        with pytest.raises(ConditionError):
            place.store.put(at, Body.of_bytes(data), condition=IF_ABSENT)
    elif verb == "create":
        place.store.put(at, Body.of_bytes(data), condition=IF_ABSENT)
        model[key] = data
    elif verb == "copy" and other not in model:
        with pytest.raises(MissingObjectError):
            place.store.copy(source, at, digest=digest_bytes(data))
    elif verb == "copy":
        place.store.copy(source, at, digest=digest_bytes(model[other]))
        model[key] = model[other]
    elif verb == "delete":
        place.store.delete([at, source])
        model.pop(key, None)
        model.pop(other, None)
    else:
        place.store.sweep()
