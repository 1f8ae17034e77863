"""Tests of archives: the same bytes for the same input, whole or not there, made once."""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lading.errors import LadingError, PrepareError, SourceError
from lading.prepare.archives import (
    STORE_SETTINGS,
    compress_file,
    deflate_settings,
    is_archive_current,
    store_bundle,
)
from lading.prepare.digests import DigestCache
from lading.storage import Progress
from lading.storage.bytes import CHUNK_BYTES

DATA = b"".join(b"%d,%d\n" % (number, number * 7919 % 1009) for number in range(40_000))
MEMBERS = {"b.parquet": b"PAR1b", "a.parquet": DATA, "ä.parquet": b"", "datapackage.json": b"{}"}

MAKE = """
import os, sys, time
from pathlib import Path
os.umask(int(sys.argv[3], 8))
from lading.prepare.archives import compress_file, store_bundle
from lading.prepare.digests import DigestCache
source, out = Path(sys.argv[1]), Path(sys.argv[2])
cache = DigestCache(out / "digests.sqlite")
compress_file(source / "a.parquet", out / "one.zip", level="balanced", cache=cache)
members = [each for each in source.iterdir()]
store_bundle(source, members, out / "all.zip", cache=cache)
"""


@pytest.fixture(autouse=True)
def no_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what the surroundings say of the time."""
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)


class Work:
    """A folder with sources, an archive folder and a cache."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "source"
        self.target = folder / "archives/deep/out.zip"
        self.cache = DigestCache(folder / "digests.sqlite")
        self.source.mkdir(exist_ok=True)
        for name, data in MEMBERS.items():
            (self.source / name).write_bytes(data)

    @property
    def members(self) -> list[Path]:
        """The sources in an order that is not theirs."""
        return [self.source / name for name in MEMBERS]

    def compress(self, level: str = "balanced", progress: Progress | None = None) -> bool:
        """Pack one file."""
        return compress_file(
            self.source / "a.parquet",
            self.target,
            level=level,
            cache=self.cache,
            progress=progress or Progress(),
        )

    def bundle(self, progress: Progress | None = None) -> bool:
        """Pack all files."""
        return store_bundle(
            self.source,
            self.members,
            self.target,
            cache=self.cache,
            progress=progress or Progress(),
        )

    def listing(self) -> list[str]:
        """List the archive folder."""
        return sorted(each.name for each in self.target.parent.iterdir())


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """Return a fresh folder."""
    return Work(tmp_path)


PACK: dict[str, Callable[[Work], bool]] = {"one": Work.compress, "bundle": Work.bundle}


class TestContent:
    """What stands in an archive."""

    def test_one_file(self, work: Work) -> None:
        """A packed file is the only entry, under its name, compressed, and comes out whole."""
        assert work.compress()
        with zipfile.ZipFile(work.target) as archive:
            assert archive.testzip() is None
            (entry,) = archive.infolist()
            assert (entry.filename, entry.compress_type) == ("a.parquet", zipfile.ZIP_DEFLATED)
            assert archive.read(entry) == DATA
        assert work.target.stat().st_size < len(DATA) / 2

    def test_bundle(self, work: Work) -> None:
        """A bundle holds each file by name, sorted as bytes, as it is."""
        assert work.bundle()
        with zipfile.ZipFile(work.target) as archive:
            assert archive.testzip() is None
            found = {entry.filename: archive.read(entry) for entry in archive.infolist()}
            kinds = {entry.compress_type for entry in archive.infolist()}
        assert found == MEMBERS
        assert sorted(MEMBERS, key=str.encode) == [*found]
        assert kinds == {zipfile.ZIP_STORED}

    @pytest.mark.parametrize("pack", PACK.values(), ids=PACK)
    @pytest.mark.skipif(shutil.which("unzip") is None, reason="there is no unzip here")
    def test_unzip_reads_it(self, work: Work, pack: Callable[[Work], bool]) -> None:
        """The unzip command finds no error."""
        pack(work)
        done = subprocess.run(
            ["unzip", "-t", str(work.target)], check=False, capture_output=True, timeout=60
        )
        assert done.returncode == 0, done.stdout
        assert b"No errors detected" in done.stdout

    @pytest.mark.parametrize("pack", PACK.values(), ids=PACK)
    def test_entries_tell_nothing_of_the_machine(
        self, work: Work, pack: Callable[[Work], bool]
    ) -> None:
        """Time, mode and system of every entry are fixed, and there is no extra field."""
        for each in work.members:
            each.chmod(0o600)
        pack(work)
        with zipfile.ZipFile(work.target) as archive:
            facts = {
                (e.date_time, e.external_attr >> 16, e.create_system, e.extra, e.comment)
                for e in archive.infolist()
            }
        assert facts == {((1980, 1, 1, 0, 0, 0), 0o100644, 3, b"", b"")}

    @settings(
        max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(data=st.binary(max_size=2000), level=st.sampled_from(["fast", "balanced", "small"]))
    def test_any_bytes_come_out(self, work: Work, data: bytes, level: str) -> None:
        """Whatever goes in comes out, at every level."""
        (work.source / "any").write_bytes(data)
        compress_file(work.source / "any", work.target, level=level, cache=work.cache)
        with zipfile.ZipFile(work.target) as archive:
            assert data == archive.read("any")


class TestReproducible:
    """Equal inputs give equal bytes, wherever and whenever."""

    def test_other_surroundings(self, tmp_path: Path) -> None:
        """Other folder, time zone, locale, umask, hash seed, times and order: equal bytes."""
        surroundings = [
            ("UTC", "C", "022", "0"),
            ("Asia/Kathmandu", "C.utf8", "077", "1"),
            ("America/St_Johns", "POSIX", "000", "2"),
        ]
        sums = set()
        for number, (zone, locale, mask, seed) in enumerate(surroundings):
            source = tmp_path / f"build {number}" / ("x" * number * 20 or "y")
            source.mkdir(parents=True)
            names = sorted(MEMBERS, reverse=bool(number % 2))
            for index, name in enumerate(names):
                (source / name).write_bytes(MEMBERS[name])
                os.utime(source / name, (10**9 + index * 77, 10**9 + number * 31_557_600))
            out = tmp_path / f"out {number}"
            out.mkdir()
            subprocess.run(
                [sys.executable, "-c", MAKE, str(source), str(out), mask],
                check=True,
                timeout=60,
                env={**os.environ, "TZ": zone, "LC_ALL": locale, "PYTHONHASHSEED": seed},
            )
            sums.add(tuple(sha256(out / name) for name in ("one.zip", "all.zip")))
        assert len(sums) == 1

    @pytest.mark.parametrize("pack", PACK.values(), ids=PACK)
    def test_epoch_is_honoured(
        self, work: Work, pack: Callable[[Work], bool], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """SOURCE_DATE_EPOCH, in UTC whatever the time zone, is the time of every entry."""
        pack(work)
        monkeypatch.setenv("TZ", "Asia/Kathmandu")
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "1738713600")
        assert pack(work)
        with zipfile.ZipFile(work.target) as archive:
            times = {entry.date_time for entry in archive.infolist()}
        assert times == {(2025, 2, 5, 0, 0, 0)}
        assert not pack(work)

    @pytest.mark.parametrize("epoch", ["0", "1", "315532799", "", "-5", "yesterday", "1.5", "²"])
    def test_epoch_that_no_zip_can_tell(
        self, work: Work, monkeypatch: pytest.MonkeyPatch, epoch: str
    ) -> None:
        """A time before 1980, or none at all, is the first that a zip can tell."""
        monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
        work.compress()
        with zipfile.ZipFile(work.target) as archive:
            assert archive.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)

    @pytest.mark.parametrize("epoch", ["4354819200", "99999999999999999999"])
    def test_epoch_after_the_last_that_a_zip_can_tell(
        self, work: Work, monkeypatch: pytest.MonkeyPatch, epoch: str
    ) -> None:
        """A time after 2107 is bounded, or refused by an error of ours; it is no crash."""
        monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
        try:
            work.compress()
        except LadingError as error:
            assert "SOURCE_DATE_EPOCH" in str(error)  # noqa: PT017
        else:
            with zipfile.ZipFile(work.target) as archive:
                assert archive.infolist()[0].date_time[0] <= 2107


class TestUnchanged:
    """What is right already is left alone."""

    @pytest.mark.parametrize("pack", PACK.values(), ids=PACK)
    def test_same_file_stays(self, work: Work, pack: Callable[[Work], bool]) -> None:
        """An unchanged source costs nothing: the file that stands is the same inode."""
        assert pack(work)
        before = work.target.stat()
        assert not pack(work)
        assert before == work.target.stat()

    @pytest.mark.parametrize("pack", PACK.values(), ids=PACK)
    def test_touched_source_is_unchanged(self, work: Work, pack: Callable[[Work], bool]) -> None:
        """Another time of the source costs a read and no archive."""
        pack(work)
        for each in work.members:
            os.utime(each, (1, 1))
        assert not pack(work)

    @pytest.mark.parametrize("pack", PACK.values(), ids=PACK)
    def test_lost_cache_makes_nothing(
        self, work: Work, tmp_path: Path, pack: Callable[[Work], bool]
    ) -> None:
        """Without the digest cache an unchanged source is still known by the receipt."""
        pack(work)
        (tmp_path / "digests.sqlite").unlink()
        work.cache = DigestCache(tmp_path / "digests.sqlite")
        assert not pack(work)

    @pytest.mark.parametrize("pack", PACK.values(), ids=PACK)
    def test_changed_source_is_packed(self, work: Work, pack: Callable[[Work], bool]) -> None:
        """A changed source is packed again, and back again gives the first bytes."""
        pack(work)
        first = work.target.read_bytes()
        change(work.source / "a.parquet", DATA[:-1] + b"!")
        assert pack(work)
        assert first != work.target.read_bytes()
        change(work.source / "a.parquet", DATA)
        assert pack(work)
        assert first == work.target.read_bytes()

    def test_other_level_is_packed(self, work: Work) -> None:
        """Another level makes another archive, and the receipt says so."""
        work.compress(level="fast")
        size = work.target.stat().st_size
        assert work.compress(level="small")
        assert work.target.stat().st_size < size
        assert not work.compress(level="small")

    def test_other_members_are_packed(self, work: Work) -> None:
        """A member more or less makes another archive."""
        work.bundle()
        fewer = work.members[1:]
        assert store_bundle(work.source, fewer, work.target, cache=work.cache)
        assert work.bundle()

    def test_renamed_member_is_packed(self, work: Work) -> None:
        """A member of another name makes another archive."""
        work.bundle()
        (work.source / "b.parquet").rename(work.source / "c.parquet")
        members = [e for e in work.source.iterdir() if e.is_file()]
        assert store_bundle(work.source, members, work.target, cache=work.cache)

    @pytest.mark.parametrize("damage", [b"", b"rubbish", None])
    def test_damaged_archive_is_packed(self, work: Work, damage: bytes | None) -> None:
        """An archive that is gone or not what the receipt says is made again."""
        work.compress()
        first = work.target.read_bytes()
        if damage is None:
            work.target.unlink()
        else:
            change(work.target, damage)
        assert work.compress()
        assert first == work.target.read_bytes()

    @pytest.mark.parametrize("receipt", [b"", b"{", b"{}", b"[]", b"null", b'{"settings": 1}'])
    def test_broken_receipt_is_packed(self, work: Work, receipt: bytes) -> None:
        """Without a receipt that can be read the archive is made again."""
        work.compress()
        change(work.target.with_name("out.zip.receipt.json"), receipt)
        assert work.compress()
        assert not work.compress()

    def test_looking_makes_nothing(self, work: Work, tmp_path: Path) -> None:
        """Asking whether an archive stands writes nothing where it does not."""
        members = [work.source / "a.parquet"]
        before = sorted(tmp_path.rglob("*"))
        cache = DigestCache(tmp_path / "digests.sqlite", read_only=True)
        assert not is_archive_current(members, work.target, deflate_settings("balanced"), cache)
        assert not is_archive_current(members, work.target, STORE_SETTINGS, cache)
        assert before == sorted(tmp_path.rglob("*"))

    def test_settings_of_another_kind_are_not_current(self, work: Work) -> None:
        """An archive is current for the settings that it was made with and no others."""
        work.compress()
        members = [work.source / "a.parquet"]
        current = {
            level: is_archive_current(members, work.target, deflate_settings(level), work.cache)
            for level in ("fast", "balanced")
        }
        assert current == {"fast": False, "balanced": True}
        assert not is_archive_current(members, work.target, STORE_SETTINGS, work.cache)


class TestFailure:
    """An archive is whole or not there."""

    @pytest.mark.parametrize("pack", ["compress", "bundle"])
    @pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, SystemExit])
    def test_old_archive_stays(self, work: Work, pack: str, error: type[BaseException]) -> None:
        """Whatever ends the packing, the old archive stays, and no half of a new one."""
        getattr(work, pack)()
        first, listing = work.target.read_bytes(), work.listing()
        change(work.source / "a.parquet", DATA * 2)
        with pytest.raises((error, PrepareError)):
            getattr(work, pack)(progress=At(1, lambda: raising(error)))
        assert first == work.target.read_bytes()
        assert listing == work.listing()

    def test_first_archive_leaves_nothing(self, work: Work) -> None:
        """A first packing that is interrupted leaves no file at all."""
        with pytest.raises(KeyboardInterrupt):
            work.compress(progress=At(1, lambda: raising(KeyboardInterrupt)))
        assert work.listing() == []

    def test_killed_packing_is_made_again(self, work: Work) -> None:
        """What a killed packing left is used up, and is never taken for an archive."""
        work.target.parent.mkdir(parents=True)
        work.target.with_name(".out.zip.part").write_bytes(b"half")
        assert work.compress()
        assert work.listing() == ["out.zip", "out.zip.receipt.json"]

    def test_killed_between_archive_and_receipt(self, work: Work) -> None:
        """An archive whose receipt was not written any more is made again."""
        work.compress()
        work.target.with_name("out.zip.receipt.json").unlink()
        assert work.compress()

    def test_missing_source(self, work: Work) -> None:
        """A source that is gone is refused as such, and nothing is left."""
        (work.source / "a.parquet").unlink()
        with pytest.raises(SourceError, match=r"a\.parquet"):
            work.compress()
        assert not work.target.exists()

    def test_source_that_changes_is_refused(self, work: Work) -> None:
        """A source that is written while it is packed is refused by its name; nothing is left."""
        (work.source / "a.parquet").write_bytes(DATA * 5)
        assert len(DATA) * 5 > CHUNK_BYTES

        def write() -> None:
            change(work.source / "a.parquet", DATA)

        with pytest.raises(LadingError, match=r"a\.parquet: expected a file at rest"):
            work.compress(progress=At(1, write))
        assert work.listing() == []

    def test_member_that_changes_after_it_was_packed(self, work: Work) -> None:
        """A member that changes while a later one is packed never stands in a receipt as packed."""

        def write() -> None:
            change(work.source / "a.parquet", b"another build")

        try:
            work.bundle(progress=At(3, write))
        except LadingError:
            assert not work.target.exists()
        if not work.target.exists() or work.bundle():
            work.bundle()
        with zipfile.ZipFile(work.target) as archive:
            assert archive.read("a.parquet") == b"another build"

    def test_folder_that_cannot_be_written(self, work: Work, tmp_path: Path) -> None:
        """A file where the archive folder should be is an error of ours that names both."""
        (tmp_path / "archives").write_bytes(b"in the way")
        with pytest.raises(
            PrepareError, match=r"out\.zip: expected to write it in .*archives/deep"
        ):
            work.compress()

    def test_full_disk(self, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
        """A full disk is told with the reason; the old archive stays, and no half of a new one."""
        work.compress()
        first, listing = work.target.read_bytes(), work.listing()
        change(work.source / "a.parquet", DATA * 2)

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(PrepareError, match="No space left on device"):
            work.compress()
        assert first == work.target.read_bytes()
        assert listing == work.listing()


def test_progress_tells_every_byte(work: Work) -> None:
    """The bytes announced are the bytes told, and each file is named."""
    told = Told()
    work.bundle(progress=told)
    assert told.size == told.moved == sum(map(len, MEMBERS.values()))
    assert sorted(MEMBERS, key=str.encode) == told.names


class Told(Progress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.moved = 0
        self.names: list[str] = []

    def set_size(self, size: int) -> None:
        """Keep the bytes announced."""
        self.size = size

    def relative_update(self, inc: int = 1) -> None:
        """Add bytes."""
        self.moved += inc

    def start_file(self, name: str) -> None:
        """Keep the name."""
        self.names.append(name)


class At(Progress):
    """Acts at one piece, counted from 1."""

    def __init__(self, piece: int, act: Callable[[], None]) -> None:
        super().__init__()
        self._left = piece
        self._act = act

    def relative_update(self, inc: int = 1) -> None:
        """Count a piece."""
        del inc
        self._left -= 1
        if self._left == 0:
            self._act()


def raising(error: type[BaseException]) -> None:
    """Raise an error."""
    raise error("ended by the test")


def change(path: Path, data: bytes) -> None:
    """Write a file, with a time that is surely another."""
    before = path.stat().st_mtime_ns
    path.write_bytes(data)
    os.utime(path, ns=(before + 10**9, before + 10**9))


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
