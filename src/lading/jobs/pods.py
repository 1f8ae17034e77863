"""Pods of a job: what they have in common, and their Job from its beginning to its end."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from lading.config.jobs import KubernetesJobs, PodResources
from lading.errors import ClusterError, MissingObjectError, TemporaryError
from lading.jobs.keys import submitted_key
from lading.jobs.run import Run
from lading.jobs.spec import Job, Resources
from lading.k8s.cluster import JobCluster
from lading.k8s.identity import MANAGED_BY, MANAGER
from lading.k8s.job_order import JobOrder
from lading.k8s.job_state import JobState, read_job
from lading.k8s.jobs import build_job
from lading.k8s.submit import POLL_S, Submitted, await_end, submit
from lading.storage import Body

MINUTE_S, HOUR_S = 60, 3600
_GONE_LOOKS = 60
_MARGIN_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Pods:
    """How pods of a job are made and where."""

    cluster: JobCluster
    """The namespace."""
    kubernetes: KubernetesJobs
    """What all pods get."""
    job: Job
    """What they run."""
    image: str
    """In which image, pinned to its digest."""
    sleep: Callable[[float], None]
    """How to wait; it may raise what ends the waiting."""

    def order(self, lease_seconds: int) -> JobOrder:
        """Return what all Jobs of the job have in common.

        Args:
            lease_seconds: after which the work of a pod that was killed may be taken over; the
                one after it waits for that, for its tries would be used up before.
        """
        given = self.kubernetes
        own = self.job.spec.resources if self.job.spec else Resources()
        asked = given.resources.get(self.job.name, PodResources())
        return JobOrder(
            job=self.job.name,
            image=self.image,
            namespace=given.namespace,
            options=(f"--wait={lease_seconds + _MARGIN_S}",),
            retries=given.retries,
            deadline_s=given.deadline_minutes * MINUTE_S,
            ttl_s=given.keep_hours * HOUR_S,
            cpu=asked.cpu or own.cpu or given.cpu,
            memory=asked.memory or own.memory or given.memory,
            service_account=given.service_account,
            env=given.env,
            secrets=given.secrets,
            queue=given.queue,
        )

    def run(self, order: JobOrder, run: Run, work: str, *, is_done: bool) -> JobState:
        """Submit a Job and wait for its end.

        One that has ended before is removed and made again where it failed, or where its work is
        known not to be done, with whatever settings hold now.

        Args:
            order: what is asked for.
            run: hears how it stands.
            work: key of the work that it does, for ``await_standing``.
            is_done: whether the work of one that is complete counts as done.

        Raises:
            TemporaryError: it is gone before its end was seen.
            ClusterError, UnansweredError, CommandError: as ``submit`` and ``await_end``.
        """
        body = build_job(order)
        before = self._look(order.name)
        if before is not None and before.is_over:
            if is_done and before.phase == "complete":
                run.log.info("Job %s is complete since before; key=... makes another", before.name)
                return before
            run.log.info("Job %s has ended: %s; it is made again", before.name, before.describe())
            self._remove(before.name)
        self._remember(run, work, order.name)
        standing = submit(self.cluster, body)
        if standing.created:
            run.log.info("Job %s in %s submitted", standing.name, self.cluster.place)
        return self._await(standing, run)

    def await_standing(self, run: Run, work: str) -> JobState | None:
        """Wait for the Job of some work that was submitted before and has not ended.

        Returns:
            How it ended; None where there is none.
        """
        name = self._recall(run, work)
        state = self._look(name) if name else None
        if state is None or state.is_over:
            return None
        return self._await(Submitted(name=state.name, uid=state.uid, created=False), run)

    def _await(self, standing: Submitted, run: Run) -> JobState:
        if not standing.created:
            place = self.cluster.place
            run.log.info("Job %s in %s was submitted before: awaited", standing.name, place)
        state = await_end(
            self.cluster, standing, progress=_teller(run), sleep=self.sleep, poll_s=POLL_S
        )
        run.facts["job"] = {"name": state.name, "uid": state.uid, "state": state.phase}
        if state.phase == "gone":
            raise TemporaryError(
                f"{self.cluster.place}: Job {state.name}: expected its end, found it removed"
            )
        return state

    def _look(self, name: str) -> JobState | None:
        """Return how a Job of ours stands; one of somebody else is none of our business."""
        body = self.cluster.job(name)
        labels = (body or {}).get("metadata", {}).get("labels") or {}
        is_ours = labels.get(MANAGED_BY) == MANAGER
        return read_job(body) if body is not None and is_ours else None

    def _remember(self, run: Run, work: str, name: str) -> None:
        """Note which Job does some work, before it does: what is left of it changes meanwhile."""
        table = {"place": self.cluster.place, "name": name}
        data = (json.dumps(table, sort_keys=True) + "\n").encode()
        run.store.put(submitted_key(run.job, work), Body.of_bytes(data))

    def _recall(self, run: Run, work: str) -> str:
        """Return the name of the Job that was submitted last for some work, or ""."""
        try:
            table = json.loads(run.store.get(submitted_key(run.job, work)))
            return str(table["name"]) if table["place"] == self.cluster.place else ""
        except (MissingObjectError, ValueError, KeyError, TypeError):
            return ""

    def _remove(self, name: str) -> None:
        self.cluster.delete_job(name)
        for _ in range(_GONE_LOOKS):
            if self.cluster.job(name) is None:
                return
            self.sleep(POLL_S)
        raise ClusterError(
            f"{self.cluster.place}: Job {name}: expected it gone, found it still there"
        )


def _teller(run: Run) -> Callable[[JobState], None]:
    """Tell how a Job stands whenever that is another thing than before."""
    told = ""

    def tell(state: JobState) -> None:
        nonlocal told
        run.check()
        if state.describe() != told:
            told = state.describe()
            run.log.info("Job %s: %s", state.name, told)

    return tell
