"""A hold on the objects of a prefix: nobody deletes or overwrites them by accident.

Lading lifts no hold: that is left to a person, in the words of the cloud.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from lading.errors import VerifyError
from lading.release.names import Prefix
from lading.release.objects import Digest
from lading.release.receipts import ProvedObject, Receipt, now_utc, objects_known
from lading.ship.observe import observe_objects
from lading.ship.shipment import Shipment
from lading.storage import Progress, Store

_HINT = "no hold was lifted; look at the object, and lift its hold by hand if it is to go"


@dataclass(frozen=True, slots=True)
class HoldState:
    """What stands at a prefix, and what of it is held."""

    standing: Mapping[str, ProvedObject]
    """Its objects by key without the prefix, sorted."""
    held: frozenset[str]
    """Those of the keys that are held."""


@dataclass(frozen=True, slots=True)
class HoldChanges:
    """What the objects of a release below a prefix still need."""

    hold: Mapping[str, Digest]
    """Objects without a hold, in the order of the release; they may not stand yet."""
    wrong: Mapping[str, Digest]
    """Objects that are held with other bytes than the release's."""
    kept: Mapping[str, Digest]
    """Objects that are held already, with the right bytes."""

    @property
    def is_empty(self) -> bool:
        """Whether every object is held, with the right bytes."""
        return not (self.hold or self.wrong)


def plan_hold(
    objects: Mapping[str, Digest], standing: Mapping[str, Digest], held: frozenset[str]
) -> HoldChanges:
    """Compare what a release wants held below a prefix with what is.

    Args:
        objects: digest by key, in the order of the release.
        standing: what stands there, by key.
        held: the keys that are held.
    """
    sound = {k for k, d in objects.items() if k in standing and d.agrees_with(standing[k])}
    return HoldChanges(
        hold={key: digest for key, digest in objects.items() if key not in held},
        wrong={key: d for key, d in objects.items() if key in held and key not in sound},
        kept={key: d for key, d in objects.items() if key in held and key in sound},
    )


class HoldTarget:
    """The holds of one prefix, as a target of a release that was promoted there.

    Args:
        store: the store of the public objects; it can hold.
        prefix: the prefix.
        shipment: what stands there.
        known: the receipt of the promotion, if there is one; it saves questions.
    """

    def __init__(
        self, store: Store, prefix: Prefix, shipment: Shipment, known: Receipt | None = None
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._shipment = shipment
        self._known = objects_known(known)

    @property
    def place(self) -> str:
        """URL of the prefix, without a slash at the end."""
        return f"{self._store.url}/{self._prefix.key_prefix}".rstrip("/")

    def observe(self) -> HoldState:
        """List the prefix, and what of it is held."""
        below = self._prefix.key_prefix
        standing = observe_objects(self._store, below, self._shipment.objects, self._known)
        held = frozenset(key.removeprefix(below) for key in self._store.held(below))
        return HoldState(standing, held)

    def plan(self, observed: HoldState) -> HoldChanges:
        """Return the holds still needed."""
        digests = {key: each.digest for key, each in observed.standing.items()}
        return plan_hold(self._shipment.objects, digests, observed.held)

    def exclusive(self) -> AbstractContextManager[bool]:
        """Hold off nobody: a hold changes no byte."""
        return nullcontext(enter_result=False)

    def apply(self, changes: HoldChanges, progress: Progress) -> None:
        """Hold what is not held yet.

        Effects: holds appear on objects of the release; none is ever lifted.

        Raises:
            VerifyError: an object is not of the release; nothing was held.
        """
        self._require_sound(self.observe())
        below = self._prefix.key_prefix
        progress.set_files(len(changes.hold))
        self._store.hold(f"{below}{key}" for key in changes.hold)
        for key in changes.hold:
            progress.finish_file(key)

    def prove(self) -> Receipt:
        """List the prefix again; every object of the release is there, of its bytes, and held.

        Raises:
            VerifyError: naming the first that is not.
        """
        observed = self.observe()
        self._require_sound(observed)
        for key in self.plan(observed).hold:
            raise VerifyError(f"{self.place}/{key}: expected a hold, found none")
        release = self._shipment.release
        return Receipt(
            task=f"hold:{self._prefix.task}",
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

    def _require_sound(self, observed: HoldState) -> None:
        for key, digest in self._shipment.objects.items():
            found = observed.standing.get(key)
            if found is None:
                raise VerifyError(f"{self.place}/{key}: expected {digest.describe()}, found none")
            if not digest.agrees_with(found.digest):
                raise VerifyError(
                    f"{self.place}/{key}: expected {digest.describe()}, found other bytes"
                    + (" that are held" if key in observed.held else ""),
                    hint=_HINT if key in observed.held else "",
                )
