"""A store in memory: for tests, and for looking at a release without touching a disk."""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count

from lading.errors import ChecksumError, ConditionError, MissingObjectError, StoreError
from lading.release.objects import Digest, digest_bytes
from lading.storage.contract import (
    ALWAYS,
    NO_ATTRIBUTES,
    Attributes,
    Body,
    Condition,
    Entry,
    Unfinished,
    check_key,
    require_file,
)
from lading.storage.progress import NO_PROGRESS, Progress

_STORES: dict[str, "MemoryStore"] = {}


def memory_store(url: str) -> "MemoryStore":
    """Return this process's store of a ``memory://`` URL; the same one for the same URL."""
    return _STORES.setdefault(url, MemoryStore(url))


@dataclass(frozen=True, slots=True)
class _Object:
    data: bytes
    version: str
    attributes: Attributes
    modified_at: datetime


class MemoryStore:
    """Objects in a dictionary. Keeps the whole contract, within one process."""

    def __init__(self, url: str = "memory://") -> None:
        self._url = url
        self._objects: dict[str, _Object] = {}
        self._held: set[str] = set()
        self._versions = count(1)
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return self._url

    @property
    def workers(self) -> int:
        return 8

    def require_access(self, root: str) -> None:
        """Do nothing: what is in memory may be written."""

    def list(self, prefix: str = "") -> list[Entry]:
        with self._lock:
            keys = sorted(key for key in self._objects if key.startswith(prefix))
            return [self._entry(key) for key in keys]

    def stat(self, key: str) -> Entry | None:
        with self._lock:
            return self._entry(key) if key in self._objects else None

    def digest(self, key: str) -> Digest:
        return digest_bytes(self.get(key))

    def get(self, key: str, start: int = 0, stop: int | None = None) -> bytes:
        with self._lock:
            if key not in self._objects:
                raise MissingObjectError(f"{self.url}/{key}: expected an object, found none")
            return self._objects[key].data[start:stop]

    def put(
        self,
        key: str,
        body: Body,
        *,
        condition: Condition = ALWAYS,
        progress: Progress = NO_PROGRESS,
    ) -> Entry:
        require_file(body)
        data = body.path.read_bytes() if body.path else body.data
        self._check_bytes(key, data, body.digest)
        progress.relative_update(len(data))
        return self._write(key, data, body.attributes, condition)

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
        del source_version  # the bytes themselves are asked
        source = memory_store(source_url) if source_url else self
        data = source.get(source_key)
        self._check_bytes(key, data, digest)
        return self._write(key, data, attributes, ALWAYS)

    def delete(self, keys: Iterable[str]) -> None:
        with self._lock:
            for key in keys:
                self._refuse_held(check_key(key), "delete")
                self._objects.pop(key, None)

    def delete_version(self, key: str, version: str) -> None:
        with self._lock:
            self._require_version(key, version)
            self._refuse_held(key, "delete")
            del self._objects[key]

    def cannot_hold(self) -> str:
        return ""

    def held(self, prefix: str) -> frozenset[str]:
        with self._lock:
            return frozenset(key for key in self._held if key.startswith(prefix))

    def hold(self, keys: Iterable[str]) -> None:
        with self._lock:
            for key in keys:
                if key not in self._objects:
                    raise MissingObjectError(f"{self.url}/{key}: expected an object, found none")
                self._held.add(key)

    def unfinished(self, prefix: str) -> Sequence[Unfinished]:
        del prefix
        return []

    def abandon(self, uploads: Iterable[Unfinished]) -> None:
        """Do nothing: an upload in memory is ended at once."""

    def sweep(self) -> None:
        """Do nothing: a killed writer leaves nothing in memory."""

    def _write(self, key: str, data: bytes, attributes: Attributes, condition: Condition) -> Entry:
        check_key(key)
        with self._lock:
            if condition.if_absent and key in self._objects:
                raise ConditionError(f"{self.url}/{key}: expected no object, found one")
            if condition.if_version:
                self._require_version(key, condition.if_version)
            self._refuse_held(key, "overwrite")
            version = str(next(self._versions))
            self._objects[key] = _Object(data, version, attributes, datetime.now(UTC))
            return self._entry(key)

    def _require_version(self, key: str, version: str) -> None:
        standing = self._objects.get(key)
        if standing is None or standing.version != version:
            raise ConditionError(f"{self.url}/{key}: expected version {version}, found another")

    def _refuse_held(self, key: str, verb: str) -> None:
        if key in self._held:
            raise StoreError(f"{self.url}/{key}: expected to {verb} it, but the object is held")

    def _entry(self, key: str) -> Entry:
        found = self._objects[key]
        return Entry(
            key=key,
            size_bytes=len(found.data),
            version=found.version,
            digest=digest_bytes(found.data),
            modified_at=found.modified_at,
        )

    def _check_bytes(self, key: str, data: bytes, expected: Digest) -> None:
        found = digest_bytes(data)
        if not found.agrees_with(expected):
            raise ChecksumError(
                f"{self.url}/{key}: expected {expected.describe()}, got {found.describe()}"
            )
