"""A server that answers by a script: for what no genuine service would ever send twice."""

import socket
import ssl
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO, Self

from tests.fakes.messages import read_head

_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Step:
    """One answer.

    Attributes:
        raw: the bytes to send.
        then: what becomes of the connection: ``keep``, ``close``, ``reset`` or ``hang``.
    """

    raw: bytes
    then: str = "keep"


@dataclass(frozen=True)
class Received:
    """A request; ``is_whole`` says whether the client sent all that it announced."""

    first: str
    head: str
    body: bytes
    is_whole: bool


RESET = Step(b"", "reset")
HANG = Step(b"", "hang")


def reply(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Step:
    """Return a whole answer."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    head = f"HTTP/1.1 {status} Told\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
    return Step(head.encode() + body)


class ScriptedServer:
    """Answers requests by the steps in their order, and by the last one from then on.

    Attributes:
        received: the requests, those that were cut among them.
        connections: how many were opened.

    Args:
        steps: the answers.
        tls: serve HTTPS with this context.
    """

    def __init__(self, *steps: Step, tls: ssl.SSLContext | None = None) -> None:
        self.steps = list(steps)
        self.received: list[Received] = []
        self.connections = 0
        self._tls = tls
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._acceptor = threading.Thread(target=self._accept, daemon=True)

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
        self._stopped.set()
        _shut(self._listener)
        self._listener.close()
        self._acceptor.join()
        for one in self._open:
            _shut(one)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            secured = connection
            if self._tls is not None:
                secured = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(secured)
            with secured, secured.makefile("rb") as reader:
                while self._answer(secured, reader):
                    pass
        except OSError:
            pass  # the client went away
        finally:
            connection.close()

    def _answer(self, connection: socket.socket, reader: BinaryIO) -> bool:
        head = read_head(reader)
        if head is None:
            return False
        length = int(head.get("content-length") or 0)
        body = reader.read(length)
        with self._lock:
            is_whole = len(body) == length
            self.received.append(Received(head.first, head.raw.decode("latin-1"), body, is_whole))
            if not is_whole:
                return False
            step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        connection.sendall(step.raw)
        if step.then == "hang":
            self._stopped.wait()
        if step.then == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        return step.then == "keep"


def _shut(connection: socket.socket) -> None:
    try:
        # not SSLSocket's own: it would take the TLS state away from the thread that reads
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    except OSError:
        return  # it has ended already
