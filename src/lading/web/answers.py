"""What the API answers: the forms of its documents, as its description shows them.

The documents themselves are made by ``ledger/documents.py``, which the commands use as well; the
models here describe them, field by field, and tests hold the two together.
"""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from lading.ledger.documents import log_table, project_table, run_table
from lading.ledger.model import LogLine, ProjectRow, Run, RunState, StepState, VersionState
from lading.web.problems import KINDS, MEDIA_TYPE
from lading.web.served import ProjectHere


class Document(BaseModel):
    """A document of the API: it has these fields, and no other."""

    model_config = ConfigDict(extra="forbid")


class ProgressBody(Document):
    """How far work is, measured in bytes and items."""

    percent: float = Field(ge=0, le=100, description="0 to 100; never goes back in an attempt.")
    done_bytes: int = Field(description="Bytes that are done.")
    size_bytes: int = Field(description="Bytes to do; 0 where that is not known.")
    done_files: int = Field(description="Items that are done.")
    files: int = Field(description="Items to do; 0 where that is not known.")
    rate_bytes_s: float = Field(description="Bytes a second over the last seconds.")
    left_s: float | None = Field(description="Seconds to its end; null where nobody can know.")


class VerdictBody(Document):
    """What became of a run, in one line a person can act on."""

    word: str = Field(description="queued, running, published, partial, failed, and so on.")
    sentence: str = Field(description="It in one line.")
    is_open: bool = Field(description="Whether there is something to resume.")
    failed_at: str = Field(description='Task that failed, or was at work when it ended; or "".')
    error: str = Field(description='Why; or "".')
    resume: str = Field(description='The command that resumes it; or "".')


class StepBody(Document):
    """One task of a run."""

    task: str = Field(description="Its name.")
    state: StepState = Field(description="How it stands.")
    detail: str = Field(description="What was done, or why not.")
    started_at: datetime | None = Field(description="When it began.")
    ended_at: datetime | None = Field(description="When it ended.")
    elapsed_s: float | None = Field(description="How long it took, in seconds.")
    progress: ProgressBody = Field(description="How far it is.")


class TargetBody(Document):
    """One thing outside that a run is to change."""

    task: str = Field(description="Task that changes it.")
    kind: str = Field(description="upload, promote, hold, and so on.")
    destination: str = Field(description='Destination; or "" of what is no store.')
    name: str = Field(description="The prefix, the branch, the service.")
    planned_files: int = Field(description="Files that are to stand there.")
    planned_bytes: int = Field(description="Their bytes.")
    state: StepState = Field(description="State of its task.")
    verified_at: datetime | None = Field(description="When a read-back last proved it.")
    url: str = Field(description='Where a browser finds it; or "".')
    note: str = Field(description="What else there is to say.")


class ReceiptBody(Document):
    """What a receipt said when it was written."""

    task: str = Field(description="Task that it belongs to.")
    place: str = Field(description="URL or name of what was changed.")
    manifest_sha256: str = Field(description="Release that it proves.")
    proved_at: datetime = Field(description="When a read-back proved it.")
    objects: int = Field(description="Objects that it proves.")
    size_bytes: int = Field(description="Their bytes.")
    facts: dict[str, str] = Field(description="What a service said, by name.")


class LogBody(Document):
    """One line of a log, without secrets."""

    number: int = Field(description="Grows with time; `after` of the next question.")
    at: datetime = Field(description="When it was logged.")
    level: str = Field(description="debug, info, warning, error or critical.")
    level_number: int = Field(description="The level as a number, 10 to 50.")
    task: str = Field(description='Task that it was logged in; or "".')
    text: str = Field(description="The line.")


class ResultBody(BaseModel):
    """What a job has published; empty as long as it has not."""

    model_config = ConfigDict(extra="allow")

    release_url: str = Field(default="", description="Where its release.json is found.")
    asset_count: int = Field(default=0, description="Files that it published.")
    published_at: datetime | None = Field(default=None, description="When it was published.")


class RunRow(Document):
    """A run, as a row of a list."""

    run_id: str = Field(description="Its name.")
    kind: str = Field(description="What was asked for.")
    project: str = Field(description="Slug of the project.")
    title: str = Field(description="What people call it.")
    channel: str = Field(description="Channel.")
    tag: str = Field(description="Tag or version.")
    environment: str = Field(description="Environment.")
    is_release: bool = Field(description="Whether it walks the whole road.")
    state: RunState = Field(description="How it stands in the ledger.")
    is_aborted: bool = Field(description="Whether it is running there though its process is gone.")
    is_cancelling: bool = Field(description="Whether it was asked to stop.")
    verdict: VerdictBody = Field(description="What became of it.")
    exit_code: int | None = Field(description="What its process ended with.")
    failed_at: str = Field(description='Task that failed first; or "".')
    error: str = Field(description='Why; or "".')
    command: str = Field(description="The command that resumes it.")
    attempt: int = Field(description="How often it was begun.")
    progress: ProgressBody = Field(description="How far the whole is.")
    created_at: datetime = Field(description="When it was asked for, or began.")
    started_at: datetime | None = Field(description="When it began.")
    ended_at: datetime | None = Field(description="When it ended.")
    heartbeat_at: datetime | None = Field(description="When its process was last heard of.")
    elapsed_s: float | None = Field(description="How long it took, in seconds.")
    owner: str = Field(description="Its process, for people.")
    tool_version: str = Field(description="Version of Lading.")
    commit: str = Field(description="Commit of the tag.")
    config_sha256: str = Field(description="Digest of the configuration's file.")
    ci_url: str = Field(description="Where its CI run is seen.")
    manifest_sha256: str = Field(description="Identity of what it releases.")
    doi: str = Field(description="DOI of this version.")
    requested_by: str = Field(description="Name of the token that asked for it.")
    retry_of: str = Field(description='Job that it is a further try of; or "".')
    result: ResultBody = Field(description="What it has published.")


class RunBody(RunRow):
    """A run with all that belongs to it."""

    steps: list[StepBody] = Field(description="Its steps in their order, of the last attempt.")
    targets: list[TargetBody] = Field(description="What it is to change, and how that stands.")
    receipts: list[ReceiptBody] = Field(description="What was proved.")


class RunList(Document):
    """A part of the list of runs, newest first."""

    runs: list[RunRow] = Field(description="The runs.")
    total: int = Field(description="How many there are in all.")


class JobRow(RunRow):
    """A job: a run that was asked for here; as a row of a list."""

    job_id: str = Field(description="Its name: that of its run.")
    status: RunState = Field(description="queued, running, completed, failed or cancelled.")
    version: str = Field(description="The version.")


class JobBody(JobRow, RunBody):
    """A job with all that belongs to it."""

    logs: list[LogBody] = Field(description="The last lines of its log, as many as asked for.")


class JobList(Document):
    """A part of the list of jobs, newest first."""

    jobs: list[JobRow] = Field(description="The jobs.")
    total: int = Field(description="How many there are in all.")


class LogList(Document):
    """Log lines in their order."""

    logs: list[LogBody] = Field(description="The lines.")
    after: int = Field(description="What to ask for the next ones with.")


class ReleaseBody(Document):
    """What stands published: one version of a project in one environment."""

    project: str = Field(description="Slug of the project.")
    channel: str = Field(description="Channel.")
    tag: str = Field(description="Tag or version.")
    environment: str = Field(description="Environment.")
    manifest_sha256: str = Field(description="Its identity.")
    published_at: datetime = Field(description="When its prefixes were switched and proved.")
    run_id: str = Field(description="Run that published it.")
    url: str = Field(description='Where release.json is found; or "".')
    files: int = Field(description="Public files.")
    size_bytes: int = Field(description="Their bytes.")
    doi: str = Field(description="DOI.")
    commit: str = Field(description="Commit of the tag.")


class ReleaseList(Document):
    """Releases, newest first."""

    releases: list[ReleaseBody] = Field(description="The releases.")


class VersionBody(Document):
    """One version of a project."""

    project: str = Field(description="Slug of the project.")
    version: str = Field(description="The version.")
    state: VersionState = Field(description="draft, ready, published or failed.")
    detail: str = Field(description='Why it is a draft, or failed; or "".')
    changed_at: datetime | None = Field(description="When its state changed last.")


class VersionList(Document):
    """Versions of a project, newest first."""

    versions: list[VersionBody] = Field(description="The versions.")
    total: int = Field(description="How many there are in all.")


class ProjectBody(Document):
    """One project."""

    slug: str = Field(description="Its name in URLs.")
    title: str = Field(description="What people call it.")
    runs: int = Field(description="Runs that the ledger holds.")
    environments: list[str] = Field(description="Where it can be published to from here.")
    is_served: bool = Field(description="Whether it can be published from here at all.")


class ProjectList(Document):
    """Projects, by slug."""

    projects: list[ProjectBody] = Field(description="The projects.")
    total: int = Field(description="How many there are in all.")


class Health(Document):
    """The server answers, and its ledger does."""

    status: str = Field(description="ok")
    version: str = Field(description="Version of Lading.")


def job_row(run: Run) -> dict[str, Any]:
    """Return a job as a row of a list."""
    return {**_job_names(run), **run_table(run, is_full=False)}


def job_body(run: Run, logs: list[LogLine]) -> dict[str, Any]:
    """Return a job with all that belongs to it."""
    return {**_job_names(run), **run_table(run), "logs": [log_table(each) for each in logs]}


def project_body(row: ProjectRow, here: ProjectHere | None) -> dict[str, Any]:
    """Return a project: what the ledger knows of it, and what can be done here."""
    table = project_table(row)
    if here is not None and not table["title"]:
        table["title"] = here.config.project.title
    environments = list(here.environments) if here else []
    return {**table, "environments": environments, "is_served": here is not None}


def problems(*codes: str, described: str = "") -> dict[int | str, dict[str, Any]]:
    """Describe the problems that an operation may answer with, for FastAPI's ``responses``."""
    found: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        kind = KINDS[code]
        known = found.get(int(kind.status))
        title = f"{known['description']}; {kind.title.lower()}" if known else kind.title
        found[int(kind.status)] = {
            "description": described or title,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    return found


def _job_names(run: Run) -> dict[str, Any]:
    return {"job_id": run.run_id, "status": run.state, "version": run.tag}
