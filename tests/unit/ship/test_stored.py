"""Tests of assets that stand in storage already: read once, copied from there."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from lading.config.models import Config
from lading.errors import GuardError, VerifyError
from lading.release.objects import Digest
from lading.release.stored import StoredAsset
from lading.ship.depot import DepotTarget
from lading.ship.stored import StoredPlace, find_stored, has_changed, prove_stored
from lading.ship.target import settle
from lading.storage import Progress
from lading.storage.memory import memory_store
from tests.fakes.publishing import make_maps_config
from tests.fakes.releases import make_release, make_shipment
from tests.fakes.stores import FakeWatchedStore

DATA = b"tiles" * 1000


class Read(Progress):
    """Counts the bytes that were read."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0

    def relative_update(self, inc: int = 1) -> None:
        """Count."""
        self.size += inc


@dataclass(frozen=True)
class World:
    """An asset in a folder that stands for a bucket."""

    base: Path
    config: Config
    asset: StoredAsset

    @property
    def file(self) -> Path:
        """Its file."""
        return self.base / "library" / "a.bin"

    def find(self) -> StoredPlace:
        """Find it, as a new process would."""
        return find_stored(self.config, self.base, self.asset, self.base / "notes")

    def prove(self, **more: Any) -> int:
        """Prove it; return how many bytes were read."""
        read, place = Read(), self.find()
        prove_stored(place, place.spool, progress=read, **more)
        return read.size


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return the asset, sound."""
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "a.bin").write_bytes(DATA)
    digest = Digest(size_bytes=len(DATA), sha256=hashlib.sha256(DATA).hexdigest())
    return World(tmp_path, make_maps_config(), StoredAsset("a.bin", "library/a.bin", digest))


def test_read_once(world: World) -> None:
    """An asset is read once, and again only where it changed, or its MD5 is wanted."""
    assert not world.find().is_proved
    assert world.prove() == len(DATA)
    assert world.prove() == 0
    place = world.find()
    assert (place.is_proved, has_changed(place)) == (True, False)
    assert place.digest.crc32c
    assert world.prove(md5=True) == len(DATA)
    assert world.prove() == 0
    assert world.find().digest.md5
    other = world.file.with_name("b.bin")
    other.write_bytes(DATA)
    other.replace(world.file)
    assert has_changed(world.find())
    assert world.prove() == len(DATA)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (None, "expected an object, found none"),
        (DATA + b"1", "expected 5000 bytes, found 5001"),
        (DATA[:-1] + b"S", "expected sha256 "),
    ],
)
def test_other_bytes(world: World, data: bytes | None, expected: str) -> None:
    """A missing asset, one of another size, and one of other bytes are each told as that."""
    world.prove()
    world.file.unlink()
    if data is not None:
        world.file.write_bytes(data)
    with pytest.raises(VerifyError, match=f"a.bin: library/a.bin: {expected}"):
        world.prove()


def test_other_crc32c(world: World) -> None:
    """Where a CRC32C was said it must be right, too."""
    wrong = replace(world.asset, digest=replace(world.asset.digest, crc32c="AAAAAA=="))
    with pytest.raises(VerifyError, match="expected crc32c AAAAAA==, found "):
        replace(world, asset=wrong).prove()


def test_note_of_other_bytes(world: World) -> None:
    """What was read under this URL for another list proves nothing for this one."""
    world.prove()
    other = replace(world.asset, digest=replace(world.asset.digest, sha256="ab" * 32))
    assert not replace(world, asset=other).find().is_proved
    (note,) = (world.base / "notes").iterdir()
    note.write_text("[]")
    assert not world.find().is_proved


def test_only_read(world: World) -> None:
    """The place of an asset cannot be written."""
    with pytest.raises(GuardError):
        world.find().store.delete(["a.bin"])


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("library/a.bin", {"folder", "other"}),
        ("file:///data/a.bin", {"folder", "other"}),
        ("memory://b/k/a.bin", {"bucket"}),
    ],
)
def test_who_copies(world: World, url: str, expected: set[str]) -> None:
    """Destinations of the same kind copy it; to all others its bytes are sent."""
    config = make_maps_config(
        destinations={
            "folder": {"url": "one"},
            "other": {"url": "two"},
            "bucket": {"url": "memory://c"},
        }
    )
    found = find_stored(config, world.base, replace(world.asset, url=url), world.base / "notes")
    assert found.copied_by == expected
    assert found.key.rpartition("/")[2] == "a.bin"


def test_who_copies_of_one_kind(world: World) -> None:
    """Destinations of another endpoint or account are another cloud, of whatever kind."""
    here = {"endpoint": "http://127.0.0.1:1", "anonymous": True}
    config = make_maps_config(
        destinations={
            "own": {"url": "s3://library/maps", **here},
            "same": {"url": "s3://maps", **here},
            "other": {"url": "s3://others", "anonymous": True},
            "account": {"url": "s3://more", **here, "profile": "p"},
        }
    )
    asset = replace(world.asset, url="s3://library/a.bin")
    found = find_stored(config, world.base, asset, world.base / "notes")
    assert found.copied_by == {"own", "same"}


def test_fetched(world: World) -> None:
    """Its bytes stand here as a file while they are sent, and no longer."""
    with world.find().fetched() as path:
        assert path.read_bytes() == DATA
    assert [*(world.base / "notes").iterdir()] == []


@pytest.mark.parametrize("same_cloud", [True, False])
def test_into_the_depot(tmp_path: Path, *, same_cloud: bool) -> None:
    """The depot of the same cloud copies an asset; another one is sent its bytes, once."""
    name = f"memory://stored-{tmp_path.name}-{same_cloud}"
    source, store = memory_store(f"{name}-source"), memory_store(name)
    release = make_release()
    shipment = make_shipment(tmp_path, {"a.bin": DATA}, release)
    digest = shipment.objects["a.bin"]
    source.put("x/a.bin", shipment.bodies()[digest.sha256])
    (tmp_path / "a.bin").unlink()
    entry = source.stat("x/a.bin")
    assert entry is not None
    place = StoredPlace(
        StoredAsset("a.bin", f"{name}-source/x/a.bin", digest),
        digest,
        source,
        "x/a.bin",
        entry.version,
        frozenset({"gcs"} if same_cloud else ()),
        tmp_path / "spool",
    )
    stored = replace(shipment, paths={}, stored={digest.sha256: place})
    (destination,) = release.destinations
    seen: list[tuple[str, str]] = []
    watched = FakeWatchedStore(store, before=lambda operation, key: seen.append((operation, key)))
    changes, receipt = settle(DepotTarget(watched, destination, stored))
    assert digest.sha256 in receipt.objects
    assert [each.sha256 for each in changes.copy] == ([digest.sha256] if same_cloud else [])
    key = f"{destination.depot_prefix}{digest.sha256}"
    assert ("copy" if same_cloud else "put", key) in seen
    assert ("put" if same_cloud else "copy", key) not in seen
    assert store.get(key) == DATA
