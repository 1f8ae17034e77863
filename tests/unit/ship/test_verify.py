"""Tests of proving a release again, from any machine."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from lading.errors import ManifestError
from lading.release.manifest import Manifest
from lading.release.objects import digest_bytes
from lading.release.receipts import Receipt
from lading.ship.depot import DepotTarget
from lading.ship.locks import PrefixLock
from lading.ship.promote import PrefixTarget
from lading.ship.shipment import Shipment
from lading.ship.target import settle
from lading.ship.verify import Finding, load_released_manifest, verify_destination
from lading.storage import Body, LocalStore, ReadOnly
from tests.fakes.releases import make_release, make_shipment
from tests.fakes.stores import FakeWatchedStore

FILES = {"a.txt": b"aaaa", "b.txt": b"bbbb", "deep/c.txt": b"cccc"}


@dataclass
class Shipped:
    """A release that was shipped, and the receipts of it."""

    store: LocalStore
    shipment: Shipment
    receipts: dict[str, Receipt | None]

    def verify(
        self,
        *,
        store: FakeWatchedStore | None = None,
        local: Manifest | None = None,
        receipts: dict[str, Receipt | None] | None = None,
        deep: bool = False,
    ) -> list[Finding]:
        """Verify it."""
        place = store or ReadOnly(self.store)
        release = self.shipment.release
        return verify_destination(
            place,
            place,
            release.destinations[0],
            release,
            local=local,
            receipts=self.receipts if receipts is None else receipts,
            deep=deep,
        )

    def faults(self, *, deep: bool = False) -> dict[str, tuple[str, ...]]:
        """Return the faults by place, of places that have some."""
        return {each.place: each.faults for each in self.verify(deep=deep) if each.faults}


@pytest.fixture
def shipped(tmp_path: Path) -> Shipped:
    """Ship a release to a folder."""
    store = LocalStore(tmp_path / "cloud")
    release = make_release()
    shipment = make_shipment(tmp_path / "build", FILES, release)
    destination = release.destinations[0]
    _, receipt = settle(DepotTarget(store, destination, shipment))
    receipts: dict[str, Receipt | None] = {receipt.task: receipt}
    for prefix in destination.prefixes:
        _, receipt = settle(PrefixTarget(store, store, destination, prefix, shipment))
        receipts[receipt.task] = receipt
    return Shipped(store, shipment, receipts)


def test_release_as_it_was_shipped(shipped: Shipped) -> None:
    """A sound destination has one finding for the depot and one a prefix, without a fault."""
    assert [
        Finding("gcs depot", 5, ()),
        Finding("gcs nightly", 5, ()),
        Finding("gcs eel-hole", 5, ()),
    ] == shipped.verify(local=shipped.shipment.manifest)


@pytest.mark.parametrize("deep", [False, True])
def test_no_receipts_are_needed(shipped: Shipped, *, deep: bool) -> None:
    """A machine that knows nothing verifies as well, by asking each object."""
    watched = FakeWatchedStore(shipped.store)
    found = shipped.verify(store=watched, receipts={}, deep=deep)
    assert [each.faults for each in found] == [(), (), ()]
    assert sum(1 for verb, _ in watched.reads if verb == "digest") == 15
    assert watched.writes == []


def test_receipts_save_questions(shipped: Shipped) -> None:
    """With receipts no object is asked, unless every one is to be."""
    watched = FakeWatchedStore(shipped.store)
    shipped.verify(store=watched)
    assert [each for each in watched.reads if each[0] == "digest"] == []
    shipped.verify(store=watched, deep=True)
    assert sum(1 for verb, _ in watched.reads if verb == "digest") == 15


@pytest.mark.parametrize("deep", [False, True])
def test_changed_object(shipped: Shipped, *, deep: bool) -> None:
    """An object of the same size and other bytes is told by place and key."""
    shipped.store.put("nightly/a.txt", Body.of_bytes(b"AAAA"))
    assert shipped.faults(deep=deep) == {
        "gcs nightly": (f"a.txt: expected {digest_bytes(b'aaaa').describe()}, found other bytes",)
    }


def test_missing_and_added_objects(shipped: Shipped) -> None:
    """What is missing and what is too much are both told, each once."""
    shipped.store.delete(["eel-hole/b.txt"])
    shipped.store.put("eel-hole/more", Body.of_bytes(b"12345"))
    assert shipped.faults() == {
        "gcs eel-hole": (
            f"b.txt: expected {digest_bytes(b'bbbb').describe()}, found none",
            "more: expected no object, found 5 bytes that no release put there",
        )
    }


def test_depot(shipped: Shipped) -> None:
    """A missing and a rotten object of the depot are told by their names."""
    gone, rotten = (digest_bytes(data).sha256 for data in (b"aaaa", b"bbbb"))
    shipped.store.delete([f".lading/objects/{gone}"])
    shipped.store.put(f".lading/objects/{rotten}", Body.of_bytes(b"BBBB"))
    (faults,) = shipped.faults().values()
    assert [faults[0].startswith(gone), faults[1].startswith(rotten)] == [True, True]
    assert faults[0].endswith("found none")
    assert faults[1].endswith("found other bytes")


def test_only_a_deep_look_finds_what_hides(shipped: Shipped) -> None:
    """Bytes that changed under an unchanged version are found when every object is asked."""
    path = Path(shipped.store.url) / "nightly/a.txt"
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"AAAA")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert shipped.faults() == {}
    assert [*shipped.faults(deep=True)] == ["gcs nightly"]


def test_lock_is_told(shipped: Shipped) -> None:
    """A prefix whose lock stands is not as it should be; owner and release are told."""
    PrefixLock(
        shipped.store,
        ".lading/locks/nightly",
        channel="nightly",
        tag="next",
        manifest_sha256="next",
    ).acquire()
    ((place, faults),) = shipped.faults().items()
    assert place == "gcs nightly"
    assert f"found one of nightly next held by process {os.getpid()} on" in faults[0]


def test_other_manifest_on_this_machine(shipped: Shipped) -> None:
    """A machine that made another release of the same tag is told so."""
    other = shipped.shipment.manifest.model_copy(update={"commit": "f" * 40})
    faults = [each.faults for each in shipped.verify(local=other)]
    assert (*faults,) == (
        ("expected this machine's release.json, found another of the same tag",),
        (),
        (),
    )


def test_release_that_was_never_shipped(shipped: Shipped, tmp_path: Path) -> None:
    """Where the release was never promoted each prefix says so."""
    shipped.store = LocalStore(tmp_path / "empty")
    expected = ("expected a promoted release nightly-2025-02-05, found none",)
    assert shipped.faults() == {"gcs nightly": expected, "gcs eel-hole": expected}
    assert not (tmp_path / "empty").exists()


def test_kept_manifest(shipped: Shipped) -> None:
    """The manifest that the destination keeps is the one that was shipped."""
    destination = shipped.shipment.release.destinations[0]
    tag = shipped.shipment.release.tag
    assert shipped.shipment.manifest == load_released_manifest(shipped.store, destination, tag)
    assert load_released_manifest(shipped.store, destination, "nightly-1999-01-01") is None


@pytest.mark.parametrize("data", [b"", b"{}", b"{", b"\xff", b'{"schema_version": 2}'])
def test_broken_kept_manifest(shipped: Shipped, data: bytes) -> None:
    """A kept manifest that cannot be read is an error that names its place."""
    release = shipped.shipment.release
    key = release.destinations[0].manifest_key(release.tag)
    shipped.store.put(key, Body.of_bytes(data))
    with pytest.raises(ManifestError, match=f"{shipped.store.url}/{key}: expected a manifest"):
        shipped.verify()
