"""Jobs are listed, shown, stopped and tried again; runs that nobody asked for here are none."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from lading.ledger import record
from lading.ledger.ledger import Ledger
from lading.ledger.model import Progress, RunStart, Step
from lading.web.jobs import render_links
from tests.unit.web.serving import (
    NOW,
    Client,
    add_job,
    converse,
    lasting_client,
    make_client,
    make_scope,
)

NOBODY = "20261121T203000-0123456789"


@pytest.fixture(scope="module")
def steady(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Give a client to many tests, for requests that change nothing."""
    with lasting_client(sqlite_template, tmp_path_factory.mktemp("steady")) as made:
        yield made


def link_of(header: str) -> dict[str, str]:
    """Return the addresses of a header ``Link`` by their relation."""
    parts = [each.split(">; rel=") for each in header.split(", ")]
    return {relation.strip('"'): address.strip("<") for address, relation in parts}


def test_jobs_are_listed_newest_first_in_parts(ledger: Ledger, tmp_path: Path) -> None:
    """Limit and offset part the list; the total and the links say where one is."""
    client = make_client(ledger, tmp_path)
    for number in range(5):
        add_job(ledger, "cancelled", at=NOW + timedelta(minutes=number))
    answer = client.get("/jobs", params={"limit": 2, "offset": 2, "project": "maps"})
    body = answer.json()
    assert body["total"] == 5
    assert [each["created_at"][14:16] for each in body["jobs"]] == ["32", "31"]
    assert link_of(answer.headers["Link"]) == {
        "first": "/jobs?project=maps&limit=2&offset=0",
        "last": "/jobs?project=maps&limit=2&offset=4",
        "prev": "/jobs?project=maps&limit=2&offset=0",
        "next": "/jobs?project=maps&limit=2&offset=4",
    }
    last = client.get(link_of(answer.headers["Link"])["next"])
    assert len(last.json()["jobs"]) == 1
    assert "next" not in link_of(last.headers["Link"])


@pytest.mark.parametrize(
    ("total", "offset", "names"),
    [
        (0, 0, {"first": 0, "last": 0}),
        (2, 0, {"first": 0, "last": 0}),
        (3, 0, {"first": 0, "last": 2, "next": 2}),
        (4, 2, {"first": 0, "last": 2, "prev": 0}),
        (4, 1, {"first": 0, "last": 2, "prev": 0, "next": 3}),
        (3, 900, {"first": 0, "last": 2, "prev": 2}),
    ],
)
def test_links_name_the_parts_there_are(total: int, offset: int, names: dict[str, int]) -> None:
    """No part before the first, none behind the last, and a way back from beyond."""
    header = render_links("/jobs", {"state": "failed"}, limit=2, offset=offset, total=total)
    assert link_of(header) == {
        name: f"/jobs?state=failed&limit=2&offset={place}" for name, place in names.items()
    }


def test_jobs_are_filtered(ledger: Ledger, tmp_path: Path) -> None:
    """By project, environment and state; what is unknown has none."""
    client = make_client(ledger, tmp_path)
    add_job(ledger, "completed", project="tides")
    add_job(ledger, "cancelled")
    add_job(ledger, environment="production")
    for query, total in (
        ("", 3),
        ("project=tides", 1),
        ("environment=production", 1),
        ("state=queued", 1),
        ("state=cancelled&project=maps", 1),
        ("state=failed", 0),
        ("project=unknown", 0),
    ):
        assert client.get(f"/jobs?{query}").json()["total"] == total, query


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=x",
        "offset=-1",
        "offset=99999999999999999999",
        "state=lost",
        "project=%00",
        "project=../x",
        "environment=%27%3B--",
        f"project={'x' * 201}",
    ],
    ids=range(10),
)
def test_filters_that_cannot_be_are_refused(steady: Client, query: str) -> None:
    """They are 422, before any ledger sees them."""
    assert steady.get(f"/jobs?{query}").status_code == 422


def test_a_job_tells_how_it_goes(ledger: Ledger, tmp_path: Path) -> None:
    """Progress with rate and time left, steps, verdict, and the last lines that are asked for."""
    client = make_client(ledger, tmp_path)
    run_id = add_job(ledger, "running").run_id
    going = Progress(percent=40, done_bytes=4, size_bytes=10, rate_bytes_s=2, left_s=3)
    step = Step(task="upload:here-staging", state="running", started_at=NOW, progress=going)
    record.write_step(ledger, run_id, 1, 0, step, NOW)
    record.write_progress(ledger, run_id, 1, going, [step], NOW)
    record.write_logs(ledger, run_id, [(NOW, 20, "build", f"line {each}") for each in range(30)])
    job = client.get(f"/jobs/{run_id}", params={"logs": 2}).json()
    assert job["status"] == "running"
    assert (job["progress"]["percent"], job["progress"]["left_s"]) == (40, 3)
    assert job["steps"][0]["progress"]["rate_bytes_s"] == 2
    assert job["verdict"]["sentence"].startswith("running at upload:here-staging")
    assert [each["text"] for each in job["logs"]] == ["line 28", "line 29"]
    assert len(client.get(f"/jobs/{run_id}").json()["logs"]) == 20
    assert client.get(f"/jobs/{run_id}?logs=0").json()["logs"] == []


def test_an_ended_job_tells_its_result_or_its_error(ledger: Ledger, tmp_path: Path) -> None:
    """Where it is found, how many files, since when; or why not."""
    client = make_client(ledger, tmp_path)
    result = {
        "release_url": "https://example.org/staging/maps/release.json",
        "asset_count": 3,
        "published_at": "2026-11-21T20:31:00.000Z",
    }
    done = add_job(ledger, "completed", result=result).run_id
    failed = add_job(ledger, "failed", exit_code=1, error="no room at here").run_id
    assert client.get(f"/jobs/{done}").json()["result"] == result
    job = client.get(f"/jobs/{failed}").json()
    assert (job["status"], job["error"], job["exit_code"]) == ("failed", "no room at here", 1)


def test_logs_are_read_in_parts(ledger: Ledger, tmp_path: Path) -> None:
    """After a number, from a level on, so many at most; the answer says how to go on."""
    client = make_client(ledger, tmp_path)
    run_id = add_job(ledger, "running").run_id
    levels = (10, 20, 30, 40, 20)
    record.write_logs(
        ledger, run_id, [(NOW, level, "", f"line {at}") for at, level in enumerate(levels)]
    )
    path = f"/jobs/{run_id}/logs"
    first = client.get(path, params={"limit": 2}).json()
    assert [each["text"] for each in first["logs"]] == ["line 0", "line 1"]
    second = client.get(path, params={"after": first["after"], "level": "warning"}).json()
    assert [each["text"] for each in second["logs"]] == ["line 2", "line 3"]
    rest = client.get(path, params={"after": second["after"] + 1}).json()
    assert rest == {"logs": [], "after": second["after"] + 1}


def test_a_queued_job_is_cancelled_at_once(ledger: Ledger, tmp_path: Path) -> None:
    """It is 200 with the job cancelled, and again when that is repeated."""
    client = make_client(ledger, tmp_path)
    run_id = add_job(ledger).run_id
    for _ in range(2):
        answer = client.post(f"/jobs/{run_id}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")


def test_a_running_job_is_asked_to_stop(ledger: Ledger, tmp_path: Path) -> None:
    """It is 202: its worker ends it."""
    client = make_client(ledger, tmp_path)
    run_id = add_job(ledger, "running").run_id
    answer = client.post(f"/jobs/{run_id}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (202, "running")
    assert answer.json()["is_cancelling"] is True


@pytest.mark.parametrize("state", ["completed", "failed"])
def test_an_ended_job_cannot_be_cancelled(ledger: Ledger, tmp_path: Path, state: str) -> None:
    """It is 409, and stays as it is."""
    client = make_client(ledger, tmp_path)
    run_id = add_job(ledger, state).run_id
    answer = client.post(f"/jobs/{run_id}/cancel")
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/has-ended")
    assert client.get(f"/jobs/{run_id}").json()["status"] == state


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_an_ended_job_is_tried_again_as_a_new_one(
    ledger: Ledger, tmp_path: Path, state: str
) -> None:
    """It is a new job, and the same one where that is repeated."""
    client = make_client(ledger, tmp_path)
    run_id = add_job(ledger, state).run_id
    first, second = (client.post(f"/jobs/{run_id}/retry") for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["retry_of"] == run_id
    assert first.json()["status"] == "queued"
    assert first.headers["Location"] == second.headers["Location"] != f"/jobs/{run_id}"


@pytest.mark.parametrize("state", ["queued", "running", "completed"])
def test_what_goes_on_or_went_well_is_not_tried_again(
    ledger: Ledger, tmp_path: Path, state: str
) -> None:
    """It is 409, and no new job."""
    client = make_client(ledger, tmp_path)
    run_id = add_job(ledger, state).run_id
    answer = client.post(f"/jobs/{run_id}/retry")
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/not-retryable")
    assert client.get("/jobs").json()["total"] == 1


def test_a_run_that_was_not_asked_for_here_is_no_job(ledger: Ledger, tmp_path: Path) -> None:
    """It is in no list of jobs, and is neither shown nor stopped as one; but shown as a run."""
    client = make_client(ledger, tmp_path)
    start = RunStart(run_id=NOBODY, kind="distribute", project="maps", started_at=NOW)
    record.begin_run(ledger, start)
    assert client.get("/jobs").json()["total"] == 0
    for method, path in (
        ("GET", ""),
        ("GET", "/logs"),
        ("GET", "/events"),
        ("POST", "/cancel"),
        ("POST", "/retry"),
    ):
        assert client.request(method, f"/jobs/{NOBODY}{path}").status_code == 404
    assert client.get("/runs.json").json()["total"] == 1
    assert client.get(f"/runs/{NOBODY}.json").json()["state"] == "running"


@pytest.mark.parametrize("name", ["7", "..", "x" * 10_000, "20261121T203000-0123456789\x00"])
def test_a_name_that_is_no_job_is_refused(steady: Client, name: str) -> None:
    """What cannot be the name of a job is not looked up."""
    headers = {"Authorization": f"Bearer {steady.token}"}
    answer = asyncio.run(converse(steady.app, make_scope(f"/jobs/{name}", headers=headers)))
    assert answer.status in {404, 422}


def test_an_unknown_job_is_told(steady: Client) -> None:
    """It is 404 for whatever is asked of it."""
    for method, path in (("GET", ""), ("GET", "/logs"), ("POST", "/cancel"), ("POST", "/retry")):
        answer = steady.request(method, f"/jobs/{NOBODY}{path}")
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")


@pytest.mark.parametrize("query", ["level=loud", "after=-1", "after=1e99", "limit=1001", "limit=0"])
def test_questions_for_logs_that_cannot_be_are_refused(steady: Client, query: str) -> None:
    """They are 422."""
    assert steady.get(f"/jobs/{NOBODY}/logs?{query}").status_code == 422
