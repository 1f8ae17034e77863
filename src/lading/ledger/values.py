"""Rows of the database as plain values. Pure, but for the look whether a process is there."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row

from lading.ledger.model import (
    ArtifactRow,
    LogLine,
    Progress,
    ReceiptRow,
    ReleaseRow,
    Run,
    Step,
    Target,
)
from lading.storage.owner import is_gone, is_here


def run_of(row: Row[Any], now: datetime, quiet_s: float, **parts: Any) -> Run:
    """Return a run.

    Args:
        row: of ``runs``, with ``project`` and ``title``.
        now: what time it is.
        quiet_s: how long a run on another machine may be silent, in seconds.
        parts: its steps, targets and receipts.
    """
    return Run(
        run_id=row.id,
        kind=row.kind,
        project=row.project,
        title=row.title,
        channel=row.channel,
        tag=row.tag,
        environment=row.environment,
        is_release=row.is_release,
        state=row.state,
        is_aborted=_is_aborted(row, now, quiet_s),
        exit_code=row.exit_code,
        failed_at=row.failed_at,
        error=row.error,
        command=row.command,
        attempt=row.attempt,
        progress=progress_of(row),
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        heartbeat_at=row.heartbeat_at,
        owner=row.owner,
        tool_version=row.tool_version,
        commit=row.commit_id,
        config_sha256=row.config_sha256,
        ci_url=row.ci_url,
        manifest_sha256=row.manifest_sha256,
        doi=row.doi,
        requested_by=row.requested_by,
        retry_of=row.retry_of or "",
        is_cancelling=row.cancel_requested_at is not None and row.state in {"queued", "running"},
        result=row.result or {},
        **parts,
    )


def progress_of(row: Row[Any]) -> Progress:
    """Return how far a run or a step is."""
    return Progress(
        percent=row.percent,
        done_bytes=row.done_bytes,
        size_bytes=row.size_bytes,
        done_files=row.done_files,
        files=row.files,
        rate_bytes_s=row.rate_bytes_s,
        left_s=row.left_s,
    )


def step_of(row: Row[Any]) -> Step:
    """Return a step."""
    return Step(
        task=row.task,
        state=row.state,
        detail=row.detail,
        started_at=row.started_at,
        ended_at=row.ended_at,
        progress=progress_of(row),
    )


def target_of(row: Row[Any]) -> Target:
    """Return a row of the matrix."""
    return Target(
        task=row.task,
        kind=row.kind,
        destination=row.destination,
        name=row.name,
        planned_files=row.planned_files,
        planned_bytes=row.planned_bytes,
        state=row.state,
        verified_at=row.verified_at,
        url=row.url,
        note=row.note,
    )


def receipt_of(row: Row[Any]) -> ReceiptRow:
    """Return a receipt."""
    return ReceiptRow(
        task=row.task,
        place=row.place,
        manifest_sha256=row.manifest_sha256,
        proved_at=row.proved_at,
        objects=row.objects,
        size_bytes=row.size_bytes,
        facts=row.facts,
    )


def artifact_of(row: Row[Any]) -> ArtifactRow:
    """Return a public file."""
    return ArtifactRow(
        key=row.key,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        media_type=row.media_type,
        kind=row.kind,
        role=row.role,
        url=row.url,
        rows=row.rows,
    )


def release_of(row: Row[Any]) -> ReleaseRow:
    """Return a release; the row has ``project``."""
    return ReleaseRow(
        project=row.project,
        channel=row.channel,
        tag=row.tag,
        environment=row.environment,
        manifest_sha256=row.manifest_sha256,
        published_at=row.published_at,
        run_id=row.run_id,
        url=row.url,
        files=row.files,
        size_bytes=row.size_bytes,
        doi=row.doi,
        commit=row.commit_id,
    )


def log_line_of(row: Row[Any]) -> LogLine:
    """Return a log line."""
    return LogLine(number=row.id, at=row.at, level=row.level, task=row.task, text=row.text)


def _is_aborted(row: Row[Any], now: datetime, quiet_s: float) -> bool:
    """Say whether a run's process is gone; of a job, the worker's: it sees how the run ends."""
    if row.state != "running":
        return False
    process = (row.claim if row.is_job else row.process) or ""
    if is_here(process):
        return is_gone(process)  # one that is seen at work may be silent
    heard = row.heartbeat_at or row.started_at or row.created_at
    return bool((now - heard).total_seconds() > quiet_s)
