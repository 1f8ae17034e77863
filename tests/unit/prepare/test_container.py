"""Tests of the zip files that are written front to back: any reader finds what went in."""

import errno
import gc
import os
import shutil
import struct
import subprocess
import sys
import threading
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from isal import isal_zlib

from lading.errors import SourceError
from lading.prepare import container
from lading.prepare.container import ZipTime, ZipWriter
from lading.prepare.deflate import LEVELS
from lading.prepare.joining import WINDOW_BYTES
from lading.release.objects import Digest
from lading.storage.bytes import CHUNK_BYTES, copy_range_in_kernel, digest_file
from tests.unit.prepare.test_joining import FILLERS, MIB, filled, tables

TIME: ZipTime = (2025, 2, 5, 12, 34, 56)
LIMIT = 100_000  # where the tests let ZIP64 begin
GIB = 1 << 30
MOST_BLOCKS = 200
MOST_BYTES = MIB
DATA = filled("rows", 50_000)


def ignore(_: int) -> None:
    """Take no notice of progress."""


def digest_of(data: bytes) -> Digest:
    """Return size and CRC-32."""
    return Digest(size_bytes=len(data), crc32=f"{zlib.crc32(data):08x}")


class Entry:
    """Bytes to pack, and how: a level with its size of a block, or "" to store them."""

    def __init__(self, data: bytes, level: str, block_bytes: int = MIB) -> None:
        self.data, self.level, self.block_bytes = data, level, block_bytes

    def __repr__(self) -> str:
        return f"Entry({len(self.data)} bytes, {self.level!r}, {self.block_bytes})"


def write(folder: Path, entries: dict[str, Entry], *, md5: bool = False) -> Path:
    """Write a zip of these entries, look whether it tells its digests, and return its path."""
    path, source = folder / "out.zip", folder / "source"
    with ZipWriter(path, TIME, md5=md5) as archive:
        for number, (name, entry) in enumerate(entries.items()):
            file = source.with_name(f"source {number}")
            file.write_bytes(entry.data)
            told: list[int] = []
            if entry.level:
                level = replace(LEVELS[entry.level], block_bytes=entry.block_bytes)
                found = archive.add_deflated(name, file, level, told.append)
                assert (found, found.crc32) == (digest_of(entry.data), digest_of(entry.data).crc32)
            else:
                archive.add_stored(name, file, digest_of(entry.data), told.append)
            assert sum(told) == len(entry.data)
    found = digest_file(path, md5=md5)
    assert (archive.digest, archive.digest.crc32) == (found, found.crc32)
    return path


def read_front_to_back(data: bytes) -> dict[str, bytes]:
    """Unpack a zip by what stands before and behind each entry; the directory is not looked at."""
    found: dict[str, bytes] = {}
    at = 0
    while data[at : at + 4] == b"PK\x03\x04":
        header = struct.unpack_from("<5H3L2H", data, at + 4)
        version, flags, method, crc, packed, size = (*header[:3], *header[5:8])
        name_end = at + 30 + header[8]
        name = data[at + 30 : name_end].decode("utf-8" if flags & 1 << 11 else "ascii")
        start = name_end + header[9]
        is_large = header[9] > 0
        if is_large:
            kind, length, size, packed = struct.unpack("<HHQQ", data[name_end:start])
            assert (kind, length, *header[6:8]) == (1, 16, 0xFFFF_FFFF, 0xFFFF_FFFF)
        assert version == (45 if is_large else 20)
        if method == zipfile.ZIP_STORED:
            assert not flags & 1 << 3
            assert packed == size
            body, at = data[start : start + size], start + size
        else:
            assert flags & 1 << 3
            assert (crc, packed, size) == (0, 0, 0)
            decoder = isal_zlib.decompressobj(-15)
            body = decoder.decompress(data[start:])
            assert decoder.eof
            end = len(data) - len(decoder.unused_data)
            behind = struct.Struct("<4sLQQ" if is_large else "<4sLLL")
            mark, crc, packed, size = behind.unpack_from(data, end)
            assert (mark, packed) == (b"PK\x07\x08", end - start)
            at = end + behind.size
        assert (len(body), zlib.crc32(body)) == (size, crc)
        assert name not in found
        found[name] = body
    assert data[at : at + 4] in {b"PK\x01\x02", b"PK\x05\x06"}
    return found


def read_by_directory(path: Path) -> dict[str, bytes]:
    """Unpack a zip with the standard library."""
    with zipfile.ZipFile(path) as archive:
        return {entry.filename: archive.read(entry) for entry in archive.infolist()}


def is_read_by_both(path: Path, entries: dict[str, Entry]) -> bool:
    """Say whether both readers in this process find what went in, in its order."""
    expected = [(name, entry.data) for name, entry in entries.items()]
    found = read_front_to_back(path.read_bytes()), read_by_directory(path)
    return all(expected == list(each.items()) for each in found)


SEVEN_ZIP = next((name for name in ("7zz", "7z", "7za") if shutil.which(name)), "7zz")
TOOLS = {
    "unzip": (["unzip", "-tqq"], ["unzip", "-p"]),
    "7z": ([SEVEN_ZIP, "t", "-bd"], [SEVEN_ZIP, "e", "-so", "-bd"]),
}
each_tool = pytest.mark.parametrize(
    "tool",
    [
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                shutil.which(commands[0][0]) is None, reason=f"there is no {commands[0][0]} here"
            ),
        )
        for name, commands in TOOLS.items()
    ],
)


def run(command: list[str], *more: str, timeout_s: int = 60) -> bytes:
    """Run a command that must find nothing to say against an archive."""
    done = subprocess.run(
        [*command, *more],
        check=False,
        capture_output=True,
        timeout=timeout_s,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    assert (done.returncode, done.stderr) == (0, b""), (done.stdout[-2000:], done.stderr)
    assert b"Warning" not in done.stdout or command == TOOLS["unzip"][1]
    return done.stdout


def is_read_by(tool: str, path: Path, entries: dict[str, Entry]) -> bool:
    """Say whether a tool finds no fault, and writes out what went in."""
    test, extract = TOOLS[tool]
    run(test, str(path))
    return run(extract, str(path)) == b"".join(entry.data for entry in entries.values())


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    """Any bytes in any blocks: kinds of data beside each other, whole blocks or not."""
    block_bytes = draw(
        st.one_of(
            st.integers(1, 64),
            st.integers(1, 70_000),
            st.sampled_from([WINDOW_BYTES - 1, WINDOW_BYTES, WINDOW_BYTES + 1, MIB, 3 * MIB]),
        )
    )
    size = st.one_of(
        st.integers(0, 5000),
        st.integers(0, 5).map(lambda count: count * block_bytes),
        st.integers(0, 200_000),
    )
    part = st.tuples(st.sampled_from(sorted(FILLERS)), size, st.integers(0, 9))
    parts = draw(st.lists(part, max_size=5))
    most = min(MOST_BLOCKS * block_bytes, MOST_BYTES)
    data = b"".join(filled(kind, min(length, most), seed) for kind, length, seed in parts)[:most]
    return Entry(data, draw(st.sampled_from(sorted(LEVELS))), block_bytes)


class TestRoundTrip:
    """Whatever goes in comes out, with readers that have nothing in common."""

    @settings(
        max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(entry=entries())
    @example(entry=Entry(b"", "fast"))
    @example(entry=Entry(b"", "small"))
    @example(entry=Entry(b"a", "balanced", 1))
    @example(entry=Entry(bytes(MOST_BLOCKS), "small", 1))
    @example(entry=Entry(filled("noise", 3 * WINDOW_BYTES), "fast", WINDOW_BYTES))
    def test_any_bytes(self, tmp_path: Path, entry: Entry) -> None:
        """Read by its directory or front to back, an entry is what was packed."""
        assert is_read_by_both(write(tmp_path, {"any": entry}), {"any": entry})

    @settings(
        max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(several=st.lists(entries(), min_size=1, max_size=4), stored=st.binary())
    @each_tool
    def test_any_bytes_with_a_tool(
        self, tmp_path: Path, tool: str, several: list[Entry], stored: bytes
    ) -> None:
        """A common tool finds no fault in several entries and unpacks what was packed."""
        named = {
            f"{number}.bin": entry for number, entry in enumerate([*several, Entry(stored, "")])
        }
        path = write(tmp_path, named)
        assert is_read_by_both(path, named)
        assert is_read_by(tool, path, named)

    @each_tool
    def test_levels_as_they_ship(self, tmp_path: Path, tool: str) -> None:
        """Blocks of the sizes that ship, of a database with noise in it, come out everywhere."""
        data = tables(4 * MIB) + filled("noise", 5 * MIB) + tables(MIB) + bytes(4 * MIB)
        named = {name: Entry(data, name, level.block_bytes) for name, level in LEVELS.items()}
        path = write(tmp_path, named)
        assert is_read_by_both(path, named)
        assert is_read_by(tool, path, named)

    @pytest.mark.parametrize("md5", [False, True])
    def test_stored_and_deflated_beside_each_other(self, tmp_path: Path, *, md5: bool) -> None:
        """Entries of both kinds, copied while others are written, are what went in."""
        named = {
            "large": Entry(filled("noise", 3 * CHUNK_BYTES + 7), ""),
            "packed": Entry(DATA, "balanced", 9_000),
            "empty": Entry(b"", ""),
            "whole": Entry(filled("noise", 2 * CHUNK_BYTES, 1), ""),
            "empty, packed": Entry(b"", "small"),
            "small": Entry(b"x", ""),
        }
        assert is_read_by_both(write(tmp_path, named, md5=md5), named)

    def test_short_reads_and_writes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A system that reads, writes and copies less than it was asked to is asked again."""
        read, write_some = os.preadv, os.pwrite
        monkeypatch.setattr(os, "preadv", lambda fd, into, at: read(fd, [into[0][:999]], at))
        monkeypatch.setattr(os, "pwrite", lambda fd, data, at: write_some(fd, data[:999], at))
        if hasattr(os, "copy_file_range"):
            copy = os.copy_file_range

            def copy_some(source: int, target: int, count: int, start: int, position: int) -> int:
                return copy(source, target, min(count, 999), start, position)

            monkeypatch.setattr(os, "copy_file_range", copy_some)
        named = {"packed": Entry(DATA, "fast", 20_000), "stored": Entry(DATA, "")}
        assert is_read_by_both(write(tmp_path, named), named)

    def test_no_entry(self, tmp_path: Path) -> None:
        """A zip without entries is a zip."""
        assert is_read_by_both(write(tmp_path, {}), {})

    def test_many_entries(self, tmp_path: Path) -> None:
        """More entries than two bytes can count are all found."""
        source, path = tmp_path / "empty", tmp_path / "out.zip"
        source.write_bytes(b"")
        count = 0x1_0000
        with ZipWriter(path, TIME) as archive:
            for number in range(count):
                entry = archive._begin(f"{number}", zipfile.ZIP_STORED)
                archive._write_header(entry, is_large=False)
                archive._end(entry)
        with zipfile.ZipFile(path) as found:
            assert len(found.namelist()) == count
            assert found.read(f"{count - 1}") == b""


class TestRecords:
    """What stands before and behind an entry, and in the directory."""

    @pytest.mark.parametrize("level", ["", "balanced"])
    def test_facts(self, tmp_path: Path, level: str) -> None:
        """Time, mode and system are those given or fixed; both headers tell the same."""
        path = write(tmp_path, {"a.parquet": Entry(DATA, level)})
        with zipfile.ZipFile(path) as archive:
            (entry,) = archive.infolist()
        assert entry.date_time == TIME
        assert (entry.create_system, entry.external_attr) == (3, 0o100644 << 16)
        assert (entry.extra, entry.comment, entry.internal_attr) == (b"", b"", 0)
        local, directory = path.read_bytes()[:30], path.read_bytes()[-80:]
        central = directory[directory.index(b"PK\x01\x02") :]
        assert local[4:14] == central[6:16]  # version, flags, method, time, date
        assert entry.flag_bits == (1 << 3 if level else 0)

    @pytest.mark.parametrize("time", [(1980, 1, 1, 0, 0, 0), (2107, 12, 31, 23, 59, 58)])
    def test_first_and_last_time(self, tmp_path: Path, time: ZipTime) -> None:
        """The first and the last time that a zip can tell are told."""
        (tmp_path / "source").write_bytes(b"x")
        with ZipWriter(tmp_path / "out.zip", time) as archive:
            archive.add_deflated("x", tmp_path / "source", LEVELS["fast"], ignore)
        with zipfile.ZipFile(tmp_path / "out.zip") as found:
            assert found.infolist()[0].date_time == time

    @pytest.mark.parametrize("level", ["", "fast"])
    @pytest.mark.parametrize("name", ["a b.sqlite", "ä.sqlite", "表 №1.parquet", "\U0001f30d"])
    def test_name(self, tmp_path: Path, name: str, level: str) -> None:
        """A name comes out as it went in, marked as UTF-8 in both headers where it is not ASCII."""
        named = {name: Entry(DATA, level)}
        path = write(tmp_path, named)
        assert is_read_by_both(path, named)
        with zipfile.ZipFile(path) as archive:
            central = archive.infolist()[0].flag_bits
        local = int.from_bytes(path.read_bytes()[6:8], "little")
        assert (local, central & 1 << 11) == (central, 0 if name.isascii() else 1 << 11)

    @each_tool
    def test_names_with_a_tool(self, tmp_path: Path, tool: str) -> None:
        """A tool unpacks files of the names that went in."""
        named = {
            name: Entry(name.encode(), "fast") for name in ("a b", "ä.sqlite", "表 №1.parquet")
        }
        path, out = write(tmp_path, named), tmp_path / "out"
        out.mkdir()
        unpack = {
            "unzip": ["unzip", "-q", str(path), "-d", str(out)],
            "7z": [SEVEN_ZIP, "x", "-bd", f"-o{out}", str(path)],
        }
        run(unpack[tool])
        found = {each.name: each.read_bytes() for each in out.iterdir()}
        assert {name: entry.data for name, entry in named.items()} == found


class TestLarge:
    """Entries and archives whose sizes need eight bytes."""

    @pytest.mark.parametrize("kind", ["rows", "noise"])
    @pytest.mark.parametrize("level", ["", "fast", "small"])
    @pytest.mark.parametrize("size", [0, 99_010, 99_011, LIMIT, LIMIT + 1, 3 * LIMIT])
    def test_beyond_a_lowered_limit(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, level: str, kind: str
    ) -> None:
        """An entry over the limit tells its sizes in eight bytes, before and behind and at the end.

        One that is packed and may grow over it does so before and behind.
        """
        monkeypatch.setattr(zipfile, "ZIP64_LIMIT", LIMIT)
        named = {
            "first": Entry(filled(kind, size), level, 40_000),
            "second": Entry(filled(kind, 2 * LIMIT), level, 40_000),
            "last": Entry(b"x", level, 40_000),
        }
        path = write(tmp_path, named)
        assert is_read_by_both(path, named)
        is_large = size > (99_010 if level else LIMIT)  # DEFLATE may add up to 1 %
        version = int.from_bytes(path.read_bytes()[4:6], "little")
        assert version == (45 if is_large else 20)
        with zipfile.ZipFile(path) as archive:
            (first, second, _), begins = archive.infolist(), archive.start_dir
        is_large = max(first.file_size, first.compress_size) > LIMIT
        assert (first.extract_version, second.extract_version) == (45 if is_large else 20, 45)
        assert (b"PK\x06\x06" in path.read_bytes()[-98:]) == (begins > LIMIT)

    @each_tool
    @pytest.mark.parametrize("size", [99_010, 99_011, LIMIT, LIMIT + 1])
    def test_beyond_a_lowered_limit_with_a_tool(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str, size: int
    ) -> None:
        """Tools find no fault in sizes of eight bytes, nor where only one end tells them so."""
        monkeypatch.setattr(zipfile, "ZIP64_LIMIT", LIMIT)
        named = {
            f"{level}.{kind}": Entry(filled(kind, size), level, 40_000)
            for level in ("", *LEVELS)
            for kind in ("rows", "noise")
        }
        assert is_read_by(tool, write(tmp_path, named), named)

    @pytest.mark.slow
    @pytest.mark.timeout(1200)
    @pytest.mark.parametrize("size", [2 * GIB - MIB, 2 * GIB, 5 * GIB])
    def test_large_file(self, tmp_path: Path, size: int) -> None:
        """A file of which four bytes cannot tell the size, or only just, is unpacked everywhere."""
        source, path = tmp_path / "large.sqlite", tmp_path / "out.zip"
        part = tables(8 * MIB)
        with source.open("wb") as file:
            for at in (0, GIB + 12_345, 4 * GIB - MIB, size - len(part)):
                if at < size:
                    file.seek(at)
                    file.write(part)
            file.truncate(size)
        try:
            with ZipWriter(path, TIME) as archive:
                found = archive.add_deflated(source.name, source, LEVELS["fast"], ignore)
            expected = digest_file(source)
            assert (found.size_bytes, found.crc32) == (size, expected.crc32)
            with zipfile.ZipFile(path) as reader:
                assert reader.testzip() is None
                (entry,) = reader.infolist()
                assert (entry.file_size, f"{entry.CRC:08x}") == (size, expected.crc32)
            for test, _ in TOOLS.values():
                if shutil.which(test[0]):
                    run(test, str(path), timeout_s=600)
        finally:
            source.unlink()
            path.unlink(missing_ok=True)

    @pytest.mark.slow
    @pytest.mark.timeout(1200)
    def test_large_member(self, tmp_path: Path) -> None:
        """A member over 4 GiB is stored, and one behind it is found."""
        large, small, path = tmp_path / "large", tmp_path / "small", tmp_path / "out.zip"
        size = 4 * GIB + 12_345
        with large.open("wb") as file:
            file.truncate(size)
            file.seek(4 * GIB - 100)
            file.write(filled("noise", 5_000))
        small.write_bytes(DATA)
        try:
            digests = {each: digest_file(each) for each in (large, small)}
            with ZipWriter(path, TIME) as archive:
                for each, digest in digests.items():
                    archive.add_stored(each.name, each, digest, ignore)
            assert archive.digest == digest_file(path)
            with zipfile.ZipFile(path) as reader:
                assert reader.testzip() is None
                assert [entry.file_size for entry in reader.infolist()] == [size, len(DATA)]
                assert reader.read("small") == DATA
            for test, _ in TOOLS.values():
                if shutil.which(test[0]):
                    run(test, str(path), timeout_s=600)
        finally:
            for each in (large, small, path):
                each.unlink(missing_ok=True)


def store(folder: Path, sources: list[Path], advance: Callable[[int], None] = ignore) -> None:
    """Write a zip of files that are all taken to hold the same bytes."""
    with ZipWriter(folder / "out.zip", TIME) as archive:
        for number, source in enumerate(sources):
            archive.add_stored(f"{number}", source, digest_of(DATA), advance)


def copying_threads() -> list[str]:
    """Return the names of the threads that copy."""
    return [each.name for each in threading.enumerate() if each.name.startswith("copy")]


class TestFailure:
    """What is left of a zip that was not finished."""

    def test_abandoned_writer(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """An error inside the block closes the file, ends the threads and adds no directory."""
        source, path = tmp_path / "source", tmp_path / "out.zip"
        source.write_bytes(DATA)
        complaints: list[object] = []
        gc.collect()  # what other tests have left is no complaint of this one
        monkeypatch.setattr(sys, "unraisablehook", complaints.append)
        archive = ZipWriter(path, TIME)
        sink = archive._sink

        def abandon(archive: ZipWriter) -> None:
            with archive:
                archive.add_stored("a", source, digest_of(DATA), ignore)
                archive.add_deflated("b", source, LEVELS["fast"], ignore)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            abandon(archive)
        written = path.read_bytes()
        assert copying_threads() == []
        assert (sink.closed, sink._file.closed) == (True, True)
        del archive, sink
        gc.collect()
        assert complaints == []
        assert path.read_bytes() == written
        assert b"PK\x01\x02" not in written
        assert b"PK\x05\x06" not in written

    @pytest.mark.parametrize("kind", ["stored", "deflated"])
    def test_progress_that_stops(
        self, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What the progress raises goes through, and no file stays open."""
        monkeypatch.setitem(LEVELS, "fast", replace(LEVELS["fast"], block_bytes=1_000))
        source = tmp_path / "source"
        source.write_bytes(DATA)
        before = open_files()

        def stop(_: int) -> None:
            raise KeyboardInterrupt

        def add() -> None:
            with ZipWriter(tmp_path / "out.zip", TIME) as archive:
                if kind == "stored":
                    archive.add_stored("a", source, digest_of(DATA), stop)
                else:
                    archive.add_deflated("a", source, LEVELS["fast"], stop)

        with pytest.raises(KeyboardInterrupt):
            add()
        assert before == open_files()
        assert copying_threads() == []

    def test_missing_member(self, tmp_path: Path) -> None:
        """A member that was removed since it was digested is an error."""
        with pytest.raises(FileNotFoundError):
            store(tmp_path, [tmp_path / "gone"])
        assert copying_threads() == []

    @pytest.mark.parametrize("left", [0, 1, len(DATA) - 1])
    def test_shorter_member(self, tmp_path: Path, left: int) -> None:
        """A member that was cut since it was digested is an error, whatever follows it."""
        (tmp_path / "source").write_bytes(DATA[:left])
        (tmp_path / "other").write_bytes(DATA)
        with pytest.raises(OSError, match="shrank") as caught:
            store(tmp_path, [tmp_path / "source", tmp_path / "other"])
        assert caught.value.errno == errno.EIO

    @pytest.mark.parametrize("failing", [0, 1, 4])
    def test_copy_that_fails(
        self, tmp_path: Path, failing: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A copy that fails ends the writing, whichever it is, and no zip is taken for whole."""
        copy = copy_range_in_kernel
        count = iter(range(100))

        def fail(source: int, target: int, position: int, size: int) -> None:
            if next(count) == failing:
                raise OSError(errno.ENOSPC, "No space left on device")
            copy(source, target, position, size)

        monkeypatch.setattr(container, "copy_range_in_kernel", fail)
        (tmp_path / "source").write_bytes(DATA)
        with pytest.raises(OSError, match="No space left"):
            store(tmp_path, [tmp_path / "source"] * 5)
        assert copying_threads() == []

    def test_failed_copy_is_told_before_the_end(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """After a copy has failed not all members are read before it is told."""
        failed = threading.Event()
        told: list[int] = []

        def fail(*_: int) -> None:
            failed.set()
            raise OSError(errno.ENOSPC, "No space left on device")

        def advance(count: int) -> None:
            assert failed.wait(30)
            told.append(count)

        monkeypatch.setattr(container, "copy_range_in_kernel", fail)
        (tmp_path / "source").write_bytes(DATA)
        with pytest.raises(OSError, match="No space left"):
            store(tmp_path, [tmp_path / "source"] * 1000, advance)
        assert len(told) < 500

    @pytest.mark.parametrize("kind", ["missing", "folder"])
    def test_target_that_cannot_be_opened(self, tmp_path: Path, kind: str) -> None:
        """Where no file can be made the reason is raised, and nothing is left open."""
        path = tmp_path if kind == "folder" else tmp_path / "missing/out.zip"
        before = open_files()
        with pytest.raises((FileNotFoundError, IsADirectoryError)):
            ZipWriter(path, TIME)
        assert before == open_files()

    def test_missing_source(self, tmp_path: Path) -> None:
        """A source that is not there is an error, and no file stays open."""
        before = open_files()
        with (
            pytest.raises((SourceError, FileNotFoundError), match="gone"),
            ZipWriter(tmp_path / "out.zip", TIME) as archive,
        ):
            archive.add_deflated("a", tmp_path / "gone", LEVELS["fast"], ignore)
        assert before == open_files()

    def test_source_that_cannot_be_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A source on a broken disk is named as such; it is not the archive that is at fault."""
        (tmp_path / "source").write_bytes(DATA)

        def fail(*_: object) -> int:
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(os, "preadv", fail)
        with (
            pytest.raises(SourceError, match="source: expected a readable file, got 'Input/output"),
            ZipWriter(tmp_path / "out.zip", TIME) as archive,
        ):
            archive.add_deflated("a", tmp_path / "source", LEVELS["fast"], ignore)

    def test_target_that_cannot_be_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A full disk is the system's error: it is not the source that is at fault."""
        (tmp_path / "source").write_bytes(DATA)

        def fail(*_: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "pwrite", fail)
        with (
            pytest.raises(OSError, match="No space left"),
            ZipWriter(tmp_path / "out.zip", TIME) as archive,
        ):
            archive.add_deflated("a", tmp_path / "source", LEVELS["fast"], ignore)


def open_files() -> int:
    """Count the files that this process has open, where the system tells."""
    gc.collect()  # what earlier tests left open is closed now and not in between
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0
