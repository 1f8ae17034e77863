"""Silver: which rows are kept, in which files, and the same bytes every time."""

import gzip
import json
import random
import shutil
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from lading.errors import MisconfiguredError, StoreError
from lading.jobs.builtin.transform import JOB
from lading.jobs.transform import lookups, silver
from lading.jobs.transform.schema import Schema
from lading.jobs.transform.silver import Part, part_key, plan_parts
from lading.storage import LocalStore
from tests.unit.jobs.bronze_files import Bronze
from tests.unit.jobs.one_run import call

SCHEMA: dict[str, Any] = {
    "columns": [
        {"name": "id", "type": "int64"},
        {"name": "day", "type": "date"},
        {"name": "state"},
        {"name": "mwh", "type": "float64"},
    ],
    "key": ["id"],
    "partition_by": ["year(day)", "state"],
}


def write_many(bronze: Bronze, rows: int, files: int) -> None:
    """Write rows with duplicates, of two years and three states."""
    rng = random.Random(7)
    for number in range(files):
        lines = ["id,day,state,mwh"]
        for _ in range(rows):
            day = f"{rng.choice([2023, 2024])}-0{rng.randint(1, 9)}-11"
            state = rng.choice(["CO", "AL", ""])
            lines.append(f"{rng.randint(0, rows * files)},{day},{state},{rng.random()}")
        bronze.write(f"f{number}.csv", "\n".join(lines))


class TestDuplicates:
    """One row a key."""

    ROWS = "id,day,state,mwh\n1,2024-01-02,CO,1\n2,,CO,2\n1,2024-01-03,AL,3\n1,,NY,4\n"

    @pytest.mark.parametrize(
        ("settings", "kept"),
        [
            ({}, 1.0),
            ({"keep": "last"}, 5.0),
            ({"order_by": "day"}, 1.0),
            ({"order_by": "day", "keep": "last"}, 5.0),
            ({"order_by": "mwh", "keep": "last"}, 9.0),
            ({"order_by": "state"}, 3.0),
        ],
    )
    def test_which_is_kept(self, tmp_path: Path, settings: dict[str, Any], kept: float) -> None:
        """The first or last by a column, then file and row; one without a value comes last."""
        bronze = Bronze(tmp_path, {**SCHEMA, "partition_by": [], **settings})
        bronze.write("a.csv", self.ROWS)
        # of another shape, so that it is read last
        bronze.write("b.csv", "state,id,day,mwh\nCO,1,2024-01-02,9\n")
        bronze.write("c.csv", "id,day,state,mwh\n1,2024-01-03,CO,5\n")
        run = bronze.do()
        assert [row["mwh"] for row in bronze.rows() if row["id"] == 1] == [kept]
        assert run.counts["duplicates"] == 4
        listed = json.loads(bronze.files()["_silver.json"])["files"]
        assert [each["rows"] for each in listed] == [len(bronze.rows())] == [2]

    def test_bad_rows_are_no_duplicates(self, tmp_path: Path) -> None:
        """A bad row does not push a good one out; a row without a key is bad."""
        bronze = Bronze(tmp_path, {**SCHEMA, "partition_by": []})
        bronze.write("a.csv", "id,day,state,mwh\n1,,,bad\n1,,,2\n,,,3\n,,,4\n")
        run = bronze.do("--max-bad", "1")
        assert [row["mwh"] for row in bronze.rows()] == [2.0]
        assert (run.counts["duplicates"], run.counts["bad_rows"]) == (0, 3)


class TestSameBytes:
    """Equal inputs give equal bytes."""

    @pytest.mark.parametrize("sort_above", [0, 32])
    def test_with_any_threads(
        self, tmp_path: Path, sort_above: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Numbers of threads, and the order in which files are listed, make no difference."""
        monkeypatch.setattr(silver, "_SORT_ABOVE", sort_above)
        monkeypatch.setattr(silver, "PART_ROWS", 1)
        listed = LocalStore.list
        found = []
        for threads in ("1", "2", "4", "2"):
            (tmp_path / threads).mkdir()
            bronze = Bronze(tmp_path / threads, SCHEMA)
            write_many(bronze, 30_000, 3)
            if threads == "4":
                monkeypatch.setattr(LocalStore, "list", lambda *a: listed(*a)[::-1])
            bronze.do("--threads", threads)
            found.append(bronze.files())
            shutil.rmtree(tmp_path / threads)
        assert found[0] == found[1] == found[2] == found[3]
        # a file a partition, or one a block of each; and their list
        assert len(found[0]) == (6 if sort_above == 0 else 2 * 6) + 1

    def test_sorted_or_not(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Rows come in the order of files and rows, whichever way they are cut."""
        kept = []
        for above in (0, 32):
            monkeypatch.setattr(silver, "_SORT_ABOVE", above)
            (tmp_path / str(above)).mkdir()
            bronze = Bronze(tmp_path / str(above), {**SCHEMA, "key": []})
            write_many(bronze, 2_000, 3)
            bronze.do()
            kept.append(bronze.rows())
        assert kept[0] == kept[1]

    def test_files_that_are_read_otherwise_keep_their_place(self, tmp_path: Path) -> None:
        """Compressed files and mended ones stand where their names say: a new one comes last."""
        schema = {"columns": [{"name": "n", "type": "int64"}, {"name": "note"}]}
        bronze = Bronze(tmp_path, schema)
        bronze.write("1.csv", "n,note\n1,a\n")
        bronze.write("2.csv.gz", gzip.compress(b"n,note\n2,a\n"))
        bronze.write("3.csv", "n,note\r\n3,a\n33,a\r\n")
        bronze.write("4.csv", "note,n\na,4\n")
        bronze.do()
        assert [row["n"] for row in bronze.rows()] == [1, 2, 3, 33, 4]
        bronze.write("5.csv", "n,note\n5,a\n")
        bronze.do(number=2)
        assert [row["n"] for row in bronze.rows()] == [1, 2, 3, 33, 4, 5]

    def test_wide_lookups_keep_the_order(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A lookup too large for a list gives the same rows in the same order."""
        kept = []
        for wide in (0, 2_000):
            monkeypatch.setattr(lookups, "_WIDE", wide)
            base = tmp_path / str(wide)
            base.mkdir()
            lookup = {"file": "t.csv", "on": {"state": "s"}, "take": {"region": "r"}}
            missing = {**lookup, "missing": "null"}
            bronze = Bronze(base, {**SCHEMA, "lookups": [missing], "partition_by": ["region"]})
            (base / "t.csv").write_text("s,r\nCO,West\nAL,South\n")
            write_many(bronze, 2_000, 2)
            bronze.do()
            kept.append((bronze.rows(), sorted(bronze.files())))
        assert kept[0] == kept[1]

    @pytest.mark.slow
    def test_many_rows(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Threads that work on one table at once do not mix its rows."""
        monkeypatch.setattr(lookups, "_WIDE", 0)
        found, states = [], ["CO", "AL", "NY"]
        for threads in ("1", "2", "4"):
            base = tmp_path / threads
            base.mkdir()
            lookup = {"file": "t.csv", "on": {"state": "s"}, "take": {"r": "r"}}
            columns = [*SCHEMA["columns"], {"name": "n", "type": "int64"}]
            bronze = Bronze(base, {"columns": columns, "lookups": [lookup], "partition_by": ["r"]})
            (base / "t.csv").write_text("s,r\nCO,West\nAL,South\nNY,East\n")
            for file in range(3):
                lines = [f"{n},,{states[n * 7919 % 3]},,{file * 400_000 + n}"
                         for n in range(400_000)]  # fmt: skip
                bronze.write(f"f{file}.csv", "\n".join(["id,day,state,mwh,n", *lines]))
            bronze.do("--threads", threads)
            found.append(bronze.files())
        assert found[0] == found[1] == found[2]
        for region in ("West", "South", "East"):
            paths = sorted((bronze.silver / f"r={region}").iterdir())
            numbers = [n for each in paths for n in pq.ParquetFile(each).read()["n"].to_pylist()]
            assert numbers == sorted(numbers)

    def test_again(self, tmp_path: Path) -> None:
        """A second run over the same writes nothing."""
        bronze = Bronze(tmp_path, SCHEMA)
        write_many(bronze, 100, 2)
        first = bronze.do()
        times = {each: each.stat().st_mtime_ns for each in bronze.silver.rglob("*.parquet")}
        second = bronze.do(number=2)
        assert {each: each.stat().st_mtime_ns for each in times} == times
        assert {each.key for each in first.outputs} == {each.key for each in second.outputs}
        assert "_silver.json" in {each.key for each in second.outputs}


class TestPlan:
    """How good rows are cut into files."""

    SCHEMA = Schema.model_validate({"columns": [{"name": "a"}], "partition_by": ["a"]})

    def test_parts(self) -> None:
        """A file ends before the block that would make it too long, or with its partition."""
        census = [
            ("x", 0, 60),
            ("x", 1, 30),
            ("x", 5, 30),
            ("x", 6, 200),
            ("y", 0, 1),
            (None, 2, 9),
        ]
        block = silver._BLOCK
        assert plan_parts(self.SCHEMA, census, rows=100) == [
            Part(key="a=x/part-00000.parquet", values=("x",), rows=(0, 2 * block), count=90),
            Part(
                key="a=x/part-00001.parquet", values=("x",), rows=(5 * block, 6 * block), count=30
            ),
            Part(
                key="a=x/part-00002.parquet", values=("x",), rows=(6 * block, 7 * block), count=200
            ),
            Part(key="a=y/part-00000.parquet", values=("y",), rows=(0, block), count=1),
            Part(
                key="a=__HIVE_DEFAULT_PARTITION__/part-00000.parquet",
                values=(None,),
                rows=(2 * block, 3 * block),
                count=9,
            ),
        ]

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            (("a b", "1/2"), "x=a%20b/y=1%2F2/part-00003.parquet"),
            (("..", "é"), "x=../y=%C3%A9/part-00003.parquet"),
            (("=%", ""), "x=%3D%25/y=/part-00003.parquet"),
        ],
    )
    def test_keys(self, values: tuple[str, str], expected: str) -> None:
        """Values are escaped as Hive's readers expect it."""
        assert part_key(["x", "y"], values, 3) == expected

    def test_wide_rows_make_shorter_files(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A file holds fewer rows where they are wide: it is one group of rows in memory."""
        monkeypatch.setattr(silver, "_PART_BYTES", 1 << 20)
        bronze = Bronze(tmp_path, {"columns": [{"name": "a"}]})
        bronze.write("a.csv", "a\n" + ("x" * 20 + "\n") * 140_000)
        bronze.do()
        files = [each for each in bronze.files() if each.endswith(".parquet")]
        assert files == [f"part-0000{number}.parquet" for number in range(3)]
        groups = [pq.read_metadata(bronze.silver / each).num_row_groups for each in files]
        assert groups == [1, 1, 1]


class TestPartitions:
    """Folders of silver."""

    def test_are_read_by_others(self, tmp_path: Path) -> None:
        """Other readers find all rows with the values of their folders."""
        columns = [
            {"name": "n", "type": "int64"},
            {"name": "s"},
            {"name": "d", "type": "timestamp"},
        ]
        bronze = Bronze(tmp_path, {"columns": columns, "partition_by": ["month(d)", "s", "k"],
                                   "constants": {"k": "it's {source_file}"}})  # fmt: skip
        texts = ["a/b", "x=y", "50%", "ü", "", ".", "it's"]
        lines = [
            f"{number},{text},2024-1{number % 2}-05 10:00" for number, text in enumerate(texts)
        ]
        bronze.write("a.csv", "\n".join(["n,s,d", *lines, "9,z,"]))
        bronze.do()
        table = ds.dataset(
            bronze.silver, partitioning="hive", exclude_invalid_files=True
        ).to_table()
        rows = sorted(table.to_pylist(), key=lambda row: row["n"])
        assert [(row["n"], row["s"], row["month"], row["k"]) for row in rows] == [
            *((n, text or None, f"2024-1{n % 2}", "it's a.csv") for n, text in enumerate(texts)),
            (9, "z", None, "it's a.csv"),
        ]

    @pytest.mark.parametrize("kind", ["int32", "bool", "decimal(4,1)", "date", "timestamp"])
    def test_of_every_type(self, tmp_path: Path, kind: str) -> None:
        """A column of any exact type may make folders; every row is in one."""
        texts = {"int32": "1 -2", "bool": "yes no", "decimal(4,1)": "1.5 -0.5"}.get(
            kind, "2024-01-31 1999-12-01"
        )
        columns = [{"name": "p", "type": kind}, {"name": "n", "type": "int64"}]
        bronze = Bronze(tmp_path, {"columns": columns, "partition_by": ["p"]})
        lines = [f"{text},{number}" for number, text in enumerate(["", *texts.split()] * 2)]
        bronze.write("a.csv", "\n".join(["p,n", *lines]))
        bronze.do()
        assert sorted(row["n"] for row in bronze.rows()) == list(range(6))
        assert len([each for each in bronze.files() if each.endswith(".parquet")]) == 3

    def test_too_many(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """More folders than anybody wants are refused before anything is written."""
        monkeypatch.setattr(silver, "_MOST_PARTITIONS", 3)
        bronze = Bronze(tmp_path, {**SCHEMA, "partition_by": ["id"]})
        write_many(bronze, 10, 1)
        with pytest.raises(MisconfiguredError, match="at most 3 partitions, got "):
            call(JOB, bronze.run())
        assert not bronze.files()


class TestDestination:
    """What stands there: ours, and that of others."""

    def test_what_no_longer_belongs_is_removed(self, tmp_path: Path) -> None:
        """Files of partitions that are gone are deleted, those of others never."""
        bronze = Bronze(tmp_path, SCHEMA)
        bronze.write("a.csv", "id,day,state,mwh\n1,2023-01-01,CO,1\n2,2024-01-01,CO,1\n")
        bronze.do()
        foreign = bronze.silver / "year=2023" / "state=CO" / "notes.txt"
        foreign.write_text("mine")
        bronze.write("a.csv", "id,day,state,mwh\n2,2024-01-01,CO,1\n")
        bronze.do(number=2)
        assert sorted(bronze.files()) == [
            "_silver.json",
            "year=2023/state=CO/notes.txt",
            "year=2024/state=CO/part-00000.parquet",
        ]
        told = json.loads(bronze.files()["_silver.json"])
        assert [(each["key"], each["rows"]) for each in told["files"]] == [
            ("year=2024/state=CO/part-00000.parquet", 1)
        ]

    def test_foreign_files_are_not_overwritten(self, tmp_path: Path) -> None:
        """An object that somebody else wrote where a file is to stand is left, and told."""
        bronze = Bronze(tmp_path, {**SCHEMA, "partition_by": []})
        write_many(bronze, 5, 1)
        bronze.silver.mkdir()
        (bronze.silver / "part-00000.parquet").write_text("mine")
        with pytest.raises(MisconfiguredError, match="expected no object that this job did not"):
            call(JOB, bronze.run())
        assert bronze.files() == {"part-00000.parquet": b"mine"}

    def test_silver_of_another_schema(self, tmp_path: Path) -> None:
        """Two schemas do not share a destination: one would delete what the other wrote."""
        bronze = Bronze(tmp_path, SCHEMA)
        write_many(bronze, 5, 1)
        bronze.do()
        bronze.set_schema({**SCHEMA, "name": "other"})
        with pytest.raises(MisconfiguredError, match="found that of 'plants'; give each schema"):
            call(JOB, bronze.run())
        (bronze.silver / "_silver.json").write_text("[]")
        with pytest.raises(MisconfiguredError, match="expected the list of what"):
            call(JOB, bronze.run())

    @pytest.mark.parametrize("dies_at", range(6))
    def test_wherever_a_run_dies(
        self, tmp_path: Path, dies_at: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A run that dies at any write leaves nothing that the next one does not clear up."""
        bronze = Bronze(tmp_path, SCHEMA)
        bronze.write("a.csv", "id,day,state,mwh\n1,2022-01-01,CO,1\n2,2023-01-01,CO,1\n")
        bronze.do()
        bronze.write("a.csv", "id,day,state,mwh\n1,2023-01-01,CO,5\n2,2024-01-01,CO,1\n")
        calls: list[str] = []

        def dying(name: str) -> Any:
            real = getattr(LocalStore, name)

            def act(*args: Any, **options: Any) -> Any:
                calls.append(name)
                if len(calls) > dies_at:
                    raise StoreError("killed")
                return real(*args, **options)

            return act

        with monkeypatch.context() as patch:
            patch.setattr(LocalStore, "put", dying("put"))
            patch.setattr(LocalStore, "delete", dying("delete"))
            if dies_at < 5:
                with pytest.raises(StoreError):
                    call(JOB, bronze.run("--threads", "1", number=2))
        bronze.write("a.csv", "id,day,state,mwh\n1,2025-01-01,CO,1\n")
        bronze.do(number=3)
        assert sorted(bronze.files()) == ["_silver.json", "year=2025/state=CO/part-00000.parquet"]
