"""Projects and channels at a glance: what failed, what runs, what stands. Deciding is pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from lading.ledger.ledger import Ledger
from lading.ledger.model import ProjectRow, ReleaseRow, Run, Step
from lading.ledger.read import RunFilter, list_projects, list_runs, load_run, standing_releases
from lading.ledger.verdict import Verdict, judge

RECENT = 12
"""How many runs are listed."""
_SEEN = 200  # runs that are looked through for the last one of each channel
_MOST_SHOWN = 8
_MOST_ASKED = 24
_NEEDS_A_PERSON = frozenset({"partial", "failed", "interrupted", "aborted"})

Place = tuple[str, str, str]
"""Project, channel and environment."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A run with its verdict."""

    run: Run
    """The run."""
    verdict: Verdict
    """What became of it."""

    @property
    def running(self) -> tuple[Step, ...]:
        """The steps that run now."""
        return tuple(each for each in self.run.steps if each.state == "running")


@dataclass(frozen=True, slots=True)
class Standing:
    """One channel of a project in one environment."""

    place: Place
    """Project, channel and environment."""
    release: ReleaseRow | None
    """What stands published there, or None."""
    last: Judged | None
    """Its last run, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What is shown at the door."""

    failed: tuple[Judged, ...]
    """What a person has to look at, newest first, as much as is shown."""
    all_failed: int
    """How many there are."""
    active: tuple[Judged, ...]
    """What runs or waits now, newest first, as much as is shown."""
    all_active: int
    """How many there are."""
    projects: tuple[tuple[ProjectRow, tuple[Standing, ...]], ...]
    """Every project with its channels, by slug; those without any come last."""
    recent: tuple[Judged, ...]
    """The last runs, newest first."""
    runs: int
    """How many runs the ledger holds."""
    at: datetime
    """When it was read."""

    @property
    def is_live(self) -> bool:
        """Whether something runs now."""
        return bool(self.active)


def load_overview(ledger: Ledger) -> Overview:
    """Read what is shown at the door: no logs, and steps only of what runs or failed."""
    page = list_runs(ledger, limit=_SEEN)
    standing = standing_releases(ledger)
    runs = [*page.runs, *_older(ledger, page.runs, standing)]
    failed, active = waiting_for_a_person(runs), [each for each in runs if is_active(each)]
    return Overview(
        failed=tuple(_load(ledger, each) for each in failed[:_MOST_SHOWN]),
        all_failed=len(failed),
        active=tuple(_load(ledger, each) for each in active[:_MOST_SHOWN]),
        all_active=len(active),
        projects=arrange(list_projects(ledger), standing, runs),
        recent=tuple(Judged(each, judge(each)) for each in page.runs[:RECENT]),
        runs=page.total,
        at=datetime.now(UTC),
    )


def is_active(run: Run) -> bool:
    """Say whether a run goes on, or waits for its turn."""
    return run.state in {"queued", "running"} and not run.is_aborted


def place_of(each: Run | ReleaseRow) -> Place:
    """Return where a run or a release belongs."""
    return each.project, each.channel, each.environment


def waiting_for_a_person(runs: Iterable[Run]) -> list[Run]:
    """Return the runs, newest first, that failed and that no later one of their kind made good."""
    seen: set[tuple[Place, str]] = set()
    found = []
    for each in runs:
        name = (place_of(each), each.kind)
        if is_active(each) or name in seen:
            continue
        seen.add(name)
        if judge(each).word in _NEEDS_A_PERSON:
            found.append(each)
    return found


def arrange(
    projects: Sequence[ProjectRow], standing: Sequence[ReleaseRow], runs: Sequence[Run]
) -> tuple[tuple[ProjectRow, tuple[Standing, ...]], ...]:
    """Put releases and last runs below their projects.

    Args:
        projects: the projects.
        standing: what stands published, one for each place.
        runs: newest first.
    """
    last: dict[Place, Run] = {}
    for each in runs:
        if each.channel:
            last.setdefault(place_of(each), each)
    released = {place_of(each): each for each in standing}
    found: dict[str, list[Standing]] = {each.slug: [] for each in projects}
    for place in _ordered({*last, *released}, released, last):
        run = last.get(place)
        judged = Judged(run, judge(run)) if run is not None else None
        found.setdefault(place[0], []).append(Standing(place, released.get(place), judged))
    known = {each.slug: each for each in projects}
    order = sorted(found, key=lambda slug: (not found[slug], slug))
    return tuple((known.get(slug, ProjectRow(slug=slug)), tuple(found[slug])) for slug in order)


def _ordered(
    places: Iterable[Place], released: Mapping[Place, ReleaseRow], last: Mapping[Place, Run]
) -> list[Place]:
    """Order places: production before others, then by when something happened there last."""

    def moment(place: Place) -> datetime:
        moments = [last[place].created_at] if place in last else []
        moments += [released[place].published_at] if place in released else []
        return max(moments)

    newest_first = sorted(sorted(places), key=moment, reverse=True)
    return sorted(newest_first, key=lambda place: place[2] != "production")


def _older(ledger: Ledger, seen: Sequence[Run], standing: Sequence[ReleaseRow]) -> list[Run]:
    """Read the last run of each place of which none was among the newest."""
    known = {place_of(each) for each in seen}
    lacking = [place_of(each) for each in standing if place_of(each) not in known]
    found: list[Run] = []
    for project, channel, environment in lacking[:_MOST_ASKED]:
        wanted = RunFilter(project=project, channel=channel, environment=environment)
        found += list_runs(ledger, wanted, limit=1).runs
    return found


def _load(ledger: Ledger, run: Run) -> Judged:
    whole = load_run(ledger, run.run_id) or run
    return Judged(whole, judge(whole))
