"""What the models of a schema file cannot say alone: names that must exist, settings that clash."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal, InvalidOperation

from lading.config.problems import nearest, render_value
from lading.jobs.transform.schema import PARTITION_PATTERN, Column, Scalar, Schema

_NUMBERS = ("int", "float", "decimal")
_MOMENTS = ("date", "timestamp")


def find_conflicts(schema: Schema) -> list[str]:
    """Return a line for each problem, ``place: expected ..., got ...``. Pure."""
    if not schema.columns:
        return ["columns: expected at least 1 entry, got none"]
    return [
        *_doubled_names(schema),
        *(line for number, each in enumerate(schema.columns) for line in _column(number, each)),
        *_codes(schema),
        *_origins(schema),
        *_unknown_names(schema),
        *_partitions(schema),
    ]


def output_names(schema: Schema) -> list[str]:
    """Return the names of all columns of silver, in order, those of partitions included."""
    return [
        *(each.name for each in schema.columns),
        *(name for each in schema.lookups for name in each.take),
        *schema.constants,
    ]


def is_moment(type_name: str) -> bool:
    """Say whether a type is a date or a timestamp."""
    return type_name in _MOMENTS


def is_number(type_name: str) -> bool:
    """Say whether a type is a number."""
    return type_name.startswith(_NUMBERS)


def _doubled_names(schema: Schema) -> Iterator[str]:
    counts = Counter(name.lower() for name in output_names(schema))
    for name, count in counts.items():
        if count > 1:
            yield f"columns: expected each name once, got {name!r} {count} times"


def _column(number: int, column: Column) -> Iterator[str]:
    place = f"columns[{number}]"
    if column.dates and not is_moment(column.type):
        yield f"{place}.dates: expected a date or timestamp, got type {column.type}"
    if column.codes and column.dates:
        yield f"{place}.codes: expected either codes or dates, got both"
    if column.unknown != "bad" and not column.codes:
        yield f"{place}.unknown: expected codes beside it, got none"
    if column.pattern and column.type != "string":
        yield f"{place}.pattern: expected type string, got {column.type}"
    limits = {"min": column.min, "max": column.max}
    for name, value in limits.items():
        if value is not None and (wanted := _limit_wanted(column.type, value)):
            yield f"{place}.{name}: expected {wanted}, got {render_value(value)}"


def _codes(schema: Schema) -> Iterator[str]:
    """Find codes that no text can ever have."""
    for number, column in enumerate(schema.columns):
        for code in column.codes:
            place = f"columns[{number}].codes"
            if column.case and code != getattr(code, column.case)():
                yield f"{place}: expected codes in {column.case} case, got {code!r}"
            elif column.trim and code != code.strip(" "):
                yield f"{place}: expected codes without spaces at their ends, got {code!r}"
            elif code in schema.nulls:
                yield f"{place}: expected none of the texts of nulls, got {code!r}"


def _limit_wanted(type_name: str, value: Scalar) -> str:
    """Say what a limit of a type must be, or "" where it is."""
    if not is_moment(type_name) and not is_number(type_name):
        return "none for a column of this type"
    try:
        if is_moment(type_name):
            datetime.fromisoformat(str(value))
        elif isinstance(value, bool) or not Decimal(str(value)).is_finite():
            return "a number"
    except (ValueError, InvalidOperation):
        return "a date such as '2020-01-31'" if is_moment(type_name) else "a number"
    return ""


def _origins(schema: Schema) -> Iterator[str]:
    for number, column in enumerate(schema.columns):
        place = f"columns[{number}].from"
        if schema.format == "csv" and not schema.header and not _is_number(column.origin):
            yield (
                f"{place}: expected the number of a column, from 1, where there is no header,"
                f" got {column.origin!r}"
            )
        if schema.format == "jsonl" and re.search(r'["\\]', column.origin):
            yield f"{place}: expected a key without quotes and backslashes, got {column.origin!r}"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) > 0


def _unknown_names(schema: Schema) -> Iterator[str]:
    columns = [each.name for each in schema.columns]
    known = output_names(schema)
    for number, lookup in enumerate(schema.lookups):
        yield from _not_in(f"lookups[{number}].on", lookup.on, columns)
        if not lookup.take and lookup.missing == "null":
            yield f"lookups[{number}].take: expected columns, or missing = 'bad', got neither"
    yield from _not_in("key", schema.key, columns)
    yield from _not_in("order_by", [schema.order_by] if schema.order_by else [], columns)
    yield from _not_in("partition_by", map(partition_column, schema.partition_by), known)
    if schema.order_by and not schema.key:
        yield "order_by: expected a key beside it, got none"


def _not_in(place: str, names: Iterable[str], known: list[str]) -> Iterator[str]:
    for name in names:
        if name not in known:
            listed = ", ".join(known)
            yield f"{place}: expected one of {listed}, got {name!r}{nearest(name, known)}"


def partition_column(partition: str) -> str:
    """Return the column that a partition is made of."""
    found = re.match(PARTITION_PATTERN, partition)
    return found.group(2) if found else partition


def partition_name(partition: str) -> str:
    """Return the name of a partition in paths: ``year`` of ``year(day)``."""
    found = re.match(PARTITION_PATTERN, partition)
    return found.group(1) if found else partition


def _partitions(schema: Schema) -> Iterator[str]:
    types = {each.name: each.type for each in schema.columns}
    for number, partition in enumerate(schema.partition_by):
        place, column = f"partition_by[{number}]", partition_column(partition)
        if column != partition and not is_moment(types.get(column, "date")):
            yield f"{place}: expected a date or timestamp, got type {types[column]}"
        if types.get(column) == "float64":
            yield f"{place}: expected a type with exact values, got float64"
    names = [partition_name(each) for each in schema.partition_by]
    kept = [each for each in output_names(schema) if each not in schema.partition_by]
    if len(set(names)) < len(names) or any(
        name in kept for name, each in zip(names, schema.partition_by, strict=True) if name != each
    ):
        yield f"partition_by: expected names that no other column has, got {', '.join(names)}"
    if not kept:
        yield "partition_by: expected a column that is none of it, got none"
