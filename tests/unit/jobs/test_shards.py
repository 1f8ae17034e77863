"""A shard of a plan: its items, one run each."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from lading.errors import MisconfiguredError
from lading.jobs.plans import Plan
from lading.jobs.run import Run
from lading.jobs.shards import load_result, plan_streams, run_shard, shard_stream, worst
from lading.jobs.spec import Job
from lading.storage import Body
from tests.unit.jobs.job_world import CopyArguments, World, plan_of, tuple_job, typed_job
from tests.unit.jobs.trails import run_id

CODES = {"bad": 65, "crash": 70, "later": 75, "wrong": 78}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A project."""
    return World(tmp_path)


def job_of(seen: list[str]) -> Job:
    """Return a job whose end hangs on the name that it gets."""

    def entrypoint(arguments: CopyArguments, run: Run) -> int:
        seen.append(arguments.name)
        run.count("done")
        return CODES.get(arguments.name, 0)

    return typed_job(entrypoint)


def shard(world: World, job: Job, plan: Plan, index: int = 0, **more: Any) -> int:
    """Run a shard of a plan."""
    told = {name: more.pop(name) for name in ("metrics", "receipt") if name in more}
    return world.told(
        lambda telling: run_shard(job, plan, index, world.settings, telling, **more), **told
    )


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([], 0),
        ([0, 0], 0),
        ([0, 65, 0], 65),
        ([65, 70], 70),
        ([65, 70, 75], 75),
        ([75, 78, 65], 78),
        ([78, 143], 143),
        ([75, 130], 130),
        ([65, 3, 4], 3),
        ([65, 200, 75], 75),
        ([200, 65], 200),
    ],
)
def test_worst(codes: list[int], expected: int) -> None:
    """Stopped, then a wrong setting, then what may pass, what is unforeseen, last bad data."""
    assert worst(codes) == expected


def test_items_in_order(world: World) -> None:
    """Each item is a run; one that fails does not stop the rest; results stand beside the plan."""
    seen: list[str] = []
    plan = plan_of("ann", "bad", "crash", "zoe", per_shard=4)
    assert shard(world, job_of(seen), plan, parent=f"hello/{run_id(3)}") == 70
    assert seen == ["ann", "bad", "crash", "zoe"]
    results = [load_result(world.store, plan, each.name) for each in plan.items]
    assert [each.exit_code for each in results if each] == [0, 65, 70, 0]
    assert results[1] is not None
    assert results[1].message == "ended with exit code 65: 1 done"
    stream = shard_stream(plan, 0)
    assert stream == f"hello/{plan.digest[:12]}/{plan.digest[:12]}-000000"
    assert stream.startswith(plan_streams(plan))
    assert len(world.kinds(stream)) == 8
    assert {each["run"]["facets"]["parent"]["run"]["runId"] for each in world.events(stream)} == {
        run_id(3)
    }
    assert [line["item"] for line in world.said] == ["ann", "bad", "crash", "zoe"]
    world.require_whole()


def test_again(world: World) -> None:
    """The same shard again does only what is not done; a smaller plan knows what is."""
    seen: list[str] = []
    plan = plan_of("ann", "bad", "zoe", per_shard=3)
    shard(world, job_of(seen), plan)
    assert shard(world, job_of(seen), plan) == 65
    assert seen == ["ann", "bad", "zoe", "bad"]
    assert shard(world, job_of(seen), plan_of("ann", "zoe", per_shard=3, key="anew")) == 0
    assert seen[4:] == ["ann", "zoe"]


def test_setting(world: World) -> None:
    """A wrong setting ends the shard: all other items would find it so."""
    seen: list[str] = []
    plan = plan_of("ann", "wrong", "zoe", per_shard=3)
    assert shard(world, job_of(seen), plan) == 78
    assert seen == ["ann", "wrong"]


def test_signal(world: World) -> None:
    """SIGTERM in an item ends the shard with 143; the next one is not begun."""
    seen: list[str] = []

    def main(argv: list[str]) -> int:
        seen.append(argv[0])
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    assert shard(world, tuple_job(main), plan_of("ann", "zoe", per_shard=2)) == 143
    assert seen == ["--name=ann"]


@pytest.mark.parametrize(("name", "code"), [("ann", 143), ("zoe", 0)])
def test_signal_at_the_end_of_an_item(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    """One that comes when an item's work is done lets it be done, and begins no other."""
    seen: list[str] = []

    def describe() -> str:
        os.kill(os.getpid(), signal.SIGTERM)
        return "late"

    def entrypoint(arguments: CopyArguments, run: Run) -> None:
        seen.append(arguments.name)
        if arguments.name == name:
            monkeypatch.setattr(run, "describe", describe)

    plan = plan_of("ann", "zoe", per_shard=2)
    assert shard(world, typed_job(entrypoint), plan) == code
    assert seen == ["ann", "zoe"][: 2 if name == "zoe" else 1]
    done = [load_result(world.store, plan, name) for name in seen]
    assert [each.exit_code for each in done if each] == [0] * len(seen)


def test_no_such_shard(world: World) -> None:
    """An index out of range is told before anything is done."""
    with pytest.raises(MisconfiguredError, match="expected an index from 0 to 1, got 2"):
        shard(world, job_of([]), plan_of("ann", "zoe"), 2)
    assert not (world.base / "state").exists()


def test_metrics_and_receipt_are_the_shards(world: World) -> None:
    """They tell of all its items together; where they cannot be written nothing is done."""
    plan = plan_of("ann", "bad", "zoe", per_shard=3)
    metrics, receipt = world.base / "a.prom", world.base / "receipt.json"
    shard(world, job_of([]), plan, metrics=metrics, receipt=receipt)
    assert 'lading_job_items{job="hello",state="done"} 3.0' in metrics.read_text()
    table = json.loads(receipt.read_text())
    assert (table["exit_code"], table["message"]) == (65, "2 of 3 items done")
    seen: list[str] = []
    with pytest.raises(MisconfiguredError, match="metrics: expected a file in a folder"):
        shard(world, job_of(seen), plan_of("x"), metrics=world.base / "nowhere/a.prom")
    assert seen == []


@pytest.mark.parametrize("data", [None, b"", b"[]", b'{"name": "ann"}', b"\xff"])
def test_no_result(world: World, data: bytes | None) -> None:
    """What nobody told, or cannot be read, is not known."""
    plan = plan_of("ann")
    shard(world, job_of([]), plan)
    (key,) = (each.key for each in world.store.list(f".lading/plans/{plan.digest}/items/"))
    if data is None:
        world.store.delete([key])
    else:
        world.store.put(key, Body.of_bytes(data))
    assert load_result(world.store, plan, "ann") is None
