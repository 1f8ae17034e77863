"""Tests of what `check` asks of the assets of a version."""

import hashlib
from pathlib import Path

import pytest

from lading.errors import GateError
from lading.prepare.assets import ask_assets, parse_sums
from lading.prepare.build import list_build
from lading.prepare.digests import DigestCache
from lading.release.layout import plan_layout
from tests.fakes.publishing import make_maps_config, make_version

FILES = {"a.geojson": b"{}", "b.csv": b"1"}


def line(name: str, data: bytes) -> str:
    """Return a line as sha256sum writes it."""
    return f"{hashlib.sha256(data).hexdigest()}  {name}\n"


SUMS = "".join(line(*each) for each in FILES.items())


def faults(folder: Path, sums: str | None = SUMS, **files: bytes) -> list[str]:
    """Ask a version of the files, some changed, with sums; return what was refused."""
    changed = {name.replace("_", "."): data for name, data in files.items()}
    make_version(folder, {**FILES, **changed})
    if sums is not None:
        (folder / "SUMS").write_text(sums)
    config = make_maps_config(publish={"sums": "SUMS"})
    layout = plan_layout(config, list_build(folder))
    found = ask_assets(config, folder, layout, DigestCache(folder.parent / "digests.sqlite"))
    return [each.refused for each in found if each.refused]


def test_sound(tmp_path: Path) -> None:
    """A version whose sums name all of it, with the right digests, passes."""
    assert faults(tmp_path / "v") == []


def test_faults(tmp_path: Path) -> None:
    """Everything that is wrong is told at once: empty, changed, unnamed, missing."""
    (tmp_path / "secret").write_bytes(b"3")
    sums = SUMS + line("c.csv", b"2") + line("../secret", b"3")
    found = faults(tmp_path / "v", sums, a_geojson=b"", b_csv=b"2", d_csv=b"4")
    assert [each.partition(", found")[0] for each in found] == [
        "a.geojson: expected an asset with content",
        "../secret: expected the file that SUMS names",
        f"a.geojson: expected sha256 {hashlib.sha256(b'{}').hexdigest()} as SUMS says",
        f"b.csv: expected sha256 {hashlib.sha256(b'1').hexdigest()} as SUMS says",
        "c.csv: expected the file that SUMS names",
        "d.csv: expected a line in SUMS",
    ]


def test_no_sums(tmp_path: Path) -> None:
    """A version without the file of digests that the configuration asks for is refused."""
    (found,) = faults(tmp_path / "v", None)
    assert found == "SUMS: expected the digests of the version, got 'No such file or directory'"


def test_forms() -> None:
    """Lines of sha256sum in text and binary mode, with `./`, and capitals, are read."""
    text = f"{'AB' * 32} *a\n{'cd' * 32}  ./b/c d\n\n"
    assert parse_sums(text.encode(), "SUMS") == {"a": "ab" * 32, "b/c d": "cd" * 32}


def test_lines_that_are_none() -> None:
    """Each line that is none is told with its number; so is a second one of a file."""
    text = f"hello\n{'ab' * 32}  a\n{'cd' * 32}  a\n{'ab' * 31}  b\n".encode() + b"\xff\n"
    with pytest.raises(GateError) as caught:
        parse_sums(text, "SUMS")
    assert [
        each.partition(":")[2].partition(":")[0] for each in str(caught.value).splitlines()
    ] == [
        "1",
        "3",
        "4",
        "5",
    ]


def test_unreadable_sums(tmp_path: Path) -> None:
    """A file of digests that is none is refused by its name."""
    (found,) = faults(tmp_path / "v", "nothing\n")
    assert found == "SUMS:1: expected a sha256, two spaces and a path, got 'nothing'"
