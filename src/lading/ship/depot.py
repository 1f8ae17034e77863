"""The depot of a destination: immutable bytes under their sha256, sent once per cloud.

Staging and production have a depot each. What one lacks and the other holds is copied on the
side of the store: a release that was staged costs production no upload, and the other way round.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from lading.errors import ChecksumError, MissingObjectError, VerifyError
from lading.release.changes import DepotChanges, plan_depot
from lading.release.names import ReleaseDestination
from lading.release.objects import Digest
from lading.release.receipts import ProvedObject, Receipt, now_utc, objects_known
from lading.ship.observe import for_each, note_written, observe_objects
from lading.ship.shipment import Shipment
from lading.storage import Attributes, Entry, Progress, Store


@dataclass(frozen=True, slots=True)
class DepotState:
    """What a depot holds."""

    held: Mapping[str, ProvedObject]
    """Its objects by sha256."""
    elsewhere: frozenset[str]
    """sha256 of what the depot of the other environment holds, of what this release needs."""


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

    def observe(self) -> DepotState:
        """List the depot and, where it lacks something, the depot of the other environment."""
        prefix = self._destination.depot_prefix
        held = observe_objects(self._store, prefix, self._wanted, self._known)
        if held.keys() >= self._wanted.keys():
            return DepotState(held, frozenset())
        sibling = self._destination.sibling_depot_prefix
        found = {each.key.removeprefix(sibling): each for each in self._store.list(sibling)}
        return DepotState(
            held,
            frozenset(
                sha256
                for sha256, digest in self._wanted.items()
                if sha256 in found and found[sha256].size_bytes == digest.size_bytes
            ),
        )

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
            body = bodies[digest.sha256]
            name = body.path.name if body.path else "a document"
            progress.start_file(name)
            entry = self._copy(digest, body.attributes) if digest.sha256 in copied else None
            if entry is None:
                key = self._destination.depot_prefix + digest.sha256
                entry = self._store.put(key, body, progress=progress)
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
        """Copy from the other environment's depot; None where it is not there, or not sound."""
        place = self._destination
        source = place.sibling_depot_prefix + digest.sha256
        try:
            return self._store.copy(
                source, place.depot_prefix + digest.sha256, digest=digest, attributes=attributes
            )
        except (MissingObjectError, ChecksumError):
            return None
