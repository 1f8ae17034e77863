"""Jobs that are killed, and run again; and many at once. Real processes, ended by SIGKILL."""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.e2e.jobs_project import JobsProject, kill, lines_of, make_jobs_project, wait_for
from tests.e2e.project import DOIT

COPY = ("run", "copy", "--", "--source=./source", "--target=./out")
WRITES = ("marker", "START", "a", "letter of b", "c/d", "list", "COMPLETE", "marker")
"""Of a run of ``copy``, in their order."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> JobsProject:
    """A project, never changed."""
    return make_jobs_project(tmp_path_factory.mktemp("jobs") / "made")


@pytest.fixture
def project(made: JobsProject, tmp_path: Path) -> JobsProject:
    """A project."""
    shutil.copytree(made.folder, tmp_path / "project")
    return JobsProject(tmp_path / "project")


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_killed_at_every_write(made: JobsProject, tmp_path: Path) -> None:
    """Whichever write a run is killed at, before it or after: the same command makes it whole.

    The same outputs and letters as of a run that nobody cut, one COMPLETE, an ABORT for the one
    that was killed where it had begun, nothing twice; and a third run has nothing to do.
    """
    whole = copy_of(made, tmp_path / "whole")
    assert whole.lading(*COPY).returncode == 0
    expected = whole.data("out"), [letter.item for letter in whole.letters("copy", "out")]
    assert sorted(expected[0]) == ["capitals/a", "capitals/c/d"]
    assert expected[1] == ["b"]
    cuts = 0
    for when in ("before", "after"):
        number = 0
        while True:
            number += 1
            cut = copy_of(made, tmp_path / f"{when}{number}")
            code = cut.lading(*COPY, CUT_AT=f"{number} {when}").returncode
            if code == 0:
                break
            assert code == -signal.SIGKILL
            cuts += 1
            require_made_whole(cut, expected, f"{number} {when}")
        assert number == len(WRITES) + 1, when
    assert cuts == 2 * len(WRITES)


def copy_of(made: JobsProject, folder: Path) -> JobsProject:
    """Return a copy of a project."""
    shutil.copytree(made.folder, folder)
    return JobsProject(folder)


def require_made_whole(
    project: JobsProject, expected: tuple[dict[str, str], list[str]], cut: str
) -> None:
    """Run what was cut again, and once more; require the end of a run that nobody cut."""
    before = project.kinds("copy", "out")
    again = project.lading(*COPY)
    assert again.returncode == 0, (cut, again.stdout, again.stderr)
    found = project.data("out"), [letter.item for letter in project.letters("copy", "out")]
    assert found == expected, cut
    told = {
        (): ["START", "COMPLETE"],
        ("START",): ["START", "ABORT", "START", "COMPLETE"],
        ("START", "COMPLETE"): ["START", "COMPLETE"],
    }
    assert project.kinds("copy", "out") == told[tuple(before)], cut
    (marker,) = project.markers("out")
    assert (marker.state, marker.outputs) == ("done", 2), cut
    project.require_whole("out")
    written = {path: path.stat().st_mtime_ns for path in (project.folder / "out").rglob("*")}
    third = project.lading(*COPY)
    assert lines_of(third.stdout)[-1]["message"].startswith("done before, by run "), cut
    assert written == {p: p.stat().st_mtime_ns for p in (project.folder / "out").rglob("*")}, cut


@pytest.mark.timeout(120)
def test_eight_at_once(project: JobsProject) -> None:
    """Of eight of the same run one works; the others end with 75 and name who it is."""
    processes = [project.start("run", "slow") for _ in range(8)]
    wait_for(lambda: sum(each.poll() is not None for each in processes) == 7, "seven end")
    (working,) = (each for each in processes if each.poll() is None)
    (project.folder / "go").touch()
    assert working.wait(60) == 0
    assert (project.folder / "worked").read_text() == "x"
    for each in processes:
        said, _ = each.communicate(timeout=60)
        if each is working:
            continue
        assert each.returncode == 75
        (line,) = lines_of(said)
        assert f"found process {working.pid} on " in line["message"]
        assert "Traceback" not in said
    assert project.kinds("slow") == ["START", "COMPLETE"]
    project.require_whole()


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_signal(project: JobsProject, number: signal.Signals) -> None:
    """143 or 130, an ABORT, and the lease is given back: the next run begins at once."""
    process = project.start("run", "slow")
    wait_for(lambda: any(project.folder.glob("up-*")), "it is at work")
    process.send_signal(number)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert [line["message"] for line in lines_of(said)] == [f"interrupted by signal {int(number)}"]
    assert project.kinds("slow") == ["START", "ABORT"]
    (project.folder / "go").touch()
    assert project.lading("run", "slow").returncode == 0
    assert project.kinds("slow") == ["START", "ABORT", "START", "COMPLETE"]


def test_timeout(project: JobsProject) -> None:
    """A run that takes longer than its specification says: 75."""
    done = project.lading("run", "limited")
    assert done.returncode == 75
    (line,) = lines_of(done.stdout)
    assert line["message"].startswith("expected to end within 0.3 s, was still at work")
    assert project.kinds("limited") == ["START", "FAIL"]


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_coordinator(project: JobsProject, number: signal.Signals) -> None:
    """Killed or asked to end, it takes its processes with it; the next one does what is left."""
    (project.folder / "items").write_text("ann\nhang1\nhang2\nzoe\n")
    command = ("run", "hello", "--over", "items", "--workers", "2", "--", "{item}")
    process = project.start(*command)
    wait_for(lambda: {"hang1", "hang2"} <= set(project.tried()), "both are at work")
    pids = [int(text) for name in ("hang1", "hang2") for text in read(project, name)]
    process.send_signal(number)
    process.communicate(timeout=60)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "they end, too")
    assert process.returncode == (143 if number == signal.SIGTERM else -signal.SIGKILL)
    (project.folder / "go").touch()
    done = project.lading(*command)
    assert done.returncode == 0, done.stdout
    assert project.tried() == {"ann": 1, "hang1": 2, "hang2": 2, "zoe": 1}
    assert project.kinds() == ["START", "ABORT", "START", "COMPLETE"]
    shards = [kind for name in project.streams()[1:] for kind in project.kinds(name)]
    assert sorted(shards) == ["ABORT"] * 2 + ["COMPLETE"] * 4 + ["START"] * 6
    project.require_whole()


def read(project: JobsProject, name: str) -> list[str]:
    """Return the lines that a name's tries have left."""
    return (project.folder / "tried" / name).read_text().splitlines()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_random_kills_of_a_plan(project: JobsProject) -> None:
    """A plan whose coordinator is killed thirty times, whenever: every item once, nothing lost."""
    names = [f"n{number}" for number in range(40)]
    (project.folder / "items").write_text("".join(f"{name}\n" for name in names))
    command = ("run", "copy", "--over=items", "--workers=2", "--per-shard=4", "--")
    template = ("--source=./source", "--target=./out-{item}")
    for number in range(30):
        process = project.start(*command, *template)
        done = number

        def has_more(least: int = done) -> bool:
            found = len(list(project.folder.glob("out-*")))
            return found > least or process.poll() is not None  # noqa: B023  asked at once

        wait_for(has_more, "it goes on")
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
    assert project.lading(*command, *template).returncode == 0
    whole = project.data("out-n0")
    for name in names:
        assert project.data(f"out-{name}") == whole
        (marker,) = project.markers(f"out-{name}")
        assert marker.state == "done"
        assert len(project.letters("copy", f"out-{name}")) == 1
        project.require_whole(f"out-{name}")
    project.require_whole()


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_killed_doit(project: JobsProject) -> None:
    """A doit that is killed takes the job with it, which gives its work back."""
    process = project.start("job:slow", program=DOIT)
    wait_for(lambda: any(project.folder.glob("up-*")), "it is at work")
    (up,) = project.folder.glob("up-*")
    kill(process)
    wait_for(lambda: not Path(f"/proc/{up.name[3:]}").exists(), "the job ends, too")
    assert project.kinds("slow") == ["START", "ABORT"]
    receipt = json.loads((project.folder / "build/receipts/jobs/slow.json").read_text())
    assert receipt["exit_code"] == 143
