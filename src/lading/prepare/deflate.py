"""One raw DEFLATE stream of a large file, made block by block by all cores.

Blocks are cut by size alone, so the bytes depend on the input, the level and the libraries,
and on nothing else: not on the number of threads, not on what else the machine does.

libdeflate packs better and faster than any zlib, but it can only finish a stream; ``joining``
makes its streams pieces of a longer one (docs/adr/0007).
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from typing import Any

import deflate
from isal import isal_zlib
from zlib_ng import zlib_ng

from lading.prepare.joining import WINDOW_BYTES, join

_MOST_THREADS = 16  # bounds the memory on large machines
_memory = threading.local()


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the stream, and what it was made of."""

    packed: bytes
    """Its part of the stream, whole bytes."""
    crc32: int
    """CRC-32 of the bytes it was made of."""
    size_bytes: int
    """How many they were."""


Pack = Callable[[memoryview, memoryview, bool], bytes]
"""From a block, the bytes before it and whether it is the last, to its part of the stream."""


@dataclass(frozen=True, slots=True)
class Level:
    """How a stream is packed."""

    block_bytes: int
    """Size of a block: what one thread packs at once."""
    pack: Pack
    """How a block is packed."""


def deflate_blocks(source: int, level: Level) -> Iterator[Piece]:
    """Pack a file, yielding its stream in order.

    All streams of this process share one set of threads, one a core. Memory: about four
    blocks a thread, whatever the size of the file.

    Args:
        source: descriptor of the file; it is read by position, so its offset stays.
        level: how to pack.

    Raises:
        OSError: it cannot be read.
    """
    size = os.fstat(source).st_size
    pool, threads = _threads()
    waiting: deque[Future[Piece]] = deque()
    try:
        for start in range(0, max(size, 1), level.block_bytes):
            waiting.append(pool.submit(_pack_block, source, level, start, size))
            if len(waiting) > threads + 1:
                yield _first(waiting)
        while waiting:
            yield _first(waiting)
    finally:
        wait([each for each in waiting if not each.cancel()])  # they still read the descriptor


def _first(waiting: deque[Future[Piece]]) -> Piece:
    """Take the first piece off, once it is there: an interrupt in between must still see it."""
    piece = waiting[0].result()
    waiting.popleft()
    return piece


def combine_crc32(first: int, second: int, size_bytes: int) -> int:
    """Return the CRC-32 of two texts in a row; the size is the second's."""
    return zlib_ng.crc32_combine(first, second, size_bytes)


@cache
def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that decide on the bytes of a stream."""
    return {name: version(name) for name in ("deflate", "isal", "zlib-ng")}


@cache
def _threads() -> tuple[ThreadPoolExecutor, int]:
    count = min(count_cores(), _MOST_THREADS)
    return ThreadPoolExecutor(count, thread_name_prefix="deflate"), count


def count_cores() -> int:
    """Return the number of cores that this process may use; a container may give it fewer."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _pack_block(source: int, level: Level, start: int, size: int) -> Piece:
    before = min(start, WINDOW_BYTES)
    data = _read(source, start - before, min(level.block_bytes, size - start) + before)
    block = data[before:]
    packed = level.pack(block, data[:before], start + level.block_bytes >= size)
    return Piece(packed, zlib_ng.crc32(block), len(block))


def _read(source: int, start: int, count: int) -> memoryview:
    """Read into this thread's own memory, which is used again for the next block."""
    buffer = getattr(_memory, "buffer", None)
    if buffer is None or len(buffer) < count:
        buffer = _memory.buffer = memoryview(bytearray(count))
    done = 0
    while done < count:
        more = os.preadv(source, [buffer[done:count]], start + done)
        if not more:
            break  # it shrank: whoever asked compares the size
        done += more
    return buffer[:done]


def _pack_primed(
    library: Any,
    level: int,
    block: memoryview,
    before: memoryview,
    is_last: bool,  # noqa: FBT001
) -> bytes:
    """Pack with a library of zlib's interface: primed with the bytes before, flushed at the end."""
    primed = [bytes(before)] if before else []
    packer = library.compressobj(level, library.DEFLATED, -15, 8, 0, *primed)
    end = library.Z_FINISH if is_last else library.Z_SYNC_FLUSH
    return bytes(packer.compress(block) + packer.flush(end))


def _pack_dense(level: int, block: memoryview, before: memoryview, is_last: bool) -> bytes:  # noqa: FBT001
    """Pack with libdeflate; what cannot be joined or unpacked is left to zlib-ng."""
    packed = deflate.deflate_compress(block, level)
    if is_last or join(packed, block):
        return bytes(packed)
    return _pack_primed(zlib_ng, 6, block, before, is_last)


LEVELS = {
    "fast": Level(2 << 20, partial(_pack_primed, isal_zlib, 2)),
    "balanced": Level(4 << 20, partial(_pack_dense, 5)),
    "small": Level(4 << 20, partial(_pack_dense, 7)),
}
