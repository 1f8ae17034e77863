"""Rows of bronze, good and bad: what the engine makes of them, against what was written."""

import gzip
import json
import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.jobs.bronze_files import Bronze, key_of
from tests.unit.jobs.one_run import letters_of

KINDS = {
    "good": 60,
    "quoted": 10,
    "many": 4,
    "few": 4,
    "blank": 4,
    "broken": 3,
    "broken twice": 3,
    "broken twice, and longer": 3,
    "cast": 6,
}
TEXTS = ["é", "naïve", "a b", "日本", "it's", "x", "", "\u2028", "\x85", "#", "\\"]


@dataclass
class Written:
    """A file of bronze, and what has to become of it."""

    data: bytes = b""
    good: list[int] = field(default_factory=list)
    """Numbers that good rows bear, in order."""
    bad: dict[int, str] = field(default_factory=dict)
    """Row and beginning of the text, of bad rows."""


def write_dirty(rng: random.Random, rows: int, end: str, *, bom: bool, kinds: list[str]) -> Written:
    """Write a dirty file, row by row, so that it is known what each one is."""
    made = Written()
    lines = ["id,name,size"]
    number = 0
    for _ in range(rows):
        kind = rng.choices(kinds, [KINDS[each] for each in kinds])[0]
        if kind == "blank":
            lines.append("")
            continue
        number += 1
        text = rng.choice(TEXTS)
        line = {
            "good": f"{number},{text},{number}",
            "quoted": f'{number},"{text},""{end}{end}x",{number}',
            "many": f"{number},{text},1,2,3",
            "few": f"{number},{text}",
            "broken": f'{number},"a "{text}b" c",1',
            "broken twice": f'"{number}"x,"y"z,1',
            "broken twice, and longer": f'"{number}"x,"y"z,1,2',
            "cast": f"{number},{text},big",
        }[kind]
        lines.append(line)
        if kind in {"good", "quoted"}:
            made.good.append(number)
        else:
            made.bad[number] = line
    made.data = (b"\xef\xbb\xbf" if bom else b"") + end.join(lines).encode()
    made.data += end.encode() if rng.random() < 0.5 else b""
    return made


def check(bronze: Bronze, written: dict[str, Written]) -> None:
    """Prove what became of files."""
    run = bronze.do("--max-bad", "1")
    by_file: dict[str, list[int]] = {key: [] for key in written}
    for row in bronze.rows():
        by_file[row["origin"]].append(row["id"])
    assert by_file == {key: each.good for key, each in written.items()}
    found = {(key_of(each.item), each.row): each for each in letters_of(run)}
    expected = {(key, row): line for key, each in written.items() for row, line in each.bad.items()}
    assert sorted(found) == sorted(expected)
    for place, letter in found.items():
        line = expected[place[0], place[1] or 0]
        if "big" in line:
            assert json.loads(letter.payload or "")["id"] == str(place[1])
            assert letter.message == "size: expected int64, got 'big'"
        else:
            assert (letter.payload or "").rstrip("\r\n") == line


SCHEMA = {
    "columns": [
        {"name": "id", "type": "int64"},
        {"name": "name", "trim": False},
        {"name": "size", "type": "int64"},
    ],
    "constants": {"origin": "{source_file}"},
    "nulls": [],
}


class TestNumbers:
    """Rows bear the numbers that they have in their file."""

    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    @pytest.mark.parametrize("seed", range(3))
    def test_dirty_files(self, tmp_path: Path, end: str, seed: int) -> None:
        """Every row of dirty files is silver or a dead letter, with its number and its text."""
        rng = random.Random(seed)
        bronze = Bronze(tmp_path, SCHEMA)
        written = {
            f"f{number}.csv{'.gz' if number % 3 == 2 else ''}": write_dirty(
                rng, rng.choice([0, 1, 5, 300]), end, bom=number % 2 == 1, kinds=list(KINDS)
            )
            for number in range(7)
        }
        for key, each in written.items():
            bronze.write(key, gzip.compress(each.data) if key.endswith(".gz") else each.data)
        check(bronze, written)

    @settings(
        max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(
        seed=st.integers(0, 10**9),
        kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=1, unique=True),
        end=st.sampled_from(["\n", "\r\n"]),
    )
    def test_any_mixture(
        self, tmp_path_factory: pytest.TempPathFactory, seed: int, kinds: list[str], end: str
    ) -> None:
        """Whatever kinds of rows stand in whatever order, none gets another's number."""
        bronze = Bronze(tmp_path_factory.mktemp("dirty"), SCHEMA)
        written = {"f.csv": write_dirty(random.Random(seed), 40, end, bom=False, kinds=kinds)}
        bronze.write("f.csv", written["f.csv"].data)
        check(bronze, written)

    @pytest.mark.slow
    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    def test_files_of_many_buffers(self, tmp_path: Path, end: str) -> None:
        """Numbers hold where several threads read one file."""
        bronze = Bronze(tmp_path, SCHEMA)
        rng = random.Random(5)
        kinds = [each for each in KINDS if not each.startswith("broken twice")]
        written = {
            f"f{number}.csv": write_dirty(rng, 800_000, end, bom=False, kinds=kinds)
            for number in range(2)
        }
        for key, each in written.items():
            bronze.write(key, each.data)
        check(bronze, written)
