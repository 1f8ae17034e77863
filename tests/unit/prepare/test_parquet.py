"""Tests of looking at parquet files by their frame and footer, on real files."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lading.errors import GateError
from lading.prepare import parquet
from lading.prepare.parquet import check_parquet

BUILD = Path(__file__).parents[3] / "examples/iowa/build/parquet"
REAL = sorted(BUILD.glob("*.parquet"))
SMALL = BUILD / "generation_totals.parquet"
FRAME_BYTES = 8

FLIP_BITS = """
import json, sys
from pathlib import Path
from lading.errors import GateError
from lading.prepare.parquet import check_parquet

path, start, step = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
data = path.read_bytes()
with path.open("r+b", buffering=0) as file:
    for number in range(start * 8, len(data) * 8, step):
        place, bit = divmod(number, 8)
        file.seek(place)
        file.write(bytes([data[place] ^ 1 << bit]))
        try:
            said = f"{check_parquet(path)} rows"
        except GateError as error:
            said = "refused" if str(error).startswith(f"{path.name}: expected ") else str(error)
        except Exception as error:
            said = repr(error)
        file.seek(place)
        file.write(data[place : place + 1])
        print(json.dumps([place - start, bit, said]), flush=True)
"""


FIND_ABORT = """
import os, sys
import pyarrow.parquet as pq

with open(sys.argv[1], "r+b", buffering=0) as file:
    for place in range(int(sys.argv[2]), int(sys.argv[2]) + 200):
        (before,) = os.pread(file.fileno(), 1, place)
        os.pwrite(file.fileno(), bytes([before ^ 1]), place)
        child = os.fork()
        if not child:
            try:
                pq.read_metadata(sys.argv[1]).row_group(0).column(0)
            finally:
                os._exit(0)
        if os.WIFSIGNALED(os.waitpid(child, 0)[1]):
            sys.exit(0)
        os.pwrite(file.fileno(), bytes([before]), place)
sys.exit(1)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where a test writes its file."""
    return tmp_path / "hours.parquet"


def table(rows: int) -> pa.Table:
    """Return a table of some rows with columns of several kinds."""
    columns = {
        "id": pa.array(range(rows), pa.int64()),
        "name": pa.array([f"plant {n % 7}" for n in range(rows)], pa.string()),
        "value": pa.array([None if n % 5 == 0 else n / 3 for n in range(rows)], pa.float64()),
        "units": pa.array([list(range(n % 4)) for n in range(rows)], pa.list_(pa.int32())),
    }
    return pa.table(columns)


def write(path: Path, rows: int, **options: Any) -> bytes:
    """Write a parquet file; return its bytes."""
    pq.write_table(table(rows), path, **options)
    return path.read_bytes()


def footer_start(data: bytes) -> int:
    """Return where the footer of a file begins, which is where its data ends."""
    return len(data) - FRAME_BYTES - int.from_bytes(data[-8:-4], "little")


def without(data: bytes, start: int, count: int) -> bytes:
    """Return bytes of which some are cut out."""
    return data[:start] + data[start + count :]


@pytest.mark.parametrize("real", REAL, ids=lambda path: path.stem)
def test_real_files_pass(real: Path) -> None:
    """Every parquet file of the example build passes, is counted, and is not changed."""
    before = (real.read_bytes(), real.stat().st_mtime_ns)
    assert check_parquet(real) == pq.read_table(real).num_rows
    assert before == (real.read_bytes(), real.stat().st_mtime_ns)


def test_there_are_real_files() -> None:
    """The example build has parquet files, or the test above would hold nothing."""
    assert len(REAL) > 3


class TestRows:
    """How many rows a file has."""

    @pytest.mark.parametrize("rows", [0, 1, 2, 1000, 100_003])
    def test_one_row_group(self, path: Path, rows: int) -> None:
        """Rows are counted, also where there are none."""
        write(path, rows)
        assert check_parquet(path) == rows

    @pytest.mark.parametrize("size", [1, 7, 499, 500, 1000])
    def test_many_row_groups(self, path: Path, size: int) -> None:
        """Rows are those of all row groups, the last and shorter one too."""
        write(path, 500, row_group_size=size)
        assert pq.read_metadata(path).num_row_groups == -(-500 // size)
        assert check_parquet(path) == 500

    def test_row_groups_without_rows(self, path: Path) -> None:
        """Row groups may be empty."""
        with pq.ParquetWriter(path, table(1).schema) as writer:
            for rows in (0, 3, 0, 4, 0):
                writer.write_table(table(rows))
        assert check_parquet(path) == 7

    def test_no_column(self, path: Path) -> None:
        """A table without columns is a parquet file with no rows to speak of."""
        pq.write_table(pa.table({}), path)
        assert check_parquet(path) == 0

    @pytest.mark.parametrize(
        "options",
        [
            {"compression": "none"},
            {"compression": "zstd"},
            {"use_dictionary": False},
            {"version": "1.0"},
            {"data_page_version": "2.0"},
            {"data_page_size": 64},
            {"write_statistics": False},
            {"store_schema": False},
            {"write_page_index": True},
            {"write_page_checksum": True},
        ],
        ids=str,
    )
    def test_every_way_of_writing(self, path: Path, options: dict[str, Any]) -> None:
        """However a file was written, it passes, and its rows are counted."""
        write(path, 3000, row_group_size=1000, **options)
        assert check_parquet(path) == 3000

    @pytest.mark.parametrize(
        "name", ["with space.parquet", "a#b?c=d%41&e.parquet", "数据'\".parquet", "x.y.parquet"]
    )
    def test_odd_names(self, tmp_path: Path, name: str) -> None:
        """The name of a file is never taken for a part of a URI."""
        write(tmp_path / name, 5)
        assert check_parquet(tmp_path / name) == 5


@pytest.mark.parametrize(
    "data",
    [b"", b"PAR1", b"PAR1PAR1", b"PK\x03\x04" + b"\0" * 50, b"a,b\n1,2\n" * 9, b"par1" + b"\0" * 9],
    ids=["zero bytes", "head only", "head and tail", "zip", "csv", "small letters"],
)
def test_file_of_another_kind(path: Path, data: bytes) -> None:
    """A file without head, or without room for anything, is refused with its size."""
    path.write_bytes(data)
    with pytest.raises(
        GateError, match=rf"^hours\.parquet: expected a parquet file, found {len(data)} bytes"
    ):
        check_parquet(path)


@pytest.mark.parametrize("rows", [0, 40])
def test_every_truncation_is_found(path: Path, rows: int) -> None:
    """Cut anywhere, be it by one byte, a file is refused."""
    data = write(path, rows, row_group_size=15)
    for size in reversed(range(len(data))):
        os.truncate(path, size)
        with pytest.raises(GateError, match=r"^hours\.parquet: expected a "):
            check_parquet(path)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(min_value=0, max_value=100_000))
def test_no_truncation_passes(path: Path, size: int) -> None:
    """Whatever is cut off a file of the example: only the whole file passes."""
    data = SMALL.read_bytes()
    path.write_bytes(data[: size % len(data)])
    with pytest.raises(GateError):
        check_parquet(path)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(min_value=1, max_value=100_000))
def test_no_beheading_passes(path: Path, size: int) -> None:
    """Whatever is cut off the front, with the head put back or not: it is refused."""
    data = SMALL.read_bytes()
    for head in (b"", b"PAR1"):
        path.write_bytes(head + data[len(head) :][1 + size % (len(data) - 8) :])
        with pytest.raises(GateError):
            check_parquet(path)


class TestDataCutOut:
    """A file with a whole footer, but not all of the data that the footer tells of."""

    @pytest.mark.parametrize(
        "options",
        [{}, {"compression": "none"}, {"use_dictionary": False}, {"row_group_size": 100}],
        ids=str,
    )
    @pytest.mark.parametrize("count", [1, 2, 50, -1])
    def test_is_refused(self, path: Path, options: dict[str, Any], count: int) -> None:
        """Data that was cut out before the footer is missed, be it one byte or all."""
        data = write(path, 1000, **options)
        end = footer_start(data)
        lost = count if count > 0 else end - 4
        for start in (4, (end - lost) // 2, end - lost):
            path.write_bytes(without(data, max(4, start), lost))
            with pytest.raises(GateError) as caught:
                check_parquet(path)
            assert str(caught.value) == (
                f"hours.parquet: expected {end} bytes of data before the footer, found {end - lost}"
            )

    def test_whole_row_group(self, path: Path) -> None:
        """A row group that is gone is missed as well."""
        data = write(path, 300, row_group_size=100)
        second = pq.read_metadata(path).row_group(1)
        start = second.column(0).dictionary_page_offset
        path.write_bytes(without(data, start, second.total_byte_size // 2))
        with pytest.raises(GateError, match="bytes of data before the footer, found"):
            check_parquet(path)

    def test_footer_of_another_file(self, path: Path) -> None:
        """The footer of a larger file behind the data of a smaller one is refused."""
        small, large = write(path, 10), write(path, 5000)
        path.write_bytes(small[: footer_start(small)] + large[footer_start(large) :])
        with pytest.raises(GateError, match="bytes of data before the footer, found"):
            check_parquet(path)


class TestFooter:
    """A footer that is not what it was."""

    @pytest.mark.parametrize(
        ("options", "step"),
        [
            ({}, 9),  # each byte once, and the bits in turn
            ({"write_statistics": False, "store_schema": False}, 9),
            ({"write_page_index": True}, 9),
            pytest.param({}, 1, marks=pytest.mark.slow),
        ],
        ids=str,
    )
    def test_flipped_bit(self, path: Path, options: dict[str, Any], step: int) -> None:
        """Any one bit of footer or tail may flip: refused, or read with the rows that it has.

        In a process of its own: it may not die of it either.
        """
        columns = {"id": range(30), "name": [f"{n % 4}" for n in range(30)]}
        pq.write_table(pa.table(columns), path, row_group_size=20, **options)
        data = path.read_bytes()
        start = footer_start(data)
        done = subprocess.run(
            [sys.executable, "-c", FLIP_BITS, str(path), str(start), str(step)],
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        said = [json.loads(line) for line in done.stdout.splitlines()]
        odd = [each for each in said if each[2] not in {"refused", "30 rows"}]
        assert odd == []
        assert done.returncode == 0, f"after {said[-1:]}: {done.stderr}"
        assert len(said) == len(range(start * 8, len(data) * 8, step))
        assert {each[2] for each in said} == {"refused", "30 rows"}

    def test_name_that_is_no_text(self, path: Path) -> None:
        """A column name that is not UTF-8 is refused in the words of Python."""
        pq.write_table(pa.table({"idididid": range(30)}), path)
        data = path.read_bytes()
        place = data.index(b"idididid", footer_start(data))
        path.write_bytes(data[:place] + b"\xe9dididid" + data[place + 8 :])
        with pytest.raises(GateError, match=r"^hours\.parquet: expected .*can't decode byte 0xe9"):
            check_parquet(path)

    def test_rows_that_do_not_add_up(self, path: Path) -> None:
        """A footer whose row groups have other rows than the file is refused with both figures."""
        data = write(path, 61, row_group_size=61)
        place = data.index(b"\x16\x7a", footer_start(data))  # field of the file's rows: i64, zigzag
        assert b"\x16\x7a" in data[place + 2 :]  # and again in the row group
        path.write_bytes(data[: place + 1] + b"\x7c" + data[place + 2 :])
        with pytest.raises(GateError, match="found: 62 rows, and row groups of 61"):
            check_parquet(path)

    @pytest.mark.parametrize("footer", [0, 10_000_000, 0xFFFFFFFF])
    def test_without_room(self, path: Path, footer: int) -> None:
        """A tail that announces no footer, or more than the file has, is refused as cut short."""
        path.write_bytes(b"PAR1" + b"x" * 100 + footer.to_bytes(4, "little") + b"PAR1")
        with pytest.raises(GateError, match="a parquet footer, found none: it is cut short"):
            check_parquet(path)

    @pytest.mark.parametrize("footer", [1, 8, 50, 100])
    @pytest.mark.parametrize("filler", [b"x", b"\0", b"\xff", b"\x15"])
    def test_of_rubbish(self, path: Path, footer: int, filler: bytes) -> None:
        """A file with a right frame and no footer inside is refused: a frame is no table."""
        path.write_bytes(b"PAR1" + filler * 100 + footer.to_bytes(4, "little") + b"PAR1")
        with pytest.raises(GateError, match=r"^hours\.parquet: expected a valid parquet footer"):
            check_parquet(path)

    @pytest.mark.parametrize("change", [-1, 1])
    def test_length_that_is_wrong(self, path: Path, change: int) -> None:
        """A length of the footer that is wrong by one byte is refused."""
        data = write(path, 10)
        length = int.from_bytes(data[-8:-4], "little") + change
        path.write_bytes(data[:-8] + length.to_bytes(4, "little") + b"PAR1")
        with pytest.raises(GateError, match=r"^hours\.parquet: expected "):
            check_parquet(path)

    def test_reason_is_one_line(self, path: Path) -> None:
        """What the reader of footers says is passed on in one line."""
        path.write_bytes(b"PAR1" + b"x" * 100 + (100).to_bytes(4, "little") + b"PAR1")
        with pytest.raises(GateError) as caught:
            check_parquet(path)
        assert "\n" not in str(caught.value)


class TestFooterThatEndsItsReader:
    """The library that reads footers is native code, which a damaged one can end."""

    @pytest.fixture
    def deadly(self, path: Path) -> Path:
        """Write a file of which one bit of the footer is flipped, so that pyarrow aborts on it."""
        pq.write_table(pa.table({"id": range(30), "name": ["a"] * 30}), path, row_group_size=20)
        start = footer_start(path.read_bytes())
        command = [sys.executable, "-c", FIND_ABORT, str(path), str(start)]
        done = subprocess.run(command, check=False, capture_output=True, timeout=120)
        if done.returncode:
            pytest.skip("this version of pyarrow aborts on none of these")
        return path

    def test_is_refused(self, deadly: Path) -> None:
        """It is refused like any other, in one line."""
        with pytest.raises(GateError, match=r"^hours\.parquet: expected a valid parquet footer"):
            check_parquet(deadly)

    def test_next_file_is_read(self, deadly: Path, tmp_path: Path) -> None:
        """What is asked before, beside and after it is answered."""
        write(tmp_path / "sound.parquet", 5)

        def ask(number: int) -> int:
            if number % 5:
                return check_parquet(tmp_path / "sound.parquet")
            with pytest.raises(GateError):
                check_parquet(deadly)
            return 5

        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(ask, range(25))) == {5}

    def test_reader_that_was_killed(self, path: Path) -> None:
        """A reader that somebody else ends between two files costs no sound file its release."""
        write(path, 5)
        assert check_parquet(path) == 5
        reader = parquet._READER._process
        assert reader is not None
        reader.kill()
        reader.wait(timeout=60)
        assert check_parquet(path) == 5


def test_modules_of_the_project_are_not_taken_for_others(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in the folder of the run that is called like a module of Python disturbs nothing."""
    write(path, 5)
    for name in ("json", "queue", "calendar", "numpy", "pyarrow"):
        (path.parent / f"{name}.py").write_text("raise SystemExit('not this one')\n")
    monkeypatch.chdir(path.parent)
    script = (
        "from pathlib import Path\n"
        "from lading.prepare.parquet import check_parquet\n"
        "print(check_parquet(Path('hours.parquet')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "5\n", done.stderr


def test_missing_file(path: Path) -> None:
    """A file that is gone is refused by its name with the reason."""
    with pytest.raises(GateError, match=r"hours\.parquet: expected a readable file, got 'No such"):
        check_parquet(path)


def test_folder_instead_of_a_file(path: Path) -> None:
    """A folder of that name is refused as unreadable."""
    path.mkdir()
    with pytest.raises(GateError, match=r"hours\.parquet: expected a readable file, got"):
        check_parquet(path)
