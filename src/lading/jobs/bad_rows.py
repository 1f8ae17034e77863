"""A file of bad rows, read line by line in the order of its rows."""

from array import array
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from lading.jobs.letters import Failure, parse_failure, row_order


def read_bad_rows(path: Path, error_class: str, reference: str) -> Iterator[Failure]:
    """Yield what is wrong with each row of a file, by row; rows of one number as they stand.

    A file that is not sorted is read twice and costs 16 bytes of memory a line; no line is kept.

    Args:
        path: JSON lines with ``row``, ``message`` and ``payload``.
        error_class: class of all errors.
        reference: URL of the original, for all.

    Raises:
        ValueError: a line is none of these; naming file and line.
        OSError: the file cannot be read.
    """
    offsets, rows = array("q"), array("q")
    for offset, failure in _lines(path, error_class, reference):
        offsets.append(offset)
        rows.append(row_order(failure.row))
    if all(before <= after for before, after in pairwise(rows)):
        yield from (failure for _, failure in _lines(path, error_class, reference))
        return
    import numpy as np  # noqa: PLC0415  rarely needed, slow to import

    with path.open("rb") as file:
        for index in np.argsort(rows, kind="stable"):
            file.seek(offsets[index])
            yield parse_failure(file.readline().decode(), error_class, reference)


def _lines(path: Path, error_class: str, reference: str) -> Iterator[tuple[int, Failure]]:
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    yield offset, parse_failure(line.decode(), error_class, reference)
                except ValueError as error:
                    raise ValueError(f"{path.name}: line {number}: {error}") from error
            offset += len(line)
