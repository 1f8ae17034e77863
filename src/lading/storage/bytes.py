"""Moving and digesting the bytes of local files, once and in pieces."""

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import google_crc32c

from lading.errors import StoreError
from lading.release.objects import Digest, encode_crc32c
from lading.storage.progress import NO_PROGRESS, Progress

CHUNK_BYTES = 1 << 20
_FICLONE = 0x40049409  # linux/fs.h: share the extents of a whole file (reflink)
_NOT_HERE = {errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EPERM}


def read_pieces(path: Path) -> Iterator[bytes]:
    """Read a file in pieces of one MiB."""
    with path.open("rb", buffering=0) as file:
        while piece := file.read(CHUNK_BYTES):
            yield piece


def digest_file(
    path: Path, *, sha256: bool = True, md5: bool = False, progress: Progress = NO_PROGRESS
) -> Digest:
    """Digest a file in one read.

    Args:
        path: the file.
        sha256: whether SHA-256 is wanted; CRC32C always is.
        md5: whether MD5 is wanted; it costs more than the other two together.
        progress: told of the bytes read.
    """
    size, crc = 0, 0
    hashes = {
        name: hashlib.new(name, usedforsecurity=False)
        for name, wanted in (("sha256", sha256), ("md5", md5))
        if wanted
    }
    for piece in read_pieces(path):
        size, crc = size + len(piece), google_crc32c.extend(crc, piece)
        for each in hashes.values():
            each.update(piece)
        progress.relative_update(len(piece))
    texts = {name: each.hexdigest() for name, each in hashes.items()}
    return Digest(size_bytes=size, crc32c=encode_crc32c(crc), **texts)


def copy_in_kernel(source: int, target: int) -> None:
    """Copy a whole file between two descriptors, inside the kernel.

    A reflink where the filesystem has it, else ``copy_file_range``; only where neither is to be
    had do the bytes pass through this process, piece by piece.
    """
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
    else:
        return
    remaining = os.fstat(source).st_size
    offset = 0
    while offset < remaining:
        offset += _copy_range(source, target, offset, remaining - offset)


def sync_folder(folder: Path) -> None:
    """Make a rename in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy_range(source: int, target: int, offset: int, count: int) -> int:
    try:
        if hasattr(os, "copy_file_range"):  # Linux only
            done = os.copy_file_range(source, target, count, offset, offset)
        else:
            done = _copy_piece(source, target, offset, count)
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
        done = _copy_piece(source, target, offset, count)
    if not done:
        raise OSError(errno.EIO, "the file shrank while it was copied")
    return done


def _copy_piece(source: int, target: int, offset: int, count: int) -> int:
    return os.pwrite(target, os.pread(source, min(count, CHUNK_BYTES), offset), offset)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a small file whole and durably, or not at all.

    Raises:
        StoreError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StoreError(f"{path}: expected to write it, got {error.strerror!r}") from error
