"""What a destination still needs: desired state against observed state, as values.

The same values are what ``doit plan`` prints, what a promotion applies and what
``doit verify`` expects to be empty.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field

from lading.errors import ImmutableError
from lading.release.objects import Digest


@dataclass(frozen=True, slots=True)
class DepotChanges:
    """What a depot still needs."""

    send: tuple[Digest, ...]
    """Objects that it lacks, one entry per sha256, sorted."""
    replace: tuple[Digest, ...]
    """Objects that it holds with other bytes than their name says, sorted."""
    kept: tuple[Digest, ...]
    """Objects that it holds already, sorted."""
    copy: tuple[Digest, ...] = ()
    """Objects that it lacks and the same cloud holds elsewhere, sorted: copied, never sent."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is lacking."""
        return not (self.send or self.replace or self.copy)

    @property
    def sent(self) -> tuple[Digest, ...]:
        """Everything that has to be sent, sorted by sha256."""
        return tuple(sorted((*self.send, *self.replace), key=lambda each: each.sha256))


@dataclass(frozen=True, slots=True)
class PrefixChanges:
    """What a prefix still needs. The order in which it is done is that of ``ship.promote``."""

    copy: Mapping[str, Digest]
    """New keys, in the order of the release."""
    replace: Mapping[str, Digest]
    """Keys that hold other bytes, in the order of the release: the documents come last."""
    delete: Mapping[str, int]
    """Keys of earlier releases that no longer belong, with their sizes in bytes, sorted."""
    kept: Mapping[str, Digest]
    """Keys that hold the right bytes already."""
    foreign: Mapping[str, int] = field(default_factory=dict)
    """Keys that no release put there, with their sizes in bytes, sorted: they are left alone."""

    @property
    def is_empty(self) -> bool:
        """Whether the prefix is as it should be."""
        return not (self.copy or self.replace or self.delete)


def plan_depot(
    objects: Iterable[Digest], held: Mapping[str, Digest], elsewhere: Container[str] = ()
) -> DepotChanges:
    """Compare what a release needs with what a depot holds.

    Args:
        objects: the release's objects, with sha256.
        held: what the depot holds, by sha256.
        elsewhere: sha256 of what the same cloud holds outside this depot.
    """
    wanted = {each.sha256: each for each in objects}
    ordered = [wanted[sha256] for sha256 in sorted(wanted)]
    sound = {
        each.sha256
        for each in ordered
        if each.sha256 in held and each.agrees_with(held[each.sha256])
    }
    lacking = [each for each in ordered if each.sha256 not in held]
    return DepotChanges(
        send=tuple(each for each in lacking if each.sha256 not in elsewhere),
        copy=tuple(each for each in lacking if each.sha256 in elsewhere),
        replace=tuple(e for e in ordered if e.sha256 in held and e.sha256 not in sound),
        kept=tuple(each for each in ordered if each.sha256 in sound),
    )


def plan_prefix(
    objects: Mapping[str, Digest],
    standing: Mapping[str, Digest],
    ours: Container[str] | None = None,
) -> PrefixChanges:
    """Compare what a release wants under a prefix with what stands there.

    Args:
        objects: digest by key, in the order of the release.
        standing: what stands there, by key.
        ours: keys that may be deleted; None: all of them.
    """
    extra = {key: standing[key].size_bytes for key in sorted(standing) if key not in objects}
    kept = {
        key: digest
        for key, digest in objects.items()
        if key in standing and digest.agrees_with(standing[key])
    }
    return PrefixChanges(
        copy={key: digest for key, digest in objects.items() if key not in standing},
        replace={k: d for k, d in objects.items() if k in standing and k not in kept},
        delete={key: size for key, size in extra.items() if ours is None or key in ours},
        kept=kept,
        foreign={k: n for k, n in extra.items() if ours is not None and k not in ours},
    )


def check_immutable(place: str, changes: PrefixChanges, standing: Mapping[str, Digest]) -> None:
    """Refuse changes that would rewrite an immutable prefix; additions are allowed.

    Raises:
        ImmutableError: naming the first key with both digests, and how many there are.
    """
    differing = [*changes.replace, *changes.delete]
    if not differing:
        return
    key = differing[0]
    found = standing[key]
    wanted = "no such object" if key in changes.delete else changes.replace[key].describe(found)
    more = f" (and {len(differing) - 1} more)" if len(differing) > 1 else ""
    raise ImmutableError(
        f"{place}/{key}: expected {wanted}, found {found.describe()} in an immutable prefix{more}"
    )
