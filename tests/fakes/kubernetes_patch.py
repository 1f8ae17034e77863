"""The three kinds of patches besides apply: merge (RFC 7396), strategic merge, and JSON (RFC 6902).

Source: "Update API Objects in Place Using kubectl patch" and "Strategic Merge Patch" of the API
conventions, for the directives that kubectl sends: ``$patch``, ``$setElementOrder``,
``$deleteFromPrimitiveList`` and ``$retainKeys``.
"""

import copy
from typing import Any

from tests.fakes.kubernetes_fields import FREE, Shape, Table


class PatchError(Exception):
    """A patch cannot be done."""


def merge_patch(value: Any, patch: Any) -> Any:
    """Return a value with a merge patch done: null removes, a list replaces."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(value) if isinstance(value, dict) else {}
    for name, each in patch.items():
        if each is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), each)
    return merged


def strategic_patch(value: Any, patch: Any, shape: Shape) -> Any:
    """Return a value with a strategic merge patch done: lists of known keys are merged."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    if patch.get("$patch") == "replace":
        return {name: copy.deepcopy(each) for name, each in patch.items() if name != "$patch"}
    merged = dict(value) if isinstance(value, dict) else {}
    if "$retainKeys" in patch:
        merged = {name: each for name, each in merged.items() if name in patch["$retainKeys"]}
    for name, each in patch.items():
        if each is None:
            merged.pop(name, None)
        elif not name.startswith("$"):
            child = shape.child(name) or FREE
            merged[name] = _strategic_field(merged.get(name), each, child)
    _do_directives(merged, patch, shape)
    return merged


def _strategic_field(value: Any, patch: Any, shape: Shape) -> Any:
    if isinstance(patch, list) and shape.kind == "keyed":
        return _merge_keyed(value or [], patch, shape)
    if isinstance(patch, list) and shape.kind == "set":
        return [*(value or []), *(each for each in patch if each not in (value or []))]
    return strategic_patch(value, patch, shape)


def _merge_keyed(value: list[Table], patch: list[Table], shape: Shape) -> list[Table]:
    key = shape.keys[0]
    if {"$patch": "replace"} in patch:
        return [each for each in patch if each != {"$patch": "replace"}]
    merged = {each.get(key): each for each in value}
    for each in patch:
        if key not in each:
            raise PatchError(f"map: {each} does not contain declared merge key: {key}")
        if each.get("$patch") == "delete":
            merged.pop(each[key], None)
        else:
            merged[each[key]] = strategic_patch(merged.get(each[key]), each, shape.element)
    return list(merged.values())


def _do_directives(merged: Table, patch: Table, shape: Shape) -> None:
    for directive, given in patch.items():
        kind, _, name = directive.partition("/")
        if kind == "$deleteFromPrimitiveList":
            merged[name] = [each for each in merged.get(name, []) if each not in given]
        if kind == "$setElementOrder" and name in merged:
            merged[name] = _ordered(merged[name], given, shape.child(name) or FREE)


def _ordered(value: list[Any], order: list[Any], shape: Shape) -> list[Any]:
    key = shape.keys[0] if shape.kind == "keyed" else ""
    wanted = [each[key] if key else each for each in order]

    def place(each: Any) -> int:
        named = each.get(key) if key else each
        return wanted.index(named) if named in wanted else len(wanted)

    return sorted(value, key=place)


def json_patch(value: Any, patch: list[Table]) -> Any:
    """Return a value with the operations of a JSON patch done.

    Raises:
        PatchError: a path is not there, or a test fails.
    """
    done = copy.deepcopy(value)
    for each in patch:
        *parents, last = [_unescape(part) for part in each["path"].split("/")[1:]]
        at = done
        for part in parents:
            at = _step(at, part, each)
        _operate(at, last, each)
    return done


def _operate(at: Any, last: str, operation: Table) -> None:
    verb = operation["op"]
    if verb == "add" and isinstance(at, list):
        at.insert(len(at) if last == "-" else int(last), operation["value"])
    elif verb == "add":
        at[last] = operation["value"]
    elif verb in {"replace", "remove", "test"}:
        found = _step(at, last, operation)
        if verb == "test" and found != operation["value"]:
            raise PatchError(f"testing value {operation['path']} failed: test failed")
        key: Any = int(last) if isinstance(at, list) else last
        if verb == "replace":
            at[key] = operation["value"]
        elif verb == "remove":
            del at[key]
    else:
        raise PatchError(f"Unexpected kind: {verb}")


def _step(at: Any, part: str, operation: Table) -> Any:
    try:
        return at[int(part)] if isinstance(at, list) else at[part]
    except (KeyError, IndexError, ValueError, TypeError) as error:
        said = f"{operation['op']} operation does not apply: doc is missing path"
        raise PatchError(f'{said}: "{operation["path"]}": missing value') from error


def _unescape(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")
