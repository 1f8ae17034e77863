"""Tests of what may go from a depot, and of what must never."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.errors import GuardError, LockedError, ManifestError
from lading.release.environments import STAGING_ROOT
from lading.release.names import manifest_key
from lading.release.objects import digest_bytes
from lading.ship.depot import DepotTarget
from lading.ship.locks import PrefixLock
from lading.ship.promote import PrefixTarget
from lading.ship.prune import (
    PruneChanges,
    Records,
    observe_records,
    plan_prune,
    prune_depot,
    prune_place,
    refuse_locked,
)
from lading.ship.shipment import Shipment
from lading.ship.target import settle
from lading.storage import Body, MemoryStore, StagingGuard, Store, Unfinished
from tests.fakes.releases import STABLE, make_release, make_shipment
from tests.fakes.stores import FakeWatchedStore

LATER = datetime.now(UTC) + timedelta(days=365)
OBJECTS = ".lading/objects/"
MOVING = {"nightly": ("nightly", "eel-hole"), "stable": ("stable",)}


class World:
    """One store, and releases that were shipped to it one after another."""

    def __init__(self, folder: Path, root: str = "") -> None:
        self.folder = folder
        self.store: Store = MemoryStore()
        self.root = root
        self.shipped: list[Shipment] = []

    def ship(self, day: int, *, tag: str = "", files: Iterable[str] = ()) -> Shipment:
        """Ship a release of a file of its own, one that all have, and more."""
        tag = tag or f"nightly-2025-02-{day:02d}"
        content = {"own.txt": b"day %d" % day, "all.txt": b"all"}
        content |= {name: name.encode() for name in files}
        release = make_release(tag, staging=bool(self.root))
        shipment = make_shipment(self.folder / f"{tag}-{len(self.shipped)}", content, release)
        place = release.destinations[0]
        settle(DepotTarget(self.store, place, shipment))
        for prefix in place.prefixes:
            settle(PrefixTarget(self.store, self.store, place, prefix, shipment))
        self.shipped.append(shipment)
        return shipment

    def records(self) -> Records:
        """Read what the store tells."""
        names = [name for names in MOVING.values() for name in names]
        return observe_records(self.store, self.root, names, tagged)

    def plan(self, *, keep: int = 2, before: datetime = LATER) -> PruneChanges:
        """Plan."""
        depot = self.store.list(f"{self.root}{OBJECTS}")
        return plan_prune([self.records()], depot, {}, keep=keep, before=before)

    def prune(self, *, keep: int = 2) -> PruneChanges:
        """Plan and act."""
        changes = self.plan(keep=keep)
        prune_place(self.store, changes)
        prune_depot(self.store, changes)
        return changes

    def listed(self, below: str = "") -> set[str]:
        """Return the keys below the root."""
        return {each.key for each in self.store.list(f"{self.root}{below}")}


def tagged(channel: str, tag: str) -> list[str]:
    """Name the prefixes that a tag has of its own."""
    return [tag] if channel == "stable" else []


def objects_of(*shipments: Shipment) -> set[str]:
    """Return the depot keys of releases."""
    return {OBJECTS + each.sha256 for s in shipments for each in s.objects.values()}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a world to which three nights were shipped."""
    made = World(tmp_path)
    for day in (1, 2, 3):
        made.ship(day)
    return made


def test_newest_releases_stay(world: World) -> None:
    """Objects, manifest and history of the two newest stay; those of the first alone go."""
    first, *kept = world.shipped
    changes = world.prune()
    assert {each.key for each in changes.objects} == objects_of(first) - objects_of(*kept)
    assert world.listed(OBJECTS) == objects_of(*kept)
    assert world.listed(".lading/releases/") == {
        manifest_key("", "nightly", each.release.tag) for each in kept
    }
    assert len(world.listed(".lading/history/nightly/")) == 2
    assert world.plan().is_empty


def test_planning_deletes_nothing(world: World) -> None:
    """A plan is made without a write, and is not empty."""
    before = world.listed()
    watched = world.store = FakeWatchedStore(world.store)
    assert not world.plan().is_empty
    assert (watched.writes, world.listed()) == ([], before)


def test_public_objects_stay(world: World) -> None:
    """No public key is touched."""
    before = {key for key in world.listed() if not key.startswith(".lading/")}
    world.prune(keep=1)
    assert before == {key for key in world.listed() if not key.startswith(".lading/")}


def test_what_is_young_stays(world: World) -> None:
    """Nothing goes that was written after the moment, or of which no time is known."""
    changes = world.plan(before=datetime.now(UTC) - timedelta(hours=24))
    assert changes.is_empty
    ageless = [replace(each, modified_at=None) for each in world.store.list(OBJECTS)]
    assert not plan_prune([world.records()], ageless, {}, keep=1, before=LATER).objects


def test_same_release_again_is_one(world: World) -> None:
    """Releases are counted, not promotions: going back and forth keeps both."""
    for shipment in (world.shipped[1], world.shipped[2], world.shipped[1]):
        place = shipment.release.destinations[0]
        for prefix in place.prefixes:
            settle(PrefixTarget(world.store, world.store, place, prefix, shipment))
    world.prune()
    assert world.listed(OBJECTS) == objects_of(*world.shipped[1:])


def test_immutable_prefix_keeps_its_objects(world: World) -> None:
    """What a stable release names stays for good, however many nights follow."""
    stable = world.ship(9, tag=STABLE)
    for day in (4, 5, 6):
        world.ship(day)
    world.prune(keep=1)
    assert world.listed(OBJECTS) == objects_of(stable, world.shipped[-1])
    assert manifest_key("", "stable", STABLE) in world.listed()


@pytest.mark.parametrize("lost", [".lading/history/", f".lading/history/{STABLE}/"])
def test_standing_release_needs_no_history(world: World, lost: str) -> None:
    """What stands as release.json is kept, also where its history was lost."""
    stable = world.ship(9, tag=STABLE)
    following = world.ship(10, tag="v2025.3.1")  # so that `stable` no longer names the first
    world.store.delete(sorted(world.listed(lost)))
    world.prune(keep=1)
    assert objects_of(stable, following, world.shipped[2]) <= world.listed(OBJECTS)


def test_prefix_that_is_no_longer_configured(world: World) -> None:
    """A prefix of which only the history tells keeps what stands there and its releases."""
    records = observe_records(world.store, "", (), lambda *_: ())
    assert set(records.history) == {"nightly", "eel-hole"}
    assert set(records.standing) == {"nightly/release.json", "eel-hole/release.json"}


def test_tag_released_again(tmp_path: Path) -> None:
    """Two releases of one tag are two: both manifests are kept, and all that they name."""
    world = World(tmp_path)
    both = [world.ship(1, files=["first"]), world.ship(1, files=["second"])]
    assert world.plan().is_empty
    world.prune(keep=1)
    assert world.listed(OBJECTS) == objects_of(both[1])
    assert len(world.listed(".lading/releases/")) == 1


@pytest.mark.parametrize("data", [None, b"{}", b"{"])
def test_kept_manifest_that_cannot_be_read(world: World, data: bytes | None) -> None:
    """Where a kept manifest is lost or broken nothing is known to be of no use."""
    key = manifest_key("", "nightly", world.shipped[1].release.tag)
    world.store.delete([key])
    if data is not None:
        world.store.put(key, Body.of_bytes(data))
    with pytest.raises(ManifestError, match="expected the manifest of nightly nightly-2025-02-02"):
        world.plan()


def test_standing_manifest_that_cannot_be_read(world: World) -> None:
    """A broken release.json that stands refuses too."""
    world.store.put("eel-hole/release.json", Body.of_bytes(b"{}"))
    with pytest.raises(ManifestError, match=r"eel-hole/release\.json: expected a manifest"):
        world.plan()


def test_broken_entry_of_the_history(world: World) -> None:
    """An entry that cannot be read may name what is needed, so that nothing goes."""
    world.store.put(".lading/history/nightly/2025.json", Body.of_bytes(b"?"))
    with pytest.raises(ManifestError, match=r"2025\.json: expected an entry of the history"):
        world.plan()


def test_held_lock_refuses(world: World) -> None:
    """While a release is promoted nothing is pruned; an expired lock is no hindrance."""
    refuse_locked(world.store, "")
    lock = PrefixLock(
        world.store, ".lading/locks/nightly", channel="nightly", tag="t", manifest_sha256="m"
    )
    lock.acquire()
    with pytest.raises(LockedError, match=r"expected no release under way, .*`doit unlock"):
        refuse_locked(world.store, "")
    refuse_locked(world.store, STAGING_ROOT)
    lock._lease = timedelta(seconds=-1)
    lock.acquire()
    refuse_locked(world.store, "")


def test_environments_are_apart(tmp_path: Path) -> None:
    """Pruning staging deletes below its root only, and pruning production nothing below it."""
    world, staged = World(tmp_path / "p"), World(tmp_path / "s", STAGING_ROOT)
    inner = staged.store = world.store
    for day in (1, 2, 3):
        world.ship(day)
    staged.store = StagingGuard(inner, STAGING_ROOT)
    for day in (1, 2, 3):
        staged.ship(day)
    before = {key for key in world.listed() if not key.startswith(STAGING_ROOT)}
    assert staged.prune().objects
    assert before == {key for key in world.listed() if not key.startswith(STAGING_ROOT)}
    left = staged.listed()
    assert world.prune().objects
    assert left == staged.listed()
    with pytest.raises(GuardError):
        prune_depot(staged.store, replace(world.plan(), objects=tuple(inner.list(OBJECTS))))


def test_shared_depot_keeps_for_all(tmp_path: Path) -> None:
    """An object that only another place of the same depot needs stays."""
    one, two = World(tmp_path / "one"), World(tmp_path / "two")
    one.ship(1)
    two.ship(2)
    depot = [*one.store.list(OBJECTS), *two.store.list(OBJECTS)]
    records = [replace(one.records(), url="one"), replace(two.records(), url="two")]
    assert plan_prune(records, depot, {}, keep=1, before=LATER).is_empty
    assert not plan_prune(records[:1], depot, {}, keep=1, before=LATER).is_empty


def test_names_that_are_not_ours(world: World) -> None:
    """An object of the depot that has no digest as its name is left alone."""
    world.store.put(f"{OBJECTS}README", Body.of_bytes(b"x"))
    world.store.put(f"{OBJECTS}{'0' * 64}", Body.of_bytes(b"x"))
    assert [each.key for each in world.plan(keep=9).objects] == [f"{OBJECTS}{'0' * 64}"]


def test_unfinished_uploads() -> None:
    """An upload that was begun before the moment goes; a younger one stays."""
    now = datetime.now(UTC)
    old, young = (
        Unfinished(key=name, upload=name, begun_at=now - timedelta(hours=hours))
        for name, hours in (("old", 30), ("young", 2))
    )
    before = now - timedelta(hours=24)
    changes = plan_prune([], [], {"s3://b": [old, young]}, keep=2, before=before)
    assert changes.uploads == {"s3://b": (old,)}
    assert not changes.is_empty


def test_cut_prune_goes_on(world: World) -> None:
    """Cut after the history or after the manifests, the next run takes the rest."""
    kept = objects_of(*world.shipped[1:])
    changes = world.plan()
    world.store.delete(changes.history[world.store.url])
    changes = world.plan()
    assert changes.manifests[world.store.url]
    world.store.delete(changes.manifests[world.store.url])
    assert world.prune().objects
    assert world.listed(OBJECTS) == kept


@settings(deadline=None, max_examples=40)
@given(
    days=st.lists(st.integers(1, 5), min_size=1, max_size=8),
    keep=st.integers(1, 4),
)
def test_whatever_was_shipped(
    tmp_path_factory: pytest.TempPathFactory, days: list[int], keep: int
) -> None:
    """After any series of releases exactly the newest distinct ones are whole in the depot."""
    world = World(tmp_path_factory.mktemp("world"))
    for day in days:
        world.ship(day)
    world.prune(keep=keep)
    newest = [*dict.fromkeys(reversed(days))][:keep]
    kept = [next(s for s in world.shipped if s.release.tag.endswith(f"{d:02d}")) for d in newest]
    assert world.listed(OBJECTS) == objects_of(*kept)
    found = digest_bytes(world.store.get("nightly/release.json")).sha256
    assert found == world.shipped[-1].manifest_sha256
