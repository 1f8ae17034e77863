"""The fake of GitHub refuses what GitHub refuses, and runs go the way runs go."""

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from tests.fakes.github import FakeGithub
from tests.fakes.github_doors import MANIFEST, TOKEN, Clock, serve_github
from tests.fakes.github_workflow import FakeWorkflow

ROOT = "/repos/owner/name"
WORKFLOW = f"{ROOT}/actions/workflows/deposit.yml"
HEADERS = {
    "Authorization": f"Bearer {TOKEN}",
    "Accept": "application/vnd.github+json",
    "User-Agent": "test",
}
INPUTS = {"env": "sandbox", "manifest": MANIFEST}


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands still."""
    return Clock()


@pytest.fixture
def github(clock: Clock) -> Iterator[FakeGithub]:
    """Serve a repository with two workflows."""
    with serve_github(clock=clock) as server:
        yield server


def ask(
    github: FakeGithub, method: str, path: str, table: Any = None, **headers: str
) -> tuple[int, Any]:
    """Send one request; a header of "" is left out."""
    connection = http.client.HTTPConnection(urlsplit(github.url).netloc, timeout=10)
    given = {**HEADERS, **{name.replace("_", "-"): value for name, value in headers.items()}}
    try:
        connection.request(
            method,
            path,
            body=None if table is None else json.dumps(table),
            headers={name: value for name, value in given.items() if value},
        )
        answer = connection.getresponse()
        body = answer.read()
        return answer.status, json.loads(body) if body else None
    finally:
        connection.close()


def dispatch(github: FakeGithub, **change: Any) -> tuple[int, Any]:
    """Start a run of the workflow that deposits."""
    table = {"ref": "v1", "inputs": INPUTS, "return_run_details": True, **change}
    given = {key: value for key, value in table.items() if value is not None}
    return ask(github, "POST", f"{WORKFLOW}/dispatches", given)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"User_Agent": ""}, 403),
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer other"}, 401),
        ({"Authorization": f"Basic {TOKEN}"}, 401),
        ({"Accept": "text/html"}, 415),
        ({"X_GitHub_Api_Version": "2020-01-01"}, 400),
        ({"Authorization": f"token {TOKEN}"}, 200),
    ],
)
def test_odd_requests_are_refused(headers: dict[str, str], status: int, github: FakeGithub) -> None:
    """User agent, token, form and version are looked at."""
    assert ask(github, "GET", WORKFLOW, **headers)[0] == status


@pytest.mark.parametrize(("right", "seen", "started"), [("none", 404, 404), ("read", 200, 403)])
def test_rights_of_tokens(right: str, seen: int, started: int, github: FakeGithub) -> None:
    """A token without rights finds nothing; one that may read starts nothing."""
    github.tokens[TOKEN] = right

    assert ask(github, "GET", WORKFLOW)[0] == seen
    assert dispatch(github)[0] == started
    assert github.runs == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": {**INPUTS, "x": "1"}}, 'Unexpected inputs provided: ["x"]'),
        ({"inputs": {"env": "sandbox"}}, "Required input 'manifest' not provided"),
        ({"inputs": {**INPUTS, "env": "moon"}}, "not in the list of allowed values"),
        ({"inputs": {**INPUTS, "publish": "yes"}}, "not a boolean"),
        ({"inputs": {**INPUTS, "manifest": 1}}, "Invalid value"),
        ({"inputs": {f"i{number}": "" for number in range(26)}}, "No more than 25"),
        ({"ref": "gone"}, "No ref found for: gone"),
        ({"ref": None}, '"ref" wasn\'t supplied'),
        ({"ref": 1}, "wrong type"),
        ({"extra": 1}, '"extra" is not a permitted key.'),
    ],
)
def test_odd_dispatches_are_refused(
    change: dict[str, Any], message: str, github: FakeGithub
) -> None:
    """Inputs, ref and keys are looked at as the workflow declares them."""
    status, said = dispatch(github, **change)

    assert status == 422
    assert message in said["message"]
    assert github.runs == []


def test_a_workflow_that_may_not_be_dispatched(github: FakeGithub) -> None:
    """A disabled workflow, one without the trigger, and one that is not there start nothing."""
    github.workflows["push.yml"] = FakeWorkflow.parse("push.yml", "on: push", 1)
    path = f"{ROOT}/actions/workflows/push.yml/dispatches"

    assert "trigger" in ask(github, "POST", path, {"ref": "main"})[1]["message"]
    assert ask(github, "POST", path.replace("push", "gone"), {"ref": "main"})[0] == 404
    github.workflows["deposit.yml"].state = "disabled_manually"
    assert dispatch(github)[0] == 422


def test_a_run_goes_its_way(github: FakeGithub) -> None:
    """A run is queued, at work, and ended with what its work says; defaults are filled in."""
    done = []

    def work(inputs: Any, ref: str) -> str:
        done.append((dict(inputs), ref))
        return "failure"

    github.on_dispatch = work
    status, table = dispatch(github)
    path = f"{ROOT}/actions/runs/{table['workflow_run_id']}"
    rows = [ask(github, "GET", path)[1] for _ in range(4)]

    assert status == 200
    assert table["html_url"].startswith("https://github.com/owner/name/actions/runs/")
    assert table["run_url"] == f"{github.url}{path}"
    assert [row["status"] for row in rows] == ["queued", "in_progress", "completed", "completed"]
    assert [row["conclusion"] for row in rows] == [None, None, "failure", "failure"]
    assert done == [({**INPUTS, "publish": "false"}, "v1")]
    assert rows[0]["display_title"] == f"zenodo sandbox {MANIFEST}"
    jobs = ask(github, "GET", f"{path}/jobs")[1]["jobs"]
    assert [job["conclusion"] for job in jobs] == ["success", "failure"]


def test_lists_are_filtered_and_paged(github: FakeGithub, clock: Clock) -> None:
    """A list has the newest first, of one workflow, by event, branch, time and page."""
    push = github.add_run("deploy.yml", "main", {}, event="push")
    runs = []
    for ref in ("main", "v1", "main"):
        clock.now += 60
        runs.append(github.add_run("deploy.yml", ref, {}))
    github.add_run("deposit.yml", "v1", INPUTS)
    since = quote(f">={runs[1].created_at:%Y-%m-%dT%H:%M:%SZ}")

    def listed(query: str) -> list[int]:
        path = f"{ROOT}/actions/workflows/deploy.yml/runs?{query}"
        return [row["id"] for row in ask(github, "GET", path)[1]["workflow_runs"]]

    newest = [run.run_id for run in reversed(runs)]
    assert listed("") == [*newest, push.run_id]
    assert listed("event=workflow_dispatch") == newest
    assert listed("event=workflow_dispatch&branch=main") == [newest[0], newest[2]]
    assert listed(f"created={since}") == newest[:2]
    assert listed("per_page=2&page=2") == [newest[2], push.run_id]


def test_a_new_run_may_show_late(github: FakeGithub) -> None:
    """Lists, and questions for a run, may not yet have what was just begun."""
    github.hidden_for = github.gone_for = 2
    run_id = dispatch(github)[1]["workflow_run_id"]
    counts = [ask(github, "GET", f"{WORKFLOW}/runs")[1]["total_count"] for _ in range(3)]

    assert counts == [0, 0, 1]
    path = f"{ROOT}/actions/runs/{run_id}"
    assert [ask(github, "GET", path)[0] for _ in range(3)] == [404, 404, 200]


def test_old_servers_answer_without_a_run(github: FakeGithub) -> None:
    """Without the question, and on old servers, the answer is empty; older ones refuse it."""
    assert dispatch(github, return_run_details=None) == (204, None)
    github.api = "old"
    assert dispatch(github) == (204, None)
    github.api = "older"
    assert dispatch(github)[0] == 422
    assert dispatch(github, return_run_details=None) == (204, None)
    assert len(github.runs) == 3


@pytest.mark.parametrize(
    ("fault", "status", "runs"),
    [
        ("502-before", 502, 0),
        ("502-after", 502, 1),
        ("haste", 403, 0),
        ("haste-429", 429, 0),
        ("404", 404, 0),
    ],
)
def test_faults_come_before_or_after(
    fault: str, status: int, runs: int, github: FakeGithub
) -> None:
    """A fault is met once, before or after the dispatch is done."""
    github.fail("dispatch", fault)
    try:
        assert dispatch(github)[0] == status
    except ValueError:
        assert status == 502  # a page, no JSON
    assert len(github.runs) == runs
    assert dispatch(github)[0] == 200


@pytest.mark.parametrize(("fault", "runs"), [("reset-before", 0), ("reset-after", 1)])
def test_connections_are_cut(fault: str, runs: int, github: FakeGithub) -> None:
    """The connection ends without an answer, before or after it is done."""
    github.fail("dispatch", fault)
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        dispatch(github)
    assert len(github.runs) == runs


def test_it_serves_over_a_unix_socket(github: FakeGithub) -> None:
    """The same repository answers at the socket; what may change something is counted."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(f"{github.gh_folder}/s")
        lines = [f"GET {WORKFLOW} HTTP/1.1", *(f"{k}: {v}" for k, v in HEADERS.items())]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")
    dispatch(github)

    assert [call.method for call in github.calls] == ["GET", "POST"]
    assert [call.path for call in github.writes] == [f"{WORKFLOW}/dispatches"]


def test_a_name_template_that_it_does_not_know_is_a_mistake(github: FakeGithub) -> None:
    """What the fake cannot evaluate is never silently left out of a name."""
    workflow = FakeWorkflow.parse("x.yml", "on: push\nrun-name: '${{ github.actor }}'", 1)

    with pytest.raises(ValueError, match="knows inputs only"):
        workflow.title({})
    assert github.workflows["deploy.yml"].title({}) == "deploy"
