"""Promotion: a public prefix is switched to a release by copies on the side of the store.

The order is what a reader depends on: new names, changed names, ``SHA256SUMS``,
``release.json``, deletions. An object store has no atomic switch of many names: while the
lock of the prefix stands, plain names may differ from ``release.json``; the depot keys that
``release.json`` names never do.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from lading.errors import VerifyError
from lading.release.changes import PrefixChanges, check_immutable, plan_prefix
from lading.release.manifest import depot_key_of
from lading.release.names import Prefix, ReleaseDestination
from lading.release.objects import Digest
from lading.release.receipts import ProvedObject, Receipt, now_utc, objects_known
from lading.ship.history import (
    keep_manifest,
    keys_of_releases,
    newest_manifest,
    record_promotion,
)
from lading.ship.locks import LockState, PrefixLock
from lading.ship.observe import for_each, note_written, observe_objects
from lading.ship.shipment import Shipment
from lading.storage import Attributes, Progress, Store


@dataclass(frozen=True, slots=True)
class PrefixState:
    """What stands at a prefix."""

    standing: Mapping[str, ProvedObject]
    """Its objects by key without the prefix, sorted."""
    lock: LockState | None
    """The lock that stands, if one does."""
    recorded: str
    """sha256 of the manifest that the history names last, or ""."""
    ours: frozenset[str] | None
    """Keys that releases put there; None: all of them, or nobody had to know."""

    @property
    def digests(self) -> dict[str, Digest]:
        """The digests of its objects by key."""
        return {key: each.digest for key, each in self.standing.items()}


@dataclass(frozen=True, slots=True)
class PrefixPlan:
    """What a prefix still needs."""

    changes: PrefixChanges
    """Its objects."""
    is_recorded: bool
    """Whether the history names this release last."""
    is_locked: bool
    """Whether a lock stands: a promotion was cut, or is going on."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to do."""
        return self.changes.is_empty and self.is_recorded and not self.is_locked


class PrefixTarget:
    """One public prefix, as a target of a release.

    Args:
        store: the store of the public objects.
        depot: the store that the depot stands in; often the same place.
        destination: the destination.
        prefix: the prefix.
        shipment: what must stand there.
        known: the receipt of an earlier run, if there is one.
        is_rollback: whether the history is to tell that an earlier release came back.
    """

    def __init__(
        self,
        store: Store,
        depot: Store,
        destination: ReleaseDestination,
        prefix: Prefix,
        shipment: Shipment,
        *,
        known: Receipt | None = None,
        is_rollback: bool = False,
    ) -> None:
        self._is_rollback = is_rollback
        self._store = store
        self._depot = depot
        self._depot_url = depot.url if depot.url != store.url else ""
        self._destination = destination
        self._prefix = prefix
        self._shipment = shipment
        self._known = objects_known(known)
        self._touched = False
        self._lock = PrefixLock(
            store,
            prefix.lock_key,
            channel=shipment.release.channel,
            tag=shipment.release.tag,
            manifest_sha256=shipment.manifest_sha256,
            has_root=bool(prefix.root) and not prefix.is_staging,
        )

    @property
    def place(self) -> str:
        """URL of the prefix, without a slash at the end."""
        return f"{self._store.url}/{self._prefix.key_prefix}".rstrip("/")

    def observe(self) -> PrefixState:
        """List the prefix, read its lock and the end of its history."""
        standing = observe_objects(
            self._store,
            self._prefix.key_prefix,
            self._shipment.objects,
            self._known,
            ask_other_sizes=self._prefix.immutable,  # a refusal names both digests
        )
        return PrefixState(
            standing,
            self._lock.look(),
            newest_manifest(self._store, self._prefix),
            keys_that_may_go(self._store, self._prefix, standing, self._shipment.objects),
        )

    def plan(self, observed: PrefixState) -> PrefixPlan:
        """Return the copies, replacements and deletions still needed.

        Raises:
            ImmutableError: the prefix is immutable and holds other bytes.
        """
        changes = plan_prefix(self._shipment.objects, observed.digests, observed.ours)
        if self._prefix.immutable:
            check_immutable(self.place, changes, observed.digests)
        is_recorded = observed.recorded == self._shipment.manifest_sha256
        return PrefixPlan(changes, is_recorded, observed.lock is not None)

    @contextmanager
    def exclusive(self) -> Iterator[bool]:
        """Hold the prefix's lock. It stays behind a switch that was cut, to say so to readers."""
        self._touched = False
        self._lock.acquire()
        try:
            self._store.sweep()
            yield True
        except BaseException:
            if not self._touched:
                self._lock.release()
            raise
        self._lock.release()

    def apply(self, changes: PrefixPlan, progress: Progress) -> None:
        """Switch the prefix.

        Effects: in the order of this module's docstring; the manifest and the history are
        written before the first public key changes.

        Raises:
            VerifyError: the depot lacks an object; nothing was changed.
        """
        work = changes.changes
        switched = {**work.copy, **work.replace}
        self._require_depot(switched)
        self._touched = True
        self._announce(changes)
        progress.set_size(sum(each.size_bytes for each in switched.values()))
        progress.set_files(len(switched))
        documents = {key: switched[key] for key in self._shipment.documents if key in switched}
        for group in (work.copy, work.replace):
            files = [item for item in group.items() if item[0] not in documents]
            for_each(files, lambda item: self._copy(*item, progress), workers=self._store.workers)
        for key, digest in documents.items():
            self._copy(key, digest, progress)
        self._lock.renew()
        self._store.delete(self._prefix.key_prefix + key for key in work.delete)

    def prove(self) -> Receipt:
        """List the prefix again; it must hold this release and nothing else.

        Raises:
            VerifyError: naming the first key that is wrong, and what is wrong with it.
        """
        observed = self.observe()
        changes = plan_prefix(self._shipment.objects, observed.digests, observed.ours)
        for key, fault in faults_of(changes).items():
            raise VerifyError(f"{self.place}/{key}: {fault}")
        release = self._shipment.release
        return Receipt(
            task=f"promote:{self._prefix.task}",
            place=self.place,
            channel=release.channel,
            tag=release.tag,
            environment=release.environment,
            manifest_sha256=self._shipment.manifest_sha256,
            proved_at=now_utc(),
            objects={
                key: ProvedObject(digest, observed.standing[key].version)
                for key, digest in self._shipment.objects.items()
            },
        )

    def _require_depot(self, switched: Mapping[str, Digest]) -> None:
        prefix = f"{self._prefix.root}{depot_key_of('')}"
        held = {each.key.removeprefix(prefix): each.size_bytes for each in self._depot.list(prefix)}
        for key, digest in switched.items():
            if held.get(digest.sha256) != digest.size_bytes:
                raise VerifyError(
                    f"{self._depot.url}/{prefix}{digest.sha256}: expected the bytes of {key}"
                    f" ({digest.size_bytes} bytes) in the depot, found other or none"
                )

    def _announce(self, changes: PrefixPlan) -> None:
        release = self._shipment.release
        keep_manifest(
            self._store,
            self._prefix.root,
            channel=release.channel,
            tag=release.tag,
            data=[*self._shipment.documents.values()][-1],
        )
        if not changes.is_recorded:
            record_promotion(
                self._store,
                self._prefix,
                channel=release.channel,
                tag=release.tag,
                manifest_sha256=self._shipment.manifest_sha256,
                rollback_of=newest_manifest(self._store, self._prefix) if self._is_rollback else "",
            )

    def _copy(self, key: str, digest: Digest, progress: Progress) -> None:
        self._lock.renew()
        progress.start_file(key)
        entry = self._store.copy(
            f"{self._prefix.root}{depot_key_of(digest.sha256)}",
            f"{self._prefix.key_prefix}{key}",
            digest=digest,
            attributes=Attributes(
                media_type=self._shipment.media_types[key],
                cache_control=self._prefix.cache_control,
            ),
            source_url=self._depot_url,
        )
        note_written(self._known, key, digest, entry)
        progress.relative_update(digest.size_bytes)
        progress.finish_file(key)


def keys_that_may_go(
    store: Store, prefix: Prefix, standing: Iterable[str], wanted: Container[str]
) -> frozenset[str] | None:
    """Return the keys below a prefix that releases put there, or None: all that stand there.

    Earlier releases are asked only where something stands that this one does not name.
    """
    if prefix.owned or all(key in wanted for key in standing):
        return None
    return keys_of_releases(store, prefix)


def faults_of(changes: PrefixChanges) -> dict[str, str]:
    """Say by key what is wrong with a prefix that should hold a release; empty: nothing."""
    return {
        **{key: f"expected {each.describe()}, found none" for key, each in changes.copy.items()},
        **{
            key: f"expected {d.describe()}, found other bytes" for key, d in changes.replace.items()
        },
        **{key: f"expected no object, found {n} bytes" for key, n in changes.delete.items()},
    }
