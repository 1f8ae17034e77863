"""What silver is to be: the schema file of a transformation, as models.

Its JSON Schema, for editors: ``python -m lading.jobs.transform.schema``.
"""

import codecs
import json
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from lading.config.values import Model, Regex

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"
NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_]*$"
TYPE_PATTERN = r"^(string|int64|int32|float64|bool|date|timestamp|decimal\(\d+, ?\d+\))$"
PARTITION_PATTERN = r"^(year|month)\(([A-Za-z][A-Za-z0-9_]*)\)$"
_DIRECTIVES = "aAbBdHIjmMnpSfgyY%-"
_MOST_DIGITS = 38

Scalar = bool | int | float | str


def _expected(what: str) -> PydanticCustomError:
    return PydanticCustomError("expected", "{what}", {"what": what})


def _name(value: str) -> str:
    if not re.match(NAME_PATTERN, value):
        raise _expected("a name of letters, digits and '_' that starts with a letter")
    return value


def _type(value: str) -> str:
    if not re.match(TYPE_PATTERN, value):
        raise _expected(
            "string, int64, int32, float64, decimal(digits,places), bool, date or timestamp"
        )
    if value.startswith("decimal"):
        digits, places = decimal_of(value)
        if not 0 < digits <= _MOST_DIGITS or places > digits:
            raise _expected("decimal(digits,places) with at most 38 digits, and no more places")
    return value


def _partition(value: str) -> str:
    if not re.match(NAME_PATTERN, value) and not re.match(PARTITION_PATTERN, value):
        raise _expected("a column, or year(column) or month(column) of a date")
    return value


def _character(value: str) -> str:
    if len(value) > 1 or value in {"\n", "\r", "\x00"} or not value.isascii():
        raise _expected("one ASCII character")
    return value


def _encoding(value: str) -> str:
    try:
        is_text = codecs.lookup(value)._is_text_encoding  # noqa: SLF001  as str.encode asks it
    except LookupError:
        is_text = False
    if not is_text:
        raise _expected("an encoding of Python's, such as 'utf-8' or 'cp1252'")
    return value


def _date_format(value: str) -> str:
    found = re.findall(r"%(-?.?)", value)
    unknown = [each for each in found if not each or each[-1] not in _DIRECTIVES]
    if not found or unknown:
        raise _expected("a format of strptime without time zones, such as '%d/%m/%Y'")
    return value


Name = Annotated[str, AfterValidator(_name), Field(json_schema_extra={"pattern": NAME_PATTERN})]
TypeName = Annotated[str, AfterValidator(_type), Field(json_schema_extra={"pattern": TYPE_PATTERN})]
Partition = Annotated[str, AfterValidator(_partition)]
Character = Annotated[str, AfterValidator(_character)]
Encoding = Annotated[str, AfterValidator(_encoding)]
DateFormat = Annotated[str, AfterValidator(_date_format)]
Text = Annotated[str, Field(min_length=1)]


class Column(Model):
    """A column of silver."""

    name: Name = Field(description="Its name.")
    source: str = Field(
        default="",
        alias="from",
        description="The column of bronze it comes from; left out: the one of its own name."
        " Without a header: its number, from 1.",
    )
    type: TypeName = Field(default="string", description="Its type.")
    required: bool = Field(default=False, description="Whether a row without a value is bad.")
    trim: bool = Field(default=True, description="Whether spaces at both ends are taken off.")
    case: Literal["upper", "lower"] | None = Field(
        default=None, description="Letters are made so, before codes are looked up."
    )
    dates: tuple[DateFormat, ...] = Field(
        default=(),
        description="Formats of dates or timestamps, tried in order; left out: ISO 8601.",
    )
    codes: dict[str, Scalar] = Field(default={}, description="What each raw code means.")
    unknown: Literal["bad", "keep", "null"] = Field(
        default="bad", description="What becomes of a value that is none of `codes`."
    )
    min: Scalar | None = Field(default=None, description="The least value.")
    max: Scalar | None = Field(default=None, description="The greatest value.")
    pattern: Regex | None = Field(
        default=None, description="Regular expression (RE2) that the whole text must match."
    )

    @property
    def origin(self) -> str:
        """The column of bronze that it comes from."""
        return self.source or self.name


class Lookup(Model):
    """A table that tells more of what stands in a column."""

    file: Text = Field(
        description="CSV (with a header, UTF-8) or Parquet file: a path from this file, or a URL."
    )
    on: dict[Name, Text] = Field(min_length=1, description="Column of silver: key of the table.")
    take: dict[Name, Text] = Field(
        default={}, description="New column: column of the table. Of a CSV file it is a string."
    )
    missing: Literal["bad", "null"] = Field(
        default="bad", description="What becomes of a row whose key the table does not have."
    )


class Schema(Model):
    """A schema file: what bronze is like, and what silver is made of it."""

    name: str = Field(default="", description="Name of the schema; left out: that of the file.")
    format: Literal["csv", "jsonl"] = Field(
        default="csv", description="CSV, or JSON lines: an object a line."
    )
    delimiter: Character = Field(default=",", min_length=1, description="Between values.")
    quote: Character = Field(
        default='"', description="Around values that hold a delimiter; doubled inside. '': none."
    )
    header: bool = Field(default=True, description="Whether the first row names the columns.")
    encoding: Encoding = Field(default="utf-8", description="Encoding of the text.")
    nulls: tuple[str, ...] = Field(default=("",), description="Texts that stand for no value.")
    columns: tuple[Column, ...] = Field(
        json_schema_extra={"minItems": 1}, description="The columns of silver."
    )
    lookups: tuple[Lookup, ...] = Field(default=(), description="Tables that enrich it.")
    key: tuple[Name, ...] = Field(
        default=(), description="Columns that identify a row; each key is kept once. Required."
    )
    keep: Literal["first", "last"] = Field(
        default="first", description="Which row of a key is kept, by `order_by`, file and row."
    )
    order_by: Name | None = Field(default=None, description="Column that orders rows of a key.")
    partition_by: tuple[Partition, ...] = Field(
        default=(), description="Columns, `year(column)` or `month(column)`: a folder a value."
    )
    constants: dict[Name, str] = Field(
        default={},
        description="Further columns of one text each; `{source_file}` is the key of the object.",
    )

    def required(self, column: Column) -> bool:
        """Say whether a row without a value of this column is bad."""
        return column.required or column.name in self.key


def decimal_of(name: str) -> tuple[int, int]:
    """Return the digits and places of ``decimal(digits,places)``."""
    digits, places = re.findall(r"\d+", name)
    return int(digits), int(places)


def render_schema() -> str:
    """Render the JSON Schema of schema files, two-space indented, with a newline at the end."""
    schema = {"$schema": SCHEMA_DIALECT, **Schema.model_json_schema(by_alias=True)}
    schema["title"] = "transform"
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    print(render_schema(), end="")  # noqa: T201  the command's output
