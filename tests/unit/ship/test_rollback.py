"""Tests of going back to an earlier release."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from lading.errors import RollbackError, StoreError
from lading.release.names import Prefix, ReleaseDestination, manifest_key
from lading.release.objects import digest_bytes
from lading.ship.depot import DepotTarget
from lading.ship.history import Promotion
from lading.ship.promote import PrefixTarget
from lading.ship.rollback import (
    Site,
    choose_promotion,
    load_histories,
    missing_of,
    require_rollback,
    targets_of,
)
from lading.ship.shipment import Shipment
from lading.ship.target import settle
from lading.storage import Body, Entry, MemoryStore
from tests.fakes.releases import NEXT_NIGHTLY, NIGHTLY, make_release, make_shipment
from tests.fakes.stores import Cut, CutError, FakeWatchedStore

OLD = {"a.txt": b"old", "gone.txt": b"gone"}
NEW = {"a.txt": b"new", "fresh.txt": b"fresh"}


def stood(text: str) -> tuple[Promotion, ...]:
    """Return a history: a letter a release, the latest first; small: by rollback."""
    return tuple(
        Promotion(each.upper(), f"sha {each.upper()}", "c", "x" if each.islower() else "")
        for each in text
    )


@pytest.mark.parametrize(
    ("histories", "tag", "expected"),
    [
        (["BA"], "", "A"),
        (["BBA", "BA"], "", "A"),
        (["ABA"], "", "B"),
        (["CBA"], "A", "A"),
        (["CBA"], "C", "C"),
        (["BA", "B"], "A", "A"),
        (["BA", ""], "A", "A"),
        (["aBA"], "", "A"),  # repeated: it stays
        (["aBA", "BA"], "", "A"),  # cut between two prefixes: it goes on
        (["BaBA"], "", "A"),
        (["aCBA"], "C", "C"),
    ],
)
def test_choice(histories: list[str], tag: str, expected: str) -> None:
    """All places go back to what stood before, or to the tag that was named."""
    places = {f"gcs {number}": stood(text) for number, text in enumerate(histories)}
    assert choose_promotion(places, tag).tag == expected


@pytest.mark.parametrize(
    ("histories", "tag", "said"),
    [
        ([], "", "expected a channel with a prefix that moves"),
        ([""], "", "gcs 0: expected a history of promotions, found none"),
        (["A"], "", "gcs 0: expected a release before A, found none"),
        (["AAA"], "", "expected a release before A"),
        (["BA", "B"], "", "gcs 1: expected a release before B"),
        (
            ["CB", "CA"],
            "",
            "gcs 0: expected one release to go back to, found B here and A at gcs 1",
        ),
        (["BA"], "X", r"tag: expected one of the history \(B, A\), got 'X'"),
        (["", ""], "X", r"the history \(it is empty\)"),
    ],
)
def test_no_choice(histories: list[str], tag: str, said: str) -> None:
    """Where nothing is earlier, or the places disagree, one line says so."""
    places = {f"gcs {number}": stood(text) for number, text in enumerate(histories)}
    with pytest.raises(RollbackError, match=said) as caught:
        choose_promotion(places, tag)
    assert "\n" not in str(caught.value)


def test_one_tag_with_two_manifests() -> None:
    """A tag that names other bytes at another place is refused with both manifests."""
    places = {"a": (Promotion("t", "one", "c"),), "b": (Promotion("t", "two", "c"),)}
    with pytest.raises(RollbackError, match="manifest one here and manifest two at b"):
        choose_promotion(places, "t")


def test_missing_objects() -> None:
    """An object is there if its size is right, and its digest where the listing tells it."""
    digest = digest_bytes(b"abc")
    sound = Entry(key="k", size_bytes=3, version="1")
    assert missing_of({"k": digest}, {digest.sha256: sound}) == []
    assert missing_of({"k": digest}, {digest.sha256: replace(sound, digest=digest)}) == []
    wrong = digest_bytes(b"xyz")
    for entry in (replace(sound, size_bytes=4), replace(sound, digest=wrong)):
        assert missing_of({"k": digest}, {digest.sha256: entry}) == ["k"]
    assert missing_of({"k": digest}, {}) == ["k"]


class World:
    """Two destinations that hold two nightly releases."""

    def __init__(self, folder: Path) -> None:
        self.old = make_shipment(folder / "old", OLD, make_release(NIGHTLY))
        self.new = make_shipment(folder / "new", NEW, make_release(NEXT_NIGHTLY))
        self.stores = [MemoryStore("memory://one"), MemoryStore("memory://two")]
        place = self.old.release.destinations[0]
        self.places = [replace(place, name=name, prefixes=named(place, name)) for name in "ab"]
        for shipment in (self.old, self.new):
            for store, each in zip(self.stores, self.places, strict=True):
                ship(store, each, shipment)

    def sites(self, stores: Sequence[object] = ()) -> list[Site]:
        """Return the sites, over other stores of the same objects if given."""
        chosen = stores or self.stores
        return [
            Site(place, store, store)  # type: ignore[arg-type]
            for place, store in zip(self.places, chosen, strict=True)
        ]

    def back(self, tag: str = "", stores: Sequence[object] = ()) -> None:
        """Do what the task does."""
        sites = self.sites(stores)
        promotion = choose_promotion(load_histories(sites, tag), tag)
        manifests = require_rollback(sites, promotion)
        for target in targets_of(sites, promotion, manifests).values():
            settle(target)

    def contents(self) -> Iterator[dict[str, bytes]]:
        """Yield the content of every prefix."""
        for store in self.stores:
            for name in ("nightly", "eel-hole"):
                below = f"{name}/"
                yield {e.key.removeprefix(below): store.get(e.key) for e in store.list(below)}


def named(place: ReleaseDestination, name: str) -> tuple[Prefix, ...]:
    """Return the prefixes of a destination under another name."""
    return tuple(replace(each, destination=name) for each in place.prefixes)


def ship(store: MemoryStore, place: ReleaseDestination, shipment: Shipment) -> None:
    """Ship a release to one destination."""
    settle(DepotTarget(store, place, shipment))
    for prefix in place.prefixes:
        settle(PrefixTarget(store, store, place, prefix, shipment))


def released(shipment: Shipment) -> dict[str, bytes]:
    """Return what a prefix must hold."""
    files = {key: path.read_bytes() for key, path in shipment.paths.items()}
    return {**files, **shipment.documents}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a world in which the second release stands."""
    return World(tmp_path)


def test_every_prefix_goes_back(world: World) -> None:
    """Every prefix of every destination holds the earlier release, and the history tells it."""
    world.back()
    assert [released(world.old)] * 4 == list(world.contents())
    histories = load_histories(world.sites())
    assert {h[0].tag for h in histories.values()} == {NIGHTLY}
    assert {h[0].rollback_of for h in histories.values()} == {world.new.manifest_sha256}


def test_no_byte_leaves_the_machine(world: World) -> None:
    """A rollback copies inside the cloud: no file of the release is sent."""
    watched = [FakeWatchedStore(each) for each in world.stores]
    world.back(stores=watched)
    public = [key for each in watched for verb, key in each.writes if verb == "put"]
    assert all(key.startswith(".lading/") and "/objects/" not in key for key in public)


def test_repeated(world: World) -> None:
    """The same command again changes nothing; a newer release brings readers forward."""
    world.back()
    watched = [FakeWatchedStore(each) for each in world.stores]
    world.back(stores=watched)
    assert [each.writes for each in watched] == [[], []]
    for store, place in zip(world.stores, world.places, strict=True):
        ship(store, place, world.new)
    assert [released(world.new)] * 4 == list(world.contents())


def test_cut_anywhere_it_converges(tmp_path: Path) -> None:
    """Cut before any write, the same command without a tag finishes the rollback."""
    for number in range(1, 30):
        world = World(tmp_path / str(number))
        cut = Cut(number)
        try:
            world.back(stores=[FakeWatchedStore(each, before=cut) for each in world.stores])
        except CutError:
            world.back()
        assert [released(world.old)] * 4 == list(world.contents()), f"cut at {number}"
    assert cut.happened


@pytest.mark.parametrize("lost", ["object", "size", "manifest", "other manifest", "access"])
def test_gate_is_over_all_destinations(world: World, lost: str) -> None:
    """What the last destination lacks is told before the first prefix anywhere is switched."""
    store = world.stores[1]
    key = f".lading/objects/{digest_bytes(b'old').sha256}"
    manifest = manifest_key("", "nightly", NIGHTLY)
    said = "expected the manifest of nightly-2025-02-05, found none; it was pruned"
    if lost == "manifest":
        store.delete([manifest])
    elif lost == "other manifest":
        store.put(manifest, Body.of_bytes(store.get(manifest_key("", "nightly", NEXT_NIGHTLY))))
    elif lost == "access":
        store.require_access = refuse  # type: ignore[method-assign]
        said = "403"
    else:
        store.delete([key])
        said = "expected the bytes of a.txt of nightly-2025-02-05, found other or none"
        if lost == "size":
            store.put(key, Body.of_bytes(b"longer"))
    before = list(world.contents())
    with pytest.raises((RollbackError, StoreError), match=said):
        world.back()
    assert before == list(world.contents())


def refuse(root: str) -> None:
    """Refuse as a store does."""
    raise StoreError(f"403 below {root!r}")


def test_immutable_prefix_is_never_a_target(world: World) -> None:
    """A prefix that is never rewritten is no target of a rollback."""
    sites = world.sites()
    place = replace(
        world.places[0],
        prefixes=tuple(replace(e, immutable=True) for e in world.places[0].prefixes),
    )
    promotion = choose_promotion(load_histories(sites))
    manifests = require_rollback(sites, promotion)
    found = targets_of([replace(sites[0], destination=place), sites[1]], promotion, manifests)
    assert [*found] == ["b nightly", "b eel-hole"]
