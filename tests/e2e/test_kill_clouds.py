"""kill -9 of a release to both clouds, then the same command on a machine that knows nothing."""

import json
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Self

import pytest

from tests.e2e.clouds import (
    CloudProject,
    CloudServers,
    Place,
    cloud_config,
    make_places,
)
from tests.e2e.project import CLOUDS, CONFIG, DODO, PREFIXES, TAG, end_group, make_build
from tests.e2e.test_kill import Timeline

OLD_RELEASE = ("distribute", "tag=nightly-2025-02-04")
NEW_RELEASE = ("distribute", f"tag={TAG}", "accept=three tables were given up")
LARGE_BYTES = 40 << 20


@dataclass
class Reader:
    """Polls every public prefix over HTTP, and notes what no reader may ever see."""

    places: Mapping[str, Place]
    known: dict[tuple[str, str], str]
    """sha256 by cloud and version, kept over rounds."""
    faults: list[str] = field(default_factory=list)
    looks: int = 0
    quiet_looks: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._poll)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _poll(self) -> None:
        while not self._stop.wait(0.02):
            for place in self.places.values():
                for prefix in PREFIXES:
                    try:
                        self._look(place, prefix)
                    except Exception as error:  # noqa: BLE001  a reader that ends sees nothing
                        self.faults.append(f"{place.url} {prefix}: {error!r}")

    def _look(self, place: Place, prefix: str) -> None:
        lock = f".lading/locks/{prefix}"
        was_locked = place.exists(lock)
        text = place.read(f"{prefix}/release.json")
        if text is None:
            self.faults.append(f"{place.url} {prefix}: no release.json")
            return
        self.looks += 1
        files = json.loads(text)["files"]
        depot, plain = place.versions(".lading/objects/"), place.versions(f"{prefix}/")
        for each in files:
            if self._sha256(place, each["depot_key"], depot) != each["sha256"]:
                self.faults.append(f"{place.url} {prefix}: {each['depot_key']} cannot be had")
        keys = {f"{prefix}/{each['key']}": each["sha256"] for each in files}
        wrong = [key for key, sha in keys.items() if self._sha256(place, key, plain) != sha]
        is_quiet = not was_locked and not place.exists(lock)
        if is_quiet and place.read(f"{prefix}/release.json") == text:
            self.quiet_looks += 1
            if wrong:
                self.faults.append(f"{place.url} {prefix}: {wrong[0]} differs and no lock stands")

    def _sha256(self, place: Place, key: str, listed: Mapping[str, str]) -> str:
        if key not in listed:
            return ""
        stamp = (place.cloud, listed[key])
        if stamp not in self.known:
            version, sha256 = place.sha256(key)
            self.known[place.cloud, version] = sha256
        return self.known.get(stamp, "")


class Schedule:
    """Rounds of one release, each in a folder of its own of the same two buckets."""

    def __init__(self, servers: CloudServers, folder: Path, bucket: str, *, files: int) -> None:
        self._servers = servers
        self._roots = make_places(servers, bucket)
        self._folder = folder
        folder.mkdir()
        (folder / "dodo.py").write_text(DODO)
        make_build(folder / "old", parquet=files)
        make_build(folder / "new", parquet=files - 3, seed=5)
        (folder / "new" / "large.bin").write_bytes(random.Random(1).randbytes(LARGE_BYTES))

    def begin_round(self, number: int) -> CloudProject:
        """Release last night to a new folder of both buckets; tonight's build is ready."""
        places = {
            cloud: Place(self._servers, cloud, root.bucket, f"round-{number}/")
            for cloud, root in self._roots.items()
        }
        project = CloudProject(self._folder, places)
        shutil.rmtree(project.work, ignore_errors=True)
        config = cloud_config(places)
        assert 'url = "source"' in CONFIG
        project.configure(config.replace('url = "source"', 'url = "old"'))
        done = project.quick(*OLD_RELEASE)
        assert done.returncode == 0, done.stdout + done.stderr
        shutil.rmtree(project.work)
        project.configure(config.replace('url = "source"', 'url = "new"'))
        return project

    def open_uploads(self, number: int) -> list[str]:
        """Return the keys of the round to which an upload in parts stands open."""
        found = self._servers.call("s3", "uploads", self._roots["s3"].bucket)
        return [key for key in found.values() if key.startswith(f"round-{number}/")]


def _time(project: CloudProject) -> Timeline:
    begun = time.monotonic()
    process = project.start(*NEW_RELEASE)
    assert process.stdout is not None
    moments = [time.monotonic() - begun for _ in process.stdout]
    assert process.wait() == 0
    return Timeline(moments, time.monotonic() - begun)


def _kill_at(project: CloudProject, lines: int, seconds: float) -> bool:
    """Start the release, kill it at a moment of its own timeline, and say whether it was cut."""
    process = project.start(*NEW_RELEASE)
    assert process.stdout is not None
    for _ in range(lines):
        process.stdout.readline()
    with suppress(TimeoutExpired):
        process.wait(timeout=seconds)
    end_group(process, signal.SIGKILL)
    return process.returncode == -signal.SIGKILL


def _run_schedule(schedule: Schedule, *, kills: int, seed: int) -> None:
    undisturbed = schedule.begin_round(0)
    timeline = _time(undisturbed)
    wanted, wanted_history = undisturbed.holdings(), undisturbed.histories()
    assert wanted["gcs"] == wanted["s3"]
    chance = random.Random(seed)
    cut, quiet, midway, resumed = 0, 0, 0, 0
    known: dict[tuple[str, str], str] = {}
    for number in range(1, kills + 1):
        project = schedule.begin_round(number)
        # every other kill while something is sent or switched: half of the run prepares
        earliest = timeline.end / 2 if number % 2 else 0.0
        with Reader(project.places, known) as reader:
            cut += _kill_at(project, *timeline.choose(chance, earliest))
            left = {cloud: set(place.keys()) for cloud, place in project.places.items()}
            resumed += bool(schedule.open_uploads(number))
            shutil.rmtree(project.work, ignore_errors=True)  # a machine that knows nothing
            done = project.quick(*NEW_RELEASE)
        assert done.returncode == 0, done.stdout + done.stderr
        assert reader.faults == []
        assert project.holdings() == wanted
        assert project.histories() == wanted_history
        assert schedule.open_uploads(number) == []
        quiet += reader.quiet_looks
        midway += any(left[cloud] != wanted[cloud].keys() for cloud in CLOUDS)
    figures = f"{kills} kills: {cut} cut, {midway} midway, {resumed} in an upload in parts"
    print(f"{figures}, {quiet} quiet looks")  # noqa: T201  figures
    assert quiet > kills
    assert cut > kills / 2


@pytest.mark.slow
def test_killed_release_to_clouds_converges(servers: CloudServers, tmp_path: Path) -> None:
    """After kill -9 at a random moment the same command ends in the undisturbed state."""
    schedule = Schedule(servers, tmp_path / "project", "kills-default", files=30)
    _run_schedule(schedule, kills=1, seed=7)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_killed_release_to_clouds_converges_fifty_times(
    servers: CloudServers, tmp_path: Path
) -> None:
    """After kill -9 at fifty random moments against both clouds the end state is the same."""
    schedule = Schedule(servers, tmp_path / "project", "kills-fifty", files=60)
    _run_schedule(schedule, kills=int(os.environ.get("LADING_KILLS", "50")), seed=20250205)
