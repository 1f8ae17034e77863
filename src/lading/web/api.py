"""The API as a whole: its operations, and the description that it gives of itself."""

from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Path, Query
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, Response

import lading
from lading.errors import LedgerError
from lading.ledger import read
from lading.ledger.documents import run_table, runs_table
from lading.web import jobs, projects, publishing
from lading.web.answers import Health, RunBody, RunList, problems
from lading.web.auth import Reader
from lading.web.jobs import MOST, JobId, Name
from lading.web.parts import Here
from lading.web.problems import AWAY_S, KINDS, KindBody, Problem, ProblemBody, log_error, type_of

DESCRIPTION = """Publish versions of projects, and see what became of them.

A publish is asked for with `POST /projects/{slug}/versions/{version}/publish`; it is answered at
once with a job, which is asked for, or followed, until it has ended. Every error is a problem as
RFC 9457 has it. Times are UTC, sizes are bytes, durations are seconds."""
ALWAYS = (
    "malformed",
    "unauthorized",
    "too-large",
    "invalid",
    "too-many-requests",
    "internal",
    "ledger-away",
)
"""Problems that every operation may answer with."""
_NOBODY = "00000000T000000-0000000000"  # a run that there is not: looked up at no cost

router = APIRouter()


@router.get(
    "/healthz",
    tags=["server"],
    response_model=Health,
    summary="Say whether the server and its ledger answer",
)
def show_health(parts: Here) -> Response:
    """Say that the server answers and reaches its ledger; needs no token."""
    try:
        read.load_run(parts.ledger, _NOBODY)
    except LedgerError as error:
        log_error(error, "GET /healthz")
        told = "expected a ledger that answers, got none"
        raise Problem("ledger-away", told, headers={"Retry-After": str(AWAY_S)}) from None
    return JSONResponse({"status": "ok", "version": lading.__version__})


@router.get(
    "/problems/{code}",
    tags=["server"],
    response_model=KindBody,
    responses=problems("not-found"),
    summary="Explain a kind of problem",
)
async def show_kind(
    code: Annotated[str, Path(max_length=40, description="Last part of the problem's type.")],
) -> Response:
    """Explain a kind of problem; needs no token."""
    kind = KINDS.get(code)
    if kind is None:
        raise Problem("not-found", f"expected one of {', '.join(KINDS)}, got {code!r}")
    body = KindBody(type=type_of(code), title=kind.title, status=kind.status, remedy=kind.remedy)
    return JSONResponse(body.model_dump())


@router.get("/runs.json", tags=["runs"], response_model=RunList, summary="List runs, newest first")
def list_runs(
    parts: Here,
    caller: Reader,
    project: Name = "",
    environment: Name = "",
    limit: Annotated[int, Query(ge=1, le=200, description="How many at most.")] = 50,
    offset: Annotated[int, Query(ge=0, le=MOST, description="How many are left out.")] = 0,
) -> Response:
    """List all runs: jobs, and what people and CI began; as `lading history --json` does."""
    del caller
    wanted = read.RunFilter(project=project, environment=environment)
    page = read.list_runs(parts.ledger, wanted, limit=limit, offset=offset)
    filters = {"project": project, "environment": environment}
    link = jobs.render_links("/runs.json", filters, limit=limit, offset=offset, total=page.total)
    return JSONResponse(runs_table(page.runs, page.total), headers={"Link": link})


@router.get(
    "/runs/{job_id}.json",
    tags=["runs"],
    response_model=RunBody,
    responses=problems("not-found"),
    summary="Show a run",
)
def show_run(parts: Here, caller: Reader, job_id: JobId) -> Response:
    """Show any run, as `lading status --json` does."""
    del caller
    run = read.load_run(parts.ledger, job_id)
    if run is None:
        raise Problem("not-found", f"run: expected one that the ledger knows, got {job_id!r}")
    return JSONResponse(run_table(run))


class Api(FastAPI):
    """An application that describes itself as it is: its problems are problems."""

    def openapi(self) -> dict[str, Any]:
        """Return the description of the operations."""
        return describe(self)


def add_api(app: FastAPI) -> None:
    """Add the operations to an application."""
    for each in (publishing.router, jobs.router, projects.router, router):
        app.include_router(each, responses=problems(*ALWAYS))


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the description of the operations (OpenAPI), which is made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title="Lading",
            version=lading.__version__,
            description=DESCRIPTION,
            routes=app.routes,
        )
        problem = ProblemBody.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(problem.pop("$defs", {}))
        schemas["Problem"] = problem
        app.openapi_schema = made
    return app.openapi_schema
