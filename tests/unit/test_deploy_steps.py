"""The scripts inside the workflows that stage and deploy, run as a job runs them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_workflow_steps import end, run_step
from tests.unit.workflow_rules import parse_workflow

WORKFLOWS = Path(__file__).parents[2] / "examples" / "reformatters" / ".github" / "workflows"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
DIGEST = f"sha256:{'a' * 64}"
TOKEN = "t0ken-of-this-test"
IMAGE = f"ghcr.io/weather-example/reformatters:{COMMIT}@{DIGEST}"
# git takes the first four as names of branches; the others would come by another way in
HOSTILE = [
    "stage/$(touch${IFS}pwned)/v1",
    "stage/`touch${IFS}pwned`/v1",
    "stage/x';touch${IFS}pwned;'/v1",
    'stage/x";touch${IFS}pwned;"/v1',
    "stage/$(touch pwned)/v1",
    "stage/a\\n;touch pwned\n&& touch pwned",
    "stage/x/v1 yes=1",
]
PROGRAM = """#!{python}
import json, os, sys
called = [os.path.basename(sys.argv[0]), *sys.argv[1:]]
with open({log!r}, "a") as file:
    file.write(json.dumps([called, sys.stdin.read()]) + "\\n")
answers = {answers!r}
print(answers.get(" ".join(called[:3]), ""), end="")
for at, word in enumerate(called):
    if word == "--metadata-file" and {digest!r}:
        with open(called[at + 1], "w") as file:
            json.dump({{"containerimage.digest": {digest!r}, "image.name": "x"}}, file)
"""


class Runner:
    """A machine of GitHub's: a folder, a PATH with programs that write down what they are asked."""

    def __init__(self, folder: Path, digest: str = DIGEST) -> None:
        self.folder = folder
        self._log = folder / "calls.jsonl"
        answers = {"aws ecr get-login-password": TOKEN, "gcloud auth print-access-token": TOKEN}
        (folder / "bin").mkdir()
        for name in ("doit", "docker", "aws", "gcloud", "kubectl"):
            program = folder / "bin" / name
            program.write_text(
                PROGRAM.format(
                    python=sys.executable, log=str(self._log), answers=answers, digest=digest
                )
            )
            program.chmod(0o755)

    def run(self, found: dict[str, Any], **variables: str) -> tuple[int, str, str]:
        """Run a step; return its exit code and what it printed."""
        given = {"GITHUB_SHA": COMMIT, "GITHUB_OUTPUT": str(self.folder / "output"), **variables}
        return end(run_step(found, self.folder, **given))

    @property
    def calls(self) -> list[list[str]]:
        """What was called, each with its arguments."""
        return [called for called, _ in self._read()]

    @property
    def inputs(self) -> list[str]:
        """What each was given on its standard input."""
        return [given for _, given in self._read()]

    def _read(self) -> list[tuple[list[str], str]]:
        if not self._log.exists():
            return []
        return [tuple(json.loads(each)) for each in self._log.read_text().splitlines()]


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """Return a runner whose image builds."""
    return Runner(tmp_path)


def step(workflow: str, job: str, name: str) -> dict[str, Any]:
    """Return one step of a workflow of the example's."""
    text = (WORKFLOWS / workflow).read_text(encoding="utf-8")
    steps = parse_workflow(text)["jobs"][job]["steps"]
    found: dict[str, Any] = next(each for each in steps if each["name"] == name)
    return found


def files_of(folder: Path) -> set[str]:
    """Return the names of what stands in a folder."""
    return {each.name for each in folder.iterdir()}


@pytest.mark.parametrize("branch", HOSTILE[:4])
def test_git_takes_such_branches(branch: str) -> None:
    """These names are no invention: git has nothing against them."""
    done = subprocess.run(
        ["git", "check-ref-format", "--branch", branch], capture_output=True, check=False
    )
    assert done.returncode == 0


@pytest.mark.parametrize("branch", HOSTILE)
@pytest.mark.parametrize(
    ("job", "name", "asked"),
    [
        ("validate", "validate", ["doit", "k8s_check", "branch={}"]),
        ("deploy", "stage", ["doit", "k8s_staging", "branch={}", f"image={IMAGE}"]),
    ],
)
def test_a_branch_is_one_argument(
    runner: Runner, branch: str, job: str, name: str, asked: list[str]
) -> None:
    """Whatever a branch is called, it reaches doit as it is, and nothing of it is run."""
    ended = runner.run(step("deploy-staging.yml", job, name), BRANCH=branch, IMAGE=IMAGE)

    assert ended == (0, "", "")
    assert runner.calls == [[each.replace("{}", branch) for each in asked]]
    assert files_of(runner.folder) == {"bin", "calls.jsonl", "step.sh"}


@pytest.mark.parametrize("branch", HOSTILE)
def test_a_branch_is_shown_as_it_is(runner: Runner, branch: str) -> None:
    """The summary names branch, commit, image and end; nothing of the branch is run."""
    summary = runner.folder / "summary.md"
    found = step("deploy-staging.yml", "deploy", "say how it ended")

    assert runner.run(
        found, BRANCH=branch, IMAGE="", ENDED="failure", GITHUB_STEP_SUMMARY=str(summary)
    ) == (0, "", "")

    assert summary.read_text() == (
        f"    branch: {branch}\n    commit: {COMMIT}\n    image:  none\n    ended:  failure\n"
    )
    assert "pwned" not in files_of(runner.folder)


def test_the_summary_of_a_deployment(runner: Runner) -> None:
    """It says which image runs in production now."""
    summary = runner.folder / "summary.md"
    found = step("deploy.yml", "deploy", "say how it ended")

    runner.run(found, IMAGE=IMAGE, ENDED="success", GITHUB_STEP_SUMMARY=str(summary))

    assert f"    image:  {IMAGE}\n    ended:  success\n" in summary.read_text()


def test_production_is_validated_and_deployed(runner: Runner) -> None:
    """Production is checked as a whole, and all of it gets the image that was pushed."""
    assert runner.run(step("deploy.yml", "validate", "validate"))[0] == 0
    assert runner.run(step("deploy.yml", "deploy", "deploy"), IMAGE=IMAGE)[0] == 0

    assert runner.calls == [["doit", "k8s_check"], ["doit", "k8s_deploy", f"image={IMAGE}"]]


@pytest.mark.parametrize(
    ("repository", "called", "user"),
    [
        ("ghcr.io/o/n", [], "octocat"),
        (
            "123456789012.dkr.ecr.eu-central-1.amazonaws.com/n",
            [["aws", "ecr", "get-login-password", "--region", "eu-central-1"]],
            "AWS",
        ),
        (
            "us-west1-docker.pkg.dev/project/repository/n",
            [["gcloud", "auth", "print-access-token"]],
            "oauth2accesstoken",
        ),
    ],
)
def test_the_registry_gets_its_own_password(
    runner: Runner, repository: str, called: list[list[str]], user: str
) -> None:
    """Each registry is asked for in its own way; a password is piped, and never an argument."""
    ended = runner.run(
        step("deploy-staging.yml", "deploy", "log in to the registry"),
        REPOSITORY=repository,
        ACTOR="octocat",
        GITHUB_TOKEN=TOKEN,
    )

    registry = repository.partition("/")[0]
    login = ["docker", "login", registry, "--username", user, "--password-stdin"]
    assert ended == (0, "", "")
    assert runner.calls == [*called, login]
    assert runner.inputs[-1] == TOKEN


def test_another_registry_is_refused(runner: Runner) -> None:
    """A registry that the step does not know ends it in one line, and gets no token."""
    code, printed, _ = runner.run(
        step("deploy.yml", "deploy", "log in to the registry"),
        REPOSITORY="registry.example/o/n",
        ACTOR="octocat",
        GITHUB_TOKEN=TOKEN,
    )

    assert code == 1
    assert "expected ghcr.io, ECR or Artifact Registry, got registry.example" in printed
    assert runner.calls == []


def build(runner: Runner) -> tuple[int, str, str]:
    """Run the step that builds."""
    return runner.run(
        step("deploy-staging.yml", "deploy", "build and push"),
        REPOSITORY="ghcr.io/weather-example/reformatters",
        GITHUB_SERVER_URL="https://github.com",
        GITHUB_REPOSITORY="weather-example/reformatters",
    )


def test_an_image_is_named_by_commit_and_digest(runner: Runner) -> None:
    """The tag is the commit, and what goes on to the cluster has the digest of what was pushed."""
    assert build(runner)[0] == 0

    [called] = runner.calls
    assert called[:4] == ["docker", "buildx", "build", "."]
    assert "--push" in called
    assert called[called.index("--tag") + 1] == IMAGE.partition("@")[0]
    assert f"org.opencontainers.image.revision={COMMIT}" in called
    assert (runner.folder / "output").read_text() == f"image={IMAGE}\n"


def test_an_image_without_a_digest_ends_the_run(tmp_path: Path) -> None:
    """Where docker does not say what it pushed, nothing is handed on."""
    runner = Runner(tmp_path, digest="")

    assert build(runner)[0] != 0
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize(
    ("variables", "calls"),
    [
        (
            {"GKE_CLUSTER": "c", "GKE_LOCATION": "us-west1"},
            [["gcloud", "container", "clusters", "get-credentials", "c", "--location=us-west1"]],
        ),
        ({"EKS_CLUSTER": "e"}, [["aws", "eks", "update-kubeconfig", "--name", "e"]]),
    ],
)
def test_the_cluster_of_the_variables_is_reached(
    runner: Runner, variables: dict[str, str], calls: list[list[str]]
) -> None:
    """GKE and EKS write their own entry into the kubeconfig, by names from variables."""
    none = {"EKS_CLUSTER": "", "GKE_CLUSTER": "", "GKE_LOCATION": ""}
    found = step("deploy.yml", "deploy", "reach the cluster")

    assert runner.run(found, **{**none, **variables}) == (0, "", "")
    assert runner.calls == calls


def test_no_cluster_is_one_line(runner: Runner) -> None:
    """Where no variable names a cluster, the run ends there and says which it looked for."""
    found = step("deploy.yml", "deploy", "reach the cluster")

    code, printed, _ = runner.run(found, EKS_CLUSTER="", GKE_CLUSTER="", GKE_LOCATION="")

    assert code == 1
    assert "expected the variable GKE_CLUSTER or EKS_CLUSTER, found neither" in printed
    assert runner.calls == []


def test_doit_takes_the_place_of_the_shell(runner: Runner) -> None:
    """The runner's signal to a step reaches doit itself."""
    for name in ("deploy-staging.yml", "deploy.yml"):
        for job, each in (("validate", "validate"), ("deploy", "deploy")):
            script = "stage" if (name, each) == ("deploy-staging.yml", "deploy") else each
            assert step(name, job, script)["run"].startswith("exec doit ")
    assert os.access(runner.folder / "bin" / "doit", os.X_OK)
