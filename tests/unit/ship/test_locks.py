"""Tests of the lock of a prefix: who may take it, who notices, and what a broken one says."""

import json
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lading.errors import ConditionError, LockedError
from lading.ship.locks import LEASE, LockState, PrefixLock, is_held, load_lock
from lading.storage import Body, LocalStore, MemoryStore, Store
from tests.fakes.stores import FakeWatchedStore

KEY = ".lading/locks/nightly"
HOUR = timedelta(hours=1)

TAKE = """
import sys
from pathlib import Path
from lading.ship.locks import PrefixLock
from lading.storage import LocalStore
lock = PrefixLock(
    LocalStore(Path(sys.argv[1])), ".lading/locks/nightly",
    channel="nightly", tag="killed", manifest_sha256="killed",
)
lock.acquire()
"""

BROKEN = (
    b'{"owner":"o","channel":"c","tag":"t","manifest_sha256":"m",'
    b'"acquired_at":"TIME","expires_at":"TIME"}'
)

LOOK = """
import sys
from pathlib import Path
from lading.ship.locks import is_held, load_lock
from lading.storage import LocalStore
lock = load_lock(LocalStore(Path(sys.argv[1])), ".lading/locks/nightly")
print(is_held(lock))
"""


def make_lock(store: Store, tag: str = "one", *, lease: timedelta = LEASE) -> PrefixLock:
    """Return the lock for a release whose manifest is named like its tag."""
    return PrefixLock(
        store, KEY, channel="nightly", tag=tag, manifest_sha256=f"sha of {tag}", lease=lease
    )


def state(store: Store) -> LockState:
    """Return the lock that stands."""
    found = load_lock(store, KEY)
    assert found is not None
    return found


def rewrite(store: Store, **changes: Any) -> None:
    """Change what the lock says, as another machine would have written it."""
    table = json.loads(store.get(KEY))
    store.put(KEY, Body.of_bytes(json.dumps({**table, **changes}).encode()))


class TestAcquire:
    """Who may take the lock."""

    def test_free_lock_is_taken(self) -> None:
        """A lock tells owner, release, and from when until when it stands."""
        store = MemoryStore()
        before = datetime.now(UTC)
        make_lock(store, lease=HOUR).acquire()
        found = state(store)
        assert (
            found.channel,
            found.tag,
            found.manifest_sha256,
        ) == ("nightly", "one", "sha of one")
        assert found.owner.startswith(f"process {os.getpid()} on ")
        assert before <= found.acquired_at <= datetime.now(UTC)
        assert found.expires_at - found.acquired_at == HOUR

    def test_other_release_is_refused(self) -> None:
        """Another release is refused with owner, release, since when and until when."""
        store = MemoryStore()
        make_lock(store).acquire()
        before = state(store)
        with pytest.raises(LockedError) as caught:
            make_lock(store, "two").acquire()
        message = str(caught.value)
        assert f"{store.url}/{KEY}: " in message
        assert f"nightly one held by {before.owner}" in message
        assert f"since {before.acquired_at:%Y-%m-%d %H:%M:%S} UTC" in message
        assert f"{before.expires_at:%H:%M:%S} UTC" in message
        assert before == state(store)

    def test_same_release_takes_over(self) -> None:
        """The same release, resumed, takes its lock over at once."""
        store = MemoryStore()
        make_lock(store).acquire()
        before = state(store)
        make_lock(store).acquire()
        assert before.version != state(store).version

    def test_expired_lock_is_taken_over(self) -> None:
        """A lock of another machine that has expired is taken over."""
        store = MemoryStore()
        make_lock(store, "one").acquire()
        rewrite(store, process="", expires_at=datetime.now(UTC).isoformat())
        make_lock(store, "two").acquire()
        assert state(store).tag == "two"

    def test_lock_of_another_machine_stands_until_it_expires(self) -> None:
        """Of a process on another machine nobody here can say that it is dead."""
        store = MemoryStore()
        make_lock(store, "one").acquire()
        rewrite(store, process="another-boot/1/1")
        with pytest.raises(LockedError):
            make_lock(store, "two").acquire()

    def test_lock_of_a_dead_process_is_taken_over(self, tmp_path: Path) -> None:
        """A lock that a process of this boot left when it ended is taken over at once."""
        subprocess.run([sys.executable, "-c", TAKE, str(tmp_path)], check=True, timeout=60)
        store = LocalStore(tmp_path)
        assert state(store).tag == "killed"
        make_lock(store, "two").acquire()
        assert state(store).tag == "two"

    def test_process_number_that_was_given_again(self) -> None:
        """A later process of the same number is not taken for the owner."""
        store = MemoryStore()
        make_lock(store, "one").acquire()
        boot, pid, started = state(store).process.split("/")
        rewrite(store, process=f"{boot}/{pid}/{int(started) - 1}")
        make_lock(store, "two").acquire()
        assert state(store).tag == "two"

    @pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs another pid namespace"
    )
    def test_process_of_another_container_is_not_dead(self, tmp_path: Path) -> None:
        """A live process outside this container, of the same boot, is not taken for dead."""
        make_lock(LocalStore(tmp_path)).acquire()
        looked = subprocess.run(
            ["unshare", "-pf", "--mount-proc", sys.executable, "-c", LOOK, str(tmp_path)],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if "unshare failed" in looked.stderr or "Operation not permitted" in looked.stderr:
            pytest.skip("no other pid namespace can be made here")
        assert looked.stdout.strip() == "True", looked.stderr

    def test_one_of_many_takes_it(self) -> None:
        """Of many releases that want one prefix at once exactly one gets it."""
        store = MemoryStore()
        barrier = threading.Barrier(8)

        def take(number: int) -> bool:
            lock = make_lock(store, f"{number}")
            barrier.wait(timeout=30)
            try:
                lock.acquire()
            except LockedError:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            taken = list(pool.map(take, range(8)))
        assert sum(taken) == 1
        assert state(store).tag == f"{taken.index(True)}"

    def test_lock_that_goes_while_it_is_looked_at(self) -> None:
        """A lock that is given back between the look and the swap is taken anew."""
        store = MemoryStore()
        holder = make_lock(store)
        holder.acquire()
        gone: list[str] = []

        def give_back(verb: str, key: str) -> None:
            if not gone:
                gone.append(key)
                store.delete([KEY])
            del verb

        make_lock(FakeWatchedStore(store, before=give_back)).acquire()
        assert gone == [KEY]
        assert state(store).tag == "one"

    def test_lost_races_end(self) -> None:
        """Who loses every race is told so, and does not try for ever."""
        store = MemoryStore()
        tries: list[str] = []

        def lose(verb: str, key: str) -> None:
            tries.append(f"{verb} {key}")
            raise ConditionError("lost")

        with pytest.raises(LockedError, match="lost five races"):
            make_lock(FakeWatchedStore(store, before=lose)).acquire()
        assert len(tries) == 5


class TestRenew:
    """Who holds the lock notices when it is gone."""

    def test_nothing_is_written_early(self) -> None:
        """In the first half of the lease a renewal writes nothing."""
        watched = FakeWatchedStore(MemoryStore())
        lock = make_lock(watched, lease=HOUR)
        lock.acquire()
        for _ in range(3):
            lock.renew()
        assert len(watched.writes) == 1

    def test_late_renewal_moves_the_end(self) -> None:
        """Past half of the lease the lock stands longer, and is held still."""
        store = MemoryStore()
        lock = make_lock(store, lease=HOUR)
        lock.acquire()
        before = state(store)
        lock._renew_at = datetime.now(UTC)
        lock.renew()
        assert state(store).expires_at > before.expires_at
        lock.release()
        assert load_lock(store, KEY) is None

    def test_renewal_keeps_since_when(self) -> None:
        """A renewed lock tells since when it is held, not when it was renewed."""
        store = MemoryStore()
        lock = make_lock(store, lease=timedelta(0))
        lock.acquire()
        before = state(store)
        lock.renew()
        assert before.acquired_at == state(store).acquired_at

    @pytest.mark.parametrize("how", ["taken over", "deleted"])
    def test_lost_lock_is_noticed(self, how: str) -> None:
        """A lock that was taken over or deleted meanwhile is noticed at the renewal."""
        store = MemoryStore()
        lock = make_lock(store, lease=timedelta(0))
        lock.acquire()
        if how == "deleted":
            store.delete([KEY])
        else:
            make_lock(store, "two").acquire()
        with pytest.raises(LockedError, match="expected to hold it still, found it taken over"):
            lock.renew()
        found = load_lock(store, KEY)
        assert found is None if how == "deleted" else found is not None and found.tag == "two"

    def test_threads_renew_together(self) -> None:
        """Two threads of one run that renew at the same moment do not lose it to each other."""
        meeting = threading.Barrier(2)

        def meet(verb: str, key: str) -> None:
            del verb, key
            if threading.current_thread() is not threading.main_thread():
                try:
                    meeting.wait(timeout=0.3)
                except threading.BrokenBarrierError:
                    return  # renewals that wait for each other never meet

        store = MeetingStore(meet)
        lock = make_lock(store, lease=timedelta(0))
        lock.acquire()
        with ThreadPoolExecutor(2) as pool:
            for each in [pool.submit(lock.renew) for _ in range(2)]:
                each.result(timeout=30)
        assert load_lock(store, KEY) is not None


class TestRelease:
    """Giving the lock back."""

    def test_own_lock_goes(self) -> None:
        """A lock that is given back is gone, and giving it back again is no error."""
        store = MemoryStore()
        lock = make_lock(store)
        lock.acquire()
        lock.release()
        lock.release()
        assert store.list() == []

    def test_lock_of_others_stays(self) -> None:
        """A lock that was taken over stays with its new owner."""
        store = MemoryStore()
        lock = make_lock(store)
        lock.acquire()
        make_lock(store).acquire()
        lock.release()
        assert load_lock(store, KEY) is not None

    def test_lock_never_taken_stays(self) -> None:
        """Who never took the lock cannot give it back."""
        store = MemoryStore()
        make_lock(store).acquire()
        make_lock(store, "two").release()
        assert state(store).tag == "one"


class TestLook:
    """Reading a lock."""

    def test_no_lock(self) -> None:
        """Where no lock stands there is none, and looking writes nothing."""
        watched = FakeWatchedStore(MemoryStore())
        assert make_lock(watched).look() is None
        assert watched.writes == []

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"{",
            b"\xff\xfe",
            b"[]",
            b"null",
            b"{}",
            b'{"owner": "me"}',
            BROKEN.replace(b"TIME", b"yesterday"),
            BROKEN.replace(b"TIME", b"2099-01-01T00:00:00"),
        ],
    )
    def test_object_that_is_no_lock(self, data: bytes) -> None:
        """An object that is no lock stops the release, and is left for a person to look at."""
        store = MemoryStore()
        store.put(KEY, Body.of_bytes(data))
        with pytest.raises(LockedError, match="expected a lock of Lading, found another object"):
            make_lock(store).acquire()
        assert data == store.get(KEY)

    def test_is_held(self) -> None:
        """A lock is held while it has not expired and its process may live."""
        store = MemoryStore()
        make_lock(store).acquire()
        assert is_held(state(store))
        rewrite(store, process="another-boot/1/1")
        assert is_held(state(store))
        rewrite(store, expires_at=datetime.now(UTC).isoformat())
        assert not is_held(state(store))

    def test_dead_process_holds_nothing(self, tmp_path: Path) -> None:
        """A lock of a process that has ended is not held."""
        subprocess.run([sys.executable, "-c", TAKE, str(tmp_path)], check=True, timeout=60)
        assert not is_held(state(LocalStore(tmp_path)))


class MeetingStore(FakeWatchedStore):
    """A store in memory in which two threads meet before each of their writes."""

    def __init__(self, meet: Any) -> None:
        super().__init__(MemoryStore())
        self._meet = meet

    def _enter(self, verb: str, key: str, size: int = 0) -> None:
        self._meet(verb, key)
        super()._enter(verb, key, size)
