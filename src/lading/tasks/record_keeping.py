"""The reporter's side of the ledger: what of a run is recorded, and when.

A run that changes nothing (a plan, a look) leaves no record.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from lading.errors import LadingError
from lading.ledger.model import ReleaseRow, Run, VersionRow, VersionState
from lading.release.links import document_url
from lading.release.receipts import load_receipt
from lading.services.redaction import redact
from lading.tasks import steps
from lading.tasks.board import Board, Row
from lading.tasks.foresight import with_manifest
from lading.tasks.measuring import SETTLED
from lading.tasks.orders import artifacts_of, order_of, work_of
from lading.tasks.recording import Recorder
from lading.tasks.session import Session

if TYPE_CHECKING:
    from lading.release.manifest import Manifest


_Method = TypeVar("_Method", bound=Callable[..., None])


def _beside(act: _Method) -> _Method:
    """Let nothing that goes wrong with the record go wrong with the release."""

    @wraps(act)
    def run(keeper: "RecordKeeper", *arguments: Any, **named: Any) -> None:
        try:
            act(keeper, *arguments, **named)
        except Exception as error:  # noqa: BLE001  whatever it is
            keeper.give_up(error)

    return cast("_Method", run)


class RecordKeeper:
    """Keeps the record of a run, if it is one that is recorded; each call else does nothing.

    No call raises: a release goes on without its record, and says so.

    Args:
        board: the rows of the run.
        warn: tells the person one line.
    """

    def __init__(self, board: Board, warn: Callable[[str], None]) -> None:
        self._board, self._warn = board, warn
        self._recorder: Recorder | None = None
        self._session: Session | None = None
        self._tasks: Sequence[str] = ()
        self._manifest: Manifest | None = None
        self._run: Run | None = None

    @property
    def run(self) -> Run | None:
        """The run as it ended; None where it is not recorded."""
        return self._run

    def give_up(self, error: Exception) -> None:
        """Keep no record any more; say why, once."""
        if self._recorder is not None or self._session is not None:
            kind = type(error).__name__
            self._warn(f"ledger: unexpected {kind}: {redact(str(error))}; this run is not recorded")
        self._recorder = self._session = None

    @_beside
    def begin(
        self, session: Session, tasks: Sequence[str], selected: Sequence[str], *, is_release: bool
    ) -> None:
        """Begin the record."""
        self._session, self._tasks = session, tasks
        order = order_of(session, tasks, selected, is_release=is_release)
        self._recorder = Recorder(self._board, order, self._warn)

    @_beside
    def started(self, row: Row) -> None:
        """Record that a step began."""
        if self._recorder is not None:
            self._recorder.started(row)

    @_beside
    def ended(self, row: Row, log: str = "") -> None:
        """Record that a step ended, and what is known by it."""
        if self._recorder is None:
            return
        self._recorder.ended(row, log)
        if row.task == "fetch" and row.state in SETTLED:
            self._foresee()
        if row.task == "check" and row.state != "not reached":
            is_ready = row.state in SETTLED
            self._put_version("ready" if is_ready else "draft", "" if is_ready else row.detail)
        if row.task == "manifest" and row.state in SETTLED:
            self._note_manifest()

    @_beside
    def warned(self, task: str, text: str) -> None:
        """Record a warning of a step."""
        if self._recorder is not None:
            self._recorder.note(datetime.now(UTC), logging.WARNING, task, text)

    @_beside
    def end(self, exit_code: int) -> None:
        """End the run; a release that is done stands published."""
        if self._recorder is None:
            return
        self._run = self._recorder.end(exit_code)
        if self._run.is_release and exit_code == 0:
            self._put_published(self._run)
        elif self._run.is_release and self._run.failed_at:
            self._put_version("failed", self._run.error)

    @_beside
    def report(self) -> None:
        """Write the report, and put it beside the release, where the configuration says so."""
        recorder, session, run = self._recorder, self._session, self._run
        if recorder is None or session is None or run is None or not recorder.is_written:
            return
        if not (session.config.report.beside_release and run.is_release):
            return
        from lading.tasks.reports import report_of  # noqa: PLC0415  of those who want one

        if not recorder.flush():
            self._warn("report: expected the ledger to be written, it was not in time")
            return
        for fault in report_of(session, run):
            self._warn(f"report: {fault}")

    @_beside
    def close(self, *, is_brief: bool = False) -> None:
        """Let the ledger go."""
        if self._recorder is not None:
            self._recorder.close(is_brief=is_brief)

    def _foresee(self) -> None:
        if self._recorder is not None and self._session is not None:
            self._recorder.foresee(work_of(self._session, self._tasks, self._manifest))

    def _note_manifest(self) -> None:
        recorder, session = self._recorder, self._session
        if recorder is None or session is None:
            return
        try:
            shipment = steps.load_shipment(session)
        except LadingError:
            return  # the steps that need it will say so
        manifest = self._manifest = shipment.manifest
        recorder.manifest_sha256, recorder.doi = shipment.manifest_sha256, manifest.doi or ""
        recorder.put_targets(lambda targets: with_manifest(targets, manifest))
        recorder.write(
            recorder.writes.manifest(
                shipment.manifest_sha256, lambda: artifacts_of(manifest), manifest.doi or ""
            )
        )
        self._foresee()

    def _put_version(self, state: VersionState, detail: str = "") -> None:
        recorder, session = self._recorder, self._session
        if recorder is None or session is None or session.release is None:
            return
        row = VersionRow(
            project=session.release.project,
            version=session.release.tag,
            state=state,
            detail=detail,
            changed_at=datetime.now(UTC),
        )
        recorder.write(recorder.writes.version(row))

    def _put_published(self, run: Run) -> None:
        recorder, session = self._recorder, self._session
        if recorder is None or session is None or session.release is None:
            return
        self._put_version("published")
        manifest = self._manifest
        if manifest is None:
            return
        row = ReleaseRow(
            project=run.project,
            channel=run.channel,
            tag=run.tag,
            environment=run.environment,
            manifest_sha256=run.manifest_sha256,
            published_at=_published_at(manifest),
            run_id=run.run_id,
            url=_release_url(session, run),
            files=len(manifest.files),
            size_bytes=manifest.size_bytes,
            doi=run.doi,
            commit=manifest.commit or "",
        )
        recorder.write(recorder.writes.release(row))


def _published_at(manifest: "Manifest") -> datetime:
    """Return the time that a published document tells itself; else now."""
    told = getattr(manifest, "published_at", "")  # of channels with a root
    return datetime.fromisoformat(told) if told else datetime.now(UTC)


def _release_url(session: Session, run: Run) -> str:
    """Return where ``release.json`` is found: by a browser where it can, else by its place."""
    release = session.release
    if release is not None and release.is_published:
        return document_url(session.config, release)
    for target in run.targets:
        if target.kind == "promote" and target.url:
            return f"{target.url.rstrip('/')}/release.json"
    for prefix in release.prefixes if release else ():
        receipt = load_receipt(steps.promote_receipt_path(session, prefix))
        if receipt is not None:
            return f"{receipt.place}/release.json"
    return ""
