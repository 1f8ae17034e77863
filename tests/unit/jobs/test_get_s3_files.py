"""Files of an agency copied between folders and between buckets."""

import io
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lading.config.models import Destination
from lading.errors import (
    BadDataError,
    JobError,
    LadingError,
    MisconfiguredError,
    StoreError,
)
from lading.jobs.builtin import get_s3_files as module
from lading.jobs.builtin.get_s3_files import JOB
from lading.jobs.registry import load_registry
from lading.jobs.retries import exit_code_of
from lading.jobs.running import Order, Telling, run_job
from lading.jobs.settings import JobSettings
from lading.release.objects import digest_bytes
from lading.storage import Body, LocalStore
from lading.storage.open import _open_cloud
from tests.contract.clouds import s3_server
from tests.fakes.s3 import FakeS3
from tests.unit.jobs.one_run import QuickRun, call, inputs_of, letters_of, make_run

READS = {"GetObject"}
BODIES = {"PutObject", "UploadPart"}


class Folders:
    """Two folders, and runs between them."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.source = base / "from"
        self.destination = base / "to"
        self.source.mkdir()

    def write(self, key: str, data: bytes = b"data") -> Path:
        """Write a file of the source."""
        path = self.source / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def run(self, *more: str, agency: str = "a1", only: list[str] | None = None) -> QuickRun:
        """Make a run."""
        argv = ["--agency-id", agency, "--source-bucket", str(self.source)]
        argv += ["--destination-bucket", str(self.destination), *more]
        return make_run("get_s3_files", JOB, argv, base=self.base, only=only)

    def do(self, *more: str, agency: str = "a1") -> QuickRun:
        """Run, which is to go well."""
        run = self.run(*more, agency=agency)
        assert call(JOB, run) == 0
        return run

    def copies(self) -> dict[str, bytes]:
        """Return what stands at the destination, without what Lading keeps."""
        store = LocalStore(self.destination)
        keys = [each.key for each in store.list() if not each.key.startswith(".lading/")]
        return {key: store.get(key) for key in keys}


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """Two folders."""
    return Folders(tmp_path)


class TestFolders:
    """What is copied, and what is not."""

    def test_copies(self, folders: Folders) -> None:
        """An agency's files are copied, those of 0 bytes among them, and no others'."""
        folders.write("a1/x.csv", b"x")
        folders.write("a1/deep/y.csv", b"yy")
        folders.write("a1/empty.csv", b"")
        folders.write("a10/z.csv", b"not ours")
        run = folders.do()

        assert folders.copies() == {"a1/x.csv": b"x", "a1/deep/y.csv": b"yy", "a1/empty.csv": b""}
        assert run.counts["done"] == 3
        assert {each.key: each.digest.crc32c for each in run.outputs} == {
            key: digest_bytes(data).crc32c for key, data in folders.copies().items()
        }
        assert sorted(each.key for each in run.inputs) == sorted(folders.copies())

    def test_inputs(self, folders: Folders) -> None:
        """Inputs are the agency's objects with their versions, so that a change is another run."""
        folders.write("a1/x.csv", b"x")
        folders.write("a2/x.csv", b"x")
        first = inputs_of(JOB, folders.run())
        folders.write("a1/x.csv", b"longer")
        second = inputs_of(JOB, folders.run())

        assert [each.key for each in first] == ["a1/x.csv"]
        assert first[0].version
        assert first[0].version != second[0].version

    def test_prefixes_and_pattern(self, folders: Folders) -> None:
        """Prefixes may be others, and a pattern chooses among the files."""
        folders.write("exports/a1/x.csv", b"x")
        folders.write("exports/a1/x.log", b"x")
        folders.do(
            "--source-prefix", "exports/{agency_id}", "--destination-prefix", "bronze/{agency_id}/",
            "--pattern", "*.csv",
        )  # fmt: skip

        assert folders.copies() == {"bronze/a1/x.csv": b"x"}

    def test_control_is_no_data(self, folders: Folders) -> None:
        """What Lading keeps in a bucket is not copied as data, wherever it would go."""
        folders.write(".lading/jobs/x.json", b"{}")
        folders.write("x.csv", b"x")
        folders.do("--source-prefix", "", "--destination-prefix", "")

        assert folders.copies() == {"x.csv": b"x"}
        assert not (folders.destination / ".lading/jobs/x.json").exists()

        folders.do("--source-prefix", "", "--destination-prefix", "copy")
        assert sorted(folders.copies()) == ["copy/x.csv", "x.csv"]

        folders.write("in/.lading/jobs/x.json", b"{}")
        folders.write("in/y.csv", b"y")
        folders.do("--source-prefix", "in", "--destination-prefix", "")
        assert sorted(folders.copies()) == ["copy/x.csv", "x.csv", "y.csv"]
        assert not (folders.destination / ".lading/jobs/x.json").exists()

    def test_incremental(self, folders: Folders) -> None:
        """What stands is skipped, what is new or changed is copied, and all are outputs."""
        folders.write("a1/x.csv", b"x")
        folders.write("a1/y.csv", b"y")
        folders.do()
        before = (folders.destination / "a1/x.csv").stat().st_mtime_ns
        folders.write("a1/y.csv", b"changed")
        folders.write("a1/z.csv", b"z")
        run = folders.do()

        assert run.counts == {"skipped": 1, "done": 2, "bytes": 8}
        assert (folders.destination / "a1/x.csv").stat().st_mtime_ns == before
        assert folders.copies()["a1/y.csv"] == b"changed"
        assert len(run.outputs) == 3

    def test_unchanged_reads_nothing(
        self, folders: Folders, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A run with nothing to do asks nothing of any object, and leaves its table as it is."""
        folders.write("a1/x.csv", b"x")
        folders.do()
        [table] = (folders.destination / ".lading/jobs/get_s3_files/state").iterdir()
        before = table.stat().st_mtime_ns
        digested: list[str] = []
        monkeypatch.setattr(LocalStore, "digest", lambda _, key: digested.append(key))

        assert folders.do().counts == {"skipped": 1, "bytes": 0}
        assert digested == []
        assert table.stat().st_mtime_ns == before

    @pytest.mark.parametrize("data", [None, b"no table", b'{"key": 1}\n', b"[]\n"])
    def test_lost_table(self, folders: Folders, data: bytes | None) -> None:
        """Without its table a run compares digests, copies nothing, and has a table again."""
        folders.write("a1/x.csv", b"x")
        folders.do()
        [table] = (folders.destination / ".lading/jobs/get_s3_files/state").iterdir()
        whole = table.read_bytes()
        table.unlink()
        if data is not None:
            table.write_bytes(data)
        before = (folders.destination / "a1/x.csv").stat().st_mtime_ns
        run = folders.do()

        assert run.counts["skipped"] == 1
        assert (folders.destination / "a1/x.csv").stat().st_mtime_ns == before
        assert table.read_bytes() == whole

    @pytest.mark.parametrize("damage", ["other bytes", "gone"])
    def test_damaged_copy(self, folders: Folders, damage: str) -> None:
        """A copy that was changed or deleted is made again."""
        folders.write("a1/x.csv", b"x")
        folders.do()
        copy = folders.destination / "a1/x.csv"
        copy.unlink()
        if damage == "other bytes":
            copy.write_bytes(b"?")

        assert folders.do().counts["done"] == 1
        assert copy.read_bytes() == b"x"

    def test_gone_original_stays(self, folders: Folders) -> None:
        """A copy whose original is gone stays, unless it was asked to delete it."""
        folders.write("a1/x.csv", b"x")
        folders.write("a1/y.csv", b"y").unlink()
        folders.write("a1/y.csv", b"y")
        folders.do()
        (folders.source / "a1/y.csv").unlink()
        folders.do()
        assert sorted(folders.copies()) == ["a1/x.csv", "a1/y.csv"]

        run = folders.do("--delete")
        assert sorted(folders.copies()) == ["a1/x.csv"]
        assert run.counts["deleted"] == 1
        assert "deleted" not in folders.do("--delete").counts

    def test_delete_only_own(self, folders: Folders) -> None:
        """Only copies that were made here are deleted, and none that somebody replaced."""
        folders.write("a1/x.csv", b"x")
        folders.write("a1/y.csv", b"y")
        folders.do()
        (folders.destination / "a1/theirs.csv").write_bytes(b"t")
        (folders.destination / "a1/y.csv").write_bytes(b"theirs, too")
        (folders.source / "a1/y.csv").unlink()
        folders.do("--delete")

        assert sorted(folders.copies()) == ["a1/theirs.csv", "a1/x.csv", "a1/y.csv"]

    def test_delete_all(self, folders: Folders) -> None:
        """An agency without files loses its copies only where that is said to be no error."""
        path = folders.write("a1/x.csv", b"x")
        folders.do()
        path.unlink()
        with pytest.raises(BadDataError):
            folders.do("--delete")
        assert sorted(folders.copies()) == ["a1/x.csv"]

        folders.do("--delete", "--allow-empty")
        assert folders.copies() == {}

    def test_retry(self, folders: Folders) -> None:
        """A retry copies only what it names, deletes nothing, and keeps the rest in the table."""
        folders.write("a1/x.csv", b"x")
        folders.write("a1/y.csv", b"y")
        folders.do()
        name = f"{folders.source.resolve()}/a1/x.csv"
        (folders.destination / "a1/x.csv").unlink()
        (folders.source / "a1/y.csv").unlink()
        run = folders.run("--delete", only=[name])

        assert call(JOB, run) == 0
        assert run.counts["done"] == 1
        assert sorted(folders.copies()) == ["a1/x.csv", "a1/y.csv"]
        assert folders.do("--delete").counts["deleted"] == 1


class TestChanges:
    """A source that does not stand still."""

    def test_replaced(self, folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
        """An object that is replaced while it is copied is copied as it is now, at the next try."""
        folders.write("a1/x.csv", b"first")
        original = LocalStore.copy
        seen: list[object] = []

        def copy(store: LocalStore, source_key: str, key: str, **options: object) -> object:
            if not seen:
                folders.write("a1/x.csv", b"later")
            seen.append(key)
            return original(store, source_key, key, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(LocalStore, "copy", copy)
        run = folders.do()

        assert len(seen) == 2
        assert folders.copies() == {"a1/x.csv": b"later"}
        assert run.outputs[0].crc32c == digest_bytes(b"later").crc32c

    def test_always_replaced(self, folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
        """One that never stands still is left for the next run, and is no dead letter."""
        folders.write("a1/x.csv", b"0")
        folders.write("a1/y.csv", b"y")
        original, numbers = LocalStore.copy, iter(range(10, 100))

        def copy(store: LocalStore, source_key: str, key: str, **options: object) -> object:
            if key == "a1/x.csv":
                folders.write("a1/x.csv", str(next(numbers)).encode())
            return original(store, source_key, key, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(LocalStore, "copy", copy)
        run = folders.run()

        assert call(JOB, run) == 75
        assert folders.copies() == {"a1/y.csv": b"y"}
        assert letters_of(run) == []

    @pytest.mark.parametrize("moment", ["listed", "digested"])
    def test_vanishes(self, folders: Folders, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
        """An object that is gone since it was listed is no failure."""
        path = folders.write("a1/x.csv", b"x")
        folders.write("a1/y.csv", b"y")
        name = {"listed": "stat", "digested": "digest"}[moment]
        original: Callable[..., object] = getattr(LocalStore, name)

        def vanish(store: LocalStore, key: str) -> object:
            path.unlink(missing_ok=True)
            return original(store, key)

        monkeypatch.setattr(LocalStore, name, vanish)
        run = folders.do()

        assert folders.copies() == {"a1/y.csv": b"y"}
        assert [each.key for each in run.outputs] == ["a1/y.csv"]

    def test_lying_store(self, folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
        """A copy that is not found when it is read back is no copy."""
        folders.write("a1/x.csv", b"x")
        original = LocalStore.stat

        def stat(store: LocalStore, key: str) -> object:
            hidden = store.url == str(folders.destination) and key == "a1/x.csv"
            return None if hidden else original(store, key)

        monkeypatch.setattr(LocalStore, "stat", stat)
        run = folders.run()

        assert call(JOB, run) == 75
        assert run.outputs == []

    def test_one_refused(self, folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
        """One object that cannot be copied while others can is a dead letter, and stops nobody."""
        for name in ("a", "b", "c"):
            folders.write(f"a1/{name}.csv", name.encode())
        original = LocalStore.copy

        def copy(store: LocalStore, source_key: str, key: str, **options: object) -> object:
            if key == "a1/b.csv":
                raise StoreError("a1/b.csv: InvalidObjectState")
            return original(store, source_key, key, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(LocalStore, "copy", copy)
        run = folders.run("--concurrency", "1")

        assert call(JOB, run) == 65
        assert sorted(folders.copies()) == ["a1/a.csv", "a1/c.csv"]
        assert [each.item for each in letters_of(run)] == [f"{folders.source}/a1/b.csv"]

        monkeypatch.undo()
        folders.do()
        assert letters_of(run) == []

    def test_tolerated(self, folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
        """So many may fail as was said."""
        for name in ("a", "b"):
            folders.write(f"a1/{name}.csv", name.encode())
        original = LocalStore.copy

        def copy(store: LocalStore, source_key: str, key: str, **options: object) -> object:
            if key == "a1/b.csv":
                raise BadDataError("no")
            return original(store, source_key, key, **options)  # type: ignore[arg-type]

        folders.write("a1/gone.csv", b"g")
        folders.do()
        (folders.source / "a1/gone.csv").unlink()
        folders.write("a1/b.csv", b"changed")
        monkeypatch.setattr(LocalStore, "copy", copy)
        folders.do("--max-failed", "0.5", "--delete")

        assert "a1/gone.csv" in folders.copies(), "nothing is deleted by half a run"

    def test_crash_keeps_table(self, folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
        """What was copied before a run broke is remembered."""
        folders.write("a1/a.csv", b"a")
        folders.write("a1/b.csv", b"b")
        original = LocalStore.copy

        def copy(store: LocalStore, source_key: str, key: str, **options: object) -> object:
            if key == "a1/b.csv":
                raise MisconfiguredError("stop here")
            return original(store, source_key, key, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(LocalStore, "copy", copy)
        with pytest.raises(MisconfiguredError, match="stop here"):
            call(JOB, folders.run("--concurrency", "1"))
        [table] = (folders.destination / ".lading/jobs/get_s3_files/state").iterdir()

        assert b'"key":"a1/a.csv"' in table.read_bytes()


class TestWhole:
    """The job as it is run: with marker, trail and lock."""

    def test_done_once(self, folders: Folders) -> None:
        """What is done is not done again, until an object changes on either side."""

        def do() -> tuple[int, bool]:
            outcome = run_job(
                load_registry((), folders.base).find("get_s3_files"),
                Order(argv=folders.run().argv),
                JobSettings(base=folders.base),
                Telling(out=io.StringIO(), style="text"),
            )
            return outcome.exit_code, outcome.was_done

        folders.write("a1/x.csv", b"x")
        assert [do(), do()] == [(0, False), (0, True)]
        folders.write("a1/y.csv", b"y")
        assert [do(), do()] == [(0, False), (0, True)]
        (folders.destination / "a1/x.csv").write_bytes(b"?")
        assert [do(), do()] == [(0, False), (0, True)]
        assert folders.copies() == {"a1/x.csv": b"x", "a1/y.csv": b"y"}


class TestBadInput:
    """What is refused, and how."""

    @pytest.mark.parametrize(
        "agency", ["", "a/b", "..", "a..b", ".lading", "a\\b", "{x}", "a\nb", " a"]
    )
    def test_agency(self, folders: Folders, agency: str) -> None:
        """An id that would be another place is no id."""
        with pytest.raises(MisconfiguredError, match=r"--agency-id: expected an id without '/'"):
            folders.run(agency=agency)

    @pytest.mark.parametrize("prefix", ["../x", "/x", "a//b", "a/./b"])
    def test_prefix(self, folders: Folders, prefix: str) -> None:
        """A prefix outside of the bucket is none."""
        with pytest.raises(MisconfiguredError, match="--source-prefix: expected a relative prefix"):
            folders.run("--source-prefix", prefix)

    def test_empty_prefix(self, folders: Folders) -> None:
        """No files are bad data, told with the place, and no error where that was said."""
        folders.write("a2/x.csv")
        for act in (lambda run: call(JOB, run), lambda run: inputs_of(JOB, run)):
            with pytest.raises(BadDataError) as caught:
                act(folders.run())
            place = f"{folders.source}/a1/"
            assert str(caught.value).startswith(f"{place}: expected objects, found none; is it")

        assert folders.do("--allow-empty").counts == {}

    def test_nothing_fits(self, folders: Folders) -> None:
        """No files that fit the pattern are bad data, too."""
        folders.write("a1/x.csv")
        with pytest.raises(BadDataError, match=r"expected objects that fit '\*.txt', found none"):
            call(JOB, folders.run("--pattern", "*.txt"))

    def test_missing_folder(self, folders: Folders) -> None:
        """A source that does not exist is a wrong setting, even where it may be empty."""
        folders.source.rmdir()
        for act in (lambda run: call(JOB, run), lambda run: inputs_of(JOB, run)):
            with pytest.raises(MisconfiguredError, match=r"from: expected a folder, found none"):
                act(folders.run("--allow-empty"))

    @pytest.mark.parametrize(
        ("source", "destination"),
        [("{agency_id}/", "{agency_id}/"), ("", "copy/"), ("in/", "in/out/"), ("in/x", "in")],
    )
    def test_same_place(self, folders: Folders, source: str, destination: str) -> None:
        """A place is not copied into itself, whatever it is called."""
        folders.write("a1/x.csv")
        link = folders.base / "link"
        link.symlink_to(folders.source)
        folders.destination = link
        run = folders.run("--source-prefix", source, "--destination-prefix", destination)
        with pytest.raises(MisconfiguredError, match="expected a place apart from the source"):
            call(JOB, run)

    def test_two_kinds(self, tmp_path: Path) -> None:
        """No store copies from one of another kind."""
        argv = ["--agency-id", "a1", "--source-bucket", "memory://x"]
        argv += ["--destination-bucket", str(tmp_path / "to")]
        run = make_run("get_s3_files", JOB, argv, base=tmp_path)
        with pytest.raises(MisconfiguredError, match="expected a store of the kind of memory://x"):
            call(JOB, run)

    def test_all_at_once(self, tmp_path: Path) -> None:
        """All that is wrong with arguments is told at once."""
        argv = ["--agency-id", "../x", "--source-bucket", "https://x", "--concurrency", "0"]
        with pytest.raises(MisconfiguredError) as caught:
            make_run("get_s3_files", JOB, argv, base=tmp_path)

        text = str(caught.value)
        for name in ("--agency-id", "--source-bucket", "--destination-bucket", "--concurrency"):
            assert f"get_s3_files: {name}: expected" in text


class Buckets:
    """Two buckets, and runs between them."""

    def __init__(self, server: FakeS3, base: Path) -> None:
        self.server = server
        self.base = base
        for name in ("agencies", "lake"):
            server.create_bucket(name)

    def write(self, key: str, data: bytes) -> None:
        """Put an object with its checksum, as this program and new tools do."""
        store = self._store("agencies")
        store.put(key, Body.of_bytes(data))

    def run(self, *more: str) -> QuickRun:
        """Make a run."""
        argv = ["--agency-id", "a1", "--source-bucket", "agencies"]
        argv += ["--destination-bucket", "s3://lake", *more]
        return make_run("get_s3_files", JOB, argv, base=self.base)

    def do(self, *more: str) -> Counter[str]:
        """Run, which is to go well; return the requests that it took."""
        run = self.run(*more)
        self.server.requests.clear()
        self.server.received_bytes = 0
        _open_cloud.cache_clear()  # as in a process of its own
        assert call(JOB, run) == 0
        return self.server.requests

    def _store(self, name: str):  # type: ignore[no-untyped-def]  # noqa: ANN202
        from lading.storage.s3 import S3Store  # noqa: PLC0415

        return S3Store(f"s3://{name}", Destination(url=f"s3://{name}"))


@pytest.fixture
def buckets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Buckets]:
    """Two buckets of a server that is named by the environment."""
    server = s3_server()
    server.reset()
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    _open_cloud.cache_clear()
    yield Buckets(server, tmp_path)
    server.reset()
    _open_cloud.cache_clear()


class TestBuckets:
    """From one bucket to another."""

    def test_on_the_side_of_the_store(self, buckets: Buckets) -> None:
        """Objects are copied by the store: none of their bytes passes here, either way."""
        data = {f"a1/{number}.csv": os.urandom(20_000) for number in range(3)}
        data["a1/empty.csv"] = b""
        for key, each in data.items():
            buckets.write(key, each)
        requests = buckets.do()

        assert {key: buckets.server.read("lake", key) for key in data} == data
        assert requests["CopyObject"] == 4
        assert requests["GetObject"] == 1, "the table, of which there is none"
        assert requests["PutObject"] == 1, "the table"
        assert buckets.server.received_bytes < 2_000

    def test_media_type(self, buckets: Buckets) -> None:
        """Copies are served as what they are."""
        buckets.write("a1/x.csv", b"x")
        buckets.do()
        found = buckets.server.backend.get_object("lake", "a1/x.csv")

        assert found is not None
        assert found.metadata["Content-Type"].startswith("text/csv")

    def test_incremental(self, buckets: Buckets) -> None:
        """A run over what stands lists, and asks only of what is new."""
        for number in range(25):
            buckets.write(f"a1/{number:02}.csv", str(number).encode())
        buckets.do()
        unchanged = dict(buckets.do())
        buckets.write("a1/new.csv", b"new")
        added = dict(buckets.do())

        # source, destination, dead letters; the table
        assert unchanged == {"ListObjectsV2": 3, "GetObject": 1}
        assert added["CopyObject"] == 1
        assert added["HeadObject"] <= 5
        assert added["GetObject"] <= 2, "of the table"

    def test_lost_table(self, buckets: Buckets) -> None:
        """Without its table a run asks each object for its checksum, and reads and copies none."""
        for number in range(5):
            buckets.write(f"a1/{number}.csv", str(number).encode())
        buckets.do()
        [key] = [each for each in buckets.server.keys("lake") if "/state/" in each]
        buckets.server.backend.delete_object("lake", key)
        requests = buckets.do()

        assert requests["CopyObject"] == 0
        assert requests["GetObject"] == 1, "the table, which is gone"
        assert requests["HeadObject"] <= 11

    def test_without_checksum(self, buckets: Buckets) -> None:
        """An object whose checksum the cloud does not tell is read, and copied by the store."""
        buckets.server.put("agencies", "a1/old.csv", b"old tools")
        requests = buckets.do()

        assert buckets.server.read("lake", "a1/old.csv") == b"old tools"
        assert requests["CopyObject"] == 1
        assert requests["GetObject"] == 2, "the table, of which there is none, and the object once"
        assert buckets.do()["GetObject"] == 1, "of the table"

    def test_replaced(self, buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
        """An object that is replaced between its checksum and its copy is copied as it is now."""
        buckets.write("a1/x.csv", b"first")
        original = module._find_same
        seen: list[object] = []

        def find(*arguments: object) -> object:
            if not seen:
                buckets.write("a1/x.csv", b"later")
            seen.append(1)
            return original(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(module, "_find_same", find)
        requests = buckets.do()

        assert buckets.server.read("lake", "a1/x.csv") == b"later"
        assert requests["HeadObject"] >= 4
        assert len(seen) == 2

    @pytest.mark.parametrize("bucket", ["agencies", "lake"])
    def test_missing_bucket(self, buckets: Buckets, bucket: str) -> None:
        """A bucket that does not exist is a wrong setting, and never an empty one."""
        buckets.server.backend.delete_bucket(bucket)
        if bucket == "lake":
            buckets.write("a1/x.csv", b"x")
        for act in (lambda run: call(JOB, run), lambda run: inputs_of(JOB, run)):
            with pytest.raises(LadingError, match=f"s3://{bucket}/.*NoSuchBucket") as caught:
                act(buckets.run("--allow-empty"))
            assert exit_code_of(caught.value) == 78
            assert "create the bucket" in str(caught.value)

    @pytest.mark.parametrize("operation", ["ListObjectsV2", "CopyObject", "PutObject"])
    def test_denied(self, buckets: Buckets, operation: str) -> None:
        """What is denied for all is a wrong setting, told with the permission that is missing."""
        buckets.write("a1/x.csv", b"x")
        buckets.server.denied = {operation}
        with pytest.raises((JobError, StoreError), match=r"AccessDenied.*allow s3:") as caught:
            call(JOB, buckets.run())

        assert exit_code_of(caught.value) == 78

    def test_read_only_source(self, buckets: Buckets) -> None:
        """Nothing is ever written to the source."""
        buckets.write("a1/x.csv", b"x")
        before = buckets.server.keys("agencies")
        buckets.do("--delete")

        assert buckets.server.keys("agencies") == before

    def test_empty_prefix(self, buckets: Buckets) -> None:
        """An agency without objects is told by its URL."""
        with pytest.raises(
            BadDataError, match=r"^s3://agencies/a1/: expected objects, found none; is it"
        ):
            call(JOB, buckets.run())

    def test_odd_names(self, buckets: Buckets) -> None:
        """A name that no other store could hold is a dead letter; odd ones are copied."""
        odd = "a1/ü b+c&d=e%20'f.csv"
        buckets.write(odd, b"odd")
        buckets.server.put("agencies", "a1/x//y.csv", b"double")
        run = buckets.run()

        assert call(JOB, run) == 65
        assert buckets.server.read("lake", odd) == b"odd"
        assert [each.item for each in letters_of(run)] == ["s3://agencies/a1/x//y.csv"]

    def test_passing_fault(self, buckets: Buckets) -> None:
        """What the service refuses for haste is tried again."""
        buckets.write("a1/x.csv", b"x")
        buckets.server.fail_next("CopyObject", 503)
        began = time.monotonic()
        buckets.do()

        assert time.monotonic() - began < 20
        assert buckets.server.read("lake", "a1/x.csv") == b"x"
