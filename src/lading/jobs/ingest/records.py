"""Records of silver: Parquet files below a prefix, read piece by piece where they stand."""

import io
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from pyarrow import parquet

from lading.errors import BadDataError, LadingError, MisconfiguredError, TemporaryError
from lading.jobs.ingest.values import render_record, rows_of
from lading.jobs.places import list_data, locate
from lading.jobs.refs import ObjectRef, OpenStore
from lading.storage import Store

SUFFIX = ".parquet"
_BUFFER_BYTES = 1 << 20
_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"  # as Hive writes null into a folder's name


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record; or, with row 0, a file that cannot be read any further, or can be again."""

    file_url: str
    """The file that it stands in."""
    row: int
    """Number of its row in the file, from 1."""
    table: dict[str, Any] = field(default_factory=dict)
    """Its fields, as JSON takes them."""
    text: str = ""
    """It as canonical JSON."""
    salt: str = ""
    """What makes sending it a request of its own, where it is sent again on purpose."""
    fault: LadingError | None = None
    """Why it cannot be sent at all."""

    @property
    def name(self) -> str:
        """Its name: ``<file>#<row>``; that of the file, where that is at fault."""
        return f"{self.file_url}#{self.row}" if self.row else self.file_url


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What of the files becomes records."""

    key: tuple[str, ...]
    """Columns that identify a record: none of them may be null."""
    columns: tuple[str, ...] = ()
    """Columns to send, beside those of the key; none: all."""
    rows_at_once: int = 500
    """Rows that are read at once."""


def find_files(source: str, open_store: OpenStore) -> tuple[Store, list[ObjectRef]]:
    """Return the store of the Parquet files of a source, and the files, sorted by key.

    Args:
        source: path or URL of one file, or of a folder; in it, names that begin with ``_`` or
            ``.`` are none of the data.
        open_store: opens stores.

    Raises:
        MisconfiguredError, StoreError: the place does not exist or cannot be read.
        BadDataError: there are none.
    """
    folder, name = source, ""
    if source.endswith(SUFFIX):
        folder, _, name = source.rpartition("/")
    store = open_store(folder or ".")
    entries = [
        each
        for each in list_data(store, "", allow_empty=True)
        if (each.key == name if name else _is_data(each.key))
    ]
    if not entries:
        raise BadDataError(f"{locate(store, name)}: expected Parquet files, found none")
    return store, [ObjectRef.of_entry(store.url, each) for each in entries]


def read_records(
    store: Store, files: Iterable[ObjectRef], wanted: Selection, faulty: Collection[str] = ()
) -> Iterator[Record]:
    """Yield the records of files, in order. A file that cannot be read is told, and passed over.

    Args:
        store: where they are.
        files: what to read.
        wanted: what of it.
        faulty: URLs of files that could not be read before: one that can be now is told, too.

    Raises:
        StoreError: the store cannot be read.
    """
    for file in files:
        try:
            yield from _read_file(store, file, wanted)
            if file.url in faulty:
                yield Record(file_url=file.url, row=0)
        except (BadDataError, MisconfiguredError, TemporaryError) as error:
            yield Record(file_url=file.url, row=0, fault=error)


def _read_file(store: Store, file: ObjectRef, wanted: Selection) -> Iterator[Record]:
    """Yield the records of one file.

    Raises:
        BadDataError: it is no Parquet file, or is damaged.
        MisconfiguredError: it has not the columns.
        TemporaryError: it was replaced while it was read.
    """
    row = 0
    try:
        raw = io.BufferedReader(_Object(store, file), _BUFFER_BYTES)
        with parquet.ParquetFile(raw, pre_buffer=True) as opened:
            names = opened.schema_arrow.names
            folders = partitions_of(file.key, names)
            chosen = _choose_columns(file, [*names, *folders], wanted)
            inside = [each for each in chosen if each in names]
            added = {name: value for name, value in folders.items() if name in chosen}
            for batch in opened.iter_batches(batch_size=wanted.rows_at_once, columns=inside):
                for table in rows_of(batch):
                    row += 1
                    yield _make(file, row, {**table, **added}, wanted.key)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadDataError(
            f"{file.url}: expected a Parquet file, got {reason!r} after {row} rows"
        ) from error
    standing = store.stat(file.key)
    if standing is None or standing.version != file.version:
        raise TemporaryError(f"{file.url}: expected an unchanged file, found it replaced")


def partitions_of(key: str, names: Sequence[str]) -> dict[str, Any]:
    """Return the columns that only the folders of a file tell: ``year=2024/part-0.parquet``. Pure.

    Args:
        key: key of the file, below the source.
        names: columns in the file: these count, where both tell.
    """
    pairs = [part.partition("=") for part in key.split("/")[:-1]]
    return {
        unquote(name): None if value == _NULL_PARTITION else unquote(value)
        for name, separator, value in pairs
        if separator and name and unquote(name) not in names
    }


def _choose_columns(file: ObjectRef, names: Sequence[str], wanted: Selection) -> list[str]:
    missing = [each for each in (*wanted.key, *wanted.columns) if each not in names]
    if missing:
        raise MisconfiguredError(
            f"{file.url}: expected columns {', '.join(map(repr, missing))},"
            f" found {', '.join(names)}"
        )
    kept = {*wanted.key, *wanted.columns} if wanted.columns else set(names)
    return [each for each in names if each in kept]


def _make(file: ObjectRef, row: int, table: dict[str, Any], key: tuple[str, ...]) -> Record:
    empty = [name for name in key if table[name] is None]
    fault = None
    if empty:
        fault = BadDataError(f"row {row}: expected a value in {', '.join(empty)}, got null")
    return Record(file_url=file.url, row=row, table=table, text=render_record(table), fault=fault)


def _is_data(key: str) -> bool:
    return key.endswith(SUFFIX) and not any(part[0] in "._" for part in key.split("/"))


class _Object(io.RawIOBase):
    """An object of a store as a file to read; only what is asked for is fetched."""

    def __init__(self, store: Store, file: ObjectRef) -> None:
        super().__init__()
        self._store = store
        self._file = file
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size_bytes}[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        size = min(len(buffer), self._file.size_bytes - self._at)
        if size <= 0:
            return 0
        data = self._store.get(self._file.key, self._at, self._at + size)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
