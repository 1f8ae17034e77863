"""``k8s_job:<name>``: a job as one Job of Kubernetes, or scattered over its indexes."""

import io
import sys
import time
from collections.abc import Callable
from functools import partial

from rich.console import Console
from rich.text import Text

from lading.config.jobs import KubernetesJobs
from lading.errors import CommandError, UsageError
from lading.jobs.attempt import Outcome as JobOutcome
from lading.jobs.attempt import Work
from lading.jobs.cluster import ClusterRun, ClusterShards, cluster_work, wait_s_of
from lading.jobs.items import load_items, make_plan
from lading.jobs.pods import Pods
from lading.jobs.running import Telling, tell
from lading.jobs.scatter import Scatter, plan_retry, plan_work
from lading.jobs.settings import JobSettings, settings_of
from lading.jobs.spec import Job
from lading.jobs.words import split_words
from lading.services.registry import resolve_digest
from lading.storage import Progress
from lading.tasks import jobs
from lading.tasks.display import make_console
from lading.tasks.session import Session
from lading.tasks.staging import open_cluster
from lading.tasks.steps import Outcome


def require(session: Session) -> None:
    """Refuse what cannot be submitted, before anything begins.

    Raises:
        UsageError: naming what is missing.
    """
    jobs.require_variables(session)
    if session.config.jobs is None or session.config.jobs.kubernetes is None:
        raise UsageError(
            f"{session.config_name}: jobs.kubernetes: expected where jobs run, got nothing"
        )
    stores = settings_of(session.config, session.base / session.config_name).stores
    if "://" not in stores[0] and not stores[0].startswith("/"):
        raise UsageError(
            f"{session.config_name}: jobs.stores: expected a place that pods reach, such as"
            f" s3://bucket, got {stores[0]!r}, which ends with its pod"
        )
    if not (session.variables.image or session.config.jobs.kubernetes.image):
        raise UsageError(
            "image: expected image=... or jobs.kubernetes.image, got nothing;"
            " its entry point is `lading run`"
        )


def run(name: str, session: Session, progress: Progress) -> Outcome:
    """Submit a job, or a plan of it, and wait for its end.

    Effects: one Job in the cluster; what its pods do; a receipt.

    Raises:
        CommandError: it did not end well.
        LadingError: as the cluster and the registry do.
    """
    kubernetes = _kubernetes(session)
    settings = settings_of(session.config, session.base / session.config_name)
    job = jobs.registry_of(session).find(name)
    pods = Pods(
        cluster=open_cluster(session, kubernetes.context, kubernetes.namespace, read_only=False),
        kubernetes=kubernetes,
        job=job,
        image=_pinned(session, kubernetes),
        sleep=partial(_sleep, progress),
    )
    receipt = session.work / "receipts" / "k8s_jobs" / f"{name}.json"
    receipt.parent.mkdir(parents=True, exist_ok=True)
    lines = _Lines(make_console(sys.stdout))
    telling = Telling(out=lines, style="text", receipt=receipt, sleep=pods.sleep)
    outcome = tell(name, telling, _make(session, job, settings, pods), settings)
    progress.relative_update(0)  # asked to end: the whole run is
    return _judge(name, outcome)


def _make(session: Session, job: Job, settings: JobSettings, pods: Pods) -> Callable[[], Work]:
    """Return what makes the work that the variables ask for."""
    variables = session.variables
    argv = split_words(variables.args)
    if not (variables.over or variables.retry):
        single = ClusterRun(pods=pods, argv=argv, key=variables.key, settings=settings)
        return partial(cluster_work, single)

    def make() -> Work:
        if variables.retry:
            plan = plan_retry(variables.retry, job, settings)
        else:
            plan = make_plan(
                job.name,
                argv,
                load_items(session.base / variables.over),
                per_shard=variables.per_shard or 1,
                key=variables.key,
            )
        shards = ClusterShards(pods=pods)
        scatter = Scatter(job=job, plan=plan, settings=settings, runner=shards)
        return plan_work(scatter, wait_s=wait_s_of(pods.kubernetes))

    return make


def _judge(name: str, outcome: JobOutcome) -> Outcome:
    if outcome.exit_code:
        raise CommandError(jobs.fault_of(name, outcome.exit_code, outcome.message))
    return Outcome(outcome.message, changed=not outcome.was_done)


def _kubernetes(session: Session) -> KubernetesJobs:
    require(session)
    found = session.config.jobs.kubernetes if session.config.jobs else None
    assert found is not None  # noqa: S101  ``require`` has asked
    workers = session.variables.workers
    return found.model_copy(update={"parallelism": workers}) if workers else found


def _pinned(session: Session, kubernetes: KubernetesJobs) -> str:
    """Return the image with its digest, asked of its registry where it is a tag."""
    image = session.variables.image or kubernetes.image
    if "@" in image:
        return image
    return f"{image}@{resolve_digest(image, folder=session.base)}"


def _sleep(progress: Progress, seconds: float) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        progress.relative_update(0)
        time.sleep(min(left, 0.25))


class _Lines(io.StringIO):
    """A stream whose lines go where the bars are shown."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._begun = ""

    def write(self, text: str, /) -> int:
        """Print whole lines; keep the rest."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._console.print(Text(line), soft_wrap=True)
        return len(text)
