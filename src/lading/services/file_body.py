"""A file as the body of a request: as long as was announced, and counted once."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lading.errors import ServiceError
from lading.storage.progress import Progress

PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class FileBody:
    """A file as the body of a request; read anew at each try."""

    path: Path
    """The file."""
    size_bytes: int
    """Its size: no more and no less is sent."""

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes.

        Raises:
            ServiceError: the file is not as long as was announced.
        """
        with self.path.open("rb") as file:
            found = os.fstat(file.fileno()).st_size
            sent = 0
            while found == self.size_bytes and (piece := file.read(PIECE_BYTES)):
                sent += len(piece)
                yield piece
        if found != self.size_bytes or sent != found:
            raise ServiceError(
                f"{self.path}: expected {self.size_bytes} bytes, found {max(found, sent)};"
                " the file was changed since it was described"
            )


class Sending:
    """A file on its way, however often it has to be sent.

    Args:
        body: the file.
        progress: told what is sent; it is taken back where that has to be sent again.
    """

    def __init__(self, body: FileBody, progress: Progress) -> None:
        self.body = body
        self._progress = progress
        self._counted = 0

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes from the beginning.

        Raises:
            ServiceError: the file is not as long as was announced.
        """
        self.take_back()
        for piece in self.body.pieces():
            self._counted += len(piece)
            self._progress.relative_update(len(piece))
            yield piece

    def take_back(self) -> None:
        """Take back from the progress what was counted."""
        counted, self._counted = self._counted, 0
        if counted:
            self._progress.relative_update(-counted)
