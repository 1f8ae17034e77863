"""Tests of plain HTTP to an object store, against servers that answer by a script."""

import os
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import google_crc32c
import pytest

from lading.errors import ChecksumError, ConditionError, StoreError, UnavailableError
from lading.release.objects import encode_crc32c
from lading.storage import Progress
from lading.storage.wire import (
    ATTEMPTS,
    PIECE_BYTES,
    ExpiredError,
    FilePart,
    Reply,
    Request,
    Wire,
    crc_of_part,
    until_it_moves,
)
from tests.fakes.proxy import FaultProxy
from tests.fakes.scripted import HANG, RESET, ScriptedServer, Step, reply
from tests.fakes.tls import make_certificate
from tests.unit.storage.naps import note_naps

OK = reply(200, b"fine")
SECRET = "s3cr3t-token"
DATA = bytes(range(256)) * (3 * PIECE_BYTES // 256) + b"tail"


class PlainDialect:
    """A dialect without a cloud: passing states pass, all others but 200 are for good."""

    def __init__(self) -> None:
        self.refreshed = 0

    def authorise(self, request: Request) -> dict[str, str]:
        """Add a token."""
        return {**request.headers, "Authorization": f"Bearer {SECRET}-{self.refreshed}"}

    def refresh(self) -> None:
        """Count."""
        self.refreshed += 1

    def judge(self, request: Request, reply: Reply) -> None:
        """Go by the status."""
        told = f"{request.place}: {request.operation}: got {reply.status} {reply.data.decode()}"
        if reply.status in request.accepts:
            return
        if reply.status == 401:
            raise ExpiredError(told)
        if reply.status in {429, 500, 502, 503}:
            error = UnavailableError(told)
            error.retry_after = reply.retry_after
            raise error
        raise ConditionError(told) if reply.status == 412 else StoreError(told)


def open_files(path: Path) -> int:
    """Count how often this process has a file open."""
    found = 0
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of this listing
            found += link.readlink() == path
    return found


class Counting(Progress):
    """Counts bytes, and remembers the most."""

    def __init__(self) -> None:
        super().__init__()
        self.total = self.most = 0

    def relative_update(self, inc: int = 1) -> None:
        """Count."""
        self.total += inc
        self.most = max(self.most, self.total)


@pytest.fixture(autouse=True)
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Wait for nothing, and go through no proxy of this machine's."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return note_naps(monkeypatch)


@pytest.fixture
def serve() -> Iterator[Callable[..., ScriptedServer]]:
    """Return what starts a server with a script."""
    servers: list[ScriptedServer] = []

    def start(*steps: Step, tls: ssl.SSLContext | None = None) -> ScriptedServer:
        servers.append(ScriptedServer(*steps, tls=tls).__enter__())
        return servers[-1]

    yield start
    for server in servers:
        server.__exit__(None, None, None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file of a few pieces."""
    (tmp_path / "file.bin").write_bytes(DATA)
    return tmp_path / "file.bin"


def ask(url: str, **more: Any) -> Request:
    """Return a request."""
    fields: dict[str, Any] = {
        "operation": "GetThing", "place": "s3://bucket/key", "method": "GET",
        "url": url if "?" in url else f"{url}/key",
    }  # fmt: skip
    return Request(**{**fields, **more})


def part_of(path: Path, progress: Progress | None = None, **more: Any) -> FilePart:
    """Return a whole file as the body of a request."""
    size = more.setdefault("size", path.stat().st_size)
    fields: dict[str, Any] = {"start": 0, "crc32c": crc_of_part(path, 0, size)}
    return FilePart(path=path, progress=progress or Progress(), **{**fields, **more})


class TestRetries:
    """What is asked again, and how often."""

    @pytest.mark.parametrize("status", [429, 500, 502, 503])
    def test_passing_status(self, serve: Callable[..., ScriptedServer], status: int) -> None:
        """A status that passes is asked about again, until the answer is good."""
        server = serve(reply(status), reply(status), OK)
        assert Wire(PlainDialect(), server.url).send(ask(server.url)).data == b"fine"
        assert len(server.received) == 3

    @pytest.mark.parametrize("status", [429, 503])
    def test_wait_that_the_service_asks_for(
        self, serve: Callable[..., ScriptedServer], naps: list[float], status: int
    ) -> None:
        """Retry-After is waited for, no less and no more."""
        server = serve(reply(status, headers={"Retry-After": "7"}), OK)
        Wire(PlainDialect(), server.url).send(ask(server.url))
        assert naps == [7.0]

    def test_endless_wait_is_cut(
        self, serve: Callable[..., ScriptedServer], naps: list[float]
    ) -> None:
        """No service makes a run wait an hour."""
        server = serve(reply(503, headers={"Retry-After": "3600"}), OK)
        Wire(PlainDialect(), server.url).send(ask(server.url))
        assert naps == [20.0]

    @pytest.mark.parametrize("words", ["soon", "-1", "Wed, 21 Oct 2015 07:28:00 GMT"])
    def test_wait_that_is_no_number(
        self, serve: Callable[..., ScriptedServer], naps: list[float], words: str
    ) -> None:
        """A Retry-After that is no number of seconds leaves the wait to us."""
        server = serve(reply(503, headers={"Retry-After": words}), OK)
        Wire(PlainDialect(), server.url).send(ask(server.url))
        assert len(naps) == 1
        assert 0 <= naps[0] <= 0.3

    def test_waits_grow(self, serve: Callable[..., ScriptedServer], naps: list[float]) -> None:
        """Every wait is longer than all that came two before it."""
        server = serve(reply(500))
        with pytest.raises(UnavailableError):
            Wire(PlainDialect(), server.url).send(ask(server.url))
        assert len(naps) == ATTEMPTS - 1
        assert naps[-1] > 2 * naps[3] > 2 * naps[0]

    @pytest.mark.parametrize(
        "fault",
        [
            RESET,
            Step(b"", "close"),
            Step(b"HTTP/1.1 200 OK\r\nContent-", "reset"),
            Step(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfi", "reset"),
            Step(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfine", "close"),
            Step(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nfine", "close"),
            Step(b"HTTP/1.1 200 OK\r\nX-Thing: 1\r\n", "close"),
            Step(b"HTTP/1.1 200 OK\r\n", "close"),
            Step(b"SSH-2.0-OpenSSH\r\n", "close"),
        ],
        ids=["reset", "closed", "reset in head", "reset in body", "short body", "short chunk",
             "cut head", "bare status", "no HTTP"],
    )  # fmt: skip
    def test_broken_answer(self, serve: Callable[..., ScriptedServer], fault: Step) -> None:
        """An answer that did not come whole is none, whatever its status."""
        server = serve(fault, fault, OK)
        assert Wire(PlainDialect(), server.url).send(ask(server.url)).data == b"fine"
        assert len(server.received) == 3

    def test_silence(self, serve: Callable[..., ScriptedServer]) -> None:
        """An answer that does not come in time is asked for again."""
        server = serve(HANG, OK)
        sent = Wire(PlainDialect(), server.url).send(ask(server.url, patience=0.2))
        assert sent.data == b"fine"
        assert len(server.received) == 2

    def test_silence_within_the_answer(self, serve: Callable[..., ScriptedServer]) -> None:
        """A body that stops coming is asked for again."""
        stuck = Step(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfi", "hang")
        server = serve(stuck, OK)
        sent = Wire(PlainDialect(), server.url).send(ask(server.url, patience=0.2))
        assert sent.data == b"fine"

    def test_nobody_listens(self, naps: list[float]) -> None:
        """A refused connection is tried a bounded number of times, and told in one line."""
        with ScriptedServer(OK) as server:
            url = server.url
        with pytest.raises(UnavailableError) as caught:
            Wire(PlainDialect(), url).send(ask(url))
        host = url.removeprefix("http://")
        told = f"s3://bucket/key: GetThing: expected an answer of {host}, got 'Connection refused'"
        assert str(caught.value).startswith(told)
        assert len(str(caught.value).splitlines()) == 1
        assert len(naps) == ATTEMPTS - 1

    @pytest.mark.parametrize("status", [301, 400, 403, 404])
    def test_refusal_is_for_good(
        self, serve: Callable[..., ScriptedServer], naps: list[float], status: int
    ) -> None:
        """A refusal is asked about once: no redirect is followed, and nothing waited for."""
        server = serve(reply(status, b"no way", {"Location": "http://127.0.0.1:1/x"}))
        with pytest.raises(StoreError, match=f"s3://bucket/key: GetThing: got {status} no way"):
            Wire(PlainDialect(), server.url).send(ask(server.url))
        assert len(server.received) == 1
        assert naps == []

    def test_gives_up(self, serve: Callable[..., ScriptedServer]) -> None:
        """After a bounded number of tries the last answer is told, with how often it was asked."""
        server = serve(reply(503, b"too busy"))
        with pytest.raises(
            UnavailableError, match="s3://bucket/key: GetThing: got 503 too busy"
        ) as caught:
            Wire(PlainDialect(), server.url).send(ask(server.url))
        assert len(server.received) == ATTEMPTS == caught.value.tries

    def test_once_is_once(self, serve: Callable[..., ScriptedServer]) -> None:
        """What goes on by itself is sent once."""
        server = serve(reply(503))
        with pytest.raises(UnavailableError):
            Wire(PlainDialect(), server.url).send_once(ask(server.url))
        assert len(server.received) == 1

    def test_expired_credentials(self, serve: Callable[..., ScriptedServer]) -> None:
        """Credentials that are called expired are fetched anew before the next try."""
        server, dialect = serve(reply(401), OK), PlainDialect()
        Wire(dialect, server.url).send(ask(server.url))
        assert dialect.refreshed == 1
        tokens = [f"{SECRET}-{number}" in each.head for number, each in enumerate(server.received)]
        assert tokens == [True, True]

    @pytest.mark.parametrize(("before", "repeated"), [([], False), ([RESET], True)])
    def test_condition_after_a_lost_answer(
        self, serve: Callable[..., ScriptedServer], before: list[Step], *, repeated: bool
    ) -> None:
        """A failed condition tells whether an earlier try may have been done."""
        server = serve(*before, reply(412))
        with pytest.raises(ConditionError) as caught:
            Wire(PlainDialect(), server.url).send(ask(server.url))
        assert caught.value.repeated is repeated


class TestBodies:
    """Bodies straight from the disk."""

    def test_file_arrives(self, serve: Callable[..., ScriptedServer], path: Path) -> None:
        """Head, bytes of the file and tail arrive as one body of known length."""
        server = serve(OK)
        body = part_of(path, head=b"<", tail=b">")
        Wire(PlainDialect(), server.url).send(ask(server.url, method="PUT", body=body))
        (received,) = server.received
        assert received.body == b"<" + DATA + b">"
        assert f"Content-Length: {len(DATA) + 2}\r\n" in received.head
        assert "Transfer-Encoding" not in received.head

    @pytest.mark.parametrize(
        ("start", "size"), [(0, 1), (5, PIECE_BYTES), (PIECE_BYTES - 1, 2), (len(DATA) - 3, 3)]
    )
    def test_part_of_a_file(
        self, serve: Callable[..., ScriptedServer], path: Path, start: int, size: int
    ) -> None:
        """A part of a file is those bytes and no others."""
        server = serve(OK)
        crc = encode_crc32c(google_crc32c.value(DATA[start : start + size]))
        body = FilePart(path=path, start=start, size=size, crc32c=crc)
        Wire(PlainDialect(), server.url).send(ask(server.url, method="PUT", body=body))
        assert server.received[0].body == DATA[start : start + size]

    def test_pieces_are_small(self, path: Path) -> None:
        """No more of a file than a piece is ever in memory."""
        assert max(len(piece) for piece in part_of(path).pieces([0])) == PIECE_BYTES

    def test_checksum_of_the_whole_from_a_part(self, path: Path) -> None:
        """What goes on in the middle is checked from the beginning on."""
        crc = crc_of_part(path, 0, len(DATA))
        part = part_of(path, start=100, size=len(DATA) - 100, crc32c=crc, checked_from=0)
        assert b"".join(bytes(piece) for piece in part.pieces([0])) == DATA[100:]

    @pytest.mark.parametrize("tail", [b"", b"--end--"])
    def test_other_bytes_never_arrive_whole(
        self, serve: Callable[..., ScriptedServer], path: Path, tail: bytes
    ) -> None:
        """A file of other bytes reaches the service as a cut body: nothing can come of it."""
        server, counted = serve(OK), Counting()
        body = part_of(path, counted, crc32c="AAAAAA==", tail=tail)
        with pytest.raises(ChecksumError, match=r"file\.bin: expected crc32c AAAAAA== .*got crc32"):
            Wire(PlainDialect(), server.url).send(ask(server.url, method="PUT", body=body))
        server.__exit__(None, None, None)
        assert [each.is_whole for each in server.received] in ([], [False])
        assert counted.total == 0

    def test_shorter_file_never_arrives_whole(
        self, serve: Callable[..., ScriptedServer], path: Path
    ) -> None:
        """A file that shrank since is a refusal that tells both sizes, after one try."""
        server, body = serve(OK), part_of(path)
        os.truncate(path, 1000)
        with pytest.raises(ChecksumError, match=rf"expected {len(DATA)} bytes, found 1000"):
            Wire(PlainDialect(), server.url).send(ask(server.url, method="PUT", body=body))
        server.__exit__(None, None, None)
        assert [each.is_whole for each in server.received] in ([], [False])

    def test_longer_file_sends_what_was_announced(
        self, serve: Callable[..., ScriptedServer], path: Path
    ) -> None:
        """Of a file that grew since no byte is sent beyond those announced."""
        server, body = serve(OK), part_of(path)
        path.write_bytes(DATA + b"more")
        Wire(PlainDialect(), server.url).send(ask(server.url, method="PUT", body=body))
        assert server.received[0].body == DATA

    def test_file_that_is_gone(self, serve: Callable[..., ScriptedServer], path: Path) -> None:
        """A file that vanished is a refusal that names it, after one try."""
        server, body = serve(OK), part_of(path)
        path.unlink()
        with pytest.raises(ChecksumError, match=r"file\.bin: expected to send it, got 'No such"):
            Wire(PlainDialect(), server.url).send(ask(server.url, method="PUT", body=body))

    def test_other_bytes_of_an_empty_file(
        self, serve: Callable[..., ScriptedServer], tmp_path: Path
    ) -> None:
        """An empty file with a checksum of others is refused too."""
        (tmp_path / "empty").touch()
        server, body = serve(OK), part_of(tmp_path / "empty", crc32c="4waSgw==", tail=b"--end--")
        with pytest.raises(ChecksumError):
            Wire(PlainDialect(), server.url).send(ask(server.url, method="PUT", body=body))

    @pytest.mark.parametrize("fault", [reply(503), RESET])
    def test_progress_goes_back(
        self, serve: Callable[..., ScriptedServer], path: Path, fault: Step
    ) -> None:
        """Bytes of a try that failed are taken back: in the end each was counted once."""
        server, counted = serve(fault, fault, OK), Counting()
        body = part_of(path, counted, head=b"head")
        Wire(PlainDialect(), server.url).send(ask(server.url, method="PUT", body=body))
        assert counted.total == counted.most == len(DATA)
        assert server.received[-1].body == b"head" + DATA

    def test_progress_of_a_refusal(self, serve: Callable[..., ScriptedServer], path: Path) -> None:
        """Bytes that the service refused were never sent, as far as progress goes."""
        server, counted = serve(reply(403)), Counting()
        with pytest.raises(StoreError):
            Wire(PlainDialect(), server.url).send(
                ask(server.url, method="PUT", body=part_of(path, counted))
            )
        assert counted.total == 0

    def test_failed_try_holds_nothing(
        self, serve: Callable[..., ScriptedServer], path: Path
    ) -> None:
        """Tries that broke in the middle keep no file open, though their errors are kept."""
        os.truncate(path, 16 << 20)  # more than the network holds on its way
        body, errors = part_of(path), []
        with FaultProxy(serve(OK).url) as proxy:
            wire = Wire(PlainDialect(), proxy.url)
            for _ in range(3):
                proxy.cut_after(PIECE_BYTES)
                with pytest.raises(UnavailableError) as caught:
                    wire.send_once(ask(proxy.url, method="PUT", body=body))
                errors.append(caught)
        assert proxy.faults["cut"] == len(errors)
        assert open_files(path) == 0


class TestTls:
    """Whom a connection trusts."""

    @pytest.fixture
    def certificate(self, tmp_path: Path) -> Path:
        """Return a certificate of our own; its key stands beside it."""
        return make_certificate(tmp_path)[0]

    @pytest.fixture
    def server(self, serve: Callable[..., ScriptedServer], certificate: Path) -> ScriptedServer:
        """Return a server with that certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        return serve(OK, tls=context)

    def test_unknown_authority(self, server: ScriptedServer, naps: list[float]) -> None:
        """A certificate that nobody here knows is refused at once, with what to do."""
        with pytest.raises(StoreError, match=r"expected a certificate.*AWS_CA_BUNDLE") as caught:
            Wire(PlainDialect(), server.url).send(ask(server.url))
        assert not isinstance(caught.value, UnavailableError)
        assert naps == []
        assert server.connections == 1

    def test_named_authority(self, server: ScriptedServer, certificate: Path) -> None:
        """A certificate of the named authorities is trusted."""
        wire = Wire(PlainDialect(), server.url, ca_bundle=str(certificate))
        assert wire.send(ask(server.url)).data == b"fine"

    def test_authority_of_the_environment(
        self, server: ScriptedServer, certificate: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """SSL_CERT_FILE names authorities as well."""
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert Wire(PlainDialect(), server.url).send(ask(server.url)).data == b"fine"

    def test_other_host(
        self, server: ScriptedServer, certificate: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A certificate of another host is refused, though its authority is known."""
        monkeypatch.setattr("socket.getaddrinfo", _everywhere_here)
        url = server.url.replace("127.0.0.1", "elsewhere.example")
        with pytest.raises(StoreError, match="expected a certificate"):
            Wire(PlainDialect(), url, ca_bundle=str(certificate)).send(ask(url))

    def test_file_of_authorities_is_missing(self) -> None:
        """A file of authorities that is not there is a refusal of ours that names it."""
        with pytest.raises(StoreError, match=r"/nowhere/ca\.pem"):
            Wire(PlainDialect(), "https://127.0.0.1:1", ca_bundle="/nowhere/ca.pem")


class TestProxies:
    """Proxies that the environment names."""

    def test_proxy_is_used(
        self, serve: Callable[..., ScriptedServer], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With HTTP_PROXY requests go to the proxy, with the whole URL."""
        server = serve(OK)
        monkeypatch.setenv("http_proxy", server.url)
        url = "http://bucket.example:81"
        assert Wire(PlainDialect(), url).send(ask(url)).data == b"fine"
        assert server.received[0].first == "GET http://bucket.example:81/key HTTP/1.1"

    def test_exception_is_respected(
        self, serve: Callable[..., ScriptedServer], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A host that NO_PROXY names is asked itself."""
        server, proxy = serve(OK), serve(reply(500))
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert Wire(PlainDialect(), server.url).send(ask(server.url)).data == b"fine"
        assert proxy.received == []

    def test_password_of_a_proxy_is_told_to_it_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A proxy that cannot be reached is told without its password."""
        with ScriptedServer(OK) as server:
            port = server.url.rpartition(":")[2]
        monkeypatch.setenv("http_proxy", f"http://me:{SECRET}@127.0.0.1:{port}")
        url = "http://bucket.example"
        with pytest.raises(UnavailableError) as caught:
            Wire(PlainDialect(), url).send(ask(url))
        assert SECRET not in str(caught.value)


class TestConnections:
    """How many connections there are."""

    def test_no_more_than_workers(self, serve: Callable[..., ScriptedServer]) -> None:
        """However many ask at once, connections are no more than workers, and used again."""
        server = serve(OK)
        wire, asked = Wire(PlainDialect(), server.url, workers=3), threading.Barrier(12)

        def send(_: int) -> bytes:
            asked.wait()
            return wire.send(ask(server.url)).data

        with ThreadPoolExecutor(12) as pool:
            assert set(pool.map(send, range(48))) == {b"fine"}
        assert 1 <= server.connections <= 3
        assert len(server.received) == 48

    def test_connection_comes_back_after_an_error(
        self, serve: Callable[..., ScriptedServer]
    ) -> None:
        """Refusals and broken answers take no connection away from those that come after."""
        server = serve(*[reply(403), RESET, Step(b"HTTP/1.1 200 OK\r\n", "close")] * 4, OK)
        wire, refused = Wire(PlainDialect(), server.url, workers=1), 0
        for _ in range(12):
            try:
                wire.send_once(ask(server.url, patience=5.0))
            except StoreError:
                refused += 1
        assert refused == 12
        assert wire.send(ask(server.url)).data == b"fine"

    def test_connection_that_the_service_has_closed(
        self, serve: Callable[..., ScriptedServer]
    ) -> None:
        """A connection that the service closed while nothing was asked is no error to see."""
        server = serve(Step(OK.raw, "close"))
        wire = Wire(PlainDialect(), server.url, workers=1)
        for _ in range(3):
            assert wire.send(ask(server.url)).data == b"fine"


class TestSecrets:
    """What never stands in an error."""

    @pytest.mark.parametrize("fault", [reply(403), reply(503), RESET, Step(b"HTTP/1.1 2", "close")])
    def test_no_secret_in_an_error(self, serve: Callable[..., ScriptedServer], fault: Step) -> None:
        """Neither the token nor what stands in the URL is told, whatever goes wrong."""
        server = serve(fault)
        request = ask(f"{server.url}/key?upload_id={SECRET}")
        with pytest.raises(StoreError) as caught:
            Wire(PlainDialect(), server.url).send(request)
        assert SECRET not in str(caught.value)

    def test_no_secret_of_a_host_that_does_not_answer(self) -> None:
        """A connection that cannot be made is told without the URL."""
        with ScriptedServer(OK) as server:
            url = server.url
        with pytest.raises(UnavailableError) as caught:
            Wire(PlainDialect(), url).send_once(ask(f"{url}/key?upload_id={SECRET}"))
        assert SECRET not in str(caught.value)


class TestUntilItMoves:
    """Going on for as long as it gets on."""

    def test_gives_up_where_it_stands(self, naps: list[float]) -> None:
        """What does not get on is tried a bounded number of times."""
        tries = []

        def act() -> None:
            tries.append(1)
            raise UnavailableError("no")

        with pytest.raises(UnavailableError):
            until_it_moves(act, lambda: 5)
        assert len(tries) == ATTEMPTS + 1
        assert len(naps) == ATTEMPTS

    def test_goes_on_while_it_moves(self) -> None:
        """What gets on a little each time is tried for as long as that takes."""
        tries: list[int] = []

        def act() -> None:
            tries.append(1)
            if len(tries) < 5 * ATTEMPTS:
                raise UnavailableError("no")

        until_it_moves(act, lambda: len(tries))
        assert len(tries) == 5 * ATTEMPTS

    def test_going_back_and_forth_is_no_getting_on(self) -> None:
        """Bytes that are lost and sent again, and lost again, end it."""
        tries: list[int] = []

        def act() -> None:
            tries.append(1)
            raise UnavailableError("no")

        with pytest.raises(UnavailableError):
            until_it_moves(act, lambda: len(tries) % 3)
        assert len(tries) < 4 * ATTEMPTS

    def test_waits_as_asked(self, naps: list[float]) -> None:
        """A wait that the service asks for is kept."""
        error = UnavailableError("no")
        error.retry_after = 4.0
        errors = [error]

        def act() -> None:
            if errors:
                raise errors.pop()

        until_it_moves(act, lambda: 0)
        assert naps == [4.0]


def test_random_faults_of_a_network(serve: Callable[..., ScriptedServer], path: Path) -> None:
    """Through a network that breaks every third request, every file arrives and counts once."""
    server, counted = serve(OK), Counting()
    kinds = ("reset_request", "status_500", "status_503", "reset_reply", "truncated")
    with FaultProxy(server.url, rate=0.3, seed=4, kinds=kinds) as proxy:
        wire = Wire(PlainDialect(), proxy.url)
        for _ in range(20):
            body = part_of(path, counted)
            assert wire.send(ask(proxy.url, method="PUT", body=body)).data == b"fine"
    assert sum(proxy.faults.values()) > 3
    assert counted.total == 20 * len(DATA)
    assert all(each.body == DATA for each in server.received if each.is_whole)


def _everywhere_here(host: object, port: int, *_: object, **__: object) -> list[Any]:
    del host
    return [(2, 1, 6, "", ("127.0.0.1", port))]
