"""What stood where, when: one small object a promotion, beside the prefix and not in it."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from lading.release.names import Prefix
from lading.storage import IF_ABSENT, Body, Store


@dataclass(frozen=True, slots=True)
class Promotion:
    """One entry of the history of a prefix."""

    tag: str
    """The tag that was switched to."""
    manifest_sha256: str
    """Its manifest."""


def newest_promotion(store: Store, prefix: Prefix) -> Promotion | None:
    """Return what was last switched to a prefix, or None where nothing readable says so."""
    entries = store.list(prefix.history_prefix)
    return _read(store, entries[-1].key) if entries else None


def promotion_before(store: Store, prefix: Prefix, tag: str) -> Promotion | None:
    """Return what a prefix was last switched to before a tag; None where nothing says so."""
    for entry in reversed(store.list(prefix.history_prefix)):
        found = _read(store, entry.key)
        if found is not None and found.tag != tag:
            return found
    return None


def _read(store: Store, key: str) -> Promotion | None:
    try:
        table = json.loads(store.get(key))
        return Promotion(str(table["tag"]), str(table["manifest_sha256"]))
    except (ValueError, KeyError, TypeError):
        return None


def newest_manifest(store: Store, prefix: Prefix) -> str:
    """Return the sha256 of the manifest that was last promoted to a prefix, or ""."""
    newest = newest_promotion(store, prefix)
    return newest.manifest_sha256 if newest else ""


def record_promotion(
    store: Store, prefix: Prefix, *, channel: str, tag: str, manifest_sha256: str
) -> None:
    """Record that a release is being switched to a prefix. Names sort by time."""
    now = datetime.now(UTC)
    table = {
        "schema_version": 1,
        "prefix": prefix.name,
        "channel": channel,
        "tag": tag,
        "manifest_sha256": manifest_sha256,
        "begun_at": now.isoformat(),
    }
    data = (json.dumps(table, indent=1) + "\n").encode()
    key = f"{prefix.history_prefix}{now:%Y%m%dT%H%M%S.%fZ}-{tag}.json"
    store.put(key, Body.of_bytes(data), condition=IF_ABSENT)
