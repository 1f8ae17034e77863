"""The one idea: observe, plan, apply, prove. One code path for plan, distribute and verify."""

from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from lading.release.receipts import Receipt
from lading.storage import NO_PROGRESS, Progress


class Changes(Protocol):
    """What a target still needs."""

    @property
    def is_empty(self) -> bool:
        """Whether it needs nothing."""


Observed = TypeVar("Observed")
Planned = TypeVar("Planned", bound=Changes)


class Target(Protocol[Observed, Planned]):
    """Something outside that a release changes."""

    def observe(self) -> Observed:
        """Look at what is there."""

    def plan(self, observed: Observed) -> Planned:
        """Return the changes still needed. Pure."""

    def exclusive(self) -> AbstractContextManager[bool]:
        """Hold off others while changes are applied and proved.

        Returns:
            Whether what was seen before may have been changed by those who are held off now.
        """

    def apply(self, changes: Planned, progress: Progress) -> None:
        """Make the changes. Safe to repeat, and to be cut anywhere."""

    def prove(self) -> Receipt:
        """Read back what is there, and return it as a receipt.

        Raises:
            VerifyError: it is not what the release wants.
        """


def settle(
    target: Target[Observed, Planned], progress: Progress = NO_PROGRESS
) -> tuple[Planned, Receipt]:
    """Bring a target to the state that the release wants, and prove it.

    Returns:
        The changes that were made (empty: none were needed), and the receipt.

    Raises:
        StoreError, LockedError, ImmutableError, VerifyError: as the target's verbs do.
    """
    changes = target.plan(target.observe())
    if changes.is_empty:
        return changes, target.prove()
    with target.exclusive() as may_have_changed:
        if may_have_changed:
            changes = target.plan(target.observe())
        target.apply(changes, progress)
        return changes, target.prove()
