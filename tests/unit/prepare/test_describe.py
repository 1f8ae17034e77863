"""Tests of describing a release: from a layout and digests to a manifest."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from lading import __version__
from lading.errors import SourceError
from lading.prepare.describe import describe_release, digest_artifacts, locate, rows_of
from lading.prepare.digests import DigestCache
from lading.release.layout import Artifact, Layout
from lading.release.manifest import Manifest, parse_manifest, render_manifest
from lading.release.names import Release
from lading.release.objects import Digest, digest_bytes
from tests.fakes.releases import STABLE, make_release

PLAIN = Artifact("notes.json", "file", "sub/notes.json", ("sub/notes.json",))
TABLE = Artifact("hours.parquet", "file", "parquet/hours.parquet", ("parquet/hours.parquet",))
DATABASE = Artifact("grid.sqlite.zip", "sqlite", "grid.sqlite.zip", ("grid.sqlite",))
BUNDLE = Artifact("all.zip", "bundle", "all.zip", ("parquet/a.parquet", "parquet/b.parquet"))
LAYOUT = Layout((BUNDLE, DATABASE, TABLE, PLAIN), ())
DIGESTS = [digest_bytes(each.key.encode()) for each in LAYOUT.artifacts]
ROWS = {
    "grid.sqlite": {"plants": 30, "boilers": 4, "empty": 0},
    "parquet/hours.parquet": {"hours": 8760},
    "parquet/b.parquet": {"b": 2},
    "parquet/a.parquet": {"a": 1},
}
SIZES = {
    "grid.sqlite": 4096,
    "parquet/hours.parquet": 700,
    "parquet/a.parquet": 10,
    "parquet/b.parquet": 20,
    "sub/notes.json": 0,
}


def describe(
    release: Release,
    layout: Layout = LAYOUT,
    digests: Sequence[Digest] = DIGESTS,
    commit: str | None = None,
) -> Manifest:
    """Describe a release of the files above; a file of another layout has one byte."""
    sizes = {path: SIZES.get(path, 1) for path in layout.source_paths}
    return describe_release(release, layout, digests, ROWS, sizes, commit=commit)


def with_md5(digest: Digest) -> Digest:
    """Return a digest that tells an MD5."""
    return Digest(
        size_bytes=digest.size_bytes, sha256=digest.sha256, crc32c=digest.crc32c, md5="0" * 32
    )


@pytest.mark.parametrize(
    ("artifact", "expected"),
    [
        (PLAIN, "build/sub/notes.json"),
        (DATABASE, "archives/grid.sqlite.zip"),
        (BUNDLE, "archives/all.zip"),
    ],
)
def test_locate(artifact: Artifact, expected: str) -> None:
    """A file stands in the build, an archive in the archive folder."""
    assert Path(expected) == locate(artifact, Path("build"), Path("archives"))


def test_facts_of_the_release() -> None:
    """A manifest tells project, channel, tag, commit, source and tool."""
    release = make_release()
    found = describe(release, commit="abc")
    assert ("sample", "nightly", release.tag, "abc", release.source_url) == (
        found.project,
        found.channel,
        found.tag,
        found.commit,
        found.source,
    )
    assert (found.tool.name, found.tool.version) == ("lading", __version__)


def test_each_file_is_described() -> None:
    """Key, digests, media type, depot key and origin of every file stand, sorted by key."""
    found = describe(make_release())
    assert [each.key for each in LAYOUT.artifacts] == [each.key for each in found.files]
    for file, digest in zip(found.files, DIGESTS, strict=True):
        assert digest.sha256 == file.sha256
        assert (digest.size_bytes, digest.crc32c) == (file.size_bytes, file.crc32c)
        assert f".lading/objects/{digest.sha256}" == file.depot_key
    origins = {each.key: (each.origin.kind, each.origin.path) for each in found.files}
    assert origins == {
        "all.zip": ("bundle", "parquet"),
        "grid.sqlite.zip": ("sqlite", "grid.sqlite"),
        "hours.parquet": ("file", "parquet/hours.parquet"),
        "notes.json": ("file", "sub/notes.json"),
    }
    assert [each.media_type for each in found.files] == [
        "application/zip",
        "application/zip",
        "application/vnd.apache.parquet",
        "application/json",
    ]


def test_rows_stand_beside_each_file_with_tables() -> None:
    """A database, a table and a bundle tell their rows by table, sorted; other files tell none."""
    found = {each.key: each.rows for each in describe(make_release()).files}
    assert found == {
        "all.zip": {"a": 1, "b": 2},
        "grid.sqlite.zip": {"boilers": 4, "empty": 0, "plants": 30},
        "hours.parquet": {"hours": 8760},
        "notes.json": None,
    }
    assert list(found["grid.sqlite.zip"] or ()) == ["boilers", "empty", "plants"]
    rendered = render_manifest(describe(make_release()))
    assert rendered.count(b'"rows"') == 3


def test_size_before_packing() -> None:
    """The origin tells the size in the build: of a bundle, the sum of its members."""
    found = {each.key: each.origin.size_bytes for each in describe(make_release()).files}
    expected = {"all.zip": 30, "grid.sqlite.zip": 4096, "hours.parquet": 700, "notes.json": 0}
    assert expected == found


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ({}, None),
        ({"parquet/hours.parquet": {"hours": 1}}, None),
        ({"parquet/a.parquet": {"a": 5}}, {"a": 5}),
        ({"parquet/a.parquet": {}}, {}),
    ],
)
def test_rows_of(rows: dict[str, dict[str, int]], expected: dict[str, int] | None) -> None:
    """A bundle has the rows of the members that are counted; no member counted is no rows."""
    assert expected == rows_of(BUNDLE, rows)


def test_order_of_counting_changes_no_byte() -> None:
    """Rows that were counted in another order make the same manifest."""
    other = {path: dict(reversed(rows.items())) for path, rows in reversed(ROWS.items())}
    found = describe_release(make_release(), LAYOUT, DIGESTS, other, SIZES, commit=None)
    assert render_manifest(found) == render_manifest(describe(make_release()))


def test_order_is_that_of_bytes() -> None:
    """Files are sorted by the bytes of their keys, whatever the order of the layout."""
    keys = ["é", "z", "a/b", "a.b", "B"]
    layout = Layout(tuple(Artifact(key, "file", key, (key,)) for key in keys), ())
    digests = [digest_bytes(key.encode()) for key in keys]
    found = describe(make_release(), layout, digests)
    assert sorted(keys, key=str.encode) == [each.key for each in found.files]
    assert {digest_bytes(each.key.encode()).sha256 == each.sha256 for each in found.files} == {True}


def test_md5_of_what_is_deposited_only() -> None:
    """MD5 stands for the files that Zenodo gets, and for no others, even where it is known."""
    digests = [with_md5(each) for each in DIGESTS]
    found = describe(make_release(), digests=digests)
    told = {each.key: each.md5 is not None for each in found.files}
    expected = {"all.zip": True, "grid.sqlite.zip": True, "hours.parquet": False}
    assert told == {**expected, "notes.json": True}


def test_no_md5_without_a_deposit() -> None:
    """A channel that deposits nothing tells no MD5."""
    digests = [with_md5(each) for each in DIGESTS]
    found = describe(make_release(STABLE), digests=digests)
    assert {each.md5 for each in found.files} == {None}


def test_environment_changes_no_byte() -> None:
    """Staging and production describe a release with the same bytes."""
    manifests = {
        render_manifest(describe(make_release(staging=staging))) for staging in (False, True)
    }
    assert len(manifests) == 1


def test_manifest_reads_back() -> None:
    """What is described can be rendered and parsed without loss."""
    found = describe(make_release())
    assert found == parse_manifest(render_manifest(found))


def test_one_digest_a_file() -> None:
    """A digest too many or too few is a fault of the caller and never a wrong manifest."""
    with pytest.raises(ValueError, match="zip"):
        describe(make_release(), digests=DIGESTS[1:])


class TestDigestArtifacts:
    """Digesting the public files."""

    @pytest.fixture
    def folders(self, tmp_path: Path) -> tuple[Path, Path]:
        """Write every public file; return build and archive folder."""
        build, archives = tmp_path / "build", tmp_path / "archives"
        for artifact in LAYOUT.artifacts:
            path = locate(artifact, build, archives)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(artifact.key.encode())
        return build, archives

    def test_order_is_that_of_the_layout(self, tmp_path: Path, folders: tuple[Path, Path]) -> None:
        """One digest a public file, in the layout's order; MD5 where it is deposited."""
        cache = DigestCache(tmp_path / "digests.sqlite")
        found = digest_artifacts(make_release(), LAYOUT, *folders, cache)
        assert [each.sha256 for each in DIGESTS] == [each.sha256 for each in found]
        assert [bool(each.md5) for each in found] == [True, True, False, True]

    def test_missing_archive(self, tmp_path: Path, folders: tuple[Path, Path]) -> None:
        """An archive that was not made is refused with its path."""
        cache = DigestCache(tmp_path / "digests.sqlite")
        (folders[1] / "all.zip").unlink()
        with pytest.raises(SourceError, match=r"archives/all\.zip: expected a readable file"):
            digest_artifacts(make_release(), LAYOUT, *folders, cache)
