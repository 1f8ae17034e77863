"""``job:<name>``: a job as a task, in a process of its own."""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lading.errors import CommandError, Interrupted, UsageError
from lading.storage import NO_PROGRESS, Progress
from lading.tasks import jobs
from lading.tasks.jobs import fault_of, receipt_path, registry_of, require, run
from tests.unit.jobs.packages import package_of
from tests.unit.tasks.job_sessions import session_of

HELLO = """
import os, sys, time
from pathlib import Path

def main(argv):
    Path("seen").write_text(" ".join(argv))
    exec(argv[0]) if argv else None
    return int(argv[1]) if len(argv) > 1 else 0

JOB = (main, "runs what it is told")
"""


@pytest.fixture
def package(tmp_path: Path) -> Any:
    """A package with one job."""
    with package_of(tmp_path, {"hello.py": HELLO}) as name:
        yield name


class TestRequire:
    """What is refused before anything begins."""

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"args": "'x"}, "args: arguments: expected words, got"),
            ({"over": "items", "retry": "abcd"}, "over, retry: expected one of both, got both"),
            ({"over": "nowhere"}, "over=nowhere: expected a file of items, found none"),
            ({"retry": "abcd", "args": "x"}, "retry: expected neither args, key nor per_shard"),
            ({"retry": "abcd", "per_shard": "2"}, "retry: expected neither args, key nor"),
            ({"per_shard": "2"}, "per_shard: expected only beside over=FILE, got without it"),
            ({"workers": "2"}, "workers: expected only beside over=FILE or retry=PLAN"),
            ({"key": "x"}, "key: expected only beside over=FILE, got without it"),
        ],
    )
    def test_refused(
        self, tmp_path: Path, package: str, given: dict[str, str], message: str
    ) -> None:
        """A variable that means nothing here is one line that names it."""
        (tmp_path / "items").write_text("a\n")
        with pytest.raises(UsageError) as caught:
            require(session_of(tmp_path, package, **given))
        assert str(caught.value).startswith(message)

    @pytest.mark.parametrize(
        "given",
        [
            {},
            {"args": "--x 'a b'"},
            {"over": "items", "args": "{item}", "key": "k", "per_shard": "2", "workers": "3"},
            {"retry": "abcd", "workers": "3"},
        ],
    )
    def test_taken(self, tmp_path: Path, package: str, given: dict[str, str]) -> None:
        """Variables that belong together are taken."""
        (tmp_path / "items").write_text("a\n")
        require(session_of(tmp_path, package, **given))


class TestCommand:
    """What is run."""

    def test_all_variables(self, tmp_path: Path, package: str) -> None:
        """Each variable is the option of its name; words go as they are, never through a shell."""
        (tmp_path / "items").write_text("a\n")
        session = session_of(
            tmp_path,
            package,
            args="--x 'a b' $(rm) --receipt=y",
            over="items",
            key="k",
            per_shard="2",
            workers="3",
        )
        receipt = receipt_path(session, "hello")
        assert [*jobs._command(session, "hello", receipt)] == [
            sys.executable,
            *("-P", "-m", "lading", "run", "hello", "--log=text"),
            f"--config={tmp_path / 'lading.toml'}",
            f"--receipt={tmp_path / 'build/receipts/jobs/hello.json'}",
            *("--over=items", "--key=k", "--per-shard=2", "--workers=3"),
            *("--", "--x", "a b", "$(rm)", "--receipt=y"),
        ]


@pytest.mark.timeout(60)
class TestRun:
    """Real processes."""

    def do(self, tmp_path: Path, package: str, args: str, progress: Progress = NO_PROGRESS) -> Any:
        """Run the job with some arguments."""
        return run("hello", session_of(tmp_path, package, args=args), progress)

    def test_done(self, tmp_path: Path, package: str, capsys: pytest.CaptureFixture[str]) -> None:
        """It runs in the project's folder; its lines are shown, its last word is the summary."""
        outcome = self.do(tmp_path, package, '\'print("hi", "[red]")\'')
        assert (outcome.summary, outcome.changed) == ("done", True)
        assert (tmp_path / "seen").exists()
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "hi [red]"
        assert lines[1].endswith(" hello: done")
        table = json.loads((tmp_path / "build/receipts/jobs/hello.json").read_text())
        assert table["exit_code"] == 0

    def test_failed(self, tmp_path: Path, package: str) -> None:
        """Another exit code fails the task, with what it means and what was said."""
        with pytest.raises(CommandError) as caught:
            self.do(tmp_path, package, "pass 65")
        assert str(caught.value) == (
            "job hello: expected exit code 0, got 65 (bad data, see `lading dlq list`)"
        )
        with pytest.raises(CommandError) as caught:
            self.do(tmp_path, package, "'raise RuntimeError(\"boom\")'")
        assert str(caught.value) == (
            "job hello: expected exit code 0, got 70 (an error that the job did not foresee): boom"
        )

    def test_killed(self, tmp_path: Path, package: str) -> None:
        """A job that is killed says nothing; the receipt of a run before does not speak for it."""
        self.do(tmp_path, package, "pass")
        with pytest.raises(CommandError) as caught:
            self.do(tmp_path, package, "'print(1, flush=True); os.kill(os.getpid(), 9)'")
        assert str(caught.value) == "job hello: expected exit code 0, got 137 (it was killed): 1"

    def test_bytes(self, tmp_path: Path, package: str, capsys: pytest.CaptureFixture[str]) -> None:
        """A job may print anything."""
        self.do(tmp_path, package, "'os.write(1, bytes([255, 10]))'")
        assert capsys.readouterr().out.splitlines()[0] == r"\xff"

    def test_what_it_leaves_running(self, tmp_path: Path, package: str) -> None:
        """A process that a job leaves behind with its stdout holds nobody up."""
        code = "import subprocess as s; Path('pid').write_text(str(s.Popen(['sleep', '20']).pid))"
        began = time.monotonic()
        outcome = self.do(tmp_path, package, f'"{code}"')
        took_s = time.monotonic() - began
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
        assert outcome.summary == "done"
        assert took_s < 15

    def test_interrupted(self, tmp_path: Path, package: str) -> None:
        """Where the whole run is to end, the job is ended in order, and gives its work back."""
        with pytest.raises(Interrupted):
            self.do(tmp_path, package, "time.sleep(60)", Stopping(tmp_path / "seen"))
        (marker,) = (tmp_path / "state").rglob("runs/*.json")
        table = json.loads(marker.read_text())
        assert (table["state"], table["exit_code"]) == ("failed", 143)

    def test_one_that_does_not_heed(
        self, tmp_path: Path, package: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One that does not end is ended by force."""
        monkeypatch.setattr(jobs, "_END_S", 0.2)
        code = (
            "'import signal; signal.pthread_sigmask(0, [15]); Path(\"up\").touch(); time.sleep(60)'"
        )
        began = time.monotonic()
        with pytest.raises(Interrupted):
            self.do(tmp_path, package, code, Stopping(tmp_path / "up"))
        assert time.monotonic() - began < 30


class Stopping(Progress):
    """Asks to stop once a file stands there."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def relative_update(self, inc: int = 1) -> None:
        """Raise once it is time."""
        del inc
        if self._path.exists():
            raise Interrupted(signal.SIGTERM)


@pytest.mark.parametrize(
    ("code", "said", "expected"),
    [
        (75, "ended with exit code 75: 3 done, 1 left", "75 (it may work at the next try): 3 done"),
        (78, "no bucket", "78 (a setting is wrong): no bucket"),
        (-9, "", "137 (it was killed)"),
        (3, "ended with exit code 3", "3"),
    ],
)
def test_faults(code: int, said: str, expected: str) -> None:
    """A line says which code, what it means, and what was said, nothing of it twice."""
    assert fault_of("hello", code, said).startswith(
        f"job hello: expected exit code 0, got {expected}"
    )
    assert fault_of("hello", code, said).count(str(abs(code) if code > 0 else 137)) == 1


def test_registry_is_looked_for_once(tmp_path: Path, package: str) -> None:
    """Both groups of tasks show the same jobs."""
    session = session_of(tmp_path, package)
    assert registry_of(session) is registry_of(session)
    assert "hello" in [each.name for each in registry_of(session).jobs]
