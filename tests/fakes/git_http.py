"""Bare repositories over HTTP by git's own server program, behind a password."""

import base64
import binascii
import gzip
import os
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.fakes.http_server import HttpServer, Reply, Request

BACKEND_S = 30
HANG_S = 20.0
USER = "x-access-token"
REALM = {"WWW-Authenticate": 'Basic realm="git"'}
PAGE = b"<html><body>\nbad gateway\n</body></html>\n"


@dataclass(frozen=True)
class Call:
    """A request: what was asked, and what the client said of itself."""

    method: str
    path: str
    query: str
    authorization: str

    @property
    def is_push(self) -> bool:
        """Whether this is the request that moves refs."""
        return self.method == "POST" and self.path.endswith("/git-receive-pack")

    @property
    def asks_to_push(self) -> bool:
        """Whether this asks what a push would meet, or pushes."""
        return self.is_push or "service=git-receive-pack" in self.query


@dataclass
class Fault:
    """What goes wrong with requests that it fits, as often as it says.

    Attributes:
        kind: ``401``, ``403``, ``502`` before anything is done; ``502 after``, ``reset after``
            when it is done; ``reset``, ``hang``, ``redirect`` before.
        fits: which requests.
        times: how often.
        location: where a redirect leads.
    """

    kind: str
    fits: Callable[[Call], bool] = field(default=lambda call: call.is_push)
    times: int = 1
    location: str = ""


class GitHttpServer(HttpServer):
    """Serves the bare repositories of a folder to who knows the token.

    Args:
        folder: holds them, e.g. ``team/data.git``.
        token: the password; the user is that of GitHub's tokens.
        open_to_read: whether anybody may read, as of a public repository.

    Attributes:
        calls: all requests, in order.
        faults: what is to go wrong; the first that fits is used.
        hanging: set when a request hangs.
    """

    def __init__(self, folder: Path, token: str, *, open_to_read: bool = False) -> None:
        super().__init__()
        self._folder = folder
        self._token = token
        self._open_to_read = open_to_read
        self._release = threading.Event()
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self.hanging = threading.Event()

    @property
    def pushes(self) -> int:
        """How many requests have tried to move refs."""
        return sum(call.is_push for call in self.calls)

    def let_go(self) -> None:
        """End what hangs."""
        self._release.set()

    def close(self) -> None:
        """Stop, and let go what hangs."""
        self.let_go()
        super().close()

    def answer(self, request: Request) -> Reply:
        """Answer as git's program does, unless something is to go wrong."""
        call = Call(
            request.method, request.path, request.query, request.headers.get("authorization", "")
        )
        self.calls.append(call)
        fault = self._take_fault(call)
        if not (fault and fault.kind == "redirect") and not self._is_allowed(call):
            return Reply(401, dict(REALM), b"who are you?")
        if fault is None:
            return self._serve_git(request)
        if fault.kind.endswith(" after"):
            self._serve_git(request)
        return self._fail(fault)

    def _fail(self, fault: Fault) -> Reply:
        kind = fault.kind.removesuffix(" after")
        if kind == "reset":
            raise ConnectionResetError
        if kind == "hang":
            self.hanging.set()
            self._release.wait(HANG_S)
            raise ConnectionResetError
        if kind == "redirect":
            return Reply(302, {"Location": fault.location})
        return Reply(int(kind), dict(REALM) if kind == "401" else {}, PAGE, close=True)

    def _take_fault(self, call: Call) -> Fault | None:
        for fault in self.faults:
            if fault.times and fault.fits(call):
                fault.times -= 1
                return fault
        return None

    def _is_allowed(self, call: Call) -> bool:
        if self._open_to_read and not call.asks_to_push:
            return True
        kind, _, text = call.authorization.partition(" ")
        try:
            user, _, password = base64.b64decode(text, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        return kind.lower() == "basic" and user == USER and password == self._token

    def _serve_git(self, request: Request) -> Reply:
        body = request.body.read()
        if request.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        variables = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self._folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "REQUEST_METHOD": request.method,
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query,
            "CONTENT_TYPE": request.headers.get("content-type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "GIT_PROTOCOL": request.headers.get("git-protocol", ""),
            "REMOTE_USER": USER,  # without one it serves no push
            "REMOTE_ADDR": "127.0.0.1",
        }
        done = subprocess.run(
            ["git", "http-backend"],
            env=variables,
            input=body,
            capture_output=True,
            check=True,
            timeout=BACKEND_S,
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        parted = (line.partition(": ") for line in head.decode().split("\r\n"))
        headers = {name: value for name, _, value in parted}
        status = int(headers.pop("Status", "200").split()[0])
        return Reply(status, headers, content)
