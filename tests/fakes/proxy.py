"""A proxy between a client and a server on loopback, that delays and breaks what passes.

It sees requests and replies one by one, passes both on byte by byte (the Host header too, which
is signed), and gives each request at most one fault. Which request gets which fault follows from
the seed and the request's number alone.
"""

import contextlib
import random
import re
import select
import socket
import ssl
import struct
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import BinaryIO, Self
from urllib.parse import urlsplit

from tests.fakes.messages import PIECE_BYTES, Head, read_head

TIMEOUT_S = 60.0
TRICKLE_PIECES, TRICKLE_S = 8, 0.05

REQUEST_FAULTS = (
    "reset_request",
    "status_500",
    "status_503",
    "status_429",
    "lying_200",
    "html_502",
)
"""Those the server behind never sees whole."""
REPLY_FAULTS = ("reset_reply", "slow_body", "truncated")
"""Those of a reply to work that was done."""
FAULTS = REQUEST_FAULTS + REPLY_FAULTS

_HTML = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
_RESET = struct.pack("ii", 1, 0)


class FaultProxy:
    """Listens on loopback while it is entered, and ends every connection when it is left.

    Args:
        upstream: the URL that is passed on to; plain HTTP.
        rate: the part of requests that get a fault.
        seed: what the faults follow from.
        kinds: which faults, of ``FAULTS``.
        exempt: requests whose path it matches (``search``) get none.
        latency: seconds to wait before each reply.
        tls: the context to speak TLS to the client with.

    Attributes:
        requests: requests read, those with a fault among them.
        forwarded: requests passed on whole.
        faults: faults given, by kind; ``cut`` counts those of ``cut_after``.
        bytes_up: bytes of request bodies passed on, with the framing of chunks.
        bytes_down: bytes of replies sent to the client, heads included.
    """

    def __init__(
        self,
        upstream: str,
        *,
        rate: float = 0.0,
        seed: int = 0,
        kinds: Sequence[str] = FAULTS,
        exempt: re.Pattern[str] | None = None,
        latency: float = 0.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "127.0.0.1", parts.port or 80)
        self.rate, self.seed, self.kinds = rate, seed, tuple(kinds)
        self.exempt, self.latency = exempt, latency
        self._tls = tls
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()
        self._cut_left: int | None = None
        self.requests = self.forwarded = self.bytes_up = self.bytes_down = 0
        self.faults: Counter[str] = Counter()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._acceptor = threading.Thread(target=self._accept, name="FaultProxy", daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        port = self._listener.getsockname()[1]
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{port}"

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop listening, cut every connection and wait for their threads."""
        self._stopped.set()
        _shut(self._listener)
        self._listener.close()
        self._acceptor.join(TIMEOUT_S)
        with self._lock:
            connections, threads = list(self._open), list(self._threads)
        for connection in connections:
            _shut(connection)
        for thread in threads:
            thread.join(TIMEOUT_S)

    def cut_after(self, size: int) -> None:
        """Reset one connection as soon as that many more bytes of request bodies passed."""
        with self._lock:
            self._cut_left = size

    def count(self, name: str, amount: int = 1) -> int:
        """Add to a counter; return what it was before."""
        with self._lock:
            before: int = getattr(self, name)
            setattr(self, name, before + amount)
            return before

    def note_fault(self, kind: str) -> None:
        """Count a fault."""
        with self._lock:
            self.faults[kind] += 1

    def draw(self, target: str) -> tuple[str, random.Random]:
        """Count a request; return the fault it gets, or "", and the chance it is made with."""
        number = self.count("requests")
        chance = random.Random(f"{self.seed}/{number}")
        is_exempt = self.exempt is not None and self.exempt.search(target) is not None
        if is_exempt or not self.kinds or chance.random() >= self.rate:
            return "", chance
        return chance.choice(self.kinds), chance

    def admit(self, size: int) -> int:
        """How many of so many bytes of a request's body may pass before the cut."""
        with self._lock:
            if self._cut_left is None:
                return size
            passed = min(size, self._cut_left)
            self._cut_left = None if passed < size else self._cut_left - passed
            return passed

    def wait(self, seconds: float) -> None:
        """Let time pass; a proxy that stops ends the connection instead."""
        if seconds > 0 and self._stopped.wait(seconds):
            raise ConnectionAbortedError("the proxy stops")

    def connect(self) -> socket.socket:
        """Open a connection to the server behind."""
        connection = socket.create_connection(self._upstream, TIMEOUT_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open.add(connection)
        return connection

    def forget(self, connection: socket.socket) -> None:
        """Close a connection."""
        with self._lock:
            self._open.discard(connection)
        connection.close()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            with self._lock:
                self._open.add(connection)
                self._threads.add(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        secured = connection
        try:
            connection.settimeout(TIMEOUT_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                secured = self._tls.wrap_socket(connection, server_side=True)
                with self._lock:
                    self._open.add(secured)
            _Conversation(self, secured).run()
        except OSError:
            pass  # one of the two went away, or a fault ended it
        finally:
            self.forget(secured)
            self.forget(connection)
            with self._lock:
                self._threads.discard(threading.current_thread())


class _Conversation:
    """What passes over one connection of a client."""

    def __init__(self, proxy: FaultProxy, client: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._reader = client.makefile("rb")
        self._server: socket.socket | None = None
        self._server_reader: BinaryIO | None = None
        self._left: int | None = None

    def run(self) -> None:
        """Pass on one request after another, until one of the two ends it."""
        try:
            while self._exchange():
                pass
        finally:
            self._reader.close()
            self._drop_server()

    def _exchange(self) -> bool:
        head = read_head(self._reader)
        if head is None:
            return False
        method, target = head.first.split()[:2]
        fault, chance = self._proxy.draw(target)
        if head.get("expect").lower() == "100-continue":
            self._client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if fault == "reset_request":
            self._reset_in_request(head, chance)
        if fault in REQUEST_FAULTS:
            for _ in head.pieces(self._reader):
                pass
            self._proxy.wait(self._proxy.latency)
            self._proxy.note_fault(fault)
            self._send(_made_up(fault, chance, method))
            return True
        reader = self._forward(head)
        self._proxy.count("forwarded")
        keeps = self._relay(reader, method, fault, chance)
        return keeps and head.get("connection").lower() != "close"

    def _reset_in_request(self, head: Head, chance: random.Random) -> None:
        size = int(head.get("content-length") or 0) or (PIECE_BYTES if head.is_chunked else 0)
        limit = chance.randrange(size) if size else 0
        self._proxy.note_fault("reset_request")
        if size:
            server, _ = self._connected()
            server.sendall(head.without("expect"))
            for piece in head.pieces(self._reader, limit):
                self._send_up(server, piece)
        self._reset()

    def _forward(self, head: Head) -> BinaryIO:
        server, reader = self._connected()
        server.sendall(head.without("expect"))
        for piece in head.pieces(self._reader):
            allowed = self._proxy.admit(len(piece))
            self._send_up(server, piece[:allowed])
            if allowed < len(piece):
                self._proxy.note_fault("cut")
                self._reset()
        return reader

    def _relay(self, reader: BinaryIO, method: str, fault: str, chance: random.Random) -> bool:
        head = read_head(reader)
        while head is not None and head.first.split()[1].startswith("1"):
            head = read_head(reader)  # the client has had its 100
        if head is None:
            return False
        self._proxy.wait(self._proxy.latency)
        is_bare = method == "HEAD" or head.first.split()[1] in {"204", "304"}
        size = 0 if is_bare else int(head.get("content-length") or 0)
        ends_unmarked = not (is_bare or head.is_chunked or head.get("content-length"))
        if fault:
            self._proxy.note_fault(fault)
        is_open_ended = head.is_chunked or ends_unmarked
        whole = len(head.raw) + (PIECE_BYTES // 64 if is_open_ended else size)
        if fault == "reset_reply":
            self._left = chance.randrange(whole)
        elif fault == "truncated":
            self._left = (len(head.raw) + whole) // 2 if whole > len(head.raw) else whole // 2
        pieces = iter(()) if is_bare else head.pieces(reader, until_closed=ends_unmarked)
        if fault == "slow_body":
            pieces = self._trickled(pieces, size)
        self._send(head.raw, fault)
        for piece in pieces:
            self._send(piece, fault)
        if self._left is not None:
            self._end(fault)
        return not ends_unmarked and head.get("connection").lower() != "close"

    def _trickled(self, pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
        step, waits = max(1, size // TRICKLE_PIECES), TRICKLE_PIECES
        for piece in pieces:
            for at in range(0, len(piece), step):
                if waits > 0:
                    waits -= 1
                    self._proxy.wait(TRICKLE_S)
                yield piece[at : at + step]

    def _send(self, data: bytes, fault: str = "") -> None:
        if self._left is None:
            self._client.sendall(data)
            self._proxy.count("bytes_down", len(data))
            return
        passed = data[: self._left]
        self._client.sendall(passed)
        self._proxy.count("bytes_down", len(passed))
        self._left -= len(passed)
        if len(passed) < len(data):
            self._end(fault)

    def _send_up(self, server: socket.socket, piece: bytes) -> None:
        server.sendall(piece)
        self._proxy.count("bytes_up", len(piece))

    def _end(self, fault: str) -> None:
        if fault == "reset_reply":
            self._reset()
        _shut(self._client)
        raise ConnectionAbortedError("the reply is cut short")

    def _reset(self) -> None:
        self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._reader.close()  # the last to hold the socket: it is closed now
        self._client.close()
        raise ConnectionAbortedError("the connection is reset")

    def _connected(self) -> tuple[socket.socket, BinaryIO]:
        if self._server is not None and self._server_reader is not None:
            if not _is_readable(self._server):
                return self._server, self._server_reader
            self._drop_server()  # there is nothing to read between requests but its end
        self._server = self._proxy.connect()
        self._server_reader = self._server.makefile("rb")
        return self._server, self._server_reader

    def _drop_server(self) -> None:
        if self._server_reader is not None:
            self._server_reader.close()
        if self._server is not None:
            self._proxy.forget(self._server)
        self._server = self._server_reader = None


def _is_readable(connection: socket.socket) -> bool:
    watched = select.poll()  # select.select takes no descriptor over 1023
    watched.register(connection, select.POLLIN)
    return bool(watched.poll(0))


def _made_up(fault: str, chance: random.Random, method: str) -> bytes:
    kind, body, extra = "application/xml", b"", ""
    if fault == "lying_200":
        line = "200 OK"
    elif fault == "html_502":
        line = chance.choice(["502 Bad Gateway", "200 OK"])
        kind, body = "text/html", _HTML
    else:
        line = {
            "status_500": "500 Internal Server Error",
            "status_503": "503 Service Unavailable",
            "status_429": "429 Too Many Requests",
        }[fault]
        if fault == "status_503":
            extra = chance.choice(["", "Retry-After: 0\r\n", "Retry-After: 1\r\n"])
    head = f"HTTP/1.1 {line}\r\nContent-Type: {kind}\r\n{extra}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + (b"" if method == "HEAD" else body)


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it may have ended already
        # not SSLSocket's own: it would take the TLS state from the thread that reads
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
