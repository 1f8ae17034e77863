"""The pods of one Job and what its controller counts of them; nothing runs here.

Source: Kubernetes, pkg/controller/job (1.36), and what a real controller did with simulated pods.
Left out: pauses between tries, success policies, restarts within a pod.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.kubernetes_fields import Table

EVICTED = "DisruptionTarget"


@dataclass(frozen=True)
class FakePod:
    """A pod that is starting or running."""

    name: str
    """Its name."""
    index: int
    """Its completion index; of a plain Job a number that counts up."""
    failures: int
    """Tries of its index that were counted before it."""


@dataclass(frozen=True)
class End:
    """Why a Job ends."""

    reason: str
    """One word."""
    message: str
    """One sentence."""
    is_good: bool = False
    """Whether it is complete."""


DONE = End("CompletionsReached", "Reached expected number of succeeded pods", is_good=True)
TOO_OFTEN = End("BackoffLimitExceeded", "Job has reached the specified backoff limit")
TOO_LATE = End("DeadlineExceeded", "Job was active longer than specified deadline")
FAILED_INDEXES = End("FailedIndexes", "Job has failed indexes")
TOO_MANY = End(
    "MaxFailedIndexesExceeded",
    "Job has exceeded the specified maximal number of failed indexes",
)


@dataclass
class JobPods:
    """Pods of a Job, and what is counted of those that ended."""

    job: str
    namespace: str
    uid: str
    active: dict[int, FakePod] = field(default_factory=dict)
    terminating: dict[int, FakePod] = field(default_factory=dict)
    succeeded: int = 0
    failed: int = 0
    completed_indexes: set[int] = field(default_factory=set)
    failed_indexes: set[int] = field(default_factory=set)
    failures: dict[int, int] = field(default_factory=dict)
    ignored: dict[int, int] = field(default_factory=dict)
    end: End | None = None
    made: int = 0

    def start(self, spec: Table) -> list[FakePod]:
        """Start pods as far as parallelism and completions allow; return them."""
        room = spec["parallelism"] - len(self.active) - len(self.terminating)
        started: list[FakePod] = []
        for index in self._pending(spec):
            if len(started) >= room:
                break
            self.made += 1
            middle = f"-{index}" if _is_indexed(spec) else ""
            suffix = hashlib.sha256(f"{self.uid} {self.made}".encode()).hexdigest()[:5]
            name = f"{self.job[: 57 - len(middle)]}{middle}-{suffix}"
            started.append(FakePod(name, index, self.failures.get(index, 0)))
        self.active |= {pod.index: pod for pod in started}
        return started

    def _pending(self, spec: Table) -> Iterator[int]:
        running = {*self.active, *self.terminating}
        if _is_indexed(spec):
            ended = self.completed_indexes | self.failed_indexes | running
            yield from (each for each in range(spec["completions"]) if each not in ended)
        else:
            left = spec.get("completions", 1) - self.succeeded - len(self.active)
            yield from range(self.made, self.made + max(left, 0))

    def finish(self, spec: Table, index: int, exit_code: int, *, evicted: bool) -> None:
        """Count a pod that has ended, and find out whether the Job ends with it."""
        pods = self.active if index in self.active else self.terminating
        pod = pods.pop(index)
        if exit_code == 0:
            self.succeeded += 1
            if _is_indexed(spec):
                self.completed_indexes.add(index)
        else:
            self._fail(spec, pod, exit_code, evicted=evicted)
        if self.end is None:
            self.end = self._find_end(spec)

    def _fail(self, spec: Table, pod: FakePod, exit_code: int, *, evicted: bool) -> None:
        number, rule = _match(spec, exit_code, evicted=evicted)
        action = rule.get("action")
        if action == "Ignore":
            self.ignored[pod.index] = self.ignored.get(pod.index, 0) + 1
            return
        self.failed += 1
        limit = spec.get("backoffLimitPerIndex")
        if limit is not None and (action == "FailIndex" or pod.failures >= limit):
            self.failed_indexes.add(pod.index)
        self.failures[pod.index] = pod.failures + 1
        if action == "FailJob" and self.end is None:
            self.end = End("PodFailurePolicy", self._said(spec, pod, exit_code, number))

    def _said(self, spec: Table, pod: FakePod, exit_code: int, number: int) -> str:
        what = f"{self.namespace}/{pod.name}"
        rule = spec["podFailurePolicy"]["rules"][number]
        if rule.get("onExitCodes") is None:
            return f"Pod {what} has condition {EVICTED} matching FailJob rule at index {number}"
        container = spec["template"]["spec"]["containers"][0]["name"]
        return (
            f"Container {container} for pod {what} failed with exit code {exit_code} matching"
            f" FailJob rule at index {number}"
        )

    def _find_end(self, spec: Table) -> End | None:
        completions = spec.get("completions", 1)
        if self.failed > spec["backoffLimit"]:
            return TOO_OFTEN
        if spec.get("backoffLimitPerIndex") is not None and self.failed_indexes:
            most = spec.get("maxFailedIndexes")
            if most is not None and len(self.failed_indexes) > most:
                return TOO_MANY
            if len(self.failed_indexes) + len(self.completed_indexes) >= completions:
                return FAILED_INDEXES
        good = len(self.completed_indexes) if _is_indexed(spec) else self.succeeded
        return DONE if good >= completions and not self.active else None

    def stop(self) -> None:
        """Delete the pods that run: they are terminating until each has ended."""
        self.terminating |= self.active
        self.active = {}


def _is_indexed(spec: Table) -> bool:
    return spec.get("completionMode") == "Indexed"


def _match(spec: Table, exit_code: int, *, evicted: bool) -> tuple[int, Mapping[str, Any]]:
    """Return the first rule that fits the end of a pod, and its number."""
    rules = (spec.get("podFailurePolicy") or {}).get("rules") or []
    name = spec["template"]["spec"]["containers"][0]["name"]
    for number, rule in enumerate(rules):
        codes = rule.get("onExitCodes")
        if codes is None:
            wanted = ("type", EVICTED), ("status", "True")
            fits = evicted and any(
                all(pattern.get(key) == value for key, value in wanted)
                for pattern in rule.get("onPodConditions") or []
            )
        else:
            fits = codes.get("containerName", name) == name
            fits = fits and (exit_code in codes["values"]) == (codes["operator"] == "In")
        if fits:
            return number, rule
    return -1, {}
