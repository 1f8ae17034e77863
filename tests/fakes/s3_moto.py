"""Moto behind a server that keeps connections open and logs nothing."""

import io
import socket
from typing import Any
from wsgiref.types import WSGIEnvironment

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import ThreadedWSGIServer

from tests.fakes.s3_wire import S3Request, parse_request, sent_checksums


class Handler(MotoRequestHandler):
    """Keeps connections open, which werkzeug's own does not, and logs nothing."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    is_bare = False

    def run_wsgi(self) -> None:
        """Read a whole request, answer it, and leave the connection at the next one."""
        self.environ = environ = self.make_environ()
        if environ.get("wsgi.input_terminated"):
            body = environ["wsgi.input"].readall()
        else:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            if len(body) < length:  # cut off: not a request
                self.close_connection = True
                return
        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))

        dropped = {"connection", "date", "server"}
        if self.command != "HEAD":
            dropped.add("content-length")  # known better below

        def start(line: str, fields: list[tuple[str, str]], error: Any = None) -> Any:
            del error
            self.is_bare = line[:3] in {"204", "304"}
            self.send_response(int(line[:3]), line[4:])
            for name, value in fields:
                if name.lower() not in dropped:
                    self.send_header(name, value)

        data = b"".join(self.server.app(environ, start))
        if self.command != "HEAD" and not self.is_bare:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  theirs
        """Say nothing."""


class Server(ThreadedWSGIServer):
    """Knows its open connections, to cut them when it stops."""

    def __init__(self, *args: Any) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Note a connection that begins."""
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection that ended."""
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no event."""

    def cut_connections(self) -> None:
        """End every connection that clients keep for later."""
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # gone by itself


def read_request(environ: WSGIEnvironment) -> S3Request:
    """Read a request, and hand moto its body plain and its checksum by the name it looks for."""
    headers = {
        name.removeprefix("HTTP_").replace("_", "-"): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    raw = environ["wsgi.input"].read()
    request = parse_request(environ["REQUEST_METHOD"], environ["REQUEST_URI"], headers, raw)
    environ["wsgi.input"] = io.BytesIO(request.body)
    environ["CONTENT_LENGTH"] = str(len(request.body))
    if request.headers.get("x-amz-content-sha256", "").startswith("STREAMING-"):
        environ["HTTP_X_AMZ_CONTENT_SHA256"] = "UNSIGNED-PAYLOAD"
        environ.pop("HTTP_X_AMZ_TRAILER", None)
        coding = environ.pop("HTTP_CONTENT_ENCODING", "").replace("aws-chunked", "").strip(", ")
        if coding:
            environ["HTTP_CONTENT_ENCODING"] = coding
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    for name, value in sent_checksums(request).items():
        environ["HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM"] = name.upper()
        environ[f"HTTP_X_AMZ_CHECKSUM_{name.upper()}"] = value
    return request
