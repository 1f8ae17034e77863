"""Rollback: every moving prefix of a channel back to one earlier release, by promotion.

Nothing is guessed: what to go back to is read from the histories, and every destination must
still hold all of it before the first prefix is switched.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lading.errors import ManifestError, RollbackError
from lading.release.manifest import Manifest, depot_key_of
from lading.release.names import Prefix, Release, ReleaseDestination
from lading.release.objects import Digest
from lading.ship.history import Promotion, load_promoted, promotions
from lading.ship.promote import PrefixTarget
from lading.ship.shipment import Shipment
from lading.storage import Entry, Store


@dataclass(frozen=True, slots=True)
class Site:
    """A destination of the channel, and its stores."""

    destination: ReleaseDestination
    """Its names, with the moving prefixes of the channel."""
    store: Store
    """The store of its public objects."""
    depot: Store
    """The store of its depot."""


def place_of(prefix: Prefix) -> str:
    """Name a prefix at its destination, for people."""
    return f"{prefix.destination} {prefix.name}"


def load_histories(sites: Sequence[Site], tag: str = "") -> dict[str, tuple[Promotion, ...]]:
    """Load what stood at each prefix, by place, the latest first, as far back as it matters."""
    return {
        place_of(prefix): _load_history(site.store, prefix, tag)
        for site in sites
        for prefix in site.destination.prefixes
    }


def _load_history(store: Store, prefix: Prefix, tag: str) -> tuple[Promotion, ...]:
    rows: list[Promotion] = []
    for each in promotions(store, prefix):
        rows.append(each)
        if not tag and (rows[0].rollback_of or each.manifest_sha256 != rows[0].manifest_sha256):
            break
        if each.tag == tag:
            break
    return tuple(rows)


def choose_promotion(histories: Mapping[str, Sequence[Promotion]], tag: str = "") -> Promotion:
    """Choose the one release that all prefixes go back to. Pure.

    Args:
        histories: what stood at each place, the latest first.
        tag: the tag to go back to; "": what stood before what stands now, or what stands
            where that is by a rollback already, so that the same command may be repeated.

    Raises:
        RollbackError: there is none, or the places name different ones.
    """
    found = _of_tag(histories, tag) if tag else _before(histories)
    first, *others = found.items()
    for place, promotion in others:
        if promotion.manifest_sha256 != first[1].manifest_sha256:
            raise RollbackError(
                f"{first[0]}: expected one release to go back to, found"
                f" {_describe(first[1], tag)} here and {_describe(promotion, tag)} at {place}",
                hint="name it: `tag=...`" if not tag else "release the tag again instead",
            )
    return first[1]


def _of_tag(histories: Mapping[str, Sequence[Promotion]], tag: str) -> dict[str, Promotion]:
    """Take the latest promotion of a tag at each place that knows it; one must."""
    found = {
        place: next(each for each in history if each.tag == tag)
        for place, history in histories.items()
        if any(each.tag == tag for each in history)
    }
    if found:
        return found
    known = sorted({each.tag for history in histories.values() for each in history}, reverse=True)
    raise RollbackError(
        f"tag: expected one of the history ({', '.join(known[:5]) or 'it is empty'}), got {tag!r}"
    )


def _before(histories: Mapping[str, Sequence[Promotion]]) -> dict[str, Promotion]:
    """Take at each place what stood before; what stands, where a rollback has brought it back."""
    if not histories:
        raise RollbackError("type: expected a channel with a prefix that moves, found none")
    found = {}
    for place, history in histories.items():
        if not history:
            raise RollbackError(
                f"{place}: expected a history of promotions, found none",
                hint="nothing was released there; `tag=...` takes what the other places hold",
            )
        standing = history[0].manifest_sha256
        before = [e for e in history if e.rollback_of or e.manifest_sha256 != standing]
        if not before:
            raise RollbackError(
                f"{place}: expected a release before {history[0].tag}, found none in its history"
            )
        found[place] = before[0]
    return found


def _describe(promotion: Promotion, tag: str) -> str:
    return f"manifest {promotion.manifest_sha256[:16]}" if tag else promotion.tag


def missing_of(objects: Mapping[str, Digest], held: Mapping[str, Entry]) -> list[str]:
    """Name the keys of a release whose bytes a depot does not hold. Pure.

    Args:
        objects: the release, digest by key.
        held: the depot's listing, by sha256.
    """
    return [
        key
        for key, digest in objects.items()
        if digest.sha256 not in held
        or held[digest.sha256].size_bytes != digest.size_bytes
        or not digest.agrees_with(held[digest.sha256].digest or digest)
    ]


def require_rollback(sites: Sequence[Site], promotion: Promotion) -> dict[str, Manifest]:
    """Ask every destination for everything, before any prefix is switched.

    Returns:
        The manifest, by name of the destination: the same one.

    Effects: none that last.

    Raises:
        RollbackError: naming the first destination that lacks the manifest or an object.
        StoreError: a destination that could not be written.
    """
    manifests = {}
    for site in sites:
        manifests[site.destination.name] = _require_site(site, promotion)
    for site in sites:
        site.store.require_access(site.destination.root)
    return manifests


def _require_site(site: Site, promotion: Promotion) -> Manifest:
    destination = site.destination
    root = destination.root
    where = f"{site.store.url}/{root}"
    try:
        manifest = load_promoted(site.store, root, promotion)
    except ManifestError as error:
        raise RollbackError(str(error)) from error
    if manifest is None:
        raise RollbackError(
            f"{where}: expected the manifest of {promotion.tag}, found none",
            hint=f"it was pruned; release {promotion.tag} again with `doit distribute`",
        )
    shipment = Shipment(release_of(promotion, destination), manifest, {})
    if shipment.manifest_sha256 != promotion.manifest_sha256:
        raise RollbackError(
            f"{where}: expected a manifest as this version writes it, found one of"
            f" {manifest.tool.name} {manifest.tool.version}",
            hint="go back with that version",
        )
    prefix = f"{root}{depot_key_of('')}"
    held = {each.key.removeprefix(prefix): each for each in site.depot.list(prefix)}
    missing = missing_of(shipment.objects, held)
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise RollbackError(
            f"{site.depot.url}/{prefix}: expected the bytes of {missing[0]}{more} of"
            f" {promotion.tag}, found other or none",
            hint=f"they were pruned; release {promotion.tag} again with `doit distribute`",
        )
    return manifest


def release_of(promotion: Promotion, destination: ReleaseDestination) -> Release:
    """Return an earlier release, as far as a promotion from the depot needs it."""
    return Release(
        project="",
        channel=promotion.channel,
        tag=promotion.tag,
        environment=destination.environment,
        source_url="",
        destinations=(destination,),
        calls=(),
        deposit_ignore=None,
    )


def targets_of(
    sites: Sequence[Site], promotion: Promotion, manifests: Mapping[str, Manifest]
) -> dict[str, PrefixTarget]:
    """Return each moving prefix as a target of the earlier release, by place; no immutable one."""
    found = {}
    for site in sites:
        destination = site.destination
        release = release_of(promotion, destination)
        shipment = Shipment(release, manifests[destination.name], {})
        for prefix in destination.prefixes:
            if not prefix.immutable:
                found[place_of(prefix)] = PrefixTarget(
                    site.store, site.depot, destination, prefix, shipment, is_rollback=True
                )
    return found
