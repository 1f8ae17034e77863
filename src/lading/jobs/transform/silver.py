"""Silver: good rows, once a key, as Parquet files that are the same bytes every time.

The engine's own writer makes other row groups with other numbers of threads. So each file is
one row group, of rows that a plan names: several files are written at once, each in the order
of its rows.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow.parquet

from lading.errors import JobError, MisconfiguredError
from lading.jobs.run import Run
from lading.jobs.transform.engine import Engine, MemoryLimitError, ask
from lading.jobs.transform.rules import partition_name
from lading.jobs.transform.schema import Schema
from lading.jobs.transform.silver_sql import (
    render_census,
    render_disorder,
    render_duplicates,
    render_part,
    render_sorted,
    render_width,
)
from lading.jobs.transform.sources import SILVER_KEY
from lading.jobs.transform.sql import Tables, literal
from lading.release.objects import Digest
from lading.storage import Attributes, Body, Store
from lading.storage.bytes import digest_file

PART_ROWS = 1 << 19
"""Rows after which a file of silver ends, at the next block."""
_PART_BYTES = 128 << 20  # of values in memory; so many that rows of some 250 bytes fit
_BLOCK = 1 << 16
_SORT_ABOVE = 32  # partitions; each costs a pass over one column
_MOST_PARTITIONS = 10_000
_MOST_AT_ONCE = 8
_NOTHING = "__HIVE_DEFAULT_PARTITION__"
_PARQUET = Attributes(media_type="application/vnd.apache.parquet", cache_control="no-cache")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A file of silver, before it is written."""

    key: str
    """Its key below the destination."""
    values: tuple[str | None, ...]
    """Values of its partition, as text."""
    rows: tuple[int, int]
    """First row of the table, and the first one after it."""
    count: int
    """How many good rows of the partition stand there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A file of silver as the list of them names it."""

    key: str
    """Its key below the destination."""
    digest: Digest
    """Its bytes."""
    rows: int
    """Its rows."""

    def table(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        size = self.digest.size_bytes
        return {"key": self.key, "rows": self.rows, "sha256": self.digest.sha256, "size": size}


def mark_duplicates(engine: Engine, schema: Schema) -> int:
    """Mark the rows whose key another row has; return how many they are."""
    if not schema.key:
        return 0
    ((count,),) = engine.rows(render_duplicates(schema))
    return int(count)


def plan_parts(
    schema: Schema, census: Iterable[Sequence[Any]], rows: int = PART_ROWS
) -> list[Part]:
    """Cut good rows into files. Pure.

    Args:
        schema: names the partitions.
        census: per partition and block: values as text, number of the block, good rows; sorted.
        rows: after which a file ends, at the next block.
    """
    names = [partition_name(each) for each in schema.partition_by]
    parts: list[Part] = []
    number = 0
    for *values, block, count in census:
        last = parts[-1] if parts else None
        span = (block * _BLOCK, (block + 1) * _BLOCK)
        is_same = last is not None and last.values == tuple(values)
        if last is not None and is_same and last.count + count <= rows:
            parts[-1] = Part(
                key=last.key,
                values=last.values,
                rows=(last.rows[0], span[1]),
                count=last.count + count,
            )
            continue
        number = number + 1 if is_same else 0
        key = part_key(names, values, number)
        parts.append(Part(key=key, values=tuple(values), rows=span, count=count))
    return parts


def part_key(names: Sequence[str], values: Sequence[str | None], number: int) -> str:
    """Return the key of a file: ``year=2024/part-00000.parquet``."""
    folders = [
        f"{name}={_NOTHING if value is None else quote(value, safe='')}"
        for name, value in zip(names, values, strict=True)
    ]
    return "/".join([*folders, f"part-{number:05}.parquet"])


class Silver:
    """What one schema writes below one destination.

    Args:
        run: on whose behalf.
        store: the destination.
        schema: what is written.
    """

    def __init__(self, run: Run, store: Store, schema: Schema) -> None:
        self._run, self._store, self._schema = run, store, schema

    def write(self, engine: Engine, tables: Tables, folder: Path) -> list[Written]:
        """Write all files; then the list of them; then remove what no longer belongs.

        The list names a file before it stands there, so that a run that is killed leaves nothing
        that the next one does not know.

        Effects: as above; objects that this schema did not write are left alone.

        Raises:
            MisconfiguredError: other objects stand where files are to be written, the destination
                is that of another schema, or there are too many partitions.
        """
        before = self._read_list()
        parts = self._plan(engine, tables)
        self._announce(before, [each.key for each in parts])
        table = "sorted" if self._is_sorted else "bronze"

        def make(part: Part) -> Callable[[Any], Written]:
            return lambda cursor: self._write_part(cursor, table, part, folder)

        works, prelude = [make(each) for each in parts], self._prelude(engine)
        try:
            written = engine.each(works, min(engine.threads, _MOST_AT_ONCE), prelude)
        except MemoryLimitError:  # each holds a file's rows; one alone may be possible
            written = engine.each(works, 1, prelude)
        now = {each.key for each in written}
        self._store.delete([key for key in sorted(before) if key not in now])
        self._run.put(self._store, SILVER_KEY, Body.of_bytes(self._render(written)))
        return written

    def _plan(self, engine: Engine, tables: Tables) -> list[Part]:
        table, census = "bronze", []
        if not tables.wide:
            census = self._census(engine, table)
        partitions = len({tuple(each[:-2]) for each in census})
        ((disorder,),) = engine.rows(render_disorder())
        self._is_sorted = bool(tables.wide or disorder) or partitions > _SORT_ABOVE
        if self._is_sorted and partitions <= _MOST_PARTITIONS:
            table = "sorted"
            engine.execute(render_sorted(self._schema, tables))
            engine.execute("DROP TABLE bronze")
            census = self._census(engine, table)
            partitions = len({tuple(each[:-2]) for each in census})
        if partitions > _MOST_PARTITIONS:
            raise MisconfiguredError(
                f"--schema: partition_by: expected at most {_MOST_PARTITIONS} partitions,"
                f" got {partitions}"
            )
        ((width,),) = engine.rows(render_width(self._schema, table, _BLOCK))
        return plan_parts(self._schema, census, min(PART_ROWS, int(_PART_BYTES / (width or 1))))

    def _census(self, engine: Engine, table: str) -> list[tuple[Any, ...]]:
        return engine.rows(render_census(self._schema, table, _BLOCK))

    def _prelude(self, engine: Engine) -> str:
        if not any("{source_file}" in each for each in self._schema.constants.values()):
            return ""
        ((keys,),) = engine.rows("SELECT getvariable('source_files')")
        return f"SET VARIABLE source_files = [{', '.join(map(literal, keys))}]"

    def _write_part(self, cursor: Any, table: str, part: Part, folder: Path) -> Written:
        path = folder / part.key.replace("/", "_")
        query = render_part(self._schema, table, part.values, part.rows)
        options = f"FORMAT parquet, ROW_GROUP_SIZE {part.count + _BLOCK}"
        ask(cursor, f"COPY ({query}) TO {literal(str(path))} ({options})")
        groups = pyarrow.parquet.read_metadata(path).num_row_groups
        if groups != 1:
            raise JobError(f"{part.key}: expected one row group, got {groups}")
        digest = digest_file(path)
        self._run.put(self._store, part.key, Body(digest, path, attributes=_PARQUET))
        path.unlink()
        return Written(key=part.key, digest=digest, rows=part.count)

    def _read_list(self) -> dict[str, str]:
        """Return what stands here by an earlier run: digest, or "", by key."""
        if self._store.stat(SILVER_KEY) is None:
            return {}
        place = f"{self._store.url}/{SILVER_KEY}"
        try:
            table = json.loads(self._store.get(SILVER_KEY))
            name = table["schema"]
            before = {str(each["key"]): str(each.get("sha256", "")) for each in table["files"]}
        except (ValueError, KeyError, TypeError) as error:
            raise MisconfiguredError(
                f"{place}: expected the list of what a transformation wrote, got: {error}"
            ) from error
        if name != self._schema.name:
            raise MisconfiguredError(
                f"{place}: expected silver of the schema {self._schema.name!r}, found that of"
                f" {name!r}",
                hint="give each schema a destination of its own",
            )
        return before

    def _announce(self, before: dict[str, str], keys: Sequence[str]) -> None:
        new = [key for key in keys if key not in before]
        foreign = {each.key for each in self._store.list()} & set(new) if new else set()
        if foreign:
            raise MisconfiguredError(
                f"{self._store.url}/{min(foreign)}: expected no object that this job did not"
                f" write, found {len(foreign)}"
            )
        if new:
            files = [{"key": key} for key in sorted({*before, *new})]
            self._store.put(SILVER_KEY, Body.of_bytes(self._json(files)))

    def _render(self, written: Sequence[Written]) -> bytes:
        return self._json([each.table() for each in sorted(written, key=lambda each: each.key)])

    def _json(self, files: Sequence[dict[str, Any]]) -> bytes:
        table = {"files": files, "schema": self._schema.name}
        return (json.dumps(table, indent=1, sort_keys=True) + "\n").encode()
