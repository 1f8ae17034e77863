"""Objects of dead letters: their keys, and their lines read and written piece by piece."""

import hashlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Self
from urllib.parse import quote, unquote

from lading.jobs.keys import ROOT, dead_letters_prefix
from lading.release.objects import digest_bytes
from lading.storage import Attributes, Body, Entry, Store
from lading.storage.bytes import Digester

PIECE_BYTES = 4 << 20
"""No more of an object is held in memory at a time, a line apart."""
_SPILL_BYTES = 1 << 20
_LONGEST_NAME = 200  # a file's name has at most 255 bytes
_SUFFIX = ".jsonl"
_LONG = "long/"  # no quoted name has a slash
_ATTRIBUTES = Attributes(media_type="application/jsonl", cache_control="no-cache")
_JOB = re.compile(re.escape(ROOT) + r"([^/]+)/dead/.")


def letters_key(job: str, item: str) -> str:
    """Return the key of an item's letters.

    The name of the item stands in it, percent-encoded, so that a listing tells which items have
    letters. One too long for a file's name is cut to what people recognise, before its digest;
    it stands in the letters alone.
    """
    quoted = quote(item, safe="", errors="surrogatepass")
    if len(quoted) <= _LONGEST_NAME:
        return f"{dead_letters_prefix(job)}{quoted}{_SUFFIX}"
    digest = hashlib.sha256(item.encode(errors="surrogatepass")).hexdigest()[:32]
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", item)[:80]
    return f"{dead_letters_prefix(job)}{_LONG}{slug}-{digest}{_SUFFIX}"


def item_of(job: str, key: str) -> str | None:
    """Return the item whose letters stand under a key; None where only they can tell."""
    name = key.removeprefix(dead_letters_prefix(job))
    if name.startswith(_LONG):
        return None
    return unquote(name.removesuffix(_SUFFIX), errors="surrogatepass")


def job_of(key: str) -> str:
    """Return the job whose dead letters stand under a key, or "" where none do."""
    found = _JOB.match(key)
    return found[1] if found and key.endswith(_SUFFIX) else ""


def read_lines(store: Store, entry: Entry) -> Iterator[bytes]:
    """Yield the lines of an object, without their ends, reading a piece at a time.

    Raises:
        MissingObjectError: it is gone.
    """
    begun = b""
    for start in range(0, entry.size_bytes, PIECE_BYTES):
        piece = store.get(entry.key, start, min(start + PIECE_BYTES, entry.size_bytes))
        *lines, begun = (begun + piece).split(b"\n")
        yield from lines
    if begun:
        yield begun


class Draft:
    """Lines on their way to an object: in memory while they are few, then in a temporary file."""

    def __init__(self) -> None:
        self.lines = 0
        """How many there are."""
        self._digester = Digester()
        self._data = bytearray()
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, line: bytes) -> None:
        """Add a line, its end included."""
        self.lines += 1
        self._data += line
        if len(self._data) > _SPILL_BYTES:
            self._spill()

    def body(self) -> Body:
        """Return all lines as a body, which ends with this draft; nothing is added after."""
        if self._file is None:
            data = bytes(self._data)
            return Body(digest_bytes(data), None, data, _ATTRIBUTES)
        self._spill()
        self._file.flush()
        return Body(self._digester.digest(), Path(self._file.name), attributes=_ATTRIBUTES)

    def _spill(self) -> None:
        if self._file is None:
            self._file = tempfile.NamedTemporaryFile(prefix="lading-letters-")  # noqa: SIM115
        data = bytes(self._data)
        self._digester.update(data)
        self._file.write(data)
        self._data.clear()
