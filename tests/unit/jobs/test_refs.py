"""Names of objects that a run read or wrote."""

import pytest

from lading.jobs.refs import ObjectRef, parse_ref
from lading.release.objects import Digest
from lading.storage import Body, MemoryStore


def test_of_entry() -> None:
    """What a store tells of an object, and what is known better."""
    store = MemoryStore()
    entry = store.put("a/b", Body.of_bytes(b"abc"))
    ref = ObjectRef.of_entry("s3://lake/", entry)
    assert (ref.key, ref.size_bytes, ref.version) == ("a/b", 3, entry.version)
    assert ref.url == "s3://lake/a/b"
    known = ObjectRef.of_entry("s3://lake", entry, Digest(size_bytes=3, sha256="ab" * 32))
    assert known.sha256 == "ab" * 32
    assert known.digest.sha256 == "ab" * 32


def test_round_trip() -> None:
    """As JSON it says what is known, and is read as it was."""
    full = ObjectRef(
        store_url="s3://lake", key="a", size_bytes=3, version="1", sha256="ab", crc32c="x"
    )
    plain = ObjectRef(store_url="s3://lake", key="a", size_bytes=0)
    assert set(plain.table()) == {"store_url", "key", "size_bytes"}
    for ref in (full, plain):
        assert parse_ref(ref.table()) == ref


@pytest.mark.parametrize("table", [{}, {"store_url": "x", "key": "y"}, {"size_bytes": "x"}, []])
def test_no_name(table: dict[str, str]) -> None:
    """What is no name of an object is an error."""
    with pytest.raises(ValueError, match=r"expected the name of an object|invalid literal"):
        parse_ref(table)


def test_order() -> None:
    """By store, then key."""
    refs = [
        ObjectRef(store_url=url, key=key, size_bytes=1) for url in ("b", "a") for key in ("y", "x")
    ]
    assert sorted(refs) == refs[::-1]
