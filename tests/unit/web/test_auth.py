"""Tokens let in who they belong to, for as long as they are valid, and nobody else."""

import asyncio
import base64
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from lading.ledger.ledger import Ledger
from lading.ledger.tokens import Token, add_token, revoke_token
from lading.web.auth import FAILURES_PER_MINUTE, FRESH_S, Caller, Doorkeeper, parse_authorization
from lading.web.problems import Problem
from tests.unit.web.serving import NOW, Client, lasting_client, make_client
from tests.unit.web.test_rates import Clock

GOOD = Token(name="ci", role="viewer", created_at=NOW)


def basic(password: str, user: str = "anybody") -> str:
    """Return the header of a user and a password."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Door:
    """A doorkeeper over a list of tokens, with a clock that is moved by hand."""

    def __init__(self, *, is_open: bool = False) -> None:
        self.clock = Clock()
        self.tokens: dict[str, Token] = {"good": GOOD}
        self.looks = 0
        self.keeper = Doorkeeper(self._find, is_open=is_open, now=lambda: NOW, clock=self.clock)

    def _find(self, secret: str) -> Token | None:
        self.looks += 1
        return self.tokens.get(secret)

    def admit(self, header: str, host: str = "192.0.2.1") -> Caller:
        """Ask to be let in."""
        return asyncio.run(self.keeper.admit(header, host))

    def refuse(self, header: str, host: str = "192.0.2.1") -> Problem:
        """Ask to be let in, in vain."""
        with pytest.raises(Problem) as caught:
            self.admit(header, host)
        return caught.value


@pytest.mark.parametrize(
    ("header", "secret"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        (basic("abc"), "abc"),
        (basic("a:b", ""), "a:b"),
        ("Basic !!!", ""),
        ("Basic /w==", ""),
        ("Basic " + base64.b64encode(b"nothing").decode(), ""),
        ("Digest abc", ""),
        ("Bearer", ""),
        ("", ""),
        ("abc", ""),
    ],
    ids=range(11),
)
def test_a_secret_is_read_from_a_header(header: str, secret: str) -> None:
    """A bearer's token and a password are read; all else is none."""
    assert parse_authorization(header) == secret


def test_a_token_is_believed_for_a_moment_only() -> None:
    """It is looked up once, and again when that is no longer fresh; a revoked one is out then."""
    door = Door()
    assert [door.admit("Bearer good").name for _ in range(5)] == ["ci"] * 5
    assert door.looks == 1
    door.tokens["good"] = Token(name="ci", role="viewer", created_at=NOW, revoked_at=NOW)
    assert door.admit("Bearer good").name == "ci"
    door.clock.at += FRESH_S
    assert door.refuse("Bearer good").status_code == 401
    assert door.keeper.name_of("Bearer good") == ""


def test_an_expired_token_is_told_and_a_revoked_one_is_not() -> None:
    """Its bearer may know that it expired; of a revoked or a wrong one nobody learns anything."""
    door = Door()
    past = NOW - timedelta(minutes=5)
    door.tokens = {
        "old": Token(name="old", role="viewer", created_at=past, expires_at=past),
        "gone": Token(name="gone", role="viewer", created_at=past, revoked_at=past),
    }
    assert "expired at 2026-11-21T20:25Z" in door.refuse("Bearer old").detail
    assert door.refuse("Bearer gone").detail == door.refuse("Bearer wrong").detail


def test_wrong_tokens_are_counted_by_address() -> None:
    """After too many an address is refused unseen; one that is known there goes on."""
    door = Door()
    door.admit("Bearer good")
    for number in range(FAILURES_PER_MINUTE):
        assert door.refuse(f"Bearer {number}").status_code == 401
    looks = door.looks
    refused = door.refuse("Bearer one-more")
    assert (refused.status_code, refused.headers) == (429, {"Retry-After": "2"})
    assert door.looks == looks
    assert door.admit("Bearer good").name == "ci"
    assert door.refuse("Bearer 1", "192.0.2.2").status_code == 401
    door.clock.at += 2
    assert door.refuse("Bearer 2").status_code == 401


def test_an_open_server_lets_anybody_read_but_nobody_with_a_wrong_token() -> None:
    """Reading needs no token there; a wrong one is still told, so that its bearer notices."""
    door = Door(is_open=True)
    assert door.admit("") == Caller("", "viewer")
    assert door.refuse("Bearer wrong").status_code == 401


@pytest.fixture
def client(sqlite_ledger: Ledger, tmp_path: Path) -> Client:
    """Give a client with the token of an admin."""
    return make_client(sqlite_ledger, tmp_path)


@pytest.fixture(scope="module")
def steady(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Give a client to many tests, for requests that change nothing."""
    with lasting_client(sqlite_template, tmp_path_factory.mktemp("steady")) as made:
        yield made


@pytest.mark.parametrize(
    "header", ["", "Bearer wrong", "Bearer lading_" + "x" * 43, "Basic !!", "Digest x", "Bearer é"]
)
def test_nobody_is_let_in_without_a_token(steady: Client, header: str) -> None:
    """Whatever else is sent, the answer is 401 and says how to ask; of JSON, for a bearer."""
    answer = steady.get("/jobs", headers={"Authorization": header.encode() if header else ""})
    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthorized")
    error = ', error="invalid_token"' if header else ""
    assert answer.headers["WWW-Authenticate"] == f'Bearer realm="lading"{error}'


def test_a_browser_is_asked_by_its_own_box(steady: Client) -> None:
    """Where a page is asked for, the challenge is one that a browser has a box for."""
    answer = steady.get("/", headers={"Authorization": "", "Accept": "text/html,*/*;q=0.8"})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="lading", charset="UTF-8"'


def test_a_token_opens_as_a_password(steady: Client) -> None:
    """What a browser's box sends is let in, under any name."""
    answer = steady.get("/jobs", headers={"Authorization": basic(steady.token)})
    assert answer.status_code == 200


def test_a_viewer_reads_and_asks_for_nothing(client: Client, sqlite_ledger: Ledger) -> None:
    """Publishing, cancelling and retrying are answered 403, whatever the request is."""
    viewer = Client(client.app, add_token(sqlite_ledger, "looker", "viewer", NOW))
    name = "20261121T203000-0123456789"
    assert viewer.get("/jobs").status_code == 200
    for path in (
        "/projects/maps/versions/7/publish",
        f"/jobs/{name}/cancel",
        f"/jobs/{name}/retry",
    ):
        answer = viewer.post(path, content=b"{")
        assert (answer.status_code, answer.json()["type"]) == (403, "/problems/forbidden")
        assert "admin" in answer.json()["detail"]


def test_an_open_server_asks_for_a_token_before_it_does_anything(
    sqlite_ledger: Ledger, tmp_path: Path
) -> None:
    """Anybody reads; who asks for a publish without a token is asked for one."""
    client = make_client(sqlite_ledger, tmp_path, open=True)
    admin, client.token = client.token, ""
    assert client.get("/jobs").status_code == 200
    assert client.publish().status_code == 401
    client.token = admin
    assert client.publish().status_code == 202


def test_tokens_of_the_ledger_expire_and_are_revoked(ledger: Ledger, tmp_path: Path) -> None:
    """Tokens are those of the ledger, on each kind of it, and end when they end there."""
    client = make_client(ledger, tmp_path)
    assert client.get("/jobs").status_code == 200
    client.token = add_token(ledger, "old", "admin", NOW, NOW + timedelta(seconds=1))
    answer = client.get("/jobs")
    assert answer.status_code == 401
    assert "expired" in answer.json()["detail"]
    client.token = add_token(ledger, "lost", "admin", NOW)
    revoke_token(ledger, "lost", NOW)
    assert (
        client.get("/jobs").json()["detail"] == "expected a valid token, got one that is not known"
    )
