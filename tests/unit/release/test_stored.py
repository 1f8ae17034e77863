"""Tests of the list of assets that stand in storage already."""

import json
from typing import Any

import pytest

from lading.errors import SourceError
from lading.release.objects import Digest
from lading.release.stored import StoredAsset, parse_stored

ROW = {"key": "base/a.bin", "url": "s3://bucket/a.bin", "size_bytes": 3, "sha256": "ab" * 32}


def faults(*rows: Any) -> list[str]:
    """Return the lines with which a list is refused."""
    with pytest.raises(SourceError) as caught:
        parse_stored(json.dumps(rows).encode(), "stored.json")
    return str(caught.value).splitlines()


def test_sound() -> None:
    """A row says where an asset stands and what its bytes are; crc32c may be left out."""
    data = json.dumps([ROW, {**ROW, "key": "b", "crc32c": "AAAAAA=="}]).encode()
    first, second = parse_stored(data, "stored.json")
    digest = Digest(size_bytes=3, sha256="ab" * 32)
    assert first == StoredAsset("base/a.bin", "s3://bucket/a.bin", digest)
    assert second.digest.crc32c == "AAAAAA=="
    assert parse_stored(b"[]", "stored.json") == ()


@pytest.mark.parametrize("url", ["library/a.bin", "/data/a.bin", "file:///data/a", "gs://b/a/b"])
def test_places(url: str) -> None:
    """A place is a path, or a URL of a store."""
    (found,) = parse_stored(json.dumps([{**ROW, "url": url}]).encode(), "stored.json")
    assert found.url == url


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("key", "../x", ".key: expected a relative key of an asset, got '../x'"),
        ("key", "release.json", ".key: expected a relative key of an asset, got 'release.json'"),
        ("key", 3, ".key: expected a relative key of an asset, got 3"),
        ("url", "https://e.org/a", ".url: expected a path, or a URL of s3://, gs:// or file://"),
        ("url", "s3://user:secret@b/a", ".url: expected a path, or a URL of s3://"),
        ("url", "s3://b/a?token=1", ".url: expected a path, or a URL of s3://"),
        ("url", "a/../../etc/passwd", ".url: expected a path, or a URL of s3://"),
        ("url", None, ".url: expected a path, or a URL of s3://"),
        ("size_bytes", 0, ".size_bytes: expected a number from 1 on, got 0"),
        ("size_bytes", "3", ".size_bytes: expected a number from 1 on, got '3'"),
        ("size_bytes", True, ".size_bytes: expected a number from 1 on, got True"),
        ("sha256", "AB" * 32, ".sha256: expected 64 hexadecimal digits"),
        ("sha256", None, ".sha256: expected 64 hexadecimal digits"),
        ("crc32c", "zz", ".crc32c: expected base64 of four bytes, got 'zz'"),
        ("more", 1, ".more: expected one of crc32c, key, sha256, size_bytes, url, got 'more'"),
    ],
)
def test_fault(field: str, value: object, expected: str) -> None:
    """A row that is none is refused with its number and field; a secret is not repeated."""
    (fault,) = faults(ROW, {**ROW, "key": "b", field: value})
    assert fault.startswith(f"stored.json: [1]{expected}")
    assert "secret" not in fault


def test_all_faults() -> None:
    """Everything that is wrong is told at once."""
    found = faults("x", {**ROW, "size_bytes": -1, "sha256": ""}, ROW, ROW)
    assert [each.partition(" expected")[0] for each in found] == [
        "stored.json: [0]:",
        "stored.json: [1].size_bytes:",
        "stored.json: [1].sha256:",
        "stored.json: [2].key:",
        "stored.json: [3].key:",
    ]


@pytest.mark.parametrize(
    ("data", "expected"), [(b"{", "expected JSON"), (b"{}", "expected a list of assets, got dict")]
)
def test_not_a_list(data: bytes, expected: str) -> None:
    """Another file is refused by its name."""
    with pytest.raises(SourceError, match=f"stored.json: {expected}"):
        parse_stored(data, "stored.json")
