"""Receipts: what was read back after an effect, kept as a doit target file.

A receipt is a cache of what the destination would say. It saves questions, never bytes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lading.release.objects import Digest


@dataclass(frozen=True, slots=True)
class ProvedObject:
    """One object as it was read back."""

    digest: Digest
    """Its digests."""
    version: str
    """The store's version of it at that moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What was read back of one target."""

    task: str
    """The doit task."""
    place: str
    """URL of what was changed."""
    channel: str
    """Channel of the release."""
    tag: str
    """Tag of the release."""
    environment: str
    """Production or staging."""
    manifest_sha256: str
    """The manifest that it was made from."""
    proved_at: datetime
    """When it was read back; aware, UTC."""
    objects: Mapping[str, ProvedObject]
    """By key, sorted."""

    def knows(self, key: str, version: str) -> Digest | None:
        """Return the digest of an object, if it still has the version that was read back."""
        proved = self.objects.get(key)
        return proved.digest if proved and proved.version == version else None


def now_utc() -> datetime:
    """Return the time, to the second, aware."""
    return datetime.now(UTC).replace(microsecond=0)


def render_receipt(receipt: Receipt) -> bytes:
    """Render a receipt as JSON."""
    table: dict[str, Any] = {
        "schema_version": 1,
        "task": receipt.task,
        "place": receipt.place,
        "channel": receipt.channel,
        "tag": receipt.tag,
        "environment": receipt.environment,
        "manifest_sha256": receipt.manifest_sha256,
        "proved_at": receipt.proved_at.isoformat(),
        "objects": {
            key: {
                "size_bytes": each.digest.size_bytes,
                "sha256": each.digest.sha256,
                "crc32c": each.digest.crc32c,
                "version": each.version,
            }
            for key, each in sorted(receipt.objects.items())
        },
    }
    return (json.dumps(table, indent=1, ensure_ascii=False) + "\n").encode()


def load_receipt(path: Path) -> Receipt | None:
    """Load a receipt, or None where there is none that can be read: it is only a cache."""
    try:
        table = json.loads(path.read_bytes())
        objects = {
            key: ProvedObject(
                Digest(size_bytes=row["size_bytes"], sha256=row["sha256"], crc32c=row["crc32c"]),
                row["version"],
            )
            for key, row in table["objects"].items()
        }
        return Receipt(
            task=table["task"],
            place=table["place"],
            channel=table["channel"],
            tag=table["tag"],
            environment=table["environment"],
            manifest_sha256=table["manifest_sha256"],
            proved_at=datetime.fromisoformat(table["proved_at"]),
            objects=objects,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
