"""Where a dataset stands: documents by key, written whole or not at all."""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


class StoreError(Exception):
    """A store is not what it should be; one line that says what was expected."""


@dataclass(frozen=True)
class Store:
    """A folder that stands for a store; a real team writes zarr to an object store here."""

    folder: Path
    """The folder; made when the first document is written."""

    @classmethod
    def at(cls, url: str) -> "Store":
        """Return the store of a folder or a ``file://`` URL.

        Raises:
            StoreError: it is neither.
        """
        parts = urlsplit(url)
        if parts.scheme == "file" and not parts.netloc and parts.path:
            return cls(Path(unquote(parts.path)))
        if not url or parts.scheme:
            raise StoreError(f"STORE: expected a folder or a file:// URL, got {url!r}")
        return cls(Path(url))

    def read(self, key: str) -> dict[str, Any] | None:
        """Return a document, or None where there is none."""
        try:
            found: dict[str, Any] = json.loads((self.folder / key).read_bytes())
        except FileNotFoundError:
            return None
        return found

    def write(self, key: str, document: Mapping[str, Any]) -> bool:
        """Write a document, unless it stands there already; return whether it was written.

        Effects: one file, replaced in one step. Equal documents give equal bytes.
        """
        path = self.folder / key
        data = (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()
        if path.is_file() and path.read_bytes() == data:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=path.parent, prefix=".partial-")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(partial).replace(path)
        return True
