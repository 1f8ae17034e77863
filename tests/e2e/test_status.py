"""A person asks what happened: the installed commands, after releases and beside them."""

import hashlib
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from lading.ledger.ledger import open_ledger
from lading.ledger.model import RunStart
from lading.ledger.record import begin_run, write_logs
from lading.storage.owner import name_process
from tests.e2e.project import RECORDED, RELEASE, TAG, Project, forked_doit, make_project

LADING = Path(sys.executable).with_name("lading")
BESIDE = f"{RECORDED}[report]\nbeside_release = true\n"


def lading(project: Project, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command ``lading`` in a project."""
    return forked_doit().run(words, project.folder, project.environment(None), "lading")


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a release, and one of a build that is broken."""
    project = make_project(tmp_path_factory.mktemp("status"), parquet=2, config=BESIDE)
    assert project.run(*RELEASE).returncode == 0
    (project.source / "energy.sqlite").write_bytes(b"no database" * 1000)
    assert project.run("distribute", "type=nightly", "tag=nightly-2025-02-06").returncode == 1
    return project


def test_history_after_releases(released: Project) -> None:
    """Each run stands there, newest first, with what became of it."""
    answer = lading(released, "history")
    assert answer.returncode == 0
    words = [line.split()[2:4] for line in answer.stdout.splitlines()[1:]]
    assert words == [["nightly-2025-02-06", "failed"], [TAG, "published"]]
    assert max(map(len, answer.stdout.splitlines())) <= 80


def test_status_of_a_release(released: Project) -> None:
    """The first release is published: every prefix of the matrix is done, and was verified."""
    (run_id,) = re.findall(rf"(?m)^.* {TAG} .* (\S+)$", lading(released, "history").stdout)
    answer = lading(released, "status", run_id)
    assert answer.returncode == 0
    assert answer.stdout.startswith("published: every object was read back\n")
    for place in ("gcs/nightly", "gcs/eel-hole", "s3/nightly", "s3/eel-hole"):
        assert re.search(
            rf"(?m)^promote +{place} +\d+ +[\d.]+ kB +done +{datetime.now(UTC):%Y}-", answer.stdout
        )
    manifest = hashlib.sha256((released.clouds / "gcs/nightly/release.json").read_bytes())
    assert re.search(rf"(?m)^manifest +{manifest.hexdigest()}$", answer.stdout)


def test_status_of_a_failure(released: Project) -> None:
    """The newest run failed at its check: why, and the command that resumes; code 1."""
    answer = lading(released, "status")
    assert answer.returncode == 1
    lines = answer.stdout.splitlines()
    assert lines[0] == "failed at check; nothing public was changed by this run"
    assert "energy.sqlite" in lines[1]
    assert "resume with: doit distribute type=nightly tag=nightly-2025-02-06" in lines
    shown = lading(released, "logs", "--step", "check", "--level", "error").stdout
    assert re.match(r"\d\d:\d\d:\d\d ERROR +check: ", shown)
    assert "energy.sqlite" in shown


def test_report_beside_the_release(released: Project) -> None:
    """The report of what stands published is written, and put beside release.json."""
    runs = json.loads(lading(released, "history", "--json").stdout)["runs"]
    answer = lading(released, "report", runs[-1]["run_id"])
    assert answer.returncode == 0, answer.stderr
    page = Path(answer.stdout.strip()).read_bytes()
    for place in ("gcs/nightly", "s3/eel-hole"):
        assert (released.clouds / place / "report.html").read_bytes() == page
        assert (released.clouds / place / "release.json").exists()
    assert len(answer.stderr.splitlines()) == 4


@pytest.fixture
def going_on(tmp_path: Path) -> Iterator[Project]:
    """A project of which a run goes on, of this process, and has logged 5,000 lines."""
    (tmp_path / "lading.toml").write_text(RECORDED)
    project, now = Project(tmp_path), datetime.now(UTC)
    ledger = open_ledger(f"sqlite:///{project.work / 'ledger.db'}")
    run_id = "20250205T120000-00000000aa"
    start = RunStart(
        run_id=run_id, kind="plan", project="demo", process=name_process(), started_at=now
    )
    begin_run(ledger, start)
    write_logs(ledger, run_id, [(now, 20, "check", f"line {number}") for number in range(5000)])
    yield project
    ledger.close()


def test_a_reader_that_goes_away(going_on: Project) -> None:
    """`lading logs | head` ends well, and says nothing."""
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; '{LADING}' logs | head -n 1"],
        cwd=going_on.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(" INFO    check: line 0\n")


def test_follow_until_ctrl_c(going_on: Project) -> None:
    """`lading logs --follow` waits for more as long as the run goes on; Ctrl-C: 130, no trace."""
    process = subprocess.Popen(
        [LADING, "logs", "--follow", "--tail", "1"],
        cwd=going_on.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # what a shell starts in the background ignores Ctrl-C, and so do its children
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  one thread
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().endswith("check: line 4999\n")
        process.send_signal(signal.SIGINT)
        rest, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, rest, said) == (130, "", "")
