"""Prune: what no release needs any more is deleted from a depot, and nothing else.

Kept is what a rollback may need and what any standing ``release.json`` names. Where that
cannot be known, nothing is deleted at all.
"""

import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from re import fullmatch

from lading.errors import LockedError, ManifestError, MissingObjectError
from lading.release.layout import RELEASE_KEY
from lading.release.manifest import objects_of, parse_manifest
from lading.release.names import CONTROL
from lading.release.objects import digest_bytes
from lading.ship.history import Promotion, parse_promotion
from lading.ship.locks import is_held, load_lock, unlock_command
from lading.storage import Entry, Store, Unfinished

Documents = Mapping[str, bytes]
_SHA256 = r"[0-9a-f]{64}"


@dataclass(frozen=True, slots=True)
class Records:
    """What one place of public objects tells of its releases."""

    url: str
    """Its URL."""
    history: Mapping[str, tuple[tuple[Entry, Promotion], ...]]
    """What was switched, by name of the prefix, the latest first."""
    manifests: tuple[tuple[Entry, bytes], ...]
    """The manifests that it keeps."""
    standing: Documents
    """The ``release.json`` that stands, by its key."""


@dataclass(frozen=True, slots=True)
class PruneChanges:
    """What may go, of one depot and of the places that are filled from it."""

    objects: tuple[Entry, ...]
    """Objects of the depot."""
    manifests: Mapping[str, tuple[str, ...]]
    """Keys of manifests, by URL of the place."""
    history: Mapping[str, tuple[str, ...]]
    """Keys of entries of the history, by URL of the place."""
    uploads: Mapping[str, tuple[Unfinished, ...]]
    """Uploads that were begun and not ended, by URL of the store."""

    @property
    def size_bytes(self) -> int:
        """Sum of the sizes of the objects."""
        return sum(each.size_bytes for each in self.objects)

    @property
    def is_empty(self) -> bool:
        """Whether nothing may go."""
        parts = (self.manifests, self.history, self.uploads)
        return not self.objects and not any(rows for part in parts for rows in part.values())


def observe_records(
    store: Store,
    root: str,
    prefixes: Iterable[str],
    tagged: Callable[[str, str], Iterable[str]],
) -> Records:
    """Read the history, the kept manifests and the standing ones of a place.

    Args:
        store: the store of the public objects.
        root: the root of the environment.
        prefixes: names of the configured prefixes that need no tag.
        tagged: names of the prefixes that a channel and a tag have of their own.

    Raises:
        ManifestError: an entry of the history that cannot be read.
    """
    history_root, releases_root = f"{root}{CONTROL}history/", f"{root}{CONTROL}releases/"
    entries = store.list(history_root)
    history: dict[str, tuple[tuple[Entry, Promotion], ...]] = {}
    data = _read_all(store, [each.key for each in entries])
    for each in entries:
        name = posixpath.dirname(each.key.removeprefix(history_root))
        promotion = parse_promotion(data[each.key]) if each.key in data else None
        if promotion is None:
            raise ManifestError(
                f"{store.url}/{each.key}: expected an entry of the history, found another object",
                hint="look at it, and remove it if it is none; nothing was pruned",
            )
        history[name] = ((each, promotion), *history.get(name, ()))
    kept = store.list(releases_root)
    found = _read_all(store, [each.key for each in kept])
    names = {*prefixes, *history}
    for each in kept:
        channel, _, file = each.key.removeprefix(releases_root).partition("/")
        names |= {*tagged(channel, file.removesuffix(".json").partition("@")[0])}
    standing = _read_all(store, [f"{root}{name}/{RELEASE_KEY}" for name in sorted(names)])
    manifests = tuple((each, found[each.key]) for each in kept if each.key in found)
    return Records(store.url, history, manifests, standing)


def refuse_locked(store: Store, root: str) -> None:
    """Refuse to prune while a release is being promoted.

    Raises:
        LockedError: naming the lock and who holds it.
    """
    for entry in store.list(f"{root}{CONTROL}locks/"):
        lock = load_lock(store, entry.key)
        if lock is not None and is_held(lock):
            raise LockedError(
                f"{store.url}/{entry.key}: expected no release under way, found"
                f" {lock.channel} {lock.tag} held by {lock.owner}",
                hint="wait until it has ended;"
                f" if its owner is gone, see `{unlock_command(entry.key, lock)}`",
            )


def plan_prune(
    places: Sequence[Records],
    depot: Iterable[Entry],
    unfinished: Mapping[str, Iterable[Unfinished]],
    *,
    keep: int,
    before: datetime,
) -> PruneChanges:
    """Say what may go. Pure.

    Args:
        places: every place that is filled from the depot.
        depot: its objects, named by their sha256 at the end of the key.
        unfinished: uploads that were begun and not ended, by URL of the store.
        keep: how many releases of a prefix stay.
        before: what was written after this moment stays.

    Raises:
        ManifestError: a manifest that is kept cannot be read: then nothing is known to be of
            no use.
    """
    needed: set[str] = set()
    manifests: dict[str, tuple[str, ...]] = {}
    history: dict[str, tuple[str, ...]] = {}
    for place in places:
        kept = {name: _kept_promotions(rows, keep, before) for name, rows in place.history.items()}
        wanted = _wanted_manifests(place, [each for rows in kept.values() for each in rows])
        for sha256, (key, data) in wanted.items():
            manifest = parse_manifest(data, f"{place.url}/{key}")
            needed |= {sha256, *(each.sha256 for each in objects_of(manifest).values())}
        manifests[place.url] = tuple(
            entry.key
            for entry, data in place.manifests
            if digest_bytes(data).sha256 not in wanted and _is_old(entry, before)
        )
        history[place.url] = tuple(
            entry.key
            for name, rows in place.history.items()
            for entry, promotion in rows
            if promotion not in kept[name]
        )
    return PruneChanges(
        objects=tuple(
            each
            for each in depot
            if fullmatch(_SHA256, name := posixpath.basename(each.key))
            and name not in needed
            and _is_old(each, before)
        ),
        manifests=manifests,
        history=history,
        uploads={
            url: tuple(each for each in uploads if each.begun_at <= before)
            for url, uploads in unfinished.items()
        },
    )


def prune_place(store: Store, changes: PruneChanges) -> None:
    """Delete what may go of the records of a place: the history first, then its manifests.

    Effects: only keys of the plan are deleted; cut anywhere, the next run finds the rest.
    """
    store.delete(changes.history.get(store.url, ()))
    store.delete(changes.manifests.get(store.url, ()))


def prune_depot(store: Store, changes: PruneChanges) -> None:
    """Delete what may go of a depot, once the records that named it are gone."""
    store.delete(each.key for each in changes.objects)


def _kept_promotions(
    rows: Iterable[tuple[Entry, Promotion]], keep: int, before: datetime
) -> frozenset[Promotion]:
    """Keep the newest distinct promotions, and those of which nobody can say that they are old."""
    newest: dict[Promotion, None] = {}
    young: set[Promotion] = set()
    for entry, promotion in rows:
        newest.setdefault(promotion)
        if not _is_old(entry, before):
            young.add(promotion)
    return frozenset([*newest][:keep]) | young


def _wanted_manifests(place: Records, kept: Iterable[Promotion]) -> dict[str, tuple[str, bytes]]:
    """Return key and bytes of each manifest that is needed, by sha256."""
    documents = {entry.key: data for entry, data in place.manifests} | dict(place.standing)
    found = {digest_bytes(data).sha256: (key, data) for key, data in documents.items()}
    standing = {digest_bytes(data).sha256 for data in place.standing.values()}
    for promotion in kept:
        if promotion.manifest_sha256 not in found:
            raise ManifestError(
                f"{place.url}: expected the manifest of {promotion.channel} {promotion.tag}"
                f" ({promotion.manifest_sha256[:16]}…), which is kept, found none",
                hint=f"release {promotion.tag} again; nothing was pruned",
            )
    wanted = standing | {each.manifest_sha256 for each in kept}
    return {sha256: found[sha256] for sha256 in sorted(wanted)}


def _is_old(entry: Entry, before: datetime) -> bool:
    return entry.modified_at is not None and entry.modified_at <= before


def _read_all(store: Store, keys: Sequence[str]) -> dict[str, bytes]:
    """Read documents at once; those that do not stand are left out."""

    def read(key: str) -> bytes | None:
        try:
            return store.get(key)
        except MissingObjectError:
            return None

    with ThreadPoolExecutor(max_workers=store.workers) as pool:
        answers = zip(keys, pool.map(read, keys), strict=True)
        return {key: data for key, data in answers if data is not None}
