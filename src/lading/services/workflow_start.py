"""The one run of a workflow for a release: noted, found by its name, or started.

Of every cut one thing is left: a note of when a run was asked for, the identifier that GitHub
gave, or the run's name. A run is asked for only where all three say that there is none.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from lading.errors import ServiceError, UnansweredError
from lading.release.receipts import Receipt
from lading.services.github import GithubApi, wait
from lading.services.journal import Journal
from lading.services.workflow_run import (
    WorkflowCall,
    WorkflowRun,
    newest,
    parse_run,
    parse_runs,
)

_PAGE_RUNS = 50
_PAGES = 4
_LOOK_S = 3.0  # between two looks for a run that was asked for
_MISSING, _REFUSED = 404, 422
_NO_RIGHT = frozenset({403, 404})
_DETAILS = "return_run_details"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a run is waited for."""

    sleep: Callable[[float], None] = time.sleep
    """How to wait."""
    clock: Callable[[], float] = time.time
    """Seconds since 1970 in UTC."""
    first_s: float = 5.0
    """Seconds before the second look at a run."""
    longest_s: float = 30.0
    """Seconds between two looks, at most."""
    appears_s: float = 90.0
    """Seconds within which a run that was asked for appears in lists."""


class ReleaseRun:
    """Finds or starts the run of one workflow for one release.

    Args:
        api: GitHub.
        call: what is asked of which workflow.
        journal: what earlier tries have noted; of this task and this manifest.
        known: the receipt of an earlier run, if there is one.
        pace: how a run is waited for.
    """

    def __init__(
        self,
        api: GithubApi,
        call: WorkflowCall,
        journal: Journal,
        known: Receipt | None,
        pace: Pace,
    ) -> None:
        self._api = api
        self._call = call
        self._journal = journal
        self._receipt = known
        self._pace = pace

    def noted(self) -> WorkflowRun | None:
        """Return the run that the journal names, else the receipt; None where it is not there."""
        facts = self._receipt.facts if self._receipt else {}
        run_id = self._journal.get("run_id")
        if not run_id and not self._journal.get("asked_at"):
            run_id = facts.get("run_id", "")
        if not run_id.isdecimal():
            return None
        try:
            return parse_run(self._api.call("GET", self._call.path_of_run(int(run_id))))
        except ServiceError as error:
            if error.status == _MISSING:
                return None
            raise

    def asked_at(self) -> datetime | None:
        """Return when a run was asked for, or None; aware, UTC."""
        with suppress(ValueError):
            return datetime.fromisoformat(self._journal.get("asked_at"))
        return None

    def listed(self, pages: int = _PAGES) -> list[WorkflowRun]:
        """List the runs that were started by a dispatch, newest first."""
        found: list[WorkflowRun] = []
        for page in range(1, pages + 1):
            query = {"event": "workflow_dispatch", "per_page": _PAGE_RUNS, "page": page}
            part = parse_runs(self._api.call("GET", f"{self._call.path}/runs?{urlencode(query)}"))
            found += part
            if len(part) < _PAGE_RUNS or any(map(self._call.has_marked, part)):
                break
        return found

    def pick_begun(self, runs: list[WorkflowRun]) -> WorkflowRun | None:
        """Pick the run that was asked for: it came after those that were there at that time."""
        after = self._noted_id("after")
        begun = [r for r in runs if r.run_id > after and self._call.may_have_begun(r)]
        return newest(r for r in begun if self._call.has_marked(r)) or newest(begun)

    def await_begun(self, asked_at: datetime) -> WorkflowRun | None:
        """Look for the run that was asked for until it would have appeared."""
        now = self._pace.clock()
        until = min(asked_at.timestamp(), now) + self._pace.appears_s
        while True:
            found = self.pick_begun(self.listed(pages=1))
            if found or self._pace.clock() >= until:
                return found
            self.wait(_LOOK_S)

    def start(self) -> int:
        """Start a run, and return its identifier, which the caller notes at once.

        Effects: one run; the journal says before that it is asked for.

        Raises:
            UnansweredError: it is not known whether a run was started; the journal keeps that.
            ServiceError: GitHub refused, in its own words; nothing was started.
        """
        after = self._last_id()
        asked_at = datetime.fromtimestamp(self._pace.clock(), UTC)
        self._journal.note(
            asked_at=asked_at.isoformat(),
            after=str(after),
            marker=self._call.marker,
            run_id="",
        )
        unanswered: UnansweredError | None = None
        try:
            run_id = _run_id_of(self._ask_for_run())
        except UnansweredError as error:
            if not error.was_sent:
                self._journal.note(asked_at="")
                raise
            unanswered, run_id = error, None
        except ServiceError as error:
            self._journal.note(asked_at="")
            raise self._refusal(error) from error
        if run_id is not None:
            return run_id
        if found := self.await_begun(asked_at):
            return found.run_id
        raise unanswered or UnansweredError(
            f"{self._call.place}: expected the run that was asked for at {asked_at:%H:%M:%S} UTC,"
            f" found none within {self._pace.appears_s:g} s"
        )

    def _last_id(self) -> int:
        """Return the highest identifier known; a run that failed just now may not be listed."""
        last = newest(self.listed(pages=1))
        return max(last.run_id if last else 0, self._noted_id("run_id"), self._noted_id("after"))

    def _noted_id(self, name: str) -> int:
        text = self._journal.get(name)
        return int(text) if text.isdecimal() else 0

    def _ask_for_run(self) -> Any:
        path, table = f"{self._call.path}/dispatches", {"ref": self._call.ref}
        body = {**table, "inputs": dict(self._call.inputs)}
        try:
            return self._api.call("POST", path, {**body, _DETAILS: True})
        except ServiceError as error:
            # a GitHub Enterprise Server from before February 2026 refuses the key, and did nothing
            if error.status != _REFUSED or _DETAILS not in str(error):
                raise
        return self._api.call("POST", path, body)

    def _refusal(self, error: ServiceError) -> ServiceError:
        hint = ""
        if error.status in _NO_RIGHT:
            hint = f"the token needs the right `actions: write` of {self._call.repository}"
        refused = ServiceError(str(error), hint=hint)
        refused.status = error.status
        return refused

    def wait(self, seconds: float) -> None:
        """Wait, and end early where the run was asked to stop."""
        wait(seconds, self._api.progress, self._pace.sleep)


def _run_id_of(table: Any) -> int | None:
    """Return the identifier of a run that was just started; None where GitHub did not tell it."""
    found = table.get("workflow_run_id") if isinstance(table, dict) else None
    return found if isinstance(found, int) else None
