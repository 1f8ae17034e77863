"""A project that ``lading init --jobs`` wrote, used by the installed commands as it stands."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lading.cli.project import init_jobs
from lading.jobs.audit_verify import verify_audit
from lading.jobs.dead_letters import DeadLetters
from lading.storage import LocalStore

PROGRAMS = Path(sys.executable).parent
SUM = ("run", "sum_numbers", "--", "--source", "data/raw", "--target", "data/sums")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the project."""
    init_jobs(tmp_path)
    return tmp_path


def lading(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the installed lading in a folder."""
    return start(folder, "lading", *words)


def start(folder: Path, program: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run an installed program in a folder."""
    return subprocess.run(
        [PROGRAMS / program, *words],
        cwd=folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "LADING_LOG": "json"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def said(done: subprocess.CompletedProcess[str]) -> str:
    """Return the last message of a log."""
    message: str = json.loads(done.stdout.splitlines()[-1])["message"]
    return message


def test_the_jobs_run_at_once(folder: Path) -> None:
    """Both jobs run; the one that says what identifies its runs is not done a second time."""
    made = lading(folder, "run", "make_sample", "--", "data/raw")
    assert made.returncode == 0, made.stdout + made.stderr
    summed = lading(folder, *SUM)
    assert summed.returncode == 0, summed.stdout + summed.stderr
    tables = [json.loads(each.read_text()) for each in (folder / "data/sums").glob("*.json")]
    assert sorted(each["sum"] for each in tables) == [55, 110, 165]
    again = lading(folder, *SUM)
    assert again.returncode == 0
    assert said(again).startswith("done before")


def test_a_bad_file_is_a_dead_letter_until_it_is_mended(folder: Path) -> None:
    """It ends with 65, is kept with its line, and is sent again by `lading dlq retry`."""
    (folder / "data/raw").mkdir(parents=True)
    (folder / "data/raw/bad.txt").write_text("1\ntwo\n")
    (folder / "data/raw/good.txt").write_text("1\n")

    assert lading(folder, *SUM).returncode == 65
    [letter] = DeadLetters(LocalStore(folder / "data"), "sum_numbers").letters()
    assert (letter.item, letter.message) == ("bad.txt", "line 2: expected a number, got 'two'")
    (folder / "data/raw/bad.txt").write_text("1\n2\n")
    retried = lading(folder, "dlq", "retry", "sum_numbers")
    assert retried.returncode == 0, retried.stdout + retried.stderr

    assert not DeadLetters(LocalStore(folder / "data"), "sum_numbers").items()
    assert json.loads((folder / "data/sums/bad.txt.json").read_text())["sum"] == 3
    assert verify_audit(LocalStore(folder / "data")).faults == ()


@pytest.mark.slow
def test_its_own_tests_pass(folder: Path) -> None:
    """The tests that were written with it hold."""
    done = start(folder, "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")

    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_its_tasks_run_jobs(folder: Path) -> None:
    """The dodo.py has a task for each job."""
    done = start(folder, "doit", "job:make_sample", "args=data/raw --files 2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((folder / "data/raw").iterdir())) == 2
