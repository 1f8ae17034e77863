"""Tests of receipts: what was read back, kept and read again."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.release.objects import digest_bytes
from lading.release.receipts import (
    ProvedObject,
    Receipt,
    load_receipt,
    now_utc,
    objects_known,
    render_receipt,
)

KEYS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


def make_receipt(objects: dict[str, ProvedObject]) -> Receipt:
    """Return a receipt of some objects."""
    return Receipt(
        task="promote:gcs-nightly",
        place="gs://bucket/nightly",
        channel="nightly",
        tag="nightly-2025-02-05",
        environment="staging",
        manifest_sha256="ab" * 32,
        proved_at=datetime(2025, 2, 5, 6, 7, 8, tzinfo=UTC),
        objects=objects,
    )


RECEIPT = make_receipt(
    {
        "b": ProvedObject(digest_bytes(b"b"), "17"),
        "ä b#?.txt": ProvedObject(digest_bytes(b""), "etag-1"),
    }
)


@given(objects=st.dictionaries(KEYS, st.tuples(st.binary(max_size=9), st.text(max_size=9))))
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, objects: dict[str, tuple[bytes, str]]
) -> None:
    """A receipt is read as it was written, whatever its keys and versions."""
    proved = {key: ProvedObject(digest_bytes(d), version) for key, (d, version) in objects.items()}
    path = tmp_path_factory.getbasetemp() / "receipt.json"
    try:
        data = render_receipt(make_receipt(proved))
    except UnicodeEncodeError:
        return  # half a surrogate pair in a version: no store gives one
    path.write_bytes(data)
    assert make_receipt(proved) == load_receipt(path)


def test_keys_are_sorted() -> None:
    """Equal receipts give equal bytes, whatever the order in which objects were proved."""
    turned = make_receipt(dict(reversed([*RECEIPT.objects.items()])))
    assert render_receipt(RECEIPT) == render_receipt(turned)
    assert [*json.loads(render_receipt(RECEIPT))["objects"]] == ["b", "ä b#?.txt"]


def test_knows_only_the_version_that_was_read_back() -> None:
    """What a receipt knows is the digest of an object in its version; none knows nothing."""
    known = objects_known(RECEIPT)
    assert known["b"] == ProvedObject(digest_bytes(b"b"), "17")
    known.clear()  # the caller's own: what is noted there does not reach the receipt
    assert [*RECEIPT.objects] == ["b", "ä b#?.txt"]
    assert objects_known(None) == {}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b"\xff",
        render_receipt(RECEIPT)[:-40],
        render_receipt(RECEIPT).replace(b'"version"', b'"varsion"'),
        render_receipt(RECEIPT).replace(b"2025-02-05T", b"yesterday"),
        render_receipt(RECEIPT).replace(b'"tag"', b'"tog"'),
        b'{"objects": []}',
        b'{"objects": {"a": 1}}',
    ],
    ids=range(12),
)
def test_broken_receipt_is_none(tmp_path: Path, data: bytes) -> None:
    """A receipt that cannot be read is none: it is only a cache."""
    path = tmp_path / "receipt.json"
    path.write_bytes(data)
    assert load_receipt(path) is None


def test_missing_receipt_is_none(tmp_path: Path) -> None:
    """No file, or a folder in its place, is no receipt."""
    assert load_receipt(tmp_path / "receipt.json") is None
    assert load_receipt(tmp_path) is None


def test_time_is_aware_and_whole() -> None:
    """The time of a receipt is in UTC, to the second."""
    now = now_utc()
    assert now.tzinfo is UTC
    assert now.microsecond == 0
    assert abs((datetime.now(UTC) - now).total_seconds()) < 5
