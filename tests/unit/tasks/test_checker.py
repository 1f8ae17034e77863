"""Tests of doit's question whether a file changed, answered from the cache of digests."""

import os
from pathlib import Path

import pytest

from lading.prepare import digests as digests_module
from lading.prepare.digests import DigestCache
from lading.release.objects import digest_bytes
from lading.storage.bytes import digest_file
from lading.tasks.checker import DigestChecker


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file with bytes in it."""
    found = tmp_path / "file"
    found.write_bytes(b"bytes")
    return found


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Note each file that is read."""
    noted: list[Path] = []

    def note(path: Path, **options: object) -> object:
        noted.append(path)
        return digest_file(path, md5=bool(options.get("md5")))

    monkeypatch.setattr(digests_module, "digest_file", note)
    return noted


@pytest.fixture
def checker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DigestChecker:
    """Return a checker with a cache of its own."""
    cache = DigestCache(tmp_path / "digests.sqlite")
    monkeypatch.setattr(DigestChecker, "cache", cache, raising=False)
    return DigestChecker()


def is_modified(checker: DigestChecker, path: Path, state: object) -> bool:
    """Ask as doit does."""
    return checker.check_modified(str(path), path.stat(), state)


def test_state_is_size_and_digest(checker: DigestChecker, path: Path) -> None:
    """The state of a file is its size and sha256, and fit for JSON."""
    assert (5, digest_bytes(b"bytes").sha256) == checker.get_state(str(path), None)


def test_unchanged_file(checker: DigestChecker, path: Path, reads: list[Path]) -> None:
    """A file as it was is not modified; it is read once, for state and question together."""
    state = checker.get_state(str(path), None)
    assert state is not None
    assert not is_modified(checker, path, list(state))  # JSON gives lists back
    assert checker.get_state(str(path), list(state)) is None
    assert [path] == reads


def test_touched_file_is_unchanged(checker: DigestChecker, path: Path, reads: list[Path]) -> None:
    """Another time costs one read in all; the file is unchanged, and known from then on."""
    state = checker.get_state(str(path), None)
    os.utime(path, (1, 1))
    for _ in range(3):
        assert not is_modified(checker, path, state)
    assert [path] * 2 == reads


def test_changed_bytes_of_one_size(checker: DigestChecker, path: Path) -> None:
    """A file of the same size and other bytes is modified."""
    state = checker.get_state(str(path), None)
    path.write_bytes(b"other")
    os.utime(path, (1, 1))
    assert is_modified(checker, path, state)
    assert (5, digest_bytes(b"other").sha256) == checker.get_state(str(path), state)


def test_other_size_is_seen_without_a_read(
    checker: DigestChecker, path: Path, reads: list[Path]
) -> None:
    """A file of another size is modified; nobody has to read it to know."""
    state = checker.get_state(str(path), None)
    path.write_bytes(b"longer bytes")
    assert is_modified(checker, path, state)
    assert [path] == reads


def test_file_that_vanishes_is_modified(checker: DigestChecker, path: Path) -> None:
    """A file that goes between doit's look and the read is modified, and no crash."""
    state = checker.get_state(str(path), None)
    found = path.stat()
    path.unlink()
    assert checker.check_modified(str(path), found, state)


def test_many_tasks_hash_once(checker: DigestChecker, path: Path, reads: list[Path]) -> None:
    """Three tasks that depend on one file read it once."""
    states = [checker.get_state(str(path), None) for _ in range(3)]
    assert len(set(states)) == 1
    assert [path] == reads


def test_second_run_reads_nothing(
    checker: DigestChecker, path: Path, tmp_path: Path, reads: list[Path]
) -> None:
    """Another run with the same cache answers without a read."""
    state = checker.get_state(str(path), None)
    DigestChecker.cache = DigestCache(tmp_path / "digests.sqlite")
    assert not is_modified(DigestChecker(), path, state)
    assert [path] == reads
