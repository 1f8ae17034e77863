"""Jobs on Kubernetes: one Job a run, or one Indexed Job a plan, submitted once and awaited."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lading.config.jobs import KubernetesJobs
from lading.errors import MisconfiguredError
from lading.jobs.attempt import Work
from lading.jobs.dead_letters import DeadLetters, Failure
from lading.jobs.identity import identify
from lading.jobs.leases import Lease
from lading.jobs.plans import Plan, save_plan, smaller_plan
from lading.jobs.pods import MINUTE_S, Pods
from lading.jobs.run import Run
from lading.jobs.running import Order, work_of
from lading.jobs.settings import JobSettings
from lading.jobs.spec import ExitCode
from lading.jobs.words import name_run
from lading.k8s.job_state import JobState

_FAIL_JOB = "PodFailurePolicy"
_LEASE_S = 60.0
_EXIT_CODE = re.compile(r"exit code ([0-9]{1,3})\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterShards:
    """Does shards of a plan as the indexes of one Job, see ``ShardRunner``."""

    pods: Pods
    """How pods are made."""

    def __call__(self, plan: Plan, indexes: Sequence[int], run: Run) -> None:
        """Submit what is left of a plan, and wait for its end.

        One that is at work on it already is awaited: of what it did not do, its end tells.
        """
        state = self.pods.await_standing(run, plan.root)
        if state is None:
            run.began(plan.shards, None)
            state = self._submit(plan, indexes, run)
        if state.reason == _FAIL_JOB:
            raise MisconfiguredError(
                f"{self.pods.cluster.place}: Job {state.name}: expected settings that work,"
                f" found that {state.cause}; `kubectl logs job/{state.name}` says which is wrong"
            )
        if state.phase == "failed":
            run.log.error("Job %s: %s", state.name, state.describe())

    def _submit(self, plan: Plan, indexes: Sequence[int], run: Run) -> JobState:
        root = plan.root
        if len(indexes) < plan.shards:
            names = [each.name for index in indexes for each in plan.shard(index)]
            plan = smaller_plan(plan, names)
            save_plan(run.store, plan)
        common = self.pods.order(run.settings.jobs.lease_seconds)
        order = replace(
            common,
            options=(f"--plan={plan.digest}", *common.options),
            plan=plan.digest,
            completions=plan.shards,
            parallelism=min(self.pods.kubernetes.parallelism, plan.shards),
        )
        return self.pods.run(order, run, root, is_done=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRun:
    """Does one run of a job as one Job, and looks whether it is done."""

    pods: Pods
    """How pods are made."""
    argv: tuple[str, ...]
    """Arguments of the job."""
    key: str
    """What makes it another run of the same work, or ""."""
    settings: JobSettings
    """The project's settings."""

    def __call__(self, run: Run) -> int:
        """Submit the Job, unless its work is done; return the exit code that stands for it."""
        job = self.pods.job
        inner = work_of(job, Order(argv=self.argv), self.settings)
        if self._is_done(inner):
            run.log.info("its outputs stand as they were written: nothing is to be done")
            return 0
        work = f"{inner.identity.key}/{self.key}" if self.key else inner.identity.key
        state = self.pods.await_standing(run, work)
        if state is None:
            common = self.pods.order(self.settings.jobs.lease_seconds)
            order = replace(common, arguments=self.argv, identity=work)
            # where a job does not say what identifies its runs, the Job is all that is known
            is_done = not inner.identity.believes_done
            state = self.pods.run(order, run, work, is_done=is_done)
        failure = self._failure(state, inner)
        letters = DeadLetters(run.store, job.name)
        if not failure:
            letters.resolve(name_run(self.argv))
            return 0
        run.log.error("Job %s: %s", state.name, failure)
        said = Failure(error_class="JobError", message=failure)
        letters.put(name_run(self.argv), [said], run=run.id, arguments=self.argv)
        return _exit_code(state)

    def _is_done(self, inner: Work) -> bool:
        return Lease(inner.store, inner.identity, "", self.settings.open_store).peek().is_done

    def _failure(self, state: JobState, inner: Work) -> str:
        if state.phase != "complete":
            return state.describe()
        if inner.identity.believes_done and not self._is_done(inner):
            return "expected its outputs to stand after its end, found them missing or changed"
        return ""


def cluster_work(single: ClusterRun) -> Work:
    """Return the work of submitting one run and waiting for it."""
    settings, job = single.settings, single.pods.job
    told = {"lading:cluster": list(single.argv), "lading:key": single.key}
    return Work(
        job=job.name,
        order_argv=single.argv,
        identity=identify(job.name, told, None, repeats=True),
        store=settings.open_store(settings.stores[0]),
        call=single,
        stream=job.name,
        lease_s=_LEASE_S,
        wait_s=wait_s_of(single.pods.kubernetes),
        joins=True,
    )


def wait_s_of(kubernetes: KubernetesJobs) -> float:
    """Return how long to wait for another who awaits the same Job: as long as it may take."""
    return float(kubernetes.deadline_minutes * MINUTE_S)


def _exit_code(state: JobState) -> int:
    """Return what the pod ended with where that ended the Job, 65 or 78; else 75."""
    found = _EXIT_CODE.search(state.message) if state.reason == _FAIL_JOB else None
    if state.reason == _FAIL_JOB:
        return int(found[1]) if found else int(ExitCode.BAD_DATA)
    return int(ExitCode.TEMPORARY)
