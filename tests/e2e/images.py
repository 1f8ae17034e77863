"""Images built and run without a daemon and without a registry, by Debian's buildah.

The base image is this machine's own Python, under the name that a Dockerfile asks for.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

OWN_PARTS = {"__pycache__", "site-packages", "dist-packages", "test", "idlelib", "tkinter"}
BASE = re.compile(r"(?m)^FROM (\S+:\S+)")
needs_buildah = [
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
            timeout=280,
        )

    def build(self, context: Path, *options: str) -> subprocess.CompletedProcess[str]:
        """Build the Dockerfile of a folder as the image ``example``."""
        how = ("--isolation", "chroot", "--pull-never", "--tag", "example")
        return self("bud", *how, *options, context)

    def config(self) -> dict[str, Any]:
        """Return the configuration of the image."""
        config: dict[str, Any] = json.loads(self("inspect", "--type", "image", "example").stdout)[
            "OCIv1"
        ]["config"]
        return config

    def run(
        self, words: Sequence[str], folders: Mapping[Path, str], variables: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Run the image's entry point with more words, with folders of this machine mounted."""
        container = self("from", "--pull-never", "example").stdout.strip()
        bind = [f"--volume={path}:{place}" for path, place in folders.items()]
        bind += [f"--env={name}={value}" for name, value in variables.items()]
        entry = self.config()["Entrypoint"]
        return self("run", "--isolation", "chroot", *bind, container, "--", *entry, *words)

    def mount(self) -> Path:
        """Return the root folder of a new container of the image."""
        container = self("from", "--pull-never", "example").stdout.strip()
        return Path(self("mount", container).stdout.strip())

    def add_base(self, name: str, files: Mapping[Path, Path]) -> None:
        """Make an image of this Python, and of other files by their absolute place in it."""
        root = self.folder / "root"
        for place, path in ({each: each for each in python_files()} | dict(files)).items():
            target = root / place.relative_to("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                shutil.copy(path, target)
        for each in ("usr/local/bin", "tmp", "etc"):
            (root / each).mkdir(parents=True, exist_ok=True)
        (root / "tmp").chmod(0o1777)
        if not (python := root / "usr/local/bin/python").exists():
            python.symlink_to(os.path.realpath(sys.executable))
        container = self("from", "scratch").stdout.strip()
        for done in (
            self("add", "--quiet", container, root, "/"),
            self("commit", "--quiet", container, f"docker.io/library/{name}"),
        ):
            assert done.returncode == 0, done.stderr

    def clear(self) -> None:
        """Remove all containers and images."""
        self("rm", "--all")
        self("rmi", "--all", "--force")


def base_of(dockerfile: Path) -> str:
    """Return the image that a Dockerfile begins from."""
    found = BASE.search(dockerfile.read_text(encoding="utf-8"))
    assert found
    return found[1]


def python_files() -> Iterator[Path]:
    """Yield what this Python needs to start: itself, its library, and the libraries of those."""
    program = Path(os.path.realpath(sys.executable))
    library = Path(sysconfig.get_path("stdlib"))
    own = [
        path
        for path in library.rglob("*")
        if path.is_file() and not OWN_PARTS & set(path.relative_to(library).parts)
    ]
    yield from (program, *own)
    yield from libraries_of([program, *(path for path in own if path.suffix == ".so")])


def libraries_of(compiled: Iterable[Path]) -> set[Path]:
    """Return the shared libraries of this machine that programs and libraries ask for."""
    linked = subprocess.run(
        ["ldd", *map(str, compiled)], capture_output=True, text=True, check=False, timeout=60
    ).stdout
    return {Path(word) for word in linked.split() if word.startswith("/") and word[-1] != ":"}


def needed_by(asked: Iterable[str]) -> list[Distribution]:
    """Return what is installed here for requirements, and for what those require."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [Requirement(each) for each in asked]
    while waiting:
        wanted = waiting.pop()
        name = wanted.name.lower().replace("_", "-")
        each = found.setdefault(name, distribution(wanted.name))
        for extra in {"", *wanted.extras} - {extra for known, extra in seen if known == name}:
            seen.add((name, extra))
            more = map(Requirement, each.requires or ())
            waiting += [
                every
                for every in more
                if every.marker is None or every.marker.evaluate({"extra": extra})
            ]
    return list(found.values())


def pack_wheel(of: Distribution, folder: Path) -> Path:
    """Pack what is installed as a wheel again, without bytecode and programs."""
    info = of.read_text("WHEEL") or ""
    tags = re.findall(r"(?m)^Tag: (?!py2-)(\S+)", info)
    name = re.sub(r"[-_.]+", "_", of.metadata["Name"])
    # one tag of each kind is enough: it is this machine's
    wheel = folder / f"{name}-{of.version}-{tags[0]}.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for file in of.files or ():
            if ".." not in file.parts and file.suffix != ".pyc" and file.name != "direct_url.json":
                archive.write(str(file.locate()), file.as_posix())
    return wheel
