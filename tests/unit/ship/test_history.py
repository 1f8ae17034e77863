"""Tests of the history of a prefix: what stood there, when."""

import json
from datetime import datetime, timedelta

import pytest

from lading.release.names import Prefix
from lading.ship.history import newest_manifest, record_promotion
from lading.storage import Body, MemoryStore

NIGHTLY = Prefix(destination="gcs", name="nightly", root="", immutable=False)
EEL_HOLE = Prefix(destination="gcs", name="eel-hole", root="", immutable=False)
STAGED = Prefix(destination="gcs", name="nightly", root="staging/", immutable=False)


def record(store: MemoryStore, prefix: Prefix, tag: str) -> None:
    """Record a promotion of a manifest that is named like its tag."""
    record_promotion(store, prefix, channel="nightly", tag=tag, manifest_sha256=f"sha of {tag}")


def test_nothing_was_promoted() -> None:
    """A prefix without a history names no manifest."""
    assert newest_manifest(MemoryStore(), NIGHTLY) == ""


def test_last_promotion_is_the_newest() -> None:
    """The newest is the last recorded, also where tags sort otherwise or come back."""
    store = MemoryStore()
    for tag in ("v9", "v10", "a", "v9"):
        record(store, NIGHTLY, tag)
        assert newest_manifest(store, NIGHTLY) == f"sha of {tag}"
    assert len(store.list()) == 4


def test_prefixes_and_roots_have_their_own() -> None:
    """Each prefix, in production and in staging, has its own history."""
    store = MemoryStore()
    record(store, NIGHTLY, "one")
    record(store, EEL_HOLE, "two")
    record(store, STAGED, "three")
    found = [newest_manifest(store, each) for each in (NIGHTLY, EEL_HOLE, STAGED)]
    assert found == ["sha of one", "sha of two", "sha of three"]


def test_entry_tells_what_and_when() -> None:
    """An entry tells prefix, channel, tag, manifest and an aware time; its name tells both."""
    store = MemoryStore()
    record(store, NIGHTLY, "nightly-2025-02-05")
    (entry,) = store.list()
    table = json.loads(store.get(entry.key))
    assert (table["prefix"], table["channel"], table["tag"], table["manifest_sha256"]) == (
        "nightly",
        "nightly",
        "nightly-2025-02-05",
        "sha of nightly-2025-02-05",
    )
    begun = datetime.fromisoformat(table["begun_at"])
    assert begun.utcoffset() == timedelta(0)
    name = f"{begun:%Y%m%dT%H%M%S.%fZ}-nightly-2025-02-05.json"
    assert f".lading/history/nightly/{name}" == entry.key


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"{}", b"\xff"])
def test_broken_entry_names_nothing(data: bytes) -> None:
    """A last entry that cannot be read names no manifest, so that the next is recorded anew."""
    store = MemoryStore()
    record(store, NIGHTLY, "one")
    store.put(".lading/history/nightly/99990101T000000.000000Z-x.json", Body.of_bytes(data))
    assert newest_manifest(store, NIGHTLY) == ""
