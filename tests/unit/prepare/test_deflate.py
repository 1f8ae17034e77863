"""Tests of packing with all cores: one stream, the same whatever the machine does."""

import os
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import deflate
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.prepare import deflate as module
from lading.prepare.deflate import LEVELS, Level, Piece, combine_crc32, deflate_blocks
from lading.prepare.joining import WINDOW_BYTES
from tests.unit.prepare.test_joining import FILLERS, MIB, filled, tables, unpacked

PATIENCE_S = 30
MIXED = b"".join(filled(kind, 90_000 + n) for n, kind in enumerate(sorted(FILLERS) * 2))
LIMITS = {"fast": (6, 1.20), "balanced": (6, 1.02), "small": (9, 1.015)}

PEAK = """
import os, re, resource, sys
from pathlib import Path
if hasattr(os, "sched_setaffinity"):  # the memory grows with the threads
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:4])
from lading.prepare.archives import Packing, compress_file
from lading.prepare.digests import DigestCache
source, level = Path(sys.argv[1]), sys.argv[2]
cache = DigestCache(source.with_name("digests.sqlite"))
assert compress_file(source, source.with_name("out.zip"), Packing(level), cache=cache)
try:  # getrusage() also counts what the process that started this one held
    found = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
    print(int(found[1]) * 1024)
except OSError:
    unit = 1 if sys.platform == "darwin" else 1024
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
"""


@pytest.fixture
def use_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], ThreadPoolExecutor]]:
    """Return a function that gives all streams another number of threads."""
    pools = []

    def use(count: int) -> ThreadPoolExecutor:
        pool = ThreadPoolExecutor(count)
        pools.append(pool)
        monkeypatch.setattr(module, "_threads", lambda: (pool, count))
        return pool

    yield use
    for pool in pools:
        pool.shutdown()


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """Give a descriptor of a file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def pieces_of(path: Path, data: bytes, level: Level) -> list[Piece]:
    """Pack bytes by way of a file."""
    path.write_bytes(data)
    with opened(path) as descriptor:
        return list(deflate_blocks(descriptor, level))


def stream_of(path: Path, data: bytes, level: Level) -> bytes:
    """Return the stream of some bytes."""
    return b"".join(piece.packed for piece in pieces_of(path, data, level))


def finish_all(pool: ThreadPoolExecutor, threads: int) -> None:
    """Wait until a pool has done all that was given to it: every thread has to come by."""
    barrier = threading.Barrier(threads)
    for each in [pool.submit(barrier.wait, PATIENCE_S) for _ in range(threads)]:
        each.result()


class TestStream:
    """What is yielded."""

    @pytest.mark.parametrize("level", LEVELS)
    @pytest.mark.parametrize("block_bytes", [4_099, WINDOW_BYTES, 270_000])
    def test_same_for_any_number_of_threads(
        self,
        tmp_path: Path,
        level: str,
        block_bytes: int,
        use_threads: Callable[[int], ThreadPoolExecutor],
    ) -> None:
        """One thread makes the same pieces as any other number, and they unpack to the file."""
        packing = replace(LEVELS[level], block_bytes=block_bytes)
        found = []
        for threads in (1, 2, 3, 8):
            use_threads(threads)
            found.append(pieces_of(tmp_path / "file", MIXED, packing))
        assert found[1:] == found[:1] * 3
        assert unpacked(b"".join(piece.packed for piece in found[0])) == MIXED

    @pytest.mark.parametrize("level", LEVELS)
    def test_same_with_the_threads_of_this_machine(
        self, tmp_path: Path, level: str, use_threads: Callable[[int], ThreadPoolExecutor]
    ) -> None:
        """The threads that all streams share make what one thread makes, as blocks are shipped."""
        data = tables(8 * MIB) + MIXED
        shared = stream_of(tmp_path / "file", data, LEVELS[level])
        use_threads(1)
        assert shared == stream_of(tmp_path / "file", data, LEVELS[level])

    @pytest.mark.parametrize("level", LEVELS)
    def test_streams_side_by_side(self, tmp_path: Path, level: str) -> None:
        """Streams that are packed at the same time, sharing all threads, do not mix."""
        packing = replace(LEVELS[level], block_bytes=10_000)
        datas = [MIXED[at : at + 200_000 + at] for at in range(0, 400_000, 100_000)]
        with ThreadPoolExecutor(len(datas)) as pool:
            paths = [tmp_path / str(n) for n in range(len(datas))]
            found = list(pool.map(partial(stream_of, level=packing), paths, datas))
        assert datas == [unpacked(each) for each in found]

    @pytest.mark.parametrize("level", LEVELS)
    @pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 5000, 5001])
    def test_pieces_tell_what_they_were_made_of(
        self, tmp_path: Path, level: str, size: int
    ) -> None:
        """Each piece stands for one block, tells its size and CRC-32, and is whole bytes."""
        data = filled("rows", size)
        packing = replace(LEVELS[level], block_bytes=1000)
        pieces = pieces_of(tmp_path / "file", data, packing)
        blocks = [data[at : at + 1000] for at in range(0, max(size, 1), 1000)]
        assert [(zlib.crc32(each), len(each)) for each in blocks] == [
            (piece.crc32, piece.size_bytes) for piece in pieces
        ]
        assert data == unpacked(b"".join(piece.packed for piece in pieces))
        cut = b"".join(piece.packed for piece in pieces[:-1])
        assert b"".join(blocks[:-1]) == unpacked(cut + b"\x03\0")

    @pytest.mark.parametrize(("level", "most"), [("fast", 1.5), ("balanced", 2.5)])
    def test_blocks_know_what_stands_before(self, tmp_path: Path, level: str, most: float) -> None:
        """A block refers to the bytes before it: what came already is not packed again.

        libdeflate cannot, but what is left to the other library can; noise always is.
        """
        noise = filled("noise", 20_000)
        packing = replace(LEVELS[level], block_bytes=len(noise))
        assert len(stream_of(tmp_path / "file", noise * 5, packing)) < most * len(noise)

    def test_offset_stays(self, tmp_path: Path) -> None:
        """The file is read by position: where its descriptor stands is not moved, nor asked."""
        (tmp_path / "file").write_bytes(MIXED)
        with opened(tmp_path / "file") as descriptor:
            os.lseek(descriptor, 77, os.SEEK_SET)
            size = sum(piece.size_bytes for piece in deflate_blocks(descriptor, LEVELS["fast"]))
            assert os.lseek(descriptor, 0, os.SEEK_CUR) == 77
        assert size == len(MIXED)

    def test_unreadable(self, tmp_path: Path) -> None:
        """What cannot be read is the error that the system gives."""
        with (tmp_path / "file").open("wb") as file:
            file.write(b"bytes")
            file.flush()
            with pytest.raises(OSError, match="Bad file descriptor"):
                list(deflate_blocks(file.fileno(), LEVELS["fast"]))

    @pytest.mark.parametrize("level", LEVELS)
    @pytest.mark.parametrize("left", [0, 1, 5_000, 60_000])
    def test_file_that_shrinks(
        self,
        tmp_path: Path,
        level: str,
        left: int,
        use_threads: Callable[[int], ThreadPoolExecutor],
    ) -> None:
        """Of a file that is cut while it is packed the pieces tell no byte that was not read."""
        pool = use_threads(2)
        path = tmp_path / "file"
        path.write_bytes(MIXED)
        with opened(path) as descriptor:
            stream = deflate_blocks(descriptor, replace(LEVELS[level], block_bytes=10_000))
            first = next(stream)
            finish_all(pool, 2)
            os.truncate(path, left)
            rest = list(stream)
        assert first.size_bytes == 10_000
        assert sum(piece.size_bytes for piece in rest) < len(MIXED) - 10_000
        assert all(
            piece.crc32 == zlib.crc32(MIXED[at : at + piece.size_bytes])
            for at, piece in zip(range(10_000, len(MIXED), 10_000), rest, strict=True)
        )

    def test_file_that_grows(self, tmp_path: Path) -> None:
        """Of a file that grows while it is packed that is packed which stood there at first."""
        path = tmp_path / "file"
        path.write_bytes(MIXED)
        with opened(path) as descriptor:
            stream = deflate_blocks(descriptor, replace(LEVELS["fast"], block_bytes=10_000))
            packed = next(stream).packed
            with path.open("ab") as file:
                file.write(MIXED)
            packed += b"".join(piece.packed for piece in stream)
        assert unpacked(packed) == MIXED

    @given(first=st.binary(max_size=200), second=st.binary(max_size=200))
    @settings(max_examples=50, deadline=None)
    def test_combined_crc32(self, first: bytes, second: bytes) -> None:
        """Two CRC-32 combined are that of both texts in a row."""
        found = combine_crc32(zlib.crc32(first), zlib.crc32(second), len(second))
        assert zlib.crc32(first + second) == found


class TestSize:
    """How small the levels pack what databases hold; facts of the format, whatever the machine."""

    @pytest.mark.parametrize("level", LEVELS)
    def test_beside_zlib(self, tmp_path: Path, level: str) -> None:
        """A database packed block by block is about as small as zlib makes it in one piece."""
        peer, most = LIMITS[level]
        data = tables(8 * MIB)
        expected = most * len(zlib.compress(data, peer))
        assert len(stream_of(tmp_path / "file", data, LEVELS[level])) <= expected

    @pytest.mark.parametrize(("level", "number"), [("balanced", 5), ("small", 7)])
    def test_beside_libdeflate(self, tmp_path: Path, level: str, number: int) -> None:
        """Joining costs at most five bytes a block: no block of a database is left to another."""
        data, size = tables(8 * MIB), LEVELS[level].block_bytes
        blocks = [data[at : at + size] for at in range(0, len(data), size)]
        most = sum(len(deflate.deflate_compress(block, number)) + 5 for block in blocks)
        assert len(stream_of(tmp_path / "file", data, LEVELS[level])) <= most

    def test_levels_keep_their_word(self, tmp_path: Path) -> None:
        """Each level packs smaller than the one before."""
        data = tables(8 * MIB)
        sizes = [
            len(stream_of(tmp_path / "file", data, LEVELS[level]))
            for level in ("fast", "balanced", "small")
        ]
        assert sorted(sizes, reverse=True) == sizes
        assert len(set(sizes)) == 3


class Work:
    """A level's way to pack that counts what was begun and ended, and may be held up."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0
        self.held = threading.Semaphore(0)
        self.hold = threading.Event()
        self.hold.set()
        self._lock = threading.Lock()

    def __call__(self, block: memoryview, before: memoryview, is_last: bool) -> bytes:  # noqa: FBT001
        """Pack nothing."""
        del before, is_last
        with self._lock:
            self.begun += 1
        if not self.hold.is_set():
            self.held.release()
        assert self.hold.wait(PATIENCE_S)
        with self._lock:
            self.ended += 1
        return bytes(block[:1])


class TestBounds:
    """What is at work at once."""

    @pytest.mark.parametrize("threads", [1, 2, 3, 8])
    def test_pieces_in_flight(
        self, tmp_path: Path, threads: int, use_threads: Callable[[int], ThreadPoolExecutor]
    ) -> None:
        """However slow the consumer, at most two pieces more than threads wait; no fewer work."""
        pool, work = use_threads(threads), Work()
        (tmp_path / "file").write_bytes(bytes(100))
        seen = []
        with opened(tmp_path / "file") as descriptor:
            for taken, _ in enumerate(deflate_blocks(descriptor, Level(1, work))):
                finish_all(pool, threads)
                seen.append(work.begun - taken)
        assert (work.begun, work.ended) == (100, 100)
        assert max(seen) <= threads + 2
        assert min(seen[: -threads - 2]) > threads

    @pytest.mark.parametrize("threads", [1, 3])
    def test_consumer_that_stops(
        self, tmp_path: Path, threads: int, use_threads: Callable[[int], ThreadPoolExecutor]
    ) -> None:
        """Once a stream is closed nothing reads the file any more, neither now nor later."""
        pool, work = use_threads(threads), Work()
        (tmp_path / "file").write_bytes(bytes(100))
        with opened(tmp_path / "file") as descriptor:
            stream = deflate_blocks(descriptor, Level(1, work))
            assert isinstance(stream, Generator)
            next(stream)
            finish_all(pool, threads)
            work.hold.clear()
            for _ in range(threads + 1):  # these were packed before; others are taken up
                next(stream)
            for _ in range(threads):
                assert work.held.acquire(timeout=PATIENCE_S)
            threading.Timer(0.05, work.hold.set).start()
            stream.close()
            begun, ended = work.begun, work.ended
        finish_all(pool, threads)
        assert begun == ended == work.begun == 2 * threads + 2

    def test_interrupt_while_a_piece_is_awaited(
        self,
        tmp_path: Path,
        use_threads: Callable[[int], ThreadPoolExecutor],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """An interrupt that comes while a piece is awaited leaves nothing that reads the file."""
        pool, work = use_threads(1), Work()
        work.hold.clear()
        (tmp_path / "file").write_bytes(b"x")

        def interrupt(_: Future[Piece]) -> Piece:
            assert work.held.acquire(timeout=PATIENCE_S)
            threading.Timer(0.05, work.hold.set).start()
            raise KeyboardInterrupt

        with opened(tmp_path / "file") as descriptor, monkeypatch.context() as patched:
            patched.setattr(Future, "result", interrupt)
            with pytest.raises(KeyboardInterrupt):
                next(deflate_blocks(descriptor, Level(1, work)))
            ended = work.ended
        finish_all(pool, 1)
        assert ended == work.ended == 1

    def test_block_that_fails(
        self, tmp_path: Path, use_threads: Callable[[int], ThreadPoolExecutor]
    ) -> None:
        """A block that cannot be packed ends the stream with its error; no other is begun."""
        pool, begun = use_threads(2), []

        def fail(block: memoryview, before: memoryview, is_last: bool) -> bytes:  # noqa: FBT001
            del before, is_last
            begun.append(block[0])
            if block[0] == 3:
                raise ZeroDivisionError
            return b"piece"

        (tmp_path / "file").write_bytes(bytes(range(100)))
        found: list[int] = []
        with opened(tmp_path / "file") as descriptor, pytest.raises(ZeroDivisionError):
            found.extend(piece.size_bytes for piece in deflate_blocks(descriptor, Level(1, fail)))
        count = len(begun)
        finish_all(pool, 2)
        assert count == len(begun) <= 8
        assert found == [1, 1, 1]

    def test_threads_are_those_of_the_cores_up_to_a_bound(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """There is one thread a core that the process may use, and never more than sixteen."""
        if hasattr(os, "sched_getaffinity"):
            assert module.count_cores() == len(os.sched_getaffinity(0))
        for cores, expected in ((1, 1), (3, 3), (16, 16), (192, 16)):
            monkeypatch.setattr(module, "count_cores", lambda cores=cores: cores)
            pool, found = module._threads.__wrapped__()
            assert (found, pool._max_workers) == (expected, expected)

    @pytest.mark.slow
    @pytest.mark.timeout(1200)
    def test_peak_memory(self, tmp_path: Path) -> None:
        """A database of 4 GB is packed in less than 200 MB of memory, whatever the level."""
        path = tmp_path / "large.sqlite"
        chunks = [tables(16 * MIB, seed) for seed in range(3)]
        with path.open("wb") as file:
            while file.tell() < 4_000_000_000:
                for chunk in chunks:
                    file.write(chunk)
        peaks = {}
        try:
            for level in LEVELS:
                done = subprocess.run(
                    [sys.executable, "-c", PEAK, str(path), level],
                    check=True,
                    capture_output=True,
                    timeout=600,
                )
                peaks[level] = int(done.stdout)
        finally:
            for each in tmp_path.iterdir():
                each.unlink()
        assert max(peaks.values()) < 200_000_000, peaks
