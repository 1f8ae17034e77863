"""Tests of what a dataset and its manifests come to."""

import dataclasses
from datetime import UTC, datetime

import pytest

from lading.config.dataset_rules import DatasetPlan
from lading.config.datasets import Version
from lading.errors import ClusterError
from lading.k8s.build import Habits, build_rollout, name_roles
from lading.k8s.rollout import Rollout
from lading.k8s.stagger import offset_of, shift
from lading.k8s.templates import Template
from tests.unit.k8s.live_objects import PRODUCTION, STAGED

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
PLAN = DatasetPlan(
    name="noaa-gfs-analysis",
    context="test",
    namespace="data",
    version=Version(value="0.3.0"),
    stores=("s3://weather/noaa-gfs-analysis/v{version}.zarr",),
    cronjobs="k8s/noaa-gfs-analysis.yaml",
    monitors=(),
)
HABITS = Habits("staging-", 0)


def template(role: str = "update", schedule: str = "0 6 * * *") -> Template:
    """Return a manifest."""
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "{image}"}]}
    body = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": role},
        "spec": {"schedule": schedule, "jobTemplate": {"spec": {"template": {"spec": pod}}}},
    }
    return Template(role=role, body=body, place=f"k8s/x.yaml {role}")


def built(
    *templates: Template, plan: DatasetPlan = PLAN, habits: Habits = HABITS
) -> tuple[Rollout, list[str]]:
    """Return what is staged of some manifests."""
    return build_rollout(plan, templates or (template(),), STAGED, habits, NOW)


def test_names_of_both_environments() -> None:
    """Staged CronJobs bear prefix and version, those of production neither."""
    templates = [template("update"), template("validate", "30 6 * * *")]
    assert name_roles(PLAN, templates, STAGED, HABITS) == {
        "update": "staging-noaa-gfs-analysis-v0-3-0-update",
        "validate": "staging-noaa-gfs-analysis-v0-3-0-validate",
    }
    assert name_roles(PLAN, templates, PRODUCTION, HABITS) == {
        "update": "noaa-gfs-analysis-update",
        "validate": "noaa-gfs-analysis-validate",
    }


def test_what_is_built() -> None:
    """The objects have their image, their namespace and a time zone; sorted by name."""
    rollout, warnings = built(template("validate", "30 6 * * *"), template("update"))
    assert [each.role for each in rollout.cron_jobs] == ["update", "validate"]
    body = rollout.cron_jobs[0].body
    assert body["metadata"]["namespace"] == "data"
    assert body["spec"]["timeZone"] == "Etc/UTC"
    pod = body["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == STAGED.image
    assert warnings == []


def test_moved_alike() -> None:
    """All schedules of a version move by the same minutes, which its name decides."""
    habits = Habits("staging-", 20)
    minutes = offset_of("noaa-gfs-analysis\0" + STAGED.version, 20)
    assert minutes > 0
    rollout, _ = built(template(), template("validate", "30 6 * * *"), habits=habits)
    schedules = {each.role: each.schedule for each in rollout.cron_jobs}
    assert schedules == {
        "update": shift("0 6 * * *", minutes),
        "validate": shift("30 6 * * *", minutes),
    }
    assert rollout.cron_jobs[0].body["spec"]["schedule"] == schedules["update"]


def test_not_to_be_moved() -> None:
    """A schedule that cannot be said when it is moved stays, and it is told."""
    rollout, warnings = built(template(schedule="@every 1h"), habits=Habits("staging-", 20))
    assert rollout.cron_jobs[0].schedule == "@every 1h"
    assert any("'@every 1h' cannot be moved by" in each for each in warnings)


def test_odd_schedules_are_told() -> None:
    """What is lawful and hardly meant is told with environment, dataset and role."""
    _, warnings = built(template(schedule="0 0 4,10,16,22 * *"))
    assert any(each.startswith("staging noaa-gfs-analysis update: ") for each in warnings)
    _, warnings = built(template("update"), template("validate"))
    assert any("update and validate: expected minutes of their own" in each for each in warnings)


def test_bad_schedules() -> None:
    """All schedules that Kubernetes would refuse are told at once, each with its manifest."""
    with pytest.raises(ClusterError) as caught:
        built(template(schedule="61 * * * *"), template("validate", "0 0 * * 7"))
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == ["k8s/x.yaml update", "k8s/x.yaml validate"]


def test_monitors() -> None:
    """The monitor of a watched role is named as its CronJob; None means all roles."""
    roles = template(), template("validate", "30 6 * * *")
    some, _ = built(*roles, plan=dataclasses.replace(PLAN, monitors=("update",)))
    assert [each.monitor for each in some.cron_jobs] == [some.cron_jobs[0].name, ""]
    everything, _ = built(*roles, plan=dataclasses.replace(PLAN, monitors=None))
    assert all(each.monitor == each.name for each in everything.cron_jobs)


def test_monitor_of_no_role() -> None:
    """A monitor of a role that there is not is an error that names the nearest."""
    with pytest.raises(ClusterError) as caught:
        built(plan=dataclasses.replace(PLAN, monitors=("updat",)))
    assert str(caught.value) == (
        "datasets.noaa-gfs-analysis.monitors: expected roles of its CronJobs (update), got 'updat'"
        " (did you mean 'update'?)"
    )
