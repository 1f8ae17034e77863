"""A zip file, written front to back in one pass, with its digests computed on the way.

The records before and behind an entry's data are written here, since no library takes data
that is compressed already and whose digests are wanted at once; the directory at the end is
the standard library's. Source: PKWARE, ".ZIP File Format Specification" (APPNOTE 6.3.10).
"""

import io
import os
import struct
import zipfile
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Self

from lading.errors import SourceError
from lading.prepare.deflate import Level, Piece, combine_crc32, deflate_blocks
from lading.release.objects import Digest
from lading.storage.bytes import CHUNK_BYTES, Digester, copy_range_in_kernel

ZipTime = tuple[int, int, int, int, int, int]
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")  # APPNOTE 4.3.7
_SIZES_BEHIND = 1 << 3  # flag: CRC and sizes stand behind the data (4.4.4, bit 3)
_NAME_IS_UTF8 = 1 << 11
_ROOM = 1.01  # what a compressed entry may grow by, far above DEFLATE's worst case


class ZipWriter:
    """Writes entries to a new zip file; equal entries give equal bytes.

    Use as a context manager; the file is whole once the block has ended well.

    Args:
        path: where to write.
        time: modification time of every entry; year, month, day, hour, minute, second.
        md5: whether MD5 is wanted.
    """

    def __init__(self, path: Path, time: ZipTime, *, md5: bool = False) -> None:
        self._sink = _Sink(path, md5=md5)
        self._time = time
        self._directory = zipfile.ZipFile(self._sink, "w")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                self._directory.close()
                self._sink.wait()
        finally:
            self._directory.fp = None  # an abandoned one would write when it is collected
            self._sink.close()

    @property
    def digest(self) -> Digest:
        """Digests of all that was written."""
        return self._sink.digester.digest()

    def add_deflated(
        self, name: str, source: Path, level: Level, advance: Callable[[int], None]
    ) -> Digest:
        """Add a file, compressed by all cores.

        Args:
            name: name of the entry, with forward slashes.
            source: the file.
            level: how to compress it.
            advance: told of the bytes read; may raise to stop.

        Returns:
            Size and CRC-32 of what was read.

        Raises:
            SourceError: the file cannot be read.
            OSError: the archive cannot be written.
        """
        descriptor = os.open(source, os.O_RDONLY)
        try:
            expected = os.fstat(descriptor).st_size
            is_large = int(expected * _ROOM) > zipfile.ZIP64_LIMIT
            entry = self._begin(name, zipfile.ZIP_DEFLATED)
            entry.flag_bits |= _SIZES_BEHIND
            self._write_header(entry, is_large=is_large)
            start = self._sink.tell()
            # closed before the descriptor is: nobody reads it then
            with closing(_name_faults(source, deflate_blocks(descriptor, level))) as pieces:
                for piece in pieces:
                    self._sink.write(piece.packed)
                    entry.CRC = combine_crc32(entry.CRC, piece.crc32, piece.size_bytes)
                    entry.file_size += piece.size_bytes
                    advance(piece.size_bytes)
        finally:
            os.close(descriptor)
        entry.compress_size = self._sink.tell() - start
        sizes = struct.Struct("<4sLQQ" if is_large else "<4sLLL")  # 4.3.9
        self._sink.write(sizes.pack(b"PK\x07\x08", entry.CRC, entry.compress_size, entry.file_size))
        self._end(entry)
        return Digest(size_bytes=entry.file_size, crc32=f"{entry.CRC:08x}")

    def add_stored(
        self, name: str, source: Path, digest: Digest, advance: Callable[[int], None]
    ) -> None:
        """Add a file as it is, copied inside the kernel while it is digested.

        Args:
            name: name of the entry, with forward slashes.
            source: the file.
            digest: its size and CRC-32.
            advance: told of the bytes read; may raise to stop.

        Raises:
            OSError: EIO where the file is shorter than its digest says.
        """
        entry = self._begin(name, zipfile.ZIP_STORED)
        entry.CRC = int(digest.crc32, 16)
        entry.file_size = entry.compress_size = digest.size_bytes
        self._write_header(entry, is_large=digest.size_bytes > zipfile.ZIP64_LIMIT)
        self._sink.copy(source, digest.size_bytes, advance)
        self._end(entry)

    def _begin(self, name: str, method: int) -> zipfile.ZipInfo:
        entry = zipfile.ZipInfo(name, self._time)
        entry.compress_type = method
        entry.create_system = 3  # Unix, whatever the machine
        entry.external_attr = 0o100644 << 16
        entry.header_offset = self._sink.tell()
        entry.CRC = entry.compress_size = entry.file_size = 0
        return entry

    def _write_header(self, entry: zipfile.ZipInfo, *, is_large: bool) -> None:
        name = entry.filename.encode()
        sizes = (entry.compress_size, entry.file_size)
        extra = b""
        if is_large:  # 4.5.3: the sizes stand in an extra field, eight bytes each
            extra = struct.pack("<HHQQ", 1, 16, *reversed(sizes))
            sizes = (0xFFFF_FFFF, 0xFFFF_FFFF)
        year, month, day, hour, minute, second = entry.date_time
        header = _LOCAL_HEADER.pack(
            b"PK\x03\x04",
            zipfile.ZIP64_VERSION if is_large else zipfile.DEFAULT_VERSION,
            entry.flag_bits | (0 if entry.filename.isascii() else _NAME_IS_UTF8),
            entry.compress_type,
            hour << 11 | minute << 5 | second // 2,
            (year - 1980) << 9 | month << 5 | day,
            entry.CRC,
            *sizes,
            len(name),
            len(extra),
        )
        self._sink.write(header + name + extra)

    def _end(self, entry: zipfile.ZipInfo) -> None:
        self._directory.filelist.append(entry)
        self._directory.NameToInfo[entry.filename] = entry
        self._directory.start_dir = self._sink.tell()


def _name_faults(source: Path, pieces: Iterator[Piece]) -> Generator[Piece, None, None]:
    """Pass pieces on; name the file that cannot be read, which is not the one being written."""
    try:
        yield from pieces
    except OSError as error:
        raise SourceError(f"{source}: expected a readable file, got {error.strerror!r}") from error


class _Sink(io.RawIOBase):
    """A new file that digests what is written to it, in the order of its bytes."""

    def __init__(self, path: Path, *, md5: bool) -> None:
        super().__init__()
        self.digester = Digester(md5=md5)
        self._file = path.open("wb", buffering=0)
        self._copier = ThreadPoolExecutor(1, thread_name_prefix="copy")
        self._copies: deque[Future[None]] = deque()

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.digester.size_bytes

    def write(self, data: bytes) -> int:  # type: ignore[override]
        view, position = memoryview(data), self.tell()
        while view:
            done = os.pwrite(self._file.fileno(), view, position)
            view, position = view[done:], position + done
        self.digester.update(data)
        return len(data)

    def copy(self, source: Path, size: int, advance: Callable[[int], None]) -> None:
        """Append a file. It is digested here while another thread lets the kernel copy it."""
        position = self.tell()
        self._copies.append(self._copier.submit(self._copy, source, position, size))
        with source.open("rb", buffering=0) as file:
            while (left := position + size - self.tell()) and (
                piece := file.read(min(left, CHUNK_BYTES))
            ):
                self.digester.update(piece)
                advance(len(piece))
        if self._copies[0].done():  # a full disk is no reason to read on
            self._copies.popleft().result()

    def wait(self) -> None:
        """Wait until all is copied.

        Raises:
            OSError: a copy failed.
        """
        while self._copies:
            self._copies.popleft().result()

    def _copy(self, source: Path, position: int, size: int) -> None:
        with source.open("rb", buffering=0) as file:
            copy_range_in_kernel(file.fileno(), self._file.fileno(), position, size)

    def close(self) -> None:
        """Close the file; begin no copy any more."""
        if not self.closed:
            self._copier.shutdown(cancel_futures=True)
            self._file.close()
            super().close()
