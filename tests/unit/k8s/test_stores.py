"""Stores that two would write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.k8s.stores import canonical_store, shared_stores


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://weather/gfs/v1.zarr", "s3://weather/gfs/v1.zarr"),
        ("S3://Weather/Gfs//v1.zarr/", "s3://weather/Gfs/v1.zarr"),
        ("s3a://b/x", "s3://b/x"),
        ("gcs://b/./a/../x", "gs://b/x"),
        ("gs://b", "gs://b"),
        ("gs://b//", "gs://b"),
        ("gs://b/../../x", "gs://b/x"),
        ("https://Host:443/a", "https://host/a"),
        ("http://host:80/a", "http://host/a"),
        ("http://host:8080/a", "http://host:8080/a"),
        ("file:///data//x/", "/data/x"),
        ("FILE:///data/x", "/data/x"),
        ("/data/./x/", "/data/x"),
        ("//data/x", "/data/x"),
        ("./data/x", "data/x"),
        ("memory://x/y", "memory://x/y"),
    ],
)
def test_canonical(url: str, expected: str) -> None:
    """One store has one URL, however it is written."""
    assert canonical_store(url) == expected


_URLS = st.builds(
    lambda scheme, parts: scheme + "/".join(parts),
    st.sampled_from(["s3://", "GS://", "file:///", "/", "", "https://H:443/"]),
    st.lists(st.sampled_from(["a", "B", "..", ".", "", "v0.3.0.zarr"]), min_size=1, max_size=6),
)


@given(_URLS)
def test_canonical_is_stable(url: str) -> None:
    """What is canonical stays, has no doubled and no last slash, and shares itself."""
    found = canonical_store(url)
    assert canonical_store(found) == found
    assert "//" not in found.partition("://")[2]
    assert len(shared_stores({"a": [url]}, {"b": [found]})) == 1


@given(_URLS, _URLS)
def test_sharing_is_mutual(one: str, other: str) -> None:
    """Who looks at whom does not matter."""
    assert bool(shared_stores({"a": [one]}, {"b": [other]})) == bool(
        shared_stores({"b": [other]}, {"a": [one]})
    )


_OF_A = "store: expected one that nobody else writes, got"


@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [
        ("s3://b/x", "s3://b/x", f"{_OF_A} s3://b/x of a, which b writes, too"),
        (
            "s3://b/x/",
            "S3://b//x",
            f"{_OF_A} s3://b/x/ of a, which b writes, too (as S3://b//x)",
        ),
        ("s3://b/x/y", "s3://b/x", f"{_OF_A} s3://b/x/y of a, which lies inside s3://b/x of b"),
        ("s3://b", "s3://b/x", f"{_OF_A} s3://b of a, which holds s3://b/x of b"),
        ("/", "/data", f"{_OF_A} / of a, which holds /data of b"),
        ("file:///data/x", "/data", f"{_OF_A} file:///data/x of a, which lies inside /data of b"),
        ("s3://b/x", "s3://b/xy", None),
        ("s3://b/v0.3.0", "s3://b/v0.3.0.zarr", None),
        ("s3://b/x", "gs://b/x", None),
        ("s3://b/x", "s3://c/x", None),
        ("s3://b/X", "s3://b/x", None),
        ("data/x", "/data/x", None),
        ("s3://data", "data", None),
        ("s3://data", "s3/data", None),
    ],
)
def test_shared(mine: str, theirs: str, expected: str | None) -> None:
    """Equal and nested stores are told, by segments of the path; alike ones are not."""
    assert shared_stores({"a": [mine]}, {"b": [theirs]}) == ([expected] if expected else [])


def test_all_are_told() -> None:
    """Every pair is one line, by owner; an owner shares nothing with itself."""
    mine = {"b": ["s3://x/1", "s3://x/2"], "a": ["s3://x/1", "s3://x/1"]}
    theirs = {"d": ["s3://x/2", "s3://x/9"], "c": ["s3://x/1"], "a": ["s3://x/1"]}
    assert [each.split(" got ")[1] for each in shared_stores(mine, theirs)] == [
        "s3://x/1 of a, which c writes, too",
        "s3://x/1 of b, which a writes, too",
        "s3://x/1 of b, which c writes, too",
        "s3://x/2 of b, which d writes, too",
    ]
    assert shared_stores(mine, {}) == []
