"""No secret of a rollout or a cleanup is seen anywhere: canaries in kubeconfig and environment.

Looked at are the output, all files below ``build/``, the objects in the cluster, the URLs of all
requests, and the arguments of kubectl, git and all of their children. Each kind of failure by
itself is one command::

    pytest -m slow -n 0 tests/e2e/test_staging_secrets.py
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.project import forked_doit
from tests.e2e.reformatters import CONTEXT, NAMESPACE, TOKEN, Team, git, make_team
from tests.e2e.staging_cuts import CLEANUP, ICON, STAGE, THREE, VERSION, below
from tests.e2e.test_outside_secrets import echo, leaks
from tests.fakes.git_http import GitHttpServer
from tests.fakes.http_server import HttpServer, Reply, Request
from tests.fakes.kubernetes import FakeKubernetes, write_kubeconfig

pytestmark = [
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl"),
    pytest.mark.xdist_group("staging-secrets"),
]
BEARER = "cluster/canary+of=the%41bearer&0123456789"
PLUGIN = "plugin.canary+of=the_login-0123456789"
GIT_TOKEN = "glpat/canary+of=the%41remote&0123456789"
CANARIES = [BEARER, PLUGIN, GIT_TOKEN, TOKEN]
STATUS = ("k8s_status",)
Answer = Callable[[Request], Reply | None]


def as_ever(_request: Request) -> Reply | None:
    """Answer as the service does."""
    return None


@dataclass
class Scene:
    """A team that logs in everywhere, and all places where a secret of it could be seen."""

    team: Team
    remote: GitHttpServer
    folder: Path
    printed: str = ""
    asked: list[str] = field(default_factory=list)
    arguments: set[bytes] = field(default_factory=set)

    def run(self, *arguments: str) -> int:
        """Run doit with all tokens; return its exit code."""
        path = f"{self.folder / 'tools'}{os.pathsep}{os.environ['PATH']}"
        done = self.team.run(*arguments, environment={"GIT_TOKEN": GIT_TOKEN, "PATH": path})
        self.printed += done.stdout + done.stderr
        return done.returncode

    def watch(self, **answers: Answer) -> None:
        """Note the URL of each request, and who works then; let some be answered otherwise."""
        servers: dict[str, HttpServer] = {"kubernetes": self.team.kubernetes, "git": self.remote}
        for name, server in (servers | {"sentry": self.team.sentry}).items():
            server.intercept = self._intercept(answers.get(name, as_ever))

    def _intercept(self, answer: Answer) -> Answer:
        def intercept(request: Request) -> Reply | None:
            self.asked.append(f"{request.path}?{request.query}")
            for each in below(forked_doit()._process.pid):
                with suppress(OSError):
                    self.arguments.add(Path(f"/proc/{each}/cmdline").read_bytes())
            return answer(request)

        return intercept

    def log_in_by(self, script: str, folder: Path) -> None:
        """Let a program of the kubeconfig log in, instead of a token that stands there."""
        plugin = folder / "plugin"
        plugin.write_text(f"#!/bin/sh\n{script}\n")
        plugin.chmod(0o755)
        config = json.loads(self.team.kubeconfig.read_text())
        call = {"command": str(plugin), "interactiveMode": "Never"}
        version = "client.authentication.k8s.io/v1"
        config["users"][0]["user"] = {"exec": {"apiVersion": version, **call}}
        self.team.kubeconfig.write_text(json.dumps(config))

    def places(self) -> Iterator[tuple[str, bytes]]:
        """Yield each place with what is seen there."""
        yield "output", self.printed.encode()
        yield "requests", "\n".join(self.asked).encode()
        yield "cluster", json.dumps(self.team.kubernetes.cron_jobs(NAMESPACE)).encode()
        yield "arguments at requests", b"\n".join(self.arguments)
        log = self.folder / "arguments.log"
        yield "arguments", log.read_bytes()
        for path in (self.team.folder / "build").rglob("*"):
            if path.is_file():
                yield str(path), path.read_bytes()

    def require_silence(self) -> None:
        """Require that no place shows a secret."""
        found = {place: leaks(seen, CANARIES) for place, seen in self.places()}
        assert {place: each for place, each in found.items() if each} == {}


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A team with a token for its cluster, its remote and its Sentry."""
    with ExitStack() as stack:
        team = stack.enter_context(make_team(tmp_path, THREE))
        team.begin(ICON, VERSION)
        kubernetes = stack.enter_context(FakeKubernetes(token=BEARER))
        write_kubeconfig(team.kubeconfig, kubernetes, CONTEXT, NAMESPACE)
        git(team.remote, "config", "http.receivepack", "true")
        remote = stack.enter_context(GitHttpServer(tmp_path, GIT_TOKEN))
        team.git("remote", "set-url", "origin", f"{remote.url}/{team.remote.name}")
        for name in ("kubectl", "git"):
            record(tmp_path, name)
        found = Scene(replace(team, kubernetes=kubernetes), remote, tmp_path)
        found.watch()
        yield found


def record(folder: Path, name: str) -> None:
    """Put a program on the PATH that notes its arguments and becomes the real one."""
    path = folder / "tools" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        f'#!/bin/sh\nprintf "%s\\n" {name} "$@" >> {folder}/arguments.log\n'
        f'exec {shutil.which(name)} "$@"\n'
    )
    path.chmod(0o755)


def check_in(team: Team) -> None:
    """Let every staged CronJob report."""
    for name in team.names():
        team.sentry.check_in(name)


@pytest.mark.slow
def test_good_life(scene: Scene) -> None:
    """A version that is staged, looked at and ended, with tokens for all, shows none of them."""
    assert scene.run(*STAGE) == 0, scene.printed
    check_in(scene.team)
    assert scene.run(*STATUS) == 0, scene.printed
    assert scene.run(*CLEANUP) == 0, scene.printed
    assert scene.remote.pushes == 1
    assert scene.team.sentry.asked("DELETE")
    seen = b"\n".join(scene.arguments)
    assert b"kubectl" in seen
    assert b"git-remote-http" in seen or b"remote-http" in seen
    scene.require_silence()


KINDS = ("401", "403", "404", "422", "500", "502", "200 page", "200 table", "302")
SOME = {"422"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [pytest.param(each, marks=() if each in SOME else (pytest.mark.slow,)) for each in KINDS],
)
def test_echo(scene: Scene, kind: str) -> None:
    """A cluster, a Sentry and a remote that answer with what they were sent: it is not told."""

    def answer(request: Request) -> Reply | None:
        return echo(kind, request)

    assert scene.run(*STAGE) == 0, scene.printed
    check_in(scene.team)
    scene.watch(sentry=answer, git=answer)
    assert scene.run(*CLEANUP) == 1
    assert "left: monitor " in scene.printed
    scene.watch(kubernetes=answer)
    assert scene.run(*STAGE) == 1
    assert "k8s_staging failed: " in scene.printed
    scene.run(*STATUS)
    scene.require_silence()


@pytest.mark.slow
def test_bearer_is_refused(scene: Scene) -> None:
    """Of a token that the cluster does not know, only that is told."""
    scene.team.kubernetes.token = "another-one"
    assert scene.run(*STAGE) == 1
    assert "expected to be logged in" in scene.printed
    scene.require_silence()


@pytest.mark.parametrize(
    ("script", "is_refused"),
    [
        ('echo "token: {}" >&2; exit 1', True),
        pytest.param('echo "could not refresh {}" >&2; exit 1', True, marks=pytest.mark.slow),
        pytest.param("echo '{}' >&2; echo '{}'; exit 1", True, marks=pytest.mark.slow),
        pytest.param("echo 'using {}' >&2; cat {credential}", False, marks=pytest.mark.slow),
    ],
)
def test_plugin_chatters(scene: Scene, tmp_path: Path, script: str, *, is_refused: bool) -> None:
    """What a program that logs in says of its token, failing or not, is not told."""
    scene.team.kubernetes.token = PLUGIN
    credential = tmp_path / "credential"
    credential.write_text(json.dumps(credential_of(PLUGIN)))
    text = script.replace("{credential}", str(credential)).replace("{}", PLUGIN)
    scene.log_in_by(text, tmp_path)
    assert scene.run(*STAGE) == int(is_refused), scene.printed
    if is_refused:
        assert "k8s_staging failed: " in scene.printed
        assert "expected to be logged in" in scene.printed
    scene.require_silence()


@pytest.mark.parametrize(
    "kind", ["502", *(pytest.param(each, marks=pytest.mark.slow) for each in ("401", "422", "500"))]
)
def test_token_of_a_plugin_is_echoed(scene: Scene, tmp_path: Path, kind: str) -> None:
    """A token that no file holds is not told, either, where the cluster answers with it."""
    scene.team.kubernetes.token = PLUGIN
    credential = tmp_path / "credential"
    credential.write_text(json.dumps(credential_of(PLUGIN)))
    scene.log_in_by(f"cat {credential}", tmp_path)
    scene.watch(kubernetes=lambda request: echo(kind, request))
    assert scene.run(*STAGE) == 1
    assert "k8s_staging failed: " in scene.printed
    scene.require_silence()


def credential_of(token: str) -> dict[str, Any]:
    """Return what a program that logs in prints."""
    version = "client.authentication.k8s.io/v1"
    return {"apiVersion": version, "kind": "ExecCredential", "status": {"token": token}}
