"""Tests of the mapping from a build's files to public keys."""

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.config.load import parse_config
from lading.config.models import Config
from lading.errors import ConfigError, LayoutError, SourceError
from lading.release.layout import (
    Artifact,
    Layout,
    SourceFile,
    check_names,
    journals_of,
    matches,
    matches_any,
    plan_layout,
)
from lading.release.objects import Digest
from lading.release.stored import StoredAsset
from tests.fakes.publishing import make_maps_config

PLAIN: dict[str, Any] = {"sqlite": {"match": []}}
DESCRIPTOR = "datapackage.json"


def make_config(
    keys: dict[str, str] | None = None, bundles: Sequence[dict[str, Any]] = (), **parts: Any
) -> Config:
    """Make a configuration of which only the mapping matters."""
    prepare = parts.pop("sqlite", {})
    table = {
        "project": {"name": "sample"},
        "source": {"url": "input"},
        "prepare": {"sqlite": prepare, "bundles": list(bundles)},
        "layout": {"keys": keys or {}} | parts,
        "destinations": {"gcs": {"url": "gcs"}},
        "channels": {"nightly": {"tag": ".*", "prefixes": ["nightly"]}},
    }
    return parse_config(table, "lading.toml")


def plan(config: Config, *paths: str) -> Layout:
    """Plan a listing in which each file has one byte."""
    return plan_layout(config, [SourceFile(path, 1) for path in paths])


def keys_of(layout: Layout) -> dict[str, str]:
    """Return the path behind each key."""
    return {each.key: each.path for each in layout.artifacts}


def refusal(config: Config, *paths: str) -> str:
    """Return the message with which a listing is refused."""
    with pytest.raises(LayoutError) as caught:
        plan(config, *paths)
    return str(caught.value)


class TestPatterns:
    """Patterns are those of .gitignore."""

    @pytest.mark.parametrize(
        ("pattern", "path", "expected"),
        [
            ("*.log", "a.log", True),
            ("*.log", "deep/er/a.log", True),
            ("*.log", "a.log.txt", False),
            ("/*.log", "a.log", True),
            ("/*.log", "deep/a.log", False),
            ("/parquet/*.parquet", "parquet/a.parquet", True),
            ("/parquet/*.parquet", "parquet/deep/a.parquet", False),
            ("parquet/", "parquet/a", True),
            ("a**b", "axb", True),
            ("*.LOG", "a.log", False),
        ],
    )
    def test_one(self, pattern: str, path: str, *, expected: bool) -> None:
        """One pattern fits a path as a line of .gitignore does."""
        assert expected == matches(pattern, path)

    @pytest.mark.parametrize(
        ("patterns", "path", "expected"),
        [
            ([], "a.log", False),
            (["*.txt", "*.log"], "a.log", True),
            (["*.log", "!keep.log"], "a.log", True),
            (["*.log", "!keep.log"], "keep.log", False),
            (["!keep.log", "*.log"], "keep.log", True),
        ],
    )
    def test_list(self, patterns: list[str], path: str, *, expected: bool) -> None:
        """A list is read as one file: the last line that fits decides."""
        assert expected == matches_any(patterns, path)


class TestCheckNames:
    """Names that may not ship."""

    @pytest.mark.parametrize(
        "path",
        [
            "..",
            "../a",
            "a/../b",
            "a/..",
            "./a",
            ".",
            "/a",
            "a//b",
            "a/",
            "",
            "a\nb",
            "a\tb",
            "a\x00b",
            "a\x7fb",
            "a\x85b",
            "a\\b",
            "a\udcffb",
        ],
    )
    def test_refused(self, path: str) -> None:
        """A name that some store or system would read differently is refused and shown."""
        with pytest.raises(SourceError) as caught:
            check_names(["good", path])
        assert f"got {path!r}: a name may not hold" in str(caught.value)

    @pytest.mark.parametrize(
        "path", ["a", "a b", "..a", "a..b/c..", ".hidden", "é/ü.json", "a'b\"c", "*", "-rf", "$(x)"]
    )
    def test_accepted(self, path: str) -> None:
        """Odd names that are safe ship."""
        check_names([path])

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("a.json", "A.json"),
            ("dir/a", "DIR/a"),
            ("straße", "STRASSE"),
            ("\u00e9", "e\u0301"),
        ],
    )
    def test_alike(self, one: str, other: str) -> None:
        """Two names that differ only in case or Unicode form are refused, both shown."""
        for paths in ([one, other], [other, one]):
            with pytest.raises(SourceError) as caught:
                check_names(paths)
            assert repr(one) in str(caught.value)
            assert repr(other) in str(caught.value)

    @given(st.text(st.characters(codec="utf-8"), min_size=1))
    def test_accepted_names_are_safe(self, path: str) -> None:
        """What is accepted has no empty, dotted or control part."""
        try:
            check_names([path])
        except SourceError:
            return
        assert not {"", ".", ".."} & set(path.split("/"))
        assert path.isprintable() or not any(ord(char) < 32 or ord(char) == 127 for char in path)
        assert "\\" not in path

    def test_is_asked_by_the_plan(self) -> None:
        """A listing with such a name has no layout, even where the file would be left out."""
        with pytest.raises(SourceError):
            plan(make_config(), "a/../b.log")


class TestKeys:
    """Which key a file gets."""

    def test_path_is_the_key(self) -> None:
        """A file that no pattern names has its path as key."""
        expected = [Artifact("a/b.csv", "file", "a/b.csv", ("a/b.csv",))]
        assert expected == list(plan(make_config(), "a/b.csv").artifacts)

    @pytest.mark.parametrize(
        ("template", "expected"),
        [
            ("{path}", "x/y/a.tar.gz"),
            ("{name}", "a.tar.gz"),
            ("{stem}", "a.tar"),
            ("{folder}/{name}", "x/y/a.tar.gz"),
            ("new/{stem}.bin", "new/a.tar.bin"),
            ("fixed.gz", "fixed.gz"),
        ],
    )
    def test_template(self, template: str, expected: str) -> None:
        """A template is filled with the path, the name, the stem and the folder."""
        layout = plan(make_config({"*.gz": template}), "x/y/a.tar.gz")
        assert [expected] == list(keys_of(layout))

    def test_folder_of_the_root(self) -> None:
        """The folder of a file at the top is nothing, and no slash is left of it."""
        assert list(keys_of(plan(make_config({"*": "{folder}/{name}"}), "a"))) == ["a"]

    def test_braces_in_a_name(self) -> None:
        """Braces in the name of a file are letters like any other."""
        layout = plan(make_config({"*": "x/{name}"}), "{path}.json")
        assert list(keys_of(layout)) == ["x/{path}.json"]

    def test_first_pattern_wins(self) -> None:
        """Of two patterns that fit, the first names the key."""
        config = make_config({"/a/*.json": "first/{name}", "*.json": "second/{name}"})
        assert keys_of(plan(config, "a/x.json", "b/y.json")) == {
            "first/x.json": "a/x.json",
            "second/y.json": "b/y.json",
        }

    def test_sorted_by_key(self) -> None:
        """Artifacts are sorted by key, not by path."""
        layout = plan(make_config({"/a": "z"}), "a", "b")
        assert [each.key for each in layout.artifacts] == ["b", "z"]

    def test_archives_are_mapped_too(self) -> None:
        """The key of an archive follows the same patterns."""
        config = make_config({"*.zip": "zips/{name}"})
        assert list(keys_of(plan(config, "db/a.sqlite"))) == ["zips/a.sqlite.zip"]

    @pytest.mark.parametrize(
        ("template", "path"),
        [
            ("", "a"),
            ("{folder}", "a"),
            ("x//{name}", "a"),
            ("x/./{name}", "a"),
            ("x/", "a"),
            ("x\n{name}", "a"),
            ("x\\{name}", "a"),
        ],
    )
    def test_key_that_cannot_ship(self, template: str, path: str) -> None:
        """A key that could not be the name of a file is refused."""
        with pytest.raises((ConfigError, LayoutError)):
            plan(make_config({"*": template}), path)

    @pytest.mark.parametrize("path", ["..a", "...a", "x/...a"])
    @pytest.mark.parametrize("template", ["{stem}", "{stem}/{name}", "x/{stem}"])
    def test_stem_of_dots(self, template: str, path: str) -> None:
        """A name of dots is either refused or gets a key that stays where it belongs."""
        try:
            (key,) = keys_of(plan(make_config({"*": template}), path))
        except LayoutError:
            return
        assert not {"", ".", ".."} & set(key.split("/"))


class TestLeftOut:
    """What stays at home."""

    def test_pattern(self) -> None:
        """Files that fit a pattern are listed as left out."""
        layout = plan(make_config(leave_out=["*.log", "/tmp/"]), "a", "b.log", "tmp/c")
        assert (list(keys_of(layout)), layout.left_out) == (["a"], ("b.log", "tmp/c"))

    def test_success_marker(self) -> None:
        """The marker of a whole build does not ship; a file of that name elsewhere does."""
        layout = plan(make_config(), "success", "a/success")
        assert (list(keys_of(layout)), layout.left_out) == (["a/success"], ("success",))

    def test_left_out_is_no_database(self) -> None:
        """A database that is left out becomes no archive."""
        layout = plan(make_config(leave_out=["/old.sqlite"]), "new.sqlite", "old.sqlite")
        assert list(keys_of(layout)) == ["new.sqlite.zip"]

    def test_left_out_is_no_member(self) -> None:
        """A data file that is left out is in no bundle."""
        config = make_config(bundles=[{"folder": "p"}], leave_out=["old*"])
        layout = plan(config, "p/a.parquet", "p/old.parquet", f"p/{DESCRIPTOR}")
        assert [each.members for each in layout.bundles] == [("p/a.parquet", f"p/{DESCRIPTOR}")]

    def test_nothing_ships(self) -> None:
        """A build of which everything is left out has an empty layout."""
        assert plan(make_config(leave_out=["*"]), "a", "b") == Layout((), ("a", "b"))


class TestDatabases:
    """Databases ship as archives."""

    def test_archive(self) -> None:
        """A database becomes a zip beside it, and does not ship as it is."""
        layout = plan(make_config(), "db/a.sqlite", "b.json")
        expected = Artifact("db/a.sqlite.zip", "sqlite", "db/a.sqlite.zip", ("db/a.sqlite",))
        assert (expected,) == layout.databases
        assert layout.left_out == ("db/a.sqlite",)
        assert layout.source_paths == ("b.json", "db/a.sqlite")

    def test_keep_original(self) -> None:
        """With keep_original it ships as it is too."""
        layout = plan(make_config(sqlite={"keep_original": True}), "a.sqlite")
        assert [(each.key, each.kind) for each in layout.artifacts] == [
            ("a.sqlite", "file"),
            ("a.sqlite.zip", "sqlite"),
        ]
        assert layout.left_out == ()

    @pytest.mark.parametrize(("match", "expected"), [(["/*.db"], ["a.db.zip"]), ([], [])])
    def test_match(self, match: list[str], expected: list[str]) -> None:
        """Which files are databases is a matter of the patterns alone."""
        layout = plan(make_config(sqlite={"match": match}), "a.db", "x/b.db", "c.sqlite")
        assert expected == [each.key for each in layout.databases]


class TestJournals:
    """What SQLite keeps beside a database that is open."""

    BESIDE = ("a.sqlite-wal", "a.sqlite-shm", "a.sqlite-journal")

    @pytest.mark.parametrize("folder", ["", "deep/er/"])
    def test_never_ship(self, folder: str) -> None:
        """A log, its index and a journal beside a database stay at home, whatever is in them."""
        beside = [f"{folder}{each}" for each in self.BESIDE]
        found = plan(make_config(), f"{folder}a.sqlite", *beside, "b.json")
        assert set(keys_of(found)) == {f"{folder}a.sqlite.zip", "b.json"}
        assert set(found.left_out) == {f"{folder}a.sqlite", *beside}
        assert found.source_paths == tuple(sorted([f"{folder}a.sqlite", "b.json"]))

    def test_beside_a_database_that_ships_as_it_is_too(self) -> None:
        """They stay at home where the original ships as well."""
        found = plan(make_config(sqlite={"keep_original": True}), "a.sqlite", *self.BESIDE)
        assert set(keys_of(found)) == {"a.sqlite", "a.sqlite.zip"}

    def test_beside_a_database_that_is_left_out(self) -> None:
        """They stay at home where the database itself does."""
        found = plan(make_config(leave_out=["a.sqlite"]), "a.sqlite", *self.BESIDE, "b.json")
        assert set(keys_of(found)) == {"b.json"}

    @pytest.mark.parametrize("match", ["*.sqlite*", "a*"])
    def test_are_no_databases(self, match: str) -> None:
        """A pattern of databases that fits their names too makes no database of them."""
        found = plan(make_config(sqlite={"match": [match]}), "a.sqlite", *self.BESIDE)
        assert set(keys_of(found)) == {"a.sqlite.zip"}

    def test_are_no_members(self) -> None:
        """A bundle that takes every file of the folder takes none of them."""
        config = make_config(bundles=[{"folder": "d", "files": ["*"], "descriptor": ""}])
        found = plan(config, "d/a.sqlite", *(f"d/{each}" for each in self.BESIDE), "d/b.csv")
        (bundle,) = found.bundles
        assert bundle.members == ("d/a.sqlite", "d/b.csv")

    def test_by_the_name_of_a_database_only(self) -> None:
        """Files that merely end alike, or stand beside no database, ship like any other."""
        paths = ["b.json-wal", "c.sqlite-wal", "deep/a.sqlite-wal", "a.sqlite-wal2", "x-journal"]
        found = plan(make_config(), "a.sqlite", "b.json", *paths)
        assert set(paths) <= set(keys_of(found))

    def test_journals_of(self) -> None:
        """Those that are there are named, and no others."""
        config = make_config()
        assert journals_of(config, ["a.sqlite", "a.sqlite-shm", "b.sqlite-wal"]) == {"a.sqlite-shm"}
        assert journals_of(config, []) == set()


class TestBundles:
    """Folders that ship as one archive."""

    FILES = ("p/a.parquet", "p/b.parquet", f"p/{DESCRIPTOR}", "p/notes.txt")

    def test_bundle(self) -> None:
        """A bundle holds the data files of its folder and their description, sorted."""
        layout = plan(make_config(bundles=[{"folder": "p"}]), *self.FILES)
        members = ("p/a.parquet", "p/b.parquet", f"p/{DESCRIPTOR}")
        assert (Artifact("p.zip", "bundle", "p.zip", members),) == layout.bundles
        assert sorted([*self.FILES, "p.zip"]) == list(keys_of(layout))
        assert layout.left_out == ()

    def test_keep_members(self) -> None:
        """Without keep_members the members do not ship as they are; other files do."""
        config = make_config(bundles=[{"folder": "p", "keep_members": False}])
        layout = plan(config, *self.FILES)
        assert list(keys_of(layout)) == ["p.zip", "p/notes.txt"]
        assert self.FILES[:3] == layout.left_out

    @pytest.mark.parametrize("folder", ["p", "/p", "p/", "/p/"])
    def test_slashes_around_the_folder(self, folder: str) -> None:
        """Slashes around the folder mean nothing."""
        layout = plan(make_config(bundles=[{"folder": folder}]), *self.FILES)
        assert [each.key for each in layout.bundles] == ["p.zip"]

    def test_name(self) -> None:
        """The archive is named by the rule, with the last part of the folder."""
        config = make_config(bundles=[{"folder": "x/p", "name": "all_{folder}"}])
        layout = plan(config, "x/p/a.parquet", f"x/p/{DESCRIPTOR}")
        assert [each.key for each in layout.bundles] == ["all_p.zip"]

    def test_wildcard(self) -> None:
        """A star makes one bundle of each folder that fits at that depth, and of no other."""
        paths = [
            f"{folder}/{name}"
            for folder in ("x_dbf", "y_dbf", "x_xbrl", "x_dbf/deep", "deep/z_dbf")
            for name in ("a.parquet", DESCRIPTOR)
        ]
        layout = plan(make_config(bundles=[{"folder": "*_dbf"}]), *paths)
        assert [each.key for each in layout.bundles] == ["x_dbf.zip", "y_dbf.zip"]
        assert layout.bundles[0].members == ("x_dbf/a.parquet", f"x_dbf/{DESCRIPTOR}")

    def test_wildcard_in_the_middle(self) -> None:
        """A star stands for one name at its place."""
        paths = [f"{folder}/a.parquet" for folder in ("x/one/p", "x/p", "x/one/two/p")]
        config = make_config(bundles=[{"folder": "x/*/p", "descriptor": ""}])
        assert [each.members for each in plan(config, *paths).bundles] == [("x/one/p/a.parquet",)]

    def test_star_is_not_the_top(self) -> None:
        """A lone star stands for the folders at the top, not for the top itself."""
        layout = plan(make_config(bundles=[{"folder": "*"}], **PLAIN), *self.FILES, "readme.json")
        assert [each.key for each in layout.bundles] == ["p.zip"]

    @pytest.mark.parametrize("folder", ["q", "p/a", "*_dbf", "P"])
    def test_no_folder(self, folder: str) -> None:
        """A rule without its folder is refused, with the folder named."""
        assert refusal(make_config(bundles=[{"folder": folder}]), *self.FILES) == (
            f"prepare.bundles: expected a folder {folder!r} with files in the build, found none"
        )

    def test_no_data(self) -> None:
        """A folder without a data file is refused."""
        config = make_config(bundles=[{"folder": "p", "files": ["*.csv", "*.tsv"]}])
        expected = "prepare.bundles: expected files *.csv, *.tsv in p, found none"
        assert expected == refusal(config, *self.FILES)

    def test_no_descriptor(self) -> None:
        """A folder without its description is refused."""
        assert refusal(make_config(bundles=[{"folder": "p"}]), "p/a.parquet") == (
            "prepare.bundles: expected exactly one *datapackage.json in p, found none"
        )

    def test_two_descriptors(self) -> None:
        """A folder with two descriptions is refused, both named."""
        config = make_config(bundles=[{"folder": "p"}])
        assert refusal(config, *self.FILES, "p/a_datapackage.json") == (
            "prepare.bundles: expected exactly one *datapackage.json in p,"
            " found p/a_datapackage.json, p/datapackage.json"
        )

    def test_descriptor_is_not_asked_for(self) -> None:
        """With an empty descriptor the bundle is the data files."""
        config = make_config(bundles=[{"folder": "p", "descriptor": ""}])
        assert [each.members for each in plan(config, *self.FILES).bundles] == [self.FILES[:2]]

    @pytest.mark.parametrize("name", ["../up", "", "a\nb", "/abs"])
    def test_name_that_cannot_ship(self, name: str) -> None:
        """A name that is no safe path is refused."""
        with pytest.raises((ConfigError, LayoutError)):
            plan(make_config(bundles=[{"folder": "p", "name": name}]), *self.FILES)


class TestCollisions:
    """Two files may not want one key."""

    def test_two_files(self) -> None:
        """Two files with one key are refused, both named."""
        config = make_config({"*.json": "{name}"})
        expected = "layout: expected one file for the key 'x.json', got 'a/x.json' and 'b/x.json'"
        assert expected == refusal(config, "a/x.json", "b/x.json")

    def test_order_does_not_matter(self) -> None:
        """The message is the same in whatever order the files are listed."""
        config = make_config({"*.json": "{name}"})
        one = refusal(config, "a/x.json", "b/x.json", "c/x.json")
        assert one == refusal(config, "c/x.json", "b/x.json", "a/x.json")

    def test_case_of_keys(self) -> None:
        """Keys that differ only in case are one key."""
        message = refusal(make_config({"/a/*": "X", "/b/*": "x"}), "a/1", "b/2")
        assert message.endswith("got 'a/1' and 'b/2'")

    def test_archive_and_file(self) -> None:
        """Where an archive and a file want one key, the database behind the archive is named."""
        message = refusal(make_config(), "a.sqlite", "a.sqlite.zip")
        assert "'a.sqlite'" in message
        assert "'a.sqlite.zip'" in message

    def test_two_bundles(self) -> None:
        """Where two bundles want one key, their folders are named."""
        config = make_config(bundles=[{"folder": "*_dbf", "name": "same", "descriptor": ""}])
        message = refusal(config, "x_dbf/a.parquet", "y_dbf/a.parquet")
        assert "x_dbf" in message
        assert "y_dbf" in message

    @pytest.mark.parametrize("path", ["release.json", "SHA256SUMS", "Release.JSON", "sha256sums"])
    def test_reserved(self, path: str) -> None:
        """The keys of Lading's own two files are refused in any case of letters."""
        assert refusal(make_config(), path) == (
            "layout: expected keys other than release.json and SHA256SUMS, which Lading writes,"
            f" got {path!r} from {path!r}"
        )

    def test_reserved_by_mapping(self) -> None:
        """A mapping to such a key is refused with the file named."""
        message = refusal(make_config({"/facts.json": "release.json"}), "facts.json")
        assert message.endswith("got 'release.json' from 'facts.json'")

    def test_reserved_elsewhere(self) -> None:
        """Inside a folder the names are free."""
        assert list(keys_of(plan(make_config(), "a/release.json"))) == ["a/release.json"]

    @pytest.mark.parametrize("path", ["release.json/a", "SHA256SUMS/a"])
    def test_reserved_as_folder(self, path: str) -> None:
        """Neither of the two can be a folder."""
        assert repr(path) in refusal(make_config(), path)

    @pytest.mark.parametrize(
        ("one", "other"), [("a", "a/b"), ("a/b", "a/b/c/d"), ("A", "a/b"), ("a.sqlite.zip", None)]
    )
    def test_folder(self, one: str, other: str | None) -> None:
        """A key that is also a folder is refused, both named."""
        other = other or f"{one}/x"
        config = make_config({"/one": one, "/other": other})
        message = refusal(config, "one", "other")
        assert message == (
            f"layout: expected no key that is also a folder, got {one!r} from 'one'"
            f" and {other!r} from 'other'"
        )


NAMES = st.from_regex(
    r"[a-z]{1,2}\.(csv|json|log|parquet|sqlite(-wal|-shm|-journal)?)", fullmatch=True
)
BUNDLED = ["p_dbf", "q_dbf", "r_xbrl"]


@st.composite
def builds(draw: st.DrawFn) -> tuple[Config, list[str]]:
    """Draw a build and a configuration that fits it."""
    paths = set(draw(st.lists(NAMES)))
    paths |= {f"deep/{name}" for name in draw(st.lists(NAMES))}
    if draw(st.booleans()):
        paths.add("success")
    folders = draw(st.lists(st.sampled_from(BUNDLED), unique=True))
    for folder in folders:
        paths |= {f"{folder}/{name}" for name in draw(st.lists(NAMES))}
        paths |= {f"{folder}/one.parquet", f"{folder}/{DESCRIPTOR}"}
    keep_members = draw(st.booleans())
    suffixes = sorted({folder[1:] for folder in folders})
    config = make_config(
        draw(st.sampled_from([{}, {"/deep/*.csv": "moved/{stem}.txt"}])),
        [{"folder": f"*{suffix}", "keep_members": keep_members} for suffix in suffixes],
        sqlite={"keep_original": draw(st.booleans())},
        leave_out=draw(st.sampled_from([[], ["*.log"], ["/deep/"]])),
    )
    return config, sorted(paths)


class TestProperties:
    """What holds for any build."""

    @given(builds())
    def test_nothing_is_lost(self, build: tuple[Config, list[str]]) -> None:
        """Every file either ships as it is or is listed as left out, and never both."""
        config, paths = build
        layout = plan(config, *paths)
        shipped = [each.path for each in layout.artifacts if each.kind == "file"]
        assert sorted([*shipped, *layout.left_out]) == paths

    @given(builds())
    def test_left_out_for_a_reason(self, build: tuple[Config, list[str]]) -> None:
        """What is left out is in an archive, fits a pattern, is a journal, or is the marker."""
        config, paths = build
        layout = plan(config, *paths)
        archived = {
            path for each in layout.artifacts if each.kind != "file" for path in each.members
        }
        unexplained = [
            path
            for path in layout.left_out
            if path not in archived
            and path != "success"
            and path not in journals_of(config, paths)
            and not matches_any(config.layout.leave_out, path)
        ]
        assert unexplained == []

    @given(builds())
    def test_archives_hold_what_is_in_the_build(self, build: tuple[Config, list[str]]) -> None:
        """Members are paths of the build, sorted, each once, never one that is left out."""
        config, paths = build
        for artifact in plan(config, *paths).artifacts:
            assert sorted(set(artifact.members)) == list(artifact.members)
            assert set(artifact.members) <= set(paths)
            assert not any(matches_any(config.layout.leave_out, each) for each in artifact.members)

    @given(builds())
    def test_every_database_is_archived(self, build: tuple[Config, list[str]]) -> None:
        """Each database that is not left out is in exactly one archive of its own."""
        config, paths = build
        left_out = config.layout.leave_out
        expected = [p for p in paths if p.endswith(".sqlite") and not matches_any(left_out, p)]
        assert expected == sorted(each.members[0] for each in plan(config, *paths).databases)

    @given(builds())
    def test_keys_are_unique_and_sorted(self, build: tuple[Config, list[str]]) -> None:
        """No key stands twice, in whatever case, and they are sorted."""
        config, paths = build
        keys = [each.key for each in plan(config, *paths).artifacts]
        assert sorted(keys) == keys
        assert len(keys) == len({key.casefold() for key in keys})

    @given(build=builds(), data=st.data())
    def test_order_does_not_matter(
        self, build: tuple[Config, list[str]], data: st.DataObject
    ) -> None:
        """The layout does not depend on the order in which files are listed."""
        config, paths = build
        assert plan(config, *paths) == plan(config, *data.draw(st.permutations(paths)))


class TestVersions:
    """What a published version has beside its own files."""

    RULE: ClassVar = {
        "name": "tiles",
        "of": ["/maps/*.geojson"],
        "makes": "tiles/{stem}.zip",
        "command": ["x", "{input}", "{output}"],
    }

    def config(self, **more: Any) -> Config:
        """Return a configuration with a build."""
        return make_maps_config(publish={"build": [self.RULE], "sums": "SUMS"}, **more)

    def plan(self, config: Config, *paths: str, stored: Sequence[StoredAsset] = ()) -> Layout:
        """Plan a version."""
        files = [SourceFile(path, 1) for path in paths]
        return plan_layout(config, files, version="v1", stored=stored)

    def test_built(self) -> None:
        """What the version does not bring is built, and kept by version; what it brings is not."""
        layout = self.plan(
            self.config(), "SUMS", "maps/a.geojson", "maps/b.geojson", "success", "tiles/b.zip"
        )
        expected = Artifact(
            "tiles/a.zip", "built", ".built/v1/tiles/a.zip", ("maps/a.geojson",), "tiles"
        )
        assert layout.built == (expected,)
        assert [each.key for each in layout.artifacts] == [
            "maps/a.geojson",
            "maps/b.geojson",
            "tiles/a.zip",
            "tiles/b.zip",
        ]

    def test_built_of_what_stays_at_home(self) -> None:
        """A file that does not ship itself may be built of; keys of what is built are mapped."""
        config = self.config(layout={"leave_out": ["*.geojson"], "keys": {"*.zip": "{name}"}})
        layout = self.plan(config, "maps/a.geojson")
        assert [each.key for each in layout.artifacts] == ["a.zip"]
        assert layout.source_paths == ("maps/a.geojson",)

    def test_path_that_cannot_ship(self) -> None:
        """A rule that makes an impossible path is refused by its name."""
        rule = {**self.RULE, "makes": "{folder}//{stem}"}
        config = make_maps_config(publish={"build": [rule]})
        with pytest.raises(LayoutError, match=r"publish\.build tiles: expected a path"):
            self.plan(config, "maps/a.geojson")

    def test_stored(self) -> None:
        """A stored asset is one public file, under its own key, of no file of the build."""
        asset = StoredAsset("x/a.bin", "s3://b/a.bin", Digest(size_bytes=1, sha256="ab" * 32))
        layout = self.plan(self.config(), "a.csv", stored=[asset])
        (found,) = layout.stored
        assert (found.key, found.path, found.members) == ("x/a.bin", "s3://b/a.bin", ())
        assert found.digest == asset.digest
        assert layout.source_paths == ("a.csv",)

    @pytest.mark.parametrize("path", ["maps/a.geojson", "tiles/a.zip"])
    def test_one_key(self, path: str) -> None:
        """A stored asset never takes the place of another file, whatever made that."""
        asset = StoredAsset(path, "s3://b/a", Digest(size_bytes=1, sha256="ab" * 32))
        with pytest.raises(LayoutError, match=f"expected one file for the key '{path}'"):
            self.plan(self.config(), "maps/a.geojson", stored=[asset])
