"""A Job is submitted once, and awaited to its end.

Creating it is the lock: its name tells what it does, so that of two who submit the same, one
finds the other's. It holds until the Job is removed after its end; what is done for good, markers
in the store know.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from lading.errors import ClusterError, UnansweredError
from lading.k8s.cluster import JobCluster, JsonObject
from lading.k8s.identity import MANAGED_BY, MANAGER, SPEC
from lading.k8s.job_state import JobState, gone, read_job

POLL_S = 5.0
PATIENCE_S = 900.0
_TRIES = 3
_SHOWN = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """A Job that stands in the cluster."""

    name: str
    """Its name."""
    uid: str
    """Its identifier, which no other object has or had."""
    created: bool
    """Whether this call made it; False also where the answer to that was lost."""


def submit(cluster: JobCluster, body: JsonObject) -> Submitted:
    """Create a Job, unless the same one stands there; it is read back. Safe to repeat.

    Args:
        cluster: where.
        body: what ``build_job`` has built.

    Effects: at most one Job of that name is made; one that stands is never changed.

    Raises:
        ClusterError: another Job has its name, or the cluster says no.
        UnansweredError: the cluster did not answer; the Job may stand there.
        CommandError, GuardError: as ``JobCluster``.
    """
    name = str(body["metadata"]["name"])
    for _ in range(_TRIES):
        created, lost = _create(cluster, body)
        standing = cluster.job(name)
        if standing is not None:
            _require_same(f"{cluster.place}: Job {name}", body, standing)
            uid = str(standing["metadata"].get("uid", ""))
            return Submitted(name=name, uid=uid, created=created)
        if lost is not None:
            raise lost
        if created:
            break
        # one stood there a moment ago, and was removed after its end
    raise ClusterError(f"{cluster.place}: Job {name}: expected it in the cluster, found it removed")


def await_end(
    cluster: JobCluster,
    job: Submitted,
    *,
    progress: Callable[[JobState], None] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    poll_s: float = POLL_S,
    patience_s: float = PATIENCE_S,
) -> JobState:
    """Wait until a Job is complete, has failed, or is gone. Only reads; safe to repeat.

    A Job may be gone since somebody deleted it, or since its time after the end was over: what
    was last seen of it is told.

    Args:
        cluster: where.
        job: the Job; another one of its name is not it.
        progress: told each time that the Job was looked at; what it raises ends the waiting.
        sleep: how to wait.
        clock: seconds that never go back.
        poll_s: seconds between two looks.
        patience_s: seconds for which the cluster may not answer.

    Raises:
        UnansweredError: the cluster has not answered for ``patience_s``.
        ClusterError: the cluster says no.
        CommandError: kubectl is missing.
    """
    last: JobState | None = None
    answered_at = clock()
    while True:
        try:
            body = cluster.job(job.name)
        except UnansweredError:
            if clock() - answered_at >= patience_s:
                raise
        else:
            answered_at = clock()
            last = _look(job, body, last)
            progress(last)
            if last.is_over:
                return last
        sleep(poll_s)


def _look(job: Submitted, body: JsonObject | None, last: JobState | None) -> JobState:
    if body is None:
        return gone(job.name, last)
    found = read_job(body)
    return found if not job.uid or found.uid == job.uid else gone(job.name, last)


def _create(cluster: JobCluster, body: JsonObject) -> tuple[bool, UnansweredError | None]:
    try:
        return cluster.create_job(body), None
    except UnansweredError as error:
        return False, error


def _require_same(place: str, body: JsonObject, standing: JsonObject) -> None:
    """Accept a Job that stands there only where it is the one that was to be made.

    Raises:
        ClusterError: it is not.
    """
    meta = standing["metadata"]
    if (meta.get("labels") or {}).get(MANAGED_BY) != MANAGER:
        raise ClusterError(
            f"{place}: expected none, or one labelled {MANAGED_BY}={MANAGER}, found another's",
            hint="it is left as it is; delete it, or use another namespace",
        )
    wanted = body["metadata"]["annotations"][SPEC]
    found = (meta.get("annotations") or {}).get(SPEC, "")
    if found != wanted:
        raise ClusterError(
            f"{place}: expected the spec {wanted[:_SHOWN]}, found {found[:_SHOWN] or 'none'}",
            hint="the same work was submitted with other settings: wait for its end, or delete it",
        )
    if meta.get("deletionTimestamp"):
        raise ClusterError(
            f"{place}: expected it to stay, found it being deleted",
            hint="run the same command when it is gone",
        )
