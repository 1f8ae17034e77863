"""kill -9 at any moment, then the same command: it converges, and no reader is ever misled."""

import hashlib
import json
import random
import shutil
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Self

import pytest

from tests.e2e.project import (
    CLOUDS,
    PREFIXES,
    RECORDED,
    RELEASE,
    Project,
    end_group,
    history_of,
    make_build,
    make_project,
    public_snapshot,
    snapshot,
)

OLD_RELEASE = ("distribute", "type=nightly", "tag=nightly-2025-02-04")
NEW_RELEASE = (*RELEASE, "accept=three tables were given up")
LOCAL = ("state.sqlite", "/receipts/", "digests.sqlite", "run.lock", "summary.md", "ledger.db")


@dataclass
class Reader:
    """Polls every public prefix, as a stranger would, and notes what no reader may ever see."""

    clouds: Path
    faults: list[str] = field(default_factory=list)
    looks: int = 0
    quiet_looks: int = 0
    _known: dict[tuple[str, int, int], str] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._poll)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _poll(self) -> None:
        while not self._stop.wait(0.002):
            for cloud in CLOUDS:
                for prefix in PREFIXES:
                    self._look(self.clouds / cloud, prefix)

    def _look(self, cloud: Path, prefix: str) -> None:
        lock = cloud / ".lading" / "locks" / prefix
        was_locked = lock.exists()
        text = _read(cloud / prefix / "release.json")
        if text is None:
            return
        self.looks += 1
        files = json.loads(text)["files"]
        for each in files:
            if self._sha256(cloud / each["depot_key"]) != each["sha256"]:
                self.faults.append(f"{cloud.name} {prefix}: {each['depot_key']} cannot be had")
        plain = [
            each["key"]
            for each in files
            if self._sha256(cloud / prefix / each["key"]) != each["sha256"]
        ]
        is_quiet = not was_locked and not lock.exists()
        if is_quiet and _read(cloud / prefix / "release.json") == text:
            self.quiet_looks += 1
            if plain:
                self.faults.append(f"{cloud.name} {prefix}: {plain[0]} differs and no lock stands")

    def _sha256(self, path: Path) -> str:
        try:
            found = path.stat()
            stamp = (str(path), found.st_ino, found.st_mtime_ns)
            if stamp not in self._known:
                self._known[stamp] = hashlib.sha256(path.read_bytes()).hexdigest()
        except FileNotFoundError:
            return ""
        return self._known[stamp]


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


@dataclass(frozen=True)
class Timeline:
    """When an undisturbed release printed each of its lines, in seconds from its start."""

    moments: list[float]
    end: float

    def choose(self, chance: random.Random, earliest: float = 0.0) -> tuple[int, float]:
        """Choose a moment: after how many lines, and how many seconds after the last of them.

        Lines and not the clock alone: another run may be slower or faster than this one was.
        """
        moment = chance.uniform(earliest, self.end)
        lines = sum(each <= moment for each in self.moments)
        return lines, moment - (self.moments[lines - 1] if lines else 0)


def _prepare(tmp_path: Path, files: int) -> tuple[Project, Path, Timeline]:
    """Release last night, keep that state, then release tonight undisturbed, and time it."""
    project = make_project(tmp_path / "project", parquet=files, config=RECORDED)
    assert project.run(*OLD_RELEASE).returncode == 0
    shutil.rmtree(project.source)
    make_build(project.source, parquet=files - 3, seed=5)
    before = tmp_path / "before"
    shutil.copytree(project.folder, before, symlinks=True)
    begun = time.monotonic()
    process = project.start(*NEW_RELEASE)
    assert process.stdout is not None
    moments = [time.monotonic() - begun for _ in process.stdout]
    assert process.wait() == 0
    return project, before, Timeline(moments, time.monotonic() - begun)


def _kill_at(project: Project, lines: int, seconds: float) -> bool:
    """Start the release, kill it at a moment of its own timeline, and say whether it was cut."""
    process = project.start(*NEW_RELEASE)
    assert process.stdout is not None
    for _ in range(lines):
        process.stdout.readline()
    with suppress(TimeoutExpired):
        process.wait(timeout=seconds)
    end_group(process, signal.SIGKILL)
    return process.returncode == -signal.SIGKILL


def _run_schedule(tmp_path: Path, *, kills: int, files: int, seed: int) -> None:
    project, before, timeline = _prepare(tmp_path, files)
    wanted, wanted_history = public_snapshot(project), history_of(project)
    wanted_work = snapshot(project.work, leave_out=LOCAL)
    chance = random.Random(seed)
    looks, cut = 0, 0
    for number in range(kills):
        shutil.rmtree(project.folder)
        shutil.copytree(before, project.folder, symlinks=True)
        with Reader(project.clouds) as reader:
            cut += _kill_at(project, *timeline.choose(chance))
            if number % 2:
                shutil.rmtree(project.work)  # a fresh machine, with no local state at all
            done = project.run(*NEW_RELEASE)
        assert done.returncode == 0, done.stdout + done.stderr
        assert reader.faults == []
        assert public_snapshot(project) == wanted
        assert history_of(project) == wanted_history
        leave_out = (*LOCAL, "nightly-2025-02-04") if number % 2 else LOCAL
        found_work = snapshot(project.work, leave_out=leave_out)
        assert found_work == {key: value for key, value in wanted_work.items() if key in found_work}
        looks += reader.quiet_looks
    assert looks > kills
    assert cut > kills / 2


def test_killed_release_converges(tmp_path: Path) -> None:
    """After kill -9 at three random moments the same command ends in the undisturbed state."""
    _run_schedule(tmp_path, kills=2, files=40, seed=5)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_killed_release_converges_fifty_times(tmp_path: Path) -> None:
    """After kill -9 at fifty random moments of a 200-file release the end state is the same."""
    _run_schedule(tmp_path, kills=50, files=195, seed=20250205)
