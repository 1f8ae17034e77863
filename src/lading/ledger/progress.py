"""How far work is, in bytes and items: percent that never goes back, rate, time left. Pure.

An item costs something whatever its size (a request, a file that is opened), so progress counts
units: bytes, and for each item as many as could have been moved in the time that one takes.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from lading.ledger.model import Progress

ITEM_UNITS = 256 * 1024
"""Units of an item; a byte is one unit."""
WINDOW_S = 15.0
"""Seconds over which a rate is measured."""
_NEARLY = 99.9  # what has not ended is never shown as whole


@dataclass(frozen=True, slots=True)
class Work:
    """Work to do, or done."""

    size_bytes: int = 0
    """Bytes."""
    items: int = 0
    """Items."""

    @property
    def units(self) -> int:
        """It in units."""
        return self.size_bytes + self.items * ITEM_UNITS


ONE_ITEM = Work(0, 1)
"""Work of a step that nobody can measure."""


class Rate:
    """How fast something grows, over the last seconds.

    Args:
        window_s: how many seconds count.
    """

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._marks: deque[tuple[float, float]] = deque()

    def at(self, now_s: float, amount: float) -> float:
        """Note an amount, and return how much it grew a second; 0 at the first time."""
        self._marks.append((now_s, amount))
        while len(self._marks) > 2 and now_s - self._marks[1][0] >= self._window_s:  # noqa: PLR2004  two make a rate
            self._marks.popleft()
        began, had = self._marks[0]
        passed = now_s - began
        return max((amount - had) / passed, 0.0) if passed > 0 else 0.0


class StepMeter:
    """Measures one step. Not safe from several threads."""

    def __init__(self) -> None:
        self._percent = 0.0
        self._bytes, self._units = Rate(), Rate()

    def measure(self, now_s: float, done: Work, to_do: Work) -> Progress:
        """Return how far it is.

        Args:
            now_s: monotonic time, in seconds.
            done: what is done.
            to_do: all of it, as far as it is known by now; it may grow.
        """
        whole, part = to_do.units, min(done.units, to_do.units)
        share = 100.0 * part / whole if whole else 0.0
        self._percent = max(self._percent, min(share, _NEARLY))
        speed = self._units.at(now_s, done.units)
        return Progress(
            percent=self._percent,
            done_bytes=done.size_bytes,
            size_bytes=to_do.size_bytes,
            done_files=done.items,
            files=to_do.items,
            rate_bytes_s=self._bytes.at(now_s, done.size_bytes),
            left_s=(whole - part) / speed if speed and whole else None,
        )


class RunMeter:
    """Measures a whole run: the work of its steps, of which later ones are only foreseen.

    Args:
        foreseen: work of each step by task, as far as it is known; ``ONE_ITEM`` else.
    """

    def __init__(self, foreseen: Mapping[str, Work]) -> None:
        self._foreseen = dict(foreseen)
        self._steps: dict[str, tuple[Work, Work]] = {}
        self._ended: set[str] = set()
        self._percent = 0.0
        self._bytes, self._units = Rate(), Rate()

    def foresee(self, foreseen: Mapping[str, Work]) -> None:
        """Note what is better known by now: of steps that have not begun."""
        self._foreseen.update(foreseen)

    def note(self, task: str, done: Work, to_do: Work) -> None:
        """Note how far a step is."""
        self._steps[task] = (done, to_do)

    def end(self, task: str) -> None:
        """Note that nothing is left to do in a step."""
        self._ended.add(task)

    def measure(self, now_s: float) -> Progress:
        """Return how far the run is."""
        rows = [self._row(task) for task in {**self._foreseen, **self._steps}]
        whole = sum(to_do.units for _, to_do in rows)
        part = sum(min(done.units, to_do.units) for done, to_do in rows)
        moved = Work(
            sum(done.size_bytes for done, _ in self._steps.values()),
            sum(done.items for done, _ in self._steps.values()),
        )
        if whole:
            self._percent = max(self._percent, min(100.0 * part / whole, _NEARLY))
        speed = self._units.at(now_s, part)
        return Progress(
            percent=self._percent,
            done_bytes=moved.size_bytes,
            size_bytes=sum(to_do.size_bytes for _, to_do in rows),
            done_files=moved.items,
            files=sum(to_do.items for _, to_do in rows),
            rate_bytes_s=self._bytes.at(now_s, moved.size_bytes),
            left_s=(whole - part) / speed if speed and whole else None,
        )

    def _row(self, task: str) -> tuple[Work, Work]:
        """Return what is done of a step, and all of it; what it says itself goes before."""
        foreseen = self._foreseen.get(task, ONE_ITEM)
        done, to_do = self._steps.get(task, (Work(), Work()))
        known = to_do if to_do.units else foreseen
        return (known, known) if task in self._ended else (done, known)
