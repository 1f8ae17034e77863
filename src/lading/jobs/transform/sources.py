"""The objects of bronze: listed, brought to this machine, looked at before they are read."""

import codecs
import csv
import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pyarrow as pa
from isal import igzip

from lading.errors import MisconfiguredError, StoreError, UnavailableError
from lading.jobs.transform.schema import Schema
from lading.jobs.transform.sql import Shape
from lading.storage import Entry, LocalStore, Store
from lading.storage.bytes import CHUNK_BYTES

_HEAD_BYTES = 1 << 20
_PIECE_BYTES = 32 << 20
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
SILVER_KEY = "_silver.json"
"""Key of the list of what a transformation wrote, below its destination."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why a whole file is bad."""

    error_class: str
    """``EmptyFile``, ``BinaryFile``, ``WrongEncoding``, ``UnreadableFile``, ``MissingColumns``."""
    message: str
    """What was expected, what was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BronzeFile:
    """An object of bronze on this machine."""

    number: int
    """Its number in the order of keys, from 0."""
    entry: Entry
    """The object."""
    path: Path
    """Where its bytes are; a name that means nothing in a pattern."""
    shape: Shape | None = None
    """What it is like; None where it is bad."""
    fault: Fault | None = None
    """Why it is bad."""
    mended: tuple[tuple[int, bytes], ...] = ()
    """Position and bytes of lines that stand otherwise at ``path``; see ``mending``."""
    rounds: int = 0
    """How often it was mended."""

    @property
    def key(self) -> str:
        """Key of the object, the name of the item."""
        return self.entry.key


def list_bronze(store: Store, pattern: str) -> list[Entry]:
    """List the objects of a source that a pattern matches, as a whole or by their last part.

    Raises:
        MisconfiguredError: the place does not exist, or may not be read.
        UnavailableError: it did not answer.
    """
    place = f"--source {store.url}"
    if isinstance(store, LocalStore) and not Path(store.url).is_dir():
        raise MisconfiguredError(f"{place}: expected a folder, found none")
    try:
        entries = store.list()
    except UnavailableError:
        raise
    except StoreError as error:
        raise MisconfiguredError(f"{place}: expected to list it, got: {error}") from error
    chosen = [each for each in entries if _is_bronze(each.key, pattern)]
    return sorted(chosen, key=lambda each: each.key)


def _is_bronze(key: str, pattern: str) -> bool:
    if key == SILVER_KEY or "/.lading/" in f"/{key}":
        return False  # what jobs keep of themselves
    return fnmatchcase(key, pattern) or fnmatchcase(key.rpartition("/")[2], pattern)


def bring(
    store: Store, entries: Sequence[Entry], folder: Path, check: Callable[[], None]
) -> list[BronzeFile]:
    """Bring objects to this machine; those of a folder are read where they are.

    Effects: files, or links, in ``folder``.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def fetch(number: int, entry: Entry) -> BronzeFile:
        check()
        ending = "".join(Path(entry.key).suffixes[-1:]).lower()
        path = folder / f"{number:06}{ending if ending in _COMPRESSIONS else '.txt'}"
        if isinstance(store, LocalStore):
            path.symlink_to((Path(store.url) / entry.key).absolute())
        else:
            _download(store, entry, path, check)
        return BronzeFile(number=number, entry=entry, path=path)

    if isinstance(store, LocalStore):
        return [fetch(*each) for each in enumerate(entries)]
    with ThreadPoolExecutor(store.workers) as pool:
        return list(pool.map(fetch, range(len(entries)), entries))


def _download(store: Store, entry: Entry, path: Path, check: Callable[[], None]) -> None:
    with path.open("wb") as file:
        for start in range(0, entry.size_bytes, _PIECE_BYTES):
            check()
            file.write(store.get(entry.key, start, min(start + _PIECE_BYTES, entry.size_bytes)))


def look_at_all(
    files: Sequence[BronzeFile], schema: Schema, threads: int, check: Callable[[], None]
) -> list[BronzeFile]:
    """Look at files, several at once; see ``look_at``."""

    def look(file: BronzeFile) -> BronzeFile:
        check()
        return look_at(file, schema)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(look, files))


def look_at(file: BronzeFile, schema: Schema) -> BronzeFile:
    """Look at a file: its shape, or why it is bad.

    The engine takes compressed files as they come, whatever their checksums say and, of zstd,
    wherever they break off (seen with duckdb 2.0): they are unpacked here.

    Effects: a file that is compressed, or in another encoding than UTF-8, is written anew beside
    it.
    """
    compression = _COMPRESSIONS.get(file.path.suffix)
    try:
        if compression:
            file = replace(file, path=_unpack(file.path, compression))
        with file.path.open("rb") as opened:
            head = opened.read(_HEAD_BYTES)
    except (OSError, ValueError, EOFError, zlib.error) as error:
        said = f"expected {compression or 'readable'} data, got: {_said(error)}"
        return _bad(file, "UnreadableFile", said)
    if not head:
        return _bad(file, "EmptyFile", f"expected {schema.format} text, got 0 bytes")
    if _is_binary(head, wide="16" in schema.encoding or "32" in schema.encoding):
        return _bad(file, "BinaryFile", f"expected {schema.format} text, got binary data")
    if codecs.lookup(schema.encoding).name == "utf-8":
        return _shaped(file, head, schema)
    try:
        path = _recode(file.path, schema.encoding)
    except ValueError as error:
        said = f"expected text in {schema.encoding}, got: {_said(error)}"
        return _bad(file, "WrongEncoding", said)
    with path.open("rb") as opened:
        return _shaped(replace(file, path=path), opened.read(_HEAD_BYTES), schema)


def _shaped(file: BronzeFile, head: bytes, schema: Schema) -> BronzeFile:
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head, len(head) < _HEAD_BYTES)
    except UnicodeDecodeError as error:
        said = f"expected text in {schema.encoding}, got: {_said(error)}"
        return _bad(file, "WrongEncoding", said)
    if schema.format == "jsonl":
        return replace(file, shape=Shape(()))
    body = text.lstrip("\r\n")
    if not body.strip():
        return _bad(file, "EmptyFile", "expected a header, got empty lines")
    skip = len(text[: len(text) - len(body)].splitlines())
    header = _first_row(body, schema)
    names = header if schema.header else [str(number + 1) for number in range(len(header))]
    missing = [each.origin for each in schema.columns if each.origin not in names]
    twice = [each.origin for each in schema.columns if names.count(each.origin) > 1]
    shape = Shape(tuple(names), skip)
    if missing or twice:
        found = ", ".join(names)
        told = ", ".join(dict.fromkeys(missing or twice))
        many = "once, got" if not missing else "in it, got"
        message = f"expected the columns {told} {many}: {found}"
        return replace(_bad(file, "MissingColumns", message), shape=shape)
    return replace(file, shape=shape)


def _first_row(text: str, schema: Schema) -> list[str]:
    options: dict[str, Any] = {"delimiter": schema.delimiter}
    options |= {"quotechar": schema.quote} if schema.quote else {"quoting": csv.QUOTE_NONE}
    try:
        return [each.strip() for each in next(csv.reader(io.StringIO(text, newline=""), **options))]
    except (csv.Error, StopIteration):
        return []


def _bad(file: BronzeFile, error_class: str, message: str) -> BronzeFile:
    return replace(file, fault=Fault(error_class=error_class, message=message))


def _said(error: Exception) -> str:
    return " ".join(str(error).split())


def _is_binary(head: bytes, *, wide: bool) -> bool:
    """Say whether a file is no text, by the characters that no text holds."""
    if wide:
        return False
    odd = sum(head.count(bytes([each])) for each in range(32) if each not in b"\t\n\v\f\r\x1b")
    return b"\0" in head[:8192] or odd * 100 > len(head)


def pieces(path: Path) -> Iterator[bytes]:
    """Read a file piece by piece."""
    with path.open("rb", buffering=0) as file:
        while piece := file.read(CHUNK_BYTES):
            yield piece


def _unpack(path: Path, compression: str) -> Path:
    """Unpack a file, proving its checksums, and return where it is."""
    target = path.with_name(f"{path.stem}-plain.txt")
    with path.open("rb") as file, target.open("wb") as out:
        reader = (
            igzip.IGzipFile(fileobj=file, mode="rb")  # type: ignore[no-untyped-call]
            if compression == "gzip"
            else pa.CompressedInputStream(pa.PythonFile(file, "r"), compression)
        )
        with reader:
            while piece := reader.read(CHUNK_BYTES):
                out.write(piece)
    return target


def _recode(path: Path, encoding: str) -> Path:
    """Write a file anew in UTF-8, and return where it is."""
    target = path.with_name(f"{path.stem}-utf8.txt")
    decoder = codecs.getincrementaldecoder(encoding)()
    with target.open("wb") as out:
        for piece in pieces(path):
            out.write(decoder.decode(piece).encode())
        out.write(decoder.decode(b"", final=True).encode())
    return target
