"""What a lading.toml says of datasets that are updated by CronJobs on Kubernetes.

What all datasets share stands once, in ``[kubernetes]``; a dataset says only what is its own.
"""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from lading.config.values import (
    Context,
    CronJobs,
    DatasetName,
    DnsLabel,
    Endpoint,
    Folder,
    GitRef,
    Image,
    Model,
    NamePrefix,
    RepositoryPath,
    StoreTemplate,
    Variable,
)


class Version(Model):
    """Where the version of a dataset stands: here, or under a key of a file of the repository."""

    value: str = Field(default="", description="The version itself.")
    file: RepositoryPath | None = Field(
        default=None,
        description="A JSON or TOML file of the repository, zarr.json for example; may use"
        " {dataset}.",
    )
    key: str = Field(
        default="",
        description="Key of the version in that file, its parts joined by dots, as"
        " attributes.dataset_version.",
    )


def _as_table(given: Any) -> Any:
    return {"value": given} if isinstance(given, str) else given


VersionPlace = Annotated[Version, BeforeValidator(_as_table, json_schema_input_type=str | Version)]


class Sentry(Model):
    """Monitors of Sentry that watch the CronJobs; each bears the name of its CronJob."""

    organization: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_-]*$", description="The organisation's slug at Sentry."
    )
    url: Endpoint = Field(
        default="https://sentry.io", description="Root of Sentry where it is not sentry.io."
    )
    token_variable: Variable = Field(
        default="SENTRY_AUTH_TOKEN", description="Environment variable that holds the token."
    )


class _OfDataset(Model):
    """What a dataset may say itself, or `[kubernetes]` for all of them."""

    version: VersionPlace | None = Field(
        default=None,
        description="The version, or the file and the key where it stands.",
    )
    store: StoreTemplate = Field(
        default="",
        description="URL of the store; may use {base}, {dataset}, {version} and {ext}."
        " Left out: {base}/{dataset}/v{version}.{ext}.",
    )
    replicas: tuple[StoreTemplate, ...] = Field(
        default=(), description="URLs of further stores that are written, as `store`."
    )
    base: StoreTemplate = Field(default="", description="What {base} stands for.")
    ext: str = Field(
        default="", pattern=r"^([A-Za-z0-9][\w.-]*)?$", description="What {ext} stands for."
    )
    cronjobs: CronJobs | None = Field(
        default=None,
        description="The CronJobs: a YAML or JSON file of the repository, which may use {dataset};"
        " or a Python callable 'package.module:name'.",
    )
    monitors: tuple[str, ...] | None = Field(
        default=None,
        description="Roles whose CronJob a monitor watches; left out: all, where"
        " kubernetes.sentry is there.",
    )


class Kubernetes(_OfDataset):
    """Where CronJobs run, and what all datasets share."""

    context: Context = Field(
        default="", description="kubectl's context; always given to it, never its own default."
    )
    namespace: DnsLabel = Field(default="", description="Namespace of the CronJobs.")
    repository: Image = Field(
        default="",
        description="Repository of the image; an image is {repository}:{commit}, or has a digest.",
    )
    prefix: NamePrefix = Field(
        default="staging-", description="What the names of staged CronJobs begin with."
    )
    main: GitRef = Field(
        default="origin/main", description="Ref of git's that production is deployed from."
    )
    stagger_minutes: int = Field(
        default=0,
        ge=0,
        le=60,
        description="Move each dataset's schedules by minutes of its own, fewer than these; 0: not"
        " at all.",
    )
    wait_minutes: int = Field(
        default=60,
        ge=0,
        description="Minutes that a cleanup waits for running Jobs.",
    )
    rendered: Folder | None = Field(
        default=None,
        description="Folder of the rendered manifests, from this file's; left out: below `work`.",
    )
    sentry: Sentry | None = Field(default=None, description="Monitors of the CronJobs.")


class Dataset(_OfDataset):
    """A dataset that CronJobs keep up to date; what it leaves out stands in `[kubernetes]`."""

    context: Context = Field(default="", description="kubectl's context, where it has its own.")
    namespace: DnsLabel = Field(default="", description="Namespace, where it has its own.")


Datasets = dict[DatasetName, Dataset]
