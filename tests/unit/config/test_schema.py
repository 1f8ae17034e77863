"""Tests of the JSON Schema of lading.toml."""

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lading.config.schema import render_config_schema

ROOT = Path(__file__).parents[3]
SCHEMA_PATH = ROOT / "schemas" / "lading.schema.json"
EXAMPLES = [ROOT / "lading.toml", *sorted(ROOT.glob("examples/*/lading.toml"))]


def faults_of(table: dict[str, Any]) -> list[str]:
    """Return what the schema finds wrong with a table."""
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA_PATH.read_text()))
    return [error.json_path for error in validator.iter_errors(table)]


def test_equals_the_models() -> None:
    """The schema in the repository is what the models render."""
    assert SCHEMA_PATH.read_text(encoding="utf-8") == render_config_schema()


def test_is_a_schema() -> None:
    """It is a valid schema of the dialect that it names."""
    schema = json.loads(render_config_schema())
    assert schema["$schema"] == jsonschema.Draft202012Validator.META_SCHEMA["$id"]
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_examples_are_valid(path: Path) -> None:
    """Every lading.toml of the repository is valid and names the schema for editors."""
    text = path.read_text(encoding="utf-8")
    assert faults_of(tomllib.loads(text)) == []
    named = text.splitlines()[0].removeprefix("#:schema ")
    assert (path.parent / named).resolve() == SCHEMA_PATH


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("keep = 0", "$.keep"),
        ('keep = "2"', "$.keep"),
        ("kep = 2", "$"),
        ("channels.nightly.prefixes = []", "$.channels.nightly.prefixes"),
        ("channels.nightly.prefxes = ['a']", "$.channels.nightly"),
    ],
)
def test_faults_are_found(line: str, expected: str) -> None:
    """What the models refuse for its shape, an editor with the schema shows too."""
    table = tomllib.loads((ROOT / "lading.toml").read_text(encoding="utf-8"))
    changed = tomllib.loads(line)
    if "channels" in changed:
        table["channels"]["nightly"] |= changed["channels"]["nightly"]
    else:
        table |= changed
    assert [expected] == faults_of(table)
