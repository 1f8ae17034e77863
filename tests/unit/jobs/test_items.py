"""Items of a plan, read and put into arguments."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import MisconfiguredError
from lading.jobs.items import load_items, make_plan

_WORDS = st.text(min_size=1, max_size=8)


def refusal(*given: object, **more: object) -> str:
    """Return what is wrong with a plan."""
    with pytest.raises(MisconfiguredError) as caught:
        make_plan(*given, **more)  # type: ignore[arg-type]
    return str(caught.value)


class TestRead:
    """Files of items."""

    def test_lines(self, tmp_path: Path) -> None:
        """A line an item; blank lines and blanks around count for nothing."""
        path = tmp_path / "items.txt"
        path.write_text("\ufeffa\r\n\n  b c \n{not json\nd\u2028e\n", encoding="utf-8")
        assert [each["item"] for each in load_items(path)] == ["a", "b c", "{not json", "d\u2028e"]

    def test_objects(self, tmp_path: Path) -> None:
        """A JSON object a line, of texts and numbers."""
        path = tmp_path / "items.jsonl"
        path.write_text('{"agency": "epa", "year": 2024}\n\n{"agency": "7", "year": 1.5}\n')
        assert load_items(path) == [
            {"agency": "epa", "year": "2024"},
            {"agency": "7", "year": "1.5"},
        ]

    @pytest.mark.parametrize(
        "line",
        ["{", "[]", "{}", "7", '{"a": null}', '{"a": [1]}', '{"a": true}', "[" * 100_000],
    )
    def test_no_objects(self, tmp_path: Path, line: str) -> None:
        """All lines that are none are told, by number."""
        path = tmp_path / "items.jsonl"
        path.write_text(f'{{"a": "b"}}\n{line}\n\n{line}\n')
        with pytest.raises(MisconfiguredError) as caught:
            load_items(path)
        lines = str(caught.value).splitlines()
        assert [each.split(": ")[1] for each in lines] == ["line 2", "line 4"]
        assert "expected a JSON object of texts and numbers, got" in lines[0]
        assert len(lines[0]) < 300

    @pytest.mark.parametrize("name", ["--evil", "a b", "", "1", "\u00e9", "a=b"])
    def test_names_of_fields(self, tmp_path: Path, name: str) -> None:
        """A field is to be the name of an option."""
        path = tmp_path / "items.jsonl"
        path.write_text(json.dumps({name: "x"}) + "\n")
        with pytest.raises(MisconfiguredError, match="expected names of small letters"):
            load_items(path)

    @pytest.mark.parametrize("name", ["nowhere", "folder", "binary", "nul"])
    def test_no_file(self, tmp_path: Path, name: str) -> None:
        """What cannot be read as text is one line that names it."""
        (tmp_path / "folder").mkdir()
        (tmp_path / "binary").write_bytes(b"\xff\xfe\x00a")
        (tmp_path / "nul").write_bytes(b"a\0b\n")
        with pytest.raises(MisconfiguredError) as caught:
            load_items(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)


class TestPlan:
    """Plans made of them."""

    def test_lines(self) -> None:
        """The item stands wherever the template says."""
        plan = make_plan("copy", ("--id={item}", "-v", "{item}"), [{"item": "a b"}])
        (item,) = plan.items
        assert (item.name, item.argv) == ("a b", ("--id=a b", "-v", "a b"))

    def test_fields(self) -> None:
        """Fields that the template does not use become options, a word each."""
        row = {"agency": "epa", "source_bucket": "--dry-run"}
        (item,) = make_plan("copy", ("--agency-id", "{agency}"), [row]).items
        assert item.name == "epa/--dry-run"
        assert item.argv == ("--agency-id", "epa", "--source-bucket=--dry-run")

    def test_what_an_item_says_is_put_in_as_it_is(self) -> None:
        """An item that looks like a field of another is no field; other braces stay."""
        rows = [{"a": "{b}", "b": "{a}"}]
        (item,) = make_plan("copy", ("{a}{b}", "{c} {}", '{"a": 1}'), rows).items
        assert item.argv == ("{b}{a}", "{c} {}", '{"a": 1}')

    @given(st.lists(_WORDS, min_size=1, unique=True), st.integers(1, 5))
    def test_every_item_once(self, names: list[str], per_shard: int) -> None:
        """Shards together hold every item once, in order."""
        rows = [{"item": name} for name in names]
        plan = make_plan("copy", ("{item}",), rows, per_shard=per_shard)
        shards = [plan.shard(index) for index in range(plan.shards)]
        assert [each.name for shard in shards for each in shard] == names
        assert {len(each) for each in shards[:-1]} <= {per_shard}

    def test_refused(self) -> None:
        """No items, items twice, items that stand nowhere, fields that some lack."""
        rows = [{"item": name} for name in "abcdefgabcdefg"]
        assert refusal("copy", ("{item}",), []) == (
            "plan of copy: expected at least one item, got none"
        )
        assert refusal("copy", ("{item}",), rows) == (
            "plan of copy: expected each item once, got several times:"
            " 'a', 'b', 'c', 'd', 'e' and 2 more"
        )
        assert refusal("copy", ("--x", "{itme}"), rows[:1]) == (
            "arguments: expected {item} where the item 'a' is to stand, got --x {itme}"
        )
        assert refusal("copy", (), rows[:1]).endswith("got nothing")
        assert refusal("copy", ("{a}", "{b}"), [{"a": "1", "b": "2"}, {"b": "3"}, {"c": ""}]) == (
            "plan of copy: expected 'a' of each item, found none of 2, the first is number 2\n"
            "plan of copy: expected 'b' of each item, found none of 1, the first is number 3"
        )
        assert refusal("copy", ("{item}",), rows[:1], per_shard=0) == (
            "per_shard: expected at least 1 item, got 0"
        )
