"""Whatever is killed, and whenever: an accepted job ends once, and publishes once."""

import os
import random
import signal
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from lading.ledger.ledger import open_ledger
from lading.ledger.tables import events, runs
from lading.storage.owner import is_gone
from tests.e2e.served import (
    Server,
    end_process,
    history_of,
    make_maps,
    published,
    serving,
    wait_until,
)

ENDS = {"completed", "failed", "cancelled"}


def changes_of(folder: Path) -> dict[str, list[str]]:
    """Return the changes of state of each job, from the ledger."""
    ledger = open_ledger(f"sqlite:///{folder / 'build' / 'ledger.db'}")
    found: dict[str, list[str]] = {}
    with ledger.reading() as connection:
        for run_id in connection.execute(runs.select().where(runs.c.is_job)).scalars():
            found[run_id] = []
        for row in connection.execute(events.select().order_by(events.c.id)):
            if row.run_id in found and row.kind in {*ENDS, "queued", "running", "cancelling"}:
                found[row.run_id].append(row.kind)
    ledger.close()
    return found


def require_ended_once(folder: Path) -> None:
    """Require of every accepted job that it has ended, and ended once, as its last change."""
    for run_id, changes in changes_of(folder).items():
        assert [each for each in changes if each in ENDS] == changes[-1:], (run_id, changes)
        assert changes[0] == "queued", (run_id, changes)


def test_kills_of_a_worker_and_of_a_child(tmp_path: Path) -> None:
    """A killed worker's job is taken up again; a killed child has failed; both end once."""
    folder = make_maps(tmp_path / "maps", versions=2)
    with serving(folder, "--workers", "1") as server:
        job_id = server.begin(1)
        [worker], [child] = server.workers(), server.children()
        end_process(worker)
        server.open_gate()
        job = server.wait_for(job_id)
        assert (job["status"], job["attempt"]) == ("completed", 2), job
        assert is_gone(child)

        job_id = server.begin(2)
        [child] = server.children()
        end_process(child)
        job = server.wait_for(job_id)
        assert (job["status"], job["attempt"]) == ("failed", 1), job
        assert job["error"] == "ended by SIGKILL"
        server.open_gate()
        again = server.call("POST", f"/jobs/{job_id}/retry").json()["job_id"]
        assert server.wait_for(again)["status"] == "completed"

    assert history_of(folder)["staging"] == ["1", "2"]
    require_ended_once(folder)


@pytest.mark.slow
def test_kills_of_the_server_and_of_all(tmp_path: Path) -> None:
    """A job outlives a killed server; where all is killed, the next server goes on with it."""
    folder = make_maps(tmp_path / "maps", versions=2)
    with serving(folder, "--workers", "1") as server:
        job_id = server.begin(1)
        [worker] = server.workers()
        server.end(signal.SIGKILL)
        server.start("--workers", "1")
        assert server.job(job_id)["status"] == "running"
        server.open_gate()
        job = server.wait_for(job_id)
        assert (job["status"], job["attempt"]) == ("completed", 1), job
        wait_until(lambda: is_gone(worker), "the next server begins workers of its own")

        wait_until(server.workers)
        job_id = server.begin(2)
        server.end(signal.SIGKILL)
        for each in (*server.workers(), *server.children()):
            end_process(each)
        server.open_gate()
        server.start("--workers", "1")
        job = server.wait_for(job_id)
        assert (job["status"], job["attempt"]) == ("completed", 2), job

    assert history_of(folder)["staging"] == ["1", "2"]
    require_ended_once(folder)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twenty_random_kills(tmp_path: Path) -> None:
    """Server, workers and children are killed at 20 random moments: each job ends once.

    Each version of two projects is asked for once, and again where its child was the one that
    was killed: in the end each stood published, and none of them twice in a row.
    """
    seed = int(os.environ.get("LADING_SEED", "") or time.time_ns() % 10**6)
    sys.stdout.write(f"LADING_SEED={seed}\n")
    folders = {
        "maps": make_maps(tmp_path / "maps", projects=(".", "../charts"), versions=12),
        "charts": make_maps(tmp_path / "charts", name="charts", versions=12),
    }
    with serving(folders["maps"], "--workers", "2") as server:
        jobs = {
            (project, number): server.publish(number, project=project, key=f"{project}-{number}")
            for number in range(1, 13)
            for project in folders
        }
        killed = kill_at_random(server, random.Random(seed), times=20)
        ended = {job_id: server.wait_for(job_id)["status"] for job_id in jobs.values()}
        sys.stdout.write(f"killed: {dict(killed)}; ended: {dict(Counter(ended.values()))}\n")
        assert set(ended.values()) <= {"completed", "failed"}
        for (project, number), job_id in jobs.items():
            # a repeated request is the same job, whatever became of it
            assert server.publish(number, project=project, key=f"{project}-{number}") == job_id
            if ended[job_id] == "failed":
                again = server.call("POST", f"/jobs/{job_id}/retry").json()["job_id"]
                assert server.wait_for(again)["status"] == "completed"
    require_ended_once(folders["maps"])
    for folder in folders.values():
        shown = history_of(folder)["staging"]
        assert sorted(set(shown), key=int) == [str(each) for each in range(1, 13)]
        assert all(one != other for one, other in pairwise(shown)), shown
        assert published(folder, "staging") == shown[-1]


def kill_at_random(server: Server, chance: random.Random, *, times: int) -> Counter[str]:
    """Kill something at random moments, and start the server again; count what was killed."""
    killed: Counter[str] = Counter()
    for _ in range(times):
        until = time.monotonic() + chance.uniform(0.05, 1.5)
        wait_until(lambda until=until: time.monotonic() > until)  # type: ignore[misc]
        what = chance.choice(["server", "worker", "child", "all"])
        victims = {"worker": server.workers(), "child": server.children()}
        if what in {"server", "all"}:
            server.end(signal.SIGKILL)
            killed["server"] += 1
        for kind, processes in victims.items():
            chosen = processes if what == "all" else processes[:1] if what == kind else []
            for each in chosen:
                end_process(each)
                killed[kind] += 1
        if server.process is None:
            server.start("--workers", "2")
    return killed
