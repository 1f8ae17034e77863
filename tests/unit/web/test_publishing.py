"""A publish is accepted once, for what can be published, and every bad request is told why."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lading.ledger.ledger import Ledger
from tests.unit.web.serving import CONFIG, Client, converse, lasting_client, make_client, make_scope

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def client(sqlite_ledger: Ledger, tmp_path: Path) -> Client:
    """Give a client with the token of an admin."""
    return make_client(sqlite_ledger, tmp_path)


@pytest.fixture(scope="module")
def steady(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Give a client to many tests, for requests that change nothing."""
    with lasting_client(sqlite_template, tmp_path_factory.mktemp("steady")) as made:
        yield made


def count_jobs(client: Client) -> int:
    """Return how many jobs there are."""
    return int(client.get("/jobs").json()["total"])


def test_a_publish_becomes_a_job(ledger: Ledger, tmp_path: Path) -> None:
    """It is answered 202 with the job and where to ask for it, on each kind of ledger."""
    client = make_client(ledger, tmp_path)
    answer = client.publish("7", "staging", "night-1")
    job = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/jobs/{job['job_id']}"
    wanted = {"status": "queued", "project": "maps", "version": "7", "environment": "staging"}
    assert {name: job[name] for name in wanted} == wanted
    assert job["requested_by"] == "admin"
    assert client.get(answer.headers["Location"]).json() == job


def test_a_request_that_is_repeated_is_the_same_job(ledger: Ledger, tmp_path: Path) -> None:
    """Key and body again: the same job, 202 again; without a key: a job each."""
    client = make_client(ledger, tmp_path)
    first, second = client.publish(key="a"), client.publish(key="a")
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.headers["Location"] == second.headers["Location"]
    assert client.publish(key="b").json()["job_id"] != first.json()["job_id"]
    assert client.publish().json()["job_id"] != client.publish().json()["job_id"]
    assert count_jobs(client) == 4


def test_a_key_of_another_request_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    """The same key with another version or environment is 409, and no job."""
    client = make_client(ledger, tmp_path)
    client.publish("7", "staging", "a")
    for version, environment in (("7", "production"), ("6", "staging")):
        answer = client.publish(version, environment, "a")
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/key-used")
    assert count_jobs(client) == 1


def test_many_at_once_with_one_key_are_one_job(ledger: Ledger, tmp_path: Path) -> None:
    """Twenty at one time, one job."""
    client = make_client(ledger, tmp_path)
    path = "/projects/maps/versions/7/publish"
    given: dict[str, Any] = {
        "json": {"target_environment": "staging"},
        "headers": {"Idempotency-Key": "a"},
    }

    async def ask() -> set[tuple[int, str]]:
        asked = [client.ask("POST", path, **dict(given)) for _ in range(20)]
        return {
            (each.status_code, each.headers["Location"]) for each in await asyncio.gather(*asked)
        }

    assert len(asyncio.run(ask())) == 1
    assert count_jobs(client) == 1


def test_a_repeated_request_is_answered_though_its_version_is_gone(
    client: Client, tmp_path: Path
) -> None:
    """What was accepted once stays accepted, whatever stands at the source now."""
    first = client.publish(key="a")
    (tmp_path / "maps" / "versions" / "7" / "success").unlink()
    assert client.publish(key="a").headers["Location"] == first.headers["Location"]
    assert client.publish(key="b").status_code == 409


def test_a_version_that_is_not_ready_is_refused_with_why(steady: Client) -> None:
    """A draft is 409, and says what it lacks."""
    answer = steady.publish("8")
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/not-ready")
    assert answer.json()["detail"].startswith(
        "version 8: expected one that is ready, got no success"
    )
    assert count_jobs(steady) == 0


def test_an_unknown_version_or_project_is_told_with_the_nearest(steady: Client) -> None:
    """Both are 404; a name that is nearly right is told the right one."""
    answer = steady.publish("77")
    assert answer.status_code == 404
    assert (
        answer.json()["detail"]
        == "version: expected one of project maps, got '77' (did you mean '7'?)"
    )
    answer = steady.post("/projects/map/versions/7/publish", json={"target_environment": "staging"})
    assert answer.status_code == 404
    assert answer.json()["detail"].endswith("got 'map' (did you mean 'maps'?)")


def test_an_unknown_environment_is_told_with_the_nearest(steady: Client) -> None:
    """It is 422, with the field that holds it."""
    answer = steady.publish("7", "stagign")
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {
            "detail": "target_environment: expected one of staging, production, got 'stagign'"
            " (did you mean 'staging'?)",
            "pointer": "#/target_environment",
        }
    ]


def test_a_version_that_the_environment_does_not_take_is_refused(steady: Client) -> None:
    """What does not fit the channel's pattern is 422."""
    answer = steady.publish("v7")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (
        422,
        "#/target_environment",
    )


def test_a_source_that_cannot_be_read_may_be_asked_later(
    sqlite_ledger: Ledger, tmp_path: Path
) -> None:
    """It is 503 and says nothing of where the source stands."""
    text = CONFIG.replace("versions/{tag}", "nowhere://bucket/{tag}")
    client = make_client(sqlite_ledger, tmp_path, text=text)
    for answer in (client.publish(), client.get("/projects/maps/versions")):
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/source-away")
        assert "bucket" not in answer.text
        assert "Retry-After" in answer.headers


@pytest.mark.parametrize(
    ("content", "status", "told"),
    [
        (b"", 400, "EOF"),
        (b"{", 400, "EOF"),
        (b"not json", 400, "expected ident"),
        (b"\xff\xfe", 400, ""),
        (b'{"target_environment": "\\ud800"}', 400, ""),
        (b"[" * 60_000, 400, "recursion"),
        (b'{"target_environment": "staging"} {}', 400, "trailing"),
        (b"{}", 422, "target_environment: expected a value, got nothing"),
        (b"[]", 422, "body: expected an object, got []"),
        (b"null", 422, "body: expected an object, got None"),
        (b'"staging"', 422, "body: expected an object"),
        (b'{"target_environment": 7}', 422, "target_environment: expected a valid string, got 7"),
        (b'{"target_environment": null}', 422, "target_environment: expected a valid string"),
        (b'{"target_environment": ""}', 422, "target_environment: expected"),
        (b'{"target_environment": "\\u0000"}', 422, "target_environment: expected one of"),
        (b'{"target_environment": "../production"}', 422, "target_environment: expected one of"),
        (b'{"target_environment": "staging", "x": 1}', 422, "x: expected no such field"),
        (json.dumps({"target_environment": "s" * 9999}).encode(), 422, "at most 200"),
    ],
    ids=range(18),
)
def test_a_body_that_is_not_what_is_expected_is_told(
    steady: Client, content: bytes, status: int, told: str
) -> None:
    """What is no JSON is 400, what is not the form is 422; both say what is wrong."""
    answer = steady.publish(content=content, headers=JSON)
    assert answer.status_code == status
    assert told in answer.json()["detail"]
    assert len(answer.text) < 1000
    assert count_jobs(steady) == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/jsonp"},
        {"Content-Type": ""},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
    ids=range(5),
)
def test_only_plain_json_is_read(steady: Client, headers: dict[str, str]) -> None:
    """Another media type, or a packed body, is 415 whatever it holds."""
    answer = steady.publish(content=b'{"target_environment": "staging"}', headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (415, "/problems/media-type")


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_json_may_be_named_in_any_way(client: Client, media_type: str) -> None:
    """Parameters and capitals of the media type do not matter."""
    content = b'{"target_environment": "staging"}'
    answer = client.publish(content=content, headers={"Content-Type": media_type})
    assert answer.status_code == 202


@pytest.mark.parametrize("key", ["k" * 256, "a b", "a\tb", "ä"], ids=range(4))
def test_a_key_that_cannot_be_kept_is_refused(steady: Client, key: str) -> None:
    """Too long, or not of visible ASCII: 422, and the header is named."""
    answer = steady.publish(headers={"Idempotency-Key": key.encode("latin-1")})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["header"] == "idempotency-key"


@pytest.mark.parametrize(
    "path",
    [
        "/projects/../versions/7/publish",
        "/projects/../../etc/passwd/versions/7/publish",
        "/projects/%2e%2e%2f/versions/7/publish",
        "/projects/maps\x00/versions/7/publish",
        "/projects/maps\n/versions/7/publish",
        "/projects/MAPS/versions/7/publish",
        "/projects/mäps/versions/7/publish",
        f"/projects/{'m' * 10_000}/versions/7/publish",
        "/projects//versions/7/publish",
        "/projects/maps/versions/../publish",
        "/projects/maps/versions/..%2f..%2fetc/publish",
        "/projects/maps/versions/../../6/publish",
        "/projects/maps/versions/7\x00/publish",
        "/projects/maps/versions/7\n/publish",
        "/projects/maps/versions/.lading/publish",
        f"/projects/maps/versions/{'7' * 10_000}/publish",
    ],
    ids=range(16),
)
def test_no_name_is_a_path(steady: Client, path: str) -> None:
    """As a server hands it over, unquoted: 404 or 422, and nothing is looked for."""
    headers = {"Authorization": f"Bearer {steady.token}", **JSON}
    body = b'{"target_environment": "staging"}'
    scope = {**make_scope("/", "POST", headers), "path": path, "raw_path": path.encode()}
    answer = asyncio.run(converse(steady.app, scope, (body,)))
    assert answer.status in {404, 422}
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.body) < 1000
    assert count_jobs(steady) == 0


def test_quoted_names_are_no_paths_either(steady: Client) -> None:
    """As a steady sends them, quoted once or twice."""
    for name in ("%2e%2e", "%2e%2e%2f%2e%2e%2fetc", "%252e%252e", "maps%00", "..%5c"):
        answer = steady.get(f"/projects/{name}/versions")
        assert answer.status_code in {404, 422}


def test_a_project_without_environments_says_so(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    """Where no channel has a root there is nothing to publish to."""
    text = "".join(line for line in CONFIG.splitlines(keepends=True) if "root =" not in line)
    text = text.replace('["maps"]', '["staged"]', 1)
    answer = make_client(sqlite_ledger, tmp_path, text=text).publish()
    assert answer.status_code == 422
    assert "expected a channel with a root" in answer.json()["detail"]
