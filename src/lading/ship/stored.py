"""Assets that stand in storage already: proved by one read, then copied from where they stand."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lading.config import Config, Destination
from lading.errors import VerifyError
from lading.release.objects import Digest, digest_bytes
from lading.release.stored import StoredAsset
from lading.storage import NO_PROGRESS, Progress, ReadOnly, Store, open_store
from lading.storage.bytes import Digester, write_atomically

_PIECE_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class StoredPlace:
    """Where an asset stands, and who can copy it from there without moving its bytes."""

    asset: StoredAsset
    """The asset."""
    digest: Digest
    """What its bytes are: as was said, or as they were read."""
    store: Store
    """The store that it stands in; it is only read."""
    key: str
    """Its key there."""
    version: str
    """The store's version of it when it was read; "" where it was not read yet."""
    copied_by: frozenset[str]
    """Names of the destinations of the same cloud."""
    spool: Path
    """Folder for its bytes while another cloud is sent them."""

    @property
    def is_proved(self) -> bool:
        """Whether its bytes were read once, and are what was said."""
        return bool(self.version)

    @contextmanager
    def fetched(self, progress: Progress = NO_PROGRESS) -> Iterator[Path]:
        """Give it as a file while the block runs: for a store that cannot copy it itself.

        Raises:
            StoreError: it cannot be read. Whoever sends the file proves its bytes again.
        """
        self.spool.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="asset-", dir=self.spool) as folder:
            path = Path(folder) / "asset"
            with path.open("wb") as file:
                for piece in _pieces(self.store, self.key, self.digest.size_bytes):
                    progress.relative_update(0)
                    file.write(piece)
            yield path


def find_stored(config: Config, base: Path, asset: StoredAsset, notes: Path) -> StoredPlace:
    """Find where an asset stands, and what is known of it. Effects: none.

    Args:
        config: the configuration; how a cloud is reached is said by the destination there.
        base: its folder.
        asset: the asset.
        notes: folder of what was read before.

    Raises:
        StoreError: its store cannot be opened.
    """
    root, key = _split(asset.url)
    kind = _kind(root)
    same = {each: d for each, d in config.destinations.items() if _kind(d.depot or d.url) == kind}
    chosen = _nearest(same, root)
    options = same[chosen].model_copy(update={"url": root, "depot": None}) if chosen else None
    store = ReadOnly(open_store(root, base, options=options))
    own = (same[chosen].endpoint, same[chosen].profile) if chosen else ("", "")
    copied_by = frozenset(each for each, d in same.items() if (d.endpoint, d.profile) == own)
    digest, version = _load_note(notes, asset) or (asset.digest, "")
    return StoredPlace(asset, digest, store, key, version, copied_by, notes)


def has_changed(place: StoredPlace) -> bool:
    """Say whether an asset is another than the one that was read, or was never read."""
    found = place.store.stat(place.key)
    return found is None or not place.is_proved or found.version != place.version


def prove_stored(
    place: StoredPlace, notes: Path, *, md5: bool = False, progress: Progress = NO_PROGRESS
) -> None:
    """Prove that an asset stands with the bytes that were said; read once, then remembered.

    Args:
        place: the asset.
        notes: folder of what was read; learns of it.
        md5: whether its MD5 is wanted.
        progress: told of the bytes read.

    Raises:
        VerifyError: it is missing, or has other bytes.
        StoreError: its store cannot be asked.
    """
    asset, wanted = place.asset, place.asset.digest
    if not has_changed(place) and (place.digest.md5 or not md5):
        return
    where = f"{asset.key}: {asset.url}"
    before = place.store.stat(place.key)
    if before is None:
        raise VerifyError(f"{where}: expected an object, found none", hint=_HINT)
    if before.size_bytes != wanted.size_bytes:
        raise VerifyError(
            f"{where}: expected {wanted.size_bytes} bytes, found {before.size_bytes}", hint=_HINT
        )
    digester = Digester(md5=md5)
    for piece in _pieces(place.store, place.key, before.size_bytes):
        digester.update(piece)
        progress.relative_update(len(piece))
    found, after = digester.digest(), place.store.stat(place.key)
    if after is None or after.version != before.version:
        raise VerifyError(f"{where}: expected an object at rest, found it changed", hint=_HINT)
    if found.sha256 != wanted.sha256:
        told = f"expected sha256 {wanted.sha256}, found {found.sha256}"
        raise VerifyError(f"{where}: {told}", hint=_HINT)
    if wanted.crc32c and found.crc32c != wanted.crc32c:
        told = f"expected crc32c {wanted.crc32c}, found {found.crc32c}"
        raise VerifyError(f"{where}: {told}", hint=_HINT)
    _write_note(notes, asset, found, after.version)


_HINT = "mend the list of stored assets, or the asset"


def _pieces(store: Store, key: str, size: int) -> Iterator[bytes]:
    for start in range(0, size, _PIECE_BYTES):
        yield store.get(key, start, min(start + _PIECE_BYTES, size))


def _split(url: str) -> tuple[str, str]:
    """Split a URL into the root of its store and a key: the bucket, or the folder."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme == "file":
        folder, slash, name = url.rpartition("/")
        return folder or slash or ".", name
    bucket, _, key = rest.partition("/")
    return f"{scheme}://{bucket}", key


def _kind(url: str) -> str:
    return url.partition("://")[0] if "://" in url else "file"


def _nearest(places: Mapping[str, Destination], root: str) -> str:
    """Name the destination in the same bucket, else the first of the same cloud, else ""."""
    inside = (n for n, d in places.items() if f"{d.url.rstrip('/')}/".startswith(f"{root}/"))
    return next(inside, next(iter(places), ""))


def _note_path(notes: Path, asset: StoredAsset) -> Path:
    return notes / f"{digest_bytes(asset.url.encode()).sha256[:32]}.json"


def _load_note(notes: Path, asset: StoredAsset) -> tuple[Digest, str] | None:
    try:
        table = json.loads(_note_path(notes, asset).read_bytes())
        version = str(table.pop("version"))
        digest = Digest(**table)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    wanted = asset.digest
    fits = digest.agrees_with(wanted) and digest.sha256 == wanted.sha256
    return (digest, version) if fits else None


def _write_note(notes: Path, asset: StoredAsset, digest: Digest, version: str) -> None:
    table = {
        "size_bytes": digest.size_bytes,
        "sha256": digest.sha256,
        "crc32c": digest.crc32c,
        "md5": digest.md5,
        "version": version,
    }
    write_atomically(_note_path(notes, asset), (json.dumps(table, indent=1) + "\n").encode())
