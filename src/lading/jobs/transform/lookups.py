"""Codes and lookups in the engine: types whose numbers are places in lists of values."""

# ruff: noqa: S608  names and texts are quoted by ident() and literal(), the rest are numbers

from pathlib import Path

from lading.errors import MisconfiguredError
from lading.jobs.transform.engine import Engine, EngineError
from lading.jobs.transform.load import LoadedSchema
from lading.jobs.transform.schema import Lookup, Scalar, Schema
from lading.jobs.transform.sql import Tables, ident, literal, lookup_key, sql_type

_WIDE = 2_000  # rows: a longer list costs more than a join and the order restored after it


def load_codes(engine: Engine, schema: Schema, file_name: str) -> None:
    """Make the types and lists of codes, and prove patterns.

    Raises:
        MisconfiguredError: a code's value is none of its column's type, or the engine does not
            take a pattern: a line each.
    """
    problems = []
    for number, column in enumerate(schema.columns):
        place = f"{file_name}: columns[{number}]"
        if column.pattern is not None:
            try:
                engine.rows("SELECT regexp_full_match('', ?)", [column.pattern])
            except EngineError as error:
                problems.append(f"{place}.pattern: expected a pattern of RE2, got: {error}")
        if column.codes:
            kind = sql_type(column.type)
            wrong = _load_codes(engine, f"codes{number}", column.codes, kind)
            problems += [
                f"{place}.codes.{code}: expected {column.type}, got {column.codes[code]!r}"
                for code in wrong
            ]
    if problems:
        raise MisconfiguredError("\n".join(problems))


def _load_codes(engine: Engine, name: str, codes: dict[str, Scalar], kind: str) -> list[str]:
    texts = [_text(each) for each in codes.values()]
    rows = engine.rows(f"SELECT TRY_CAST(unnest(?) AS {kind}) IS NULL", [texts])
    wrong = [code for code, (is_wrong,) in zip(codes, rows, strict=True) if is_wrong]
    if not wrong:
        engine.execute(f"CREATE TYPE {ident(name)} AS ENUM ({', '.join(map(literal, codes))})")
        values = ", ".join(f"CAST({literal(each)} AS {kind})" for each in texts)
        engine.execute(f"SET VARIABLE {ident(name)} = [{values}]")
    return wrong


def _text(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def load_lookups(engine: Engine, loaded: LoadedSchema, folder: Path) -> Tables:
    """Make the types and lists, or tables, of lookups.

    Args:
        engine: where to.
        loaded: the schema, with the bytes of its lookups.
        folder: where these are put for the engine to read.

    Raises:
        MisconfiguredError: a table cannot be read, lacks a column, or has a key twice.
    """
    wide, types = set(), {}
    for number, lookup in enumerate(loaded.schema.lookups):
        table = f"lookup{number}"
        _read_table(engine, lookup, loaded, number, folder)
        _require_unique(engine, table, lookup)
        engine.execute(f"CREATE TYPE {table} AS ENUM (SELECT _key FROM {table} ORDER BY _place)")
        ((rows,),) = engine.rows(f"SELECT count(*) FROM {table}")
        for name in lookup.take:
            ((kind,),) = engine.rows(
                "SELECT data_type FROM duckdb_columns() WHERE table_name = ? AND column_name = ?",
                [table, name],
            )
            types[number, name] = kind
        if rows > _WIDE:
            wide.add(number)
            continue
        for name in lookup.take:
            listed = f"SELECT list({ident(name)} ORDER BY _place) FROM {table}"
            engine.execute(f"SET VARIABLE {table}_{name} = ({listed})")
    return Tables(frozenset(wide), types)


def _read_table(
    engine: Engine, lookup: Lookup, loaded: LoadedSchema, number: int, folder: Path
) -> None:
    is_parquet = lookup.file.lower().endswith(".parquet")
    path = folder / f"lookup{number}{'.parquet' if is_parquet else '.csv'}"
    path.write_bytes(loaded.lookups[number].data)
    read = f"read_parquet({literal(str(path))})"
    if not is_parquet:
        read = (
            f"read_csv({literal(str(path))}, all_varchar = true, header = true, delim = ',',"
            f""" quote = '"', escape = '"', nullstr = '')"""
        )
    types = {each.name: sql_type(each.type) for each in loaded.schema.columns}
    keys = [
        f"CAST(TRY_CAST({_trimmed(key, is_parquet)} AS {types[column]}) AS VARCHAR)"
        for column, key in lookup.on.items()
    ]
    taken = [f"{_trimmed(each, is_parquet)} AS {ident(name)}" for name, each in lookup.take.items()]
    chosen = ", ".join([f"{lookup_key(keys)} AS _key", *taken])
    numbered = "SELECT *, CAST(row_number() OVER (ORDER BY _key) - 1 AS UINTEGER) AS _place"
    try:
        engine.execute(
            f"CREATE TABLE lookup{number} AS {numbered}"
            f" FROM (SELECT {chosen} FROM {read}) WHERE _key IS NOT NULL"
        )
    except EngineError as error:
        found = _columns(engine, read)
        wanted = [*lookup.on.values(), *lookup.take.values()]
        missing = [each for each in wanted if each not in found]
        said = str(error).replace(str(path), lookup.file)
        if found and missing:
            said = f"the columns {', '.join(found)}"
        raise MisconfiguredError(
            f"{_place(loaded, number)}: expected a table with {', '.join(wanted)} in"
            f" {lookup.file}, got: {said}"
        ) from error


def _trimmed(column: str, is_parquet: bool) -> str:  # noqa: FBT001  told by position, twice
    return ident(column) if is_parquet else f"trim({ident(column)})"


def _columns(engine: Engine, read: str) -> list[str]:
    try:
        return [row[0] for row in engine.rows(f"DESCRIBE SELECT * FROM {read}")]
    except EngineError:
        return []


def _require_unique(engine: Engine, table: str, lookup: Lookup) -> None:
    twice = engine.rows(
        f"SELECT _key FROM {table} GROUP BY _key HAVING count(*) > 1 ORDER BY _key LIMIT 3"
    )
    if twice:
        keys = ", ".join(repr(key.replace("\x1f", ", ")) for (key,) in twice)
        raise MisconfiguredError(
            f"{lookup.file}: expected each key of {', '.join(lookup.on.values())} once, got"
            f" several rows for {keys}"
        )


def _place(loaded: LoadedSchema, number: int) -> str:
    return f"{loaded.document.ref.key}: lookups[{number}]"
