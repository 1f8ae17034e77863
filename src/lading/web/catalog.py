"""What can be published: the projects that are served, and their versions."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from lading.config.problems import nearest
from lading.errors import SourceError, UsageError
from lading.ledger import read
from lading.ledger.ledger import Ledger
from lading.ledger.model import ProjectRow, VersionRow
from lading.ship.versions import SourceVersion, list_versions, see_version
from lading.web.problems import AWAY_S, Fault, Problem, invalid, log_error
from lading.web.served import ProjectHere, Served

PLACE = "target_environment"
"""Field of a request that names the environment."""


class Catalog:
    """The projects of a server and of its ledger. Reads folders and the ledger at each call.

    Args:
        served: what is served.
        ledger: what happened.
    """

    def __init__(self, served: Served, ledger: Ledger) -> None:
        self._served = served
        self._ledger = ledger

    def list_projects(self) -> list[tuple[ProjectRow, ProjectHere | None]]:
        """Return every project that is served or that the ledger knows, by slug."""
        rows = {each.slug: each for each in read.list_projects(self._ledger)}
        for slug in self._served.projects:
            rows.setdefault(slug, ProjectRow(slug=slug))
        return [(rows[slug], self._served.projects.get(slug)) for slug in sorted(rows)]

    def find_project(self, slug: str) -> tuple[ProjectRow, ProjectHere | None]:
        """Return a project that is served or that the ledger knows.

        Raises:
            Problem: there is none of that name.
        """
        known = {row.slug: (row, here) for row, here in self.list_projects()}
        if slug not in known:
            raise _no_project(slug, known)
        return known[slug]

    def find_served(self, slug: str) -> ProjectHere:
        """Return a project that can be published from here.

        Raises:
            Problem: there is none of that name.
        """
        here = self._served.projects.get(slug)
        if here is None:
            raise _no_project(slug, self._served.projects)
        return here

    def list_versions(self, slug: str) -> list[VersionRow]:
        """Return the versions of a project: those at its source, newest first, then those gone.

        Raises:
            Problem: the source cannot be read.
        """
        told = {each.version: each for each in read.list_versions(self._ledger, slug)}
        here = self._served.projects.get(slug)
        if here is None:
            return [*told.values()]
        with _reading(slug):
            found = [_row(slug, each) for each in reversed(list_versions(here.config, here.folder))]
        merged = [merge(each, told.pop(each.version, each)) for each in found]
        return [*merged, *told.values()]

    def require_ready(self, here: ProjectHere, environment: str, version: str) -> None:
        """Do nothing where a version may be published to an environment.

        Raises:
            Problem: there is no such version; it is not ready, with what is missing; it does not
                fit the environment; or the source cannot be read.
        """
        try:
            with _reading(here.slug):
                found = see_version(here.config, here.folder, environment, version)
        except UsageError as error:
            told = f"{PLACE}: {error}"
            raise invalid([Fault(detail=told, pointer=f"#/{PLACE}")]) from None
        if not found.stands:
            raise Problem(
                "not-found",
                f"version: expected one of project {here.slug}, got {version!r}"
                + nearest(version, self._names(here)),
            )
        if found.state != "ready":
            told = f"version {version}: expected one that is ready, got {found.detail}"
            raise Problem("not-ready", told)

    def _names(self, here: ProjectHere) -> list[str]:
        with _reading(here.slug):
            return [each.version for each in list_versions(here.config, here.folder)]


@contextmanager
def _reading(slug: str) -> Iterator[None]:
    try:
        yield
    except SourceError as error:
        instance = log_error(error, f"reading the source of {slug}")
        told = f"expected the source of project {slug} to be readable, got none; see {instance}"
        raise Problem("source-away", told, headers={"Retry-After": str(AWAY_S)}) from None


def require_environment(here: ProjectHere, name: str) -> None:
    """Do nothing where a project can be published to an environment.

    Raises:
        Problem: it has no such environment; the nearest is named.
    """
    if name in here.environments:
        return
    known = (
        f"one of {', '.join(here.environments)}" if here.environments else "a channel with a root"
    )
    told = f"{PLACE}: expected {known}, got {name[:100]!r}"
    fault = Fault(detail=told + nearest(name[:100], here.environments), pointer=f"#/{PLACE}")
    raise invalid([fault])


def merge(found: VersionRow | None, told: VersionRow) -> VersionRow:
    """Return a version: how its files stand where they do, and else what was told of it."""
    if found is None:
        return told
    if found.state == "ready" and told.state in {"published", "failed"}:
        return told
    return replace(found, changed_at=told.changed_at)


def _row(slug: str, found: SourceVersion) -> VersionRow:
    return VersionRow(project=slug, version=found.version, state=found.state, detail=found.detail)


def _no_project(slug: str, known: Iterable[str]) -> Problem:
    told = f"project: expected one that is served, got {slug!r}{nearest(slug, known)}"
    return Problem("not-found", told)
