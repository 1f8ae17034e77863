"""Shards as processes of this machine. Real ones, of the installed package."""

import logging
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lading.errors import Interrupted, MisconfiguredError
from lading.jobs import processes
from lading.jobs.plans import Plan
from lading.jobs.processes import LocalShards
from lading.jobs.run import Run
from lading.jobs.settings import JobSettings
from lading.jobs.stopping import PARENT_VARIABLE
from lading.storage import MemoryStore
from tests.unit.jobs.job_world import plan_of
from tests.unit.jobs.trails import run_id

SCRIPT = """
import os, pathlib, signal, sys, time
index = os.environ["INDEX"]
tries = pathlib.Path("tries-" + index)
tries.write_text((tries.read_text() if tries.exists() else "") + "x")
number = len(tries.read_text())
end = {ends}.get(int(index), [0])
end = end[min(number, len(end)) - 1]
if end == "hang":
    os.read(int(os.environ["PIPE"]), 1)
    time.sleep(30)
os.kill(os.getpid(), -end) if end < 0 else sys.exit(end)
"""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[Any]]:
    """Let shards be a script; return what was started, with its command and its environment."""
    monkeypatch.chdir(tmp_path)
    found: list[Any] = []
    real = subprocess.Popen

    def start(command: list[str], **given: Any) -> subprocess.Popen[bytes]:
        index = next(each for each in command if each.startswith("--index=")).partition("=")[2]
        code = (tmp_path / "script").read_text()
        env = {**given["env"], "INDEX": index, "PIPE": given["env"][PARENT_VARIABLE]}
        process = real([sys.executable, "-S", "-c", code], **{**given, "env": env})
        found.append((process, command, given["env"]))
        return process

    monkeypatch.setattr(subprocess, "Popen", start)
    yield found
    for process, _, _ in found:
        process.kill()
        process.wait(10)


def script(tmp_path: Path, **ends: list[Any]) -> None:
    """Say how each shard ends at each of its tries, by index as ``_0``; all else with 0."""
    table = {int(name[1:]): each for name, each in ends.items()}
    (tmp_path / "script").write_text(SCRIPT.replace("{ends}", repr(table)))


def run_of(tmp_path: Path) -> Run:
    """Return a run that belongs to nobody."""
    return Run(
        job="hello",
        id=run_id(),
        attempt=1,
        argv=(),
        settings=JobSettings(base=tmp_path),
        store=MemoryStore(),
        log=logging.LoggerAdapter(logging.getLogger("lading.tests"), {}),
    )


def do(tmp_path: Path, plan: Plan, run: Run | None = None, **more: Any) -> None:
    """Do all shards of a plan, without pauses."""
    given: dict[str, Any] = {"workers": 2, "first_pause_s": 0, **more}
    shards = LocalShards(settings=JobSettings(base=tmp_path), **given)
    shards(plan, range(plan.shards), run or run_of(tmp_path))


def tries(tmp_path: Path) -> dict[int, int]:
    """Return how often each shard was tried."""
    return {int(path.name[6:]): len(path.read_text()) for path in sorted(tmp_path.glob("tries-*"))}


@pytest.mark.timeout(60)
def test_ends(tmp_path: Path, started: list[Any]) -> None:
    """65 has failed for good; 75, 70, a kill and a signal are tried again; 0 is done."""
    script(tmp_path, _0=[65], _1=[75, 0], _2=[-9, 70, 0], _3=[143, 75, 75, 75, 0])
    do(tmp_path, plan_of("a", "b", "c", "d", "e"))
    assert tries(tmp_path) == {0: 1, 1: 2, 2: 3, 3: 4, 4: 1}
    assert all(process.returncode is not None for process, _, _ in started)


def test_commands(tmp_path: Path, started: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is what a pod runs, plus who began it; metrics are not theirs to write."""
    monkeypatch.setenv("LADING_METRICS", str(tmp_path / "a.prom"))
    script(tmp_path)
    plan = plan_of("a", "b")
    settings = JobSettings(base=tmp_path, config_path=tmp_path / "lading.toml")
    LocalShards(settings=settings, workers=1, style="text", environment={"EXTRA": "1"})(
        plan, [1], run_of(tmp_path)
    )
    ((_, command, environment),) = started
    assert command[1:] == [
        *("-P", "-m", "lading", "run", "hello"),
        f"--plan={plan.digest}",
        "--index=1",
        f"--parent=hello/{run_id()}",
        f"--config={tmp_path / 'lading.toml'}",
    ]
    assert (environment["LADING_LOG"], environment["EXTRA"]) == ("text", "1")
    assert "LADING_METRICS" not in environment


@pytest.mark.timeout(60)
def test_workers(tmp_path: Path, started: list[Any]) -> None:
    """No more run at one time than were asked for."""
    script(tmp_path)
    most = [0]

    class Watching(Run):
        """Counts at each look."""

        def check(self) -> None:
            alive = sum(process.returncode is None for process, _, _ in started)
            most[0] = max(most[0], alive)

    run = run_of(tmp_path)
    run.__class__ = Watching
    do(tmp_path, plan_of(*"abcdefg"), run, workers=3)
    assert most == [3]
    assert len(tries(tmp_path)) == 7


@pytest.mark.timeout(60)
def test_setting(tmp_path: Path, started: list[Any]) -> None:
    """78 of one ends all: those at work are ended, the rest is not begun."""
    script(tmp_path, _0=["hang"], _1=[78])
    with pytest.raises(MisconfiguredError, match=r"shard 1 of plan \w{12}: expected settings that"):
        do(tmp_path, plan_of("a", "b", "c"))
    assert [process.returncode for process, _, _ in started] == [-signal.SIGTERM, 78]


@pytest.mark.timeout(60)
def test_stopped(tmp_path: Path, started: list[Any]) -> None:
    """A coordinator that is asked to end ends its processes, all of them."""
    script(tmp_path, _0=["hang"], _1=["hang"])
    run = run_of(tmp_path)

    class Stopping(Run):
        """Is stopped once both are at work."""

        def check(self) -> None:
            if len(started) == 2:
                raise Interrupted(15)

    run.__class__ = Stopping
    with pytest.raises(Interrupted):
        do(tmp_path, plan_of("a", "b", "c"), run)
    assert [process.returncode for process, _, _ in started] == [-signal.SIGTERM] * 2


@pytest.mark.timeout(60)
def test_one_that_does_not_heed(
    tmp_path: Path, started: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not end when it is asked to is ended by force."""
    (tmp_path / "script").write_text(
        "import os, pathlib, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "pathlib.Path('up').touch()\ntime.sleep(30)"
    )
    monkeypatch.setattr(processes, "_END_S", 0.2)
    run = run_of(tmp_path)

    class Stopping(Run):
        """Is stopped once it is at work."""

        def check(self) -> None:
            if (tmp_path / "up").exists():
                raise Interrupted(15)

    run.__class__ = Stopping
    with pytest.raises(Interrupted):
        do(tmp_path, plan_of("a"), run)
    assert [process.returncode for process, _, _ in started] == [-signal.SIGKILL]


PAUSES: list[tuple[int, float]] = [(1, 1.0), (2, 2.0), (3, 4.0), (7, 60.0)]


@pytest.mark.parametrize(("number", "pause_s"), PAUSES)
def test_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, pause_s: float
) -> None:
    """A shard waits longer before each further try, a minute at most."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    shards = LocalShards(settings=JobSettings(base=tmp_path), workers=1, retries=9)
    shard = processes._Shard(index=0, tries=number - 1)
    ended: Callable[..., list[Any]] = shards._ended
    (again,) = ended(plan_of("a"), run_of(tmp_path), {_Ended(75): shard})
    assert again.not_before == 100 + pause_s
    waiting = deque([again])
    assert list(shards._due(waiting, 1)) == []
    now[0] += pause_s
    assert list(shards._due(waiting, 1)) == [again]


class _Ended:
    """A process that has ended."""

    def __init__(self, code: int) -> None:
        self._code = code

    def poll(self) -> int:
        """Return how."""
        return self._code


@pytest.mark.timeout(60)
def test_coordinator_is_killed(tmp_path: Path) -> None:
    """Kill -9 of a coordinator ends its processes: they see the end of a pipe."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/__init__.py").touch()
    (tmp_path / "jobs/wait.py").write_text(
        "import os, pathlib, time\n\n\ndef main(argv):\n"
        "    pathlib.Path('pid').write_text(str(os.getpid()))\n    time.sleep(60)\n\n\n"
        "JOB = (main, 'waits')\n"
    )
    (tmp_path / "lading.toml").write_text(
        '[project]\nname = "x"\n[jobs]\npackages = ["jobs"]\nstores = ["./state"]\n'
    )
    (tmp_path / "items").write_text("a\n")
    command = [sys.executable, "-m", "lading", "run", "wait", "--over", "items", "--", "{item}"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as coordinator:
        pid = int(read(tmp_path / "pid"))
        coordinator.kill()
    wait_for(lambda: not Path(f"/proc/{pid}").exists())
    trail = [path.read_text() for path in sorted((tmp_path / "state").rglob("0*.jsonl"))]
    assert sum('"ABORT"' in text for text in trail) == 1


def read(path: Path) -> str:
    """Wait for a file, and return its text."""
    wait_for(lambda: path.exists() and bool(path.read_text()))
    return path.read_text()


def wait_for(is_so: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)
