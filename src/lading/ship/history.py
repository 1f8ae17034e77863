"""What stood where, when: one small object a promotion, beside the prefix and not in it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice

from lading.errors import ManifestError, MissingObjectError
from lading.release.manifest import Manifest, objects_of, parse_manifest
from lading.release.names import Prefix, manifest_key
from lading.release.objects import digest_bytes
from lading.storage import IF_ABSENT, Body, Store

_LOOKED_BACK = 50  # promotions


@dataclass(frozen=True, slots=True)
class Promotion:
    """One entry of the history of a prefix."""

    tag: str
    """The tag that was switched to."""
    manifest_sha256: str
    """Its manifest."""
    channel: str
    """Its channel."""
    rollback_of: str = field(default="", compare=False)
    """The manifest that it went back from, where it was a rollback."""


def promotions(store: Store, prefix: Prefix) -> Iterator[Promotion]:
    """Yield what was switched to a prefix, the latest first; entries nobody can read are none."""
    for entry in reversed(store.list(prefix.history_prefix)):
        found = _read(store, entry.key)
        if found is not None:
            yield found


def newest_promotion(store: Store, prefix: Prefix) -> Promotion | None:
    """Return what was last switched to a prefix, or None where nothing readable says so."""
    entries = store.list(prefix.history_prefix)
    return _read(store, entries[-1].key) if entries else None


def promotion_before(store: Store, prefix: Prefix, tag: str) -> Promotion | None:
    """Return what a prefix was last switched to before a tag; None where nothing says so."""
    return next((each for each in promotions(store, prefix) if each.tag != tag), None)


def newest_manifest(store: Store, prefix: Prefix) -> str:
    """Return the sha256 of the manifest that was last promoted to a prefix, or ""."""
    newest = newest_promotion(store, prefix)
    return newest.manifest_sha256 if newest else ""


def load_promoted(store: Store, root: str, promotion: Promotion) -> Manifest | None:
    """Load the manifest that a promotion switched to, or None where it is no longer kept."""
    wanted = promotion.manifest_sha256
    for sha256 in ("", wanted):
        key = manifest_key(root, promotion.channel, promotion.tag, sha256)
        try:
            data = store.get(key)
        except MissingObjectError:
            continue
        if digest_bytes(data).sha256 == wanted:
            return parse_manifest(data, f"{store.url}/{key}")
    return None


def keys_of_releases(store: Store, prefix: Prefix) -> frozenset[str]:
    """Return the keys that releases put below a prefix, those of the last fifty promotions."""
    keys: set[str] = set()
    seen: set[Promotion] = set()
    for each in islice(promotions(store, prefix), _LOOKED_BACK):
        if each in seen:
            continue
        seen.add(each)
        try:
            manifest = load_promoted(store, prefix.root, each)
        except ManifestError:
            continue
        keys.update(objects_of(manifest) if manifest else ())
    return frozenset(keys)


def keep_manifest(store: Store, root: str, *, channel: str, tag: str, data: bytes) -> None:
    """Keep the manifest of a release that is being switched to.

    Effects: one of other bytes under the same tag is kept beside it, under its own digest.
    """
    key = manifest_key(root, channel, tag)
    body = Body.of_bytes(data)
    standing = store.stat(key)
    if standing is not None:
        found = standing.digest or store.digest(key)
        if body.digest.agrees_with(found):
            return
        before = Body.of_bytes(store.get(key))
        store.put(manifest_key(root, channel, tag, before.digest.sha256), before)
    store.put(key, body)


def record_promotion(
    store: Store,
    prefix: Prefix,
    *,
    channel: str,
    tag: str,
    manifest_sha256: str,
    rollback_of: str = "",
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
        **({"rollback_of": rollback_of} if rollback_of else {}),
    }
    data = (json.dumps(table, indent=1) + "\n").encode()
    key = f"{prefix.history_prefix}{now:%Y%m%dT%H%M%S.%fZ}-{tag}.json"
    store.put(key, Body.of_bytes(data), condition=IF_ABSENT)


def parse_promotion(data: bytes) -> Promotion | None:
    """Parse an entry of a history; None where it is none."""
    try:
        table = json.loads(data)
        return Promotion(
            tag=str(table["tag"]),
            manifest_sha256=str(table["manifest_sha256"]),
            channel=str(table["channel"]),
            rollback_of=str(table.get("rollback_of", "")),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _read(store: Store, key: str) -> Promotion | None:
    try:
        return parse_promotion(store.get(key))
    except MissingObjectError:  # pruned since it was listed
        return None
