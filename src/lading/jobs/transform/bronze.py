"""Bronze into one table of typed rows, in one parse: good rows, bad rows, rejected lines.

The order of rows in the table is that of the files, so that the place of a row in its file is
its place in the table less that of the file's first row, and the rejected lines before it.
"""

# ruff: noqa: S608  names and texts are quoted by ident() and literal(), the rest are numbers

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from lading.errors import MisconfiguredError
from lading.jobs.transform.bronze_sql import render_bronze, render_insert, render_read
from lading.jobs.transform.engine import Engine, EngineError, ask
from lading.jobs.transform.mending import unify_lines, unquote
from lading.jobs.transform.schema import Schema
from lading.jobs.transform.sources import BronzeFile, Fault
from lading.jobs.transform.sql import Shape, Tables, ident, json_path, literal

_ROUNDS = 3  # of mending, until a file is given up
_MIXED = "state machine"
_REJECTS = ("reject_errors", "reject_scans")
_KEPT = """
CREATE TABLE rejects (file UINTEGER, line UBIGINT, start UBIGINT, text VARCHAR, message VARCHAR)
"""
_KEEP = """
INSERT INTO rejects
SELECT {number}, min(line), line_byte_position - 1, any_value(csv_line ORDER BY column_idx),
    string_agg(DISTINCT {message}, '; ' ORDER BY {message})
FROM reject_errors GROUP BY file_id, line_byte_position
"""
# what each kind of reject means, in our words
_MESSAGE = """
CASE error_type
    WHEN 'MISSING COLUMNS' THEN 'expected {columns} fields, got fewer'
    WHEN 'TOO MANY COLUMNS' THEN 'expected {columns} fields, got more'
    WHEN 'UNQUOTED VALUE' THEN 'expected a value that ends with its quote, got text after it'
    WHEN 'LINE SIZE OVER MAXIMUM' THEN 'expected a row of at most 2 MB, got a longer one'
    ELSE 'expected a row of {format}, got ' || lower(error_type)
END
"""
_BROKEN_TWICE = """
SELECT file_id, list_sort(list(DISTINCT byte_position))[2] - 1 FROM reject_errors
WHERE error_type = 'UNQUOTED VALUE' GROUP BY file_id, line HAVING count(DISTINCT byte_position) > 1
"""
_WRONG_TEXT = "SELECT DISTINCT file_id FROM reject_errors WHERE error_type = 'INVALID ENCODING'"


def load_bronze(
    engine: Engine, schema: Schema, tables: Tables, files: Sequence[BronzeFile]
) -> list[BronzeFile]:
    """Read files into the tables ``bronze`` and ``rejects``.

    Args:
        engine: where to.
        schema: what to make of them.
        tables: of the lookups, which are there already.
        files: in the order of keys; bad ones are passed over.

    Returns:
        The files as they were read, in the same order: some mended, some found to be bad.
    """
    engine.execute(render_bronze(schema, tables))
    engine.execute(_KEPT)
    reader = _Reader(engine, schema, tables)
    done = {each.number: each for each in files}
    pending = [each for each in files if each.fault is None]
    while pending:
        again = []
        for shape, members in _by_shape(pending):
            changed = reader.read(shape, members)
            done |= {each.number: changed.get(each.number, each) for each in members}
            if changed:  # nothing of this shape was kept
                again += [done[each.number] for each in members]
        pending = [each for each in again if each.fault is None]
    return [done[number] for number in sorted(done)]


def require_columns(schema: Schema, files: Sequence[BronzeFile], place: str) -> None:
    """Refuse a schema that names columns of which no file has one.

    Raises:
        MisconfiguredError: naming them, and what was found.
    """
    headers = [each.shape.columns for each in files if each.shape is not None]
    if not headers or schema.format != "csv":
        return
    known = {name for header in headers for name in header}
    missing = [each.origin for each in schema.columns if each.origin not in known]
    if missing:
        raise _no_such(missing, place, f"; found: {', '.join(sorted(known))}")


def require_keys(engine: Engine, schema: Schema, files: Sequence[BronzeFile], place: str) -> None:
    """Refuse a schema that names keys of which no JSON line has one; call it after reading.

    Raises:
        MisconfiguredError: naming them.
    """
    counts = ", ".join(f"count({ident(each.name)})" for each in schema.columns)
    ((rows, *values),) = engine.rows(f"SELECT count(*), {counts} FROM bronze")
    absent = [
        each for each, count in zip(schema.columns, values, strict=True) if rows and not count
    ]
    for shape, members in _by_shape(files if absent else []):
        read = render_read(schema, shape, [str(each.path) for each in members])
        found = ", ".join(
            f"bool_or(json_exists(line, {literal(json_path(each.origin))}))" for each in absent
        )
        (there,) = engine.rows(f"SELECT {found} FROM {read} WHERE json_valid(line)")
        absent = [each for each, is_there in zip(absent, there, strict=True) if not is_there]
        if not absent:
            break
    if absent:
        raise _no_such([each.origin for each in absent], place, "")


def _no_such(columns: Sequence[str], place: str, found: str) -> MisconfiguredError:
    listed = ", ".join(columns)
    return MisconfiguredError(
        f"--schema: expected columns that a file of {place} has, got {listed}{found}"
    )


def _by_shape(files: Iterable[BronzeFile]) -> list[tuple[Shape, list[BronzeFile]]]:
    groups: dict[Shape, list[BronzeFile]] = defaultdict(list)
    for each in files:
        if each.fault is None and each.shape is not None:
            groups[each.shape].append(each)
    return list(groups.items())


class _Reader:
    """Reads files of one shape by one statement; all of them, or none."""

    def __init__(self, engine: Engine, schema: Schema, tables: Tables) -> None:
        self._engine, self._schema, self._tables = engine, schema, tables

    def read(self, shape: Shape, files: Sequence[BronzeFile]) -> dict[int, BronzeFile]:
        """Read files; return those that are to be read otherwise, or are bad, by number.

        Effects: rows of all of them, or, where any is returned, of none.
        """
        try:
            return self._engine.session(lambda cursor: self._insert(cursor, shape, files))
        except EngineError as error:
            if len(files) == 1:
                return {files[0].number: self._blame(files[0], error)}
            changed: dict[int, BronzeFile] = {}
            for each in files:
                changed |= self._probe(shape, each)
            if not changed:
                raise
            return changed

    def _probe(self, shape: Shape, file: BronzeFile) -> dict[int, BronzeFile]:
        try:
            self._engine.session(lambda cursor: self._insert(cursor, shape, [file], keep=False))
        except EngineError as error:
            return {file.number: self._blame(file, error)}
        return {}

    def _blame(self, file: BronzeFile, error: EngineError) -> BronzeFile:
        if _MIXED in error.text and not file.rounds:
            return unify_lines(file)
        said = error.text.partition("\n")[0].replace(str(file.path), file.key)
        return _bad(file, "UnreadableFile", f"expected {self._schema.format} text, got: {said}")

    def _insert(
        self, cursor: Any, shape: Shape, files: Sequence[BronzeFile], *, keep: bool = True
    ) -> dict[int, BronzeFile]:
        numbers = [each.number for each in files]
        paths = [str(each.path) for each in files]
        is_kept = False
        ask(cursor, "BEGIN")
        try:
            ask(cursor, render_insert(self._schema, shape, self._tables, paths, numbers))
            changed = self._judge(cursor, files)
            if keep and not changed:
                self._keep_rejects(cursor, shape, numbers)
                ask(cursor, "COMMIT")
                is_kept = True
        finally:
            if not is_kept:
                ask(cursor, "ROLLBACK")
        return changed

    def _judge(self, cursor: Any, files: Sequence[BronzeFile]) -> dict[int, BronzeFile]:
        """Look at what was rejected: files in another encoding, rows that are to be mended."""
        changed = {}
        for (place,) in ask(cursor, _WRONG_TEXT):
            file, said = files[place], f"expected text in {self._schema.encoding}, got other bytes"
            changed[file.number] = _bad(file, "WrongEncoding", said)
        broken: dict[int, list[int]] = defaultdict(list)
        for place, start in ask(cursor, _BROKEN_TWICE):
            broken[place].append(start)
        for place, starts in broken.items():
            file = files[place]
            if file.rounds >= _ROUNDS:
                said = "expected quotes around whole values, got rows that cannot be told apart"
                changed[file.number] = _bad(file, "UnreadableFile", said)
            elif file.number not in changed:
                changed[file.number] = unquote(file, starts, self._schema.quote)
        return changed

    def _keep_rejects(self, cursor: Any, shape: Shape, numbers: Sequence[int]) -> None:
        message = _MESSAGE.format(columns=len(shape.columns) or 1, format=self._schema.format)
        number = f"[{', '.join(map(str, numbers))}][CAST(file_id AS BIGINT) + 1]"
        ask(cursor, _KEEP.format(number=number, message=message))
        for each in _REJECTS:
            ask(cursor, f"DROP TABLE {each}")


def _bad(file: BronzeFile, error_class: str, message: str) -> BronzeFile:
    return replace(file, fault=Fault(error_class=error_class, message=message))
