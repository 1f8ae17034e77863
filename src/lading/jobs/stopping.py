"""How a run is asked to end: by a signal, by its timeout, by the end of whoever began it."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from lading.errors import Interrupted, LadingError, TemporaryError

PARENT_VARIABLE = "LADING_PARENT_PIPE"
"""Variable that names the pipe whose other end its parent holds."""
STOPPED = frozenset({128 + signal.SIGINT, 128 + signal.SIGTERM})
"""Exit codes of a run that was asked to end."""
GRACE_S = 30.0
"""Seconds after its timeout at which a job that does not hear of it is ended by force."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_TIMER = signal.ITIMER_REAL


class Stop:
    """Why the work must end, where it must. Safe from several threads.

    Attributes:
        reason: the first that asked it to, or None.
    """

    def __init__(self) -> None:
        self.reason: LadingError | None = None
        self._is_raised = False

    def note(self, error: LadingError) -> None:
        """Ask the work to end: its next ``check`` raises the error."""
        self.reason = self.reason or error

    def check(self) -> None:
        """Raise where the work must end.

        Raises:
            Interrupted: a signal asked it to.
            TemporaryError: its time is over.
        """
        if self.reason is not None:
            raise self.reason

    @contextmanager
    def raising(self, timeout_s: float | None = None) -> Iterator[None]:
        """Let signals and a timeout end the block, which a job's own code fills.

        In the main thread what ends it is raised where it works; in another, it is only noted. A
        block that swallowed it has not done its work: it is raised again at its end. One that
        does not hear its timeout, in the midst of a library's C, is ended hard after half a
        minute.

        Args:
            timeout_s: seconds; None: never.

        Raises:
            Interrupted, TemporaryError: as ``check``.
        """
        is_main = threading.current_thread() is threading.main_thread()
        with _alarm(timeout_s, self.hear) if is_main else _clock(timeout_s, self.note):
            self._is_raised = is_main
            try:
                self.check()
                yield
            finally:
                self._is_raised = False
        self.check()

    def hear(self, error: LadingError) -> None:
        """Note an error, and raise it where a job's own code is at work: a signal's handler.

        Raises:
            LadingError: that one.
        """
        self.note(error)
        if self._is_raised:
            raise error


@contextmanager
def heeding() -> Iterator[Stop]:
    """Hear signals while the block runs: they are noted, and raised within ``Stop.raising``.

    What says how a run ended is therefore never cut by them. Whoever heeded signals before hears
    of them at the end, too: nothing more is begun then. In another thread than the main one no
    signal is heard.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    heard: list[int] = []

    def heed(number: int, frame: FrameType | None) -> None:
        del frame
        heard.append(number)
        stop.hear(Interrupted(number))

    before = {int(each): signal.signal(each, heed) for each in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            # None: what was not put there by Python cannot be put back
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        for number in heard[:1]:
            if callable(handler := before[number]) and handler is not signal.default_int_handler:
                handler(number, None)


@contextmanager
def leash() -> Iterator[int]:
    """Hold a pipe whose other end children get, named by ``PARENT_VARIABLE``.

    They see when this process is gone, however it ended, or when the block has ended.
    """
    theirs, ours = os.pipe()
    try:
        yield theirs
    finally:
        os.close(theirs)
        os.close(ours)


def follow_parent() -> None:
    """End this process as by SIGTERM once its parent is gone, where it holds a pipe of it."""
    text = os.environ.pop(PARENT_VARIABLE, "")
    if not (text.isascii() and text.isdigit()):
        return

    def wait() -> None:
        try:
            os.read(int(text), 1)  # nothing is ever written: it ends with its writer
        except OSError:
            return  # no pipe of ours: somebody set the variable
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="follow-parent", daemon=True).start()


@contextmanager
def _alarm(timeout_s: float | None, hear: Callable[[LadingError], None]) -> Iterator[None]:
    """Hear of a timeout in the main thread, and end hard where that helps nothing."""
    if timeout_s is None:
        yield
        return
    before = signal.signal(signal.SIGALRM, lambda *_: hear(_late(timeout_s)))
    began, (left_s, interval_s) = time.monotonic(), signal.setitimer(_TIMER, timeout_s)
    try:
        with _clock(timeout_s + GRACE_S, lambda _: os._exit(TemporaryError.exit_code)):
            yield
    finally:
        signal.setitimer(_TIMER, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL if before is None else before)
        if left_s:  # somebody else waits for a time of its own
            left_s -= time.monotonic() - began
            signal.setitimer(_TIMER, max(left_s, 1e-3), interval_s)


@contextmanager
def _clock(seconds: float | None, act: Callable[[LadingError], None]) -> Iterator[None]:
    """Act from another thread after some seconds, unless the block has ended."""
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, lambda: act(_late(seconds)))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _late(timeout_s: float) -> TemporaryError:
    return TemporaryError(f"expected to end within {timeout_s:g} s, was still at work")
