"""A run of a workflow of GitHub Actions, and what a release still needs of one. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lading.errors import ServiceError

_ENDED = "completed"
_SUCCESS = "success"
_SHA256 = re.compile(r"\b[0-9a-f]{64}\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowCall:
    """What is asked of which workflow."""

    repository: str
    """Owner/name."""
    workflow: str
    """File name of the workflow."""
    ref: str
    """Branch or tag that it runs on."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Its inputs."""
    marker: str = ""
    """What only the runs for this release have in their name; "": nothing is known of names."""
    timeout_s: float = 6 * 3600.0
    """Seconds after which a run is no longer waited for."""
    site_url: str = "https://github.com"
    """Root of the site that people see."""

    @property
    def place(self) -> str:
        """URL of the workflow."""
        return f"{self.site_url}/{self.repository}/actions/workflows/{self.workflow}"

    @property
    def path(self) -> str:
        """Path of the workflow in the API."""
        return f"/repos/{self.repository}/actions/workflows/{self.workflow}"

    def path_of_run(self, run_id: int) -> str:
        """Return the path of a run in the API."""
        return f"/repos/{self.repository}/actions/runs/{run_id}"

    def has_marked(self, run: "WorkflowRun") -> bool:
        """Say whether a run has this release in its name."""
        return bool(self.marker) and self.marker in run.title

    def may_have_begun(self, run: "WorkflowRun") -> bool:
        """Say whether a run of this moment can be ours; one that names another release is not."""
        is_foreign = bool(self.marker) and bool(_SHA256.search(run.title))
        name = self.ref.removeprefix("refs/heads/").removeprefix("refs/tags/")
        return self.has_marked(run) or (run.ref == name and not is_foreign)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRun:
    """A run as it was seen."""

    run_id: int
    """Its identifier; a later run has a higher one."""
    attempt: int
    """How often it was begun; a rerun by hand keeps the identifier."""
    status: str
    """GitHub's word: queued, waiting, in_progress, completed and others."""
    conclusion: str
    """GitHub's word for how it ended; "" where it has not."""
    url: str
    """Its page."""
    title: str
    """Its name in lists."""
    ref: str
    """Branch or tag that it runs on."""

    @property
    def is_active(self) -> bool:
        """Whether it has not ended."""
        return self.status != _ENDED

    @property
    def is_success(self) -> bool:
        """Whether it ended well."""
        return self.status == _ENDED and self.conclusion == _SUCCESS


@dataclass(frozen=True, slots=True)
class WorkflowState:
    """What is known of the run for this release."""

    run: WorkflowRun | None
    """The run that counts: one that ended well, else one at work, else the last that failed."""
    asked_at: datetime | None = None
    """When a run was asked for of which nothing is known yet; aware, UTC."""


@dataclass(frozen=True, slots=True)
class WorkflowChanges:
    """What a release still needs of a workflow."""

    call: WorkflowCall
    """What is asked of it."""
    follow: WorkflowRun | None = None
    """A run to follow to its end."""
    failed: WorkflowRun | None = None
    """A run that failed; another is started."""
    asked_at: datetime | None = None
    """When a run was asked for that is looked for first."""
    done: WorkflowRun | None = None
    """A run that ended well."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is needed."""
        return self.done is not None

    def describe(self) -> str:
        """Say it in a few words."""
        if self.done:
            return f"run {self.done.run_id} ended as {self.done.conclusion}"
        if self.follow:
            return f"follow run {self.follow.run_id} of {self.call.workflow}"
        start = f"{self.call.workflow} on {self.call.ref}"
        if self.failed:
            ended = f"run {self.failed.run_id} ended as {self.failed.conclusion}"
            return f"{ended}; dispatch {start} again"
        if self.asked_at:
            return f"find the run asked for at {self.asked_at:%H:%M:%S} UTC, or dispatch {start}"
        return f"dispatch {start}"


def plan_workflow(call: WorkflowCall, state: WorkflowState) -> WorkflowChanges:
    """Return what is needed, given what is known."""
    if state.run and state.run.is_success:
        return WorkflowChanges(call, done=state.run)
    if state.run and state.run.is_active:
        return WorkflowChanges(call, follow=state.run)
    return WorkflowChanges(call, failed=state.run, asked_at=state.asked_at)


def newest(runs: Iterable[WorkflowRun]) -> WorkflowRun | None:
    """Return the last that was started."""
    return max(runs, key=lambda run: run.run_id, default=None)


def parse_run(table: Any) -> WorkflowRun:
    """Read a run of the API.

    Raises:
        ServiceError: it is none.
    """
    try:
        return WorkflowRun(
            run_id=int(table["id"]),
            attempt=int(table.get("run_attempt") or 1),
            status=str(table["status"]),
            conclusion=str(table.get("conclusion") or ""),
            url=str(table["html_url"]),
            title=" ".join(str(table.get(key) or "") for key in ("display_title", "name")),
            ref=str(table.get("head_branch") or ""),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ServiceError(
            f"GitHub: expected a workflow run, got {str(table)[:80]!r} ({error!r})"
        ) from error


def parse_runs(table: Any) -> list[WorkflowRun]:
    """Read a list of runs of the API.

    Raises:
        ServiceError: it is none.
    """
    rows = table.get("workflow_runs") if isinstance(table, dict) else None
    if not isinstance(rows, list):
        raise ServiceError(f"GitHub: expected a list of workflow runs, got {str(table)[:80]!r}")
    return [parse_run(row) for row in rows]


def name_failure(table: Any) -> str:
    """Name the first job that did not end well, and its step, from a list of jobs; or ""."""
    rows = table.get("jobs") if isinstance(table, dict) else None
    job = _first_bad(rows)
    if job is None:
        return ""
    step = _first_bad(job.get("steps"))
    return f" of job {job.get('name')!r}" + (f", step {step.get('name')!r}" if step else "")


def _first_bad(rows: Any) -> dict[str, Any] | None:
    well = {None, _SUCCESS, "skipped", "neutral"}
    found = (row for row in rows or () if isinstance(row, dict) and row.get("conclusion"))
    return next((row for row in found if row["conclusion"] not in well), None)
