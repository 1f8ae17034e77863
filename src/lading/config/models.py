"""The configuration as frozen models: what a lading.toml may say, and nothing more.

Every field has one line that says what it means; the JSON Schema for editors is made
from these lines (``python -m lading.config.schema``).
"""

from typing import Literal

from pydantic import Field

from lading.config.datasets import Datasets, Kubernetes
from lading.config.jobs import Jobs
from lading.config.ledger import Ledger, Report, Web
from lading.config.publish import Publish
from lading.config.values import (
    Branch,
    DestinationName,
    Endpoint,
    Folder,
    Gain,
    GithubRepository,
    Image,
    KeyTemplate,
    Model,
    Pattern,
    Prefix,
    Regex,
    RelativePath,
    Remote,
    Root,
    Share,
    Slug,
    SourceOption,
    Url,
    Variable,
    Workflow,
)


class Project(Model):
    """Who releases."""

    name: Slug = Field(description="Short name of the project; stands in every manifest.")
    title: str = Field(default="", description="Name of the project for people.")
    repository: str = Field(
        default=".",
        description="Path of the git repository that the tags belong to, from this file's folder.",
    )
    remote: Remote = Field(
        default="origin", description="Remote of that repository whose branches are moved."
    )
    github: GithubRepository = Field(
        default="", description="The repository at GitHub, owner/name; for workflows and links."
    )


class Source(Model):
    """Where a build stands and what makes it whole."""

    url: Url = Field(
        description="Path or URL of the build's folder; may use {tag} and {channel}."
        " A path is read in place, a URL is downloaded by `doit fetch`."
    )
    options: dict[str, SourceOption] = Field(
        default={},
        description="Options of the filesystem behind a URL, as fsspec takes them: `anon = true`,"
        " `requester_pays = true`, `endpoint_url`, `profile`. Secrets belong into the environment.",
    )
    success_marker: RelativePath = Field(
        default="success",
        description="File that the build writes last; a build without it is refused."
        " Empty: no marker is asked for.",
    )
    expected: tuple[Pattern, ...] = Field(
        default=(), description="Patterns of which each must match at least one file of the build."
    )
    optional: tuple[Pattern, ...] = Field(
        default=(), description="Patterns of files that may be there or not; see gates.unexpected."
    )


class SqliteRule(Model):
    """How SQLite databases are packed."""

    match: tuple[Pattern, ...] = Field(
        default=("*.sqlite",), description="Patterns of the files that are SQLite databases."
    )
    integrity: Literal["quick_check", "integrity_check", "none"] = Field(
        default="quick_check", description="How deep SQLite itself looks at each database."
    )
    live: Literal["snapshot", "refuse"] = Field(
        default="snapshot",
        description="What to do with a database that was left open, with a write-ahead log or"
        " a hot journal beside it: pack a consistent snapshot, or refuse the build.",
    )
    level: Literal["fast", "balanced", "small"] = Field(
        default="balanced",
        description="What the zip should rather be: made fast (about 15 % larger than `zip -6`),"
        " balanced (no larger), or small (about as `zip -9`).",
    )
    keep_original: bool = Field(
        default=False, description="Ship the database as it is too, beside its zip."
    )


class BundleRule(Model):
    """Folders of files that ship as one stored zip each."""

    folder: str = Field(description="Folder in the build; `*` stands for any name at its place.")
    name: str = Field(
        default="{folder}", description="Name of the zip without .zip; may use {folder}."
    )
    files: tuple[Pattern, ...] = Field(
        default=("*.parquet",), description="Patterns of the data files in the folder."
    )
    descriptor: str = Field(
        default="*datapackage.json",
        description="Name pattern of the one file that describes them; empty: none is asked for.",
    )
    keep_members: bool = Field(default=True, description="Ship the files themselves as well.")


class Prepare(Model):
    """What is made out of the build before it ships."""

    sqlite: SqliteRule = Field(default=SqliteRule(), description="How databases are packed.")
    bundles: tuple[BundleRule, ...] = Field(default=(), description="Folders that become a zip.")
    entry_time: Literal["fixed", "commit"] = Field(
        default="fixed",
        description="Time of the files inside archives where SOURCE_DATE_EPOCH is not set: a fixed"
        " one, so that an unchanged database keeps its archive, or that of the tag's commit.",
    )


class Limits(Model):
    """How far a figure may move from the last release of the channel; shares, 0.1 is 10 %."""

    warn_loss: Share | None = Field(default=None, description="Loss that is told.")
    refuse_loss: Share | None = Field(default=None, description="Loss that is refused.")
    warn_gain: Gain | None = Field(default=None, description="Gain that is told.")
    refuse_gain: Gain | None = Field(default=None, description="Gain that is refused.")


class RowLimits(Limits):
    """How far the number of rows of a table may move from the last release of the channel."""

    warn_loss: Share | None = Field(default=0.01, description="Loss that is told.")
    refuse_loss: Share | None = Field(default=0.2, description="Loss that is refused.")
    warn_gain: Gain | None = Field(default=0.5, description="Gain that is told.")


class SizeLimits(Limits):
    """How far the size of a public file may move from the last release of the channel."""

    warn_loss: Share | None = Field(default=0.1, description="Loss that is told.")
    refuse_loss: Share | None = Field(default=0.5, description="Loss that is refused.")
    warn_gain: Gain | None = Field(default=1.0, description="Gain that is told.")


class Gates(Model):
    """What `check` asks of a build beyond its marker, its files and their soundness."""

    unexpected: Literal["allow", "warn", "refuse"] = Field(
        default="warn",
        description="What to do with a file that no pattern of source.expected or source.optional"
        " names, where source.expected names any.",
    )
    lost: Literal["allow", "warn", "refuse"] = Field(
        default="refuse",
        description="What to do where the last release had a public file or a table, and this"
        " build has none.",
    )
    rows: RowLimits = Field(
        default=RowLimits(), description="Rows of each table against the last release."
    )
    sizes: SizeLimits = Field(
        default=SizeLimits(), description="Sizes of public files against the last release."
    )


class Layout(Model):
    """Which file becomes which public key. No file of the build is moved."""

    leave_out: tuple[Pattern, ...] = Field(
        default=("*.log",), description="Patterns of files that never ship, as in .gitignore."
    )
    keys: dict[Pattern, KeyTemplate] = Field(
        default={},
        description="Pattern to key: the first that matches names the file's key"
        " ({path}, {name}, {stem}, {folder}); where none does, the key is the path.",
    )


class Destination(Model):
    """One cloud, or one folder that stands for it."""

    url: Url = Field(description="Root of the public objects: a path, or a URL such as gs://b.")
    depot: Url | None = Field(
        default=None, description="Root of the depot where that is another place than `url`."
    )
    endpoint: Endpoint = Field(
        default="", description="URL of the service where it is not the cloud's own."
    )
    region: str = Field(default="", description="S3: region of the bucket; else AWS_REGION's.")
    profile: str = Field(default="", description="S3: profile of the AWS configuration to use.")
    anonymous: bool = Field(default=False, description="Use no credentials at all.")
    requester_pays: bool = Field(
        default=False, description="S3: the bucket charges its callers, and we agree to pay."
    )
    user_project: str = Field(
        default="", description="GCS: project that pays where the bucket charges its callers."
    )
    storage_class: str = Field(
        default="", description="Storage class of what is written, e.g. NEARLINE or STANDARD_IA."
    )
    kms_key: str = Field(
        default="", description="Key of the cloud's key service that encrypts what is written."
    )
    cache_versioned: str = Field(
        default="public, max-age=31536000, immutable",
        description="Cache-Control of objects below prefixes that hold {tag}, and in the depot.",
    )
    cache_moving: str = Field(
        default="no-cache", description="Cache-Control of objects below all other prefixes."
    )


class Dispatch(Model):
    """A workflow of GitHub Actions that is started, and followed to its end."""

    workflow: Workflow = Field(description="File name of the workflow, e.g. deploy.yml.")
    repository: GithubRepository = Field(
        default="", description="Repository that it belongs to; empty: project.github."
    )
    ref: str = Field(
        default="{tag}", description="Branch or tag that it runs on; may use {tag} and {channel}."
    )
    inputs: dict[str, str] = Field(
        default={},
        description="Inputs of the workflow; may use {tag}, {channel} and {manifest}, the sha256"
        " of release.json.",
    )
    timeout_minutes: int = Field(
        default=360, ge=1, description="Minutes after which a run is no longer waited for."
    )


class Zenodo(Model):
    """A deposit of the release at Zenodo, or at another InvenioRDM."""

    env: Literal["sandbox", "production"] = Field(description="Which Zenodo.")
    publish: bool = Field(
        default=False, description="Publish at once; else a draft is left for a person."
    )
    ignore: Regex = Field(
        default="", description="Regular expression, searched in keys that are not deposited."
    )
    dispatch: Dispatch | None = Field(
        default=None,
        description="Let a workflow deposit it from the public prefix, with the inputs env,"
        " source_dir, ignore_regex, publish and manifest; else this run deposits it itself.",
    )
    source: str = Field(
        default="",
        description="Destination from which the workflow reads; empty: the channel's first.",
    )
    concept: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9-]*$",
        description="Identifier of the concept, or of any version, that new versions belong to;"
        " empty: the one that Lading began, or a first record.",
    )
    doi: bool = Field(
        default=False,
        description="Reserve the DOI before the manifest is made, so that release.json has it.",
    )
    url: Endpoint = Field(
        default="", description="Root of another InvenioRDM, e.g. https://data.example.org."
    )
    token_variable: Variable = Field(
        default="",
        description="Environment variable that holds the token; empty: ZENODO_TOKEN, or"
        " ZENODO_SANDBOX_TOKEN of the sandbox.",
    )
    max_files: int = Field(default=100, ge=1, description="Files that a record may have.")
    max_gigabytes: int = Field(
        default=50, ge=1, description="Size that a record may have, in gigabytes (10^9 bytes)."
    )


class CloudRun(Model):
    """A Cloud Run service that reads the release."""

    service: Slug = Field(description="Name of the service.")
    image: Image = Field(default="", description="Image to run; its tag is resolved to a digest.")
    region: str = Field(
        default="", pattern=r"^([a-z][a-z0-9-]*)?$", description="Region of the service."
    )
    project: str = Field(
        default="",
        pattern=r"^([a-z][a-z0-9:.-]*)?$",
        description="Project of the service; empty: gcloud's own.",
    )
    restart: bool = Field(
        default=False,
        description="Begin a new revision for each release even where the image is the same, so"
        " that the service reads the new files.",
    )
    dispatch: Dispatch | None = Field(
        default=None, description="Let a workflow deploy it, of another repository for example."
    )


class Person(Model):
    """One who made the data."""

    name: str = Field(description="Family name, given names; or the name of an organisation.")
    orcid: str = Field(
        default="", pattern=r"^(\d{4}-\d{4}-\d{4}-\d{3}[\dX])?$", description="ORCID, digits only."
    )
    affiliation: str = Field(default="", description="Where they work.")
    organisation: bool = Field(default=False, description="Whether it is an organisation.")


class Metadata(Model):
    """What a deposit says of itself; what is left out comes from .zenodo.json or CITATION.cff."""

    title: str = Field(default="", description="Title of the record.")
    description: str = Field(default="", description="What it is, as text or HTML.")
    creators: tuple[Person, ...] = Field(default=(), description="Who made it.")
    keywords: tuple[str, ...] = Field(default=(), description="Free words.")
    license: str = Field(default="", description="Licence of the data, as SPDX names it.")
    publisher: str = Field(default="Zenodo", description="Who publishes it.")


class Slack(Model):
    """A channel of Slack that is told of each release."""

    channel: str = Field(
        pattern=r"^[#\w][\w.-]*$", description="Channel, by its identifier (C0123456789) or name."
    )
    url: Endpoint = Field(default="", description="Root of the API where it is not slack.com's.")
    token_variable: Variable = Field(
        default="SLACK_BOT_TOKEN", description="Environment variable that holds the bot's token."
    )


class Channel(Model):
    """One series of releases, such as nightly or stable."""

    tag: Regex = Field(
        description="Regular expression that the whole git tag, or version, must match."
    )
    root: Root = Field(
        default="",
        description="Root of the channel's own inside each destination: the channel is an"
        " environment, and nothing of it is written outside.",
    )
    prefixes: tuple[Prefix, ...] = Field(
        min_length=1,
        description="Public prefixes that a release switches; may use {tag} and {project}.",
    )
    immutable: tuple[Prefix, ...] = Field(
        default=(), description="Those of the prefixes that are never rewritten."
    )
    hold: tuple[Prefix, ...] = Field(
        default=(), description="Those of the prefixes whose objects get a temporary hold."
    )
    destinations: tuple[str, ...] = Field(
        default=(), description="Names of the destinations it ships to; empty: all of them."
    )
    owned: bool = Field(
        default=False,
        description="Whether all that stands below its prefixes is Lading's: then objects that it"
        " did not put there are deleted; else they stay and are told.",
    )
    branch: Branch = Field(
        default="", description="Git branch that is moved to the tag; empty: none."
    )
    zenodo: Zenodo | None = Field(default=None, description="Deposit at Zenodo.")
    cloud_run: tuple[CloudRun, ...] = Field(default=(), description="Services to update.")


class Config(Model):
    """A whole lading.toml."""

    project: Project = Field(description="Who releases.")
    source: Source = Field(
        default=Source(url="source"), description="Where a build stands; for channels."
    )
    prepare: Prepare = Field(default=Prepare(), description="What is made out of the build.")
    gates: Gates = Field(default=Gates(), description="What is asked of a build.")
    layout: Layout = Field(default=Layout(), description="Which file becomes which key.")
    destinations: dict[DestinationName, Destination] = Field(
        default={}, description="Where releases go; for channels."
    )
    channels: dict[Slug, Channel] = Field(
        default={},
        description="Series of releases; may be left out where there are datasets or jobs.",
    )
    kubernetes: Kubernetes | None = Field(
        default=None, description="Where the CronJobs of datasets run."
    )
    datasets: Datasets = Field(default={}, description="Datasets that CronJobs keep up to date.")
    jobs: Jobs | None = Field(default=None, description="Jobs around releases, and where they run.")
    metadata: Metadata = Field(default=Metadata(), description="What a deposit says of itself.")
    slack: Slack | None = Field(default=None, description="Who is told of each release.")
    publish: Publish = Field(default=Publish(), description="Versions as published documents.")
    ledger: Ledger = Field(default=Ledger(), description="Where runs are recorded.")
    report: Report = Field(default=Report(), description="The report of a run.")
    web: Web = Field(default=Web(), description="What `lading serve` serves.")
    keep: int = Field(
        default=2, ge=1, description="Releases of a prefix that stay in the depot for rollback."
    )
    prune_after_hours: int = Field(
        default=24,
        ge=0,
        description="Hours for which `doit prune` leaves alone what no release needs any more.",
    )
    work: Folder = Field(
        default="build", description="Folder for archives, receipts and state, from this file's."
    )
    variables: tuple[str, ...] = Field(
        default=(), description="Names of command-line variables that your own tasks read."
    )
