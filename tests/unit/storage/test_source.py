"""Builds from any fsspec URL: whole, resumable inside a file, never believed unseen."""

import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem

from lading.errors import SourceError
from lading.storage import Body, Progress, open_store, s3
from lading.storage import download as module
from lading.storage.bytes import digest_file
from lading.storage.source import fetch_build, list_remote, load_fetched
from tests.contract.clouds import s3_server

BLOCK = 1 << 16


class Blocks:
    """Watches the blocks that a filesystem is asked for; may answer in its place."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[str, int]] = []
        self.answer: Callable[[int, bytes], bytes] = lambda _, data: data
        plain = LocalFileSystem.cat_file

        def cat_file(filesystem: Any, path: str, start: int, end: int) -> bytes:
            self.asked.append((Path(path).name, start))
            return self.answer(start, plain(filesystem, path, start=start, end=end))

        monkeypatch.setattr(LocalFileSystem, "cat_file", cat_file)
        monkeypatch.setattr(module, "BLOCK_BYTES", BLOCK)


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> Blocks:
    """Watch every block."""
    return Blocks(monkeypatch)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A build of a large file, a small one and an empty one."""
    folder = tmp_path / "source"
    (folder / "deep").mkdir(parents=True)
    (folder / "large.bin").write_bytes(random.Random(4).randbytes(7 * BLOCK + 11))
    (folder / "deep" / "small.txt").write_text("small")
    (folder / "success").touch()
    return folder


def fetch(source: Path | str, folder: Path, progress: Progress | None = None) -> tuple[int, int]:
    """Fetch a build into a folder."""
    url = f"file://{source}" if isinstance(source, Path) else source
    listing = folder.with_suffix(".json")
    return fetch_build(
        url, folder, listing, options={}, digest=digest_file, progress=progress or Progress()
    )


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file by path, hidden ones too."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def fail_from(start: int) -> Callable[[int, bytes], bytes]:
    """Answer until a position of the large file, then as one who may not read."""

    def answer(at: int, data: bytes) -> bytes:
        if at >= start:
            raise PermissionError("cut")
        return data

    return answer


def test_whole_build(source: Path, tmp_path: Path, blocks: Blocks) -> None:
    """Every file arrives byte for byte, nothing else is left, and the listing has its sha256."""
    progress = Progress()
    assert fetch(source, tmp_path / "build", progress) == (3, 0)
    assert contents(source) == contents(tmp_path / "build")
    sha256 = hashlib.sha256((source / "large.bin").read_bytes()).hexdigest()
    assert load_fetched(tmp_path / "build.json")["large.bin"] == sha256
    assert progress.value == sum(len(each) for each in contents(source).values())
    assert len(blocks.asked) == 9


def test_cut_inside_a_file(source: Path, tmp_path: Path, blocks: Blocks) -> None:
    """The next run asks for those blocks only that are not here."""
    blocks.answer = fail_from(4 * BLOCK)
    with pytest.raises(SourceError, match="cut"):
        fetch(source, tmp_path / "build")
    here = {start for name, start in blocks.asked if name == "large.bin" and start < 4 * BLOCK}
    blocks.asked.clear()
    blocks.answer = lambda _, data: data
    fetch(source, tmp_path / "build")
    again = {start for name, start in blocks.asked if name == "large.bin"}
    assert here == {0, BLOCK, 2 * BLOCK, 3 * BLOCK}
    assert again == {4 * BLOCK, 5 * BLOCK, 6 * BLOCK, 7 * BLOCK}
    assert contents(source) == contents(tmp_path / "build")


def test_block_damaged_on_the_disk(source: Path, tmp_path: Path, blocks: Blocks) -> None:
    """A block of the journal whose bytes are others by now is fetched again."""
    blocks.answer = fail_from(4 * BLOCK)
    with pytest.raises(SourceError):
        fetch(source, tmp_path / "build")
    part = tmp_path / "build" / ".large.bin.part"
    data = bytearray(part.read_bytes())
    data[BLOCK + 5] ^= 1
    part.write_bytes(data)
    blocks.asked.clear()
    blocks.answer = lambda _, data: data
    fetch(source, tmp_path / "build")
    assert ("large.bin", BLOCK) in blocks.asked
    assert ("large.bin", 2 * BLOCK) not in blocks.asked
    assert contents(source) == contents(tmp_path / "build")


def test_source_that_changed_meanwhile(source: Path, tmp_path: Path, blocks: Blocks) -> None:
    """Blocks of other bytes under the same name are not mixed with new ones."""
    blocks.answer = fail_from(4 * BLOCK)
    with pytest.raises(SourceError):
        fetch(source, tmp_path / "build")
    (source / "large.bin").write_bytes(random.Random(5).randbytes(7 * BLOCK + 11))
    blocks.answer = lambda _, data: data
    fetch(source, tmp_path / "build")
    assert contents(source) == contents(tmp_path / "build")


def test_filesystem_without_ranges(source: Path, tmp_path: Path, blocks: Blocks) -> None:
    """A server that answers a range with the whole file is read as one stream."""
    whole = (source / "large.bin").read_bytes()
    blocks.answer = lambda _, data: whole if len(data) > 5 else data
    fetch(source, tmp_path / "build")
    assert contents(source) == contents(tmp_path / "build")


def test_failure_that_passes(source: Path, tmp_path: Path, blocks: Blocks) -> None:
    """A block that fails twice is asked for a third time."""
    left = [2]

    def answer(start: int, data: bytes) -> bytes:
        if start == BLOCK and left[0]:
            left[0] -= 1
            raise ConnectionResetError("reset")
        return data

    blocks.answer = answer
    fetch(source, tmp_path / "build")
    assert blocks.asked.count(("large.bin", BLOCK)) == 3
    assert contents(source) == contents(tmp_path / "build")


def test_wrong_checksum(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are not those of the listing are refused and nothing of them is kept."""
    plain = LocalFileSystem.find

    def find(filesystem: Any, path: str, **options: Any) -> Any:
        found = plain(filesystem, path, **options)
        for entry in found.values():
            entry["ETag"] = '"' + "0" * 32 + '"'
        return found

    monkeypatch.setattr(LocalFileSystem, "find", find)
    with pytest.raises(SourceError, match="expected md5 0000") as caught:
        fetch(source, tmp_path / "build")
    assert "run the same command" in str(caught.value)
    assert "small.txt" not in contents(tmp_path / "build")


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_checksum_of_parts_is_no_md5(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an object that was sent in parts S3 itself is asked for the CRC32C of all its bytes."""
    server = s3_server()
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    server.create_bucket("source-of-parts")
    path = tmp_path / "sent"
    path.write_bytes(b"x" * 1000)
    monkeypatch.setattr(s3, "LARGE_BYTES", 1)
    store = open_store("s3://source-of-parts/b", tmp_path)
    store.put("x", Body(digest_file(path), path))
    (listed,) = list_remote("s3://source-of-parts/b", {})
    before = server.requests["HeadObject"]
    fetch("s3://source-of-parts/b", tmp_path / "build")
    assert (listed.md5, listed.crc32c) == ("", "")
    assert server.requests["HeadObject"] == before + 1
    assert contents(tmp_path / "build") == {"x": b"x" * 1000}
