"""Any fsspec URL as the source of a build: listed once, downloaded file by file.

The listing is frozen when the download is whole. A cut download is resumed: a file that is
here with the size and checksum of the listing is not fetched again, nor are the blocks of one
that was on its way.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import fsspec

from lading.errors import SourceError
from lading.release.layout import SourceFile, check_names
from lading.release.objects import Digest
from lading.storage.bytes import digest_file, write_atomically
from lading.storage.download import Download, UnrangedError
from lading.storage.progress import Progress

_WORKERS = 8


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a remote build, as its listing tells."""

    path: str
    """Path in the build."""
    size_bytes: int
    """Its size."""
    crc32c: str
    """Base64, or "" where the source does not tell."""
    md5: str
    """Lower-case hex, or "" where the source does not tell."""
    fingerprint: str = ""
    """What tells these bytes from others under the same name, as far as the source says."""


def list_remote(url: str, options: Mapping[str, Any]) -> list[RemoteFile]:
    """List a remote build, sorted by path.

    Args:
        url: the build.
        options: of the filesystem, as fsspec takes them.

    Raises:
        SourceError: it cannot be listed, is empty, or holds a name that cannot ship.
    """
    with _explained(url):
        filesystem, root = fsspec.core.url_to_fs(url, **options)
        found: Mapping[str, Mapping[str, Any]] = filesystem.find(root, detail=True)
    prefix = root.rstrip("/") + "/"
    files = sorted(
        (
            _parse_entry(name.removeprefix(prefix), entry)
            for name, entry in found.items()
            if entry.get("type") == "file" and not name.endswith("/")
        ),
        key=lambda each: each.path,
    )
    if not files:
        raise SourceError(f"source.url: expected a build at {url}, found no files")
    check_names(each.path for each in files)
    return files


def list_folders(url: str, options: Mapping[str, Any]) -> list[str]:
    """List the names of the folders that stand directly below a remote place, sorted.

    Raises:
        SourceError: it cannot be listed. A place that does not exist is empty.
    """
    with _explained(url):
        filesystem, root = fsspec.core.url_to_fs(url, **options)
        filesystem.invalidate_cache()  # a server asks more than once
        try:
            found: list[Mapping[str, Any]] = filesystem.ls(root, detail=True)
        except FileNotFoundError:
            return []
    folders = (str(each["name"]) for each in found if each["type"] == "directory")
    return sorted(name.rstrip("/").rpartition("/")[2] for name in folders)


def has_remote(url: str, options: Mapping[str, Any]) -> bool:
    """Say whether a file stands under a remote URL, or something below it.

    Raises:
        SourceError: it cannot be asked.
    """
    with _explained(url):
        filesystem, path = fsspec.core.url_to_fs(url, **options)
        filesystem.invalidate_cache()
        return bool(filesystem.exists(path))


def fetch_build(
    url: str,
    folder: Path,
    listing_path: Path,
    *,
    options: Mapping[str, Any],
    digest: Callable[[Path], Digest],
    progress: Progress,
) -> tuple[int, int]:
    """Download a build into a folder, then freeze its listing.

    Effects: each file appears whole, by a rename; ``listing_path`` is written last.

    Args:
        url: the build.
        folder: where to.
        listing_path: where the listing is frozen.
        options: of the filesystem, as fsspec takes them.
        digest: how the files that are here are digested; the listing keeps the sha256.
        progress: told of files and bytes.

    Returns:
        How many files were fetched, and how many were here already.

    Raises:
        SourceError: a file cannot be read, or is not what the listing says.
    """
    files = list_remote(url, options)
    missing = [each for each in files if not _is_here(folder / each.path, each)]
    with _explained(url):
        filesystem, root = fsspec.core.url_to_fs(url, **options)
        _fetch_all(filesystem, root.rstrip("/"), missing, folder, progress)
    rows = [
        {
            "path": each.path,
            "size_bytes": each.size_bytes,
            "sha256": digest(folder / each.path).sha256,
        }
        for each in files
    ]
    table = {"schema_version": 1, "url": url, "files": rows}
    write_atomically(listing_path, (json.dumps(table, indent=1) + "\n").encode())
    return len(missing), len(files) - len(missing)


def is_listing_of(path: Path, url: str) -> bool:
    """Say whether a frozen listing stands that is of this build, or too broken to tell."""
    try:
        return bool(json.loads(path.read_bytes()).get("url", url) == url)
    except OSError:
        return False
    except (ValueError, AttributeError):
        return True  # whoever loads it says what is wrong


def load_listing(path: Path) -> tuple[SourceFile, ...]:
    """Load the frozen listing of a fetched build, sorted by path.

    Raises:
        SourceError: there is none yet, or it cannot be read.
    """
    return tuple(SourceFile(row["path"], row["size_bytes"]) for row in _load_rows(path))


def load_fetched(path: Path) -> dict[str, str]:
    """Load the sha256 of each fetched file by path.

    Raises:
        SourceError: as ``load_listing``.
    """
    return {row["path"]: row["sha256"] for row in _load_rows(path)}


def _load_rows(path: Path) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = json.loads(path.read_bytes())["files"]
        is_listing = all(row.keys() >= {"path", "size_bytes", "sha256"} for row in rows)
    except OSError as error:
        raise SourceError(f"{path}: expected the listing of a fetched build, found none") from error
    except (ValueError, KeyError, TypeError, AttributeError):
        is_listing = False
    if not is_listing:
        raise SourceError(
            f"{path}: expected the listing of a fetched build, found another file",
            hint="remove it and run the same command",
        )
    return rows


def _parse_entry(path: str, entry: Mapping[str, Any]) -> RemoteFile:
    # GCS lists crc32c and md5Hash; S3 lists an ETag that is the MD5 of a plain upload only
    md5 = str(entry.get("md5Hash", ""))
    etag = str(entry.get("ETag", "")).strip('"')
    if md5:
        md5 = base64.b64decode(md5).hex()
    elif len(etag) == hashlib.md5(usedforsecurity=False).digest_size * 2 and "-" not in etag:
        md5 = etag
    stamps = ("generation", "ETag", "etag", "crc32c", "mtime", "LastModified", "updated")
    fingerprint = " ".join(str(entry[each]) for each in ("size", *stamps) if entry.get(each))
    crc32c = str(entry.get("crc32c", ""))
    return RemoteFile(path, int(entry["size"]), crc32c, md5, fingerprint)


def _is_here(path: Path, file: RemoteFile) -> bool:
    with suppress(OSError):
        return path.stat().st_size == file.size_bytes and not _fault_of(path, file)
    return False


def _fault_of(path: Path, file: RemoteFile) -> str:
    """Say what is wrong with a downloaded file, or ""."""
    found = digest_file(path, sha256=False, md5=bool(file.md5))
    if found.size_bytes != file.size_bytes:
        return f"expected {file.size_bytes} bytes, got {found.size_bytes}"
    if file.crc32c and found.crc32c != file.crc32c:
        return f"expected crc32c {file.crc32c}, got {found.crc32c}"
    if file.md5 and found.md5 != file.md5:
        return f"expected md5 {file.md5}, got {found.md5}"
    return ""


def _fetch_all(
    filesystem: Any, root: str, files: list[RemoteFile], folder: Path, progress: Progress
) -> None:
    """Fetch files, the blocks of all of them in one queue, so that no large one comes last."""
    downloads = [
        Download(
            filesystem,
            f"{root}/{each.path}",
            folder / each.path,
            size=each.size_bytes,
            fingerprint=each.fingerprint,
        )
        for each in files
    ]
    blocks = {at: each.missing() for at, each in enumerate(downloads)}
    progress.set_size(sum(b.stop - b.start for each in blocks.values() for b in each))
    progress.set_files(len(files))
    with ThreadPoolExecutor(max_workers=_WORKERS) as pool:
        queue: list[tuple[int, list[Future[None]]]] = []
        try:
            for at, download in enumerate(downloads):
                progress.start_file(files[at].path)
                queue.append(
                    (at, [pool.submit(download.fetch, each, progress) for each in blocks[at]])
                )
            for at, futures in queue:
                try:
                    for future in futures:
                        future.result()
                except UnrangedError:
                    wait(futures)
                    downloads[at].fetch_whole(progress)
                _finish(filesystem, files[at], downloads[at], folder / files[at].path)
                progress.finish_file(files[at].path)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _finish(filesystem: Any, file: RemoteFile, download: Download, target: Path) -> None:
    """Give a file its name, if it is what the source says it is."""
    known = file if file.crc32c or file.md5 else _ask_checksum(filesystem, file, download.remote)
    fault = _fault_of(download.part, known)
    if fault:
        download.discard()
        raise SourceError(
            f"{download.remote}: {fault}", hint="run the same command; it is fetched anew"
        )
    download.finish(target)


def _ask_checksum(filesystem: Any, file: RemoteFile, remote: str) -> RemoteFile:
    """Ask S3 for the checksum of an object whose ETag is none; other filesystems have no answer."""
    if not hasattr(filesystem, "call_s3"):
        return file
    bucket, key, _ = filesystem.split_path(remote)
    with suppress(Exception):  # a checksum more is welcome; a refusal to tell it is none of ours
        told = filesystem.call_s3("head_object", Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        if told.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT":
            return replace(file, crc32c=str(told.get("ChecksumCRC32C", "")))
    return file


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Turn whatever a filesystem raises into one line; this is the door to all of them."""
    try:
        yield
    except SourceError:
        raise
    except ImportError as error:
        raise SourceError(
            f"source.url: expected a package that reads {url}, got: {error}"
        ) from error
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SourceError(f"source.url: expected to read {url}, got {reason!r}") from error
