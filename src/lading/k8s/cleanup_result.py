"""What became of a staged version: a line for each thing that is gone, or is left."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lading.k8s.cleanup_plan import CleanupPlan, Kind


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one thing."""

    kind: Kind
    """What it is."""
    name: str
    """Its name."""
    outcome: Literal["deleted", "absent", "kept", "left"]
    """``kept``: nobody asked for its end. ``left``: somebody did."""
    why: str = ""
    """More about it."""

    def describe(self) -> str:
        """Say it in one line."""
        told = {"absent": "was absent", "left": ""}.get(self.outcome, self.outcome)
        return f"{self.kind} {self.name}: {', '.join(filter(None, (told, self.why)))}"


@dataclass(frozen=True, slots=True)
class CleanupResult:
    """What became of all of it."""

    fates: tuple[Fate, ...]
    """A fate for each thing."""

    @property
    def done(self) -> tuple[str, ...]:
        """A line for each thing that is gone, was absent, or is not this version's."""
        return tuple(each.describe() for each in self.fates if each.outcome != "left")

    @property
    def left(self) -> tuple[str, ...]:
        """A line for each thing that was asked for and is left, and why."""
        return tuple(each.describe() for each in self.fates if each.outcome == "left")

    @property
    def has_changed(self) -> bool:
        """Whether anything was deleted."""
        return any(each.outcome == "deleted" for each in self.fates)


def absent_fates(names: set[str], plan: CleanupPlan) -> Iterator[Fate]:
    """Give the CronJobs that were there once: before this look, or before an earlier cleanup."""
    there = {each.name for each in plan.standing.cron_jobs}
    yield from (Fate("CronJob", name, "absent") for name in sorted(names - there))


def hindered_fates(plan: CleanupPlan, why: str) -> Iterator[Fate]:
    """Give all that is left where nothing may be deleted."""
    for step in plan.steps:
        if step.kind in {"Job", "store"}:
            continue
        if step.action == "absent":
            yield Fate(step.kind, step.name, "absent")
        elif step.action == "keep":
            yield Fate(step.kind, step.name, "kept", step.why)
        else:
            yield Fate(step.kind, step.name, "left", step.why if step.action == "leave" else why)
