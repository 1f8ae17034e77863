"""A plan as one run: what is left is done, what failed is kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lading.errors import MisconfiguredError, PlanError, TemporaryError
from lading.jobs import scatter
from lading.jobs.attempt import Outcome
from lading.jobs.keys import plan_key
from lading.jobs.plans import Plan
from lading.jobs.run import Run
from lading.jobs.running import Telling, tell
from lading.jobs.scatter import Scatter, is_done, plan_retry, plan_work
from lading.jobs.shards import run_shard
from lading.jobs.spec import Job
from lading.storage import Body
from tests.unit.jobs.job_world import CopyArguments, World, outcome_of, plan_of, typed_job


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A project."""
    return World(tmp_path)


@dataclass
class Faulty:
    """A job whose names end as a table says, and that writes the rest."""

    ends: dict[str, int | Exception] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)

    def __call__(self, arguments: CopyArguments, run: Run) -> int:
        """Do a name."""
        self.seen.append(arguments.name)
        end = self.ends.get(arguments.name, 0)
        if isinstance(end, Exception):
            raise end
        if not end:
            run.put(run.store, f"out/{arguments.name}", Body.of_bytes(b"x"))
        return end

    def take(self) -> list[str]:
        """Return what was done since this was asked."""
        seen, self.seen = self.seen, []
        return seen


@dataclass
class Here:
    """Does shards in this process, once each; ``before`` is called with each index."""

    world: World
    job: Job
    before: Callable[[int], None] = lambda _: None
    asked: list[list[int]] = field(default_factory=list)

    def __call__(self, plan: Plan, indexes: Sequence[int], run: Run) -> None:
        """Do shards."""
        self.asked.append(list(indexes))
        for index in indexes:
            self.before(index)
            self.world.told(partial(self._do, plan, index, run))

    def _do(self, plan: Plan, index: int, run: Run, telling: Telling) -> int:
        parent = f"{run.job}/{run.id}"
        return run_shard(self.job, plan, index, run.settings, telling, parent=parent)


def scattered(world: World, job: Job, plan: Plan, runner: Any = None) -> Outcome:
    """Run a plan."""
    errand = Scatter(job=job, plan=plan, settings=world.settings, runner=runner or Here(world, job))
    return world.told(
        lambda telling: tell(job.name, telling, lambda: plan_work(errand), world.settings)
    )


def test_all_good(world: World) -> None:
    """Every item is done; the event of the end names plan and heads; again is a look."""
    work = Faulty()
    job, plan = typed_job(work), plan_of("ann", "bob", "zoe", per_shard=2)
    runner = Here(world, job)
    outcome = scattered(world, job, plan, runner)
    assert (outcome.exit_code, outcome.message) == (0, "3 done, 0 failed")
    assert (work.take(), runner.asked) == (["ann", "bob", "zoe"], [[0, 1]])
    end = outcome_of(world.events()[-1])
    assert end["plan"] == plan.digest
    root = plan.digest[:12]
    assert [(each["stream"], each["sequence"]) for each in end["heads"]] == [
        (f"hello/{root}/{root}-000000", 4),
        (f"hello/{root}/{root}-000001", 2),
    ]
    assert scattered(world, job, plan, runner).exit_code == 0
    assert (work.take(), len(runner.asked)) == ([], 1)
    assert world.letters() == []
    world.require_whole()


def test_failures(world: World) -> None:
    """What failed is a dead letter each, told with its exit code; the worst one is the plan's."""
    work = Faulty({"bad": 65, "crash": RuntimeError("boom")})
    job, plan = typed_job(work), plan_of("ann", "bad", "crash", "zoe")
    outcome = scattered(world, job, plan)
    assert (outcome.exit_code, outcome.message) == (
        70,
        "ended with exit code 70: 2 done, 2 failed",
    )
    letters = {each.item: each for each in world.letters()}
    assert set(letters) == {"run --name=bad", "run --name=crash"}
    assert letters["run --name=bad"].message == "exit code 65: ended with exit code 65"
    assert letters["run --name=crash"].message == "exit code 70: boom"
    assert letters["run --name=bad"].arguments == ("--name=bad",)
    assert world.kinds() == ["START", "FAIL"]
    assert len(outcome_of(world.events()[-1])["heads"]) == 4
    lines = [line for line in world.said if line["level"] == "ERROR"]
    assert [line.get("item") for line in lines] == ["bad", "crash", None, None]
    again = f"`lading run hello --retry {plan.digest[:12]}`"
    assert lines[2]["message"] == f"2 of 4 items are not done; {again} does them again"
    world.require_whole()


def test_again_does_what_is_left(world: World) -> None:
    """The same plan again does only what is not done, and resolves the letters of what is good."""
    work = Faulty({"bad": 65, "worse": 65})
    job, plan = typed_job(work), plan_of("ann", "bad", "worse", "zoe", per_shard=2)
    scattered(world, job, plan)
    first = {each.item: each.first_seen for each in world.letters()}
    work.take()
    del work.ends["bad"]
    runner = Here(world, job)
    assert scattered(world, job, plan, runner).exit_code == 65
    assert work.take() == ["bad", "worse"]
    assert runner.asked == [[0, 1]]
    (letter,) = world.letters()
    assert (letter.item, letter.attempt) == ("run --name=worse", 2)
    assert letter.first_seen == first["run --name=worse"]
    work.ends.clear()
    runner = Here(world, job)
    assert scattered(world, job, plan, runner).exit_code == 0
    assert runner.asked == [[1]]
    assert world.letters() == []


def test_retry_is_a_smaller_plan(world: World) -> None:
    """``--retry`` is of what is not done; what it does is done of the whole plan."""
    work = Faulty({"bad": 65, "worse": 75})
    job, plan = typed_job(work), plan_of("ann", "bad", "worse", "zoe")
    scattered(world, job, plan)
    work.ends.clear()
    work.take()
    small = plan_retry(plan.digest[:12], job, world.settings)
    assert [each.name for each in small.items] == ["bad", "worse"]
    assert scattered(world, job, small).exit_code == 0
    assert work.take() == ["bad", "worse"]
    assert world.letters() == []
    runner = Here(world, job)
    assert scattered(world, job, plan, runner).exit_code == 0
    assert runner.asked == []
    for digest in (plan.digest, small.digest):
        with pytest.raises(MisconfiguredError, match="expected items to try again, found none"):
            plan_retry(digest, job, world.settings)


def test_retry_of_nothing_that_is(world: World) -> None:
    """A plan that is not there, or of another job, is 78."""
    job = typed_job(Faulty())
    with pytest.raises(PlanError):
        plan_retry("0123abcd", job, world.settings)
    plan = plan_of("ann")
    scattered(world, job, plan)
    other = typed_job(Faulty(), "other")
    with pytest.raises(MisconfiguredError, match="expected one of other, found one of hello"):
        plan_retry(plan.digest, other, world.settings)


def test_key_makes_another_plan(world: World) -> None:
    """The same items under another key are done again; of a job with an identity, they are not."""
    for spec, times in (({}, 2), ({"identity": ("name",)}, 1)):
        work = Faulty()
        job = typed_job(work, f"job{times}", **spec)
        for key in ("", "again"):
            assert scattered(world, job, plan_of("ann", job=job.name, key=key)).exit_code == 0
        assert work.take() == ["ann"] * times


def test_outputs_are_looked_at(world: World) -> None:
    """An item is done only while what it wrote stands; its exit code is never believed."""
    work = Faulty()
    job, plan = typed_job(work), plan_of("ann", "zoe")
    scattered(world, job, plan)
    (world.base / "state/out/zoe").unlink()
    assert not is_done(job, plan, plan.items[1], world.settings)
    assert scattered(world, job, plan).exit_code == 0
    assert work.take()[2:] == ["zoe"]

    def ruin(plan: Plan, indexes: Sequence[int], run: Run) -> None:
        Here(world, job)(plan, indexes, run)
        (world.base / "state/out/bob").unlink()

    assert scattered(world, job, plan_of("bob"), ruin).exit_code == 75
    (letter,) = world.letters()
    assert letter.message.startswith("expected its outputs to stand after its run, found them")


def test_ended_by_force(world: World) -> None:
    """An item of which nobody told is named as such: it may work at the next try."""
    job = typed_job(Faulty())
    assert scattered(world, job, plan_of("ann"), lambda *_: None).exit_code == 75
    (letter,) = world.letters()
    assert letter.message.endswith("found nothing: it was ended by force")


@pytest.mark.parametrize(
    ("error", "code"), [(MisconfiguredError("shard 3: x"), 78), (TemporaryError("x"), 75)]
)
def test_runner_gives_up(world: World, error: Exception, code: int) -> None:
    """Where shards cannot go on, the plan ends as they say; letters are for what was tried."""

    def give_up(*_: Any) -> None:
        raise error

    assert scattered(world, typed_job(Faulty()), plan_of("ann"), give_up).exit_code == code
    assert world.letters() == []
    assert world.kinds() == ["START", "FAIL"]


def test_changed_plan(world: World) -> None:
    """A plan file that was changed is 78, naming both digests; no item is begun."""
    plan, other = plan_of("ann"), plan_of("eve")
    world.store.put(plan_key(plan.digest), Body.of_bytes(other.data))
    work = Faulty()
    outcome = scattered(world, typed_job(work), plan)
    assert outcome.exit_code == 78
    assert plan.digest in outcome.message
    assert other.digest in outcome.message
    assert work.take() == []


def test_items_that_cannot_be_asked(world: World) -> None:
    """What a job raises when asked what it will read is said by the item's own run."""

    def inputs(arguments: CopyArguments, _: Any) -> list[Any]:
        if arguments.name == "bad":
            raise RuntimeError("no such folder")
        return []

    outcome = scattered(world, typed_job(Faulty(), inputs=inputs), plan_of("ann", "bad"))
    assert outcome.exit_code == 70
    (letter,) = world.letters()
    assert letter.message == "exit code 70: no such folder"


def test_one_coordinator(world: World) -> None:
    """While one coordinates a plan, another finds it held; a smaller plan of it, too."""
    job, plan = typed_job(Faulty({"bad": 65})), plan_of("ann", "bad")
    found: list[int] = []

    def meanwhile(_: int) -> None:
        if not found:
            found.append(0)
            found.append(scattered(world, job, plan).exit_code)
            small = plan_retry(plan.digest, job, world.settings)
            found.append(scattered(world, job, small).exit_code)

    scattered(world, job, plan, Here(world, job, meanwhile))
    assert found == [0, 75, 75]


def test_many_items_are_looked_at_together(world: World) -> None:
    """A plan of 2,000 items that are all to be done is begun within seconds."""
    seen: list[int] = []

    def count(plan: Plan, indexes: Sequence[int], run: Run) -> None:
        del plan, run
        seen.append(len(indexes))

    plan = plan_of(*map(str, range(2000)), per_shard=100)
    job = typed_job(Faulty())
    errand = Scatter(job=job, plan=plan, settings=world.settings, runner=count)
    assert len(errand._left()) == 2000
    assert scatter._LEASE_S == 60
