"""JSON over HTTP against a real server on loopback that answers by a script."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lading.errors import GuardError, Interrupted, LadingError, ServiceError, UnansweredError
from lading.services.rest import FileBody, RestClient
from lading.storage.progress import Progress
from tests.fakes.scripted import RESET, ScriptedServer, Step, reply

CANARY = "canary-5f2c9d-token"
JSON = {"Content-Type": "application/json"}
PAGE = b"<html>\n<body>Bad\n  gateway</body></html>"
OK = reply(200, b'{"a": 1}', JSON)
NOW = 1_738_713_600.0


class Clock:
    """A time that passes only where somebody waits."""

    def __init__(self) -> None:
        self.time = NOW
        self.naps: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        assert 0 < seconds <= 1, "a wait must be cut into pieces that can be interrupted"
        self.naps.append(seconds)
        self.time += seconds

    @property
    def waited(self) -> float:
        """How long was waited in all."""
        return self.time - NOW


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that the client goes by."""
    made = Clock()
    monkeypatch.setattr("lading.services.rest.time.time", lambda: made.time)
    return made


Serve = Callable[..., tuple[ScriptedServer, RestClient]]


@pytest.fixture
def serve(clock: Clock) -> Iterator[Serve]:
    """Start a server with these answers, and a client for it."""
    opened: list[ScriptedServer] = []

    def start(*steps: Step, **options: object) -> tuple[ScriptedServer, RestClient]:
        server = ScriptedServer(*steps)
        server.__enter__()
        opened.append(server)
        given = {"token": CANARY, "sleep": clock.sleep, **options}
        return server, RestClient("Zenodo", f"{server.url}/api", **given)  # type: ignore[arg-type]

    yield start
    for server in opened:
        server.__exit__(None, None, None)


class Counter(Progress):
    """A progress that adds up, and may want to stop."""

    def __init__(self, stop_after: int | None = None) -> None:
        super().__init__()
        self.total = 0
        self.most = 0
        self.calls = 0
        self._stop_after = stop_after

    def relative_update(self, inc: int = 1) -> None:
        """Count."""
        self.calls += 1
        self.total += inc
        self.most = max(self.most, self.total)
        if self._stop_after is not None and self.calls > self._stop_after:
            raise Interrupted(15)


def one_line(error: BaseException) -> str:
    """Return a message, which is one line without the token and no longer than a few lines."""
    text = str(error)
    assert "\n" not in text
    assert CANARY not in text
    assert len(text) < 700
    return text


class TestAnswers:
    """What is an answer, and what only looks like one."""

    @pytest.mark.parametrize(
        ("body", "table"),
        [(b'{"a": 1}', {"a": 1}), (b"[1, 2]", [1, 2]), (b"null", None), (b'"x"', "x"), (b"", None)],
    )
    def test_json(self, serve: Serve, body: bytes, table: object) -> None:
        """JSON of any kind is returned, nothing for an empty body."""
        _, client = serve(reply(200, body, JSON))

        assert client.get("/records") == table

    def test_no_content(self, serve: Serve) -> None:
        """An answer without content has none, and its status."""
        _, client = serve(Step(b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n"))
        answer = client.ask("DELETE", "/records/1")

        assert (answer.status, answer.table, answer.headers["x-a"]) == (204, None, "b")

    def test_request(self, serve: Serve) -> None:
        """A request carries the token, a name, the query and the JSON."""
        server, client = serve(OK, headers={"X-Own": "1"})
        client.ask("POST", "/records", query={"q": "a b&c"}, table={"title": "ü"})
        [received] = server.received

        assert received.first == "POST /api/records?q=a+b%26c HTTP/1.1"
        head = received.head.lower()
        assert f"authorization: bearer {CANARY}\r\n" in head
        assert "user-agent: lading/" in head
        assert "accept: application/json\r\n" in head
        assert "x-own: 1\r\n" in head
        assert json.loads(received.body) == {"title": "ü"}

    def test_own_headers(self, serve: Serve) -> None:
        """A request may have headers of its own, also at the next try; the next one has not."""
        server, client = serve(reply(503), OK, headers={"X-Own": "1"})
        client.ask("PUT", "/records", table={}, headers={"Idempotency-Key": "abc", "X-Own": "2"})
        client.ask("PUT", "/records", table={})
        first, again, other = [each.head.lower() for each in server.received]

        for head in (first, again):
            assert "idempotency-key: abc\r\n" in head
            assert "x-own: 2\r\n" in head
            assert f"authorization: bearer {CANARY}\r\n" in head
            assert "content-type: application/json\r\n" in head
        assert "idempotency-key" not in other
        assert "x-own: 1\r\n" in other

    def test_accepted_refusal(self, serve: Serve) -> None:
        """A refusal that the caller can read is an answer, as it came; others are errors."""
        server, client = serve(reply(422, b'{"errors": []}', JSON), reply(409, b"{}", JSON))
        answer = client.ask("POST", "/records", table={}, accepts={422})

        assert (answer.status, answer.table, answer.content) == (422, None, b'{"errors": []}')
        with pytest.raises(ServiceError, match="got 409"):
            client.ask("POST", "/records", table={}, accepts={422})
        assert len(server.received) == 2

    def test_nested_without_end(self, serve: Serve) -> None:
        """JSON that is nested too deeply to be read is no answer."""
        _, client = serve(reply(200, b"[" * 100_000, JSON), attempts=1)
        with pytest.raises(UnansweredError, match="expected JSON"):
            client.get("/records")

    @pytest.mark.parametrize(
        ("answer", "told"),
        [
            (reply(200, PAGE, {"Content-Type": "text/html"}), "expected JSON, got 200 '(text/html"),
            (
                reply(502, PAGE, {"Content-Type": "text/html; charset=x"}),
                "expected success, got 502 '(text",
            ),
            (reply(503, b"", {}), "expected success, got 503 '(no type)'"),
            (reply(200, b'{"a": 1', JSON), "expected JSON, got 200 "),
            (reply(200, b'{"a": "\xff"}', JSON), "expected JSON, got 200 "),
        ],
    )
    def test_no_answer(self, serve: Serve, answer: Step, told: str) -> None:
        """A page where JSON was due, broken JSON and a gateway's fault are no answers."""
        server, client = serve(answer, attempts=3)
        with pytest.raises(UnansweredError) as caught:
            client.get("/records")

        assert f"Zenodo: GET /api/records: {told}" in one_line(caught.value)
        assert "\\n" not in str(caught.value)
        assert len(server.received) == 3

    @pytest.mark.parametrize(
        ("body", "told"),
        [
            (b'{"message": "Bad\\n  title"}', "got 400 'Bad title'"),
            (
                b'{"message": "No", "errors": [{"field": "a.b", "messages": ["x", "y"]}]}',
                "a.b: x, y",
            ),
            (b'{"message": "No", "errors": [{"code": "c"}, "text", null]}', "'No; c; text; None'"),
            (b'{"errors": {}}', '{"errors": {}}'),
            (b"[1]", "got 400 '[1]'"),
        ],
    )
    def test_refusal(self, serve: Serve, body: bytes, told: str) -> None:
        """A refusal is told in the service's own words, in one line, and not asked again."""
        server, client = serve(reply(400, body, JSON))
        with pytest.raises(ServiceError) as caught:
            client.get("/records")

        assert not isinstance(caught.value, UnansweredError)
        assert caught.value.status == 400
        assert told in one_line(caught.value)
        assert len(server.received) == 1

    @pytest.mark.parametrize("status", [400, 401, 404, 409, 410, 422, 501])
    def test_no_is_final(self, serve: Serve, status: int) -> None:
        """What the service refuses is not asked again."""
        server, client = serve(reply(status, b"{}", JSON))
        with pytest.raises(ServiceError) as caught:
            client.ask("PUT", "/records", table={})

        assert caught.value.status == status
        assert len(server.received) == 1

    def test_huge_page(self, serve: Serve) -> None:
        """Of a page of five megabytes only the beginning is told."""
        _, client = serve(reply(400, b"x" * 5_000_000))
        with pytest.raises(ServiceError) as caught:
            client.get("/records")

        assert "xxx" in one_line(caught.value)

    def test_no_text(self, serve: Serve) -> None:
        """A page that is no text in any encoding is told as well as may be."""
        _, client = serve(reply(400, b"\xff\xfe\x00a", {"Content-Type": "text/html; charset=no"}))
        with pytest.raises(ServiceError) as caught:
            client.get("/records")

        one_line(caught.value)

    @pytest.mark.parametrize("form", [CANARY, f"Bearer {CANARY}x", "ghp_0123456789abcdef0123"])
    def test_secrets(self, serve: Serve, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
        """A service that tells the token back does not tell it to us."""
        monkeypatch.setenv("ZENODO_TOKEN", CANARY)
        _, client = serve(reply(400, json.dumps({"message": f"no {form} here"}).encode(), JSON))
        with pytest.raises(ServiceError, match=r"\*\*\*") as caught:
            client.get("/records", {"access_token": form})

        assert form not in one_line(caught.value)


class TestRedirects:
    """Where a service says that the answer is elsewhere."""

    def test_same_host(self, serve: Serve) -> None:
        """A question is asked where the same host answers it."""
        server, client = serve(reply(301, b"", {"Location": "/api/new?x=1"}), OK)

        assert client.get("/old") == {"a": 1}
        assert server.received[1].first == "GET /api/new?x=1 HTTP/1.1"

    def test_endless(self, serve: Serve) -> None:
        """A redirect in a circle ends with an error."""
        server, client = serve(reply(302, b"", {"Location": "/api/old"}))
        with pytest.raises(ServiceError, match="got 302 'a redirect to /api/old'"):
            client.get("/old")

        assert len(server.received) < 10

    @pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
    def test_elsewhere(self, serve: Serve, method: str) -> None:
        """Another host is not asked, and not told the token; where it is, is told without query."""
        stranger, _ = serve(OK)
        location = f"{stranger.url}/login?code={CANARY}"
        server, client = serve(reply(302, b"", {"Location": location}))
        with pytest.raises(
            ServiceError, match=f"got 302 'a redirect to {stranger.url}/login'"
        ) as got:
            client.ask(method, "/records")

        one_line(got.value)
        assert stranger.connections == 0
        assert len(server.received) == 1

    def test_change(self, serve: Serve) -> None:
        """What changes something is not sent elsewhere, not even on the same host."""
        server, client = serve(reply(307, b"", {"Location": "/api/new"}), OK)
        with pytest.raises(ServiceError, match="a redirect to /api/new"):
            client.ask("PUT", "/old", table={})

        assert len(server.received) == 1


class TestRepeats:
    """What is sent again, and what is not."""

    @pytest.mark.parametrize("fault", [reply(502, PAGE), reply(408), RESET, reply(200, PAGE)])
    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
    def test_safe(self, serve: Serve, method: str, fault: Step) -> None:
        """What may be done twice is asked again until there is an answer."""
        server, client = serve(fault, fault, OK)

        assert client.ask(method, "/records").table == {"a": 1}
        assert len(server.received) == 3

    @pytest.mark.parametrize("fault", [reply(502, PAGE), RESET, reply(200, PAGE)])
    @pytest.mark.parametrize("method", ["POST", "PATCH"])
    def test_unsafe(self, serve: Serve, method: str, fault: Step) -> None:
        """What may have been done is not sent again; that it may have been done is known."""
        server, client = serve(fault, OK)
        with pytest.raises(UnansweredError) as caught:
            client.ask(method, "/records", table={})

        assert caught.value.was_sent
        assert "run the same command" in one_line(caught.value)
        assert len(server.received) == 1

    def test_by_word(self, serve: Serve) -> None:
        """The caller may know better, either way."""
        server, client = serve(RESET, OK)
        assert client.ask("POST", "/search", table={}, repeats=True).table == {"a": 1}
        assert len(server.received) == 2

        server, client = serve(RESET, OK)
        with pytest.raises(UnansweredError):
            client.ask("PUT", "/records", repeats=False)
        assert len(server.received) == 1

    def test_nothing_was_sent(self, clock: Clock) -> None:
        """Where nobody listens nothing was asked, so that even a POST is tried again."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        client = RestClient("Zenodo", f"http://127.0.0.1:{port}", attempts=4, sleep=clock.sleep)
        with pytest.raises(UnansweredError, match=f"expected an answer of 127.0.0.1:{port}") as got:
            client.ask("POST", "/records", table={})

        assert not got.value.was_sent
        assert clock.waited == pytest.approx(0.25 + 0.5 + 1)

    def test_pauses_grow_to_a_limit(self, serve: Serve, clock: Clock) -> None:
        """Between the tries is more and more time, and not too much."""
        server, client = serve(reply(503), attempts=10)
        with pytest.raises(UnansweredError):
            client.get("/records")

        assert len(server.received) == 10
        assert clock.waited == pytest.approx(0.25 + 0.5 + 1 + 2 + 4 + 8 + 16 + 20 + 20)

    def test_stop_between_tries(self, serve: Serve, clock: Clock) -> None:
        """A run that must stop does not wait for the next try."""
        server, client = serve(reply(503))
        client.progress = Counter(stop_after=3)
        with pytest.raises(Interrupted):
            client.get("/records")

        assert len(server.received) == 4
        assert clock.waited < 2

    def test_hang(self, serve: Serve) -> None:
        """A service that takes a request and is silent is given up after a time."""
        server, client = serve(Step(b"", "hang"), attempts=2)
        began = time.monotonic()
        with pytest.raises(UnansweredError, match="timed out") as caught:
            client.ask("GET", "/records", answer_s=0.1)

        assert caught.value.was_sent
        assert time.monotonic() - began < 10
        assert len(server.received) == 2


class TestHaste:
    """What the service says of its allowance."""

    @pytest.mark.parametrize(
        ("status", "headers", "seconds"),
        [
            (429, {"Retry-After": "7"}, 7),
            (429, {"Retry-After": "0"}, 1),
            (429, {"X-RateLimit-Reset": str(int(NOW) + 90)}, 90),
            (429, {"X-RateLimit-Reset": str(int(NOW) - 90)}, 1),
            (429, {"Retry-After": "Wed, 05 Feb 2025 00:00:09 GMT"}, 1),
            (429, {"Retry-After": "-5"}, 1),
            (429, {"Retry-After": "\u00b2"}, 1),
            (429, {}, 1),
            (403, {"Retry-After": "60"}, 60),
            (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(NOW) + 5)}, 5),
        ],
    )
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_is_waited_out(
        self,
        serve: Serve,
        clock: Clock,
        method: str,
        status: int,
        headers: dict[str, str],
        seconds: float,
    ) -> None:
        """A refusal for haste is waited out as long as it says, and was no try: a POST goes too."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 {status} x\r\n{lines}Content-Length: 0\r\n\r\n"
        server, client = serve(Step(head.encode("latin-1")), OK, attempts=1)

        assert client.ask(method, "/records").table == {"a": 1}
        assert clock.waited == pytest.approx(seconds)
        assert len(server.received) == 2

    @pytest.mark.parametrize("status", [403, 429])
    def test_secondary_limit(self, serve: Serve, clock: Clock, status: int) -> None:
        """Where GitHub names its second limit and no time, a minute is waited."""
        body = b'{"message": "You have exceeded a secondary rate limit."}'
        _, client = serve(reply(status, body, JSON), OK)

        assert client.get("/records") == {"a": 1}
        assert clock.waited == pytest.approx(60)

    def test_doubles(self, serve: Serve, clock: Clock) -> None:
        """Where it does not say how long, the waits double."""
        _, client = serve(*[reply(429)] * 5, OK)

        assert client.get("/records") == {"a": 1}
        assert clock.waited == pytest.approx(1 + 1 + 2 + 4 + 8)

    @pytest.mark.parametrize("said", ["1800", "99999999999"])
    def test_without_end(self, serve: Serve, clock: Clock, said: str) -> None:
        """A service that always says so is given up after an hour of waiting or little more."""
        _, client = serve(reply(429, b'{"message": "slow down"}', {"Retry-After": said}))
        with pytest.raises(ServiceError, match="expected room for a request, got 429 'slow down'"):
            client.get("/records")

        assert 3600 <= clock.waited < 7300

    def test_plain_403(self, serve: Serve, clock: Clock) -> None:
        """A refusal that has nothing to do with haste is told at once."""
        _, client = serve(reply(403, b'{"message": "no"}', {"X-RateLimit-Remaining": "12"}))
        with pytest.raises(ServiceError, match="got 403 'no'"):
            client.get("/records")

        assert clock.waited == 0

    def test_last_of_the_allowance(self, serve: Serve, clock: Clock) -> None:
        """Where an answer says that it was the last for now, the next request waits."""
        last = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(NOW) + 30), **JSON}
        _, client = serve(reply(200, b"1", last), reply(200, b"2", JSON))

        assert client.get("/a") == 1
        assert clock.waited == 0
        assert client.get("/b") == 2
        assert clock.waited == pytest.approx(30)

    def test_stop_while_waiting(self, serve: Serve, clock: Clock) -> None:
        """A run that must stop does not wait for an hour."""
        _, client = serve(reply(429, b"", {"Retry-After": "3600"}))
        client.progress = Counter(stop_after=2)
        with pytest.raises(Interrupted):
            client.get("/records")

        assert clock.waited <= 3


class TestGuards:
    """What is refused before anything is sent."""

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
    def test_read_only(self, serve: Serve, method: str) -> None:
        """What may only read sends nothing that changes."""
        server, client = serve(OK, read_only=True)
        with pytest.raises(GuardError, match=f"Zenodo: expected to read only, got {method} /a"):
            client.ask(method, "/a")

        assert server.connections == 0
        assert client.get("/a") == {"a": 1}

    @pytest.mark.parametrize("url", ["http://zenodo.org/api", "ftp://zenodo.org", "//zenodo.org"])
    def test_token_over_plain_http(self, url: str) -> None:
        """A token leaves this machine over https alone."""
        with pytest.raises(ServiceError, match="expected https where a token is sent") as caught:
            RestClient("Zenodo", url, token=CANARY)

        one_line(caught.value)

    @pytest.mark.parametrize(
        "path",
        ["http://127.0.0.1:9/api/a", "https://evil.example/a?t=1", "@evil.example/a", ".x/a"],
    )
    def test_other_host(self, serve: Serve, path: str) -> None:
        """A URL of another host, as a service may name one, is not asked."""
        server, client = serve(OK)
        object.__setattr__(client, "url", server.url)
        with pytest.raises(ServiceError, match=r"expected a URL of 127\.0\.0\.1:") as caught:
            client.get(path)

        assert "t=1" not in one_line(caught.value)
        assert server.connections == 0

    def test_same_host(self, serve: Serve) -> None:
        """A whole URL of the service, as it names one, is asked; never less safely than others."""
        server, client = serve(OK)

        assert client.get(f"{server.url}/api/a") == {"a": 1}
        assert client._own(f"{server.url}/x".replace("http", "https")) == f"{server.url}/x"
        safe = RestClient("Zenodo", "https://zenodo.org/api", token=CANARY)
        assert safe._own("http://zenodo.org/api/a") == "https://zenodo.org/api/a"


class TestFiles:
    """A file as the body of a request."""

    @pytest.fixture
    def body(self, tmp_path: Path) -> FileBody:
        """Two and a half pieces."""
        path = tmp_path / "a.zip"
        path.write_bytes(b"0123456789abcdef" * (5 << 15))
        return FileBody(path, 5 << 19)

    def test_arrives(self, serve: Serve, body: FileBody) -> None:
        """A file arrives whole, with its length, and is counted."""
        server, client = serve(OK)
        client.progress = counter = Counter()
        client.ask("PUT", "/files/a", body=body)
        [received] = server.received

        assert received.body == body.path.read_bytes()
        assert f"content-length: {body.size_bytes}\r\n" in received.head.lower()
        assert "transfer-encoding" not in received.head.lower()
        assert counter.total == body.size_bytes

    def test_empty(self, serve: Serve, tmp_path: Path) -> None:
        """An empty file is a body of no bytes."""
        (tmp_path / "e").touch()
        server, client = serve(OK)
        client.ask("PUT", "/files/e", body=FileBody(tmp_path / "e", 0))

        assert "content-length: 0\r\n" in server.received[0].head.lower()

    @pytest.mark.parametrize("fault", [reply(502), RESET, reply(429), reply(200, PAGE)])
    def test_again(self, serve: Serve, body: FileBody, fault: Step) -> None:
        """A file that has to be sent again is sent whole again, and counted once."""
        server, client = serve(fault, fault, OK)
        client.progress = counter = Counter()
        client.ask("PUT", "/files/a", body=body)

        assert [len(each.body) for each in server.received] == [body.size_bytes] * 3
        assert counter.total == counter.most == body.size_bytes

    @pytest.mark.parametrize("fault", [reply(400), reply(502), RESET])
    def test_in_vain(self, serve: Serve, body: FileBody, fault: Step) -> None:
        """What did not arrive at last is not counted."""
        _, client = serve(fault, attempts=2)
        client.progress = counter = Counter()
        with pytest.raises(ServiceError):
            client.ask("PUT", "/files/a", body=body)

        assert counter.total == 0
        assert counter.most == body.size_bytes

    @pytest.mark.parametrize("difference", [-1, 1, -(5 << 19)])
    def test_other_length(self, serve: Serve, body: FileBody, difference: int) -> None:
        """A file that is longer or shorter than was announced is not sent, and not tried again."""
        server, client = serve(OK)
        wrong = FileBody(body.path, body.size_bytes + difference)
        words = f"a.zip: expected {wrong.size_bytes} bytes, found {body.size_bytes};"
        with pytest.raises(ServiceError, match=words):
            client.ask("PUT", "/files/a", body=wrong)

        assert all(not each.is_whole or not each.body for each in server.received)

    def test_stop_in_the_middle(self, serve: Serve, body: FileBody) -> None:
        """A run that must stop does so between two pieces."""
        server, client = serve(OK)
        client.progress = Counter(stop_after=1)
        with pytest.raises(Interrupted):
            client.ask("PUT", "/files/a", body=body)

        assert not any(each.is_whole for each in server.received)


class TestLook:
    """A look at what is there, where a refusal is an answer."""

    def test_refusal_is_an_answer(self, serve: Serve) -> None:
        """A status that is expected is returned with its body as it came."""
        _, client = serve(reply(404, b"\xffno", {"X-A": "b"}))
        answer = client.look("/v2/", {200, 404})

        assert (answer.status, answer.content, answer.headers["x-a"]) == (404, b"\xffno", "b")

    def test_other_refusal(self, serve: Serve) -> None:
        """Any other is an error still."""
        _, client = serve(reply(403))
        with pytest.raises(ServiceError, match="got 403"):
            client.look("/v2/", {404})

    def test_passing(self, serve: Serve) -> None:
        """A fault that passes is waited out here, too."""
        server, client = serve(reply(502), RESET, reply(404))

        assert client.look("/v2/", {404}, method="HEAD").status == 404
        assert len(server.received) == 3


def test_errors_are_ours(serve: Serve) -> None:
    """Whatever a server sends, the error is one of Lading's."""
    for raw in (
        b"no http\r\n\r\n",
        b"HTTP/1.1 200 x\r\nContent-Length: 9\r\n\r\n1",
        b"HTTP/1.1 20",
    ):
        _, client = serve(Step(raw, "close"), attempts=1)
        with pytest.raises(LadingError) as caught:
            client.get("/records")
        one_line(caught.value)


def test_closed_with_its_client(serve: Serve) -> None:
    """A client that is left closes its connections."""
    _, client = serve(OK)
    with client as entered:
        assert entered.get("/a") == {"a": 1}
    assert client._http.is_closed
