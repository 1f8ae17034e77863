"""SQL of the columns of silver: how each gets its value, and what may be wrong with it. Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lading.jobs.transform.rules import is_moment, is_number
from lading.jobs.transform.schema import Column, Schema
from lading.jobs.transform.sql import ident, list_of, listed, literal, lookup_key, shown, sql_type


@dataclass(frozen=True, slots=True)
class Text:
    """The text of a column, before it becomes a value."""

    schema: Schema
    column: Column
    raw: str

    @property
    def is_quick(self) -> bool:
        """Say whether the engine's own cast does it: it takes spaces off, and fails on nulls."""
        column = self.column
        return (
            column.type != "string"
            and column.trim
            and not (column.codes or column.dates or column.case)
            and not any(_may_be_a_value(text) for text in self.schema.nulls)
        )

    @property
    def trimmed(self) -> str:
        """The text without spaces at its ends, where they are to be taken off."""
        if self.is_quick or not self.column.trim:
            return self.raw
        return f"trim({self.raw})"

    @property
    def given(self) -> str:
        """The text without what stands for no value, in the case that is wanted."""
        number = self.schema.columns.index(self.column)
        text = f"t{number}"
        if self.is_quick:
            return text
        if self.column.case:
            text = f"{self.column.case}({text})"
        return no_value(f"t{number}", self.schema.nulls, text)


def no_value(text: str, nulls: Sequence[str], otherwise: str) -> str:
    """Render what a text gives where some texts stand for no value."""
    if not nulls:
        return otherwise
    return f"CASE WHEN {text} IN {list_of(nulls)} THEN NULL ELSE {otherwise} END"


def _may_be_a_value(null: str) -> bool:
    """Say whether a cast may take a text for a value: then it has to be looked for first."""
    return bool(re.match(r"\s*([-+.\d_]|nan|inf|epoch|t|f|y|n$|no$|on|off)", null, re.IGNORECASE))


class Value:
    """How a column gets its value, and what may be wrong with it."""

    def __init__(self, schema: Schema, number: int, text: Text) -> None:
        self._schema, self._number, self._text = schema, number, text
        self._column = text.column
        self._type = sql_type(text.column.type)
        self.value = self._value()
        self._checks = list(self._find_checks())

    @property
    def faults(self) -> list[str]:
        """Expressions of which one is true where the value is wrong; none may fail."""
        value, text = f"v{self._number}", f"s{self._number}"
        if self._schema.required(self._column):
            absent = [f"{value} IS NULL"]
        elif self._is_never_wrong:
            absent = []
        elif self._text.is_quick:
            empty = self._is_no_value
            absent = [f"CASE WHEN {value} IS NULL THEN NOT {empty} ELSE false END"]
        else:
            absent = [f"({value} IS NULL AND {text} IS NOT NULL)"]
        return absent + [condition for condition, _ in self._checks]

    @property
    def reason(self) -> str:
        """What is wrong with it, or NULL."""
        value, name = f"v{self._number}", self._column.name
        cases = []
        if self._schema.required(self._column):
            nothing = literal(f"{name}: expected a value, got nothing")
            cases.append(f"WHEN {value} IS NULL AND {self._is_no_value} THEN {nothing}")
        if not self._is_never_wrong:
            wrong = f"{value} IS NULL AND NOT {self._is_no_value}"
            cases.append(f"WHEN {wrong} THEN {self._says(self._wanted)}")
        elif self._schema.required(self._column):
            cases.append(f"WHEN {value} IS NULL THEN {self._says(self._wanted)}")
        cases += [f"WHEN {each} THEN {self._says(wanted)}" for each, wanted in self._checks]
        return f"CASE {' '.join(cases)} END" if cases else "NULL"

    @property
    def _is_never_wrong(self) -> bool:
        column = self._column
        keeps = column.unknown == "keep" or not column.codes
        return column.unknown == "null" or (column.type == "string" and keeps)

    @property
    def _is_no_value(self) -> str:
        """Whether the text stands for no value; of quick columns this is asked for few rows."""
        text = f"s{self._number}"
        if not self._text.is_quick or not self._schema.nulls:
            return f"({text} IS NULL)"
        return f"({text} IS NULL OR trim({text}) IN {list_of(self._schema.nulls)})"

    @property
    def _wanted(self) -> str:
        if self._column.codes and self._column.unknown == "bad":
            return "a known code"
        formats = " or ".join(self._column.dates)
        return f"{self._column.type} as {formats}" if formats else self._column.type

    def _says(self, wanted: str) -> str:
        beginning = literal(f"{self._column.name}: expected {wanted}, got ")
        return f"{beginning} || {shown(self._text.raw)}"

    def _value(self) -> str:
        text, column = f"s{self._number}", self._column
        plain = self._cast(text)
        if not column.codes:
            return plain
        code = f"enum_code(TRY_CAST({text} AS {ident(f'codes{self._number}')}))"
        known = f"{listed(f'codes{self._number}')}[{code} + 1]"
        return f"COALESCE({known}, {plain})" if column.unknown == "keep" else known

    def _cast(self, text: str) -> str:
        if self._column.type == "string":
            return text
        if self._column.dates:
            formats = ", ".join(map(literal, self._column.dates))
            return f"CAST(try_strptime({text}, [{formats}]) AS {self._type})"
        return f"TRY_CAST({text} AS {self._type})"

    def _find_checks(self) -> Iterable[tuple[str, str]]:
        """Yield what must not hold, and what is expected then."""
        value, text, column = f"v{self._number}", f"s{self._number}", self._column
        if column.type.startswith("int") and not column.codes:
            # the engine rounds 1.5 to 2; whole numbers may have a point
            exact = f"TRY_CAST({text} AS DECIMAL(38, 9)) IS DISTINCT FROM {value}"
            may_have = f"contains({text}, '.') OR contains({text}, '-')"
            yield f"CASE WHEN {may_have} THEN {value} IS NOT NULL AND {exact} END", column.type
        if column.type == "float64" or is_moment(column.type):
            yield f"NOT isfinite({value})", f"a finite {column.type}"
        for limit, sign, words in ((column.min, "<", "least"), (column.max, ">", "most")):
            if limit is not None:
                bound = f"CAST({literal(str(limit))} AS {self._limit_type})"
                yield f"{value} {sign} {bound}", f"at {words} {limit}"
        if column.pattern is not None:
            yield f"NOT regexp_full_match({value}, {literal(column.pattern)})", column.pattern

    @property
    def _limit_type(self) -> str:
        is_exact = is_number(self._column.type) and self._column.type != "float64"
        return "DECIMAL(38, 9)" if is_exact else self._type


class Found:
    """The place of a row in a lookup."""

    def __init__(self, schema: Schema, number: int) -> None:
        self._lookup = schema.lookups[number]
        names = [each.name for each in schema.columns]
        self._values = [f"v{names.index(name)}" for name in self._lookup.on]
        self._number = number
        self.place = f"enum_code(TRY_CAST({self._key} AS {ident(f'lookup{number}')}))"

    @property
    def _key(self) -> str:
        return lookup_key([f"CAST({each} AS VARCHAR)" for each in self._values])

    @property
    def fault(self) -> str:
        """Whether the lookup does not have the key of a row, and should."""
        if self._lookup.missing == "null":
            return "false"
        return f"(u{self._number} IS NULL AND {' AND '.join(map(_is_there, self._values))})"

    @property
    def reason(self) -> str:
        """What is wrong with it, or NULL."""
        names, file = ", ".join(self._lookup.on), self._lookup.file.rpartition("/")[2]
        wanted = literal(f"{names}: expected a key of {file}, got ")
        told = " || ', ' || ".join(shown(f"CAST({each} AS VARCHAR)") for each in self._values)
        return f"CASE WHEN {self.fault} THEN {wanted} || {told} END"


def _is_there(expression: str) -> str:
    return f"{expression} IS NOT NULL"
