"""SQL of a transformation: names, texts and types, as the engine takes them. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from lading.jobs.transform.schema import decimal_of

NEVER = "\x02\x03"
"""A text that no file holds: the engine must not take any text for no value by itself."""
_TYPES = {
    "string": "VARCHAR",
    "int64": "BIGINT",
    "int32": "INTEGER",
    "float64": "DOUBLE",
    "bool": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
}
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Shape:
    """What a file is like; files of one shape are read by one statement."""

    columns: tuple[str, ...]
    """Names of its columns as its header gives them, in order; of JSON lines none."""
    skip: int = 0
    """Empty lines before the header."""


@dataclass(frozen=True, slots=True)
class Tables:
    """How large the tables of lookups are: those of many rows are joined afterwards."""

    wide: frozenset[int] = frozenset()
    """Numbers of the lookups that are."""
    types: dict[tuple[int, str], str] = field(default_factory=dict)
    """Type of the column of a lookup that is taken, by its number and the new name."""


def ident(name: str) -> str:
    """Quote a name."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a text."""
    return "'" + text.replace("'", "''") + "'"


def sql_type(name: str) -> str:
    """Return the engine's type of a type of the schema."""
    if name.startswith("decimal"):
        digits, places = decimal_of(name)
        return f"DECIMAL({digits}, {places})"
    return _TYPES[name]


def list_of(texts: Iterable[str]) -> str:
    """Render texts as ``('a', 'b')``."""
    return f"({', '.join(map(literal, texts))})"


def lookup_key(texts: Sequence[str]) -> str:
    """Render the one text that stands for the values of a lookup's key; NULL where one is."""
    return " || chr(31) || ".join(texts)


def shown(text: str) -> str:
    """Render a value for a message: on one line, and not longer than one."""
    short = f"COALESCE(left({text}, {_SHOWN}), '')"
    return f"chr(39) || replace(replace({short}, chr(10), ' '), chr(13), ' ') || chr(39)"


def listed(name: str) -> str:
    """Render a list that the engine holds as a variable."""
    return f"getvariable({literal(name)})"


def place_of(number: int) -> str:
    """Name the column that holds the place of a row in a wide lookup."""
    return f"_place{number}"


def json_path(key: str) -> str:
    """Return the path of a key of a JSON object."""
    return f'$."{key}"'


def unique_names(names: Sequence[str]) -> list[str]:
    """Return names of which no two are equal: the second ``a`` is ``a (2)``."""
    found: dict[str, int] = {}
    made = []
    for name in names:
        found[name] = found.get(name, 0) + 1
        made.append(name if found[name] == 1 else f"{name} ({found[name]})")
    return made
