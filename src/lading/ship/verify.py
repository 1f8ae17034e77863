"""Prove a release again, from any machine: the destination itself says what it should hold."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lading.errors import MissingObjectError
from lading.release.changes import plan_depot, plan_prefix
from lading.release.manifest import Manifest, parse_manifest
from lading.release.names import Prefix, Release, ReleaseDestination
from lading.release.receipts import ProvedObject, Receipt, objects_known
from lading.ship.history import newest_promotion
from lading.ship.locks import load_lock
from lading.ship.observe import observe_objects
from lading.ship.promote import faults_of, keys_that_may_go
from lading.ship.shipment import Shipment
from lading.storage import Store


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found at one place."""

    place: str
    """The depot or prefix, e.g. ``gcs nightly``."""
    objects: int | None
    """How many objects were looked at; None where it is no store."""
    faults: tuple[str, ...]
    """One line a fault; empty: all is as it was released."""
    is_for_a_person: bool = False
    """Whether no release can mend it: all that is wrong is that something stands there that no
    release put there."""


def load_released_manifest(
    store: Store, destination: ReleaseDestination, tag: str
) -> Manifest | None:
    """Load the manifest that a destination keeps of a promoted release, or None."""
    key = destination.manifest_key(tag)
    try:
        return parse_manifest(store.get(key), f"{store.url}/{key}")
    except MissingObjectError:
        return None


def verify_destination(
    store: Store,
    depot: Store,
    destination: ReleaseDestination,
    release: Release,
    *,
    local: Manifest | None,
    receipts: dict[str, Receipt | None],
    deep: bool,
) -> list[Finding]:
    """Compare a destination with the release it should hold.

    Args:
        store: the store of the public objects.
        depot: the store of the depot.
        destination: its names.
        release: the release.
        local: this machine's manifest, if it has one.
        receipts: receipts of earlier runs by task name; they save questions.
        deep: ask every object itself; else trust a version that a receipt knows.

    Returns:
        One finding for the depot, then one a prefix.
    """
    manifest = load_released_manifest(store, destination, release.tag)
    if manifest is None:
        fault = f"expected a promoted release {release.tag}, found none"
        return [Finding(f"{destination.name} {p.name}", 0, (fault,)) for p in destination.prefixes]
    shipment = Shipment(release, manifest, {})
    faults = []
    if local is not None and local != manifest:
        faults.append("expected this machine's release.json, found another of the same tag")
    wanted = {each.sha256: each for each in shipment.objects.values()}
    known = objects_known(None if deep else receipts.get(f"upload:{destination.task}"))
    held = observe_objects(depot, destination.depot_prefix, wanted, known)
    changes = plan_depot(wanted.values(), {key: each.digest for key, each in held.items()})
    faults += [f"{e.sha256}: expected {e.describe()}, found none" for e in changes.send]
    faults += [f"{e.sha256}: expected {e.describe()}, found other bytes" for e in changes.replace]
    findings = [Finding(f"{destination.name} depot", len(wanted), tuple(faults))]
    for prefix in destination.prefixes:
        known = objects_known(None if deep else receipts.get(f"promote:{prefix.task}"))
        findings.append(_verify_prefix(store, prefix, shipment, known))
    return findings


def _verify_prefix(
    store: Store, prefix: Prefix, shipment: Shipment, known: Mapping[str, ProvedObject]
) -> Finding:
    standing = observe_objects(store, prefix.key_prefix, shipment.objects, known)
    ours = keys_that_may_go(store, prefix, standing, shipment.objects)
    digests = {key: each.digest for key, each in standing.items()}
    found = plan_prefix(shipment.objects, digests, ours)
    faults = [f"{key}: {fault}" for key, fault in faults_of(found).items()]
    foreign = [
        f"{key}: expected no object, found {size} bytes that no release put there"
        for key, size in found.foreign.items()
    ]
    faults += [f"{key}: expected a hold, found none" for key in _unheld(store, prefix, found.kept)]
    faults += foreign
    newest = newest_promotion(store, prefix)
    if faults and newest and newest.manifest_sha256 != shipment.manifest_sha256:
        # not damaged: the prefix has moved on
        faults = [f"expected {shipment.release.tag}, found {newest.tag}, which was promoted since"]
    lock = load_lock(store, prefix.lock_key)
    if lock is not None:
        faults.append(
            f"expected no lock, found one of {lock.channel} {lock.tag} held by {lock.owner}"
        )
    place = f"{prefix.destination} {prefix.name}"
    only_foreign = bool(foreign) and faults == foreign
    return Finding(place, len(standing), tuple(faults), only_foreign)


def _unheld(store: Store, prefix: Prefix, kept: Iterable[str]) -> list[str]:
    """Name the objects that the channel wants held and are not, where the place can hold."""
    if not prefix.held or prefix.hold_skipped or store.cannot_hold():
        return []
    held = store.held(prefix.key_prefix)
    return [key for key in kept if f"{prefix.key_prefix}{key}" not in held]
