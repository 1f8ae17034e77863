"""Operations on jobs: what was asked for, how it goes; stop it, try it again, follow it."""

from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Header, Path, Query
from fastapi.responses import JSONResponse, Response

from lading.ledger import queue, read
from lading.ledger.documents import LEVELS, log_table
from lading.ledger.model import Run, RunState
from lading.web.answers import JobBody, JobList, LogList, job_body, job_row, problems
from lading.web.auth import Admin, Reader
from lading.web.parts import Here, Parts
from lading.web.problems import Problem
from lading.web.streams import MEDIA_TYPE, TAIL, EventStream, parse_last_id

RUN_NAME = r"^[0-9]{8}T[0-9]{6}-[0-9a-f]{10}$"
SLUG = r"^[a-z0-9][a-z0-9_-]*$"
LONGEST = 200  # of a name, as the ledger has room for
MOST = 2**53 - 1
"""The largest number that every reader of JSON can keep."""

JobId = Annotated[
    str, Path(pattern=RUN_NAME, description="Name of the job, such as 20261121T203000-5f3a09c1de.")
]
Name = Annotated[str, Query(pattern=f"{SLUG}|^$", max_length=LONGEST)]
Level = Literal["debug", "info", "warning", "error", "critical"]
_NUMBERS = {name: number for number, name in LEVELS.items()}
EVENT = {
    "type": "object",
    "required": ["event", "id", "data"],
    "properties": {
        "event": {"enum": ["log", "step", "progress", "end"], "description": "What it tells."},
        "id": {"type": "string", "description": "What to come back with as Last-Event-ID."},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "description": "A log line, a step, how far the whole is, or how it ended.",
        },
    },
}
"""Form of an event of a stream."""

router = APIRouter(tags=["jobs"])


@router.get("/jobs", response_model=JobList, summary="List jobs, newest first")
def list_jobs(
    parts: Here,
    caller: Reader,
    project: Name = "",
    environment: Name = "",
    state: Annotated[RunState | None, Query(description="How it stands.")] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="How many at most.")] = 50,
    offset: Annotated[int, Query(ge=0, le=MOST, description="How many are left out.")] = 0,
) -> Response:
    """List jobs; `Link` names the first, previous, next and last part of the list."""
    del caller
    wanted = read.RunFilter(
        project=project, environment=environment, state=state or "", only_jobs=True
    )
    page = read.list_runs(parts.ledger, wanted, limit=limit, offset=offset)
    filters = {"project": project, "environment": environment, "state": state or ""}
    link = render_links("/jobs", filters, limit=limit, offset=offset, total=page.total)
    body = {"jobs": [job_row(each) for each in page.runs], "total": page.total}
    return JSONResponse(body, headers={"Link": link})


@router.get(
    "/jobs/{job_id}",
    response_model=JobBody,
    responses=problems("not-found"),
    summary="Say how a job goes",
)
def show_job(
    parts: Here,
    caller: Reader,
    job_id: JobId,
    logs: Annotated[int, Query(ge=0, le=1000, description="Last log lines to show.")] = 20,
) -> Response:
    """Say how a job stands: status, progress, steps, targets, result, error, last log lines."""
    del caller
    run = find_job(parts, job_id)
    lines = read.load_logs(parts.ledger, job_id, limit=logs, last=True) if logs else []
    return JSONResponse(job_body(run, lines))


@router.get(
    "/jobs/{job_id}/logs",
    response_model=LogList,
    responses=problems("not-found"),
    summary="Read the log of a job",
)
def show_logs(
    parts: Here,
    caller: Reader,
    job_id: JobId,
    after: Annotated[
        int, Query(ge=0, le=MOST, description="Only lines of a greater number than this.")
    ] = 0,
    level: Annotated[Level, Query(description="Only lines of this level and above.")] = "debug",
    limit: Annotated[int, Query(ge=1, le=1000, description="How many at most.")] = 200,
) -> Response:
    """Read log lines in their order; `after` of the answer asks for the next ones."""
    del caller
    find_job(parts, job_id)
    lines = read.load_logs(parts.ledger, job_id, after=after, level=_least(level), limit=limit)
    last = lines[-1].number if lines else after
    return JSONResponse({"logs": [log_table(each) for each in lines], "after": last})


@router.post(
    "/jobs/{job_id}/cancel",
    response_model=JobBody,
    responses={
        202: {"model": JobBody, "description": "It was asked to stop"},
        **problems("not-found", "has-ended", "forbidden", "other-origin"),
    },
    summary="Cancel a job",
)
def cancel_job(parts: Here, caller: Admin, job_id: JobId) -> Response:
    """Cancel a queued job at once; ask a running one to stop. Safe to repeat."""
    del caller
    find_job(parts, job_id)
    run = queue.cancel(parts.ledger, job_id, parts.now())
    if run is None:
        raise _no_job(job_id)
    if run.state in {"completed", "failed"}:
        raise Problem("has-ended", f"job {job_id}: expected one that goes on, got {run.state}")
    return JSONResponse(job_body(run, []), status_code=200 if run.has_ended else 202)


@router.post(
    "/jobs/{job_id}/retry",
    status_code=202,
    response_model=JobBody,
    responses=problems("not-found", "not-retryable", "forbidden", "other-origin"),
    summary="Try an ended job again",
)
def retry_job(parts: Here, caller: Admin, job_id: JobId) -> Response:
    """Add a job that tries one again which failed or was cancelled. Safe to repeat."""
    find_job(parts, job_id)
    try:
        run, _ = queue.retry(parts.ledger, job_id, caller.name, parts.now())
    except queue.NotEnded:
        told = f"job {job_id}: expected one that failed or was cancelled, got another"
        raise Problem("not-retryable", told) from None
    return accept(run)


@router.get(
    "/jobs/{job_id}/events",
    response_class=Response,
    responses={
        200: {
            "description": "Events `progress`, `step`, `log`, and at last `end`",
            "content": {MEDIA_TYPE: {"itemSchema": EVENT}},
        },
        204: {"description": "All was told before: do not come back"},
        **problems("not-found", "too-many-streams", "too-many-requests"),
    },
    summary="Follow a job live",
)
def follow_job(
    parts: Here,
    caller: Reader,
    job_id: JobId,
    last_event_id: Annotated[
        str, Header(max_length=40, description="Id of the last event that was got.")
    ] = "",
) -> Response:
    """Follow a job by server-sent events until it has ended."""
    del caller
    run = find_job(parts, job_id)
    after, was_end = parse_last_id(last_event_id)
    if was_end and run.has_ended:
        return Response(status_code=204)
    if after is None:
        after = _before_tail(parts, job_id)
    return EventStream(parts.streams, parts.streams.follow(job_id, after))


def accept(run: Run) -> JSONResponse:
    """Answer that a job is in the queue, and where it is asked for."""
    headers = {"Location": f"/jobs/{run.run_id}"}
    return JSONResponse(job_body(run, []), status_code=202, headers=headers)


def find_job(parts: Parts, job_id: str) -> Run:
    """Return a job.

    Raises:
        Problem: there is none of that name.
    """
    run = read.load_run(parts.ledger, job_id)
    if run is None or not run.requested_by:
        raise _no_job(job_id)
    return run


def render_links(path: str, filters: dict[str, Any], *, limit: int, offset: int, total: int) -> str:
    """Write a header ``Link`` (RFC 8288) of the parts of a list."""
    last = max((total - 1) // limit * limit, 0)
    places = {"first": 0, "last": last}
    if offset > 0:
        places["prev"] = max(min(offset - limit, last), 0)
    if offset + limit < total:
        places["next"] = offset + limit
    given = {name: value for name, value in filters.items() if value}
    links = []
    for relation, place in places.items():
        query = urlencode({**given, "limit": limit, "offset": place})
        links.append(f'<{path}?{query}>; rel="{relation}"')
    return ", ".join(links)


def _before_tail(parts: Parts, job_id: str) -> int:
    tail = read.load_logs(parts.ledger, job_id, limit=TAIL, last=True)
    return tail[0].number - 1 if tail else 0


def _least(level: Level) -> int:
    return 0 if level == "debug" else _NUMBERS[level]


def _no_job(job_id: str) -> Problem:
    return Problem("not-found", f"job: expected one that the ledger knows, got {job_id!r}")
