"""Moving and digesting the bytes of local files, once and in pieces."""

import base64
import errno
import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import google_crc32c
from zlib_ng import zlib_ng

from lading.errors import StoreError
from lading.release.objects import Digest, encode_crc32c
from lading.storage.progress import NO_PROGRESS, Progress

CHUNK_BYTES = 1 << 20
_FICLONE = 0x40049409  # linux/fs.h: share the extents of a whole file (reflink)
_POLYNOMIAL = 0x82F63B78  # CRC32C, reflected
_NOT_HERE = {errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EPERM}


def read_pieces(path: Path) -> Iterator[bytes]:
    """Read a file in pieces of one MiB."""
    with path.open("rb", buffering=0) as file:
        while piece := file.read(CHUNK_BYTES):
            yield piece


class Digester:
    """Digests of bytes that pass by, piece by piece.

    Args:
        sha256: whether SHA-256 is wanted; CRC32C and CRC-32 always are, and cost next to nothing.
        md5: whether MD5 is wanted; it costs more than all others together.
    """

    def __init__(self, *, sha256: bool = True, md5: bool = False) -> None:
        self.size_bytes = 0
        self._crc32, self._crc32c = 0, 0
        self._hashes = {
            name: hashlib.new(name, usedforsecurity=False)
            for name, wanted in (("sha256", sha256), ("md5", md5))
            if wanted
        }

    def update(self, piece: bytes) -> None:
        """Take the next piece."""
        self.size_bytes += len(piece)
        self._crc32 = zlib_ng.crc32(piece, self._crc32)
        self._crc32c = google_crc32c.extend(self._crc32c, piece)
        for each in self._hashes.values():
            each.update(piece)

    def digest(self) -> Digest:
        """Return the digests of all that passed."""
        return Digest(
            size_bytes=self.size_bytes,
            crc32=f"{self._crc32:08x}",
            crc32c=encode_crc32c(self._crc32c),
            **{name: each.hexdigest() for name, each in self._hashes.items()},
        )


def digest_file(
    path: Path, *, sha256: bool = True, md5: bool = False, progress: Progress = NO_PROGRESS
) -> Digest:
    """Digest a file in one read.

    Args:
        path: the file.
        sha256: whether SHA-256 is wanted.
        md5: whether MD5 is wanted.
        progress: told of the bytes read.
    """
    digester = Digester(sha256=sha256, md5=md5)
    for piece in read_pieces(path):
        digester.update(piece)
        progress.relative_update(len(piece))
    return digester.digest()


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
    copy_range_in_kernel(source, target, 0, os.fstat(source).st_size)


def copy_range_in_kernel(source: int, target: int, position: int, size: int) -> None:
    """Copy the first ``size`` bytes of a file to a position of another, inside the kernel.

    Raises:
        OSError: EIO where the source is shorter, and what reading or writing raises.
    """
    done = 0
    while done < size:
        done += _copy_range(source, target, done, position + done, size - done)


def sync_folder(folder: Path) -> None:
    """Make a rename in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy_range(source: int, target: int, start: int, position: int, count: int) -> int:
    try:
        if hasattr(os, "copy_file_range"):  # Linux only
            done = os.copy_file_range(source, target, count, start, position)
        else:
            done = _copy_piece(source, target, start, position, count)
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
        done = _copy_piece(source, target, start, position, count)
    if not done:
        raise OSError(errno.EIO, "the file shrank while it was copied")
    return done


def _copy_piece(source: int, target: int, start: int, position: int, count: int) -> int:
    return os.pwrite(target, os.pread(source, min(count, CHUNK_BYTES), start), position)


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


def crc_of(descriptor: int, start: int, size: int) -> int:
    """Return the CRC32C of some bytes of an open file; fewer where it ends before."""
    crc, end = 0, start + size
    while start < end and (piece := os.pread(descriptor, min(CHUNK_BYTES, end - start), start)):
        crc = google_crc32c.extend(crc, piece)
        start += len(piece)
    return int(crc)


def combine_crc32c(parts: Iterable[tuple[str, int]]) -> str:
    """Return the CRC32C of bytes from those of their parts, without reading any.

    Args:
        parts: CRC32C, base64, and size in bytes of each part, in order.
    """
    crc = 0
    for encoded, size in parts:
        crc = _shift_crc32c(crc, size) ^ int.from_bytes(base64.b64decode(encoded), "big")
    return encode_crc32c(crc)


def _shift_crc32c(crc: int, size: int) -> int:
    """Return the CRC32C of some bytes with ``size`` zero bytes after them, of that before them.

    A CRC is a remainder of polynomials over GF(2): n zero bits multiply it by x^n, and x^n is
    made by squaring (RFC 9260 appendix A names the polynomial).
    """
    power, factor, bits = 1 << 31, 1 << 30, 8 * size  # x^0 and x^1, lowest term first
    while bits:
        if bits & 1:
            power = _multiply(power, factor)
        factor = _multiply(factor, factor)
        bits >>= 1
    return _multiply(crc, power)


def _multiply(left: int, right: int) -> int:
    """Multiply two polynomials modulo CRC32C's, bits in reflected order."""
    product = 0
    for bit in range(31, -1, -1):
        if left >> bit & 1:
            product ^= right
        right = right >> 1 ^ (_POLYNOMIAL if right & 1 else 0)
    return product
