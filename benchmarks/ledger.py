"""What the ledger answers when it is large, and what it costs a release.

    python benchmarks/ledger.py --runs 1000 --steps 100 --log-lines 10000000
    python benchmarks/ledger.py --runs 0 --megabytes 2000 --rounds 5

Two parts. The first fills an SQLite ledger (about 250 bytes on the disk for a log line), asks what
the pages and the command line ask, and prints the median of each question in milliseconds; the
first answer of a new process, with its connection, stands apart. Every answer is compared with
what was written.

The second part (``--megabytes``) releases the same generated build to a folder, without a ledger
and with one, in turn, each in a process of its own with nothing left of the last; it prints both
medians of wall time and of processor time, and the median of the ratios within the rounds.
"""

import argparse
import os
import platform
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Table, insert, text

from lading.ledger import read, tables
from lading.ledger.ledger import Ledger, open_ledger
from lading.ledger.views import VIEWS

FIRST = datetime(2022, 1, 1, 2, 0, tzinfo=UTC)
CHANNELS = (("nightly", "production"), ("nightly", "staging"), ("stable", "production"))
FILES, TABLES, TARGETS, EVENTS = 20, 5, 8, 3
ROUNDS = 30
CONFIG = """
work = "work"
[project]
name = "bench"
[source]
url = "../build"
[ledger]
enabled = {enabled}
[destinations.one]
url = "clouds/one"
[destinations.two]
url = "clouds/two"
[channels.nightly]
tag = 'v\\d+'
prefixes = ["nightly", "latest"]
"""
FIRST_ANSWER = """
import sys, time
began = time.perf_counter()
from lading.ledger import read
from lading.ledger.ledger import open_ledger
imported = time.perf_counter()
ledger = open_ledger(sys.argv[1], is_for_writing=False)
read.list_runs(ledger), read.standing_releases(ledger)
overview = time.perf_counter()
read.load_run(ledger, sys.argv[2])
done = time.perf_counter()
print(*(1000 * each for each in (imported - began, overview - imported, done - overview)))
"""


def main() -> None:
    """Run the parts that were asked for."""
    asked = _parse()
    print(
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version},"
        f" {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}"
    )
    folder = Path(tempfile.mkdtemp(prefix="lading-bench-", dir=asked.folder))
    try:
        if asked.runs:
            measure_answers(folder, asked.runs, asked.steps, asked.log_lines)
        if asked.megabytes:
            measure_cost(folder, asked.megabytes, asked.rounds)
    finally:
        shutil.rmtree(folder)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--steps", type=int, default=100, help="of each run")
    parser.add_argument("--log-lines", type=int, default=100_000, help="of all runs")
    parser.add_argument("--megabytes", type=int, default=0, help="of the build that is released")
    parser.add_argument("--rounds", type=int, default=5, help="of releases without and with it")
    parser.add_argument("--folder", help="where to work; default: the folder for temporary files")
    return parser.parse_args()


def measure_answers(folder: Path, runs: int, steps: int, log_lines: int) -> None:
    """Fill a ledger and time what is asked of it."""
    path = folder / "ledger.db"
    ledger = open_ledger(f"sqlite:///{path}")
    began = time.perf_counter()
    Filling(ledger, runs, steps, log_lines // runs).write()
    print(
        f"{runs:,} runs, {runs * steps:,} steps, {log_lines // runs * runs:,} log lines:"
        f" {_file_bytes(path) / 1e6:,.0f} MB, filled in {time.perf_counter() - began:.0f} s"
    )
    _print_first(path, _name(runs - 1))
    for what, ask in Questions(ledger, runs, steps, log_lines // runs).all():
        times = [_time(ask) for _ in range(ROUNDS)]
        print(f"{what:<44} {statistics.median(times):9.1f} ms  (most {max(times):.1f})")
    ledger.close()
    path.unlink()


def _file_bytes(path: Path) -> int:
    return sum(each.stat().st_size for each in path.parent.glob(f"{path.name}*"))


def _print_first(path: Path, run_id: str) -> None:
    command = [sys.executable, "-c", FIRST_ANSWER, f"sqlite:///{path}", run_id]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    imported, overview, run = map(float, said.split())
    print(
        f"a new process: import {imported:.0f} ms, open and overview {overview:.1f} ms,"
        f" a run {run:.1f} ms"
    )


def _time(ask: Callable[[], object]) -> float:
    began = time.perf_counter()
    ask()
    return 1000 * (time.perf_counter() - began)


class Questions:
    """What pages and commands ask; each answer is checked against what was written.

    Args:
        ledger: a filled one.
        runs: how many it has.
        steps: of each run.
        lines: of the log of each run.
    """

    def __init__(self, ledger: Ledger, runs: int, steps: int, lines: int) -> None:
        self._ledger, self._runs, self._steps, self._lines = ledger, runs, steps, lines
        self._some = random.Random(1)  # the same runs each time

    def all(self) -> Iterator[tuple[str, Callable[[], object]]]:
        """Yield what is asked, by what it is for."""
        newest = _name(self._runs - 1)
        yield "overview: newest runs, what stands", self._overview
        yield "a run: steps, targets, receipts", self._one_run
        yield "page of a run: files, log, history too", self._page_of_a_run
        yield "log tail: last 100 lines", self._log_tail
        yield "log of one step, warnings", self._log_of_a_step
        yield "follow: nothing new", self._follow
        yield "history: 30 releases, their files", self._history
        yield "runs of a state, from the middle on", self._deep_page
        yield "a run by its name's beginning", lambda: read.find_run(self._ledger, newest[:-1])
        for view in VIEWS:
            yield f"view {view.name}, 100 rows", lambda name=view.name: _ask(self._ledger, name)

    def _name(self) -> str:
        return _name(self._some.randrange(self._runs))

    def _overview(self) -> None:
        page, standing = read.list_runs(self._ledger), read.standing_releases(self._ledger)
        assert page.total == self._runs
        assert len(page.runs) == min(50, self._runs)
        assert len(standing) == min(len(CHANNELS), self._runs)

    def _one_run(self) -> None:
        run = read.load_run(self._ledger, self._name())
        assert run is not None
        assert (len(run.steps), len(run.targets)) == (self._steps, TARGETS)

    def _page_of_a_run(self) -> None:
        run = read.load_run(self._ledger, self._name())
        assert run is not None
        assert len(read.load_artifacts(self._ledger, run.manifest_sha256)) == FILES
        read.load_release(self._ledger, run.manifest_sha256, run.environment)
        read.load_logs(self._ledger, run.run_id, task="step:1", last=True, limit=50)
        read.load_history(self._ledger, run.project, run.channel, run.environment)

    def _log_tail(self) -> None:
        found = read.load_logs(self._ledger, self._name(), last=True, limit=100)
        assert len(found) == min(100, self._lines)

    def _log_of_a_step(self) -> None:
        name = self._name()
        found = read.load_logs(self._ledger, name, task="step:1", level=30, last=True, limit=100)
        assert all(each.level >= 30 for each in found)

    def _follow(self) -> None:
        name = self._name()
        last = read.load_logs(self._ledger, name, last=True, limit=1)[-1]
        assert not read.load_logs(self._ledger, name, after=last.number)

    def _history(self) -> None:
        found = read.load_history(self._ledger, "bench", *CHANNELS[0])
        assert found
        assert all(len(files) == FILES for _, files in found)

    def _deep_page(self) -> None:
        wanted = read.RunFilter(project="bench", state="completed")
        read.list_runs(self._ledger, wanted, offset=self._runs // 2)


def _ask(ledger: Ledger, view: str) -> None:
    with ledger.reading() as connection:
        connection.execute(text(f"SELECT * FROM {view} LIMIT 100")).all()


def _name(number: int) -> str:
    return f"{FIRST + timedelta(hours=number):%Y%m%dT%H%M%S}-{number:010x}"


class Filling:
    """Fills a ledger: every run walks the road, one in ten fails.

    Args:
        ledger: an empty one.
        runs: how many.
        steps: of each.
        lines: of the log of each.
    """

    def __init__(self, ledger: Ledger, runs: int, steps: int, lines: int) -> None:
        self._ledger, self._runs, self._steps, self._lines = ledger, runs, steps, lines

    def write(self) -> None:
        """Write it, run by run, as runs do: the rows of many lie between each other."""
        with self._ledger.writing() as connection:
            project = {"id": 1, "slug": "bench", "title": "Benchmark", "created_at": FIRST}
            connection.execute(insert(tables.projects), [project])
        for number in range(self._runs):
            with self._ledger.writing() as connection:
                for table, rows in self._rows(number):
                    connection.execute(insert(table), [*rows])

    def _rows(self, number: int) -> Iterator[tuple[Table, Iterable[dict[str, Any]]]]:
        channel, environment = CHANNELS[number % len(CHANNELS)]
        named = {"channel": channel, "environment": environment, "tag": f"v{number}"}
        at, run_id, sha256 = FIRST + timedelta(hours=number), _name(number), f"{number:064x}"
        end = at + timedelta(minutes=50)
        state = "failed" if number % 10 == 9 else "completed"
        run = {"id": run_id, "kind": "distribute", "is_release": True, "state": state}
        run |= {"project_id": 1, "created_at": at, "started_at": at, "ended_at": end}
        run |= {"heartbeat_at": end, "manifest_sha256": sha256, "percent": 100.0}
        yield tables.runs, [{**run, **named}]
        of_run = {"run_id": run_id}
        yield tables.steps, ({**of_run, **self._step(at, each)} for each in range(self._steps))
        yield tables.targets, ({**of_run, **_target(each)} for each in range(TARGETS))
        yield tables.receipts, ({**of_run, **_receipt(at, each)} for each in range(TARGETS))
        events = range(EVENTS * self._steps)
        yield tables.events, ({**of_run, **_event(at, each)} for each in events)
        manifest = {"sha256": sha256, "channel": channel, "tag": f"v{number}"}
        yield tables.manifests, [{**manifest, "project_id": 1, "files": FILES}]
        yield tables.artifacts, (_artifact(sha256, number, each) for each in range(FILES))
        if state == "completed" or number < len(CHANNELS):
            release = {"project_id": 1, "manifest_sha256": sha256, "run_id": run_id}
            release |= {"published_at": end, "stands_since": end}
            yield tables.releases, [{**release, **named}]
        lines = (self._line(run_id, at, each) for each in range(self._lines))
        yield tables.logs, lines

    def _step(self, at: datetime, position: int) -> dict[str, Any]:
        began = at + timedelta(seconds=position)
        return {
            "position": position,
            "task": f"step:{position}",
            "state": "done",
            "detail": "3 objects sent, 20.0 MB",
            "started_at": began,
            "ended_at": began + timedelta(seconds=0.5),
            "percent": 100.0,
            "done_bytes": 20_000_000,
            "size_bytes": 20_000_000,
        }

    def _line(self, run_id: str, at: datetime, number: int) -> dict[str, Any]:
        step = number * self._steps // self._lines
        return {
            "run_id": run_id,
            "at": at + timedelta(milliseconds=10 * number),
            "level": 30 if number % 100 == 99 else 20,
            "task": f"step:{step}",
            "text": f"copied tables/part-{number:08d}.parquet to the depot, 1,234,567 bytes",
        }


def _target(number: int) -> dict[str, Any]:
    task = f"promote:gcs-{number}"
    return {"position": number, "task": task, "kind": "promote", "state": "done"}


def _receipt(at: datetime, number: int) -> dict[str, Any]:
    task = f"promote:gcs-{number}"
    return {"task": task, "proved_at": at, "objects": FILES, "facts": {"url": "gs://bench"}}


def _event(at: datetime, number: int) -> dict[str, Any]:
    when = at + timedelta(seconds=number / EVENTS)
    return {"at": when, "kind": "progress", "task": f"step:{number // EVENTS}"}


def _artifact(sha256: str, number: int, position: int) -> dict[str, Any]:
    rows = {f"table_{each}": 1000 * number + each for each in range(TABLES)}
    file = {"position": position, "key": f"part-{position}.zip", "size_bytes": 10**9}
    return {**file, "manifest_sha256": sha256, "sha256": sha256, "rows": rows}


def measure_cost(folder: Path, megabytes: int, rounds: int) -> None:
    """Release the same build without and with a ledger, in turn."""
    _make_build(folder / "build", megabytes)
    times: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    for number in range(rounds + 1):
        # which one comes first changes, so that neither always has the warmer machine
        for enabled in (False, True) if number % 2 else (True, False):
            took = _release(folder / "project", enabled=enabled)
            if number:  # the first round warms the disk's cache
                times[enabled].append(took)
    print(f"a release of {megabytes:,} MB to two folders, {rounds} rounds:")
    for what, place in (("wall", 0), ("processor", 1)):
        without, with_it = ([each[place] for each in times[which]] for which in (False, True))
        ratios = [b / a for a, b in zip(without, with_it, strict=True)]
        print(
            f"{what:<10} without {statistics.median(without):6.2f} s,"
            f" with {statistics.median(with_it):6.2f} s,"
            f" ratio {statistics.median(ratios):.4f} ({min(ratios):.3f} to {max(ratios):.3f})"
        )


def _make_build(folder: Path, megabytes: int) -> None:
    """Make files that do not compress, and a database that does."""
    folder.mkdir()
    some = random.Random(1)
    for number in range(4):
        with (folder / f"part-{number}.bin").open("wb") as file:
            for _ in range(megabytes // 8):
                file.write(some.randbytes(1_000_000))
    with sqlite3.connect(folder / "tables.sqlite") as connection:
        connection.execute("CREATE TABLE hourly (plant TEXT, hour INTEGER, mwh REAL)")
        rows = ((f"plant {n % 997}", n, some.random()) for n in range(megabytes * 14_000))
        connection.executemany("INSERT INTO hourly VALUES (?, ?, ?)", rows)
    connection.close()
    (folder / "success").touch()


def _release(project: Path, *, enabled: bool) -> tuple[float, float]:
    """Release once, with nothing left of the last time; return wall and processor seconds."""
    shutil.rmtree(project, ignore_errors=True)
    project.mkdir()
    config = CONFIG.format(enabled=str(enabled).lower())
    (project / "lading.toml").write_text(config, encoding="utf-8")
    source = Path(__file__).parents[1] / "examples" / "overlays" / "dodo.py"
    shutil.copyfile(source, project / "dodo.py")
    command = [Path(sys.executable).with_name("doit"), "distribute", "type=nightly", "tag=v1"]
    began = time.perf_counter()
    with (project / "said").open("wb") as said:
        process = subprocess.Popen(command, cwd=project, stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
    took = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit((project / "said").read_text())
    assert (project / "work" / "ledger.db").exists() == enabled
    return took, used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
