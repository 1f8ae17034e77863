"""The ledger as JSON: one set of names for ``--json`` of the commands and for the API. Pure.

``run_table`` (``is_full=False`` for a row of a list), ``runs_table``, ``verdict_table``,
``progress_table``, ``step_table``, ``target_table``, ``receipt_table``, ``log_table``,
``artifact_table``, ``release_table``, ``version_table``, ``project_table``, ``token_table``:
each takes a value of ``model.py`` (or ``tokens.py``) and returns what ``json.dumps`` takes.

Names are snake_case and are never renamed or taken away; new ones may come. Times are UTC and
end in ``Z`` (``2026-11-21T20:30:12.345Z``), sizes are numbers of bytes, durations numbers of
seconds (``_s``), digests are hexadecimal. What is not known is null where it would be a time or a
number, "" where it would be a text, and never left out. Texts stand as they were recorded, with
secrets taken out: whoever prints one takes care of its control characters.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lading.ledger.model import (
    ArtifactRow,
    LogLine,
    Progress,
    ProjectRow,
    ReceiptRow,
    ReleaseRow,
    Run,
    Step,
    Target,
    VersionRow,
)
from lading.ledger.verdict import Verdict, judge

if TYPE_CHECKING:
    from lading.ledger.tokens import Token

_WHOLE, _NEARLY = 100.0, 99.99
LEVELS = {10: "debug", 20: "info", 30: "warning", 40: "error", 50: "critical"}
"""Levels of log lines, as people call them."""


def write_moment(at: datetime | None) -> str | None:
    """Write a time in UTC to the millisecond, ending in ``Z``; None where there is none."""
    if at is None:
        return None
    text = at.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def name_level(level: int) -> str:
    """Name a level: the highest named one that it reaches; ``debug`` where it is below all."""
    return next((LEVELS[each] for each in sorted(LEVELS, reverse=True) if level >= each), "debug")


def run_table(run: Run, verdict: Verdict | None = None, *, is_full: bool = True) -> dict[str, Any]:
    """Return a run; with ``steps``, ``targets`` and ``receipts`` where it is to be full.

    Args:
        run: the run.
        verdict: what became of it; else it is judged here.
        is_full: whether it was loaded with all that belongs to it.
    """
    table: dict[str, Any] = {
        "run_id": run.run_id,
        "kind": run.kind,
        "project": run.project,
        "title": run.title,
        "channel": run.channel,
        "tag": run.tag,
        "environment": run.environment,
        "is_release": run.is_release,
        "state": run.state,
        "is_aborted": run.is_aborted,
        "is_cancelling": run.is_cancelling,
        "verdict": verdict_table(verdict or judge(run)),
        "exit_code": run.exit_code,
        "failed_at": run.failed_at,
        "error": run.error,
        "command": run.command,
        "attempt": run.attempt,
        "progress": progress_table(run.progress),
        "created_at": write_moment(run.created_at),
        "started_at": write_moment(run.started_at),
        "ended_at": write_moment(run.ended_at),
        "heartbeat_at": write_moment(run.heartbeat_at),
        "elapsed_s": _elapsed(run),
        "owner": run.owner,
        "tool_version": run.tool_version,
        "commit": run.commit,
        "config_sha256": run.config_sha256,
        "ci_url": run.ci_url,
        "manifest_sha256": run.manifest_sha256,
        "doi": run.doi,
        "requested_by": run.requested_by,
        "retry_of": run.retry_of,
        "result": dict(run.result),
    }
    if is_full:
        table["steps"] = [step_table(each) for each in run.steps]
        table["targets"] = [target_table(each) for each in run.targets]
        table["receipts"] = [receipt_table(each) for each in run.receipts]
    return table


def runs_table(runs: Iterable[Run], total: int) -> dict[str, Any]:
    """Return a part of a list of runs, and how many there are in all."""
    return {"runs": [run_table(each, is_full=False) for each in runs], "total": total}


def verdict_table(verdict: Verdict) -> dict[str, Any]:
    """Return what became of a run."""
    return {
        "word": verdict.word,
        "sentence": verdict.sentence,
        "is_open": verdict.is_open,
        "failed_at": verdict.failed_at,
        "error": verdict.error,
        "resume": verdict.resume,
    }


def progress_table(progress: Progress) -> dict[str, Any]:
    """Return how far something is; ``left_s`` is null where nobody can know."""
    left_s = progress.left_s
    return {
        "percent": _percent(progress.percent),
        "done_bytes": progress.done_bytes,
        "size_bytes": progress.size_bytes,
        "done_files": progress.done_files,
        "files": progress.files,
        "rate_bytes_s": round(progress.rate_bytes_s, 1),
        "left_s": None if left_s is None else round(left_s, 1),
    }


def step_table(step: Step) -> dict[str, Any]:
    """Return a step."""
    return {
        "task": step.task,
        "state": step.state,
        "detail": step.detail,
        "started_at": write_moment(step.started_at),
        "ended_at": write_moment(step.ended_at),
        "elapsed_s": _elapsed(step),
        "progress": progress_table(step.progress),
    }


def target_table(target: Target) -> dict[str, Any]:
    """Return a row of the matrix."""
    return {
        "task": target.task,
        "kind": target.kind,
        "destination": target.destination,
        "name": target.name,
        "planned_files": target.planned_files,
        "planned_bytes": target.planned_bytes,
        "state": target.state,
        "verified_at": write_moment(target.verified_at),
        "url": target.url,
        "note": target.note,
    }


def receipt_table(receipt: ReceiptRow) -> dict[str, Any]:
    """Return what a receipt says."""
    return {
        "task": receipt.task,
        "place": receipt.place,
        "manifest_sha256": receipt.manifest_sha256,
        "proved_at": write_moment(receipt.proved_at),
        "objects": receipt.objects,
        "size_bytes": receipt.size_bytes,
        "facts": dict(receipt.facts),
    }


def log_table(line: LogLine) -> dict[str, Any]:
    """Return a log line; its ``level`` is a word, ``level_number`` is logging's."""
    return {
        "number": line.number,
        "at": write_moment(line.at),
        "level": name_level(line.level),
        "level_number": line.level,
        "task": line.task,
        "text": line.text,
    }


def artifact_table(artifact: ArtifactRow) -> dict[str, Any]:
    """Return a public file."""
    return {
        "key": artifact.key,
        "url": artifact.url,
        "size_bytes": artifact.size_bytes,
        "sha256": artifact.sha256,
        "media_type": artifact.media_type,
        "kind": artifact.kind,
        "role": artifact.role,
        "rows": dict(artifact.rows),
    }


def release_table(release: ReleaseRow) -> dict[str, Any]:
    """Return what stands published."""
    return {
        "project": release.project,
        "channel": release.channel,
        "tag": release.tag,
        "environment": release.environment,
        "manifest_sha256": release.manifest_sha256,
        "published_at": write_moment(release.published_at),
        "run_id": release.run_id,
        "url": release.url,
        "files": release.files,
        "size_bytes": release.size_bytes,
        "doi": release.doi,
        "commit": release.commit,
    }


def version_table(version: VersionRow) -> dict[str, Any]:
    """Return a version of a project."""
    return {
        "project": version.project,
        "version": version.version,
        "state": version.state,
        "detail": version.detail,
        "changed_at": write_moment(version.changed_at),
    }


def project_table(project: ProjectRow) -> dict[str, Any]:
    """Return a project."""
    return {"slug": project.slug, "title": project.title, "runs": project.runs}


def token_table(token: "Token", at: datetime) -> dict[str, Any]:
    """Return a token, as far as it may be known, and whether it is valid at a time."""
    return {
        "name": token.name,
        "role": token.role,
        "created_at": write_moment(token.created_at),
        "expires_at": write_moment(token.expires_at),
        "revoked_at": write_moment(token.revoked_at),
        "is_valid": token.is_valid(at),
    }


def _percent(percent: float) -> float:
    """Round a percentage; what is not done never becomes 100."""
    return percent if percent >= _WHOLE else min(round(percent, 2), _NEARLY)


def _elapsed(what: Run | Step) -> float | None:
    """Return how long something took, in seconds; None where it never began, or has not ended."""
    if what.started_at is None or what.ended_at is None:
        return None
    return round(what.elapsed_s, 3)
