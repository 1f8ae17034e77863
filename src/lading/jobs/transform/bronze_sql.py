"""SQL that reads bronze: raw texts, typed values, and what is wrong with a row. Pure.

A row of bronze passes through levels of projections, each over the one before, so that nothing
is computed twice: the raw texts ``r0``, ``r1``...; per column of silver its text ``s0``... with
what stands for no value taken out; its value ``v0``...; the places of lookups ``u0``...; and what
is wrong with it, as JSON, spelled out for bad rows only. No join takes part: one would mix the
order of rows, on which their numbers hang. Codes and lookups are types (ENUM), whose numbers
are places in lists of values.
"""

# ruff: noqa: S608  names and texts are quoted by ident() and literal(), the rest are numbers

from collections.abc import Iterable, Sequence

from lading.jobs.transform.schema import Column, Schema
from lading.jobs.transform.sql import (
    NEVER,
    Shape,
    Tables,
    ident,
    json_path,
    listed,
    literal,
    place_of,
    shown,
    sql_type,
    unique_names,
)
from lading.jobs.transform.values_sql import Found, Text, Value


def render_read(schema: Schema, shape: Shape, files: Sequence[str]) -> str:
    """Render the reading of files of one shape: raw texts, and rejected lines kept aside.

    Args:
        schema: says what the text is like.
        shape: of these files.
        files: their paths, none with a character that means something in a pattern.
    """
    is_csv = schema.format == "csv"
    names = [f"r{number}" for number in range(len(shape.columns))] if is_csv else ["line"]
    columns = ", ".join(f"'{name}': 'VARCHAR'" for name in names)
    options = {
        "columns": f"{{{columns}}}",
        "auto_detect": "false",
        "delim": literal(schema.delimiter if is_csv else "\x01"),
        "quote": literal(schema.quote if is_csv else ""),
        "escape": literal(schema.quote if is_csv else ""),
        "header": str(is_csv and schema.header).lower(),
        "skip": str(shape.skip),
        "compression": "'none'",
        "nullstr": literal(NEVER),
        "strict_mode": "true",
        "store_rejects": "true",
    }
    told = ", ".join(f"{name} = {value}" for name, value in options.items())
    return f"read_csv([{', '.join(map(literal, files))}], {told})"


def render_bronze(schema: Schema, tables: Tables) -> str:
    """Render the table that holds rows: values, place of the row's file, what is wrong."""
    columns = [
        "_file UINTEGER",
        "_state UTINYINT",  # 0 good, 1 bad, 2 a duplicate
        "_fault VARCHAR",
        *(f"{ident(each.name)} {sql_type(each.type)}" for each in schema.columns),
    ]
    for number, lookup in enumerate(schema.lookups):
        if number in tables.wide:
            columns.append(f"{place_of(number)} UINTEGER")
        else:
            columns += [f"{ident(name)} {tables.types[number, name]}" for name in lookup.take]
    return f"CREATE TABLE bronze ({', '.join(columns)})"


def render_insert(
    schema: Schema, shape: Shape, tables: Tables, files: Sequence[str], numbers: Sequence[int]
) -> str:
    """Render the one statement that reads files of one shape into ``bronze``.

    Args:
        schema: what to make of them.
        shape: of these files.
        tables: of the lookups.
        files: their paths.
        numbers: the number of each file among all files of the run.
    """
    levels = Levels(schema, shape)
    read = render_read(schema, shape, files)
    # a literal list would be walked for every row where files are many
    of_file = _numbered(numbers)
    values = [f"v{number}" for number in range(len(schema.columns))]
    for number, lookup in enumerate(schema.lookups):
        if number in tables.wide:
            values.append(f"u{number}")
        else:
            values += [f"{listed(f'lookup{number}_{name}')}[u{number} + 1]" for name in lookup.take]
    fault = f"CASE WHEN bad THEN {levels.fault} END"
    wanted = ", ".join([of_file, "CASE WHEN bad THEN 1 ELSE 0 END", fault, *values])
    source = f"(SELECT file_index, * FROM {read})"
    for level in levels.projections:
        source = f"(SELECT *, {', '.join(level)} FROM {source})"
    return f"INSERT INTO bronze SELECT {wanted} FROM {source}"


def _numbered(numbers: Sequence[int]) -> str:
    first = numbers[0]
    if list(numbers) == list(range(first, first + len(numbers))):
        return f"file_index + {first}"
    return f"[{', '.join(map(str, numbers))}][CAST(file_index AS BIGINT) + 1]"


class Levels:
    """The projections between the raw texts of one shape and the rows of ``bronze``.

    Args:
        schema: what to make of them.
        shape: where the columns stand.
    """

    def __init__(self, schema: Schema, shape: Shape) -> None:
        self._schema = schema
        self._is_csv = schema.format == "csv"
        raw = [self._raw(each, shape) for each in schema.columns]
        texts = [Text(schema, *each) for each in zip(schema.columns, raw, strict=True)]
        columns = [Value(schema, number, each) for number, each in enumerate(texts)]
        lookups = [Found(schema, number) for number in range(len(schema.lookups))]
        bad = [*(b for each in columns for b in each.faults), *(each.fault for each in lookups)]
        if not self._is_csv:
            bad.append("NOT is_object")
        self.projections = [
            *self._objects(),
            *_level(f"{each.trimmed} AS t{number}" for number, each in enumerate(texts)),
            *_level(f"{each.given} AS s{number}" for number, each in enumerate(texts)),
            *_level(f"{each.value} AS v{number}" for number, each in enumerate(columns)),
            *_level(f"{each.place} AS u{number}" for number, each in enumerate(lookups)),
            [f"({' OR '.join(bad or ['false'])}) IS TRUE AS bad"],
        ]
        reasons = [each.reason for each in columns] + [each.reason for each in lookups]
        self.fault = self._fault(shape, reasons)
        """JSON with ``message`` and ``payload`` of a bad row."""

    def _raw(self, column: Column, shape: Shape) -> str:
        if not self._is_csv:
            return f"fields[{self._schema.columns.index(column) + 1}]"
        if not self._schema.header:
            return f"r{int(column.origin) - 1}"
        return f"r{shape.columns.index(column.origin)}"

    def _objects(self) -> list[list[str]]:
        if self._is_csv:
            return []
        paths = ", ".join(literal(json_path(each.origin)) for each in self._schema.columns)
        fields = f"CASE WHEN is_object THEN json_extract_string(line, [{paths}]) END"
        return [
            ["json_valid(line) AND starts_with(ltrim(line), '{') AS is_object"],
            [f"{fields} AS fields"],
        ]

    def _fault(self, shape: Shape, reasons: list[str]) -> str:
        message = f"concat_ws('; ', {', '.join(reasons)})"
        payload = "line"
        if self._is_csv:
            pairs = zip(unique_names(shape.columns), range(len(shape.columns)), strict=True)
            told = ", ".join(f"{literal(name)}, r{number}" for name, number in pairs)
            payload = f"CAST(json_object({told}) AS VARCHAR)"
        else:
            nothing = f"'expected a JSON object, got ' || {shown('line')}"
            message = f"CASE WHEN is_object THEN {message} ELSE {nothing} END"
        return f"CAST(json_object('message', {message}, 'payload', {payload}) AS VARCHAR)"


def _level(expressions: Iterable[str]) -> list[list[str]]:
    told = list(expressions)
    return [told] if told else []
