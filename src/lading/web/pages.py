"""The pages: read-only, rendered here, whole without JavaScript."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.params import Depends as Dependency
from fastapi.responses import HTMLResponse

from lading.errors import LedgerError
from lading.ledger.ledger import Ledger
from lading.ledger.model import ENDED, Run
from lading.ledger.read import (
    RunFilter,
    list_projects,
    list_releases,
    list_runs,
    load_artifacts,
    load_release,
    load_run,
)
from lading.ledger.verdict import judge
from lading.web.account import (
    RELEASES,
    load_files,
    load_tails,
    own_release,
    previous_release,
    releases_until,
)
from lading.web.diff import Changes, compare_files
from lading.web.history_view import view_history
from lading.web.overview import Judged, load_overview
from lading.web.release_view import view_release
from lading.web.run_view import RunView, view_run
from lading.web.served import Served
from lading.web.showing import PAGE_LIMITS, content_policy, render, warm_up

RUNS_A_PAGE = 50
FILES_A_PAGE = 500
STATES = ("queued", "running", *sorted(ENDED))
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": content_policy(),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_FILTERS = ("project", "channel", "environment", "tag", "state", "kind")
_LONGEST_FILTER = 200
_FEWEST, _MOST_PAGES = 1, 1_000_000

Text = Annotated[str, Query()]


def add_pages(app: Any, served: Served, ledger: Ledger, *, reader: Any) -> None:
    """Add the pages to an application.

    ``/``, ``/runs``, ``/runs/{run_id}``, ``/runs/{run_id}/live`` (what of it moves),
    ``/releases/{manifest_sha256}/{environment}``,
    ``/history/{project}/{channel}/{environment}``.

    Args:
        app: a ``fastapi.FastAPI``.
        served: what is served.
        ledger: where it is read.
        reader: FastAPI's dependency that lets only readers in.
    """
    guard = reader if isinstance(reader, Dependency) else Depends(reader)
    router = APIRouter(
        dependencies=[guard], include_in_schema=False, default_response_class=HTMLResponse
    )
    pages = Pages(served, ledger)
    warm_up()
    routes: Mapping[str, Callable[..., HTMLResponse]] = {
        "/": pages.overview,
        "/runs": pages.runs,
        "/runs/{run_id}": pages.run,
        "/runs/{run_id}/live": pages.run_live,
        "/releases/{manifest_sha256}/{environment}": pages.release,
        "/history/{project}/{channel}/{environment}": pages.history,
    }
    for path, endpoint in routes.items():
        router.add_api_route(path, endpoint, methods=["GET"])
    app.include_router(router)


class Pages:
    """Reads the ledger and renders it; each page only what it shows.

    Args:
        served: what is served.
        ledger: where it is read.
    """

    def __init__(self, served: Served, ledger: Ledger) -> None:
        self._served = served
        self._ledger = ledger
        # of two manifests, which never change: it is told alike for ever
        self._compare = lru_cache(maxsize=64)(self._compare_manifests)

    def overview(self, request: Request) -> HTMLResponse:
        """Answer with projects and channels at a glance."""
        return self._answer(request, "overview.html", lambda: {"view": load_overview(self._ledger)})

    def runs(self, request: Request, page: Text = "1") -> HTMLResponse:
        """Answer with a list of runs, filtered and paged by what the URL says."""
        values = {
            name: request.query_params.get(name, "")[:_LONGEST_FILTER].replace("\0", "")
            for name in _FILTERS
        }
        number = min(max(int(page), _FEWEST), _MOST_PAGES) if page.isdecimal() else _FEWEST

        def load() -> dict[str, Any]:
            offset = (number - 1) * RUNS_A_PAGE
            found = list_runs(self._ledger, _filter_of(values), limit=RUNS_A_PAGE, offset=offset)
            return {
                "rows": [Judged(each, judge(each)) for each in found.runs],
                "total": found.total,
                "page": number,
                "pages": max((found.total + RUNS_A_PAGE - 1) // RUNS_A_PAGE, 1),
                "values": values,
                "states": STATES,
                "projects": list_projects(self._ledger),
            }

        return self._answer(request, "runs.html", load)

    def run(self, request: Request, run_id: str) -> HTMLResponse:
        """Answer with a run."""
        return self._answer(request, "run.html", lambda: self._run(run_id))

    def run_live(self, request: Request, run_id: str) -> HTMLResponse:
        """Answer with what of a run moves: its page asks for it again and again."""
        return self._answer(request, "run_live.html", lambda: self._run(run_id))

    def release(self, request: Request, manifest_sha256: str, environment: str) -> HTMLResponse:
        """Answer with a release and its files."""

        def load() -> dict[str, Any] | None:
            release = load_release(self._ledger, manifest_sha256, environment)
            if release is None:
                return None
            run = load_run(self._ledger, release.run_id)
            files = load_artifacts(self._ledger, manifest_sha256)
            title = self._title(release.project) or (run.title if run else "")
            limit = FILES_A_PAGE if request.query_params.get("files") != "all" else len(files)
            return {"view": view_release(release, run, files, title=title, limit=limit)}

        return self._answer(request, "release.html", load)

    def history(
        self, request: Request, project: str, channel: str, environment: str
    ) -> HTMLResponse:
        """Answer with the sizes and rows of the last releases of a channel."""

        def load() -> dict[str, Any] | None:
            place = {"channel": channel, "environment": environment}
            releases = list_releases(self._ledger, project, **place, limit=RELEASES)
            if not releases:
                return None
            view = view_history(load_files(self._ledger, releases), limit=PAGE_LIMITS.bars)
            return {"view": view, "place": (project, channel, environment)}

        return self._answer(request, "history.html", load)

    def _run(self, run_id: str) -> dict[str, Any] | None:
        run = load_run(self._ledger, run_id)
        if run is None:
            return None
        return {"view": self._view(run)}

    def _view(self, run: Run) -> RunView:
        releases = releases_until(self._ledger, run)
        previous = previous_release(run, releases)
        changes = None
        if previous is not None and run.manifest_sha256:
            changes = self._changes(previous.manifest_sha256, run.manifest_sha256)
        return view_run(
            run,
            judge(run),
            at=datetime.now(UTC),
            tails=load_tails(self._ledger, run),
            release=own_release(run, releases),
            previous=previous,
            changes=changes,
            limits=PAGE_LIMITS,
        )

    def _changes(self, before: str, after: str) -> Changes | None:
        try:
            return self._compare(before, after)
        except LookupError:
            return None

    def _compare_manifests(self, before: str, after: str) -> Changes:
        old, new = load_artifacts(self._ledger, before), load_artifacts(self._ledger, after)
        if not (old and new):
            raise LookupError(before, after)  # not remembered: it may come yet
        return compare_files(old, new)

    def _title(self, project: str) -> str:
        here = self._served.projects.get(project)
        return here.config.project.title if here is not None else ""

    def _answer(
        self, request: Request, template: str, load: Callable[[], Mapping[str, Any] | None]
    ) -> HTMLResponse:
        root, status = str(request.scope.get("root_path", "")), 200
        try:
            found = load()
        except LedgerError as error:
            found, status = {"said": str(error), "what": "The ledger does not answer"}, 503
        if found is None:
            found, status = (
                {"said": request.url.path, "what": "The ledger knows nothing of it"},
                404,
            )
        name = template if status == 200 else "missing.html"  # noqa: PLR2004  a status
        return HTMLResponse(render(name, root=root, **found), status, headers=HEADERS)


def _filter_of(values: Mapping[str, str]) -> RunFilter:
    return RunFilter(
        project=values["project"],
        channel=values["channel"],
        environment=values["environment"],
        tag=values["tag"],
        state=values["state"],
        kind=values["kind"],
    )
