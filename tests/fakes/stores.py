"""A store that is watched: what is written in which order, and cut at any write."""
# ruff: noqa: D102  the contract documents each method once

import threading
from collections.abc import Callable, Iterable, Sequence

from lading.errors import StoreError
from lading.release.objects import Digest
from lading.storage import (
    ALWAYS,
    NO_ATTRIBUTES,
    NO_PROGRESS,
    Attributes,
    Body,
    Condition,
    Entry,
    Progress,
    Store,
    Unfinished,
)

Hook = Callable[[str, str], None]


class CutError(StoreError):
    """The connection that a test cuts."""


class FakeWatchedStore:
    """Passes everything on; tells of each write, and of each object asked or listed.

    A delete of several keys is several writes, so that it can be cut between two of them.

    Args:
        store: the store behind.
        before: called with verb and key before a write; it may raise.
        after: called with verb and key after a write; it may raise.
    """

    def __init__(self, store: Store, before: Hook | None = None, after: Hook | None = None) -> None:
        self._store = store
        self._before = before or _pass
        self._after = after or _pass
        self._lock = threading.RLock()
        self.writes: list[tuple[str, str]] = []
        self.reads: list[tuple[str, str]] = []
        self.put_bytes = 0

    @property
    def url(self) -> str:
        return self._store.url

    @property
    def workers(self) -> int:
        return self._store.workers

    def require_access(self, root: str) -> None:
        self._store.require_access(root)

    def list(self, prefix: str = "") -> list[Entry]:
        self._note_read("list", prefix)
        return self._store.list(prefix)

    def stat(self, key: str) -> Entry | None:
        return self._store.stat(key)

    def digest(self, key: str) -> Digest:
        self._note_read("digest", key)
        return self._store.digest(key)

    def get(self, key: str, start: int = 0, stop: int | None = None) -> bytes:
        self._note_read("get", key)
        return self._store.get(key, start, stop)

    def put(
        self,
        key: str,
        body: Body,
        *,
        condition: Condition = ALWAYS,
        progress: Progress = NO_PROGRESS,
    ) -> Entry:
        self._enter("put", key, body.digest.size_bytes)
        entry = self._store.put(key, body, condition=condition, progress=progress)
        self._after("put", key)
        return entry

    def copy(
        self,
        source_key: str,
        key: str,
        *,
        digest: Digest,
        attributes: Attributes = NO_ATTRIBUTES,
        source_url: str = "",
        source_version: str = "",
    ) -> Entry:
        self._enter("copy", key)
        entry = self._store.copy(
            source_key,
            key,
            digest=digest,
            attributes=attributes,
            source_url=source_url,
            source_version=source_version,
        )
        self._after("copy", key)
        return entry

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._enter("delete", key)
            self._store.delete([key])
            self._after("delete", key)

    def delete_version(self, key: str, version: str) -> None:
        self._enter("delete", key)
        self._store.delete_version(key, version)
        self._after("delete", key)

    def cannot_hold(self) -> str:
        return self._store.cannot_hold()

    def held(self, prefix: str) -> frozenset[str]:
        self._note_read("held", prefix)
        return self._store.held(prefix)

    def hold(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._enter("hold", key)
            self._store.hold([key])
            self._after("hold", key)

    def unfinished(self, prefix: str) -> Sequence[Unfinished]:
        return self._store.unfinished(prefix)

    def abandon(self, uploads: Iterable[Unfinished]) -> None:
        self._store.abandon(uploads)

    def sweep(self) -> None:
        self._store.sweep()

    def _enter(self, verb: str, key: str, size: int = 0) -> None:
        with self._lock:
            self._before(verb, key)
            self.writes.append((verb, key))
            self.put_bytes += size

    def _note_read(self, verb: str, key: str) -> None:
        with self._lock:
            self.reads.append((verb, key))


class Cut:
    """A hook that raises at one write, counted from 1, and lets all others pass."""

    def __init__(self, at: int) -> None:
        self._left = at
        self._lock = threading.Lock()

    @property
    def happened(self) -> bool:
        """Whether that write was reached."""
        return self._left <= 0

    def __call__(self, verb: str, key: str) -> None:
        """Count a write; raise at the one that is cut."""
        with self._lock:
            self._left -= 1
            if self._left == 0:
                raise CutError(f"cut at {verb} of {key}")


def _pass(verb: str, key: str) -> None:
    del verb, key
