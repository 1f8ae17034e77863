"""What is asked for when a job is to run in a cluster. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from lading.k8s.images import parse_image
from lading.k8s.job_names import JobWork, name_job


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOrder:
    """One Job to be submitted."""

    job: str
    """Name of the job that its pods run."""
    arguments: tuple[str, ...] = ()
    """Arguments of the job; given as they are, whatever ``$`` they hold."""
    options: tuple[str, ...] = ()
    """Options of ``lading run``, which stand before the job's name."""
    image: str
    """Image whose entry point is ``lading run``, pinned: ``repository@sha256:...``."""
    namespace: str
    """Namespace."""
    identity: str = ""
    """Key of the identity of its run; "": its arguments identify it."""
    plan: str = ""
    """Digest of the plan whose shards it runs; ""."""
    completions: int | None = None
    """Shards, one index each; None: a plain Job with one pod."""
    parallelism: int = 1
    """Pods at one time, of an Indexed Job."""
    retries: int = 3
    """Further tries of the pod, or of each index."""
    deadline_s: int
    """Seconds after which it is ended, all its tries included."""
    ttl_s: int
    """Seconds for which it stays in the cluster after its end."""
    cpu: str
    """CPUs that a pod asks for."""
    memory: str
    """Memory that a pod asks for, and gets no more than."""
    service_account: str = ""
    """Service account of the pods; "": the namespace's own, without its token."""
    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Variables of the pods; never a secret."""
    secrets: tuple[str, ...] = ()
    """Secrets whose entries become variables of the pods."""
    queue: str = ""
    """Local queue of Kueue, or ""."""
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Labels of the Job and its pods, beside ours."""
    read_only_root: bool = True
    """Whether pods write below ``/tmp`` only, which is also their home."""

    @property
    def work(self) -> JobWork:
        """What it does, as far as its name depends on it."""
        identity = self.identity or self.arguments
        digest = parse_image(self.image).digest
        return JobWork(job=self.job, identity=identity, plan=self.plan, image=digest)

    @property
    def name(self) -> str:
        """Name of its Job: equal orders have equal names."""
        return name_job(self.work, self.completions)
