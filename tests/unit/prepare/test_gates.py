"""Tests of the gates of a build: all are asked, and each says where and why."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from lading.config.load import parse_config
from lading.config.models import Config
from lading.errors import GateError
from lading.prepare.build import list_build
from lading.prepare.gates import GateResult, render_report, require_gates, run_gates
from lading.storage import Progress


def make_config(**source: Any) -> Config:
    """Return a configuration whose source says these things."""
    table = {
        "project": {"name": "sample"},
        "source": {"url": "source", "success_marker": "", **source},
        "layout": {"leave_out": ["*.log", "/scratch/"]},
        "destinations": {"gcs": {"url": "gcs"}},
        "channels": {"nightly": {"tag": "x", "prefixes": ["nightly"]}},
    }
    return parse_config(table, "lading.toml")


def fill(folder: Path, files: dict[str, bytes]) -> None:
    """Write the files of a build."""
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


def database() -> bytes:
    """Return the bytes of a sound database."""
    connection = sqlite3.connect(":memory:")
    connection.execute("create table readings (id integer primary key)")
    data = connection.serialize()
    connection.close()
    return data


def ask(folder: Path, config: Config) -> list[GateResult]:
    """Ask the gates of a build."""
    return run_gates(config, folder, list_build(folder))


def refusals(folder: Path, config: Config) -> list[str]:
    """Return what the gates of a build refuse."""
    return [each.refused for each in ask(folder, config) if each.refused]


SOUND_PARQUET = b"PAR1" + b"x" * 8 + (8).to_bytes(4, "little") + b"PAR1"


def test_sound_build_passes(tmp_path: Path) -> None:
    """A build with its marker, its files and sound tables is refused nothing, in a fixed order."""
    fill(
        tmp_path,
        {
            "success": b"",
            "b.parquet": SOUND_PARQUET,
            "a.sqlite": database(),
            "notes.json": b"{}",
            "build.log": b"",
        },
    )
    config = make_config(success_marker="success", expected=["/a.sqlite", "*.parquet"])
    expected = [
        GateResult("success_marker", "success", ""),
        GateResult("expected", "/a.sqlite", ""),
        GateResult("expected", "*.parquet", ""),
        GateResult("sqlite", "a.sqlite", ""),
        GateResult("parquet", "b.parquet", ""),
        GateResult("readable", "notes.json", ""),
    ]
    results = ask(tmp_path, config)
    assert expected == results
    require_gates(results)


def test_missing_marker(tmp_path: Path) -> None:
    """A build without its success marker is refused; marker and folder are named."""
    fill(tmp_path, {"a": b""})
    config = make_config(success_marker="success")
    expected = (
        f"success: expected the build's success marker in {tmp_path}, found none:"
        " the build has not ended well"
    )
    assert [expected] == refusals(tmp_path, config)


def test_marker_in_a_folder(tmp_path: Path) -> None:
    """A marker in a folder is found there, and named as it is configured where it is not."""
    fill(tmp_path, {"success": b"", "out/a": b""})
    config = make_config(success_marker="out/success")
    assert refusals(tmp_path, config)[0].startswith("out/success: expected the build's")
    fill(tmp_path, {"out/success": b""})
    assert refusals(tmp_path, config) == []


@pytest.mark.parametrize("pattern", ["/parquet/*.parquet", "gone.sqlite", "deep/**/x.json"])
def test_expected_pattern_without_a_match(tmp_path: Path, pattern: str) -> None:
    """A pattern that no file matches is refused, and shown as it is configured."""
    fill(tmp_path, {"a.parquet": SOUND_PARQUET})
    assert [f"{pattern}: expected at least one file that matches, found none"] == refusals(
        tmp_path, make_config(expected=[pattern])
    )


def test_every_refusal_is_told(tmp_path: Path) -> None:
    """One refusal stops no other gate; each names the path in the build."""
    fill(
        tmp_path,
        {"deep/a.sqlite": b"no database", "deep/b.parquet": b"", "c.parquet": SOUND_PARQUET},
    )
    found = refusals(tmp_path, make_config(success_marker="success", expected=["*.csv"]))
    starts = ["success: ", "*.csv: ", "deep/a.sqlite: expected", "deep/b.parquet: expected"]
    assert len(starts) == len(found)
    assert [line.startswith(start) for line, start in zip(found, starts, strict=True)] == [True] * 4


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """Two damaged files of one name in two folders are named by their paths."""
    fill(tmp_path, {"one/x.parquet": b"", "two/x.parquet": b""})
    found = refusals(tmp_path, make_config())
    assert [line.partition(":")[0] for line in found] == ["one/x.parquet", "two/x.parquet"]


def test_left_out_files_are_not_asked(tmp_path: Path) -> None:
    """What never ships may be anything."""
    fill(tmp_path, {"scratch/a.sqlite": b"", "scratch/b.parquet": b"", "c.json": b"{}"})
    assert ask(tmp_path, make_config()) == [GateResult("readable", "c.json", "")]


def test_depth_of_the_configuration_is_used(tmp_path: Path) -> None:
    """Where the configuration asks no integrity, a damaged page passes."""
    connection = sqlite3.connect(tmp_path / "a.sqlite")
    connection.execute("create table readings (value text)")
    connection.executemany("insert into readings values (?)", [("x" * 900,)] * 50)
    connection.commit()
    connection.close()
    data = bytearray((tmp_path / "a.sqlite").read_bytes())
    data[4096:8192] = b"\xa5" * 4096
    (tmp_path / "a.sqlite").write_bytes(data)
    sound = make_config()
    sqlite_rule = sound.prepare.sqlite.model_copy(update={"integrity": "none"})
    prepare = sound.prepare.model_copy(update={"sqlite": sqlite_rule})
    assert len(refusals(tmp_path, sound)) == 1
    assert refusals(tmp_path, sound.model_copy(update={"prepare": prepare})) == []


def test_progress_counts_files(tmp_path: Path) -> None:
    """Every gate that passes is one file done."""
    told: list[Any] = []

    class Told(Progress):
        def set_files(self, total: int) -> None:
            told.append(total)

        def finish_file(self, name: str) -> None:
            told.append(name)

    fill(tmp_path, {"a.parquet": SOUND_PARQUET, "b.parquet": SOUND_PARQUET})
    run_gates(make_config(), tmp_path, list_build(tmp_path), Told())
    assert told[0] == 2
    assert {"a.parquet", "b.parquet"} == set(told[1:])


def test_interruption_ends_the_gates(tmp_path: Path) -> None:
    """A signal ends the gates and is not taken for a refusal."""

    class Interrupting(Progress):
        def relative_update(self, inc: int = 1) -> None:
            raise KeyboardInterrupt(inc)

    fill(tmp_path, {"a.parquet": SOUND_PARQUET})
    with pytest.raises(KeyboardInterrupt):
        run_gates(make_config(), tmp_path, list_build(tmp_path), Interrupting())


class TestRequire:
    """The one error of many refusals."""

    def test_five_are_shown_and_the_rest_counted(self) -> None:
        """Of seven refusals five stand in the message, and two are counted."""
        results = [GateResult("parquet", str(n), f"{n}: bad") for n in range(7)]
        with pytest.raises(GateError) as caught:
            require_gates(results)
        assert [f"{n}: bad" for n in range(5)] + ["and 2 more"] == str(caught.value).split("\n")

    def test_five_are_not_counted(self) -> None:
        """Five refusals are told in full, with nothing more."""
        with pytest.raises(GateError) as caught:
            require_gates([GateResult("parquet", str(n), f"{n}: bad") for n in range(5)])
        assert "more" not in str(caught.value)

    def test_none_passes(self) -> None:
        """Where nothing is refused, nothing is raised."""
        require_gates([GateResult("parquet", "a", "")])
        require_gates([])


def test_report_is_the_same_for_the_same_build(tmp_path: Path) -> None:
    """Equal builds give equal reports, refusals included."""
    fill(tmp_path, {f"{n}.parquet": b"" if n % 2 else SOUND_PARQUET for n in range(20)})
    reports = {render_report(ask(tmp_path, make_config())) for _ in range(3)}
    assert len(reports) == 1
    table = json.loads(reports.pop())
    assert table["schema_version"] == 1
    assert {"gate", "place", "refused"} == set(table["gates"][0])
    assert sum(1 for row in table["gates"] if row["refused"]) == 10
