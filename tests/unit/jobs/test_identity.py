"""What identifies a run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lading.jobs.canonical import canonical_json
from lading.jobs.identity import identify
from lading.jobs.refs import ObjectRef

_texts = st.text(max_size=8)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | _texts,
    lambda each: st.lists(each, max_size=3) | st.dictionaries(_texts, each, max_size=3),
    max_leaves=5,
)
_arguments = st.dictionaries(_texts, _values, max_size=4)
_refs = st.builds(
    ObjectRef,
    store_url=st.sampled_from(["s3://bronze", "memory://"]),
    key=st.text(min_size=1, max_size=5),
    size_bytes=st.integers(0, 9),
    version=st.sampled_from(["", "1", "2"]),
    sha256=st.sampled_from(["", "a" * 64, "b" * 64]),
    crc32c=st.sampled_from(["", "AAAAAA==", "mnG7TA=="]),
)
_REF = ObjectRef(
    store_url="s3://bronze", key="a", size_bytes=3, version="1", sha256="a" * 64, crc32c="mnG7TA=="
)


@settings(max_examples=60, deadline=None)
@given(_arguments, st.lists(_refs, max_size=4), st.randoms())
def test_order_does_not_count(
    arguments: dict[str, Any], inputs: list[ObjectRef], luck: Any
) -> None:
    """Neither the order of arguments nor that of inputs, nor naming one twice, changes the key."""
    names, others = list(arguments), [*inputs, *inputs[:1]]
    luck.shuffle(names)
    luck.shuffle(others)
    turned = {name: arguments[name] for name in names}

    before = identify("copy", arguments, inputs, repeats=False)
    after = identify("copy", turned, others, repeats=False)

    assert (after.key, after.fingerprint) == (before.key, before.fingerprint)


@settings(max_examples=60, deadline=None)
@given(_arguments, _arguments)
def test_any_argument_counts(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Arguments that differ as JSON make another key."""
    assume(canonical_json(one) != canonical_json(other))
    assert (
        identify("a", one, None, repeats=False).key != identify("a", other, None, repeats=False).key
    )


@pytest.mark.parametrize(
    "change",
    [
        {"store_url": "s3://silver"},
        {"key": "b"},
        {"size_bytes": 4},
        {"sha256": "b" * 64},
        {"sha256": ""},
    ],
    ids=str,
)
def test_any_input_counts(change: dict[str, Any]) -> None:
    """Place, size and bytes of an input are parts of the key."""
    before = identify("copy", {}, [_REF], repeats=False)
    after = identify("copy", {}, [replace(_REF, **change)], repeats=False)

    assert after.key != before.key
    assert after.fingerprint != before.fingerprint


@pytest.mark.parametrize(
    ("known", "change", "is_same"),
    [
        ({}, {"version": "2"}, True),
        ({}, {"crc32c": "AAAAAA=="}, True),
        ({"sha256": ""}, {"crc32c": "AAAAAA=="}, False),
        ({"sha256": ""}, {"version": "2"}, True),
        ({"sha256": "", "crc32c": ""}, {"version": "2"}, False),
    ],
    ids=str,
)
def test_the_strongest_counts(known: dict[str, Any], change: dict[str, Any], is_same: bool) -> None:  # noqa: FBT001
    """Of sha256, crc32c and version only the first that is known counts: a copy is the same."""
    one = replace(_REF, **known)
    keys = {
        identify("copy", {}, [each], repeats=False).key for each in (one, replace(one, **change))
    }
    assert (len(keys) == 1) is is_same


def test_no_inputs_differ_from_unlisted_ones() -> None:
    """A run that lists no input at all is not one whose job lists none."""
    unlisted = identify("copy", {}, None, repeats=False)
    empty = identify("copy", {}, [], repeats=False)

    assert unlisted.fingerprint == ""
    assert len(empty.fingerprint) == 64
    assert unlisted.key != empty.key


def test_job_counts_and_repeating_does_not() -> None:
    """Two jobs never share a key; a run that repeats has the key of one that does not."""
    copy = identify("copy", {"a": 1}, None, repeats=False)
    again = identify("copy", {"a": 1}, None, repeats=True)

    assert identify("move", {"a": 1}, None, repeats=False).key != copy.key
    assert again.key == copy.key
    assert (copy.believes_done, again.believes_done) == (True, False)


def test_key_stays_what_it_was() -> None:
    """A key written today is found by the next version of this program."""
    found = identify("copy", {"b": [1, None], "a": "ü"}, [_REF], repeats=False)
    assert found.fingerprint == "c73bafb3fda77783f65280120b10083d52399d13b2ed425536240998cf82f8b9"
    assert found.key == "13832f6e2ced54760c1a1810c488e0bf"


@pytest.mark.parametrize("value", [Path("a"), float("nan")], ids=str)
def test_what_json_does_not_take(value: object) -> None:
    """An argument that JSON has no word for is refused, not guessed."""
    with pytest.raises((TypeError, ValueError)):
        identify("copy", {"a": value}, None, repeats=False)
