"""Label and field selectors, as a list is narrowed by them."""

import re
from collections.abc import Callable, Mapping

from tests.fakes.kubernetes_errors import ApiError
from tests.fakes.kubernetes_fields import Table

Match = Callable[[Mapping[str, str]], bool]
_SET = re.compile(r"([^\s=!,()]+)\s+(in|notin)\s*\(([^()]*)\)")
_EQUAL = re.compile(r"([^\s=!,()]+)\s*(==|=|!=)\s*([^\s=!,()]*)")
_EXISTS = re.compile(r"(!?)\s*([^\s=!,()]+)")
_FIELDS = {"metadata.name", "metadata.namespace"}


def match_labels(text: str) -> list[Match]:
    """Parse a label selector.

    Raises:
        ApiError: it is none.
    """
    return [_requirement(part.strip()) for part in _split(text) if text.strip()]


def _split(text: str) -> list[str]:
    return re.split(r",(?![^(]*\))", text)


def _requirement(part: str) -> Match:
    if found := _SET.fullmatch(part):
        key, operator, inside = found.groups()
        values = {each.strip() for each in inside.split(",")}
        if operator == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUAL.fullmatch(part):
        key, operator, value = found.groups()
        if operator == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _EXISTS.fullmatch(part):
        absent, key = found.groups()
        return lambda labels: (key in labels) != bool(absent)
    raise ApiError(400, f"unable to parse requirement: found '{part}', expected: identifier")


def match_fields(text: str) -> Callable[[Table], bool]:
    """Parse a field selector.

    Raises:
        ApiError: it names a field that one cannot select by.
    """
    wanted = []
    for part in filter(None, text.split(",")):
        found = re.fullmatch(r"([^=!]+)(==|=|!=)(.*)", part)
        if found is None:
            raise ApiError(400, f"invalid selector: '{text}'; can't understand '{part}'")
        if found[1] not in _FIELDS:
            raise ApiError(400, f"field label not supported: {found[1]}")
        wanted.append((found[1].removeprefix("metadata."), found[2] != "!=", found[3]))

    def matches(body: Table) -> bool:
        meta = body["metadata"]
        return all((meta.get(name, "") == value) == equal for name, equal, value in wanted)

    return matches
