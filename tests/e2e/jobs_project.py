"""A project of jobs in a temporary folder, used as a person would: files, commands, what they say.

Its jobs are of this module's own text: one given as a tuple, one with a specification that works
through items, of which one is bad.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lading.jobs.audit import AuditStream, list_streams
from lading.jobs.audit_verify import verify_audit
from lading.jobs.dead_letters import DeadLetters
from lading.jobs.letters import DeadLetter
from lading.jobs.markers import Marker, load_markers
from lading.storage import LocalStore
from tests.e2e.project import DODO, forked_doit, snapshot

LADING = Path(sys.executable).with_name("lading")
CONFIG = """
[project]
name = "demo"
[jobs]
packages = ["work.jobs"]
stores = ["{store}"]
lease_seconds = 30
"""
HELLO = '''
"""Ends as its name says; each try leaves a line."""
import os, signal, sys, time
from pathlib import Path


def main(argv):
    name = argv[0]
    path = Path("tried") / name
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        file.write(f"{os.getpid()}\\n")
    tries = len(path.read_text().splitlines())
    if Path("good").exists():
        return 0
    if name == "crash":
        raise RuntimeError("boom")
    if name == "killed" and tries == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if name.startswith("hang"):
        while not Path("go").exists():
            time.sleep(0.01)
    return {"bad": 65, "later": 75, "wrong": 78}.get(name, 0)


JOB = (main, "says hello to somebody")
'''
COPY = '''
"""Copies a folder in capitals."""
from pathlib import Path

from pydantic import Field

from lading.jobs import Arguments, BadDataError, Batch, JobSpec, ObjectRef, Threshold
from lading.storage import Body
from work import cut


class CopyArguments(Arguments):
    """What and where to."""

    source: str = Field(description="Folder to read.")
    target: str = Field(description="Folder to write.")


def copy(arguments, run):
    cut.begin()
    source, target = run.open_store(arguments.source), run.open_store(arguments.target)

    def one(entry):
        text = source.get(entry.key)
        if b"bad" in text:
            raise BadDataError(f"{entry.key}: expected good text")
        run.put(target, f"capitals/{entry.key}", Body.of_bytes(text.upper()))

    batch = Batch(work=one, name=lambda entry: entry.key, concurrency=1,
                  threshold=Threshold(tolerated=1))
    return run.batch(source.list(), batch).exit_code


def inputs(arguments, open_store):
    store = open_store(arguments.source)
    return [ObjectRef.of_entry(store.url, entry, store.digest(entry.key)) for entry in store.list()]


JOB = JobSpec(entrypoint=copy, description="copies a folder in capitals", arguments=CopyArguments,
              identity=("source", "target"), inputs=inputs, store="target", by_item=True)
'''
CUT = '''
"""Kills this process at one of its writes, where a variable says at which: ``3 before``."""
import os, signal

from lading.storage.local import LocalStore

_real = LocalStore._publish
_seen = 0


def _publish(store, key, *more):
    global _seen
    _seen += 1
    at, _, when = os.environ.get("CUT_AT", "0 never").partition(" ")
    if _seen == int(at) and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    entry = _real(store, key, *more)
    if _seen == int(at):
        os.kill(os.getpid(), signal.SIGKILL)
    return entry


def begin():
    """Do nothing: importing is enough."""


if "CUT_AT" in os.environ:
    LocalStore._publish = _publish
'''
SLOW = '''
"""Takes its time."""
import os, time
from pathlib import Path

from lading.jobs import Arguments, JobSpec


class SlowArguments(Arguments):
    """How."""

    until: str = "go"


def slow(arguments, run):
    Path(f"up-{os.getpid()}").touch()
    while not Path(arguments.until).exists():
        time.sleep(0.01)
        run.check()
    with Path("worked").open("a") as file:
        file.write("x")


JOB = JobSpec(entrypoint=slow, description="takes its time", arguments=SlowArguments, identity=())
LIMITED = JobSpec(entrypoint=slow, description="x", arguments=SlowArguments, timeout_s=0.3)
'''
MODULES = {
    "__init__.py": "",
    "cut.py": CUT,
    "jobs/__init__.py": "",
    "jobs/hello.py": HELLO,
    "jobs/copy.py": COPY,
    "jobs/slow.py": SLOW,
    "jobs/limited.py": "from work.jobs.slow import LIMITED as JOB\n",
}


@dataclass(frozen=True)
class JobsProject:
    """A folder with a dodo.py, a lading.toml and a package of jobs."""

    folder: Path

    def lading(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the command; forked from a process that has the slow libraries imported."""
        return forked_doit().run(arguments, self.folder, self._environment(variables), "lading")

    def doit(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run doit, likewise."""
        return forked_doit().run(arguments, self.folder, self._environment(variables))

    def start(
        self, *arguments: str, program: Path = LADING, **variables: str
    ) -> subprocess.Popen[str]:
        """Start the installed command in a process group of its own."""
        return subprocess.Popen(
            [str(program), *arguments],
            cwd=self.folder,
            env=self._environment(variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        ours = {"CI": "1", "COLUMNS": "80", "PYTHONDONTWRITEBYTECODE": "1"}
        gone = {"LADING_LOG", "LADING_CONFIG", "LADING_METRICS", "LADING_PARENT_PIPE"}
        return {**{k: v for k, v in os.environ.items() if k not in gone}, **ours, **more}

    # what stands

    @property
    def store(self) -> LocalStore:
        """The first place that remembers."""
        return LocalStore(self.folder / "state")

    def tried(self) -> dict[str, int]:
        """Return how often each name was tried."""
        return {
            path.name: len(path.read_text().splitlines())
            for path in sorted((self.folder / "tried").glob("*"))
        }

    def kinds(self, stream: str = "hello", store: str = "state") -> list[str]:
        """Return what happened in a stream, oldest first."""
        events = AuditStream(LocalStore(self.folder / store), stream).events()
        return [each["eventType"] for each in events]

    def end_of(self, stream: str = "hello") -> dict[str, Any]:
        """Return how the last run of a stream ended."""
        last = list(AuditStream(self.store, stream).events())[-1]
        found: dict[str, Any] = last["run"]["facets"]["lading"]["outcome"]
        return found

    def streams(self) -> list[str]:
        """Return the names of all streams."""
        return list_streams(self.store)

    def markers(self, store: str = "state") -> list[Marker]:
        """Return all markers."""
        return load_markers(LocalStore(self.folder / store))

    def letters(self, job: str = "hello", store: str = "state") -> list[DeadLetter]:
        """Return the dead letters of a job."""
        return list(DeadLetters(LocalStore(self.folder / store), job).letters())

    def require_whole(self, store: str = "state") -> None:
        """Require that the audit trail verifies."""
        assert verify_audit(LocalStore(self.folder / store)).faults == ()

    def data(self, store: str) -> dict[str, str]:
        """Return digests of what a store holds beside what Lading keeps there."""
        return snapshot(self.folder / store, leave_out=(".lading/",))


def make_jobs_project(folder: Path, *, store: str = "./state", more: str = "") -> JobsProject:
    """Make a project."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "lading.toml").write_text(CONFIG.format(store=store) + more)
    (folder / "dodo.py").write_text(DODO)
    for name, text in MODULES.items():
        path = folder / "work" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip("\n"))
    for name, text in {"a": "one", "b": "bad", "c/d": "three"}.items():
        path = folder / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return JobsProject(folder)


def lines_of(text: str) -> list[dict[str, Any]]:
    """Read JSON lines."""
    return [json.loads(line) for line in text.splitlines()]


def wait_for(is_so: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait until something is so.

    Raises:
        AssertionError: it is not in time.
    """
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def kill(process: subprocess.Popen[str]) -> str:
    """Kill a process, and it alone; return what it had said."""
    os.kill(process.pid, signal.SIGKILL)
    said, _ = process.communicate(timeout=60)
    return said
