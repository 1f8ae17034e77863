"""A folder as a store: ``file://`` URLs and plain paths.

An object is a file under its key. It is written under a temporary name below the root's
``.lading/tmp``, flushed to the disk and renamed, so that no reader sees half of it.
"""

import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import google_crc32c

from lading.errors import ChecksumError, ConditionError, MissingObjectError, StoreError
from lading.release.objects import Digest, encode_crc32c
from lading.storage.bytes import copy_in_kernel, digest_file, read_pieces, sync_folder
from lading.storage.contract import (
    ALWAYS,
    NO_ATTRIBUTES,
    Attributes,
    Body,
    Condition,
    Entry,
    Unfinished,
    check_key,
    require_file,
)
from lading.storage.progress import NO_PROGRESS, Progress

_Result = TypeVar("_Result")
_RACES = 100
_WORKERS = 8

_FILE_MODE = 0o644  # public data: what a reader may see must not hang on the writer's umask
_FOLDER_MODE = 0o755
_SCRATCH = "/.lading/tmp/"


class LocalStore:
    """Objects as files below a folder.

    Args:
        folder: the root; made by the first write.
        root: what all keys written through this store begin with, "" or ending in a slash;
            temporary files stand below it, so that a guarded store writes nowhere else.
    """

    def __init__(self, folder: Path, root: str = "") -> None:
        self._folder = folder
        self._scratch_key = f"{root}.lading/tmp/"
        self._scratch = folder / self._scratch_key

    @property
    def url(self) -> str:
        return str(self._folder)

    @property
    def workers(self) -> int:
        return _WORKERS

    def require_access(self, root: str) -> None:
        place = f"{root}.lading/access"
        with self._explained(place, "write in"), self._temporary():
            pass
        self._remove_empty_folders(self._scratch)

    def list(self, prefix: str = "") -> list[Entry]:
        if prefix.rstrip("/"):
            check_key(prefix.rstrip("/"))
        start = self._folder / prefix.rpartition("/")[0]
        with self._explained(prefix, "list"):
            if self._folder.exists() and not self._folder.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, "a file stands there")
            entries = [
                self._entry(path.relative_to(self._folder).as_posix(), found)
                for path, found in _walk(start)
            ]
        chosen = [
            each
            for each in entries
            if each.key.startswith(prefix) and _SCRATCH not in f"/{each.key}"
        ]
        return sorted(chosen, key=lambda each: each.key)

    def stat(self, key: str) -> Entry | None:
        path = self._path(key)
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StoreError(
                f"{self.url}/{key}: expected to read it, got {error.strerror!r}"
            ) from error
        return None if stat.S_ISDIR(found.st_mode) else self._entry(key, found)

    def digest(self, key: str) -> Digest:
        with self._explained(key, "read"):
            return digest_file(self._path(key))

    def get(self, key: str, start: int = 0, stop: int | None = None) -> bytes:
        with self._explained(key, "read"), self._path(key).open("rb") as file:
            file.seek(start)
            return file.read() if stop is None else file.read(max(0, stop - start))

    def put(
        self,
        key: str,
        body: Body,
        *,
        condition: Condition = ALWAYS,
        progress: Progress = NO_PROGRESS,
    ) -> Entry:
        path = self._path(key)
        require_file(body)
        with self._explained(key, "write"), self._temporary() as (temporary, out):
            size, crc = 0, 0
            for piece in read_pieces(body.path) if body.path else (body.data,):
                _write_all(out, piece)
                size, crc = size + len(piece), google_crc32c.extend(crc, piece)
                progress.relative_update(len(piece))
            found = Digest(size_bytes=size, crc32c=encode_crc32c(crc))
            self._check(key, found, body.digest)
            os.fsync(out)
            return self._publish(key, temporary, path, condition)

    def copy(
        self,
        source_key: str,
        key: str,
        *,
        digest: Digest,
        attributes: Attributes = NO_ATTRIBUTES,
        source_url: str = "",
        source_version: str = "",
    ) -> Entry:
        del attributes, source_version  # a folder keeps none; its bytes are asked while they pass
        place = source_url or self.url
        source = Path(place) / check_key(source_key)
        path = self._path(key)
        try:
            file = source.open("rb")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise MissingObjectError(
                f"{place}/{source_key}: expected an object, found none"
            ) from error
        with file, self._explained(key, "write"), self._temporary() as (temporary, out):
            copy_in_kernel(file.fileno(), out)
            self._check(key, digest_file(temporary, sha256=False), digest)
            os.fsync(out)
            return self._publish(key, temporary, path, ALWAYS)

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            path = self._path(key)
            if path.is_dir():
                continue  # the beginning of other keys is no object
            with self._explained(key, "delete"), suppress(NotADirectoryError):
                path.unlink(missing_ok=True)
                self._remove_empty_folders(path.parent)

    def delete_version(self, key: str, version: str) -> None:
        path = self._path(key)
        with self._explained(key, "delete"), self._exclusive(key):
            self._require_version(key, version)
            path.unlink()
        self._remove_empty_folders(path.parent)

    def cannot_hold(self) -> str:
        return "a folder has no holds"

    def held(self, prefix: str) -> frozenset[str]:
        del prefix
        return frozenset()

    def hold(self, keys: Iterable[str]) -> None:
        for key in keys:
            raise StoreError(f"{self.url}/{key}: expected to hold it, but {self.cannot_hold()}")

    def unfinished(self, prefix: str) -> Sequence[Unfinished]:
        del prefix
        return []

    def abandon(self, uploads: Iterable[Unfinished]) -> None:
        """Do nothing: what a killed writer leaves is swept."""

    def sweep(self) -> None:
        with self._explained(self._scratch_key, "sweep"), suppress(FileNotFoundError):
            for path in list(self._scratch.iterdir()):
                # a live writer holds the lock of its temporary file
                with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
        self._remove_empty_folders(self._scratch)  # not where a live writer has a file

    def _path(self, key: str) -> Path:
        return self._folder / check_key(key)

    def _entry(self, key: str, found: os.stat_result) -> Entry:
        version = f"{found.st_mtime_ns:x}-{found.st_size:x}-{found.st_ino:x}"
        moment = datetime.fromtimestamp(found.st_mtime, UTC)
        return Entry(key=key, size_bytes=found.st_size, version=version, modified_at=moment)

    def _check(self, key: str, found: Digest, expected: Digest) -> None:
        if not found.agrees_with(expected):
            raise ChecksumError(
                f"{self.url}/{key}: expected {expected.describe()}, got {found.describe()}"
            )

    @contextmanager
    def _temporary(self) -> Iterator[tuple[Path, int]]:
        """Open a temporary file below the root; it is gone afterwards unless it was renamed."""
        path, descriptor = self._open_temporary()
        try:
            os.fchmod(descriptor, _FILE_MODE)
            yield path, descriptor
        finally:
            os.close(descriptor)
            path.unlink(missing_ok=True)

    def _open_temporary(self) -> tuple[Path, int]:
        """Make a file that is locked for as long as it is written, so that no sweep takes it."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        while True:
            path = self._scratch / secrets.token_hex(8)
            descriptor = _in_folder(self._scratch, partial(os.open, path, flags, _FILE_MODE))
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if path.exists():
                return path, descriptor
            os.close(descriptor)  # swept between its making and its lock

    def _publish(self, key: str, temporary: Path, path: Path, condition: Condition) -> Entry:
        if condition.if_absent:
            try:
                _in_folder(path.parent, lambda: os.link(temporary, path))
            except FileExistsError as error:
                raise ConditionError(f"{self.url}/{key}: expected no object, found one") from error
        elif condition.if_version:
            with self._exclusive(key):
                self._require_version(key, condition.if_version)
                temporary.replace(path)
        else:
            _in_folder(path.parent, lambda: temporary.replace(path))
        sync_folder(path.parent)
        return self._entry(key, path.stat())

    def _require_version(self, key: str, version: str) -> None:
        standing = self.stat(key)
        if standing is None or standing.version != version:
            raise ConditionError(f"{self.url}/{key}: expected an unchanged object")

    @contextmanager
    def _exclusive(self, key: str) -> Iterator[None]:
        """Hold off other processes that would replace the same object under a condition."""
        try:
            file = self._path(key).open("rb")
        except FileNotFoundError as error:
            raise ConditionError(f"{self.url}/{key}: expected an object, found none") from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _remove_empty_folders(self, folder: Path) -> None:
        while folder != self._folder:
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent

    @contextmanager
    def _explained(self, key: str, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            is_folder = isinstance(error, IsADirectoryError) and verb == "read"
            if isinstance(error, FileNotFoundError) or is_folder:
                raise MissingObjectError(
                    f"{self.url}/{key}: expected an object, found none"
                ) from error
            raise StoreError(
                f"{self.url}/{key}: expected to {verb} it, got {error.strerror!r}"
            ) from error


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _in_folder(folder: Path, act: Callable[[], _Result]) -> _Result:
    """Act in a folder that is made first; a sweep may remove it, being empty, meanwhile."""
    for _ in range(_RACES):
        # mkdir reports a folder that vanishes while it looks as one that exists
        with suppress(FileExistsError, FileNotFoundError):
            _make_folder(folder)
        with suppress(FileNotFoundError):
            return act()
    return act()


def _make_folder(folder: Path) -> None:
    """Make a folder that everybody may enter, and those above it, whatever the umask."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    folder.chmod(_FOLDER_MODE)


def _walk(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Walk the files below a folder; one that vanishes meanwhile is no error."""
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
        else:
            with suppress(FileNotFoundError):
                yield Path(entry.path), entry.stat()
