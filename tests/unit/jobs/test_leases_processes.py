"""Leases of real processes: killed, or several at once; and on a service that speaks HTTP."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lading.errors import LeaseError
from lading.jobs.audit import AuditStream
from lading.jobs.audit_verify import verify_audit
from lading.jobs.leases import Lease
from lading.storage import LocalStore, Store
from tests.contract.clouds import open_s3
from tests.unit.jobs.trails import Clock, fill, identity_of, run_id, start, whole_run

_REPOSITORY = Path(__file__).parents[3]
_ROUNDS = 10
_TAKER = """
import sys
from pathlib import Path
from lading.errors import LeaseError
from lading.jobs import leases
from lading.storage import LocalStore
from tests.unit.jobs.trails import identity_of, run_id

folder, me, process = sys.argv[1:]
if process:
    leases.name_process = lambda: process
store = LocalStore(Path(folder))
for line in sys.stdin:
    number = int(line)
    lease = leases.Lease(store, identity_of(number), run_id(int(me)), lambda _: store)
    try:
        lease.take()
        print("taken", lease.attempt, flush=True)
    except LeaseError:
        print("refused", flush=True)
"""


@contextmanager
def taker(folder: Path, number: int, process: str = "") -> Iterator[subprocess.Popen[str]]:
    """Start a process that takes each work whose number it is told, and says what came of it."""
    with subprocess.Popen(
        [sys.executable, "-c", _TAKER, str(folder), str(number), process],
        cwd=_REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def tell(child: subprocess.Popen[str], number: int) -> None:
    """Tell a process to take some work."""
    assert child.stdin is not None
    child.stdin.write(f"{number}\n")
    child.stdin.flush()


def answer_of(child: subprocess.Popen[str]) -> str:
    """Return what a process says next."""
    assert child.stdout is not None
    return child.stdout.readline().strip()


def lease_of(store: Store, clock: Clock) -> Lease:
    """Return a lease of this process for the work that the other one took."""
    return Lease(store, identity_of(7), run_id(9), lambda _: store, clock=clock)


@pytest.mark.timeout(60)
def test_killed_here(tmp_path: Path) -> None:
    """Work of a process of this machine that was killed is taken over at once."""
    store, clock = LocalStore(tmp_path), Clock(datetime.now(UTC))
    with taker(tmp_path, 1) as child:
        tell(child, 7)
        assert answer_of(child) == "taken 1"
        with pytest.raises(LeaseError, match=f"found process {child.pid} on "):
            lease_of(store, clock).take()
        child.kill()
        child.wait(20)

        lease = lease_of(store, clock)
        before = lease.take().before

    assert before is not None
    assert (before.run_id, before.state, lease.attempt) == (run_id(1), "in progress", 2)


@pytest.mark.timeout(60)
def test_killed_elsewhere(tmp_path: Path) -> None:
    """Work of a process of another machine that was killed is taken over once its lease is over."""
    store, clock = LocalStore(tmp_path), Clock(datetime.now(UTC))
    with taker(tmp_path, 1, "elsewhere/7/9") as child:
        tell(child, 7)
        assert answer_of(child) == "taken 1"
        child.kill()
        child.wait(20)

    clock.advance(minutes=4)
    with pytest.raises(LeaseError, match="expected nobody at work"):
        lease_of(store, clock).take()
    clock.advance(minutes=1, seconds=30)
    lease = lease_of(store, clock)
    lease.take()
    assert lease.attempt == 2


@pytest.mark.timeout(60)
def test_two_at_once(tmp_path: Path) -> None:
    """Of two processes that want the same work at once exactly one gets it."""
    with taker(tmp_path, 1) as one, taker(tmp_path, 2) as other:
        for number in range(1, _ROUNDS + 1):
            for child in (one, other):
                tell(child, number)
            answers = sorted(answer_of(child) for child in (one, other))
            assert answers == ["refused", "taken 1"], number


@pytest.mark.timeout(120)
def test_on_s3(tmp_path: Path) -> None:
    """Markers, lists and chains keep their promises on a service, too."""
    store, clock = open_s3(tmp_path), Clock(datetime.now(UTC))
    whole_run(store, 1)
    assert verify_audit(store).faults == ()

    done = Lease(store, identity_of(1), run_id(2), lambda _: store).take()
    assert done.is_done
    store.delete(["silver/1/b.csv"])
    again = Lease(store, identity_of(1), run_id(2), lambda _: store, clock=clock)
    assert again.take().faults[0].endswith("found none")
    with again.heartbeat():
        again.renew()
        with pytest.raises(LeaseError, match="expected nobody at work"):
            Lease(store, identity_of(1), run_id(3), lambda _: store, clock=clock).take()
    again.fail(75, "for the time being")

    slow = AuditStream(store, "copy", sleep=lambda _: None)
    assert slow.head() == fill(store, [1])[-1]
    assert [each.sequence for each in fill(store, [4, 5])] == [3, 4, 5, 6]
    assert slow.append(start(6)).sequence == 7
    report = verify_audit(store)
    assert (report.events, report.faults) == (7, ())
