"""Names over the whole registry of examples/reformatters, production and staging."""

from functools import cache
from pathlib import Path

import pytest

from lading.config import load_config
from lading.config.dataset_rules import DatasetPlan, plan_datasets
from lading.k8s.build import Habits, name_roles
from lading.k8s.identity import Environment, Identity
from lading.k8s.names import Named, Role, limit_of, require_unique
from lading.k8s.templates import Template, load_templates

EXAMPLE = Path(__file__).parents[3] / "examples" / "reformatters"
VERSIONS = ["0.3.0", "0.10.0", "2026.01.01-rc1"]
HABITS = Habits("staging-", 0)


@cache
def registry() -> list[tuple[DatasetPlan, list[Template]]]:
    """Return every dataset with its manifests."""
    plans = plan_datasets(load_config(EXAMPLE).config).values()
    return [
        (each, load_templates(each.cronjobs, each.name, "0", "{image}", EXAMPLE, each.namespace))
        for each in plans
    ]


def named(environment: Environment, version: str) -> list[tuple[Named, Role]]:
    """Return the name of each CronJob of the registry, with what limits it."""
    found = []
    for plan, templates in registry():
        identity = Identity(
            project="p", environment=environment, dataset=plan.name, version=version
        )
        names = name_roles(plan, templates, identity, HABITS)
        for each in templates:
            monitored = plan.monitors is None or each.role in plan.monitors
            role = Role(name=each.role, completions=each.completions, monitored=monitored)
            owner = f"{environment} {plan.name} {version} {each.role}"
            found.append((Named(name=names[each.role], owner=owner, key=owner), role))
    return found


def test_the_registry_is_real() -> None:
    """There are at least twenty datasets, one of them with a third CronJob, the two ECMWF ones."""
    sizes = {plan.name: len(templates) for plan, templates in registry()}
    assert len(sizes) >= 20
    assert max(sizes.values()) == 3
    assert {f"ecmwf-ifs-ens-forecast-{days}-day-0-25-degree" for days in (15, 46)} <= sizes.keys()


@pytest.mark.parametrize("version", VERSIONS)
def test_within_limits(version: str) -> None:
    """Every name, staged and in production, has room for its Jobs' pods and for its monitor."""
    for each, role in (*named("staging", version), *named("production", version)):
        assert len(each.name) <= limit_of(role).length, each


def test_unique() -> None:
    """All versions and production side by side: no two CronJobs share a name."""
    everything = [each for each, _ in named("production", "")]
    everything += [each for version in VERSIONS for each, _ in named("staging", version)]
    assert len(everything) == 4 * 47
    assert require_unique(everything) == []


def test_cutting_alone_would_not_do() -> None:
    """The test above can fail: the same names without their digests are not unique."""
    cut = [
        Named(name=each.name[:36] + role.name, owner=each.owner, key=each.key)
        for each, role in named("staging", "0.10.0")
    ]
    assert require_unique(cut)


def test_read_at_a_glance() -> None:
    """What fits has the plain name."""
    names = {each.owner: each.name for each, _ in named("staging", "0.3.0")}
    owner = "staging noaa-gfs-analysis 0.3.0 update"
    assert names[owner] == "staging-noaa-gfs-analysis-v0-3-0-update"
