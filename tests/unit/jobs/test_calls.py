"""What an entrypoint answers, as an exit code."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lading.jobs.run import current_run
from tests.unit.jobs.job_world import World, tuple_job, typed_job


def returning(value: Any) -> Callable[..., Any]:
    """Return an entrypoint of both kinds that returns a value."""
    return lambda *_: value


def leaving(value: Any) -> Callable[..., Any]:
    """Return an entrypoint of both kinds that ends with ``sys.exit``."""
    return lambda *_: sys.exit(value)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A project."""
    return World(tmp_path)


@pytest.mark.parametrize("make", [tuple_job, typed_job])
@pytest.mark.parametrize("end", [returning, leaving])
@pytest.mark.parametrize(
    ("value", "code"), [(None, 0), (0, 0), (1, 1), (65, 65), (75, 75), (78, 78), (255, 255)]
)
def test_exit_codes(
    world: World, make: Any, end: Callable[[Any], Any], value: int | None, code: int
) -> None:
    """What is returned, or given to ``sys.exit``, is the exit code; None is 0."""
    outcome = world.run(make(end(value)))
    assert outcome.exit_code == code
    assert world.kinds() == ["START", "FAIL" if code else "COMPLETE"]
    assert world.messages == [f"ended with exit code {code}" if code else "done"]


@pytest.mark.parametrize("make", [tuple_job, typed_job])
@pytest.mark.parametrize("value", [True, False, 256, -1, "done", [], 0.0])
def test_no_exit_codes(world: World, make: Any, value: object) -> None:
    """What may mean anything (True: it worked, or 1?), or is cut by the system, is an error."""
    outcome = world.run(make(returning(value)))
    assert outcome.exit_code == 70
    assert outcome.message == (
        f"entrypoint: expected an exit code from 0 to 255 or None, got {value!r}"
    )
    assert "exception" not in world.said[-1]


@pytest.mark.parametrize("make", [tuple_job, typed_job])
def test_last_words(world: World, make: Any) -> None:
    """The text of ``sys.exit`` is what the run says at its end, and 1 its exit code."""
    outcome = world.run(make(leaving("no such agency: 7\n")))
    assert (outcome.exit_code, outcome.message) == (1, "no such agency: 7")
    assert world.messages == ["no such agency: 7"]
    assert "exception" not in world.said[-1]


def test_argparse(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Arguments that argparse refuses are 78: a scheduler does not try them again."""

    def main(argv: list[str]) -> int:
        argparse.ArgumentParser().parse_args(argv)
        return 0

    assert world.run(tuple_job(main), "--nope").exit_code == 78
    assert "unrecognized arguments: --nope" in capsys.readouterr().err


def test_two_of_its_own(world: World) -> None:
    """A job that returns 2 means something of its own: tools end with it for much."""
    assert world.run(tuple_job(returning(2))).exit_code == 2


@pytest.mark.parametrize(
    ("end", "code"), [(returning(3), 65), (leaving(3), 65), (leaving("x"), 65), (returning(4), 4)]
)
def test_bad_data(world: World, end: Any, code: int) -> None:
    """Exit codes that a specification calls bad data end the run with 65."""
    assert world.run(typed_job(end, bad_data=frozenset({1, 3}))).exit_code == code


def test_arguments_arrive(world: World) -> None:
    """A tuple's entrypoint gets a list of its own, and may ask for its run."""
    got: list[Any] = []

    def main(argv: list[str]) -> None:
        got.append((list(argv), current_run().job))
        argv.clear()

    world.run(tuple_job(main), "--a", "b c")
    assert got == [(["--a", "b c"], "hello")]
    assert world.events()[1]["run"]["facets"]["lading"]["arguments"] == ["--a", "b c"]
    with pytest.raises(LookupError):
        current_run()
