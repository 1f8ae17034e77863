"""The lock of a prefix, in the store itself: one release at a time, and a mark for readers.

While a lock stands, the plain names under its prefix may differ from ``release.json``.
A lock that a killed run left behind is taken over by the same release at once, and by
another release when it has expired.
"""

import json
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from lading.errors import ConditionError, LockedError, MissingObjectError
from lading.release.environments import STAGING_ROOT
from lading.storage import IF_ABSENT, Body, Condition, Entry, Store
from lading.storage.owner import is_gone, name_owner, name_process

LEASE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class LockState:
    """A lock as it stands in the store."""

    owner: str
    """Host and process, for people."""
    channel: str
    """Channel of the release that holds it."""
    tag: str
    """Tag of the release that holds it."""
    manifest_sha256: str
    """The release that holds it."""
    acquired_at: datetime
    """Since when; aware, UTC."""
    expires_at: datetime
    """Until when, unless it is renewed; aware, UTC."""
    process: str
    """Identity of the process on its host."""
    version: str
    """The store's version of the lock."""
    has_root: bool = False
    """Whether its channel is an environment with a root of its own."""


class PrefixLock:
    """The lock of one prefix, held for one release.

    Args:
        store: where it stands.
        key: its key.
        channel: channel of the release.
        tag: tag of the release.
        manifest_sha256: identity of the release.
        lease: how long it stands without being renewed.
        has_root: whether the channel is an environment with a root of its own.
    """

    def __init__(
        self,
        store: Store,
        key: str,
        *,
        channel: str,
        tag: str,
        manifest_sha256: str,
        lease: timedelta = LEASE,
        has_root: bool = False,
    ) -> None:
        self._store = store
        self._key = key
        self._release = {"channel": channel, "tag": tag, "manifest_sha256": manifest_sha256}
        self._more = {"has_root": True} if has_root else {}
        self._lease = lease
        self._version = ""
        self._acquired_at = datetime.now(UTC)
        self._threads = threading.Lock()
        self._renew_at = datetime.min.replace(tzinfo=UTC)

    def look(self) -> LockState | None:
        """Return the lock that stands, or None."""
        return load_lock(self._store, self._key)

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            LockedError: another release holds it; names the owner, since when and until when.
        """
        for _ in range(5):
            standing = self.look()
            if standing is not None and not self._may_take(standing):
                raise LockedError(
                    f"{self._store.url}/{self._key}: expected no lock, found one of"
                    f" {standing.channel} {standing.tag} held by {standing.owner}"
                    f" since {standing.acquired_at:%Y-%m-%d %H:%M:%S} UTC",
                    hint=f"wait for it; it expires at {standing.expires_at:%H:%M:%S} UTC;"
                    f" if its owner is gone, see `{unlock_command(self._key, standing)}`",
                )
            condition = Condition(if_version=standing.version) if standing else IF_ABSENT
            with suppress(ConditionError, MissingObjectError):
                self._write(condition, acquired=True)
                return
        raise LockedError(f"{self._store.url}/{self._key}: expected to take it, lost five races")

    def renew(self) -> None:
        """Renew the lock, if half of its lease is over.

        Raises:
            LockedError: it was taken over meanwhile.
        """
        with self._threads:
            if datetime.now(UTC) < self._renew_at:
                return
            try:
                self._write(Condition(if_version=self._version))
            except (ConditionError, MissingObjectError) as error:
                raise LockedError(
                    f"{self._store.url}/{self._key}: expected to hold it still, found it taken over"
                ) from error

    def release(self) -> None:
        """Give the lock back, if it is still ours."""
        with suppress(ConditionError):
            self._store.delete_version(self._key, self._version)

    def _may_take(self, standing: LockState) -> bool:
        same_release = standing.manifest_sha256 == self._release["manifest_sha256"]
        return same_release or datetime.now(UTC) >= standing.expires_at or is_dead(standing)

    def _write(self, condition: Condition, *, acquired: bool = False) -> None:
        now = datetime.now(UTC)
        self._acquired_at = now if acquired else self._acquired_at
        table = {
            **self._release,
            **self._more,
            "owner": name_owner(),
            "process": name_process(),
            "acquired_at": self._acquired_at.isoformat(),
            "expires_at": (now + self._lease).isoformat(),
        }
        data = (json.dumps(table, indent=1) + "\n").encode()
        entry: Entry = self._store.put(self._key, Body.of_bytes(data), condition=condition)
        self._version = entry.version
        self._renew_at = now + self._lease / 2


def load_lock(store: Store, key: str) -> LockState | None:
    """Read the lock that stands under a key, or None."""
    entry = store.stat(key)
    if entry is None:
        return None
    try:
        table: dict[str, Any] = json.loads(store.get(key))
        return LockState(
            owner=str(table["owner"]),
            channel=str(table["channel"]),
            tag=str(table["tag"]),
            manifest_sha256=str(table["manifest_sha256"]),
            acquired_at=_parse_moment(table["acquired_at"]),
            expires_at=_parse_moment(table["expires_at"]),
            process=str(table.get("process", "")),
            version=entry.version,
            has_root=table.get("has_root") is True,
        )
    except MissingObjectError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise LockedError(
            f"{store.url}/{key}: expected a lock of Lading, found another object",
            hint="look at it, and remove it if nothing is being released; `doit unlock` shows it",
        ) from error


def is_held(lock: LockState) -> bool:
    """Say whether somebody may still be working under a lock."""
    return datetime.now(UTC) < lock.expires_at and not is_dead(lock)


def unlock_command(key: str, lock: LockState) -> str:
    """Return the command that shows a lock, and breaks it with ``yes=1``."""
    if lock.has_root:
        return f"doit unlock environment={lock.channel} version={lock.tag}"
    staging = " staging=1" if key.startswith(STAGING_ROOT) else ""
    return f"doit unlock type={lock.channel} tag={lock.tag}{staging}"


def _parse_moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment


def is_dead(lock: LockState) -> bool:
    """Say whether the owner is known to be gone: a process that this machine would see."""
    return is_gone(lock.process)
