"""Lading's uploads and promotions beside the tools it replaces, to the same servers in one run.

    python benchmarks/transfer.py --rounds 5

The build is 500 files of random bytes, 1 GB. The servers run in this script, on loopback; they
hash every body with CRC32C, refuse a wrong one, and throw the bytes away, so that clients are
compared and not disks. For the tools that ask for it, marked (md5), they compute MD5 as well, which
costs the server some 1.5 s of CPU a GB. Every command is a process of its own, timed whole; of what
runs in Python the time around its call is given too ("work"): a release has its interpreter
and its libraries up already, and most of a short run is their import. A tool that is not
installed is named as missing.

Lading's side is what `doit upload promote` does: from a manifest (digests are made before, once,
by `check`) to the depot, then into each prefix, each proved by a listing. The peers copy the
folder once a prefix. Figures are medians; ratios are of medians of one run.
"""

import argparse
import json
import os
import platform
import random
import shutil
import signal
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

BUCKET, TAG, NEXT_TAG = "bench", "nightly-2025-02-05", "nightly-2025-02-06"
SCENES = ("first", "rerun", "changed", "second prefix", "resume")


def main() -> None:
    """Run what was asked for and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each; medians are shown")
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--cloud", choices=("s3", "gcs", "both"), action="append")
    parser.add_argument("--way", choices=("http", "tls", "latency"), action="append")
    parser.add_argument("--scene", choices=SCENES, action="append")
    parser.add_argument("--skip", action="append", default=[], help="name of a contender")
    parser.add_argument("--peers", type=Path, help="folder of s5cmd, rclone and aws")
    arguments = parser.parse_args()
    if arguments.child:
        return CHILDREN[arguments.child[0]](json.loads(arguments.child[1]))
    if arguments.peers:
        os.environ["PATH"] = f"{arguments.peers}{os.pathsep}{os.environ['PATH']}"
    print(describe_machine(), flush=True)
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 4_000_000_000
    with tempfile.TemporaryDirectory(dir=memory if roomy else None) as name:
        bench = Bench(Path(name), arguments)
        for way in arguments.way or ["http"]:
            for cloud in arguments.cloud or ["s3", "gcs", "both"]:
                for scene in arguments.scene or SCENES:
                    bench.run(way, cloud, scene)
    return None


def describe_machine() -> str:
    """Return what a reader has to know of the machine."""
    names = ("urllib3", "s3fs", "gcsfs", "google-crc32c")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    tools = ", ".join(filter(None, (tool_version(each) for each in ("s5cmd", "rclone", "aws"))))
    gcloud = tool_version("gcloud")
    return (
        f"{cores} cores, {platform.machine()}, Python {platform.python_version()}, {versions};"
        f" {tools}, {gcloud}"
    )


def tool_version(name: str) -> str:
    """Return the first line that a tool says of itself, or that it is missing."""
    if not shutil.which(name):
        return f"{name} missing"
    asked = "version" if name in {"s5cmd", "rclone"} else "--version"
    done = subprocess.run([name, asked], capture_output=True, text=True, check=False)
    words = (done.stdout or done.stderr).splitlines()[0].split()
    return words[0] if name == "aws" else f"{name} {words[-1]}"


# ---- what is measured


@dataclass
class Run:
    """One measurement."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    work_s: float
    work_cpu_s: float
    sent_bytes: int
    requests: int
    listings: int


@dataclass
class Contender:
    """One way to bring a folder to a bucket."""

    name: str
    command: Callable[["Scene"], Sequence[Sequence[str]]]
    """Commands of a scene, one after the other."""
    is_ours: bool = False
    is_md5: bool = False
    """Whether it works only where the server computes MD5."""
    runs: list[Run] = field(default_factory=list)


@dataclass
class Scene:
    """One piece of work on one kind of cloud."""

    cloud: str
    prefixes: tuple[str, ...]
    folder: Path
    manifest: Path
    s3_url: str
    gcs_url: str
    work: Path
    certificate: str
    is_sync: bool


class Bench:
    """The inputs, the servers and the order of the runs."""

    def __init__(self, folder: Path, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.folder = folder
        self.build, self.changed = folder / "build", folder / "changed"
        table = {
            "build": str(self.build),
            "changed": str(self.changed),
            "files": arguments.files,
            "megabytes": arguments.megabytes,
        }
        command = [sys.executable, __file__, "--child", "prepare", json.dumps(table)]
        subprocess.run(command, check=True)
        self.manifests = {each: each.with_suffix(".json") for each in (self.build, self.changed)}
        size = sum(each.stat().st_size for each in self.build.iterdir())
        print(f"input: {arguments.files} files, {size:,} bytes")

    def run(self, way: str, cloud: str, scene: str) -> None:
        """Measure every contender in one scene, round by round, and print the table."""
        contenders = [
            each for each in contenders_of(cloud, scene) if each.name not in self.arguments.skip
        ]
        for _ in range(self.arguments.rounds):
            for each in contenders:
                each.runs.append(self._measure(each, way, cloud, scene))
        print(f"\n## {cloud}, {way}: {scene}\n", flush=True)
        print_table(contenders)

    def _measure(self, contender: Contender, way: str, cloud: str, name: str) -> Run:
        prefixes = {"second prefix": ("nightly", "eel-hole")}.get(name, ("nightly",))
        if cloud == "both":
            prefixes = ("nightly", "eel-hole")
        with ExitStack() as stack:
            servers = stack.enter_context(Servers(self.folder, way, md5=contender.is_md5))
            work = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=self.folder)))
            scene = Scene(
                cloud,
                prefixes,
                self.build,
                self.manifests[self.build],
                servers.s3,
                servers.gcs,
                work,
                servers.certificate,
                is_sync=False,
            )
            if name in {"rerun", "changed"}:
                run_all(contender.command(scene), scene)
                scene.is_sync = True
            if name == "changed":
                scene.folder, scene.manifest = self.changed, self.manifests[self.changed]
            if name == "resume":
                cut_at(contender.command(scene), scene, servers, self.arguments.megabytes * 600_000)
                scene.is_sync = True
            before = servers.count()
            figures = run_all(contender.command(scene), scene)
            after = servers.count()
            sent, requests, listings = (b - a for a, b in zip(before, after, strict=True))
            return Run(*figures, sent, requests, listings)


class Servers:
    """The servers of one measurement, in a process of their own: this one must stay small.

    What a command is said to have needed of memory is never less than its parent had.
    """

    def __init__(self, folder: Path, way: str, *, md5: bool) -> None:
        table = {"folder": str(folder), "way": way, "md5": md5}
        command = [sys.executable, __file__, "--child", "servers", json.dumps(table)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.s3, self.gcs, self.certificate = self._ask()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()

    def count(self) -> tuple[int, int, int]:
        """Return bytes received, requests and listings so far."""
        assert self._process.stdin
        self._process.stdin.write("count\n")
        self._process.stdin.flush()
        return tuple(self._ask())  # type: ignore[return-value]

    def _ask(self) -> Any:
        assert self._process.stdout
        return json.loads(self._process.stdout.readline())


def serve(table: dict[str, Any]) -> None:
    """Serve until standard input ends; answer each line of it by what was counted."""
    from s3_server import BenchmarkS3
    from tests.fakes.gcs import FakeGcs
    from tests.fakes.proxy import FaultProxy
    from tests.fakes.tls import make_certificate

    context, certificate = None, ""
    with ExitStack() as stack:
        if table["way"] == "tls":
            cert, key = make_certificate(Path(table["folder"]))
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(cert, key)
            certificate = str(cert)
        s3 = stack.enter_context(BenchmarkS3(folder=None, md5=table["md5"], tls=context))
        s3.buckets[BUCKET] = {}
        gcs = stack.enter_context(FakeGcs(BUCKET, md5=table["md5"], discard=True, tls=context))
        urls = [s3.url, gcs.url]
        if table["way"] == "latency":
            urls = [stack.enter_context(FaultProxy(url, latency=0.02)).url for url in urls]
        print(json.dumps([*urls, certificate]), flush=True)
        running, listings = (s3, gcs), ("ListObjectsV2", "ListObjects", "objects.list")
        for _ in sys.stdin:
            received = sum(each.received_bytes for each in running)
            requests = sum(sum(each.requests.values()) for each in running)
            listed = sum(each.requests[name] for each in running for name in listings)
            print(json.dumps([received, requests, listed]), flush=True)


def prepare(table: dict[str, Any]) -> None:
    """Write the inputs and describe them."""
    build, changed = Path(table["build"]), Path(table["changed"])
    make_files(build, table["files"], table["megabytes"])
    shutil.copytree(build, changed, copy_function=os.link)
    for path in sorted(changed.iterdir())[:: max(1, table["files"] // 5)][:5]:
        data = bytearray(path.read_bytes())
        data[0] ^= 1
        path.unlink()
        path.write_bytes(data)
    describe(build, TAG)
    describe(changed, NEXT_TAG)


def describe(build: Path, tag: str) -> None:
    """Write the manifest of a folder beside it."""
    from tests.fakes.releases import make_release

    from lading.prepare.describe import describe_release
    from lading.release.layout import Artifact, Layout
    from lading.release.manifest import render_manifest
    from lading.storage.bytes import digest_file

    paths = sorted(build.iterdir())
    layout = Layout(tuple(Artifact(p.name, "file", p.name, (p.name,)) for p in paths), ())
    digests = [digest_file(path) for path in paths]
    sizes = {path.name: path.stat().st_size for path in paths}
    release = make_release(tag)
    manifest = describe_release(release, layout, digests, {}, sizes, commit=None)
    target = build.with_suffix(".json")
    target.write_bytes(render_manifest(manifest))


def make_files(folder: Path, count: int, megabytes: int) -> None:
    """Write files of random bytes, their sizes spread over three orders of magnitude."""
    folder.mkdir()
    rng = random.Random(20250205)
    weights = [rng.lognormvariate(0, 1.1) for _ in range(count)]
    scale = megabytes * 1_000_000 / sum(weights)
    for number, weight in enumerate(weights):
        size = min(31_000_000, max(50_000, int(weight * scale)))
        (folder / f"table_{number:05}.parquet").write_bytes(rng.randbytes(size))


# ---- running


def run_all(
    commands: Sequence[Sequence[str]], scene: Scene
) -> tuple[float, float, float, float, float]:
    """Run commands one after the other; return wall, CPU, peak MB; wall and CPU of the calls."""
    wall = cpu = peak = work = work_cpu = 0.0
    for command in commands:
        begun = time.perf_counter()
        with tempfile.TemporaryFile("w+") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out, env=environment(scene))
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            wall += time.perf_counter() - begun
            out.seek(0)
            text = out.read()
        if process.returncode:
            sys.exit(f"{' '.join(command)[:200]}: exit {process.returncode}\n{text[-2000:]}")
        cpu += usage.ru_utime + usage.ru_stime
        peak = max(peak, usage.ru_maxrss / 1000)
        if "work=" in text:
            told = text.rpartition("work=")[2].split()
            work, work_cpu = work + float(told[0]), work_cpu + float(told[1])
    return wall, cpu, peak, work, work_cpu


def cut_at(
    commands: Sequence[Sequence[str]], scene: Scene, servers: Servers, sent_bytes: int
) -> None:
    """Run a command and kill it when the servers have received so many bytes."""
    process = subprocess.Popen(
        commands[0],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(scene),
        start_new_session=True,
    )
    while process.poll() is None and servers.count()[0] < sent_bytes:
        threading.Event().wait(0.002)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def environment(scene: Scene) -> dict[str, str]:
    """Return the environment of every command."""
    config = scene.work / "aws-config"
    config.write_text("[default]\ns3 =\n    addressing_style = path\n")
    trust = scene.certificate
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(scene.work),
        "PYTHONPATH": str(HERE.parent),
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        "AWS_CONFIG_FILE": str(config),
        "AWS_ENDPOINT_URL": scene.s3_url,
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{scene.gcs_url}/storage/v1/",
        "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
        "CLOUDSDK_CORE_PROJECT": "bench",
        "CLOUDSDK_CONFIG": str(scene.work / "gcloud"),
        "RCLONE_CONFIG": "/dev/null",
        "RCLONE_CONFIG_S_TYPE": "s3",
        "RCLONE_CONFIG_S_PROVIDER": "Other",
        "RCLONE_CONFIG_S_ENV_AUTH": "true",
        "RCLONE_CONFIG_S_ENDPOINT": scene.s3_url,
        "RCLONE_CONFIG_S_REGION": "us-east-1",
        "RCLONE_CONFIG_S_FORCE_PATH_STYLE": "true",
        "RCLONE_CONFIG_S_NO_CHECK_BUCKET": "true",
        "RCLONE_CONFIG_G_TYPE": "google cloud storage",
        "RCLONE_CONFIG_G_ANONYMOUS": "true",
        "RCLONE_CONFIG_G_ENDPOINT": f"{scene.gcs_url}/storage/v1/",
        "RCLONE_CONFIG_G_NO_CHECK_BUCKET": "true",
        "RCLONE_CONFIG_G_BUCKET_POLICY_ONLY": "true",
    }
    if trust:
        variables |= dict.fromkeys(
            ("SSL_CERT_FILE", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "RCLONE_CA_CERT"), trust
        )
        variables["CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE"] = trust
    return variables


# ---- the contenders


def contenders_of(cloud: str, scene: str) -> list[Contender]:
    """Return who takes part, ours first."""
    ours = Contender("lading", lambda s: [child("ours", s)], is_ours=True)
    s3 = [
        Contender("s5cmd", s5cmd),
        Contender("rclone", lambda s: rclone(s, "S"), is_md5=True),
        Contender("rclone --checksum", lambda s: rclone(s, "S", "--checksum"), is_md5=True),
        Contender("aws s3 sync", aws),
        Contender("s3fs.put", lambda s: [child("s3fs", s)]),
    ]
    gcs = [
        Contender("gcloud storage", gcloud, is_md5=True),
        Contender("rclone", lambda s: rclone(s, "G"), is_md5=True),
        Contender("gcsfs.put", lambda s: [child("gcsfs", s)]),
    ]
    both = [Contender("s3fs.put + gcsfs.put", lambda s: [child("s3fs", s), child("gcsfs", s)])]
    chosen = {"s3": s3, "gcs": gcs, "both": both}[cloud]
    present = []
    for each in chosen:
        tool = each.name.split()[0].partition(".")[0]
        if tool in {"s3fs", "gcsfs"} or shutil.which(tool):
            present.append(each)
        else:
            print(f"{tool}: missing, left out")
    blind = {"s3fs.put", "gcsfs.put", "s3fs.put + gcsfs.put"}  # they always send everything
    if scene in {"rerun", "changed"}:
        present = [each for each in present if each.name not in blind]
    return [ours, *present]


def child(kind: str, scene: Scene) -> list[str]:
    """Return the command that runs one of this file's functions."""
    table = {
        "cloud": scene.cloud,
        "prefixes": scene.prefixes,
        "folder": str(scene.folder),
        "manifest": str(scene.manifest),
        "s3": scene.s3_url,
        "gcs": scene.gcs_url,
        "work": str(scene.work),
    }
    return [sys.executable, __file__, "--child", kind, json.dumps(table)]


def s5cmd(scene: Scene) -> list[list[str]]:
    """Copy by s5cmd; again by its sync."""
    verb = "sync" if scene.is_sync else "cp"
    base = ["s5cmd", "--endpoint-url", scene.s3_url, verb, f"{scene.folder}/*"]
    return [[*base, f"s3://{BUCKET}/{prefix}/"] for prefix in scene.prefixes]


def aws(scene: Scene) -> list[list[str]]:
    """Copy by the AWS command line."""
    base = ["aws", "--endpoint-url", scene.s3_url, "s3", "sync", "--only-show-errors"]
    return [[*base, str(scene.folder), f"s3://{BUCKET}/{prefix}/"] for prefix in scene.prefixes]


def rclone(scene: Scene, remote: str, *options: str) -> list[list[str]]:
    """Copy by rclone; again by its sync."""
    base = ["rclone", "sync" if scene.is_sync else "copy", *options, str(scene.folder)]
    return [[*base, f"{remote}:{BUCKET}/{prefix}"] for prefix in scene.prefixes]


def gcloud(scene: Scene) -> list[list[str]]:
    """Copy by gcloud; again by its rsync."""
    verb = ["rsync", "-r"] if scene.is_sync else ["cp", "-r"]
    source = str(scene.folder) if scene.is_sync else f"{scene.folder}/*"
    base = ["gcloud", "storage", *verb, source]
    return [[*base, f"gs://{BUCKET}/{prefix}/"] for prefix in scene.prefixes]


def ship(table: dict[str, Any]) -> None:
    """Bring a release to each cloud as the tasks of a release do."""
    from concurrent.futures import ThreadPoolExecutor
    from dataclasses import replace

    from tests.fakes.releases import make_release

    from lading.config.models import Destination
    from lading.release.manifest import parse_manifest
    from lading.release.names import Prefix, ReleaseDestination
    from lading.release.receipts import load_receipt, render_receipt
    from lading.ship.depot import DepotTarget
    from lading.ship.promote import PrefixTarget
    from lading.ship.shipment import Shipment
    from lading.ship.target import settle
    from lading.storage import open_store

    work = Path(table["work"])
    manifest = parse_manifest(Path(table["manifest"]).read_bytes())
    release = replace(make_release(manifest.tag))
    paths = {each.key: Path(table["folder"]) / each.key for each in manifest.files}
    shipment = Shipment(release, manifest, paths)
    clouds = ["s3", "gcs"] if table["cloud"] == "both" else [table["cloud"]]
    schemes = {"s3": f"s3://{BUCKET}", "gcs": f"gs://{BUCKET}"}
    stores = {
        name: open_store(
            schemes[name],
            work,
            options=Destination(url=schemes[name], endpoint=table[name], anonymous=name == "gcs"),
            sessions=work / "sessions",
        )
        for name in clouds
    }

    def settle_one(name: str, prefix: str) -> None:
        places = tuple(Prefix(name, each, "", immutable=False) for each in table["prefixes"])
        url = schemes[name]
        destination = ReleaseDestination(name, url, url, "", "nightly", places)
        known_at = work / f"{name}-{prefix}.json"
        known = load_receipt(known_at)
        if prefix:
            place = next(each for each in places if each.name == prefix)
            target: Any = PrefixTarget(
                stores[name], stores[name], destination, place, shipment, known=known
            )
        else:
            target = DepotTarget(stores[name], destination, shipment, known)
        if known and target.plan(target.observe()).is_empty:
            return  # as doit asks before it runs a task
        known_at.write_bytes(render_receipt(settle(target)[1]))

    with ThreadPoolExecutor(4) as pool:  # as many as the tasks of a release run at once
        list(pool.map(lambda name: settle_one(name, ""), clouds))
        pairs = [(name, prefix) for name in clouds for prefix in table["prefixes"]]
        list(pool.map(lambda pair: settle_one(*pair), pairs))


@contextmanager
def timed() -> Iterator[None]:
    """Print wall and CPU seconds of what runs inside."""
    begun, cpu = time.perf_counter(), time.process_time()
    yield
    print(f"work={time.perf_counter() - begun} {time.process_time() - cpu}")


def ours(table: dict[str, Any]) -> None:
    """Time our side."""
    import lading.ship.depot
    import lading.ship.promote
    import lading.storage

    if table["cloud"] != "gcs":
        import lading.storage.s3
    if table["cloud"] != "s3":
        import lading.storage.gcs  # noqa: F401  imported before the clock is started
    with timed():
        ship(table)


def s3fs_put(table: dict[str, Any]) -> None:
    """Time s3fs as most people use it."""
    import s3fs

    with timed():
        filesystem = s3fs.S3FileSystem()
        for prefix in table["prefixes"]:
            filesystem.put(f"{table['folder']}/", f"{BUCKET}/{prefix}/", recursive=True)


def gcsfs_put(table: dict[str, Any]) -> None:
    """Time gcsfs as most people use it."""
    import gcsfs

    with timed():
        filesystem = gcsfs.GCSFileSystem(token="anon", endpoint_url=table["gcs"])
        for prefix in table["prefixes"]:
            filesystem.put(f"{table['folder']}/", f"{BUCKET}/{prefix}/", recursive=True)


CHILDREN: dict[str, Callable[[dict[str, Any]], None]] = {
    "servers": serve,
    "prepare": prepare,
    "ours": ours,
    "s3fs": s3fs_put,
    "gcsfs": gcsfs_put,
}


def print_table(contenders: Sequence[Contender]) -> None:
    """Print medians, and our ratios to each peer: whole processes, and our work alone."""
    head = ("", "wall s", "CPU s", "work s", "work CPU s", "peak MB", "sent MB", "calls", "lists")
    rows = [(*head, "our wall", "our CPU", "our work", "our work CPU")]
    ours = next(each for each in contenders if each.is_ours)
    for each in contenders:
        wall, cpu = median(each, "wall_s"), median(each, "cpu_s")
        work, work_cpu = median(each, "work_s"), median(each, "work_cpu_s")
        ratios = ["", "", "", ""]
        if not each.is_ours:
            # a program without an interpreter has nothing but its work
            pairs = (("wall_s", wall), ("cpu_s", cpu), ("work_s", work or wall))
            pairs = (*pairs, ("work_cpu_s", work_cpu or cpu))
            ratios = [f"{median(ours, name) / theirs:.2f}" for name, theirs in pairs]
        rows.append(
            (
                each.name + (" (md5)" if each.is_md5 else ""),
                f"{wall:.2f}",
                f"{cpu:.2f}",
                f"{work:.2f}" if work else "",
                f"{work_cpu:.2f}" if work_cpu else "",
                f"{median(each, 'peak_mb'):.0f}",
                f"{median(each, 'sent_bytes') / 1e6:.1f}",
                f"{median(each, 'requests'):.0f}",
                f"{median(each, 'listings'):.0f}",
                *ratios,
            )
        )
    for number, row in enumerate(rows):
        print("| " + " | ".join(row) + " |")
        if not number:
            print("|" + " --- |" * len(row))
    sys.stdout.flush()


def median(contender: Contender, name: str) -> float:
    """Return the median of a figure."""
    return statistics.median(getattr(run, name) for run in contender.runs)


if __name__ == "__main__":
    main()
