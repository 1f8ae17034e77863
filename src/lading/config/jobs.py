"""What a lading.toml says of jobs: where they are found, what they remember, where they run."""

from pydantic import Field

from lading.config.values import (
    Context,
    DnsLabel,
    Image,
    Model,
    OpenVariable,
    Package,
    Quantity,
    Slug,
    Url,
)


class PodResources(Model):
    """What a pod of one job asks for, whatever the job itself says."""

    cpu: Quantity = Field(default="", description="CPUs; empty: as without this table.")
    memory: Quantity = Field(default="", description="Memory; empty: as without this table.")


class KubernetesJobs(Model):
    """Where jobs run as Jobs of Kubernetes, and what their pods get."""

    context: Context = Field(
        min_length=1, description="kubectl's context; always given to it, never its own default."
    )
    namespace: DnsLabel = Field(min_length=1, description="Namespace of the Jobs.")
    image: Image = Field(
        default="",
        description="Image that pods run, whose entry point is `lading run`; `image=` names"
        " another. A tag is resolved to the digest that it has when a Job is submitted.",
    )
    service_account: DnsLabel = Field(
        default="", description="Service account of the pods: this is how they get credentials."
    )
    secrets: tuple[DnsLabel, ...] = Field(
        default=(), description="Secrets of the namespace whose entries become variables of pods."
    )
    env: dict[OpenVariable, str] = Field(
        default={}, description="Variables of pods; never a secret."
    )
    queue: DnsLabel = Field(default="", description="Local queue of Kueue, where there is one.")
    cpu: Quantity = Field(default="1", description="CPUs of a pod whose job says nothing.")
    memory: Quantity = Field(default="1Gi", description="Memory of a pod whose job says nothing.")
    resources: dict[Slug, PodResources] = Field(
        default={},
        description="By name of a job: what its pods ask for, whatever it says itself.",
    )
    parallelism: int = Field(default=50, ge=1, le=10_000, description="Pods at one time.")
    retries: int = Field(
        default=3, ge=0, le=100, description="Further tries of a pod, or of each index."
    )
    deadline_minutes: int = Field(
        default=720, ge=1, description="Minutes after which a Job is ended, all its tries included."
    )
    keep_hours: int = Field(
        default=24, ge=0, description="Hours for which an ended Job stays in the cluster."
    )


class Jobs(Model):
    """Jobs: packages of modules that each expose a `JOB`."""

    packages: tuple[Package, ...] = Field(
        default=(),
        description="Python packages; each module in one that does not begin with `_` is a job."
        " They are looked for beside this file, too.",
    )
    stores: tuple[Url, ...] = Field(
        default=(),
        description="Places where jobs keep markers, dead letters, plans and the audit trail. The"
        " first is that of plans, and of jobs that name no store of their own; `lading dlq` and"
        " `lading audit` look into all. Left out: `jobs` in the folder `work`.",
    )
    lease_seconds: int = Field(
        default=300,
        ge=10,
        description="Seconds after which a run that no longer renews its lease may be taken over.",
    )
    kubernetes: KubernetesJobs | None = Field(
        default=None, description="Where `doit k8s_job:<name>` runs them."
    )
