"""What stood where, when: one small object a promotion, beside the prefix and not in it."""

import json
from datetime import UTC, datetime

from lading.release.names import Prefix
from lading.storage import IF_ABSENT, Body, Store


def newest_manifest(store: Store, prefix: Prefix) -> str:
    """Return the sha256 of the manifest that was last promoted to a prefix, or ""."""
    entries = store.list(prefix.history_prefix)
    if not entries:
        return ""
    try:
        return str(json.loads(store.get(entries[-1].key))["manifest_sha256"])
    except (ValueError, KeyError, TypeError):
        return ""


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
