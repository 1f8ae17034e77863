"""Plain JSON data: what may stand in an object of Kubernetes, in one order, as the same bytes."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lading.config.problems import render_place, render_value

Path = tuple[str | int, ...]
"""Way to a value, from the outermost."""

_DEPTH = 60
_VALUES = 100_000


@dataclass(frozen=True, slots=True)
class NoJson:
    """A scalar that a file may hold and JSON does not know."""

    what: str
    """What it is, for messages, e.g. ``the date or time 2025-02-05``."""


def plain_data(value: Any, place: str, faults: list[str]) -> Any:
    """Copy a value as dicts, lists, strings, numbers, booleans and None.

    Tuples become lists; subclasses of strings and numbers (enums) become what they are.
    Aliases are copied, so that nothing is shared.

    Args:
        value: what was read or returned.
        place: where it stands, for messages.
        faults: takes one line for each value that is no JSON.
    """
    return _Copy(place, faults).copy(value, ())


def is_list(value: Any) -> bool:
    """Tell whether a value is a list of JSON, or as good as one."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray)


def describe(value: Any) -> str:
    """Say what a value is, in the words of JSON and never longer than a line."""
    if isinstance(value, NoJson):
        return value.what
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return f"a mapping of {len(value)}"
    if is_list(value):
        return f"a list of {len(value)}"
    if isinstance(value, str | bool | int | float):
        return render_value(value)
    return f"an object of type {type(value).__qualname__}"


def sort_keys(value: Any) -> Any:
    """Copy JSON data with the keys of all mappings in order; lists stay as they are."""
    if isinstance(value, Mapping):
        return {key: sort_keys(value[key]) for key in sorted(value)}
    if is_list(value):
        return [sort_keys(each) for each in value]
    return value


def canonical_json(value: Any) -> bytes:
    """Return the one way to write JSON data: keys sorted, no spaces, UTF-8."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def first_difference(one: Any, other: Any, path: Path = ()) -> Path | None:
    """Return the way to the first value in which JSON data differ; None where they do not."""
    if isinstance(one, dict) and isinstance(other, dict):
        if only_one := one.keys() ^ other.keys():
            return (*path, min(only_one))
        pairs = [(key, one[key], other[key]) for key in one]
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = list(zip(range(len(one)), one, other, strict=True))
    else:
        # 1 and 1.0 and true are equal to Python, and three things in JSON
        return None if type(one) is type(other) and one == other else path
    found = (first_difference(left, right, (*path, key)) for key, left, right in pairs)
    return next((each for each in found if each is not None), None)


def value_at(value: Any, path: Path) -> Any:
    """Return the value at the end of a way; None where there is none."""
    for part in path:
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return None
    return value


def table_at(value: Any, path: Path) -> Mapping[str, Any]:
    """Return the mapping at the end of a way; an empty one where there is none."""
    found = value_at(value, path)
    return found if isinstance(found, Mapping) else {}


class _Copy:
    """One copy, within bounds: an alias may hold itself, or a thousand copies of a thousand."""

    def __init__(self, place: str, faults: list[str]) -> None:
        self._place = place
        self._faults = faults
        self._left = _VALUES

    def copy(self, value: Any, path: Path) -> Any:
        self._left -= 1
        if self._left == 0 or (len(path) > _DEPTH and self._left > 0):
            self._left = 0
            self._fault((), f"at most {_VALUES} values and {_DEPTH} levels", "more")
        if self._left <= 0:
            return None
        if isinstance(value, Mapping):
            return self._copy_table(value, path)
        if is_list(value):
            return [self.copy(each, (*path, index)) for index, each in enumerate(value)]
        return self._copy_scalar(value, path)

    def _copy_table(self, table: Mapping[Any, Any], path: Path) -> dict[str, Any]:
        copied = {}
        for key, each in table.items():
            if isinstance(key, str):
                plain = self._copy_scalar(key, path)
                copied[plain] = self.copy(each, (*path, str(plain)))
            else:
                self._fault(path, "strings as keys", describe(key), "; put quotes round it")
        return copied

    def _copy_scalar(self, value: Any, path: Path) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float) and math.isfinite(value):
            return float(value)
        if isinstance(value, str) and not any("\ud800" <= each <= "\udfff" for each in value):
            return str.__str__(value)
        hint = "; put quotes round it" if isinstance(value, NoJson) else ""
        self._fault(path, "plain JSON data", describe(value), hint)
        return None

    def _fault(self, path: Path, expected: str, got: str, hint: str = "") -> None:
        place = f"{self._place}: {render_place(path)}" if path else self._place
        self._faults.append(f"{place}: expected {expected}, got {got}{hint}")
