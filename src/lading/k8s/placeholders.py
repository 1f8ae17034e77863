"""Words in braces that a manifest leaves open, and that a rollout fills."""

import re
from collections.abc import Mapping
from typing import Any

from lading.config.problems import render_place
from lading.errors import ClusterError
from lading.k8s.json_data import Path, is_list

# `${image}` is a shell's, `{{image}}` another template's; both stay
_PLACEHOLDER = re.compile(r"\{\{\w+\}\}|(?<!\$)\{(\w+)\}")


def has_placeholder(text: str, word: str) -> bool:
    """Tell whether a text leaves a word open."""
    return any(found[1] == word for found in _PLACEHOLDER.finditer(text))


def fill_text(text: str, values: Mapping[str, str]) -> str:
    """Fill the words that are known; what is filled in is not looked at again."""
    return _PLACEHOLDER.sub(lambda found: values.get(found[1] or "", found[0]), text)


def fill(data: Any, values: Mapping[str, str], place: str) -> Any:
    """Copy JSON data with the words filled in every string; keys stay as they are.

    Args:
        data: plain JSON data.
        values: what each word stands for; "" where it is not known.
        place: where the data stand, for messages.

    Raises:
        ClusterError: a string needs a word that is not known: an empty store or image would be
            taken for another one. One line for each.
    """
    faults: list[str] = []
    filled = _fill(data, values, (), faults)
    if faults:
        raise ClusterError("\n".join(f"{place}: {each}" for each in faults))
    return filled


def _fill(data: Any, values: Mapping[str, str], path: Path, faults: list[str]) -> Any:
    if isinstance(data, Mapping):
        return {key: _fill(each, values, (*path, key), faults) for key, each in data.items()}
    if is_list(data):
        return [_fill(each, values, (*path, at), faults) for at, each in enumerate(data)]
    if not isinstance(data, str):
        return data
    faults += [
        f"{render_place(path)}: expected a value for {{{word}}}, got none"
        for word, value in values.items()
        if not value and has_placeholder(data, word)
    ]
    return fill_text(data, values)
