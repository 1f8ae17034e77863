"""A project with all its outside: a remote, Zenodo, GitHub, Cloud Run, Slack, on loopback."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.project import CONFIG, DODO, REPOSITORY, TAG, Project, forked_doit, make_build
from tests.fakes import slack
from tests.fakes.cloud_run import FakeCloudRun
from tests.fakes.github import FakeGithub
from tests.fakes.github_doors import find_gh, gh_environment
from tests.fakes.http_server import HttpServer, Reply, Request
from tests.fakes.inveniordm import FakeInvenioRdm
from tests.fakes.inveniordm_state import Draft
from tests.fakes.registry import FakeRegistry

WORKFLOWS = REPOSITORY / ".github" / "workflows"
DEPOSIT = "zenodo-data-release.yml"
DEPLOY = "deploy.yml"
DEPLOY_TEXT = """
name: deploy
on:
  workflow_dispatch:
    inputs:
      release: {type: string, required: true}
"""
OLD_TAG = "nightly-2025-02-04"
STABLE = "v2025.2.0"
TOKENS = {
    "ZENODO_TOKEN": "zenodo-canary-production-0123456789",
    "ZENODO_SANDBOX_TOKEN": "zenodo-canary-sandbox-0123456789",
    "GH_TOKEN": "ghp_canarycanarycanary0123456789abcd",
    "SLACK_BOT_TOKEN": slack.TOKEN,
}
METADATA = """
[metadata]
title = "Demo data"
creators = [{ name = "Doe, Jane" }]
license = "CC-BY-4.0"
"""


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder, apart from the person's own settings; return what it printed."""
    person = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org"}
    person |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org"}
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, **person},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that one of them got."""

    at: float
    """When it arrived, in seconds since 1970."""
    service: str
    """Which of them."""
    method: str
    """Of HTTP; ``push`` to the remote."""
    path: str
    """Of the URL; the branch that is pushed to."""

    @property
    def writes(self) -> bool:
        """Whether it could change something."""
        if self.service == "slack":
            return self.path in {"/api/chat.postMessage", "/api/chat.update"}
        return self.method not in {"GET", "HEAD"}


def watch(server: HttpServer, service: str, log: list[Asked]) -> None:
    """Note in a log, from now on, each request that a server gets."""
    answer = server.answer

    def noted(request: Request) -> Reply:
        log.append(Asked(time.time(), service, request.method, request.path))
        return answer(request)

    vars(server)["answer"] = noted  # of this one server


@dataclass
class Outside:
    """The fakes, and what was asked of them."""

    origin: Path
    """The bare repository."""
    sandbox: FakeInvenioRdm
    production: FakeInvenioRdm
    github: FakeGithub
    cloud_run: FakeCloudRun
    registry: FakeRegistry
    slack: slack.FakeSlack
    log: list[Asked] = field(default_factory=list)
    """What the servers were asked, in order."""

    def asked(self) -> list[Asked]:
        """Return what all of them were asked, pushes to the remote included, in order."""
        log = self.origin / "pushes"
        rows = (line.split() for line in log.read_text().splitlines()) if log.exists() else ()
        pushed = [Asked(float(at), "git", "push", branch) for at, branch in rows]
        return sorted([*self.log, *pushed], key=lambda each: each.at)

    def gh_environment(self) -> dict[str, str]:
        """Return the variables that lead the genuine gh here; none where it is not installed."""
        if not (gh := find_gh()):
            return {}
        found = gh_environment(self.github, TOKENS["GH_TOKEN"])
        path = f"{Path(gh).parent}{os.pathsep}{os.environ['PATH']}"
        return {**found, "GITHUB_API_URL": "", "PATH": path}

    def environment(self, folder: Path) -> dict[str, str]:
        """Return the variables of a run that reaches all of them and nothing else."""
        return {
            **TOKENS,
            **self.cloud_run.environment(folder),
            "GITHUB_API_URL": self.github.url,
            "GIT_CONFIG_GLOBAL": os.devnull,
        }

    def branches(self) -> dict[str, str]:
        """Return the commit of each branch of the remote."""
        form = "--format=%(refname:short) %(objectname)"
        shown = git(self.origin, "for-each-ref", form, "refs/heads")
        return dict(line.split() for line in shown.splitlines())

    def moves(self, branch: str) -> int:
        """Return how often a branch of the remote was moved since the tests began with it."""
        log = self.origin / "logs" / "refs" / "heads" / branch
        return len(log.read_text().splitlines()) if log.exists() else 0

    def writes(self) -> dict[str, list[str]]:
        """Return by service the calls that changed, or could have changed, something."""
        return {
            "git": [f"{name} {self.moves(name)}" for name in sorted(self.branches())],
            "sandbox": self.sandbox.writes(),
            "production": self.production.writes(),
            "github": [f"{each.method} {each.path}" for each in self.github.writes],
            "cloud_run": [f"{one.method} {one.path}" for one in self.cloud_run.changes],
            "slack": [each.method for each in self.slack.calls if each.changed],
        }


def published(service: FakeInvenioRdm) -> list[Draft]:
    """Return the published versions that a service holds."""
    return [each for each in service.state.drafts.values() if each.is_published]


def drafts(service: FakeInvenioRdm) -> list[Draft]:
    """Return the drafts that a service holds."""
    return [each for each in service.state.drafts.values() if not each.is_published]


def make_origin(origin: Path) -> None:
    """Make a bare repository that notes who moves what, and when."""
    origin.mkdir(parents=True)
    git(origin, "init", "-q", "--bare")
    git(origin, "config", "core.logAllRefUpdates", "always")
    hook = origin / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        f"#!{sys.executable}\nimport sys, time\nwith open('pushes', 'a') as log:\n"
        "    for line in sys.stdin:\n        print(time.time(), line.split()[2], file=log)\n"
    )
    hook.chmod(0o755)


@contextmanager
def serve_outside(folder: Path, *, repository: str = "owner/name") -> Iterator[Outside]:
    """Serve all of it, until the end of the block; the remote has nothing yet.

    Args:
        folder: for the remote.
        repository: which one GitHub has.
    """
    origin = folder / "origin.git"
    make_origin(origin)
    texts = {DEPOSIT: (WORKFLOWS / DEPOSIT).read_text(encoding="utf-8"), DEPLOY: DEPLOY_TEXT}
    with ExitStack() as stack:
        registry = stack.enter_context(FakeRegistry())
        short = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gh")))
        github = FakeGithub(
            texts,
            repository=repository,
            refs=("main", TAG, STABLE),
            tokens={TOKENS["GH_TOKEN"]: "write"},
            socket_path=short / "s",
        )
        (short / "config.yml").write_text(f'version: "1"\nhttp_unix_socket: {short / "s"}\n')
        github.gh_folder = str(short)
        github.is_quick = True  # a run that is waited for costs seconds
        outside = Outside(
            origin,
            stack.enter_context(FakeInvenioRdm({TOKENS["ZENODO_SANDBOX_TOKEN"]: "us"})),
            stack.enter_context(FakeInvenioRdm({TOKENS["ZENODO_TOKEN"]: "us"})),
            stack.enter_context(github),
            stack.enter_context(FakeCloudRun(registry.digest_of)),
            registry,
            stack.enter_context(slack.FakeSlack()),
        )
        for name in ("sandbox", "production", "github", "cloud_run", "registry", "slack"):
            watch(getattr(outside, name), name, outside.log)
        yield outside


@dataclass(frozen=True)
class OutsideProject(Project):
    """A project whose releases reach everything outside."""

    outside: Outside

    def environment(self, more: Mapping[str, str] | None) -> dict[str, str]:
        """Return the environment of a CI run that has all tokens."""
        return super().environment(
            {**self.outside.environment(self.folder.parent / "gcloud"), **(more or {})}
        )

    def quick(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run doit in a fork of a process that has the libraries imported."""
        return forked_doit().run(arguments, self.folder, self.environment(more))

    def release(self, *arguments: str, **more: str) -> str:
        """Release tonight's tag in production, which must go well; return what was printed."""
        done = self.quick("distribute", f"tag={TAG}", *arguments, **more)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def forget(self) -> None:
        """Become another machine: no local state."""
        shutil.rmtree(self.work, ignore_errors=True)

    def receipt(self, name: str, environment: str = "production") -> Any:
        """Return the receipt of a call."""
        folder = self.work / "releases" / "nightly" / TAG / environment / "receipts"
        return json.loads((folder / f"{name}.json").read_bytes())


def config_of(outside: Outside, *, zenodo: str = "deposit", cloud_run: str = "workflow") -> str:
    """Return a configuration that reaches all of it.

    Args:
        outside: where it is.
        zenodo: ``deposit`` (this run, with the DOI in release.json) or ``workflow``.
        cloud_run: ``workflow``, ``gcloud``, or "" for none.
    """
    way = {"deposit": "doi = true", "workflow": f'dispatch = {{ workflow = "{DEPOSIT}" }}'}[zenodo]
    nightly = f"""branch = "nightly"
[channels.nightly.zenodo]
env = "sandbox"
publish = true
ignore = '^table'
url = "{outside.sandbox.url}"
{way}
"""
    if cloud_run:
        deploy = f'workflow = "{DEPLOY}", ref = "main", inputs = {{ release = "{{tag}}" }}'
        image = f'image = "{outside.registry.host}/viewer:latest"\nregion = "us-east1"'
        what = {"workflow": f"dispatch = {{ {deploy} }}", "gcloud": image}[cloud_run]
        nightly += f'[[channels.nightly.cloud_run]]\nservice = "viewer"\n{what}\n'
    stable = f"""branch = "stable"
[channels.stable.zenodo]
env = "production"
ignore = '^table'
url = "{outside.production.url}"
"""
    config = CONFIG.replace('name = "demo"\n', 'name = "demo"\ngithub = "owner/name"\n', 1)
    config = config.replace("[channels.stable]", f"{nightly}[channels.stable]") + stable
    return f'{config}{METADATA}[slack]\nchannel = "C0123456789"\nurl = "{outside.slack.url}"\n'


def make_outside_project(folder: Path, outside: Outside, config: str) -> OutsideProject:
    """Make a project with a small build, in a clone of the remote that knows last night's tag."""
    folder.mkdir(parents=True)
    make_build(folder / "source", parquet=1)
    (folder / "dodo.py").write_text(DODO)
    (folder / "lading.toml").write_text(config)
    make_history(folder, outside)
    make_service(outside, "viewer")
    return OutsideProject(folder, outside)


def make_history(folder: Path, outside: Outside) -> None:
    """Make a folder a repository with tonight's tags; the branches stand at last night's."""
    git(folder, "init", "-q")
    git(folder, "remote", "add", "origin", str(outside.origin))
    for tag in (OLD_TAG, TAG):
        git(folder, "commit", "-q", "--allow-empty", "-m", tag)
        git(folder, "tag", tag)
    git(folder, "tag", STABLE)
    branches = [f"{OLD_TAG}^{{commit}}:refs/heads/{name}" for name in ("nightly", "stable")]
    git(folder, "push", "-q", "--tags", "origin", *branches)


def make_service(outside: Outside, name: str) -> None:
    """Let a service run last night's image; there is a newer one."""
    outside.registry.push(name, "latest", "one")
    outside.cloud_run.add_service(name, f"{outside.registry.host}/{name}:latest")
    outside.registry.push(name, "latest", "two")


@dataclass
class Runner:
    """Runs the deposit of our own workflow as a job of Actions does, in a checkout of its own."""

    project: OutsideProject
    folder: Path
    """Where checkouts are made."""
    before: Callable[[], None] = lambda: None
    """What happens between the dispatch and the job."""
    printed: list[str] = field(default_factory=list)
    """What each job printed."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Further variables of a job: who it is at the clouds."""

    def __call__(self, inputs: Mapping[str, str], ref: str) -> str:
        """Do the work of a run; return its conclusion."""
        del ref  # the checkout is of what the configuration stands in
        self.before()
        steps = yaml.safe_load((WORKFLOWS / DEPOSIT).read_text())["jobs"]["deposit"]["steps"]
        step = next(each for each in steps if each["name"] == "deposit")
        checkout = self.folder / f"checkout-{len(self.printed)}"
        git(self.folder, "clone", "-q", str(self.project.folder), str(checkout))
        shutil.copy(self.project.folder / "lading.toml", checkout)
        token = {"sandbox": "ZENODO_SANDBOX_TOKEN", "production": "ZENODO_TOKEN"}[inputs["env"]]
        variables = {name: inputs.get(name.lower(), "") for name in step["env"]}
        done = subprocess.run(
            ["bash", "-e", "-c", step["run"]],
            cwd=checkout,
            env={
                **variables,
                token: TOKENS[token],
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "CI": "true",
                **self.environment,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        self.printed.append(done.stdout + done.stderr)
        return "success" if done.returncode == 0 else "failure"
