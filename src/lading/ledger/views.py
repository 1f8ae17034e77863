"""What the ledger's views, tables and columns are, in words. Pure.

The views are made by ``migrations``; each has its words here: a test compares the two.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One view of the ledger, for people who ask in SQL."""

    name: str
    """Its name."""
    description: str
    """What a row of it is, in one or two sentences."""
    columns: Mapping[str, str]
    """What each column holds, in the order of the view."""
    sort_desc: str = ""
    """Column whose greatest values people look at first, or ""."""
    facets: tuple[str, ...] = ()
    """Columns that are good to count and to narrow by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableWords:
    """One table of the ledger, in words."""

    name: str
    """Its name."""
    description: str
    """What a row of it is."""
    sort_desc: str = ""
    """Column whose greatest values people look at first, or ""."""
    facets: tuple[str, ...] = ()
    """Columns that are good to count and to narrow by."""
    is_hidden: bool = field(default=False)
    """Whether it is nothing to look at."""


_NAMED = {
    "run_id": "Name of the run: when it began, in UTC, and ten digits.",
    "project": "Slug of the project.",
    "channel": "Channel, such as nightly or stable.",
    "tag": "Tag or version.",
    "environment": "production, staging, or the channel that has a root of its own.",
}
_PLACE = {name: _NAMED[name] for name in ("project", "channel", "environment")}
_STATE = "running, done, unchanged, up to date, skipped, failed, not reached or interrupted."
_RUN_STATE = (
    "queued, running, completed, failed or cancelled; a run whose process is gone stays running"
    " here: see stuck_runs."
)
_MANIFEST = "SHA-256 of release.json: the identity of what was released."

VIEWS: tuple[View, ...] = (
    View(
        name="overview",
        description="For each project, channel and environment: what stands published, and"
        " how the newest run went.",
        columns={
            **_PLACE,
            "standing_tag": "Tag or version that stands published; empty: none.",
            "published_at": "When it was first published, in UTC.",
            "files": "Its public files.",
            "size_bytes": "Their size, in bytes.",
            "last_run_id": "Name of the newest run.",
            "last_tag": "Tag or version of the newest run.",
            "last_state": f"State of the newest run: {_RUN_STATE}",
            "last_failed_at": "Task at which the newest run failed, or empty.",
            "last_created_at": "When the newest run was asked for, or began, in UTC.",
            "runs": "Runs in all.",
        },
        sort_desc="last_created_at",
        facets=("project", "channel", "environment", "last_state"),
    ),
    View(
        name="current_releases",
        description="What stands published now: one row for each project, channel and environment.",
        columns={
            **_PLACE,
            "tag": _NAMED["tag"],
            "published_at": "When it was first published, in UTC.",
            "stands_since": "Since when it stands, in UTC; later than published_at where"
            " another stood in between.",
            "files": "Its public files.",
            "size_bytes": "Their size, in bytes.",
            "doi": "DOI of this version, or empty.",
            "commit_id": "Git commit of the tag, or empty.",
            "manifest_sha256": _MANIFEST,
            "url": "Where release.json is found, or empty.",
            "run_id": "Run that published it first.",
        },
        sort_desc="stands_since",
        facets=("project", "channel", "environment"),
    ),
    View(
        name="run_timings",
        description="How long each run waited and took, and which of its steps took longest.",
        columns={
            **_NAMED,
            "kind": "What was asked for, such as distribute or publish.",
            "state": f"How the run stands: {_RUN_STATE}",
            "attempt": "How often it was begun.",
            "created_at": "When it was asked for, or began, in UTC.",
            "started_at": "When it began, in UTC.",
            "ended_at": "When it ended, in UTC.",
            "waited_s": "Seconds from the request to its begin.",
            "elapsed_s": "Seconds from its begin to its end; empty: it has not ended.",
            "steps": "Steps of its last attempt.",
            "slowest_step": "The step that took longest.",
            "done_bytes": "Bytes that were moved.",
        },
        sort_desc="created_at",
        facets=("project", "channel", "environment", "state", "kind"),
    ),
    View(
        name="step_timings",
        description="How long each step took and how fast it moved bytes; of the last attempt of"
        " each run.",
        columns={
            **_NAMED,
            "position": "Place of the step in its run, from 0 on.",
            "task": "Name of the step, such as upload:gcs-nightly.",
            "state": _STATE,
            "started_at": "When it began, in UTC.",
            "ended_at": "When it ended, in UTC.",
            "elapsed_s": "Seconds that it took.",
            "done_bytes": "Bytes that it moved.",
            "done_files": "Files that it moved.",
            "bytes_per_s": "Bytes a second, over the whole step.",
        },
        sort_desc="started_at",
        facets=("project", "channel", "task", "state"),
    ),
    View(
        name="failed_steps",
        description="Steps that failed or were interrupted, with the reason and the command that"
        " resumes their run; of the last attempt of each run.",
        columns={
            **_NAMED,
            "task": "Name of the step.",
            "state": "failed or interrupted.",
            "ended_at": "When it ended, in UTC.",
            "detail": "Why, without secrets.",
            "command": "Command that resumes the run.",
        },
        sort_desc="ended_at",
        facets=("project", "channel", "task", "state"),
    ),
    View(
        name="stuck_runs",
        description="Runs that say they are running and were not heard of for a minute: their"
        " process is most likely gone, and the command resumes them.",
        columns={
            **_NAMED,
            "owner": "Its process and machine.",
            "percent": "How far it was, 0 to 100.",
            "started_at": "When it began, in UTC.",
            "heard_at": "When it was last heard of, in UTC.",
            "silent_s": "Seconds since then.",
            "command": "Command that resumes it.",
        },
        sort_desc="heard_at",
        facets=("project", "channel"),
    ),
    View(
        name="target_matrix",
        description="What each run was to change outside, and whether a read-back proved it.",
        columns={
            **_NAMED,
            "position": "Place in the matrix, from 0 on.",
            "task": "Task that changes it.",
            "kind": "upload, promote, hold, git_merge, zenodo, cloud_run.",
            "destination": "Destination; empty of what is no store.",
            "name": "The prefix, the branch, the service.",
            "state": _STATE,
            "planned_files": "Files that are to stand there.",
            "planned_bytes": "Their size, in bytes.",
            "verified_at": "When a read-back last proved it, in UTC; empty: never.",
            "url": "Where a browser finds it, or empty.",
            "note": "What else there is to say, such as why it is skipped.",
        },
        sort_desc="run_id",
        facets=("project", "channel", "destination", "kind", "state"),
    ),
    View(
        name="run_receipts",
        description="What the receipts of each run said when they were written.",
        columns={
            **_NAMED,
            "task": "Task that the receipt belongs to.",
            "place": "What was changed: a URL or a name.",
            "proved_at": "When a read-back proved it, in UTC.",
            "objects": "Objects that it proves.",
            "size_bytes": "Their size, in bytes.",
            "manifest_sha256": _MANIFEST,
            "facts": "What a service said, by name; JSON.",
        },
        sort_desc="proved_at",
        facets=("project", "channel", "task"),
    ),
    View(
        name="run_artifacts",
        description="The public files of each run, with size and digest.",
        columns={
            **_NAMED,
            "key": "Key of the file inside a prefix.",
            "size_bytes": "Its size, in bytes.",
            "sha256": "Its SHA-256.",
            "media_type": "Its media type.",
            "kind": "What it was made of: file, sqlite, bundle, built.",
            "role": "What it is for: overlays, tiles, files; or empty.",
            "url": "Where a browser finds it, or empty.",
            "manifest_sha256": _MANIFEST,
        },
        sort_desc="run_id",
        facets=("project", "channel", "media_type", "role"),
    ),
    View(
        name="table_history",
        description="Rows of each table in each release, and how many more or fewer than in the"
        " release before it.",
        columns={
            **_PLACE,
            "tag": _NAMED["tag"],
            "published_at": "When the release was published, in UTC.",
            "file": "Public file that holds the table.",
            "table_name": "The table.",
            "rows": "Its rows.",
            "change": "Rows more than in the release before; empty in the first one.",
            "file_size_bytes": "Size of the file, in bytes.",
            "run_id": "Run that published the release.",
        },
        sort_desc="published_at",
        facets=("project", "channel", "file", "table_name"),
    ),
    View(
        name="log_tail",
        description="The last 1,000 log lines of all runs.",
        columns={
            "number": "Number of the line; grows with time.",
            "at": "When it was logged, in UTC.",
            "level": "debug, info, warning, error or critical.",
            "task": "Task that it was logged in, or empty.",
            "text": "The line, without secrets.",
            **_NAMED,
        },
        sort_desc="number",
        facets=("level", "task", "project", "run_id"),
    ),
)

TABLES: tuple[TableWords, ...] = (
    TableWords(name="projects", description="Projects that the ledger knows."),
    TableWords(
        name="versions",
        description="Versions of projects: draft, ready, published or failed.",
        sort_desc="changed_at",
        facets=("state",),
    ),
    TableWords(
        name="runs",
        description="Runs: releases, publishes, checks; those asked for through the API are jobs.",
        sort_desc="created_at",
        facets=("state", "kind", "channel", "environment"),
    ),
    TableWords(
        name="steps",
        description="Steps of runs, one row for each attempt.",
        sort_desc="id",
        facets=("state",),
    ),
    TableWords(
        name="targets",
        description="What each run is to change outside.",
        sort_desc="id",
        facets=("kind", "destination", "state"),
    ),
    TableWords(
        name="events",
        description="What happened when: begins, ends, and how far work was.",
        sort_desc="id",
    ),
    TableWords(name="logs", description="Log lines, without secrets.", sort_desc="id"),
    TableWords(
        name="receipts", description="Receipts: what read-backs proved.", sort_desc="proved_at"
    ),
    TableWords(
        name="manifests", description="Manifests: each set of public files, once.", facets=("tag",)
    ),
    TableWords(
        name="artifacts",
        description="Public files of manifests, with size, digest and rows by table.",
        sort_desc="id",
        facets=("media_type", "role"),
    ),
    TableWords(
        name="releases",
        description="What was published: one row for each version, channel and environment.",
        sort_desc="published_at",
        facets=("channel", "environment"),
    ),
    TableWords(
        name="tokens",
        description="Tokens of the API, as digests.",
        is_hidden=True,
    ),
    TableWords(name="lading_version", description="Which schema the ledger has.", is_hidden=True),
)
