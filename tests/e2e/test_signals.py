"""A run that is asked to end stops in order, keeps what is finished, and says how to go on."""

import shutil
import signal
from pathlib import Path

import pytest

from tests.e2e.project import (
    RECORDED,
    Project,
    end_group,
    make_database,
    make_project,
    public_snapshot,
)

COMMAND = ("-n", "{n}", "distribute", "type=nightly", "tag=nightly-2025-02-05")


@pytest.fixture(scope="module")
def slow_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a database that takes a second or two to pack."""
    project = make_project(tmp_path_factory.mktemp("slow") / "project", config=RECORDED)
    make_database(project.source / "large.sqlite", 1_500_000)
    return project


@pytest.mark.parametrize(
    ("number", "threads"),
    [
        (signal.SIGTERM, "4"),
        (signal.SIGINT, "0"),
        pytest.param(signal.SIGTERM, "0", marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, "4", marks=pytest.mark.slow),
    ],
)
def test_signal_is_an_orderly_end(
    slow_project: Project, tmp_path: Path, number: signal.Signals, threads: str
) -> None:
    """SIGTERM and SIGINT in the middle of a task: 143 or 130, finished tasks are remembered."""
    shutil.copytree(slow_project.folder, tmp_path / "project", symlinks=True)
    project = Project(tmp_path / "project")
    command = [each.format(n=threads) for each in COMMAND]
    process = project.start(*command)
    lines = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if line.startswith("compress_sqlite:large.sqlite") and "start" in line:
            break
    process.send_signal(number)
    rest, _ = process.communicate(timeout=30)
    text = "".join(lines) + rest
    left = [path.name for path in project.work.rglob("*large.sqlite.zip*")]
    again = project.run(*command)

    assert process.returncode == 128 + number, text
    assert "interrupted; to resume, run the same command: doit -n" in text
    assert "Traceback" not in text
    assert left == []
    assert again.returncode == 0
    assert "check                              start" not in again.stdout
    assert public_snapshot(project)


def test_killed_task_is_not_finished(slow_project: Project, tmp_path: Path) -> None:
    """Kill -9 while a database is packed: finished tasks stay finished, that one is made anew."""
    shutil.copytree(slow_project.folder, tmp_path / "project", symlinks=True)
    project = Project(tmp_path / "project")
    command = [each.format(n=0) for each in COMMAND]
    process = project.start(*command)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("compress_sqlite:large.sqlite") and "start" in line:
            break
    end_group(process, signal.SIGKILL)
    left = [path.name for path in project.work.rglob("large.sqlite.zip")]
    again = project.run(*command)

    assert left == []
    assert again.returncode == 0
    assert "check                              start" not in again.stdout
    assert "compress_sqlite:large.sqlite       done" in again.stdout
