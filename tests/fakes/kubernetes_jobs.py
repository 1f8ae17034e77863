"""What the controller of Jobs does: it starts pods, counts those that end, and keeps the status.

Pods are simulated: a test, or the fake kubelet, says how each ended. Deadlines and removal after
the end follow the clock of the store and are looked at before every answer.
"""

import threading
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from tests.fakes.kubernetes_controllers import CONTROLLER
from tests.fakes.kubernetes_errors import ApiError
from tests.fakes.kubernetes_fields import Table
from tests.fakes.kubernetes_pods import TOO_LATE, End, FakePod, JobPods
from tests.fakes.kubernetes_store import KubernetesStore, Write


class JobController:
    """The controller of Jobs, for all namespaces of a store.

    Args:
        store: the objects.
        guard: held while they are changed.

    All methods take the namespace ``data`` unless told otherwise.
    """

    def __init__(self, store: KubernetesStore, guard: threading.RLock) -> None:
        self._store = store
        self._guard = guard
        self._pods: dict[str, JobPods] = {}

    def start(self, job: str, namespace: str = "data") -> list[FakePod]:
        """Start the pods of a Job as far as it allows; return those that began.

        A suspended Job starts none, and one that has ended neither.
        """
        with self._guard:
            body = self._store.get("jobs", namespace, job)
            pods = self._of(body)
            if body["spec"].get("suspend"):
                self._suspend(body, pods)
                return []
            if pods.end is not None or _end_of(body):
                return []
            started = pods.start(body["spec"])
            self._write(body, pods)
            return started

    def end(
        self,
        job: str,
        index: int = 0,
        exit_code: int = 0,
        *,
        evicted: bool = False,
        namespace: str = "data",
    ) -> None:
        """End the pod of an index.

        Args:
            job: its Job.
            index: its index; of a plain Job the number of the pod, 0 for the first.
            exit_code: of its container; 128 and the number of the signal that ended it.
            evicted: whether it had the condition DisruptionTarget.
            namespace: of the Job.

        Raises:
            LookupError: no pod of that index runs: a test is wrong.
        """
        with self._guard:
            body = self._store.get("jobs", namespace, job)
            pods = self._of(body)
            if index not in {*pods.active, *pods.terminating}:
                raise LookupError(f"{job}: expected a running pod of index {index}, found none")
            if body["spec"].get("suspend") and index in pods.terminating and exit_code:
                del pods.terminating[index]  # what suspending ends is not counted
            else:
                pods.finish(body["spec"], index, exit_code, evicted=evicted)
            self._write(body, pods)

    def evict(self, job: str, index: int = 0, namespace: str = "data") -> None:
        """Evict the pod of an index; its container ends by SIGTERM."""
        self.end(job, index, 143, evicted=True, namespace=namespace)

    def running(self, job: str, namespace: str = "data") -> list[FakePod]:
        """Return the pods of a Job that are to run, by index; none where it is gone."""
        return self._listed(job, namespace, "active")

    def stopping(self, job: str, namespace: str = "data") -> list[FakePod]:
        """Return the pods of a Job that were told to end and have not yet."""
        return self._listed(job, namespace, "terminating")

    def ignored(self, job: str, index: int = 0, namespace: str = "data") -> int:
        """Return how many ends of an index were not counted."""
        with self._guard:
            return self._of(self._store.get("jobs", namespace, job)).ignored.get(index, 0)

    def suspend(self, job: str, namespace: str = "data", *, suspended: bool = True) -> None:
        """Suspend a Job or let it go on, as a queue does."""
        with self._guard:
            write = Write(manager="kueue")
            patch = {"spec": {"suspend": suspended}}
            self._store.patch("jobs", namespace, job, ("merge", patch), write)
            body = self._store.get("jobs", namespace, job)
            if suspended:
                self._suspend(body, self._of(body))
            else:
                self._resume(body)

    def look(self) -> None:
        """End the Jobs whose time is over, and remove those that stayed long enough."""
        with self._guard:
            for body in list(self._store.list("jobs")):
                if self._is_late(body):
                    pods = self._of(body)
                    pods.end = pods.end or TOO_LATE
                    self._write(body, pods)
                elif self._is_outlived(body):
                    meta = body["metadata"]
                    where = ("jobs", meta["namespace"], meta["name"])
                    self._store.delete(*where, {"propagationPolicy": "Background"})

    def _of(self, body: Table) -> JobPods:
        meta = body["metadata"]
        made = JobPods(meta["name"], meta["namespace"], meta["uid"])
        return self._pods.setdefault(meta["uid"], made)

    def _listed(self, job: str, namespace: str, which: str) -> list[FakePod]:
        with self._guard:
            try:
                body = self._store.get("jobs", namespace, job)
            except ApiError:
                return []
            pods: dict[int, FakePod] = getattr(self._of(body), which)
            return [pods[index] for index in sorted(pods)]

    def _is_late(self, body: Table) -> bool:
        limit_s = body["spec"].get("activeDeadlineSeconds")
        is_known = body["metadata"]["uid"] in self._pods
        if limit_s is None or not is_known or _end_of(body) or body["spec"].get("suspend"):
            return False
        return bool(self._age_s(body.get("status", {}).get("startTime")) >= limit_s)

    def _is_outlived(self, body: Table) -> bool:
        limit_s, end = body["spec"].get("ttlSecondsAfterFinished"), _end_of(body)
        if limit_s is None or end is None:
            return False
        return bool(self._age_s(end["lastTransitionTime"]) >= limit_s)

    def _age_s(self, since: str | None) -> float:
        if since is None:
            return -1
        return (self._store.clock() - datetime.fromisoformat(since)).total_seconds()

    def _suspend(self, body: Table, pods: JobPods) -> None:
        pods.stop()
        told = ("JobSuspended", "Job suspended")
        status = self._counted(body, pods)
        status["conditions"] = self._told(body, "Suspended", "True", *told)
        self._put(body, {**status, "startTime": None})

    def _resume(self, body: Table) -> None:
        told = ("JobResumed", "Job resumed")
        conditions = self._told(body, "Suspended", "False", *told)
        self._put(body, {"conditions": conditions, "startTime": self._store.now})

    def _write(self, body: Table, pods: JobPods) -> None:
        """Write what is counted, and the end where there is one and no pod runs any more."""
        end = pods.end
        if end is not None and not end.is_good:
            pods.stop()
        status = self._counted(body, pods)
        status["startTime"] = body.get("status", {}).get("startTime") or self._store.now
        if end is not None:
            status["conditions"] = list(self._ended(body, end, is_over=not pods.terminating))
            if end.is_good:
                status["completionTime"] = self._store.now
        self._put(body, status)

    def _ended(self, body: Table, end: End, *, is_over: bool) -> Iterator[Table]:
        first, last = ("SuccessCriteriaMet", "Complete") if end.is_good else _FAILURE
        conditions = self._told(body, first, "True", end.reason, end.message)
        if is_over:
            held = {**body, "status": {"conditions": conditions}}
            conditions = self._told(held, last, "True", end.reason, end.message)
        yield from conditions

    def _told(self, body: Table, kind: str, status: str, reason: str, message: str) -> list[Table]:
        """Return the conditions of a Job with one more, or with one that has changed."""
        now = self._store.now
        found = list(body.get("status", {}).get("conditions") or [])
        fresh = {"type": kind, "status": status, "reason": reason, "message": message}
        for number, each in enumerate(found):
            if each["type"] == kind:
                same = each["status"] == status
                found[number] = each if same else {**fresh, **_at(now)}
                return found
        return [*found, {**fresh, **_at(now)}]

    def _counted(self, body: Table, pods: JobPods) -> Table:
        spec = body["spec"]
        is_indexed = spec.get("completionMode") == "Indexed"
        good = len(pods.completed_indexes) if is_indexed else pods.succeeded
        status: dict[str, Any] = {
            "active": len(pods.active) or None,
            "ready": len(pods.active),
            "terminating": len(pods.terminating),
            "succeeded": good or None,
            "failed": pods.failed or None,
            "uncountedTerminatedPods": {},
        }
        if is_indexed:
            status["completedIndexes"] = render_ranges(pods.completed_indexes) or None
        if spec.get("backoffLimitPerIndex") is not None:
            status["failedIndexes"] = render_ranges(pods.failed_indexes)
        return status

    def _put(self, body: Table, status: Table) -> None:
        meta = body["metadata"]
        write = Write(manager=CONTROLLER, subresource="status")
        patch = ("merge", {"status": status})
        self._store.patch("jobs", meta["namespace"], meta["name"], patch, write)


_FAILURE = ("FailureTarget", "Failed")


def render_ranges(indexes: set[int]) -> str:
    """Write indexes as the controller does: ``0,1``, ``0-2``, ``0,2-4``."""
    told: list[str] = []
    left = sorted(indexes)
    while left:
        first = left[0]
        last = first
        while last + 1 in indexes:
            last += 1
        told += [str(first)] if last == first else []
        told += [f"{first},{last}"] if last == first + 1 else []
        told += [f"{first}-{last}"] if last > first + 1 else []
        left = left[last - first + 1 :]
    return ",".join(told)


def _at(now: str) -> Table:
    return {"lastProbeTime": now, "lastTransitionTime": now}


def _end_of(body: Table) -> Table | None:
    for each in body.get("status", {}).get("conditions") or []:
        if each["type"] in {"Complete", "Failed"} and each["status"] == "True":
            found: Table = each
            return found
    return None
