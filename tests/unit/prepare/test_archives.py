"""Tests of archives: the same bytes for the same input, whole or not there, made once."""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lading.errors import LadingError, PrepareError, SourceError
from lading.prepare import archives, deflate
from lading.prepare import digests as digests_module
from lading.prepare.archives import (
    Packing,
    compress_file,
    entry_time,
    is_archive_current,
    store_bundle,
)
from lading.prepare.digests import DigestCache
from lading.release.objects import Digest, digest_bytes
from lading.storage import NO_PROGRESS, Progress
from lading.storage.bytes import CHUNK_BYTES, digest_file

DATA = b"".join(b"%d,%d\n" % (number, number * 7919 % 1009) for number in range(40_000))
MEMBERS = {"b.parquet": b"PAR1b", "a.parquet": DATA, "ä.parquet": b"", "datapackage.json": b"{}"}

ARCHIVES = ("fast.zip", "balanced.zip", "small.zip", "all.zip")
BUNDLE_SHA256 = "8bfe74ffba6fd2ab10c403bb5bdc9e871b459728a22a93eb5d5dc4a932767d58"
MAKE = """
import os, sys, time
from pathlib import Path
os.umask(int(sys.argv[3], 8))
from lading.prepare.archives import Packing, compress_file, store_bundle
from lading.prepare.digests import DigestCache
source, out = Path(sys.argv[1]), Path(sys.argv[2])
cache = DigestCache(out / "digests.sqlite")
for level in ("fast", "balanced", "small"):
    compress_file(source / "a.parquet", out / f"{level}.zip", Packing(level), cache=cache)
members = [each for each in source.iterdir()]
store_bundle(members, out / "all.zip", Packing(), cache=cache)
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

    @property
    def packed(self) -> Path:
        """The source that is packed alone."""
        return self.source / "a.parquet"

    def compress(
        self,
        level: str = "balanced",
        *,
        moment_s: int | None = None,
        made_of: Sequence[Path] = (),
        md5: bool = False,
        progress: Progress = NO_PROGRESS,
    ) -> bool:
        """Pack one file."""
        return compress_file(
            self.packed,
            self.target,
            Packing(level, entry_time(moment_s)),
            cache=self.cache,
            made_of={path: self.cache.digest(path).sha256 for path in made_of},
            md5=md5,
            progress=progress,
        )

    def bundle(
        self,
        *,
        moment_s: int | None = None,
        md5: bool = False,
        progress: Progress = NO_PROGRESS,
    ) -> bool:
        """Pack all files."""
        return store_bundle(
            self.members,
            self.target,
            Packing(time=entry_time(moment_s)),
            cache=self.cache,
            md5=md5,
            progress=progress,
        )

    def listing(self) -> list[str]:
        """List the archive folder."""
        return sorted(each.name for each in self.target.parent.iterdir())


class Reads:
    """Counts the files that are read to be digested, by name."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, path: Path, **options: Any) -> Digest:
        """Read a file and note it."""
        self.names.append(path.name)
        return digest_file(path, **options)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    """Count the files that the cache reads."""
    counter = Reads()
    monkeypatch.setattr(digests_module, "digest_file", counter)
    return counter


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """Return a fresh folder."""
    return Work(tmp_path)


PACK: dict[str, Callable[..., bool]] = {"one": Work.compress, "bundle": Work.bundle}


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

    def test_order_of_names(self, work: Work) -> None:
        """Members stand in the order of their names' bytes, whatever locale or alphabet says."""
        names = [
            "_",
            "z",
            "B.parquet",
            "\U0001f30d",
            "a",
            "Z",
            "10",
            "ä",
            "\uff5e",
            "9",
            "a b",
            "a.b",
        ]
        ordered = [
            "10",
            "9",
            "B.parquet",
            "Z",
            "_",
            "a",
            "a b",
            "a.b",
            "z",
            "ä",
            "\uff5e",
            "\U0001f30d",
        ]
        for name in names:
            (work.source / name).write_bytes(name.encode())
        members = [work.source / name for name in names]
        assert store_bundle(members, work.target, Packing(), cache=work.cache)
        with zipfile.ZipFile(work.target) as archive:
            assert archive.namelist() == ordered
            assert [archive.read(name) for name in ordered] == [name.encode() for name in ordered]

    @pytest.mark.parametrize("pack", PACK.values(), ids=PACK)
    @pytest.mark.skipif(shutil.which("unzip") is None, reason="there is no unzip here")
    def test_unzip_reads_it(self, work: Work, pack: Callable[..., bool]) -> None:
        """The unzip command finds no error."""
        pack(work)
        done = subprocess.run(
            ["unzip", "-t", str(work.target)], check=False, capture_output=True, timeout=60
        )
        assert done.returncode == 0, done.stdout
        assert b"No errors detected" in done.stdout

    @pytest.mark.parametrize("pack", PACK.values(), ids=PACK)
    def test_entries_tell_nothing_of_the_machine(
        self, work: Work, pack: Callable[..., bool]
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
        compress_file(work.source / "any", work.target, Packing(level), cache=work.cache)
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
            sums.add(tuple(sha256(out / name) for name in ARCHIVES))
        assert len(sums) == 1

    @pytest.mark.parametrize("pack", PACK.values(), ids=PACK)
    def test_epoch_is_honoured(
        self, work: Work, pack: Callable[..., bool], monkeypatch: pytest.MonkeyPatch
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

    @pytest.mark.parametrize("epoch", ["4354819199", "4354819200", "99999999999999999999"])
    def test_epoch_after_the_last_that_a_zip_can_tell(
        self, work: Work, monkeypatch: pytest.MonkeyPatch, epoch: str
    ) -> None:
        """A time after 2107 is the last that a zip can tell."""
        monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
        work.compress()
        with zipfile.ZipFile(work.target) as archive:
            assert archive.infolist()[0].date_time == (2107, 12, 31, 23, 59, 58)

    @pytest.mark.parametrize("pack", PACK.values(), ids=PACK)
    def test_moment_is_the_time(self, work: Work, pack: Callable[..., bool]) -> None:
        """The moment given, for example of a commit, is the time of every entry, in UTC."""
        pack(work)
        assert pack(work, moment_s=1_738_713_600)
        with zipfile.ZipFile(work.target) as archive:
            times = {entry.date_time for entry in archive.infolist()}
        assert times == {(2025, 2, 5, 0, 0, 0)}
        assert not pack(work, moment_s=1_738_713_600)

    @pytest.mark.parametrize(
        ("moment_s", "expected"),
        [
            (None, (1980, 1, 1, 0, 0, 0)),
            (-1, (1980, 1, 1, 0, 0, 0)),
            (0, (1980, 1, 1, 0, 0, 0)),
            (315_532_799, (1980, 1, 1, 0, 0, 0)),
            (315_532_800, (1980, 1, 1, 0, 0, 0)),
            (315_532_801, (1980, 1, 1, 0, 0, 1)),
            (1_738_713_600, (2025, 2, 5, 0, 0, 0)),
            (4_354_819_198, (2107, 12, 31, 23, 59, 58)),
            (4_354_819_199, (2107, 12, 31, 23, 59, 58)),
            (10**20, (2107, 12, 31, 23, 59, 58)),
        ],
    )
    def test_moment_that_no_zip_can_tell(
        self, moment_s: int | None, expected: tuple[int, ...]
    ) -> None:
        """A moment is bounded by the first and the last that a zip can tell."""
        assert entry_time(moment_s) == expected

    def test_epoch_beats_the_moment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """SOURCE_DATE_EPOCH comes before the moment given; what is no number of it does not."""
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
        assert entry_time(1_738_713_600) == (2001, 9, 9, 1, 46, 40)
        for text in ("", "-5", "yesterday", "1.5", "²", " 1"):
            monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
            assert entry_time(1_738_713_600) == (2025, 2, 5, 0, 0, 0)

    def test_bundle_is_the_same_wherever_it_is_made(self, work: Work) -> None:
        """The bytes of a bundle are those that are noted here: no Python makes other ones."""
        members = [work.source / name for name in ("b.parquet", "ä.parquet", "datapackage.json")]
        packing = Packing(time=entry_time(1_738_758_896))
        assert store_bundle(members, work.target, packing, cache=work.cache)
        assert sha256(work.target) == BUNDLE_SHA256


class TestUnchanged:
    """What is right already is left alone."""

    @pytest.mark.parametrize("pack", PACK.values(), ids=PACK)
    def test_same_file_stays(self, work: Work, pack: Callable[..., bool]) -> None:
        """An unchanged source costs nothing: the file that stands is the same inode."""
        assert pack(work)
        before = work.target.stat()
        assert not pack(work)
        assert before == work.target.stat()

    @pytest.mark.parametrize("pack", PACK.values(), ids=PACK)
    def test_touched_source_is_unchanged(self, work: Work, pack: Callable[..., bool]) -> None:
        """Another time of the source costs a read and no archive."""
        pack(work)
        for each in work.members:
            os.utime(each, (1, 1))
        assert not pack(work)

    @pytest.mark.parametrize("pack", PACK.values(), ids=PACK)
    def test_lost_cache_makes_nothing(
        self, work: Work, tmp_path: Path, pack: Callable[..., bool]
    ) -> None:
        """Without the digest cache an unchanged source is still known by the receipt."""
        pack(work)
        (tmp_path / "digests.sqlite").unlink()
        work.cache = DigestCache(tmp_path / "digests.sqlite")
        assert not pack(work)

    @pytest.mark.parametrize("pack", PACK.values(), ids=PACK)
    def test_changed_source_is_packed(self, work: Work, pack: Callable[..., bool]) -> None:
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
        assert store_bundle(fewer, work.target, Packing(), cache=work.cache)
        assert work.bundle()

    def test_renamed_member_is_packed(self, work: Work) -> None:
        """A member of another name makes another archive."""
        work.bundle()
        (work.source / "b.parquet").rename(work.source / "c.parquet")
        members = [e for e in work.source.iterdir() if e.is_file()]
        assert store_bundle(members, work.target, Packing(), cache=work.cache)

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
        assert not is_archive_current(members, work.target, Packing("balanced"), cache)
        assert not is_archive_current(members, work.target, Packing(), cache)
        assert before == sorted(tmp_path.rglob("*"))

    def test_settings_of_another_kind_are_not_current(self, work: Work) -> None:
        """An archive is current for the settings that it was made with and no others."""
        work.compress()
        members = [work.source / "a.parquet"]
        current = {
            level: is_archive_current(members, work.target, Packing(level), work.cache)
            for level in ("fast", "balanced")
        }
        assert current == {"fast": False, "balanced": True}
        assert not is_archive_current(members, work.target, Packing(), work.cache)

    def test_same_archive_costs_no_read(self, work: Work, reads: Reads) -> None:
        """Where nothing changed no file is read, nor where only the digests are asked for again."""
        work.compress()
        reads.names.clear()
        assert not work.compress()
        assert not work.compress(md5=True)
        assert reads.names == []

    @pytest.mark.parametrize("library", ["deflate", "isal", "zlib-ng"])
    def test_other_library_packs_anew(
        self, work: Work, monkeypatch: pytest.MonkeyPatch, library: str
    ) -> None:
        """Another version of a library may make other bytes, so the archive is made anew."""
        work.compress()
        monkeypatch.setattr(
            archives, "version", lambda name: "999" if name == library else version(name)
        )
        assert work.compress()
        assert not work.compress()
        monkeypatch.undo()
        assert work.compress()

    def test_other_library_leaves_a_bundle(
        self, work: Work, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is not compressed depends on no library."""
        work.bundle()
        monkeypatch.setattr(archives, "version", lambda _: "999")
        assert not work.bundle()

    @pytest.mark.parametrize("pack", PACK.values(), ids=PACK)
    def test_other_tool_packs_anew(
        self, work: Work, monkeypatch: pytest.MonkeyPatch, pack: Callable[..., bool]
    ) -> None:
        """Another version of the tool may make other bytes, so the archive is made anew."""
        pack(work)
        monkeypatch.setattr(archives, "__version__", "999")
        assert pack(work)
        assert not pack(work)

    def test_what_it_was_made_of_decides(self, work: Work) -> None:
        """Of a copy it is the originals that say whether the archive is right, not the copy."""
        originals = [work.source / "b.parquet", work.source / "datapackage.json"]
        assert work.compress(made_of=originals)
        change(work.packed, b"another copy of the same")
        assert not work.compress(made_of=originals)
        work.packed.unlink()
        assert not work.compress(made_of=originals)
        work.packed.write_bytes(b"the next copy")
        change(originals[1], b"another build")
        assert not is_archive_current(originals, work.target, Packing("balanced"), work.cache)
        assert work.compress(made_of=originals)
        assert is_archive_current(originals, work.target, Packing("balanced"), work.cache)
        assert not is_archive_current([work.packed], work.target, Packing("balanced"), work.cache)
        with zipfile.ZipFile(work.target) as archive:
            assert archive.read("a.parquet") == b"the next copy"

    def test_made_of_more_or_less(self, work: Work) -> None:
        """A file more or less that it was made of, as a journal is, makes the archive anew."""
        originals = [work.source / "b.parquet", work.source / "datapackage.json"]
        work.compress(made_of=originals[:1])
        assert work.compress(made_of=originals)
        assert work.compress(made_of=originals[:1])
        assert not work.compress(made_of=originals[:1])


class TestDigests:
    """The digests of an archive are known once it is made."""

    @pytest.mark.parametrize("md5", [False, True])
    @pytest.mark.parametrize("pack", PACK.values(), ids=PACK)
    def test_fresh_archive_is_not_read(
        self, work: Work, reads: Reads, pack: Callable[..., bool], *, md5: bool
    ) -> None:
        """All digests of a fresh archive, MD5 where it was asked for, cost no read of it."""
        assert pack(work, md5=md5)
        found = work.cache.digest(work.target, md5=md5)
        data = work.target.read_bytes()
        assert "out.zip" not in reads.names
        assert digest_bytes(data) == replace(found, md5="")
        assert found.md5 == (hashlib.md5(data).hexdigest() if md5 else "")
        assert found.crc32 == f"{zlib.crc32(data):08x}"

    @pytest.mark.parametrize("pack", PACK.values(), ids=PACK)
    def test_sources_are_read_once(
        self, work: Work, reads: Reads, pack: Callable[..., bool]
    ) -> None:
        """Packing asks for the digests of each source before and after; they cost one read."""
        pack(work, md5=True)
        assert len(reads.names) == len(set(reads.names))

    def test_next_process_knows_them_too(self, work: Work, tmp_path: Path, reads: Reads) -> None:
        """The digests of a fresh archive are kept for the next process."""
        work.compress(md5=True)
        cache = DigestCache(tmp_path / "digests.sqlite", read_only=True)
        md5 = hashlib.md5(work.target.read_bytes()).hexdigest()
        assert cache.digest(work.target, md5=True).md5 == md5
        assert "out.zip" not in reads.names

    def test_md5_that_was_not_asked_for(self, work: Work, reads: Reads) -> None:
        """MD5 of an archive that was made without it is had by a read."""
        work.compress()
        md5 = hashlib.md5(work.target.read_bytes()).hexdigest()
        assert work.cache.digest(work.target, md5=True).md5 == md5
        assert reads.names.count("out.zip") == 1


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

    @pytest.mark.parametrize("level", deflate.LEVELS)
    @pytest.mark.parametrize("size", [0, 1, len(DATA) - 1, len(DATA) + 1, 2 * len(DATA)])
    def test_source_that_shrinks_or_grows(
        self, work: Work, monkeypatch: pytest.MonkeyPatch, level: str, size: int
    ) -> None:
        """A source of another length than at first is refused by its name; nothing is left."""
        small = replace(deflate.LEVELS[level], block_bytes=4096)
        monkeypatch.setitem(deflate.LEVELS, level, small)
        progress = At(1, lambda: os.truncate(work.packed, size))
        with pytest.raises(PrepareError, match=r"a\.parquet: expected a file at rest"):
            work.compress(level, progress=progress)
        assert work.listing() == []

    def test_copy_that_changes(self, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
        """A copy that changes while it is packed is refused although its originals rest."""
        small = replace(deflate.LEVELS["fast"], block_bytes=4096)
        monkeypatch.setitem(deflate.LEVELS, "fast", small)
        progress = At(1, lambda: os.truncate(work.packed, 9))
        with pytest.raises(PrepareError, match=r"a\.parquet: expected a file at rest"):
            work.compress("fast", made_of=[work.source / "b.parquet"], progress=progress)
        assert work.listing() == []

    def test_originals_that_change(self, work: Work) -> None:
        """A copy whose originals change while it is packed is refused."""
        progress = At(1, lambda: change(work.source / "b.parquet", b"another build"))
        with pytest.raises(PrepareError, match=r"a\.parquet: expected a file at rest"):
            work.compress(made_of=[work.source / "b.parquet"], progress=progress)
        assert work.listing() == []

    def test_member_that_changes_before_it_is_packed(self, work: Work) -> None:
        """A member of other bytes than were digested is refused by its name; nothing is left."""
        progress = At(1, lambda: change(work.source / "b.parquet", MEMBERS["b.parquet"][::-1]))
        with pytest.raises(LadingError, match=r"b\.parquet: expected a file at rest"):
            work.bundle(progress=progress)
        assert work.listing() == []

    def test_removed_member(self, work: Work) -> None:
        """A member that is removed while another is packed is an error; nothing is left."""
        progress = At(1, (work.source / "datapackage.json").unlink)
        with pytest.raises(LadingError, match="No such file or directory"):
            work.bundle(progress=progress)
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


def test_progress_tells_every_byte_of_one_file(work: Work) -> None:
    """The bytes announced for a file that is compressed are those told, and it is named."""
    told = Told()
    work.compress(progress=told)
    assert told.size == told.moved == len(DATA)
    assert told.names == ["a.parquet"]


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
