"""The depot of a destination: immutable bytes under their sha256, sent once per cloud.

Each environment has a depot. What one lacks and another of the same destination holds is copied
on the side of the store: a release that was staged costs production no upload, and the other way
round. So is an asset that stands in the same cloud already.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

from lading.errors import ChecksumError, MissingObjectError, VerifyError
from lading.release.changes import DepotChanges, plan_depot
from lading.release.names import ReleaseDestination
from lading.release.objects import Digest
from lading.release.receipts import ProvedObject, Receipt, now_utc, objects_known
from lading.ship.observe import for_each, note_written, observe_objects
from lading.ship.shipment import Shipment
from lading.storage import Attributes, Body, Entry, Progress, Store


@dataclass(frozen=True, slots=True)
class DepotState:
    """What a depot holds."""

    held: Mapping[str, ProvedObject]
    """Its objects by sha256."""
    elsewhere: Mapping[str, str]
    """Of what this release needs and it lacks, by sha256: its key in another environment's depot,
    or the URL of an asset that stands in the same cloud."""


class DepotTarget:
    """The depot of one destination, as a target of a release.

    Args:
        store: the store that the depot stands in.
        destination: the destination.
        shipment: what must be there.
        known: the receipt of an earlier run, if there is one.
    """

    def __init__(
        self,
        store: Store,
        destination: ReleaseDestination,
        shipment: Shipment,
        known: Receipt | None = None,
    ) -> None:
        self._store = store
        self._destination = destination
        self._shipment = shipment
        self._known = objects_known(known)
        self._wanted = {each.sha256: each for each in shipment.objects.values()}
        self._elsewhere: Mapping[str, str] = {}

    def observe(self) -> DepotState:
        """List the depot and, where it lacks something, those of the other environments."""
        prefix = self._destination.depot_prefix
        held = observe_objects(self._store, prefix, self._wanted, self._known)
        lacking = {sha256: each for sha256, each in self._wanted.items() if sha256 not in held}
        elsewhere: dict[str, str] = {}
        for prefix in self._destination.sibling_depot_prefixes:
            if elsewhere.keys() >= lacking.keys():
                break
            for entry in self._store.list(prefix):
                sha256 = entry.key.removeprefix(prefix)
                if sha256 in lacking and lacking[sha256].size_bytes == entry.size_bytes:
                    elsewhere.setdefault(sha256, entry.key)
        for sha256, place in self._shipment.stored.items():
            if sha256 in lacking and self._destination.name in place.copied_by:
                elsewhere.setdefault(sha256, place.asset.url)
        self._elsewhere = elsewhere
        return DepotState(held, elsewhere)

    def plan(self, observed: DepotState) -> DepotChanges:
        """Return what has to be sent, and what is copied inside the cloud instead."""
        held = {sha256: each.digest for sha256, each in observed.held.items()}
        return plan_depot(self._wanted.values(), held, observed.elsewhere)

    def exclusive(self) -> AbstractContextManager[bool]:
        """Hold off nobody: equal names are equal bytes."""
        return nullcontext(enter_result=False)

    def apply(self, changes: DepotChanges, progress: Progress) -> None:
        """Fill what is missing, largest first: copied where the cloud has it, else sent.

        Effects: objects appear in the depot; no public key is touched.
        """
        self._store.sweep()
        lacking = (*changes.copy, *changes.sent)
        copied = {each.sha256 for each in changes.copy}
        bodies = self._shipment.bodies(self._destination.cache_depot)
        progress.set_size(sum(each.size_bytes for each in lacking))
        progress.set_files(len(lacking))

        def fill(digest: Digest) -> None:
            body, stored = bodies[digest.sha256], self._shipment.stored.get(digest.sha256)
            name = body.path.name if body.path else stored.asset.key if stored else "a document"
            progress.start_file(name)
            entry = self._copy(digest, body.attributes) if digest.sha256 in copied else None
            if entry is None:
                entry = self._send(digest, body, progress)
            else:
                progress.relative_update(digest.size_bytes)
            note_written(self._known, digest.sha256, digest, entry)
            progress.finish_file(name)

        largest_first = sorted(lacking, key=lambda each: -each.size_bytes)
        for_each(largest_first, fill, workers=self._store.workers)

    def prove(self) -> Receipt:
        """List the depot again; every object of the release must be there.

        Raises:
            VerifyError: naming the first that is not.
        """
        observed = self.observe()
        changes = self.plan(observed)
        if not changes.is_empty:
            digest = (*changes.copy, *changes.sent)[0]
            raise VerifyError(
                f"{self._store.url}/{self._destination.depot_prefix}{digest.sha256}:"
                f" expected {digest.describe()}, found other bytes or none"
            )
        release = self._shipment.release
        return Receipt(
            task=f"upload:{self._destination.task}",
            place=f"{self._store.url}/{self._destination.depot_prefix}",
            channel=release.channel,
            tag=release.tag,
            environment=release.environment,
            manifest_sha256=self._shipment.manifest_sha256,
            proved_at=now_utc(),
            objects={
                sha256: ProvedObject(digest, observed.held[sha256].version)
                for sha256, digest in self._wanted.items()
            },
        )

    def _copy(self, digest: Digest, attributes: Attributes) -> Entry | None:
        """Copy inside the cloud; None where what is there is not sound."""
        key = self._destination.depot_prefix + digest.sha256
        source, stored = self._elsewhere[digest.sha256], self._shipment.stored.get(digest.sha256)
        try:
            if stored is None or source != stored.asset.url:
                return self._store.copy(source, key, digest=digest, attributes=attributes)
            return self._store.copy(
                stored.key,
                key,
                digest=digest,
                attributes=attributes,
                source_url=stored.store.url,
                source_version=stored.version,
            )
        except (MissingObjectError, ChecksumError):
            return None

    def _send(self, digest: Digest, body: Body, progress: Progress) -> Entry:
        """Send a file of this machine, a document, or an asset that another cloud holds."""
        key = self._destination.depot_prefix + digest.sha256
        stored = self._shipment.stored.get(digest.sha256)
        if stored is None or body.path:
            return self._store.put(key, body, progress=progress)
        with stored.fetched(progress) as path:
            return self._store.put(key, replace(body, path=path), progress=progress)
