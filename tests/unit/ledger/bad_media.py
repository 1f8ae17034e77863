"""Media that fail for real, whoever runs the tests: read-only, full."""

import os
import resource
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def open_folder() -> Iterator[Path]:
    """Give a folder that everybody can walk into; a test's own is closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="lading-ledger-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Take away the right to write a folder and its files; root is nobody meanwhile."""
    paths = [folder, *folder.iterdir()]
    modes = {path: path.stat().st_mode for path in paths}
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        for path, mode in modes.items():
            if path.exists():
                path.chmod(mode)


@contextmanager
def full_disk(free_bytes: int, *, beside: Path) -> Iterator[None]:
    """Let files of this process grow no further than so many bytes over the one that there is."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = beside.stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + free_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
