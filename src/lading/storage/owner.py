"""Who holds a lock or a lease: a process, named so that its end can be seen from its machine."""

import os
import socket
from pathlib import Path

_ENDED = frozenset("ZXx")
_GONE = "gone"


def name_owner() -> str:
    """Name this process for people: its number and its host."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def name_process(pid: int | None = None) -> str:
    """Name a process so that no later one has the same name: world, number, start.

    Args:
        pid: its number on this machine; None: this process.
    """
    return _identity_of(os.getpid() if pid is None else pid)


def is_here(process: str) -> bool:
    """Say whether a process, at work or gone, is one that this machine would see.

    Args:
        process: as ``name_process`` named it, anywhere.
    """
    world, _, rest = process.partition("/")
    pid, _, _ = rest.partition("/")
    return bool(world) and world == _process_world() and pid.isascii() and pid.isdigit()


def is_gone(process: str) -> bool:
    """Say whether a process is known to be gone: one that this machine would see.

    Args:
        process: as ``name_process`` named it, anywhere.
    """
    if not is_here(process):
        return False
    _, pid, started = f"{process}/".split("/", 2)
    return started.rstrip("/") == _GONE or _identity_of(int(pid)) != process


def _identity_of(pid: int) -> str:
    try:
        # proc(5): field 22 is the start time; the name before it may hold anything
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        # proc(5): of a process that has ended, and was not waited for, the entry stays
        started = _GONE if fields[0] in _ENDED else fields[19]
    except (OSError, IndexError):
        started = _GONE
    return f"{_process_world()}/{pid}/{started}"


def _process_world() -> str:
    """Name the set of processes that can be seen from here: this boot, this container.

    The host is part of it, for a machine that was cloned while it ran has the same boot.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot}.{Path('/proc/self/ns/pid').readlink()}.{socket.gethostname()}"
    except OSError:
        return ""
