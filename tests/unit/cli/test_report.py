"""``lading report``: a run as a file, and where else it goes."""

import builtins
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from lading.config.load import LoadedConfig
from lading.ledger.model import ArtifactRow, ReleaseRow, Run
from lading.ledger.record import write_manifest, write_release
from tests.unit.cli.conftest import Call
from tests.unit.cli.ledger_project import (
    CONFIG,
    NOON,
    TAG,
    LedgerProject,
    fail,
    make_project,
    publish,
    run_name,
)

BESIDE = f"{CONFIG}[report]\nbeside_release = true\n"
Put = tuple[LoadedConfig, Run, bytes]


@pytest.fixture
def puts(monkeypatch: pytest.MonkeyPatch) -> list[Put]:
    """Return what is put beside a release, in the place of putting it."""
    given: list[Put] = []

    def put_report(loaded: LoadedConfig, run: Run, data: bytes) -> list[str]:
        given.append((loaded, run, data))
        return ["clouds/gcs/nightly/report.html"]

    monkeypatch.setattr("lading.tasks.reports.put_report", put_report)
    return given


def publish_manifest(project: LedgerProject, number: int, sha256: str) -> str:
    """Publish a release of one file; return the name of its run."""
    ledger = project.open()
    run_id = publish(ledger, number)
    file = ArtifactRow(key="a.csv", size_bytes=1, sha256="ab" * 32, media_type="text/csv")
    write_manifest(ledger, run_id, sha256, [file])
    release = ReleaseRow(
        project="demo",
        channel="nightly",
        tag=TAG,
        environment="production",
        manifest_sha256=sha256,
        published_at=NOON.replace(day=5 + number),
        run_id=run_id,
    )
    write_release(ledger, release)
    return run_id


def test_report(project: LedgerProject, call: Call) -> None:
    """The newest run is written into the work folder, and its path is printed."""
    fail(project.open())
    answer = call("report")
    path = project.folder / "build" / "reports" / f"{run_name(0)}.html"
    assert (answer.code, answer.out, answer.err) == (0, f"{path}\n", "")
    page = path.read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "failed at upload:gcs-nightly" in page
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_report_elsewhere(project: LedgerProject, call: Call) -> None:
    """`--output` names another file; `-` is stdout, and nothing else is printed there."""
    publish(project.open())
    given = project.folder / "new" / "a report.html"
    assert call("report", "--output", str(given)).out.strip() == str(given)
    answer = call("report", "--output", "-")
    assert answer.out.lower().startswith("<!doctype html>")
    assert not (project.folder / "build" / "reports").exists()


def test_report_into_a_folder(project: LedgerProject, call: Call) -> None:
    """A folder is not replaced by a file: usage, one line."""
    publish(project.open())
    answer = call("report", "--output", str(project.folder))
    assert answer.code == 3
    assert answer.err.startswith("ERROR: --output: expected a file, got the folder")


def test_report_beside_the_release(
    bare_project: LedgerProject, call: Call, puts: list[Put]
) -> None:
    """Where the configuration asks for it the report of what stands published is put there."""
    make_project(bare_project.folder, BESIDE)
    run_id = publish_manifest(bare_project, 0, "00" * 32)
    answer = call("report", "--output", "report.html")
    assert answer.err == "put clouds/gcs/nightly/report.html\n"
    ((loaded, run, data),) = puts
    assert loaded.path == bare_project.folder / "lading.toml"
    assert run.run_id == run_id
    assert data == Path("report.html").read_bytes()
    assert call("report", "--no-put").err == ""
    assert len(puts) == 1


def test_report_of_an_older_release(
    bare_project: LedgerProject, call: Call, puts: list[Put]
) -> None:
    """The report of a release that was followed by another never stands beside that one."""
    make_project(bare_project.folder, BESIDE)
    publish_manifest(bare_project, 0, "00" * 32)
    newer = publish_manifest(bare_project, 1, "11" * 32)
    answer = call("report", run_name(0))
    assert answer.code == 0
    assert answer.err == f"not put beside release.json: {TAG} of {newer} stands there now\n"
    assert puts == []


def test_report_of_what_is_not_published(
    bare_project: LedgerProject, call: Call, puts: list[Put]
) -> None:
    """The report of a run that failed stays here."""
    make_project(bare_project.folder, BESIDE)
    fail(bare_project.open())
    assert call("report").err == "not put beside release.json: the run is failed\n"
    assert puts == []


def test_report_that_nobody_wants_beside(
    project: LedgerProject, call: Call, puts: list[Put]
) -> None:
    """Unless the configuration asks for it nothing is put anywhere, and nothing is said."""
    publish_manifest(project, 0, "00" * 32)
    assert call("report").err == ""
    assert puts == []


def test_without_the_extra(
    project: LedgerProject, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the extra is missing one line says how to install it."""
    publish(project.open())
    real = builtins.__import__

    def without_web(
        name: str,
        globals: Mapping[str, Any] | None = None,  # noqa: A002  as Python names it
        locals: Mapping[str, Any] | None = None,  # noqa: A002  likewise
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> Any:
        if name == "lading.web.report":
            raise ModuleNotFoundError("No module named 'jinja2'", name="jinja2")
        return real(name, globals, locals, fromlist, level)

    monkeypatch.setattr(builtins, "__import__", without_web)
    answer = call("report")
    assert answer.code == 3
    assert answer.err == (
        "ERROR: report: expected the extra `web`, found no module 'jinja2';"
        " pip install 'lading[web]'\n"
    )
