"""A workflow of GitHub Actions, started for a release and followed to its end.

That a run was started says nothing: its conclusion is the result.
"""

from contextlib import AbstractContextManager, nullcontext, suppress
from urllib.parse import quote

from lading.errors import ServiceError, UnansweredError, VerifyError
from lading.release.receipts import Receipt, Stamp
from lading.services.github import GithubApi
from lading.services.journal import Journal
from lading.services.workflow_run import (
    WorkflowCall,
    WorkflowChanges,
    WorkflowRun,
    WorkflowState,
    name_failure,
    newest,
    parse_run,
    plan_workflow,
)
from lading.services.workflow_start import Pace, ReleaseRun
from lading.storage.progress import NO_PROGRESS, Progress

_GROWTH = 1.5
_MISSES = 10  # polls in a row without an answer
_MISSING, _REFUSED = 404, 422
_NO_RIGHT = frozenset({403, 404})


class WorkflowTarget:
    """The run of one workflow for one release.

    Args:
        api: GitHub.
        call: what is asked of which workflow.
        stamp: what the receipt says of the release.
        journal: what earlier tries have noted; of this task and this manifest.
        known: the receipt of an earlier run, if there is one.
        pace: how a run is waited for.
    """

    def __init__(
        self,
        api: GithubApi,
        call: WorkflowCall,
        stamp: Stamp,
        journal: Journal,
        known: Receipt | None = None,
        *,
        pace: Pace | None = None,
    ) -> None:
        self._api = api
        self._call = call
        self._stamp = stamp
        self._journal = journal
        self._pace = pace or Pace()
        self._ours = ReleaseRun(api, call, journal, known, self._pace)
        self.summary = ""

    @property
    def place(self) -> str:
        """URL of the workflow."""
        return self._call.place

    def require_access(self) -> str:
        """Ask whether the workflow is there and active, and whether the ref is.

        Raises:
            ServiceError: it is not, or the token does not see it.
        """
        call = self._call
        try:
            state = str(self._api.call("GET", call.path).get("state", ""))
        except ServiceError as error:
            if error.status != _MISSING:
                raise
            raise ServiceError(
                f"GitHub: expected the workflow {call.workflow} in {call.repository}, found none",
                hint="look at the names in lading.toml; a token that may not see the repository"
                " finds none, too",
            ) from error
        if state != "active":
            raise ServiceError(
                f"{self.place}: expected an active workflow, found {state!r}",
                hint=f"`gh workflow enable {call.workflow} --repo {call.repository}`",
            )
        self._require_ref()
        return f"workflow {call.workflow} is active (through {self._api.door})"

    def observe(self) -> WorkflowState:
        """Look for the run of this release: as noted, by its name, or by when it was asked for."""
        noted = self._ours.noted()
        if noted and (noted.is_success or noted.is_active):
            return WorkflowState(noted)
        asked_at = None if noted else self._ours.asked_at()
        runs = self._ours.listed()
        marked = [run for run in runs if self._call.has_marked(run)]
        found = newest(run for run in marked if run.is_success)
        found = found or (self._ours.pick_begun(runs) if asked_at else None)
        found = found or newest(run for run in marked if run.is_active)
        if found or asked_at:
            return WorkflowState(found, None if found else asked_at)
        return WorkflowState(newest([*marked, *([noted] if noted else [])]))

    def plan(self, observed: WorkflowState) -> WorkflowChanges:
        """Return what is still needed."""
        return plan_workflow(self._call, observed)

    def exclusive(self) -> AbstractContextManager[bool]:
        """Hold off nobody: GitHub knows no lock, and the prefixes have one."""
        return nullcontext(enter_result=False)

    def apply(self, changes: WorkflowChanges, progress: Progress = NO_PROGRESS) -> None:
        """Start a run unless one is found, and follow it to its end.

        Effects: at most one run is started; the journal says so before and after.

        Raises:
            ServiceError: GitHub refused to start it, it did not end well, or not in time.
            UnansweredError: GitHub does not answer; the same command goes on.
        """
        if changes.is_empty:
            return
        self._api.progress = progress
        run = changes.follow
        if run is None and changes.asked_at:
            run = self._ours.await_begun(changes.asked_at)
        run_id = run.run_id if run else self._ours.start()
        self._journal.note(run_id=str(run_id))
        ended = self._follow(run_id)
        self.summary = f"run {ended.run_id}: {ended.conclusion}"
        if not ended.is_success:
            raise self._failure(ended)

    def prove(self) -> Receipt:
        """Read back the run; it has ended well.

        Raises:
            VerifyError: it has not, or there is none.
        """
        run = self.observe().run
        if run is None:
            raise VerifyError(f"{self.place}: expected a run for {self._stamp.tag}, found none")
        if not run.is_success:
            found = run.conclusion or run.status
            raise VerifyError(f"{run.url}: expected the conclusion 'success', found {found!r}")
        return self._stamp.receipt(
            self.place,
            {
                "run_id": str(run.run_id),
                "run_attempt": str(run.attempt),
                "url": run.url,
                "conclusion": run.conclusion,
                "workflow": self._call.workflow,
                "ref": self._call.ref,
            },
        )

    def _require_ref(self) -> None:
        """Refuse a ref that is not there; a token that may not ask is believed."""
        call = self._call
        path = f"/repos/{call.repository}/commits/{quote(call.ref, safe='')}"
        try:
            self._api.call("GET", path)
        except ServiceError as error:
            if error.status == _REFUSED:
                raise ServiceError(
                    f"GitHub: expected {call.ref!r} in {call.repository}, found none",
                    hint="push it before the release",
                ) from error
            if error.status not in _NO_RIGHT:
                raise

    def _follow(self, run_id: int) -> WorkflowRun:
        """Look at a run until it has ended."""
        until, pause = self._pace.clock() + self._call.timeout_s, self._pace.first_s
        misses, status = 0, "not yet there"
        while True:
            try:
                run = parse_run(self._api.call("GET", self._call.path_of_run(run_id)))
                misses, status = 0, run.status
                self._api.progress.start_file(f"{run.url} is {status}")
                if not run.is_active:
                    return run
            except ServiceError as error:
                misses += 1
                # a run may be there seconds later than its identifier
                passes = isinstance(error, UnansweredError) or error.status == _MISSING
                if not passes or misses > _MISSES:
                    raise
            left = until - self._pace.clock()
            if left <= 0:
                raise self._lateness(run_id, status)
            self._ours.wait(min(pause, left))
            pause = min(pause * _GROWTH, self._pace.longest_s)

    def _lateness(self, run_id: int, status: str) -> ServiceError:
        url = f"{self._call.site_url}/{self._call.repository}/actions/runs/{run_id}"
        return ServiceError(
            f"{url}: expected an end within {self._call.timeout_s / 60:g} minutes,"
            f" found it {status!r}",
            hint="the same command goes on following this run",
        )

    def _failure(self, run: WorkflowRun) -> ServiceError:
        """Say how and where a run failed."""
        where = ""
        with suppress(ServiceError):  # it only tells more
            path = f"{self._call.path_of_run(run.run_id)}/jobs?per_page=100"
            where = name_failure(self._api.call("GET", path))
        return ServiceError(
            f"{run.url}: expected {self._call.workflow} to end as 'success',"
            f" got {run.conclusion!r}{where}",
            hint="when its cause is mended, the same command starts a new run",
        )
