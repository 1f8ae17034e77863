"""Values of Parquet as JSON has them. Pure.

Whole numbers keep all their digits; decimals become text, for JSON's readers make floats of
numbers; dates and times are ISO 8601, to the microsecond; bytes are base64; what is no number
(NaN, infinity) is null.
"""

import json
import math
from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
from pyarrow import types

Convert = Callable[[Any], Any]


def rows_of(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return the rows of a batch as JSON takes them; columns in their order."""
    columns = [_values(column) for column in batch.columns]
    names = batch.schema.names
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def render_record(table: dict[str, Any]) -> str:
    """Return a record as canonical JSON: keys sorted, no blanks, characters as they are."""
    return json.dumps(
        table, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def _values(column: pa.Array) -> list[Any]:
    steady = _without_nanoseconds(column.type)
    if steady != column.type:
        column = column.cast(steady, safe=False)  # Python's own times know no more
    convert = _converter(column.type)
    values: list[Any] = column.to_pylist()
    if convert is None:
        return values
    return [None if each is None else convert(each) for each in values]


def _without_nanoseconds(kind: pa.DataType) -> pa.DataType:
    """Return a type in which times have microseconds."""
    if getattr(kind, "unit", "") == "ns":
        zone = [kind.tz] if types.is_timestamp(kind) else []
        return _IN_MICROSECONDS[kind.id]("us", *zone)
    if types.is_dictionary(kind):
        return _without_nanoseconds(kind.value_type)
    if types.is_struct(kind):
        return pa.struct([each.with_type(_without_nanoseconds(each.type)) for each in kind])
    if types.is_list(kind) or types.is_large_list(kind):
        make = pa.large_list if types.is_large_list(kind) else pa.list_
        return make(kind.value_field.with_type(_without_nanoseconds(kind.value_type)))
    return kind


def _converter(kind: pa.DataType) -> Convert | None:
    """Return what turns values of a type into JSON; None where they are JSON already."""
    for fits, convert in _SCALARS:
        if fits(kind):
            return convert
    if types.is_struct(kind):
        return _struct({each.name: _converter(each.type) for each in kind})
    if types.is_map(kind):
        inner = _or_same(_converter(kind.item_type))
        return lambda pairs: {str(name): inner(value) for name, value in pairs}
    if types.is_nested(kind):  # lists of all kinds
        inner = _or_same(_converter(kind.value_type))
        return lambda values: [inner(each) for each in values]
    return None if _is_json(kind) else str


def _struct(fields: dict[str, Convert | None]) -> Convert:
    converts = {name: _or_same(convert) for name, convert in fields.items()}
    return lambda table: {name: convert(table[name]) for name, convert in converts.items()}


def _or_same(convert: Convert | None) -> Convert:
    if convert is None:
        return lambda value: value
    return lambda value: None if value is None else convert(value)


def _is_json(kind: pa.DataType) -> bool:
    return bool(
        types.is_boolean(kind)
        or types.is_integer(kind)
        or types.is_null(kind)
        or types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_string_view(kind)
    )


def _is_binary(kind: pa.DataType) -> bool:
    return bool(
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind)
        or types.is_binary_view(kind)
    )


def _is_moment(kind: pa.DataType) -> bool:
    return bool(types.is_date(kind) or types.is_time(kind) or types.is_timestamp(kind))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _duration(value: timedelta) -> str:
    seconds = Decimal(value // timedelta(microseconds=1)).scaleb(-6)
    return f"{'-' if seconds < 0 else ''}PT{abs(seconds).normalize():f}S"


_IN_MICROSECONDS: dict[int, Callable[..., pa.DataType]] = {
    pa.timestamp("ns").id: pa.timestamp,
    pa.time64("ns").id: pa.time64,
    pa.duration("ns").id: pa.duration,
}
_SCALARS: tuple[tuple[Callable[[pa.DataType], bool], Convert], ...] = (
    (types.is_floating, _finite),
    (types.is_decimal, lambda value: f"{value:f}"),
    (_is_binary, lambda value: b64encode(value).decode("ascii")),
    (_is_moment, lambda value: value.isoformat()),
    (types.is_duration, _duration),
)
