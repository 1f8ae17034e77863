"""A project with a ledger, and runs in it, as the commands find them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lading.ledger.ledger import Ledger, open_ledger
from lading.ledger.model import Progress, RunStart, Step, StepState, Target
from lading.ledger.record import (
    begin_run,
    end_run,
    write_logs,
    write_progress,
    write_step,
    write_targets,
)
from lading.storage.owner import name_process

CONFIG = """
work = "build"
[project]
name = "demo"
[source]
url = "source"
[destinations.gcs]
url = "clouds/gcs"
[channels.nightly]
tag = 'nightly-.*'
prefixes = ["nightly"]
"""
NOON = datetime(2025, 2, 5, 12, 0, tzinfo=UTC)
TAG = "nightly-2025-02-05"
COMMAND = f"doit distribute type=nightly tag={TAG}"
UPLOAD, PROMOTE, ZENODO = "upload:gcs-nightly", "promote:gcs-nightly", "zenodo"


@dataclass(frozen=True)
class LedgerProject:
    """A folder with a lading.toml and a ledger."""

    folder: Path

    @property
    def file(self) -> Path:
        """The ledger's file."""
        return self.folder / "build" / "ledger.db"

    def open(self) -> Ledger:
        """Open the ledger for writing; make it where there is none."""
        return open_ledger(f"sqlite:///{self.file}")


def make_project(folder: Path, config: str = CONFIG) -> LedgerProject:
    """Make a project that has no ledger yet."""
    (folder / "lading.toml").write_text(config, encoding="utf-8")
    return LedgerProject(folder.resolve())


def run_name(number: int) -> str:
    """Name a run: they begin a day after one another, at noon."""
    return f"{NOON + timedelta(days=number):%Y%m%dT%H%M%S}-{number:010x}"


def begin(ledger: Ledger, number: int = 0, *, process: str = "", **facts: Any) -> str:
    """Begin a nightly release by this process; return its name."""
    at = NOON + timedelta(days=number)
    known: dict[str, Any] = {
        "kind": "distribute",
        "channel": "nightly",
        "tag": TAG,
        "environment": "production",
        "is_release": True,
    }
    start = RunStart(
        run_id=run_name(number),
        project="demo",
        command=COMMAND,
        owner="process 7 on laptop",
        process=process or name_process(),
        commit="c0ffee",
        ci_url="https://ci.example/7",
        started_at=at,
        targets=(
            Target(task=UPLOAD, kind="upload", destination="gcs", planned_files=3),
            Target(task=PROMOTE, kind="promote", destination="gcs", name="nightly"),
            Target(task=ZENODO, kind="zenodo", name="sandbox"),
        ),
        **{**known, **facts},
    )
    begin_run(ledger, start)
    return start.run_id


def step(ledger: Ledger, run_id: str, task: str, state: StepState, detail: str = "") -> None:
    """Write a step that began with the run and, unless it runs, took 65 seconds."""
    began = datetime.strptime(run_id[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    ended = None if state == "running" else began + timedelta(seconds=65)
    row = Step(task=task, state=state, detail=detail, started_at=began, ended_at=ended)
    write_step(ledger, run_id, 1, 1, row, ended or began)


def target(ledger: Ledger, run_id: str, task: str, state: StepState, **facts: Any) -> None:
    """Write how a target stands."""
    known = {UPLOAD: ("gcs", ""), PROMOTE: ("gcs", "nightly"), ZENODO: ("", "sandbox")}
    destination, name = known[task]
    kind = task.partition(":")[0]
    row = Target(task=task, kind=kind, destination=destination, name=name, state=state, **facts)
    write_targets(ledger, run_id, [row])


def publish(ledger: Ledger, number: int = 0, **facts: Any) -> str:
    """Write a release that is published; return its name."""
    run_id = begin(ledger, number, **facts)
    for task in (UPLOAD, PROMOTE, ZENODO):
        step(ledger, run_id, task, "done", "3 files, 2.5 MB")
        at = NOON + timedelta(days=number, minutes=1)
        target(
            ledger, run_id, task, "done", planned_files=3, planned_bytes=2_500_000, verified_at=at
        )
    end(ledger, run_id, number=number)
    return run_id


def fail(ledger: Ledger, number: int = 0, error: str = "no such bucket", **facts: Any) -> str:
    """Write a release that failed at its upload; return its name."""
    run_id = begin(ledger, number, **facts)
    step(ledger, run_id, UPLOAD, "failed", error)
    target(ledger, run_id, UPLOAD, "failed", planned_files=3)
    end(ledger, run_id, "failed", number=number, failed_at=UPLOAD, error=error)
    return run_id


def run_on(ledger: Ledger, number: int = 0, *, process: str = "") -> str:
    """Write a release that is going on, at 43 %; return its name."""
    run_id = begin(ledger, number, process=process)
    step(ledger, run_id, UPLOAD, "running")
    progress = Progress(
        percent=43.9, done_bytes=430, size_bytes=1000, rate_bytes_s=2e6, left_s=125.0
    )
    row = Step(task=UPLOAD, state="running", progress=progress)
    write_progress(ledger, run_id, 1, progress, [row], datetime.now(UTC))
    return run_id


def end(
    ledger: Ledger,
    run_id: str,
    state: str = "completed",
    *,
    number: int = 0,
    failed_at: str = "",
    error: str = "",
) -> None:
    """End a run after three minutes."""
    end_run(
        ledger,
        run_id,
        state=state,
        exit_code=0 if state == "completed" else 1,
        failed_at=failed_at,
        error=error,
        at=NOON + timedelta(days=number, minutes=3),
    )


def log(ledger: Ledger, run_id: str, *lines: tuple[int, str, str]) -> None:
    """Log lines (level, task, text), a second apart."""
    write_logs(
        ledger,
        run_id,
        [(NOON + timedelta(seconds=second), *line) for second, line in enumerate(lines)],
    )


def texts(lines: Sequence[str]) -> list[str]:
    """Return lines without the spaces that lay them out."""
    return [" ".join(each.split()) for each in lines]
