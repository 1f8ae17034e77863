"""Tests of listing a build that stands on this machine."""

import os
from pathlib import Path

import pytest

from lading.errors import SourceError
from lading.prepare.build import list_build
from lading.release.layout import SourceFile


def fill(folder: Path, *paths: str) -> None:
    """Write files whose bytes are their names."""
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path, encoding="utf-8")


def listed(folder: Path) -> list[str]:
    """List a build by path."""
    return [each.path for each in list_build(folder)]


def test_files_are_sorted_by_path(tmp_path: Path) -> None:
    """A build is listed by path with sizes, in one order whatever the disk's."""
    paths = ["parquet/b.parquet", "a.sqlite", "parquet.txt", "parquet/a.parquet", "B", "é.txt"]
    fill(tmp_path, *reversed(paths))
    expected = [SourceFile(path, len(path.encode())) for path in sorted(paths)]
    assert tuple(expected) == list_build(tmp_path)


def test_listing_changes_nothing(tmp_path: Path) -> None:
    """Listing leaves every file and folder as it was."""
    fill(tmp_path, "a/b", "c")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    list_build(tmp_path)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}


def test_missing_folder(tmp_path: Path) -> None:
    """A build that is not there is refused with its path."""
    with pytest.raises(SourceError, match=f"folder of a build at {tmp_path}/none, found nothing"):
        list_build(tmp_path / "none")


def test_file_instead_of_a_folder(tmp_path: Path) -> None:
    """A file where the build should be is refused as one."""
    fill(tmp_path, "file")
    with pytest.raises(SourceError, match="found a file"):
        list_build(tmp_path / "file")


def test_empty_folder(tmp_path: Path) -> None:
    """A build without files, also one of empty folders, is refused."""
    (tmp_path / "a/b").mkdir(parents=True)
    with pytest.raises(SourceError, match="found an empty folder"):
        list_build(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read every folder")
def test_unreadable_folder(tmp_path: Path) -> None:
    """A folder that may not be read is refused with its path."""
    fill(tmp_path, "closed/a")
    (tmp_path / "closed").chmod(0)
    try:
        with pytest.raises(SourceError, match=r"Permission denied.*closed"):
            list_build(tmp_path)
    finally:
        (tmp_path / "closed").chmod(0o755)


class TestLinks:
    """Symbolic links stay inside the build or are refused."""

    def test_links_inside_are_followed(self, tmp_path: Path) -> None:
        """Links to files and folders of the build are listed as what they lead to."""
        build = tmp_path / "build"
        fill(build, "data/a", "b")
        (build / "link").symlink_to("b")
        (build / "folder").symlink_to("data")
        assert listed(build) == ["b", "data/a", "folder/a", "link"]
        assert len("data/a") == next(
            e.size_bytes for e in list_build(build) if e.path == "folder/a"
        )

    def test_build_may_be_a_link_itself(self, tmp_path: Path) -> None:
        """The folder of the build may be reached through a link."""
        fill(tmp_path / "real", "a", "b")
        (tmp_path / "real/c").symlink_to("b")
        (tmp_path / "build").symlink_to("real")
        assert listed(tmp_path / "build") == ["a", "b", "c"]

    @pytest.mark.parametrize(
        "target", ["../secret", "/etc/hostname", "../secrets", "sub/../../secret"]
    )
    def test_links_that_lead_out_are_refused(self, tmp_path: Path, target: str) -> None:
        """A link to a file or folder outside the build is refused by its name."""
        fill(tmp_path, "secret", "secrets/a", "build/a", "build/sub/b")
        (tmp_path / "build/link").symlink_to(target)
        with pytest.raises(SourceError, match="'link', which leads out"):
            list_build(tmp_path / "build")

    def test_name_that_begins_alike_is_outside(self, tmp_path: Path) -> None:
        """A folder beside the build whose name only begins like it is outside."""
        fill(tmp_path, "build/a", "build-old/b")
        (tmp_path / "build/link").symlink_to("../build-old/b")
        with pytest.raises(SourceError, match="leads out"):
            list_build(tmp_path / "build")

    def test_link_to_nothing(self, tmp_path: Path) -> None:
        """A link to nothing is refused by its name."""
        fill(tmp_path, "a")
        (tmp_path / "link").symlink_to("gone")
        with pytest.raises(SourceError, match="'link' to nothing"):
            list_build(tmp_path)

    def test_link_to_itself(self, tmp_path: Path) -> None:
        """A link that leads to itself is refused, and no crash."""
        fill(tmp_path, "a")
        (tmp_path / "link").symlink_to("link")
        with pytest.raises(SourceError, match="link"):
            list_build(tmp_path)

    @pytest.mark.parametrize("target", [".", "..", "../.."])
    def test_link_to_a_folder_around_it(self, tmp_path: Path, target: str) -> None:
        """A link to a folder that holds it is refused, since the tree would have no end."""
        fill(tmp_path, "a", "one/two/b")
        (tmp_path / "one/two/loop").symlink_to(target)
        with pytest.raises(SourceError, match="'one/two/loop'"):
            list_build(tmp_path)

    def test_two_links_into_each_other(self, tmp_path: Path) -> None:
        """Two folders with links to each other end in an error of ours, and not in no end."""
        fill(tmp_path, "one/a", "two/b")
        (tmp_path / "one/to").symlink_to("../two")
        (tmp_path / "two/to").symlink_to("../one")
        with pytest.raises(SourceError):
            list_build(tmp_path)


class TestNames:
    """Names that cannot ship are refused with the name."""

    @pytest.mark.parametrize("name", ["a\nb", "a\tb", "a\x7fb", "a\\b", "\x1b[31m"])
    def test_characters(self, tmp_path: Path, name: str) -> None:
        """Control characters and backslashes are refused and shown as escapes."""
        fill(tmp_path, name)
        with pytest.raises(SourceError) as caught:
            list_build(tmp_path)
        assert repr(name) in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_bytes_that_are_no_text(self, tmp_path: Path) -> None:
        """A name that is not UTF-8 is refused."""
        with Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9")).open("wb"):
            pass
        with pytest.raises(SourceError, match="not UTF-8"):
            list_build(tmp_path)

    @pytest.mark.parametrize(
        ("one", "other"),
        [("A.txt", "a.txt"), ("dir/x", "DIR/X"), ("\u00e9", "e\u0301"), ("straße", "STRASSE")],
    )
    def test_names_that_differ_in_case_or_form(self, tmp_path: Path, one: str, other: str) -> None:
        """Two names that another disk would take for one are refused, both shown."""
        fill(tmp_path, one, other)
        with pytest.raises(SourceError) as caught:
            list_build(tmp_path)
        assert repr(one) in str(caught.value)
        assert repr(other) in str(caught.value)

    def test_neither_file_nor_folder(self, tmp_path: Path) -> None:
        """A named pipe is refused by its name, and never opened."""
        fill(tmp_path, "a")
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(SourceError, match="'pipe', which is neither"):
            list_build(tmp_path)
