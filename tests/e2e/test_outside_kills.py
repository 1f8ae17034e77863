"""kill -9 of a release between any two steps, and at any request; then the same command again.

A handful of moments is in the ordinary suite. Every request of a release, cut before it is done
and after, with the local state and without it, is one command::

    pytest -m slow -n 0 tests/e2e/test_outside_kills.py

``LADING_CUTS=40`` bounds how many requests of each schedule are cut, evenly spread.
"""

import os
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cuts import World, finish, kill_after, require_released, serve_world

STEPS = ("doi", "promote", "git_merge", "zenodo", "cloud_run", "notify")
SOME = {("zenodo", True)}
"""Steps, and whether local state is lost, of the ordinary suite."""


SLOW = pytest.mark.slow
SCHEDULES = [("deposit", False), ("deposit", True), ("workflow", True)]
"""Who deposits, and whether local state is lost; each is cut at all its requests."""


def _converge(world: World, *, is_lost: bool, runs: int) -> None:
    """Give the same command again, and require what one release leaves."""
    if is_lost:
        world.project.forget()
    finish(world.project)
    require_released(world.project, runs=runs)


def _marked(step: str, *, is_lost: bool) -> Any:
    marks = () if (step, is_lost) in SOME else (pytest.mark.slow,)
    return pytest.param(step, is_lost, marks=marks)


@pytest.mark.parametrize(
    ("step", "is_lost"),
    [
        *(_marked(step, is_lost=False) for step in STEPS),
        *(_marked(step, is_lost=True) for step in STEPS if step != "cloud_run"),
    ],
)
def test_killed_between_steps(tmp_path: Path, step: str, *, is_lost: bool) -> None:
    """Killed as soon as a step is done, the same command ends with exactly one of each."""
    with serve_world(tmp_path, cloud_run=_cloud_run(is_lost=is_lost), with_git=False) as world:
        kill_after(world.project, step)
        _converge(world, is_lost=is_lost, runs=0 if is_lost else 1)


@pytest.mark.parametrize(
    ("request_line", "after", "zenodo", "is_lost"),
    [
        pytest.param("sandbox POST /api/records", True, "deposit", True, marks=SLOW),
        pytest.param("sandbox POST .*/pids/doi", True, "deposit", False, marks=SLOW),
        pytest.param("sandbox PUT .*/content", False, "deposit", False, marks=SLOW),
        pytest.param("sandbox POST .*/publish", True, "deposit", True, marks=SLOW),
        ("git POST .*/git-receive-pack", True, "deposit", False),
        pytest.param(
            "github POST .*/deploy.yml/dispatches", True, "deposit", False, marks=pytest.mark.slow
        ),
        pytest.param(
            "github POST .*/zenodo-data-release.yml/dispatches", True, "workflow", True, marks=SLOW
        ),
        pytest.param(
            "slack POST /api/chat.postMessage", True, "deposit", True, marks=pytest.mark.slow
        ),
    ],
)
def test_killed_at_a_request(
    tmp_path: Path, request_line: str, zenodo: str, *, after: bool, is_lost: bool
) -> None:
    """Killed at a request that changes something, the same command ends with exactly one."""
    cloud_run = _cloud_run(is_lost=is_lost)
    with_git = request_line.startswith("git ")
    with serve_world(tmp_path, zenodo=zenodo, cloud_run=cloud_run, with_git=with_git) as world:
        world.tap.kill_at(
            world.project,
            lambda _, asked: bool(re.fullmatch(request_line, asked)),
            after=after,
        )
        assert world.tap.cut_at
        _converge(world, is_lost=is_lost, runs=_runs(zenodo, is_lost=is_lost))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("zenodo", "is_lost"), SCHEDULES)
def test_killed_at_every_request(
    tmp_path: Path, zenodo: str, *, after: bool, is_lost: bool
) -> None:
    """Killed at any request of a release, the same command ends with exactly one of each."""
    cloud_run = _cloud_run(is_lost=is_lost)
    with serve_world(tmp_path / "whole", zenodo=zenodo, cloud_run=cloud_run) as world:
        printed = world.tap.kill_at(world.project, lambda _number, _asked: False, after=after)
        asked = list(world.tap.seen)
        assert "released: every object was read back" in printed
    cut: Counter[str] = Counter()
    count = min(len(asked), int(os.environ.get("LADING_CUTS", "1000")))
    for number in {1 + round(index * len(asked) / count) for index in range(count)}:
        folder = tmp_path / str(number)
        with serve_world(folder, zenodo=zenodo, cloud_run=cloud_run) as world:
            world.tap.kill_at(world.project, lambda at, _, n=number: at == n, after=after)  # type: ignore[misc]
            cut[world.tap.cut_at.partition(" ")[0] or "none"] += 1
            try:
                _converge(world, is_lost=is_lost, runs=_runs(zenodo, is_lost=is_lost))
            except AssertionError as error:
                error.add_note(f"cut at request {number}, {world.tap.cut_at!r}, after={after}")
                raise
        shutil.rmtree(folder)
    print(f"{zenodo}, lost={is_lost}, after={after}: {len(asked)} requests, cut at {dict(cut)}")  # noqa: T201  figures
    assert cut["none"] <= 2  # the last requests may be fewer in another run


def _runs(zenodo: str, *, is_lost: bool) -> int:
    """Return how many runs of workflows a release makes."""
    return (zenodo == "workflow") + (not is_lost)


def _cloud_run(*, is_lost: bool) -> str:
    """Return who deploys: no workflow that bears no mark where notes are lost (ADR 13)."""
    return "" if is_lost else "workflow"
