"""The proxy passes on what it does not break, and breaks what it says."""

import http.client
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.http_server import HttpServer, Reply, Request
from tests.fakes.proxy import FAULTS, FaultProxy
from tests.fakes.tls import make_certificate

BODY = bytes(range(256)) * 1000


class FakeEcho(HttpServer):
    """Answers with what it was sent, and notes what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, str, str, bytes]] = []

    def answer(self, request: Request) -> Reply:
        """Send a body back."""
        body = request.body.read()
        self.seen.append((request.method, request.path, request.headers["host"], body))
        return Reply(200, {"X-Seen": request.path}, body)


@pytest.fixture
def echo() -> Iterator[FakeEcho]:
    """A server that answers with what it was sent."""
    with FakeEcho() as server:
        yield server


def ask(
    connection: http.client.HTTPConnection, body: bytes = BODY, path: str = "/a?b=c%20d"
) -> tuple[int, bytes]:
    """Send a body and return status and body of the reply."""
    connection.request("PUT", path, body)
    reply = connection.getresponse()
    return reply.status, reply.read()


def connect(proxy: FaultProxy) -> http.client.HTTPConnection:
    """A connection to the proxy."""
    return http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=10)


def test_passes_on(echo: FakeEcho) -> None:
    """Bodies, paths and the Host header pass unchanged, over one connection."""
    with FaultProxy(echo.url) as proxy:
        connection = connect(proxy)
        assert ask(connection) == (200, BODY)
        assert ask(connection, b"") == (200, b"")
        connection.request("PUT", "/chunks", iter([b"one", b"two"]), encode_chunked=True)
        assert connection.getresponse().read() == b"onetwo"
        connection.request("HEAD", "/head")
        assert connection.getresponse().read() == b""
        assert ask(connection, b"after") == (200, b"after")
        connection.close()
        host = proxy.url.removeprefix("http://")
        assert echo.seen[0][1:3] == ("/a", host)
        assert (proxy.requests, proxy.forwarded, len(echo.seen)) == (5, 5, 5)
        assert proxy.bytes_up == len(BODY) + len(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n") + 5
        assert proxy.bytes_down > len(BODY)
        assert not proxy.faults


def test_waits(echo: FakeEcho) -> None:
    """Latency is paid by every request, not once a connection."""
    with FaultProxy(echo.url, latency=0.05) as proxy:
        connection = connect(proxy)
        started = time.perf_counter()
        for _ in range(3):
            ask(connection, b"x")
        connection.close()
    assert 0.15 <= time.perf_counter() - started < 5


def test_tls(echo: FakeEcho, tmp_path: Path) -> None:
    """The client's side can be TLS, and is trusted by the certificate itself."""
    certificate, key = make_certificate(tmp_path)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(certificate, key)
    with FaultProxy(echo.url, tls=served) as proxy:
        trusted = ssl.create_default_context(cafile=str(certificate))
        address = proxy.url.removeprefix("https://")
        connection = http.client.HTTPSConnection(address, context=trusted, timeout=10)
        assert ask(connection) == (200, BODY)
        assert ask(connection) == (200, BODY)
        connection.close()


@pytest.mark.parametrize("body", [BODY, b""], ids=["body", "no body"])
@pytest.mark.parametrize("kind", FAULTS)
def test_fault(echo: FakeEcho, kind: str, body: bytes) -> None:
    """Each fault is what its name says, and is counted."""
    broken = (ConnectionError, http.client.HTTPException)
    with FaultProxy(echo.url, rate=1.0, seed=3, kinds=[kind]) as proxy:
        connection = connect(proxy)
        if kind == "truncated" and not body:  # http.client takes half a head for a whole one
            assert not _read_raw(proxy).endswith(b"\r\n\r\n")
        elif kind in {"reset_request", "reset_reply", "truncated"}:
            with pytest.raises(broken):
                ask(connection, body)
        elif kind == "slow_body":
            assert ask(connection, body) == (200, body)
        else:
            status, answer = ask(connection, body)
            assert (status, answer) != (200, BODY)
            assert status in {200, 429, 500, 502, 503}
            assert ask(connection, body)[0] in {200, 429, 500, 502, 503}  # still open
        connection.close()
    assert set(proxy.faults) == {kind}
    arrived = [seen for *_, seen in echo.seen]
    assert arrived == ([body] if kind in {"reset_reply", "slow_body", "truncated"} else [])


def test_resets(echo: FakeEcho) -> None:
    """A reset is seen as a reset, wherever it strikes."""
    with FaultProxy(echo.url, rate=1.0, kinds=["reset_request", "reset_reply"]) as proxy:
        for _ in range(10):
            connection = connect(proxy)
            with pytest.raises((ConnectionError, http.client.HTTPException)):
                ask(connection)
            connection.close()
    assert proxy.faults.total() == 10


def test_cut_after(echo: FakeEcho) -> None:
    """A connection is cut at one byte of the bodies, and only once."""
    with FaultProxy(echo.url) as proxy:
        proxy.cut_after(len(BODY) + 1000)
        connection = connect(proxy)
        assert ask(connection) == (200, BODY)
        with pytest.raises(ConnectionError):
            ask(connection)
        connection.close()
        assert proxy.bytes_up == len(BODY) + 1000
        assert ask(connection) == (200, BODY)
        connection.close()
    assert (proxy.requests, proxy.forwarded, proxy.faults) == (3, 2, {"cut": 1})


def test_schedule(echo: FakeEcho) -> None:
    """One seed is one schedule, of about the rate that was asked for, and spares the exempt."""

    def draws(seed: int, exempt: str = "(?!)") -> list[str]:
        proxy = FaultProxy(echo.url, rate=0.1, seed=seed, exempt=re.compile(exempt))
        found = [proxy.draw("/bucket/key")[0] for _ in range(1000)]
        proxy.__enter__().stop()
        return found

    assert draws(1) == draws(1) != draws(2)
    assert 60 < sum(map(bool, draws(1))) < 140
    assert set(filter(None, draws(1))) == set(FAULTS)
    assert not any(draws(1, "^/bucket"))


def test_stops(echo: FakeEcho) -> None:
    """Stopping ends connections that wait, at once."""
    with FaultProxy(echo.url, latency=30) as proxy:
        idle, waiting = connect(proxy), connect(proxy)
        idle.connect()
        waiting.request("PUT", "/", b"x")
        _until(lambda: bool(echo.seen))
        started = time.perf_counter()
    assert time.perf_counter() - started < 5
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        waiting.getresponse()
    idle.close()
    waiting.close()


def _read_raw(proxy: FaultProxy) -> bytes:
    with socket.create_connection(("127.0.0.1", int(proxy.url.rpartition(":")[2])), 10) as client:
        client.sendall(b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
        return b"".join(iter(lambda: client.recv(1000), b""))


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
