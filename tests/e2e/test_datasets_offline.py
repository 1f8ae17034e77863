"""The example of a team with many datasets, and what `lading init --kubernetes` writes.

The installed commands run as a user's would; no cluster is asked.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from lading.cli.project import init_kubernetes
from tests.e2e.project import REPOSITORY, Project

EXAMPLE = REPOSITORY / "examples" / "reformatters"
DATASETS = tomllib.loads((EXAMPLE / "lading.toml").read_text())["datasets"]
THREE_ROLES = "dwd-icon-eu-forecast-5-day"
pytestmark = pytest.mark.xdist_group("datasets-offline")
WHO = {
    f"GIT_{role}_{kind}": "a@example.org"
    for role in ("AUTHOR", "COMMITTER")
    for kind in ("NAME", "EMAIL")
}


def git(folder: Path, *arguments: str) -> None:
    """Run git, without the person's settings."""
    environment = {**os.environ, **WHO, "GIT_CONFIG_GLOBAL": os.devnull}
    subprocess.run(
        ["git", "-C", folder, *arguments],
        env=environment,
        check=True,
        capture_output=True,
        timeout=60,
    )


def commit(folder: Path) -> None:
    """Commit all that stands in a folder; make a repository of it where it is none."""
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=all")


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a repository of the example, at what its remote's main is."""
    folder = tmp_path_factory.mktemp("team") / "weather"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    commit(folder)
    git(folder, "update-ref", "refs/remotes/origin/main", "HEAD")
    return Project(folder)


def manifests_below(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the CronJobs that were rendered, by name."""
    found = [yaml.safe_load(path.read_text()) for path in sorted(folder.rglob("*.yaml"))]
    return {each["metadata"]["name"]: each for each in found}


def test_the_example_is_that_of_a_real_team() -> None:
    """It has the size of one: at least 21 datasets, CronJobs from Python and from files."""
    templates = {each.name for each in (EXAMPLE / "datasets").iterdir()}
    from_files = {each.stem for each in (EXAMPLE / "k8s").iterdir()}

    assert len(DATASETS) >= 21
    assert templates == set(DATASETS)
    assert {name for name, each in DATASETS.items() if "cronjobs" in each} == from_files
    assert len(from_files) >= 3


def test_all_of_the_example_is_found_right(example: Project) -> None:
    """Every dataset passes, with two CronJobs each and a third for one, and nothing is odd."""
    done = example.run("k8s_check")

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{2 * len(DATASETS) + 1} CronJobs of {len(DATASETS)} releases: no faults" in done.stdout
    assert "warns" not in done.stdout


def test_a_staged_version_is_rendered_beside_production(example: Project, tmp_path: Path) -> None:
    """All three CronJobs of a version get names, a store and an identity of their own."""
    folder = tmp_path / "clone"
    git(example.folder.parent, "clone", "--quiet", "weather", folder.as_posix())
    template = folder / "datasets" / THREE_ROLES / "zarr.json"
    template.write_text(template.read_text().replace("0.2.9", "0.3.0"))
    commit(folder)

    done = Project(folder).run("k8s_render", f"branch=stage/{THREE_ROLES}/v0.3.0")

    assert done.returncode == 0, done.stdout + done.stderr
    found = manifests_below(folder / "build" / "k8s" / "rendered")
    assert len(found) == 2 * len(DATASETS) + 1 + 3
    staged = {name: each for name, each in found.items() if name.startswith("staging-")}
    for name, each in staged.items():
        pod = each["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
        variables = {variable["name"]: variable["value"] for variable in pod["env"]}
        assert variables["STORE"] == f"s3://weather-example/{THREE_ROLES}/v0.3.0.zarr"
        assert variables["CRON_JOB_NAME"] == name
        assert variables["CRON_JOB_SCHEDULE"] == each["spec"]["schedule"]
    assert {each["metadata"]["annotations"]["lading/role"] for each in staged.values()} == {
        "update",
        "validate",
        "archive-grib-files",
    }


@pytest.mark.parametrize(
    ("branch", "said"),
    [
        ("stage/noaa-gfs-analysis/v0.2.0", "expected another than 0.2.0"),
        ("stage/noaa-gfs-analyses/v0.3.0", "did you mean 'noaa-gfs-analysis'?"),
        ("stage/$(touch${IFS}pwned)/v1", "expected one of the 23 datasets"),
    ],
)
def test_a_wrong_branch_is_refused(example: Project, branch: str, said: str) -> None:
    """What cannot be staged ends before an image is built, in a line that says why."""
    done = example.run("k8s_check", f"branch={branch}")

    assert done.returncode != 0
    assert said in done.stderr
    assert not (example.folder / "pwned").exists()


def test_init_kubernetes_writes_a_project_that_passes(tmp_path: Path) -> None:
    """What it writes is found right and rendered as it stands, and git is not asked."""
    folder = tmp_path / "mine"
    written = init_kubernetes(folder)
    checked = Project(folder).run("k8s_check")
    rendered = Project(folder).run("k8s_render")

    assert {each.relative_to(folder).as_posix() for each in written} == {
        *("dodo.py", "lading.toml", "Dockerfile", "k8s/example.yaml"),
    }
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "2 CronJobs of 1 release: no faults" in checked.stdout
    assert rendered.returncode == 0, rendered.stdout + rendered.stderr
    found = manifests_below(folder / "build" / "k8s" / "rendered")
    assert set(found) == {"example-update", "example-validate"}


@pytest.mark.slow
def test_the_readme_can_be_followed(tmp_path: Path) -> None:
    """The commands of the example's README run as they stand, without a cluster."""
    [block] = re.findall(r"(?ms)^```bash\n(.+?)^```", (EXAMPLE / "README.md").read_text())
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(EXAMPLE, tmp_path / "examples" / "reformatters", ignore=ignored)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=tmp_path,
        env={**os.environ, **WHO, "PATH": path, "GIT_CONFIG_GLOBAL": os.devnull},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "validate noaa-gfs-analysis" in done.stdout
    assert manifests_below(tmp_path / "build/weather/build/k8s/rendered")


@pytest.mark.slow
def test_the_examples_own_tests_pass(example: Project) -> None:
    """What the job `quality` runs passes in a checkout that has nothing else."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=example.folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 0, done.stdout
