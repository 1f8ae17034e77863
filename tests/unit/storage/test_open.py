"""Tests of opening a store by its URL."""

import sys
from pathlib import Path

import pytest

from lading.config.models import Destination
from lading.errors import GuardError, StoreError
from lading.storage import Body, LocalStore, MemoryStore, StagingGuard, open_store
from lading.storage.open import local_path

BODY = Body.of_bytes(b"x")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("build/gcs", "/base/build/gcs"),
        ("/elsewhere/gcs", "/elsewhere/gcs"),
        ("file://build/gcs", "/base/build/gcs"),
        ("file:///elsewhere/gcs", "/elsewhere/gcs"),
        ("../gcs", "/base/../gcs"),
        ("a folder", "/base/a folder"),
    ],
)
def test_paths_start_from_the_configuration(url: str, expected: str) -> None:
    """A relative path starts from the folder of the configuration, an absolute one does not."""
    assert Path(expected) == local_path(url, Path("/base"))


@pytest.mark.parametrize("url", ["gs://bucket", "s3://bucket/root", "memory://x", "https://x/y"])
def test_remote_urls_are_no_paths(url: str) -> None:
    """A URL of another kind names no folder of this machine."""
    assert local_path(url, Path("/base")) is None


def test_path_is_a_folder_store(tmp_path: Path) -> None:
    """A path opens a folder; opening makes nothing."""
    store = open_store("clouds/gcs", tmp_path)
    assert isinstance(store, LocalStore)
    assert str(tmp_path / "clouds/gcs") == store.url
    assert list(tmp_path.iterdir()) == []


def test_memory_url_is_one_store(tmp_path: Path) -> None:
    """One memory URL is one store in a process, and another URL is another."""
    url = f"memory://{tmp_path}"
    open_store(url, tmp_path).put("a", BODY)
    again = open_store(url, tmp_path)
    assert isinstance(again, MemoryStore)
    assert again.get("a") == b"x"
    assert open_store(f"{url}/other", tmp_path).stat("a") is None


@pytest.mark.parametrize("url", ["clouds", "memory://guarded"])
def test_root_guards_the_store(tmp_path: Path, url: str) -> None:
    """With a root the store that is opened refuses every write outside it."""
    store = open_store(url, tmp_path, root="staging/")
    assert isinstance(store, StagingGuard)
    store.put("staging/a", BODY)
    with pytest.raises(GuardError):
        store.put("nightly/a", BODY)


def test_guarded_folder_stages_below_the_root(tmp_path: Path) -> None:
    """With a root even temporary files stand below it."""
    store = open_store("clouds", tmp_path, root="staging/")
    store.put("staging/a", BODY)
    assert [each.name for each in (tmp_path / "clouds").iterdir()] == ["staging"]


@pytest.mark.parametrize("url", ["ftp://host/x", "https://host/x"])
def test_unknown_kind_is_refused(tmp_path: Path, url: str) -> None:
    """A URL that no store keeps is refused with the URL and what would do."""
    expected = f"destination {url}: expected a path or a file://, s3:// or gs:// URL"
    with pytest.raises(StoreError, match=expected):
        open_store(url, tmp_path)


@pytest.mark.parametrize(
    ("url", "extra"), [("s3://b", "s3"), ("gs://b", "gcs"), ("gcs://b", "gcs")]
)
def test_package_of_a_cloud_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, extra: str
) -> None:
    """Where the package for a cloud is not installed, the line says what to install."""
    monkeypatch.setitem(sys.modules, f"lading.storage.{extra}", None)
    with pytest.raises(StoreError, match=rf"{url}: .*pip install 'lading\[{extra}\]'"):
        open_store(url, tmp_path)


@pytest.mark.parametrize("url", ["gs:///folder", "s3:///folder"])
def test_cloud_without_a_bucket(tmp_path: Path, url: str) -> None:
    """A URL of a cloud that names no bucket is refused."""
    with pytest.raises(StoreError, match=f"{url}: expected a bucket, as in"):
        open_store(url, tmp_path)


def test_bucket_is_one_store(tmp_path: Path) -> None:
    """A bucket is opened once in a process: its connections are shared; the guard is not."""
    options = Destination(url="gs://b/data", endpoint="http://127.0.0.1:1", anonymous=True)
    first = open_store("gs://b/data", tmp_path, options=options)
    assert first is open_store("gs://b/data", tmp_path, options=options)
    assert first.url == "gs://b/data"
    assert isinstance(open_store("gs://b/data", tmp_path, root="s/", options=options), StagingGuard)
