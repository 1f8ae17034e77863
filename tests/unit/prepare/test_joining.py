"""Tests of joining: a finished stream becomes a piece of a longer one, or is left alone."""

import importlib.util
import random
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import deflate
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.prepare import joining
from lading.prepare.deflate import LEVELS
from lading.prepare.joining import join

ROOT = Path(__file__).parents[3]
MIB = 1 << 20
END = b"\x03\0"  # an empty last block
SYNCED = b"\0\0\xff\xff"  # what a piece ends with
WORDS = (b"natural_gas", b"Prairie Ridge", b"hydro", b"Measured", b"", b"OH")


def _rows(rng: random.Random, size: int) -> bytes:
    """Rows as a database holds them: counters, codes, figures and words."""
    count = min(size, 256 << 10) // 20 + 1
    rows = (
        struct.pack(">IHd", n, n % 7, round(rng.random() * 900, 1)) + rng.choice(WORDS)
        for n in range(count)
    )
    return _repeated(b"".join(rows), size)


def _repeated(part: bytes, size: int) -> bytes:
    return (part * (size // len(part) + 1))[:size]


FILLERS: dict[str, Callable[[random.Random, int], bytes]] = {
    "zeros": lambda _, size: bytes(size),
    "noise": lambda rng, size: rng.randbytes(size),
    "line": lambda rng, size: _repeated(b"%d,Measured\n" % rng.randrange(10**6), size),
    "far": lambda rng, size: _repeated(rng.randbytes(32_000), size),
    "two": lambda rng, size: bytes(rng.choices(b"ab", k=size)),
    "rows": _rows,
}


def filled(kind: str, size: int, seed: int = 0) -> bytes:
    """Return bytes of one kind, the same for the same arguments."""
    return FILLERS[kind](random.Random(f"{kind} {seed}"), size)


@cache
def tables(size_bytes: int, seed: int = 2025) -> bytes:
    """Return a SQLite database of about this size, shaped like a public energy database."""
    spec = importlib.util.spec_from_file_location(
        "energy_tables", ROOT / "benchmarks/energy_tables.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "tables.sqlite"
        module.write_database(path, size_bytes, seed=seed)
        return path.read_bytes()


def unpacked(stream: bytes, before: bytes = b"") -> bytes:
    """Unpack a whole stream with another library; its end is where the stream says."""
    decoder = zlib.decompressobj(-15, zdict=before)
    data = decoder.decompress(stream) + decoder.flush()
    assert decoder.eof
    assert decoder.unused_data == b""
    return data


def finished(block: bytes, level: int) -> bytes:
    """Return a finished stream."""
    return bytes(deflate.deflate_compress(block, level))


def in_two_blocks(first: bytes, second: bytes) -> bytes:
    """Return a finished stream whose last block stands for the second text and no more."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -15, 9, zlib.Z_HUFFMAN_ONLY)
    packed = packer.compress(first) + packer.flush(zlib.Z_BLOCK)
    return packed + packer.compress(second) + packer.flush()


def joined(stream: bytes, block: bytes) -> bytes | None:
    """Return a stream that another may follow, or None where it was left as it is."""
    changed = bytearray(stream)
    if join(changed, memoryview(block)):
        return bytes(changed)
    assert changed == stream
    return None


def is_none_or_right(found: bytes | None, block: bytes) -> bool:
    """Say whether a stream was left alone, or may be followed and stands for the block."""
    return found is None or unpacked(found + END) == block


class TestTables:
    """What databases hold can be joined."""

    @pytest.mark.parametrize("level", range(1, 13))
    def test_every_level_of_libdeflate(self, level: int) -> None:
        """A block of a database is joined, whatever the level, and ends on a whole byte."""
        block = tables(8 * MIB)[3 * MIB : 4 * MIB]
        found = joined(finished(block, level), block)
        assert found is not None
        assert found.endswith(SYNCED)
        assert unpacked(found + END) == block

    @pytest.mark.parametrize(("level", "size"), [(5, MIB), (7, MIB), (5, 4 * MIB), (7, 4 * MIB)])
    def test_every_block(self, level: int, size: int) -> None:
        """No block of a database is left to the fallback, which packs worse."""
        data = tables(8 * MIB)
        blocks = [data[at : at + size] for at in range(0, len(data), size)]
        found = [joined(finished(block, level), block) for block in blocks]
        assert None not in found
        assert unpacked(b"".join(each for each in found if each) + END) == data

    def test_costs_a_few_bytes(self) -> None:
        """A joined stream is the finished one with one bit less and four or five bytes more."""
        block = tables(8 * MIB)[:MIB]
        stream = finished(block, 5)
        found = joined(stream, block) or b""
        cleared = [
            before ^ after for before, after in zip(stream, found, strict=False) if before != after
        ]
        assert len(found) - len(stream) in {len(SYNCED), len(SYNCED) + 1}
        assert [each.bit_count() for each in cleared] == [1]


class TestAnyBytes:
    """A stream that cannot be joined is left alone; one that can stands for the same bytes."""

    @pytest.mark.parametrize("kind", FILLERS)
    @pytest.mark.parametrize("level", range(1, 13))
    def test_kinds_of_data(self, kind: str, level: int) -> None:
        """Kinds that pack well or not at all, alone and beside each other, come out right."""
        for block in (
            filled(kind, 100_000),
            filled(kind, 20_000) + filled("rows", 60_000),
            filled("rows", 60_000) + filled(kind, 20_000),
        ):
            assert is_none_or_right(joined(finished(block, level), block), block)

    @settings(max_examples=60, deadline=None)
    @given(
        parts=st.lists(
            st.tuples(st.sampled_from(sorted(FILLERS)), st.integers(0, 40_000), st.integers(0, 9)),
            max_size=5,
        ),
        level=st.integers(0, 12),
    )
    def test_mixtures(self, parts: list[tuple[str, int, int]], level: int) -> None:
        """Any mixture comes out right or is left alone."""
        block = b"".join(filled(*part) for part in parts)
        assert is_none_or_right(joined(finished(block, level), block), block)

    @settings(max_examples=60, deadline=None)
    @given(block=st.binary(max_size=3000), level=st.integers(0, 12))
    def test_few_bytes(self, block: bytes, level: int) -> None:
        """Short blocks, whose header is most of the stream, come out right or are left alone."""
        assert is_none_or_right(joined(finished(block, level), block), block)

    def test_pieces_follow_each_other(self) -> None:
        """Two joined streams and a finished one are one stream of all three blocks."""
        blocks = [filled("rows", 150_000, 1), filled("line", 90_000), filled("rows", 70_000, 2)]
        pieces = [joined(finished(block, 6), block) for block in blocks[:2]]
        assert None not in pieces
        stream = b"".join(each for each in pieces if each) + finished(blocks[2], 6)
        assert b"".join(blocks) == unpacked(stream)

    def test_both_ways_to_fill_the_last_byte(self) -> None:
        """Where the empty block's bits fit the last byte they stand there, else in one more."""
        added = set()
        for seed in range(40):
            block = filled("rows", 9_000 + seed, seed)
            stream = finished(block, 5)
            found = joined(stream, block)
            assert found is not None
            assert unpacked(found + END) == block
            added.add(len(found) - len(stream))
        assert added == {len(SYNCED), len(SYNCED) + 1}

    @pytest.mark.parametrize("shift", range(24))
    def test_last_block_anywhere_in_a_byte(self, shift: int) -> None:
        """The last block is found at whatever bit it begins."""
        first, second = filled("two", 3_000 + shift, shift), filled("rows", 30_000, shift)
        found = joined(in_two_blocks(first, second), first + second)
        assert found is not None
        assert unpacked(found + END) == first + second

    @pytest.mark.parametrize("shift", range(24))
    def test_longest_list_of_code_lengths(self, shift: int) -> None:
        """A header that gives all nineteen code lengths, in bits of nine bytes, is found."""
        counts = [1, 2]
        while len(counts) < 15:  # so skewed that two codes have fifteen bits
            counts.append(counts[-1] + counts[-2])
        second = b"".join(bytes([40 + 5 * n]) * count for n, count in enumerate(counts))
        first = filled("two", 3_000 + shift, shift)
        found = joined(in_two_blocks(first, second), first + second)
        assert found is not None
        assert unpacked(found + END) == first + second

    def test_last_block_anywhere_in_what_is_searched_at_once(self) -> None:
        """The last block is found whether its header stands in one part, the next or in both."""
        first, letters = filled("two", 9_000), random.Random(1).choices(b"abcdefgh", k=22_000)
        lengths = set()
        for size in range(20_700, 21_200, 4):  # of about three bits each
            stream = in_two_blocks(first, bytes(letters[:size]))
            lengths.add(len(stream) - len(in_two_blocks(first, b"")) > joining._SEARCH_BYTES)
            assert joined(stream, first + bytes(letters[:size])) is not None
        assert lengths == {False, True}

    def test_more_blocks_than_are_searched(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of a stream of many blocks only the end is searched, and the whole is joined."""
        block = filled("noise", 9_000) + filled("two", 3_000)
        stream = in_two_blocks(block[:9_000], block[9_000:])
        monkeypatch.setattr(joining, "_LONGEST_BLOCK", 1_000)
        found = joined(stream, block)
        assert found is not None
        assert unpacked(found + END) == block


class TestFallback:
    """Where the last block has no codes of its own the level packs with another library."""

    @pytest.mark.parametrize("kind", ["stored", "static", "empty"])
    @pytest.mark.parametrize("level", ["balanced", "small"])
    def test_level_packs_what_cannot_be_joined(self, kind: str, level: str) -> None:
        """A stored, a static or an empty end is left alone, and the level's piece is right."""
        block = {
            "stored": filled("rows", 400_000) + filled("noise", 400_000),
            "static": b"a,b\n",
            "empty": b"",
        }[kind]
        before = filled("rows", 32_768, 3)
        assert joined(finished(block, 5), block) is None
        piece = LEVELS[level].pack(memoryview(block), memoryview(before), False)  # noqa: FBT003
        assert piece.endswith(SYNCED)
        assert unpacked(piece + END, before) == block

    def test_longer_last_block_than_is_searched(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A last block that begins too far before the end is left alone, one at the bound is not.

        libdeflate makes none that long.
        """
        block = filled("two", 60_000)
        stream = finished(block, 5)
        for most, is_found in ((len(stream), True), (len(stream) - 1, False), (9, False)):
            monkeypatch.setattr(joining, "_LONGEST_BLOCK", most)
            assert (joined(stream, block) is not None) == is_found

    def test_stream_of_another_block(self) -> None:
        """A stream that does not stand for the block is left alone, wherever they differ."""
        block = filled("rows", 300_000)
        stream = finished(block, 5)
        for at in (0, 150_000, len(block) - 1):
            other = bytearray(block)
            other[at] ^= 1
            assert joined(stream, bytes(other)) is None
        assert joined(stream, block[:-1]) is None
        assert joined(stream, block + b"\0") is None

    @pytest.mark.parametrize("stream", [b"", b"\0", b"\3\0", b"\5", bytes(9), b"\xff" * 700])
    def test_no_stream(self, stream: bytes) -> None:
        """Bytes that are no stream are left alone, with no error."""
        assert joined(stream, b"block") is None


class TestDamage:
    """A damaged stream never makes a wrong one."""

    BLOCK = filled("rows", 6_000)

    @settings(max_examples=300, deadline=None)
    @given(level=st.integers(1, 12), flips=st.lists(st.integers(0, 2**31), min_size=1, max_size=4))
    def test_flipped_bits(self, level: int, flips: list[int]) -> None:
        """Whatever bits are flipped, the stream is left alone or still stands for the block."""
        stream = bytearray(finished(self.BLOCK, level))
        for flip in flips:
            bit = flip % (8 * len(stream) - 8)  # the last byte has a test of its own
            stream[bit // 8] ^= 1 << bit % 8
        assert is_none_or_right(joined(bytes(stream), self.BLOCK), self.BLOCK)

    def test_each_bit_of_the_first_header(self) -> None:
        """No bit of a block's header can be flipped unnoticed."""
        stream = finished(self.BLOCK, 5)
        for bit in range(8 * 80):
            damaged = bytearray(stream)
            damaged[bit // 8] ^= 1 << bit % 8
            assert is_none_or_right(joined(bytes(damaged), self.BLOCK), self.BLOCK)

    def test_cut_stream(self) -> None:
        """A stream without its end is left alone."""
        stream = finished(self.BLOCK, 5)
        for missing in (1, 2, 3, 50, len(stream) - 1):
            assert joined(stream[:-missing], self.BLOCK) is None

    def test_bits_after_the_end(self) -> None:
        """Bits that stand behind the last block never end the joined stream early."""
        for seed in range(24):
            block = filled("rows", 4_000 + seed, seed)
            stream = finished(block, 5)
            for bits in (1, 3):
                for shift in range(8):
                    damaged = stream[:-1] + bytes([(stream[-1] | bits << shift) & 255])
                    assert is_none_or_right(joined(damaged, block), block)

    def test_bytes_after_the_end(self) -> None:
        """Bytes that follow the last block never end the joined stream early."""
        for seed in range(24):
            block = filled("rows", 4_000 + seed, seed)
            for more in (b"\0", b"\1", b"\3", b"\3\0", b"\0\0\xff\xff", bytes(9)):
                damaged = finished(block, 5) + more
                assert is_none_or_right(joined(damaged, block), block)
