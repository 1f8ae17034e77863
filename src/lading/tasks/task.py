"""What all tasks of Lading have in common: how a step becomes a doit task."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from doit.exceptions import TaskFailed

from lading.errors import LadingError, SourceError
from lading.services.redaction import redact
from lading.ship.target import Target
from lading.storage import Progress
from lading.tasks.board import BOARD
from lading.tasks.run_log import in_task
from lading.tasks.session import Session, current
from lading.tasks.steps import Outcome

Task = dict[str, Any]
Step = Callable[[Session, Progress], Outcome]


def make_task(
    name: str,
    step: Step,
    *,
    needs: Literal["release", "channel", "nothing"] | Callable[[Session], None] = "release",
    writes: bool = True,
    quiet: bool = False,
    targets: Sequence[str] = (),
    uptodate: Sequence[Any] = (),
) -> Task:
    """Return what all tasks have in common.

    Args:
        name: of the task.
        step: what it does.
        needs: what the command line has to name; or what is asked before anything begins, and
            raises what refuses the run.
        writes: whether it changes anything, so that it runs alone.
        quiet: whether it prints its own answer and is no step of a release.
        targets: files that it makes.
        uptodate: as doit takes it.
    """

    def run() -> Any:
        try:
            with BOARD.at_work(), in_task(name):
                outcome = step(current(), BOARD.progress(name))
        except LadingError as error:
            return TaskFailed(redact(str(error)))
        if quiet:
            return True
        made = {target: _sha256_of(target) for target in targets}
        return {
            "summary": outcome.summary,
            "changed": outcome.changed,
            "warnings": list(outcome.warnings),
            "notes": list(outcome.notes),
            "skipped": outcome.skipped,
            "made": made,
        }

    meta = {
        "needs_release": needs == "release",
        "needs_channel": needs == "channel",
        "writes": writes,
        "quiet": quiet,
        "requires": needs if callable(needs) else None,
    }
    return {
        "actions": [run],
        "clean": True,
        "io": {"capture": False},
        "meta": {"lading": meta},
        "targets": list(targets),
        "uptodate": [*uptodate, partial(_stand_as_made, targets)] if targets else [],
    }


def _stand_as_made(targets: Sequence[str], task: Any, values: Mapping[str, Any]) -> bool:
    """Say whether each target is, byte for byte, what the task made; doit asks for existence only.

    A truncated archive would else be described and published as it is.
    """
    del task
    made = values.get("made", {})
    return all(_sha256_of(target) == made.get(target, "nothing") for target in targets)


def _sha256_of(target: str) -> str:
    try:
        return current().cache.digest(Path(target)).sha256
    except SourceError:
        return ""


def file_name(path: Path) -> str:
    """Name a file for doit: from its folder, so that state and project may be moved together."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def is_settled(make: Callable[[], Target[Any, Any]]) -> bool:
    """Say whether a target needs nothing; a target that cannot be asked must be run."""
    try:
        target = make()
        return bool(target.plan(target.observe()).is_empty)
    except LadingError:
        return False
