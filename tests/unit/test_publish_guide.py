"""The guide to publishing shows a configuration and a document that are ones, and quotes Lading."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from lading.config.load import parse_config
from lading.release.publication import Publication
from tests.unit.test_release_guide import messages

REPOSITORY = Path(__file__).parents[2]
GUIDE = (REPOSITORY / "docs" / "how-to-publish.md").read_text(encoding="utf-8")
README = (REPOSITORY / "examples" / "overlays" / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Return the code of the guide in a language."""
    return re.findall(rf"(?ms)^```{language}\n(.+?)^```", GUIDE)


def test_configuration() -> None:
    """The tables of the guide, together, are a configuration."""
    table = tomllib.loads("\n".join(blocks("toml")))
    config = parse_config(table, "lading.toml")
    assert [each.root for each in config.channels.values()] == ["staging", "production"]
    assert [each.name for each in config.publish.build] == ["tiles"]


def test_document() -> None:
    """The document of the guide has the fields of one, and an asset those of an asset."""
    document = json.loads(blocks("json")[1])
    assert sorted(document) == sorted({*Publication.model_fields} - {"doi"})
    (asset,) = document["assets"]["overlays"]
    assert asset["url"].endswith(asset["key"])


@pytest.mark.parametrize(
    "quote", re.findall(r"(?m)^\| `(.+?)` \| ", GUIDE.partition("refused\n")[2])
)
def test_quotes(quote: str) -> None:
    """What the guide says that Lading says stands in the program."""
    # what the program fills in: the word for a tag, and what it found
    text = quote.partition(", found ")[0].removeprefix("environment: ")
    text = text.replace("version: expected a version ", "")
    assert any(text in each for each in messages()), quote


@pytest.mark.parametrize("text", [GUIDE, README], ids=["guide", "readme"])
def test_commands(text: str) -> None:
    """Commands of the guide name tasks that there are."""
    from lading import tasks  # noqa: PLC0415  names alone

    commands = set(re.findall(r"(?m)^doit (\w+)", text))
    assert commands >= {"plan", "publish", "verify", "rollback", "prune"}
    assert {f"task_{each}" for each in commands} <= set(tasks.__all__)
