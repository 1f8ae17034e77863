"""What a run wrote: lists of it that are named after their digest, and whether it still stands."""

import hashlib
import json
import posixpath
from collections import defaultdict
from collections.abc import Iterable, Sequence

from lading.errors import ChecksumError, MissingObjectError
from lading.jobs.canonical import canonical_json
from lading.jobs.keys import listing_key
from lading.jobs.refs import ObjectRef, OpenStore, parse_ref
from lading.release.objects import Digest
from lading.storage import Body, Entry, Store
from lading.storage.cloud import each_at_once

_ASKED_ONE_BY_ONE = 20


def latest(refs: Iterable[ObjectRef]) -> list[ObjectRef]:
    """Return one reference a place, by place; of several, the one that was named last. Pure."""
    return sorted({(each.store_url, each.key): each for each in refs}.values())


def render_listing(refs: Iterable[ObjectRef]) -> bytes:
    """Return a list of objects as JSON lines, by place; see ``latest``. Pure."""
    return b"".join(canonical_json(each.table()) + b"\n" for each in latest(refs))


def put_listing(store: Store, refs: Iterable[ObjectRef]) -> str:
    """Write a list of objects under its digest, and return that digest.

    Effects: one object, unless it stands there.
    """
    data = render_listing(refs)
    body = Body.of_bytes(data, "application/jsonl")
    key = listing_key(body.digest.sha256)
    standing = store.stat(key)
    # a thousand shards that write nothing share a list: a service refuses so many writes of a key
    if standing is None or _found(store, key, standing, body.digest) is not None:
        store.put(key, body)
    return body.digest.sha256


def load_listing(store: Store, sha256: str) -> list[ObjectRef]:
    """Read a list of objects.

    Raises:
        MissingObjectError: there is none of that digest.
        ChecksumError: it is another than its name says.
    """
    key = listing_key(sha256)
    data = store.get(key)
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise ChecksumError(
            f"{store.url}/{key}: expected sha256 {sha256}, found {found}",
            hint="the work is done again",
        )
    return [parse_ref(json.loads(line)) for line in data.splitlines()]


def verify_outputs(outputs: Sequence[ObjectRef], open_store: OpenStore) -> list[str]:
    """Return a line for each output that is missing or has other bytes, by place.

    One of the version that was written is good; of another, digests decide. What has neither
    cannot be proved, and is a fault. Listings are asked for where many stand below one prefix.
    """
    faults: list[str] = []
    by_store: defaultdict[str, list[ObjectRef]] = defaultdict(list)
    for ref in latest(outputs):
        by_store[ref.store_url].append(ref)
    for url, refs in by_store.items():
        store = open_store(url)
        standing = _observe(store, [each.key for each in refs])

        def judge(
            ref: ObjectRef, store: Store = store, standing: dict[str, Entry] = standing
        ) -> str:
            return _fault_of(store, ref, standing.get(ref.key))

        faults += filter(None, each_at_once(judge, refs, workers=store.workers))
    return faults


def plan_looks(keys: Sequence[str]) -> tuple[list[str], list[str]]:
    """Say how to look at many objects with few calls, and never at a whole store. Pure.

    Returns:
        Prefixes to list, each ending in a slash, and keys to ask for one by one.
    """
    if len(keys) <= _ASKED_ONE_BY_ONE:
        return [], list(keys)
    if folder := common_folder(keys):
        return [f"{folder}/"], []
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for key in keys:
        first, slash, _ = key.partition("/")
        groups[first + slash if slash else ""].append(key)
    prefixes, singles = [], groups.pop("", [])
    for group in groups.values():
        more_prefixes, more_singles = plan_looks(group)
        prefixes += more_prefixes
        singles += more_singles
    return prefixes, singles


def common_folder(keys: Sequence[str]) -> str:
    """Return the deepest folder that holds all keys, without a slash at its end; "" is the root."""
    return posixpath.commonpath([each.rpartition("/")[0] for each in keys])


def _observe(store: Store, keys: Sequence[str]) -> dict[str, Entry]:
    prefixes, singles = plan_looks(keys)
    listed = each_at_once(store.list, prefixes, workers=store.workers)
    asked = each_at_once(store.stat, singles, workers=store.workers)
    wanted = set(keys)
    found = [entry for entries in listed for entry in entries if entry.key in wanted]
    return {each.key: each for each in (*found, *filter(None, asked))}


def _fault_of(store: Store, ref: ObjectRef, entry: Entry | None) -> str:
    if entry is not None and ref.version and entry.version == ref.version:
        return ""
    try:
        found = _found(store, ref.key, entry, ref.digest) if entry else "none"
    except MissingObjectError:
        found = "none"
    return f"{ref.url}: expected {_describe(ref)}, found {found}" if found else ""


def _found(store: Store, key: str, entry: Entry, expected: Digest) -> str | None:
    """Say what bytes stand there instead of those expected; None where they are the same."""
    if entry.size_bytes != expected.size_bytes:
        return f"{entry.size_bytes} bytes"
    if entry.digest is not None and entry.digest.agrees_with(expected):
        return None
    if not (expected.sha256 or expected.crc32c):
        return f"version {entry.version} ({entry.size_bytes} bytes)"
    found = store.digest(key)
    return None if found.agrees_with(expected) else _tell(found, expected)


def _describe(ref: ObjectRef) -> str:
    if ref.crc32c or ref.sha256:
        return _tell(ref.digest, ref.digest)
    return f"version {ref.version or 'unknown'} ({ref.size_bytes} bytes)"


def _tell(digest: Digest, expected: Digest) -> str:
    """Name what all stores tell, where it is expected: two of a kind are compared at a glance."""
    if digest.crc32c and expected.crc32c:
        return f"crc32c {digest.crc32c} ({digest.size_bytes} bytes)"
    return digest.describe(expected)
