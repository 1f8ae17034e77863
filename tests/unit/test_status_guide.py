"""The guide to status names what is there: commands, options, addresses, views, settings."""

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest

from lading.cli import main
from lading.config import ledger as settings
from lading.ledger.verdict import Word
from lading.ledger.views import VIEWS

GUIDE = (Path(__file__).parents[2] / "docs" / "how-to-status.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(?ms)^```(\w+)\n(.+?)^```", GUIDE)
LINES = [line for kind, text in BLOCKS if kind == "bash" for line in text.splitlines()]
QUOTED = re.findall(r"`(lading [^`]+)`", GUIDE)
TABLES: list[dict[str, Any]] = [tomllib.loads(text) for kind, text in BLOCKS if kind == "toml"]


def words_of(line: str) -> list[str]:
    """Return the words of a command of ours in a line: its name, and its options."""
    found = re.search(r"lading [^|>)\"]+", line)
    return shlex.split(found.group(), comments=True)[1:] if found else []


@pytest.mark.parametrize("line", sorted({*LINES, *QUOTED}))
def test_each_command_is_there(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A person who types it is understood: the command and its options are in its help."""
    words = words_of(line)
    options = [each for each in words if each.startswith("--")]
    command = [each for each in words[:2] if re.fullmatch(r"[a-z]+", each)]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert command
    assert all(each in shown for each in options)


def test_each_verdict_is_told() -> None:
    """Whatever `lading status` begins with is in the table; of work that is no release, `done`."""
    section = GUIDE.partition("| verdict | means |")[2].partition("\n\n")[0]
    told = {
        word for row in re.findall(r"(?m)^\| ([a-z, ]+) \|", section) for word in row.split(", ")
    }
    assert told == {*get_args(Word)} - {"done"}


def test_each_view_is_there() -> None:
    """Views are named as the ledger names them."""
    section = GUIDE.partition("| view | a row is |")[2].partition("\n\n")[0]
    told = set(re.findall(r"`(\w+)`", section))
    assert told
    assert told <= {each.name for each in VIEWS}


def test_settings_are_taken() -> None:
    """What the guide writes into lading.toml is what the configuration knows."""
    models: dict[str, Any] = {"ledger": settings.Ledger, "report": settings.Report}
    for table in TABLES:
        for name, values in table.items():
            models[name].model_validate(values)
    assert {name for table in TABLES for name in table} == set(models)


def test_addresses_are_served() -> None:
    """Each address in the table is one of the pages."""
    source = Path(__file__).parents[2] / "src" / "lading" / "web" / "pages.py"
    served = re.findall(r'"(/[^" ]*)": pages\.', source.read_text(encoding="utf-8"))
    told = re.findall(r"(?m)^\| `(/[^`]*)` \|", GUIDE)
    shapes = {re.sub(r"\{\w+\}", "X", each) for each in served if not each.endswith("/live")}
    assert {re.sub(r"[A-Z]{2,}", "X", each) for each in told} == shapes
