"""Every fault of the cluster, Sentry and the remote, met by a rollout or a cleanup: each alone.

A few are in the ordinary suite; all of them are one command::

    pytest -m slow -n 0 tests/e2e/test_staging_faults.py
"""

import os
import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.reformatters import CONTEXT, NAMESPACE, Team, git
from tests.e2e.staging_cuts import (
    BRANCH,
    CLEANUP,
    FOREIGN,
    ICON,
    STAGE,
    VERSION,
    Stage,
    foreign_cron_job,
    make_stage,
    nth,
)
from tests.fakes.http_server import HttpServer, Reply, Request

pytestmark = [
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl"),
    pytest.mark.xdist_group("staging-faults"),
]
STEM = "staging-dwd-icon-v0-9-0-18dd03"
FIRST, UPDATE, VALIDATE = (
    f"{STEM}-{each}" for each in ("archive-grib-files", "update", "validate")
)
WRITE = r"(PATCH|POST|PUT|DELETE) \S+"
Fits = Callable[[int, str], bool]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A world that can be set back to each moment."""
    with make_stage(tmp_path_factory.mktemp("stage")) as stage:
        yield stage


@dataclass
class Trouble:
    """What goes wrong during a run, and how it ends."""

    stage: Stage
    environment: dict[str, str] = field(default_factory=dict)
    heal: list[Callable[[], object]] = field(default_factory=list)

    @property
    def team(self) -> Team:
        """The team that meets it."""
        return self.stage.team

    def when(
        self, server: HttpServer, fits: Fits, do: Callable[[], Reply | None], *, after: bool = False
    ) -> None:
        """Do something at each request that fits, before it is done or after."""
        seen, guard = [0], self.stage._guard

        def asked_of(request: Request) -> str:
            dry = " (dry run)" if "dryRun=" in request.query else ""
            return f"{request.method} {request.path}{dry}"

        def intercept(request: Request) -> Reply | None:
            with guard:
                seen[0] += 1
                is_meant = fits(seen[0], asked_of(request))
            if after:
                request.headers["x-is-meant"] = "1" if is_meant else ""
                return None
            return do() if is_meant else None

        def answered(request: Request) -> None:
            if after and request.headers["x-is-meant"]:
                do()

        server.intercept, server.answered = intercept, answered

    def end(self) -> None:
        """End all of it."""
        for each in self.heal:
            each()
        self.heal.clear()
        for server in (self.team.kubernetes, self.team.sentry):
            server.intercept, server.answered = lambda _: None, lambda _: None
        self.team.kubernetes._refusals.clear()
        self.team.kubernetes._forbidden.clear()
        self.team.kubernetes.token = ""
        self.team.sentry.faults.clear()


Arrange = Callable[[Trouble], None]


def reset() -> Reply | None:
    """Cut the connection."""
    raise ConnectionResetError


def refuses(status: int, times: int = 99) -> Arrange:
    """Let the API refuse with a status."""
    return lambda trouble: trouble.team.kubernetes.refuse_next(times, status)


def cuts(pattern: str, number: int = 1, *, after: bool) -> Arrange:
    """Let the nth request of a pattern be cut, before it is done or after; 0: all of them."""

    def arrange(trouble: Trouble) -> None:
        every: Fits = lambda at, asked: bool(at and re.fullmatch(pattern, asked))  # noqa: E731
        fits = nth(pattern, number) if number else every
        trouble.when(trouble.team.kubernetes, fits, reset, after=after)

    return arrange


def forbids(verb: str) -> Arrange:
    """Let the user lack a right."""
    return lambda trouble: trouble.team.kubernetes.forbid(verb)


def is_down(trouble: Trouble) -> None:
    """Let the kubeconfig name a port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    edit_kubeconfig(trouble, trouble.team.kubernetes.url, f"http://127.0.0.1:{port}")


def lacks_context(trouble: Trouble) -> None:
    """Let the kubeconfig lack the context."""
    edit_kubeconfig(trouble, CONTEXT, "another-one")


def edit_kubeconfig(trouble: Trouble, old: str, new: str) -> None:
    """Put another text into the kubeconfig, until the end."""
    path = trouble.team.kubeconfig
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    trouble.heal.append(lambda: path.write_text(text))


def lacks_kubeconfig(trouble: Trouble) -> None:
    """Let there be no kubeconfig."""
    trouble.environment["KUBECONFIG"] = str(trouble.team.folder / "nothing")


def logged_out(trouble: Trouble) -> None:
    """Let the API know nobody."""
    trouble.team.kubernetes.token = "another-one"


def lacks_kubectl(trouble: Trouble) -> None:
    """Let the PATH have git, and no kubectl."""
    trouble.environment["PATH"] = str(tools(trouble, "git", "sh"))


def tools(trouble: Trouble, *names: str) -> Path:
    """Make a folder with these programs alone."""
    folder = trouble.team.folder.with_name("tools")
    folder.mkdir()
    trouble.heal.append(lambda: shutil.rmtree(folder))
    for name in names:
        (folder / name).symlink_to(str(shutil.which(name)))
    return folder


def hangs(trouble: Trouble) -> None:
    """Let the API not answer; kubectl is given a second where it would be given a minute."""
    folder = tools(trouble)
    short = 'for each; do set -- "$@" "${each/#--request-timeout=*/--request-timeout=1s}"; shift'
    (folder / "kubectl").write_text(
        f'#!/bin/bash\n{short}; done\nexec {shutil.which("kubectl")} "$@"\n'
    )
    (folder / "kubectl").chmod(0o755)
    trouble.environment["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
    import threading  # noqa: PLC0415

    ended = threading.Event()
    trouble.heal.append(ended.set)

    def hang() -> Reply | None:
        ended.wait(60)
        raise ConnectionResetError

    trouble.when(trouble.team.kubernetes, lambda _, asked: "cronjobs" in asked, hang)


def sentry(*faults: str, method: str = "GET", times: int = 99) -> Arrange:
    """Let Sentry meet faults."""

    def arrange(trouble: Trouble) -> None:
        trouble.team.sentry.faults[method] = list(faults) * times

    return arrange


def sentry_forbids(trouble: Trouble) -> None:
    """Let the token have too few scopes."""
    trouble.environment["SENTRY_AUTH_TOKEN"] = "sntrys_of-one-who-may-look-0123"
    trouble.team.sentry.give_token("sntrys_of-one-who-may-look-0123", {"project:read", "org:read"})


def sentry_knows_nobody(trouble: Trouble) -> None:
    """Let the token be none of Sentry's."""
    trouble.environment["SENTRY_AUTH_TOKEN"] = "sntrys_unknown-0123456789"


def remote_is_gone(trouble: Trouble) -> None:
    """Let there be nothing where the remote was."""
    remote = trouble.team.remote
    away = remote.rename(remote.with_name("away.git"))
    trouble.heal.append(lambda: away.rename(remote))


def remote_refuses(trouble: Trouble) -> None:
    """Let a hook of the remote refuse."""
    hook = trouble.team.remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'branches are protected here' >&2\nexit 1\n")
    hook.chmod(0o755)
    trouble.heal.append(hook.unlink)


def operator(act: Callable[[Team], object], pattern: str, number: int = 1) -> Arrange:
    """Let an operator do something once the nth request of a pattern is done."""

    def arrange(trouble: Trouble) -> None:
        def do() -> Reply | None:
            act(trouble.team)
            return None

        trouble.when(trouble.team.kubernetes, nth(pattern, number), do, after=True)

    return arrange


def deletes(name: str) -> Callable[[Team], object]:
    """Return an operator who deletes a CronJob."""
    return lambda team: team.kubernetes.store.objects.pop(("cronjobs", NAMESPACE, name))


def resumes(name: str) -> Callable[[Team], object]:
    """Return an operator who resumes a CronJob."""
    patch = {"spec": {"suspend": False}}
    return lambda team: team.kubernetes.edit(NAMESPACE, name, "kubectl-patch", patch)


def a_name_is_taken(trouble: Trouble) -> None:
    """Let somebody's CronJob have the name of one of ours."""
    team = trouble.team
    team.kubernetes.create_plain(NAMESPACE, foreign_cron_job(UPDATE))
    trouble.heal.append(lambda: deletes(UPDATE)(team))


@dataclass(frozen=True)
class Case:
    """A fault, and what is told of it.

    Attributes:
        moment: whose command meets it.
        arrange: makes it.
        says: regular expressions, each found in what the run prints; none: it gets over it.
        writes: whether anything in the cluster may have been changed by the failed run.
    """

    moment: str
    arrange: Arrange
    says: tuple[str, ...] = ()
    writes: bool = False

    @property
    def passes(self) -> bool:
        """Whether a run gets over it by itself."""
        return not self.says


ROLE = r'resources: \["cronjobs"\], verbs: \["{}"\]'
CASES = {
    "429 once": Case("fresh", refuses(429, 1)),
    "500 once": Case("fresh", refuses(500, 1)),
    "503 twice": Case("restage", refuses(503, 2)),
    "503 once, of a cleanup": Case("cleanup", refuses(503, 1)),
    "429 lasting": Case("fresh", refuses(429), ("too many requests",)),
    "500 lasting": Case("restage", refuses(500), ("Internal error",)),
    "503 lasting": Case("fresh", refuses(503), ("unable to handle the request",)),
    "503 lasting, of a cleanup": Case("cleanup", refuses(503), ("unable to handle",)),
    "503 lasting, of production": Case("deploy", refuses(503), ("unable to handle",)),
    "cut before an object": Case("fresh", cuts(r"PATCH \S+", 2, after=False)),
    "cut after an object": Case("fresh", cuts(r"PATCH \S+", 2, after=True)),
    "cut after an object of production": Case("deploy", cuts(r"PATCH \S+", 3, after=True)),
    "cut at the listing": Case("restage", cuts(r"GET .*/cronjobs", 1, after=False)),
    "cut after a suspension": Case("cleanup", cuts(r"PATCH .*", 2, after=True)),
    "cut before a deletion": Case("cleanup", cuts(r"DELETE .*", 1, after=False)),
    "cut after a deletion": Case("cleanup", cuts(r"DELETE .*", 1, after=True)),
    "cut after the last deletion": Case("cleanup", cuts(r"DELETE .*", 3, after=True)),
    "every write cut before": Case(
        "fresh", cuts(r"PATCH \S+", 0, after=False), ("expected an answer, got",)
    ),
    "every write cut after": Case(
        "fresh", cuts(r"PATCH \S+", 0, after=True), ("expected an answer, got",), writes=True
    ),
    "every deletion cut before": Case(
        "cleanup", cuts(r"DELETE .*", 0, after=False), ("expected an answer, got",), writes=True
    ),
    "cluster is down": Case("fresh", is_down, ("expected to reach the cluster", "VPN")),
    "cluster is down, of a cleanup": Case("cleanup", is_down, ("expected to reach the cluster",)),
    "hangs": Case("fresh", hangs, ("expected an answer",)),
    "401": Case("fresh", logged_out, ("expected to be logged in", "log in to the cluster")),
    "403 list": Case("fresh", forbids("list"), ("allowed to list", ROLE.format("list"))),
    "403 patch": Case("restage", forbids("patch"), ("allowed to patch", ROLE.format("patch"))),
    "403 create": Case("fresh", forbids("create"), ("allowed to create", ROLE.format("create"))),
    "403 patch, of a cleanup": Case("cleanup", forbids("patch"), ("allowed to patch",)),
    "403 delete": Case(
        "cleanup", forbids("delete"), ("allowed to delete", ROLE.format("delete")), writes=True
    ),
    "403 delete of a leftover": Case(
        "leftover", forbids("delete"), ("allowed to delete",), writes=True
    ),
    "no kubectl": Case(
        "fresh", lacks_kubectl, ("kubectl: expected the program", "install kubectl")
    ),
    "no kubeconfig": Case(
        "fresh", lacks_kubeconfig, ("expected the context arn:.* in the kubeconfig",)
    ),
    "no context": Case("deploy", lacks_context, ("expected the context arn:.* in the kubeconfig",)),
    "a name is taken": Case("fresh", a_name_is_taken, (f"CronJob {UPDATE}: .*'kubectl-create'",)),
    "Sentry: 502 page once": Case("cleanup", sentry("page", times=1)),
    "Sentry: deletion done, lost": Case("cleanup", sentry("lost", method="DELETE", times=1)),
    "Sentry: 429": Case("cleanup", sentry("busy", times=2)),
    "Sentry: 502 pages": Case(
        "cleanup", sentry("page"), ("got 502", "suspended; it remembers monitor"), writes=True
    ),
    "Sentry: pages at deletions": Case(
        "cleanup", sentry("page", method="DELETE"), ("got 502",), writes=True
    ),
    "Sentry: 403": Case(
        "cleanup", sentry_forbids, ("got 403", "project:write", "SENTRY_AUTH_TOKEN"), writes=True
    ),
    "Sentry: 401": Case("cleanup", sentry_knows_nobody, ("got 401", "_AUTH_TOKEN"), writes=True),
    "remote is gone": Case(
        "cleanup", remote_is_gone, (f"left: branch {BRANCH}: .*not appear to be",), writes=True
    ),
    "remote refuses": Case(
        "cleanup", remote_refuses, (f"left: branch {BRANCH}: .*are protected here",), writes=True
    ),
    "deleted behind the apply": Case(
        "fresh",
        operator(deletes(FIRST), r"PATCH \S+", 3),
        (f"CronJob {FIRST}: expected after the apply, found none",),
        writes=True,
    ),
    "deleted before the apply": Case("restage", operator(deletes(FIRST), r"GET .*/cronjobs")),
    "deleted behind a cleanup": Case("cleanup", operator(deletes(UPDATE), r"PATCH .*", 3)),
    "the record deleted": Case("cleanup", operator(deletes(FIRST), r"DELETE .*", 1)),
    "resumed behind a cleanup": Case(
        "cleanup",
        operator(resumes(UPDATE), r"PATCH .*", 3),
        (f"left: .*somebody has resumed {UPDATE}",),
        writes=True,
    ),
}
SOME = {"deleted behind a cleanup"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(each, marks=() if each in SOME else (pytest.mark.slow,)) for each in CASES],
)
def test_fault(stage: Stage, name: str) -> None:
    """It is got over, or told in a line and then, once it is gone, the same command ends well."""
    case = CASES[name]
    meet(stage, case)


def meet(stage: Stage, case: Case) -> None:
    """Let a run meet a fault; then require the end of one that meets none."""
    seen, touched = stage.uncut(case.moment)
    command = stage.set_back(case.moment)
    trouble = Trouble(stage)
    try:
        case.arrange(trouble)
        before = stage.touched(case.moment)
        done = stage.team.run(*command, environment=trouble.environment)
        assert (stage.touched(case.moment) - before) <= touched
        assert case.writes or case.passes or stage.touched(case.moment) == before
    finally:
        trouble.end()
    printed = done.stdout + done.stderr
    assert done.returncode == (0 if case.passes else 1), printed
    for each in case.says:
        assert re.search(each, printed), printed
    if not case.passes:
        require_one_line(done, command[0])
        done = stage.team.run(*command)
        assert done.returncode == 0, done.stdout + done.stderr
    found = stage.look()
    assert found.objects == seen.objects
    assert found.monitors == seen.monitors
    assert found.branches == seen.branches
    assert stage.team.kubernetes.errors == []


def require_one_line(done: subprocess.CompletedProcess[str], task: str) -> None:
    """Require one line that says what has failed, the same on both streams, and no trace."""
    told = [line for line in done.stderr.splitlines() if line.startswith(f"{task} failed: ")]
    assert len(told) == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert len(done.stderr.splitlines()) <= 2, done.stderr


@pytest.mark.slow
def test_no_token(stage: Stage) -> None:
    """Without a token a cleanup ends all but the monitors, whose slugs it tells, and says so."""
    command = stage.set_back("cleanup")
    monitors = stage.team.sentry.slugs
    without = {"SENTRY_AUTH_TOKEN": ""}
    done = stage.team.run(*command, environment=without)
    assert done.returncode == 1
    for name in (FIRST, UPDATE, VALIDATE):
        assert f"left: monitor {name}: no SENTRY_AUTH_TOKEN" in done.stdout
    assert [name for name in stage.team.names() if name.startswith(STEM)] == []
    assert BRANCH not in stage.team.branches()
    again = stage.team.run(*command, environment=without)
    assert again.returncode == 0
    assert stage.team.sentry.slugs == monitors
    assert "SENTRY_AUTH_TOKEN" in again.stdout  # they are not said to be gone


@pytest.mark.slow
def test_branch_has_moved_on(stage: Stage) -> None:
    """A branch that was pushed to since is left, and remembered; the line told deletes it."""
    team = stage.team
    command = stage.set_back("cleanup")
    (team.folder / "notes.txt").write_text("more\n")
    moved = team.commit("More")
    team.git("push", "-q", "origin", "HEAD")
    done = team.run(*command)
    assert done.returncode == 1
    assert team.branches()[BRANCH] == moved
    assert f"left: CronJob {FIRST}: suspended; it remembers branch {BRANCH}" in done.stdout
    (told,) = re.findall(r"to delete it: `git (.*?)`", done.stdout)
    assert team.run(*command).returncode == 1
    git(team.folder, *shlex.split(told))
    done = team.run(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [name for name in team.names() if name.startswith(STEM)] == []


def wait_for(team: Team, minutes: int) -> None:
    """Let a cleanup wait for so long."""
    path = team.folder / "lading.toml"
    path.write_text(path.read_text().replace("wait_minutes = 60", f"wait_minutes = {minutes}"))


@pytest.mark.slow
def test_job_that_does_not_end(stage: Stage) -> None:
    """A Job that runs on stops a cleanup, which names it and deletes nothing, until it ends."""
    seen, _ = stage.uncut("cleanup")
    command = stage.set_back("cleanup")
    team = stage.team
    job = team.kubernetes.start_job(UPDATE, NAMESPACE)
    wait_for(team, 0)
    done = team.run(*command)
    assert done.returncode == 1
    assert f"Job {job} (since " in done.stdout
    assert len([name for name in team.names() if name.startswith(STEM)]) == 3
    assert BRANCH in team.branches()
    assert set(team.sentry.slugs) >= {FIRST, UPDATE, VALIDATE}
    team.kubernetes.finish_job(job, NAMESPACE)
    done = team.run(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert stage.look() == seen  # an ended Job goes with its CronJob


@pytest.mark.slow
def test_job_that_ends_meanwhile(stage: Stage) -> None:
    """A Job that ends while it is waited for is waited for, and no longer."""
    seen, _ = stage.uncut("cleanup")
    command = stage.set_back("cleanup")
    team, trouble = stage.team, Trouble(stage)
    job = team.kubernetes.start_job(UPDATE, NAMESPACE)

    def finish() -> Reply | None:
        team.kubernetes.finish_job(job, NAMESPACE)
        return None

    trouble.when(team.kubernetes, nth(r"GET .*/jobs", 4), finish)
    done = team.run(*command)
    trouble.end()
    assert done.returncode == 0, done.stdout + done.stderr
    assert stage.look() == seen


@pytest.mark.slow
def test_job_that_is_orphaned(stage: Stage) -> None:
    """With ``running=orphan`` a Job runs on, and the monitor that it reports to is left."""
    command = stage.set_back("cleanup")
    team = stage.team
    job = team.kubernetes.start_job(UPDATE, NAMESPACE)
    done = team.run(*command, "running=orphan")
    assert done.returncode == 1
    assert list(team.kubernetes.jobs(NAMESPACE)) == [job]
    assert f"left: monitor {UPDATE}: Job {job} runs on" in done.stdout
    team.kubernetes.finish_job(job, NAMESPACE)
    done = team.run(*command, "running=orphan")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not {FIRST, UPDATE, VALIDATE} & set(team.sentry.slugs)
    assert [name for name in team.names() if name.startswith(STEM)] == []


@pytest.mark.parametrize(
    ("pattern", "number"),
    [
        pytest.param(r"sentry GET .*", 1, marks=pytest.mark.slow),
        pytest.param(r"kubernetes PATCH .*", 2, marks=pytest.mark.slow),
        pytest.param(r"kubernetes DELETE .*", 1, marks=pytest.mark.slow),
        pytest.param(r"kubernetes DELETE .*", 2, marks=pytest.mark.slow),
    ],
)
def test_cleanup_is_given_up(stage: Stage, pattern: str, number: int) -> None:
    """A version that is staged again after a cut cleanup stands as before, awake, unrecorded."""
    stage.uncut("cleanup")
    stage.set_back("cleanup")
    before = stage.look()
    stage.listen("kubernetes", stage.team.kubernetes)
    stage.listen("sentry", stage.team.sentry)
    stage.kill_at("cleanup", nth(pattern, number), after=False)
    assert stage.cut_at
    stage.team.forget()
    done = stage.team.run(*STAGE)
    assert done.returncode == 0, done.stdout + done.stderr
    found = stage.look()
    assert found.objects.keys() == before.objects.keys()
    for key, body in before.objects.items():
        for part in ("labels", "annotations"):
            assert found.objects[key][part] == body[part], key
        assert awake(found.objects[key]["spec"]) == awake(body["spec"])
    assert found.branches == before.branches
    assert stage.team.run("k8s_status").returncode == 0
    again = stage.team.run(*STAGE)
    assert "3 as they were" in again.stdout
    # and it can be cleaned up as any other
    assert stage.team.run(*CLEANUP).returncode == 0
    assert [name for name in stage.team.names() if name.startswith(STEM)] == []


def awake(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a spec in which not to be suspended is the same as to be silent about it."""
    return {**spec, "suspend": bool(spec.get("suspend"))}


@pytest.mark.slow
@pytest.mark.parametrize("differ", [False, True])
def test_two_at_once(stage: Stage, *, differ: bool) -> None:
    """Two rollouts of one version at once, from two clones: it is one of both in the end."""
    team = stage.team
    stage.set_back("restage" if differ else "fresh")
    other = replace(team, folder=team.folder.with_name("second"))
    shutil.rmtree(other.folder, ignore_errors=True)
    shutil.copytree(team.folder, other.folder)
    if differ:
        other.git("checkout", "-q", "HEAD~1")
    running = [each.start(*STAGE) for each in (team, other)]
    ended = [(each.communicate(timeout=100)[0], each.returncode) for each in running]
    for printed, code in ended:
        assert code == 0 or (code == 1 and "expected" in printed), printed
        assert "Traceback" not in printed
    assert 0 in [code for _, code in ended]
    found = stage.look().objects
    ours = [body for (_, name), body in found.items() if name.startswith(STEM)]
    assert len(ours) == 3
    done = team.run(*STAGE)
    assert done.returncode == 0, done.stderr
    commits = {
        body["annotations"]["lading/commit"]
        for (_, name), body in stage.look().objects.items()
        if name.startswith(STEM)
    }
    assert commits == {team.git("rev-parse", "HEAD")}
    assert FOREIGN in team.names()
    assert f"stage/{ICON}/v{VERSION}" in team.branches()
