"""A run, as the job sees it."""

import logging
from pathlib import Path
from typing import Any

import pytest

from lading.errors import Interrupted, LeaseError
from lading.jobs.batch import Batch
from lading.jobs.leases import Lease
from lading.jobs.letters import Failure
from lading.jobs.run import Run, current_run, enter, leave
from lading.jobs.settings import JobSettings
from lading.storage import Body, MemoryStore, Progress, Store
from tests.fakes.stores import FakeWatchedStore
from tests.unit.jobs.trails import identity_of, run_id


class Noted(Progress):
    """Notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Any] = []

    def set_size(self, size: int) -> None:
        """Note it."""
        self.told.append(("size", size))

    def set_files(self, total: int) -> None:
        """Note it."""
        self.told.append(("files", total))

    def relative_update(self, inc: int = 1) -> None:
        """Note what is no heartbeat."""
        if inc:
            self.told.append(("bytes", inc))

    def finish_file(self, name: str) -> None:
        """Note it."""
        self.told.append(("file", name))


def make_run(store: Store, **more: Any) -> Run:
    """Make a run that belongs to nobody."""
    given: dict[str, Any] = {
        "job": "copy",
        "id": run_id(),
        "attempt": 1,
        "argv": ("--agency-id", "7"),
        "settings": JobSettings(base=Path("/nowhere")),
        "store": store,
        "log": logging.LoggerAdapter(logging.getLogger("lading.tests"), {}),
    }
    return Run(**{**given, **more})


def test_put() -> None:
    """An object is written once, and noted as an output each time."""
    store = FakeWatchedStore(MemoryStore())
    run = make_run(store)
    for text in (b"one", b"one", b"two"):
        entry = run.put(store, "a", Body.of_bytes(text))
        assert entry.size_bytes == 3
    assert [verb for verb, _ in store.writes] == ["put", "put"]
    assert [ref.key for ref in run.outputs] == ["a", "a", "a"]
    assert run.outputs[0].sha256
    assert run.describe() == "3 objects written"


def test_batch_counts() -> None:
    """Items are counted by state, bytes with those that are done, and progress hears of all."""
    progress = Noted()
    run = make_run(MemoryStore(), progress=progress)

    def work(item: str) -> None:
        if item == "bad":
            raise ValueError("no date")

    report = run.batch(["a", "bad", "b"], Batch(work=work, size_bytes=lambda _: 10, concurrency=1))
    assert (report.done, report.failed) == (2, 1)
    assert run.counts == {"done": 2, "bytes": 20, "failed": 1, "dead_letters": 1}
    assert progress.told[:2] == [("files", 3), ("size", 30)]
    assert sorted(each for each in progress.told if each[0] == "file") == [
        ("file", "a"),
        ("file", "b"),
        ("file", "bad"),
    ]
    assert [letter.item for letter in run.dead_letters.letters()] == ["bad"]


def test_revive() -> None:
    """Letters of an item that is good now are resolved; the letters are listed once."""
    store = FakeWatchedStore(MemoryStore())
    make_run(store).fail("a", [Failure(error_class="RowError", message="x")])
    run = make_run(store)
    for item in ("b", "a", "c", "a"):
        run.revive(item)
    assert list(run.dead_letters.letters()) == []
    listed = [key for verb, key in store.reads if verb == "list"]
    assert len(listed) == 2  # once here, once by the line above


def test_only() -> None:
    """A retry wants its items; a run wants all."""
    assert make_run(MemoryStore()).wants("a")
    run = make_run(MemoryStore(), only=frozenset({"a"}))
    assert run.wants("a")
    assert not run.wants("b")


def test_check() -> None:
    """A run that was asked to stop, or lost its lease, must not go on."""
    store = MemoryStore()
    run = make_run(store)
    run.check()
    run.stop(Interrupted(15))
    run.stop(Interrupted(2))
    with pytest.raises(Interrupted, match="signal 15"):
        run.check()
    lease = Lease(store, identity_of(), run_id(), lambda _: store)
    with pytest.raises(LeaseError):
        make_run(store, lease=lease).check()
    lease.take()
    make_run(store, lease=lease).check()


def test_current() -> None:
    """A job given as a tuple asks for its run; there may be one inside another."""
    with pytest.raises(LookupError):
        current_run()
    outer, inner = make_run(MemoryStore()), make_run(MemoryStore())
    first = enter(outer)
    second = enter(inner)
    assert current_run() is inner
    leave(second)
    assert current_run() is outer
    leave(first)
