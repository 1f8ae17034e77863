"""From a URL of the configuration to a store."""

import re
from pathlib import Path

from lading.errors import StoreError
from lading.storage.contract import Store
from lading.storage.guard import StagingGuard
from lading.storage.local import LocalStore
from lading.storage.memory import memory_store


def open_store(url: str, base: Path, *, root: str = "") -> Store:
    """Open the store of a URL.

    Args:
        url: a path, ``file://`` or ``memory://`` URL; relative paths start from ``base``.
        base: the folder of the configuration.
        root: where this run may write: "" (anywhere) or a root such as ``"staging/"``; then
            the store itself refuses every other write.

    Raises:
        StoreError: no store for this kind of URL.
    """
    store = _open(url, base, root)
    return StagingGuard(store, root) if root else store


def local_path(url: str, base: Path) -> Path | None:
    """Return the folder that a URL names on this machine, or None for a remote one."""
    if url.startswith("file://"):
        return base / url.removeprefix("file://")
    return None if re.match(r"[a-z][a-z0-9+.-]*://", url) else base / url


def _open(url: str, base: Path, root: str) -> Store:
    folder = local_path(url, base)
    if folder is not None:
        return LocalStore(folder, root)
    if url.startswith("memory://"):
        return memory_store(url)
    raise StoreError(
        f"destination {url}: expected a path, a file:// or a memory:// URL;"
        f" this version of Lading writes to no other store"
    )
