"""Where the commands find the ledger of a folder, and what they say where there is none."""

import re

import pytest

from tests.unit.cli.conftest import Call
from tests.unit.cli.ledger_project import CONFIG, LedgerProject, make_project

READERS = (
    ("status",),
    ("logs",),
    ("history",),
    ("report",),
    ("ledger", "check"),
    ("token", "list"),
)


@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_no_ledger_yet(bare_project: LedgerProject, call: Call, words: tuple[str, ...]) -> None:
    """Where no release wrote a ledger each command says so in one line, and makes none."""
    answer = call(*words)
    wanted = f"ERROR: ledger: expected {bare_project.file}, found none; a release writes it\n"
    assert (answer.code, answer.out, answer.err) == (1, "", wanted)
    assert not bare_project.file.exists()


@pytest.mark.parametrize("words", [*READERS, ("ledger", "path")], ids=" ".join)
def test_a_ledger_that_nobody_wants(
    bare_project: LedgerProject, call: Call, words: tuple[str, ...]
) -> None:
    """A configuration that switches the ledger off is named, even beside an old ledger."""
    make_project(bare_project.folder, f"{CONFIG}[ledger]\nenabled = false\n")
    answer = call(*words)
    assert answer.code == 1
    assert answer.err == (
        "ERROR: lading.toml: ledger.enabled: expected true, got false; runs are not recorded\n"
    )


def test_no_configuration(bare_project: LedgerProject, call: Call) -> None:
    """Outside of a project there is one line of the configuration, exit code 3."""
    (bare_project.folder / "lading.toml").unlink()
    answer = call("status")
    assert answer.code == 3
    assert re.fullmatch(r"ERROR: lading\.toml: expected in .*\n", answer.err)


def test_another_configuration(project: LedgerProject, call: Call) -> None:
    """`--config` names a file in the place of lading.toml, relative to this folder."""
    other = CONFIG.replace('work = "build"', 'work = "elsewhere"')
    (project.folder / "other.toml").write_text(other, encoding="utf-8")
    answer = call("ledger", "path", "--config", "other.toml")
    assert answer.lines == [str(project.folder / "elsewhere" / "ledger.db")]


@pytest.mark.usefixtures("project")
def test_the_variable_comes_first(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable that the configuration names says where; its password is never shown."""
    url = "postgresql://ada:correct-horse@db.example:5432/lading"
    monkeypatch.setenv("LADING_LEDGER_URL", url)
    answer = call("ledger", "path")
    assert answer.lines == ["postgresql://ada@db.example:5432/lading"]


def test_a_file_that_is_no_ledger(project: LedgerProject, call: Call) -> None:
    """A file of something else is refused in one line."""
    project.file.write_bytes(b"not a database, and long enough to look like one" * 50)
    answer = call("status")
    assert answer.code == 1
    assert answer.err.startswith("ERROR: ledger ")
    assert answer.err.count("\n") == 1
