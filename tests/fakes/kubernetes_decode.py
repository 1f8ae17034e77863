"""How the API reads what it is given: types and fields, each way of writing in its own words.

What is created, replaced or merged is read as Go reads JSON; what is applied is held against the
schema that server-side apply knows.
"""

import json
from collections.abc import Iterator
from typing import Any

from tests.fakes.kubernetes_fields import KEY_DEFAULTS, Shape
from tests.fakes.kubernetes_managers import key_text, path_text

_EXPECTED = {
    "string": (str, "expected string, got {}"),
    "integer": (int, "expected numeric (int or float), got {}"),
    "boolean": (bool, "expected boolean, got {}"),
}


def check_typed(value: Any, shape: Shape, path: str) -> list[str]:
    """Say where an applied value does not fit the schema, in the API's words."""
    if value is None:
        return []
    if shape.kind in _EXPECTED:
        kind, text = _EXPECTED[shape.kind]
        fits = isinstance(value, kind) and (kind is not int or not isinstance(value, bool))
        return [] if fits else [f"{path}: " + text.format(_unstructured(value))]
    if shape.kind in {"object", "map"}:
        return _check_object(value, shape, path)
    if shape.kind in {"keyed", "list", "set"}:
        return _check_list(value, shape, path)
    return []


def _unstructured(value: Any) -> str:
    return f"&value.valueUnstructured{{Value:{json.dumps(value)}}}"


def _check_object(value: Any, shape: Shape, path: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path}: expected map, got {_unstructured(value)}"]
    faults = []
    for name, each in value.items():
        child = shape.child(name)
        if child is None:
            faults.append(f"{path}.{name}: field not declared in schema")
        else:
            faults += check_typed(each, child, f"{path}.{name}")
    return faults


def _check_list(value: Any, shape: Shape, path: str) -> list[str]:
    if not isinstance(value, list):
        return [f"{path}: expected list, got {_unstructured(value)}"]
    if shape.kind != "keyed":
        named = [(f"{path}[{at}]", each) for at, each in enumerate(value)]
        return [fault for at, each in named for fault in check_typed(each, shape.element, at)]
    return _check_keyed(value, shape, path)


def _check_keyed(value: list[Any], shape: Shape, path: str) -> list[str]:
    faults: list[str] = []
    seen: set[str] = set()
    for at, each in enumerate(value):
        known = each if isinstance(each, dict) else {}
        missing = [key for key in shape.keys if key not in known and key not in KEY_DEFAULTS]
        if missing:
            said = f"element {at}: associative list with keys has an element that omits key field"
            faults.append(f'{path}: {said} "{missing[0]}" (and doesn\'t have default value)')
            continue
        key = path_text((key_text(each, shape.keys),))
        if key in seen:
            faults.append(f"{path}: duplicate entries for key {key}")
        seen.add(key)
        faults += check_typed(each, shape.element, f"{path}{key}")
    return faults


def drop_unknown(value: Any, shape: Shape, path: str = "") -> Iterator[str]:
    """Remove the fields that a type does not have, and tell them."""
    if isinstance(value, dict) and shape.kind in {"object", "map"}:
        for name in list(value):
            child = shape.child(name)
            at = f"{path}.{name}" if path else name
            if child is None:
                del value[name]
                yield f'unknown field "{at}"'
            else:
                yield from drop_unknown(value[name], child, at)
    elif isinstance(value, list) and shape.kind in {"list", "keyed", "set"}:
        for at, each in enumerate(value):
            yield from drop_unknown(each, shape.element, f"{path}[{at}]")


_GO = {"string": (str, "string"), "integer": (int, "int32"), "boolean": (bool, "bool")}
_JSON = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}


def type_fault(value: Any, shape: Shape, owner: str = "", path: str = "") -> str:
    """Say which value is of another type than its field, or ""."""
    if value is None or shape.kind in {"free", "atomic", "quantity"}:
        return ""
    wanted, shown = _GO.get(shape.kind, (dict, "struct"))
    if shape.kind in {"list", "keyed", "set"}:
        wanted, shown = list, "slice"
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        got = _JSON.get(type(value), "value")
        return f"cannot unmarshal {got} into Go struct field {owner}{path} of type {shown}"
    if isinstance(value, dict):
        known = ((name, shape.child(name)) for name in value)
        inner = shape.of if shape.kind == "object" else owner
        below = [type_fault(value[n], child, inner, f"{path}.{n}") for n, child in known if child]
    elif isinstance(value, list):
        below = [type_fault(each, shape.element, owner, path) for each in value]
    else:
        below = []
    return next(filter(None, below), "")
