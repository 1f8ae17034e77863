"""A fake of GitHub's REST API: workflows, their dispatch, their runs and jobs.

It serves over TCP, and over a Unix socket for the genuine ``gh``. It refuses what GitHub refuses:
requests without a user agent, foreign tokens, undeclared inputs, refs that do not exist.

Source: docs.github.com, "REST API endpoints for workflows" and "... for workflow runs", read
2026-11; messages as they stand in public issue threads.
"""

import json
import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.fakes.github_workflow import FakeWorkflow, RefusedInputsError
from tests.fakes.http_server import HttpServer, Reply, Request

DOCUMENTATION = "https://docs.github.com/rest"
VERSIONS = {"2022-11-28", "2026-03-10"}
FIRST_RUN_ID = 19_000_000_001
_PAGE = '<html><body>502 Bad Gateway "Unicorn!"</body></html>'
_KEYS = {"ref": str, "inputs": dict, "return_run_details": bool}


@dataclass(frozen=True)
class Call:
    """A request that arrived; ``changes`` says whether it may change anything."""

    method: str
    path: str
    query: str
    agent: str

    @property
    def changes(self) -> bool:
        """Whether it may change anything."""
        return self.method not in {"GET", "HEAD"}


@dataclass
class FakeRun:
    """A run of a workflow."""

    run_id: int
    workflow: FakeWorkflow
    ref: str
    inputs: dict[str, str]
    title: str
    created_at: datetime
    event: str = "workflow_dispatch"
    attempt: int = 1
    status: str = "queued"
    conclusion: str | None = None
    hidden_for: int = 0
    gone_for: int = 0


class FakeGithub(HttpServer):
    """One repository.

    Args:
        workflows: text of the workflow files by file name.
        repository: owner/name.
        refs: branches and tags that exist.
        tokens: right by token: ``write``, ``read`` (no dispatch), ``none`` (sees nothing).
        socket_path: Unix socket for gh.
        clock: seconds since 1970 in UTC, for the times of runs.

    Attributes:
        on_dispatch: does the work of a run, given its inputs and ref, and returns its
            conclusion; called when somebody looks at a run at work.
        faults: what goes wrong with the next requests to an operation, one each:
            ``502-before``, ``502-after``, ``reset-before``, ``reset-after``, ``page``,
            ``haste``, ``haste-retry-after``, ``haste-429``, ``404``.
        api: ``new``, ``old`` (answers a dispatch with 204) or ``older`` (and refuses
            the key ``return_run_details``).
        hidden_for: how many listings do not yet show a new run.
        gone_for: how many questions for a new run by its identifier are answered with 404.
        is_endless: runs never end.
        is_quick: a run has ended when it is looked at for the first time.
        gh_folder: configuration of gh that leads to the socket, where there is one.
    """

    def __init__(
        self,
        workflows: Mapping[str, str],
        *,
        repository: str = "owner/name",
        refs: tuple[str, ...] = ("main",),
        tokens: Mapping[str, str] | None = None,
        socket_path: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(socket_path=socket_path)
        self.repository = repository
        self.refs = list(refs)
        self.tokens = dict(tokens or {"good-token-1234": "write"})
        self.workflows = {
            file: FakeWorkflow.parse(file, text, 7000 + number)
            for number, (file, text) in enumerate(workflows.items())
        }
        self.on_dispatch: Callable[[Mapping[str, str], str], str] = lambda _inputs, _ref: "success"
        self.faults: dict[str, deque[str]] = {}
        self.api = "new"
        self.hidden_for = 0
        self.gone_for = 0
        self.is_endless = False
        self.is_quick = False
        self.gh_folder = ""
        self.calls: list[Call] = []
        self.runs: list[FakeRun] = []
        self._clock = clock

    @property
    def writes(self) -> list[Call]:
        """The requests that could change something."""
        return [call for call in self.calls if call.changes]

    def fail(self, operation: str, *faults: str) -> None:
        """Let the next requests to an operation go wrong."""
        self.faults.setdefault(operation, deque()).extend(faults)

    def add_run(self, file: str, ref: str, inputs: Mapping[str, str], **facts: Any) -> FakeRun:
        """Begin a run, as a dispatch by anybody does."""
        workflow = self.workflows[file]
        run = FakeRun(
            run_id=FIRST_RUN_ID + len(self.runs),
            workflow=workflow,
            ref=ref,
            inputs=dict(inputs),
            title=workflow.title(inputs),
            created_at=datetime.fromtimestamp(self._clock(), UTC).replace(microsecond=0),
            **{"hidden_for": self.hidden_for, "gone_for": self.gone_for, **facts},
        )
        with self._lock:
            self.runs.append(run)
        return run

    def answer(self, request: Request) -> Reply:
        """Answer a request as GitHub does."""
        agent = request.headers.get("user-agent", "")
        with self._lock:
            self.calls.append(Call(request.method, request.path, request.query, agent))
        operation, found = self._route(request)
        self.count(operation)
        if refusal := self._refuse_form(request, agent) or self._refuse_token(request):
            return refusal
        fault = self._fault(operation)
        if reply := _before(fault):
            return reply
        reply = found(request) if found else _said(404, "Not Found")
        return _after(fault) or reply

    def _route(self, request: Request) -> tuple[str, Callable[[Request], Reply] | None]:
        root = re.escape(f"/repos/{self.repository}")
        routes: list[tuple[str, str, str, Callable[..., Reply]]] = [
            ("GET", "workflow", r"/actions/workflows/([\w.-]+)", self._get_workflow),
            ("POST", "dispatch", r"/actions/workflows/([\w.-]+)/dispatches", self._dispatch),
            ("GET", "list", r"/actions/workflows/([\w.-]+)/runs", self._list),
            ("GET", "run", r"/actions/runs/(\d+)", self._get_run),
            ("GET", "jobs", r"/actions/runs/(\d+)/jobs", self._get_jobs),
            ("GET", "commit", r"/commits/([^/]+)", self._get_commit),
        ]
        for method, operation, pattern, answer in routes:
            match = re.fullmatch(root + pattern, request.path)
            if match and method == request.method:
                return operation, partial(answer, part=match[1])
        return "unknown", None

    def _refuse_form(self, request: Request, agent: str) -> Reply | None:
        if not agent:
            return _said(403, "Please make sure your request has a User-Agent header.")
        accept = request.headers.get("accept", "")
        if accept not in {"application/vnd.github+json", "application/json"}:
            return _said(415, f"Unsupported 'Accept' header: {accept!r}.")
        if request.headers.get("x-github-api-version", "2022-11-28") not in VERSIONS:
            return _said(400, "Invalid API version")
        return None

    def _refuse_token(self, request: Request) -> Reply | None:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() not in {"bearer", "token"} or token not in self.tokens:
            return _said(401, "Bad credentials")
        if self.tokens[token] == "none":
            return _said(404, "Not Found")
        if self.tokens[token] == "read" and request.method == "POST":
            return _said(403, "Resource not accessible by personal access token")
        return None

    def _fault(self, operation: str) -> str:
        with self._lock:
            waiting = self.faults.get(operation)
            return waiting.popleft() if waiting else ""

    def _get_workflow(self, _: Request, part: str) -> Reply:
        if part not in self.workflows:
            return _said(404, "Not Found")
        found = self.workflows[part]
        return _json(
            {
                "id": found.workflow_id,
                "name": found.name,
                "path": f".github/workflows/{part}",
                "state": found.state,
                "html_url": f"https://github.com/{self.repository}/actions/workflows/{part}",
            }
        )

    def _get_commit(self, _: Request, part: str) -> Reply:
        name = unquote(part)
        if name.removeprefix("refs/heads/").removeprefix("refs/tags/") not in self.refs:
            return _said(422, f"No commit found for SHA: {name}")
        return _json({"sha": "0" * 40})

    def _dispatch(self, request: Request, part: str) -> Reply:
        try:
            table = json.loads(request.body.read())
        except ValueError:
            return _said(400, "Problems parsing JSON")
        if part not in self.workflows:
            return _said(404, "Not Found")
        keys = set(_KEYS) - ({"return_run_details"} if self.api == "older" else set())
        for key, value in table.items():
            if key not in keys:
                return _said(422, f'Invalid request.\n\n"{key}" is not a permitted key.')
            if not isinstance(value, _KEYS[key]):
                return _said(422, f"Invalid request.\n\nFor 'properties/{key}', wrong type.")
        return self._begin(self.workflows[part], table)

    def _begin(self, workflow: FakeWorkflow, table: dict[str, Any]) -> Reply:
        ref = table.get("ref", "")
        if not ref:
            return _said(422, 'Invalid request.\n\n"ref" wasn\'t supplied.')
        name = ref.removeprefix("refs/heads/").removeprefix("refs/tags/")
        if name not in self.refs:
            return _said(422, f"No ref found for: {ref}")
        if workflow.state != "active":
            return _said(422, "Cannot trigger a 'workflow_dispatch' on a disabled workflow")
        try:
            inputs = workflow.accept(table.get("inputs", {}))
        except RefusedInputsError as error:
            return _said(422, str(error))
        run = self.add_run(workflow.file, name, inputs)
        if self.api != "new" or not table.get("return_run_details"):
            return Reply(204)
        return _json(
            {
                "workflow_run_id": run.run_id,
                "run_url": f"{self.url}/repos/{self.repository}/actions/runs/{run.run_id}",
                "html_url": self._page_of(run),
            }
        )

    def _list(self, request: Request, part: str) -> Reply:
        if part not in self.workflows:
            return _said(404, "Not Found")
        asked = {name: values[-1] for name, values in request.parameters().items()}
        with self._lock:
            runs = [r for r in reversed(self.runs) if r.workflow.file == part]
            shown = [run for run in runs if run.hidden_for <= 0 and _is_asked(run, asked)]
            for run in runs:
                run.hidden_for -= 1
        size, page = min(int(asked.get("per_page", 30)), 100), int(asked.get("page", 1))
        rows = [self._row(run) for run in shown[size * (page - 1) : size * page]]
        return _json({"total_count": len(shown), "workflow_runs": rows})

    def _get_run(self, _: Request, part: str) -> Reply:
        run = next((run for run in self.runs if run.run_id == int(part)), None)
        if run is None:
            return _said(404, "Not Found")
        if run.gone_for > 0:
            run.gone_for -= 1
            return _said(404, "Not Found")
        while self.is_quick and run.status != "completed":
            self._advance(run)
        row = self._row(run)
        self._advance(run)
        return _json(row)

    def _advance(self, run: FakeRun) -> None:
        """Go on by one state: what is at work does its work, and has then ended."""
        with self._lock:
            status = run.status
            if status == "queued":
                run.status = "in_progress"
            elif status == "in_progress" and not self.is_endless:
                run.status = "working"
        if run.status == "working" and status == "in_progress":
            run.conclusion = self.on_dispatch(run.inputs, run.ref)
            run.status = "completed"

    def _get_jobs(self, _: Request, part: str) -> Reply:
        run = next((run for run in self.runs if run.run_id == int(part)), None)
        if run is None:
            return _said(404, "Not Found")
        ended = run.conclusion if run.status == "completed" else None
        steps = [
            {"name": "Set up job", "status": "completed", "conclusion": "success", "number": 1},
            {"name": "Do the work", "status": "completed", "conclusion": ended, "number": 2},
        ]
        jobs = [
            {"id": 1, "name": "look", "conclusion": "success", "steps": steps[:1]},
            {"id": 2, "name": "work", "conclusion": ended, "steps": steps},
        ]
        has_jobs = run.conclusion not in {"startup_failure", "action_required"}
        return _json({"total_count": len(jobs), "jobs": jobs if has_jobs else []})

    def _page_of(self, run: FakeRun) -> str:
        return f"https://github.com/{self.repository}/actions/runs/{run.run_id}"

    def _row(self, run: FakeRun) -> dict[str, Any]:
        moment = run.created_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "id": run.run_id,
            "name": run.workflow.name,
            "head_branch": run.ref,
            "head_sha": "0" * 40,
            "path": f".github/workflows/{run.workflow.file}",
            "display_title": run.title,
            "run_number": run.run_id - FIRST_RUN_ID + 1,
            "run_attempt": run.attempt,
            "event": run.event,
            "status": "in_progress" if run.status == "working" else run.status,
            "conclusion": run.conclusion if run.status == "completed" else None,
            "workflow_id": run.workflow.workflow_id,
            "url": f"{self.url}/repos/{self.repository}/actions/runs/{run.run_id}",
            "html_url": self._page_of(run),
            "created_at": moment,
            "updated_at": moment,
        }


def _is_asked(run: FakeRun, asked: Mapping[str, str]) -> bool:
    since = asked.get("created", "")
    if since and not since.startswith(">="):
        raise ValueError(f"this fake knows created=>=TIME only, got {since!r}")
    return (
        asked.get("event", run.event) == run.event
        and asked.get("branch", run.ref) == run.ref
        and (not since or run.created_at >= datetime.fromisoformat(since[2:]))
    )


def _before(fault: str) -> Reply | None:
    """Answer before anything was done, or not at all."""
    if fault == "reset-before":
        raise ConnectionResetError(fault)
    if fault.startswith("haste"):
        headers = {"Retry-After": "3"} if fault == "haste-retry-after" else {}
        status = 429 if fault == "haste-429" else 403
        return _said(status, "You have exceeded a secondary rate limit. Please wait.", headers)
    if fault == "404":
        return _said(404, "Not Found")
    return _unicorn() if fault == "502-before" else None


def _after(fault: str) -> Reply | None:
    """Answer otherwise after it was done."""
    if fault == "reset-after":
        raise ConnectionResetError(fault)
    if fault == "page":
        return Reply(200, {"Content-Type": "text/html"}, b"<html>welcome</html>")
    return _unicorn() if fault == "502-after" else None


def _unicorn() -> Reply:
    return Reply(502, {"Content-Type": "text/html"}, _PAGE.encode())


def _said(status: int, message: str, headers: dict[str, str] | None = None) -> Reply:
    table = {"message": message, "documentation_url": DOCUMENTATION, "status": str(status)}
    return _json(table, status, headers)


def _json(table: Any, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    given = {"Content-Type": "application/json; charset=utf-8", **(headers or {})}
    return Reply(status, given, json.dumps(table).encode())
