"""Look at the footer of a parquet file, without reading its data."""

import json
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from lading.errors import GateError

_MAGIC = b"PAR1"
_FRAME_BYTES = 8  # footer length and magic at the end
_SMALLEST = 12  # magic, footer length and magic, before any footer


def check_parquet(path: Path) -> int:
    """Refuse a parquet file whose footer is not there, not whole, or tells of data that is not.

    Source: Apache Parquet, "File format": magic, row groups, footer, four bytes of footer
    length, magic.

    Returns:
        The number of its rows.

    Raises:
        GateError: naming the file and what was found.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(len(_MAGIC))
            file.seek(max(0, size - _FRAME_BYTES))
            tail = file.read(_FRAME_BYTES)
    except OSError as error:
        raise GateError(f"{path.name}: expected a readable file, got {error.strerror!r}") from error
    if size < _SMALLEST or head != _MAGIC:
        raise GateError(f"{path.name}: expected a parquet file, found {size} bytes of another kind")
    footer = int.from_bytes(tail[:4], "little")
    if tail[4:] != _MAGIC or not 0 < footer <= size - _SMALLEST:
        raise GateError(f"{path.name}: expected a parquet footer, found none: it is cut short")
    return _read_footer(path, size - _FRAME_BYTES - footer)


def _read_footer(path: Path, data_end: int) -> int:
    rows, end, fault = _READER.ask(path)
    if fault:
        raise GateError(f"{path.name}: expected a valid parquet footer, found: {fault}")
    if end > data_end:
        raise GateError(
            f"{path.name}: expected {end} bytes of data before the footer, found {data_end}"
        )
    return rows


class _Reader:
    """The process that reads footers; begun when it is first needed, and anew where it died."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def ask(self, path: Path) -> tuple[int, int, str]:
        """Return rows, end of the data in bytes, and what is wrong, or ""."""
        with self._lock:
            # a second time: the first may have been ended from outside, between two files
            return self._ask(path) or self._ask(path) or (0, 0, "one that ends its reader")

    def _ask(self, path: Path) -> tuple[int, int, str] | None:
        process = self._process or self._begin()
        answer = ""
        with suppress(BrokenPipeError):
            process.stdin.write(json.dumps(str(path)) + "\n")  # type: ignore[union-attr]  # it is piped
            process.stdin.flush()  # type: ignore[union-attr]  # it is piped
            answer = process.stdout.readline()  # type: ignore[union-attr]  # it is piped
        if not answer:
            self._process = None
            with suppress(BrokenPipeError):
                process.communicate()
            return None
        rows, end, fault = json.loads(answer)
        return int(rows), int(end), str(fault)

    def _begin(self) -> subprocess.Popen[str]:
        """Begin the process. It ends when this one does: its input is at an end then."""
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "lading.prepare.footers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # an interrupt is ours to answer
        )
        return self._process


_READER = _Reader()
