"""One release, read by the digest of its manifest, whatever was promoted since."""

from pathlib import Path

import pytest

from lading.errors import ManifestError, VerifyError
from lading.release.manifest import depot_key_of
from lading.release.objects import digest_bytes
from lading.ship.depot import DepotTarget
from lading.ship.pinned import fetch_pinned, load_pinned
from lading.ship.promote import PrefixTarget
from lading.ship.shipment import Shipment
from lading.ship.target import settle
from lading.storage import NO_PROGRESS, Body, LocalStore, Store
from tests.fakes.releases import NEXT_NIGHTLY, NIGHTLY, make_release, make_shipment

OLD = {"a.txt": b"old a", "b.txt": b"b"}
NEW = {"a.txt": b"new a", "c.txt": b"c"}


def promote(store: Store, shipment: Shipment) -> None:
    """Release to every prefix of a store."""
    destination = shipment.release.destinations[0]
    settle(DepotTarget(store, destination, shipment))
    for prefix in destination.prefixes:
        settle(PrefixTarget(store, store, destination, prefix, shipment))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A destination."""
    return LocalStore(tmp_path / "cloud")


@pytest.fixture
def old(tmp_path: Path, store: Store) -> Shipment:
    """The release of a night, promoted."""
    shipment = make_shipment(tmp_path / "old", OLD, make_release(NIGHTLY))
    promote(store, shipment)
    return shipment


@pytest.mark.parametrize("index", [0, 1])
def test_standing_release(store: Store, old: Shipment, index: int) -> None:
    """What stands at a prefix is found by its digest."""
    prefix = old.release.prefixes[index]
    assert load_pinned(store, prefix, old.manifest_sha256) == old.manifest


@pytest.mark.parametrize("tag", [NEXT_NIGHTLY, NIGHTLY])
def test_release_that_was_switched_away(
    store: Store, old: Shipment, tag: str, tmp_path: Path
) -> None:
    """What stood before is found too, whether the tag is another or was released again."""
    new = make_shipment(tmp_path / "new", NEW, make_release(tag))
    promote(store, new)
    prefix = old.release.prefixes[0]
    assert load_pinned(store, prefix, old.manifest_sha256) == old.manifest
    assert load_pinned(store, prefix, new.manifest_sha256) == new.manifest


def test_prefix_in_the_middle_of_a_switch(store: Store, old: Shipment) -> None:
    """Where release.json is away for a moment, the history tells."""
    prefix = old.release.prefixes[0]
    store.delete([f"{prefix.key_prefix}release.json"])
    assert load_pinned(store, prefix, old.manifest_sha256) == old.manifest


def test_unknown_release(store: Store, old: Shipment) -> None:
    """A digest that no release had is refused in one line."""
    wanted = digest_bytes(b"another").sha256
    with pytest.raises(ManifestError, match=f"expected release.json with sha256 {wanted}") as told:
        load_pinned(store, old.release.prefixes[0], wanted)
    assert "\n" not in str(told.value)


def test_bytes_come_from_the_depot(store: Store, old: Shipment, tmp_path: Path) -> None:
    """A file is read under its digest, though its name has other bytes by now."""
    promote(store, make_shipment(tmp_path / "new", NEW, make_release(NEXT_NIGHTLY)))
    for file in old.manifest.files:
        fetch_pinned(store, "", file, tmp_path / "file", NO_PROGRESS)
        assert (tmp_path / "file").read_bytes() == OLD[file.key]


def test_other_bytes_in_the_depot(store: Store, old: Shipment, tmp_path: Path) -> None:
    """Bytes that are not those of the digest are refused, of whatever size."""
    file = old.manifest.files[0]
    store.put(depot_key_of(file.sha256), Body.of_bytes(b"OLD A"))
    with pytest.raises(VerifyError, match="expected sha256"):
        fetch_pinned(store, "", file, tmp_path / "file", NO_PROGRESS)
