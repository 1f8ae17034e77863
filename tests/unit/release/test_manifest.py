"""Tests of release.json and SHA256SUMS."""

import hashlib
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import ManifestError
from lading.release.layout import fault_of_name
from lading.release.manifest import (
    Manifest,
    ManifestFile,
    Origin,
    Tool,
    depot_key_of,
    documents_of,
    media_type_of,
    objects_of,
    order_files,
    parse_manifest,
    render_manifest,
    render_manifest_schema,
    render_sums,
)
from lading.release.objects import digest_bytes

SCHEMA_PATH = Path(__file__).parents[3] / "schemas" / "release.schema.json"
CONTENTS = {
    "a.json": b"{}",
    "Z.csv": b"1,2\n",
    "dir/b.parquet": b"PAR1",
    "dir/c d.txt": b"space",
    "é/ü.txt": b"umlaut",
    "*star": b"star",
    " front": b"front",
    "end ": b"end",
    "#hash": b"hash",
    "empty": b"",
}


def make_file(key: str, data: bytes, *, md5: bool = False) -> ManifestFile:
    """Describe a file of the build that ships under its own path."""
    digest = digest_bytes(data)
    return ManifestFile(
        key=key,
        size_bytes=digest.size_bytes,
        sha256=digest.sha256,
        crc32c=digest.crc32c,
        md5=hashlib.md5(data).hexdigest() if md5 else None,
        media_type=media_type_of(key),
        origin=Origin(kind="file", path=key, size_bytes=len(data)),
        depot_key=depot_key_of(digest.sha256),
    )


def make_manifest(contents: Mapping[str, bytes] = CONTENTS, *, md5: bool = False) -> Manifest:
    """Describe a release of some files."""
    return Manifest(
        schema_version=1,
        project="sample",
        channel="nightly",
        tag="nightly-2025-02-05",
        commit=None,
        source="build",
        tool=Tool(name="lading", version="0"),
        files=order_files(make_file(key, data, md5=md5) for key, data in contents.items()),
    )


TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
KEYS = TEXT.filter(lambda text: not fault_of_name(text))
FILES = st.builds(
    ManifestFile,
    key=KEYS,
    size_bytes=st.integers(0, 2**62),
    sha256=st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
    crc32c=TEXT,
    md5=st.none() | TEXT,
    media_type=TEXT,
    rows=st.none() | st.dictionaries(TEXT, st.integers(0, 2**62), max_size=3),
    origin=st.builds(
        Origin,
        kind=st.sampled_from(["file", "sqlite", "bundle"]),
        path=TEXT,
        size_bytes=st.none() | st.integers(0, 2**62),
    ),
    depot_key=st.just(""),
).map(lambda each: each.model_copy(update={"depot_key": depot_key_of(each.sha256)}))
MANIFESTS = st.builds(
    Manifest,
    schema_version=st.just(1),
    project=TEXT,
    channel=TEXT,
    tag=TEXT,
    commit=st.none() | TEXT,
    source=TEXT,
    tool=st.builds(Tool, name=TEXT, version=TEXT),
    files=st.lists(FILES, max_size=4, unique_by=lambda each: each.key).map(order_files),
)


class TestRender:
    """release.json as bytes."""

    @given(MANIFESTS)
    def test_round_trip(self, manifest: Manifest) -> None:
        """What is rendered is parsed to the same, and rendered again to the same bytes."""
        data = render_manifest(manifest)
        assert manifest == parse_manifest(data)
        assert data == render_manifest(parse_manifest(data))

    @given(MANIFESTS)
    def test_valid(self, manifest: Manifest) -> None:
        """Every manifest is valid by the schema."""
        jsonschema.validate(json.loads(render_manifest(manifest)), schema())

    @given(st.permutations(sorted(CONTENTS)))
    def test_reproducible(self, keys: list[str]) -> None:
        """The bytes do not depend on the order in which files are described."""
        shuffled = make_manifest({key: CONTENTS[key] for key in keys})
        assert documents_of(make_manifest()) == documents_of(shuffled)

    @pytest.mark.parametrize("md5", [True, False])
    def test_md5(self, *, md5: bool) -> None:
        """A file without an md5 has no such key; a file with one has it."""
        table = json.loads(render_manifest(make_manifest(md5=md5)))
        expected = [
            hashlib.md5(CONTENTS[f["key"]]).hexdigest() if md5 else None for f in files(table)
        ]
        assert expected == [each.get("md5") for each in files(table)]
        assert {md5} == {"md5" in each for each in files(table)}

    def test_text(self) -> None:
        """It is UTF-8 with plain letters and one line feed at the end."""
        data = render_manifest(make_manifest())
        assert "é/ü.txt" in data.decode("utf-8")
        assert data.endswith(b"}\n")
        assert b"\r" not in data

    def test_facts(self) -> None:
        """A file is told with its digests, its origin and its key in the depot."""
        digest = digest_bytes(b"{}")
        (found,) = files(json.loads(render_manifest(make_manifest({"a.json": b"{}"}))))
        assert found == {
            "key": "a.json",
            "size_bytes": 2,
            "sha256": digest.sha256,
            "crc32c": digest.crc32c,
            "media_type": "application/json",
            "origin": {"kind": "file", "path": "a.json", "size_bytes": 2},
            "depot_key": f".lading/objects/{digest.sha256}",
        }

    def test_what_is_not_known_is_left_out(self) -> None:
        """Rows, sizes before packing and MD5 stand where they are known, and not as nothing."""
        file = make_file("a.json", b"{}")
        manifest = make_manifest({}).model_copy(
            update={
                "files": (
                    file.model_copy(update={"origin": Origin(kind="file", path="a.json")}),
                    file.model_copy(update={"key": "b.json", "rows": {"t": 0}}),
                )
            }
        )
        first, second = files(json.loads(render_manifest(manifest)))
        assert first["origin"] == {"kind": "file", "path": "a.json"}
        assert {"rows", "md5"} & set(first) == set()
        assert second["rows"] == {"t": 0}


class TestOrder:
    """The order of the files."""

    def test_as_bytes(self) -> None:
        """Files are sorted as bytes: capitals first, accents last, whatever the locale."""
        expected = [" front", "#hash", "*star", "Z.csv", "a.json", "dir/b.parquet"]
        expected += ["dir/c d.txt", "empty", "end ", "é/ü.txt"]
        assert expected == [each.key for each in make_manifest().files]

    @given(st.lists(TEXT, unique=True))
    def test_sorted(self, keys: list[str]) -> None:
        """The order is that of the keys' UTF-8 bytes."""
        found = [each.key.encode() for each in order_files(make_file(key, b"") for key in keys)]
        assert sorted(key.encode() for key in keys) == found

    def test_objects(self) -> None:
        """The objects of a prefix are the files in their order, then sums, then the manifest."""
        manifest = make_manifest()
        objects = objects_of(manifest)
        expected = [*(each.key for each in manifest.files), "SHA256SUMS", "release.json"]
        assert expected == list(objects)
        assert digest_bytes(render_manifest(manifest)) == objects["release.json"]
        assert digest_bytes(render_sums(manifest)) == objects["SHA256SUMS"]
        assert digest_bytes(b"PAR1") == objects["dir/b.parquet"]

    def test_documents(self) -> None:
        """The manifest is the last document."""
        assert list(documents_of(make_manifest())) == ["SHA256SUMS", "release.json"]

    def test_size(self) -> None:
        """The size of a release is that of its files."""
        assert sum(map(len, CONTENTS.values())) == make_manifest().size_bytes


class TestSums:
    """SHA256SUMS as the command of that name reads it."""

    @staticmethod
    def check(folder: Path) -> subprocess.CompletedProcess[str]:
        """Run the command in the folder of a prefix."""
        command = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

    @staticmethod
    def write(folder: Path) -> None:
        """Write a release as a reader who downloads a prefix has it."""
        for key, data in {**CONTENTS, **documents_of(make_manifest())}.items():
            path = folder / key
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)

    def test_accepted(self, tmp_path: Path) -> None:
        """`sha256sum -c` finds every file of a release sound, whatever its name."""
        self.write(tmp_path)
        done = self.check(tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    @pytest.mark.parametrize("key", [*CONTENTS, "release.json"])
    def test_refused(self, tmp_path: Path, key: str) -> None:
        """It finds a change of any file, and of the manifest."""
        self.write(tmp_path)
        (tmp_path / key).write_bytes(b"changed")
        done = self.check(tmp_path)
        assert (done.returncode, done.stdout) == (1, f"{key}: FAILED\n")

    def test_format(self) -> None:
        """One line a file: digest, two spaces, key; sorted by key."""
        manifest = make_manifest({"b": b"2", "a": b"1", "z": b"3"})
        digests = {"a": b"1", "b": b"2", "release.json": render_manifest(manifest), "z": b"3"}
        expected = "".join(
            f"{hashlib.sha256(data).hexdigest()}  {key}\n" for key, data in digests.items()
        )
        assert expected == render_sums(manifest).decode()

    def test_no_files(self) -> None:
        """A release without a file still sums its manifest."""
        (line,) = render_sums(make_manifest({})).decode().splitlines()
        assert line.endswith("  release.json")


def schema() -> dict[str, Any]:
    """Return the schema in the repository."""
    loaded: dict[str, Any] = json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))
    return loaded


def files(table: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the files of a parsed release.json."""
    found: list[dict[str, Any]] = table["files"]
    return found


class TestSchema:
    """The JSON Schema of release.json."""

    def test_equals_the_models(self) -> None:
        """The schema in the repository is what the models render."""
        assert SCHEMA_PATH.read_text(encoding="utf-8") == render_manifest_schema()

    def test_is_a_schema(self) -> None:
        """It is a valid schema of the dialect that it names."""
        assert schema()["$schema"] == jsonschema.Draft202012Validator.META_SCHEMA["$id"]
        jsonschema.Draft202012Validator.check_schema(schema())

    @pytest.mark.parametrize("md5", [True, False])
    def test_rendered_is_valid(self, *, md5: bool) -> None:
        """A rendered manifest is valid, with and without md5."""
        jsonschema.validate(json.loads(render_manifest(make_manifest(md5=md5))), schema())

    @pytest.mark.parametrize("missing", ["tag", "files", "commit", "schema_version"])
    def test_missing_is_not_valid(self, missing: str) -> None:
        """A manifest without one of its facts is not valid."""
        table = json.loads(render_manifest(make_manifest()))
        del table[missing]
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(table, schema())


def changed(place: list[str | int], value: object) -> bytes:
    """Render a manifest of one file with one value changed, or removed where it is None."""
    table = json.loads(render_manifest(make_manifest({"a": b"1"})))
    inner: Any = table
    for part in place[:-1]:
        inner = inner[part]
    if value is None:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return json.dumps(table).encode()


class TestParse:
    """What is no manifest."""

    @pytest.mark.parametrize(
        ("place", "value", "shown"),
        [
            (["tag"], None, "tag"),
            (["tag"], 1, "tag"),
            (["schema_version"], 3, "schema_version"),
            (["colour"], "red", "colour"),
            (["files"], {}, "files"),
            (["files", 0, "sha256"], "ABC", "files.0.sha256"),
            (["files", 0, "sha256"], "a" * 64 + "\n", "files.0.sha256"),
            (["files", 0, "size_bytes"], -1, "files.0.size_bytes"),
            (["files", 0, "size_bytes"], "one", "files.0.size_bytes"),
            (["files", 0, "origin", "kind"], "folder", "files.0.origin.kind"),
            (["files", 0, "origin", "size_bytes"], -1, "files.0.origin.size_bytes"),
            (["files", 0, "rows"], {"t": "many"}, "files.0.rows.t"),
            (["files", 0, "rows"], [], "files.0.rows"),
            (["files", 0, "depot_key"], None, "files.0.depot_key"),
        ],
    )
    def test_fault(self, place: list[str | int], value: object, shown: str) -> None:
        """A fault is told with its place in the document and the document's own place."""
        with pytest.raises(ManifestError) as caught:
            parse_manifest(changed(place, value), "gs://b/nightly/release.json")
        expected = (
            "gs://b/nightly/release.json: expected a manifest of schema_version 1,"
            f" got a fault at {shown}: "
        )
        assert str(caught.value).startswith(expected)

    @pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff", b"<html></html>"])
    def test_no_manifest(self, data: bytes) -> None:
        """Bytes that are no object of JSON are a fault at the start."""
        with pytest.raises(ManifestError, match=r"^release\.json: .* got a fault: "):
            parse_manifest(data)

    def test_manifest_of_an_older_tool(self) -> None:
        """A manifest without rows and without sizes before packing is read as it is."""
        found = parse_manifest(changed(["files", 0, "origin", "size_bytes"], None))
        assert (found.files[0].rows, found.files[0].origin.size_bytes) == (None, None)

    @pytest.mark.parametrize("size", [5, 100, -2])
    def test_truncated(self, size: int) -> None:
        """A manifest that was cut is refused."""
        with pytest.raises(ManifestError):
            parse_manifest(render_manifest(make_manifest())[:size])

    @pytest.mark.parametrize("size", ["1", 1.0, True])
    def test_types_are_those_of_the_schema(self, size: object) -> None:
        """A size that is no whole number of JSON is refused."""
        with pytest.raises(ManifestError):
            parse_manifest(changed(["files", 0, "size_bytes"], size))


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("a.parquet", "application/vnd.apache.parquet"),
        ("dir/a.sqlite.zip", "application/zip"),
        ("A.JSON", "application/json"),
        ("a.csv", "text/csv"),
        ("a.unknown", "application/octet-stream"),
        ("a", "application/octet-stream"),
        ("dir.zip/a", "application/octet-stream"),
    ],
)
def test_media_type(key: str, expected: str) -> None:
    """The media type is a matter of the extension; without a known one it is plain bytes."""
    assert expected == media_type_of(key)


@pytest.mark.parametrize("key", ["zip", "json"])
def test_media_type_without_extension(key: str) -> None:
    """A name without an extension has none, even where it is one."""
    assert media_type_of(key) == "application/octet-stream"


def test_depot_key() -> None:
    """An object of the depot is named by its digest."""
    assert depot_key_of("abc") == ".lading/objects/abc"


class TestKeys:
    """A manifest that was read back from a store may hold anything."""

    @pytest.mark.parametrize("key", ["../a", "", "/a", "a//b", "a\nb", "a\\b"])
    def test_key_that_cannot_ship(self, key: str) -> None:
        """A key that leads out of its prefix, or breaks SHA256SUMS, is refused."""
        with pytest.raises(ManifestError, match="expected keys that can ship"):
            parse_manifest(changed(["files", 0, "key"], key))

    def test_key_twice(self) -> None:
        """A key stands once."""
        (file,) = json.loads(render_manifest(make_manifest({"a": b"1"})))["files"]
        with pytest.raises(ManifestError, match="expected each key once"):
            parse_manifest(changed(["files"], [file, file]))

    def test_depot_key_of_other_bytes(self) -> None:
        """A depot key that is not made of the file's sha256 is refused."""
        with pytest.raises(ManifestError, match="expected the depot key of its sha256"):
            parse_manifest(changed(["files", 0, "depot_key"], ".lading/objects/abc"))
