"""Files that the engine cannot read as they are: found, and written anew so that it can.

The engine gives up where line endings are mixed. It loses count where one row has two values with
broken quotes: the rest of the row may come out as a row of its own (seen with duckdb 2.0). Such
files are rare, so that a copy of them costs little.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from lading.jobs.transform.sources import BronzeFile, pieces

_LONGEST_LINE = 2_000_000  # bytes; the engine's own limit, from which on it rejects a row


def unify_lines(file: BronzeFile) -> BronzeFile:
    """Write a file anew with one kind of line ending, inside of quotes too."""
    target = _beside(file)
    carry = b""
    with target.open("wb") as out:
        for piece in pieces(file.path):
            data = carry + piece
            carry = b"\r" if data.endswith(b"\r") else b""
            whole = data[: len(data) - len(carry)]
            out.write(whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
        out.write(carry.replace(b"\r", b"\n"))
    return replace(file, path=target, rounds=file.rounds + 1)


def unquote(file: BronzeFile, faults: Iterable[int], quote: str) -> BronzeFile:
    """Write a file anew with the second and further broken values of some rows unquoted.

    The row stays as long as it was, and is rejected for its first broken value.

    Args:
        file: the file.
        faults: where the second broken value of each such row begins, in bytes from 0.
        quote: the quote.
    """
    target = _beside(file)
    mended = list(file.mended)
    with target.open("wb") as out:
        for piece in pieces(file.path):
            out.write(piece)
    with target.open("r+b") as text:
        for start in sorted(faults):
            text.seek(start)
            line = text.read(_LONGEST_LINE).partition(b"\n")[0].rstrip(b"\r")
            mended.append((start, line))
            text.seek(start)
            text.write(line.replace(quote.encode(), b"'" if quote != "'" else b'"'))
    return replace(file, path=target, rounds=file.rounds + 1, mended=tuple(mended))


def original(file: BronzeFile, start: int, text: str) -> str:
    """Return a rejected row as it stood in the object before it was mended."""
    data = bytearray(text.encode())
    for position, line in file.mended:
        offset = position - start
        if offset >= 0 and offset + len(line) <= len(data):
            data[offset : offset + len(line)] = line
    return data.decode(errors="replace")


def _beside(file: BronzeFile) -> Path:
    return file.path.with_name(f"{file.number:06}-{file.rounds + 1}.txt")
