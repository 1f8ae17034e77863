"""Records of Parquet files, as JSON has them."""

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from lading.errors import BadDataError, MisconfiguredError, StoreError, TemporaryError
from lading.jobs.ingest.records import Record, Selection, find_files, partitions_of, read_records
from lading.jobs.ingest.values import render_record, rows_of
from lading.storage import LocalStore, MemoryStore, Store
from lading.storage.contract import Body

UTC = dt.UTC
ID = Selection(key=("id",))


def write(folder: Path, key: str, columns: dict[str, Any]) -> Path:
    """Write a Parquet file."""
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table(columns), path)
    return path


def read(folder: Path, wanted: Selection = ID) -> list[Record]:
    """Read all records of a folder."""
    store, files = find_files(str(folder), LocalStore_of)
    return list(read_records(store, files, wanted))


def LocalStore_of(url: str) -> Store:  # noqa: N802  a store, as open_store makes it
    """Open a folder."""
    return LocalStore(Path(url))


class TestValues:
    """Values as JSON takes them."""

    @pytest.mark.parametrize(
        ("kind", "value", "expected"),
        [
            (pa.int64(), 2**63 - 1, 2**63 - 1),
            (pa.uint64(), 2**64 - 1, 2**64 - 1),
            (pa.float64(), 0.1, 0.1),
            (pa.float64(), float("nan"), None),
            (pa.float64(), float("-inf"), None),
            (pa.float32(), 0.5, 0.5),
            (pa.bool_(), True, True),
            (pa.string(), "ü\n", "ü\n"),
            (pa.large_string(), "x", "x"),
            (pa.null(), None, None),
            (pa.decimal128(20, 3), Decimal("12345678901234567.890"), "12345678901234567.890"),
            (pa.decimal128(5, -2), Decimal("1E+2"), "100"),
            (pa.binary(), b"\x00\xff", "AP8="),
            (pa.binary(2), b"ab", "YWI="),
            (pa.date32(), dt.date(2024, 2, 29), "2024-02-29"),
            (pa.time64("us"), dt.time(1, 2, 3, 4), "01:02:03.000004"),
            (pa.time64("ns"), 3_723_000_004_000, "01:02:03.000004"),
            (pa.timestamp("s"), dt.datetime(2024, 2, 29, 1, tzinfo=UTC), "2024-02-29T01:00:00"),
            (pa.timestamp("us", "UTC"), dt.datetime(2024, 2, 29, 1, tzinfo=UTC),
             "2024-02-29T01:00:00+00:00"),
            (pa.timestamp("ns", "UTC"), 1_709_168_400_000_001_999,
             "2024-02-29T01:00:00.000001+00:00"),
            (pa.duration("us"), dt.timedelta(seconds=90, microseconds=5), "PT90.000005S"),
            (pa.duration("ns"), -1_500_000_000, "-PT1.5S"),
            (pa.list_(pa.float64()), [1.0, float("nan"), None], [1.0, None, None]),
            (pa.list_(pa.timestamp("ns")), [0, None], ["1970-01-01T00:00:00", None]),
            (pa.struct([("d", pa.date32()), ("n", pa.int8())]),
             {"d": dt.date(2024, 1, 1), "n": None}, {"d": "2024-01-01", "n": None}),
            (pa.map_(pa.string(), pa.date32()), [("a", dt.date(2024, 1, 1))], {"a": "2024-01-01"}),
        ],
    )  # fmt: skip
    def test_types(self, kind: pa.DataType, value: Any, expected: Any) -> None:
        """Each type has one form in JSON, and null is null."""
        batch = pa.record_batch({"v": pa.array([value, None], kind)})
        rows = rows_of(batch)

        assert rows == [{"v": expected}, {"v": None}]
        assert json.loads(render_record(rows[0])) == {"v": expected}

    def test_dictionary(self) -> None:
        """Values that are stored once are values like others."""
        column = pa.array(["a", None, "a"]).dictionary_encode()

        assert rows_of(pa.record_batch({"v": column})) == [{"v": "a"}, {"v": None}, {"v": "a"}]

    def test_canonical(self) -> None:
        """The text of a record does not hang on the order of its columns."""
        assert render_record({"b": 1, "a": "ü"}) == '{"a":"ü","b":1}'


class TestFiles:
    """Which files are read, and what of them."""

    def test_order(self, tmp_path: Path) -> None:
        """Records come file by file, numbered from 1, and are named by both."""
        write(tmp_path, "b.parquet", {"id": [3]})
        write(tmp_path, "a/x.parquet", {"id": [1, 2]})
        write(tmp_path, "_tmp/x.parquet", {"id": [9]})
        write(tmp_path, ".lading/x.parquet", {"id": [9]})
        (tmp_path / "notes.txt").write_text("no data")
        records = read(tmp_path)

        assert [each.table for each in records] == [{"id": 1}, {"id": 2}, {"id": 3}]
        assert [each.name for each in records] == [
            f"{tmp_path}/a/x.parquet#1", f"{tmp_path}/a/x.parquet#2", f"{tmp_path}/b.parquet#1",
        ]  # fmt: skip

    def test_one_file(self, tmp_path: Path) -> None:
        """A source may be one file."""
        write(tmp_path, "a.parquet", {"id": [1]})
        path = write(tmp_path, "b.parquet", {"id": [2]})

        assert [each.table for each in read(path)] == [{"id": 2}]

    def test_row_groups(self, tmp_path: Path) -> None:
        """Rows are numbered through all row groups of a file."""
        parquet.write_table(
            pa.table({"id": list(range(1, 31))}), tmp_path / "x.parquet", row_group_size=7
        )
        records = read(tmp_path, Selection(key=("id",), rows_at_once=4))

        assert [each.row for each in records] == list(range(1, 31))
        assert [each.table["id"] for each in records] == list(range(1, 31))

    def test_columns(self, tmp_path: Path) -> None:
        """Only the columns that are wanted are sent, and those of the key."""
        write(tmp_path, "x.parquet", {"a": [1], "id": [2], "b": [3]})
        [record] = read(tmp_path, Selection(key=("id",), columns=("b",)))

        assert record.table == {"id": 2, "b": 3}

    def test_partitions(self, tmp_path: Path) -> None:
        """Columns that only the names of folders tell are part of the records."""
        write(tmp_path, "year=2024/city=New%20York/x.parquet", {"id": [1]})
        [record] = read(tmp_path, Selection(key=("id", "year")))

        assert record.table == {"id": 1, "year": "2024", "city": "New York"}

    def test_partitions_of(self) -> None:
        """Null is null, the file's own columns count first, and other folders tell nothing."""
        key = "x/a=__HIVE_DEFAULT_PARTITION__/b=2/=3/c=4=5/d=1.parquet"

        assert partitions_of(key, ["b"]) == {"a": None, "c": "4=5"}

    def test_any_store(self, tmp_path: Path) -> None:
        """A file is read where it stands, in pieces."""
        path = write(tmp_path, "x.parquet", {"id": list(range(1000)), "t": ["x" * 50] * 1000})
        store = MemoryStore()
        store.put("a/x.parquet", Body.of_bytes(path.read_bytes()))
        _, files = find_files("memory://", lambda _: store)
        records = list(read_records(store, files, ID))

        assert [each.table["id"] for each in records] == list(range(1000))


class TestFaults:
    """What cannot be read or sent."""

    def test_null_key(self, tmp_path: Path) -> None:
        """A record without a key is at fault by itself."""
        write(tmp_path, "x.parquet", {"id": [1, None, 3]})
        faults = [each.fault for each in read(tmp_path)]

        assert [bool(each) for each in faults] == [False, True, False]
        assert str(faults[1]) == "row 2: expected a value in id, got null"

    @pytest.mark.parametrize("data", [b"", b"PAR1", b"id,name\n1,x\n", b"\x00" * 4096])
    def test_no_parquet(self, tmp_path: Path, data: bytes) -> None:
        """A file that is none is told by name, and the others are read."""
        write(tmp_path, "a.parquet", {"id": [1]})
        (tmp_path / "b.parquet").write_bytes(data)
        write(tmp_path, "c.parquet", {"id": [2]})
        records = read(tmp_path)

        assert [each.table for each in records] == [{"id": 1}, {}, {"id": 2}]
        assert isinstance(records[1].fault, BadDataError)
        assert records[1].name == f"{tmp_path}/b.parquet"
        assert f"{tmp_path}/b.parquet: expected a Parquet file" in str(records[1].fault)

    def test_damaged(self, tmp_path: Path) -> None:
        """A file that breaks off inside is told."""
        path = write(tmp_path, "x.parquet", {"id": list(range(10_000))})
        data = bytearray(path.read_bytes())
        data[100:2000] = b"\xff" * 1900
        path.write_bytes(data)
        records = read(tmp_path)

        assert isinstance(records[-1].fault, BadDataError)
        assert records[-1].row == 0

    def test_missing_columns(self, tmp_path: Path) -> None:
        """Columns that are not there are a wrong setting; those that are are told."""
        write(tmp_path, "x.parquet", {"a": [1], "b": [2]})
        [record] = read(tmp_path, Selection(key=("id",), columns=("a", "c")))

        assert isinstance(record.fault, MisconfiguredError)
        assert "expected columns 'id', 'c', found a, b" in str(record.fault)

    def test_replaced(self, tmp_path: Path) -> None:
        """A file that is replaced while it is read is to be read again."""
        path = write(tmp_path, "x.parquet", {"id": [1]})
        store, files = find_files(str(tmp_path), LocalStore_of)
        records = read_records(store, files, ID)
        next(records)
        write(tmp_path, "x.parquet", {"id": [1, 2]})
        assert path.exists()

        assert isinstance(next(records).fault, TemporaryError)

    def test_good_again(self, tmp_path: Path) -> None:
        """A file that could not be read before, and can be now, is told."""
        write(tmp_path, "x.parquet", {"id": [1]})
        store, files = find_files(str(tmp_path), LocalStore_of)
        records = list(read_records(store, files, ID, [files[0].url]))

        assert [(each.row, each.fault) for each in records] == [(1, None), (0, None)]

    def test_no_files(self, tmp_path: Path) -> None:
        """No files are bad data, told with the place; no folder is a wrong setting."""
        (tmp_path / "x.csv").write_text("id")
        with pytest.raises(BadDataError, match=f"{tmp_path}/: expected Parquet files, found none"):
            read(tmp_path)
        with pytest.raises(BadDataError, match=r"/y.parquet: expected Parquet files, found none"):
            read(tmp_path / "y.parquet")
        with pytest.raises(MisconfiguredError, match="expected a folder, found none"):
            read(tmp_path / "no")
        with pytest.raises((MisconfiguredError, StoreError)):
            read(tmp_path / "x.csv")
