"""Read one release from a destination, whatever has been promoted there since.

A prefix moves on; a manifest that was promoted is kept, and its objects stay in the depot under
their own digests. So who has the sha256 of a ``release.json`` has the release.
"""

import hashlib
from pathlib import Path

from lading.errors import ManifestError, MissingObjectError, VerifyError
from lading.release.layout import RELEASE_KEY
from lading.release.manifest import Manifest, ManifestFile, parse_manifest
from lading.release.names import Prefix
from lading.release.objects import digest_bytes
from lading.ship.history import load_promoted, promotions
from lading.storage import Progress, Store

_PIECE_BYTES = 16 << 20


def load_pinned(store: Store, prefix: Prefix, manifest_sha256: str) -> Manifest:
    """Load the manifest of a release that stands at a prefix, or stood there.

    Args:
        store: the store of the public objects.
        prefix: the prefix.
        manifest_sha256: sha256 of its ``release.json``.

    Raises:
        ManifestError: no such release is kept; or it cannot be read.
    """
    key = f"{prefix.key_prefix}{RELEASE_KEY}"
    try:
        data = store.get(key)
        if digest_bytes(data).sha256 == manifest_sha256:
            return parse_manifest(data, f"{store.url}/{key}")
    except MissingObjectError:
        pass  # it is being switched, or was never there: the history tells
    for promotion in promotions(store, prefix):
        if promotion.manifest_sha256 == manifest_sha256:
            found = load_promoted(store, prefix.root, promotion)
            if found is not None:
                return found
    raise ManifestError(
        f"{store.url}/{key}: expected release.json with sha256 {manifest_sha256}, there or among"
        " the releases that are kept, found none",
        hint="is it the release of another prefix, or was it pruned?",
    )


def fetch_pinned(
    depot: Store, root: str, file: ManifestFile, path: Path, progress: Progress
) -> None:
    """Write one file of a release, from the depot, byte for byte.

    Args:
        depot: the store that the depot stands in.
        root: root of the environment.
        file: what to fetch.
        path: where to.
        progress: told of the bytes.

    Raises:
        StoreError: it cannot be read.
        VerifyError: the depot holds other bytes under its digest; ``path`` is of no use then.
    """
    sha256 = hashlib.sha256()
    with path.open("wb") as target:
        for start in range(0, file.size_bytes, _PIECE_BYTES):
            stop = min(start + _PIECE_BYTES, file.size_bytes)
            piece = depot.get(f"{root}{file.depot_key}", start, stop)
            sha256.update(piece)
            target.write(piece)
            progress.relative_update(0)
    if sha256.hexdigest() != file.sha256:
        raise VerifyError(
            f"{depot.url}/{root}{file.depot_key}: expected sha256 {file.sha256},"
            f" found {sha256.hexdigest()}"
        )
