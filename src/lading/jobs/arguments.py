"""From a command line to the typed arguments of a job, and back."""

import argparse
import json
import math
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from lading.config.problems import nearest, render_value
from lading.errors import MisconfiguredError
from lading.jobs.options import Option, read_options
from lading.jobs.spec import Arguments, JobSpec
from lading.services.redaction import redact

_WIDTH = 80
_MOMENTS = {
    "DATE": "a date such as 2025-01-31",
    "DATETIME": "a moment such as 2025-01-31T12:00:00Z",
}
_SCALARS = {"int": "a whole number", "float": "a number", **_MOMENTS}


@dataclass(slots=True)
class _Given:
    """What a command line gave."""

    values: dict[str, list[Any]] = field(default_factory=dict)
    """By field, in order."""
    problems: list[str] = field(default_factory=list)
    """What is wrong with it."""
    faulty: set[str] = field(default_factory=set)
    """Fields of which a problem tells already."""

    def refuse(self, problem: str, name: str = "") -> None:
        """Note a problem of a field, or of the whole."""
        self.problems.append(problem)
        self.faulty.add(name)


def wants_help(argv: Sequence[str]) -> bool:
    """Say whether a command line asks for the usage."""
    return any(each in {"-h", "--help"} for each in argv)


def parse_arguments(job: str, spec: JobSpec, argv: Sequence[str]) -> Arguments:
    """Read the arguments of a job.

    A field ``agency_id: str`` is ``--agency-id TEXT``, or ``--agency-id=TEXT`` where the text
    begins with ``--``; a bool ``--flag`` and ``--no-flag``; a tuple, list or set may be given
    several times; a Literal or Enum offers its choices. Names are never abbreviated.

    Raises:
        MisconfiguredError: every problem at once, a line each, and how to see the usage.
    """
    options = read_options(spec.arguments)
    given = _read(options, argv)
    values = dict(_values(options, given))
    parsed = None
    try:
        parsed = spec.arguments.model_validate(values, strict=False)
    except ValidationError as error:
        given.problems += _render(error, {each.name: each for each in options}, given.faulty)
    if parsed is None or given.problems:
        raise MisconfiguredError(
            "\n".join(f"{job}: {redact(problem)}" for problem in given.problems),
            hint=f"`lading run {job} -- --help` shows the usage",
        )
    return parsed


def render_usage(job: str, spec: JobSpec) -> str:
    """Return the usage of a job with every argument and its help, as ``--help`` prints it."""
    parser = argparse.ArgumentParser(
        prog=f"lading run {job} --",
        description=spec.description,
        formatter_class=_formatter,
        add_help=False,
    )
    for option in read_options(spec.arguments):
        is_required = option.default is None
        if option.kind == "flag":
            how: dict[str, Any] = {"action": argparse.BooleanOptionalAction}
        else:
            how = {"metavar": option.metavar}
        parser.add_argument(
            option.flag,
            help=_help(option),
            required=is_required,
            default=argparse.SUPPRESS,
            **how,
        )
    parser.add_argument("-h", "--help", action="store_true", help="show this and do nothing")
    return parser.format_help()


def identifying(spec: JobSpec, arguments: Arguments) -> dict[str, Any]:
    """Return the arguments that identify a run, as JSON takes them; all where none are named.

    Equal arguments give equal JSON: sets are sorted.
    """
    names = tuple(type(arguments).model_fields) if spec.identity is None else spec.identity
    table = arguments.model_dump(mode="json", include=set(names))
    return {name: _steady(table[name], getattr(arguments, name)) for name in sorted(names)}


def _steady(dumped: Any, value: Any) -> Any:
    """Return a value as JSON that is the same in every process."""
    if isinstance(value, set | frozenset):
        return sorted(dumped, key=json.dumps)
    if isinstance(dumped, float) and not math.isfinite(dumped):
        return str(dumped)
    return dumped


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.HelpFormatter(prog, max_help_position=28, width=_WIDTH)


def _help(option: Option) -> str:
    notes = [option.help]
    if option.choices and not option.metavar.startswith("{"):
        notes.append(f"one of {', '.join(option.choices)}")
    if option.kind == "many":
        notes.append("[several times]")
    if option.default is None:
        notes.append("[required]")
    elif option.default:
        notes.append(f"[default: {option.default}]")
    return " ".join(filter(None, notes)).replace("%", "%%")


def _read(options: Sequence[Option], argv: Sequence[str]) -> _Given:
    """Sort the words of a command line to the options that they belong to."""
    given = _Given()
    by_flag = {each.flag: each for each in options}
    flags = {each.flag: (each, True) for each in options if each.kind == "flag"}
    flags |= {each.negated: (each, False) for each in options if each.kind == "flag"}
    words = deque(argv)
    while words:
        word = words.popleft()
        name, equals, text = word.partition("=")
        if name in flags:
            option, is_on = flags[name]
            if equals:
                given.refuse(_no_value(option, text), option.name)
            given.values.setdefault(option.name, []).append(is_on)
        elif not name.startswith("--") or name == "--":
            given.refuse(f"expected options that begin with --, got {render_value(word)}")
        else:
            _note(given, name, text if equals else _next_value(words), by_flag)
    return given


def _note(given: _Given, name: str, value: str | None, by_flag: Mapping[str, Option]) -> None:
    option = by_flag.get(name)
    if option is None:
        close = nearest(name[2:], [each[2:] for each in by_flag]).replace("mean '", "mean '--")
        given.refuse(f"expected a known option, got {name!r}{close}")
    elif value is None:
        given.refuse(f"{name}: expected a value, got nothing", option.name)
    else:
        given.values.setdefault(option.name, []).append(value)


def _next_value(words: deque[str]) -> str | None:
    """Take the value of an option; a negative number is one, another option is none."""
    return words.popleft() if words and not words[0].startswith("--") else None


def _no_value(option: Option, text: str) -> str:
    return f"{option.flag}: expected {option.flag} or {option.negated} alone, got ={text!r}"


def _values(options: Sequence[Option], given: _Given) -> Iterator[tuple[str, Any]]:
    """Yield what the model gets, by field; notes what it need not see."""
    for option in options:
        texts = given.values.get(option.name, [])
        if option.name in given.faulty or not texts:
            continue
        if option.kind != "many" and len(texts) > 1:
            given.refuse(f"{option.flag}: expected once, got {len(texts)} times", option.name)
            continue
        problems = [] if option.kind == "flag" else [*_find_problems(option, texts)]
        for problem in problems:
            given.refuse(problem, option.name)
        if not problems:
            values = [option.choices.get(each, each) for each in texts] if option.choices else texts
            yield option.name, values if option.kind == "many" else values[0]


def _find_problems(option: Option, texts: Sequence[str]) -> Iterator[str]:
    for text in texts:
        if option.choices and text not in option.choices:
            wanted = ", ".join(map(repr, option.choices))
            close = nearest(text, option.choices)
            yield f"{option.flag}: expected one of {wanted}, got {render_value(text)}{close}"
        # pydantic takes 20250131 for seconds since 1970
        elif option.is_moment and not re.match(r"\d{4}-\d\d-\d\d", text):
            yield f"{option.flag}: expected {_MOMENTS[option.metavar]}, got {render_value(text)}"


def _render(error: ValidationError, options: Mapping[str, Option], told: set[str]) -> list[str]:
    """Return a line for each value that is wrong; a value that fits none of several types: one."""
    wanted: dict[tuple[str, str], dict[str, None]] = {}
    for detail in error.errors(include_url=False):
        name = str(detail["loc"][0]) if detail["loc"] else ""
        if name in told and name:
            continue
        found = "nothing" if detail["type"] == "missing" else render_value(detail["input"])
        option = options.get(name)
        wanted.setdefault((name, found if option else ""), {})[_expectation(detail, option)] = None
    return [
        f"{options[name].flag}: expected {' or '.join(each)}, got {found}"
        if name in options
        else f"arguments: expected {' and '.join(each)}"
        for (name, found), each in wanted.items()
    ]


def _expectation(detail: ErrorDetails, option: Option | None) -> str:
    kind = detail["type"]
    if kind == "missing":
        return "a value"
    if kind == "expected":
        return str(detail.get("ctx", {})["what"])
    if option and option.is_moment and kind.startswith("date"):
        return _MOMENTS[option.metavar]
    if kind in {"int_parsing", "int_type", "int_from_float", "float_parsing", "float_type"}:
        return _SCALARS[kind.partition("_")[0]]
    if kind == "value_error":
        return detail["msg"].removeprefix("Value error, ")
    words = re.sub(r"^\w+ should (be |have )?", "", detail["msg"])
    return words.replace("match pattern", "what matches", 1)
