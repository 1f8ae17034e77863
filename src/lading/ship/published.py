"""What a destination says of a version that was published there: when, and that it still stands."""

from collections.abc import Iterable

from lading.errors import ManifestError, MissingObjectError, StoreError, VerifyError
from lading.release.layout import RELEASE_KEY
from lading.release.manifest import parse_manifest
from lading.release.names import ReleaseDestination
from lading.release.objects import digest_bytes
from lading.release.publication import PublishedManifest
from lading.release.receipts import ProvedObject
from lading.storage import Store


def find_moment(
    destinations: Iterable[tuple[ReleaseDestination, Store]], draft: PublishedManifest
) -> str:
    """Return when this content was first published to its environment, or "" where it never was.

    The manifests that the destinations keep are asked, one after another; then the documents that
    stand at the prefixes.

    Args:
        destinations: the destinations of the environment, and their stores.
        draft: the document; its own moment does not matter.

    Raises:
        StoreError: nobody could tell, and one could not be asked.
    """
    faults: list[StoreError] = []
    for destination, store in destinations:
        try:
            for key in _candidates(store, destination, draft.tag):
                found = _read(store, key)
                if found is not None and found.at(draft.published_at) == draft:
                    return found.published_at
        except StoreError as error:
            faults.append(error)  # another place may tell
    if faults:
        raise faults[0]
    return ""


def prove_published(
    destination: ReleaseDestination, store: Store, document: bytes
) -> dict[str, ProvedObject]:
    """Read back the document of a version at every prefix of a destination.

    Returns:
        One entry a prefix, by key.

    Raises:
        VerifyError: naming the first prefix that says anything else.
    """
    wanted, proved = digest_bytes(document), {}
    for prefix in destination.prefixes:
        key = f"{prefix.key_prefix}{RELEASE_KEY}"
        entry = store.stat(key)
        found = _get(store, key)
        if entry is None or found != document:
            told = f"sha256 {digest_bytes(found).sha256}" if found else "none"
            raise VerifyError(
                f"{store.url}/{key}: expected the document with sha256 {wanted.sha256},"
                f" found {told}"
            )
        proved[key] = ProvedObject(wanted, entry.version)
    return proved


def _candidates(store: Store, destination: ReleaseDestination, tag: str) -> Iterable[str]:
    """Yield the keys of documents of a version: those that were kept, then those that stand."""
    kept = destination.manifest_key(tag)
    stem = kept.removesuffix(".json")
    for entry in store.list(stem):
        if entry.key == kept or entry.key.startswith(f"{stem}@"):
            yield entry.key
    for prefix in destination.prefixes:
        yield f"{prefix.key_prefix}{RELEASE_KEY}"


def _read(store: Store, key: str) -> PublishedManifest | None:
    data = _get(store, key)
    if not data:
        return None
    try:
        found = parse_manifest(data, key)
    except ManifestError:
        return None  # of others, or broken: promote will say so
    return found if isinstance(found, PublishedManifest) else None


def _get(store: Store, key: str) -> bytes:
    try:
        return store.get(key)
    except MissingObjectError:
        return b""
