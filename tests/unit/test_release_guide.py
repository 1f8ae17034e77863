"""The release manager's guide quotes what Lading says: its words cannot fall behind."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from lading.tasks.outside import ROAD

REPOSITORY = Path(__file__).parents[2]
GUIDE = (REPOSITORY / "docs" / "how-to-release.md").read_text(encoding="utf-8")
GAP = "\0"  # what a message fills in
# said by GitHub, git, Google, AWS, Slack or the machine
OTHERS = {
    *("queued", "pending", "Waiting for review", "denied", "403", "gcloud"),
    *("couldn't find remote ref refs/tags/", "protected branch", "ExpiredToken"),
    "Not authorized to perform sts:AssumeRoleWithWebIdentity",
    "the runner has received a shutdown signal",
    *("impersonated credentials", "rejected by the attribute condition"),
    "which is ahead of it",  # filled in
    *("No space left on device", "not_in_channel", "invalid_auth", "missing_scope"),
}


@cache
def messages() -> tuple[str, ...]:
    """Return every text of the program, with a gap for what it fills in."""
    found = []
    for path in (REPOSITORY / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = [e.value if isinstance(e, ast.Constant) else GAP for e in node.values]
                found.append("".join(map(str, parts)))
    return tuple(found)


def quotes() -> Iterator[str]:
    """Yield each text in the first column of the tables of failures."""
    failures = GUIDE.partition("## When a step fails")[2].partition("\n## ")[0]
    for row in re.findall(r"(?m)^\| (.+?) \| .+ \|$", failures):
        yield from re.findall(r"`([^`]+)`", row)


def test_the_guide_quotes_something() -> None:
    """The tables are read as this test means to."""
    assert len(set(quotes())) > 40


@pytest.mark.parametrize("quote", sorted(set(quotes())))
def test_lading_says_it(quote: str) -> None:
    """Each part of a quoted message stands in the program, or is known as somebody else's."""
    for part in filter(None, (each.strip() for each in re.split(r"\.\.\.|<[a-z]+>|; ", quote))):
        assert part in OTHERS or any(part in each for each in messages()), part


def headings() -> list[str]:
    """Return the headings of the guide, as anchors."""
    titles = re.findall(r"(?m)^#+ (.+)$", GUIDE)
    return [re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in titles]


@pytest.mark.parametrize("step", ["access", "fetch", "check", "zip", "manifest", "upload", *ROAD])
def test_every_step_has_its_cures(step: str) -> None:
    """For each step that can fail there is a table of what it says and what to do."""
    sections = re.findall(r"(?ms)^### (.+?)\n(.+?)(?=^##)", GUIDE)

    assert [
        body for title, body in sections if step in re.split(r"\W+", title) and "| do |" in body
    ]


@pytest.mark.parametrize("name", ["distribute.yml", "zenodo-data-release.yml"])
def test_every_variable_and_secret_is_explained(name: str) -> None:
    """What the workflows read from the settings of GitHub stands in the guide."""
    text = (REPOSITORY / ".github" / "workflows" / name).read_text(encoding="utf-8")
    wanted = set(re.findall(r"\b(?:vars|secrets)\.(\w+)", text))

    assert wanted
    assert {each for each in wanted if f"`{each}`" not in GUIDE} == set()


def test_links_lead_somewhere() -> None:
    """Each link of the guide names a heading of it, or a file beside it."""
    for target in re.findall(r"\]\(([^)]+)\)", GUIDE):
        path, _, anchor = target.partition("#")
        if path:
            assert (REPOSITORY / "docs" / path).exists(), target
        else:
            assert anchor in headings(), target
