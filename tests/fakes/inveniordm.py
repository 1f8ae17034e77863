"""An InvenioRDM as Zenodo runs it: its records API, with what it refuses and how it fails.

Written after the sources of invenio-rdm-records, invenio-drafts-resources and
invenio-records-resources, and Zenodo's configuration (November 2026).
"""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from tests.fakes.http_server import HttpServer, Reply, Request
from tests.fakes.inveniordm_state import (
    Draft,
    Refusal,
    State,
    require_publishable,
)

PAGE_LIMIT = 100
HTML = b"<html><head><title>502</title></head><body><h1>Bad Gateway</h1></body></html>"
DEFAULT_AGENTS = ("python-httpx/", "python-requests/", "python-urllib", "curl/")
ROUTES = (
    ("GET", r"/api/user/records", "mine"),
    ("POST", r"/api/records", "create"),
    ("GET", r"/api/records/([^/]+)", "record"),
    ("GET", r"/api/records/([^/]+)/files", "record_files"),
    ("GET", r"/api/records/([^/]+)/versions", "versions"),
    ("POST", r"/api/records/([^/]+)/versions", "new_version"),
    ("GET", r"/api/records/([^/]+)/versions/latest", "latest"),
    ("GET", r"/api/records/([^/]+)/draft", "draft"),
    ("PUT", r"/api/records/([^/]+)/draft", "update"),
    ("POST", r"/api/records/([^/]+)/draft/pids/doi", "doi"),
    ("POST", r"/api/records/([^/]+)/draft/actions/publish", "publish"),
    ("POST", r"/api/records/([^/]+)/draft/actions/files-import", "import"),
    ("GET", r"/api/records/([^/]+)/draft/files", "files"),
    ("POST", r"/api/records/([^/]+)/draft/files", "register"),
    ("GET", r"/api/records/([^/]+)/draft/files/([^/]+)", "file"),
    ("DELETE", r"/api/records/([^/]+)/draft/files/([^/]+)", "delete_file"),
    ("PUT", r"/api/records/([^/]+)/draft/files/([^/]+)/content", "content"),
    ("PUT", r"/api/records/([^/]+)/draft/files/([^/]+)/content/(\d+)", "part"),
    ("POST", r"/api/records/([^/]+)/draft/files/([^/]+)/commit", "commit"),
)


@dataclass(frozen=True)
class Call:
    """A request that arrived."""

    operation: str
    """Which of ROUTES."""
    method: str
    path: str
    agent: str
    writes: bool
    """Whether it could change something."""


@dataclass
class Fault:
    """How an operation fails.

    ``502``: an HTML page, nothing done. ``502-after``, ``504-after``: the same, but done.
    ``html``: 200 with an HTML page, done. ``reset``: the connection ends before anything is done,
    ``reset-after`` when all is done. ``truncate``: fewer bytes are stored, and the answer is 200.
    ``forget``: the bytes are not kept, and the file is forgotten, and the answer is 200.
    ``429``, ``429-after`` with Retry-After, ``429-reset`` with X-RateLimit-Reset; nothing done.
    """

    kind: str
    times: int = 1


@dataclass
class Cut:
    """A callback at the n-th request, counted from 1."""

    number: int
    callback: Callable[[], None]
    after: bool = False


class FakeInvenioRdm(HttpServer):
    """Serves one InvenioRDM.

    Args:
        tokens: owner by token.
        knows_concepts: whether the identifier of a concept leads to its latest version.
    """

    def __init__(
        self, tokens: dict[str, str] | None = None, *, knows_concepts: bool = True
    ) -> None:
        super().__init__()
        self.state = State(knows_concepts=knows_concepts)
        self.tokens = tokens or {"token-of-ours": "us", "token-of-theirs": "them"}
        self.calls: list[Call] = []
        self.cuts: list[Cut] = []
        self.search_lags = 0
        self._faults: dict[str, list[Fault]] = {}

    def fail(self, operation: str, kind: str, times: int = 1) -> None:
        """Let the next requests of an operation fail; see ``Fault``."""
        self._faults.setdefault(operation, []).append(Fault(kind, times))

    def cut(self, number: int, callback: Callable[[], None], *, after: bool = False) -> None:
        """Call back at the n-th request from now on, before it is done or after."""
        self.cuts.append(Cut(len(self.calls) + number, callback, after))

    def writes(self) -> list[str]:
        """Return the operations that could change something, in their order."""
        return [each.operation for each in self.calls if each.writes]

    def answer(self, request: Request) -> Reply:
        """Do what is asked, or fail as told."""
        operation, parts = _route(request)
        with self._lock:
            writes = request.method != "GET"
            agent = request.headers.get("user-agent", "")
            self.calls.append(Call(operation, request.method, request.path, agent, writes))
            number = len(self.calls)
            fault = self._next_fault(operation)
        self._call_back(number, after=False)
        if reply := _fails_before(fault):
            request.body.drain()
            return reply
        if fault == "reset":
            request.body.read_into(request.body.scratch[: (request.body.length or 0) // 2])
            raise ConnectionResetError
        data = request.body.read()
        with self._lock:
            reply = self._reply(request, operation, parts, data, fault)
        self._call_back(number, after=True)
        return _fails_after(fault) or reply

    def _call_back(self, number: int, *, after: bool) -> None:
        for each in self.cuts:
            if (each.number, each.after) == (number, after):
                each.callback()

    def _next_fault(self, operation: str) -> str:
        waiting = self._faults.get(operation) or self._faults.get("*") or []
        while waiting and not waiting[0].times:
            waiting.pop(0)
        if not waiting:
            return ""
        waiting[0].times -= 1
        return waiting[0].kind

    def _reply(
        self, request: Request, operation: str, parts: list[str], data: bytes, fault: str
    ) -> Reply:
        try:
            user = self._require_user(request, operation)
            table = json.loads(data) if data and operation not in {"content", "part"} else None
            doing = getattr(self, f"_do_{operation}")
            reply: Reply = doing(_Asked(request, user, parts, data, table, fault))
        except Refusal as refusal:
            return _json(refusal.status, refusal.table)
        return reply

    def _require_user(self, request: Request, operation: str) -> str:
        agent = request.headers.get("user-agent", "")
        if not agent or agent.lower().startswith(DEFAULT_AGENTS):
            raise Refusal(403, "Our services do not welcome unnamed tools.")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        user = self.tokens.get(token, "") if scheme == "Bearer" else ""
        public = operation in {"record", "record_files", "versions", "latest"}
        if not user and (token or not public):
            raise Refusal(401 if token else 403, "Permission denied.")
        if request.headers.get("accept") != "application/vnd.inveniordm.v1+json":
            raise Refusal(406, "The legacy shape is not played here.")
        return user

    # what each operation does

    def _do_unknown(self, asked: "_Asked") -> Reply:
        raise Refusal(404, f"No such route: {asked.request.method} {asked.request.path}")

    def _do_mine(self, asked: "_Asked") -> Reply:
        rows = [self._render(each) for each in self.state.newest_of(asked.user)]
        return self._found(asked, rows)

    def _do_versions(self, asked: "_Asked") -> Reply:
        record = self.state.published(asked.parts[0])
        found = self.state.versions_of(record.concept)
        return self._found(asked, [self._render(each) for each in found])

    def _do_record(self, asked: "_Asked") -> Reply:
        name = asked.parts[0]
        if name in self.state.concepts():
            latest = self.state.latest(name)
            return Reply(302, {"Location": f"/api/records/{latest.id}"})
        return _json(200, self._render(self.state.published(name)))

    def _do_latest(self, asked: "_Asked") -> Reply:
        latest = self.state.latest(asked.parts[0])
        return Reply(301, {"Location": f"{self.url}/api/records/{latest.id}"})

    def _do_record_files(self, asked: "_Asked") -> Reply:
        return _files(self.state.published(asked.parts[0]))

    def _do_create(self, asked: "_Asked") -> Reply:
        draft = self.state.begin(asked.user)
        errors = draft.describe(asked.table)
        return _json(201, self._render(draft, errors))

    def _do_new_version(self, asked: "_Asked") -> Reply:
        draft = self.state.new_version(asked.parts[0], asked.user)
        return _json(201, self._render(draft))

    def _do_draft(self, asked: "_Asked") -> Reply:
        return _json(200, self._render(self._draft(asked)))

    def _do_update(self, asked: "_Asked") -> Reply:
        draft = self._draft(asked)
        errors = draft.describe(asked.table)
        if not draft.files:
            errors.append({"field": "files.enabled", "messages": ["Missing uploaded files."]})
        return _json(200, self._render(draft, errors))

    def _do_doi(self, asked: "_Asked") -> Reply:
        draft = self._draft(asked)
        if draft.doi:
            raise Refusal(400, "A validation error occurred.", "pids.doi", "A PID already exists")
        draft.doi = f"10.5072/zenodo.{draft.id}"
        return _json(201, self._render(draft))

    def _do_publish(self, asked: "_Asked") -> Reply:
        draft = self._draft(asked)
        require_publishable(draft)
        self.state.publish(draft)
        return _json(202, self._render(draft))

    def _do_import(self, asked: "_Asked") -> Reply:
        draft = self._draft(asked)
        if draft.files:
            raise Refusal(400, "A validation error occurred.", "files", "Remove all files first.")
        draft.import_files(self.state.latest(draft.concept))
        return _files(draft, 201)

    def _do_files(self, asked: "_Asked") -> Reply:
        return _files(self._draft(asked))

    def _do_register(self, asked: "_Asked") -> Reply:
        draft = self._draft(asked)
        for row in asked.table:
            draft.register(row["key"])
        return _files(draft, 201)

    def _do_file(self, asked: "_Asked") -> Reply:
        return _json(200, self._draft(asked).file(asked.parts[1]).render())

    def _do_delete_file(self, asked: "_Asked") -> Reply:
        draft = self._draft(asked)
        draft.file(asked.parts[1])
        del draft.files[asked.parts[1]]
        return Reply(204)

    def _do_content(self, asked: "_Asked") -> Reply:
        draft, key = self._draft(asked), asked.parts[1]
        file = draft.file(key)
        if file.is_complete or asked.fault == "forget":  # as TransferException does
            del draft.files[key]
            return _json(200, {**file.render(), "status": "failed"})
        file.waiting = (
            asked.data[: len(asked.data) // 2] if asked.fault == "truncate" else asked.data
        )
        return _json(200, file.render())

    def _do_part(self, asked: "_Asked") -> Reply:
        self._draft(asked)
        raise Refusal(403, "Permission denied.")  # zenodo-rdm#1443

    def _do_commit(self, asked: "_Asked") -> Reply:
        file = self._draft(asked).file(asked.parts[1])
        if file.waiting is None:
            raise Refusal(500, "Internal Server Error")
        if not file.waiting:
            raise Refusal(400, "Empty files are not accepted.")
        file.stored = file.waiting
        return _json(200, file.render())

    def _found(self, asked: "_Asked", rows: list[dict[str, Any]]) -> Reply:
        """Answer a search, which may lag behind."""
        self.search_lags, lags = max(0, self.search_lags - 1), self.search_lags
        return _page(asked.request, [] if lags else rows)

    def _draft(self, asked: "_Asked") -> Draft:
        return self.state.draft(asked.parts[0], asked.user)

    def _render(self, draft: Draft, errors: list[dict[str, Any]] | None = None) -> dict[str, Any]:
        table = draft.render(self.url)
        return {**table, "errors": errors} if errors else table


@dataclass
class _Asked:
    request: Request
    user: str
    parts: list[str]
    data: bytes
    table: Any
    fault: str = ""


def _route(request: Request) -> tuple[str, list[str]]:
    for method, pattern, operation in ROUTES:
        found = re.fullmatch(pattern, request.path)
        if found and method == request.method:
            return operation, [unquote(each) for each in found.groups()]
    return "unknown", []


def _fails_before(fault: str) -> Reply | None:
    soon = str(int(time.time()) + 7)
    limited = {
        "429": {},
        "429-after": {"Retry-After": "5"},
        "429-reset": {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": soon},
    }
    if fault == "502":
        return Reply(502, {"Content-Type": "text/html"}, HTML)
    if fault in limited:
        return Reply(429, limited[fault], b'{"status": 429, "message": "Too many requests."}')
    return None


def _fails_after(fault: str) -> Reply | None:
    if fault == "reset-after":
        raise ConnectionResetError
    if fault in {"502-after", "504-after"}:
        return Reply(int(fault[:3]), {"Content-Type": "text/html"}, HTML)
    return Reply(200, {"Content-Type": "text/html"}, HTML) if fault == "html" else None


def _page(request: Request, rows: list[dict[str, Any]]) -> Reply:
    query = request.parameters()
    size, page = (
        int(query.get(name, [default])[0]) for name, default in (("size", "10"), ("page", "1"))
    )
    if not 0 < size <= PAGE_LIMIT:
        raise Refusal(400, "A validation error occurred.", "size", "Page size too large")
    start = (page - 1) * size
    return _json(200, {"hits": {"hits": rows[start : start + size], "total": len(rows)}})


def _files(draft: Draft, status: int = 200) -> Reply:
    entries = [each.render() for each in draft.files.values()]
    return _json(status, {"enabled": True, "entries": entries, "order": []})


def _json(status: int, table: Any) -> Reply:
    return Reply(status, {"Content-Type": "application/json"}, json.dumps(table).encode())
