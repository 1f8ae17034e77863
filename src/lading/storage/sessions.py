"""Uploads that were begun on this machine, kept beside the receipts: a cut one goes on.

A session is a cache. Without it S3 is asked which uploads it holds, and GCS begins anew.
The name that GCS gives a session is a key to it, so the files are for their owner alone.
"""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

from lading.release.objects import Digest


class Sessions:
    """The begun uploads to one store.

    Args:
        folder: where they are kept; None: nowhere.
        url: the store.
    """

    def __init__(self, folder: Path | None, url: str) -> None:
        self._folder = folder
        self._url = url

    def find(self, name: str, digest: Digest) -> str:
        """Return the store's name of the upload of these bytes, or ""."""
        if self._folder is None:
            return ""
        try:
            table = json.loads(self._path(name).read_bytes())
            return str(table["upload"]) if table["crc32c"] == digest.crc32c else ""
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def keep(self, name: str, digest: Digest, upload: str) -> None:
        """Remember an upload. What cannot be written is not remembered."""
        if self._folder is None:
            return
        table = {"place": f"{self._url} {name}", "crc32c": digest.crc32c, "upload": upload}
        path = self._path(name)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            with os.fdopen(os.open(temporary, flags, 0o600), "w", encoding="utf-8") as file:
                json.dump(table, file)
            temporary.replace(path)

    def forget(self, name: str) -> None:
        """Forget an upload that has ended."""
        if self._folder is not None:
            with suppress(OSError):
                self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        place = hashlib.sha256(f"{self._url} {name}".encode()).hexdigest()[:32]
        return (self._folder or Path()) / f"{place}.json"
