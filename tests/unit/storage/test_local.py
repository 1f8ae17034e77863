"""Tests of a folder as a store, where it is more than the contract: modes, disks, leftovers."""

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lading.errors import ConditionError, MissingObjectError, StoreError
from lading.release.objects import digest_bytes
from lading.storage import IF_ABSENT, Body, LocalStore, Progress
from lading.storage.bytes import CHUNK_BYTES

BODY = Body.of_bytes(b"x")
DIGEST = digest_bytes(b"x")


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Set the umask of this process for a while."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Callable[[str], None]]:
    """Mount a small file system in memory; skip the test where that is not allowed.

    Gives a function that mounts it again with other options.
    """
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, check=False, capture_output=True, timeout=30)
    except OSError as error:
        pytest.skip(f"no mount command: {error}")
    if done.returncode:
        pytest.skip("this user may not mount a small file system")

    def again(changed: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{changed}", str(folder)], check=True, timeout=30)

    try:
        yield again
    finally:
        subprocess.run(["umount", str(folder)], check=True, timeout=30)


def files_below(folder: Path) -> list[str]:
    """List every file, hidden or not."""
    found = (each for each in folder.rglob("*") if not each.is_dir())
    return sorted(each.relative_to(folder).as_posix() for each in found)


class TestModes:
    """Who may read what is written."""

    @pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o777])
    def test_file_mode_does_not_hang_on_the_umask(self, tmp_path: Path, mask: int) -> None:
        """Objects can be read by all, whatever the umask of the one who writes."""
        store = LocalStore(tmp_path)
        with umask(mask if mask != 0o777 else 0o177):
            store.put("put", BODY)
            store.put("created", BODY, condition=IF_ABSENT)
            store.copy("put", "copied", digest=DIGEST)
        modes = {each.name: each.stat().st_mode & 0o777 for each in tmp_path.iterdir()}
        modes.pop(".lading")
        assert modes == {"put": 0o644, "created": 0o644, "copied": 0o644}

    def test_folder_mode_does_not_hang_on_the_umask(self, tmp_path: Path) -> None:
        """Folders of public objects can be entered by all, or their files could not be read."""
        store = LocalStore(tmp_path / "new")
        with umask(0o077):
            store.put("nightly/deep/a", BODY)
        folders = [tmp_path / "new", tmp_path / "new/nightly", tmp_path / "new/nightly/deep"]
        assert [each.stat().st_mode & 0o777 for each in folders] == [0o755] * 3

    def test_mode_of_the_source_is_not_copied(self, tmp_path: Path) -> None:
        """A private file of the build is public once it ships."""
        path = tmp_path / "private"
        path.write_bytes(b"x")
        path.chmod(0o600)
        LocalStore(tmp_path / "store").put("a", Body(DIGEST, path))
        assert (tmp_path / "store/a").stat().st_mode & 0o777 == 0o644


class TestPlaces:
    """Destinations that cannot hold a store."""

    def test_destination_that_is_a_file(self, tmp_path: Path) -> None:
        """A destination that is a file is refused by every method with its path, and kept."""
        place = tmp_path / "clouds"
        place.write_bytes(b"precious")
        store = LocalStore(place)
        for act in each_method(store):
            with pytest.raises(StoreError, match=str(place)) as caught:
                act()
            assert not isinstance(caught.value, ConditionError)
        assert place.read_bytes() == b"precious"

    def test_destination_below_a_file(self, tmp_path: Path) -> None:
        """A destination below a file is refused by every write with its path."""
        (tmp_path / "file").write_bytes(b"precious")
        store = LocalStore(tmp_path / "file/clouds")
        for act in each_method(store)[:2]:
            with pytest.raises(StoreError, match="file/clouds"):
                act()

    def test_object_in_the_way_of_a_folder(self, tmp_path: Path) -> None:
        """A key below another object is refused, and not taken for a lost race."""
        store = LocalStore(tmp_path)
        store.put("a", BODY)
        for condition in ({}, {"condition": IF_ABSENT}):
            with pytest.raises(StoreError, match="a/b: expected to write it") as caught:
                store.put("a/b", BODY, **condition)  # type: ignore[arg-type]
            assert not isinstance(caught.value, ConditionError)
        assert [each.key for each in store.list()] == ["a"]

    def test_folder_in_the_way_of_an_object(self, tmp_path: Path) -> None:
        """A key that is a folder of other objects is refused, and they stay."""
        store = LocalStore(tmp_path)
        store.put("a/b", BODY)
        with pytest.raises(StoreError, match="expected to write it"):
            store.put("a", BODY)
        with pytest.raises(StoreError):
            store.copy("a/b", "a", digest=DIGEST)
        assert files_below(tmp_path) == ["a/b"]

    def test_name_longer_than_the_disk_allows(self, tmp_path: Path) -> None:
        """A segment that this disk cannot hold is refused with the reason, and leaves nothing."""
        with pytest.raises(StoreError, match="File name too long"):
            LocalStore(tmp_path).put("x" * 300, BODY)
        assert files_below(tmp_path) == []

    def test_read_only_disk(self, tmp_path: Path) -> None:
        """A read-only destination is refused by every write with the reason; it can be read."""
        with mounted(tmp_path / "disk", "size=1m") as remount:
            store = LocalStore(tmp_path / "disk")
            store.put("a", BODY)
            store.sweep()
            remount("ro")
            for act in (
                lambda: store.put("b", BODY),
                lambda: store.copy("a", "b", digest=DIGEST),
                lambda: store.delete(["a"]),
            ):
                with pytest.raises(StoreError, match="Read-only file system"):
                    act()
            assert store.get("a") == b"x"
            assert [each.key for each in store.list()] == ["a"]

    def test_full_disk(self, tmp_path: Path) -> None:
        """A full disk is refused with the reason, keeps the old object and no half of the new."""
        with mounted(tmp_path / "disk", "size=512k"):
            store = LocalStore(tmp_path / "disk")
            store.put("a", BODY)
            big = tmp_path / "big"
            big.write_bytes(b"y" * CHUNK_BYTES)
            body = Body(digest_bytes(big.read_bytes()), big)
            with pytest.raises(StoreError, match=r"a: expected to write it.*No space left"):
                store.put("a", body)
            assert files_below(tmp_path / "disk") == ["a"]
            assert store.get("a") == b"x"
            store.put("b", BODY)  # the room is given back

    def test_full_disk_in_a_copy(self, tmp_path: Path) -> None:
        """A copy to a full disk names the object it would write, and leaves none."""
        source = LocalStore(tmp_path / "depot")
        data = b"y" * CHUNK_BYTES
        source.put("from", Body.of_bytes(data))
        with mounted(tmp_path / "disk", "size=512k"):
            store = LocalStore(tmp_path / "disk")
            with pytest.raises(StoreError, match="No space left") as caught:
                store.copy("from", "to", digest=digest_bytes(data), source_url=source.url)
            assert files_below(tmp_path / "disk") == []
        assert f"{store.url}/to" in str(caught.value)


class TestLeftovers:
    """What stays when a writer fails, is killed, or works beside a sweep."""

    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
    def test_failed_write_leaves_no_file(self, tmp_path: Path, error: type[BaseException]) -> None:
        """Whatever ends a put, no temporary file stays."""
        with pytest.raises(error):
            LocalStore(tmp_path).put("a", BODY, progress=Raising(error))
        assert files_below(tmp_path) == []

    def test_killed_writer_is_swept(self, tmp_path: Path) -> None:
        """A writer killed in the middle leaves a file that no listing shows and a sweep removes."""
        big = tmp_path / "big"
        big.write_bytes(b"y" * CHUNK_BYTES * 2)
        script = (
            "import os, signal, sys\n"
            "from pathlib import Path\n"
            "from lading.release.objects import digest_bytes\n"
            "from lading.storage import Body, LocalStore, Progress\n"
            "class Kill(Progress):\n"
            "    def relative_update(self, inc=1):\n"
            "        os.kill(os.getpid(), signal.SIGKILL)\n"
            "path = Path(sys.argv[1])\n"
            "body = Body(digest_bytes(path.read_bytes()), path)\n"
            "LocalStore(Path(sys.argv[2])).put('a', body, progress=Kill())\n"
        )
        store = LocalStore(tmp_path / "store")
        done = subprocess.run(
            [sys.executable, "-c", script, str(big), store.url], check=False, timeout=60
        )
        assert done.returncode == -9
        assert len(files_below(tmp_path / "store")) == 1
        assert store.list() == []
        store.sweep()
        assert files_below(tmp_path / "store") == []

    def test_sweep_between_making_and_locking(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A sweep at the moment at which a writer has made its file and not yet locked it."""
        store, other = LocalStore(tmp_path), LocalStore(tmp_path)
        lock = fcntl.flock
        swept: list[bool] = []

        def sweep_first(file: Any, operation: int) -> None:
            if not swept and operation == fcntl.LOCK_EX:
                swept.append(True)
                other.sweep()
            lock(file, operation)

        monkeypatch.setattr(fcntl, "flock", sweep_first)
        store.put("a", BODY)
        assert swept == [True]
        assert store.get("a") == b"x"

    def test_folder_that_vanishes_while_it_is_made(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A folder that another process empties and removes between two steps is made again."""
        make = Path.mkdir
        removed: list[bool] = []

        def remove_parent_first(path: Path, *args: Any, **options: Any) -> None:
            # mkdir(parents=True) makes the parents first, then comes back with parents left out
            if path.name == "deep" and not removed and (tmp_path / "a").exists():
                removed.append(True)
                (tmp_path / "a").rmdir()
                raise FileNotFoundError(errno.ENOENT, "removed meanwhile", str(path))
            make(path, *args, **options)

        (tmp_path / "a").mkdir()
        monkeypatch.setattr(Path, "mkdir", remove_parent_first)
        LocalStore(tmp_path).put("a/deep/b", BODY)
        assert removed == [True]
        assert LocalStore(tmp_path).get("a/deep/b") == b"x"

    def test_temporary_files_of_staging_are_no_objects(self, tmp_path: Path) -> None:
        """Whoever lists the whole store never sees what a staging run is writing."""
        staging, everything = LocalStore(tmp_path, "staging/"), LocalStore(tmp_path)
        seen: list[list[str]] = []

        class Looking(Progress):
            def relative_update(self, inc: int = 1) -> None:
                del inc
                seen.append([each.key for each in everything.list()])

        staging.put("staging/a", BODY, progress=Looking())
        assert seen == [[]]

    def test_empty_folders_go_with_their_last_object(self, tmp_path: Path) -> None:
        """A deleted prefix leaves no empty folders, and the root stays."""
        store = LocalStore(tmp_path)
        for key in ("nightly/deep/a", "nightly/b"):
            store.put(key, BODY)
        store.delete(["nightly/deep/a", "nightly/b"])
        store.sweep()
        assert not (tmp_path / "nightly").exists()
        assert tmp_path.is_dir()

    def test_vanished_object_is_missing(self, tmp_path: Path) -> None:
        """An object that is removed by hand is missing, with the path in the message."""
        store = LocalStore(tmp_path)
        store.put("a", BODY)
        (tmp_path / "a").unlink()
        with pytest.raises(MissingObjectError, match=f"{tmp_path}/a"):
            store.get("a")


class Raising(Progress):
    """Raises at the first piece."""

    def __init__(self, error: type[BaseException]) -> None:
        super().__init__()
        self._error = error

    def relative_update(self, inc: int = 1) -> None:
        """Raise."""
        raise self._error(inc)


def each_method(store: LocalStore) -> list[Callable[[], object]]:
    """Return a call of each method, writes first."""
    return [
        lambda: store.put("a", BODY),
        lambda: store.put("a", BODY, condition=IF_ABSENT),
        store.list,
        lambda: store.list("nightly/"),
        lambda: store.get("a"),
        lambda: store.digest("a"),
        lambda: store.copy("a", "b", digest=DIGEST),
    ]
