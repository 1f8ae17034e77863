"""A release and its ledger: what is recorded, and that nothing about the ledger ends a release."""

import json
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lading.errors import LadingError
from lading.ledger.ledger import Ledger, open_ledger
from lading.ledger.read import (
    list_releases,
    list_runs,
    list_versions,
    load_artifacts,
    load_logs,
    load_run,
)
from lading.ledger.verdict import judge
from tests.e2e.project import DOIT, RECORDED, RELEASE, TAG, Project, make_project, snapshot
from tests.ledgers import PostgresServer

REPORTED = RECORDED + "\n[report]\nbeside_release = true\n"


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A release that is done, and a second run of it."""
    project = make_project(
        tmp_path_factory.mktemp("ledger") / "project", parquet=2, config=REPORTED
    )
    for _ in range(2):
        done = project.run(*RELEASE)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "WARNING" not in done.stdout + done.stderr
    return project


def ledger_of(project: Project) -> Ledger:
    """Open the ledger of a project."""
    return open_ledger(f"sqlite:///{project.work / 'ledger.db'}", is_for_writing=False)


class TestReleased:
    """What a release leaves in its ledger."""

    def test_runs(self, released: Project) -> None:
        """The release is published; its rerun had nothing to do; nothing else is recorded."""
        ledger = ledger_of(released)
        page = list_runs(ledger)
        runs = [load_run(ledger, each.run_id) for each in page.runs]
        words = [judge(run).word for run in runs if run is not None]
        assert words == ["unchanged", "published"]
        assert page.total == 2

    def test_looks_leave_no_record(self, released: Project) -> None:
        """A plan, a list and a verify are no runs."""
        for command in (("plan", f"tag={TAG}"), ("list",), ("verify", f"tag={TAG}")):
            assert released.run(*command).returncode == 0
        assert list_runs(ledger_of(released)).total == 2

    def test_steps_and_matrix(self, released: Project) -> None:
        """Each step with its end, each place with its proof, the whole at 100 percent."""
        run = load_run(ledger_of(released), list_runs(ledger_of(released)).runs[1].run_id)
        assert run is not None
        assert (run.progress.percent, run.exit_code, run.is_release) == (100.0, 0, True)
        assert {each.progress.percent for each in run.steps} == {100.0}
        assert {each.task for each in run.steps} >= {"check", "manifest", "upload:gcs-nightly"}
        assert len(run.targets) == 2 + 4
        assert all(each.verified_at and each.planned_files == 9 for each in run.targets)
        assert {each.task for each in run.receipts} == {each.task for each in run.targets}

    def test_files(self, released: Project) -> None:
        """The files of release.json are those of the run, with size and digest."""
        ledger = ledger_of(released)
        run = list_runs(ledger).runs[0]
        manifest = json.loads((released.clouds / "gcs" / "nightly" / "release.json").read_bytes())
        told = [
            (e.key, e.size_bytes, e.sha256) for e in load_artifacts(ledger, run.manifest_sha256)
        ]
        assert told == [(e["key"], e["size_bytes"], e["sha256"]) for e in manifest["files"]]

    def test_version_and_release(self, released: Project) -> None:
        """The version is published, and stands once however often it was shipped."""
        ledger = ledger_of(released)
        assert [(e.version, e.state) for e in list_versions(ledger, "demo")] == [(TAG, "published")]
        (row,) = list_releases(ledger)
        assert (row.tag, row.channel, row.environment) == (TAG, "nightly", "production")
        assert row.url.endswith("/nightly/release.json")

    def test_log_names_each_file(self, released: Project) -> None:
        """What was sent and copied stands in the log of its step."""
        ledger = ledger_of(released)
        run = list_runs(ledger).runs[1]
        lines = [each.text for each in load_logs(ledger, run.run_id, task="promote:gcs-nightly")]
        assert lines[0] == "begins"
        assert "energy.sqlite.zip: done" in lines
        assert lines[-1].startswith("done: ")

    def test_report_stands_beside_the_release(self, released: Project) -> None:
        """It is a page, it is no part of the release, and it survives a verify and a plan."""
        for place in ("gcs/nightly", "gcs/eel-hole", "s3/nightly", "s3/eel-hole"):
            page = (released.clouds / place / "report.html").read_text()
            assert TAG in page
            assert "<script src" not in page
        assert "report.html" not in (released.clouds / "gcs/nightly/SHA256SUMS").read_text()
        done = released.run("verify", f"tag={TAG}", "deep=1")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "nothing to do" in released.run("plan", f"tag={TAG}").stdout


def _directory(project: Project) -> None:
    (project.work / "ledger.db").mkdir(parents=True)


def _garbage(project: Project) -> None:
    project.work.mkdir()
    (project.work / "ledger.db").write_bytes(b"no database at all, " * 100)


def _another_application(project: Project) -> None:
    project.work.mkdir()
    connection = sqlite3.connect(project.work / "ledger.db")
    connection.execute("create table bills (id integer)")
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    "spoil",
    [pytest.param(_directory, marks=pytest.mark.slow), _garbage, _another_application],
)
def test_a_ledger_that_cannot_be_written(tmp_path: Path, spoil: Callable[[Project], None]) -> None:
    """The release is done, byte for byte, and says loudly that it is not recorded."""
    project = make_project(tmp_path / "project", parquet=1, config=RECORDED)
    spoil(project)
    before = snapshot(project.work)
    done = project.run(*RELEASE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING: the ledger" in done.stdout + done.stderr
    assert "released: every object was read back" in done.stdout
    kept = {key: value for key, value in snapshot(project.work).items() if key in before}
    assert kept == before  # what is not ours is left as it is


def test_disabled(tmp_path: Path) -> None:
    """Nothing is written where nothing is to be."""
    config = RECORDED + "\n[ledger]\nenabled = false\n"
    project = make_project(tmp_path / "project", parquet=1, config=config)
    done = project.run(*RELEASE)
    assert done.returncode == 0
    assert "WARNING" not in done.stdout + done.stderr
    assert not list(project.work.glob("ledger*"))
    assert (project.work / "releases/nightly" / TAG / "production/summary.md").is_file()


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    """A PostgreSQL that nobody serves is a warning without its password."""
    project = make_project(tmp_path / "project", parquet=1, config=RECORDED)
    url = "postgresql://lading:canary-password@127.0.0.1:9/ledger"
    done = project.run(*RELEASE, environment={"LADING_LEDGER_URL": url})
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "WARNING: the ledger" in said
    assert "canary" not in said


@pytest.mark.slow
def test_a_server_that_goes_away_in_mid_run(tmp_path: Path) -> None:
    """The release is done; the ledger has its beginning; a loud line says what is missing."""
    server = PostgresServer(Path(tempfile.mkdtemp(prefix="lading-pg-")))
    try:
        url = server.url(server.create())
        project = make_project(tmp_path / "project", parquet=1, config=RECORDED)
        (project.folder / "dodo.py").write_text(
            "from lading.tasks import *\n"
            "import os, pathlib, time\n"
            "def wait():\n"
            "    pathlib.Path('waits').touch()\n"
            "    until = time.monotonic() + 60\n"
            "    while not os.path.exists('go') and time.monotonic() < until:\n"
            "        time.sleep(0.02)\n"
            "def task_zzz_wait():\n"
            "    return {'actions': [wait], 'file_dep': [], 'task_dep': ['manifest']}\n"
        )
        running = subprocess.Popen(
            [str(DOIT), *RELEASE, "zzz_wait"],
            cwd=project.folder,
            env=project.environment({"LADING_LEDGER_URL": url}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        _until((project.folder / "waits").exists)
        _until(lambda: _recorded_steps(url) > 3)
        server.stop()
        (project.folder / "go").touch()
        said = running.communicate(timeout=120)[0]
        assert running.returncode == 0, said
        assert "WARNING: the ledger is not written" in said
        assert "the ledger lacks" in said
        server.start()
        ledger = open_ledger(url, is_for_writing=False)
        run = load_run(ledger, list_runs(ledger).runs[0].run_id)
        ledger.close()
        assert run is not None
        assert (run.state, run.is_aborted) == ("running", True)
    finally:
        server.stop()
        shutil.rmtree(server.folder, ignore_errors=True)


def _recorded_steps(url: str) -> int:
    try:
        ledger = open_ledger(url, is_for_writing=False)
    except LadingError:
        return 0
    try:
        runs = list_runs(ledger).runs
        run = load_run(ledger, runs[0].run_id) if runs else None
        return len(run.steps) if run else 0
    finally:
        ledger.close()


def _until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.02)
