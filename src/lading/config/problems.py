"""What is wrong with a configuration, in lines that a person can act on.

A line reads ``lading.toml: channels.nightly.prefixes[1]: expected ..., got ...``.
"""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from types import UnionType
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

TOML_MOMENT = "a date or time of TOML"  # JSON has none: load.py hands it on under this name
_ALIKE = 0.7
_EXPECTED = {
    "missing": "a value",
    "string_type": "a string",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}


def render_place(location: Sequence[str | int]) -> str:
    """Write a location as people do: ``channels.nightly.prefixes[1]``."""
    place = ""
    for part in location:
        if isinstance(part, int):
            place += f"[{part}]"
        elif part != "[key]":
            place += f".{part}" if place else part
    return place


def render_value(value: object) -> str:
    """Show what was found, in the words of TOML and never longer than a line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping) and TOML_MOMENT in value:
        return f"{value[TOML_MOMENT]} without quotes"
    if isinstance(value, Mapping):
        return f"a table of {len(value)}"
    text = repr(value)
    if "://" in text:
        # what stands before the @ of a URL, or after its ?, may be a secret
        text = re.sub(r"(://)(?:[^/@:]*:.*@|[^/@]*@)|(\?).*", r"\1\2***", text)
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004  a line of 80 columns


def render_problems(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Turn pydantic's errors into lines ``place: expected ..., got ...``, one a problem."""
    return [_render_problem(detail, model) for detail in error.errors(include_url=False)]


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the nearest known name, or an empty string.

    A common beginning counts beside likeness: ``stage`` is nearer to ``staging`` than to ``tag``.
    """

    def likeness(other: str) -> float:
        pairs = zip(name, other, strict=False)
        beginning = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        return difflib.SequenceMatcher(None, name, other).ratio() + 0.1 * beginning

    close = max(known, key=likeness, default="")
    return f" (did you mean {close!r}?)" if close and likeness(close) >= _ALIKE else ""


def _render_problem(detail: ErrorDetails, model: type[BaseModel]) -> str:
    location, kind, context = detail["loc"], detail["type"], detail.get("ctx", {})
    place = render_place(location)
    if kind == "extra_forbidden":
        known = _fields_at(model, location[:-1])
        listed = ", ".join(sorted(known))
        return f"{place}: expected one of {listed}, got {location[-1]!r}" + nearest(
            str(location[-1]), known
        )
    if kind == "missing":
        return f"{place}: expected a value, got nothing"
    return f"{place}: expected {_expectation(kind, detail, context)}, got {_found(detail)}"


def _expectation(kind: str, detail: ErrorDetails, context: Mapping[str, Any]) -> str:
    if kind == "expected":
        return str(context["what"])
    if kind == "literal_error":
        return str(context["expected"])
    if kind == "greater_than_equal":
        return f"a number of at least {context['ge']}"
    if kind == "too_short":
        return f"at least {context['min_length']} entry"
    return _EXPECTED.get(kind, detail["msg"].lower())


def _found(detail: ErrorDetails) -> str:
    if detail["type"] == "too_short":
        return "none"
    return render_value(detail["input"])


def _fields_at(model: type[BaseModel], location: Sequence[str | int]) -> set[str]:
    """Return the names allowed where a location points, walking the models' annotations."""
    current: Any = model
    for part in location:
        if _is_model(current):
            current = current.model_fields[str(part)].annotation
        elif get_origin(current) is dict:
            current = get_args(current)[1]
        elif get_origin(current) is tuple:
            current = get_args(current)[0]
        if get_origin(current) is UnionType:  # Zenodo | None: the part that has fields
            current = next((each for each in get_args(current) if _is_model(each)), current)
    if not _is_model(current):
        return set()
    return {each.alias or name for name, each in current.model_fields.items()}


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
