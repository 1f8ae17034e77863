"""HTTP/1.1 messages as bytes on their way: just enough to tell one from the next."""

import re
from collections.abc import Iterator
from typing import BinaryIO

PIECE_BYTES = 1 << 16


class Head:
    """The first line and the headers of a message, as they were sent."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.first, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
        pairs = (line.split(":", 1) for line in lines if ":" in line)
        self._fields = {name.lower(): value.strip() for name, value in pairs}

    @property
    def is_chunked(self) -> bool:
        """Whether the body comes in chunks."""
        return "chunked" in self.get("transfer-encoding").lower()

    def get(self, name: str) -> str:
        """A header's value, or ""."""
        return self._fields.get(name, "")

    def without(self, name: str) -> bytes:
        """The head less one header."""
        pattern = rb"(?im)^" + re.escape(name.encode()) + rb":[^\r\n]*\r\n"
        return re.sub(pattern, b"", self.raw)

    def pieces(
        self, reader: BinaryIO, limit: int | None = None, *, until_closed: bool = False
    ) -> Iterator[bytes]:
        """The body as it was sent, chunk framing and all, up to a limit."""
        if until_closed:
            source = iter(lambda: reader.read(PIECE_BYTES), b"")
        elif self.is_chunked:
            source = _chunks(reader)
        else:
            source = _exactly(reader, int(self.get("content-length") or 0))
        left = limit
        for piece in source:
            if left is None:
                yield piece
                continue
            if left > 0:
                yield piece[:left]
            left -= len(piece)
            if left <= 0:
                return


def read_head(reader: BinaryIO) -> Head | None:
    """Read the head of the next message, or None where the connection has ended."""
    lines = []
    while True:
        line = reader.readline(PIECE_BYTES)
        if not line:
            return None
        if line != b"\r\n":
            lines.append(line)
        elif lines:
            return Head(b"".join(lines) + line)


def _exactly(reader: BinaryIO, size: int) -> Iterator[bytes]:
    while size:
        piece = reader.read(min(size, PIECE_BYTES))
        if not piece:
            raise ConnectionAbortedError("the message ends early")
        size -= len(piece)
        yield piece


def _chunks(reader: BinaryIO) -> Iterator[bytes]:
    while True:
        line = reader.readline(PIECE_BYTES)
        size = int(line.split(b";")[0], 16)
        yield line
        if size == 0:
            break
        yield from _exactly(reader, size + 2)
    while True:  # trailers, and the empty line
        line = reader.readline(PIECE_BYTES)
        yield line
        if line in {b"\r\n", b""}:
            return
