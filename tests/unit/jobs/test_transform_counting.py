"""Numbers of rejected rows, counted in files."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.jobs.transform import counting
from lading.jobs.transform.counting import Rejected, number_rejected


def numbers(base: Path, data: bytes, *rejected: bytes, rows: int, header: int = 1) -> object:
    """Return the numbers of rows that stand in a file once."""
    path = base / "a.csv"
    path.write_bytes(data)
    starts = [data.index(each) for each in rejected]
    ends = [start + len(each) for start, each in zip(starts, rejected, strict=True)]
    found = Rejected(starts=starts, ends=ends)
    return number_rejected(path, found, header=header, quote='"', rows=rows)


@pytest.mark.parametrize(
    ("data", "rejected", "rows", "expected"),
    [
        (b"h\n1\nBAD\n3\n", [b"BAD"], 3, [2]),
        (b"h\n1\nBAD", [b"BAD"], 2, [2]),
        (b"\n\nh\n\n1\n\n\nBAD\n", [b"BAD"], 2, [2]),
        (b"\r\n\r\nh\r\n\r\n1\r\n\r\nBAD\r\n", [b"BAD"], 2, [2]),
        (b"h\r1\rBAD\r3\r", [b"BAD"], 3, [2]),
        (b'h\n"1\n\n1"\nBAD\n3\nBAE\n', [b"BAD", b"BAE"], 4, [2, 4]),
        (b'"h\nh"\n1\nBAD\n', [b"BAD"], 2, [2]),
        (b'h\n"b"x"\n2\n"3\n3"\nBAD\n', [b'"b"x"', b"BAD"], 4, [1, 4]),
        (b'h\n1\n"b\n3\n4\n', [b'"b\n3\n4'], 2, [2]),
        (b"h\n1\nBAD\n3\n", [b"BAD"], 7, None),
    ],
)
def test_files(
    tmp_path: Path, data: bytes, rejected: list[bytes], rows: int, expected: list[int] | None
) -> None:
    """Empty lines do not count, breaks in quotes do not; what does not add up is not told."""
    assert numbers(tmp_path, data, *rejected, rows=rows) == expected


@given(
    lines=st.lists(st.sampled_from(["BAD", "1", "", '"2\n\n2"', '"3""3"', '"B"AD"']), max_size=12),
    end=st.sampled_from(["\n", "\r\n"]),
    piece=st.integers(1, 9),
)
def test_wherever_pieces_end(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], end: str, piece: int
) -> None:
    """It makes no difference where the pieces end that a file is read in."""
    path = tmp_path_factory.getbasetemp() / "pieces.csv"
    data, starts, ends, expected, number = b"h" + end.encode(), [], [], [], 0
    for line in lines:
        number += bool(line)
        if line in {"BAD", '"B"AD"'}:
            starts.append(len(data))
            ends.append(len(data) + len(line))
            expected.append(number)
        data += (line + end).encode()
    path.write_bytes(data)
    if not starts:
        return
    with pytest.MonkeyPatch.context() as patch:
        cut = [data[start : start + piece] for start in range(0, len(data), piece)]
        patch.setattr(counting, "pieces", lambda _: cut)
        found = Rejected(starts=starts, ends=ends)
        assert number_rejected(path, found, header=1, quote='"', rows=number) == expected
