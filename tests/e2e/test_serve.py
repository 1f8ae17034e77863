"""`lading serve`: asked for a publish, it publishes; it starts and ends as a server should."""

import signal
import time
from collections.abc import Iterator

import httpx
import pytest

from lading.tasks.runlock import RunLock
from tests.e2e.served import Server, history_of, make_maps, published, serving, wait_until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a server of one project with one worker."""
    with serving(make_maps(tmp_path_factory.mktemp("serve") / "maps"), "--workers", "1") as server:
        yield server


def test_publish(server: Server) -> None:
    """A version that is asked for stands published, once, and the job says where and how much.

    It waits for a run that a person has begun in the same project.
    """
    of_a_person = RunLock(server.folder / "build" / "run.lock")
    of_a_person.acquire()
    job_id = server.publish(1, key="tonight")
    assert server.publish(1, key="tonight") == job_id
    said = server.workers_folder / "jobs" / f"{job_id}.err"
    wait_until(lambda: said.exists() and "expected no other run" in said.read_text())
    assert server.job(job_id)["status"] == "running"
    of_a_person.release()
    job = server.wait_for(job_id)

    assert job["status"] == "completed", job
    assert job["attempt"] == 1
    assert job["progress"]["percent"] == 100
    assert job["result"]["asset_count"] == 2
    assert job["result"]["release_url"].endswith("staging/maps/release.json")
    assert job["result"]["published_at"].endswith("Z")
    assert {each["task"] for each in job["steps"]} >= {"manifest", "promote:cloud-maps"}
    assert published(server.folder, "staging") == "1"
    assert history_of(server.folder) == {"staging": ["1"], "production": []}


def test_only_with_a_token(server: Server) -> None:
    """Without a token nothing is read; one of a viewer asks for nothing."""
    assert httpx.get(f"{server.url}/jobs").status_code == 401
    assert httpx.get(f"{server.url}/healthz").status_code == 200
    viewer = server.make_token("page", "viewer")
    headers = {"Authorization": f"Bearer {viewer}"}
    assert httpx.get(f"{server.url}/jobs", headers=headers).status_code == 200
    body = {"target_environment": "staging"}
    path = f"{server.url}/projects/maps/versions/1/publish"
    assert httpx.post(path, json=body, headers=headers).status_code == 403


def test_cancel_and_retry(server: Server) -> None:
    """A job at work can be stopped, and tried again; then it is published."""
    job_id = server.begin(2)
    waiting = server.publish(3, "production")
    assert server.job(waiting)["status"] == "queued"
    assert server.call("POST", f"/jobs/{waiting}/cancel").status_code == 200
    assert server.call("POST", f"/jobs/{job_id}/cancel").status_code == 202
    assert server.wait_for(job_id)["status"] == "cancelled"
    server.open_gate()
    answer = server.call("POST", f"/jobs/{job_id}/retry")
    again = answer.json()["job_id"]
    assert (answer.status_code, again != job_id) == (202, True)
    assert server.call("POST", f"/jobs/{job_id}/retry").json()["job_id"] == again
    assert server.wait_for(again)["status"] == "completed"
    assert server.job(waiting)["status"] == "cancelled"
    assert published(server.folder, "staging") == "2"
    assert history_of(server.folder)["production"] == []


def test_an_end_with_a_live_stream(server: Server) -> None:
    """Asked to end, it ends within seconds, though somebody follows a job; exit code 0."""
    job_id = server.begin(3)
    headers = {"Authorization": f"Bearer {server.token}"}
    with httpx.stream(
        "GET", f"{server.url}/jobs/{job_id}/events", headers=headers, timeout=30
    ) as stream:
        events = stream.iter_lines()
        assert next(each for each in events if each.startswith("event: progress"))
        began = time.monotonic()
        assert server.process is not None
        server.process.send_signal(signal.SIGTERM)
        list(events)  # it ends
        assert server.end() == 0
        assert time.monotonic() - began < 10
    server.open_gate()
    assert server.lines[1:] == []
    wait_until(lambda: not server.workers(), "workers end when the queue is empty")
    assert published(server.folder, "staging") == "3"
