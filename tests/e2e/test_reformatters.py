"""A version of a dataset from its first commit to its end, beside twenty-two others.

The real git and the real kubectl, against a cluster and a Sentry of ours.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.reformatters import CONTEXT, GFS, NAMESPACE, REGISTRY, Team, make_team

pytestmark = [
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl"),
    pytest.mark.xdist_group("reformatters"),
]

STAGED = f"staging-{GFS}-v0-9-0"
ICON = "dwd-icon-eu-forecast-5-day"
IFS = [f"ecmwf-ifs-ens-forecast-{days}-day-0-25-degree" for days in (15, 46)]


@pytest.fixture
def whole_team(tmp_path: Path) -> Iterator[Team]:
    """The team of the example, with nothing in its cluster."""
    with make_team(tmp_path) as team:
        yield team


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Team]:
    """A team that has four of the example's datasets, for what the others add nothing to."""
    with make_team(tmp_path, [GFS, ICON, *IFS]) as team:
        yield team


def annotation(team: Team, name: str, key: str) -> str:
    """Return an annotation of a live CronJob."""
    return str(team.kubernetes.cron_jobs(NAMESPACE)[name]["metadata"]["annotations"][key])


def test_from_the_first_commit_to_the_end(  # noqa: PLR0915  a whole life
    whole_team: Team,
) -> None:
    """Stage, stage again, promote, clean up: each step is seen in cluster, git and Sentry."""
    team = whole_team
    assert team.run("k8s_deploy").returncode == 0
    production = team.names()
    assert len(production) == 47

    first = team.begin(GFS, "0.9.0")
    staged = team.run("k8s_staging", f"dataset={GFS}", "version=0.9.0")
    assert staged.returncode == 0, staged.stderr
    ours = [f"{STAGED}-update", f"{STAGED}-validate"]
    assert sorted(set(team.names()) - set(production)) == ours
    body = team.kubernetes.cron_jobs(NAMESPACE)[ours[0]]
    container = body["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == f"{REGISTRY}:{first}"
    for meta in (
        body["metadata"],
        body["spec"]["jobTemplate"]["metadata"],
        body["spec"]["jobTemplate"]["spec"]["template"]["metadata"],
    ):
        assert meta["annotations"]["lading/dataset"] == GFS
        assert meta["annotations"]["lading/version"] == "0.9.0"
        assert meta["annotations"]["lading/branch"] == f"stage/{GFS}/v0.9.0"
        assert meta["annotations"]["lading/commit"] == first
        assert meta["labels"]["app.kubernetes.io/managed-by"] == "lading"

    # again: nothing is written; with another commit both are changed
    team.kubernetes.calls.clear()
    again = team.run("k8s_staging", f"dataset={GFS}", "version=0.9.0")
    assert "2 as they were" in again.stdout
    assert team.kubernetes.writes == []
    (team.folder / "notes.txt").write_text("another try\n")
    second = team.commit("Another try")
    team.git("push", "-q", "origin", "HEAD")
    # as CI calls it: the ref says all
    ci = {"GITHUB_REF_TYPE": "branch", "GITHUB_REF_NAME": f"stage/{GFS}/v0.9.0"}
    restaged = team.run("k8s_staging", environment=ci)
    assert "2 changed" in restaged.stdout, restaged.stderr
    assert annotation(team, ours[0], "lading/commit") == second

    for name in ours:
        team.sentry.check_in(name, team.kubernetes.cron_jobs(NAMESPACE)[name]["spec"]["schedule"])
    status = team.run("k8s_status", f"dataset={GFS}", "json=1")
    assert status.returncode == 0, status.stderr
    releases = json.loads(status.stdout)["releases"]
    assert [(each["environment"], each["version"]) for each in releases] == [
        ("production", "0.2.0"),
        ("staging", "0.9.0"),
    ]
    assert releases[1]["branch"] == f"stage/{GFS}/v0.9.0 at {second[:7]}, as deployed"

    # promoted: not while the staged version writes the same store
    promoted = team.merge(f"stage/{GFS}/v0.9.0")
    refused = team.run("k8s_deploy")
    assert refused.returncode == 1
    assert f"`doit k8s_cleanup dataset={GFS} version=0.9.0 yes=1`" in refused.stderr
    team.kubernetes.calls.clear()
    looked = team.run("k8s_cleanup", f"dataset={GFS}", "version=0.9.0")
    assert looked.returncode == 0
    assert all(f"{name}: delete" in looked.stdout for name in ours)
    assert team.kubernetes.writes == []
    ended = team.run("k8s_cleanup", f"dataset={GFS}", "version=0.9.0", "yes=1")
    assert ended.returncode == 0, ended.stderr
    assert team.names() == production
    assert team.sentry.slugs == []
    assert f"stage/{GFS}/v0.9.0" not in team.branches()
    assert "store s3://weather-example/noaa-gfs-analysis/v0.9.0.zarr: kept" in ended.stdout
    receipts = team.folder / "build" / "k8s" / "receipts"
    assert list(receipts.rglob("staging/*.json")) == []
    assert len(list(receipts.rglob("production/*.json"))) == 23

    deployed = team.run("k8s_deploy")
    assert deployed.returncode == 0, deployed.stderr
    assert annotation(team, f"{GFS}-update", "lading/version") == "0.9.0"
    assert annotation(team, f"{GFS}-update", "lading/commit") == promoted
    assert team.run("k8s_status").returncode == 0


@pytest.mark.slow  # names and cleanup are tested each alone
def test_siblings_side_by_side(team: Team) -> None:
    """Two datasets whose names are cut alike stand side by side, and end one by one."""
    for dataset in (*IFS, ICON):
        team.begin(dataset, "0.10.0")
        assert team.run("k8s_staging", f"branch=stage/{dataset}/v0.10.0").returncode == 0
    names = team.names()
    assert len(names) == 7
    assert all(len(name) <= 50 for name in names)
    roles = {annotation(team, name, "lading/role") for name in names}
    assert roles == {"update", "validate", "archive-grib-files"}
    ended = team.run("k8s_cleanup", f"dataset={IFS[0]}", "version=0.10.0", "yes=1")
    assert ended.returncode == 0, ended.stderr
    left = {annotation(team, name, "lading/dataset") for name in team.names()}
    assert left == {IFS[1], ICON}
    # the third CronJob goes as the others do
    assert team.run("k8s_cleanup", f"dataset={ICON}", "version=0.10.0", "yes=1").returncode == 0
    assert {annotation(team, name, "lading/dataset") for name in team.names()} == {IFS[1]}


def ten_cron_jobs(last: dict[str, Any]) -> str:
    """Return ten manifests as JSON, of which the last has something else in its pod."""
    jobs = []
    for index in range(10):
        container = {"name": "main", "image": "{image}", "args": ["update"]}
        pod: dict[str, Any] = {"restartPolicy": "Never", "containers": [container]}
        if index == 9:
            pod |= last
        jobs.append(
            {
                "apiVersion": "batch/v1",
                "kind": "CronJob",
                "metadata": {"name": f"part-{'abcdefghij'[index]}"},
                "spec": {
                    "schedule": f"{index} 6 * * *",
                    "jobTemplate": {"spec": {"template": {"spec": pod}}},
                },
            }
        )
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": jobs})


@pytest.mark.parametrize(
    ("last", "told"),
    [
        pytest.param({"restartPolicy": "Always"}, "restartPolicy", marks=pytest.mark.slow),
        ({"restartPolcy": "Never"}, "restartPolcy"),
        pytest.param(
            {"containers": [{"name": "Main_", "image": "{image}"}]},
            "RFC 1123",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_bad_tenth(team: Team, last: dict[str, Any], told: str) -> None:
    """Of ten CronJobs of which the server refuses one, none is applied."""
    (team.folder / "k8s" / "ten.json").write_text(ten_cron_jobs(last))
    config = team.folder / "lading.toml"
    table = f"[datasets.{GFS}]"
    config.write_text(config.read_text().replace(table, f'{table}\ncronjobs = "k8s/ten.json"'))
    team.begin(GFS, "0.9.0")
    failed = team.run("k8s_staging", f"dataset={GFS}", "version=0.9.0")
    assert failed.returncode == 1
    assert told in failed.stderr
    assert f"staging-{GFS}-v0-9-0-part-j" in failed.stderr
    assert team.names() == []
    assert team.kubernetes.writes == []


@pytest.mark.slow
def test_an_operators_word(team: Team) -> None:
    """A suspension is kept; a changed schedule is drift, stops a rollout, and can be taken over."""
    team.begin(GFS, "0.9.0")
    stage = ("k8s_staging", f"dataset={GFS}", "version=0.9.0")
    assert team.run(*stage).returncode == 0
    name = f"{STAGED}-update"
    team.kubernetes.edit(NAMESPACE, name, "kubectl-patch", {"spec": {"suspend": True}})
    kept = team.run(*stage)
    assert kept.returncode == 0
    assert f"{name} is suspended by 'kubectl-patch', kept so" in kept.stdout
    assert team.kubernetes.cron_jobs(NAMESPACE)[name]["spec"]["suspend"] is True
    assert team.run("k8s_status").returncode == 0

    team.kubernetes.edit(NAMESPACE, name, "kubectl-edit", {"spec": {"schedule": "0 1 * * *"}})
    drifted = team.run("k8s_status")
    assert drifted.returncode == 1
    assert ".spec.schedule set by 'kubectl-edit'" in drifted.stdout
    conflict = team.run(*stage)
    assert conflict.returncode == 1
    assert all(
        word in conflict.stderr for word in (name, ".spec.schedule", "kubectl-edit", "take=1")
    )
    assert team.kubernetes.cron_jobs(NAMESPACE)[name]["spec"]["schedule"] == "0 1 * * *"
    taken = team.run(*stage, "take=1")
    assert taken.returncode == 0, taken.stderr
    spec = team.kubernetes.cron_jobs(NAMESPACE)[name]["spec"]
    assert (spec["schedule"], spec["suspend"]) == ("2 5,11,17,23 * * *", True)
    assert team.run("k8s_status").returncode == 0


@pytest.mark.slow
def test_a_role_that_is_no_more(team: Team) -> None:
    """A CronJob that the manifests no longer name is deleted by the next rollout, and no other."""
    team.begin(ICON, "0.9.0")
    stage = ("k8s_staging", f"dataset={ICON}", "version=0.9.0")
    assert team.run(*stage).returncode == 0
    assert len(team.names()) == 3
    path = team.folder / "k8s" / f"{ICON}.yaml"
    documents = path.read_text().split("\n---\n")
    path.write_text("\n---\n".join(each for each in documents if "archive" not in each))
    team.commit("No archive")
    done = team.run(*stage)
    # without its longest role the names of the others need not be cut any more
    assert "2 new, 3 deleted" in done.stdout, done.stderr
    assert team.names() == [f"staging-{ICON}-v0-9-0-{role}" for role in ("update", "validate")]


@pytest.mark.slow
def test_monitors_follow_the_schedule(team: Team) -> None:
    """Where schedules are moved by another number of minutes, monitors that stand are told."""
    team.begin(GFS, "0.9.0")
    stage = ("k8s_staging", f"dataset={GFS}", "version=0.9.0")
    assert team.run(*stage).returncode == 0
    name = f"{STAGED}-update"
    team.sentry.check_in(name, "0 5,11,17,23 * * *")
    done = team.run(*stage)
    assert done.returncode == 0
    assert f"monitor {name}: schedule 2 5,11,17,23 * * *" in done.stdout
    monitor = team.sentry.monitor(name)
    assert monitor is not None
    assert monitor["config"]["schedule"] == "2 5,11,17,23 * * *"


@pytest.mark.slow
def test_rendered_twice(whole_team: Team) -> None:
    """Rendering needs no cluster, gives the same bytes, and says when nothing is new."""
    team, without = whole_team, {"KUBECONFIG": "/dev/null"}
    first = team.run("k8s_render", environment=without)
    assert first.returncode == 0, first.stderr
    folder = team.folder / "build" / "k8s" / "rendered"
    files = {path: path.read_bytes() for path in sorted(folder.rglob("*.yaml"))}
    assert len(files) == 47
    again = team.run("k8s_render", environment=without)
    assert "47 manifests" in again.stdout
    assert "0 written" in again.stdout
    shutil.rmtree(folder)
    team.run("k8s_render", environment=without)
    assert files == {path: path.read_bytes() for path in sorted(folder.rglob("*.yaml"))}
    assert team.kubernetes.calls == []


def test_context_in_every_call(team: Team) -> None:
    """The default of kubectl is never used: with another current context all is the same."""
    text = team.kubeconfig.read_text()
    team.kubeconfig.write_text(
        text.replace(f'"current-context": "{CONTEXT}"', '"current-context": "other"')
    )
    team.begin(GFS, "0.9.0")
    assert team.run("k8s_staging", f"dataset={GFS}", "version=0.9.0").returncode == 0
    places = {
        call.path.split("/")[5] for call in team.kubernetes.calls if "/namespaces/" in call.path
    }
    assert places == {NAMESPACE}
