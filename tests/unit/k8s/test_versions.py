"""Versions out of files of the repository, and which of them may be staged."""

import json

import pytest

from lading.errors import SourceError
from lading.k8s.versions import check_staged_version, read_version

KEY = "attributes.dataset_version"


@pytest.mark.parametrize("version", ["0.3.0", "2026.01.01-rc1", "0.3.0+b1", "v1_a"])
@pytest.mark.parametrize("place", ["gfs/zarr.json", "gfs/zarr.json at origin/main"])
def test_json(version: str, place: str) -> None:
    """A version stands under a dotted key of a JSON file."""
    data = json.dumps({"attributes": {"dataset_version": version}}).encode()
    assert read_version(data, place, KEY) == version
    assert read_version(b"\xef\xbb\xbf" + data, place, KEY) == version


@pytest.mark.parametrize("place", ["gfs/dataset.toml", "gfs/dataset.toml at origin/main"])
def test_toml(place: str) -> None:
    """A version stands under a dotted key of a TOML file, whatever ref it was read at."""
    assert read_version(b'[attributes]\ndataset_version = "0.3.0"\n', place, KEY) == "0.3.0"


@pytest.mark.parametrize(
    ("data", "key", "expected"),
    [
        (
            b'{"attributes": {"dataset_versoin": "1", "b": 2}}',
            KEY,
            (
                "expected key 'attributes.dataset_version' (its part 'dataset_version') in a.json,"
                " found keys 'dataset_versoin', 'b' (did you mean 'dataset_versoin'?)"
            ),
        ),
        (b"{}", "version", "expected key 'version' in a.json, found keys none"),
        (
            json.dumps({f"k{at:02}": at for at in range(12)}).encode(),
            "zzz",
            (
                "expected key 'zzz' in a.json, found keys 'k00', 'k01', 'k02', 'k03', 'k04', 'k05',"
                " 'k06', 'k07', 'k08', 'k09' and 2 more"
            ),
        ),
        (b'{"a": "x"}', "a.b.c", "a.json: expected a table at key 'a', got 'x'"),
        (b'["x"]', "a", "a.json: expected a table, got a list of 1"),
        (
            b'{"a": 3}',
            "a",
            "a.json: a: expected a version as a string, got 3; put quotes round it",
        ),
        (
            b'{"a": {"b": 1}}',
            "a",
            "a.json: a: expected a version as a string, got a table of 1; put quotes round it",
        ),
        (
            b'{"a": "1 2"}',
            "a",
            (
                "a.json: a: version: expected letters, digits, '.', '-', '+' and '_', as 0.3.0, got"
                " '1 2'"
            ),
        ),
        (b'{"a" 1}', "a", "a.json: expected JSON, got an error: Expecting ':' delimiter"),
        (b"\xff", "a", "a.json: expected JSON, got an error: 'utf-8' codec can't decode"),
        (b"[" * 100_000, "a", "a.json: expected JSON, got an error: maximum recursion depth"),
    ],
)
def test_faults(data: bytes, key: str, expected: str) -> None:
    """What is not there, or no version, is one line that says what was found."""
    with pytest.raises(SourceError) as caught:
        read_version(data, "a.json", key)
    assert str(caught.value).startswith(expected)
    assert "\n" not in str(caught.value)


def test_broken_toml() -> None:
    """A broken TOML file is called one."""
    with pytest.raises(SourceError, match=r"^a.toml: expected TOML, got an error: .*line 2"):
        read_version(b"a = 1\nb = \n", "a.toml", "a")


@pytest.mark.parametrize(
    ("asked", "standing", "main", "expected"),
    [
        ("0.3.0", "0.3.0", "0.2.9", []),
        ("0.3.0", "0.3.0", None, []),
        ("0.3.0", "0.2.9", "0.2.8", ["version: expected 0.2.9, as gfs/zarr.json says, got 0.3.0"]),
        (
            "0.2.9",
            "0.2.9",
            "0.2.9",
            [
                (
                    "version: expected another than 0.2.9, which gfs has at origin/main: it would"
                    " write the store of production, got 0.2.9; raise it in gfs/zarr.json"
                )
            ],
        ),
        ("0.2.9", "0.3.0", "0.2.9", ["version: expected 0.3.0", "version: expected another"]),
    ],
)
def test_staged_versions(asked: str, standing: str, main: str | None, expected: list[str]) -> None:
    """A version is staged where the repository says it and production has another, or none."""
    found = check_staged_version("gfs", asked, standing, main, "origin/main", "gfs/zarr.json")
    assert len(found) == len(expected)
    assert all(one.startswith(other) for one, other in zip(found, expected, strict=True))


def test_place_may_be_left_out() -> None:
    """Without a file the repository is named."""
    found = check_staged_version("gfs", "0.3.0", "0.2.9", None, "origin/main")
    assert found == ["version: expected 0.2.9, as the repository says, got 0.3.0"]
