"""Tests of the variables of a command line."""

from collections.abc import Mapping

import pytest

from lading.config.datasets import Dataset
from lading.errors import UsageError
from lading.tasks.variables import KNOWN, Variables, name_release, parse_flag, parse_variables
from tests.fakes.publishing import make_maps_config
from tests.unit.release.test_names import make_config

NAMES = (
    "type, tag, staging, environment, source, accept, config, deep, yes,"
    " dataset, version, branch, image, take, running, json,"
    " args, over, retry, key, per_shard, workers"
)
TRUE = ["1", "true", "yes", "True", "YES"]
FALSE = ["0", "false", "no", "False", "NO"]


def refusal(given: dict[str, str], own: tuple[str, ...] = ()) -> str:
    """Return the message with which variables are refused."""
    with pytest.raises(UsageError) as caught:
        parse_variables(given, own)
    assert caught.value.exit_code == 3
    return str(caught.value)


def test_nothing() -> None:
    """Without variables everything is left out, and staging is neither on nor off."""
    expected = Variables(type="", tag="", staging=None, config="", deep=False, accept="")
    assert expected == parse_variables({})


def test_everything() -> None:
    """Each variable is taken under its own name."""
    given = {
        "type": "a",
        "tag": "b",
        "staging": "1",
        "environment": "e",
        "source": "s3://b",
        "config": "c.toml",
        "deep": "yes",
        "accept": "two words",
        "yes": "1",
        "dataset": "d",
        "version": "0.3.0",
        "branch": "stage/d/v0.3.0",
        "image": "i:1",
        "take": "1",
        "running": "orphan",
        "json": "1",
        "args": "--agency-id 7",
        "over": "items.txt",
        "retry": "0123abcd",
        "key": "again",
        "per_shard": "10",
        "workers": "2",
    }
    expected = Variables(
        type="a",
        tag="b",
        staging=True,
        environment="e",
        source="s3://b",
        config="c.toml",
        deep=True,
        accept="two words",
        yes=True,
        dataset="d",
        version="0.3.0",
        branch="stage/d/v0.3.0",
        image="i:1",
        take=True,
        running="orphan",
        json=True,
        args="--agency-id 7",
        over="items.txt",
        retry="0123abcd",
        key="again",
        per_shard=10,
        workers=2,
    )
    assert expected == parse_variables(given)
    assert sorted(KNOWN) == sorted(given)


@pytest.mark.parametrize("name", ["staging", "deep", "yes", "take", "json"])
@pytest.mark.parametrize(
    ("value", "expected"), [*((t, True) for t in TRUE), *((f, False) for f in FALSE)]
)
def test_flag(name: str, value: str, *, expected: bool) -> None:
    """A flag takes 1/0, true/false and yes/no in any case of letters."""
    assert expected == getattr(parse_variables({name: value}), name)


@pytest.mark.parametrize("name", ["staging", "deep", "yes", "take", "json"])
@pytest.mark.parametrize("value", ["2", "on", "off", "y", "t", " 1", "1 ", "-1", "None", "nein"])
def test_bad_flag(name: str, value: str) -> None:
    """Any other value of a flag is an error, never production."""
    expected = f"{name}: expected 1/0, true/false or yes/no, got {value!r}"
    assert expected == refusal({name: value})


@pytest.mark.parametrize("name", ["per_shard", "workers"])
@pytest.mark.parametrize("value", ["0", "-1", "1.5", "two", "\u0661", "1_000", "9" * 5000, " 1"])
def test_bad_number(name: str, value: str) -> None:
    """A number is one of digits, from 1 on."""
    assert refusal({name: value}) == f"{name}: expected a number from 1 on, got {value!r}"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("stagign", "staging"),
        ("stage", "staging"),
        ("Staging", "staging"),
        ("typ", "type"),
        ("tags", "tag"),
        ("confg", "config"),
        ("acept", "accept"),
        ("accepted", "accept"),
    ],
)
def test_misspelt(name: str, meant: str) -> None:
    """A misspelt name is an error with the nearest known name."""
    assert refusal({"tag": "v1", name: "1"}) == (
        f"{name}=1: expected one of {NAMES}, got {name!r} (did you mean {meant!r}?)"
    )


def test_unknown() -> None:
    """A name that is like no other is an error without a guess."""
    expected = f"zzz=1: expected one of {NAMES}, got 'zzz'"
    assert expected == refusal({"zzz": "1"})


@pytest.mark.parametrize("name", KNOWN)
def test_empty(name: str) -> None:
    """A variable of ours that is given without a value is an error."""
    assert f"{name}=: expected a value, got nothing" == refusal({name: ""})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("two plants closed", "two plants closed"),
        ("utility X", "utility X"),
        ("  zwei   Werke\tstill\n gelegt ", "zwei Werke still gelegt"),
        ("1 0", "1 0"),
        ("数据 删除", "数据 删除"),
        ("a=b, c=d", "a=b, c=d"),
    ],
)
def test_reason(given: str, expected: str) -> None:
    """A reason is kept in its own words, on one line."""
    assert expected == parse_variables({"accept": given}).accept


@pytest.mark.parametrize(
    "given", ["yes", "1", "true", "force", " ", "\t", " ok ", "because-I-say-so"]
)
def test_one_word_is_no_reason(given: str) -> None:
    """One word, or none, is an error that shows what a reason looks like."""
    assert refusal({"accept": given}) == (
        f"accept: expected a reason in words, as accept='utility X has left', got {given!r}"
    )


def test_choice() -> None:
    """Running Jobs are waited for or left alone, and nothing else is understood."""
    assert parse_variables({"running": "wait"}).running == "wait"
    assert refusal({"running": "kill"}) == "running: expected wait or orphan, got 'kill'"


def test_own() -> None:
    """The project's own variables are known, may be empty, and are offered when misspelt."""
    assert parse_variables({"region": "", "tag": "v1"}, ["region"]).tag == "v1"
    assert refusal({"regoin": "x"}, ("region",)).endswith(
        f"expected one of {NAMES}, region, got 'regoin' (did you mean 'region'?)"
    )


def test_parse_flag_names_what_it_reads() -> None:
    """The error of a flag names the variable."""
    with pytest.raises(UsageError, match=r"^region: "):
        parse_flag("region", "")


def named(given: Mapping[str, str], *, roots: bool = True) -> tuple[str, str]:
    """Return channel and tag of a command line, of a project with environments or without."""
    config = make_maps_config() if roots else make_config()
    found = name_release(parse_variables(given), config)
    return found.type, found.tag


@pytest.mark.parametrize(
    "given",
    [
        {"environment": "staging", "version": "v1"},
        {"type": "staging", "tag": "v1"},
        {"environment": "staging", "tag": "v1"},
        {"type": "staging", "version": "v1"},
        {"environment": "staging", "type": "staging", "version": "v1", "tag": "v1"},
    ],
)
def test_words_of_a_release(given: dict[str, str]) -> None:
    """Environment and version are other words for type and tag."""
    assert named(given) == ("staging", "v1")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"environment": "staging", "type": "production"},
            "environment: expected the same as type=production, got 'staging'",
        ),
        ({"version": "v1", "tag": "v2"}, "version: expected the same as tag=v2, got 'v1'"),
    ],
)
def test_words_that_differ(given: dict[str, str], expected: str) -> None:
    """Two words for one thing must agree."""
    with pytest.raises(UsageError) as caught:
        named(given)
    assert str(caught.value) == expected


def test_no_environments() -> None:
    """Where channels have no root, an environment is refused with the words to use instead."""
    with pytest.raises(UsageError, match="environment: expected channels with a root"):
        named({"environment": "production", "version": "v2025.2.3"}, roots=False)
    assert named({"version": "v2025.2.3"}, roots=False) == ("", "v2025.2.3")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"dataset": "d", "version": "1"}, ("", "")),
        ({"branch": "stage/d/v1", "version": "1"}, ("", "")),
        ({"version": "1"}, ("", "")),
        ({"environment": "staging", "version": "v1"}, ("staging", "v1")),
    ],
)
def test_version_of_a_dataset(given: dict[str, str], expected: tuple[str, str]) -> None:
    """Where there are datasets, a version is one of theirs unless an environment is named."""
    config = make_maps_config().model_copy(update={"datasets": {"d": Dataset()}})
    found = name_release(parse_variables(given), config)
    assert (found.type, found.tag, found.version) == (*expected, given["version"])
