"""The guide to staging quotes what Lading says, and shows what the cluster takes."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.test_release_guide import messages
from tests.unit.test_workflows import DEPLOYMENTS

REPOSITORY = Path(__file__).parents[2]
GUIDE = (REPOSITORY / "docs" / "how-to-stage.md").read_text(encoding="utf-8")
README = (REPOSITORY / "examples" / "reformatters" / "README.md").read_text(encoding="utf-8")


def quotes() -> Iterator[str]:
    """Yield each text in the first column of the tables of failures."""
    failures = GUIDE.partition("## When a step fails")[2].partition("\n## ")[0]
    for row in re.findall(r"(?m)^\| (.+?) \| .+ \|$", failures):
        yield from re.findall(r"`([^`]+)`", row)


@cache
def documents() -> dict[str, dict[str, Any]]:
    """Return the objects of the cluster that the guide shows, by kind."""
    blocks = re.findall(r"(?ms)^```yaml\n(.+?)^```", GUIDE)
    found = [each for block in blocks for each in yaml.safe_load_all(block)]
    return {each["kind"]: each for each in found}


def anchors(path: Path) -> list[str]:
    """Return the headings of a page, as anchors."""
    titles = re.findall(r"(?m)^#+ (.+)$", path.read_text(encoding="utf-8"))
    return [re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in titles]


def test_the_guide_quotes_something() -> None:
    """The tables are read as this test means to."""
    assert len(set(quotes())) > 25


@pytest.mark.parametrize("quote", sorted(set(quotes())))
def test_lading_says_it(quote: str) -> None:
    """Each part of a quoted message stands in the program."""
    for part in filter(None, (each.strip(" ,") for each in quote.split("..."))):
        assert any(part in each for each in messages()), part


@pytest.mark.parametrize("text", [GUIDE, README], ids=["guide", "readme"])
def test_every_task_is_told(text: str) -> None:
    """What a person does with a version is there, from the check to the cleanup."""
    for task in ("check", "status", "cleanup"):
        assert f"doit k8s_{task}" in text


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_every_variable_and_secret_is_explained(name: str) -> None:
    """What the workflows read from the settings of GitHub stands in the guide."""
    folder = REPOSITORY / "examples" / "reformatters" / ".github" / "workflows"
    wanted = set(re.findall(r"\b(?:vars|secrets)\.(\w+)", (folder / name).read_text()))

    assert wanted
    assert {each for each in wanted if f"`{each}`" not in GUIDE} == set()


def test_links_lead_somewhere() -> None:
    """Each link of the guide names a heading, or a file of the repository."""
    for target in re.findall(r"\]\(([^)]+)\)", GUIDE):
        path, _, anchor = target.partition("#")
        page = REPOSITORY / "docs" / (path or "how-to-stage.md")
        assert page.exists(), target
        assert not anchor or anchor in anchors(page), target


def test_the_role_allows_what_kubectl_is_asked_and_no_more() -> None:
    """CronJobs are listed, applied, patched and deleted; of Jobs there is only a listing."""
    rules = {each["resources"][0]: each["verbs"] for each in documents()["Role"]["rules"]}

    assert rules == {
        "cronjobs": ["get", "list", "create", "patch", "delete"],
        "jobs": ["list"],
    }
    assert documents()["RoleBinding"]["roleRef"]["name"] == "lading"


def test_the_policy_holds_staging_to_its_own_names() -> None:
    """Policy and binding name each other, and the prefix is the one that staged names have."""
    policy, binding = (
        documents()[kind]["spec"]
        for kind in ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
    )
    assert binding["policyName"] == documents()["ValidatingAdmissionPolicy"]["metadata"]["name"]
    assert "staging-" in policy["validations"][0]["expression"]
    assert set(policy["matchConstraints"]["resourceRules"][0]["operations"]) == {
        "CREATE",
        "UPDATE",
        "DELETE",
    }
