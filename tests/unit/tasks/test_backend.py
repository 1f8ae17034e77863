"""Tests of doit's state: each finished task is committed at once, and a kill forgets none."""

import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from doit.dependency import JSONCodec

from lading.tasks.backend import DurableBackend

DODO = """
import os, signal
from pathlib import Path

DOIT_CONFIG = {"backend": "lading", "dep_file": "state/state.sqlite", "default_tasks": ["work"]}


def work(number):
    Path(f"ran-{number}").touch()
    if number == 5 and Path("kill").exists():
        os.kill(os.getpid(), getattr(signal, Path("kill").read_text()))
    return {"number": number}


def task_work():
    for number in range(1, 11):
        # the fifth begins when doit has done with the first four, the others after it
        before = {5: range(1, 5)}.get(number, () if number < 5 else (5,))
        yield {
            "name": f"{number}",
            "actions": [(work, [number])],
            "file_dep": ["input.txt"],
            "task_dep": [f"work:{each}" for each in before],
            "io": {"capture": False},
        }
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the state is kept; neither file nor folder stands."""
    return tmp_path / "state/state.sqlite"


def open_backend(path: Path) -> DurableBackend:
    """Open the state as doit does."""
    return DurableBackend(str(path), JSONCodec())


def finish(backend: DurableBackend, task: str) -> None:
    """Record a finished task in doit's own order."""
    backend.set(task, "_values_:", {"made": task})
    backend.set(task, "checker:", "DigestChecker")
    backend.set(task, "input.txt", [1, "sha"])
    backend.set(task, "deps:", ["input.txt"])


def committed(path: Path) -> set[str]:
    """Return the tasks that another process would find."""
    connection = sqlite3.connect(path)
    try:
        return {row[0] for row in connection.execute("select task_id from tasks")}
    finally:
        connection.close()


class TestCommit:
    """What is in the file, and when."""

    def test_finished_task_is_there_at_once(self, path: Path) -> None:
        """A second connection sees each task as soon as doit has recorded it, before any dump."""
        backend = open_backend(path)
        for number in range(1, 4):
            finish(backend, f"work:{number}")
            assert {f"work:{each}" for each in range(1, number + 1)} == committed(path)

    def test_half_a_record_is_never_there(self, path: Path) -> None:
        """Until doit has set the last value of a task, the file knows nothing of it."""
        backend = open_backend(path)
        finish(backend, "one")
        backend.set("two", "_values_:", {"made": "two"})
        backend.set("two", "input.txt", [1, "sha"])
        backend.dump()
        assert committed(path) == {"one"}

    def test_every_value_comes_back(self, path: Path) -> None:
        """What was set is what another run gets."""
        finish(open_backend(path), "one")
        again = open_backend(path)
        assert again.in_("one")
        assert again.get("one", "_values_:") == {"made": "one"}
        assert again.get("one", "input.txt") == [1, "sha"]
        assert again.get("one", "deps:") == ["input.txt"]
        assert again.get("one", "other.txt") is None

    def test_ignored_task_is_kept(self, path: Path) -> None:
        """`doit ignore` sets one value only; it is committed too."""
        open_backend(path).set("one", "ignore:", "1")
        assert open_backend(path).get("one", "ignore:") == "1"

    def test_failed_task_is_forgotten_at_once(self, path: Path) -> None:
        """A task that doit removes is gone for another connection too; others stay."""
        backend = open_backend(path)
        finish(backend, "one")
        finish(backend, "two")
        backend.remove("one")
        assert committed(path) == {"two"}
        assert not backend.in_("one")
        backend.remove("never there")

    def test_all_are_forgotten(self, path: Path) -> None:
        """Forgetting everything leaves no task, and new ones can be recorded."""
        backend = open_backend(path)
        finish(backend, "one")
        backend.remove_all()
        assert committed(path) == set()
        assert not backend.in_("one")
        finish(backend, "two")
        assert committed(path) == {"two"}

    def test_dump_may_be_followed_by_more(self, path: Path) -> None:
        """After a dump the state can be read and written again."""
        backend = open_backend(path)
        finish(backend, "one")
        backend.dump()
        backend.dump()
        finish(backend, "two")
        assert committed(path) == {"one", "two"}
        assert backend.get("one", "deps:") == ["input.txt"]

    def test_many_threads(self, path: Path) -> None:
        """Tasks that are recorded from several threads are all there."""
        backend = open_backend(path)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: finish(backend, f"{number}"), range(80)))
        assert {f"{number}" for number in range(80)} == committed(path)
        assert threading.active_count() < 20


class TestReading:
    """Looking leaves nothing behind."""

    def test_reading_makes_nothing(self, path: Path, tmp_path: Path) -> None:
        """Asking, removing nothing and closing make neither file nor folder."""
        backend = open_backend(path)
        assert backend.get("one", "deps:") is None
        assert not backend.in_("one")
        backend.remove("one")
        backend.remove_all()
        backend.dump()
        assert list(tmp_path.iterdir()) == []

    def test_reading_adds_nothing(self, path: Path) -> None:
        """Asking for a task that is not there does not make it appear."""
        backend = open_backend(path)
        finish(backend, "one")
        backend.get("two", "deps:")
        backend.dump()
        assert committed(path) == {"one"}


class TestBroken:
    """A state that cannot be read costs checks, and never the run."""

    @pytest.mark.parametrize(
        "content", [b"", b"x", b"no database" * 900, b"SQLite format 3\0" + b"\xff" * 5000], ids=len
    )
    def test_file_of_another_kind(self, path: Path, content: bytes) -> None:
        """A file that is something else is started anew."""
        path.parent.mkdir()
        path.write_bytes(content)
        backend = open_backend(path)
        assert backend.get("one", "deps:") is None
        finish(backend, "one")
        assert committed(path) == {"one"}

    @pytest.mark.parametrize("lost", ["tail", "pages"])
    def test_damaged_inside(self, path: Path, lost: str) -> None:
        """A file whose header is sound and whose pages are not is started anew."""
        backend = open_backend(path)
        for number in range(300):
            finish(backend, f"{number}")
        backend.dump()
        data = path.read_bytes()
        assert len(data) > 4 * 4096
        path.write_bytes(data[:4096] + (b"" if lost == "tail" else b"\xa5" * (len(data) - 4096)))
        again = open_backend(path)
        assert again.get("7", "deps:") is None
        finish(again, "one")
        assert committed(path) >= {"one"}

    @pytest.mark.parametrize("text", ["", "{", "no json"])
    def test_record_that_is_no_json(self, path: Path, text: str) -> None:
        """A record that cannot be read is none."""
        backend = open_backend(path)
        finish(backend, "one")
        backend.dump()
        connection = sqlite3.connect(path)
        connection.execute("update tasks set data = ?", (text,))
        connection.commit()
        connection.close()
        assert not open_backend(path).in_("one")


def run_doit(folder: Path, *arguments: str) -> int:
    """Run the doit command in a folder, and return how it ended."""
    return subprocess.run(
        [sys.executable, "-m", "doit", *arguments],
        check=False,
        cwd=folder,
        capture_output=True,
        timeout=120,
    ).returncode


def ran(folder: Path) -> set[int]:
    """Return the numbers of the tasks that ran, and forget them."""
    found = list(folder.glob("ran-*"))
    for each in found:
        each.unlink()
    return {int(each.name.removeprefix("ran-")) for each in found}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a folder with ten tasks of which the fifth may kill the run."""
    (tmp_path / "dodo.py").write_text(DODO, encoding="utf-8")
    (tmp_path / "input.txt").write_text("input", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("options", [(), ("-n", "4", "-P", "thread")], ids=["serial", "threads"])
class TestKilledRun:
    """Ten tasks, the run killed in the fifth."""

    @pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
    def test_four_are_remembered(self, project: Path, name: str, options: tuple[str, ...]) -> None:
        """The four finished tasks are in the file, and the next run begins with the fifth."""
        (project / "kill").write_text(name, encoding="utf-8")
        assert run_doit(project, "run", *options) == -getattr(signal, name)
        assert ran(project) == {1, 2, 3, 4, 5}
        expected = {f"work:{number}" for number in range(1, 5)}
        assert expected == committed(project / "state/state.sqlite")
        (project / "kill").unlink()
        assert run_doit(project, "run", *options) == 0
        assert ran(project) == {5, 6, 7, 8, 9, 10}

    def test_second_run_does_nothing(self, project: Path, options: tuple[str, ...]) -> None:
        """After an undisturbed run nothing is run again."""
        assert run_doit(project, "run", *options) == 0
        assert ran(project) == set(range(1, 11))
        assert run_doit(project, "run", *options) == 0
        assert ran(project) == set()


def test_listing_tasks_makes_no_state(project: Path) -> None:
    """`doit list`, with the state of every task, leaves no file and no folder."""
    assert run_doit(project, "list", "--all", "--status") == 0
    assert not (project / "state").exists()


def test_broken_state_costs_one_run(project: Path) -> None:
    """With a broken state doit runs every task once more, and no command fails."""
    run_doit(project, "run")
    ran(project)
    (project / "state/state.sqlite").write_bytes(b"no database" * 900)
    assert run_doit(project, "list", "--all", "--status") == 0
    assert run_doit(project, "run") == 0
    assert ran(project) == set(range(1, 11))
    assert run_doit(project, "run") == 0
    assert ran(project) == set()


def test_state_that_cannot_be_kept_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the state cannot be written the run goes on, and one line says what that costs."""
    path = tmp_path / "state.sqlite"
    backend = open_backend(path)
    finish(backend, "one")
    backend._connect().execute("pragma query_only = on")
    finish(backend, "two")
    finish(backend, "three")
    said = capsys.readouterr().err

    assert backend.get("two", "deps:") is not None
    assert said.count("\n") == 1
    assert "finished tasks will be checked again" in said
