"""doit's question "did this file change?", answered from the same cache as the manifest.

No file is hashed twice: not for three tasks, not for a second run, not after a touch.
"""

import errno
import os
from pathlib import Path
from typing import Any

from doit.dependency import FileChangedChecker

from lading.errors import SourceError
from lading.prepare.digests import DigestCache


class DigestChecker(FileChangedChecker):  # type: ignore[misc]  # doit ships no types
    """Files are compared by size and sha256; ``cache`` is set by the session."""

    cache: DigestCache

    def check_modified(self, file_path: str, file_stat: os.stat_result, state: Any) -> bool:
        """Say whether a file differs from the state that was saved."""
        size, sha256 = state
        if file_stat.st_size != size:
            return True
        try:
            return self.cache.digest(Path(file_path)).sha256 != str(sha256)
        except SourceError:
            return True

    def get_state(self, dep: str, current_state: Any) -> tuple[int, str] | None:
        """Return the state to save, or None where it is the one saved already."""
        try:
            digest = self.cache.digest(Path(dep))
        except SourceError as error:
            # the one error that doit turns into a failed task at this point
            raise FileNotFoundError(errno.ENOENT, str(error), dep) from error
        state = (digest.size_bytes, digest.sha256)
        return None if current_state and tuple(current_state) == state else state
