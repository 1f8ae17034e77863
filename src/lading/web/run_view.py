"""A run as its page and its report show it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from lading.ledger.model import LogLine, ReleaseRow, Run, Step, Target
from lading.ledger.verdict import Verdict
from lading.web.diff import Changes
from lading.web.showing import Limits
from lading.web.timeline import Bar, Timeline, draw_timeline, pick

_LOUD = frozenset({"failed", "interrupted", "running"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """What is shown of a run."""

    run: Run
    """The run."""
    verdict: Verdict
    """What became of it."""
    at: datetime
    """When it was read."""
    is_live: bool
    """Whether it may still change."""
    running: tuple[Step, ...]
    """The steps that run now."""
    targets: tuple[Target, ...]
    """The matrix, as many rows as are shown."""
    timeline: Timeline
    """Its steps over its time."""
    bars: tuple[Bar, ...]
    """The bars that are shown: those that say something first, in their order."""
    tails: Mapping[str, Sequence[LogLine]]
    """The last log lines, by task; those of the run as ""."""
    drifted: frozenset[str]
    """Tasks whose receipts prove another release than the one that the run ships."""
    release: ReleaseRow | None
    """What it published, or None."""
    previous: ReleaseRow | None
    """The release that it follows, or None."""
    changes: Changes | None
    """What changed against that; None where one of the two is not known."""


def view_run(  # noqa: PLR0913  a page of parts
    run: Run,
    verdict: Verdict,
    *,
    at: datetime,
    tails: Mapping[str, Sequence[LogLine]],
    release: ReleaseRow | None = None,
    previous: ReleaseRow | None = None,
    changes: Changes | None = None,
    limits: Limits,
) -> RunView:
    """Make out of a run what is shown of it."""
    timeline = draw_timeline(run, at)
    is_live = not run.has_ended and not run.is_aborted
    return RunView(
        run=run,
        verdict=verdict,
        at=at,
        is_live=is_live,
        running=tuple(e for e in run.steps if is_live and e.state == "running")[: limits.bars],
        targets=pick(run.targets, limits.rows, is_wanted=[e.state in _LOUD for e in run.targets]),
        timeline=timeline,
        bars=pick(
            timeline.bars, limits.bars, is_wanted=[e.step.state in _LOUD for e in timeline.bars]
        ),
        tails={name: lines[-limits.lines :] for name, lines in tails.items()},
        drifted=_drifted(run),
        release=release,
        previous=previous,
        changes=changes,
    )


def _drifted(run: Run) -> frozenset[str]:
    if not run.manifest_sha256:
        return frozenset()
    return frozenset(
        each.task
        for each in run.receipts
        if each.manifest_sha256 and each.manifest_sha256 != run.manifest_sha256
    )
