"""What a person may get wrong about staged versions: one line, nothing done, and what to do."""

import json
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.reformatters import CONTEXT, GFS, NAMESPACE, REGISTRY, Team, make_team

MRMS = "noaa-mrms-conus-analysis-hourly"
KEPT = (GFS, "noaa-gfs-forecast", MRMS)
needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
IMAGE = f"{REGISTRY}:{'a' * 40}"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """A team on a branch where 0.9.0 stands, for runs that change nothing."""
    with make_team(tmp_path_factory.mktemp("team"), KEPT) as team:
        team.begin(GFS, "0.9.0")
        yield team


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Team]:
    """A team of its own, on a branch where 0.9.0 stands."""
    with make_team(tmp_path, KEPT) as team:
        team.begin(GFS, "0.9.0")
        yield team


STAGE = ("k8s_staging", f"dataset={GFS}", "version=0.9.0")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("k8s_staging",), 2, "dataset: expected dataset=... and version=..., or branch=stage/"),
        (("k8s_cleanup",), 2, "dataset: expected dataset=... and version=..., or branch=stage/"),
        (("k8s_staging", f"dataset={GFS}"), 2, "version: expected a value, got nothing"),
        (
            ("k8s_staging", "dataset=noaa-gfs-analisys", "version=0.9.0"),
            2,
            "got 'noaa-gfs-analisys' (did you mean 'noaa-gfs-analysis'?)",
        ),
        (("k8s_deploy", "dataset=noaa-gfs", f"image={IMAGE}"), 2, "did you mean 'noaa-gfs-"),
        (
            ("k8s_deploy", f"branch=stage/{GFS}/v0.9.0"),
            2,
            "branch: expected none, since production is deployed from origin/main",
        ),
        (("k8s_check", "branch=main"), 2, "branch: expected stage/{dataset}/v{version}"),
        (("k8s_staging", "branch=stage/x/$(touch pwned)"), 2, "branch: expected stage/{dataset}"),
        (
            ("k8s_staging", f"branch=stage/{GFS}/v0.9.0", "version=0.8.0"),
            2,
            f"version: expected 0.9.0, as branch=stage/{GFS}/v0.9.0 says, got '0.8.0'",
        ),
        (
            ("k8s_staging", f"dataset={GFS}", "version=0.8.0"),
            1,
            f"version: expected 0.9.0, as datasets/{GFS}/zarr.json says, got 0.8.0",
        ),
        (
            ("k8s_staging", "dataset=noaa-gfs-forecast", "version=0.3.1"),
            1,
            "version: expected another than 0.3.1, which noaa-gfs-forecast has at origin/main",
        ),
        ((*STAGE, "image=ghcr.io/weather-example/reformatters"), 1, "image: expected repository"),
        ((*STAGE, f"image={REGISTRY}:latest"), 1, "latest"),
        ((*STAGE, f"image=ghcr.io/other/image:{'a' * 40}"), 1, "ghcr.io/other/image"),
        ((*STAGE, "take=perhaps"), 3, "take: expected 1/0, true/false or yes/no, got 'perhaps'"),
        (("k8s_cleanup", "running=kill"), 3, "running: expected wait or orphan, got 'kill'"),
        ((*STAGE, "datset=x"), 3, "(did you mean 'dataset'?)"),
    ],
)
def test_command_line(shared: Team, arguments: tuple[str, ...], code: int, told: str) -> None:
    """A wrong command line is told in one line, before any cluster is asked."""
    shared.kubernetes.calls.clear()
    done = shared.run(*arguments)
    assert done.returncode == code, done.stdout + done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert shared.kubernetes.calls == []
    assert not (shared.folder / "pwned").exists()


def test_no_datasets(shared: Team, tmp_path: Path) -> None:
    """A project without datasets is told what it would need."""
    (tmp_path / "lading.toml").write_text(
        '[project]\nname = "demo"\n[source]\nurl = "source"\n[destinations.a]\nurl = "clouds"\n'
        "[channels.nightly]\ntag = 'n.*'\nprefixes = ['nightly']\n"
    )
    (tmp_path / "dodo.py").write_text("from lading.tasks import *\n")
    alone = Team(tmp_path, shared.kubernetes, shared.sentry, shared.kubeconfig)
    done = alone.run("k8s_status")
    assert done.returncode == 2
    assert "lading.toml: expected [kubernetes] and [datasets.NAME], got none" in done.stderr
    assert alone.run("list").returncode == 0


def test_unfetched_main(team: Team) -> None:
    """Without the ref of production nothing is staged; the command that fetches it is told."""
    team.git("update-ref", "-d", "refs/remotes/origin/main")
    done = team.run("k8s_check", f"branch=stage/{GFS}/v0.9.0")
    assert done.returncode == 1
    assert "expected the ref origin/main, found none; fetch it: `git fetch origin" in done.stderr


def test_new_to_main(team: Team) -> None:
    """A dataset that main does not have may be staged, and it is said."""
    config = team.folder / "lading.toml"
    config.write_text(config.read_text() + '[datasets.brand-new]\nversion = "0.1.0"\n')
    folder = team.folder / "k8s"
    text = (folder / f"{MRMS}.yaml").read_text().replace(MRMS, "brand-new")
    (folder / "brand-new.yaml").write_text(text)
    config.write_text(config.read_text() + 'cronjobs = "k8s/{dataset}.yaml"\n')
    team.commit("A new dataset")
    done = team.run("k8s_check", "dataset=brand-new", "version=0.1.0")
    assert done.returncode == 0, done.stderr
    assert "brand-new is new: origin/main does not have it" in done.stdout


def test_a_store_of_production(team: Team) -> None:
    """A staged version that would write a store of production is refused, whoever owns it."""
    config = team.folder / "lading.toml"
    table = f"[datasets.{GFS}]\n"
    taken = 'store = "s3://weather-example/noaa-gfs-forecast/v0.3.1.zarr/"\n'
    config.write_text(config.read_text().replace(table, table + taken))
    done = team.run("k8s_check", f"branch=stage/{GFS}/v0.9.0")
    assert done.returncode == 1
    assert "s3://weather-example/noaa-gfs-forecast/v0.3.1.zarr" in done.stderr
    assert "production noaa-gfs-forecast 0.3.1" in done.stderr


def test_a_store_that_only_main_knows(team: Team) -> None:
    """What production writes is asked of git: the branch may have dropped the dataset."""
    config = team.folder / "lading.toml"
    table = f"[datasets.{GFS}]\n"
    taken = 'store = "s3://weather-example/noaa-gfs-forecast/v0.3.1.zarr"\n'
    text = config.read_text().replace(table, table + taken)
    head, _, tail = text.partition("[datasets.noaa-gfs-forecast]")
    config.write_text(head + tail[tail.index("[datasets.") :])
    done = team.run("k8s_check", f"branch=stage/{GFS}/v0.9.0")
    assert done.returncode == 1
    assert "which production noaa-gfs-forecast 0.3.1 (origin/main) writes, too" in done.stderr


def test_two_that_come_to_one_name(team: Team) -> None:
    """A dataset and a role that read like another dataset and its role are told with both."""
    text = (team.folder / "k8s" / f"{MRMS}.yaml").read_text().split("\n---\n")[0]
    name = f"name: {MRMS}-update"
    assert name in text
    (team.folder / "k8s" / "noaa-gfs.yaml").write_text(text.replace(name, "name: analysis-update"))
    config = team.folder / "lading.toml"
    own = '[datasets.noaa-gfs]\nversion = "1.0"\ncronjobs = "k8s/{dataset}.yaml"\n'
    config.write_text(config.read_text() + own)
    done = team.run("k8s_check")
    assert done.returncode == 1
    assert "noaa-gfs-analysis-update': expected one owner, got production" in done.stderr


def test_production_is_of_main(team: Team) -> None:
    """Production is deployed from a commit of main, in the version that stands there."""
    done = team.run("k8s_deploy")
    assert done.returncode == 1
    assert "expected a commit of origin/main, which production is deployed from" in done.stderr
    team.git("checkout", "-q", "main")
    done = team.run("k8s_deploy", f"dataset={GFS}", "version=9.9.9")
    assert done.returncode == 1
    assert f"version: expected 0.2.0, as the repository says of {GFS}, got '9.9.9'" in done.stderr
    assert team.kubernetes.writes == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("kind: CronJob", "kind: Deployment", "Deployment"),
        ('"{image}"', '"nginx:1.27"', "{image}"),
        ("schedule:", "schedul:", "schedule"),
        ("metadata:\n  name:", "metadata:\n  namespace: elsewhere\n  name:", "elsewhere"),
        ("  name: noaa", "  name: [noaa", "line"),
        (f"name: {MRMS}-update", f"name: {GFS}-update", f"which is of {GFS}"),
    ],
)
def test_manifests(team: Team, old: str, new: str, told: str) -> None:
    """A manifest that is no CronJob of ours is told with its file, and nothing is applied."""
    path = team.folder / "k8s" / f"{MRMS}.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    done = team.run("k8s_check")
    assert done.returncode == 1
    assert told in done.stderr
    assert f"k8s/{MRMS}.yaml" in done.stderr


def test_all_faults_at_once(team: Team) -> None:
    """Faults of several datasets are told in one run, a line each."""
    (team.folder / "k8s" / f"{MRMS}.yaml").unlink()
    (team.folder / "datasets" / GFS / "zarr.json").write_text("{}")
    done = team.run("k8s_check")
    lines = [line for line in done.stderr.splitlines() if "expected" in line]
    assert len(lines) == 2, done.stderr


@needs_kubectl
def test_not_ours(team: Team) -> None:
    """A live CronJob of the same name that is not ours is left alone; take=1 adopts it."""
    name = f"staging-{GFS}-v0-9-0-update"
    pod = {"restartPolicy": "Never", "containers": [{"name": "x", "image": "x:1"}]}
    body: dict[str, Any] = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name},
        "spec": {"schedule": "0 0 * * *", "jobTemplate": {"spec": {"template": {"spec": pod}}}},
    }
    team.kubernetes.create_plain(NAMESPACE, body)
    done = team.run(*STAGE)
    assert done.returncode == 1
    assert f"CronJob {name}: expected none or one of Lading's, found one made by" in done.stderr
    assert team.kubernetes.writes == []
    assert team.run(*STAGE, "take=1").returncode == 0
    assert len(team.names()) == 2


@needs_kubectl
def test_unreachable(shared: Team, tmp_path: Path) -> None:
    """A cluster that does not answer is one line that names context and namespace."""
    config = json.loads(shared.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "http://127.0.0.1:9"
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    done = shared.run(*STAGE, environment={"KUBECONFIG": str(path)})
    assert done.returncode == 1
    (line,) = [each for each in done.stderr.splitlines() if each.startswith("k8s_staging failed")]
    assert f"{CONTEXT}/{NAMESPACE}" in line


@needs_kubectl
def test_unknown_context(shared: Team, tmp_path: Path) -> None:
    """A kubeconfig without the context is told with the contexts that it has."""
    config = json.loads(shared.kubeconfig.read_text())
    config["contexts"] = [each for each in config["contexts"] if each["name"] == "other"]
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    for arguments in (STAGE, ("k8s_status",), ("k8s_cleanup", *STAGE[1:])):
        done = shared.run(*arguments, environment={"KUBECONFIG": str(path)})
        assert done.returncode == 1
        told = f"expected the context {CONTEXT} in the kubeconfig, found other; KUBECONFIG names"
        assert told in done.stderr


@needs_kubectl
def test_forbidden(team: Team) -> None:
    """A missing right is told with its verb and its resource, and nothing was applied."""
    team.kubernetes.forbid("patch")
    done = team.run(*STAGE)
    assert done.returncode == 1
    assert "patch" in done.stderr
    assert "cronjobs" in done.stderr
    assert team.names() == []


@pytest.mark.slow
@needs_kubectl
def test_a_dataset_that_has_moved(team: Team) -> None:
    """What runs on in the namespace that a dataset has left is told: it writes the same store."""
    team.git("checkout", "-q", "main")
    assert team.run("k8s_deploy", f"dataset={GFS}").returncode == 0
    config = team.folder / "lading.toml"
    table = f"[datasets.{GFS}]\n"
    config.write_text(config.read_text().replace(table, f'{table}namespace = "elsewhere"\n'))
    done = team.run("k8s_status")
    place = f"runs in {CONTEXT}/{NAMESPACE}, and is configured for {CONTEXT}/elsewhere"
    assert f"production {GFS} 0.2.0 {place}" in done.stdout


def test_no_kubectl(shared: Team, tmp_path: Path) -> None:
    """Without kubectl it is said where to get it."""
    for program in ("git", "sh"):
        found = shutil.which(program)
        assert found is not None
        wrapper = tmp_path / program
        wrapper.write_text(f'#!/bin/sh\nexec {found} "$@"\n')
        wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    done = shared.run(*STAGE, environment={"PATH": str(tmp_path)})
    assert done.returncode == 1
    assert "kubectl: expected the program, found none on the PATH; install kubectl" in done.stderr
