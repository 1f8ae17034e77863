"""What a call to the outside has begun, so that the same command goes on where it was cut.

It is a cache, like a receipt: what is lost of it is asked of the service again.
"""

import json
import os
from pathlib import Path


class Journal:
    """A few notes on one task of one release, each kept at once.

    Args:
        path: where they are kept.
        key: what they are about, e.g. the sha256 of the manifest; notes on another are not read.
    """

    def __init__(self, path: Path, key: str) -> None:
        self._path = path
        self._key = key

    def get(self, name: str) -> str:
        """Return a note, or "" where there is none."""
        return self._load().get(name, "")

    def note(self, **notes: str) -> None:
        """Keep notes. Effects: the file is replaced as a whole."""
        table = {"schema_version": 1, "key": self._key, "notes": {**self._load(), **notes}}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        half = self._path.with_name(f"{self._path.name}.{os.getpid()}.tmp")
        half.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
        half.replace(self._path)

    def _load(self) -> dict[str, str]:
        try:
            table = json.loads(self._path.read_bytes())
            if table["key"] != self._key:
                return {}
            return {str(name): str(value) for name, value in table["notes"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}
