"""Tests of the tree of errors against its drawing."""

import inspect
import re
from dataclasses import dataclass

import pytest

from lading import errors
from lading.errors import (
    ChecksumError,
    ConfigError,
    GuardError,
    ImmutableError,
    Interrupted,
    LadingError,
    RefusedError,
    StoreError,
    UsageError,
)

_LINE = re.compile(r"^    (?P<branch>[│├└─ ]*)(?P<name>[A-Z]\w+)(?P<rest>  .*)$")


@dataclass(frozen=True)
class Drawn:
    """One line of the drawing."""

    name: str
    """Name of the class."""
    parent: str
    """Name of the class that it hangs from, or ""."""
    codes: tuple[int, ...]
    """Exit codes that the line names."""


def read_drawing() -> list[Drawn]:
    """Read the tree that stands in the module's docstring."""
    assert errors.__doc__
    drawn, above = [], [""]
    for line in errors.__doc__.splitlines():
        found = _LINE.match(line)
        if not found:
            continue
        depth = len(found["branch"]) // 4
        codes = re.match(r" +exit ((?:\d+(?:, )?)+)", found["rest"])
        numbers = tuple(int(code) for code in codes[1].split(", ")) if codes else ()
        above[depth + 1 :] = [found["name"]]
        drawn.append(Drawn(found["name"], above[depth], numbers))
    return drawn


def _is_defined_here(value: object) -> bool:
    return inspect.isclass(value) and value.__module__ == errors.__name__


def classes() -> dict[str, type[LadingError]]:
    """Return the classes that the module defines."""
    return {
        name: each
        for name, each in inspect.getmembers(errors, inspect.isclass)
        if _is_defined_here(each) and issubclass(each, LadingError)
    }


def test_each_class_is_drawn_once() -> None:
    """The drawing names exactly the classes of the module, and all are of one tree."""
    defined = [name for name, each in vars(errors).items() if _is_defined_here(each)]
    assert sorted(classes()) == sorted(defined)
    assert sorted(classes()) == sorted(each.name for each in read_drawing())


@pytest.mark.parametrize("drawn", read_drawing(), ids=lambda each: each.name)
def test_parent(drawn: Drawn) -> None:
    """Each class is a child of the one that it hangs from."""
    (base,) = classes()[drawn.name].__bases__
    assert (drawn.parent or "Exception") == base.__name__


@pytest.mark.parametrize(
    "drawn",
    [each for each in read_drawing() if each.name != "Interrupted"],
    ids=lambda each: each.name,
)
def test_exit_code(drawn: Drawn) -> None:
    """Each class ends a run with the code of its line, or with that of the class above it."""
    parents = {each.name: each for each in read_drawing()}
    line = drawn
    while not line.codes:
        line = parents[line.parent]
    assert line.codes == (classes()[drawn.name].exit_code,)


def test_interrupted() -> None:
    """A signal ends a run with 128 and its number; the drawing names the two that we take."""
    (drawn,) = (each for each in read_drawing() if each.name == "Interrupted")
    assert (Interrupted(2).exit_code, Interrupted(15).exit_code) == drawn.codes
    assert str(Interrupted(15)) == "interrupted by signal 15"


@pytest.mark.parametrize("each", classes().values(), ids=lambda each: each.__name__)
def test_documented(each: type[LadingError]) -> None:
    """Each class says in its docstring what happened."""
    assert each.__dict__.get("__doc__")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (LadingError("it failed"), "it failed"),
        (LadingError("it failed", hint="try this"), "it failed; try this"),
        (
            ImmutableError("it differs"),
            "it differs; publish under a new tag; an immutable prefix is never rewritten",
        ),
        (ChecksumError("it differs", hint="mine"), "it differs; mine"),
        (ConfigError(["a: one", "b: two"]), "a: one\nb: two"),
        (ConfigError(["a: one"], hint="try this"), "a: one; try this"),
    ],
)
def test_text(error: LadingError, expected: str) -> None:
    """The text is the message and, where there is one, what to do about it."""
    assert expected == str(error)


def test_hint_belongs_to_one_error() -> None:
    """A hint that one error is given does not become that of its class."""
    LadingError("a", hint="mine")
    assert LadingError("b").hint == ""
    assert GuardError("c").hint == GuardError.hint


def test_problems() -> None:
    """The problems of a configuration are facts, not text to parse."""
    assert ConfigError(["a", "b"]).problems == ("a", "b")


def test_caught_by_family() -> None:
    """Whoever catches a family catches its members, and no others."""
    assert issubclass(ConfigError, UsageError)
    assert not issubclass(RefusedError, UsageError)
    assert not issubclass(ImmutableError, StoreError)
