"""Tests of moving and digesting the bytes of local files."""

import errno
import fcntl
import hashlib
import os
from pathlib import Path
from typing import Any

import google_crc32c
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lading.errors import StoreError
from lading.release.objects import digest_bytes, encode_crc32c
from lading.storage import Progress
from lading.storage.bytes import (
    CHUNK_BYTES,
    combine_crc32c,
    copy_in_kernel,
    digest_file,
    write_atomically,
)

SIZES = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 7]


class Counting(Progress):
    """Counts bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def relative_update(self, inc: int = 1) -> None:
        """Count."""
        self.total += inc


def copy(source: Path, target: Path) -> None:
    """Copy a file by its descriptors."""
    with source.open("rb") as reader, target.open("wb") as writer:
        copy_in_kernel(reader.fileno(), writer.fileno())


@pytest.mark.parametrize("size", SIZES)
def test_digest_is_that_of_other_libraries(tmp_path: Path, size: int) -> None:
    """Size, SHA-256, MD5 and CRC32C of a file are those that hashlib and google_crc32c tell."""
    data = os.urandom(size)
    path = tmp_path / "file"
    path.write_bytes(data)
    counted = Counting()
    found = digest_file(path, md5=True, progress=counted)
    assert size == found.size_bytes == counted.total
    assert hashlib.sha256(data).hexdigest() == found.sha256
    assert hashlib.md5(data).hexdigest() == found.md5
    assert encode_crc32c(google_crc32c.value(data)) == found.crc32c


def test_crc32c_is_written_as_the_clouds_do(tmp_path: Path) -> None:
    """The check value of CRC32C over 123456789 is E3069283, in base64 of big-endian bytes."""
    path = tmp_path / "file"
    path.write_bytes(b"123456789")
    assert digest_file(path).crc32c == "4waSgw=="


def test_only_what_is_asked_is_hashed(tmp_path: Path) -> None:
    """MD5 and SHA-256 are left out where nobody asks; CRC32C never is."""
    path = tmp_path / "file"
    path.write_bytes(b"x")
    assert digest_file(path).md5 == ""
    only = digest_file(path, sha256=False)
    assert (only.sha256, only.md5) == ("", "")
    assert digest_bytes(b"x").crc32c == only.crc32c


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.binary(max_size=300))
def test_file_and_document_digest_alike(tmp_path: Path, data: bytes) -> None:
    """A file and a document of the same bytes have the same digest, and a copy of it too."""
    path, target = tmp_path / "file", tmp_path / "copy"
    path.write_bytes(data)
    copy(path, target)
    assert digest_bytes(data) == digest_file(path) == digest_file(target)


def refusing(code: int) -> Any:
    """Return a call of the system that always fails with one code."""

    def refuse(*_: Any) -> int:
        raise OSError(code, os.strerror(code))

    return refuse


class TestCopyInKernel:
    """The three ways of copying give one result."""

    @pytest.mark.parametrize("size", SIZES)
    def test_copy_is_whole(self, tmp_path: Path, size: int) -> None:
        """A copy has the bytes of its source, whatever way this disk allows."""
        source, target = tmp_path / "source", tmp_path / "target"
        source.write_bytes(os.urandom(size))
        copy(source, target)
        assert source.read_bytes() == target.read_bytes()

    @pytest.mark.parametrize("code", [errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM])
    def test_pieces_where_nothing_else_works(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
    ) -> None:
        """Where the disk knows neither reflinks nor copy_file_range, the copy is whole still."""
        source, target = tmp_path / "source", tmp_path / "target"
        source.write_bytes(os.urandom(3 * CHUNK_BYTES + 5))
        monkeypatch.setattr(fcntl, "ioctl", refusing(code))
        monkeypatch.setattr(os, "copy_file_range", refusing(code))
        copy(source, target)
        assert source.read_bytes() == target.read_bytes()

    def test_short_steps_are_put_together(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A kernel that copies less than it is asked for is asked again, at the right place."""
        source, target = tmp_path / "source", tmp_path / "target"
        source.write_bytes(os.urandom(1000))
        real = os.copy_file_range

        def short(reader: int, writer: int, count: int, at: int, to: int) -> int:
            return real(reader, writer, min(count, 300), at, to)

        monkeypatch.setattr(fcntl, "ioctl", refusing(errno.ENOTTY))
        monkeypatch.setattr(os, "copy_file_range", short)
        copy(source, target)
        assert source.read_bytes() == target.read_bytes()

    def test_other_way_goes_on_at_the_same_place(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where copy_file_range gives up in the middle, the rest goes on behind what it copied."""
        source, target = tmp_path / "source", tmp_path / "target"
        source.write_bytes(os.urandom(1000))
        real = os.copy_file_range

        def once(reader: int, writer: int, count: int, at: int, to: int) -> int:
            if at:
                raise OSError(errno.EXDEV, "not across disks")
            return real(reader, writer, min(count, 300), at, to)

        monkeypatch.setattr(fcntl, "ioctl", refusing(errno.ENOTTY))
        monkeypatch.setattr(os, "copy_file_range", once)
        copy(source, target)
        assert source.read_bytes() == target.read_bytes()

    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
    def test_real_faults_are_raised(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
    ) -> None:
        """A full or broken disk is an error and no reason to try another way."""
        source = tmp_path / "source"
        source.write_bytes(b"x")
        monkeypatch.setattr(fcntl, "ioctl", refusing(errno.ENOTTY))
        monkeypatch.setattr(os, "copy_file_range", refusing(code))
        with pytest.raises(OSError, match=os.strerror(code)):
            copy(source, tmp_path / "target")

    def test_file_that_shrinks_ends(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A source that shrinks while it is copied is an error and no endless loop."""
        source = tmp_path / "source"
        source.write_bytes(b"x" * 10)
        monkeypatch.setattr(fcntl, "ioctl", refusing(errno.ENOTTY))
        monkeypatch.setattr(os, "copy_file_range", lambda *_: 0)
        with pytest.raises(OSError, match="shrank"):
            copy(source, tmp_path / "target")


def crc32c(data: bytes) -> str:
    """Return a CRC32C as the clouds write it."""
    return encode_crc32c(google_crc32c.value(data))


class TestCombine:
    """The checksum of the whole from those of its parts."""

    @settings(max_examples=60, deadline=None)
    @given(parts=st.lists(st.binary(max_size=200), max_size=8))
    def test_parts_make_the_whole(self, parts: list[bytes]) -> None:
        """However bytes are split, empty parts among them, the whole has its own CRC32C."""
        assert combine_crc32c((crc32c(each), len(each)) for each in parts) == crc32c(
            b"".join(parts)
        )

    @settings(max_examples=20, deadline=None)
    @given(head=st.binary(max_size=20), zeros=st.integers(0, 100_000), tail=st.binary(max_size=20))
    def test_long_parts(self, head: bytes, zeros: int, tail: bytes) -> None:
        """Parts of any size count: zeros between others are as many as there are."""
        middle = bytes(zeros)
        sizes = [(crc32c(each), len(each)) for each in (head, middle, tail)]
        assert combine_crc32c(sizes) == crc32c(head + middle + tail)

    def test_order_counts(self) -> None:
        """The same parts in another order are other bytes."""
        parts = [(crc32c(b"one"), 3), (crc32c(b"two!"), 4)]
        assert combine_crc32c(parts) != combine_crc32c(reversed(parts))

    def test_size_beyond_memory(self) -> None:
        """Parts of a TiB of zeros are put together without a byte read, in halves as in one."""
        tib = 1 << 40
        quarter = "AAAAAA=="  # that of nothing, carried over zeros by the rule itself
        whole = combine_crc32c([(crc32c(b"x"), 1), (quarter, tib)])
        halves = combine_crc32c([(crc32c(b"x"), 1), (quarter, tib // 2), (quarter, tib // 2)])
        assert whole == halves != crc32c(b"x")

    def test_nothing(self) -> None:
        """No parts are no bytes."""
        assert combine_crc32c([]) == "AAAAAA=="


class TestWriteAtomically:
    """Small files are whole or not there."""

    def test_writes_below_new_folders(self, tmp_path: Path) -> None:
        """The folders above are made, and nothing stays beside the file."""
        path = tmp_path / "a/b/receipt.json"
        write_atomically(path, b"one")
        write_atomically(path, b"two")
        assert path.read_bytes() == b"two"
        assert [path] == list(path.parent.iterdir())

    def test_failure_keeps_the_old_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A write that fails before the rename leaves the old bytes and no other file."""
        path = tmp_path / "receipt.json"
        write_atomically(path, b"old")
        monkeypatch.setattr(os, "fsync", refusing(errno.ENOSPC))
        with pytest.raises(StoreError, match=r"receipt\.json: expected to write it.*No space"):
            write_atomically(path, b"new")
        assert path.read_bytes() == b"old"
        assert [path] == list(tmp_path.iterdir())

    def test_file_in_the_way_of_a_folder(self, tmp_path: Path) -> None:
        """A file where a folder should be is an error of ours that names the path."""
        (tmp_path / "a").write_bytes(b"x")
        with pytest.raises(StoreError, match="a/b"):
            write_atomically(tmp_path / "a/b", b"x")

    def test_folder_in_the_way_of_the_file(self, tmp_path: Path) -> None:
        """A folder where the file should be is an error of ours, and no temporary file stays."""
        (tmp_path / "a").mkdir()
        with pytest.raises(StoreError, match="expected to write it"):
            write_atomically(tmp_path / "a", b"x")
        assert [tmp_path / "a"] == list(tmp_path.iterdir())

    def test_leftover_of_a_killed_writer_is_no_hindrance(self, tmp_path: Path) -> None:
        """A temporary file that a killed writer left is used up by the next."""
        (tmp_path / ".receipt.json.part").write_bytes(b"half of a long document")
        write_atomically(tmp_path / "receipt.json", b"whole")
        assert (tmp_path / "receipt.json").read_bytes() == b"whole"
        assert len(list(tmp_path.iterdir())) == 1
