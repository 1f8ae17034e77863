"""From a URL of the configuration to a store."""

import re
from functools import cache
from pathlib import Path

from lading.config.models import Destination
from lading.errors import StoreError
from lading.storage.contract import Store
from lading.storage.guard import StagingGuard
from lading.storage.local import LocalStore
from lading.storage.memory import memory_store


def open_store(
    url: str,
    base: Path,
    *,
    root: str = "",
    options: Destination | None = None,
    sessions: Path | None = None,
) -> Store:
    """Open the store of a URL.

    Args:
        url: a path, ``file://``, ``s3://``, ``gs://`` or ``memory://`` URL; relative paths
            start from ``base``.
        base: the folder of the configuration.
        root: where this run may write: "" (anywhere) or a root such as ``"staging/"``; then
            the store itself refuses every other write.
        options: how a cloud is reached; None: as the environment says.
        sessions: folder that remembers begun uploads to a cloud.

    Raises:
        StoreError: no store for this kind of URL, or it cannot be set up.
    """
    folder = local_path(url, base)
    if folder is not None:
        store: Store = LocalStore(folder, root)
    elif url.startswith("memory://"):
        store = memory_store(url)
    else:
        store = _open_cloud(url, options or Destination(url=url), sessions)
    return StagingGuard(store, root) if root else store


def local_path(url: str, base: Path) -> Path | None:
    """Return the folder that a URL names on this machine, or None for a remote one."""
    if url.startswith("file://"):
        return base / url.removeprefix("file://")
    return None if re.match(r"[a-z][a-z0-9+.-]*://", url) else base / url


@cache
def _open_cloud(url: str, options: Destination, sessions: Path | None) -> Store:
    """Open a bucket, once in a process: its connections and what it said are shared."""
    scheme = url.partition("://")[0]
    try:
        # each cloud's library takes a third of a second to import, and is an extra
        if scheme == "s3":
            from lading.storage.s3 import S3Store  # noqa: PLC0415

            return S3Store(url, options, sessions)
        if scheme in {"gs", "gcs"}:
            from lading.storage.gcs import GcsStore  # noqa: PLC0415

            return GcsStore(url, options, sessions)
    except ImportError as error:
        extra = "s3" if scheme == "s3" else "gcs"
        raise StoreError(
            f"destination {url}: expected the package for it, got: {error}",
            hint=f"pip install 'lading[{extra}]'",
        ) from error
    raise StoreError(f"destination {url}: expected a path or a file://, s3:// or gs:// URL")
