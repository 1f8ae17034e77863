"""kill -9 of whoever works over all agencies; each kill is followed by the same command."""

import os
import random
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.agencies import Step, World
from tests.fakes.kubelet import FakeKubelet, PodRun

_LOOK_S = 0.02
_MOST_TRIES = 40
_PATIENCE_S = 5.0
Moment = Callable[["Saboteur"], bool]


@dataclass(frozen=True)
class Killed:
    """What was killed, and when."""

    at_s: float
    """Seconds of work at the job before it."""
    job: str
    """What was run."""
    victim: str
    """``coordinator``, ``shard``, ``pod``, or ``machine``: all of them that are at work."""


@dataclass(frozen=True)
class Kill:
    """A kill that is still to come."""

    is_due: Moment
    """Says whether the moment has come."""
    victim: str
    """Whom it is to hit; the coordinator, where there is no such process for a while."""


@dataclass
class Saboteur:
    """Runs commands, and kills at given moments.

    Attributes:
        world: whose commands.
        kills: what is still to be done, in order.
        kubelet: runs the pods, where there are some.
        rng: chooses among several victims.
        killed: what was done.
        steps_s: seconds for which commands ran, by job.
        over: jobs that have ended well.
        runs: how often commands were given.
    """

    world: World
    kills: deque[Kill]
    kubelet: FakeKubelet | None = None
    rng: random.Random = field(default_factory=lambda: random.Random(0))
    killed: list[Killed] = field(default_factory=list)
    steps_s: dict[str, float] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)
    runs: int = 0
    _guard: threading.Lock = field(default_factory=threading.Lock)

    @property
    def worked_s(self) -> float:
        """Seconds for which commands ran."""
        return sum(self.steps_s.values())

    def run(self, step: Step) -> None:
        """Give the command of a step until it ends well."""
        world = self.world
        command = world.cluster_command(step) if self.kubelet else world.scatter_command(step)
        for _ in range(_MOST_TRIES):
            before = len(self.killed)
            code, said = self._run_once(step, command)
            if code == 0:
                self.over.add(step.job)
                return
            assert len(self.killed) > before, f"{step.job}: ended with {code} by itself: {said}"
        raise AssertionError(f"{step.job}: {_MOST_TRIES} runs were not enough")

    def _run_once(self, step: Step, command: Sequence[str]) -> tuple[int, str]:
        self.runs += 1
        log = self.world.folder.with_name(f"log-{self.runs}")
        with log.open("wb") as out:
            process = subprocess.Popen(
                command,
                cwd=self.world.folder,
                env=self.world.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
            try:
                self._watch(step, process)
            finally:
                self.world.api.stored = lambda _: None
                process.kill()
                process.wait()
        return process.returncode, log.read_text(errors="replace")[-3000:]

    def _watch(self, step: Step, process: subprocess.Popen[bytes]) -> None:
        """Wait for the end of a command, and kill when it is time to."""
        seen, due_since = time.monotonic(), 0.0
        while True:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK_S)
                return
            now = time.monotonic()
            self.steps_s[step.job] = self.steps_s.get(step.job, 0.0) + now - seen
            seen = now
            if not (self.kills and self.kills[0].is_due(self)):
                due_since = 0.0
                continue
            due_since = due_since or now
            is_late = now - due_since > _PATIENCE_S
            if step.job == "ingest_api" and not is_late:
                # no moment is worse: it is done there, and nobody here has heard of it
                self.world.api.stored = lambda _: self._strike(step, process, is_late=True)
            else:
                self._strike(step, process, is_late=is_late)

    def _strike(self, step: Step, process: subprocess.Popen[bytes], *, is_late: bool) -> None:
        """Do the next kill, where there is somebody to be killed."""
        with self._guard:
            if not (self.kills and self.kills[0].is_due(self)) or process.poll() is not None:
                return
            victim = self._kill(process, self.kills[0].victim, is_late=is_late)
            if victim:
                self.kills.popleft()
                second = round(self.steps_s.get(step.job, 0.0), 1)
                self.killed.append(Killed(second, step.job, victim))

    def _kill(self, process: subprocess.Popen[bytes], victim: str, *, is_late: bool) -> str:
        """Kill a victim, and return what it was; "" where there is none yet."""
        pods, shards = self.pods(), children_of(process.pid)
        if victim == "pod" and pods:
            self.rng.choice(pods).signal(signal.SIGKILL)
            return victim
        if victim == "shard" and shards:
            _kill_all([self.rng.choice(shards)])
            return victim
        if victim == "machine" and (shards or pods):
            _kill_all([process.pid, *shards])
            for each in pods:
                each.signal(signal.SIGKILL)
            return victim
        if victim != "coordinator" and not is_late:
            return ""
        process.kill()
        return "coordinator"

    def pods(self) -> list[PodRun]:
        """Return the pods that are at work."""
        runs = self.kubelet.runs if self.kubelet else []
        return [each for each in runs if each.process is not None and each.exit_code is None]


def at(job: str, second: float) -> Moment:
    """Return the moment at which a job has been worked at for so long, or is over."""

    def is_due(saboteur: Saboteur) -> bool:
        return saboteur.steps_s.get(job, -1.0) >= second or job in saboteur.over

    return is_due


def when_there(part: str) -> Moment:
    """Return the moment at which the lake, a folder here, holds something of this name."""

    def is_due(saboteur: Saboteur) -> bool:
        root = saboteur.world.folder / saboteur.world.lake
        return any(part in each.as_posix() for each in root.rglob("*"))

    return is_due


def spread(
    count: int, lengths: Mapping[str, float], victims: Sequence[str], rng: random.Random
) -> deque[Kill]:
    """Return kills at random moments of jobs that take so many seconds, each kind as often."""
    chosen = [victims[number % len(victims)] for number in range(count)]
    rng.shuffle(chosen)
    kills = deque[Kill]()
    for moment, victim in zip(sorted(rng.random() for _ in chosen), chosen, strict=True):
        left = moment * sum(lengths.values())
        for job, seconds in lengths.items():
            if left < seconds:
                kills.append(Kill(at(job, left), victim))
                break
            left -= seconds
    return kills


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started and not yet buried."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(OSError):
            found += map(int, (task / "children").read_text().split())
    return found


def _kill_all(pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
