"""Schema files: what they may say, and every problem at once."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lading.errors import MisconfiguredError, UnavailableError
from lading.jobs.settings import JobSettings
from lading.jobs.transform.load import load_schema, parse_schema
from lading.jobs.transform.rules import find_conflicts
from lading.jobs.transform.schema import Schema, render_schema
from lading.storage import MemoryStore

SCHEMA_PATH = Path(__file__).parents[3] / "schemas" / "transform.schema.json"
TOML = """
key = ["plant"]
partition_by = ["year(day)"]

[[columns]]
name = "plant"
from = "Plant ID"

[[columns]]
name = "day"
type = "date"
min = 2020-01-01
dates = ["%d/%m/%Y"]

[[columns]]
name = "fuel"
codes = { "01" = "wind" }

[[lookups]]
file = "states.csv"
on = { plant = "id" }
take = { state = "state" }
"""
YAML = """
columns:
  - {name: fuel, codes: {"yes": true, "no": false}, type: bool}
"""


def table(**settings: Any) -> dict[str, Any]:
    """Return a schema with columns a (string), n (int64) and d (date), and what is given."""
    columns = [{"name": "a"}, {"name": "n", "type": "int64"}, {"name": "d", "type": "date"}]
    return {"columns": columns, **settings}


def problems(data: Any, name: str = "s.json") -> list[str]:
    """Return what is wrong with a schema file, a line each."""
    with pytest.raises(MisconfiguredError) as caught:
        parse_schema(data if isinstance(data, bytes) else json.dumps(data).encode(), name)
    assert caught.value.exit_code == 78
    return str(caught.value).splitlines()


class TestJsonSchema:
    """The schema of schema files, for editors."""

    def test_equals_the_models(self) -> None:
        """The file in the repository is what the models render."""
        assert SCHEMA_PATH.read_text(encoding="utf-8") == render_schema()

    def test_is_a_schema(self) -> None:
        """It is valid, takes a whole schema file, and refuses what the models refuse."""
        schema = json.loads(render_schema())
        jsonschema.Draft202012Validator.check_schema(schema)
        validator = jsonschema.Draft202012Validator(schema)
        assert not list(validator.iter_errors(table(key=["a"])))
        wrong = table(columns=[{"name": "a", "from": "A", "type": "text"}])
        assert [each.json_path for each in validator.iter_errors(wrong)] == ["$.columns[0].type"]


class TestLanguages:
    """TOML, YAML and JSON."""

    def test_toml(self) -> None:
        """TOML is read; its dates without quotes are taken, and the file names the schema."""
        schema = parse_schema(TOML.encode(), "plants.toml")
        assert schema.name == "plants"
        assert schema.columns[0].origin == "Plant ID"
        assert schema.columns[1].min == "2020-01-01"
        assert schema.columns[2].codes == {"01": "wind"}

    def test_yaml_and_json(self) -> None:
        """YAML and JSON give the same."""
        schema = parse_schema(YAML.encode(), "s.yaml")
        assert schema == parse_schema(schema.model_dump_json(by_alias=True).encode(), "s.json")
        assert schema.columns[0].codes == {"yes": True, "no": False}

    def test_keys_that_yaml_takes_for_something_else(self) -> None:
        """A key of YAML that is no text, such as yes, is a problem, not another key."""
        said = problems(b"columns: [{name: a, codes: {yes: x, 2: y}}]", "s.yml")
        assert said == [
            "s.yml: columns[0].codes: expected text as a key, got True; put it in quotes",
            "s.yml: columns[0].codes: expected text as a key, got 2; put it in quotes",
        ]

    @pytest.mark.parametrize(
        ("data", "name", "expected"),
        [
            (b"a = ", "s.toml", "s.toml: expected TOML, got: "),
            (b"{", "s.json", "s.json: expected JSON, got: "),
            (b"a: [", "s.yaml", "s.yaml: expected YAML, got: "),
            (b"[1]", "s.json", "s.json: expected a table, got list"),
            (b"\xff", "s.toml", "s.toml: expected UTF-8 text, got "),
            (b"", "s.txt", "s.txt: expected a file that ends in "),
        ],
    )
    def test_no_schema_at_all(self, data: bytes, name: str, expected: str) -> None:
        """What cannot be read is told in one line."""
        (said,) = problems(data, name)
        assert said.startswith(expected)


class TestProblems:
    """What is wrong with a schema."""

    def test_all_at_once(self) -> None:
        """Every problem of shape is told, one line each, with its place."""
        columns = [
            {"name": "2a", "type": "text"},
            {"name": "b", "form": "B"},
            {"name": "c", "dates": ["%Q"]},
            {"name": "d", "type": "decimal(40,2)"},
        ]
        assert problems({"columns": columns, "delimiter": ";;", "encoding": "klingon"}) == [
            "s.json: delimiter: expected one ASCII character, got ';;'",
            (
                "s.json: encoding: expected an encoding of Python's, such as 'utf-8' or 'cp1252',"
                " got 'klingon'"
            ),
            (
                "s.json: columns[0].name: expected a name of letters, digits and '_' that starts"
                " with a letter, got '2a'"
            ),
            (
                "s.json: columns[0].type: expected string, int64, int32, float64,"
                " decimal(digits,places), bool, date or timestamp, got 'text'"
            ),
            (
                "s.json: columns[1].form: expected one of case, codes, dates, from, max, min, name,"
                " pattern, required, trim, type, unknown, got 'form' (did you mean 'from'?)"
            ),
            (
                "s.json: columns[2].dates[0]: expected a format of strptime without time zones,"
                " such as '%d/%m/%Y', got '%Q'"
            ),
            (
                "s.json: columns[3].type: expected decimal(digits,places) with at most 38 digits,"
                " and no more places, got 'decimal(40,2)'"
            ),
        ]

    @pytest.mark.parametrize(
        ("settings", "expected"),
        [
            ({"columns": []}, "columns: expected at least 1 entry, got none"),
            ({"key": ["b"]}, "key: expected one of a, n, d, got 'b'"),
            ({"order_by": "n"}, "order_by: expected a key beside it, got none"),
            ({"key": ["a"], "order_by": "m"}, "order_by: expected one of a, n, d, got 'm'"),
            ({"partition_by": ["e"]}, "partition_by: expected one of a, n, d, got 'e'"),
            (
                {"partition_by": ["year(n)"]},
                "partition_by[0]: expected a date or timestamp, got type int64",
            ),
            (
                {"partition_by": ["a", "n", "d"]},
                "partition_by: expected a column that is none of it, got none",
            ),
            (
                {"partition_by": ["year(d)"], "constants": {"year": "x"}},
                "partition_by: expected names that no other column has, got year",
            ),
            ({"constants": {"A": "x"}}, "columns: expected each name once, got 'a' 2 times"),
            (
                {"lookups": [{"file": "x.csv", "on": {"z": "k"}, "take": {"w": "w"}}]},
                "lookups[0].on: expected one of a, n, d, got 'z'",
            ),
            (
                {"lookups": [{"file": "x.csv", "on": {"a": "k"}, "missing": "null"}]},
                "lookups[0].take: expected columns, or missing = 'bad', got neither",
            ),
            ({"columns": [{"name": "a", "dates": ["%Y"]}]}, "columns[0].dates: expected a date"),
            ({"columns": [{"name": "a", "min": 1}]}, "columns[0].min: expected none for"),
            (
                {"columns": [{"name": "a", "type": "int64", "max": "x"}]},
                "columns[0].max: expected a number, got 'x'",
            ),
            (
                {"columns": [{"name": "a", "type": "date", "max": 5}]},
                "columns[0].max: expected a date such as '2020-01-31', got 5",
            ),
            (
                {"columns": [{"name": "a", "type": "int64", "pattern": "x"}]},
                "columns[0].pattern: expected type string, got int64",
            ),
            (
                {"columns": [{"name": "a", "unknown": "keep"}]},
                "columns[0].unknown: expected codes beside it, got none",
            ),
            (
                {"columns": [{"name": "a", "case": "upper", "codes": {"w": "x"}}]},
                "columns[0].codes: expected codes in upper case, got 'w'",
            ),
            (
                {"columns": [{"name": "a", "codes": {" w": "x"}}]},
                "columns[0].codes: expected codes without spaces at their ends, got ' w'",
            ),
            (
                {"columns": [{"name": "a", "codes": {"": "x"}}]},
                "columns[0].codes: expected none of the texts of nulls, got ''",
            ),
            (
                {"header": False},
                ("columns[0].from: expected the number of a column, from 1, where there is no"
                " header, got 'a'"),
            ),
            (
                {"format": "jsonl", "columns": [{"name": "a", "from": 'x"'}]},
                "columns[0].from: expected a key without quotes and backslashes, got 'x\"'",
            ),
            (
                {"columns": [{"name": "a"}, {"name": "f", "type": "float64"}],
                 "partition_by": ["f"]},
                "partition_by[0]: expected a type with exact values, got float64",
            ),
        ],
    )  # fmt: skip
    def test_conflicts(self, settings: dict[str, Any], expected: str) -> None:
        """Settings that clash, and names that do not exist, are told with their place."""
        schema = Schema.model_validate_json(json.dumps(table(**settings)), strict=True)
        assert any(each.startswith(expected) for each in find_conflicts(schema))
        assert any(expected in each for each in problems(table(**settings)))

    def test_none(self) -> None:
        """A schema that uses everything has none."""
        columns = [
            {"name": "a", "case": "lower", "codes": {"w": "x"}, "unknown": "keep"},
            {"name": "n", "type": "decimal(9,2)", "min": 0, "max": 1.5},
            {"name": "d", "type": "timestamp", "min": "2020-01-01T10:00:00", "required": True},
        ]
        settings = {
            "key": ["a", "d"],
            "order_by": "n",
            "keep": "last",
            "partition_by": ["month(d)", "b"],
            "lookups": [{"file": "x.csv", "on": {"a": "k"}, "take": {"b": "b"}}],
            "constants": {"origin": "{source_file}"},
        }
        data = json.dumps({"columns": columns, **settings}).encode()
        assert parse_schema(data, "s.json").name == "s"


class TestFiles:
    """The schema file and its lookups, wherever they are."""

    def test_lookups_stand_beside_it(self, tmp_path: Path) -> None:
        """A lookup is found from the schema's folder; the bytes of both are fingerprints."""
        folder = tmp_path / "schemas"
        folder.mkdir()
        (folder / "plants.toml").write_text(TOML)
        (folder / "states.csv").write_text("id,state\n1,CO\n")
        settings = JobSettings(base=tmp_path)
        loaded = load_schema("schemas/plants.toml", settings.open_store)
        assert [each.key for each in loaded.refs] == ["plants.toml", "states.csv"]
        assert loaded.lookups[0].data == b"id,state\n1,CO\n"
        (folder / "states.csv").write_text("id,state\n1,AL\n")
        again = load_schema(str(folder / "plants.toml"), settings.open_store)
        assert [a == b for a, b in zip(loaded.refs, again.refs, strict=True)] == [True, False]

    def test_what_is_missing(self, tmp_path: Path) -> None:
        """A schema or lookup that is not there is told with the place that names it."""
        (tmp_path / "plants.toml").write_text(TOML)
        opened = JobSettings(base=tmp_path).open_store
        with pytest.raises(MisconfiguredError, match="--schema: expected a file, found none"):
            load_schema("other.toml", opened)
        with pytest.raises(MisconfiguredError, match=r"lookups\[0\].file: expected a file, found"):
            load_schema("plants.toml", opened)

    def test_a_store_that_does_not_answer(self) -> None:
        """That the store is not to be reached is no fault of the schema's."""

        class Down(MemoryStore):
            def get(self, key: str, start: int = 0, stop: int | None = None) -> bytes:
                del start, stop
                raise UnavailableError(f"{key}: expected an answer, got none")

        with pytest.raises(UnavailableError):
            load_schema("memory://down/s.toml", Down)
