"""A release that is killed, or met by faults, outside the stores; and what it must leave there."""

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.forked import HURRIED
from tests.e2e.outside import (
    Outside,
    OutsideProject,
    config_of,
    drafts,
    git,
    make_outside_project,
    published,
    serve_outside,
)
from tests.e2e.project import DOIT, TAG, end_group
from tests.fakes.git_http import GitHttpServer
from tests.fakes.http_server import HttpServer, Reply, Request

GIT_TOKEN = "glpat/canary+of=the%41remote&0123456789"
RELEASE = ("distribute", f"tag={TAG}")
IGNORED = "table"
"""What the names of files begin with that are not deposited."""


@contextmanager
def serve_git(project: OutsideProject) -> Iterator[GitHttpServer]:
    """Serve the project's remote over HTTP to who knows ``GIT_TOKEN``, until the block ends."""
    origin = project.outside.origin
    git(origin, "config", "http.receivepack", "true")
    with GitHttpServer(origin.parent, GIT_TOKEN) as server:
        git(project.folder, "remote", "set-url", "origin", f"{server.url}/{origin.name}")
        yield server


def servers_of(outside: Outside) -> dict[str, HttpServer]:
    """Return by name the services that are asked over HTTP."""
    return {
        "sandbox": outside.sandbox,
        "production": outside.production,
        "github": outside.github,
        "cloud_run": outside.cloud_run,
        "registry": outside.registry,
        "slack": outside.slack,
    }


@dataclass
class Wiretap:
    """Sees every request to every service, and kills a run at one of them.

    Attributes:
        seen: what was asked since the last cut was set, one ``service METHOD path`` a request.
        cut_at: the request at which the run was killed, or "".
    """

    seen: list[str] = field(default_factory=list)
    cut_at: str = ""
    _process: subprocess.Popen[str] | None = None
    _fits: Callable[[int, str], bool] = lambda _number, _asked: False
    _after: bool = False
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def kill_at(
        self, project: OutsideProject, fits: Callable[[int, str], bool], *, after: bool
    ) -> str:
        """Release; kill the run at the first request that fits, before it is done or after.

        Returns:
            What the run printed; ``cut_at`` tells whether it was killed.
        """
        self.seen, self.cut_at = [], ""
        self._fits, self._after = fits, after
        with self._guard:  # no request is looked at before it is known whose it is
            self._process = start(project)
        printed, _ = self._process.communicate(timeout=120)
        self._process = None
        return printed

    def listen(self, name: str, server: HttpServer) -> None:
        """See the requests to a server from now on."""
        numbers: dict[int, tuple[int, str]] = {}

        def before(request: Request) -> Reply | None:
            with self._guard:
                asked = f"{name} {request.method} {request.path}"
                self.seen.append(asked)
                numbers[id(request)] = found = len(self.seen), asked
                if not self._after:
                    self._cut(*found)
                return None

        def after(request: Request) -> None:
            with self._guard:
                found = numbers.pop(id(request))
                if self._after:
                    self._cut(*found)

        server.intercept, server.answered = before, after

    def _cut(self, number: int, asked: str) -> None:
        process = self._process
        if process is None or self.cut_at or not self._fits(number, asked):
            return
        self.cut_at = asked
        os.killpg(process.pid, signal.SIGKILL)
        raise ConnectionResetError(asked)


@contextmanager
def wiretap(servers: Mapping[str, HttpServer]) -> Iterator[Wiretap]:
    """See all requests to these until the end of the block."""
    tap = Wiretap()
    for name, server in servers.items():
        tap.listen(name, server)
    yield tap
    for server in servers.values():
        server.intercept, server.answered = lambda _: None, lambda _: None


@dataclass
class World:
    """A project, its outside, and what sees all requests."""

    project: OutsideProject
    tap: Wiretap
    remote: GitHttpServer | None
    """What serves the remote; None where it is a folder."""

    @property
    def outside(self) -> Outside:
        """What is outside."""
        return self.project.outside


@contextmanager
def serve_world(
    folder: Path, *, zenodo: str = "deposit", cloud_run: str = "workflow", with_git: bool = True
) -> Iterator[World]:
    """Serve a world until the end of the block.

    Args:
        folder: where it is.
        zenodo: who deposits, see ``config_of``.
        cloud_run: who deploys, see ``config_of``.
        with_git: whether the remote is behind HTTP, which costs a second of work; else a folder.
    """
    with ExitStack() as stack:
        outside = stack.enter_context(serve_outside(folder / "outside"))
        config = config_of(outside, zenodo=zenodo, cloud_run=cloud_run)
        project = make_outside_project(folder / "project", outside, config)
        remote = stack.enter_context(serve_git(project)) if with_git else None
        more = {"git": remote} if remote else {}
        yield World(project, stack.enter_context(wiretap({**servers_of(outside), **more})), remote)


def start(project: OutsideProject) -> subprocess.Popen[str]:
    """Start the installed doit as a process of its own, in a group of its own."""
    return subprocess.Popen(
        [str(DOIT), *RELEASE],
        cwd=project.folder,
        env=project.environment({"GIT_TOKEN": GIT_TOKEN}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def kill_after(project: OutsideProject, task: str) -> str:
    """Release, and kill the run as soon as it says that a task is done; return what it printed.

    Args:
        project: the project.
        task: name of the task; of one with sub-tasks, all of which must be done.
    """
    process = start(project)
    assert process.stdout is not None
    begun, printed = 0, ""
    for line in process.stdout:
        printed += line
        name, word = line.split()[:2] if len(line.split()) > 1 else ("", "")
        if name.partition(":")[0] != task:
            continue
        begun += {"start": 1, "done": -1}.get(word, 0)
        if word == "done" and not begun:
            break
    end_group(process, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, printed
    return printed


def finish(
    project: OutsideProject, *, runs: int = 1, hurried: bool = True, **more: str
) -> list[subprocess.CompletedProcess[str]]:
    """Give the same command until it ends well; return the runs.

    Args:
        project: the project.
        runs: how many runs it may take.
        hurried: whether waiting is shortened; not where gcloud must end within it.
        more: variables.
    """
    done: list[subprocess.CompletedProcess[str]] = []
    while not done or done[-1].returncode:
        assert len(done) < runs, done[-1].stdout + done[-1].stderr
        done.append(release_once(project, more, hurried=hurried))
    return done


def release_once(
    project: OutsideProject, more: Mapping[str, str] | None = None, *, hurried: bool = True
) -> subprocess.CompletedProcess[str]:
    """Give the command once, however it ends, with more variables."""
    return project.quick(*RELEASE, **{**_variables(hurried=hurried), **(more or {})})


def require_released(project: OutsideProject, *, runs: int | None = 1) -> None:
    """Require what one release of tonight leaves outside: one of each, and nothing besides.

    Args:
        project: the project.
        runs: how many runs of workflows have ended well; None where that is not asked.
    """
    outside = project.outside
    assert outside.branches()["nightly"] == git(project.folder, "rev-parse", TAG)
    assert outside.moves("nightly") == 2  # when the tests began with it, and now
    if "[channels.nightly.zenodo]\n" in _config(project) and "doi = true" in _config(project):
        _require_record(project)
    assert drafts(outside.sandbox) == []
    assert outside.production.calls == []
    if runs is not None:
        ended = [run.conclusion for run in outside.github.runs]
        assert ended.count("success") == runs, ended
    (message,) = outside.slack.messages
    assert f"{TAG} released" in json.dumps(message)
    assert all(server.errors == [] for server in servers_of(outside).values())


def _variables(*, hurried: bool) -> dict[str, str]:
    return {"GIT_TOKEN": GIT_TOKEN, **({HURRIED: "50"} if hurried else {})}


def _config(project: OutsideProject) -> str:
    return (project.folder / "lading.toml").read_text()


def _require_record(project: OutsideProject) -> None:
    (record,) = published(project.outside.sandbox)
    folder = project.clouds / "gcs" / "nightly"
    kept = [path for path in folder.iterdir() if not path.name.startswith(IGNORED)]
    stored = {key: each.stored or b"" for key, each in record.files.items()}
    assert stored == {path.name: path.read_bytes() for path in kept}
    assert json.loads(stored["release.json"])["doi"] == record.doi
    assert record.metadata["version"] == TAG


def last_line(text: str) -> str:
    """Return the last line that is not empty."""
    return [line for line in text.splitlines() if line.strip()][-1]


def one_line_of(stderr: str, task: str) -> str:
    """Return the one line that says why a task failed."""
    (line,) = re.findall(rf"^{re.escape(task)} failed: .*$", stderr, re.MULTILINE)
    return str(line)
