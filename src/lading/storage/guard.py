"""Wrappers of the same shape as a store that refuse writes.

Environments, and dry runs, are kept apart by the store itself, and not by the good behaviour
of its callers.
"""

from collections.abc import Iterable, Sequence

from lading.errors import GuardError
from lading.release.objects import Digest
from lading.storage.contract import (
    ALWAYS,
    NO_ATTRIBUTES,
    Attributes,
    Body,
    Condition,
    Entry,
    Store,
    Unfinished,
)
from lading.storage.progress import NO_PROGRESS, Progress


class _WriteGuard:
    """Passes reads on; asks ``_refuse`` before each write."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def _refuse(self, key: str) -> None:
        raise NotImplementedError

    @property
    def url(self) -> str:
        return self._store.url

    @property
    def workers(self) -> int:
        return self._store.workers

    def require_access(self, root: str) -> None:
        self._refuse(root)
        self._store.require_access(root)

    def list(self, prefix: str = "") -> list[Entry]:
        return self._store.list(prefix)

    def stat(self, key: str) -> Entry | None:
        return self._store.stat(key)

    def digest(self, key: str) -> Digest:
        return self._store.digest(key)

    def get(self, key: str, start: int = 0, stop: int | None = None) -> bytes:
        return self._store.get(key, start, stop)

    def put(
        self,
        key: str,
        body: Body,
        *,
        condition: Condition = ALWAYS,
        progress: Progress = NO_PROGRESS,
    ) -> Entry:
        self._refuse(key)
        return self._store.put(key, body, condition=condition, progress=progress)

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
        self._refuse(key)
        return self._store.copy(
            source_key,
            key,
            digest=digest,
            attributes=attributes,
            source_url=source_url,
            source_version=source_version,
        )

    def delete(self, keys: Iterable[str]) -> None:
        chosen = list(keys)
        for key in chosen:
            self._refuse(key)
        self._store.delete(chosen)

    def delete_version(self, key: str, version: str) -> None:
        self._refuse(key)
        self._store.delete_version(key, version)

    def cannot_hold(self) -> str:
        return self._store.cannot_hold()

    def held(self, prefix: str) -> frozenset[str]:
        return self._store.held(prefix)

    def hold(self, keys: Iterable[str]) -> None:
        chosen = list(keys)
        for key in chosen:
            self._refuse(key)
        self._store.hold(chosen)

    def unfinished(self, prefix: str) -> Sequence[Unfinished]:
        return self._store.unfinished(prefix)

    def abandon(self, uploads: Iterable[Unfinished]) -> None:
        chosen = list(uploads)
        for each in chosen:
            self._refuse(each.key)
        self._store.abandon(chosen)

    def sweep(self) -> None:
        self._store.sweep()


class StagingGuard(_WriteGuard):
    """A store in which only keys below one root can be written, copied to or deleted.

    The root is that of staging, or that of an environment.

    Args:
        store: the store; it must sweep and stage its writes below the same root.
        root: the root, ending in a slash.
    """

    def __init__(self, store: Store, root: str) -> None:
        super().__init__(store)
        self._root = root

    def _refuse(self, key: str) -> None:
        if not key.startswith(self._root):
            raise GuardError(f"{self.url}: expected writes below {self._root!r} alone, got {key!r}")


class ReadOnly(_WriteGuard):
    """A store that cannot be written at all: what ``plan`` and ``verify`` work with."""

    def _refuse(self, key: str) -> None:
        raise GuardError(f"{self.url}: expected no writes in a dry run, got one to {key!r}")

    def sweep(self) -> None:
        self._refuse("(sweep)")
