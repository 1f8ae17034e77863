"""How the API words a fault of one field."""

import json
from collections.abc import Sequence
from typing import Any


def invalid(field: str, value: Any, why: str) -> str:
    """Say that a value is wrong."""
    return f"{field}: Invalid value: {json.dumps(value, ensure_ascii=False)}: {why}"


def required(field: str, why: str = "") -> str:
    """Say that a value is missing."""
    return f"{field}: Required value" + (f": {why}" if why else "")


def unsupported(field: str, value: Any, known: Sequence[str]) -> str:
    """Say that a value is none of those known."""
    said = ", ".join(json.dumps(each) for each in known)
    return f"{field}: Unsupported value: {json.dumps(value)}: supported values: {said}"
