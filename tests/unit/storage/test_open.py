"""Tests of opening a store by its URL."""

from pathlib import Path

import pytest

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


@pytest.mark.parametrize("url", ["gs://bucket", "ftp://host/x", "https://host/x"])
def test_unknown_kind_is_refused(tmp_path: Path, url: str) -> None:
    """A URL that no store keeps is refused with the URL and what would do."""
    with pytest.raises(StoreError, match=f"{url}: expected a path, a file:// or a memory://"):
        open_store(url, tmp_path)
