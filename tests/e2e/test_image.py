"""The example's image, built from its Dockerfile as it stands and run as Kubernetes would.

Debian's buildah builds it, without a daemon and without a registry: the base image is this
machine's own Python under the name that the Dockerfile asks for.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.unit.dockerfile_rules import parse_dockerfile

EXAMPLE = Path(__file__).parents[2] / "examples" / "reformatters"
OWN_PARTS = {"__pycache__", "site-packages", "dist-packages", "test", "idlelib", "tkinter"}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("buildah") is None, reason="buildah is not installed"),
    pytest.mark.skipif(os.geteuid() != 0, reason="buildah --isolation chroot needs root"),
    pytest.mark.skipif(shutil.which("ldd") is None, reason="ldd is not there to find libraries"),
]


@dataclass(frozen=True)
class Builder:
    """Buildah with a store of its own."""

    folder: Path

    def __call__(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run buildah."""
        own: list[str | Path] = ["--root", self.folder / "images", "--runroot", self.folder / "run"]
        return subprocess.run(
            ["buildah", *own, "--storage-driver", "vfs", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    def build(self, context: Path) -> subprocess.CompletedProcess[str]:
        """Build the Dockerfile of a folder as the image ``example``."""
        how = ("--isolation", "chroot", "--pull-never", "--tag", "example")
        return self("bud", *how, context)

    def run(self, words: list[str], store: Path) -> subprocess.CompletedProcess[str]:
        """Run the image's entry point with more words; its STORE is a folder of this machine."""
        container = self("from", "--pull-never", "example").stdout.strip()
        config = json.loads(self("inspect", "--type", "image", "example").stdout)["OCIv1"]["config"]
        bind = ("--isolation", "chroot", "--volume", f"{store}:/store", "--env", "STORE=/store/v")
        return self("run", *bind, container, "--", *config["Entrypoint"], *words)


def python_files() -> Iterator[Path]:
    """Yield what this Python needs to start: itself, its library, and the libraries of those."""
    program = Path(os.path.realpath(sys.executable))
    library = Path(sysconfig.get_path("stdlib"))
    own = [
        path
        for path in library.rglob("*")
        if path.is_file() and not OWN_PARTS & set(path.relative_to(library).parts)
    ]
    compiled = [program, *(path for path in own if path.suffix == ".so")]
    linked = subprocess.run(
        ["ldd", *map(str, compiled)], capture_output=True, text=True, check=False, timeout=60
    ).stdout
    yield from (program, *own)
    yield from {Path(word) for word in linked.split() if word.startswith("/") and word[-1] != ":"}


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    """Return a builder that has the base image that the Dockerfile names."""
    folder = tmp_path_factory.mktemp("image")
    root = folder / "root"
    for path in python_files():
        target = root / path.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copy(path, target)
    for name in ("usr/local/bin", "tmp", "etc"):
        (root / name).mkdir(parents=True, exist_ok=True)
    if not (python := root / "usr/local/bin/python").exists():
        python.symlink_to(os.path.realpath(sys.executable))
    found = Builder(folder)
    [base] = [each.words[0] for each in parse_dockerfile((EXAMPLE / "Dockerfile").read_text())[:1]]
    container = found("from", "scratch").stdout.strip()
    for done in (
        found("add", "--quiet", container, root, "/"),
        found("commit", "--quiet", container, f"docker.io/library/{base}"),
    ):
        assert done.returncode == 0, done.stderr
    yield found
    found("rm", "--all")
    found("rmi", "--all", "--force")


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """Return a copy of the example."""
    ignored = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(EXAMPLE, tmp_path / "context", ignore=ignored))


def test_the_image_builds_and_its_entry_point_starts(builder: Builder, context: Path) -> None:
    """Every instruction passes, the smoke run last, and the image is nobody's root."""
    done = builder.build(context)

    assert done.returncode == 0, done.stdout + done.stderr
    smoke = done.stdout.partition('RUN ["python", "-m", "reformatters", "--help"]')[2]
    assert "usage: python -m reformatters" in smoke
    image = json.loads(builder("inspect", "--type", "image", "example").stdout)["OCIv1"]
    assert image["config"]["User"] == "10001:10001"
    assert image["config"]["Entrypoint"] == ["python", "-m", "reformatters"]


def test_the_image_does_the_work(builder: Builder, context: Path, tmp_path: Path) -> None:
    """What a CronJob's args ask for is done in the image, as the user that it names."""
    store = tmp_path / "store"
    store.mkdir()
    os.chown(store, 10001, 10001)
    assert builder.build(context).returncode == 0

    for operation in ("update", "validate"):
        done = builder.run([operation, "noaa-gfs-analysis", "--date=2026-08-01"], store)
        assert done.returncode == 0, done.stdout + done.stderr

    group = json.loads((store / "v" / "zarr.json").read_text())
    assert group["attributes"]["dataset_version"] == "0.2.0"
    assert (store / "v" / "zarr.json").stat().st_uid == 10001


def test_an_image_that_cannot_start_is_not_made(builder: Builder, context: Path) -> None:
    """A module that is missing ends the build at the smoke run."""
    (context / "reformatters" / "store.py").unlink()

    done = builder.build(context)
    assert done.returncode != 0
    assert "reformatters.store" in done.stderr + done.stdout
