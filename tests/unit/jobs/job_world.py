"""A project in a folder, in which jobs of a test's own code are run as ``lading run`` runs them."""

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from lading.config.jobs import Jobs
from lading.jobs.attempt import Outcome
from lading.jobs.audit import AuditStream
from lading.jobs.audit_verify import verify_audit
from lading.jobs.dead_letters import DeadLetters
from lading.jobs.items import make_plan
from lading.jobs.letters import DeadLetter
from lading.jobs.markers import Marker, load_markers
from lading.jobs.plans import Plan
from lading.jobs.run import Run
from lading.jobs.running import Order, Telling, run_job
from lading.jobs.settings import JobSettings
from lading.jobs.spec import Arguments, Job, JobSpec
from lading.storage import Body, Store

T = TypeVar("T")


class CopyArguments(Arguments):
    """Arguments of the job of most tests."""

    name: str = "ann"
    target: str = ""


def write_name(arguments: CopyArguments, run: Run) -> int:
    """Write an object that says a name."""
    run.put(run.store, f"out/{arguments.name}", Body.of_bytes(arguments.name.encode()))
    return 0


def tuple_job(entrypoint: Callable[[list[str]], Any], name: str = "hello") -> Job:
    """Return a job as the registry finds one that is given as a tuple."""
    return Job(name=name, module=f"m.{name}", spec=None, entrypoint=entrypoint, description="x")


def typed_job(
    entrypoint: Callable[[Any, Run], Any] = write_name, name: str = "hello", **more: Any
) -> Job:
    """Return a job as the registry finds one with a specification."""
    given: dict[str, Any] = {"description": "x", "arguments": CopyArguments, **more}
    spec = JobSpec(entrypoint=entrypoint, **given)
    return Job(name=name, module=f"m.{name}", spec=spec, entrypoint=None, description="x")


@dataclass
class World:
    """A project's folder, and what was said in it."""

    base: Path
    jobs: Jobs = field(default_factory=lambda: Jobs(stores=("./state",)))
    said: list[dict[str, Any]] = field(default_factory=list)
    """Lines of the log of the last run."""

    @property
    def settings(self) -> JobSettings:
        """The project's settings."""
        return JobSettings(base=self.base, project="acme", jobs=self.jobs)

    @property
    def store(self) -> Store:
        """The place that remembers."""
        return self.settings.open_store(self.settings.stores[0])

    def run(self, job: Job, *argv: str, **more: Any) -> Outcome:
        """Run a job; ``more`` is of its order."""
        return self.told(lambda telling: self._run(job, telling, argv, more))

    def told(self, act: Callable[[Telling], T], **more: Any) -> T:
        """Act with a telling, and keep what was said; ``more`` is of the telling."""
        out = io.StringIO()
        try:
            return act(replace(Telling(out=out, style="json", sleep=lambda _: None), **more))
        finally:
            self.said = [json.loads(line) for line in out.getvalue().splitlines()]

    def _run(
        self, job: Job, telling: Telling, argv: tuple[str, ...], more: Mapping[str, Any]
    ) -> Outcome:
        return run_job(job, Order(argv=argv, **more), self.settings, telling)

    @property
    def messages(self) -> list[str]:
        """What the last run said."""
        return [line["message"] for line in self.said]

    def events(self, stream: str = "hello") -> list[dict[str, Any]]:
        """Return the events of a stream, oldest first."""
        return list(AuditStream(self.store, stream).events())

    def kinds(self, stream: str = "hello") -> list[str]:
        """Return what happened in a stream, oldest first."""
        return [each["eventType"] for each in self.events(stream)]

    def markers(self) -> list[Marker]:
        """Return all markers."""
        return load_markers(self.store)

    def letters(self, job: str = "hello") -> list[DeadLetter]:
        """Return the dead letters of a job."""
        return list(DeadLetters(self.store, job).letters())

    def require_whole(self) -> None:
        """Require that the audit trail verifies."""
        assert verify_audit(self.store).faults == ()


def outcome_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a run ended, as an event tells it."""
    found: dict[str, Any] = event["run"]["facets"]["lading"]["outcome"]
    return found


def plan_of(*names: str, job: str = "hello", **more: Any) -> Plan:
    """Return a plan whose items are names."""
    return make_plan(job, ("--name={item}",), [{"item": name} for name in names], **more)
