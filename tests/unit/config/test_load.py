"""Tests of finding and reading a configuration, above all of bad ones."""

import datetime as dt
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lading.config import load_config
from lading.config.load import parse_config
from lading.errors import ConfigError

MINIMAL = """
[project]
name = "sample"
[source]
url = "input"
[destinations.gcs]
url = "clouds/gcs"
[channels.nightly]
tag = 'nightly-\\d+'
prefixes = ["nightly"]
"""
# the key that is set or replaced, its value, and the whole line that must be shown
BAD_VALUES: list[tuple[str, object, str]] = [
    ("project.name", 3, "project.name: expected a string, got 3"),
    ("keep", "2", "keep: expected a whole number, got '2'"),
    ("keep", 2.5, "keep: expected a whole number, got 2.5"),
    ("keep", True, "keep: expected a whole number, got true"),
    ("keep", 0, "keep: expected a number of at least 1, got 0"),
    ("keep", [1], "keep: expected a whole number, got [1]"),
    (
        "prepare.sqlite.level",
        10,
        "prepare.sqlite.level: expected 'fast', 'balanced' or 'small', got 10",
    ),
    (
        "prepare.sqlite.keep_original",
        "yes",
        "prepare.sqlite.keep_original: expected true or false, got 'yes'",
    ),
    (
        "prepare.sqlite.integrity",
        "deep",
        "prepare.sqlite.integrity: expected 'quick_check', 'integrity_check' or 'none', got 'deep'",
    ),
    ("source", "input", "source: expected a table, got 'input'"),
    ("channels", [], "channels: expected a table, got []"),
    ("channels", {}, "channels: expected at least 1 entry, got none"),
    ("channels.nightly", 1, "channels.nightly: expected a table, got 1"),
    (
        "channels.nightly.prefixes",
        "nightly",
        "channels.nightly.prefixes: expected a list, got 'nightly'",
    ),
    (
        "channels.nightly.prefixes",
        [],
        "channels.nightly.prefixes: expected at least 1 entry, got none",
    ),
    (
        "channels.nightly.prefixes",
        ["nightly", "/eel-hole"],
        (
            "channels.nightly.prefixes[1]: expected a relative key prefix such as 'nightly' or"
            " '{tag}', got '/eel-hole'"
        ),
    ),
    (
        "channels.nightly.prefixes",
        ["nightly", 7],
        "channels.nightly.prefixes[1]: expected a string, got 7",
    ),
    (
        "channels.nightly.tag",
        "(",
        (
            "channels.nightly.tag: expected a regular expression"
            " (missing ), unterminated subpattern at position 0), got '('"
        ),
    ),
    ("channels.nightly.zenodo", 1, "channels.nightly.zenodo: expected a table, got 1"),
    (
        "channels.nightly.zenodo",
        {},
        "channels.nightly.zenodo.env: expected a value, got nothing",
    ),
    (
        "prepare.bundles",
        [{"folder": "a"}, {"folder": {"name": "b"}}],
        "prepare.bundles[1].folder: expected a string, got a table of 1",
    ),
    (
        "destinations.a-b",
        {"url": "x"},
        (
            "destinations.a-b: expected a name of small letters, digits and '_' that starts with a"
            " letter, got 'a-b'"
        ),
    ),
    ("layout.leave_out", ["*.log", 1], "layout.leave_out[1]: expected a string, got 1"),
]
UNKNOWN_KEYS: list[tuple[str, object, str]] = [
    ("projct", {}, "(did you mean 'project'?)"),
    ("project.nme", "x", "(did you mean 'name'?)"),
    ("prepare.sqlit", {}, "(did you mean 'sqlite'?)"),
    ("prepare.sqlite.levl", 1, "(did you mean 'level'?)"),
    ("prepare.bundles", [{"folder": "a", "nam": "b"}], "(did you mean 'name'?)"),
    ("destinations.gcs.dept", "x", "(did you mean 'depot'?)"),
    ("channels.nightly.prefxes", ["x"], "(did you mean 'prefixes'?)"),
    (
        "channels.nightly.zenodo",
        {"env": "sandbox", "publsh": True},
        "(did you mean 'publish'?)",
    ),
    (
        "channels.nightly.cloud_run",
        [{"service": "a", "image": "b", "region": "c", "regoin": "d"}],
        "(did you mean 'region'?)",
    ),
]


def minimal_with(place: str, value: object) -> dict[str, Any]:
    """Return the smallest configuration with one key set."""
    table = tomllib.loads(MINIMAL)
    *parents, last = place.split(".")
    inner = table
    for parent in parents:
        inner = inner.setdefault(parent, {})
    inner[last] = value
    return table


def problems_of(load: Callable[[], object]) -> tuple[str, ...]:
    """Return the problems that loading shows, or an empty tuple."""
    try:
        load()
    except ConfigError as error:
        return error.problems
    return ()


class TestFind:
    """Which file is read."""

    def test_lading_toml(self, tmp_path: Path) -> None:
        """lading.toml in the folder is read, and its folder is the base of relative paths."""
        (tmp_path / "lading.toml").write_text(MINIMAL)
        loaded = load_config(tmp_path)
        assert loaded.config.project.name == "sample"
        assert (tmp_path / "lading.toml").resolve() == loaded.path
        assert tmp_path.resolve() == loaded.base

    def test_pyproject(self, tmp_path: Path) -> None:
        """Where there is no lading.toml, [tool.lading] of pyproject.toml is read."""
        tool = MINIMAL.replace("\n[", "\n[tool.lading.")
        (tmp_path / "pyproject.toml").write_text(f'[project]\nname = "other"\n{tool}')
        loaded = load_config(tmp_path)
        assert loaded.config.project.name == "sample"
        assert loaded.path.name == "pyproject.toml"

    def test_lading_toml_wins(self, tmp_path: Path) -> None:
        """lading.toml is read where pyproject.toml has a table too."""
        (tmp_path / "lading.toml").write_text(MINIMAL)
        (tmp_path / "pyproject.toml").write_text("[tool.lading]\nkeep = 9\n")
        assert load_config(tmp_path).path.name == "lading.toml"

    def test_named(self, tmp_path: Path) -> None:
        """A named file is read in place of lading.toml, and its folder is the base."""
        (tmp_path / "lading.toml").write_text("keep = 0")
        (tmp_path / "conf").mkdir()
        (tmp_path / "conf" / "other.toml").write_text(MINIMAL)
        loaded = load_config(tmp_path, "conf/other.toml")
        assert (tmp_path / "conf").resolve() == loaded.base

    def test_named_absolute(self, tmp_path: Path) -> None:
        """A named file may be named by an absolute path."""
        path = tmp_path / "other.toml"
        path.write_text(MINIMAL)
        assert path.resolve() == load_config(tmp_path / "elsewhere", str(path)).path

    def test_named_pyproject_of_another_folder(self, tmp_path: Path) -> None:
        """A pyproject.toml that is named is read at [tool.lading]."""
        (tmp_path / "sub").mkdir()
        tool = MINIMAL.replace("\n[", "\n[tool.lading.")
        (tmp_path / "sub" / "pyproject.toml").write_text(tool)
        assert load_config(tmp_path, "sub/pyproject.toml").config.project.name == "sample"


class TestMissing:
    """Files that are not there, or hold nothing."""

    @pytest.mark.parametrize("other", ["", "[tool.other]\nx = 1\n", '[project]\nname = "x"\n'])
    def test_none(self, tmp_path: Path, other: str) -> None:
        """Without a configuration the error names the folder and the command that writes one."""
        if other:
            (tmp_path / "pyproject.toml").write_text(other)
        with pytest.raises(ConfigError) as caught:
            load_config(tmp_path)
        assert str(caught.value) == (
            f"lading.toml: expected in {tmp_path}, found neither it nor [tool.lading];"
            " `lading init` writes a commented example"
        )
        assert caught.value.exit_code == 3

    def test_named(self, tmp_path: Path) -> None:
        """A named file that is missing is an error, also where lading.toml stands."""
        (tmp_path / "lading.toml").write_text(MINIMAL)
        expected = f"config=no.toml: expected a TOML file, found none at {tmp_path / 'no.toml'}"
        assert (expected,) == problems_of(lambda: load_config(tmp_path, "no.toml"))

    def test_folder(self, tmp_path: Path) -> None:
        """A folder of that name is no configuration."""
        (tmp_path / "lading.toml").mkdir()
        (problem,) = problems_of(lambda: load_config(tmp_path))
        assert problem.startswith("lading.toml: expected in ")

    @pytest.mark.parametrize("text", ["", "\n\n", "# nothing but a comment\n"])
    def test_empty(self, tmp_path: Path, text: str) -> None:
        """An empty file is told what it needs in one line, not in one line a table."""
        (tmp_path / "lading.toml").write_text(text)
        wanted = "[project] and [channels], [datasets] or [jobs]"
        expected = f"lading.toml: expected {wanted}, got none"
        (problem,) = problems_of(lambda: load_config(tmp_path))
        assert expected == problem

    def test_empty_tool_table(self, tmp_path: Path) -> None:
        """An empty [tool.lading] is told the same under the name of its file."""
        (tmp_path / "pyproject.toml").write_text("[tool.lading]\n")
        (problem,) = problems_of(lambda: load_config(tmp_path))
        assert problem.startswith("pyproject.toml: expected [project] and [channels]")


class TestUnreadable:
    """Files that are no TOML."""

    @pytest.mark.parametrize("name", ["lading.toml", "pyproject.toml"])
    def test_not_toml(self, tmp_path: Path, name: str) -> None:
        """Text that is not TOML is shown with its line and column."""
        (tmp_path / name).write_text("keep = 1\nkeep =\n")
        expected = f"{name}: expected TOML, got Invalid value (at line 2, column 7)"
        assert (expected,) == problems_of(lambda: load_config(tmp_path))

    def test_not_utf8(self, tmp_path: Path) -> None:
        """Bytes that are not UTF-8 are an error of the configuration."""
        (tmp_path / "lading.toml").write_bytes(b'work = "caf\xe9"\n')
        (problem,) = problems_of(lambda: load_config(tmp_path))
        assert problem.startswith("lading.toml: expected UTF-8 text, got ")

    def test_not_readable(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file that may not be read is an error of the configuration, with the reason."""

        def refuse(*_: object, **__: object) -> str:
            raise PermissionError(13, "Permission denied")

        (tmp_path / "lading.toml").write_text(MINIMAL)
        monkeypatch.setattr(Path, "read_text", refuse)
        expected = "lading.toml: expected a readable file, got Permission denied"
        assert (expected,) == problems_of(lambda: load_config(tmp_path))

    @pytest.mark.parametrize("named", ["", "pyproject.toml"])
    def test_tool_is_no_table(self, tmp_path: Path, named: str) -> None:
        """A pyproject.toml whose `tool` is no table ends in an error of the configuration."""
        (tmp_path / "pyproject.toml").write_text("tool = 1\n")
        assert len(problems_of(lambda: load_config(tmp_path, named))) == 1

    def test_tool_lading_is_no_table(self, tmp_path: Path) -> None:
        """A `lading` that is no table is named with its place, not with an empty one."""
        (tmp_path / "pyproject.toml").write_text("[tool]\nlading = 1\n")
        (problem,) = problems_of(lambda: load_config(tmp_path))
        assert ": :" not in problem


class TestProblems:
    """Files that are TOML and say something impossible."""

    @pytest.mark.parametrize(
        ("place", "value", "line"), BAD_VALUES, ids=[each[2][:50] for each in BAD_VALUES]
    )
    def test_bad_value(self, place: str, value: object, line: str) -> None:
        """A wrong value is one line: the file, the place, what is expected and what was got."""
        table = minimal_with(place, value)
        expected = f"lading.toml: {line}"
        assert (expected,) == problems_of(lambda: parse_config(table, "lading.toml"))

    @pytest.mark.parametrize(
        ("place", "value", "hint"), UNKNOWN_KEYS, ids=[each[2] for each in UNKNOWN_KEYS]
    )
    def test_unknown_key(self, place: str, value: object, hint: str) -> None:
        """An unknown key, however deep, is refused with the nearest known one."""
        table = minimal_with(place, value)
        (problem,) = problems_of(lambda: parse_config(table, "lading.toml"))
        assert problem.startswith(f"lading.toml: {place}")
        assert problem.endswith(hint)

    def test_unknown_key_like_none(self) -> None:
        """An unknown key that is like no other is shown beside all that are known."""
        table = minimal_with("project.zzz", 1)
        known = "github, name, remote, repository, title"
        expected = f"lading.toml: project.zzz: expected one of {known}, got 'zzz'"
        assert (expected,) == problems_of(lambda: parse_config(table, "lading.toml"))

    def test_date_is_no_string(self) -> None:
        """A date without quotes is a wrong type where a string is expected."""
        table = minimal_with("channels.nightly.tag", dt.date(2025, 2, 5))
        (problem,) = problems_of(lambda: parse_config(table, "lading.toml"))
        assert problem.startswith("lading.toml: channels.nightly.tag: expected a string, got ")

    def test_secret_in_url_is_not_repeated(self) -> None:
        """A URL with a password is refused without showing the password again."""
        table = minimal_with("destinations.gcs.url", "s3://key:hush@bucket")
        (problem,) = problems_of(lambda: parse_config(table, "lading.toml"))
        assert "hush" not in problem

    def test_ten_at_once(self) -> None:
        """Ten problems are shown together, each once, each with its place."""
        table = {
            "project": {"name": "Bad Name"},
            "source": {"url": "", "success_markr": "ok"},
            "prepare": {"sqlite": {"level": 0}, "bundles": [{"name": "x"}]},
            "layout": {"leave_out": "*.log"},
            "destinations": {"gcs": {"url": 1}},
            "channels": {
                "nightly": {"tag": "[", "prefixes": ["nightly", "/eel-hole"]},
            },
            "keep": "two",
        }
        problems = problems_of(lambda: parse_config(table, "lading.toml"))
        expected = {
            "project.name",
            "source.url",
            "source.success_markr",
            "prepare.sqlite.level",
            "prepare.bundles[0].folder",
            "layout.leave_out",
            "destinations.gcs.url",
            "channels.nightly.tag",
            "channels.nightly.prefixes[1]",
            "keep",
        }
        assert len(problems) == 10
        assert expected == {problem.split(": ")[1] for problem in problems}

    def test_message_holds_each_line(self) -> None:
        """The text of the error is its problems, one a line."""
        with pytest.raises(ConfigError) as caught:
            parse_config({"keep": 0, "work": 1}, "other.toml")
        lines = str(caught.value).splitlines()
        assert list(caught.value.problems) == lines
        assert len(lines) == 6
        assert all(line.startswith("other.toml: ") for line in lines)

    def test_conflicts_are_shown(self) -> None:
        """What is wrong between two sound parts is shown with the file and the place too."""
        table = minimal_with("channels.nightly.hold", ["nightyl"])
        expected = (
            "lading.toml: channels.nightly.hold[0]: expected one of the channel's prefixes"
            " (nightly), got 'nightyl' (did you mean 'nightly'?)"
        )
        assert (expected,) == problems_of(lambda: parse_config(table, "lading.toml"))
