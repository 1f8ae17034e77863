"""Locks of a channel: shown to a person, and broken on his word."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from lading.errors import ConditionError, LockedError
from lading.release.names import CONTROL
from lading.ship.locks import LockState, is_dead, load_lock
from lading.storage import Store


@dataclass(frozen=True, slots=True)
class StandingLock:
    """A lock that stands at a prefix."""

    prefix: str
    """Name of the prefix."""
    key: str
    """Its key."""
    version: str
    """The store's version of it, as it was seen."""
    state: LockState | None
    """What it says; None where it cannot be read."""


def describe_owner(lock: LockState | None) -> str:
    """Say in a few words whether somebody may still be at work under a lock."""
    if lock is None:
        return "cannot be read: no lock of this version"
    if is_dead(lock):
        return "known to be gone"
    if datetime.now(UTC) >= lock.expires_at:
        return "not heard of since it expired"
    return "may be at work"


def find_locks(
    store: Store,
    root: str,
    prefixes: Iterable[str],
    tagged: Callable[[str], Iterable[str]],
    tag: str = "",
) -> list[StandingLock]:
    """List the locks of a channel's prefixes, sorted by key.

    Args:
        store: the store of the public objects.
        root: the root of the environment.
        prefixes: names of the prefixes that need no tag.
        tagged: names of the prefixes that a tag of the channel has of its own.
        tag: only the prefixes of this tag and those that need none; "": of every tag.
    """
    below = f"{root}{CONTROL}locks/"
    moving, found = frozenset(prefixes), []
    for entry in store.list(below):
        name, state = entry.key.removeprefix(below), None
        with suppress(LockedError):  # not a lock that can be read: shown as such
            state = load_lock(store, entry.key)
            if state is None:
                continue  # given back meanwhile
        of_tag = tag or (state.tag if state else "")
        if name in moving or (of_tag and name in {*tagged(of_tag)}):
            version = state.version if state else entry.version
            found.append(StandingLock(name, entry.key, version, state))
    return found


def break_lock(store: Store, lock: StandingLock) -> None:
    """Remove a lock, if it is still the one that was seen.

    Effects: another release may take the prefix; readers may find it half switched.

    Raises:
        LockedError: it was renewed, taken over or given back meanwhile.
    """
    try:
        store.delete_version(lock.key, lock.version)
    except ConditionError as error:
        raise LockedError(
            f"{store.url}/{lock.key}: expected the lock that was shown, found another or none",
            hint="somebody is at work; look again",
        ) from error
