"""The guide to jobs quotes what Lading says, and what it shows can be taken as it stands."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lading.config.load import parse_config
from lading.errors import BadDataError, Interrupted, JobError, MisconfiguredError, TemporaryError
from lading.jobs.declared import read_job
from lading.jobs.spec import ExitCode, JobSpec
from tests.unit.test_release_guide import messages
from tests.unit.test_stage_guide import anchors

REPOSITORY = Path(__file__).parents[2]
GUIDE = (REPOSITORY / "docs" / "how-to-jobs.md").read_text(encoding="utf-8")
FAILURES = GUIDE.partition("## When a job fails")[2].partition("\n## ")[0]
ROADS = ("Before it begins", "Leases and plans", "Data", "The audit trail", "The cluster")


def quotes() -> Iterator[str]:
    """Yield each text in the first column of the tables of failures."""
    for row in re.findall(r"(?m)^\| (.+?) \| .+ \|$", FAILURES):
        yield from re.findall(r"`([^`]+)`", row)


def blocks(language: str) -> list[str]:
    """Return the blocks of code in a language."""
    return re.findall(rf"(?ms)^```{language}\n(.+?)^```", GUIDE)


def test_the_guide_quotes_something() -> None:
    """The tables are read as this test means to, one for each part of the road."""
    assert len(set(quotes())) > 35
    for title in ROADS:
        assert "| it looks like | do |" in FAILURES.partition(f"### {title}\n")[2][:40]


@pytest.mark.parametrize("quote", sorted(set(quotes())))
def test_lading_says_it(quote: str) -> None:
    """Each part of a quoted message stands in the program."""
    for part in filter(None, (each.strip(" ,:") for each in quote.split("..."))):
        assert any(part in each for each in messages()), part


@pytest.mark.parametrize("text", blocks("python"))
def test_the_jobs_are_jobs(text: str) -> None:
    """Each module that is shown has a `JOB` that the registry takes."""
    module: dict[str, Any] = {"__name__": "shown"}
    exec(compile(text, "how-to-jobs.md", "exec"), module)  # our own page

    assert read_job("shown", "jobs.shown", module["JOB"]).error == ""


@pytest.mark.parametrize("text", blocks("toml"))
def test_the_configurations_load(text: str) -> None:
    """Each configuration that is shown is one."""
    assert parse_config(tomllib.loads(text), "lading.toml").jobs


def test_every_field_of_a_job_is_told() -> None:
    """The table of what a job says of itself has a row for each field."""
    table = GUIDE.partition("## A job in full")[2].partition("\n## ")[0]

    rows = "".join(re.findall(r"(?m)^\| (`.+?) \|", table))
    missing = {f"`{name}`" for name in JobSpec.__dataclass_fields__ if f"`{name}`" not in rows}
    assert missing == {"`entrypoint`", "`description`"}  # these explain themselves


def test_every_exit_code_is_told() -> None:
    """The table of exit codes has those that runs end with, and no other."""
    table = GUIDE.partition("### Exit codes")[2].partition("\n###")[0]
    codes = [
        int(each) for row in re.findall(r"(?m)^\| (\d.*?) \|", table) for each in row.split(",")
    ]

    assert codes == sorted(
        {*map(int, ExitCode), Interrupted(2).exit_code, Interrupted(15).exit_code}
    )
    for error in (BadDataError, TemporaryError, MisconfiguredError):
        assert f"`{error.__name__}` {error.exit_code}" in table.replace("\n", " ")
    assert f"anything else is {JobError.exit_code}" in table


@pytest.mark.parametrize("name", ["job:<name>", "k8s_job:<name>"])
def test_tasks_are_told(name: str) -> None:
    """Both groups of tasks are used somewhere."""
    assert f"doit {name.partition(':')[0]}:" in GUIDE


def test_metrics_are_those_that_are_written() -> None:
    """Each metric that is named is one of Lading's."""
    named = set(re.findall(r"`(lading_job_\w+)", GUIDE))

    assert len(named) == 7
    assert {each for each in named if not any(each in said for said in messages())} == set()


def test_the_role_allows_what_kubectl_is_asked_and_no_more() -> None:
    """Jobs are created, read and deleted."""
    [role] = [each for text in blocks("yaml") for each in yaml.safe_load_all(text)]

    assert [each["resources"] for each in role["rules"]] == [["jobs"]]
    assert role["rules"][0]["verbs"] == ["create", "get", "delete"]


def test_links_lead_somewhere() -> None:
    """Each link of the guide names a heading, or a file of the repository."""
    for target in re.findall(r"\]\(([^)]+)\)", GUIDE):
        path, _, anchor = target.partition("#")
        page = REPOSITORY / "docs" / (path or "how-to-jobs.md")
        assert page.exists(), target
        assert not anchor or anchor in anchors(page), target
