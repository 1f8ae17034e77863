"""Who holds a lock or a lease, and whether it is known to be gone."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lading.storage.owner import is_gone, is_here, name_owner, name_process

_REPOSITORY = Path(__file__).parents[3]


def test_names() -> None:
    """People read number and host; this process is not gone, whoever asks twice."""
    assert name_owner() == f"process {os.getpid()} on {socket.gethostname()}"
    assert name_process() == name_process()
    assert not is_gone(name_process())


def test_ended() -> None:
    """A process that has ended is gone; one that is at work is not."""
    code = (
        "from lading.storage.owner import name_process\nprint(name_process(), flush=True)\ninput()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=_REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        named = child.stdout.readline().strip()
        assert not is_gone(named)
        child.communicate("\n", timeout=20)
    assert is_gone(named)


def test_ended_and_not_waited_for() -> None:
    """A process that has ended is gone before anybody asked what it ended with."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        named = name_process(child.pid)
        assert is_here(named)
        assert not is_gone(named)
        assert child.stdin is not None
        child.stdin.close()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays
        assert is_gone(named)
        child.wait()
    assert is_gone(named)
    assert is_here(named)
    assert is_gone(name_process(child.pid))  # whoever names it only now


def test_a_later_process_of_its_number() -> None:
    """A number that is used again is another process: it began at another time."""
    world, pid, started = name_process().split("/")
    assert is_gone(f"{world}/{pid}/{int(started) - 1}")


@pytest.mark.parametrize("named", ["", "x", "/", "//", "elsewhere/1/2", "a/b/c/d"])
def test_elsewhere(named: str) -> None:
    """Of another machine, another container, or nonsense, nothing is known."""
    assert not is_gone(named)
    assert not is_here(named)


@pytest.mark.parametrize("pid", ["x", "-1", "\u0661", ""])
def test_no_number(pid: str) -> None:
    """A name of this machine without a number of a process tells nothing."""
    world = name_process().split("/")[0]
    assert not is_gone(f"{world}/{pid}/0")


def test_another_host_with_the_same_boot(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cloned machine has the same boot and the same numbers: its name tells it apart."""
    named = name_process()
    monkeypatch.setattr(socket, "gethostname", lambda: "clone")
    assert not is_gone(f"{named}0")


def test_no_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system does not tell, nobody is ever known to be gone: leases run out."""

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", refuse)
    assert name_process().startswith("/")
    assert not is_gone(name_process())
    assert not is_gone(f"/{os.getpid()}/1")
