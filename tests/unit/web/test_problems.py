"""Every error is one form, says what was expected and got, and tells no secret."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from lading.errors import LedgerVersionError
from lading.ledger.faults import AwayError
from lading.web.problems import KINDS, MEDIA_TYPE, Problem, Safety, add_handlers, faults_of
from tests.unit.web.serving import Client, lasting_client


@pytest.fixture(scope="module")
def steady(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Give a client to many tests, for requests that change nothing."""
    with lasting_client(sqlite_template, tmp_path_factory.mktemp("steady")) as made:
        yield made


def make_failing(error: Exception) -> Client:
    """Make an application whose only path fails."""
    app = FastAPI()
    add_handlers(app)
    app.add_middleware(Safety)

    @app.get("/fails")
    def fail() -> None:
        raise error

    return Client(app)


def test_what_nobody_foresaw_is_logged_and_not_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer has no word of the error; the log has its trace, without secrets."""
    monkeypatch.setenv("PGPASSWORD", "very-secret-word")
    with caplog.at_level(logging.ERROR):
        answer = make_failing(ZeroDivisionError("by very-secret-word")).get("/fails")
    assert (answer.status_code, answer.headers["Content-Type"]) == (500, MEDIA_TYPE)
    assert "very-secret-word" not in answer.text
    assert "Zero" not in answer.text
    assert "ZeroDivisionError: by ***" in caplog.text
    assert answer.json()["instance"] in caplog.text
    assert "very-secret-word" not in caplog.text


@pytest.mark.parametrize("error", [AwayError("ledger db1: gone"), LedgerVersionError("too new")])
def test_a_ledger_that_is_away_is_told_with_a_time(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer is 503 and says when to ask again; why is in the log."""
    answer = make_failing(error).get("/fails")
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/ledger-away")
    assert answer.headers["Retry-After"] == "5"
    assert "db1" not in answer.text
    assert str(error) in caplog.text


def test_a_problem_that_is_raised_is_answered_with_its_headers() -> None:
    """Status, type, title and detail stand in the body; headers are sent."""
    answer = make_failing(Problem("key-used", "told", headers={"X-Told": "yes"})).get("/fails")
    assert answer.json() == {
        "type": "/problems/key-used",
        "title": "The idempotency key belongs to another request",
        "status": 409,
        "detail": "told",
    }
    assert answer.headers["X-Told"] == "yes"


def test_an_unknown_path_and_a_wrong_method_are_problems(steady: Client) -> None:
    """What the router itself refuses has the same form."""
    gone = steady.get("/nowhere")
    assert (gone.status_code, gone.headers["Content-Type"]) == (404, MEDIA_TYPE)
    wrong = steady.request("DELETE", "/jobs")
    assert (wrong.status_code, wrong.headers["Content-Type"]) == (405, MEDIA_TYPE)
    assert wrong.headers["Allow"] == "GET"
    assert wrong.json()["detail"] == "expected one of GET, got DELETE"


def test_all_values_that_are_not_valid_are_told_at_once(steady: Client) -> None:
    """Each is named with where it stands, what was expected and what was got."""
    answer = steady.get("/jobs", params={"limit": "many", "offset": -1, "state": "lost"})
    assert answer.status_code == 422
    told = {each["parameter"]: each["detail"] for each in answer.json()["errors"]}
    assert set(told) == {"limit", "offset", "state"}
    assert told["limit"].startswith("limit: expected")
    assert told["limit"].endswith("got 'many'")
    assert "'queued', 'running'" in told["state"]


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (
            {"type": "missing", "loc": ("body", "a"), "msg": "Field required", "input": {}},
            {"detail": "a: expected a value, got nothing", "pointer": "#/a"},
        ),
        (
            {"type": "extra_forbidden", "loc": ("a/b~c",), "msg": "-", "input": 1},
            {"detail": "a/b~c: expected no such field, got one", "pointer": "#/a~1b~0c"},
        ),
        (
            {"type": "model_type", "loc": (), "msg": "Input should be an object", "input": [1]},
            {"detail": "body: expected an object, got [1]", "pointer": "#"},
        ),
        (
            {
                "type": "string_pattern_mismatch",
                "loc": ("header", "idempotency-key"),
                "msg": "-",
                "ctx": {"pattern": "^x$"},
                "input": "y",
            },
            {
                "detail": "idempotency-key: expected a text that fits ^x$, got 'y'",
                "header": "idempotency-key",
            },
        ),
    ],
    ids=range(4),
)
def test_a_fault_says_where_and_what(error: Mapping[str, Any], fault: dict[str, str]) -> None:
    """Bodies have JSON Pointers; paths, queries and headers have names."""
    assert faults_of([error])[0].model_dump(exclude_none=True) == fault


@pytest.mark.parametrize("code", KINDS)
def test_each_type_of_problem_is_explained(steady: Client, code: str) -> None:
    """A GET of the type answers what can be done about it, without a token."""
    answer = steady.get(f"/problems/{code}", headers={"Authorization": ""})
    assert answer.json()["type"] == f"/problems/{code}"
    assert answer.json()["remedy"].endswith(".")


def test_an_unknown_type_is_a_problem(steady: Client) -> None:
    """There is no other type than those that are named."""
    assert steady.get("/problems/other").status_code == 404
