"""A finished DEFLATE stream, made a piece of a longer one.

A stream ends with the block that is marked as its last. To let another follow, that mark is
one bit to clear and the last byte one to fill; but where the block begins, no library tells.
It is searched from the end, by what the header of a block must look like, and proved by
unpacking. Source: RFC 1951, "DEFLATE Compressed Data Format", 3.2.
"""

from typing import Any

import deflate
import numpy as np
from zlib_ng import zlib_ng

WINDOW_BYTES = 32 << 10  # how far back a match may reach
_SYNC = b"\0\0\xff\xff"  # the rest of an empty stored block, from its byte on
_END = bytes(deflate.deflate_compress(b".", 1))  # a stream of one byte: shows where it is reached
_LONGEST_BLOCK = 305_000  # bytes; libdeflate packs no more than these into one block
_LONGEST_HEADER = 288  # bytes, as libdeflate writes them
_SEARCH_BYTES = 8 << 10  # of a stream's end, searched at once
_BITS = 8  # in a byte
_LAST_WITH_CODES = 0b101  # the first bits of the last block, if it has codes of its own
_UNUSED = 15  # the upper four bits of the two numbers of codes that are not used
_COMPLETE = 128  # what the lengths of a complete code sum up to, in units of 1/128
_KRAFT = np.array(  # that sum for four code lengths of three bits each
    [sum(128 >> (four >> at & 7) for at in (0, 3, 6, 9) if four >> at & 7) for four in range(4096)],
    np.uint16,
)
_INVALID: Any = zlib_ng.error  # an exception class that the stubs take for another thing


def join(stream: bytearray, block: memoryview) -> bool:
    """Make a finished stream one that another may follow.

    Its last block loses the mark of a last block (one bit), and an empty block fills the last
    byte (RFC 1951, 3.2.3 and 3.2.4). The result was unpacked and compared with ``block``.

    Effects: ``stream`` is changed where the answer is True, and is as it was where it is False.

    Args:
        stream: what libdeflate made of ``block``.
        block: the bytes that it unpacks to.
    """
    bit = _find_last_block(stream, block)
    if bit is None:
        return False
    size = len(stream)
    # the empty block's own three bits are zero: they fit the last byte, or need another
    ends = (_SYNC, b"\0" + _SYNC) if stream[-1] < 1 << 5 else (b"\0" + _SYNC,)
    stream[bit // 8] ^= 1 << bit % 8
    for end in ends:
        stream += end + _END
        if _unpacks_to(stream, block):
            del stream[-len(_END) :]
            return True
        del stream[size:]
    stream[bit // 8] ^= 1 << bit % 8
    return False


def _unpacks_to(stream: bytearray, block: memoryview) -> bool:
    """Say whether a stream unpacks to a block and the one byte of ``_END``, and ends there."""
    try:
        unpacked = deflate.deflate_decompress(stream, len(block) + 1)
    except deflate.DeflateError:
        return False
    if unpacked[-1:] != b".":
        return False
    del unpacked[-1]
    return bool(unpacked == block)


def _find_last_block(stream: bytearray, block: memoryview) -> int | None:
    """Return the bit where the last block begins; None where it has no codes of its own."""
    longest = bytes(stream[-_LONGEST_BLOCK:])
    skipped = len(stream) - len(longest)
    padded = longest + bytes(_LONGEST_HEADER)
    for end in range(len(longest), 0, -_SEARCH_BYTES):
        for bit in _find_headers(padded, max(0, end - _SEARCH_BYTES), end):
            head = _shift(padded[bit // 8 : bit // 8 + _LONGEST_HEADER], bit % 8)
            if _is_header(head) and _ends_as(_shift(longest[bit // 8 :], bit % 8), block):
                return skipped * _BITS + bit
    return None


def _find_headers(padded: bytes, start: int, end: int) -> list[int]:
    """Return the bits where the header of a last block with its own codes may begin, last first.

    Such a header is the bits 1, 0, 1; the numbers of literal and of distance codes less 257
    and 1, of which the highest two are not used; the number of code lengths less 4; then
    that many lengths of three bits, which must make a complete code (RFC 1951, 3.2.7).
    """
    count = end - start
    low = np.ndarray(count, "<u4", padded, start, (1,))
    high = np.ndarray(count, "<u8", padded, start + 2, (1,))
    last = np.ndarray(count, "u1", padded, start + 10, (1,))
    found = []
    for shift in range(_BITS):
        head = low >> np.uint32(shift)
        at = np.flatnonzero((head & 7) == _LAST_WITH_CODES)
        head = head[at]
        fits = ((head >> 4 & 15) != _UNUSED) & ((head >> 9 & 15) != _UNUSED)
        at, head = at[fits], head[fits]
        lengths = high[at] >> np.uint64(shift + 1)
        if shift + 1 == _BITS:  # one bit stands in the ninth byte
            lengths |= last[at].astype(np.uint64) << np.uint64(56)
        given = (head >> 13 & 15).astype(np.uint64) + np.uint64(4)
        lengths &= (np.uint64(1) << np.uint64(3) * given) - np.uint64(1)
        fours = (lengths >> np.uint64(12 * n) & np.uint64(4095) for n in range(5))
        kraft = sum((_KRAFT[four] for four in fours), np.uint16(0))
        found.append((start + at[kraft == _COMPLETE]) * 8 + shift)
    return [int(bit) for bit in np.sort(np.concatenate(found))[::-1]]


def _shift(data: bytes, bits: int) -> bytes:
    """Return data without its first bits, up to seven."""
    return (int.from_bytes(data, "little") >> bits).to_bytes(len(data), "little")


def _is_header(head: bytes) -> bool:
    """Say whether a decoder takes these bytes as the beginning of a block."""
    try:
        zlib_ng.decompressobj(-15).decompress(head, 1)
    except _INVALID as error:
        return "distance too far" in str(error)  # it has come to the block's data
    return True


def _ends_as(tail: bytes, block: memoryview) -> bool:
    """Say whether a stream's end, from its last block on, unpacks to the end of ``block``."""
    primed = bytes(block[:WINDOW_BYTES])  # whatever it holds: the length is asked for
    for _ in range(2):
        decoder = zlib_ng.decompressobj(-15, primed)
        try:
            found = decoder.decompress(tail)
        except _INVALID:
            return False
        if not found or not decoder.eof or len(decoder.unused_data) > 1:
            return False
        rest = len(block) - len(found)
        primed = bytes(block[max(0, rest - WINDOW_BYTES) : rest])
    return bool(found == block[rest:])
