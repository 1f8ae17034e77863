"""Tests of the lock that keeps two runs out of one work folder."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lading.errors import RefusedError
from lading.tasks.runlock import RunLock

HOLD = """
import sys
from pathlib import Path
from lading.tasks.runlock import RunLock
lock = RunLock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the lock is kept; its folder does not stand yet."""
    return tmp_path / "work/run.lock"


def test_free_lock_is_taken(path: Path) -> None:
    """The lock is taken in a folder that is made for it, and names this process."""
    lock = RunLock(path)
    lock.acquire()
    assert f"{os.getpid()}\n" == path.read_text(encoding="utf-8")
    lock.release()


def test_second_run_is_refused(path: Path) -> None:
    """While one run holds it another is refused, told the process and the folder."""
    lock = RunLock(path)
    lock.acquire()
    with pytest.raises(RefusedError) as caught:
        RunLock(path).acquire()
    expected = f"{path.parent}: expected no other run, found process {os.getpid()} at work"
    assert f"{expected}; wait until it has ended" == str(caught.value)
    lock.release()


def test_released_lock_is_free(path: Path) -> None:
    """A lock that is given back can be taken, again and again; giving back twice is no error."""
    for _ in range(3):
        lock = RunLock(path)
        lock.acquire()
        lock.release()
        lock.release()


def test_refused_run_leaves_the_owner(path: Path) -> None:
    """A refused run changes nothing of the lock: the next one is refused as well."""
    lock = RunLock(path)
    lock.acquire()
    for _ in range(2):
        with pytest.raises(RefusedError, match=f"process {os.getpid()} at work"):
            RunLock(path).acquire()
    lock.release()


def test_killed_run_gives_it_back(path: Path) -> None:
    """While another process runs it is refused; once that is killed the lock is free."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RefusedError, match=f"process {holder.pid} at work"):
            RunLock(path).acquire()
        holder.send_signal(signal.SIGKILL)
        holder.wait(timeout=30)
    lock = RunLock(path)
    lock.acquire()
    assert f"{os.getpid()}\n" == path.read_text(encoding="utf-8")
    lock.release()


def test_child_does_not_keep_it(path: Path) -> None:
    """A command that was started while the lock was held does not hold it when the run is gone."""
    lock = RunLock(path)
    lock.acquire()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        lock.release()
        again = RunLock(path)
        again.acquire()
        again.release()
        child.communicate(b"\n", timeout=30)


def test_owner_that_is_not_told(path: Path) -> None:
    """A lock whose file tells no process is refused all the same."""
    lock = RunLock(path)
    lock.acquire()
    path.write_text("", encoding="utf-8")
    with pytest.raises(RefusedError, match="found process unknown at work"):
        RunLock(path).acquire()
    lock.release()


@pytest.mark.parametrize("in_the_way", ["work", "work/run.lock"])
def test_folder_that_cannot_hold_it(tmp_path: Path, path: Path, in_the_way: str) -> None:
    """A file where the work folder should be, or a folder where the lock should be, is told."""
    if in_the_way == "work":
        (tmp_path / in_the_way).write_bytes(b"in the way")
    else:
        (tmp_path / in_the_way).mkdir(parents=True)
    with pytest.raises(RefusedError, match=f"{path.parent}: expected a folder to work in, got"):
        RunLock(path).acquire()
