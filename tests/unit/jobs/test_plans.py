"""Plans: frozen in a file that is named after its own digest."""

import hashlib
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lading.errors import ConditionError, MisconfiguredError, PlanError
from lading.jobs.keys import plan_key
from lading.jobs.plans import find_plan, load_plan, parse_plan, save_plan, smaller_plan
from lading.storage import Body, MemoryStore
from tests.fakes.stores import FakeWatchedStore
from tests.unit.jobs.job_world import plan_of

PLAN = plan_of("ann", "bob", "zoe", per_shard=2)


def put(store: MemoryStore, digest: str, data: bytes) -> None:
    """Put bytes where the plan of a digest is to stand."""
    store.put(plan_key(digest), Body.of_bytes(data))


def test_digest() -> None:
    """Equal plans have equal bytes; whatever is another plan, has others."""
    assert plan_of("ann", "bob", "zoe", per_shard=2).digest == PLAN.digest
    assert hashlib.sha256(PLAN.data).hexdigest() == PLAN.digest
    others = [
        plan_of("ann", "bob", "zoe"),
        plan_of("bob", "ann", "zoe", per_shard=2),
        plan_of("ann", "bob", "zoe", per_shard=2, job="other"),
        plan_of("ann", "bob", "zoe", per_shard=2, key="again"),
        replace(PLAN, retry_of="a" * 64),
    ]
    assert len({PLAN.digest, *(each.digest for each in others)}) == 6


def test_golden() -> None:
    """The file's bytes never change: plans that stand must be found by their items."""
    assert plan_of("a").data == (
        b'{"format":"lading-plan/1","items":[{"argv":["--name=a"],"name":"a"}],"job":"hello",'
        b'"key":"","per_shard":1,"retry_of":""}\n'
    )


def test_round_trip() -> None:
    """A plan that was kept is read as it was."""
    store = MemoryStore()
    key = save_plan(store, PLAN)
    assert key == f".lading/plans/{PLAN.digest}/plan.json"
    assert load_plan(store, PLAN.digest) == PLAN
    assert save_plan(store, PLAN) == key
    assert parse_plan(PLAN.data) == PLAN


@pytest.mark.parametrize(("index", "names"), [(0, ["ann", "bob"]), (1, ["zoe"])])
def test_shards(index: int, names: list[str]) -> None:
    """A shard is some items in order."""
    assert PLAN.shards == 2
    assert [each.name for each in PLAN.shard(index)] == names


@pytest.mark.parametrize("index", [-1, 2, 10**9])
def test_no_such_shard(index: int) -> None:
    """An index out of range is 78, naming the range."""
    with pytest.raises(MisconfiguredError, match=f"expected an index from 0 to 1, got {index}$"):
        PLAN.shard(index)


def test_smaller() -> None:
    """A smaller plan is of the same root, however often it is made; its items in order."""
    small = smaller_plan(PLAN, ["zoe", "ann", "nobody"])
    assert [each.name for each in small.items] == ["ann", "zoe"]
    assert small.items[0].argv == ("--name=ann",)
    assert (small.per_shard, small.root) == (2, PLAN.digest)
    assert small.digest != PLAN.digest
    smallest = smaller_plan(small, ["zoe"])
    assert smallest.root == PLAN.digest
    with pytest.raises(MisconfiguredError, match="expected items to try again, found none"):
        smaller_plan(PLAN, [])


class TestChanged:
    """A file that is not what its name says."""

    def test_changed(self) -> None:
        """It is 78, naming both digests and where; nobody writes over it."""
        store = MemoryStore()
        other = plan_of("ann", "bob", "eve", per_shard=2)
        put(store, PLAN.digest, other.data)
        for act in (lambda: load_plan(store, PLAN.digest), lambda: save_plan(store, PLAN)):
            with pytest.raises(PlanError) as caught:
                act()
            assert caught.value.exit_code == 78
            assert PLAN.digest in str(caught.value)
            assert other.digest in str(caught.value)
            assert store.url in str(caught.value)
        assert store.get(plan_key(PLAN.digest)) == other.data

    def test_missing(self) -> None:
        """One that is not there is named."""
        with pytest.raises(PlanError, match=f"{PLAN.digest}/plan.json: expected a plan, found no"):
            load_plan(MemoryStore(), PLAN.digest)

    @pytest.mark.parametrize(
        "digest", ["", "abc", "../../etc", "A" * 64, "a" * 63, "a" * 64 + "\n"]
    )
    def test_no_digest(self, digest: str) -> None:
        """What is no digest is no key."""
        with pytest.raises(PlanError, match="expected 64 hexadecimal digits"):
            load_plan(MemoryStore(), digest)

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"{}",
            b"[]",
            b"\xff",
            b'{"format":"lading-plan/2"}',
            b'{"format":"lading-plan/1","items":[7]}',
        ],
    )
    def test_another_file(self, data: bytes) -> None:
        """One whose digest is right, but which is no plan of ours, is told."""
        store, digest = MemoryStore(), hashlib.sha256(data).hexdigest()
        put(store, digest, data)
        with pytest.raises(PlanError, match="expected"):
            load_plan(store, digest)


class TestFind:
    """A plan by the beginning of its digest."""

    def test_found(self) -> None:
        """As few digits as name one alone; results beside it are no plans."""
        store = MemoryStore()
        save_plan(store, PLAN)
        save_plan(store, plan_of("other"))
        store.put(f".lading/plans/{PLAN.digest}/items/x.json", Body.of_bytes(b"{}"))
        for digits in (6, 12, 64):
            assert find_plan(store, PLAN.digest[:digits]) == PLAN

    def test_not_found(self) -> None:
        """None, or several, are told."""
        store = MemoryStore()
        with pytest.raises(PlanError, match=r"plan abcd: expected one in .*, found none"):
            find_plan(store, "abcd")
        for digest in ("abcd" + "0" * 60, "abcd" + "1" * 60):
            put(store, digest, b"x")
        with pytest.raises(PlanError, match="found abcd00000000, abcd11111111"):
            find_plan(store, "abcd")

    @pytest.mark.parametrize("beginning", ["", "abc", "../..", "xyzw", "a" * 65])
    def test_no_beginning(self, beginning: str) -> None:
        """What is no beginning of a digest is told, and nothing is listed."""
        store = FakeWatchedStore(MemoryStore())
        with pytest.raises(PlanError, match="hexadecimal digits"):
            find_plan(store, beginning)
        assert store.reads == []


def test_saved_by_two_at_once() -> None:
    """Whoever is second finds the same plan, and is content."""
    behind = MemoryStore()

    def quicker(verb: str, key: str) -> None:
        behind.put(key, Body.of_bytes(PLAN.data))
        raise ConditionError(f"{verb} {key}: expected no object, found one")

    assert save_plan(FakeWatchedStore(behind, quicker), PLAN) == plan_key(PLAN.digest)


def test_large_plans_are_quick() -> None:
    """The digest of a plan is made once: asked for each of 20,000 items it costs no time."""
    plan = plan_of(*map(str, range(20_000)))
    began = time.monotonic()
    for _ in plan.items:
        assert plan.root
    assert time.monotonic() - began < 2


def test_no_plan_is_a_path(tmp_path: Path) -> None:
    """Whatever an item is called, its keys stay where they belong."""
    plan = plan_of("../../etc/passwd", str(tmp_path))
    assert ".." not in plan_key(plan.digest)
