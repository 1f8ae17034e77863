"""SQL that makes silver: duplicates, partitions, the rows of each file. Pure."""

# ruff: noqa: S608  names and texts are quoted by ident() and literal(), the rest are numbers

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lading.jobs.transform.rules import partition_column, partition_name
from lading.jobs.transform.schema import PARTITION_PATTERN, Schema
from lading.jobs.transform.sql import Tables, ident, listed, literal, place_of, sql_type


@dataclass(frozen=True, slots=True)
class Output:
    """A column of silver, or a part of a path: how it is had from the table of rows."""

    name: str
    """Its name."""
    expression: str
    """How it is computed."""
    text: str = "CAST({} AS VARCHAR)"
    """How a partition's value becomes text."""


def partition_outputs(schema: Schema) -> list[Output]:
    """Return the parts of a path of silver."""
    names = _constants(schema)
    made = []
    for each in schema.partition_by:
        column = partition_column(each)
        plain = names.get(column, ident(column))
        found = re.match(PARTITION_PATTERN, each)
        if found and found.group(1) == "year":
            made.append(Output("year", f"year({plain})"))
        elif found:
            made.append(Output("month", f"date_trunc('month', {plain})", "strftime({}, '%Y-%m')"))
        else:
            made.append(Output(column, plain))
    return made


def file_outputs(schema: Schema) -> list[Output]:
    """Return the columns that a file of silver holds: all but those that its path tells."""
    constants = _constants(schema)
    names = [each.name for each in schema.columns]
    names += [name for each in schema.lookups for name in each.take]
    made = [Output(name, ident(name)) for name in names]
    made += [Output(name, each) for name, each in constants.items()]
    return [each for each in made if each.name not in schema.partition_by]


def _constants(schema: Schema) -> dict[str, str]:
    made = {}
    for name, text in schema.constants.items():
        parts = [literal(part) for part in text.split("{source_file}")]
        made[name] = f" || {listed('source_files')}[CAST(_file AS BIGINT) + 1] || ".join(parts)
    return made


def render_duplicates(schema: Schema) -> str:
    """Render the marking of rows whose key another row has.

    Keys that stand once, by their hash, are left out at once: what is ordered are few rows. Of
    equal values of ``order_by`` file and row decide; a row without one is kept last.
    """
    keys = ", ".join(ident(name) for name in schema.key)
    direction = "ASC" if schema.keep == "first" else "DESC"
    order = f"{ident(schema.order_by)} {direction} NULLS LAST, " if schema.order_by else ""
    order += f"_file {direction}, rowid {direction}"
    hashes = f"SELECT hash({keys}) AS h FROM bronze WHERE _state = 0"
    often = f"SELECT h FROM ({hashes}) GROUP BY h HAVING count(*) > 1"
    numbered = (
        f"SELECT rowid AS id, row_number() OVER (PARTITION BY {keys} ORDER BY {order}) AS n"
        f" FROM bronze WHERE _state = 0 AND hash({keys}) IN (SELECT h FROM often)"
    )
    return (
        f"UPDATE bronze SET _state = 2 WHERE rowid IN (WITH often AS MATERIALIZED ({often})"
        f" SELECT id FROM ({numbered}) WHERE n > 1)"
    )


def render_sorted(schema: Schema, tables: Tables) -> str:
    """Render the table of good rows by partition, file and row, with what wide lookups tell."""
    joins, taken = "", ""
    for number in sorted(tables.wide):
        name = f"lookup{number}"
        joins += f" LEFT JOIN {name} ON {name}._place = bronze.{place_of(number)}"
        taken += "".join(f", {name}.{ident(each)}" for each in schema.lookups[number].take)
    good = f"SELECT bronze.*{taken}, bronze.rowid AS _id FROM bronze{joins} WHERE bronze._state = 0"
    order = ", ".join([*(each.expression for each in partition_outputs(schema)), "_file", "_id"])
    return f"CREATE TABLE sorted AS SELECT * EXCLUDE (_id) FROM ({good}) ORDER BY {order}"


def render_disorder() -> str:
    """Render how many files stand after one that follows them: those read in another way do."""
    firsts = "SELECT _file, min(rowid) AS first FROM bronze GROUP BY _file"
    before = f"SELECT _file, lag(_file) OVER (ORDER BY first) AS before FROM ({firsts})"
    return f"SELECT count(*) FROM ({before}) WHERE before > _file"


def render_census(schema: Schema, table: str, block: int) -> str:
    """Render how many good rows of each partition stand in each block of a table's rows."""
    outputs = partition_outputs(schema)
    values = [f"{each.expression} AS p{number}" for number, each in enumerate(outputs)]
    texts = [each.text.format(f"p{number}") for number, each in enumerate(outputs)]
    grouped = ", ".join([*values, f"rowid // {block} AS block", "count(*) AS n"])
    return (
        f"SELECT {', '.join([*texts, 'block', 'n'])} FROM ("
        f"SELECT {grouped} FROM {table} WHERE _state = 0 GROUP BY ALL) ORDER BY ALL NULLS FIRST"
    )


def render_width(schema: Schema, table: str, rows: int) -> str:
    """Render how many bytes a row has, by the first rows of a table."""
    widths = [
        f"COALESCE(strlen(CAST({each.expression} AS VARCHAR)), 0) + 8"
        for each in file_outputs(schema)
        if "getvariable" not in each.expression
    ]
    return f"SELECT avg({' + '.join(widths) or '8'}) FROM {table} WHERE rowid < {rows}"


def render_part(
    schema: Schema, table: str, values: Sequence[str | None], rows: tuple[int, int]
) -> str:
    """Render the rows of one file of silver, in the order of the table.

    Args:
        schema: what they are.
        table: where they are.
        values: of the partition, as text.
        rows: first row of the table, and the first one after it.
    """
    wanted = ", ".join(f"{each.expression} AS {ident(each.name)}" for each in file_outputs(schema))
    conditions = [f"rowid >= {rows[0]}", f"rowid < {rows[1]}", "_state = 0"]
    for each, value in zip(partition_outputs(schema), values, strict=True):
        conditions.append(_same(schema, each, value))
    return f"SELECT {wanted} FROM {table} WHERE {' AND '.join(conditions)}"


def _same(schema: Schema, output: Output, value: str | None) -> str:
    """Render the condition that a row is of a partition, as cheap as it can be had."""
    column = next(
        (
            ident(partition_column(each))
            for each in schema.partition_by
            if partition_column(each) != each and partition_name(each) == output.name
        ),
        "",
    )
    if value is None:
        return f"{output.expression} IS NULL"
    if column:
        year, _, month = value.rpartition("-") if output.name == "month" else (value, "", "1")
        return f"{column} >= {_first_day(int(year), int(month))} AND {column} < " + (
            _first_day(int(year), int(month) + 1)
            if output.name == "month"
            else _first_day(int(year) + 1, 1)
        )
    types = {each.name: sql_type(each.type) for each in schema.columns}
    if output.expression == ident(output.name) and output.name in types:
        return f"{output.expression} = CAST({literal(value)} AS {types[output.name]})"
    return f"CAST({output.expression} AS VARCHAR) = {literal(value)}"


def _first_day(year: int, month: int) -> str:
    return f"make_date({year + (month - 1) // 12}, {(month - 1) % 12 + 1}, 1)"
