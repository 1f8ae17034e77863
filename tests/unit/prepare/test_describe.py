"""Tests of describing a release: from a layout and digests to a manifest."""

from pathlib import Path

import pytest

from lading import __version__
from lading.errors import SourceError
from lading.prepare.describe import describe_release, digest_artifacts, locate
from lading.prepare.digests import DigestCache
from lading.release.layout import Artifact, Layout
from lading.release.manifest import parse_manifest, render_manifest
from lading.release.objects import Digest, digest_bytes
from tests.fakes.releases import STABLE, make_release

PLAIN = Artifact("notes.json", "file", "sub/notes.json", ("sub/notes.json",))
TABLE = Artifact("hours.parquet", "file", "parquet/hours.parquet", ("parquet/hours.parquet",))
DATABASE = Artifact("grid.sqlite.zip", "sqlite", "grid.sqlite.zip", ("grid.sqlite",))
BUNDLE = Artifact("all.zip", "bundle", "all.zip", ("parquet/a.parquet", "parquet/b.parquet"))
LAYOUT = Layout((BUNDLE, DATABASE, TABLE, PLAIN), ())
DIGESTS = [digest_bytes(each.key.encode()) for each in LAYOUT.artifacts]


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
    found = describe_release(release, LAYOUT, DIGESTS, source="build", commit="abc")
    assert ("sample", "nightly", release.tag, "abc", "build") == (
        found.project,
        found.channel,
        found.tag,
        found.commit,
        found.source,
    )
    assert (found.tool.name, found.tool.version) == ("lading", __version__)


def test_each_file_is_described() -> None:
    """Key, digests, media type, depot key and origin of every file stand, sorted by key."""
    found = describe_release(make_release(), LAYOUT, DIGESTS, source="build", commit=None)
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


def test_order_is_that_of_bytes() -> None:
    """Files are sorted by the bytes of their keys, whatever the order of the layout."""
    keys = ["é", "z", "a/b", "a.b", "B"]
    layout = Layout(tuple(Artifact(key, "file", key, (key,)) for key in keys), ())
    digests = [digest_bytes(key.encode()) for key in keys]
    found = describe_release(make_release(), layout, digests, source="build", commit=None)
    assert sorted(keys, key=str.encode) == [each.key for each in found.files]
    assert {digest_bytes(each.key.encode()).sha256 == each.sha256 for each in found.files} == {True}


def test_md5_of_what_is_deposited_only() -> None:
    """MD5 stands for the files that Zenodo gets, and for no others, even where it is known."""
    digests = [with_md5(each) for each in DIGESTS]
    found = describe_release(make_release(), LAYOUT, digests, source="build", commit=None)
    told = {each.key: each.md5 is not None for each in found.files}
    expected = {"all.zip": True, "grid.sqlite.zip": True, "hours.parquet": False}
    assert told == {**expected, "notes.json": True}


def test_no_md5_without_a_deposit() -> None:
    """A channel that deposits nothing tells no MD5."""
    digests = [with_md5(each) for each in DIGESTS]
    found = describe_release(make_release(STABLE), LAYOUT, digests, source="build", commit=None)
    assert {each.md5 for each in found.files} == {None}


def test_environment_changes_no_byte() -> None:
    """Staging and production describe a release with the same bytes."""
    manifests = {
        render_manifest(
            describe_release(
                make_release(staging=staging), LAYOUT, DIGESTS, source="build", commit=None
            )
        )
        for staging in (False, True)
    }
    assert len(manifests) == 1


def test_manifest_reads_back() -> None:
    """What is described can be rendered and parsed without loss."""
    found = describe_release(make_release(), LAYOUT, DIGESTS, source="build", commit=None)
    assert found == parse_manifest(render_manifest(found))


def test_one_digest_a_file() -> None:
    """A digest too many or too few is a fault of the caller and never a wrong manifest."""
    with pytest.raises(ValueError, match="zip"):
        describe_release(make_release(), LAYOUT, DIGESTS[1:], source="build", commit=None)


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
