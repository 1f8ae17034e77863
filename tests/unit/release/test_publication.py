"""Tests of the published document: a manifest in other words."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.config.publish import Publish
from lading.errors import ManifestError
from lading.release.manifest import (
    Manifest,
    ManifestFile,
    Origin,
    Tool,
    depot_key_of,
    media_type_of,
    objects_of,
    order_files,
    parse_manifest,
    render_manifest,
)
from lading.release.objects import digest_bytes
from lading.release.publication import (
    PublishedManifest,
    publish,
    render_moment,
    render_publication_schema,
)

SCHEMA = Path(__file__).parents[3] / "schemas" / "publication.schema.json"
MOMENT = "2025-02-05T12:00:00Z"
KEYS = st.sampled_from(["a.geojson", "b.pmtiles", "tiles/x y.zip", "é.md", "d/e.geojson", "f.csv"])


def make_file(key: str, data: bytes = b"data", **more: Any) -> ManifestFile:
    """Describe a file of some bytes."""
    digest = digest_bytes(data)
    origin = Origin(kind="file", path=key, size_bytes=digest.size_bytes)
    return ManifestFile(
        key=key,
        size_bytes=digest.size_bytes,
        sha256=digest.sha256,
        crc32c=digest.crc32c,
        media_type=media_type_of(key),
        origin=origin,
        depot_key=depot_key_of(digest.sha256),
        **more,
    )


def make_manifest(*files: ManifestFile, doi: str | None = None) -> Manifest:
    """Describe a version of some files."""
    return Manifest(
        schema_version=1,
        project="maps",
        channel="staging",
        tag="v1",
        commit=None,
        doi=doi,
        source="versions/v1",
        tool=Tool(name="lading", version="0"),
        files=order_files(files),
    )


def document(manifest: Manifest, base_url: str = "", **rules: Any) -> PublishedManifest:
    """Publish it."""
    return publish(manifest, Publish(**rules), base_url, MOMENT)


def wire(found: Manifest) -> dict[str, Any]:
    """Return what is written of a manifest."""
    table: dict[str, Any] = json.loads(render_manifest(found))
    return table


@given(
    st.lists(KEYS, unique=True),
    st.binary(max_size=9),
    st.sampled_from(["", "https://m.org/maps/"]),
    st.none() | st.just("10.5281/zenodo.1"),
    st.none() | st.dictionaries(st.sampled_from("ab"), st.integers(0, 9)),
)
def test_round_trip(
    keys: list[str], data: bytes, base: str, doi: str | None, rows: dict[str, int] | None
) -> None:
    """What is written fits the schema of the repository, and is read as what was written."""
    files = [make_file(key, data, rows=rows, md5=None) for key in keys]
    found = document(make_manifest(*files, doi=doi), base)
    data = render_manifest(found)
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(json.loads(data))
    assert parse_manifest(data) == found
    assert render_manifest(parse_manifest(data)) == data


def test_schema_equals_the_models() -> None:
    """The schema in the repository is what the models render, and is a schema."""
    assert SCHEMA.read_text(encoding="utf-8") == render_publication_schema()
    jsonschema.Draft202012Validator.check_schema(json.loads(render_publication_schema()))


def test_words() -> None:
    """The document speaks of versions, environments and assets."""
    found = wire(document(make_manifest(make_file("a.geojson"), make_file("tiles/b.zip"))))
    assert [*found] == [
        "schema_version",
        "project",
        "version",
        "environment",
        "published_at",
        "commit",
        "source",
        "tool",
        "assets",
    ]
    assert {name: [e["key"] for e in rows] for name, rows in found["assets"].items()} == {
        "overlays": ["a.geojson"],
        "tiles": ["tiles/b.zip"],
        "files": [],
    }


def test_groups_are_those_of_the_rules() -> None:
    """The first list whose patterns fit has an asset; all others are files."""
    manifest = make_manifest(*(make_file(key) for key in ("a.geojson", "b.csv", "c.md")))
    found = wire(document(manifest, overlays=("*.csv",), tiles=("*.csv", "*.md")))
    assert {name: [e["key"] for e in rows] for name, rows in found["assets"].items()} == {
        "overlays": ["b.csv"],
        "tiles": ["c.md"],
        "files": ["a.geojson"],
    }


@pytest.mark.parametrize("base", ["", "https://maps.example.org/production/maps/"])
def test_urls_are_escaped(base: str) -> None:
    """An asset's URL is a URL, absolute or relative, whatever its key holds."""
    (asset,) = wire(document(make_manifest(make_file("a b/é#?.csv")), base))["assets"]["files"]
    assert asset["url"] == f"{base}a%20b/%C3%A9%23%3F.csv"


def test_moment_alone_differs() -> None:
    """The same content at another moment is equal but for it, and is another object."""
    found = document(make_manifest(make_file("a.csv")))
    other = found.at("2026-01-01T00:00:00Z")
    assert other != found
    assert other.at(MOMENT) == found
    assert objects_of(other)["release.json"] != objects_of(found)["release.json"]
    assert objects_of(other)["a.csv"] == objects_of(found)["a.csv"]


def test_moment_in_utc() -> None:
    """A moment is written in UTC, to the second."""
    moment = datetime(2025, 2, 5, 13, 0, 0, 999, tzinfo=timezone(timedelta(hours=1)))
    assert render_moment(moment) == MOMENT
    assert render_moment(datetime(2025, 2, 5, 12, tzinfo=UTC)) == MOMENT


@pytest.mark.parametrize(
    ("place", "value", "where"),
    [
        (["published_at"], "yesterday", "published_at"),
        (["published_at"], None, "published_at"),
        (["version"], 7, "version"),
        (["assets"], [], "assets"),
        (["assets", "tiles"], None, "assets.tiles"),
        (["assets", "files", 0, "url"], None, "assets.files.0.url"),
        (["assets", "files", 0, "sha256"], "AB", "assets.files.0.sha256"),
        (["assets", "files", 0, "more"], 1, "assets.files.0.more"),
        (["more"], 1, "more"),
    ],
)
def test_fault(place: list[Any], value: object, where: str) -> None:
    """What is not of the format is refused with the place of the first fault."""
    table = wire(document(make_manifest(make_file("a.csv"))))
    inside: Any = table
    for each in place[:-1]:
        inside = inside[each]
    inside[place[-1]] = value
    with pytest.raises(ManifestError) as caught:
        parse_manifest(json.dumps(table).encode(), "gs://b/release.json")
    expected = (
        f"gs://b/release.json: expected a manifest of schema_version 2, got a fault at {where}:"
    )
    assert str(caught.value).startswith(expected)


def test_a_key_in_two_lists() -> None:
    """An asset that stands in two lists is no document: one of them would be wrong."""
    table = wire(document(make_manifest(make_file("a.csv"))))
    table["assets"]["tiles"] = table["assets"]["files"]
    with pytest.raises(ManifestError, match="expected each key once"):
        parse_manifest(json.dumps(table).encode())
