"""Objects that a run read or wrote, as markers, the audit trail and fingerprints name them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lading.release.objects import Digest
from lading.storage import Entry, Store

OpenStore = Callable[[str], Store]
"""Opens the store of a URL, as the project's configuration says how to reach it."""


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class ObjectRef:
    """One object of a store, as it was when it was read or written. Ordered by place."""

    store_url: str
    """Root of the store; never holds a secret."""
    key: str
    """Key below that root."""
    size_bytes: int
    """Its size."""
    version: str = ""
    """The store's version of it, see ``Entry.version``; "" where it is not known."""
    sha256: str = ""
    """Lower-case hex, or ""."""
    crc32c: str = ""
    """Base64, or ""."""

    @classmethod
    def of_entry(cls, store_url: str, entry: Entry, digest: Digest | None = None) -> "ObjectRef":
        """Name an object that a store told of; ``digest`` where more is known than it tells."""
        known = digest or entry.digest or Digest(size_bytes=entry.size_bytes)
        return cls(
            store_url=store_url,
            key=entry.key,
            size_bytes=entry.size_bytes,
            version=entry.version,
            sha256=known.sha256,
            crc32c=known.crc32c,
        )

    @property
    def url(self) -> str:
        """The object's URL."""
        return f"{self.store_url.rstrip('/')}/{self.key}"

    @property
    def digest(self) -> Digest:
        """What is known of its bytes."""
        return Digest(size_bytes=self.size_bytes, sha256=self.sha256, crc32c=self.crc32c)

    def table(self) -> dict[str, Any]:
        """Return it as JSON takes it, without what is not known."""
        names = ("store_url", "key", "size_bytes", "version", "sha256", "crc32c")
        return {name: getattr(self, name) for name in names if getattr(self, name) != ""}


def parse_ref(table: Mapping[str, Any]) -> ObjectRef:
    """Read an object's name as ``ObjectRef.table`` wrote it.

    Raises:
        ValueError: it is none.
    """
    try:
        return ObjectRef(
            store_url=str(table["store_url"]),
            key=str(table["key"]),
            size_bytes=int(table["size_bytes"]),
            version=str(table.get("version", "")),
            sha256=str(table.get("sha256", "")),
            crc32c=str(table.get("crc32c", "")),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"expected the name of an object, got {table!r}") from error
