"""A source, a schema and a destination below one folder, and transformations between them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from lading.jobs.builtin.transform import JOB
from tests.unit.jobs.one_run import QuickRun, call, letters_of, make_run

Row = dict[str, Any]


class Bronze:
    """Files of bronze, and what becomes of them."""

    def __init__(self, base: Path, schema: dict[str, Any]) -> None:
        self.base = base
        self.source = base / "bronze"
        self.silver = base / "silver"
        self.source.mkdir()
        self.set_schema(schema)

    def set_schema(self, schema: dict[str, Any]) -> None:
        """Write the schema file."""
        (self.base / "plants.json").write_text(json.dumps(schema), encoding="utf-8")

    def write(self, key: str, data: str | bytes) -> Path:
        """Write a file of the source."""
        path = self.source / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    def run(self, *more: str, number: int = 1) -> QuickRun:
        """Make a run."""
        argv = ["--schema", "plants.json", "--source", str(self.source)]
        argv += ["--destination", str(self.silver), *more]
        return make_run("transform", JOB, argv, base=self.base, number=number)

    def do(self, *more: str, number: int = 1) -> QuickRun:
        """Run, which is to go well."""
        run = self.run(*more, number=number)
        assert call(JOB, run) == 0
        return run

    def files(self) -> dict[str, bytes]:
        """Return silver, without what Lading keeps, by key."""
        return {key: path.read_bytes() for key, path in self._paths()}

    def rows(self) -> list[Row]:
        """Return the rows of all files of silver, in the order of keys."""
        paths = [path for key, path in self._paths() if key.endswith(".parquet")]
        return [row for path in paths for row in pq.ParquetFile(path).read().to_pylist()]

    def _paths(self) -> Iterator[tuple[str, Path]]:
        for path in sorted(self.silver.rglob("*")):
            key = path.relative_to(self.silver).as_posix()
            if path.is_file() and not key.startswith(".lading/"):
                yield key, path


def letters(run: QuickRun) -> list[tuple[str, int | None, str]]:
    """Return the dead letters of a run: key of the file, row and message."""
    return [(key_of(each.item), each.row, each.message) for each in letters_of(run)]


def key_of(item: str) -> str:
    """Return the key of the file that a dead letter names."""
    return item.partition("/bronze/")[2]


def columns(*names: str, **types: str) -> list[dict[str, Any]]:
    """Return columns of a schema, strings and those of other types."""
    made: list[dict[str, Any]] = [{"name": name} for name in names]
    return made + [{"name": name, "type": kind} for name, kind in types.items()]
