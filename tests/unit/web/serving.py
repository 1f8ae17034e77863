"""What tests of the server stand on: a project in a folder, an application, a client of it."""

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from starlette.types import ASGIApp, Message, Scope

from lading.config.ledger import Web
from lading.ledger import claims, queue
from lading.ledger.ledger import Ledger, open_ledger
from lading.ledger.model import Run
from lading.ledger.queue import JobRequest
from lading.ledger.tokens import add_token
from lading.storage.owner import name_process
from lading.web.app import create_app
from lading.web.served import Served, load_served
from lading.web.streams import Pace

NOW = datetime(2026, 11, 21, 20, 30, tzinfo=UTC)
SHORT = Pace(poll_s=0.01, heartbeat_s=0.02, lifetime_s=0.2)
CONFIG = """
[project]
name = "maps"
title = "Maps of the coast"

[source]
url = "versions/{tag}"

[destinations.here]
url = "public"

[channels.staging]
tag = "[0-9]+"
root = "staging"
prefixes = ["maps"]

[channels.production]
tag = "[0-9]+"
root = "production"
prefixes = ["maps"]
"""


def make_project(folder: Path, *, versions: tuple[str, ...] = ("6", "7"), text: str = "") -> Path:
    """Write a project; its versions are ready, and ``8`` is a draft."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "lading.toml").write_text(text or CONFIG, encoding="utf-8")
    for name in (*versions, "8"):
        (folder / "versions" / name).mkdir(parents=True)
        (folder / "versions" / name / "coast.geojson").write_text("{}", encoding="utf-8")
    for name in versions:
        (folder / "versions" / name / "success").touch()
    return folder


@dataclass
class Client:
    """Asks an application in this process, without a socket."""

    app: ASGIApp
    """The application."""
    token: str = ""
    """Token of every request that brings none."""
    host: str = "127.0.0.1"
    """Address that it asks from."""

    def request(self, method: str, path: str, **given: Any) -> httpx.Response:
        """Ask; ``headers={"Authorization": ""}`` sends no token."""
        return asyncio.run(self.ask(method, path, **given))

    async def ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        """Ask from inside an event loop."""
        headers = {"Authorization": f"Bearer {self.token}", **given.pop("headers", {})}
        headers = {name: value for name, value in headers.items() if value not in {"", "Bearer "}}
        way = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=(self.host, 4711))
        async with httpx.AsyncClient(transport=way, base_url="http://testserver") as client:
            return await client.request(method, path, headers=headers, **given)

    def get(self, path: str, **given: Any) -> httpx.Response:
        """Ask for something to be shown."""
        return self.request("GET", path, **given)

    def post(self, path: str, **given: Any) -> httpx.Response:
        """Ask for something to be done."""
        return self.request("POST", path, **given)

    def publish(
        self, version: str = "7", environment: Any = "staging", key: str = "", **given: Any
    ) -> httpx.Response:
        """Ask for a version of the project to be published."""
        headers = {"Idempotency-Key": key, **given.pop("headers", {})}
        path = f"/projects/maps/versions/{version}/publish"
        body = {"json": {"target_environment": environment}} if "content" not in given else {}
        return self.post(path, headers=headers, **body, **given)


def make_client(
    ledger: Ledger, folder: Path, *, pace: Pace = SHORT, text: str = "", **web: Any
) -> Client:
    """Make an application over a ledger and a new project, and a client with an admin's token.

    Args:
        ledger: the ledger.
        folder: the project is made inside.
        pace: of live streams.
        text: of its lading.toml, where not the usual one.
        web: settings of ``[web]``.
    """
    served = make_served(ledger, folder, text=text, **web)
    token = add_token(ledger, "admin", "admin", NOW)
    return Client(create_app(served, ledger, pace=pace), token)


@contextmanager
def lasting_client(template: Path, folder: Path) -> Iterator[Client]:
    """Make a client of an admin for many tests, none of which changes anything.

    Args:
        template: file of an empty ledger, which is copied.
        folder: a new folder.
    """
    shutil.copyfile(template, folder / "ledger.db")
    ledger = open_ledger(f"sqlite:///{folder / 'ledger.db'}")
    yield make_client(ledger, folder)
    ledger.close()


def make_served(ledger: Ledger, folder: Path, *, text: str = "", **web: Any) -> Served:
    """Make a project, and say that it is served with these settings."""
    found = load_served(make_project(folder / "maps", text=text))
    return Served(
        base=found.base,
        work=found.work,
        url=ledger.url,
        web=Web(**web),
        projects=found.projects,
    )


def add_job(
    ledger: Ledger,
    state: str = "queued",
    *,
    version: str = "7",
    environment: str = "staging",
    project: str = "maps",
    at: datetime = NOW,
    **ending: Any,
) -> Run:
    """Add a job and bring it to a state, by the worker's own functions."""
    wanted = JobRequest(
        project=project, version=version, environment=environment, requested_by="admin"
    )
    run, _ = queue.submit(ledger, wanted, at)
    if state == "queued":
        return run
    if state == "cancelled":
        return queue.cancel(ledger, run.run_id, at) or run
    claimed = claims.claim(ledger, name_process(), "a worker", at, {project})
    assert claimed is not None
    assert claimed.run_id == run.run_id
    if state != "running":
        given: dict[str, Any] = {"exit_code": 0, "error": "", "result": {}, **ending}
        end = at + timedelta(minutes=1)
        assert claims.finish(ledger, run.run_id, name_process(), state=state, at=end, **given)
    return run


@dataclass
class Answer:
    """What an application sent."""

    status: int = 0
    """Status, 0 until it came."""
    headers: dict[str, str] = field(default_factory=dict)
    """Headers, names in small letters."""
    body: str = ""
    """What came of the body."""
    took: int = 0
    """Bytes of the request that were asked for."""

    @property
    def events(self) -> list[tuple[str, str, Any]]:
        """The server-sent events: name, id, data."""
        found = []
        for block in self.body.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
            if "event" in fields:
                found.append((fields["event"], fields["id"], json.loads(fields["data"])))
        return found


def make_scope(path: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Scope:
    """Make the scope of a request as a server makes it: the path is unquoted already."""
    raw, _, query = path.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": raw,
        "raw_path": raw.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(k.lower().encode(), v.encode()) for k, v in (headers or {}).items()],
        "client": ("127.0.0.1", 4711),
        "server": ("testserver", 80),
    }


async def converse(
    app: ASGIApp,
    scope: Scope,
    chunks: tuple[bytes, ...] = (),
    *,
    leave: Callable[[Answer], bool] = lambda _: False,
) -> Answer:
    """Send a request in chunks and take what comes; go away as soon as ``leave`` says so."""
    answer, gone, left = Answer(), asyncio.Event(), list(chunks)

    async def receive() -> Message:
        if left:
            answer.took += len(left[0])
            return {"type": "http.request", "body": left.pop(0), "more_body": True}
        if scope["method"] != "GET" or answer.took < 0:
            return {"type": "http.request", "body": b"", "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {k.decode().lower(): v.decode() for k, v in message["headers"]}
        answer.body += message.get("body", b"").decode()
        if leave(answer):
            gone.set()

    async with asyncio.timeout(30):
        await app(scope, receive, send)
    return answer
