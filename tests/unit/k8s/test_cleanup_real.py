"""A cleanup with real kubectl, real git and Sentry's HTTP: our fakes of all three agree."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from lading.k8s.cleanup import Cleanup
from lading.k8s.cleanup_result import CleanupResult
from lading.k8s.identity import Identity
from lading.services.kubectl import Kubectl
from lading.services.sentry import SentryMonitors
from lading.services.staging_branch import StagingBranch
from tests.fakes.kubernetes import FakeKubernetes, write_kubeconfig
from tests.fakes.sentry import ORGANIZATION, TOKEN, FakeSentry
from tests.unit.k8s.cleanup_world import ASKED, BRANCH, STAGED, Body, CutError, cron_job

pytestmark = pytest.mark.skipif(
    not (shutil.which("kubectl") and shutil.which("git")), reason="kubectl or git is missing"
)
ROLES = ("update", "validate")
UPDATE, VALIDATE = (f"staging-noaa-gfs-analysis-v0-3-0-{role}" for role in ROLES)
PRODUCTION, NEIGHBOUR = "noaa-gfs-analysis-update", "staging-noaa-gfs-analysis-v0-4-0-update"
WAIT_S = 20


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder."""
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=WAIT_S
    )
    return done.stdout.strip()


def applied(identity: Identity, role: str = "update", name: str = "") -> Body:
    """Return a CronJob that the API takes."""
    body = cron_job(identity, role, name)
    pod = {"containers": [{"name": "main", "image": "example.org/a:1"}], "restartPolicy": "Never"}
    body["spec"]["jobTemplate"]["spec"] = {"template": {"spec": pod}}
    del body["status"], body["metadata"]["uid"]
    return body


class Cut:
    """Passes calls on, and ends the process before or after one of them."""

    def __init__(self, target: object, cuts: list[int], *, after: bool) -> None:
        self._target, self._cuts, self._after = target, cuts, after

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if name not in {"suspend", "annotate", "delete"}:
            return found

        def call(*given: object, **named: object) -> object:
            self._cuts[0] -= 1
            if self._cuts[0] == 0 and not self._after:
                raise CutError
            answer = found(*given, **named)
            if self._cuts[0] == 0:
                raise CutError
            return answer

        return call


@dataclass
class Real:
    """A namespace, an organisation and a remote, and a machine that knows them."""

    folder: Path
    server: FakeKubernetes
    sentry: FakeSentry
    commit: str
    each_second: Callable[[], object] = lambda: None

    @property
    def branch(self) -> str:
        """Where the branch stands; "" where it is gone."""
        return git(self.folder / "data.git", "for-each-ref", f"refs/heads/{BRANCH}")

    def clean(
        self, cut_at: int = 0, *, after: bool = False, token: str = TOKEN, **options: Any
    ) -> CleanupResult:
        """Clean up, as a fresh process does."""
        scratch, cuts = self.folder / "scratch", [cut_at]
        monitors = SentryMonitors(ORGANIZATION, self.sentry.url, token, sleep=self.sleep)
        cleanup = Cleanup(
            Cut(Kubectl("test", "data", self.folder), cuts, after=after),
            Cut(
                StagingBranch(self.folder / "clone", "origin", BRANCH, scratch=scratch),
                cuts,
                after=after,
            ),
            Cut(monitors, cuts, after=after),
            ASKED,
            sleep=self.sleep,
            **options,
        )
        result = cleanup.apply(cleanup.plan(cleanup.observe()))
        assert cleanup.prove() == ()
        return result

    def sleep(self, seconds: float) -> None:
        """Take no time."""
        del seconds
        self.each_second()

    def assert_gone(self) -> None:
        """Hold that the version is gone, and nothing else is."""
        assert sorted(self.server.cron_jobs()) == [PRODUCTION, NEIGHBOUR]
        assert self.sentry.slugs == [PRODUCTION, NEIGHBOUR]
        assert self.branch == ""
        assert not any(each["spec"].get("suspend") for each in self.server.cron_jobs().values())


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Real]:
    """A version with two CronJobs, beside production and another version."""
    for name in os.environ:
        if name.startswith(("GIT_", "GH_", "GITHUB_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    git(tmp_path, "init", "-q", "--bare", "data.git")
    git(tmp_path, "clone", "-q", "data.git", "clone")
    person = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    git(tmp_path / "clone", *person, "commit", "-q", "--allow-empty", "-m", "a")
    git(tmp_path / "clone", "push", "-q", "origin", f"HEAD:refs/heads/{BRANCH}")
    commit = git(tmp_path / "clone", "rev-parse", "HEAD")
    with FakeKubernetes() as server, FakeSentry(lag=1) as sentry:
        monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(tmp_path / "config", server)))
        staged = replace(STAGED, commit=commit)
        neighbour = replace(staged, version="0.4.0", branch="stage/noaa-gfs-analysis/v0.4.0")
        production = replace(staged, environment="production", branch="main")
        bodies = [applied(staged, role) for role in ROLES]
        for body in (*bodies, applied(production, name=PRODUCTION), applied(neighbour)):
            server.create_plain("data", body)
            sentry.check_in(body["metadata"]["name"])
        yield Real(tmp_path, server, sentry, commit)
        assert server.errors == sentry.errors == []


def test_waits(real: Real) -> None:
    """A running Job is waited for, then all of the version goes, and nothing else."""
    job = real.server.start_job(UPDATE)
    done: list[str] = []

    def end() -> None:
        if len(done) == 5:
            real.server.finish_job(job)
            real.sentry.check_in(UPDATE)
        done.append(job)

    real.each_second = end
    assert real.clean().left == ()

    real.assert_gone()
    assert real.server.jobs() == {}
    managers = {call.manager for call in real.server.writes if call.method == "PATCH"}
    assert managers == {"lading-cleanup"}


@pytest.mark.slow
def test_orphan(real: Real) -> None:
    """A Job runs on, its monitor is remembered; after its end the same command finishes."""
    job = real.server.start_job(VALIDATE)
    result = real.clean(running="orphan")

    assert sorted(each.split(":")[0] for each in result.left) == [
        f"CronJob {UPDATE}",
        f"monitor {VALIDATE}",
    ]
    assert real.branch == ""
    assert "ownerReferences" not in real.server.jobs()[job]["metadata"]
    real.server.finish_job(job)
    assert real.clean().left == ()
    real.assert_gone()


@pytest.mark.slow
def test_refused(real: Real) -> None:
    """A token without the scope leaves one suspended CronJob; a better one finishes."""
    real.sentry.give_token("weak", {"project:read"})
    result = real.clean(token="weak")

    assert len(result.left) == 3
    assert "alerts:write" in result.left[0]
    assert sorted(real.server.cron_jobs()) == [PRODUCTION, UPDATE, NEIGHBOUR]
    assert real.clean().left == ()
    real.assert_gone()


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, 9))
def test_cut(real: Real, number: int, after: bool) -> None:  # noqa: FBT001  a table
    """Killed before or after any effect, the same command comes to the same end."""
    with pytest.raises(CutError):
        real.clean(number, after=after)
    assert real.clean().left == ()
    real.assert_gone()
