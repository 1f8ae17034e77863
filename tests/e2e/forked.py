"""The installed doit, or lading, started from a process in which slow libraries stand imported.

    python -m tests.e2e.forked

A run of doit is a fork of this process, so it pays for what it does and not for two seconds of
imports. Nothing of Lading that looks at the command line or the configuration is imported here.
"""

import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from tests.e2e.project import REPOSITORY

OPENED = "OPENED_FILES_LOG"
"""Variable that names a file: the run writes there which files it opens."""
HURRIED = "HURRIED_CLOCK"
"""Variable that says by how much a run's waiting is shortened, e.g. ``50``; its clock agrees."""
KILLED = "KILLED_AT_WRITE"
"""Variable that says at which of its renames, links and deletions a run is killed, from 1 on."""
_POLL_S = 0.25  # what is shorter looks after a child, which is not hurried


class ForkedDoit:
    """Starts runs of doit, one at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.forked"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self,
        arguments: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        program: Literal["doit", "lading"] = "doit",
    ) -> subprocess.CompletedProcess[str]:
        """Run doit, or the command ``lading``, in a folder, with all of its environment."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {
            "arguments": arguments,
            "folder": str(folder),
            "environment": dict(environment),
            "program": program,
        }
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        done = json.loads(self._process.stdout.readline())
        return subprocess.CompletedProcess(
            arguments, done["code"], stdout=done["stdout"], stderr=done["stderr"]
        )

    def close(self) -> None:
        """End the process; a run that is under way is waited for."""
        self._process.communicate(timeout=120)


def _run(order: Mapping[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            _become_doit(order)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said = {}
        for name, file in (("stdout", out), ("stderr", err)):
            file.seek(0)
            said[name] = file.read().decode()
    return {"code": code, **said}


def _become_doit(order: Mapping[str, Any]) -> None:
    code: Any = 70
    try:
        os.environ.clear()
        os.environ.update(order["environment"])
        os.chdir(order["folder"])
        sys.argv = [order["program"], *order["arguments"]]
        sys.path.remove(str(REPOSITORY))
        if log := os.environ.get(OPENED):
            _note_opened(Path(log))
        if number := os.environ.get(KILLED):
            _kill_at(int(number))
        if factor := os.environ.get(HURRIED):
            _hurry(float(factor))

        if order["program"] == "lading":
            from lading.cli import main as lading  # noqa: PLC0415  of this run alone

            code = lading()
        else:
            from doit.__main__ import main as doit  # noqa: PLC0415  likewise

            code = doit()
    except SystemExit as error:
        code = error.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def _note_opened(log: Path) -> None:
    """Write the name of each file that is opened from now on into a log."""
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str):
            os.write(out, f"{Path(arguments[0]).absolute()}\n".encode())

    sys.addaudithook(hook)


def _kill_at(number: int) -> None:
    """Kill this process before it gives a file its name, or takes one away, for the nth time."""
    turns = itertools.count(1)

    def hook(event: str, _: tuple[Any, ...]) -> None:
        if event in {"os.rename", "os.link", "os.remove"} and next(turns) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def _hurry(factor: float) -> None:
    """Let who sleeps wake early, and find that all of the time has passed."""
    sleep, clocks, ahead = time.sleep, (time.time, time.monotonic), [0.0]

    def nap(seconds: float) -> None:
        hurried = seconds if seconds < _POLL_S else seconds / factor
        sleep(hurried)
        ahead[0] += seconds - hurried

    time.sleep = nap  # type: ignore[assignment]  # nobody here sleeps by a SupportsIndex
    time.time = lambda: clocks[0]() + ahead[0]
    time.monotonic = lambda: clocks[1]() + ahead[0]


def main() -> None:
    """Run what each line of standard input asks for, until it ends.

    None of our services is imported here: they keep the clock that they find at their import.
    """
    import doit.doit_cmd  # noqa: F401, PLC0415
    import httpx  # noqa: F401, PLC0415
    import pyarrow.parquet  # noqa: F401, PLC0415
    import rich.table  # noqa: F401, PLC0415
    import slack_sdk.web  # noqa: F401, PLC0415
    import sqlalchemy  # noqa: F401, PLC0415
    import yaml  # noqa: F401, PLC0415

    import lading.config.load  # noqa: PLC0415
    import lading.jobs.registry  # noqa: PLC0415
    import lading.jobs.running  # noqa: PLC0415
    import lading.ledger.read  # noqa: PLC0415
    import lading.ledger.record  # noqa: PLC0415
    import lading.storage.gcs  # noqa: PLC0415
    import lading.storage.s3  # noqa: F401, PLC0415

    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        answers.write(json.dumps(_run(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
