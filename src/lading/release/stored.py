"""Assets of a version that stand in storage already, as a file of the version names them. Pure.

They are never part of the build: their bytes are proved where they stand, and copied from there.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lading.errors import SourceError
from lading.release.layout import RELEASE_KEY, SUMS_KEY, fault_of_name
from lading.release.objects import Digest

_FIELDS = frozenset({"key", "url", "size_bytes", "sha256", "crc32c"})
_PLACE = re.compile(r"(?:(?:s3|gs|file|memory)://)?[^\s?#@{}:]+")


@dataclass(frozen=True, slots=True)
class StoredAsset:
    """One asset that stands in storage already."""

    key: str
    """Its key inside a prefix."""
    url: str
    """Where it stands: a path from the configuration's folder, or a URL of a store."""
    digest: Digest
    """What its bytes are said to be; crc32c where that was said."""


def parse_stored(data: bytes, place: str) -> tuple[StoredAsset, ...]:
    """Parse a list of stored assets, in its order.

    Args:
        data: JSON: a list of ``{key, url, size_bytes, sha256}``, each with ``crc32c`` or without.
        place: what each fault begins with.

    Raises:
        SourceError: not such a list; every fault, one a line.
    """
    try:
        rows = json.loads(data)
    except ValueError as error:
        raise SourceError(f"{place}: expected JSON, got {error}") from error
    if not isinstance(rows, list):
        raise SourceError(f"{place}: expected a list of assets, got {type(rows).__name__}")
    faults = [
        f"{place}: [{index}]{fault}" for index, row in enumerate(rows) for fault in _faults(row)
    ]
    keys = [row.get("key") if isinstance(row, Mapping) else None for row in rows]
    for index, key in enumerate(keys):
        if key is not None and key in keys[:index]:
            faults.append(f"{place}: [{index}].key: expected each key once, got {key!r} again")
    if faults:
        raise SourceError("\n".join(faults))
    return tuple(
        StoredAsset(
            row["key"],
            row["url"],
            Digest(
                size_bytes=row["size_bytes"], sha256=row["sha256"], crc32c=row.get("crc32c", "")
            ),
        )
        for row in rows
    )


def _faults(row: Any) -> Iterator[str]:
    if not isinstance(row, Mapping):
        yield f": expected a table with key, url, size_bytes and sha256, got {row!r}"
        return
    for name in sorted(row.keys() - _FIELDS):
        yield f".{name}: expected one of {', '.join(sorted(_FIELDS))}, got {name!r}"
    key, url, size = row.get("key"), row.get("url"), row.get("size_bytes")
    if not isinstance(key, str) or fault_of_name(key) or key in {RELEASE_KEY, SUMS_KEY}:
        yield f".key: expected a relative key of an asset, got {key!r}"
    if not isinstance(url, str) or not _PLACE.fullmatch(url) or ".." in url.split("/"):
        yield ".url: expected a path, or a URL of s3://, gs:// or file:// without a user"
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        yield f".size_bytes: expected a number from 1 on, got {size!r}"
    if not re.fullmatch(r"[0-9a-f]{64}", str(row.get("sha256"))):
        yield f".sha256: expected 64 hexadecimal digits, got {row.get('sha256')!r}"
    if not re.fullmatch(r"[A-Za-z0-9+/]{6}==", str(row.get("crc32c", "AAAAAA=="))):
        yield f".crc32c: expected base64 of four bytes, got {row.get('crc32c')!r}"
