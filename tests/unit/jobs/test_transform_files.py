"""Whole files of bronze: read as they are, or told as a whole; and when a run refuses."""

import gzip
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lading.errors import (
    BadDataError,
    Interrupted,
    MisconfiguredError,
    StoreError,
    UnavailableError,
)
from lading.jobs.builtin.transform import JOB
from lading.jobs.transform import silver
from lading.jobs.transform.engine import Engine, EngineError
from lading.jobs.transform.schema import Schema
from lading.jobs.transform.sources import list_bronze
from lading.storage import Body, Entry, MemoryStore
from lading.storage.memory import memory_store
from tests.unit.jobs.bronze_files import Bronze, key_of, letters
from tests.unit.jobs.one_run import QuickRun, call, inputs_of, letters_of, make_run

SCHEMA: dict[str, Any] = {"columns": [{"name": "id", "type": "int64"}, {"name": "name"}]}
GOOD = "id,name\n1,a\n2,b\n"
LATE = b"id,name\n" + b"1,0123456789abcdef\n" * 60_000 + b"2,\xe9\n"


@pytest.fixture
def bronze(tmp_path: Path) -> Bronze:
    """A source with one good file."""
    made = Bronze(tmp_path, SCHEMA)
    made.write("good.csv", GOOD)
    return made


def ids(bronze: Bronze) -> list[int]:
    """Return the ids of silver, sorted."""
    return sorted(row["id"] for row in bronze.rows())


class TestBadFiles:
    """A file that cannot be read is one dead letter; the others go on."""

    @pytest.mark.parametrize(
        ("key", "data", "error_class", "message"),
        [
            ("x.csv", b"", "EmptyFile", "expected csv text, got 0 bytes"),
            (
                "x.csv.gz",
                gzip.compress(b"", mtime=0),
                "EmptyFile",
                "expected csv text, got 0 bytes",
            ),
            ("x.csv", b"\n\r\n\n", "EmptyFile", "expected a header, got empty lines"),
            ("x.csv", b"PK\x03\x04\0\0", "BinaryFile", "expected csv text, got binary data"),
            ("x.csv", bytes(range(1, 256)), "BinaryFile", "expected csv text, got binary"),
            ("x.csv", b"id,n\xffme\n1,a\n", "WrongEncoding", "expected text in utf-8, got: "),
            ("x.csv", LATE, "WrongEncoding", "expected text in utf-8, got other bytes"),
            ("x.csv.gz", b"id,name\n1,a\n", "UnreadableFile", "expected gzip data, got: "),
            ("x.csv.zst", b"id,name\n1,a\n", "UnreadableFile", "expected zstd data, got: "),
            (
                "x.csv",
                b"id,title,nom\n1,a,b\n",
                "MissingColumns",
                "expected the columns name in it, got: id, title, nom",
            ),
            (
                "x.csv",
                b"id,name,name\n1,a,b\n",
                "MissingColumns",
                "expected the columns name once, got: id, name, name",
            ),
        ],
    )
    def test_is_one_letter(
        self, bronze: Bronze, key: str, data: bytes, error_class: str, message: str
    ) -> None:
        """It is told with its class and its URL."""
        bronze.write(key, data)
        run = bronze.do("--max-bad", "0.5")
        (letter,) = letters_of(run)
        assert letter.item == f"{bronze.source}/{key}"
        assert (letter.row, letter.error_class) == (None, error_class)
        assert letter.message.startswith(message)
        assert letter.reference == f"{bronze.source}/{key}"
        assert ids(bronze) == [1, 2]
        assert (run.counts["done"], run.counts["failed"]) == (1, 1)

    @pytest.mark.parametrize("kind", ["gz", "zst"])
    def test_damaged_after_its_beginning(self, bronze: Bronze, kind: str) -> None:
        """A compressed file that breaks off late takes no other with it, and leaves no row."""
        text = "id,name\n" + "".join(f"{number},{number * 7919}\n" for number in range(30_000))
        whole = gzip.compress(text.encode(), 1)
        if kind == "zst":
            whole = pa.compress(text.encode(), codec="zstd", asbytes=True)
        bronze.write(f"a.csv.{kind}", whole[: len(whole) * 3 // 4])
        if kind == "gz":
            flipped = bytearray(whole)
            flipped[len(whole) // 2] ^= 1
            bronze.write("c.csv.gz", bytes(flipped))
        bronze.write(f"b.csv.{kind}", whole)
        run = bronze.do("--max-bad", "0.5")
        letter, *more = letters_of(run)
        assert [key_of(each.item) for each in more] == ["c.csv.gz"] * (kind == "gz")
        assert (key_of(letter.item), letter.error_class) == (f"a.csv.{kind}", "UnreadableFile")
        assert str(bronze.base) not in letter.message
        assert len(bronze.rows()) == 30_002

    def test_columns_of_which_no_file_has_one(self, bronze: Bronze) -> None:
        """A schema that names columns that no file has is wrong, not the files."""
        bronze.set_schema({"columns": [{"name": "id"}, {"name": "nom"}, {"name": "prenom"}]})
        run = bronze.run()
        with pytest.raises(MisconfiguredError, match=r"got nom, prenom; found: id, name"):
            call(JOB, run)
        assert letters(run) == []

    def test_are_good_again(self, bronze: Bronze) -> None:
        """A file that was bad and is good now has no letters any more."""
        bronze.write("x.csv", "id,name\n1,a,b\n")
        bronze.write("y.csv", "")
        assert len(letters(bronze.do("--max-bad", "1"))) == 2
        bronze.write("x.csv", GOOD)
        bronze.write("y.csv", GOOD)
        assert letters(bronze.do(number=2)) == []


class TestReading:
    """What a schema says of the text."""

    @pytest.mark.parametrize(
        ("settings", "data"),
        [
            ({"delimiter": ";", "quote": "'"}, b"id;name\n1;'a;''b'\n"),
            ({"delimiter": "\t", "quote": ""}, b"id\tname\n1\ta;'b\n"),
            ({"encoding": "cp1252"}, "id,name\n1,\x80 é\n".encode("cp1252", "replace")),
            ({"encoding": "utf-16"}, 'id,name\n1,"a;\'b"\n'.encode("utf-16")),
            ({}, "\ufeffid,name\r\n1,a;'b\r\n".encode()),
            ({}, b"\n\n id ,name\n1,a;'b"),
            ({}, b"id,name\r1,a;'b\r"),
        ],
    )  # fmt: skip
    def test_kinds_of_text(self, tmp_path: Path, settings: dict[str, Any], data: bytes) -> None:
        """Delimiters, quotes, encodings and ends of lines are read as the schema says."""
        bronze = Bronze(tmp_path, {**SCHEMA, **settings})
        bronze.write("a.csv", data)
        assert letters(bronze.do()) == []
        expected = "? é" if settings.get("encoding") == "cp1252" else "a;'b"
        assert bronze.rows() == [{"id": 1, "name": expected}]

    def test_without_a_header(self, tmp_path: Path) -> None:
        """Columns without names are named by their numbers; a row has the number 1 at once."""
        columns = [{"name": "id", "type": "int64", "from": "2"}, {"name": "name", "from": "1"}]
        bronze = Bronze(tmp_path, {"header": False, "columns": columns})
        bronze.write("a.csv", "a,x\nb,2\nc\nd,4\n")
        run = bronze.do("--max-bad", "1")
        assert bronze.rows() == [{"id": 2, "name": "b"}, {"id": 4, "name": "d"}]
        assert letters(run) == [
            ("a.csv", 1, "id: expected int64, got 'x'"),
            ("a.csv", 3, "expected 2 fields, got fewer"),
        ]

    def test_columns_in_another_order(self, bronze: Bronze) -> None:
        """Files may have their columns in any order, and more of them."""
        bronze.write("b.csv", "more,name,id\n,c,3\n")
        bronze.write("c.csv", GOOD.replace("1", "4").replace("2", "5"))
        bronze.do()
        assert ids(bronze) == [1, 2, 3, 4, 5]

    def test_mixed_ends_of_lines(self, bronze: Bronze) -> None:
        """A file glued together from several is read; its rows keep their numbers."""
        bronze.write("m.csv", "id,name\n3,c\r\n4,d\n5\r\nx,e\n")
        run = bronze.do("--max-bad", "1")
        assert ids(bronze) == [1, 2, 3, 4]
        assert letters(run) == [
            ("m.csv", 3, "expected 2 fields, got fewer"),
            ("m.csv", 4, "id: expected int64, got 'x'"),
        ]

    def test_a_quote_that_never_ends(self, bronze: Bronze) -> None:
        """What follows a quote that never ends is one bad row, kept whole."""
        bronze.write("q.csv", 'id,name\n3,c\n4,"d\n5,e\n')
        run = bronze.do("--max-bad", "1")
        assert ids(bronze) == [1, 2, 3]
        (letter,) = letters_of(run)
        assert (letter.row, (letter.payload or "").rstrip("\n")) == (2, '4,"d\n5,e')

    def test_names_mean_nothing(self, bronze: Bronze) -> None:
        """Keys may hold what means something in patterns and queries."""
        bronze.write("it's/[a-z]*{1}?.csv", "id,name\n3,c\n4\n")
        run = bronze.do("--max-bad", "1")
        assert ids(bronze) == [1, 2, 3]
        assert letters(run) == [("it's/[a-z]*{1}?.csv", 2, "expected 2 fields, got fewer")]

    def test_ignored_columns_are_told_once(
        self, bronze: Bronze, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Columns that the schema does not name are left out, which is said in one line."""
        caplog.set_level("INFO")
        for number in range(3):
            bronze.write(f"{number}.csv", "id,name,b,c\n1,a,,\n")
        bronze.do()
        told = [each.getMessage() for each in caplog.records if "left out" in each.getMessage()]
        assert told == ["columns that the schema does not name are left out: b, c"]


class TestSource:
    """Where bronze is, and which objects are of it."""

    def test_patterns(self, bronze: Bronze) -> None:
        """A pattern is of the whole key or of its last part; what Lading keeps is no bronze."""
        bronze.write("sub/b.csv", GOOD)
        bronze.write("sub/c.txt", GOOD)
        bronze.write(".lading/audit/x.csv", GOOD)
        store = bronze.run().open_store(str(bronze.source))
        keys = {each: [e.key for e in list_bronze(store, each)] for each in ("*.csv", "sub/*")}
        assert keys == {"*.csv": ["good.csv", "sub/b.csv"], "sub/*": ["sub/b.csv", "sub/c.txt"]}

    def test_another_store(self, bronze: Bronze) -> None:
        """Objects of a remote store are brought here, and silver is written to another."""
        source, target = (memory_store(f"memory://{bronze.base}/{each}") for each in "ab")
        source.put("x/1.csv.gz", Body.of_bytes(gzip.compress(GOOD.encode())))
        argv = ["--schema", "plants.json", "--source", source.url, "--destination", target.url]
        run = make_run("transform", JOB, argv, base=bronze.base, store=MemoryStore())
        assert call(JOB, run) == 0
        assert [each.key for each in target.list()] == ["_silver.json", "part-00000.parquet"]
        assert {each.key for each in run.outputs} == {"_silver.json", "part-00000.parquet"}

    def test_inputs(self, bronze: Bronze) -> None:
        """What identifies a run's inputs is the schema, its lookups and every object."""
        lookup = {"file": "t.csv", "on": {"name": "k"}}
        (bronze.base / "t.csv").write_text("k\na\nb\n")
        bronze.set_schema({**SCHEMA, "lookups": [lookup]})
        run = bronze.run()
        assert [each.key for each in inputs_of(JOB, run)] == ["plants.json", "t.csv", "good.csv"]
        call(JOB, run)
        assert run.inputs == inputs_of(JOB, run)

    @pytest.mark.parametrize(
        ("error", "expected"),
        [(StoreError("no"), MisconfiguredError), (UnavailableError("no"), UnavailableError)],
    )
    def test_a_source_that_cannot_be_listed(
        self, error: StoreError, expected: type[Exception]
    ) -> None:
        """A bucket that is missing is a setting; one that does not answer may yet."""

        class Broken(MemoryStore):
            def list(self, prefix: str = "") -> list[Entry]:
                del prefix
                raise error

        with pytest.raises(expected):
            list_bronze(Broken(), "*")

    def test_missing_or_empty(self, bronze: Bronze) -> None:
        """No folder is a wrong setting, a folder without objects is bad data, unless allowed."""
        with pytest.raises(BadDataError, match="expected objects that match"):
            call(JOB, bronze.run("--pattern", "*.gz"))
        bronze.do("--pattern", "*.gz", "--allow-empty")
        assert bronze.rows() == []
        assert list(bronze.files()) == ["_silver.json"]
        bronze.source = bronze.base / "none"
        with pytest.raises(MisconfiguredError, match="expected a folder, found none"):
            call(JOB, bronze.run())


class TestTooMuchIsBad:
    """The share that may be bad."""

    def test_rows(self, bronze: Bronze) -> None:
        """Above the share silver stays as it was, and every bad row is a dead letter."""
        bronze.do()
        before = bronze.files()
        bronze.write("x.csv", "id,name\n3,c\nx,d\ny,e\n")
        run = bronze.run("--max-bad", "0.39", number=2)
        with pytest.raises(BadDataError, match=r"at most 39.00% bad rows, got 2 of 5"):
            call(JOB, run)
        assert bronze.files() == before
        assert [row for _, row, _ in letters(run)] == [2, 3]
        bronze.do("--max-bad", "0.4", number=3)
        assert ids(bronze) == [1, 2, 3]

    def test_files(self, bronze: Bronze) -> None:
        """Files count, too, whatever rows they may have had."""
        bronze.write("x.csv", "")
        run = bronze.run("--max-bad", "0.4")
        with pytest.raises(BadDataError, match=r"bad files, got 1 of 2, first x.csv: expected csv"):
            call(JOB, run)
        assert not bronze.files()
        assert len(letters(run)) == 1


class TestEngine:
    """The engine's limits, and how it is stopped."""

    @pytest.mark.parametrize(
        ("option", "value", "expected"),
        [("--memory", "much", "--memory: expected an amount such as 4GB, got 'much'")],
    )
    def test_wrong_limits(self, bronze: Bronze, option: str, value: str, expected: str) -> None:
        """A limit that is none is told before anything is read."""
        with pytest.raises(MisconfiguredError, match=expected):
            call(JOB, bronze.run(option, value))

    def test_a_statement_is_ended(self, tmp_path: Path) -> None:
        """A run that is asked to end does not wait for the engine."""
        calls = []

        def check() -> None:
            calls.append(1)
            if len(calls) > 1:
                raise Interrupted(15)

        begun = threading.active_count()
        with Engine(tmp_path, check=check) as engine, pytest.raises(Interrupted):
            engine.rows("SELECT count(*) FROM range(10000000000000) t(i) WHERE hash(i) = 7")
        assert threading.active_count() == begun

    def test_too_little_memory(self, tmp_path: Path) -> None:
        """Memory that is not enough is a setting, with a hint at the option."""
        with (
            Engine(tmp_path, memory="10MB", threads=1) as engine,
            pytest.raises(MisconfiguredError, match="--memory"),
        ):
            engine.rows("SELECT list(i) FROM range(30000000) t(i)")

    @pytest.mark.slow
    def test_spills(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Silver is the same where the table is larger than the memory."""
        monkeypatch.setattr(silver, "_PART_BYTES", 1 << 20)
        files = {}
        for memory in ("1GB", "80MB"):
            (tmp_path / memory).mkdir()
            bronze = Bronze(tmp_path / memory, {**SCHEMA, "key": ["id"]})
            text = "".join(f"{number},{number * 104729:0100}\n" for number in range(800_000))
            bronze.write("a.csv", "id,name\n" + text)
            bronze.do("--memory", memory, "--threads", "2")
            files[memory] = bronze.files()
        assert files["1GB"] == files["80MB"]

    def test_refusals(self, tmp_path: Path) -> None:
        """What the engine refuses is told in one line, with all that it said beside."""
        with Engine(tmp_path) as engine, pytest.raises(EngineError) as caught:
            engine.rows("SELECT nothing")
        assert "\n" not in str(caught.value)
        assert "LINE 1" in caught.value.text


def test_only_what_is_needed_is_kept() -> None:
    """The default name of a schema is that of its file, so that a model alone has none."""
    assert Schema.model_validate({"columns": [{"name": "a"}]}).name == ""


def test_a_run_is_cheap_to_describe(bronze: Bronze) -> None:
    """A run counts rows, bad rows, duplicates and files."""
    bronze.set_schema({**SCHEMA, "key": ["name"]})
    bronze.write("b.csv", GOOD + "x,y\n")
    run: QuickRun = bronze.do("--max-bad", "1")
    counts = {"rows": 5, "bad_rows": 1, "dead_letters": 1, "duplicates": 2, "done": 2}
    assert counts.items() <= run.counts.items()
