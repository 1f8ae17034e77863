"""Every fault of every service outside the stores, met by a release of the installed doit.

The worst of them meet one release in the ordinary suite. Each by itself, and Cloud Run through
the genuine gcloud, is one command::

    pytest -m slow -n 0 tests/e2e/test_outside_faults.py
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from lading.services.shell import has_program
from tests.e2e.cuts import (
    GIT_TOKEN,
    RELEASE,
    World,
    finish,
    last_line,
    one_line_of,
    release_once,
    require_released,
    serve_world,
)
from tests.e2e.outside import OLD_TAG, TOKENS, drafts, published
from tests.e2e.project import TAG
from tests.fakes.git_http import Call, Fault
from tests.fakes.inveniordm_state import StoredFile

Arrange = Callable[[World], None]
RESUME = f"1 task failed; to resume, run the same command: doit {' '.join(RELEASE)}"


def sandbox(operation: str, kind: str, times: int = 1) -> Arrange:
    """Let the deposit meet a fault."""
    return lambda world: world.outside.sandbox.fail(operation, kind, times)


def github(operation: str, *faults: str) -> Arrange:
    """Let GitHub meet a fault."""
    return lambda world: world.outside.github.fail(operation, *faults)


def github_is(**facts: Any) -> Arrange:
    """Let GitHub be of another kind."""

    def arrange(world: World) -> None:
        for name, value in facts.items():
            setattr(world.outside.github, name, value)

    return arrange


def slack(*faults: str, method: str = "chat.postMessage") -> Arrange:
    """Let Slack meet a fault."""
    return lambda world: world.outside.slack.fail(*faults, method=method)


def remote(kind: str, times: int = 1, fits: Callable[[Call], bool] | None = None) -> Arrange:
    """Let the remote meet a fault, at a push by default; what hangs ends by a cut."""

    def arrange(world: World) -> None:
        assert world.remote is not None
        fault = Fault(kind, times=times)
        world.remote.faults.append(replace(fault, fits=fits) if fits else fault)
        if kind == "hang":
            threading.Thread(target=_end_hanging, args=(world.remote,), daemon=True).start()

    return arrange


def _end_hanging(server: Any) -> None:
    if server.hanging.wait(60):
        server.let_go()


def leave_draft(world: World) -> None:
    """Leave the draft of last night, whose run was cut."""
    done = world.project.quick("doi", f"tag={OLD_TAG}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(drafts(world.outside.sandbox)) == 1


def run_ends(conclusion: str) -> Arrange:
    """Let the runs of workflows end in a way."""
    return github_is(on_dispatch=lambda _inputs, _ref: conclusion)


def nothing(world: World) -> None:
    """Arrange nothing."""


@dataclass(frozen=True)
class Passing:
    """A fault that a release gets over by itself.

    Attributes:
        arrange: makes it.
        with_git: whether the remote must be behind HTTP.
        says: what the last run says of it, where it says anything.
        runs: how many runs it may take: what may have been done is not asked for again by the
            same run.
    """

    arrange: Arrange
    with_git: bool = False
    says: str = ""
    runs: int = 1


PASSING = {
    "parts are refused": Passing(nothing),
    "reset in mid upload": Passing(sandbox("content", "reset", 2)),
    "502 page on content": Passing(sandbox("content", "502", 3)),
    "502 page on content, done": Passing(sandbox("content", "502-after", 3)),
    "truncated file accepted": Passing(sandbox("content", "truncate", 2)),
    "file forgotten": Passing(sandbox("content", "forget", 2)),
    "commit done, reset": Passing(sandbox("commit", "reset-after", 2)),
    "create done, reset": Passing(sandbox("create", "reset-after")),
    "create done, 502 page": Passing(sandbox("create", "502-after")),
    "create not done, 502 page": Passing(sandbox("create", "502")),
    "doi done, reset": Passing(sandbox("doi", "reset-after")),
    "update done, page for an answer": Passing(sandbox("update", "html")),
    "publish done, 504": Passing(sandbox("publish", "504-after")),
    "publish done, page for an answer": Passing(sandbox("publish", "html")),
    "publish done, reset": Passing(sandbox("publish", "reset-after")),
    "publish not done, 502 page": Passing(sandbox("publish", "502", 2)),
    "429 without Retry-After": Passing(sandbox("*", "429", 3)),
    "429 with Retry-After": Passing(sandbox("*", "429-after", 3)),
    "429 with a reset": Passing(sandbox("register", "429-reset", 1)),
    "left-over draft": Passing(leave_draft),
    "dispatch not done, 502 page": Passing(github("dispatch", "502-before"), runs=2),
    "dispatch not done, reset": Passing(github("dispatch", "reset-before"), runs=2),
    "dispatch done, 502 page": Passing(github("dispatch", "502-after")),
    "dispatch done, reset": Passing(github("dispatch", "reset-after")),
    "dispatch done, page for an answer": Passing(github("dispatch", "page")),
    "dispatch in haste": Passing(github("dispatch", "haste", "haste-retry-after", "haste-429")),
    "list is a page": Passing(github("list", "page", "502-before", "reset-before")),
    "run is not there yet": Passing(github_is(gone_for=2)),
    "dispatch of an old GitHub": Passing(github_is(api="old", hidden_for=2)),
    "dispatch of an older GitHub": Passing(github_is(api="older", hidden_for=2)),
    "push not done, 502 page": Passing(remote("502"), with_git=True),
    "push done, 502 page": Passing(remote("502 after"), with_git=True),
    "push not done, reset": Passing(remote("reset"), with_git=True),
    "push done, reset": Passing(remote("reset after"), with_git=True),
    "push hangs": Passing(remote("hang"), with_git=True),
    "remote does not tell, 502": Passing(remote("502", 2, lambda _: True), with_git=True),
    "slack: done, reset": Passing(slack("reset-after")),
    "slack: done, 500 page": Passing(slack("status-after:500")),
    "slack: limited": Passing(slack("limited:1")),
    "slack: hangs": Passing(slack("hang")),
    "slack: no name to ask": Passing(
        slack("reset", "reset", "reset", method="auth.test"), says="access:notify warns: "
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PASSING)
def test_passing_fault(tmp_path: Path, name: str) -> None:
    """A release gets over it by itself, with exactly one of each."""
    case = PASSING[name]
    with serve_world(tmp_path, with_git=case.with_git) as world:
        case.arrange(world)
        done = finish(world.project, runs=case.runs)

        require_released(world.project)
        assert len(done) == case.runs
        assert case.says in done[-1].stdout
        assert "part" not in [each.operation for each in world.outside.sandbox.calls]


STORMS = {
    "lost answers": (
        "create done, reset",
        "doi done, reset",
        "commit done, reset",
        "publish done, 504",
        "dispatch done, reset",
        "push done, reset",
        "slack: done, reset",
    ),
    "refusals": (
        "left-over draft",
        "reset in mid upload",
        "truncated file accepted",
        "publish not done, 502 page",
        "429 with Retry-After",
        "dispatch not done, 502 page",
        "push not done, 502 page",
        "slack: limited",
    ),
}


@pytest.mark.parametrize(
    "storm", ["lost answers", pytest.param("refusals", marks=pytest.mark.slow)]
)
def test_many_faults_in_one_release(tmp_path: Path, storm: str) -> None:
    """A release that meets a fault at each service gets over all, with exactly one of each."""
    with serve_world(tmp_path) as world:
        for name in STORMS[storm]:
            PASSING[name].arrange(world)
        finish(world.project, runs=max(PASSING[name].runs for name in STORMS[storm]))

        require_released(world.project)


@dataclass(frozen=True)
class Lasting:
    """A fault that ends the run, and what mends it.

    Attributes:
        arrange: makes it.
        mend: takes it away.
        task: what fails.
        says: what the one line must name: what, where, what to do.
        with_git: whether the remote must be behind HTTP.
        more: variables of the first run.
    """

    arrange: Arrange
    mend: Arrange
    task: str
    says: tuple[str, ...]
    with_git: bool = False
    more: dict[str, str] = field(default_factory=dict)


def sandbox_knows(**tokens: str) -> Arrange:
    """Let the deposit know these tokens."""
    given = {TOKENS[name]: owner for name, owner in tokens.items()}
    return lambda world: setattr(world.outside.sandbox, "tokens", given)


def github_gives(right: str) -> Arrange:
    """Let our token at GitHub have a right."""
    return lambda world: world.outside.github.tokens.update({TOKENS["GH_TOKEN"]: right})


def fill_draft(world: World) -> None:
    """Let a person fill the draft, and take our mark away from it."""
    done = world.project.quick("doi", f"tag={TAG}")
    assert done.returncode == 0, done.stderr
    (draft,) = drafts(world.outside.sandbox)
    draft.metadata["additional_descriptions"] = []
    draft.files["theirs.csv"] = StoredFile("theirs.csv", b"1,2")


def discard_draft(world: World) -> None:
    """Let the person discard that draft, and the release begin anew."""
    (draft,) = drafts(world.outside.sandbox)
    del world.outside.sandbox.state.drafts[draft.id]
    world.project.forget()


def forgive(world: World) -> None:
    """Let nothing more go wrong."""
    world.outside.sandbox._faults.clear()
    world.outside.github.faults.clear()
    if world.remote:
        world.remote.faults.clear()


LASTING = {
    "zenodo: 401": Lasting(
        sandbox_knows(ZENODO_TOKEN="them"),
        sandbox_knows(ZENODO_SANDBOX_TOKEN="us"),
        "access:outside",
        ("expected a valid token, got 401", "127.0.0.1", "deposit:write", "ZENODO_SANDBOX_TOKEN"),
    ),
    "zenodo: publish never answers": Lasting(
        sandbox("publish", "502", 999),
        forgive,
        "zenodo",
        ("InvenioRDM: POST /api/records/", "/publish", "502", "run the same command"),
    ),
    "zenodo: always truncated": Lasting(
        sandbox("content", "truncate", 999),
        forgive,
        "zenodo",
        ("expected", "bytes of md5", "the same command again"),
    ),
    "zenodo: draft of a person": Lasting(
        fill_draft,
        discard_draft,
        "zenodo",
        ("expected a draft of Lading's, found one with 1 files", "discard that draft"),
    ),
    "github: 401": Lasting(
        github_is(tokens={}),
        github_is(tokens={TOKENS["GH_TOKEN"]: "write"}),
        "access:outside",
        ("Bad credentials", "deploy.yml", "401"),
    ),
    "github: 403": Lasting(
        github_gives("read"),
        github_gives("write"),
        "cloud_run:viewer",
        ("403", "deploy.yml/dispatches", "actions: write", "owner/name"),
    ),
    "github: the run fails": Lasting(
        run_ends("failure"),
        run_ends("success"),
        "cloud_run:viewer",
        ("https://github.com/owner/name/actions/runs/", "'failure'", "the same command starts"),
    ),
    "github: the run is cancelled": Lasting(
        run_ends("cancelled"),
        run_ends("success"),
        "cloud_run:viewer",
        ("https://github.com/owner/name/actions/runs/", "'cancelled'"),
    ),
    "git: 401": Lasting(
        nothing,
        nothing,
        "access:outside",
        ("origin.git", "GIT_TOKEN"),
        with_git=True,
        more={"GIT_TOKEN": "another-token-0123456789"},
    ),
    "git: 403 at the push": Lasting(
        remote("403", 999),
        forgive,
        "git_merge",
        ("origin.git", "refs/heads/nightly", "403", "GIT_TOKEN"),
        with_git=True,
    ),
    "git: 502 for ever": Lasting(
        remote("502", 999), forgive, "git_merge", ("origin.git", "502"), with_git=True
    ),
}
BY_DEFAULT = {"git: 403 at the push"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in BY_DEFAULT else (pytest.mark.slow,))
        for name in LASTING
    ],
)
def test_lasting_fault(tmp_path: Path, name: str) -> None:
    """The run ends with 1, a line that says what, where, what to do; mended, the same goes on."""
    case = LASTING[name]
    with serve_world(tmp_path, with_git=case.with_git) as world:
        case.arrange(world)
        failed = release_once(world.project, case.more)
        assert failed.returncode == 1, failed.stdout + failed.stderr
        line = one_line_of(failed.stderr, case.task)
        assert [each for each in case.says if each not in line] == [], line
        assert last_line(failed.stderr) == RESUME
        assert published(world.outside.sandbox) == [] or case.task.startswith("cloud_run")
        (message,) = world.outside.slack.messages
        assert f"{TAG} failed: {case.task}" in message["text"]
        case.mend(world)
        finish(world.project)

        require_released(world.project)
        assert GIT_TOKEN not in failed.stdout + failed.stderr


@pytest.mark.parametrize(
    "faults",
    [
        ("channel_not_found",),
        pytest.param(("html",) * 9, marks=pytest.mark.slow),
        pytest.param(("status:500",) * 9, marks=pytest.mark.slow),
        pytest.param(("limited:",) * 9, marks=pytest.mark.slow),
        pytest.param(("limited:900",) * 9, marks=pytest.mark.slow),
    ],
)
def test_slack_that_refuses(tmp_path: Path, faults: tuple[str, ...]) -> None:
    """A Slack that refuses is a warning, and no failure; once it takes one, there is one."""
    with serve_world(tmp_path, with_git=False) as world:
        world.outside.slack.fail(*faults, method="chat.postMessage")
        (done,) = finish(world.project)
        assert len(world.outside.slack.messages) <= 1
        world.outside.slack._faults.clear()
        again = finish(world.project)[-1]

        assert "notify warns: Slack: chat.postMessage: expected " in done.stdout
        require_released(world.project)
        assert "warns" not in again.stdout


class TestCloudRun:
    """The service, updated through the genuine gcloud."""

    @pytest.fixture
    def world(self, tmp_path: Path) -> Iterator[World]:
        """A project that updates the service by itself; last night's image serves."""
        if not has_program("gcloud"):
            pytest.skip("needs gcloud")
        with serve_world(tmp_path, cloud_run="gcloud", with_git=False) as world:
            yield world

    @pytest.mark.slow
    def test_killed_when_the_service_was_changed(self, world: World) -> None:
        """Killed while gcloud waits for its answer, the same command finds the one revision."""
        world.tap.kill_at(
            world.project, lambda _, asked: asked.startswith("cloud_run PUT "), after=True
        )
        assert world.tap.cut_at
        finish(world.project, hurried=False)

        require_deployed(world)

    @pytest.mark.slow
    @pytest.mark.parametrize("number", [5, 11, 12, 13, 16, 19])
    @pytest.mark.parametrize("after", [False, True])
    def test_killed_at_any_request(self, world: World, number: int, *, after: bool) -> None:
        """Killed at any request to service or registry, the same command ends with one revision."""
        at: list[int] = []

        def fits(now: int, asked: str) -> bool:
            if asked.startswith(("cloud_run ", "registry ")):
                at.append(now)
            return len(at) == number

        world.tap.kill_at(world.project, fits, after=after)
        assert world.tap.cut_at, at
        finish(world.project, hurried=False)

        require_deployed(world)

    @pytest.mark.slow
    def test_same_image_again(self, world: World) -> None:
        """Neither the same command nor one without local state makes another revision."""
        finish(world.project, hurried=False)
        world.project.forget()
        finish(world.project, hurried=False)

        require_deployed(world)
        assert len(world.outside.cloud_run.changes) == 1

    @pytest.mark.slow
    @pytest.mark.parametrize("fault", ["lost", "page", "quick", "raced"])
    def test_passing_fault(self, world: World, fault: str) -> None:
        """What may have been done is looked at, and never done twice."""
        world.outside.cloud_run.fault = fault
        finish(world.project, hurried=False)

        require_deployed(world, others=fault == "raced")

    @pytest.mark.slow
    @pytest.mark.parametrize("fault", ["page", "empty", "no digest", "no head", "too many"])
    def test_registry(self, world: World, fault: str) -> None:
        """A registry that answers wrongly for a while is asked again."""
        registry = world.outside.registry
        if fault == "too many":
            registry.too_many = 2
        else:
            registry.fault = fault
        heal = threading.Timer(2.0, setattr, (registry, "fault", ""))
        heal.start()
        finish(world.project, runs=2, hurried=False)
        heal.join()

        require_deployed(world)

    @pytest.mark.slow
    def test_failing_revision(self, world: World) -> None:
        """It ends the run, the old one still serves; mended, the same command tries anew."""
        region = world.outside.cloud_run
        (old,) = region.serving("viewer")
        region.fault = "failing"
        failed = release_once(world.project, hurried=False)
        line = one_line_of(failed.stderr, "cloud_run:viewer")

        assert failed.returncode == 1
        assert region.serving("viewer") == {old: 100}
        assert "Container failed to start" in line
        assert f"{old} still serves; to stay with it: `gcloud run services update-traffic" in line
        region.fault = ""
        world.outside.registry.push("viewer", "latest", "mended")
        finish(world.project, hurried=False)
        require_deployed(world, others=True)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("fault", "task"), [("hidden", "access:outside"), ("refused", "cloud_run:viewer")]
    )
    def test_403(self, world: World, fault: str, task: str) -> None:
        """What may not be done ends the run with a line of what, where and why."""
        world.outside.cloud_run.fault = fault
        failed = release_once(world.project, hurried=False)
        line = one_line_of(failed.stderr, task)

        assert failed.returncode == 1
        assert "Cloud Run viewer (us-east1)" in line
        assert "Permission 'run.services." in line
        assert last_line(failed.stderr) == RESUME
        world.outside.cloud_run.fault = ""
        finish(world.project, hurried=False)
        require_deployed(world)


def require_deployed(world: World, *, others: bool = False) -> None:
    """Require one release, and one revision of it that gets all requests."""
    require_released(world.project, runs=0)
    region = world.outside.cloud_run
    wanted = world.outside.registry.digest_of(f"{world.outside.registry.host}/viewer:latest")
    (serving,) = region.serving("viewer")
    assert region.revisions[serving]["status"]["imageDigest"].endswith(wanted)
    of_image = [
        each for each in region.revisions.values() if each["status"]["imageDigest"].endswith(wanted)
    ]
    assert len(of_image) == 1
    assert others or len(region.revisions) == 2  # last night's, and tonight's
