"""One text for one value: what is digested must not hang on how it was put together."""

import hashlib
import json
from typing import Any


def canonical_json(value: Any) -> bytes:
    """Return a value as JSON: keys sorted, no blanks, ASCII only. Pure.

    Raises:
        TypeError, ValueError: JSON has no word for it.
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )
    return text.encode("ascii")


def digest_json(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON, 64 hexadecimal digits. Pure.

    Raises:
        TypeError, ValueError: as ``canonical_json``.
    """
    return hashlib.sha256(canonical_json(value)).hexdigest()
