"""Bad rows, with their numbers, as files that the dead letters are made of."""

# ruff: noqa: S608  names and texts are quoted by ident() and literal(), the rest are numbers

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

from lading.jobs.transform.counting import Rejected, number_rejected
from lading.jobs.transform.engine import Engine, ask
from lading.jobs.transform.mending import original
from lading.jobs.transform.schema import Schema
from lading.jobs.transform.sources import BronzeFile
from lading.jobs.transform.sql import literal

# a row's number: its place among the rows of its file, and the rejected lines before it
_LETTERS = """
CREATE TABLE letters AS
WITH firsts AS (SELECT _file, min(rowid) AS first FROM bronze GROUP BY _file),
broken AS (
    SELECT file, number, message, text,
        row_number() OVER (PARTITION BY file ORDER BY number) AS nth
    FROM rejects
),
shifts AS (
    SELECT file, number - nth AS place, max(nth) AS shift FROM broken GROUP BY ALL
),
bad AS (
    SELECT _file AS file, bronze.rowid - first AS place, _fault
    FROM bronze JOIN firsts USING (_file) WHERE _state = 1
)
SELECT bad.file, bad.place + 1 + COALESCE(shift, 0) AS row,
    json_extract_string(_fault, '$.message') AS message,
    json_extract_string(_fault, '$.payload') AS payload
FROM bad ASOF LEFT JOIN shifts ON bad.file = shifts.file AND bad.place >= shifts.place
UNION ALL
SELECT file, number, message, text FROM broken
"""
# the engine takes the end of the line before, or an empty one, for the beginning of a row
_STARTS = """
UPDATE rejects SET text = ltrim(text, chr(10) || chr(13)),
    start = start + length(text) - length(ltrim(text, chr(10) || chr(13)))
"""
_NUMBERS = """
UPDATE rejects SET number = told.number FROM (
    SELECT unnest(?::BIGINT[]) AS file, unnest(?::BIGINT[]) AS start, unnest(?::BIGINT[]) AS number
) AS told WHERE rejects.file = told.file AND rejects.start = told.start
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Rows of a file."""

    rows: int = 0
    """All of them, rejected lines included."""
    bad: int = 0
    """Those that are bad."""


def number_rows(engine: Engine, schema: Schema, files: Sequence[BronzeFile]) -> dict[int, Tally]:
    """Number all bad rows, into the table ``letters``, and count the rows of each file.

    Args:
        engine: holds ``bronze`` and ``rejects``.
        schema: says what the files are like.
        files: all of them.
    """
    engine.execute(_STARTS)
    counted = engine.rows(
        "SELECT file, count(*), count(*) FILTER (is_bad) FROM ("
        "SELECT _file AS file, _state = 1 AS is_bad FROM bronze"
        " UNION ALL SELECT file, true FROM rejects) GROUP BY file"
    )
    tallies = {number: Tally(rows=rows, bad=bad) for number, rows, bad in counted}
    _number_rejects(engine, schema, files, tallies)
    _restore_texts(engine, files)
    engine.execute(_LETTERS)
    return tallies


def _number_rejects(
    engine: Engine, schema: Schema, files: Sequence[BronzeFile], tallies: dict[int, Tally]
) -> None:
    """Number rejected rows in their files; see ``counting``."""
    spans: dict[int, list[tuple[int, int]]] = defaultdict(list)
    end = "start + strlen(rtrim(text, chr(10) || chr(13)))"
    query = f"SELECT file, start, {end} FROM rejects ORDER BY ALL"
    for number, start, end in engine.rows(query):
        spans[number].append((start, end))
    header = 1 if schema.format == "csv" and schema.header else 0
    quote = schema.quote if schema.format == "csv" else ""

    def count(number: int) -> list[int] | None:
        starts, ends = zip(*spans[number], strict=True)
        rejected = Rejected(starts=starts, ends=ends)
        rows = tallies[number].rows
        return number_rejected(files[number].path, rejected, header=header, quote=quote, rows=rows)

    told: list[tuple[int, int, int]] = []
    with ThreadPoolExecutor(engine.threads) as pool:
        for number, numbers in zip(spans, pool.map(count, spans), strict=True):
            starts = [start for start, _ in spans[number]]
            told += zip(repeat(number), starts, numbers or [], strict=False)
    engine.execute("ALTER TABLE rejects ADD COLUMN number BIGINT")
    skips = ", ".join(str(each.shape.skip if each.shape else 0) for each in files) or "0"
    engine.execute(
        f"UPDATE rejects SET number = line - {header} - [{skips}][CAST(file AS BIGINT) + 1]"
    )
    engine.execute(_NUMBERS, [list(each) for each in zip(*told, strict=True)] or [[], [], []])


def _restore_texts(engine: Engine, files: Sequence[BronzeFile]) -> None:
    """Give rejected rows the text that they have in the object."""
    mended = [each for each in files if each.mended]
    for each in mended:
        rows = engine.rows("SELECT line, start, text FROM rejects WHERE file = ?", [each.number])
        for line, start, text in rows:
            restored = original(each, start, text)
            if restored != text:
                engine.execute(
                    "UPDATE rejects SET text = ? WHERE file = ? AND line = ?",
                    [restored, each.number, line],
                )


def write_letters(
    engine: Engine,
    numbers: Sequence[int],
    folder: Path,
    send: Callable[[int, Path], None],
) -> None:
    """Write the bad rows of each file, a JSON line a row in their order, and send them.

    Args:
        engine: holds ``letters``.
        numbers: of the files that have some.
        folder: where they are written for the time being.
        send: called with the file's number and the path; the file is removed afterwards.
    """
    for number in numbers:
        path = folder / f"letters-{number:06}.jsonl"
        query = f"SELECT row, message, payload FROM letters WHERE file = {number} ORDER BY row"
        engine.session(
            lambda cursor, query=query, path=path: ask(  # type: ignore[misc]
                cursor, f"COPY ({query}) TO {literal(str(path))} (FORMAT json)"
            )
        )
        send(number, path)
        path.unlink()
