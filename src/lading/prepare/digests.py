"""Digests of local files, computed in one read and remembered.

The memory is a cache keyed by path, size and modification time. Losing it costs reads and
never changes an answer.
"""

import os
import sqlite3
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lading.errors import SourceError
from lading.release.objects import Digest
from lading.storage.bytes import digest_file
from lading.storage.progress import NO_PROGRESS, Progress

# primary result codes: SQL error (another shape), malformed, not a database
_BROKEN = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_SCHEMA = """
create table if not exists files (
  path text primary key, size_bytes integer, mtime_ns integer,
  sha256 text, crc32c text, crc32 text, md5 text
) without rowid
"""


class DigestCache:
    """A cache of digests in one SQLite file; may be used from several threads.

    Args:
        path: the cache's file, made at the first write.
        read_only: look things up in the file, keep what is new in memory only.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._path = path
        self._read_only = read_only
        self._lock = threading.Lock()
        self._fresh: dict[str, tuple[tuple[int, int], Digest]] = {}
        self._turns: dict[str, threading.Lock] = {}
        self._connection: sqlite3.Connection | None = None

    def digest(self, path: Path, *, md5: bool = False, progress: Progress = NO_PROGRESS) -> Digest:
        """Return the digest of a file, from the cache where the file is unchanged.

        Args:
            path: the file.
            md5: whether MD5 is needed as well.
            progress: told of the bytes, read or not.

        Raises:
            SourceError: the file is missing or unreadable, or changed while it was read.
        """
        with self._turn(path):  # two that ask at once read once
            return self._digest(path, md5=md5, progress=progress)

    def _turn(self, path: Path) -> threading.Lock:
        with self._lock:
            return self._turns.setdefault(self._name(path), threading.Lock())

    def _digest(self, path: Path, *, md5: bool, progress: Progress) -> Digest:
        try:
            before = path.stat()
            known = self._recall(path, before)
            if known and (known.md5 or not md5):
                progress.relative_update(before.st_size)
                return known
            digest = digest_file(path, md5=md5, progress=progress)
            after = path.stat()
        except OSError as error:
            raise SourceError(
                f"{path}: expected a readable file, got {error.strerror!r}"
            ) from error
        if _stamp(before) != _stamp(after) or digest.size_bytes != after.st_size:
            raise SourceError(
                f"{path}: expected a file at rest, found it changed while it was read",
                hint="wait until the build has ended, then run the same command",
            )
        self._remember(path, after, digest)
        return digest

    def remember(self, path: Path, digest: Digest) -> None:
        """Remember the digests of a file that this process has just written and closed."""
        found = path.stat()
        if found.st_size == digest.size_bytes:
            self._remember(path, found, digest)

    def digest_all(
        self, paths: Iterable[tuple[Path, bool]], progress: Progress = NO_PROGRESS
    ) -> list[Digest]:
        """Return the digests of many files in the order given; pairs say whether MD5 is needed.

        The largest are read first, so that all cores are busy to the end.
        """
        wanted = list(paths)
        order = sorted(range(len(wanted)), key=lambda n: -_size_of(wanted[n][0]))
        with ThreadPoolExecutor(max_workers=min(8, 2 * (os.cpu_count() or 1))) as pool:
            futures = {
                n: pool.submit(self.digest, wanted[n][0], md5=wanted[n][1], progress=progress)
                for n in order
            }
            try:
                return [futures[n].result() for n in range(len(wanted))]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def is_known(self, path: Path) -> bool:
        """Say whether the digest of a file costs no read."""
        with suppress(OSError):
            return self._recall(path, path.stat()) is not None
        return False

    def _recall(self, path: Path, found: os.stat_result) -> Digest | None:
        name = self._name(path)
        with self._lock:
            if name not in self._fresh:
                self._load(name)
            stamp, digest = self._fresh.get(name, (None, None))
        return digest if stamp == _stamp(found) else None

    def _remember(self, path: Path, found: os.stat_result, digest: Digest) -> None:
        name, stamp = self._name(path), _stamp(found)
        row = (name, *stamp, digest.sha256, digest.crc32c, digest.crc32, digest.md5)
        with self._lock:
            self._fresh[name] = (stamp, digest)
            if not self._read_only:
                self._query("insert or replace into files values (?, ?, ?, ?, ?, ?, ?)", row)

    def _name(self, path: Path) -> str:
        """Name a file from the cache's folder, so that both may be moved together."""
        return os.path.relpath(path.absolute(), self._path.parent.absolute())

    def _load(self, name: str) -> None:
        if self._connection is None and not self._path.exists():
            return
        query = "select size_bytes, mtime_ns, sha256, crc32c, crc32, md5 from files where path = ?"
        for row in self._query(query, (name,)):
            digest = Digest(
                size_bytes=row[0], sha256=row[2], crc32c=row[3], crc32=row[4], md5=row[5]
            )
            self._fresh[name] = ((row[0], row[1]), digest)

    def _query(self, statement: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        """Run a statement. A broken cache is started anew; a dry run does without."""
        try:
            return self._connect().execute(statement, values).fetchall()
        except sqlite3.DatabaseError as error:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            if self._read_only or error.sqlite_errorcode & 0xFF not in _BROKEN:
                return []
            self._path.unlink(missing_ok=True)
            return self._connect().execute(statement, values).fetchall()

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            if not self._read_only:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = _open(self._path, read_only=self._read_only)
        return self._connection


def _open(path: Path, *, read_only: bool) -> sqlite3.Connection:
    mode = "ro" if read_only else "rwc"
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode={mode}",
        uri=True,
        check_same_thread=False,
        isolation_level=None,
        timeout=30,
    )
    if not read_only:
        connection.execute("pragma synchronous = off")  # a lost row costs a read
        connection.execute(_SCHEMA)
    return connection


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _stamp(found: os.stat_result) -> tuple[int, int]:
    return found.st_size, found.st_mtime_ns
