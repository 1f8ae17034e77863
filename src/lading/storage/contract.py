"""What a store must do. ``tests/contract/test_store.py`` runs for every implementation.

Keys are relative names with forward slashes, in Unicode, at most 1,024 bytes of UTF-8.
An object is written whole or not at all: no reader ever sees a part of one. Every method
may be called from several threads. Every method may be repeated.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lading.errors import ChecksumError, StoreError
from lading.release.objects import Digest, digest_bytes
from lading.storage.progress import NO_PROGRESS, Progress

MAX_KEY_BYTES = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One object as a listing tells it."""

    key: str
    """Its key."""
    size_bytes: int
    """Its size."""
    version: str
    """Opaque; another value whenever the bytes may be others (generation, ETag, mtime)."""
    digest: Digest | None = None
    """What the listing itself tells of the digests, or None."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold at the moment of a write."""

    if_absent: bool = False
    """There is no object under the key."""
    if_version: str = ""
    """The object under the key has this version."""


ALWAYS = Condition()
IF_ABSENT = Condition(if_absent=True)


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes to put: a file on disk, or a small document in memory."""

    digest: Digest
    """What the bytes are; the store refuses others."""
    path: Path | None = None
    """The file, or None for a document."""
    data: bytes = b""
    """The document, where ``path`` is None."""
    media_type: str = "application/octet-stream"
    """Media type to store with it."""

    @classmethod
    def of_bytes(cls, data: bytes, media_type: str = "application/json") -> "Body":
        """Make a body of a document."""
        return cls(digest_bytes(data), None, data, media_type)


class Store(Protocol):
    """A place that holds objects under keys."""

    @property
    def url(self) -> str:
        """The root, for people; never holds a secret."""

    def list(self, prefix: str = "") -> list[Entry]:
        """List the objects whose keys begin with ``prefix``, one entry per object, sorted by key.

        Raises:
            StoreError: the store cannot be read. A place that does not exist yet is empty.
        """

    def stat(self, key: str) -> Entry | None:
        """Return the entry of one object, or None where there is none."""

    def digest(self, key: str) -> Digest:
        """Ask the object itself for its digests: strength of a hash, cost of a call or a read.

        Raises:
            MissingObjectError: there is no such object.
        """

    def get(self, key: str, start: int = 0, stop: int | None = None) -> bytes:
        """Read the bytes ``start`` to ``stop`` (exclusive, None: the end) of one object.

        Raises:
            MissingObjectError: there is no such object.
        """

    def put(
        self,
        key: str,
        body: Body,
        *,
        condition: Condition = ALWAYS,
        progress: Progress = NO_PROGRESS,
    ) -> Entry:
        """Write one object, and return its entry.

        Effects: the object is there when this returns, whole and durable, or nothing changed.

        Raises:
            ConditionError: the condition did not hold.
            ChecksumError: the bytes are not those that ``body.digest`` announces.
            StoreError: the store refused.
        """

    def copy(self, source_key: str, key: str, *, digest: Digest, source_url: str = "") -> Entry:
        """Copy one object on the side of the store, never through this machine's network.

        Args:
            source_key: the object to copy.
            key: where to.
            digest: what the bytes must be.
            source_url: root of the store that holds ``source_key``, of the same kind, where
                it is not this one.

        Effects: as ``put``. An object under ``key`` is replaced in one step.

        Raises:
            MissingObjectError: there is no object under ``source_key``.
            ChecksumError: the copy is not the bytes that ``digest`` announces.
        """

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects. Keys without an object are no error.

        Raises:
            StoreError: naming the first key that could not be deleted.
        """

    def sweep(self) -> None:
        """Remove what killed writers of this root left behind; never what a live one writes."""


def check_key(key: str) -> str:
    """Return the key, if it is one.

    Raises:
        StoreError: not a relative key, or longer than 1,024 bytes.
    """
    segments = key.split("/")
    bad = any(part in {"", ".", ".."} for part in segments)
    bad = bad or any(unicodedata.category(char) in {"Cc", "Cs"} for char in key)
    if bad:
        raise StoreError(f"expected a relative key without '..' or control characters, got {key!r}")
    if len(key.encode()) > MAX_KEY_BYTES:
        raise StoreError(f"expected a key of at most {MAX_KEY_BYTES} bytes, got {key[:60]!r}…")
    return key


def require_file(body: Body) -> None:
    """Refuse a body whose file has vanished since it was described.

    Raises:
        ChecksumError: naming the file.
    """
    if body.path and not body.path.is_file():
        raise ChecksumError(f"{body.path}: expected {body.digest.describe()}, found no file")
