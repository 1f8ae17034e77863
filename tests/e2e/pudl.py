"""The energy example, and how the tests take its configuration apart."""

import re
from typing import Any

from tests.e2e.project import REPOSITORY

EXAMPLE = REPOSITORY / "examples" / "pudl"
CALLS = ("[channels.nightly.zenodo]", "[[channels.nightly.cloud_run]]", "[channels.stable.zenodo]")


def without_block(text: str, header: str) -> str:
    """Return TOML without a table: its header and what follows, up to an empty line."""
    before, found, rest = text.partition(f"\n{header}\n")
    assert found, header
    return before + "\n" + rest.partition("\n\n")[2]


def without_calls(text: str) -> str:
    """Return the example without all that a release reaches beside the clouds."""
    for header in (*CALLS, "[slack]"):
        text = without_block(text, header)
    return re.sub(r"^branch = .*\n", "", text, flags=re.MULTILINE)


def flatten(table: dict[str, Any], place: str = "") -> dict[str, Any]:
    """Return the values of nested tables by dotted name."""
    flat: dict[str, Any] = {}
    for name, value in table.items():
        inner = isinstance(value, dict)
        flat |= flatten(value, f"{place}{name}.") if inner else {f"{place}{name}": value}
    return flat
