"""What a run says of itself when it begins, for the ledger."""

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from lading import __version__
from lading.errors import LadingError
from lading.ledger.model import ArtifactRow, RunStart
from lading.ledger.names import RUN_VARIABLE, is_run_name, ledger_url, name_run
from lading.ledger.progress import Work
from lading.release.manifest import Manifest
from lading.release.objects import digest_bytes
from lading.release.receipts import load_receipt
from lading.services.git import resolve_commit
from lading.services.redaction import redact
from lading.storage.owner import name_owner, name_process
from lading.tasks import steps
from lading.tasks.foresight import foresee_targets, foresee_work
from lading.tasks.outside import call_receipt_path
from lading.tasks.recording import Order
from lading.tasks.session import Session
from lading.tasks.telling import run_url
from lading.tasks.wording import resume_command

_LONGEST_KIND = 200


def order_of(
    session: Session, tasks: Sequence[str], selected: Sequence[str], *, is_release: bool
) -> Order:
    """Return what is to be recorded of a run.

    Args:
        session: the session.
        tasks: names of all tasks that will run, in their order.
        selected: names of those that were asked for.
        is_release: whether it walks the whole road.
    """
    release = session.release
    config = session.config
    asked = os.environ.get(RUN_VARIABLE, "")
    start = RunStart(
        run_id=asked if is_run_name(asked) else name_run(),
        kind=" ".join(selected)[:_LONGEST_KIND],
        project=config.project.name,
        title=config.project.title,
        channel=session.channel,
        tag=release.tag if release else "",
        environment=release.environment if release else "",
        is_release=is_release,
        command=redact(resume_command(sys.argv)),
        tool_version=__version__,
        config_sha256=_digest_of(session.base / session.config_name),
        ci_url=run_url(),
        owner=name_owner(),
        process=name_process(),
        started_at=datetime.now(UTC),
        targets=tuple(foresee_targets(config, release, tasks)) if release else (),
    )
    url = ledger_url(config.ledger, session.work, os.environ) if config.ledger.enabled else ""
    paths = _receipt_paths(session)
    return Order(
        start=start,
        url=url,
        work=work_of(session, tasks),
        load_receipt=lambda task: load_receipt(paths[task]) if task in paths else None,
        complete=partial(_with_commit, session),
    )


def work_of(
    session: Session, tasks: Iterable[str], manifest: Manifest | None = None
) -> dict[str, Work]:
    """Return the work of each task, as far as it is known by now."""
    try:
        layout = session.layout_or_none if session.has_listing or not session.is_remote else None
        files = session.files if layout is not None else ()
    except LadingError:
        layout, files = None, ()
    return foresee_work(tasks, layout, files, manifest, is_remote=session.is_remote)


def artifacts_of(manifest: Manifest) -> list[ArtifactRow]:
    """Return the files of a manifest as rows of the ledger."""
    groups = getattr(manifest, "groups", {})  # of published documents
    return [
        ArtifactRow(
            key=each.key,
            size_bytes=each.size_bytes,
            sha256=each.sha256,
            media_type=each.media_type,
            kind=each.origin.kind,
            role=groups.get(each.key, ""),
            url=getattr(each, "url", "") or "",
            rows=each.rows or {},
        )
        for each in manifest.files
    ]


def _with_commit(session: Session, start: RunStart) -> RunStart:
    if not start.tag:
        return start
    try:
        return replace(start, commit=resolve_commit(session.repository, start.tag) or "")
    except LadingError:
        return start


def _digest_of(path: Path) -> str:
    try:
        return digest_bytes(path.read_bytes()).sha256
    except OSError:
        return ""


def _receipt_paths(session: Session) -> dict[str, Path]:
    """Return where the receipt of each target of a release is kept."""
    release = session.release
    if release is None:
        return {}
    uploads = {
        f"upload:{each.task}": steps.upload_receipt_path(session, each)
        for each in release.destinations
    }
    prefixes = {
        f"{kind}:{each.task}": path(session, each)
        for kind, path in (
            ("promote", steps.promote_receipt_path),
            ("hold", steps.hold_receipt_path),
        )
        for each in release.prefixes
    }
    calls = {each.task: call_receipt_path(session, each) for each in release.calls}
    return {**uploads, **prefixes, **calls}
