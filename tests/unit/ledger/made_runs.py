"""Runs as tests make them: what matters is said, the rest is a release of one evening."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from lading.ledger.model import Run, RunState, Step, StepState, Target

NOON = datetime(2025, 2, 5, 12, 0, tzinfo=UTC)
COMMAND = "doit distribute type=nightly tag=nightly-2025-02-05"


def make_run(state: RunState = "completed", **facts: Any) -> Run:
    """Make a run of a nightly release that began at noon."""
    run = Run(
        run_id="20250205T120000-00000000aa",
        kind="distribute",
        project="demo",
        channel="nightly",
        tag="nightly-2025-02-05",
        environment="production",
        is_release=True,
        state=state,
        command=COMMAND,
        created_at=NOON,
        started_at=None if state == "queued" else NOON,
        ended_at=NOON + timedelta(minutes=3) if state in {"completed", "failed"} else None,
    )
    return replace(run, **facts)


def make_target(name: str, state: StepState, kind: str = "promote") -> Target:
    """Make a row of a matrix: ``gcs/nightly``."""
    destination, _, prefix = name.partition("/")
    return Target(
        task=f"{kind}:{destination}-{prefix}",
        kind=kind,
        destination=destination,
        name=prefix,
        state=state,
    )


def make_step(task: str, state: StepState, detail: str = "") -> Step:
    """Make a step that took a minute."""
    return Step(
        task=task,
        state=state,
        detail=detail,
        started_at=NOON,
        ended_at=None if state == "running" else NOON + timedelta(minutes=1),
    )
