"""List a build that stands on this machine, without changing it."""

import os
from collections.abc import Iterator
from pathlib import Path

from lading.errors import SourceError
from lading.release.layout import SourceFile, check_names


def list_build(folder: Path) -> tuple[SourceFile, ...]:
    """List the files of a build, sorted by path.

    Symbolic links are followed where they stay inside the build.

    Raises:
        SourceError: the folder is missing, empty or unreadable; a link leads out of it or
            nowhere; a name cannot ship (see ``check_names``).
    """
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise SourceError(f"source.url: expected the folder of a build at {folder}, found {found}")
    try:
        files = tuple(sorted(_walk(folder, folder.resolve()), key=lambda each: each.path))
    except OSError as error:
        raise SourceError(
            f"source.url: expected readable files, got {error.strerror!r} at {error.filename}"
        ) from error
    if not files:
        raise SourceError(f"source.url: expected a build in {folder}, found an empty folder")
    check_names(each.path for each in files)
    return files


def _walk(folder: Path, root: Path, prefix: str = "") -> Iterator[SourceFile]:
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda each: each.name)
    for entry in entries:
        path = f"{prefix}{entry.name}"
        if entry.is_symlink():
            _check_link(Path(entry.path), path, root)
        if entry.is_dir():
            yield from _walk(Path(entry.path), root, f"{path}/")
        elif entry.is_file():
            yield SourceFile(path, entry.stat().st_size)
        else:
            raise SourceError(f"source: expected files and folders, got {path!r}, which is neither")


def _check_link(link: Path, path: str, root: Path) -> None:
    try:
        target = link.resolve()
    except (OSError, RuntimeError):  # a link to itself; RuntimeError before Python 3.13
        target = link / "nowhere"
    if not target.exists():
        raise SourceError(f"source: expected links to files of the build, got {path!r} to nothing")
    if not target.is_relative_to(root):
        raise SourceError(
            f"source: expected links that stay inside the build, got {path!r}, which leads out"
        )
    if target.is_dir() and link.parent.resolve().is_relative_to(target):
        raise SourceError(f"source: expected a tree, got {path!r}, a link to a folder around it")
