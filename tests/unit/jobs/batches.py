"""A run, as a batch sees it, that remembers all it hears and can fail."""

import threading
from collections.abc import Collection
from dataclasses import dataclass, field

from lading.jobs.letters import Failure


@dataclass
class FakeHost:
    """Refuses what a run would refuse: an item that ends twice, or is buried and done."""

    only: Collection[str] | None = None
    """Items that are wanted."""
    check_fails: Exception | None = None
    """What ``check`` raises, once it was asked ``checks_before`` times."""
    checks_before: int = 0
    bury_fails: Exception | None = None
    revive_fails: Exception | None = None
    checks: int = 0
    announced: tuple[int | None, int | None] | None = None
    states: dict[str, str] = field(default_factory=dict)
    errors: dict[str, Exception | None] = field(default_factory=dict)
    size_bytes: int = 0
    buried: dict[str, Failure] = field(default_factory=dict)
    revived: list[str] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def check(self) -> None:
        """Count, and fail where it is to fail."""
        with self._guard:
            self.checks += 1
        if self.check_fails is not None and self.checks > self.checks_before:
            raise self.check_fails

    def wants(self, item: str) -> bool:
        """Say whether it is one of those wanted."""
        return self.only is None or item in self.only

    def began(self, items: int | None, size_bytes: int | None) -> None:
        """Remember what there is to do."""
        assert self.announced is None
        self.announced = (items, size_bytes)

    def ended(self, name: str, state: str, size_bytes: int, error: Exception | None) -> None:
        """Remember an item's one end."""
        assert name not in self.states, f"{name} ended twice"
        self.threads.add(threading.get_ident())
        self.states[name], self.errors[name] = state, error
        self.size_bytes += size_bytes

    def bury(self, item: str, failure: Failure) -> None:
        """Remember a dead letter."""
        assert item not in self.revived
        if self.bury_fails is not None:
            raise self.bury_fails
        self.threads.add(threading.get_ident())
        self.buried[item] = failure

    def revive(self, item: str) -> None:
        """Remember that an item is good."""
        assert item not in self.buried
        if self.revive_fails is not None:
            raise self.revive_fails
        self.threads.add(threading.get_ident())
        self.revived.append(item)


@dataclass
class FakeSleep:
    """Waits for nothing, and remembers for how long."""

    slept: list[float] = field(default_factory=list)

    def __call__(self, seconds: float) -> None:
        """Wait."""
        assert seconds > 0
        self.slept.append(seconds)
