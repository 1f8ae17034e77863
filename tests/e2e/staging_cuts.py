"""Moments in the life of a staged version, each prepared once, at which a run is killed."""

import copy
import os
import re
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.project import forked_doit
from tests.e2e.reformatters import GFS, NAMESPACE, Team, make_team
from tests.fakes.http_server import HttpServer, Reply, Request

ICON = "dwd-icon-eu-forecast-5-day"
"""A dataset of three CronJobs."""
IFS = "ecmwf-ifs-ens-forecast-15-day-0-25-degree"
THREE = (GFS, ICON, IFS)
VERSION = "0.9.0"
STAGE = ("k8s_staging", f"dataset={ICON}", f"version={VERSION}")
CLEANUP = ("k8s_cleanup", f"dataset={ICON}", f"version={VERSION}", "yes=1")
DEPLOY = ("k8s_deploy",)
BRANCH = f"stage/{ICON}/v{VERSION}"
FOREIGN = "somebody-elses-backup"
_HOOK = """\
#!/bin/sh
# Tells the test, and waits for its own end.
[ -p {cut}-{name} ] || exit 0
echo here > {cut}-{name}
read -r _ < {cut}-end
"""
_HOOKS = {False: "pre-receive", True: "post-receive"}


@dataclass(frozen=True)
class Saved:
    """All that there was outside at some moment, and in the clone."""

    objects: dict[Any, Any]
    monitors: dict[str, Any]
    folder: Path


@dataclass(frozen=True)
class Seen:
    """What can be compared between runs: no times, no versions of objects."""

    objects: dict[tuple[str, str], Any]
    monitors: dict[str, Any]
    branches: dict[str, str]


@dataclass
class Stage:
    """A team with three datasets, whose world can be set back to a moment.

    Attributes:
        team: the team.
        seen: what was asked since the last cut was set, one line a request.
        cut_at: where the run was killed, or "".
    """

    team: Team
    seen: list[str] = field(default_factory=list)
    cut_at: str = ""
    _moments: dict[str, tuple[Saved, tuple[str, ...]]] = field(default_factory=dict)
    _ends: dict[str, tuple[Seen, set[Any]]] = field(default_factory=dict)
    _fits: Callable[[int, str], bool] | None = None
    _after: bool = False
    _kill: Callable[[], None] = lambda: None
    _is_alone: bool = False
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def save(self, moment: str, command: tuple[str, ...]) -> None:
        """Keep the world as it is under a name, with the command that is given then."""
        folder = self.team.folder.parent / "saved" / moment
        for each in (self.team.folder, self.team.remote):
            shutil.copytree(each, folder / each.name)
        saved = Saved(
            copy.deepcopy(self.team.kubernetes.store.objects),
            copy.deepcopy(self.team.sentry._organizations),
            folder,
        )
        self._moments[moment] = saved, command

    def set_back(self, moment: str) -> tuple[str, ...]:
        """Make the world what it was; return the command that is given then."""
        saved, command = self._moments[moment]
        for each in (self.team.folder, self.team.remote):
            shutil.rmtree(each)
            shutil.copytree(saved.folder / each.name, each)
        self.team.kubernetes.store.objects = copy.deepcopy(saved.objects)
        self.team.sentry._organizations = copy.deepcopy(saved.monitors)
        self.forget_calls()
        return command

    def forget_calls(self) -> None:
        """Forget what was asked."""
        self.team.kubernetes.calls.clear()
        self.team.sentry.calls.clear()

    def look(self) -> Seen:
        """Return what is there."""
        objects = self.team.kubernetes.store.objects
        monitors = {slug: self.team.sentry.monitor(slug) for slug in self.team.sentry.slugs}
        found = {(key[1], key[2]): _comparable(body) for key, body in objects.items()}
        return copy.deepcopy(Seen(found, monitors, self.team.branches()))

    def touched(self, moment: str) -> set[Any]:
        """Return the objects that are not what they were, to the last byte."""
        before, now = self._moments[moment][0].objects, self.team.kubernetes.store.objects
        return {key for key in before.keys() | now.keys() if before.get(key) != now.get(key)}

    def uncut(self, moment: str) -> tuple[Seen, set[Any]]:
        """Return the end of a run that nobody cuts, and the objects that it touches."""
        if moment not in self._ends:
            command = self.set_back(moment)
            self._listen(lambda _number, _asked: False, after=False)
            done = self.team.run(*command)
            assert done.returncode == 0, done.stderr
            self._ends[moment] = self.look(), self.touched(moment)
        return self._ends[moment]

    def requests_of(self, moment: str) -> list[str]:
        """Return what an uncut run asks."""
        self._ends.pop(moment, None)
        self.uncut(moment)
        return list(self.seen)

    def kill_at(
        self, moment: str, fits: Callable[[int, str], bool], *, after: bool, alone: bool = False
    ) -> None:
        """Give the command of a moment, and kill it at the first request that fits.

        The whole machine goes: doit and all that it has started.

        Args:
            moment: a saved one.
            fits: told the number of a request and what it asks.
            after: kill once it is done and before its answer is sent; else before it is done.
            alone: kill doit alone, so that a kubectl that is at work goes on.
        """
        command = self.set_back(moment)
        starter = forked_doit()._process.pid
        self._kill = lambda: _kill_below(starter, alone=alone)
        self._is_alone = alone
        self._listen(fits, after=after)
        with self._git_hook(fits, after=after):
            self._code = self.team.run(*command).returncode
        self._fits = None
        assert self._code == (-signal.SIGKILL if self.cut_at else 0)

    def kill_really(self, moment: str, fits: Callable[[int, str], bool], *, after: bool) -> None:
        """As ``kill_at``, of a process of its own, whose group is killed."""
        command = self.set_back(moment)
        with self._guard:
            self._listen(fits, after=after)
            process = self.team.start(*command)
            self._is_alone = False
            self._kill = lambda: _kill_tree(process.pid, group=True)
        process.communicate(timeout=60)
        self._fits = None
        assert process.returncode == -signal.SIGKILL

    def listen(self, name: str, server: HttpServer) -> None:
        """See the requests to a server from now on."""
        numbers: dict[int, tuple[int, str]] = {}

        def before(request: Request) -> Reply | None:
            with self._guard:
                dry = " (dry run)" if "dryRun=" in request.query else ""
                asked = f"{name} {request.method} {request.path}{dry}"
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

    def _listen(self, fits: Callable[[int, str], bool], *, after: bool) -> None:
        self.seen, self.cut_at = [], ""
        self._fits, self._after = fits, after

    def _cut(self, number: int, asked: str) -> None:
        if self._fits is None or self.cut_at or not self._fits(number, asked):
            return
        self.cut_at = asked
        self._kill()
        if not self._is_alone:
            raise ConnectionResetError(asked)

    @contextmanager
    def _git_hook(self, fits: Callable[[int, str], bool], *, after: bool) -> Iterator[None]:
        """Kill the run when it pushes to the remote, where that fits."""
        if not fits(0, "git push"):
            yield
            return
        name, cut = _HOOKS[after], self.team.folder.with_name("cut")
        hook = self.team.remote / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(_HOOK.format(cut=cut, name=name))
        hook.chmod(0o755)
        fifos = [Path(f"{cut}-{each}") for each in (name, "end")]
        for fifo in fifos:
            os.mkfifo(fifo)
        waiting = threading.Thread(target=self._kill_when_told, args=(fifos[0],), daemon=True)
        waiting.start()
        yield
        with suppress(OSError):  # nobody came
            os.close(os.open(fifos[0], os.O_WRONLY | os.O_NONBLOCK))
        waiting.join(timeout=10)
        for path in (*fifos, hook):
            path.unlink()

    def _kill_when_told(self, fifo: Path) -> None:
        if fifo.read_text():
            self.cut_at = "git push"
            self._kill()


def save_given_up(stage: Stage) -> None:
    """Save the moment at which a version is staged again whose cleanup was cut in its midst."""
    if "given up" not in stage._moments:
        stage.kill_at("cleanup", nth(r"sentry DELETE .*", 2), after=False)
        assert stage.cut_at
        stage.save("given up", STAGE)


@contextmanager
def make_stage(folder: Path) -> Iterator[Stage]:
    """Make a world, and the moments of which it can be set back to."""
    with make_team(folder, THREE) as team:
        stage = Stage(team)
        stage.listen("kubernetes", team.kubernetes)
        stage.listen("sentry", team.sentry)
        team.kubernetes.create_plain(NAMESPACE, foreign_cron_job())
        _succeed(team, *DEPLOY)
        for name in team.names():
            team.sentry.check_in(name, "0 0 * * *")
        team.sentry.check_in(FOREIGN)
        team.begin(ICON, VERSION)
        stage.save("fresh", STAGE)
        _succeed(team, *STAGE)
        for name, body in team.kubernetes.cron_jobs(NAMESPACE).items():
            if "lading/version" in body["metadata"].get("annotations", {}):
                team.sentry.check_in(name, body["spec"]["schedule"])
        stage.save("cleanup", CLEANUP)
        _drop_role(team)
        stage.save("leftover", STAGE)
        stage.set_back("cleanup")
        (team.folder / "notes.txt").write_text("another try\n")
        team.commit("Another try")
        team.git("push", "-q", "origin", "HEAD")
        stage.save("restage", STAGE)
        team.git("checkout", "-q", "main")
        team.set_version(GFS, "0.3.0")
        team.commit("Another version of one")
        team.git("push", "-q", "origin", "main")
        # one that somebody has deleted: made anew beside five that are changed
        del team.kubernetes.store.objects["cronjobs", NAMESPACE, f"{IFS}-update"]
        stage.save("deploy", DEPLOY)
        yield stage


def foreign_cron_job(name: str = FOREIGN) -> dict[str, Any]:
    """Return a CronJob that is nobody's release."""
    pod = {"restartPolicy": "Never", "containers": [{"name": "a", "image": "b:c"}]}
    template = {"spec": {"template": {"spec": pod}}}
    spec = {"schedule": "0 1 * * *", "jobTemplate": template}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name}, "spec": spec}


def nth(pattern: str, number: int) -> Callable[[int, str], bool]:
    """Return what fits the nth request of a pattern."""
    found: set[int] = set()

    def fits(at: int, asked: str) -> bool:
        if not at:
            return bool(re.fullmatch(pattern, asked))
        if re.fullmatch(pattern, asked):
            found.add(at)
        return len(found) == number and at in found

    return fits


def converge(stage: Stage, moment: str) -> None:
    """Give the command of a moment twice more; require the end of an uncut run, and silence."""
    seen, touched = stage._ends[moment]
    command = stage._moments[moment][1]
    again = stage.team.run(*command)
    assert again.returncode == 0, f"{stage.cut_at}: {again.stdout}{again.stderr}"
    _require_same(stage.look(), seen)
    assert stage.touched(moment) == touched
    stage.forget_calls()
    third = stage.team.run(*command)
    assert third.returncode == 0, third.stderr
    _require_same(stage.look(), seen)
    assert stage.team.kubernetes.writes == []
    assert [each for each in stage.team.sentry.calls if each.method != "GET"] == []


def _require_same(found: Seen, expected: Seen) -> None:
    assert found.objects.keys() == expected.objects.keys()
    for key, body in expected.objects.items():
        assert found.objects[key] == body, key
    assert found.monitors == expected.monitors
    assert found.branches == expected.branches


def _comparable(body: dict[str, Any]) -> dict[str, Any]:
    meta = body["metadata"]
    managers = sorted(
        (each["manager"], each["operation"], each.get("subresource", ""))
        for each in meta.get("managedFields", ())
    )
    told = {name: meta.get(name) for name in ("labels", "annotations")}
    return {**told, "spec": body.get("spec"), "managers": managers}


def _drop_role(team: Team) -> None:
    """Take one of the three CronJobs out of the manifests."""
    path = team.folder / "k8s" / f"{ICON}.yaml"
    documents = path.read_text().split("\n---\n")
    path.write_text("\n---\n".join(each for each in documents if "archive" not in each))
    team.commit("No archive")
    team.git("push", "-q", "origin", "HEAD")


def _succeed(team: Team, *command: str) -> None:
    done = team.run(*command)
    assert done.returncode == 0, done.stdout + done.stderr


def _kill_below(starter: int, *, alone: bool) -> None:
    """Kill the run that a starter has forked."""
    (run,) = _children(starter)
    _kill_tree(run, alone=alone)


def _kill_tree(root: int, *, alone: bool = False, group: bool = False) -> None:
    """Kill a process and what it has started; nothing of it starts more in the meantime."""
    os.kill(root, signal.SIGSTOP)
    started = [] if alone else list(below(root))
    if group:
        os.killpg(root, signal.SIGKILL)
    for each in (root, *started):
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


def below(root: int) -> Iterator[int]:
    """Yield the ids of all that a process has started, and of what these have."""
    for each in _children(root):
        yield each
        yield from below(each)


def _children(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            after_name = path.read_text().rpartition(")")[2].split()
            if int(after_name[1]) == parent:
                found.append(int(path.parent.name))
    return found
