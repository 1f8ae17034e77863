"""How a run stands, in one line a person can act on: published, partial, failed at X. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lading.ledger.model import Run, Target

Word = Literal[
    "queued",
    "running",
    "published",
    "unchanged",
    "done",
    "partial",
    "failed",
    "interrupted",
    "aborted",
    "cancelled",
]
"""What became of a run. ``partial`` is a release that ended early with some public prefix
switched; ``interrupted`` was ended by a signal and could say so; ``aborted`` could not."""

OPEN: frozenset[str] = frozenset({"partial", "failed", "interrupted", "aborted", "cancelled"})
"""Verdicts after which there is something to resume."""
SETTLED = frozenset({"done", "unchanged", "up to date"})
"""States of a target that stands as this run wants it: a read-back said so."""
BEGUN = frozenset({"running", "failed", "interrupted"})
"""States of a target that may stand half changed: nobody read it back."""
_IDLE = frozenset({"unchanged", "up to date", "skipped"})
_PUBLIC = frozenset({"promote"})
_SIGNALLED = 128
_MOST = 3  # names in a sentence


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a run."""

    word: Word
    """The verdict."""
    sentence: str
    """It in one line that begins with the word:
    ``failed at upload:s3-nightly; nothing public was changed by this run``."""
    failed_at: str = ""
    """Task that failed, or was at work when it ended; or ""."""
    error: str = ""
    """Why, or ""; may have several lines."""
    resume: str = ""
    """The command that resumes it; "" where nothing is to be resumed."""

    @property
    def is_open(self) -> bool:
        """Whether there is something to resume."""
        return self.word in OPEN


def judge(run: Run) -> Verdict:
    """Judge a run by its states, its steps and its targets.

    A row of a list has neither steps nor targets: it is judged by what it has, and then is
    ``failed`` where the whole run is ``partial``, and ``published`` where it is ``unchanged``.
    """
    if run.state == "queued":
        return Verdict("queued", "queued: it waits for a worker")
    if run.state == "running" and not run.is_aborted:
        return Verdict("running", _running(run))
    if run.state == "completed":
        return _judge_completed(run)
    return _judge_ended_early(run)


def switched(targets: Sequence[Target]) -> tuple[list[Target], list[Target]]:
    """Part the public prefixes of a run into those that are switched and those that are not."""
    public = [each for each in targets if each.kind in _PUBLIC]
    done = [each for each in public if each.state in SETTLED]
    return done, [each for each in public if each.state not in SETTLED]


def name_subject(run: Run) -> str:
    """Name what a run is about: project, channel, tag, and the environment that is no default."""
    told = " ".join(filter(None, (run.project, run.channel, run.tag)))
    is_plain = run.environment in {"", "production", run.channel}
    return told if is_plain else f"{told} ({run.environment})"


def _running(run: Run) -> str:
    at = _at_work(run)
    more = f" and {len(at) - _MOST} more" if len(at) > _MOST else ""
    where = f" at {', '.join(at[:_MOST])}{more}" if at else ""
    return f"running{where}{'; it was asked to stop' if run.is_cancelling else ''}"


def _judge_completed(run: Run) -> Verdict:
    if not run.is_release:
        return Verdict("done", f"done: {run.kind}")
    if run.steps and {each.state for each in run.steps} <= _IDLE:
        return Verdict("unchanged", "unchanged: it was published before, nothing was to be done")
    return Verdict("published", "published: every object was read back")


def _judge_ended_early(run: Run) -> Verdict:
    failed = [each for each in run.steps if each.state == "failed"]
    failed_at = run.failed_at or next(iter([*(e.task for e in failed), *_at_work(run)]), "")
    error = run.error or next((each.detail for each in failed), "")
    word, how = _end(run, f" at {failed_at}" if failed_at else "")
    if run.is_release:
        done, _ = switched(run.targets)
        word = "partial" if done else word
        how = "; ".join(filter(None, (f"partial: {how}" if done else how, _public(run.targets))))
    return Verdict(word, how, failed_at, error, run.command)


def _end(run: Run, where: str) -> tuple[Word, str]:
    """Say how a run ended that did not complete."""
    if run.is_aborted:
        again = "; a worker takes it up again" if run.requested_by else ""
        return "aborted", f"aborted{where}: its process is gone, or silent{again}"
    if run.state == "cancelled":
        return "cancelled", f"cancelled{where}" if run.started_at else "cancelled before it began"
    if run.exit_code is not None and run.exit_code > _SIGNALLED:
        return "interrupted", f"interrupted{where}"
    return "failed", f"failed{where}"


def _public(targets: Sequence[Target]) -> str:
    """Say what a reader of the public prefixes finds; "" where there are none, or none is known.

    A prefix whose switch was begun and not read back is neither old nor new for certain.
    """
    done, rest = switched(targets)
    begun = [each for each in rest if each.state in BEGUN]
    untouched = [each for each in rest if each not in begun]
    if not (done or rest):
        return ""
    if not rest:
        return "every public prefix has the release, what comes after is not done"
    if not (done or begun):
        return "nothing public was changed by this run"
    parts = (
        (done, "has", "have", "the release"),
        (begun, "may", "may", "be half switched"),
        (untouched, "is", "are", "as before"),
    )
    return ", ".join(
        f"{_names(group)} {one if len(group) == 1 else many} {what}"
        for group, one, many, what in parts
        if group
    )


def _at_work(run: Run) -> list[str]:
    return [each.task for each in run.steps if each.state in {"running", "interrupted"}]


def _names(targets: Sequence[Target]) -> str:
    names = [f"{each.destination}/{each.name}" for each in targets]
    if len(names) > _MOST:
        names[_MOST:] = [f"{len(names) - _MOST} more"]
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
