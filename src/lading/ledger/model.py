"""A run and what belongs to it, as every reader of the ledger sees it. Pure.

The command line, the page, the report, the API and the job summary show these and nothing
else, wherever they come from: a ledger, or the board of a run that is going on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

RunState = Literal["queued", "running", "completed", "failed", "cancelled"]
"""How a run stands in the ledger. One whose process is gone is ``running`` there and is shown
as aborted: see ``Run.is_aborted``."""

VersionState = Literal["draft", "ready", "published", "failed"]
"""How a version of a project stands."""

StepState = Literal[
    "running",
    "done",
    "unchanged",
    "up to date",
    "skipped",
    "failed",
    "not reached",
    "interrupted",
]
"""How a step stands, in the words of the closing table."""

ENDED: frozenset[str] = frozenset({"completed", "failed", "cancelled"})
"""States of a run that never change again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far work is, measured in bytes and items. ``percent`` never goes back."""

    percent: float = 0.0
    """0 to 100; 100 only once it has ended well."""
    done_bytes: int = 0
    """Bytes that are done."""
    size_bytes: int = 0
    """Bytes to do; 0 where that is not known."""
    done_files: int = 0
    """Items that are done."""
    files: int = 0
    """Items to do; 0 where that is not known."""
    rate_bytes_s: float = 0.0
    """Bytes a second, over the last seconds; 0 where nothing moves."""
    left_s: float | None = None
    """Seconds to its end at that rate; None where nobody can know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One task of a run."""

    task: str
    """Its name, e.g. ``upload:gcs-nightly``."""
    state: StepState
    """How it stands."""
    detail: str = ""
    """What was done, or why not; redacted."""
    started_at: datetime | None = None
    """When it began; None where it never did."""
    ended_at: datetime | None = None
    """When it ended."""
    progress: Progress = Progress()
    """How far it is."""

    @property
    def elapsed_s(self) -> float:
        """How long it took, in seconds; 0 where it has not ended, or never began."""
        if self.started_at is None or self.ended_at is None:
            return 0.0
        return max((self.ended_at - self.started_at).total_seconds(), 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One thing outside that a run is to change: a row of the matrix."""

    task: str
    """Task that changes it, e.g. ``promote:gcs-nightly``."""
    kind: str
    """What the task's name begins with: upload, promote, hold, git_merge, zenodo, cloud_run."""
    destination: str = ""
    """Destination, or "" of what is no store."""
    name: str = ""
    """The prefix, the branch, the service."""
    planned_files: int = 0
    """Files that are to stand there; 0 where it has none, or nobody knows yet."""
    planned_bytes: int = 0
    """Their bytes."""
    state: StepState = "not reached"
    """State of its task."""
    verified_at: datetime | None = None
    """When a read-back last proved it; None: never."""
    url: str = ""
    """Where a person's browser finds it, or ""."""
    note: str = ""
    """What else there is to say, such as why it is skipped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line of a log, redacted when it was written."""

    number: int
    """Grows with time within a ledger; ``after=`` of the next question."""
    at: datetime
    """When it was logged."""
    level: int
    """As ``logging`` has it: 10, 20, 30, 40, 50."""
    task: str
    """Task that it was logged in, or ""."""
    text: str
    """The line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptRow:
    """What a receipt said when it was written."""

    task: str
    """Task that it belongs to."""
    place: str
    """URL or name of what was changed."""
    manifest_sha256: str
    """Release that it proves."""
    proved_at: datetime
    """When a read-back proved it."""
    objects: int
    """Objects that it proves."""
    size_bytes: int
    """Their bytes."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What a service said, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRow:
    """One public file of a manifest."""

    key: str
    """Key inside a prefix."""
    size_bytes: int
    """Its size."""
    sha256: str
    """Its digest."""
    media_type: str
    """Its media type."""
    kind: str = "file"
    """What it was made of: file, sqlite, bundle, built."""
    role: str = ""
    """What it is for: overlays, tiles, files; "" where a project has no roles."""
    url: str = ""
    """Where a browser finds it, or ""."""
    rows: Mapping[str, int] = field(default_factory=dict)
    """Rows by table, where it has some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStart:
    """What is known of a run when it begins."""

    run_id: str
    """See ``name_run``."""
    kind: str
    """What was asked for: the selected tasks, e.g. ``distribute`` or ``publish``."""
    project: str
    """Slug of the project."""
    title: str = ""
    """What people call it."""
    channel: str = ""
    """Channel, or ""."""
    tag: str = ""
    """Tag or version, or ""."""
    environment: str = ""
    """production, staging, or the channel that has a root of its own; "" of neither."""
    is_release: bool = False
    """Whether it walks the whole road: only then it can be published."""
    command: str = ""
    """The command that resumes it; redacted."""
    tool_version: str = ""
    """Version of Lading."""
    commit: str = ""
    """Commit of the tag, or ""."""
    config_sha256: str = ""
    """Digest of the configuration's file."""
    ci_url: str = ""
    """Where its CI run is seen, or ""."""
    owner: str = ""
    """The process for people: number and host."""
    process: str = ""
    """The process, as ``storage.owner.name_process`` names it."""
    started_at: datetime
    """When it began."""
    targets: tuple[Target, ...] = ()
    """All that it is to change, in the order of the road."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as one reads it."""

    run_id: str
    """Its name."""
    kind: str
    """What was asked for."""
    project: str
    """Slug of the project."""
    title: str = ""
    """What people call it."""
    channel: str = ""
    """Channel, or ""."""
    tag: str = ""
    """Tag or version, or ""."""
    environment: str = ""
    """Environment, or ""."""
    is_release: bool = False
    """Whether it walks the whole road."""
    state: RunState
    """How it stands in the ledger."""
    is_aborted: bool = False
    """Whether it is ``running`` there though its process is gone."""
    exit_code: int | None = None
    """What its process ended with, where that was seen."""
    failed_at: str = ""
    """Task that failed first, or ""."""
    error: str = ""
    """Why, redacted; or ""."""
    command: str = ""
    """The command that resumes it."""
    attempt: int = 1
    """How often it was begun: a job that was interrupted is taken up again."""
    progress: Progress = Progress()
    """How far the whole is."""
    created_at: datetime
    """When it was asked for, or began."""
    started_at: datetime | None = None
    """When it began."""
    ended_at: datetime | None = None
    """When it ended."""
    heartbeat_at: datetime | None = None
    """When its process was last heard of."""
    owner: str = ""
    """Its process, for people."""
    tool_version: str = ""
    """Version of Lading."""
    commit: str = ""
    """Commit of the tag, or ""."""
    config_sha256: str = ""
    """Digest of the configuration's file."""
    ci_url: str = ""
    """Where its CI run is seen."""
    manifest_sha256: str = ""
    """Identity of what it releases; "" as long as there is none."""
    doi: str = ""
    """DOI of this version, or ""."""
    requested_by: str = ""
    """Name of the token that asked for it; "" of a run that a person or CI began."""
    retry_of: str = ""
    """Run that it is a further try of, or ""."""
    is_cancelling: bool = False
    """Whether it was asked to stop."""
    result: Mapping[str, Any] = field(default_factory=dict)
    """What a job answers: release_url, asset_count, published_at."""
    steps: tuple[Step, ...] = ()
    """Its steps in their order, of the last attempt; empty in a list of runs."""
    targets: tuple[Target, ...] = ()
    """Its matrix; empty in a list of runs."""
    receipts: tuple[ReceiptRow, ...] = ()
    """Its receipts; empty in a list of runs."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ENDED

    @property
    def elapsed_s(self) -> float:
        """How long it took, in seconds; 0 where it has not ended."""
        if self.started_at is None or self.ended_at is None:
            return 0.0
        return max((self.ended_at - self.started_at).total_seconds(), 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRow:
    """What stands published: one version of a project in one channel and environment."""

    project: str
    """Slug of the project."""
    channel: str
    """Channel."""
    tag: str
    """Tag or version."""
    environment: str
    """Environment."""
    manifest_sha256: str
    """Its identity."""
    published_at: datetime
    """When its prefixes were switched and proved."""
    run_id: str
    """Run that published it."""
    url: str = ""
    """Where ``release.json`` is found, or ""."""
    files: int = 0
    """Public files."""
    size_bytes: int = 0
    """Their bytes."""
    doi: str = ""
    """DOI, or ""."""
    commit: str = ""
    """Commit of the tag, or ""."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRow:
    """One version of a project."""

    project: str
    """Slug of the project."""
    version: str
    """The version."""
    state: VersionState
    """How it stands."""
    detail: str = ""
    """Why it is a draft, or failed; or ""."""
    changed_at: datetime | None = None
    """When its state changed last, as far as the ledger knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectRow:
    """One project."""

    slug: str
    """Its name in URLs."""
    title: str = ""
    """What people call it."""
    runs: int = 0
    """Runs that the ledger holds."""
