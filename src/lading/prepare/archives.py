"""Archives that are the same bytes for the same input, on any machine, at any time.

Each archive has a receipt beside it that says from which bytes and with which settings it
was made, so that an unchanged input costs nothing, whatever happened to doit's state.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lading import __version__
from lading.errors import PrepareError
from lading.prepare.digests import DigestCache
from lading.release.objects import Digest
from lading.storage.bytes import sync_folder
from lading.storage.progress import NO_PROGRESS, Progress

if TYPE_CHECKING:
    from lading.prepare.container import ZipTime

ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time that a zip can tell
_DEFLATE_LIBRARIES = ("deflate", "isal", "zlib-ng")  # other versions may make other bytes
_ZIP_END_S = 4_354_819_198  # the last time that a zip can tell: 2107-12-31 23:59:58 UTC


class Recipe(Protocol):
    """How a file is made of others."""

    @property
    def settings(self) -> dict[str, Any]:
        """What has to be equal for a file that was made to be kept."""


@dataclass(frozen=True, slots=True)
class Packing:
    """How an archive is made; with its members, all that its bytes depend on."""

    level: str = ""
    """``fast``, ``balanced`` or ``small``; "" stores the members as they are."""
    time: "ZipTime" = ZIP_EPOCH
    """Modification time of every entry."""

    @property
    def settings(self) -> dict[str, Any]:
        """What has to be equal for an archive to be kept."""
        libraries = {name: version(name) for name in _DEFLATE_LIBRARIES} if self.level else {}
        return {
            "method": "deflate" if self.level else "store",
            "level": self.level,
            **libraries,
            "time": list(self.time),
            "tool": __version__,
        }


def entry_time(moment_s: int | None = None) -> "ZipTime":
    """Return the time of entries: SOURCE_DATE_EPOCH, else ``moment_s``, else a fixed one.

    Source: reproducible-builds.org, "SOURCE_DATE_EPOCH".

    Args:
        moment_s: seconds since 1970 in UTC, for example of the tag's commit.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if text.isascii() and text.isdigit():
        moment_s = int(text)
    if moment_s is None:
        return ZIP_EPOCH
    moment = datetime.fromtimestamp(min(moment_s, _ZIP_END_S), UTC)
    time = (moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second)
    return max(time, ZIP_EPOCH)


def compress_file(
    source: Path,
    target: Path,
    packing: Packing,
    *,
    cache: DigestCache,
    made_of: Mapping[Path, str] | None = None,
    md5: bool = False,
    progress: Progress = NO_PROGRESS,
) -> bool:
    """Pack one file as the only entry of a zip, compressed with DEFLATE by all cores.

    Args:
        source: the file.
        target: the archive.
        packing: how to pack; with a level.
        cache: where digests are looked up; learns those of the archive.
        made_of: the files that ``source`` was made of, where it is a copy, with their sha256
            from before it was made; they decide whether an archive that stands is still right.
        md5: whether the archive's MD5 is wanted.
        progress: told of the bytes read.

    Returns:
        Whether the archive was made; False where the one that stands is still right.

    Effects: ``target`` and its receipt are replaced in one step each, or not at all.

    Raises:
        SourceError: the file is unreadable or changes while it is read.
        PrepareError: the archive cannot be written.
    """
    members = list(made_of or [source])
    if is_archive_current(members, target, packing, cache):
        return False
    sources, before = digests_of(members, cache), cache.digest(source)
    if made_of:
        sources = {path.name: sha256 for path, sha256 in made_of.items()}
    progress.set_size(before.size_bytes)
    progress.start_file(source.name)
    from lading.prepare.container import ZipWriter  # noqa: PLC0415  numpy takes 0.1 s to import
    from lading.prepare.deflate import LEVELS  # noqa: PLC0415  as above

    with replaced(target) as temporary:
        with ZipWriter(temporary, packing.time, md5=md5) as archive:
            packed = archive.add_deflated(
                source.name, source, LEVELS[packing.level], progress.relative_update
            )
        if packed.crc32 != before.crc32 or digests_of(members, cache) != sources:
            raise _changed(source)
    keep_receipt(sources, target, packing, archive.digest, cache)
    return True


def store_bundle(
    members: Sequence[Path],
    target: Path,
    packing: Packing,
    *,
    cache: DigestCache,
    md5: bool = False,
    progress: Progress = NO_PROGRESS,
) -> bool:
    """Pack the files of one folder into a zip without compression, sorted by name.

    Arguments, returns, effects and errors as ``compress_file``.
    """
    if is_archive_current(members, target, packing, cache):
        return False
    ordered = sorted(members, key=lambda path: path.name.encode())
    before = cache.digest_all([(path, False) for path in ordered])
    progress.set_size(sum(each.size_bytes for each in before))
    from lading.prepare.container import ZipWriter  # noqa: PLC0415  numpy takes 0.1 s to import

    with replaced(target) as temporary:
        with ZipWriter(temporary, packing.time, md5=md5) as archive:
            for path, digest in zip(ordered, before, strict=True):
                progress.start_file(path.name)
                archive.add_stored(path.name, path, digest, progress.relative_update)
        for path, digest in zip(ordered, before, strict=True):
            if cache.digest(path) != digest:
                raise _changed(path)
    sources = {path.name: each.sha256 for path, each in zip(ordered, before, strict=True)}
    keep_receipt(sources, target, packing, archive.digest, cache)
    return True


def is_archive_current(
    members: Sequence[Path], target: Path, packing: "Recipe", cache: DigestCache
) -> bool:
    """Say whether an archive stands that was made from these bytes in this way."""
    try:
        receipt = json.loads(_receipt_path(target).read_bytes())
    except (OSError, ValueError):
        return False
    if not isinstance(receipt, dict) or receipt.get("settings") != packing.settings:
        return False
    return bool(
        target.is_file()
        and receipt.get("sources") == digests_of(members, cache)
        and receipt.get("sha256") == cache.digest(target).sha256
    )


def keep_receipt(
    sources: dict[str, str],
    target: Path,
    packing: "Recipe",
    digest: Digest,
    cache: DigestCache,
) -> None:
    """Keep beside what was made from what and how it was made; see ``is_archive_current``."""
    cache.remember(target, digest)
    receipt = {
        "settings": packing.settings,
        "sources": sources,
        "sha256": digest.sha256,
    }
    with replaced(_receipt_path(target)) as temporary:
        temporary.write_text(json.dumps(receipt, indent=1) + "\n", encoding="utf-8")


def _changed(path: Path) -> PrepareError:
    return PrepareError(
        f"{path.name}: expected a file at rest, found it changed while it was packed",
        hint="wait until the build has ended, then run the same command",
    )


def digests_of(members: Sequence[Path], cache: DigestCache) -> dict[str, str]:
    """Return sha256 by name: what an archive is made of."""
    return {path.name: cache.digest(path).sha256 for path in members}


@contextmanager
def replaced(target: Path) -> Iterator[Path]:
    """Give a temporary path that becomes ``target``, durably, if the block ends well."""
    temporary = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        raise PrepareError(
            f"{target.name}: expected to write it in {target.parent}, got {error.strerror!r}"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _receipt_path(target: Path) -> Path:
    return target.with_name(target.name + ".receipt.json")
