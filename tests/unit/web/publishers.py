"""A project of one file for tests of workers: what publishes is a script that obeys its test."""

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep

from lading.config import Config
from lading.ledger.ledger import Ledger
from lading.ledger.model import Run
from lading.ledger.queue import JobRequest, submit
from lading.ledger.read import load_run
from lading.web.job import Bench, Pace, Stopping
from lading.web.served import ProjectHere, Served

REQUEST = JobRequest(project="maps", version="7", environment="staging", requested_by="ci")
QUICK = Pace(beat_s=0.05, idle_s=0.01, again_s=0.05, stop_s=0.3, troubled_s=0.02)
SCRIPT = """
import json, os, signal, sys, time
from pathlib import Path

def wait(name):
    until = time.monotonic() + 30
    while not Path(name).exists():
        assert time.monotonic() < until, name
        time.sleep(0.01)

number = len(list(Path().glob("began-*")))
told = {"argv": sys.argv[1:], "pid": os.getpid(), "environment": dict(os.environ)}
Path("told.json").write_text(json.dumps(told))
Path(f"began-{number}").touch()
"""
LIMIT_S = 30.0


def make_bench(folder: Path, ledger: Ledger, script: str, *, pace: Pace = QUICK) -> Bench:
    """Make what a worker of one project works with."""
    project = folder / "maps"
    project.mkdir(exist_ok=True)
    (project / "publish.py").write_text(SCRIPT + script)
    config = Config.model_validate({"project": {"name": "maps"}})
    served = Served(
        base=folder,
        work=folder / "work",
        url="sqlite:////nowhere/ledger.db",
        web=config.web,
        projects={"maps": ProjectHere(slug="maps", folder=project, config=config)},
    )
    lines: list[str] = []
    return Bench(
        served=served,
        ledger=ledger,
        stopping=Stopping(),
        say=lines.append,
        program=(sys.executable, "-S", "publish.py"),
        pace=pace,
    )


def limit_minutes(bench: Bench, minutes: int) -> None:
    """Let jobs take so many minutes."""
    web = bench.served.web.model_copy(update={"job_timeout_minutes": minutes})
    bench.served = replace(bench.served, web=web)


def ask(ledger: Ledger) -> str:
    """Ask for a publish; return the job's name."""
    return submit(ledger, REQUEST, datetime.now(UTC))[0].run_id


def see(ledger: Ledger, run_id: str) -> Run:
    """Return a job that there is."""
    run = load_run(ledger, run_id)
    assert run is not None
    return run


def wait_until(holds: Callable[[], object], what: str = "") -> None:
    """Wait until something is seen."""
    until = monotonic() + LIMIT_S
    while not holds():
        assert monotonic() < until, what or holds
        sleep(0.01)
