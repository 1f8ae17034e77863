"""One run of a job with a specification, without marker and trail: for tests of built-in jobs."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lading.jobs.arguments import parse_arguments
from lading.jobs.batch import Batch, BatchReport
from lading.jobs.batch_runner import run_batch
from lading.jobs.letters import DeadLetter
from lading.jobs.refs import ObjectRef
from lading.jobs.run import Run
from lading.jobs.settings import JobSettings
from lading.jobs.spec import JobSpec
from lading.storage import Store


class QuickRun(Run):
    """A run that never waits."""

    def batch(self, items: Iterable[Any], batch: Batch[Any]) -> BatchReport:
        """Work through items, without pauses."""
        return run_batch(items, batch, self, sleep=lambda _: None)


def make_run(
    name: str,
    spec: JobSpec,
    argv: Iterable[str],
    *,
    base: Path,
    store: Store | None = None,
    only: Iterable[str] | None = None,
    number: int = 1,
) -> QuickRun:
    """Make a run; its store is that which the specification names, unless one is given."""
    settings = JobSettings(base=base)
    arguments = parse_arguments(name, spec, tuple(argv))
    place = getattr(arguments, spec.store, "") if spec.store else ""
    url = settings.state_store(place) if place else settings.stores[0]
    return QuickRun(
        job=name,
        id=f"00000000-0000-0000-0000-{number:012d}",
        attempt=number,
        argv=tuple(argv),
        settings=settings,
        store=store or settings.open_store(url),
        log=logging.LoggerAdapter(logging.getLogger("lading.tests"), {}),
        only=None if only is None else frozenset(only),
    )


def call(spec: JobSpec, run: Run) -> int:
    """Let a run do its work; return its exit code."""
    return spec.entrypoint(parse_arguments(run.job, spec, run.argv), run) or 0


def inputs_of(spec: JobSpec, run: Run) -> list[ObjectRef]:
    """Return what the specification says that a run will read."""
    assert spec.inputs is not None
    return list(spec.inputs(parse_arguments(run.job, spec, run.argv), run.open_store))


def letters_of(run: Run) -> list[DeadLetter]:
    """Return all dead letters of the job of a run."""
    return list(run.dead_letters.letters())
