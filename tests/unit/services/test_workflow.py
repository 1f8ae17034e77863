"""A workflow started for a release and followed to its end: one run, whatever is cut."""

import itertools
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import stamina

from lading.errors import Interrupted, ServiceError, UnansweredError, VerifyError
from lading.release.receipts import Receipt, Stamp
from lading.services.github import GithubApi, RestApi
from lading.services.journal import Journal
from lading.services.workflow import WorkflowTarget
from lading.services.workflow_run import (
    WorkflowCall,
    WorkflowRun,
    WorkflowState,
    name_failure,
    parse_run,
    parse_runs,
    plan_workflow,
)
from lading.services.workflow_start import Pace
from lading.ship.target import settle
from lading.storage.progress import NO_PROGRESS, Progress
from tests.fakes.github import FakeGithub
from tests.fakes.github_doors import (
    DOORS,
    MANIFEST,
    TOKEN,
    Clock,
    open_door,
    serve_github,
)

MARKED = WorkflowCall(
    repository="owner/name",
    workflow="deposit.yml",
    ref="v1",
    inputs={"env": "sandbox", "manifest": MANIFEST, "publish": "true"},
    marker=f"sandbox {MANIFEST[:16]}",
    timeout_s=600,
)
PLAIN = WorkflowCall(
    repository="owner/name",
    workflow="deploy.yml",
    ref="main",
    marker=MANIFEST[:16],
    timeout_s=600,
)
STAMP = Stamp(
    task="zenodo",
    project="p",
    channel="stable",
    tag="v1",
    environment="production",
    manifest_sha256=MANIFEST,
)
RUNS = "https://github.com/owner/name/actions/runs"

both_doors = pytest.mark.parametrize("door", DOORS)
both_calls = pytest.mark.parametrize("call", [MARKED, PLAIN], ids=["marked", "plain"])


class Killed(BaseException):
    """The process ends here."""


class CutApi:
    """An API that kills the process before or after a call."""

    door = "cut"

    def __init__(self, api: GithubApi, number: int, *, after: bool) -> None:
        self.progress: Progress = NO_PROGRESS
        self.is_reached = False
        self._api = api
        self._left = number
        self._after = after

    def call(self, method: str, path: str, table: Any = None) -> Any:
        """Pass a call on, unless it is the one."""
        self._left -= 1
        if self._left == 0 and not self._after:
            self.is_reached = True
            raise Killed
        try:
            return self._api.call(method, path, table)
        finally:
            if self._left == 0:
                self.is_reached = True
                raise Killed


class CutJournal(Journal):
    """A journal that kills the process before or after a note."""

    def __init__(self, path: Path, number: int, *, after: bool) -> None:
        super().__init__(path, MANIFEST)
        self.is_reached = False
        self._number = number
        self._after = after

    def note(self, **notes: str) -> None:
        """Keep notes, unless it is the one."""
        self._number -= 1
        if self._number == 0 and not self._after:
            self.is_reached = True
            raise Killed
        super().note(**notes)
        if self._number == 0:
            self.is_reached = True
            raise Killed


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3):
        yield


@pytest.fixture
def clock() -> Clock:
    """Return a clock that no test waits for."""
    return Clock()


@pytest.fixture
def github(clock: Clock) -> Iterator[FakeGithub]:
    """Serve a repository with two workflows."""
    with serve_github(clock=clock) as server:
        yield server


class Desk:
    """One machine that releases: its journal, and the same command again."""

    def __init__(self, github: FakeGithub, folder: Path, clock: Clock) -> None:
        self.api: GithubApi = RestApi(TOKEN, github.url, sleep=clock.sleep)
        self.pace = Pace(sleep=clock.sleep, clock=clock)
        self.path = folder / "journal.json"

    @property
    def journal(self) -> Journal:
        """The journal as a new process finds it."""
        return Journal(self.path, MANIFEST)

    def target(
        self,
        call: WorkflowCall = MARKED,
        *,
        api: GithubApi | None = None,
        journal: Journal | None = None,
        known: Receipt | None = None,
    ) -> WorkflowTarget:
        """Return the target as a new process makes it."""
        kept = journal or self.journal
        return WorkflowTarget(api or self.api, call, STAMP, kept, known, pace=self.pace)

    def run(self, call: WorkflowCall = MARKED) -> Receipt:
        """Run the command."""
        return settle(self.target(call))[1]


@pytest.fixture
def desk(github: FakeGithub, tmp_path: Path, clock: Clock) -> Desk:
    """Return a machine."""
    return Desk(github, tmp_path, clock)


@both_doors
def test_a_run_is_started_followed_and_proved(
    door: str, github: FakeGithub, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receipt has what was read back of the one run; the second command writes nothing."""
    done: list[tuple[dict[str, str], str]] = []

    def work(inputs: Any, ref: str) -> str:
        done.append((inputs, ref))
        return "success"

    github.on_dispatch = work
    desk.api = open_door(door, github, monkeypatch)
    receipt = desk.run()

    assert done == [({"env": "sandbox", "manifest": MANIFEST, "publish": "true"}, "v1")]
    run_id = github.runs[0].run_id
    assert dict(receipt.facts) == {
        "run_id": str(run_id),
        "run_attempt": "1",
        "url": f"{RUNS}/{run_id}",
        "conclusion": "success",
        "workflow": "deposit.yml",
        "ref": "v1",
    }
    assert receipt.place == "https://github.com/owner/name/actions/workflows/deposit.yml"
    assert (receipt.manifest_sha256, receipt.task) == (MANIFEST, "zenodo")
    assert desk.run().facts == receipt.facts
    assert [call.path.rpartition("/")[2] for call in github.writes] == ["dispatches"]
    assert TOKEN not in desk.path.read_text()


def test_an_unchanged_run_costs_two_questions(github: FakeGithub, desk: Desk) -> None:
    """Where all is done, the noted run is asked for, and asked for again as the proof."""
    desk.run()
    github.calls.clear()
    desk.run()

    assert len(github.calls) == 2


def test_polls_grow_and_can_be_interrupted(github: FakeGithub, desk: Desk, clock: Clock) -> None:
    """Looks come after 5 s at first and 30 s at last; a signal is seen within a second."""
    github.is_endless = True
    seen: list[float] = []

    class Stopping(Progress):
        def relative_update(self, inc: int = 1) -> None:
            del inc
            seen.append(clock.now)
            if len(seen) > 200:
                raise Interrupted(15)

    target = desk.target()
    with pytest.raises(Interrupted):
        target.apply(target.plan(target.observe()), Stopping())
    polls = sum("/runs/" in call.path for call in github.calls)

    assert max(b - a for a, b in itertools.pairwise(seen)) <= 1
    assert 8 <= polls <= 12
    github.is_endless = False
    assert desk.run().facts["conclusion"] == "success"
    assert len(github.runs) == 1


@both_calls
@pytest.mark.parametrize("conclusion", ["failure", "cancelled", "timed_out"])
def test_a_run_that_fails_is_told_and_gets_a_new_chance(
    call: WorkflowCall, conclusion: str, github: FakeGithub, desk: Desk
) -> None:
    """The error names conclusion, job, step and page; the same command starts one new run."""
    github.on_dispatch = lambda _inputs, _ref: conclusion
    with pytest.raises(ServiceError) as caught:
        desk.run(call)

    run_id = github.runs[0].run_id
    assert str(caught.value) == (
        f"{RUNS}/{run_id}: expected {call.workflow} to end as 'success', got {conclusion!r}"
        " of job 'work', step 'Do the work';"
        " when its cause is mended, the same command starts a new run"
    )
    assert len(github.runs) == 1
    github.on_dispatch = lambda _inputs, _ref: "success"
    target = desk.target(call)
    assert target.plan(target.observe()).describe() == (
        f"run {run_id} ended as {conclusion}; dispatch {call.workflow} on {call.ref} again"
    )
    assert desk.run(call).facts["run_id"] == str(run_id + 1)
    assert len(github.runs) == 2


@pytest.mark.parametrize("conclusion", ["startup_failure", "action_required", "skipped", "stale"])
def test_nothing_but_success_is_success(conclusion: str, github: FakeGithub, desk: Desk) -> None:
    """A run without jobs, or one that was skipped, is told by its conclusion."""
    github.on_dispatch = lambda _inputs, _ref: conclusion
    with pytest.raises(ServiceError, match=f"got '{conclusion}'"):
        desk.run()


def test_a_failure_is_told_though_its_jobs_are_not(github: FakeGithub, desk: Desk) -> None:
    """Where the list of jobs cannot be read, the failure is told without them."""
    github.on_dispatch = lambda _inputs, _ref: "failure"
    github.fail("jobs", "404")
    with pytest.raises(ServiceError, match="got 'failure'; when"):
        desk.run()


def test_a_rerun_by_hand_counts(github: FakeGithub, desk: Desk) -> None:
    """A failed run that somebody reran with success is the run of the release."""
    github.on_dispatch = lambda _inputs, _ref: "failure"
    with pytest.raises(ServiceError):
        desk.run()
    github.runs[0].attempt, github.runs[0].conclusion = 2, "success"

    assert desk.run().facts["run_attempt"] == "2"
    assert len(github.runs) == 1


def test_a_run_that_takes_too_long_is_left_and_found_again(
    github: FakeGithub, desk: Desk, clock: Clock
) -> None:
    """After the limit the error says that the same command goes on; it does, with that run."""
    github.is_endless = True
    begun = clock.now
    with pytest.raises(ServiceError) as caught:
        desk.run()

    assert str(caught.value) == (
        f"{RUNS}/{github.runs[0].run_id}: expected an end within 10 minutes,"
        " found it 'in_progress'; the same command goes on following this run"
    )
    assert 600 <= clock.now - begun <= 631
    github.is_endless = False
    assert desk.run().facts["run_id"] == str(github.runs[0].run_id)
    assert len(github.runs) == 1


before_or_after = pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
slow_lists = pytest.mark.parametrize(
    ("call", "hidden_for"), [(MARKED, 0), (MARKED, 2), (PLAIN, 2)], ids=["marked", "late", "plain"]
)


def desks(github: FakeGithub, desk: Desk, hidden_for: int) -> Iterator[tuple[int, Desk]]:
    """Number the tries, each with a repository and a machine that know nothing of the last."""
    for number in itertools.count(1):
        github.runs.clear()
        github.calls.clear()
        github.hidden_for = github.gone_for = hidden_for
        desk.path = desk.path.with_name(f"{number}.json")
        yield number, desk


@slow_lists
@before_or_after
def test_a_cut_at_any_call_leaves_one_run(
    call: WorkflowCall, *, after: bool, hidden_for: int, github: FakeGithub, desk: Desk
) -> None:
    """Killed at any request, the same command finishes with one run, also if lists lag."""
    for number, each in desks(github, desk, hidden_for):
        cut = CutApi(each.api, number, after=after)
        with suppress(Killed):
            settle(each.target(call, api=cut))
        _require_one_run(github, each, call)
        if not cut.is_reached:
            break
    assert number >= 7


@slow_lists
@before_or_after
def test_a_cut_at_any_note_leaves_one_run(
    call: WorkflowCall, *, after: bool, hidden_for: int, github: FakeGithub, desk: Desk
) -> None:
    """Killed at any note of the journal, the same command finishes with one run."""
    for number, each in desks(github, desk, hidden_for):
        cut = CutJournal(each.path, number, after=after)
        with suppress(Killed):
            settle(each.target(call, journal=cut))
        _require_one_run(github, each, call)
        if not cut.is_reached:
            break
    assert number >= 3


@before_or_after
def test_a_fresh_machine_finds_the_run_by_its_name(
    *, after: bool, github: FakeGithub, desk: Desk
) -> None:
    """Killed at any request, another machine without a journal finishes with one run."""
    for number, each in desks(github, desk, 0):
        cut = CutApi(each.api, number, after=after)
        with suppress(Killed):
            settle(each.target(api=cut))
        each.path.unlink(missing_ok=True)
        _require_one_run(github, each, MARKED)
        if not cut.is_reached:
            break
    assert number >= 7


@slow_lists
@before_or_after
def test_a_cut_second_chance_leaves_two_runs(
    call: WorkflowCall, *, after: bool, hidden_for: int, github: FakeGithub, desk: Desk
) -> None:
    """A run that failed gets one more, wherever the command that starts it is killed."""
    for number, each in desks(github, desk, hidden_for):
        github.on_dispatch = lambda _inputs, _ref: "failure"
        with pytest.raises(ServiceError, match="got 'failure'"):
            each.run(call)
        github.on_dispatch = lambda _inputs, _ref: "success"
        cut = CutApi(each.api, number, after=after)
        with suppress(Killed):
            settle(each.target(call, api=cut))
        assert each.run(call).facts["run_id"] == str(github.runs[1].run_id)
        assert len(github.runs) == 2
        if not cut.is_reached:
            break
    assert number >= 7


def _require_one_run(github: FakeGithub, desk: Desk, call: WorkflowCall) -> None:
    receipt = desk.run(call)
    assert [str(run.run_id) for run in github.runs] == [receipt.facts["run_id"]]
    written = len(github.writes)
    desk.run(call)
    assert len(github.writes) == written


@pytest.mark.parametrize(
    ("door", "fault"),
    [("REST", "502-after"), ("REST", "reset-after"), ("REST", "page"), ("gh", "reset-after")],
)
def test_an_answer_that_is_lost_is_looked_for(
    door: str, fault: str, github: FakeGithub, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dispatch that was done though its answer was lost is found within the same command."""
    github.fail("dispatch", fault)
    github.hidden_for = 2
    desk.api = open_door(door, github, monkeypatch)

    assert desk.run(PLAIN).facts["run_id"] == str(github.runs[0].run_id)
    assert len(github.writes) == len(github.runs) == 1


@both_calls
@pytest.mark.parametrize("fault", ["502-before", "reset-before"])
def test_a_dispatch_that_was_not_done_is_done_by_the_same_command(
    call: WorkflowCall, fault: str, github: FakeGithub, desk: Desk, clock: Clock
) -> None:
    """It is waited for a run, then told; the same command starts one."""
    github.fail("dispatch", fault)
    begun = clock.now
    with pytest.raises(UnansweredError, match="run the same command"):
        desk.run(call)

    assert 90 <= clock.now - begun <= 95
    assert github.runs == []
    assert desk.run(call).facts["conclusion"] == "success"
    assert len(github.runs) == 1


def test_what_was_not_sent_is_not_waited_for(github: FakeGithub, desk: Desk, clock: Clock) -> None:
    """Where no connection came about, nothing is pending."""

    class Offline(CutApi):
        def call(self, method: str, path: str, table: Any = None) -> Any:
            if method == "POST":
                error = UnansweredError("no connection")
                error.was_sent = False
                raise error
            return super().call(method, path, table)

    with pytest.raises(UnansweredError, match="no connection"):
        settle(desk.target(api=Offline(desk.api, 0, after=False)))

    assert clock.naps == []
    assert desk.target().observe() == WorkflowState(None, None)
    assert github.runs == []


@both_calls
@pytest.mark.parametrize("api", ["old", "older"])
def test_servers_that_tell_no_run_are_asked_for_it(
    api: str, call: WorkflowCall, github: FakeGithub, desk: Desk
) -> None:
    """Where the answer has no run, or the question may not ask for it, the run is looked for."""
    github.api = api
    github.hidden_for = 2

    assert desk.run(call).facts["run_id"] == str(github.runs[0].run_id)
    assert len(github.runs) == 1


def test_a_run_that_never_appears_is_told(github: FakeGithub, desk: Desk, clock: Clock) -> None:
    """An old server whose run does not appear in lists ends the step after a bounded time."""
    github.api, github.hidden_for = "old", 10**6
    with pytest.raises(UnansweredError) as caught:
        desk.run()

    assert "expected the run that was asked for at" in str(caught.value)
    assert "found none within 90 s" in str(caught.value)
    assert sum(clock.naps) < 100


def test_runs_of_others_are_left_alone(github: FakeGithub, desk: Desk) -> None:
    """Neither older runs, nor pushes, nor other refs, nor other releases are taken for ours."""
    other = {"env": "sandbox", "manifest": "f" * 64}
    github.add_run("deposit.yml", "v1", other, status="completed", conclusion="success")
    production = {"env": "production", "manifest": MANIFEST}
    github.add_run("deposit.yml", "v1", production, status="completed", conclusion="success")
    github.api, github.hidden_for = "old", 2

    def meanwhile(_inputs: Any, _ref: str) -> str:
        return "success"

    github.on_dispatch = meanwhile
    target = desk.target()
    changes = target.plan(target.observe())
    assert changes.describe() == "dispatch deposit.yml on v1"
    assert desk.run().facts["run_id"] == str(github.runs[-1].run_id)
    assert len(github.runs) == 3


@pytest.mark.parametrize("stranger", ["older", "push", "branch"])
def test_a_plain_run_is_known_by_when_and_where_it_began(
    stranger: str, github: FakeGithub, desk: Desk, clock: Clock
) -> None:
    """After a lost answer, no run that was there before or belongs elsewhere is adopted."""
    if stranger == "older":
        github.add_run("deploy.yml", "main", {}, status="completed", conclusion="success")
    github.fail("dispatch", "502-before")
    real_sleep = clock.sleep

    def sleep(seconds: float) -> None:
        if stranger == "push" and len(github.runs) == 0:
            github.add_run("deploy.yml", "main", {}, event="push")
        if stranger == "branch" and len(github.runs) == 0:
            github.add_run("deploy.yml", "v1", {})
        real_sleep(seconds)

    desk.pace = Pace(sleep=sleep, clock=clock)
    with pytest.raises(UnansweredError):
        desk.run(PLAIN)
    desk.run(PLAIN)

    assert len(github.runs) == 2


def test_a_name_with_another_release_is_no_run_of_ours(
    github: FakeGithub, desk: Desk, clock: Clock
) -> None:
    """Two channels that dispatch one workflow at a time do not take each other's run."""
    github.fail("dispatch", "502-before")
    other = {"env": "sandbox", "manifest": "f" * 64}

    def sleep(seconds: float) -> None:
        if not github.runs:
            github.add_run("deposit.yml", "v1", other)
        clock.sleep(seconds)

    desk.pace = Pace(sleep=sleep, clock=clock)
    with pytest.raises(UnansweredError):
        desk.run()
    assert desk.run().facts["run_id"] == str(github.runs[1].run_id)


def test_success_counts_more_than_a_later_failure(github: FakeGithub, desk: Desk) -> None:
    """A release that has been deposited stays so, whatever somebody tried afterwards."""
    for conclusion in ("failure", "success", "failure"):
        github.add_run(
            "deposit.yml", "v1", MARKED.inputs, status="completed", conclusion=conclusion
        )

    assert desk.run().facts["run_id"] == str(github.runs[1].run_id)
    assert github.writes == []


def test_a_success_elsewhere_counts_more_than_a_noted_failure(
    github: FakeGithub, desk: Desk
) -> None:
    """Where another machine has done it meanwhile, the noted failure starts nothing."""
    github.on_dispatch = lambda _inputs, _ref: "failure"
    with pytest.raises(ServiceError):
        desk.run()
    theirs = github.add_run(
        "deposit.yml", "v1", MARKED.inputs, status="completed", conclusion="success"
    )

    assert desk.run().facts["run_id"] == str(theirs.run_id)
    assert len(github.writes) == 1


def test_without_a_marker_no_name_is_ours(github: FakeGithub, desk: Desk) -> None:
    """Where nothing is known of names, a run that was there before is not taken for ours."""
    github.add_run("deploy.yml", "main", {}, status="completed", conclusion="success")

    assert desk.run(replace(PLAIN, marker="")).facts["run_id"] == str(github.runs[1].run_id)


def test_a_run_at_work_is_followed(github: FakeGithub, desk: Desk) -> None:
    """A run of this release that somebody else began is followed, not doubled."""
    run = github.add_run("deposit.yml", "v1", MARKED.inputs)
    target = desk.target()

    changes = target.plan(target.observe())
    assert changes.describe() == f"follow run {run.run_id} of deposit.yml"
    assert desk.run().facts["run_id"] == str(run.run_id)
    assert github.writes == []


def test_the_receipt_finds_a_run_without_a_name(github: FakeGithub, desk: Desk) -> None:
    """Without a journal, the receipt leads to the run; a run that is gone is not there."""
    receipt = desk.run(PLAIN)
    desk.path.unlink()

    assert desk.target(PLAIN, known=receipt).prove().facts == receipt.facts
    github.runs.clear()
    with pytest.raises(VerifyError, match="expected a run for v1, found none"):
        desk.target(PLAIN, known=receipt).prove()


def test_a_run_far_back_in_the_list_is_found(github: FakeGithub, desk: Desk) -> None:
    """The name is looked for on more than the first page."""
    mine = github.add_run(
        "deposit.yml", "v1", MARKED.inputs, status="completed", conclusion="success"
    )
    for _ in range(120):
        github.add_run("deposit.yml", "v1", {"env": "sandbox", "manifest": "f" * 64})

    assert desk.run().facts["run_id"] == str(mine.run_id)


@pytest.mark.parametrize(
    ("status", "conclusion", "found"),
    [("in_progress", None, "in_progress"), ("completed", "failure", "failure")],
)
def test_proof_wants_success(
    status: str, conclusion: str | None, found: str, github: FakeGithub, desk: Desk
) -> None:
    """A run that is at work or failed proves nothing."""
    github.add_run("deposit.yml", "v1", MARKED.inputs, status=status, conclusion=conclusion)
    with pytest.raises(VerifyError, match=f"expected the conclusion 'success', found '{found}'"):
        desk.target().prove()


def test_a_short_outage_does_not_end_the_following(github: FakeGithub, desk: Desk) -> None:
    """Polls without an answer are passed over, up to ten in a row."""
    github.fail("run", *["502-before"] * 12)

    assert desk.run().facts["conclusion"] == "success"


def test_outages_are_not_added_up(github: FakeGithub, desk: Desk) -> None:
    """Many short outages in six hours are no long one."""
    github.is_endless = True
    github.fail("run", *(["502-before"] * 3 + [""]) * 15)
    with pytest.raises(ServiceError, match="found it 'in_progress'"):
        desk.run()


def test_a_long_outage_ends_the_following(github: FakeGithub, desk: Desk) -> None:
    """An outage that lasts is told; the same command goes on with the same run."""
    github.fail("run", *["502-before"] * 33)
    with pytest.raises(UnansweredError, match="run the same command"):
        desk.run()

    assert desk.run().facts["conclusion"] == "success"
    assert len(github.runs) == 1


@both_doors
def test_refused_inputs_are_told_and_nothing_is_pending(
    door: str, github: FakeGithub, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GitHub's own words arrive, and the next command does not look for a run."""
    desk.api = open_door(door, github, monkeypatch)
    wrong = WorkflowCall(
        repository="owner/name", workflow="deposit.yml", ref="v1", inputs={"env": "moon"}
    )
    with pytest.raises(ServiceError, match=r"422 .*not in the list of allowed values") as caught:
        desk.run(wrong)

    assert caught.value.status == 422
    assert desk.target().observe() == WorkflowState(None, None)


def test_a_token_without_the_right_is_told_which(github: FakeGithub, desk: Desk) -> None:
    """A token that may only read is told what it lacks."""
    github.tokens[TOKEN] = "read"
    with pytest.raises(ServiceError, match="`actions: write` of owner/name"):
        desk.run()


@both_doors
def test_access_is_asked_before(
    door: str, github: FakeGithub, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A workflow that is there, active, and a ref that is there: a few words, nothing written."""
    desk.api = open_door(door, github, monkeypatch, read_only=True)

    assert desk.target().require_access() == f"workflow deposit.yml is active (through {door})"
    github.workflows["deposit.yml"].state = "disabled_inactivity"
    with pytest.raises(ServiceError, match="found 'disabled_inactivity'; `gh workflow enable"):
        desk.target().require_access()
    assert github.writes == []


def test_what_is_missing_is_told_before(github: FakeGithub, desk: Desk) -> None:
    """A workflow or a ref that does not exist is named; so is a token that sees nothing."""
    gone = WorkflowCall(repository="owner/name", workflow="gone.yml", ref="v1")
    with pytest.raises(ServiceError, match=r"the workflow gone\.yml in owner/name, found none"):
        desk.target(gone).require_access()
    unpushed = WorkflowCall(repository="owner/name", workflow="deposit.yml", ref="v2")
    with pytest.raises(ServiceError, match="expected 'v2' in owner/name, found none; push it"):
        desk.target(unpushed).require_access()
    github.fail("commit", "404")
    assert desk.target(unpushed).require_access()
    github.tokens[TOKEN] = "none"
    with pytest.raises(ServiceError, match="may not see the repository"):
        desk.target().require_access()


def test_a_journal_of_another_release_is_not_read(
    github: FakeGithub, desk: Desk, tmp_path: Path
) -> None:
    """A new manifest gets a run of its own."""
    desk.run()
    sha256 = "e" * 64
    call = WorkflowCall(
        repository="owner/name",
        workflow="deposit.yml",
        ref="v1",
        inputs={"env": "sandbox", "manifest": sha256},
        marker=sha256[:16],
    )
    target = desk.target(call, journal=Journal(tmp_path / "journal.json", sha256))

    assert settle(target)[1].facts["run_id"] == str(github.runs[1].run_id)


def test_a_damaged_note_is_no_obstacle(github: FakeGithub, desk: Desk) -> None:
    """Notes that cannot be read count as none."""
    desk.journal.note(run_id="x", asked_at="yesterday", after="?")

    assert desk.run().facts["conclusion"] == "success"
    assert len(github.runs) == 1


RUN = WorkflowRun(
    run_id=7, attempt=1, status="completed", conclusion="success", url="u", title="t", ref="v1"
)


def test_plans_are_told_in_a_few_words() -> None:
    """Each state has its plan, and each plan its words."""
    waiting = replace(RUN, run_id=8, status="waiting", conclusion="")
    failed = replace(RUN, run_id=9, conclusion="cancelled")
    asked_at = datetime(2026, 11, 21, 7, 8, 9, tzinfo=UTC)
    told = {
        WorkflowState(RUN): "run 7 ended as success",
        WorkflowState(waiting): "follow run 8 of deposit.yml",
        WorkflowState(failed): "run 9 ended as cancelled; dispatch deposit.yml on v1 again",
        WorkflowState(None): "dispatch deposit.yml on v1",
        WorkflowState(None, asked_at): "find the run asked for at 07:08:09 UTC,"
        " or dispatch deposit.yml on v1",
    }

    for state, words in told.items():
        plan = plan_workflow(MARKED, state)
        assert plan.describe() == words
        assert plan.is_empty == (words == "run 7 ended as success")


@pytest.mark.parametrize("table", [None, [], {}, {"id": "x"}, {"workflow_runs": None}, "<html>"])
def test_an_odd_answer_is_told(table: Any) -> None:
    """What is no run is an error of ours, in one line."""
    for parse in (parse_run, parse_runs):
        with pytest.raises(ServiceError, match="expected a") as caught:
            parse(table)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("table", [None, {}, {"jobs": None}, {"jobs": [{"name": "x"}]}])
def test_jobs_that_say_nothing_add_nothing(table: Any) -> None:
    """Without a failed job nothing is added."""
    assert name_failure(table) == ""
