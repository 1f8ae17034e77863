"""The workflows that stage and deploy datasets: what `lading init --github` writes beside them."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from lading.cli.project import init_github, init_kubernetes
from lading.config import load_config
from tests.unit.test_workflows import DEPLOYMENTS, actionlint, steps_of, text_of, zizmor
from tests.unit.workflow_rules import find_problems, parse_workflow

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = REPOSITORY / "examples" / "reformatters"
NAMES = ("ci.yml", *DEPLOYMENTS)
THEIR_OWN = {"stage", "deploy", "say how it ended"}


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the .github that `lading init --github` writes beside the example's lading.toml."""
    folder = tmp_path_factory.mktemp("datasets")
    shutil.copy(EXAMPLE / "lading.toml", folder)
    init_github(folder)
    return folder / ".github"


def jobs_of(github: Path, name: str) -> dict[str, Any]:
    """Return the jobs of a workflow."""
    jobs: dict[str, Any] = parse_workflow(text_of(github, name))["jobs"]
    return jobs


def test_the_example_holds_what_init_writes(github: Path) -> None:
    """The example's workflows are those that its configuration gives, to the byte."""
    written = {each.name: each.read_bytes() for each in (github / "workflows").iterdir()}
    theirs = EXAMPLE / ".github" / "workflows"

    assert sorted(written) == sorted(NAMES)
    assert {each.name: each.read_bytes() for each in theirs.iterdir()} == written


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_workflow_keeps_the_rules(github: Path, name: str) -> None:
    """Pinned actions, no expression in a shell, least permissions, bounded time, no stranger."""
    assert find_problems(text_of(github, name)) == []


@pytest.mark.parametrize(
    ("sound", "broken"),
    [
        ('k8s_check branch="$BRANCH"', 'k8s_check branch="${{ github.ref_name }}"'),
        ('k8s_staging branch="$BRANCH"', 'k8s_staging branch="${{ github.ref_name }}"'),
        ("persist-credentials: false", "persist-credentials: true"),
        (" # v3.0.1", ""),
        ("permissions: {}\n\njobs", "permissions: write-all\n\njobs"),
        ("  group: deploy-staging-", "  no-group: deploy-staging-"),
    ],
)
def test_the_rules_see_a_breach(github: Path, sound: str, broken: str) -> None:
    """Each rule fails on a workflow that breaks it."""
    text = text_of(github, "deploy-staging.yml")
    assert sound in text

    assert len(find_problems(text.replace(sound, broken, 1))) >= 1


def test_zizmor_finds_nothing(github: Path) -> None:
    """zizmor, at its pedantic level and with nothing suppressed, has no finding."""
    ended = zizmor(*(github / "workflows").iterdir())

    assert ended.returncode == 0, ended.stdout
    assert "ignored" not in ended.stderr


def test_zizmor_sees_a_breach(github: Path, tmp_path: Path) -> None:
    """A branch name inside a shell's text is found by zizmor."""
    text = text_of(github, "deploy-staging.yml")
    path = tmp_path / "deploy-staging.yml"
    path.write_text(text.replace('"$BRANCH"', '"${{ github.ref_name }}"'), encoding="utf-8")

    assert "template-injection" in zizmor(path).stdout


def test_actionlint_finds_nothing(github: Path) -> None:
    """Actionlint has nothing to say but of what is newer than itself."""
    assert actionlint(*sorted((github / "workflows").iterdir())) == []


def test_actionlint_sees_a_breach(github: Path, tmp_path: Path) -> None:
    """Actionlint fails on a job, a step and a context that do not exist."""
    path = tmp_path / "deploy-staging.yml"
    text = text_of(github, path.name).replace("needs: [validate, quality]", "needs: [quantity]")
    text = text.replace("steps.build.outputs", "steps.built.outputs")
    path.write_text(text.replace("github.event.deleted", "githup.event.deleted"), encoding="utf-8")

    assert len(actionlint(path)) >= 3


@pytest.mark.parametrize(
    ("name", "branches"), [("deploy-staging.yml", ["stage/**"]), ("deploy.yml", ["main"])]
)
def test_a_push_to_a_branch_starts_it(github: Path, name: str, branches: list[str]) -> None:
    """A push to the branch starts it, and nothing else: no tag, no pull request, no person."""
    assert parse_workflow(text_of(github, name))["on"] == {"push": {"branches": branches}}


@pytest.mark.parametrize(
    ("name", "group"),
    [("deploy-staging.yml", "deploy-staging-${{ github.ref }}"), ("deploy.yml", "deploy")],
)
def test_a_run_waits_for_the_one_before(github: Path, name: str, group: str) -> None:
    """A second push to a branch is neither begun nor dropped meanwhile, and cuts nothing."""
    assert parse_workflow(text_of(github, name))["concurrency"] == {
        "group": group,
        "cancel-in-progress": False,
        "queue": "max",
    }


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_validation_and_tests_come_before_any_credential(github: Path, name: str) -> None:
    """Only the last job has an environment, an identity or a variable; it needs the two others."""
    jobs = jobs_of(github, name)

    assert list(jobs) == ["validate", "quality", "deploy"]
    assert jobs["quality"]["needs"] == "validate"
    assert jobs["deploy"]["needs"] == ["validate", "quality"]
    for each in ("validate", "quality"):
        assert jobs[each]["permissions"] == {"contents": "read"}
        assert "environment" not in jobs[each]
        assert "vars." not in str(jobs[each])
    assert jobs["deploy"]["permissions"] == {
        "contents": "read",
        "id-token": "write",
        "packages": "write",
    }


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_the_only_secret_is_given_to_the_rollout_alone(github: Path, name: str) -> None:
    """No job and no other step has a secret, and none is an argument."""
    rollout = "stage" if "staging" in name else "deploy"
    steps = steps_of(text_of(github, name), "deploy")

    assert text_of(github, name).count("secrets.") == 1
    assert steps[rollout]["env"]["SENTRY_AUTH_TOKEN"] == "${{ secrets.SENTRY_AUTH_TOKEN }}"
    assert "SENTRY" not in steps[rollout]["run"]


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_an_image_is_made_last(github: Path, name: str) -> None:
    """The order of the steps: who we are, the image, the cluster, the rollout, the summary."""
    order = list(steps_of(text_of(github, name), "deploy"))
    rollout = "stage" if "staging" in name else "deploy"

    assert order[-5:] == [
        "log in to the registry",
        "build and push",
        "reach the cluster",
        rollout,
        "say how it ended",
    ]


def test_environments_are_apart(github: Path) -> None:
    """What is staged never gets the credentials of production."""
    found = [jobs_of(github, name)["deploy"]["environment"] for name in DEPLOYMENTS]

    assert found == ["staging", "production"]


@pytest.mark.parametrize("job", ["validate", "deploy"])
def test_main_is_there_to_compare_with(github: Path, job: str) -> None:
    """The whole history is checked out: the version on main is read from it."""
    for name in DEPLOYMENTS:
        checkout = steps_of(text_of(github, name), job)["check out"]
        assert checkout["with"] == {"fetch-depth": 0, "persist-credentials": False}


def test_both_do_the_same_but_for_the_rollout(github: Path) -> None:
    """The two copies are in step: all that they share is equal."""
    staging, production = (text_of(github, name) for name in DEPLOYMENTS)

    assert steps_of(staging, "quality") == steps_of(production, "quality")
    ours, theirs = (
        {name: each for name, each in steps_of(text, "deploy").items() if name not in THEIR_OWN}
        for text in (staging, production)
    )
    assert ours == theirs
    installs = {
        steps_of(text, job)["install"]["run"]
        for text in (staging, production)
        for job in ("validate", "deploy")
    }
    assert len(installs) == 1


def test_a_deleted_branch_stages_nothing(github: Path) -> None:
    """The push that deletes a branch, as a cleanup does, begins no job."""
    jobs = jobs_of(github, "deploy-staging.yml")

    assert jobs["validate"]["if"] == "github.event.deleted != true"
    assert all("always" not in str(each.get("if")) for each in jobs.values())


@pytest.mark.parametrize(
    ("main", "remote", "branch"),
    [
        ("origin/main", "origin", "main"),
        ("upstream/trunk", "upstream", "trunk"),
        ("a/b", "o", "a/b"),
    ],
)
def test_image_and_branch_are_those_of_the_configuration(
    tmp_path: Path, main: str, remote: str, branch: str
) -> None:
    """The workflow pushes to `kubernetes.repository`, and deploys from `kubernetes.main`."""
    toml = (EXAMPLE / "lading.toml").read_text(encoding="utf-8")
    toml = toml.replace('main = "origin/main"', f'main = "{main}"')
    toml = toml.replace('remote = "origin"', f'remote = "{remote}"')
    toml = toml.replace("ghcr.io/weather-example/reformatters", "r.example/o/n")
    (tmp_path / "lading.toml").write_text(toml, encoding="utf-8")

    init_github(tmp_path)

    github = tmp_path / ".github"
    assert parse_workflow(text_of(github, "deploy.yml"))["on"]["push"]["branches"] == [branch]
    for name in DEPLOYMENTS:
        assert jobs_of(github, name)["deploy"]["env"] == {"REPOSITORY": "r.example/o/n"}


def test_a_new_project_gets_its_own_repository(tmp_path: Path) -> None:
    """What `lading init --kubernetes` writes agrees with the workflows that come beside it."""
    init_kubernetes(tmp_path)
    init_github(tmp_path)

    kubernetes = load_config(tmp_path).config.kubernetes
    assert kubernetes is not None
    env = jobs_of(tmp_path / ".github", "deploy.yml")["deploy"]["env"]
    assert env == {"REPOSITORY": kubernetes.repository}
