"""Look at the frame of a parquet file: enough to know a truncated one, with no dependency."""

from pathlib import Path

from lading.errors import GateError

_MAGIC = b"PAR1"
_SMALLEST = 12  # magic, footer length and magic, before any footer


def check_parquet(path: Path) -> None:
    """Refuse a parquet file without its head, its tail, or room for the footer it announces.

    Source: Apache Parquet, "File format": magic, row groups, footer, four bytes of footer
    length, magic.

    Raises:
        GateError: naming the file and what was found.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(len(_MAGIC))
            file.seek(max(0, size - 8))
            tail = file.read(8)
    except OSError as error:
        raise GateError(f"{path.name}: expected a readable file, got {error.strerror!r}") from error
    if size < _SMALLEST or head != _MAGIC:
        raise GateError(f"{path.name}: expected a parquet file, found {size} bytes of another kind")
    footer = int.from_bytes(tail[:4], "little")
    if tail[4:] != _MAGIC or not 0 < footer <= size - _SMALLEST:
        raise GateError(f"{path.name}: expected a parquet footer, found none: it is cut short")
