"""A release that is killed: the ledger says what was public then, and the same command ends it.

The long schedule, before and after each task of a release:

    pytest -m slow -n 0 tests/e2e/test_ledger_kills.py
"""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lading.ledger.ledger import open_ledger
from lading.ledger.model import Run
from lading.ledger.read import load_run
from lading.ledger.verdict import judge
from tests.e2e.project import RECORDED, RELEASE, Project, make_project

TASKS = (
    "check",
    "compress_sqlite:energy.sqlite",
    "compress_sqlite:weather.sqlite",
    "zip_parquet:demo_parquet",
    "manifest",
    "upload:gcs-nightly",
    "upload:s3-nightly",
    "promote:gcs-nightly",
    "promote:gcs-eel-hole",
    "promote:s3-nightly",
    "promote:s3-eel-hole",
    "notify",
)
KILLED = """
import os, signal, sys
from doit.__main__ import main
from lading.tasks.board import Board
from lading.tasks.record_keeping import RecordKeeper
sys.argv[0] = "doit"
moment, task = sys.argv.pop(1), sys.argv.pop(1)
def end_here(*_):
    os.kill(os.getpid(), signal.SIGKILL)
def after(act):
    def run(self, row, *rest):
        act(self, row, *rest)
        if row.task == task:
            end_here()
    return run
progress = Board.progress
def cut(self, name):  # its first file is done, and the ledger was not told
    hook = progress(self, name)
    if name == task:
        hook.finish_file = end_here
    return hook
if moment == "in":
    Board.progress = cut
else:
    setattr(RecordKeeper, moment, after(getattr(RecordKeeper, moment)))
sys.exit(main())
"""
"""A run of doit that ends itself when a task has started, has ended, or is in its midst."""
POINTS = [
    *(pytest.param("started", task, id=f"before {task}") for task in TASKS),
    *(pytest.param("ended", task, id=f"after {task}") for task in TASKS),
    *(
        pytest.param("in", task, id=f"in {task}")
        for task in TASKS
        if task.startswith(("upload", "promote"))
    ),
]
BY_DEFAULT = {
    "after manifest",
    "in promote:gcs-nightly",
    "after promote:s3-eel-hole",
}


SLOW = pytest.mark.slow


def kill(project: Project, moment: str, task: str) -> None:
    """Run the release in a process that ends itself with SIGKILL at that moment."""
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, moment, task, "-n", "0", *RELEASE],
        cwd=project.folder,
        env=project.environment(None),
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()


def newest(project: Project) -> Run | None:
    """Read the run that began last; None where none was written yet."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lading")), "status", "--json"],
        cwd=project.folder,
        env=project.environment(None),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if not done.stdout:
        assert done.stderr.startswith("ERROR: ledger"), done.stderr
        return None
    name = json.loads(done.stdout)["run_id"]
    ledger = open_ledger(f"sqlite:///{project.work / 'ledger.db'}", is_for_writing=False)
    try:
        run = load_run(ledger, name)
    finally:
        ledger.close()
    assert run is not None
    return run


def public(project: Project) -> dict[str, int]:
    """Count the objects that people can read, by destination and prefix."""
    return {
        f"{cloud}/{prefix}": sum(e.is_file() for e in (project.clouds / cloud / prefix).rglob("*"))
        for cloud in ("gcs", "s3")
        for prefix in ("nightly", "eel-hole")
    }


@pytest.mark.parametrize(
    ("moment", "task"),
    [
        pytest.param(
            *each.values, id=each.id, marks=() if each.id in BY_DEFAULT else pytest.mark.slow
        )
        for each in POINTS
    ],
)
def test_verdict_of_a_killed_release(tmp_path: Path, moment: str, task: str) -> None:
    """It is aborted, it says of each prefix what is so, and the same command ends it."""
    project = make_project(tmp_path / "project", parquet=2, config=RECORDED)
    kill(project, moment, task)
    run, stands = newest(project), public(project)
    if run is None:  # it was killed before its ledger was made: then nothing public was touched
        assert not any(stands.values())
        return
    verdict = judge(run)
    assert run.is_aborted
    assert verdict.word == ("partial" if _done(run) else "aborted"), verdict
    assert verdict.resume == f"doit -n 0 {' '.join(RELEASE)}"
    assert ("nothing public was changed" in verdict.sentence) == (not _begun(run))
    for target in run.targets:
        if target.kind == "promote":
            here = stands[f"{target.destination}/{target.name}"]
            # nothing is there that the ledger calls untouched; all is that it calls done
            assert target.state != "not reached" or not here
            assert target.state != "done" or here == _whole(project)
    assert project.run(*RELEASE).returncode == 0
    after = newest(project)
    assert after is not None
    assert after.run_id > run.run_id
    assert judge(after).word in {"published", "unchanged"}
    assert all(each.state in {"done", "up to date", "unchanged"} for each in after.targets)
    assert all(each.verified_at for each in after.targets)


def _done(run: Run) -> list[str]:
    return [e.task for e in run.targets if e.kind == "promote" and e.state == "done"]


def _begun(run: Run) -> list[str]:
    return [e.task for e in run.targets if e.kind == "promote" and e.state != "not reached"]


def _whole(project: Project) -> int:
    manifest = json.loads(next((project.work / "releases").rglob("release.json")).read_bytes())
    return len(manifest["files"]) + 2
