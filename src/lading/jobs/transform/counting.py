"""The numbers of rejected rows, counted in the file itself.

The engine tells where a rejected row begins, in bytes; the line that it tells is off by one after
each place where one of its threads begins between a return and a line feed (seen with duckdb 2.0),
and counts empty lines, of which no rows are made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lading.jobs.transform.sources import pieces

Places = npt.NDArray[np.int64]
_LINE_FEED, _RETURN = ord("\n"), ord("\r")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """Rows of one file that the engine rejected, in the order of the file."""

    starts: Sequence[int]
    """Where each begins, in bytes from 0."""
    ends: Sequence[int]
    """Where each ends, without the end of its line."""


def number_rejected(
    path: Path, rejected: Rejected, *, header: int, quote: str, rows: int
) -> list[int] | None:
    """Return the number of each rejected row, from 1, empty lines not counted.

    Args:
        path: the file.
        rejected: which rows; at least one.
        header: rows before the first one, 0 or 1.
        quote: the quote, or "".
        rows: how many there are in all, rejected ones included: what is counted has to agree.

    Returns:
        The numbers in order, or None where the file does not add up.
    """
    end = _LINE_FEED if any(b"\n" in piece for piece in pieces(path)) else _RETURN
    # no row has less than one line: as many lines as rows are lines without breaks in quotes
    for within in ("", quote) if quote else ("",):
        counter = _Counter(rejected, within, end)
        for piece in pieces(path):
            counter.take(piece)
        if counter.total == header + rows:
            return [int(each) - header + 1 for each in counter.before]
    return None


class _Counter:
    """Counts lines that are not empty, piece by piece."""

    def __init__(self, rejected: Rejected, quote: str, end: int) -> None:
        self._starts = np.array(rejected.starts, dtype=np.int64)
        self._ends = np.array(rejected.ends, dtype=np.int64)
        self._quote = ord(quote) if quote else None
        self._end = end
        self._lines = 0
        self._position = 0
        self._tail = b"\n"  # what stands before the piece, as far as it matters
        self._quotes = 0
        self._quotes_at_ends = np.zeros(len(self._ends) + 1, dtype=np.int64)
        self.before = np.zeros(len(self._starts), dtype=np.int64)
        """Lines before each rejected row."""

    @property
    def total(self) -> int:
        """Lines in all."""
        return self._lines + (self._tail[-1:] not in {b"\n", b"\r"})

    def take(self, piece: bytes) -> None:
        """Take the next piece."""
        places = self._line_ends(piece)
        if self._quote is not None:
            places = self._outside(piece, places)
        here = slice(*np.searchsorted(self._starts, [self._position, self._position + len(piece)]))
        self.before[here] = self._lines + np.searchsorted(places, self._starts[here])
        self._lines += len(places)
        self._position += len(piece)
        self._tail = (self._tail + piece[-2:])[-2:]

    def _line_ends(self, piece: bytes) -> Places:
        """Return where lines end that are not empty."""
        known = len(self._tail)
        data = np.frombuffer(self._tail + piece, dtype=np.uint8)
        is_end = data == self._end
        ends = np.flatnonzero(is_end[known:]) + known
        is_empty = is_end[ends - 1]
        if self._end == _LINE_FEED:
            is_return = data[ends - 1] == _RETURN
            is_empty |= is_return & is_end[np.maximum(ends - 2, 0)]
        found: Places = ends[~is_empty].astype(np.int64) - known + self._position
        return found

    def _outside(self, piece: bytes, places: Places) -> Places:
        """Return the places that are not in quotes, those of a rejected row included."""
        quotes = np.flatnonzero(np.frombuffer(piece, dtype=np.uint8) == self._quote)
        quotes = quotes.astype(np.int64) + self._position
        stop = self._position + len(piece)
        first, last = np.searchsorted(self._ends, [self._position, stop])
        # a rejected row may hold any number of quotes: what follows it begins anew
        counted = self._quotes + np.searchsorted(quotes, self._ends[first:last])
        self._quotes_at_ends[first + 1 : last + 1] = counted
        rejected = np.searchsorted(self._ends, places, side="right")
        since = self._quotes + np.searchsorted(quotes, places) - self._quotes_at_ends[rejected]
        self._quotes += len(quotes)
        outside: Places = places[since % 2 == 0]
        return outside
