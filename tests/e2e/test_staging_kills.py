"""kill -9 of a rollout and of a cleanup, at any request and at the push; then the same command.

A handful of moments is in the ordinary suite. Every request, cut before it is done and after, with
the local state and without it, is one command::

    pytest -m slow -n 0 tests/e2e/test_staging_kills.py

``LADING_CUTS=40`` bounds how many requests of each schedule are cut, evenly spread.
"""

import os
import shutil
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.e2e.staging_cuts import Stage, converge, make_stage, nth, save_given_up

pytestmark = [
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl"),
    pytest.mark.xdist_group("staging-kills"),
]
APPLY, DELETE = r"kubernetes PATCH \S+", r"kubernetes DELETE .*"
MOMENTS = ("fresh", "restage", "leftover", "deploy", "cleanup", "given up")
PUSH = "git push"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A world that can be set back to each moment."""
    with make_stage(tmp_path_factory.mktemp("stage")) as stage:
        yield stage


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "pattern", "number", "after", "is_lost"),
    [
        ("fresh", APPLY, 3, True, False),
        pytest.param("restage", APPLY, 2, False, True, marks=pytest.mark.slow),
        pytest.param("leftover", DELETE, 1, True, True, marks=pytest.mark.slow),
        pytest.param("deploy", APPLY, 4, False, False, marks=pytest.mark.slow),
        pytest.param("cleanup", r"sentry GET .*", 1, False, True, marks=pytest.mark.slow),
        pytest.param("cleanup", PUSH, 1, False, True, marks=pytest.mark.slow),
        ("cleanup", PUSH, 1, True, False),
    ],
    ids=lambda value: str(value).replace(" ", "-"),
)
def test_killed(
    stage: Stage, moment: str, pattern: str, number: int, *, after: bool, is_lost: bool
) -> None:
    """Killed with all its children, the same command ends as an uncut run; a third does nothing."""
    stage.uncut(moment)
    stage.kill_at(moment, nth(pattern, number), after=after)
    assert stage.cut_at
    if is_lost:
        stage.team.forget()
    converge(stage, moment)


@pytest.mark.slow
def test_group_killed_between_two_objects(stage: Stage) -> None:
    """The installed doit, killed between the apply of one object and the next, is resumed."""
    stage.uncut("fresh")
    stage.kill_really("fresh", nth(APPLY, 2), after=False)
    (made,) = stage.touched("fresh")
    assert made[2] in stage.team.names()
    stage.team.forget()
    converge(stage, "fresh")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "pattern", "number"),
    [("fresh", APPLY, 1), ("leftover", APPLY, 1), ("deploy", APPLY, 2), ("cleanup", DELETE, 1)],
)
def test_killed_alone(stage: Stage, moment: str, pattern: str, number: int) -> None:
    """Where doit alone is killed, a kubectl that goes on beside the next run does no harm."""
    stage.uncut(moment)
    stage.kill_at(moment, nth(pattern, number), after=False, alone=True)
    assert stage.cut_at
    converge(stage, moment)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("is_lost", [False, True])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_every_request(stage: Stage, moment: str, *, after: bool, is_lost: bool) -> None:
    """Killed at any request, the same command ends as an uncut run; a third does nothing."""
    save_given_up(stage)
    asked = stage.requests_of(moment)
    cut: Counter[str] = Counter()
    count = min(len(asked), int(os.environ.get("LADING_CUTS", "1000")))
    for number in sorted({1 + round(index * len(asked) / count) for index in range(count)}):
        stage.kill_at(moment, lambda at, _, n=number: at == n, after=after)  # type: ignore[misc]
        cut[stage.cut_at.partition(" ")[0] or "none"] += 1
        if is_lost:
            stage.team.forget()
        try:
            converge(stage, moment)
        except AssertionError as error:
            error.add_note(f"{moment}: cut at request {number}, {stage.cut_at!r}, after={after}")
            raise
    print(f"{moment}, lost={is_lost}, after={after}: {len(asked)} requests, cut at {dict(cut)}")  # noqa: T201  figures
    assert cut["none"] <= 2  # the last requests may be fewer in another run
