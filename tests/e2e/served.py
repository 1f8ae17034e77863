"""A server as a person starts it: `lading serve` over small projects, its workers, their kills."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from lading.ledger.ledger import open_ledger
from lading.ledger.tokens import Role, add_token
from lading.storage.owner import is_gone
from lading.web.slots import find_holder

LADING = Path(sys.executable).with_name("lading")
LIMIT_S = 60.0
ENVIRONMENTS = ("staging", "production")

CONFIG = """
[project]
name = "{name}"
[source]
url = "versions/{{tag}}"
[destinations.cloud]
url = "cloud"
[channels.staging]
tag = '\\d+'
root = "staging"
prefixes = ["maps"]
[channels.production]
tag = '\\d+'
root = "production"
prefixes = ["maps"]
[[publish.build]]
name = "tiles"
of = ["/overlays/*.geojson"]
makes = "tiles/{{stem}}.pmtiles"
command = ['{python}', "-S", "tile.py", "{{input}}", "{{output}}"]
[web]
projects = {projects}
"""
DODO = "from lading.tasks import *\n"
TILE = """
import sys, time
from pathlib import Path

source, target = map(Path, sys.argv[1:])
Path("building").touch()
until = time.monotonic() + 30
while Path("gate").exists() and time.monotonic() < until:
    time.sleep(0.02)
target.write_bytes(b"tiles of " + source.read_bytes())
"""


def make_maps(
    folder: Path, *, name: str = "maps", projects: Sequence[str] = (".",), versions: int = 3
) -> Path:
    """Make a project of maps with versions 1, 2, ...; its build waits while `gate` stands."""
    folder.mkdir(parents=True, exist_ok=True)
    config = CONFIG.format(name=name, projects=json.dumps(list(projects)), python=sys.executable)
    (folder / "lading.toml").write_text(config)
    (folder / "dodo.py").write_text(DODO)
    (folder / "tile.py").write_text(TILE)
    for version in range(1, versions + 1):
        overlays = folder / "versions" / str(version) / "overlays"
        overlays.mkdir(parents=True)
        shape = {"type": "FeatureCollection", "features": [], "version": version}
        (overlays / "coast.geojson").write_text(json.dumps(shape))
        (overlays.parent / "success").touch()
    return folder


def wait_until(holds: Callable[[], Any], what: str = "", limit_s: float = LIMIT_S) -> Any:
    """Wait until something is seen; return it."""
    until = time.monotonic() + limit_s
    while not (found := holds()):
        assert time.monotonic() < until, what or holds
        time.sleep(0.02)
    return found


@dataclass
class Server:
    """`lading serve` in a folder."""

    folder: Path
    """The folder that is served."""
    token: str = ""
    """A token of an admin."""
    process: "subprocess.Popen[str] | None" = None
    """The server that is at work."""
    url: str = ""
    """Where it is."""
    lines: list[str] = field(default_factory=list)
    """What it said when it began."""

    def start(self, *arguments: str) -> None:
        """Start it, and wait until it says where it is."""
        if not self.token:
            self.token = self.make_token("ci")
        self.process = subprocess.Popen(
            [str(LADING), "serve", "--port", "0", *arguments],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stderr is not None
        self.lines = []
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))
            if line.startswith("http://"):
                self.url = line.split()[0]
                return
        raise AssertionError(self.lines)

    def make_token(self, name: str, role: Role = "admin") -> str:
        """Make a token, as `lading token add` does."""
        ledger = open_ledger(f"sqlite:///{self.folder / 'build' / 'ledger.db'}")
        try:
            return add_token(ledger, name, role, datetime.now(UTC))
        finally:
            ledger.close()

    def end(self, number: int = signal.SIGTERM) -> int:
        """End the server, not its workers; return its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(30)
        assert self.process.stderr is not None
        self.lines += self.process.stderr.read().splitlines()
        self.process.stderr.close()
        self.process = None
        return code

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Call the API."""
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        return httpx.request(method, self.url + path, headers=headers, timeout=30, **more)

    def publish(
        self, version: int, environment: str = "staging", *, key: str = "", project: str = "maps"
    ) -> str:
        """Ask for a publish; return the job's name."""
        answer = self.call(
            "POST",
            f"/projects/{project}/versions/{version}/publish",
            json={"target_environment": environment},
            headers={"Idempotency-Key": key} if key else {},
        )
        assert answer.status_code == 202, answer.text
        return str(answer.json()["job_id"])

    def begin(self, version: int) -> str:
        """Ask for a version, and wait until its build is at work, held by its gate."""
        building = self.folder / "building"
        building.unlink(missing_ok=True)
        (self.folder / "gate").touch()
        job_id = self.publish(version)
        wait_until(building.exists)
        return job_id

    def open_gate(self) -> None:
        """Let the build go on."""
        (self.folder / "gate").unlink()

    def job(self, job_id: str) -> dict[str, Any]:
        """Ask how a job goes."""
        answer = self.call("GET", f"/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def wait_for(self, job_id: str, *states: str) -> dict[str, Any]:
        """Wait until a job is in one of these states; else until it has ended."""
        wanted = states or ("completed", "failed", "cancelled")
        until = time.monotonic() + LIMIT_S
        while (job := self.job(job_id))["status"] not in wanted:
            assert time.monotonic() < until, job
            time.sleep(0.05)
        return job

    @property
    def workers_folder(self) -> Path:
        """Folder of the workers."""
        return self.folder / "build" / "workers"

    def workers(self) -> list[str]:
        """Name the workers that are at work."""
        slots = sorted(self.workers_folder.glob("[0-9]*.lock"))
        return [holder for holder in map(find_holder, slots) if holder not in {"", "unknown"}]

    def children(self) -> list[str]:
        """Name the children that are at work."""
        found = [each.read_text() for each in self.workers_folder.glob("jobs/*.process")]
        return [each for each in found if each and not is_gone(each)]

    def end_all(self) -> None:
        """End all that was begun, and nothing else."""
        (self.folder / "gate").unlink(missing_ok=True)
        if self.process is not None:
            self.end(signal.SIGKILL)
        for each in (*self.workers(), *self.children()):
            end_process(each)
        wait_until(lambda: not self.workers())
        for each in self.children():
            end_process(each)


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[Server]:
    """Serve a folder while the block runs."""
    server = Server(folder)
    try:
        server.start(*arguments)
        yield server
    finally:
        server.end_all()


def end_process(process: str, number: int = signal.SIGKILL) -> None:
    """Send a signal to a process that has a name of `storage.owner`."""
    if not is_gone(process):
        with suppress(ProcessLookupError):
            os.kill(int(process.split("/")[1]), number)


def history_of(folder: Path) -> dict[str, list[str]]:
    """Return by environment the versions that stood published, oldest first, each switch once."""
    found: dict[str, list[str]] = {each: [] for each in ENVIRONMENTS}
    for environment, versions in found.items():
        entries = (folder / "cloud" / environment).glob(".lading/history/maps/*.json")
        versions += [json.loads(each.read_text())["tag"] for each in sorted(entries)]
    return found


def published(folder: Path, environment: str) -> str:
    """Return the version that stands published."""
    path = folder / "cloud" / environment / "maps" / "release.json"
    return str(json.loads(path.read_text())["version"])
