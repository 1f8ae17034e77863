"""Empty the staging root of a destination, and nothing else."""

from lading.errors import LockedError
from lading.release.environments import STAGING_ROOT
from lading.release.names import CONTROL
from lading.ship.locks import is_held, load_lock, unlock_command
from lading.storage import Entry, Store


def plan_staging_cleanup(store: Store) -> list[Entry]:
    """List what stands below the staging root, sorted by key.

    Raises:
        LockedError: a staging release is being promoted.
    """
    entries = store.list(STAGING_ROOT)
    for entry in entries:
        if entry.key.startswith(f"{STAGING_ROOT}{CONTROL}locks/"):
            lock = load_lock(store, entry.key)
            if lock is not None and is_held(lock):
                raise LockedError(
                    f"{store.url}/{entry.key}: expected no release in staging, found"
                    f" {lock.channel} {lock.tag} held by {lock.owner}",
                    hint="wait until it has ended;"
                    f" if its owner is gone, see `{unlock_command(entry.key, lock)}`",
                )
    return entries


def clean_staging(store: Store, entries: list[Entry]) -> None:
    """Delete what was planned.

    Effects: objects below the staging root are gone, and uploads to it that were begun and not
    ended; the store refuses any other.
    """
    store.delete(entry.key for entry in entries)
    store.abandon(store.unfinished(STAGING_ROOT))
    store.sweep()
