"""Limits hold for every request, and every answer keeps a browser safe."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lading.ledger.ledger import Ledger
from lading.ledger.tokens import add_token
from lading.web.limits import find_other_origin
from tests.unit.web.serving import NOW, Client, converse, lasting_client, make_client, make_scope

PUBLISH = "/projects/maps/versions/7/publish"
JSON = "application/json"


@pytest.fixture
def client(sqlite_ledger: Ledger, tmp_path: Path) -> Client:
    """Give a client with the token of an admin."""
    return make_client(sqlite_ledger, tmp_path)


@pytest.fixture(scope="module")
def steady(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Give a client to many tests, for requests that change nothing."""
    with lasting_client(sqlite_template, tmp_path_factory.mktemp("steady")) as made:
        yield made


def test_a_large_body_is_refused_as_announced(steady: Client) -> None:
    """Ten megabytes that are announced are refused before a byte of them is read."""
    headers = {
        "Authorization": f"Bearer {steady.token}",
        "Content-Type": JSON,
        "Content-Length": "10000000",
    }
    scope = make_scope(PUBLISH, "POST", headers)
    answer = asyncio.run(converse(steady.app, scope, (b"x" * 1000,) * 10_000))
    assert (answer.status, answer.took) == (413, 0)
    assert json.loads(answer.body)["type"] == "/problems/too-large"


@pytest.mark.parametrize(
    "announced", [{}, {"Content-Length": "nonsense"}, {"Content-Length": "-1"}]
)
def test_a_large_body_is_counted_as_it_comes(steady: Client, announced: dict[str, str]) -> None:
    """Without an honest length, reading ends with the chunk that is too much."""
    headers = {"Authorization": f"Bearer {steady.token}", "Content-Type": JSON, **announced}
    scope = make_scope(PUBLISH, "POST", headers)
    answer = asyncio.run(converse(steady.app, scope, (b" " * 10_000,) * 1000))
    assert answer.status == 413
    assert 64_000 < answer.took <= 74_000
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_body_at_the_limit_is_read(client: Client) -> None:
    """The limit itself is allowed."""
    text = b'{"target_environment": "staging"}'
    answer = client.post(PUBLISH, content=text.ljust(64_000), headers={"Content-Type": JSON})
    assert answer.status_code == 202
    assert (
        client.post(PUBLISH, content=text.ljust(64_001), headers={"Content-Type": JSON}).status_code
        == 413
    )


def test_nobody_sends_a_body_unknown(steady: Client) -> None:
    """Who is not let in is told so before the body is read."""
    answer = asyncio.run(
        converse(steady.app, make_scope(PUBLISH, "POST", {"Content-Type": JSON}), (b"x",) * 5)
    )
    assert (answer.status, answer.took) == (401, 0)


def test_reads_and_writes_have_limits_of_their_own(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    """A token that read too often may still ask for something, and another one may read."""
    client = make_client(sqlite_ledger, tmp_path, reads_per_minute=3, writes_per_minute=2)
    other = Client(client.app, add_token(sqlite_ledger, "other", "viewer", NOW))
    assert other.get("/jobs").status_code == 200
    # the first of each token is counted for its address: it is not known before
    assert [client.get("/jobs").status_code for _ in range(5)] == [200, 200, 200, 200, 429]
    assert client.publish().status_code == 202
    assert other.get("/jobs").status_code == 200
    assert [client.publish().status_code for _ in range(2)] == [202, 429]


def test_who_asks_too_often_is_told_when_to_ask_again(
    sqlite_ledger: Ledger, tmp_path: Path
) -> None:
    """An address without a token has its limit too, and the answer says how long to wait."""
    client = make_client(sqlite_ledger, tmp_path, reads_per_minute=2)
    client.token = ""
    assert [client.get("/healthz").status_code for _ in range(2)] == [200, 200]
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()["type"]) == (429, "/problems/too-many-requests")
    assert 0 < int(answer.headers["Retry-After"]) <= 30
    client.host = "192.0.2.9"
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("path", ["/jobs", "/nowhere", "/healthz", "/"])
def test_every_answer_keeps_a_browser_from_guessing(steady: Client, path: str) -> None:
    """Pages, documents and errors alike say nosniff, are not framed and bring a policy."""
    headers = steady.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "Access-Control-Allow-Origin" not in headers


def test_documents_are_never_kept(steady: Client) -> None:
    """What the API answers is not stored by a cache."""
    assert steady.get("/jobs").headers["Cache-Control"] == "no-store"
    assert steady.get("/jobs", headers={"Authorization": ""}).headers["Cache-Control"] == "no-store"


OURS, THEIRS = "http://testserver", "https://evil.example"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": OURS},
        {"Sec-Fetch-Site": "cross-site", "Origin": OURS},
        {"Origin": THEIRS},
        {"Origin": "null"},
        {"Origin": "http://testserver:8080"},
        {"Origin": "http://testserver.evil.example"},
        {"Origin": "http://[broken"},
        {"Origin": "http://testserver:99999"},
    ],
    ids=range(9),
)
def test_a_page_of_another_origin_asks_for_nothing(steady: Client, headers: dict[str, str]) -> None:
    """A browser sends the password along; it is refused all the same, and no job is made."""
    answer = steady.publish(headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/other-origin")
    assert steady.get("/jobs", headers=headers).json()["total"] == 0


@pytest.mark.parametrize(
    ("site", "origin", "host"),
    [
        ("", "", "testserver"),
        ("same-origin", "http://testserver", "testserver"),
        ("same-origin", "http://behind-a-proxy", "127.0.0.1:8470"),
        ("none", "", "testserver"),
        ("", "http://testserver", "testserver"),
        ("", "http://testserver:80", "testserver"),
        ("", "https://testserver", "testserver:443"),
        ("", "http://localhost:8470", "localhost:8470"),
        ("", "http://[::1]:8470", "[::1]:8470"),
    ],
)
def test_our_own_pages_and_programs_may_ask(site: str, origin: str, host: str) -> None:
    """What comes from no page, or from ours, is let through."""
    assert find_other_origin(site, origin, host) == ""
