"""A store in memory: for tests, and for looking at a release without touching a disk."""

import threading
from collections.abc import Iterable
from itertools import count

from lading.errors import ChecksumError, ConditionError, MissingObjectError
from lading.release.objects import Digest, digest_bytes
from lading.storage.contract import ALWAYS, Body, Condition, Entry, check_key, require_file
from lading.storage.progress import NO_PROGRESS, Progress

_STORES: dict[str, "MemoryStore"] = {}


def memory_store(url: str) -> "MemoryStore":
    """Return this process's store of a ``memory://`` URL; the same one for the same URL."""
    return _STORES.setdefault(url, MemoryStore(url))


class MemoryStore:
    """Objects in a dictionary. Keeps the whole contract, within one process."""

    def __init__(self, url: str = "memory://") -> None:
        self._url = url
        self._objects: dict[str, tuple[bytes, str]] = {}
        self._versions = count(1)
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return self._url

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
            return self._objects[key][0][start:stop]

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
        return self._write(key, data, condition)

    def copy(self, source_key: str, key: str, *, digest: Digest, source_url: str = "") -> Entry:
        source = memory_store(source_url) if source_url else self
        data = source.get(source_key)
        self._check_bytes(key, data, digest)
        return self._write(key, data, ALWAYS)

    def delete(self, keys: Iterable[str]) -> None:
        with self._lock:
            for key in keys:
                self._objects.pop(check_key(key), None)

    def sweep(self) -> None:
        """Do nothing: a killed writer leaves nothing in memory."""

    def _write(self, key: str, data: bytes, condition: Condition) -> Entry:
        check_key(key)
        with self._lock:
            standing = self._objects.get(key)
            if condition.if_absent and standing:
                raise ConditionError(f"{self.url}/{key}: expected no object, found one")
            if condition.if_version and (not standing or standing[1] != condition.if_version):
                raise ConditionError(f"{self.url}/{key}: expected version {condition.if_version}")
            self._objects[key] = (data, str(next(self._versions)))
            return self._entry(key)

    def _entry(self, key: str) -> Entry:
        data, version = self._objects[key]
        return Entry(key=key, size_bytes=len(data), version=version, digest=digest_bytes(data))

    def _check_bytes(self, key: str, data: bytes, expected: Digest) -> None:
        found = digest_bytes(data)
        if not found.agrees_with(expected):
            raise ChecksumError(
                f"{self.url}/{key}: expected {expected.describe()}, got {found.describe()}"
            )
