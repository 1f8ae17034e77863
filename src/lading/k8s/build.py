"""From a dataset and its manifests to the CronJobs that are to stand. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from lading.config.dataset_rules import DatasetPlan
from lading.config.problems import nearest
from lading.errors import ClusterError
from lading.k8s.identity import Identity
from lading.k8s.names import Role, name_cron_jobs
from lading.k8s.objects import build_cron_job
from lading.k8s.rollout import Rollout
from lading.k8s.schedule import Schedule, find_clock_changes, parse_schedule, same_minute
from lading.k8s.schedule_lint import lint
from lading.k8s.stagger import offset_of, shift
from lading.k8s.templates import Template


@dataclass(frozen=True, slots=True)
class Habits:
    """What is decided for all datasets of a project."""

    prefix: str
    """What names of staged CronJobs begin with."""
    stagger_minutes: int
    """Schedules are moved by fewer minutes than these; 0: not at all."""


def build_rollout(
    plan: DatasetPlan,
    templates: Sequence[Template],
    identity: Identity,
    habits: Habits,
    now: datetime,
) -> tuple[Rollout, list[str]]:
    """Return the CronJobs of one version of a dataset, and what is odd about their schedules.

    Args:
        plan: the dataset.
        templates: its manifests.
        identity: the version, with branch, commit, image and stores.
        habits: of the project.
        now: from when on schedules are looked at; aware. What is built does not depend on it.

    Raises:
        ClusterError: with a line for each role, name or schedule that cannot be.
    """
    place = f"{identity.environment} {plan.name}"
    monitored = _monitored(plan, templates)
    names = name_roles(plan, templates, identity, habits)
    schedules, warnings = _schedules(place, templates, identity, habits, now)
    cron_jobs = [
        build_cron_job(
            each,
            name=names[each.role],
            schedule=schedules[each.role].text,
            identity=identity,
            monitor=names[each.role] if each.role in monitored else "",
            namespace=plan.namespace,
        )
        for each in templates
    ]
    rollout = Rollout(
        identity=identity,
        context=plan.context,
        namespace=plan.namespace,
        cron_jobs=tuple(sorted(cron_jobs, key=lambda each: each.name)),
    )
    return rollout, warnings


def name_roles(
    plan: DatasetPlan, templates: Sequence[Template], identity: Identity, habits: Habits
) -> dict[str, str]:
    """Return the name of each role's CronJob. Pure.

    Raises:
        ClusterError: a role or a name cannot be.
    """
    monitored = _monitored(plan, templates)
    is_staged = identity.environment == "staging"
    return name_cron_jobs(
        plan.name,
        identity.version if is_staged else None,
        [
            Role(name=each.role, completions=each.completions, monitored=each.role in monitored)
            for each in templates
        ],
        prefix=habits.prefix if is_staged else "",
    )


def _monitored(plan: DatasetPlan, templates: Sequence[Template]) -> set[str]:
    roles = {each.role for each in templates}
    if plan.monitors is None:
        return roles
    unknown = [each for each in plan.monitors if each not in roles]
    if unknown:
        raise ClusterError(
            f"datasets.{plan.name}.monitors: expected roles of its CronJobs"
            f" ({', '.join(sorted(roles))}), got {unknown[0]!r}" + nearest(unknown[0], roles)
        )
    return set(plan.monitors)


def _schedules(
    place: str,
    templates: Sequence[Template],
    identity: Identity,
    habits: Habits,
    now: datetime,
) -> tuple[dict[str, Schedule], list[str]]:
    """Return the schedule of each role, moved where schedules are staggered."""
    is_staged = identity.environment == "staging"
    key = f"{identity.dataset}\0{identity.version}" if is_staged else identity.dataset
    offset = offset_of(key, habits.stagger_minutes)
    schedules: dict[str, Schedule] = {}
    warnings: list[str] = []
    faults: list[str] = []
    for each in templates:
        where = f"{place} {each.role}"
        try:
            schedule = parse_schedule(each.schedule, each.time_zone)
        except ClusterError as error:
            faults.append(f"{each.place}: {error}")
            continue
        odds = [*lint(schedule), *find_clock_changes(schedule, now)]
        warnings += [f"{where}: {odd}" for odd in odds]
        moved = shift(each.schedule, offset)
        if moved is None:
            warnings.append(f"{where}: {each.schedule!r} cannot be moved by {offset} minutes, kept")
        schedules[each.role] = Schedule(text=moved or each.schedule, time_zone=each.time_zone)
    if faults:
        raise ClusterError("\n".join(faults))
    warnings += [f"{place}: {odd}" for odd in same_minute(schedules, now)]
    return schedules, warnings
