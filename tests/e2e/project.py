"""A project in a temporary folder, used as a person would: files, commands, and what they print."""

import atexit
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from tests.e2e.forked import ForkedDoit

REPOSITORY = Path(__file__).parents[2]
DOIT = Path(sys.executable).with_name("doit")
TAG = "nightly-2025-02-05"
RELEASE = ("distribute", "type=nightly", f"tag={TAG}")
PREFIXES = ("nightly", "eel-hole")
CLOUDS = ("gcs", "s3")

UNRECORDED = "[ledger]\nenabled = false\n"
"""What spares a test that is not about the ledger a fifth of a second a run."""
RECORDED = """
[project]
name = "demo"
[source]
url = "source"
[prepare.sqlite]
match = ["/*.sqlite"]
[[prepare.bundles]]
folder = "parquet"
name = "demo_parquet"
[layout]
leave_out = ["*.log"]
[layout.keys]
"/parquet/*.parquet" = "{name}"
"/parquet/datapackage.json" = "demo_parquet_datapackage.json"
[destinations.gcs]
url = "clouds/gcs"
[destinations.s3]
url = "clouds/s3"
[channels.nightly]
tag = 'nightly-\\d{4}-\\d{2}-\\d{2}'
prefixes = ["nightly", "eel-hole"]
[channels.stable]
tag = 'v\\d+\\.\\d+\\.\\d+'
prefixes = ["{tag}", "stable"]
immutable = ["{tag}"]
"""
CONFIG = f"{UNRECORDED}{RECORDED}"  # first: tests add keys to the last table
DODO = "from lading.tasks import *\n"


@cache
def forked_doit() -> "ForkedDoit":
    """Return this process's starter of runs."""
    from tests.e2e.forked import ForkedDoit  # noqa: PLC0415  it needs this module

    starter = ForkedDoit()
    atexit.register(starter.close)
    return starter


@dataclass(frozen=True)
class Project:
    """A folder with a dodo.py, a lading.toml and a build below ``source``."""

    folder: Path

    def run(
        self, *arguments: str, environment: Mapping[str, str] | None = None, timeout_s: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run the installed doit in the folder.

        It is forked from a process that has the slow libraries imported, unless an environment
        is given: some of that can only be told to a new process.
        """
        if environment is None:
            return forked_doit().run(arguments, self.folder, self.environment(None))
        return subprocess.run(
            [str(DOIT), *arguments],
            cwd=self.folder,
            env=self.environment(environment),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the installed doit in the folder, in a process group of its own."""
        return subprocess.Popen(
            [str(DOIT), *arguments],
            cwd=self.folder,
            env=self.environment(None),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def environment(self, more: Mapping[str, str] | None) -> dict[str, str]:
        """Return the environment of a CI run."""
        return {**os.environ, "CI": "1", "PYTHONDONTWRITEBYTECODE": "1", **(more or {})}

    @property
    def source(self) -> Path:
        """The build."""
        return self.folder / "source"

    @property
    def clouds(self) -> Path:
        """The folder of the destinations."""
        return self.folder / "clouds"

    @property
    def work(self) -> Path:
        """The work folder."""
        return self.folder / "build"


def make_project(folder: Path, *, parquet: int = 6, config: str = CONFIG) -> Project:
    """Make a project with a build of ``parquet`` tables, two databases and what must not ship."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "lading.toml").write_text(config)
    (folder / "dodo.py").write_text(DODO)
    make_build(folder / "source", parquet=parquet)
    return Project(folder)


def make_build(folder: Path, *, parquet: int = 6, seed: int = 0) -> None:
    """Make a build: real SQLite and parquet files, deterministic in the arguments."""
    (folder / "parquet").mkdir(parents=True)
    for name, rows in (("energy", 4000), ("weather", 1500)):
        make_database(folder / f"{name}.sqlite", rows, seed)
    resources = []
    for index in range(parquet):
        path = folder / "parquet" / f"table_{index:03d}.parquet"
        # two in three tables are the same for every seed: tonight beside last night
        shift = seed if index % 3 == 0 else 0
        values = [(index * 31 + row * 7 + shift) % 997 for row in range(200)]
        pq.write_table(pa.table({"id": range(200), "value": values}), path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        resources.append({"name": path.stem, "path": path.name, "hash": f"sha256:{digest}"})
    package = {"name": "demo", "resources": resources}
    (folder / "parquet" / "datapackage.json").write_text(json.dumps(package))
    (folder / "notes.json").write_text(json.dumps({"seed": seed}))
    (folder / "run.log").write_text("must not ship\n")
    (folder / "success").touch()


def make_database(path: Path, rows: int, seed: int = 0) -> None:
    """Make a closed SQLite database of some rows."""
    connection = sqlite3.connect(path)
    connection.execute("create table t (id integer primary key, name text, value real)")
    values = ((row, f"plant {row % 37}", (row * 13 + seed) % 101) for row in range(rows))
    connection.executemany("insert into t values (?, ?, ?)", values)
    connection.commit()
    connection.close()


def snapshot(folder: Path, *, leave_out: tuple[str, ...] = ()) -> dict[str, str]:
    """Return sha256 by relative path of every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part in path.as_posix() for part in leave_out)
    }


def times_of(folder: Path) -> dict[Path, int]:
    """Return when each file below a folder was written last, in nanoseconds."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def public_snapshot(project: Project) -> dict[str, str]:
    """Return sha256 by path of all that the destinations hold, but for times in the history."""
    return snapshot(project.clouds, leave_out=("/.lading/history/",))


def history_of(project: Project) -> dict[str, list[str]]:
    """Return by prefix the tags of its history, oldest first."""
    found: dict[str, list[str]] = {}
    for path in sorted(project.clouds.rglob(".lading/history/*/*.json")):
        name = path.parent.relative_to(project.clouds).as_posix()
        found.setdefault(name, []).append(json.loads(path.read_text())["tag"])
    return found


def end_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Send a signal to the process group that ``Project.start`` made, and wait."""
    if process.poll() is None:
        os.killpg(process.pid, number)
    process.communicate(timeout=60)


def lines_with(text: str, *words: str) -> Iterator[str]:
    """Yield the lines that hold all the words."""
    return (line for line in text.splitlines() if all(word in line for word in words))
