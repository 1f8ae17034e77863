"""Lading's preparation beside the tools it replaces, on the same input in one run.

    python benchmarks/prepare.py --rounds 5

Three parts, each a table of medians: one large SQLite database into one zip; a folder of files
into a stored bundle; a whole build into archives and digests. Every archive that is made is
tested by ``unzip -t``, in every round. A tool that is not installed is named as missing.

Commands are timed as whole processes. What runs in Python, a peer's code or ours, is timed
around its call in a process of its own: a release has started its interpreter already. CPU and
peak memory are of the whole process in both cases; this script's own memory, some 25 MB, is
the least that can be seen. The database and the build are packed in memory (tmpfs) where there
is room, so that processors are compared and not disks; the bundle is written to the disk.
"""

import argparse
import hashlib
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
MEMBERS, MEMBER_BYTES = 300, 4_000_000
TAG = "nightly-2025-02-05"
CONFIG = """
work = "work"
[project]
name = "benchmark"
[source]
url = "build"
[prepare.sqlite]
match = ["/*.sqlite"]
[[prepare.bundles]]
folder = "parquet"
[[prepare.bundles]]
folder = "*_dbf"
[[prepare.bundles]]
folder = "*_xbrl"
[layout]
leave_out = ["*.log"]
[destinations.disk]
url = "public"
[channels.nightly]
tag = 'nightly-\\d{4}-\\d{2}-\\d{2}'
prefixes = ["nightly"]
"""


@dataclass
class Contender:
    """One way to do a piece of work."""

    name: str
    command: Sequence[str]
    """Program and arguments; those of Python name one of this file's functions."""
    output: Path | None
    """The archive it makes, or None where it makes several."""
    to_stdout: bool = False
    """Whether the archive comes out of its standard output."""
    is_python: bool = False
    """Whether it prints the seconds of its call."""
    before: Callable[[], None] = lambda: None
    """What has to be cleared first; not timed."""
    runs: list["Run"] = field(default_factory=list)


@dataclass
class Run:
    """One measurement."""

    wall_s: float
    cpu_s: float
    peak_bytes: int
    size_bytes: int


def main() -> None:
    """Run what was asked for and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="runs of each; medians are shown")
    parser.add_argument("--megabytes", type=int, default=1050, help="size of the database")
    parser.add_argument("--build-megabytes", type=int, default=2000, help="size of the build")
    parser.add_argument("--part", choices=("file", "bundle", "build"), action="append")
    parser.add_argument("--skip", action="append", default=[], help="name of a contender")
    parser.add_argument("--input", type=Path, help="a database of your own, for the first part")
    parser.add_argument("--folder", type=Path, help="where to work; default: see above")
    arguments = parser.parse_args()
    print(describe_machine(), flush=True)
    for part in arguments.part or ["file", "bundle", "build"]:
        usual = tempfile.gettempdir() if part == "bundle" else roomiest()
        with tempfile.TemporaryDirectory(dir=arguments.folder or usual) as name:
            make = {"file": file_part, "bundle": bundle_part, "build": build_part}[part]
            contenders = make(Path(name), arguments)
            measure([each for each in contenders if each.name not in arguments.skip], arguments)


def roomiest() -> str:
    """Return a folder in memory where that has room, else the temporary folder."""
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free > 12_000_000_000:
        return str(memory)
    return tempfile.gettempdir()


def describe_machine() -> str:
    """Return what a reader has to know of the machine."""
    names = ("deflate", "isal", "zlib-ng")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores, {platform.machine()}, Python {platform.python_version()}, {versions}"


# ---- the parts


def file_part(folder: Path, arguments: argparse.Namespace) -> list[Contender]:
    """One database into one zip."""
    source = folder / "energy.sqlite"
    if arguments.input:
        shutil.copyfile(arguments.input, source)
    else:
        maker = [sys.executable, HERE / "energy_tables.py", source, str(arguments.megabytes)]
        subprocess.run(maker, check=True)
    out = folder / "file.zip"
    print(f"\n## one database: {source.stat().st_size:,} bytes, sha256 {sha256_of(source)[:16]}\n")
    seven = next((each for each in ("7z", "7zz", "7za") if shutil.which(each)), "7z")
    return [
        Contender("zip -6", ["zip", "-q", "-6", "-j", str(out), str(source)], out),
        Contender("zip -9", ["zip", "-q", "-9", "-j", str(out), str(source)], out),
        Contender("pigz -K -6", ["pigz", "-K", "-6", "-c", str(source)], out, to_stdout=True),
        Contender("7z -tzip", [seven, "a", "-tzip", "-bso0", "-bsp0", str(out), str(source)], out),
        python("zipfile 6", "zipfile_deflated", out, source, 6),
        python("zipfile 9", "zipfile_deflated", out, source, 9),
        *(python(f"lading {each}", "lading_deflated", out, source, each) for each in LEVEL_NAMES),
    ]


LEVEL_NAMES = ("fast", "balanced", "small")


def bundle_part(folder: Path, arguments: argparse.Namespace) -> list[Contender]:
    """Many files into one stored archive."""
    del arguments
    members = folder / "members"
    members.mkdir()
    rng = random.Random(2025)
    for number in range(MEMBERS):
        (members / f"table_{number:03}.parquet").write_bytes(rng.randbytes(MEMBER_BYTES))
    print(f"\n## a stored bundle: {MEMBERS} files, {MEMBERS * MEMBER_BYTES:,} bytes\n")
    out = folder / "bundle.zip"
    names = ("sh", str(members), str(out))
    return [
        Contender("cat", ["sh", "-c", 'cat "$1"/* > "$2"', *names], None),
        Contender("cat, sync", ["sh", "-c", 'cat "$1"/* > "$2" && sync "$2"', *names], None),
        Contender("zip -0", ["zip", "-q", "-0", "-j", "-r", str(out), str(members)], out),
        python("zipfile stored", "zipfile_stored", out, members, ""),
        python("lading bundle", "lading_stored", out, members, ""),
        python("  digests of its members", "lading_digests", None, members, ""),
    ]


def build_part(folder: Path, arguments: argparse.Namespace) -> list[Contender]:
    """A whole build into archives and digests."""
    project = folder / "project"
    project.mkdir()
    (project / "lading.toml").write_text(CONFIG)
    (project / "dodo.py").write_text("from lading.tasks import *\n")
    maker = HERE.parent / "examples" / "pudl" / "make_build.py"
    build = project / "build"
    subprocess.run(
        [sys.executable, maker, build, "--mb", str(arguments.build_megabytes)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    files = [each for each in build.rglob("*") if each.is_file()]
    size = sum(each.stat().st_size for each in files)
    print(f"\n## a whole build: {len(files)} files, {size:,} bytes\n")
    made, work = folder / "made", project / "work"

    def clear() -> None:
        shutil.rmtree(made, ignore_errors=True)
        shutil.rmtree(work, ignore_errors=True)

    doit = [sys.executable, "-m", "doit", "--dir", str(project), "manifest", f"tag={TAG}"]
    return [
        python("zipfile 6, threads, sha256", "zipfile_build", made, build, "", before=clear),
        Contender("lading: check, archives, manifest", doit, None, before=clear),
    ]


def python(
    name: str,
    function: str,
    output: Path | None,
    source: Path,
    option: object,
    before: Callable[[], None] = lambda: None,
) -> Contender:
    """Return a contender that is one of this file's functions, in a process of its own."""
    command = [sys.executable, str(HERE / "prepare.py"), "--call", function]
    command += [str(source), str(output or source.with_name("nothing")), str(option)]
    archive = output if output and output.suffix == ".zip" else None
    return Contender(name, command, archive, is_python=True, before=before)


# ---- the functions that are timed around their call


def zipfile_deflated(source: Path, out: Path, level: str) -> Callable[[], None]:
    """Pack one file as the standard library does."""

    def call() -> None:
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=int(level)) as archive:
            archive.write(source, source.name)

    return call


def zipfile_stored(source: Path, out: Path, _: str) -> Callable[[], None]:
    """Bundle a folder as the standard library does."""

    def call() -> None:
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
            for each in sorted(source.iterdir()):
                archive.write(each, each.name)

    return call


def lading_deflated(source: Path, out: Path, level: str) -> Callable[[], None]:
    """Pack one file as ``compress_sqlite`` does, once ``check`` has digested it."""
    from lading.prepare.archives import compress_file

    cache = _cache(out)
    tiny = out.with_name("tiny")
    tiny.write_bytes(b"tiny")
    compress_file(tiny, out.with_name("tiny.zip"), level=level, cache=cache)  # imports
    cache.digest(source)
    return lambda: _made(compress_file(source, out, level=level, cache=cache))


def lading_stored(source: Path, out: Path, _: str) -> Callable[[], None]:
    """Bundle a folder as ``zip_parquet`` does, once ``check`` has digested its files."""
    from lading.prepare.archives import store_bundle

    cache, members = _cache(out), sorted(source.iterdir())
    store_bundle(source, members[:1], out.with_name("tiny.zip"), cache=cache)  # imports
    cache.digest_all([(each, False) for each in members])
    return lambda: _made(store_bundle(source, members, out, cache=cache))


def lading_digests(source: Path, out: Path, _: str) -> Callable[[], None]:
    """Digest the files of a folder, as ``check`` does."""
    cache, members = _cache(out), sorted(source.iterdir())

    def call() -> None:
        cache.digest_all([(each, False) for each in members])

    return call


def zipfile_build(source: Path, out: Path, _: str) -> Callable[[], None]:
    """Prepare a build as a script would: zipfile level 6 in a thread pool, then sha256."""

    def call() -> None:
        out.mkdir()
        bundles = [
            each
            for each in source.iterdir()
            if each.name == "parquet" or each.name.endswith(("_dbf", "_xbrl"))
        ]
        databases = sorted(source.glob("*.sqlite"), key=lambda each: -each.stat().st_size)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            jobs = [
                pool.submit(zipfile_deflated(each, out / f"{each.name}.zip", "6"))
                for each in databases
            ]
            jobs += [
                pool.submit(zipfile_stored(each, out / f"{each.name}.zip", ""))
                for each in bundles
                if each.is_dir()
            ]
            for job in jobs:
                job.result()
            public = [*out.iterdir(), *(p for p in source.rglob("*") if p.suffix != ".sqlite")]
            sums = list(pool.map(sha256_of, (each for each in public if each.is_file())))
        (out / "SHA256SUMS").write_text("\n".join(sums))

    return call


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _cache(out: Path) -> "DigestCache":  # noqa: F821
    from lading.prepare.digests import DigestCache

    return DigestCache(Path(tempfile.mkdtemp(dir=out.parent, prefix="cache")) / "digests.sqlite")


def _made(is_made: bool) -> None:  # noqa: FBT001
    if not is_made:
        raise AssertionError("an archive stood already: nothing was measured")


# ---- measuring


def measure(contenders: list[Contender], arguments: argparse.Namespace) -> None:
    """Run all contenders in turn, as often as asked for, and print their table."""
    present = [each for each in contenders if shutil.which(each.command[0])]
    touch_memory(arguments)
    for number in range(arguments.rounds):
        for each in present:
            each.runs.append(run(each))
            shown = each.runs[-1]
            print(f"  round {number + 1}: {each.name}: {shown.wall_s:.2f} s", file=sys.stderr)
    print_table(contenders, present)


def touch_memory(arguments: argparse.Namespace) -> None:
    """Use the memory once: a virtual machine is slow at giving out what was never used."""
    with tempfile.TemporaryFile(dir=arguments.folder or roomiest()) as file:
        for _ in range(2 * max(arguments.megabytes, arguments.build_megabytes)):
            file.write(bytes(1_000_000))


def run(contender: Contender) -> Run:
    """Run one contender once and test what it made."""
    contender.before()
    if contender.output:
        contender.output.unlink(missing_ok=True)
    stdout = contender.output.open("wb") if contender.to_stdout else subprocess.PIPE
    begun = time.perf_counter()
    process = subprocess.Popen(contender.command, stdout=stdout, stderr=subprocess.PIPE)
    said, problems = process.stdout.read() if process.stdout else b"", process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{contender.name}: exit {process.returncode}: {problems.decode()}")
    if contender.is_python:
        wall = json.loads(said)
    size = 0
    if contender.output:
        size = contender.output.stat().st_size
        subprocess.run(["unzip", "-tqq", str(contender.output)], check=True)
    return Run(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, size)


def print_table(contenders: list[Contender], present: list[Contender]) -> None:
    """Print medians, and ratios to the first contender that is present."""
    first = present[0]
    base = statistics.median(each.wall_s for each in first.runs)
    print(
        f"| | wall s (least, most) | times as fast as {first.name} | CPU s | peak MB | MB | size |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for each in contenders:
        if each not in present:
            print(f"| {each.name} | missing: {each.command[0]} is not installed | | | | | |")
            continue
        walls = [one.wall_s for one in each.runs]
        wall = statistics.median(walls)
        cpu = statistics.median(one.cpu_s for one in each.runs)
        peak = max(one.peak_bytes for one in each.runs) / 1e6
        size = each.runs[-1].size_bytes
        share = f"{size / first.runs[-1].size_bytes:.4f}" if size and first.output else ""
        print(
            f"| {each.name} | {wall:.2f} ({min(walls):.2f}, {max(walls):.2f}) | {base / wall:.2f}"
            f" | {cpu:.1f} | {peak:.0f} | {f'{size / 1e6:.1f}' if size else ''} | {share} |",
            flush=True,
        )
    for faster in [each for each in present if each.name.startswith("lading")]:
        wall = statistics.median(one.wall_s for one in faster.runs)
        others = [each for each in present if not each.name.startswith(("lading", " "))]
        ratios = (
            f"{statistics.median(r.wall_s for r in each.runs) / wall:.2f} x {each.name}"
            for each in others
        )
        print(f"\n{faster.name} is as fast as " + ", ".join(ratios))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--call"]:
        wanted, source, out, option = sys.argv[2:]
        call = globals()[wanted](Path(source), Path(out), option)
        start = time.perf_counter()
        call()
        print(json.dumps(time.perf_counter() - start))
    else:
        main()
