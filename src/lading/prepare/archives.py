"""Archives that are the same bytes for the same input, on any machine, at any time.

Each archive has a receipt beside it that says from which bytes and with which settings it
was made, so that an unchanged input costs nothing, whatever happened to doit's state.
"""

import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from lading import __version__
from lading.errors import PrepareError
from lading.prepare.digests import DigestCache
from lading.storage.bytes import CHUNK_BYTES, sync_folder
from lading.storage.progress import NO_PROGRESS, Progress

_LEVELS = {"fast": 1, "balanced": 6, "small": 9}
STORE_SETTINGS: dict[str, Any] = {"method": "store"}
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time that a zip can tell
_ZIP_END_S = 4_354_819_198  # the last: 2107-12-31 23:59:58 UTC


def compress_file(
    source: Path,
    target: Path,
    *,
    level: str,
    cache: DigestCache,
    progress: Progress = NO_PROGRESS,
) -> bool:
    """Pack one file as the only entry of a zip, compressed with DEFLATE.

    Returns:
        Whether the archive was made; False where the one that stands is still right.

    Effects: ``target`` and its receipt are replaced in one step each, or not at all.

    Raises:
        SourceError: the file is unreadable or changes while it is read.
        PrepareError: the archive cannot be written.
    """
    return _make(source.parent, [source], target, deflate_settings(level), cache, progress)


def store_bundle(
    folder: Path,
    members: Sequence[Path],
    target: Path,
    *,
    cache: DigestCache,
    progress: Progress = NO_PROGRESS,
) -> bool:
    """Pack files of one folder into a zip without compression, sorted by name.

    Returns, effects and errors as ``compress_file``.
    """
    return _make(folder, members, target, STORE_SETTINGS, cache, progress)


def deflate_settings(level: str) -> dict[str, Any]:
    """Return the settings of a compressed archive; another library may make other bytes.

    Args:
        level: ``fast``, ``balanced`` or ``small``.
    """
    return {"method": "deflate", "level": level, "zlib": zlib.ZLIB_RUNTIME_VERSION}


def is_archive_current(
    members: Sequence[Path], target: Path, settings: dict[str, Any], cache: DigestCache
) -> bool:
    """Say whether an archive stands that was made from these bytes with these settings."""
    try:
        receipt = json.loads(_receipt_path(target).read_bytes())
    except (OSError, ValueError):
        return False
    if not isinstance(receipt, dict) or receipt.get("settings") != _full(settings):
        return False
    return bool(
        target.is_file()
        and receipt.get("sources") == _digests_of(members, cache)
        and receipt.get("sha256") == cache.digest(target).sha256
    )


def _make(
    folder: Path,
    members: Sequence[Path],
    target: Path,
    settings: dict[str, Any],
    cache: DigestCache,
    progress: Progress,
) -> bool:
    sources = _digests_of(members, cache)
    if is_archive_current(members, target, settings, cache):
        return False
    progress.set_size(sum(path.stat().st_size for path in members))
    with _replaced(target) as temporary:
        with zipfile.ZipFile(temporary, "w") as archive:
            for member in sorted(members, key=lambda path: path.name.encode()):
                progress.start_file(member.name)
                _add(archive, member, member.relative_to(folder), settings, progress)
        for name, sha256 in _digests_of(members, cache).items():
            if sha256 != sources[name]:
                raise PrepareError(
                    f"{name}: expected a file at rest, found it changed while it was packed",
                    hint="wait until the build has ended, then run the same command",
                )
    receipt = {
        "settings": _full(settings),
        "sources": sources,
        "sha256": cache.digest(target).sha256,
    }
    with _replaced(_receipt_path(target)) as temporary:
        temporary.write_text(json.dumps(receipt, indent=1) + "\n", encoding="utf-8")
    return True


def _digests_of(members: Sequence[Path], cache: DigestCache) -> dict[str, str]:
    return {path.name: cache.digest(path).sha256 for path in members}


def _add(
    archive: zipfile.ZipFile,
    source: Path,
    name: PurePosixPath | Path,
    settings: dict[str, Any],
    progress: Progress,
) -> None:
    entry = zipfile.ZipInfo(name.as_posix(), _entry_time())
    entry.create_system = 3  # Unix, whatever the machine
    entry.external_attr = 0o100644 << 16
    entry.file_size = source.stat().st_size  # lets zipfile choose ZIP64 only where it is needed
    if settings["method"] == "deflate":
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry._compresslevel = _LEVELS[settings["level"]]  # type: ignore[attr-defined]  # noqa: SLF001  ZipInfo has no public way before 3.13
    with source.open("rb", buffering=0) as reader, archive.open(entry, "w") as writer:
        while piece := reader.read(CHUNK_BYTES):
            writer.write(piece)
            progress.relative_update(len(piece))


@contextmanager
def _replaced(target: Path) -> Iterator[Path]:
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


def _entry_time() -> tuple[int, int, int, int, int, int]:
    """Return SOURCE_DATE_EPOCH in UTC, or the first time a zip can tell.

    Source: reproducible-builds.org, "SOURCE_DATE_EPOCH". The tag's own time is not used: it
    would give an unchanged database another archive every night (docs/adr/0003).
    """
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not (text.isascii() and text.isdigit()):
        return _ZIP_EPOCH
    moment = datetime.fromtimestamp(min(int(text), _ZIP_END_S), UTC)
    time = (moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second)
    return max(time, _ZIP_EPOCH)


def _full(settings: dict[str, Any]) -> dict[str, Any]:
    return {**settings, "time": list(_entry_time()), "tool": __version__}


def _receipt_path(target: Path) -> Path:
    return target.with_name(target.name + ".receipt.json")
