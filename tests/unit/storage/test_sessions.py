"""Tests of remembering begun uploads."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lading.release.objects import Digest, digest_bytes
from lading.storage.sessions import Sessions

URL = "gs://bucket/data"
ONE, TWO = digest_bytes(b"one"), digest_bytes(b"two")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder that is not there yet."""
    return tmp_path / "state/sessions"


def test_what_is_kept_is_found(folder: Path) -> None:
    """An upload is found by the next process, by store, name and bytes."""
    Sessions(folder, URL).keep("a/b", ONE, "upload-1")
    assert Sessions(folder, URL).find("a/b", ONE) == "upload-1"


@pytest.mark.parametrize(
    ("url", "name", "digest"), [("s3://bucket/data", "a", ONE), (URL, "b", ONE), (URL, "a", TWO)]
)
def test_others_are_not(folder: Path, url: str, name: str, digest: Digest) -> None:
    """Another store, another name or other bytes have another upload, or none."""
    Sessions(folder, URL).keep("a", ONE, "upload-1")
    assert Sessions(folder, url).find(name, digest) == ""


def test_newer_upload_replaces(folder: Path) -> None:
    """Of one name the latest upload is remembered, and one file stands for it."""
    sessions = Sessions(folder, URL)
    sessions.keep("a", ONE, "upload-1")
    sessions.keep("a", TWO, "upload-2")
    assert sessions.find("a", ONE) == ""
    assert sessions.find("a", TWO) == "upload-2"
    assert len(list(folder.iterdir())) == 1


def test_forgotten_is_gone(folder: Path) -> None:
    """An upload that has ended leaves no file; forgetting it twice is no error."""
    sessions = Sessions(folder, URL)
    sessions.keep("a", ONE, "upload-1")
    sessions.forget("a")
    sessions.forget("a")
    assert sessions.find("a", ONE) == ""
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("mask", [0o000, 0o022])
def test_file_is_for_its_owner(folder: Path, mask: int) -> None:
    """File and folder are for their owner alone, whatever the mask of the process."""
    before = os.umask(mask)
    try:
        Sessions(folder, URL).keep("a", ONE, "upload-1")
    finally:
        os.umask(before)
    (path,) = folder.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["a/../b", "x" * 1024, "æ#?%", "a b"])
def test_any_name(folder: Path, name: str) -> None:
    """Every name of an object is a name of a file inside the folder."""
    Sessions(folder, URL).keep(name, ONE, "upload-1")
    assert Sessions(folder, URL).find(name, ONE) == "upload-1"
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"{}", b"\xff", b'{"upload": 1}'])
def test_broken_file_is_nothing_remembered(folder: Path, data: bytes) -> None:
    """A file that cannot be read is as none, and the next upload replaces it."""
    sessions = Sessions(folder, URL)
    sessions.keep("a", ONE, "upload-1")
    (path,) = folder.iterdir()
    path.write_bytes(data)
    assert sessions.find("a", ONE) == ""
    sessions.keep("a", ONE, "upload-2")
    assert sessions.find("a", ONE) == "upload-2"


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """What cannot be written is not remembered, and no error."""
    (tmp_path / "file").touch()
    sessions = Sessions(tmp_path / "file", URL)
    sessions.keep("a", ONE, "upload-1")
    sessions.forget("a")
    assert sessions.find("a", ONE) == ""


def test_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a folder nothing is written, and nothing read from where the process stands."""
    monkeypatch.chdir(tmp_path)
    Sessions(tmp_path, URL).keep("a", ONE, "upload-1")
    sessions = Sessions(None, URL)
    assert sessions.find("a", ONE) == ""
    sessions.forget("a")
    sessions.keep("b", ONE, "upload-2")
    assert len(list(tmp_path.iterdir())) == 1


def test_many_at_once(folder: Path) -> None:
    """Uploads that begin at the same moment are all remembered, and no half file stays."""
    sessions = Sessions(folder, URL)
    names = [f"a/{number}" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: sessions.keep(name, ONE, name), names))
    assert [sessions.find(name, ONE) for name in names] == names
    assert all(each.suffix == ".json" for each in folder.iterdir())
