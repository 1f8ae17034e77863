"""One file from any fsspec filesystem: in blocks at once, gone on with where it was cut.

Beside the growing file stands a journal: a line of text a block, written after its bytes. A
block is believed when its bytes on the disk still have the CRC32C of the journal, so that a
power cut between the two costs a block and no more.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import stamina

from lading.storage.bytes import CHUNK_BYTES, crc_of
from lading.storage.progress import Progress

BLOCK_BYTES = 8 << 20
_TRIES = 5
_FOR_GOOD = (FileNotFoundError, PermissionError, IsADirectoryError, NotImplementedError)


@dataclass(frozen=True, slots=True)
class Block:
    """A range of a file."""

    number: int
    """From 0."""
    start: int
    """First byte."""
    stop: int
    """First byte after it."""


class UnrangedError(Exception):
    """The filesystem answers a range with something else: it can only be read as a whole."""


class Download:
    """A file on its way.

    Args:
        filesystem: where it comes from.
        remote: its path there.
        target: where it goes.
        size: its size in bytes.
        fingerprint: what tells these bytes from later ones under the same name.
    """

    def __init__(
        self, filesystem: Any, remote: str, target: Path, *, size: int, fingerprint: str
    ) -> None:
        self._filesystem = filesystem
        self.remote = remote
        self._size = size
        self._fingerprint = fingerprint
        self._lock = threading.Lock()
        self.part = target.with_name(f".{target.name}.part")
        self._journal = target.with_name(f".{target.name}.blocks")

    def missing(self) -> list[Block]:
        """Return the blocks that are not here yet; what is of other bytes is removed."""
        blocks = [
            Block(number, start, min(start + BLOCK_BYTES, self._size))
            for number, start in enumerate(range(0, self._size, BLOCK_BYTES))
        ]
        here = self._read_journal()
        if here is None:
            self.discard()
            self.part.parent.mkdir(parents=True, exist_ok=True)
            self._journal.write_text(f"{self._fingerprint}\n", encoding="utf-8")
            self.part.touch()
            return blocks
        descriptor = os.open(self.part, os.O_RDONLY)
        try:
            return [
                each
                for each in blocks
                if here.get(each.number) != crc_of(descriptor, each.start, each.stop - each.start)
            ]
        finally:
            os.close(descriptor)

    def fetch(self, block: Block, progress: Progress) -> None:
        """Fetch one block, again where that may help.

        Raises:
            UnrangedError: the filesystem has no ranges.
            Exception: what the filesystem raises in the end.
        """
        data = _tried(
            lambda: self._filesystem.cat_file(self.remote, start=block.start, end=block.stop)
        )
        if len(data) != block.stop - block.start:
            raise UnrangedError
        descriptor = os.open(self.part, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            view = memoryview(data)
            while view:
                view = view[os.pwrite(descriptor, view, block.stop - len(view)) :]
        finally:
            os.close(descriptor)
        line = f"{block.number} {google_crc32c.value(bytes(data)):08x}\n"
        with self._lock, self._journal.open("a", encoding="utf-8") as journal:
            journal.write(line)
        progress.relative_update(len(data))

    def fetch_whole(self, progress: Progress) -> None:
        """Fetch a file as one stream, from its beginning."""
        self.discard()
        with self._filesystem.open(self.remote, "rb") as reader, self.part.open("wb") as writer:
            while piece := reader.read(CHUNK_BYTES):
                writer.write(piece)
                progress.relative_update(len(piece))

    def finish(self, target: Path) -> None:
        """Give the file its name."""
        self.part.replace(target)
        self._journal.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove what is here of it."""
        self._journal.unlink(missing_ok=True)
        self.part.unlink(missing_ok=True)

    def _read_journal(self) -> dict[int, int] | None:
        """Return CRC32C by number of block, or None where nothing here can be gone on with."""
        try:
            first, *lines = self._journal.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError):
            return None
        if first != self._fingerprint or not self.part.is_file():
            return None
        here = {}
        for line in lines:
            with suppress(ValueError):  # the last one may be cut
                number, crc = line.split()
                here[int(number)] = int(crc, 16)
        return here


def _tried(act: Callable[[], bytes]) -> bytes:
    """Read, again where that may help: what a filesystem raises has no order of its own."""
    for attempt in stamina.retry_context(
        on=lambda error: not isinstance(error, _FOR_GOOD),
        attempts=_TRIES,
        wait_initial=0.05,
        wait_max=5.0,
        wait_jitter=0.2,
    ):
        with attempt:
            return act()
    raise AssertionError  # pragma: no cover  a retry context returns or raises
