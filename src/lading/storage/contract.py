"""What a store must do. ``tests/contract/test_store.py`` runs for every implementation.

Keys are relative names with forward slashes, in Unicode, at most 1,024 bytes of UTF-8.
An object is written whole or not at all: no reader ever sees a part of one. Every method
may be called from several threads. Every method may be repeated.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
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
    """What the store itself tells of the digests here, or None."""
    modified_at: datetime | None = None
    """When it was written; aware. None where the store does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """An upload that was begun and not ended: bytes that are paid for and nobody can read."""

    key: str
    """The key it was to be."""
    upload: str
    """The store's name of the upload."""
    begun_at: datetime
    """When it was begun; aware."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What a store keeps beside the bytes and serves with them. A folder keeps none."""

    media_type: str = "application/octet-stream"
    """Media type."""
    cache_control: str = ""
    """How long caches may keep it, or "" for the store's own answer."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold at the moment of a write."""

    if_absent: bool = False
    """There is no object under the key."""
    if_version: str = ""
    """The object under the key has this version."""


NO_ATTRIBUTES = Attributes()
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
    attributes: Attributes = field(default_factory=Attributes)
    """What to keep with them."""

    @classmethod
    def of_bytes(cls, data: bytes, media_type: str = "application/json") -> "Body":
        """Make a body of a document, which no cache may keep unasked."""
        attributes = Attributes(media_type=media_type, cache_control="no-cache")
        return cls(digest_bytes(data), None, data, attributes)


class Store(Protocol):
    """A place that holds objects under keys."""

    @property
    def url(self) -> str:
        """The root, for people; never holds a secret."""

    @property
    def workers(self) -> int:
        """How many calls at once it answers well."""

    def require_access(self, root: str) -> None:
        """Refuse a place in which this run could not list, write, read and delete.

        Args:
            root: what the keys of the run begin with, "" or ending in a slash.

        Effects: none that last.

        Raises:
            StoreError: naming the place, what was tried, and the store's own words.
        """

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
        """Copy one object on the side of the store, never through this machine's network.

        Args:
            source_key: the object to copy.
            key: where to.
            digest: what the bytes must be.
            attributes: what the copy gets; nothing but the bytes is taken from the source.
            source_url: root of the store that holds ``source_key``, of the same kind, where
                it is not this one.
            source_version: version of the source whose digest was asked before: it is copied, or
                nothing is, and is not asked again. "": whichever stands, once it is asked.

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

    def delete_version(self, key: str, version: str) -> None:
        """Delete one object, if it still has a version.

        Raises:
            ConditionError: it has another, or there is none.
        """

    def cannot_hold(self) -> str:
        """Say why objects cannot be held here, or "" where they can."""

    def held(self, prefix: str) -> frozenset[str]:
        """Return the keys below a prefix whose bytes the store keeps whatever anybody does.

        A store without versions refuses to delete and to overwrite them. One with versions (S3)
        keeps the version: a deletion or an overwriting puts another one before it.
        """

    def hold(self, keys: Iterable[str]) -> None:
        """Hold objects until a person lifts it: their bytes stay; see ``held``.

        Raises:
            MissingObjectError: there is no object under a key.
            StoreError: the store refused, or cannot hold.
        """

    def unfinished(self, prefix: str) -> Sequence[Unfinished]:
        """List uploads to keys below a prefix that were begun and not ended, oldest first."""

    def abandon(self, uploads: Iterable[Unfinished]) -> None:
        """End uploads for good and free what they hold. One that has ended is no error."""

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
