"""How a run is asked to end."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from lading.errors import Interrupted, TemporaryError
from lading.jobs.stopping import PARENT_VARIABLE, Stop, heeding, leash

_REPOSITORY = Path(__file__).parents[3]
SIGNALS = [signal.SIGINT, signal.SIGTERM]


def send(number: int) -> None:
    """Send a signal to this process; it is heard before this returns."""
    os.kill(os.getpid(), number)


@contextmanager
def unchanged() -> Iterator[None]:
    """Require that all handlers are what they were, and whoever else waits is woken in time."""
    numbers = (*SIGNALS, signal.SIGALRM)
    before = [signal.getsignal(each) for each in numbers]
    armed, _ = signal.setitimer(signal.ITIMER_REAL, 100)
    try:
        yield
        assert [signal.getsignal(each) for each in numbers] == before
        assert 50 < signal.getitimer(signal.ITIMER_REAL)[0] < 100
    finally:
        signal.setitimer(signal.ITIMER_REAL, armed)


@pytest.mark.parametrize("number", SIGNALS)
def test_raised_where_a_job_works(number: int) -> None:
    """A signal ends a job's own code where it is, and is remembered."""

    def work() -> None:
        with stop.raising():
            send(number)
            reached.append(number)

    reached: list[int] = []
    with unchanged(), heeding() as stop, pytest.raises(Interrupted) as caught:
        work()
    assert reached == []
    assert caught.value.exit_code == 128 + number
    assert stop.reason is caught.value


def test_only_noted_elsewhere() -> None:
    """What says how a run ended is not cut: there a signal is only noted, the first of them."""
    with unchanged(), heeding() as stop:
        send(signal.SIGTERM)
        send(signal.SIGINT)
        assert isinstance(stop.reason, Interrupted)
        assert stop.reason.exit_code == 143
        with pytest.raises(Interrupted), stop.raising():
            raise AssertionError("not reached")


def test_swallowed() -> None:
    """Code that swallows it, as ``except Exception`` does, has not done its work."""

    def work() -> None:
        with stop.raising():
            with suppress(Exception):
                send(signal.SIGTERM)
            reached.append("the end")

    reached: list[str] = []
    with heeding() as stop, pytest.raises(Interrupted):
        work()
    assert reached == ["the end"]


def test_whoever_heeded_before_hears_too() -> None:
    """At the end of an inner block, the outer one knows what it was asked."""
    with heeding() as outer:
        with heeding() as inner:
            send(signal.SIGTERM)
        assert isinstance(inner.reason, Interrupted)
        assert isinstance(outer.reason, Interrupted)
        with heeding() as quiet:
            pass
        assert quiet.reason is None


def test_timeout_is_raised() -> None:
    """A job's time is over: temporary, said with the seconds; afterwards nothing is armed."""
    began = time.monotonic()
    with (
        unchanged(),
        heeding() as stop,
        pytest.raises(TemporaryError) as caught,
        stop.raising(0.05),
    ):
        time.sleep(30)
    assert time.monotonic() - began < 10
    assert str(caught.value).startswith("expected to end within 0.05 s, was still at work")


def test_in_time() -> None:
    """A block that ends in time hears nothing."""
    with unchanged(), heeding() as stop, stop.raising(30):
        pass
    assert stop.reason is None


def test_in_another_thread() -> None:
    """In a thread nothing is raised: its timeout is noted, and raised at the next check."""
    found: list[object] = []

    def work() -> None:
        with heeding() as stop:
            try:
                with stop.raising(0.01):
                    deadline = time.monotonic() + 10
                    while stop.reason is None and time.monotonic() < deadline:
                        threading.Event().wait(0.01)
                    found.append(stop.reason)
            except TemporaryError as error:
                found.append(error)

    with unchanged():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(20)
    assert len(found) == 2
    assert found[0] is found[1]


def test_first_reason_counts() -> None:
    """Of several reasons the first is told."""
    stop = Stop()
    stop.check()
    stop.note(Interrupted(15))
    stop.note(Interrupted(2))
    with pytest.raises(Interrupted) as caught:
        stop.check()
    assert caught.value.exit_code == 143


def test_ended_hard() -> None:
    """A job that hears nothing, deep in a library, is ended some time after its timeout: 75."""
    code = (
        "import signal, time\nfrom lading.jobs import stopping\nstopping.GRACE_S = 0.05\n"
        "with stopping.heeding() as stop, stop.raising(0.05):\n"
        "    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])\n"
        "    time.sleep(30)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=_REPOSITORY, check=False, timeout=25, capture_output=True
    )
    assert (done.returncode, done.stderr) == (75, b"")


CHILD = (
    "import time\nfrom lading.jobs.stopping import follow_parent\nfollow_parent()\n"
    "print('up', flush=True)\ntime.sleep({seconds})\n"
)


def start_child(seconds: float, variable: str, *pipes: int) -> subprocess.Popen[str]:
    """Start a process that follows its parent."""
    return subprocess.Popen(
        [sys.executable, "-c", CHILD.format(seconds=seconds)],
        cwd=_REPOSITORY,
        env={**os.environ, PARENT_VARIABLE: variable},
        pass_fds=pipes,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_children_end_with_their_parent() -> None:
    """Once the other end of the pipe is closed, a child ends as by SIGTERM."""
    with leash() as pipe:
        child = start_child(60, str(pipe), pipe)
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        assert child.poll() is None
    with child:
        assert child.wait(20) == -signal.SIGTERM


@pytest.mark.parametrize("variable", ["", "x", "\u0661", "987"])
def test_no_pipe(variable: str) -> None:
    """A variable that names no pipe ends nobody."""
    with start_child(0.1, variable) as child:
        assert child.wait(20) == 0
