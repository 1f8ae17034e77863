"""The image that runs jobs, built from the Dockerfile as it stands, and run as a pod would be."""

import os
import shutil
import subprocess
import sysconfig
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.e2e.images import (
    Builder,
    base_of,
    libraries_of,
    needed_by,
    needs_buildah,
    pack_wheel,
)

REPOSITORY = Path(__file__).parents[2]
DOCKERFILE = REPOSITORY / "Dockerfile"
EXTRAS = ("s3", "gcs", "jobs")
BACKEND = ("hatchling", "editables")
WHEELS = "/wheels"
PROGRAMS = ("sh", "find", "rm", "chmod")
MOST_MB = 460  # of the environment, which had 419 when this was written
JOB = """
import os

def main(argv):
    for folder in ("/app", "/opt/lading"):
        try:
            open(f"{folder}/written", "w")
        except OSError:
            continue
        return 1
    print(os.getuid(), os.environ["HOME"], flush=True)
    if argv != ["a b"]:
        return 65
    import duckdb, gcsfs, prometheus_client, pyarrow.dataset, pyarrow.parquet, s3fs
    return 0

JOB = (main, "looks where it is")
"""
CONFIG = """
[project]
name = "x"
[jobs]
packages = ["own"]
stores = ["/tmp/kept"]
"""
pytestmark = [
    *needs_buildah,
    pytest.mark.skipif(not all(map(find_spec, BACKEND)), reason="hatchling is not installed"),
    pytest.mark.skipif(find_spec("pip") is None, reason="pip is not installed"),
    pytest.mark.skipif(find_spec("ensurepip") is None, reason="this Python has no ensurepip"),
]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pack what Lading needs, and what builds it, as the index would give it."""
    folder = tmp_path_factory.mktemp("wheels")
    folder.chmod(0o755)  # for the image's user
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = [each for name in EXTRAS for each in project["optional-dependencies"][name]]
    for each in needed_by([*project["dependencies"], *extras, *BACKEND]):
        pack_wheel(each, folder)
    return folder


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    """Return a builder that has the base image: Python with pip, a shell and its tools."""
    found = Builder(tmp_path_factory.mktemp("image"))
    files = {Path("/bin", name): Path(shutil.which(name) or "") for name in PROGRAMS}
    compiled = [each for name in ("pyarrow", "duckdb") for each in files_of(name, ".so").values()]
    needed = libraries_of([*files.values(), *compiled])
    files |= {each: each for each in needed if "site-packages" not in each.parts}
    packages = Path(os.path.realpath(sysconfig.get_path("stdlib")), "site-packages")
    files |= {packages / name: path for name, path in files_of("pip").items()}
    found.add_base(base_of(DOCKERFILE), files)
    yield found
    found.clear()


def files_of(name: str, ending: str = "") -> dict[str, Path]:
    """Return the installed files of a project, by their name below the packages."""
    files = [
        each
        for each in distribution(name).files or ()
        if each.name.endswith(ending) and each.suffix != ".pyc" and ".." not in each.parts
    ]
    return {each.as_posix(): Path(str(each.locate())) for each in files}


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of what the Dockerfile copies."""
    folder = tmp_path_factory.mktemp("context")
    for name in ("Dockerfile", ".dockerignore", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, folder)
    for name in ("src", "docker"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / name, folder / name, ignore=ignored)
    return folder


def build(builder: Builder, context: Path, wheels: Path, *options: str) -> None:
    """Build the image, with pip looking into a folder of wheels alone."""
    bind = [f"--volume={path}:{place}:ro" for path, place in mounts(wheels).items()]
    done = builder.build(context, *bind, *options)
    assert done.returncode == 0, done.stdout + done.stderr


def mounts(wheels: Path) -> dict[Path, str]:
    """Return what makes pip look into a folder of wheels alone, by path."""
    settings = wheels / "pip.conf"
    settings.write_text(f"[global]\nno-index = true\nfind-links = {WHEELS}\n")
    return {wheels: WHEELS, settings: "/etc/pip.conf"}


def test_the_image_is_small_and_runs_jobs(
    builder: Builder, context: Path, wheels: Path, tmp_path: Path
) -> None:
    """It builds, is nobody's root, holds no pip, test or header, and runs a job in a pod's way."""
    build(builder, context, wheels)

    config = builder.config()
    assert (config["User"], config["WorkingDir"]) == ("10001:10001", "/app")
    assert (config["Entrypoint"], config["Cmd"]) == (["lading", "run"], ["--help"])
    assert config["Labels"]["org.opencontainers.image.title"] == "Lading"
    root = builder.mount()
    files = [each for each in (root / "opt/lading").rglob("*") if each.is_file()]
    own = [each for each in files if "site-packages/lading/" in each.as_posix()]
    names = {part for each in {*files} - {*own} for part in each.relative_to(root).parts}
    assert not names & {"pip", "tests", "include", "hatchling"}
    assert {"test_jobs.py.txt", ".dockerignore.txt"} <= {each.name for each in own}
    size_mb = sum(each.lstat().st_size for each in files) / 1_000_000
    assert 200 < size_mb < MOST_MB
    done = run_read_only(root, project(tmp_path), "look", "--", "a b")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("10001 /tmp\n{")


def test_the_extras_are_an_argument(
    builder: Builder, context: Path, wheels: Path, tmp_path: Path
) -> None:
    """With other extras the environment holds what they name, and jobs run all the same."""
    build(builder, context, wheels, "--build-arg=EXTRAS=")

    root = builder.mount()
    [packages] = (root / "opt/lading/lib").glob("python*/site-packages")
    assert not list(packages.glob("*duckdb*")) + list(packages.glob("s3fs*"))
    assert run_read_only(root, project(tmp_path), "look", "--", "other").returncode == 65


def test_an_image_that_cannot_start_is_not_made(
    builder: Builder, context: Path, wheels: Path, tmp_path: Path
) -> None:
    """A module that is missing ends the build at the smoke run."""
    broken = Path(shutil.copytree(context, tmp_path / "context"))
    (broken / "src/lading/cli/run.py").unlink()

    with pytest.raises(AssertionError, match=r"lading\.cli\.run"):
        build(builder, broken, wheels, "--build-arg=EXTRAS=")


def test_development_runs_the_source_as_it_stands(
    builder: Builder, context: Path, wheels: Path, tmp_path: Path
) -> None:
    """The stage `develop` installs the mounted source, as nobody special, and runs that."""
    build(builder, context, wheels, "--target=develop", "--build-arg=EXTRAS=")
    source = Path(shutil.copytree(context, tmp_path / "source"))
    source.chmod(0o755)  # for the image's user
    module = source / "src/lading/cli/run.py"
    module.write_text(module.read_text().replace("exit codes, as sysexits.h", "CHANGED"))

    folders = {source: "/source", **mounts(wheels)}
    done = builder.run(["--help"], folders, {"EXTRAS": ""})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "CHANGED" in done.stdout
    skipped = builder.run(["--help"], folders, {"SKIP_INSTALL": "1"})
    assert (skipped.returncode, "CHANGED" in skipped.stdout) == (0, False)


def project(folder: Path) -> Path:
    """Write a project of one job, for anybody to read."""
    folder.chmod(0o755)
    for name, text in {
        "lading.toml": CONFIG,
        "own/__init__.py": "",
        "own/look.py": JOB,
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


def run_read_only(root: Path, project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the image's entry point as its user, its root read-only and /tmp alone writable."""
    (root / "dev").mkdir(exist_ok=True)
    script = """
        set -e
        mount --make-rprivate /
        mount --bind "$1" "$1"
        mount --bind "$2" "$1/app"
        mount --bind /dev "$1/dev"
        mount -o remount,bind,ro "$1/app"
        mount -t tmpfs -o mode=1777 none "$1/tmp"
        mount -o remount,bind,ro "$1"
        root=$1
        shift 2
        exec chroot --userspec=10001:10001 "$root" /opt/lading/bin/python -c '
import os, sys
os.chdir("/app")
os.execvp("lading", ["lading", "run", *sys.argv[1:]])
        ' "$@"
    """
    environment = dict(each.split("=", 1) for each in ENVIRONMENT)
    return subprocess.run(
        ["unshare", "--mount", "/bin/sh", "-c", script, "sh", root, project, *words],
        env={**environment, "PATH": f"/opt/lading/bin:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


ENVIRONMENT = ("PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1", "HOME=/tmp")
