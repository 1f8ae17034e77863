"""How a Job stands, as its own status tells it. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from lading.errors import ClusterError
from lading.k8s.cluster import JsonObject
from lading.k8s.live import parse_time

Phase = Literal["pending", "suspended", "running", "complete", "failed", "gone"]
_ENDS: Mapping[str, Phase] = {"Complete": "complete", "Failed": "failed"}
_RANGE = re.compile(r"([0-9]{1,10})(?:-([0-9]{1,10}))?")
_SHORT_RUN = 2  # two indexes in a row are told one by one
_CAUSES = {
    "BackoffLimitExceeded": "its pod failed at every try",
    "DeadlineExceeded": "its time was over before it was done",
    "FailedIndexes": "some of its indexes failed for good",
    "MaxFailedIndexesExceeded": "too many of its indexes failed for good",
    "PodFailurePolicy": "a pod ended in a way that no further try makes good",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """How a Job stands, or stood when it was last seen."""

    name: str
    """Its name."""
    uid: str
    """Its identifier, which no other object has or had."""
    phase: Phase
    """``suspended`` where a queue, or somebody, holds it; ``gone`` where it was removed."""
    completions: int | None
    """How many of its pods are to succeed; None where it does not say."""
    is_indexed: bool = False
    """Whether it is an Indexed Job: one pod an index, each tried by itself."""
    completed: tuple[int, ...] = ()
    """Indexes that are done, in order; of a plain Job always empty."""
    failed: tuple[int, ...] = ()
    """Indexes that failed for good, in order; of a plain Job always empty."""
    active_pods: int = 0
    """Pods that are starting or running."""
    succeeded_pods: int = 0
    """Pods that have succeeded."""
    failed_pods: int = 0
    """Pods that have failed; evicted ones are not counted."""
    reason: str = ""
    """Why it failed, as Kubernetes says it in one word, e.g. ``DeadlineExceeded``; or ""."""
    message: str = ""
    """Kubernetes' sentence to that, or ""."""
    started_at: datetime | None = None
    """When it began, aware; anew where it was suspended in between."""
    finished_at: datetime | None = None
    """When it ended, aware."""

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more."""
        return self.phase in {"complete", "failed", "gone"}

    @property
    def unfinished(self) -> tuple[int, ...]:
        """Indexes that neither are done nor have failed for good: a Job that ends early has some.

        Of a plain Job always empty.
        """
        known = {*self.completed, *self.failed}
        if self.completions is None or not self.is_indexed:
            return ()
        return tuple(each for each in range(self.completions) if each not in known)

    @property
    def cause(self) -> str:
        """Why it failed, for people; "" where it did not."""
        if self.phase != "failed":
            return ""
        told = _CAUSES.get(self.reason, "it failed")
        return f"{told} ({': '.join(filter(None, (self.reason, self.message)))})"

    def describe(self) -> str:
        """Say in one line how it stands."""
        if self.is_indexed:
            counted = f"{len(self.completed)} of {self.completions} indexes done"
            counted += f", {len(self.failed)} failed" if self.failed else ""
        else:
            counted = f"{self.failed_pods} failed tries" if self.failed_pods else ""
        running = f"{self.active_pods} pods running" if self.active_pods else ""
        told = ", ".join(filter(None, (counted, running, self.cause)))
        return f"{self.phase}: {told}" if told else self.phase


def read_job(body: JsonObject) -> JobState:
    """Read how a Job stands.

    Raises:
        ClusterError: its status lists indexes in a way that Kubernetes does not.
    """
    meta, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    completions = spec.get("completions")
    is_indexed = spec.get("completionMode") == "Indexed"
    end = _end_of(status)
    limit = completions if is_indexed and completions is not None else 0
    return JobState(
        name=str(meta["name"]),
        uid=str(meta.get("uid", "")),
        phase=_phase_of(spec, status, end),
        completions=completions,
        is_indexed=is_indexed,
        completed=parse_indexes(status.get("completedIndexes") or "", limit),
        failed=parse_indexes(status.get("failedIndexes") or "", limit),
        active_pods=int(status.get("active") or 0),
        succeeded_pods=int(status.get("succeeded") or 0),
        failed_pods=int(status.get("failed") or 0),
        reason=str(end.get("reason", "")) if end.get("type") == "Failed" else "",
        message=str(end.get("message", "")) if end.get("type") == "Failed" else "",
        started_at=parse_time(status.get("startTime")),
        finished_at=parse_time(status.get("completionTime") or end.get("lastTransitionTime")),
    )


def gone(name: str, last: JobState | None) -> JobState:
    """Return the state of a Job that is no longer there, as it was last seen."""
    if last is None:
        return JobState(name=name, uid="", phase="gone", completions=None)
    return replace(last, phase="gone", active_pods=0)


def parse_indexes(text: str, limit: int) -> tuple[int, ...]:
    """Read ``1,3-5`` as 1, 3, 4, 5.

    Args:
        text: indexes and ranges of them in rising order; "" for none.
        limit: number of indexes there are: each is below it.

    Raises:
        ClusterError: it is no such list.
    """
    found: list[int] = []
    for part in text.split(",") if text else ():
        match = _RANGE.fullmatch(part)
        first = int(match[1]) if match else -1
        last = int(match[2] or first) if match else -1
        least = found[-1] + 1 if found else 0
        if not least <= first <= last < limit:
            raise ClusterError(
                f"status: expected indexes below {limit} as '1,3-5', got {part!r} in {text[:60]!r}"
            )
        found += range(first, last + 1)
    return tuple(found)


def render_indexes(indexes: Iterable[int]) -> str:
    """Write indexes as Kubernetes does: three or more in a row are a range."""
    runs: list[list[int]] = []
    for each in sorted(set(indexes)):
        if runs and runs[-1][-1] == each - 1:
            runs[-1].append(each)
        else:
            runs.append([each])
    return ",".join(
        ",".join(map(str, run)) if len(run) <= _SHORT_RUN else f"{run[0]}-{run[-1]}" for run in runs
    )


def _end_of(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the condition that ends a Job; FailureTarget does not: pods still run."""
    for each in status.get("conditions") or ():
        if each.get("type") in _ENDS and each.get("status") == "True":
            found: Mapping[str, Any] = each
            return found
    return {}


def _phase_of(spec: Mapping[str, Any], status: Mapping[str, Any], end: Mapping[str, Any]) -> Phase:
    if end:
        return _ENDS[end["type"]]
    if spec.get("suspend"):
        return "suspended"
    return "running" if status.get("startTime") else "pending"
