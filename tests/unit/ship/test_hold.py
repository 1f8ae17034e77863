"""Tests of holds on the objects of a prefix."""

from pathlib import Path

import pytest

from lading.errors import StoreError, VerifyError
from lading.release.names import Prefix
from lading.release.objects import Digest, digest_bytes
from lading.ship.depot import DepotTarget
from lading.ship.hold import HoldTarget, plan_hold
from lading.ship.promote import PrefixTarget
from lading.ship.shipment import Shipment
from lading.ship.target import settle
from lading.ship.verify import verify_destination
from lading.storage import Body, MemoryStore, ReadOnly
from tests.fakes.releases import make_release, make_shipment
from tests.fakes.stores import FakeWatchedStore

FILES = {"a.txt": b"aaaa", "deep/er/c.txt": b"cccc"}
A, B = digest_bytes(b"a"), digest_bytes(b"b")


@pytest.fixture
def shipment(tmp_path: Path) -> Shipment:
    """Return a release."""
    return make_shipment(tmp_path, FILES, make_release())


@pytest.fixture
def store(shipment: Shipment) -> MemoryStore:
    """Return a store to which the release was promoted."""
    place = MemoryStore()
    destination = shipment.release.destinations[0]
    settle(DepotTarget(place, destination, shipment))
    for prefix in destination.prefixes:
        settle(PrefixTarget(place, place, destination, prefix, shipment))
    return place


def held_prefix(root: str = "") -> Prefix:
    """Return the prefix as a channel that asks for a hold names it."""
    return Prefix(
        destination="gcs",
        name="nightly",
        root=root,
        immutable=False,
        held=True,
        is_staging=root == "staging/",
    )


def faults(store: MemoryStore, shipment: Shipment) -> list[str]:
    """Verify the prefix, as held, and return its faults."""
    place = shipment.release.destinations[0]
    object.__setattr__(place, "prefixes", (held_prefix(),))
    found = verify_destination(
        ReadOnly(store), store, place, shipment.release, local=None, receipts={}, deep=False
    )
    return [fault for each in found for fault in each.faults]


@pytest.mark.parametrize(
    ("standing", "held", "expected"),
    [
        ({}, (), ({"k": A}, {}, {})),
        ({"k": A}, (), ({"k": A}, {}, {})),
        ({"k": B}, (), ({"k": A}, {}, {})),
        ({"k": A}, ("k",), ({}, {}, {"k": A})),
        ({"k": B}, ("k",), ({}, {"k": A}, {})),
        ({"k": A, "other": B}, ("k", "other"), ({}, {}, {"k": A})),
    ],
)
def test_plan(
    standing: dict[str, Digest], held: tuple[str, ...], expected: tuple[dict[str, Digest], ...]
) -> None:
    """Objects of the release are held, are yet to be held, or are held with other bytes."""
    found = plan_hold({"k": A}, standing, frozenset(held))
    assert expected == (found.hold, found.wrong, found.kept)
    assert found.is_empty == (expected[2] == {"k": A})


def test_every_object_is_held_and_no_other(store: MemoryStore, shipment: Shipment) -> None:
    """Files of every level and both documents are held; foreign objects and others are not."""
    store.put("nightly/foreign", Body.of_bytes(b"x"))
    changes, receipt = settle(HoldTarget(store, held_prefix(), shipment))
    assert len(changes.hold) == 4
    assert {f"nightly/{key}" for key in shipment.objects} == store.held("")
    assert (receipt.task, [*receipt.objects]) == ("hold:gcs-nightly", [*shipment.objects])


def test_rerun_changes_nothing(store: MemoryStore, shipment: Shipment) -> None:
    """Over held objects nothing is written, and all is proved again."""
    settle(HoldTarget(store, held_prefix(), shipment))
    watched = FakeWatchedStore(store)
    changes, _ = settle(HoldTarget(watched, held_prefix(), shipment))
    assert (changes.is_empty, watched.writes) == (True, [])


def test_cut_hold_is_finished(store: MemoryStore, shipment: Shipment) -> None:
    """What was held before a cut is not held again; the rest is."""
    store.hold(["nightly/a.txt"])
    watched = FakeWatchedStore(store)
    settle(HoldTarget(watched, held_prefix(), shipment))
    assert ("hold", "nightly/a.txt") not in watched.writes
    assert len(watched.writes) == 3


def test_held_object_of_other_bytes(store: MemoryStore, shipment: Shipment) -> None:
    """A held object with other bytes is named, nothing more is held and no hold is lifted."""
    store.put("nightly/a.txt", Body.of_bytes(b"AAAA"))
    store.hold(["nightly/a.txt"])
    with pytest.raises(VerifyError, match=r"nightly/a\.txt: .* other bytes that are held; no hold"):
        settle(HoldTarget(store, held_prefix(), shipment))
    assert store.held("") == {"nightly/a.txt"}


@pytest.mark.parametrize(("data", "fault"), [(b"AAAA", "found other bytes"), (None, "found none")])
def test_object_not_of_the_release(
    store: MemoryStore, shipment: Shipment, data: bytes | None, fault: str
) -> None:
    """An object that is not the release's stops before anything is held."""
    store.delete(["nightly/a.txt"])
    if data is not None:
        store.put("nightly/a.txt", Body.of_bytes(data))
    with pytest.raises(VerifyError, match=fault):
        settle(HoldTarget(store, held_prefix(), shipment))
    assert store.held("") == frozenset()


def test_hold_that_did_not_take(store: MemoryStore, shipment: Shipment) -> None:
    """A store that says yes and holds nothing is found out by the read-back."""
    target = HoldTarget(store, held_prefix(), shipment)
    store.hold = list  # type: ignore[method-assign,assignment]
    with pytest.raises(VerifyError, match="expected a hold, found none"):
        settle(target)


def test_looking_writes_nothing(store: MemoryStore, shipment: Shipment) -> None:
    """Observing and planning work with a store that refuses every write."""
    target = HoldTarget(ReadOnly(store), held_prefix(), shipment)
    assert not target.plan(target.observe()).is_empty


def test_verify_misses_a_hold(store: MemoryStore, shipment: Shipment) -> None:
    """A hold that the channel asks for and that is missing is a fault; once held it is none."""
    assert "a.txt: expected a hold, found none" in faults(store, shipment)
    settle(HoldTarget(store, held_prefix(), shipment))
    assert faults(store, shipment) == []


def test_verify_where_nothing_can_be_held(store: MemoryStore, shipment: Shipment) -> None:
    """A place that cannot hold is not blamed for it."""
    store.cannot_hold = lambda: "no holds here"  # type: ignore[method-assign]
    assert faults(store, shipment) == []


def test_verify_in_staging(tmp_path: Path) -> None:
    """In staging nothing is held, and nothing is missed."""
    shipment = make_shipment(tmp_path, FILES, make_release(staging=True))
    store, place = MemoryStore(), shipment.release.destinations[0]
    object.__setattr__(place, "prefixes", (held_prefix("staging/"),))
    settle(DepotTarget(store, place, shipment))
    settle(PrefixTarget(store, store, place, place.prefixes[0], shipment))
    found = verify_destination(
        store, store, place, shipment.release, local=None, receipts={}, deep=False
    )
    assert [each.faults for each in found] == [(), ()]


def test_refusal_of_the_store(store: MemoryStore, shipment: Shipment) -> None:
    """What the store says to a hold reaches the person."""

    def refuse(keys: object) -> None:
        raise StoreError(f"403 {type(keys).__name__}")

    store.hold = refuse  # type: ignore[method-assign]
    with pytest.raises(StoreError, match="403"):
        settle(HoldTarget(store, held_prefix(), shipment))
