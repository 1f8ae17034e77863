"""Who does a piece of work: taking, renewing, ending it; races, lost answers, lost leases."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from lading.errors import LeaseError, UnavailableError
from lading.jobs import leases
from lading.jobs.audit import AuditStream
from lading.jobs.events import EventType
from lading.jobs.identity import RunIdentity
from lading.jobs.keys import listing_key
from lading.jobs.leases import Lease
from lading.jobs.markers import Marker, render_marker
from lading.jobs.outputs import put_listing
from lading.storage import Body, LocalStore, MemoryStore, Store
from tests.fakes.stores import FakeWatchedStore
from tests.unit.jobs.trails import NOON, Clock, end, identity_of, run_id, start, write

MINUTES = timedelta(minutes=5)


@pytest.fixture(params=["memory", "local"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Return a store of each kind that a laptop has."""
    return MemoryStore("memory://a") if request.param == "memory" else LocalStore(tmp_path / "a")


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands still."""
    return Clock()


@pytest.fixture
def lease_of(store: Store, clock: Clock) -> Callable[..., Lease]:
    """Return what makes the lease of a run."""

    def make(
        number: int = 1, identity: RunIdentity | None = None, at: Store | None = None
    ) -> Lease:
        place = at or store
        return Lease(place, identity or identity_of(), run_id(number), lambda _: place, clock=clock)

    return make


@pytest.fixture
def _elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let leases be taken as on another machine, whose processes nobody here can see."""
    monkeypatch.setattr(leases, "name_process", lambda: "elsewhere/7/9")
    monkeypatch.setattr(leases, "name_owner", lambda: "process 7 on elsewhere")


def require_marker(lease: Lease) -> Marker:
    """Return the marker that stands."""
    marker = lease.look()
    assert marker is not None
    return marker


class TestTake:
    """Taking work."""

    def test_first(self, lease_of: Callable[..., Lease]) -> None:
        """Work that nobody did is taken: attempt 1, in progress, five minutes."""
        lease = lease_of()
        standing = lease.take()
        marker = require_marker(lease)

        assert (standing.before, standing.is_done, standing.faults) == (None, False, ())
        assert (lease.attempt, marker.attempt) == (1, 1)
        assert (marker.state, marker.run_id, marker.exit_code) == ("in progress", run_id(), None)
        assert (marker.started_at, marker.expires_at) == (NOON, NOON + MINUTES)

    def test_living_owner(self, lease_of: Callable[..., Lease], store: Store) -> None:
        """Work in somebody's hands is refused: who, since when, until when, where, what to do."""
        first = lease_of()
        first.take()
        owner = require_marker(first).owner

        with pytest.raises(LeaseError) as caught:
            lease_of(2).take()

        assert str(caught.value) == (
            f"{store.url}/.lading/jobs/copy/runs/{identity_of().key}.json: expected nobody at work"
            f" on this run of copy, found {owner}, since 2025-02-05 12:00:00 UTC, until 2025-02-05"
            " 12:05:00 UTC or longer; wait, or run the same command later"
        )
        assert caught.value.exit_code == 75
        assert require_marker(first).run_id == run_id(1)

    def test_other_work_is_free(self, lease_of: Callable[..., Lease]) -> None:
        """A lease holds one identity and no other."""
        lease_of().take()
        assert lease_of(2, identity_of(8)).take().before is None

    @pytest.mark.usefixtures("_elsewhere")
    def test_expired(self, lease_of: Callable[..., Lease], clock: Clock) -> None:
        """An owner elsewhere is believed up to the end of its lease, and then no longer."""
        lease_of().take()
        clock.advance(seconds=299)
        with pytest.raises(LeaseError, match="process 7 on elsewhere"):
            lease_of(2).take()

        clock.advance(seconds=1)
        second = lease_of(2)
        before = second.take().before

        assert before is not None
        assert (before.run_id, before.state) == (run_id(1), "in progress")
        assert second.attempt == 2

    def test_gone(self, lease_of: Callable[..., Lease], monkeypatch: pytest.MonkeyPatch) -> None:
        """A process of this machine that is known to be gone is not waited for."""
        lease_of().take()
        monkeypatch.setattr(leases, "is_gone", lambda _: True)
        second = lease_of(2)
        second.take()
        assert second.attempt == 2

    def test_failed(self, lease_of: Callable[..., Lease]) -> None:
        """A run that failed is tried again at once."""
        first = lease_of()
        first.take()
        first.fail(65, "three bad rows")
        marker = require_marker(first)
        assert (marker.state, marker.exit_code, marker.message) == ("failed", 65, "three bad rows")

        second = lease_of(2)
        assert second.take().before == marker
        assert second.attempt == 2

    def test_done(self, lease_of: Callable[..., Lease], store: Store) -> None:
        """A run that is done, and whose outputs stand, is not done again: nothing is written."""
        first = lease_of()
        first.take()
        marker = first.complete(write(store, ["a", "b"]), "two done")
        watched = FakeWatchedStore(store)

        standing = lease_of(2, at=watched).take()

        assert (standing.before, standing.is_done, standing.faults) == (marker, True, ())
        assert (marker.state, marker.outputs, marker.exit_code) == ("done", 2, 0)
        assert marker.expires_at == NOON
        assert watched.writes == []

    def test_done_without_outputs(self, lease_of: Callable[..., Lease]) -> None:
        """A run that had nothing to write is done, too."""
        first = lease_of()
        first.take()
        first.complete([])
        assert lease_of(2).take().is_done

    def test_done_but_outputs_are_gone(self, lease_of: Callable[..., Lease], store: Store) -> None:
        """Done is believed only if its outputs verify: else it is taken over, and says why."""
        first = lease_of()
        first.take()
        first.complete(write(store, ["a", "b"]))
        store.delete(["b"])
        second = lease_of(2)

        standing = second.take()

        assert not standing.is_done
        assert len(standing.faults) == 1
        assert standing.faults[0].startswith(f"{store.url}/b: expected crc32c ")
        assert standing.faults[0].endswith("found none")
        assert second.attempt == 2

    @pytest.mark.parametrize("is_there", [True, False])
    def test_done_but_the_list_is_no_more(
        self,
        lease_of: Callable[..., Lease],
        store: Store,
        is_there: bool,  # noqa: FBT001
    ) -> None:
        """Done is not believed where nobody can tell of what."""
        first = lease_of()
        first.take()
        key = listing_key(first.complete(write(store, ["a"])).outputs_sha256)
        store.delete([key])
        if is_there:
            store.put(key, Body.of_bytes(b""))

        standing = lease_of(2).take()

        assert not standing.is_done
        assert standing.faults[0].startswith(f"{store.url}/{key}: expected ")

    def test_done_and_each_call_is_to_run(
        self, lease_of: Callable[..., Lease], store: Store
    ) -> None:
        """Where a job does not say what identifies a run, done is no reason not to run."""
        repeats = identity_of(repeats=True)
        first = lease_of(1, repeats)
        first.take()
        first.complete(write(store, ["a"]))

        standing = lease_of(2, repeats).take()

        assert (standing.is_done, standing.faults) == (False, ())

    def test_foreign(self, lease_of: Callable[..., Lease], store: Store) -> None:
        """What is no marker is not replaced."""
        lease = lease_of()
        lease.take()
        store.put(require_marker(lease).key, Body.of_bytes(b"mine"))
        with pytest.raises(LeaseError, match="found another object; look at it"):
            lease_of(2).take()

    def test_peek_takes_nothing(self, lease_of: Callable[..., Lease], store: Store) -> None:
        """Looking whether work is done writes nothing, and refuses nobody."""
        watched = FakeWatchedStore(store)
        assert not lease_of(2, at=watched).peek().is_done
        first = lease_of()
        first.take()
        assert not lease_of(2, at=watched).peek().is_done
        first.complete(write(store, ["a"]))
        assert lease_of(2, at=watched).peek().is_done
        assert watched.writes == []

    def test_lost_race(self, lease_of: Callable[..., Lease], store: Store) -> None:
        """Of two that saw nothing the slower one is refused."""
        first = lease_of()
        slow = FakeWatchedStore(store, before=once(first.take))
        with pytest.raises(LeaseError, match="expected nobody at work"):
            lease_of(2, at=slow).take()
        assert require_marker(first).run_id == run_id(1)

    def test_race_without_end(self, lease_of: Callable[..., Lease], store: Store) -> None:
        """Somebody who is quicker each time ends it after ten races."""
        quick = lease_of()

        def overtake(*_: str) -> None:
            quick.take()
            quick.fail(75, "again")

        with pytest.raises(LeaseError, match="lost 10 races"):
            lease_of(2, at=FakeWatchedStore(store, before=overtake)).take()

    def test_lost_answer(self, lease_of: Callable[..., Lease], store: Store) -> None:
        """A marker that was written although nobody said so is ours: the same call goes on."""
        failed = lease_of(9)
        failed.take()
        failed.fail(65, "bad")
        cut = FakeWatchedStore(store, after=once(unavailable))
        lease = lease_of(at=cut)
        with pytest.raises(UnavailableError):
            lease.take()

        before = lease.take().before

        assert before is not None
        assert before.run_id == run_id(9)
        assert lease.attempt == 2
        lease.complete([])

    def test_a_marker_that_vanishes(self, lease_of: Callable[..., Lease], store: Store) -> None:
        """A marker that somebody removes between look and write is no error."""
        first = lease_of()
        first.take()
        first.fail(65, "bad")
        key = require_marker(first).key
        second = lease_of(2, at=FakeWatchedStore(store, before=once(lambda: store.delete([key]))))
        second.take()
        assert second.attempt == 1


class TestHeld:
    """Holding on to work."""

    def test_never_taken(self, lease_of: Callable[..., Lease]) -> None:
        """What was never taken is not held, cannot be completed, and fails in silence."""
        lease = lease_of()
        for act in (lease.require_held, lambda: lease.complete([])):
            with pytest.raises(LeaseError, match="taken"):
                act()
        lease.renew()
        lease.fail(65, "bad")
        assert lease.look() is None
        assert lease.attempt == 0

    def test_renewed(self, lease_of: Callable[..., Lease], clock: Clock) -> None:
        """A renewed lease stands for its whole length again."""
        lease = lease_of()
        lease.take()
        clock.advance(minutes=4)
        lease.renew()
        clock.advance(minutes=4)
        lease.require_held()
        assert require_marker(lease).expires_at == NOON + timedelta(minutes=9)

    def test_unrenewed(self, lease_of: Callable[..., Lease], clock: Clock) -> None:
        """One whose own lease ran out stops, although nobody has taken it over yet."""
        lease = lease_of()
        lease.take()
        clock.advance(minutes=5)
        with pytest.raises(LeaseError, match="before 2025-02-05 12:05:00 UTC, it ended unrenewed"):
            lease.require_held()

    @pytest.mark.usefixtures("_elsewhere")
    def test_taken_over(self, lease_of: Callable[..., Lease], clock: Clock, store: Store) -> None:
        """One that was taken over hears of it when it renews, and never writes again."""
        first, second = lease_of(), lease_of(2)
        first.take()
        clock.advance(minutes=5)
        second.take()
        told = (
            "expected to hold it still, found it taken over by process 7 on elsewhere at"
            r" 2025-02-05 12:05:00 UTC \(in progress, attempt 2\)"
        )

        for act in (first.renew, first.require_held, lambda: first.complete([])):
            with pytest.raises(LeaseError, match=told):
                act()
        first.fail(70, "lost")

        assert require_marker(second).run_id == run_id(2)
        second.complete(write(store, ["a"]))
        assert lease_of(3).take().is_done

    @pytest.mark.usefixtures("_elsewhere")
    def test_taken_over_unheard(self, lease_of: Callable[..., Lease], clock: Clock) -> None:
        """One that was taken over and did not hear of it cannot complete, and fails in silence."""
        first, again, second = lease_of(), lease_of(), lease_of(2)
        first.take()
        again.take()  # two that think they hold it, as after a pause of the whole machine
        clock.advance(minutes=5)
        second.take()

        with pytest.raises(LeaseError, match="found it taken over by process 7 on elsewhere"):
            first.complete([])
        again.fail(70, "late")
        assert require_marker(second).state == "in progress"

    def test_marker_removed(self, lease_of: Callable[..., Lease], store: Store) -> None:
        """A marker that somebody removed is lost, not made again."""
        lease = lease_of()
        lease.take()
        store.delete([require_marker(lease).key])
        with pytest.raises(LeaseError, match="expected to hold it still, found no marker"):
            lease.renew()
        assert lease.look() is None

    def test_marker_replaced_by_something(
        self, lease_of: Callable[..., Lease], store: Store
    ) -> None:
        """What is no marker any more is lost, and said to be another object."""
        lease = lease_of()
        lease.take()
        store.put(require_marker(lease).key, Body.of_bytes(b"mine"))
        for act in (lease.renew, lease.require_held):
            with pytest.raises(LeaseError, match="found another object"):
                act()

    def test_ended_otherwise(self, lease_of: Callable[..., Lease], store: Store) -> None:
        """A try whose end stands already, another one, cannot be completed."""
        lease, again = lease_of(), lease_of()
        lease.take()
        again.take()
        again.fail(65, "bad")
        with pytest.raises(LeaseError, match=r"\(failed, attempt 1\)"):
            lease.complete(write(store, ["a"]))
        assert require_marker(lease).state == "failed"

    @pytest.mark.parametrize("is_done", [True, False])
    def test_lost_answers(
        self,
        lease_of: Callable[..., Lease],
        store: Store,
        clock: Clock,
        is_done: bool,  # noqa: FBT001
    ) -> None:
        """A renewal and an ending whose answers were lost are ours; the ending is said again."""
        cut = FakeWatchedStore(store, after=once(unavailable, skip=1))
        lease = lease_of(at=cut)
        lease.take()
        clock.advance(minutes=1)
        with pytest.raises(UnavailableError):
            lease.renew()
        lease.renew()
        lease.require_held()

        marker = require_marker(lease)
        ended = replace(marker, state="done" if is_done else "failed", expires_at=clock())
        wanted = replace(ended, exit_code=0 if is_done else 65, message="so it was")
        wanted = replace(wanted, outputs_sha256=put_listing(store, []) if is_done else "")
        # as a write that was done, its answer lost
        store.put(wanted.key, Body.of_bytes(render_marker(wanted)))
        if is_done:
            assert replace(lease.complete([], "so it was"), version="") == replace(
                wanted, version=""
            )
        else:
            lease.fail(65, "so it was")
        assert require_marker(lease).state == wanted.state

    def test_secrets_stay_out(
        self, lease_of: Callable[..., Lease], monkeypatch: pytest.MonkeyPatch, store: Store
    ) -> None:
        """A message with a secret of the environment is kept without it."""
        monkeypatch.setenv("API_TOKEN", "hunter2hunter2")
        lease = lease_of()
        lease.take()
        lease.fail(78, "refused hunter2hunter2")
        assert b"hunter2" not in store.get(require_marker(lease).key)


class TestHeartbeat:
    """Renewing from a thread."""

    def test_renews_and_ends(self, lease_of: Callable[..., Lease], store: Store) -> None:
        """The lease is renewed again and again while the block runs, and no thread is left."""
        beats = Beats(3)
        lease = lease_of(at=FakeWatchedStore(store, after=beats))
        lease.take()
        with lease.heartbeat(0.001):
            beats.wait()
        assert [each for each in threading.enumerate() if each.name == "lease"] == []
        lease.require_held()
        assert lease.complete([]).state == "done"

    def test_survives_a_store_that_is_down(
        self, lease_of: Callable[..., Lease], store: Store
    ) -> None:
        """A store that does not answer for a while costs nothing but tries."""
        beats = Beats(8, down={2, 3, 4, 5})
        lease = lease_of(at=FakeWatchedStore(store, before=beats))
        lease.take()
        with lease.heartbeat(0.001):
            beats.wait()
        lease.require_held()
        lease.complete([])

    def test_tells_why_it_ran_out(
        self, lease_of: Callable[..., Lease], store: Store, clock: Clock
    ) -> None:
        """Where the store is down for longer than the lease, the run stops and hears why."""
        beats = Beats(4, down=set(range(2, 1_000_000)))
        lease = lease_of(at=FakeWatchedStore(store, before=beats))
        lease.take()
        with lease.heartbeat(0.001):
            beats.wait()
            clock.advance(minutes=5)
            with pytest.raises(LeaseError, match="it ended unrenewed: the store is down"):
                lease.require_held()

    @pytest.mark.usefixtures("_elsewhere")
    def test_hears_of_its_loss(self, lease_of: Callable[..., Lease], clock: Clock) -> None:
        """A lease that was taken over is told by the next look, which costs no call."""
        lease, other = lease_of(), lease_of(2)
        lease.take()
        clock.advance(minutes=5)
        other.take()
        with lease.heartbeat(0.001):
            for thread in threading.enumerate():
                if thread.name == "lease":
                    thread.join(20)
            with pytest.raises(LeaseError, match="taken over by process 7 on elsewhere"):
                lease.require_held()
        assert require_marker(other).run_id == run_id(2)

    def test_ends_with_an_error(self, lease_of: Callable[..., Lease]) -> None:
        """An error in the block leaves no thread either; a third of the lease is the pace."""
        lease = lease_of()
        lease.take()
        with pytest.raises(KeyError), lease.heartbeat():
            raise KeyError
        assert [each for each in threading.enumerate() if each.name == "lease"] == []

    def test_does_not_renew_what_has_ended(
        self, lease_of: Callable[..., Lease], store: Store
    ) -> None:
        """After its end a marker stays as it is, although the thread still runs."""
        lease = lease_of()
        lease.take()
        with lease.heartbeat(0.001):
            marker = lease.complete(write(store, ["a"]))
            lease.renew()
        assert require_marker(lease) == marker


class TestAdopt:
    """Work that was done, and whose end could not be said on the marker."""

    def done_but_unsaid(self, store: Store, lease: Lease) -> None:
        """Do a run up to the moment before its marker says done."""
        lease.take()
        stream = AuditStream(store, "copy")
        stream.append(start())
        stream.append(end(listing=put_listing(store, write(store, ["a", "b"]))))

    def test_is_done_without_being_done_again(
        self, lease_of: Callable[..., Lease], store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The next try finds the COMPLETE, and marks the work done in the name of the first."""
        self.done_but_unsaid(store, lease_of())
        monkeypatch.setattr(leases, "is_gone", lambda _: True)
        second = lease_of(2)
        before = second.take().before
        assert before is not None
        ending = AuditStream(store, "copy").ending_of(before.run_id, since=before.started_at)
        assert ending is not None

        marker = second.adopt(before, ending)

        assert marker is not None
        assert (marker.state, marker.run_id, marker.attempt) == ("done", run_id(1), 1)
        assert (marker.audit, marker.message, marker.outputs) == (ending.link, "two done", 2)
        assert require_marker(second) == marker
        second.renew()
        assert lease_of(3).take().is_done

    @pytest.mark.parametrize("why", ["gone", "failed", "repeats", "another", "unlisted"])
    def test_is_done_again(
        self,
        lease_of: Callable[..., Lease],
        store: Store,
        monkeypatch: pytest.MonkeyPatch,
        why: str,
    ) -> None:
        """Outputs that are gone, another ending, a run that repeats: then it is done again."""
        identity = identity_of(repeats=why == "repeats")
        self.done_but_unsaid(store, lease_of(1, identity))
        monkeypatch.setattr(leases, "is_gone", lambda _: True)
        second = lease_of(2, identity)
        before = second.take().before
        ending = AuditStream(store, "copy").ending_of(run_id(1))
        assert before is not None
        assert ending is not None
        if why == "gone":
            store.delete(["a"])
        changes: dict[str, dict[str, object]] = {
            "failed": {"kind": EventType.FAIL},
            "another": {"run_id": run_id(3)},
            "unlisted": {"event": {"run": {"facets": {"lading": {}}}}},
        }

        assert second.adopt(before, replace(ending, **changes.get(why, {}))) is None  # type: ignore[arg-type]

        assert require_marker(second).run_id == run_id(2)
        second.require_held()


def once(act: Callable[[], object], *, skip: int = 0) -> Callable[[str, str], None]:
    """Make a hook that acts at one write: the first, or after some that are skipped."""
    left = [skip + 1]

    def hook(*_: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            act()

    return hook


def unavailable() -> None:
    """Fail as a store that does not answer."""
    raise UnavailableError("the store is down")


class Beats:
    """Counts writes, lets a test wait for one of them, and refuses some."""

    def __init__(self, wanted: int, down: set[int] | None = None) -> None:
        self._wanted = wanted
        self._down = down or set()
        self._count = 0
        self._reached = threading.Event()

    def __call__(self, *_: str) -> None:
        """Count a write."""
        self._count += 1
        if self._count >= self._wanted:
            self._reached.set()
        if self._count in self._down:
            unavailable()

    def wait(self) -> None:
        """Wait for the write."""
        assert self._reached.wait(20)
