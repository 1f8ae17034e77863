"""Tests of the cache of digests: it saves reads and never changes an answer."""

import os
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lading.errors import SourceError
from lading.prepare import digests as digests_module
from lading.prepare.digests import DigestCache
from lading.release.objects import Digest, digest_bytes
from lading.storage import Progress
from lading.storage.bytes import digest_file


def ignore(_: Path) -> None:
    """Do nothing with a file that was read."""


class Reads:
    """Counts the files that are read, by name."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.during = ignore
        self._lock = threading.Lock()

    def __call__(self, path: Path, **options: Any) -> Digest:
        """Read a file and note it."""
        with self._lock:
            self.names.append(path.name)
        digest = digest_file(path, **options)
        self.during(path)
        return digest


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    """Count the files that the cache reads."""
    counter = Reads()
    monkeypatch.setattr(digests_module, "digest_file", counter)
    return counter


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file with bytes in it."""
    found = tmp_path / "file"
    found.write_bytes(b"bytes")
    return found


@pytest.fixture
def cache(tmp_path: Path) -> DigestCache:
    """Return a cache that is not made yet."""
    return DigestCache(tmp_path / "work/digests.sqlite")


def reopened(tmp_path: Path, *, read_only: bool = False) -> DigestCache:
    """Return the same cache as another run would open it."""
    return DigestCache(tmp_path / "work/digests.sqlite", read_only=read_only)


def test_second_call_reads_nothing(path: Path, cache: DigestCache, reads: Reads) -> None:
    """An unchanged file is read once in a run."""
    first = cache.digest(path)
    assert first == cache.digest(path)
    assert digest_bytes(b"bytes") == first
    assert reads.names == ["file"]


def test_second_run_reads_nothing(
    tmp_path: Path, path: Path, cache: DigestCache, reads: Reads
) -> None:
    """An unchanged file is read once in its life: the next run knows it."""
    first = cache.digest(path, md5=True)
    again = reopened(tmp_path)
    assert again.is_known(path)
    assert first == again.digest(path, md5=True)
    assert reads.names == ["file"]


def test_every_digest_survives_the_file(tmp_path: Path, path: Path, cache: DigestCache) -> None:
    """What comes back from the cache is what was computed, MD5 included."""
    cache.digest(path, md5=True)
    assert digest_file(path, md5=True) == reopened(tmp_path).digest(path)


def test_touched_file_is_read_again(path: Path, cache: DigestCache, reads: Reads) -> None:
    """Another modification time costs one read and gives the same answer."""
    first = cache.digest(path)
    os.utime(path, ns=(1, 1))
    assert not cache.is_known(path)
    assert first == cache.digest(path)
    assert cache.is_known(path)
    assert reads.names == ["file", "file"]


@pytest.mark.parametrize("data", [b"other", b"longer bytes", b""])
def test_changed_file_has_its_new_digest(
    tmp_path: Path, path: Path, cache: DigestCache, data: bytes
) -> None:
    """A changed file, of the same size or not, is never given its old digest."""
    cache.digest(path)
    path.write_bytes(data)
    os.utime(path, ns=(2, 2))
    assert digest_bytes(data) == cache.digest(path)
    assert digest_bytes(data) == reopened(tmp_path).digest(path)


def test_changed_size_is_seen_without_the_time(path: Path, cache: DigestCache) -> None:
    """A file of another size is read again, though its time was set back."""
    cache.digest(path)
    before = path.stat().st_mtime_ns
    path.write_bytes(b"other size")
    os.utime(path, ns=(before, before))
    assert digest_bytes(b"other size") == cache.digest(path)


def test_md5_only_when_asked(path: Path, cache: DigestCache, reads: Reads) -> None:
    """MD5 is not computed unless somebody needs it; then once, and it stays known."""
    assert cache.digest(path).md5 == ""
    assert cache.digest(path, md5=True).md5 == digest_file(path, md5=True).md5
    assert cache.digest(path).md5 != ""
    cache.digest(path, md5=True)
    assert reads.names == ["file", "file"]


def test_looking_up_makes_no_file(tmp_path: Path, path: Path, cache: DigestCache) -> None:
    """Asking what is known makes neither the cache nor its folder."""
    assert not cache.is_known(path)
    assert [path] == list(tmp_path.iterdir())


def test_missing_file(cache: DigestCache, tmp_path: Path) -> None:
    """A missing file is refused with its path, and known it is not."""
    gone = tmp_path / "gone"
    assert not cache.is_known(gone)
    with pytest.raises(SourceError, match=f"{gone}: expected a readable file, got 'No such file"):
        cache.digest(gone)


def test_deleted_file_is_not_remembered(path: Path, cache: DigestCache) -> None:
    """A file that was known and is gone is missing."""
    cache.digest(path)
    path.unlink()
    with pytest.raises(SourceError):
        cache.digest(path)


def test_folder_is_no_file(tmp_path: Path, cache: DigestCache) -> None:
    """A folder is refused as unreadable."""
    with pytest.raises(SourceError, match="Is a directory"):
        cache.digest(tmp_path)


@pytest.mark.parametrize("data", [b"other", b"longer bytes"])
def test_file_that_changes_while_it_is_read(
    path: Path, cache: DigestCache, reads: Reads, data: bytes
) -> None:
    """A file that is written while it is read is refused, and not remembered."""

    def write(_: Path) -> None:
        path.write_bytes(data)
        os.utime(path, ns=(5, 5))

    reads.during = write
    with pytest.raises(SourceError, match="expected a file at rest"):
        cache.digest(path)
    reads.during = ignore
    assert not cache.is_known(path)
    assert digest_bytes(data) == cache.digest(path)


class TestReadOnly:
    """What a dry run does with the cache."""

    def test_no_file_is_made(self, tmp_path: Path, path: Path, reads: Reads) -> None:
        """Without a cache a dry run reads each file once and writes nothing."""
        cache = reopened(tmp_path, read_only=True)
        cache.digest(path)
        cache.digest(path)
        assert reads.names == ["file"]
        assert [path] == list(tmp_path.iterdir())

    def test_known_files_are_not_read(
        self, tmp_path: Path, path: Path, cache: DigestCache, reads: Reads
    ) -> None:
        """With a cache a dry run uses it."""
        cache.digest(path)
        reopened(tmp_path, read_only=True).digest(path)
        assert reads.names == ["file"]

    @pytest.mark.parametrize("content", [None, b"", b"no database" * 500], ids=str)
    def test_file_stays_as_it_is(self, tmp_path: Path, path: Path, content: bytes | None) -> None:
        """Sound, empty or broken: a dry run changes no byte of the cache and adds no file."""
        stored = tmp_path / "work/digests.sqlite"
        if content is None:
            reopened(tmp_path).digest(path)
            path.write_bytes(b"changed bytes")
        else:
            stored.parent.mkdir()
            stored.write_bytes(content)
        before = stored.read_bytes()
        cache = reopened(tmp_path, read_only=True)
        assert digest_file(path) == cache.digest(path)
        assert before == stored.read_bytes()
        assert [stored] == list(stored.parent.iterdir())


class TestBroken:
    """Losing the cache costs reads and no answers."""

    @pytest.mark.parametrize(
        "content", [b"", b"x", b"no database" * 500, b"SQLite format 3\0" + b"\xff" * 5000], ids=len
    )
    def test_file_of_another_kind(
        self, tmp_path: Path, path: Path, cache: DigestCache, content: bytes
    ) -> None:
        """A cache file that is something else is started anew, and works from then on."""
        stored = tmp_path / "work/digests.sqlite"
        stored.parent.mkdir()
        stored.write_bytes(content)
        assert digest_bytes(b"bytes") == cache.digest(path)
        assert reopened(tmp_path).is_known(path)

    @pytest.mark.parametrize("lost", ["tail", "page"])
    def test_damaged_inside(self, tmp_path: Path, lost: str, path: Path) -> None:
        """A cache whose header is sound and whose pages are not is started anew."""
        fill(reopened(tmp_path), tmp_path)
        stored = tmp_path / "work/digests.sqlite"
        damage(stored, lost)
        assert digest_bytes(b"bytes") == reopened(tmp_path).digest(path)
        assert reopened(tmp_path).is_known(path)

    @pytest.mark.parametrize("lost", ["tail", "page"])
    def test_damaged_inside_in_a_dry_run(self, tmp_path: Path, lost: str, path: Path) -> None:
        """A dry run with a damaged cache reads the file instead."""
        fill(reopened(tmp_path), tmp_path)
        damage(tmp_path / "work/digests.sqlite", lost)
        cache = reopened(tmp_path, read_only=True)
        assert digest_bytes(b"bytes") == cache.digest(path)

    def test_table_of_another_version(self, tmp_path: Path, path: Path, cache: DigestCache) -> None:
        """A cache of another shape is started anew."""
        stored = tmp_path / "work/digests.sqlite"
        stored.parent.mkdir()
        connection = sqlite3.connect(stored)
        connection.execute("create table files (name text)")
        connection.commit()
        connection.close()
        assert digest_bytes(b"bytes") == cache.digest(path)

    def test_deleted_between_runs(self, tmp_path: Path, path: Path, reads: Reads) -> None:
        """A deleted cache costs one read."""
        reopened(tmp_path).digest(path)
        (tmp_path / "work/digests.sqlite").unlink()
        reopened(tmp_path).digest(path)
        assert reads.names == ["file", "file"]


class TestMany:
    """Many files, many threads."""

    def test_order_is_kept(self, tmp_path: Path, cache: DigestCache) -> None:
        """Digests come in the order in which they were asked for; MD5 where it was asked."""
        paths = []
        for number in range(50):
            paths.append(tmp_path / f"{number}")
            paths[-1].write_bytes(b"x" * (50 - number))
        found = cache.digest_all([(each, index % 2 == 0) for index, each in enumerate(paths)])
        assert [50 - number for number in range(50)] == [each.size_bytes for each in found]
        assert [index % 2 == 0 for index in range(50)] == [bool(each.md5) for each in found]

    def test_threads_share_one_cache(self, tmp_path: Path, cache: DigestCache) -> None:
        """Many threads that ask for the same files get the same answers, kept for the next run."""
        paths = [tmp_path / f"{number}" for number in range(10)]
        for each in paths:
            each.write_bytes(each.name.encode())

        def ask(number: int) -> Digest:
            return cache.digest(paths[number % 10], md5=number % 3 == 0)

        with ThreadPoolExecutor(16) as pool:
            found = list(pool.map(ask, range(200)))
        expected = [digest_bytes(b"%d" % (number % 10)).sha256 for number in range(200)]
        assert expected == [each.sha256 for each in found]
        again = reopened(tmp_path)
        assert [again.is_known(each) for each in paths] == [True] * 10

    def test_two_runs_share_one_file(self, tmp_path: Path, path: Path) -> None:
        """Two caches on one file do not lose or lock each other out."""
        one, other = reopened(tmp_path), reopened(tmp_path)
        for number in range(10):
            each = tmp_path / f"{number}"
            each.write_bytes(b"x")
            (one if number % 2 else other).digest(each)
        one.digest(path)
        assert reopened(tmp_path).is_known(tmp_path / "0")
        assert reopened(tmp_path).is_known(tmp_path / "1")

    def test_first_error_is_raised(self, tmp_path: Path, path: Path, cache: DigestCache) -> None:
        """A missing file among many is told by its path."""
        with pytest.raises(SourceError, match="gone"):
            cache.digest_all([(path, False), (tmp_path / "gone", False)])

    def test_every_byte_is_told(self, path: Path, cache: DigestCache) -> None:
        """Progress counts the bytes of every file, read or known."""
        told: list[int] = []

        class Told(Progress):
            def relative_update(self, inc: int = 1) -> None:
                told.append(inc)

        for _ in range(2):
            cache.digest_all([(path, False)], Told())
        assert sum(told) == 10

    def test_same_file_by_two_names_of_its_folder(
        self, tmp_path: Path, path: Path, cache: DigestCache, reads: Reads, monkeypatch: Any
    ) -> None:
        """A relative path is the same file as its absolute one."""
        cache.digest(path)
        monkeypatch.chdir(tmp_path)
        cache.digest(Path("file"))
        assert reads.names == ["file"]

    def test_moved_together(self, tmp_path: Path, reads: Reads) -> None:
        """A folder that is moved with its cache is known at its new place."""
        (tmp_path / "one").mkdir()
        (tmp_path / "one/file").write_bytes(b"bytes")
        DigestCache(tmp_path / "one/made/digests.sqlite").digest(tmp_path / "one/file")
        (tmp_path / "one").rename(tmp_path / "two")
        DigestCache(tmp_path / "two/made/digests.sqlite").digest(tmp_path / "two/file")
        assert reads.names == ["file"]


def fill(cache: DigestCache, folder: Path) -> None:
    """Remember so many files that the cache has several pages."""
    (folder / "many").mkdir()
    for number in range(150):
        each = folder / "many" / f"{number:03d}"
        each.write_bytes(b"x")
        cache.digest(each)
    cache.digest(folder / "file")


def damage(stored: Path, lost: str) -> None:
    """Cut a database after its first page, or fill every other page with rubbish."""
    data = stored.read_bytes()
    assert len(data) > 3 * 4096
    rest = b"" if lost == "tail" else b"\xa5" * (len(data) - 4096)
    stored.write_bytes(data[:4096] + rest)
