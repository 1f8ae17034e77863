"""A small, fast HTTP/1.1 server on loopback, below the fakes of object stores.

One thread a connection, keep-alive, bodies given in pieces: memory stays bounded and the server
costs little beside the client that is measured against it.
"""

import signal
import socket
import ssl
import sys
import threading
import traceback
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from types import FrameType, TracebackType
from typing import BinaryIO, Protocol, Self
from urllib.parse import parse_qsl

PIECE_BYTES = 1 << 20
SCRATCH_BYTES = PIECE_BYTES + 4096
MAX_HEAD_BYTES = 64 << 10
MAX_DRAIN_BYTES = 64 << 20
PHRASES = {308: "Resume Incomplete", 499: "Client Closed Request"}
BODILESS = {204, 304}


class CutBodyError(ConnectionError):
    """The client ended its connection in the middle of a body."""


class BadRequestError(Exception):
    """What arrived is no HTTP/1.1 request; the connection cannot be used further."""


@dataclass(frozen=True)
class FileRange:
    """A part of an open file that a reply sends; the server closes the file."""

    file: BinaryIO
    start: int
    size_bytes: int


@dataclass
class Reply:
    """What the server answers; Content-Length is set by the server."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    file: FileRange | None = None
    close: bool = False


class Source(Protocol):
    """Where the bytes of a body come from."""

    def read_into(self, view: memoryview) -> int:
        """Fill the view; less than its length only where the source has ended."""

    def read_line(self) -> bytes:
        """Return a line without its end."""


class Wire:
    """A connection read through a buffer."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        # a TLS socket takes no flags
        self._flags = 0 if isinstance(connection, ssl.SSLSocket) else socket.MSG_WAITALL
        self._ahead = b""

    def read_head(self) -> bytes | None:
        """Return a request line with its headers, or None where the client has gone."""
        head = self._read_to(b"\r\n\r\n")
        while head is not None and head.startswith(b"\r\n"):
            head = head[2:]
        return head

    def read_line(self) -> bytes:
        """Return a line without its end."""
        line = self._read_to(b"\r\n")
        if line is None:
            raise CutBodyError("the connection ended in a line")
        return line

    def read_into(self, view: memoryview) -> int:
        """Fill the view; less than its length only where the connection has ended."""
        filled = min(len(self._ahead), len(view))
        if filled:
            view[:filled] = self._ahead[:filled]
            self._ahead = self._ahead[filled:]
        while filled < len(view):
            got = self._receive_into(view[filled:])
            if not got:
                break
            filled += got
        return filled

    def _receive_into(self, view: memoryview) -> int:
        try:
            return self._connection.recv_into(view, 0, self._flags)
        except OSError:
            return 0

    def _read_to(self, end: bytes) -> bytes | None:
        while (at := self._ahead.find(end)) < 0:
            if len(self._ahead) > MAX_HEAD_BYTES:
                raise BadRequestError(f"no end of a head within {MAX_HEAD_BYTES} bytes")
            got = self._connection.recv(MAX_HEAD_BYTES)
            if not got:
                return None
            self._ahead += got
        found, self._ahead = self._ahead[:at], self._ahead[at + len(end) :]
        return found


class _Memory:
    """Bytes in memory as a source."""

    def __init__(self, data: bytes) -> None:
        self._rest = memoryview(data)

    def read_into(self, view: memoryview) -> int:
        size = min(len(view), len(self._rest))
        view[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

    def read_line(self) -> bytes:
        raise BadRequestError("bytes in memory are not chunked")


class Body:
    """The body of a request, read once, in pieces.

    Args:
        source: where the bytes come from.
        length: Content-Length, or None for a chunked body.
        scratch: the buffer that ``pieces`` and a handler may use.
        before: called once, before the first byte is read.
        arrived: told the number of bytes of each read.
    """

    def __init__(
        self,
        source: Source,
        length: int | None,
        scratch: memoryview,
        before: Callable[[], None] = lambda: None,
        arrived: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._source = source
        self._chunked = length is None
        self._left = length or 0
        self._before: Callable[[], None] | None = before
        self._arrived = arrived
        self.length = length
        self.scratch = scratch
        self.ended = length == 0
        self.cut = False

    @classmethod
    def of_bytes(cls, data: bytes) -> "Body":
        """Return bytes in memory as a body."""
        return cls(_Memory(data), len(data), memoryview(bytearray(len(data) + 4096)))

    @property
    def started(self) -> bool:
        """Whether anything of it was asked for."""
        return self._before is None

    @property
    def left(self) -> int | None:
        """How many bytes are still to come; None where the client did not say."""
        return None if self._chunked else self._left

    def read_into(self, view: memoryview) -> int:
        """Fill the view; less than its length only at the end, or where ``cut`` is then set."""
        if self._before is not None:
            self._before()
            self._before = None
        filled = 0
        while filled < len(view) and not self.ended:
            if self._chunked and self._left == 0 and not self._open_chunk():
                break
            want = min(len(view) - filled, self._left)
            got = self._source.read_into(view[filled : filled + want])
            self._left -= got
            filled += got
            self._settle(cut=got < want)
        self._arrived(filled)
        return filled

    def pieces(self) -> Iterator[memoryview]:
        """Give the body in pieces; each is valid until the next is asked for.

        Raises:
            CutBodyError: the client went away before the end.
        """
        view = self.scratch[:PIECE_BYTES]
        while got := self.read_into(view):
            yield view[:got]
        self.require_whole()

    def read(self, limit: int = MAX_DRAIN_BYTES) -> bytes:
        """Return the whole body.

        Raises:
            BadRequestError: it is longer than the limit.
            CutBodyError: the client went away before the end.
        """
        data = bytearray()
        for piece in self.pieces():
            data += piece
            if len(data) > limit:
                raise BadRequestError(f"a body of more than {limit} bytes")
        return bytes(data)

    def drain(self, limit: int = MAX_DRAIN_BYTES) -> bool:
        """Throw the rest away; say whether the end was reached within the limit."""
        while not self.ended and limit > 0:
            limit -= self.read_into(self.scratch[:PIECE_BYTES])
        return self.ended and not self.cut

    def require_whole(self) -> None:
        """Raise CutBodyError where the client went away before the end."""
        if self.cut:
            raise CutBodyError("the client went away in the middle of a body")

    def _settle(self, *, cut: bool) -> None:
        if cut:
            self.cut = self.ended = True
        elif self._left == 0 and self._chunked:
            self._source.read_line()
        elif self._left == 0:
            self.ended = True

    def _open_chunk(self) -> bool:
        try:
            self._left = int(self._source.read_line().partition(b";")[0], 16)
            while self._left == 0 and self._source.read_line():
                pass  # trailers
        except CutBodyError:
            self.cut = True
        except ValueError as error:
            raise BadRequestError("a chunk without a size") from error
        self.ended = self._left == 0
        return not self.ended


@dataclass
class Request:
    """A request: the path as it was sent, headers with lower-case names, the last one winning."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: Body

    def parameters(self) -> dict[str, list[str]]:
        """Return the parameters of the query."""
        found: dict[str, list[str]] = {}
        for name, value in parse_qsl(self.query, keep_blank_values=True, errors="strict"):
            found.setdefault(name, []).append(value)
        return found


def parse_head(head: bytes) -> tuple[str, str, str, str, dict[str, str]]:
    """Return method, path, query, version and headers of a request.

    Raises:
        BadRequestError: it is not HTTP/1.
    """
    first, *lines = head.decode("latin-1").split("\r\n")
    method, _, rest = first.partition(" ")
    target, _, version = rest.rpartition(" ")
    if not version.startswith("HTTP/1."):
        raise BadRequestError(f"expected an HTTP/1 request line, got {first[:80]!r}")
    if target.startswith("http"):  # the absolute form, as a proxy is asked
        target = "/" + target.split("/", 3)[3]
    path, _, query = target.partition("?")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise BadRequestError(f"expected a header, got {line[:80]!r}")
        headers[name.lower()] = value.strip()
    return method, path, query, version, headers


def render_head(reply: Reply, size: int) -> bytes:
    """Return status line and headers of a reply."""
    phrase = PHRASES.get(reply.status) or _phrase(reply.status)
    lines = [f"HTTP/1.1 {reply.status} {phrase}"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    if reply.status not in BODILESS:
        lines.append(f"Content-Length: {size}")
    if reply.close:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


class HttpServer(ABC):
    """Serves while it is entered; a fake says in ``answer`` what it answers.

    Args:
        port: 0 for any free one.
        tls: serve HTTPS with this context.
        socket_path: listen there, too, as a Unix socket; shorter than 100 characters.

    Attributes:
        intercept: told of each request before anything is done; what it returns is sent instead,
            and nothing is done.
        answered: told of each request when it is done, and before its answer is sent.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        socket_path: Path | None = None,
    ) -> None:
        self._tls = tls
        self._lock = threading.Lock()
        self._open: dict[socket.socket, threading.Thread] = {}
        self._closing = False
        self.requests: Counter[str] = Counter()
        self.received_bytes = 0
        self.errors: list[Exception] = []
        self.intercept: Callable[[Request], Reply | None] = lambda _: None
        self.answered: Callable[[Request], None] = lambda _: None
        self._listener = socket.create_server(("127.0.0.1", port), backlog=256)
        self._listeners = [self._listener]
        if socket_path is not None:
            self._listeners.append(_listen_at(socket_path))
        self._acceptor, *self._more_acceptors = [
            threading.Thread(target=self._accept, args=(each,), name="accept", daemon=True)
            for each in self._listeners
        ]

    @property
    def url(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        scheme = "https" if self._tls else "http"
        return f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    @abstractmethod
    def answer(self, request: Request) -> Reply:
        """Answer a request; a ConnectionError cuts the connection instead."""

    def count(self, operation: str) -> None:
        """Count a request under a name."""
        with self._lock:
            self.requests[operation] += 1

    def reset_counters(self) -> None:
        """Forget what was counted."""
        with self._lock:
            self.requests.clear()
            self.received_bytes = 0

    def close(self) -> None:
        """Stop listening, end every connection and wait for their threads."""
        with self._lock:
            self._closing = True
            threads = dict(self._open)
        for listener in self._listeners:
            _shut(listener)
            listener.close()
        for connection in threads:
            _shut(connection)
        for acceptor in (self._acceptor, *self._more_acceptors):
            acceptor.join()
        for thread in threads.values():
            thread.join()

    def __enter__(self) -> Self:
        for acceptor in (self._acceptor, *self._more_acceptors):
            acceptor.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            if connection.family == socket.AF_INET:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            with self._lock:
                if self._closing:
                    connection.close()
                    return
                self._open[connection] = thread
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            secured = self._secure(connection)
            wire = Wire(secured)
            scratch = memoryview(bytearray(SCRATCH_BYTES))
            while self._serve_one(secured, wire, scratch):
                pass
        except (OSError, BadRequestError):
            pass  # the client went away, or was cut
        finally:
            with self._lock:
                held = [one for one, thread in self._open.items() if thread is _me()]
                for one in held:
                    del self._open[one]
            for one in held:
                one.close()

    def _secure(self, connection: socket.socket) -> socket.socket:
        if self._tls is None:
            return connection
        secured = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with self._lock:
            self._open[secured] = self._open.pop(connection)
        secured.do_handshake()
        return secured

    def _serve_one(self, connection: socket.socket, wire: Wire, scratch: memoryview) -> bool:
        head = wire.read_head()
        if head is None:
            return False
        try:
            method, path, query, version, headers = parse_head(head)
            length = _body_length(headers)
        except (BadRequestError, ValueError) as error:
            refusal = Reply(400, {}, str(error).encode(), close=True)
            connection.sendall(render_head(refusal, len(refusal.body)) + refusal.body)
            return False
        expects = headers.get("expect", "").lower() == "100-continue"

        def go_on() -> None:
            if expects:
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

        body = Body(wire, length, scratch, go_on, self._add_received)
        reply = self._answer_safely(Request(method, path, query, headers, body))
        keeps = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
        waits = expects and not body.started and not body.ended
        if not keeps or waits or body.cut or (body.left or 0) > MAX_DRAIN_BYTES:
            reply.close = True
        _send(connection, reply, head_only=method == "HEAD")
        if waits:
            return False
        return body.drain() and not reply.close

    def _answer_safely(self, request: Request) -> Reply:
        try:
            if (reply := self.intercept(request)) is None:
                reply = self.answer(request)
                self.answered(request)
        except ConnectionError:
            raise
        except BadRequestError as error:
            return Reply(400, {}, str(error).encode(), close=True)
        except Exception as error:  # noqa: BLE001  a fake's own mistake must be seen by its test
            traceback.print_exc()
            with self._lock:
                self.errors.append(error)
            return Reply(500, {}, repr(error).encode(), close=True)
        return reply

    def _add_received(self, count: int) -> None:
        with self._lock:
            self.received_bytes += count


def serve_until_closed(server: HttpServer) -> None:
    """Print the server's URL and serve until standard input ends or SIGTERM comes."""

    def leave(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, leave)
    with server:
        sys.stdout.write(server.url + "\n")
        sys.stdout.flush()
        sys.stdin.buffer.read()


def _send(connection: socket.socket, reply: Reply, *, head_only: bool) -> None:
    size = len(reply.body) if reply.file is None else reply.file.size_bytes
    head = render_head(reply, size)
    try:
        if head_only or reply.status in BODILESS:
            connection.sendall(head)
        elif reply.file is None:
            connection.sendall(head + reply.body)
        else:
            connection.sendall(head)
            if size:
                connection.sendfile(reply.file.file, reply.file.start, size)
    finally:
        if reply.file is not None:
            reply.file.file.close()


def _body_length(headers: dict[str, str]) -> int | None:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return None
    return int(headers.get("content-length", "0"))


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _listen_at(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(256)
    return listener


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):  # it may have ended already
        # not SSLSocket's own: it would take the TLS state away from the thread that reads
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


def _me() -> threading.Thread:
    return threading.current_thread()
