"""Releases over a network that fails: one request in ten, in every way that we know."""

import hashlib
import json
import random
import shutil
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from lading.config.load import parse_config
from lading.errors import UnavailableError
from lading.prepare.describe import describe_release
from lading.release.layout import Artifact, Layout
from lading.release.names import Release, resolve_release
from lading.ship.depot import DepotTarget
from lading.ship.promote import PrefixTarget
from lading.ship.shipment import Shipment
from lading.ship.target import settle
from lading.storage import Store, gcs, s3, s3_parts
from lading.storage.bytes import digest_file
from lading.storage.gcs import GcsStore
from lading.storage.s3 import S3Store
from tests.e2e.clouds import (
    CREDENTIALS,
    CloudProject,
    CloudServers,
    Place,
    cloud_config,
    make_cloud_project,
    make_places,
)
from tests.e2e.project import CLOUDS, PREFIXES, make_build
from tests.fakes.proxy import FAULTS, FaultProxy

PART_BYTES = 1 << 20
LARGE_BYTES = 2 << 20
ENVELOPE_BYTES = 1024
"""More than any body but an object's: metadata around it, a rewrite, a lock, a list of parts."""
FAILED = {"reset_request", "reset_reply", "truncated", "cut"}
"""Faults in which a body is passed on and has to be sent again."""
MOST_COMMANDS = 5


class MeasuringProxy(FaultProxy):
    """Counts the bytes of bodies passed on by the fault that their request got, "" for none."""

    def __init__(self, upstream: str, **options: Any) -> None:
        super().__init__(upstream, **options)
        self.bytes_up_by: Counter[str] = Counter()
        self._current = threading.local()

    def draw(self, target: str) -> tuple[str, random.Random]:
        """Draw a fault, and remember it for the thread that serves the request."""
        fault, chance = super().draw(target)
        self._current.fault, self._current.size = fault, 0
        return fault, chance

    def note_fault(self, kind: str) -> None:
        """Count a fault; what passed of a request that is cut was not passed whole."""
        if kind == "cut":
            with self._lock:
                self.bytes_up_by[self._current.fault] -= self._current.size
                self.bytes_up_by[kind] += self._current.size
        super().note_fault(kind)

    def count(self, name: str, amount: int = 1) -> int:
        """Add to a counter."""
        if name == "bytes_up":
            with self._lock:
                self.bytes_up_by[self._current.fault] += amount
            self._current.size += amount
        return super().count(name, amount)


@dataclass
class Reader:
    """Reads both clouds past the proxies, as a stranger would, and notes wrong bytes."""

    places: Mapping[str, Place]
    known: set[str] = field(default_factory=set)
    """sha256 of all that was ever to be released."""
    faults: list[str] = field(default_factory=list)
    looks: int = 0
    _sound: set[tuple[str, str]] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)
    _chance: random.Random = field(default_factory=lambda: random.Random(1))

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._poll)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _poll(self) -> None:
        while not self._stop.wait(0.3):
            for place in self.places.values():
                for prefix in PREFIXES:
                    try:
                        self._look(place, prefix)
                    except Exception as error:  # noqa: BLE001  a reader that ends sees nothing
                        self.faults.append(f"{place.url}/{prefix}: {error!r}")

    def _look(self, place: Place, prefix: str) -> None:
        data = place.read(f"{prefix}/release.json")
        if data is None:
            return
        self.looks += 1
        files = json.loads(data)["files"]
        for each in files:
            found = (place.cloud, each["depot_key"])
            if found in self._sound:
                if not place.exists(each["depot_key"]):
                    self.faults.append(f"{place.url}/{each['depot_key']}: gone")
            elif _sha256(place.read(each["depot_key"])) != each["sha256"]:
                self.faults.append(f"{place.url}/{each['depot_key']}: other bytes")
            else:
                self._sound.add(found)
        small = [each["key"] for each in files if each["size_bytes"] < PART_BYTES]
        key = f"{prefix}/{self._chance.choice(small)}"
        plain = place.read(key)
        if plain is not None and _sha256(plain) not in self.known:
            self.faults.append(f"{place.url}/{key}: bytes of no release")


def _sha256(data: bytes | None) -> str:
    return "" if data is None else hashlib.sha256(data).hexdigest()


@dataclass
class Figures:
    """What a soak has cost."""

    commands: int = 0
    repeated: int = 0
    needed_bytes: int = 0
    large_files: int = 0


class Soak:
    """Releases to both clouds through proxies, each from a machine that knows nothing."""

    def __init__(
        self, folder: Path, places: Mapping[str, Place], proxies: Mapping[str, MeasuringProxy]
    ) -> None:
        self._folder = folder
        self._places = places
        self._proxies = proxies
        self._sent: set[str] = set()
        self._checked: dict[str, set[str]] = {cloud: set() for cloud in CLOUDS}
        self.figures = Figures()
        table = {
            "project": {"name": "soak"},
            "source": {"url": "source"},
            "destinations": {
                cloud: {
                    "url": places[cloud].url,
                    "endpoint": proxies[cloud].url,
                    "anonymous": cloud == "gcs",
                }
                for cloud in CLOUDS
            },
            "channels": {"nightly": {"tag": "night-.*", "prefixes": list(PREFIXES)}},
        }
        self._config = parse_config(table, "lading.toml")

    def make(self, number: int, files: Mapping[str, bytes]) -> Shipment:
        """Describe files as a release."""
        release = resolve_release(self._config, "", f"night-{number:03d}", staging=False)
        folder = self._folder / f"{number:03d}"
        paths = {key: folder / key for key in sorted(files)}
        for key, path in paths.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files[key])
        layout = Layout(tuple(Artifact(key, "file", key, (key,)) for key in paths), ())
        digests = [digest_file(path) for path in paths.values()]
        sizes = {key: len(data) for key, data in files.items()}
        manifest = describe_release(release, layout, digests, {}, sizes, commit=None)
        return Shipment(release, manifest, paths)

    def ship(self, shipment: Shipment) -> None:
        """Release; where a service did not answer however often it was asked, once more."""
        for number in range(MOST_COMMANDS):
            self.figures.commands += 1
            try:
                self._distribute(shipment)
            except UnavailableError:
                self.figures.repeated += 1
                if number == MOST_COMMANDS - 1:
                    raise
            else:
                break
        lacking = {d.sha256: d.size_bytes for d in shipment.objects.values()}
        new = {sha256: size for sha256, size in lacking.items() if sha256 not in self._sent}
        self._sent |= new.keys()
        self.figures.needed_bytes += sum(new.values())
        self.figures.large_files += sum(size >= LARGE_BYTES for size in new.values())

    def _distribute(self, shipment: Shipment) -> None:
        release: Release = shipment.release
        stores = {each.name: self._open(each.name, release.tag) for each in release.destinations}
        for each in release.destinations:
            stores[each.name].require_access("")
        for each in release.destinations:
            settle(DepotTarget(stores[each.name], each, shipment))
        for each in release.destinations:
            store = stores[each.name]
            for prefix in each.prefixes:
                settle(PrefixTarget(store, store, each, prefix, shipment))

    def _open(self, cloud: str, tag: str) -> Store:
        options, sessions = self._config.destinations[cloud], self._folder / f"{tag}-sessions"
        if cloud == "gcs":
            return GcsStore(options.url, options, sessions)
        return S3Store(options.url, options, sessions)

    def check(self, shipment: Shipment, *, everything: bool = False) -> None:
        """Read all that stands, past the proxies: right to the last byte, and no lock left."""
        wanted = {key: digest.sha256 for key, digest in shipment.objects.items()}
        for cloud, place in self._places.items():
            for prefix in PREFIXES:
                keys = place.keys(f"{prefix}/")
                found = {k.removeprefix(f"{prefix}/"): _sha256(place.read(k)) for k in keys}
                assert found == wanted
            depot = {key.rpartition("/")[2]: key for key in place.keys(".lading/objects/")}
            assert depot.keys() == self._sent
            for sha256 in depot.keys() - (set() if everything else self._checked[cloud]):
                assert _sha256(place.read(depot[sha256])) == sha256
            self._checked[cloud] |= depot.keys()
            assert place.control_keys("locks/") == []
            tags = place.history()
            assert {name: rows[-1] for name, rows in tags.items()} == dict.fromkeys(
                PREFIXES, shipment.release.tag
            )
            assert all(len(set(rows)) == len(rows) for rows in tags.values())

    def check_bytes(self) -> None:
        """Compare the bytes sent with what was needed, request by request that was not failed."""
        for cloud, proxy in self._proxies.items():
            whole = sum(size for fault, size in proxy.bytes_up_by.items() if fault not in FAILED)
            envelopes = ENVELOPE_BYTES * proxy.requests
            # a command that gave up has left its last part of each file on the way
            in_flight = PART_BYTES * self.figures.large_files if self.figures.repeated else 0
            bound = self.figures.needed_bytes + envelopes + in_flight
            assert whole <= bound, (cloud, whole, bound)
            # what a connection that is cut has carried is kept, but for one part or small file
            unkept = sum(proxy.bytes_up_by[fault] for fault in FAILED - {"cut"})
            lost = unkept + PART_BYTES * proxy.faults["cut"]
            assert proxy.bytes_up <= bound + lost, (cloud, proxy.bytes_up, bound, lost)
            assert sum(proxy.bytes_up_by.values()) == proxy.bytes_up
            assert proxy.bytes_up >= self.figures.needed_bytes

    def describe(self) -> str:
        """Say in one line a cloud what it took."""
        lines = [f"{self.figures}"]
        for cloud, proxy in self._proxies.items():
            failed = _failed_bytes(proxy)
            lines.append(
                f"{cloud}: {proxy.requests} requests, {sum(proxy.faults.values())} faults,"
                f" {proxy.bytes_up} bytes up, {failed} of them in failed requests"
            )
        return "\n".join(lines)


def _failed_bytes(proxy: MeasuringProxy) -> int:
    return sum(proxy.bytes_up_by[fault] for fault in FAILED)


def make_files(number: int, *, large_bytes: int) -> dict[str, bytes]:
    """Make the files of a release: half alternate, one large one and one small are new."""
    chance = random.Random(f"{number % 2}")
    files = {f"table_{n:02d}.parquet": chance.randbytes(n * n * 61) for n in range(9)}
    files["middle.sqlite.zip"] = chance.randbytes(700_000)
    files[f"only {number} + ü.json"] = json.dumps({"number": number}).encode()
    files["large.zip"] = random.Random(number).randbytes(large_bytes)
    files["same.zip"] = random.Random("same").randbytes(LARGE_BYTES + 17)
    return files


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch, servers: CloudServers) -> Iterator[None]:
    """Small parts, so that files of few MiB have many."""
    plan = s3_parts.plan_parts

    def plan_small(size: int, part_bytes: int = PART_BYTES) -> list[s3_parts.Part]:
        return plan(size, part_bytes)

    monkeypatch.setattr(s3_parts, "plan_parts", plan_small)
    monkeypatch.setattr(s3, "LARGE_BYTES", LARGE_BYTES)
    monkeypatch.setattr(gcs, "LARGE_BYTES", LARGE_BYTES)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    before = servers.order("s3", get="min_part_bytes")
    servers.change("s3", "min_part_bytes", PART_BYTES)
    yield
    servers.change("s3", "min_part_bytes", before)


def _soak(
    servers: CloudServers,
    folder: Path,
    *,
    releases: int,
    largest: int,
    rate: float,
    seed: int = 0,
    kinds: Sequence[str] = FAULTS,
) -> Soak:
    bucket = "soak-" + hashlib.sha256(str(folder).encode()).hexdigest()[:24]
    places = make_places(servers, bucket, "a folder/")
    with ExitStack() as stack:
        proxies = {
            cloud: stack.enter_context(
                MeasuringProxy(servers.urls[cloud], rate=rate, seed=seed, kinds=kinds)
            )
            for cloud in CLOUDS
        }
        soak = Soak(folder, places, proxies)
        reader = Reader(places)
        with reader:
            for number in range(releases):
                size = largest if number == 1 else LARGE_BYTES + 300_001
                shipment = soak.make(number, make_files(number, large_bytes=size))
                if rate:
                    for proxy in proxies.values():
                        proxy.cut_after(LARGE_BYTES * 2)  # which only a large file can be at
                reader.known |= {each.sha256 for each in shipment.objects.values()}
                soak.ship(shipment)
                soak.check(shipment)
        soak.check(shipment, everything=True)
        print(soak.describe())  # noqa: T201  figures, shown by -s
        assert reader.faults == []
        assert reader.looks > releases
        if rate:
            assert all(set(proxy.faults) == {*kinds, "cut"} for proxy in proxies.values())
            sent_twice = [_failed_bytes(proxy) for proxy in proxies.values()]
            assert min(sent_twice) > PART_BYTES or "reset_request" not in kinds
        soak.check_bytes()
    return soak


@pytest.mark.slow
@pytest.mark.usefixtures("small_parts")
def test_releases_converge_where_one_request_in_ten_fails(
    servers: CloudServers, tmp_path: Path
) -> None:
    """Three releases over a failing network: every byte right, none sent beyond the failed ones."""
    _soak(servers, tmp_path, releases=3, largest=40 << 20, rate=0.1, seed=2)


@pytest.mark.slow  # the stores' own tests meet these lies one by one
@pytest.mark.usefixtures("small_parts")
def test_releases_converge_where_answers_lie(servers: CloudServers, tmp_path: Path) -> None:
    """A success that is none, with an empty body or somebody's page, is believed nowhere."""
    lies = ("lying_200", "html_502")
    size = LARGE_BYTES + 9
    _soak(servers, tmp_path, releases=1, largest=size, rate=0.3, seed=5, kinds=lies)


@pytest.mark.usefixtures("small_parts")
def test_a_sound_network_costs_no_byte_more(servers: CloudServers, tmp_path: Path) -> None:
    """Without faults the same measure finds what was needed and nothing beside it."""
    soak = _soak(servers, tmp_path, releases=2, largest=LARGE_BYTES + 9, rate=0.0)

    assert soak.figures.repeated == 0


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.usefixtures("small_parts")
def test_hundred_releases_converge_where_one_request_in_ten_fails(
    servers: CloudServers, tmp_path: Path
) -> None:
    """A hundred releases over a failing network, as the six of the default suite."""
    _soak(servers, tmp_path, releases=100, largest=40 << 20, rate=0.1, seed=100)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_command_converges_where_one_request_in_ten_fails(
    servers: CloudServers, tmp_path: Path
) -> None:
    """The documented command over a failing network, ten nights with a build each."""
    places = make_places(servers, "soak-command")
    project = make_cloud_project(tmp_path / "project", places, parquet=6)
    repeated = 0
    with ExitStack() as stack:
        config = cloud_config(places)
        for cloud in CLOUDS:
            proxy = stack.enter_context(FaultProxy(servers.urls[cloud], rate=0.1, seed=11))
            config = config.replace(servers.urls[cloud], proxy.url)
        project.configure(config)
        for night in range(1, 11):
            _rebuild(project, night)
            command = ("distribute", f"tag=nightly-2025-03-{night:02d}")
            done = project.quick(*command)
            for _ in range(MOST_COMMANDS):
                if done.returncode == 0:
                    break
                assert "did not answer" in done.stderr or "expected an answer" in done.stderr
                repeated += 1
                done = project.quick(*command)
            assert done.returncode == 0, done.stdout + done.stderr
            gcs_holds, s3_holds = project.holdings().values()
            assert gcs_holds == s3_holds
            assert project.quick("verify", command[1], "deep=1").returncode == 0
    print(f"the same command was needed again {repeated} times")  # noqa: T201  a figure


def _rebuild(project: CloudProject, night: int) -> None:
    shutil.rmtree(project.source)
    shutil.rmtree(project.work, ignore_errors=True)
    make_build(project.source, parquet=6, seed=night)
