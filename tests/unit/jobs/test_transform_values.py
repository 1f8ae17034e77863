"""Values of silver: casts, dates, codes, lookups, and what is said of those that are wrong."""

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lading.errors import MisconfiguredError
from lading.jobs.transform import lookups
from tests.unit.jobs.bronze_files import Bronze, letters
from tests.unit.jobs.one_run import call, letters_of

DAY, MOMENT = dt.date(2024, 1, 31), dt.datetime(2024, 1, 31, 9, 30)  # noqa: DTZ001  as Parquet has it


Case = tuple[dict[str, Any], str, Any]
"""Settings of a column, a text, and what it becomes; a text that begins with ``x:`` is a fault."""


def is_fault(case: Case) -> bool:
    """Say whether a case is about a fault."""
    return str(case[2]).startswith("x: ")


def transformed(base: Path, cases: list[Case], **settings: Any) -> tuple[list[Any], list[str]]:
    """Return what all texts become as columns of one row, and what is said of that row."""
    columns = [{"name": f"x{number}", **each} for number, (each, _, _) in enumerate(cases)]
    bronze = Bronze(base, {"columns": columns, **settings})
    names = ",".join(each["name"] for each in columns)
    texts = ",".join('"' + text.replace('"', '""') + '"' for _, text, _ in cases)
    bronze.write("a.csv", f"{names},more\n{texts},1\n")
    run = bronze.do("--max-bad", "1")
    rows = bronze.rows()
    said = [each.message for each in letters_of(run)]
    return list(rows[0].values()) if rows else [], said


def check(base: Path, cases: list[Case], **settings: Any) -> None:
    """Prove good cases by one row, and faults by another."""
    good = [each for each in cases if not is_fault(each)]
    wrong = [each for each in cases if is_fault(each)]
    for name, chosen in (("good", good), ("wrong", wrong)):
        (base / name).mkdir()
        values, said = transformed(base / name, chosen, **settings) if chosen else ([], [])
        if name == "good":
            assert (values, said) == ([each for _, _, each in good], [])
        elif wrong:
            told = [f"x{number}{each[2][1:]}" for number, each in enumerate(wrong)]
            assert (values, said) == ([], ["; ".join(told)])


class TestCasts:
    """From texts to values."""

    def test_types(self, tmp_path: Path) -> None:
        """A text becomes a value of the type, or is named with what was expected."""
        cases: list[Case] = [
            ({"type": "string"}, "  a b ", "a b"),
            ({"type": "string"}, "", None),
            ({"type": "int64"}, " 12 ", 12),
            ({"type": "int64"}, "12.0", 12),
            ({"type": "int64"}, "-7", -7),
            ({"type": "int64"}, "1.5", "x: expected int64, got '1.5'"),
            ({"type": "int64"}, "-1.5", "x: expected int64, got '-1.5'"),
            ({"type": "int64"}, "15e-1", "x: expected int64, got '15e-1'"),
            ({"type": "int32"}, "3000000000", "x: expected int32, got '3000000000'"),
            ({"type": "int32"}, "", None),
            ({"type": "float64"}, "1.5e3", 1500.0),
            ({"type": "float64"}, "nan", "x: expected a finite float64, got 'nan'"),
            ({"type": "float64"}, "1,5", "x: expected float64, got '1,5'"),
            ({"type": "decimal(5,2)"}, "1.5", Decimal("1.50")),
            ({"type": "decimal(5,2)"}, "12345", "x: expected decimal(5,2), got '12345'"),
            ({"type": "bool"}, "Yes", True),
            ({"type": "bool"}, "0", False),
            ({"type": "bool"}, "maybe", "x: expected bool, got 'maybe'"),
            ({"type": "date"}, "2024-01-31", DAY),
            ({"type": "date"}, "31/01/2024", "x: expected date, got '31/01/2024'"),
            ({"type": "date"}, "infinity", "x: expected a finite date, got 'infinity'"),
            ({"type": "timestamp"}, "2024-01-31 09:30:00", MOMENT),
            ({"type": "timestamp"}, "2024-01-31T09:30Z", MOMENT),
            ({"type": "timestamp"}, "yesterday", "x: expected timestamp, got 'yesterday'"),
        ]
        check(tmp_path, cases)

    def test_settings(self, tmp_path: Path) -> None:
        """Every setting of a column does what it says."""
        cases: list[Case] = [
            ({"trim": False}, " a ", " a "),
            ({"case": "upper"}, "co", "CO"),
            ({"required": True}, " ", "x: expected a value, got nothing"),
            ({"required": True, "type": "int64"}, "", "x: expected a value, got nothing"),
            ({"required": True, "type": "int64"}, "q", "x: expected int64, got 'q'"),
            ({"type": "date", "dates": ["%d/%m/%Y", "%Y%m%d"]}, "31/01/2024", DAY),
            ({"type": "date", "dates": ["%d/%m/%Y", "%Y%m%d"]}, "20240131", DAY),
            (
                {"type": "date", "dates": ["%d/%m/%Y"]},
                "31/02/2024",
                "x: expected date as %d/%m/%Y, got '31/02/2024'",
            ),
            ({"type": "timestamp", "dates": ["%d.%m.%Y %H:%M"]}, "31.01.2024 09:30", MOMENT),
            ({"codes": {"w": "Wind"}}, "w", "Wind"),
            ({"codes": {"w": "Wind"}}, "", None),
            ({"codes": {"w": "Wind"}}, "q", "x: expected a known code, got 'q'"),
            ({"codes": {"w": "Wind"}, "unknown": "keep"}, "q", "q"),
            ({"codes": {"w": "Wind"}, "unknown": "null"}, "q", None),
            ({"codes": {"W": "Wind"}, "case": "upper"}, " w", "Wind"),
            ({"codes": {"one": 1}, "type": "int32"}, "one", 1),
            ({"codes": {"one": 1}, "type": "int32", "unknown": "keep"}, "2", 2),
            ({"codes": {"ja": True}, "type": "bool"}, "ja", True),
            ({"type": "int64", "min": 0, "max": 23}, "24", "x: expected at most 23, got '24'"),
            ({"type": "int64", "min": 0}, "-1", "x: expected at least 0, got '-1'"),
            ({"type": "float64", "max": 0.5}, "0.5", 0.5),
            (
                {"type": "date", "min": "2024-02-01"},
                "2024-01-31",
                "x: expected at least 2024-02-01, got '2024-01-31'",
            ),
            ({"pattern": "[A-Z]{2}"}, "CO", "CO"),
            ({"pattern": "[A-Z]{2}"}, "COL", "x: expected [A-Z]{2}, got 'COL'"),
            ({"type": "int64"}, 'it\'s\n"two"', "x: expected int64, got 'it's \"two\"'"),
            ({"type": "int64"}, "z" * 100, f"x: expected int64, got '{'z' * 60}'"),
        ]
        check(tmp_path, cases)

    def test_texts_for_no_value(self, tmp_path: Path) -> None:
        """Texts of nulls are no values, even such as are numbers; without any, "" is a text."""
        cases: list[Case] = [
            ({"type": "float64"}, "n/a", None),
            ({"type": "float64"}, " - ", None),
            ({"type": "int64"}, "-999", None),
            ({"type": "int64"}, "-99", -99),
            ({"type": "date"}, "", "x: expected date, got ''"),
            ({}, "n/a ", None),
            ({"trim": False}, "n/a ", "n/a "),
        ]
        check(tmp_path, cases, nulls=["n/a", "-", "-999"])
        none = tmp_path / "none"
        none.mkdir()
        assert transformed(none, [({}, "", ""), ({"type": "bool"}, "no", None)], nulls=[]) == (
            ["", False],
            [],
        )

    def test_all_reasons_of_a_row(self, tmp_path: Path) -> None:
        """A bad row is told once, with every reason, its number and the whole of it."""
        schema = {
            "columns": [
                {"name": "n", "type": "int64", "from": "N r"},
                {"name": "d", "type": "date"},
                {"name": "s", "required": True},
            ]
        }
        bronze = Bronze(tmp_path, schema)
        bronze.write("a.csv", "d,N r,s,more\n2024-01-31,1,a,x\nsoon,few,,\u00e9\n")
        run = bronze.do("--max-bad", "1")
        (letter,) = letters_of(run)
        assert letter.row == 2
        assert letter.message == (
            "n: expected int64, got 'few'; d: expected date, got 'soon';"
            " s: expected a value, got nothing"
        )
        assert letter.error_class == "RowError"
        assert letter.reference == f"{bronze.source}/a.csv"
        assert json.loads(letter.payload or "") == {"d": "soon", "N r": "few", "s": "", "more": "é"}

    @pytest.mark.parametrize(
        ("column", "expected"),
        [
            ({"codes": {"a": "x"}, "type": "int32"}, "columns[0].codes.a: expected int32, got 'x'"),
            ({"pattern": "(?=a)"}, "columns[0].pattern: expected a pattern of RE2, got: "),
        ],
    )
    def test_what_only_the_engine_can_tell(
        self, tmp_path: Path, column: dict[str, Any], expected: str
    ) -> None:
        """Codes of another type, and patterns that the engine does not know, are problems."""
        bronze = Bronze(tmp_path, {"columns": [{"name": "x", **column}]})
        bronze.write("a.csv", "x\na\n")
        with pytest.raises(MisconfiguredError) as caught:
            call_it(bronze)
        assert f"plants.json: {expected}" in str(caught.value)


def call_it(bronze: Bronze) -> int:
    """Run, which may fail."""
    from lading.jobs.builtin.transform import JOB  # noqa: PLC0415

    return call(JOB, bronze.run())


class TestLookups:
    """Tables that enrich rows."""

    SCHEMA: ClassVar[dict[str, Any]] = {
        "columns": [{"name": "id", "type": "int64"}, {"name": "state"}],
        "lookups": [
            {"file": "states.csv", "on": {"state": "code"}, "take": {"region": "Region"}},
        ],
    }
    ROWS = "id,state\n1,CO\n2,XX\n3,\n4,AL\n5,CO\n"

    @pytest.mark.parametrize("wide", [1, 2000])
    def test_enrich(self, tmp_path: Path, wide: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """Rows get what the table has of their key, in their order, however large it is."""
        monkeypatch.setattr(lookups, "_WIDE", wide)
        bronze = Bronze(tmp_path, self.SCHEMA)
        (tmp_path / "states.csv").write_text("code,Region\nCO, West \nAL,South\nNY,\n")
        bronze.write("a.csv", self.ROWS)
        run = bronze.do("--max-bad", "1")
        assert [(row["id"], row["region"]) for row in bronze.rows()] == [
            (1, "West"),
            (3, None),
            (4, "South"),
            (5, "West"),
        ]
        assert letters(run) == [("a.csv", 2, "state: expected a key of states.csv, got 'XX'")]

    def test_missing_keys_may_be_null(self, tmp_path: Path) -> None:
        """With missing = "null" a row without a key in the table is good."""
        lookup = {**self.SCHEMA["lookups"][0], "missing": "null"}
        bronze = Bronze(tmp_path, {**self.SCHEMA, "lookups": [lookup]})
        (tmp_path / "states.csv").write_text("code,Region\nCO,West\n")
        bronze.write("a.csv", self.ROWS)
        assert letters(bronze.do()) == []
        assert [row["region"] for row in bronze.rows()] == ["West", None, None, None, "West"]

    def test_parquet_of_two_columns(self, tmp_path: Path) -> None:
        """A table of Parquet keeps its types; keys of several columns are compared as values."""
        lookup = {"file": "t.parquet", "on": {"id": "i", "state": "s"}, "take": {"mw": "mw"}}
        bronze = Bronze(tmp_path, {**self.SCHEMA, "lookups": [lookup]})
        made = pa.table({"i": [1, 4], "s": ["CO", "AL"], "mw": [1.5, None]})
        pq.write_table(made, tmp_path / "t.parquet")
        bronze.write("a.csv", "id,state\n01,CO\n4,AL\n1,AL\n")
        run = bronze.do("--max-bad", "1")
        assert bronze.rows() == [
            {"id": 1, "state": "CO", "mw": 1.5},
            {"id": 4, "state": "AL", "mw": None},
        ]
        assert letters(run) == [
            ("a.csv", 3, "id, state: expected a key of t.parquet, got '1', 'AL'")
        ]

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("code,Region\nCO,a\nCO,b\n", "expected each key of code once, got several rows for"),
            ("code,region_name\n", "expected a table with code, Region in states.csv, got: the"),
            ("", "expected a table with code, Region in states.csv, got: "),
        ],
    )
    def test_wrong_tables(self, tmp_path: Path, text: str, expected: str) -> None:
        """A table with a key twice, or without a column, is a problem of the schema."""
        bronze = Bronze(tmp_path, self.SCHEMA)
        (tmp_path / "states.csv").write_text(text)
        bronze.write("a.csv", self.ROWS)
        with pytest.raises(MisconfiguredError) as caught:
            call_it(bronze)
        assert expected in str(caught.value)


class TestJsonLines:
    """Objects, one a line."""

    SCHEMA: ClassVar[dict[str, Any]] = {
        "format": "jsonl",
        "columns": [
            {"name": "id", "type": "int64", "required": True},
            {"name": "ok", "type": "bool"},
            {"name": "note", "from": "a.note"},
        ],
    }

    def test_good_and_bad(self, tmp_path: Path) -> None:
        """Lines become rows; what is no object, or wrong, is told with its number and text."""
        bronze = Bronze(tmp_path, self.SCHEMA)
        lines = [
            '{"id": 1, "ok": true, "a.note": "x, \\"y\\"", "more": [1]}',
            "",
            '{"id": "2"}',
            "{broken",
            "[3]",
            '{"id": null, "ok": "maybe"}',
        ]
        bronze.write("a.jsonl", "\r\n".join(lines))
        run = bronze.do("--max-bad", "1")
        assert bronze.rows() == [
            {"id": 1, "ok": True, "note": 'x, "y"'},
            {"id": 2, "ok": None, "note": None},
        ]
        assert [(each.row, each.message, each.payload) for each in letters_of(run)] == [
            (3, "expected a JSON object, got '{broken'", "{broken"),
            (4, "expected a JSON object, got '[3]'", "[3]"),
            (
                5,
                "id: expected a value, got nothing; ok: expected bool, got 'maybe'",
                lines[-1],
            ),
        ]

    def test_keys_that_no_line_has(self, tmp_path: Path) -> None:
        """A key that is in no line is a problem of the schema; one that is always null is not."""
        bronze = Bronze(tmp_path, self.SCHEMA)
        bronze.write("a.jsonl", '{"id": 1, "a.note": null}\n{"id": 2}\n')
        with pytest.raises(MisconfiguredError, match=r"expected columns .* got ok$"):
            call_it(bronze)
        bronze.write("b.jsonl", '{"id": 1, "ok": null}\n')
        assert call_it(bronze) == 0
