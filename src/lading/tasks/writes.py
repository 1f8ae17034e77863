"""What a run writes to the ledger, as acts that the writer does in its own thread.

The rooms that bring SQLAlchemy are imported there: a release never waits for them.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from lading.ledger.model import (
    ArtifactRow,
    Progress,
    ReceiptRow,
    ReleaseRow,
    Run,
    RunStart,
    Step,
    Target,
    VersionRow,
)
from lading.release.receipts import Receipt

if TYPE_CHECKING:
    from lading.ledger.ledger import Ledger

Act = Callable[["Ledger"], object]
Line = tuple[datetime, int, str, str]


class Writes:
    """The acts of one run.

    Args:
        run_id: the run.
    """

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self.attempt = 1

    def begin(self, start: RunStart, complete: Callable[[RunStart], RunStart]) -> Act:
        """Begin the run; ``complete`` finds out, in that thread, what takes a while."""

        def act(ledger: "Ledger") -> None:
            from lading.ledger.record import begin_run  # noqa: PLC0415  see above

            self.attempt = begin_run(ledger, complete(start))

        return act

    def step(self, position: int, step: Step, at: datetime) -> Act:
        """Write how a step stands."""

        def act(ledger: "Ledger") -> None:
            from lading.ledger.record import write_step  # noqa: PLC0415  see above

            write_step(ledger, self._run_id, self.attempt, position, step, at)

        return act

    def progress(self, whole: Progress, steps: Sequence[Step], at: datetime) -> Act:
        """Write how far the run and its running steps are."""

        def act(ledger: "Ledger") -> None:
            from lading.ledger.record import write_progress  # noqa: PLC0415  see above

            write_progress(ledger, self._run_id, self.attempt, whole, steps, at)

        return act

    def logs(self, lines: Sequence[Line]) -> Act:
        """Append log lines."""

        def act(ledger: "Ledger") -> None:
            from lading.ledger.record import write_logs  # noqa: PLC0415  see above

            write_logs(ledger, self._run_id, lines)

        return act

    def targets(self, targets: Sequence[Target]) -> Act:
        """Write rows of the matrix."""

        def act(ledger: "Ledger") -> None:
            from lading.ledger.record import write_targets  # noqa: PLC0415  see above

            write_targets(ledger, self._run_id, targets)

        return act

    def receipt(self, task: str, receipt: Receipt) -> Act:
        """Write what a receipt says."""
        row = ReceiptRow(
            task=task,
            place=receipt.place,
            manifest_sha256=receipt.manifest_sha256,
            proved_at=receipt.proved_at,
            objects=len(receipt.objects),
            size_bytes=sum(each.digest.size_bytes for each in receipt.objects.values()),
            facts=dict(receipt.facts),
        )

        def act(ledger: "Ledger") -> None:
            from lading.ledger.record import write_receipts  # noqa: PLC0415  see above

            write_receipts(ledger, self._run_id, [row])

        return act

    def manifest(self, sha256: str, files: Callable[[], Sequence[ArtifactRow]], doi: str) -> Act:
        """Write the files of the release."""

        def act(ledger: "Ledger") -> None:
            from lading.ledger.record import write_manifest  # noqa: PLC0415  see above

            write_manifest(ledger, self._run_id, sha256, files(), doi=doi)

        return act

    def version(self, version: VersionRow) -> Act:
        """Write how a version stands; one that was published stays so, whatever fails later."""

        def act(ledger: "Ledger") -> None:
            from lading.ledger.read import list_versions  # noqa: PLC0415  see above
            from lading.ledger.record import write_version  # noqa: PLC0415  see above

            known = {each.version: each.state for each in list_versions(ledger, version.project)}
            if known.get(version.version) != "published":
                write_version(ledger, version)

        return act

    def release(self, release: ReleaseRow) -> Act:
        """Write what stands published."""

        def act(ledger: "Ledger") -> None:
            from lading.ledger.record import write_release  # noqa: PLC0415  see above

            write_release(ledger, release)

        return act

    def end(self, run: Run, at: datetime) -> Act:
        """End the run."""

        def act(ledger: "Ledger") -> None:
            from lading.ledger.record import end_run  # noqa: PLC0415  see above

            end_run(
                ledger,
                run.run_id,
                state=run.state,
                exit_code=run.exit_code,
                failed_at=run.failed_at,
                error=run.error,
                at=at,
            )

        return act
