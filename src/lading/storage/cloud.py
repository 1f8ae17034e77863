"""What both clouds have in common: keys below a root, what is known of objects, a probe."""

import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from lading.config.models import Destination
from lading.errors import ChecksumError, ConditionError, StoreError
from lading.release.objects import Digest
from lading.storage.contract import Body, Entry, Store, check_key
from lading.storage.wire import WORKERS

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Bucket:
    """A place in a bucket: what a destination's URL names."""

    scheme: str
    """``s3`` or ``gs``."""
    name: str
    """Name of the bucket."""
    folder: str
    """What every key begins with in the bucket, "" or ending in a slash."""

    @property
    def url(self) -> str:
        """The place, for people."""
        return f"{self.scheme}://{self.name}/{self.folder}".rstrip("/")

    def name_of(self, key: str) -> str:
        """Return the name in the bucket of a key.

        Raises:
            StoreError: it is none, or too long together with the folder.
        """
        check_key(key)
        return check_key(f"{self.folder}{key}")

    def key_of(self, name: str) -> str:
        """Return the key of a name in the bucket."""
        return name.removeprefix(self.folder)


def parse_bucket(url: str) -> Bucket:
    """Parse the URL of a destination: ``s3://bucket/folder``, ``gs://bucket``.

    Raises:
        StoreError: there is no bucket in it.
    """
    parts = urlsplit(url)
    folder = parts.path.strip("/")
    if not parts.netloc:
        raise StoreError(f"{url}: expected a bucket, as in {parts.scheme}://bucket, got none")
    scheme = "gs" if parts.scheme == "gcs" else parts.scheme
    return Bucket(scheme, parts.netloc, f"{folder}/" if folder else "")


class Known:
    """What a service itself has said of objects: a version and the digest that it computed.

    A version never has other bytes, so what was said of it holds for good. It saves asking
    about the same object again.
    """

    def __init__(self) -> None:
        self._said: dict[str, tuple[str, Digest]] = {}

    def note(self, entry: Entry) -> Entry:
        """Remember what an entry says, and return it."""
        said = self._said.get(entry.key)
        # said again, it is kept as it was: a release's digests are there once, not once a listing
        if entry.digest is not None and (said is None or said[0] != entry.version):
            self._said[entry.key] = (entry.version, entry.digest)
        return entry

    def find(self, key: str) -> tuple[str, Digest] | None:
        """Return version and digest of an object, as far as they are known."""
        return self._said.get(key)

    def forget(self, key: str) -> None:
        """Forget an object: it may be another by now."""
        self._said.pop(key, None)


def each_at_once(
    act: Callable[[_Item], _Result], items: Iterable[_Item], *, workers: int = WORKERS
) -> list[_Result]:
    """Act on items at once, and return the results in their order.

    Raises:
        Exception: the first error, in the order of the items; what was not begun is not done.
    """
    chosen = list(items)
    if len(chosen) <= 1:
        return [act(item) for item in chosen]
    with ThreadPoolExecutor(max_workers=min(workers, len(chosen))) as pool:
        futures = [pool.submit(act, item) for item in chosen]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def require_digest(place: str, found: Digest | None, expected: Digest) -> None:
    """Refuse an object whose digest, as the service says it, is not the one expected.

    Raises:
        ChecksumError: naming both.
    """
    if found is None or not found.agrees_with(expected):
        told = found.describe(expected) if found else "an object whose checksum nobody tells"
        raise ChecksumError(f"{place}: expected {expected.describe(found)}, got {told}")


def settle_race(store: Store, key: str, body: Body, error: ConditionError) -> Entry:
    """Return the object that an earlier try of the same write has made, its answer lost.

    Raises:
        ConditionError: somebody else's object stands there.
    """
    standing = store.stat(key) if error.repeated else None
    if standing is None or standing.digest is None or not standing.digest.agrees_with(body.digest):
        raise error
    return standing


def probe_access(store: Store, root: str) -> None:
    """Try everything that a release does, on an object of its own below the control folder.

    Raises:
        StoreError: the first call that was refused.
    """
    key = f"{root}.lading/access/{secrets.token_hex(8)}"
    body = Body.of_bytes(b"may this run write here?\n", "text/plain")
    store.list(key)
    store.put(key, body)
    try:
        if store.get(key) != body.data:
            raise StoreError(f"{store.url}/{key}: expected to read what was written, got others")
    finally:
        store.delete([key])


def describe_options(options: Destination) -> dict[str, str]:
    """Return what makes one connection differ from another, for telling them apart."""
    return {
        name: str(getattr(options, name))
        for name in ("endpoint", "region", "profile", "anonymous", "user_project")
    }
