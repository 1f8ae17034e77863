"""The scripts inside the workflows, run as a job runs them, on loopback."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.slack import TOKEN, FakeSlack
from tests.unit.workflow_rules import parse_workflow

WORKFLOWS = Path(__file__).parents[2] / ".github" / "workflows"
RECORD = """#!{python}
import json, os, sys
with open({path!r}, "w") as file:
    json.dump([sys.argv[1:], dict(os.environ)], file)
"""
AGAIN = "; start it again with the same inputs"
STRANGE = "a b\"'; touch pwned; $(touch pwned) `touch pwned`"


def step(workflow: str, job: str, name: str) -> dict[str, Any]:
    """Return one step of a workflow."""
    text = (WORKFLOWS / workflow).read_text(encoding="utf-8")
    steps = parse_workflow(text)["jobs"][job]["steps"]
    return next(each for each in steps if each["name"] == name)


def run_step(found: dict[str, Any], folder: Path, **variables: str) -> "subprocess.Popen[str]":
    """Begin a step as the runner does: its script in a file, with no variable but those given."""
    is_python = found.get("shell") == "python"
    script = folder / ("step.py" if is_python else "step.sh")
    script.write_text(found["run"], encoding="utf-8")
    command = [sys.executable] if is_python else ["bash", "-e"]
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    return subprocess.Popen(
        [*command, str(script)],
        cwd=folder,
        env={"PATH": path, "RUNNER_TEMP": str(folder), **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    """Wait for a step and return its exit code and what it printed."""
    with process:
        printed, warned = process.communicate(timeout=30)
    return process.returncode, printed, warned


def record(folder: Path, name: str) -> Path:
    """Put a program on the PATH that writes down how it was called; return where."""
    (folder / "bin").mkdir()
    record_path = folder / f"{name}.json"
    program = folder / "bin" / name
    program.write_text(RECORD.format(python=sys.executable, path=str(record_path)))
    program.chmod(0o755)
    return record_path


@pytest.mark.parametrize(
    ("source", "accept", "more"),
    [("", "", []), ("gs://b/x y", "it's right", ["source=gs://b/x y", "accept=it's right"])],
    ids=["none", "given"],
)
def test_inputs_reach_doit_as_they_are(
    tmp_path: Path, source: str, accept: str, more: list[str]
) -> None:
    """Each input is one argument whatever is in it; what is not given is not passed."""
    called = record(tmp_path, "doit")
    found = step("distribute.yml", "release", "release")

    variables = {"TYPE": "nightly", "TAG": STRANGE, "STAGING": "1"}
    variables |= {"SOURCE": source, "ACCEPT": accept}
    assert end(run_step(found, tmp_path, **variables))[0] == 0

    arguments, _ = json.loads(called.read_text())
    assert arguments == ["distribute", "type=nightly", f"tag={STRANGE}", "staging=1", *more]
    assert not (tmp_path / "pwned").exists()


def test_doit_takes_the_place_of_the_shell(tmp_path: Path) -> None:
    """The runner's signal to the step reaches doit itself."""
    called = record(tmp_path, "doit")
    with (tmp_path / "bin" / "doit").open("a") as file:
        file.write("with open('pid', 'w') as file: file.write(str(os.getpid()))\n")
    found = step("distribute.yml", "release", "release")

    process = run_step(found, tmp_path, TYPE="n", TAG="t", STAGING="1", SOURCE="", ACCEPT="")
    assert end(process)[0] == 0
    assert called.exists()
    assert (tmp_path / "pid").read_text() == str(process.pid)


@pytest.mark.parametrize("age_s", [None, 60.0, -1.0], ids=["none", "of the last run", "of this"])
def test_only_what_this_run_told_counts(tmp_path: Path, age_s: float | None) -> None:
    """A mark that came back with the state of an earlier run does not keep Slack from hearing."""
    (tmp_path / "began").touch()
    marker = tmp_path / "w" / "releases" / "n" / "t" / "staging" / "notify" / "told.json"
    if age_s is not None:
        marker.parent.mkdir(parents=True)
        marker.write_text("{}")
        os.utime(marker, (time.time() - age_s,) * 2)
    found = step("distribute.yml", "release", "see whether Slack was told")
    output = tmp_path / "output"

    ended = end(
        run_step(found, tmp_path, WORK="w", FOLDER="n/t/staging", GITHUB_OUTPUT=str(output))
    )

    assert ended[0] == 0
    assert output.read_text() == ("told=1\n" if age_s == -1.0 else "told=\n")


def git(folder: Path, *arguments: str) -> str:
    """Run git, without the person's settings."""
    who = {
        f"GIT_{role}_{kind}": "a@example.org"
        for role in ("AUTHOR", "COMMITTER")
        for kind in ("NAME", "EMAIL")
    }
    environment = {**os.environ, **who, "GIT_CONFIG_GLOBAL": os.devnull}
    return subprocess.run(
        ["git", "-C", str(folder), *arguments],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    ).stdout


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a shallow clone of a repository with one tag, as checkout leaves it: without tags."""
    origin, folder = tmp_path / "origin", tmp_path / "clone"
    git(tmp_path, "init", "--quiet", "origin")
    for number in range(3):
        git(origin, "commit", "--quiet", "--allow-empty", "--message", str(number))
    git(origin, "tag", "--annotate", "--message", "v", "v1", "HEAD~1")
    git(tmp_path, "clone", "--quiet", "--no-tags", "--depth=1", origin.as_uri(), "clone")
    return folder


def test_the_tag_is_fetched(clone: Path) -> None:
    """A shallow clone of the branch gets the tag, with its own commit and no history."""
    found = step("distribute.yml", "release", "fetch the tag")

    assert end(run_step(found, clone, TAG="v1", STAGING="0"))[0] == 0

    there = git(clone.parent / "origin", "rev-parse", "v1^{commit}")
    assert git(clone, "rev-parse", "v1^{commit}") == there
    assert git(clone, "rev-list", "--count", "v1") == "1\n"


@pytest.mark.parametrize(("staging", "passes"), [("0", False), ("1", True)])
def test_only_a_rehearsal_goes_on_without_its_tag(
    clone: Path, staging: str, *, passes: bool
) -> None:
    """Where there is no such tag, a release ends there, and a rehearsal goes on."""
    found = step("distribute.yml", "release", "fetch the tag")
    code, _, warned = end(run_step(found, clone, TAG="v9", STAGING=staging))

    assert (code == 0) == passes
    assert "refs/tags/v9" in warned


def test_inputs_reach_the_deposit_as_they_are(tmp_path: Path) -> None:
    """Each input is one argument whatever is in it, also a pattern that looks like an option."""
    called = record(tmp_path, "lading")
    found = step("zenodo-data-release.yml", "deposit", "deposit")
    variables = {
        "ENV": "sandbox",
        "SOURCE_DIR": "s3://b/v1",
        "IGNORE_REGEX": f"-x{STRANGE}",
        "MANIFEST": "0" * 64,
        "PUBLISH": "no-publish",
    }

    assert end(run_step(found, tmp_path, **variables))[0] == 0

    assert json.loads(called.read_text())[0] == [
        "deposit",
        "--env=sandbox",
        "--source-dir=s3://b/v1",
        f"--ignore-regex=-x{STRANGE}",
        f"--manifest={'0' * 64}",
        "--no-publish",
    ]
    assert not (tmp_path / "pwned").exists()


def tell(folder: Path, url: str, **variables: str) -> tuple[int, str, str]:
    """Run the step that tells Slack."""
    given = {
        "CHANNEL": "C0123456789",
        "RESULT": "failure",
        "RUN_URL": "https://github.com/o/n/actions/runs/7",
        "SLACK_BOT_TOKEN": TOKEN,
        "SLACK_URL": url,
        "STAGING": "0",
        "TAG": "v1<&>",
        "TYPE": "stable",
        **variables,
    }
    return end(run_step(step("distribute.yml", "tell", "tell Slack"), folder, **given))


@pytest.mark.parametrize(
    ("staging", "result", "text"),
    [
        (
            "0",
            "failure",
            f"distribute stable v1&lt;&amp;&gt; (production): failure{AGAIN}",
        ),
        ("1", "success", "distribute stable v1&lt;&amp;&gt; (staging): success"),
    ],
)
def test_slack_is_told(tmp_path: Path, staging: str, result: str, text: str) -> None:
    """One message says what ended how, what to do, and where to look."""
    with FakeSlack() as slack:
        assert tell(tmp_path, slack.url, STAGING=staging, RESULT=result)[:2] == (0, "")

    assert [each["text"] for each in slack.messages] == [
        f"{text}\nhttps://github.com/o/n/actions/runs/7"
    ]


@pytest.mark.parametrize(
    ("fault", "said"),
    [("not_in_channel", "not_in_channel"), ("status:503", "503"), ("html", ""), ("reset", "")],
)
def test_a_release_is_no_worse_for_slack(tmp_path: Path, fault: str, said: str) -> None:
    """Where Slack cannot be told, the step warns and does not fail; the token is not printed."""
    with FakeSlack() as slack:
        slack.fail(fault)
        code, printed, warned = tell(tmp_path, slack.url)

    assert code == 0
    assert printed.startswith("::warning title=Slack was not told::")
    assert said in printed
    assert TOKEN not in printed + warned
