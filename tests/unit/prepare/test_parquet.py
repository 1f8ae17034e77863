"""Tests of looking at the frame of parquet files."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lading.errors import GateError
from lading.prepare.parquet import check_parquet

BUILD = Path(__file__).parents[3] / "examples/iowa/build/parquet"
REAL = sorted(BUILD.glob("*.parquet"))
SMALL = BUILD / "generation_totals.parquet"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where a test writes its file."""
    return tmp_path / "hours.parquet"


@pytest.mark.parametrize("real", REAL, ids=lambda path: path.stem)
def test_real_files_pass(real: Path) -> None:
    """Every parquet file of the example build passes, and is not changed."""
    before = real.read_bytes()
    check_parquet(real)
    assert before == real.read_bytes()


def test_there_are_real_files() -> None:
    """The example build has parquet files, or the test above would hold nothing."""
    assert len(REAL) > 3


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


def test_every_truncation_is_found(path: Path) -> None:
    """Cut anywhere, be it by one byte, a real file is refused."""
    data = SMALL.read_bytes()
    for size in [*range(0, len(data), 37), *range(len(data) - 9, len(data))]:
        path.write_bytes(data[:size])
        with pytest.raises(GateError, match=r"^hours\.parquet: expected a parquet"):
            check_parquet(path)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(min_value=0, max_value=100_000))
def test_no_truncation_passes(path: Path, size: int) -> None:
    """Whatever is cut off: only the whole file passes."""
    data = SMALL.read_bytes()
    path.write_bytes(data[: size % len(data)])
    with pytest.raises(GateError):
        check_parquet(path)


@pytest.mark.parametrize("footer", [0, 10_000_000, 0xFFFFFFFF])
def test_footer_without_room(path: Path, footer: int) -> None:
    """A tail that announces no footer, or more than the file has, is refused as cut short."""
    path.write_bytes(b"PAR1" + b"x" * 100 + footer.to_bytes(4, "little") + b"PAR1")
    with pytest.raises(GateError, match="expected a parquet footer, found none: it is cut short"):
        check_parquet(path)


def test_largest_footer_that_fits(path: Path) -> None:
    """A footer that fills all room between head and tail is possible, one byte more is not."""
    for footer, fits in ((100, True), (101, False)):
        path.write_bytes(b"PAR1" + b"x" * 100 + footer.to_bytes(4, "little") + b"PAR1")
        if fits:
            check_parquet(path)
        else:
            with pytest.raises(GateError):
                check_parquet(path)


def test_missing_file(path: Path) -> None:
    """A file that is gone is refused by its name with the reason."""
    with pytest.raises(GateError, match=r"hours\.parquet: expected a readable file, got 'No such"):
        check_parquet(path)
