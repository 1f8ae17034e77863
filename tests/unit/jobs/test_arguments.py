"""From a command line to the arguments of a job."""

import datetime as dt
import json
import os
import subprocess
import sys
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, SecretStr, create_model, field_validator, model_validator

from lading.config.values import Url
from lading.errors import MisconfiguredError
from lading.jobs.arguments import identifying, parse_arguments, render_usage, wants_help
from lading.jobs.options import find_unusable
from lading.jobs.spec import Arguments, JobSpec


class Mode(Enum):
    """How fast."""

    FAST = "fast"
    SLOW = "slow"


class Level(IntEnum):
    """How much."""

    ONE = 1
    TWO = 2


class Wanted(Arguments):
    """One field of each kind."""

    agency_id: str = Field(description="Agency, 100% of it.", min_length=3)
    limit: int | None = None
    share: float = 0.5
    target: Path = Path("out")
    since: dt.date | None = None
    until: dt.datetime | None = None
    mode: Mode = Mode.FAST
    level: Level = Level.ONE
    size: Literal["small", "big", 3] = "small"
    dry_run: bool = False
    years: tuple[int, ...] = ()
    names: list[str] = Field(["a", "b"])
    days: frozenset[dt.date] = frozenset()
    source: Annotated[Url, Field(description="Where from.")] = "s3://bucket"
    either: int | Literal["all"] = "all"


def spec_of(model: type[Arguments], **more: Any) -> JobSpec:
    """Return a job with some arguments."""
    return JobSpec(entrypoint=lambda *_: 0, description="Does it.", arguments=model, **more)


SPEC = spec_of(Wanted)


def problems_of(*argv: str, spec: JobSpec = SPEC) -> list[str]:
    """Return the lines with which a command line is refused."""
    with pytest.raises(MisconfiguredError) as caught:
        parse_arguments("copy", spec, argv)
    text, _, hint = str(caught.value).rpartition("; ")
    assert hint == "`lading run copy -- --help` shows the usage"
    assert caught.value.exit_code == 78
    return text.splitlines()


def one_problem(*argv: str) -> str:
    """Return the only line about options beside a good ``--agency-id``."""
    (line,) = problems_of("--agency-id", "usgs", *argv)
    return line.removeprefix("copy: ")


def parsed(*argv: str) -> dict[str, Any]:
    """Return what was given, beside a good ``--agency-id``."""
    arguments = parse_arguments("copy", SPEC, ["--agency-id", "usgs", *argv])
    return {name: getattr(arguments, name) for name in arguments.model_fields_set - {"agency_id"}}


@pytest.mark.parametrize(
    ("argv", "values"),
    [
        ([], {}),
        (["--limit", "5"], {"limit": 5}),
        (["--limit=-5"], {"limit": -5}),
        (["--limit", "-5"], {"limit": -5}),
        (["--share", "1e-3"], {"share": 0.001}),
        (["--target", "a/b"], {"target": Path("a/b")}),
        (["--since", "2025-01-31"], {"since": dt.date(2025, 1, 31)}),
        (
            ["--until=2025-01-31T12:00:00Z"],
            {"until": dt.datetime(2025, 1, 31, 12, tzinfo=dt.UTC)},
        ),
        (["--mode", "slow"], {"mode": Mode.SLOW}),
        (["--level", "2"], {"level": Level.TWO}),
        (["--size", "3"], {"size": 3}),
        (["--dry-run"], {"dry_run": True}),
        (["--no-dry-run"], {"dry_run": False}),
        (["--years", "1", "--years=2"], {"years": (1, 2)}),
        (["--names=--x", "--names="], {"names": ["--x", ""]}),
        (["--days", "2025-01-31"], {"days": frozenset([dt.date(2025, 1, 31)])}),
        (["--source=s3://b/c=d"], {"source": "s3://b/c=d"}),
        (["--either", "3"], {"either": 3}),
        (["--either", "all"], {"either": "all"}),
    ],
)
def test_values_become_what_the_field_says(argv: list[str], values: dict[str, Any]) -> None:
    """Each kind of field reads its text, written in both ways; the rest keeps its default."""
    assert parsed(*argv) == values


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["--limit", "x"], "--limit: expected a whole number, got 'x'"),
        (["--share", "x"], "--share: expected a number, got 'x'"),
        (["--since", "20250131"], "--since: expected a date such as 2025-01-31, got '20250131'"),
        (["--since=2025-02-30"], "--since: expected a date such as 2025-01-31, got '2025-02-30'"),
        (
            ["--until", "1738324800"],
            "--until: expected a moment such as 2025-01-31T12:00:00Z, got '1738324800'",
        ),
        (
            ["--mode", "slw"],
            "--mode: expected one of 'fast', 'slow', got 'slw' (did you mean 'slow'?)",
        ),
        (["--level", "3"], "--level: expected one of '1', '2', got '3'"),
        (["--years", "1", "--years", "x"], "--years: expected a whole number, got 'x'"),
        (["--either", "x"], "--either: expected a whole number or 'all', got 'x'"),
        (["--limit"], "--limit: expected a value, got nothing"),
        (["--limit", "--dry-run"], "--limit: expected a value, got nothing"),
        (["--limit=1", "--limit=2"], "--limit: expected once, got 2 times"),
        (["--dry-run", "--no-dry-run"], "--dry-run: expected once, got 2 times"),
        (
            ["--dry-run=false"],
            "--dry-run: expected --dry-run or --no-dry-run alone, got ='false'",
        ),
        (["--lim", "1"], "expected a known option, got '--lim' (did you mean '--limit'?)"),
        (["--zzz", "1"], "expected a known option, got '--zzz'"),
        (["stray"], "expected options that begin with --, got 'stray'"),
        (["-n", "--dry-run"], "expected options that begin with --, got '-n'"),
        (["--"], "expected options that begin with --, got '--'"),
        (["--source=s3://u:p@b"], "--source: expected a path or a URL such as"),
    ],
)
def test_what_is_wrong_is_one_line(argv: list[str], line: str) -> None:
    """Each fault says the option, what was expected and what was found."""
    assert one_problem(*argv).startswith(line)


def test_all_problems_are_told_at_once() -> None:
    """Unknown, missing, wrong and stray words: a line each."""
    lines = problems_of("--limit=x", "--agencyid=usgs", "stray", "--mode", "x", "--share=y")
    assert [each.partition(", got")[0] for each in lines] == [
        "copy: expected a known option",
        "copy: expected options that begin with --",
        "copy: --mode: expected one of 'fast', 'slow'",
        "copy: --agency-id: expected a value",
        "copy: --limit: expected a whole number",
        "copy: --share: expected a number",
    ]


def test_limits_of_a_field_are_told() -> None:
    """What the model asks of a value is told in its words."""
    assert problems_of("--agency-id", "x") == [
        "copy: --agency-id: expected at least 3 characters, got 'x'"
    ]


class Judged(Arguments):
    """A model that judges by itself."""

    first: int = 0
    last: int = 0

    @field_validator("first")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("an even number")
        return value

    @model_validator(mode="after")
    def _ordered(self) -> "Judged":
        if self.first > self.last:
            raise ValueError("--first not after --last")
        return self


def test_validators_speak_for_themselves() -> None:
    """What a validator raises stands after ``expected``, of a field or of all together."""
    spec = spec_of(Judged)
    assert problems_of("--first=3", spec=spec) == [
        "copy: --first: expected an even number, got '3'"
    ]
    assert problems_of("--first=4", spec=spec) == [
        "copy: arguments: expected --first not after --last"
    ]


def test_secrets_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that was given by mistake is not repeated."""
    monkeypatch.setenv("API_TOKEN", "very-secret-value")
    lines = problems_of("very-secret-value", "--agency-id=usgs", "--limit=very-secret-value")
    assert "very-secret" not in "\n".join(lines)
    assert "pass" not in one_problem("--source=s3://user:pass@bucket")


@pytest.mark.parametrize(
    ("argv", "wanted"),
    [(["-h"], True), (["--x", "--help"], True), (["--helpful", "help"], False), ([], False)],
)
def test_wants_help(argv: list[str], wanted: bool) -> None:  # noqa: FBT001  a table
    """-h and --help ask for the usage, wherever they stand."""
    assert wants_help(argv) is wanted


def test_usage_shows_every_argument() -> None:
    """Names, types, help and defaults are shown, in 80 columns."""
    usage = render_usage("copy", SPEC)
    words = " ".join(usage.split())
    assert usage.startswith("usage: lading run copy -- --agency-id TEXT [--limit INT]")
    assert max(map(len, usage.splitlines())) <= 80
    for line in (
        "--agency-id TEXT Agency, 100% of it. [required]",
        "--target PATH [default: out]",
        "--since DATE",
        "--mode {fast,slow} [default: fast]",
        "--dry-run, --no-dry-run [default: --no-dry-run]",
        "--years INT [several times]",
        "--names TEXT [several times] [default: a, b]",
        "--source TEXT Where from. [default: s3://bucket]",
        "--either INT|{all} [default: all]",
    ):
        assert line in words


def test_usage_of_odd_choices() -> None:
    """Choices with blanks and brackets do not break the usage: they stand in the help."""
    model = create_model(
        "Odd",
        __base__=Arguments,
        **{f"place_{each}": (Literal["a b", "[c]"], "a b") for each in range(9)},  # type: ignore[call-overload]
    )
    assert "--place-0 CHOICE one of a b, [c]" in " ".join(
        render_usage("copy", spec_of(model)).split()
    )


@pytest.mark.parametrize(
    "annotation", [dict[str, str], SecretStr, bytes, list[list[int]], object, complex | None]
)
def test_fields_that_cannot_be_options(annotation: Any) -> None:
    """A field whose text nobody could read, or that would hold a secret, is a fault."""
    model = create_model("Odd", __base__=Arguments, field=(annotation, ...))
    (fault,) = find_unusable(model)
    assert fault.startswith("arguments.field: expected str, int, float")


def test_options_that_collide() -> None:
    """Two fields may not claim one option; ``--help`` and aliases are not to be had."""
    model = create_model(
        "Odd", __base__=Arguments, cache=(bool, True), no_cache=(str, ""), help=(str, "")
    )
    assert find_unusable(model) == [
        "arguments: expected each option once, found --help 2 times",
        "arguments: expected each option once, found --no-cache 2 times",
    ]
    aliased = create_model("Odd", __base__=Arguments, name=(str, Field(alias="x")))
    assert find_unusable(aliased) == ["arguments.name: expected no alias, found one"]
    assert find_unusable(Wanted) == []


def test_identifying_arguments_are_json() -> None:
    """Those that are named identify a run; without names, all do; JSON takes them."""
    argv = ["--agency-id=usgs", "--days=2025-01-02", "--days=2025-01-01", "--share=inf"]
    arguments = parse_arguments("copy", SPEC, argv)
    named = identifying(spec_of(Wanted, identity=("mode", "agency_id")), arguments)
    assert named == {"agency_id": "usgs", "mode": "fast"}
    every = identifying(SPEC, arguments)
    assert every["days"] == ["2025-01-01", "2025-01-02"]
    assert every["share"] == "inf"
    assert set(every) == set(Wanted.model_fields)
    json.dumps(every, allow_nan=False)
    assert identifying(spec_of(Wanted, identity=()), arguments) == {}


def test_identity_is_the_same_in_every_process() -> None:
    """The order of a set, which differs from process to process, does not count."""
    code = (
        "import json\nfrom lading.jobs.arguments import *\nfrom lading.jobs.spec import *\n"
        "class Wanted(Arguments):\n    names: set[str]\n"
        "spec = JobSpec(entrypoint=print, description='', arguments=Wanted)\n"
        "argv = [f'--names={each}' for each in 'abcdefgh']\n"
        "print(json.dumps(identifying(spec, parse_arguments('x', spec, argv))))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            timeout=60,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert said == {b'{"names": ["a", "b", "c", "d", "e", "f", "g", "h"]}\n'}
