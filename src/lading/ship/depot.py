"""The depot of a destination: immutable bytes under their sha256, sent once per cloud."""

from contextlib import AbstractContextManager, nullcontext

from lading.errors import VerifyError
from lading.release.changes import DepotChanges, plan_depot
from lading.release.names import ReleaseDestination
from lading.release.objects import Digest
from lading.ship.observe import for_each, observe_objects
from lading.ship.receipts import ProvedObject, Receipt, now_utc
from lading.ship.shipment import Shipment
from lading.storage import Progress, Store


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
        self._known = known
        self._wanted = {each.sha256: each for each in shipment.objects.values()}

    def observe(self) -> dict[str, ProvedObject]:
        """List the depot; return its objects by sha256."""
        prefix = self._destination.depot_prefix
        return observe_objects(self._store, prefix, self._wanted, self._known)

    def plan(self, observed: dict[str, ProvedObject]) -> DepotChanges:
        """Return what has to be sent."""
        held = {sha256: each.digest for sha256, each in observed.items()}
        return plan_depot(self._wanted.values(), held)

    def exclusive(self) -> AbstractContextManager[None]:
        """Hold off nobody: equal names are equal bytes."""
        return nullcontext()

    def apply(self, changes: DepotChanges, progress: Progress) -> None:
        """Send what is missing, largest first.

        Effects: objects appear in the depot; no public key is touched.
        """
        self._store.sweep()
        progress.set_size(sum(each.size_bytes for each in changes.sent))
        progress.set_files(len(changes.sent))

        def send(digest: Digest) -> None:
            body = self._shipment.bodies[digest.sha256]
            name = body.path.name if body.path else "a document"
            progress.start_file(name)
            key = self._destination.depot_prefix + digest.sha256
            self._store.put(key, body, progress=progress)
            progress.finish_file(name)

        for_each(sorted(changes.sent, key=lambda each: -each.size_bytes), send)

    def prove(self) -> Receipt:
        """List the depot again; every object of the release must be there.

        Raises:
            VerifyError: naming the first that is not.
        """
        observed = self.observe()
        changes = self.plan(observed)
        if not changes.is_empty:
            digest = changes.sent[0]
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
                sha256: ProvedObject(digest, observed[sha256].version)
                for sha256, digest in self._wanted.items()
            },
        )
