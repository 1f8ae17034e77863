"""Receipts: what was read back after an effect, kept as a doit target file.

A receipt is a cache of what the destination would say. It saves questions, never bytes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
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
    objects: Mapping[str, ProvedObject] = field(default_factory=dict)
    """By key, sorted; none where the target is no store."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What was read back of a service, by name; none of a store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What all receipts of one task say of the release."""

    task: str
    """The doit task."""
    project: str
    """Name of the project."""
    channel: str
    """Channel of the release."""
    tag: str
    """Tag of the release."""
    environment: str
    """Production or staging."""
    manifest_sha256: str
    """Identity of the release: the sha256 of its ``release.json``."""

    def receipt(self, place: str, facts: Mapping[str, str]) -> Receipt:
        """Return the receipt of what was just read back of a service."""
        return Receipt(
            task=self.task,
            place=place,
            channel=self.channel,
            tag=self.tag,
            environment=self.environment,
            manifest_sha256=self.manifest_sha256,
            proved_at=now_utc(),
            facts=facts,
        )


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
    }
    if receipt.facts:
        table["facts"] = dict(receipt.facts)
    head = json.dumps(table, indent=1, ensure_ascii=False).removesuffix("\n}")
    # a line an object: of twenty thousand the whole table would be a hundred thousand strings
    rows = ",\n".join(_render_row(*each) for each in sorted(receipt.objects.items()))
    return f'{head},\n "objects": {{\n{rows}\n }}\n}}\n'.encode()


def _render_row(key: str, proved: ProvedObject) -> str:
    row = {
        "size_bytes": proved.digest.size_bytes,
        "sha256": proved.digest.sha256,
        "crc32c": proved.digest.crc32c,
        "version": proved.version,
    }
    return f"  {json.dumps(key, ensure_ascii=False)}: {json.dumps(row, ensure_ascii=False)}"


def objects_known(receipt: Receipt | None) -> dict[str, ProvedObject]:
    """Return the objects of a receipt by key; none where there is no receipt."""
    return dict(receipt.objects) if receipt else {}


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
            facts={str(name): str(fact) for name, fact in table.get("facts", {}).items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
