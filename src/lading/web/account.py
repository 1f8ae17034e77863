"""The account of a run: all that its page and its report show, in the order of their questions.

What became of it; where it stands; how long each step took; what changed; what it ships; where
it comes from; what the failed steps logged last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from lading.ledger.ledger import Ledger
from lading.ledger.model import ArtifactRow, LogLine, ReleaseRow, Run
from lading.ledger.read import list_releases, load_artifacts, load_logs, load_run
from lading.ledger.verdict import Verdict, judge

RELEASES = 30
"""How many releases a history shows."""
TAIL_LINES = 40
"""How many of its last log lines are shown of a step."""
_MOST_TAILS = 5
_MOST_FILES = 60_000  # of a history: releases of many files are compared with fewer others
_FAILED = frozenset({"failed", "interrupted"})

Release = tuple[ReleaseRow, tuple[ArtifactRow, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A run, with what its readers ask for."""

    run: Run
    """The run, its steps, targets and receipts."""
    verdict: Verdict
    """What became of it."""
    release: ReleaseRow | None
    """What it published, or None."""
    artifacts: tuple[ArtifactRow, ...]
    """The files that it ships; empty as long as there is no manifest."""
    tails: dict[str, tuple[LogLine, ...]]
    """The last log lines of each step that failed, by task; those of the whole run as ""."""
    history: tuple[Release, ...]
    """The last releases of its channel with their files, oldest first; its own is the last."""
    at: datetime
    """When it was read."""


def load_account(ledger: Ledger, run_id: str) -> Account | None:
    """Read all that a run's report shows; None where the ledger has no such run."""
    run = load_run(ledger, run_id)
    if run is None:
        return None
    releases = releases_until(ledger, run)
    return Account(
        run=run,
        verdict=judge(run),
        release=own_release(run, releases),
        artifacts=tuple(load_artifacts(ledger, run.manifest_sha256)) if is_built(run) else (),
        tails=load_tails(ledger, run),
        history=load_files(ledger, releases),
        at=datetime.now(UTC),
    )


def is_built(run: Run) -> bool:
    """Say whether a run knows what it ships."""
    return bool(run.manifest_sha256)


def load_tails(ledger: Ledger, run: Run) -> dict[str, tuple[LogLine, ...]]:
    """Read the last log lines of the steps that failed, by task, and of the run, as ""."""
    failed = [each.task for each in run.steps if each.state in _FAILED]
    if run.failed_at and run.failed_at not in failed:
        failed.insert(0, run.failed_at)
    if run.is_aborted:
        failed += [each.task for each in run.steps if each.state == "running"]
    names = [*failed[:_MOST_TAILS], ""]
    found = {
        name: tuple(load_logs(ledger, run.run_id, task=name, limit=TAIL_LINES, last=True))
        for name in names
    }
    return {name: lines for name, lines in found.items() if lines}


def releases_until(ledger: Ledger, run: Run) -> list[ReleaseRow]:
    """Read what its channel had published when a run ended, its own release first, then older."""
    if not run.channel:
        return []
    found = list_releases(
        ledger, run.project, channel=run.channel, environment=run.environment, limit=RELEASES
    )
    own = own_release(run, found)
    until = own.published_at if own is not None else run.ended_at
    return [each for each in found if until is None or each.published_at <= until]


def own_release(run: Run, releases: Sequence[ReleaseRow]) -> ReleaseRow | None:
    """Return which of the releases is what a run shipped; None where it is not published."""
    if not is_built(run):
        return None
    fitting = (each for each in releases if each.manifest_sha256 == run.manifest_sha256)
    return next(fitting, None)


def previous_release(run: Run, releases: Sequence[ReleaseRow]) -> ReleaseRow | None:
    """Return the release that a run follows: the newest of its channel that is another."""
    return next((e for e in releases if e.manifest_sha256 != run.manifest_sha256), None)


def load_files(ledger: Ledger, releases: Sequence[ReleaseRow]) -> tuple[Release, ...]:
    """Read the files of releases, oldest first; the oldest are left out where it is too much.

    Args:
        ledger: the ledger.
        releases: newest first. The first two are always read: what changed needs them.
    """
    found: list[Release] = []
    known: dict[str, tuple[ArtifactRow, ...]] = {}
    files = 0
    for each in releases:
        if each.manifest_sha256 not in known:
            files += each.files
            if files > _MOST_FILES and len(found) > 1:
                break
            known[each.manifest_sha256] = tuple(load_artifacts(ledger, each.manifest_sha256))
        found.append((each, known[each.manifest_sha256]))
    return tuple(reversed(found))
