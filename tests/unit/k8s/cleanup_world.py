"""A small world for cleanups: a namespace, monitors and a branch, and a cut at any moment.

It refuses what the real ones refuse, and does what they do by themselves: jobs that may still
start bring their monitors back, a controller takes Jobs along with their CronJob, and a deletion
that leaves Jobs alone takes its time.
"""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from lading.errors import ClusterError, CommandError, LadingError, ServiceError
from lading.k8s.cleanup import Cleanup
from lading.k8s.cluster import JsonObject
from lading.k8s.identity import OURS, RELEASE, Identity

Body = dict[str, Any]
Answered = TypeVar("Answered")
COMMIT, OTHER_COMMIT = "a" * 40, "b" * 40
DATASET, VERSION = "noaa-gfs-analysis", "0.3.0"
BRANCH = f"stage/{DATASET}/v{VERSION}"
STORE = f"s3://bucket/{DATASET}/v{VERSION}.zarr"
STAGED = Identity(
    project="weather",
    environment="staging",
    dataset=DATASET,
    version=VERSION,
    branch=BRANCH,
    commit=COMMIT,
    image=f"registry.example.org/weather:{COMMIT}",
    stores=(STORE,),
)
ASKED = Identity(project="weather", environment="staging", dataset=DATASET, version=VERSION)


class CutError(BaseException):
    """The process ends here."""


def cron_job(
    identity: Identity = STAGED, role: str = "update", name: str = "", monitor: str | None = None
) -> Body:
    """Return a CronJob as it stands in a cluster."""
    stem = f"{identity.dataset}-v{identity.version.replace('.', '-')}"
    name = name or f"staging-{stem}-{role}"
    notes = identity.annotations(role, "0" * 64, name if monitor is None else monitor)
    meta = {"labels": identity.labels(role), "annotations": notes}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name, "uid": f"uid-of-{name}", **copy.deepcopy(meta)},
        "spec": {"schedule": "0 6 * * *", "jobTemplate": {"metadata": copy.deepcopy(meta)}},
        "status": {},
    }


def job_of(owner: Body, number: int = 1, ended: str = "") -> Body:
    """Return a Job that a CronJob has started; ``ended`` names the condition of its end."""
    meta = owner["metadata"]
    conditions = [{"type": ended, "status": "True"}] if ended else []
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{meta['name']}-{number}",
            "creationTimestamp": "2025-02-05T06:00:00Z",
            "ownerReferences": [{"kind": "CronJob", "name": meta["name"], "uid": meta["uid"]}],
            **copy.deepcopy(owner["spec"]["jobTemplate"]["metadata"]),
        },
        "status": {"startTime": "2025-02-05T06:00:01Z", "conditions": conditions},
    }


class World:
    """All that is outside, and the clock; every call may be the last.

    Attributes:
        bodies: the CronJobs, by name.
        all_jobs: the Jobs, by name.
        slugs: the monitors.
        branch: where the branch stands.
        ends: when each Job ends, in seconds; a Job that is not named never ends.
        effects: what was done, in its order.
        cut_at: number of the effect that is cut; 0 for none.
        cut_after: whether it is done nevertheless.
        faults: errors by the name of a call; the call does nothing.
        lag: for how many listings a deleted CronJob is still shown.
    """

    place = "kind/weather"

    def __init__(self, *bodies: Body) -> None:
        self.bodies = {each["metadata"]["name"]: each for each in bodies}
        self.all_jobs: dict[str, Body] = {}
        self.slugs = {self._monitor(each) for each in bodies} - {""}
        self.branch: str | None = COMMIT
        self.ends: dict[str, float] = {}
        self.now = 0.0
        self.effects: list[str] = []
        self.cut_at, self.cut_after = 0, False
        self.faults: dict[str, LadingError] = {}
        self.lag = 0
        self._going: dict[str, int] = {}

    def start(self, *jobs: Body) -> None:
        """Let Jobs run."""
        self.all_jobs |= {each["metadata"]["name"]: each for each in jobs}

    def cleanup(self, **more: Any) -> Cleanup:
        """Return a cleanup of the staged version, as a fresh process makes it."""
        given = {"monitors": self.as_monitors(), "identity": ASKED, **more}
        return Cleanup(
            self,
            self.as_branch(),
            given.pop("monitors"),
            given.pop("identity"),
            clock=lambda: self.now,
            sleep=self.sleep,
            **given,
        )

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        assert seconds <= 1
        self.now += seconds
        for name in [each for each, end in self.ends.items() if end <= self.now]:
            del self.ends[name]
            self.all_jobs[name]["status"]["conditions"] = [
                {"type": "SuccessCriteriaMet", "status": "True"},
                {"type": "Complete", "status": "True"},
            ]
            self._report(self._monitor(self.all_jobs[name]))

    # the cluster

    def dry_run(self, objects: Sequence[JsonObject], *, take: bool) -> list[JsonObject]:
        """Nobody asks."""
        raise NotImplementedError

    def apply(self, objects: Sequence[JsonObject], *, take: bool) -> None:
        """Nobody asks."""
        raise NotImplementedError

    def cron_jobs(self) -> list[JsonObject]:
        """Return all CronJobs, those on their way out among them."""
        self._fail("cron_jobs")
        for name, left in list(self._going.items()):
            self._going[name] -= 1
            if left <= 0:
                del self._going[name], self.bodies[name]
        return [copy.deepcopy(each) for each in self.bodies.values()]

    def jobs(self, selector: str) -> list[JsonObject]:
        """Return the Jobs that bear both labels of the selector."""
        assert selector.startswith(f"{OURS},{RELEASE}=")
        wanted = dict(each.split("=") for each in selector.split(","))
        found = [each for each in self.all_jobs.values() if wanted.items() <= _labels(each).items()]
        return [copy.deepcopy(each) for each in found]

    def suspend(self, name: str, *, suspended: bool) -> bool:
        """Suspend a CronJob."""

        def act() -> bool:
            if name in self.bodies:
                self.bodies[name]["spec"]["suspend"] = suspended
            return name in self.bodies

        return self._do(f"suspend {name}", act)

    def annotate(self, name: str, annotations: Mapping[str, str | None]) -> bool:
        """Set annotations of a CronJob."""

        def act() -> bool:
            if name in self.bodies:
                for key, value in annotations.items():
                    assert value is not None
                    assert json.loads(value)
                    self.bodies[name]["metadata"]["annotations"][key] = value
            return name in self.bodies

        return self._do(f"annotate {name}", act)

    def delete(self, name: str, *, orphan: bool) -> bool:
        """Delete a CronJob; its Jobs go with it, or lose their owner."""

        def act() -> bool:
            body = self.bodies.get(name)
            if body is None:
                return False
            assert body["spec"].get("suspend"), "a CronJob that may fire is deleted"
            for key, job in list(self.all_jobs.items()):
                owners = job["metadata"].get("ownerReferences", [])
                if body["metadata"]["uid"] in {each["uid"] for each in owners}:
                    if orphan:
                        del job["metadata"]["ownerReferences"]
                    else:
                        assert key not in self.running, "a Job that runs is killed"
                        del self.all_jobs[key]
            if self.lag:
                self._going.setdefault(name, self.lag)
            else:
                del self.bodies[name]
            return True

        return self._do(f"delete {name}", act)

    @property
    def running(self) -> list[str]:
        """Names of the Jobs that have not ended."""
        jobs = self.all_jobs.items()
        return sorted(name for name, each in jobs if not each["status"]["conditions"])

    # monitors and branch

    def as_monitors(self) -> "_Monitors":
        """Return the monitors."""
        return _Monitors(self)

    def as_branch(self) -> "_Branch":
        """Return the branch."""
        return _Branch(self)

    def delete_monitor(self, slug: str) -> Literal["deleted", "absent"]:
        """Delete a monitor; what may still report brings it back."""

        def act() -> Literal["deleted", "absent"]:
            was = slug in self.slugs
            self.slugs.discard(slug)
            awake = [each for each in self.bodies.values() if not each["spec"].get("suspend")]
            for each in (*awake, *(self.all_jobs[name] for name in self.running)):
                if self._monitor(each) == slug:
                    self._report(slug)
            return "deleted" if was else "absent"

        return self._do(f"monitor {slug}", act)

    def delete_branch(self, commit: str) -> None:
        """Delete the branch where it stands at a commit."""

        def act() -> None:
            if self.branch != commit:
                raise CommandError(f"{BRANCH}: expected {commit}, found {self.branch}")
            self.branch = None

        self._do("branch", act)

    def _do(self, effect: str, act: Callable[[], Answered]) -> Answered:
        self._fail(effect.partition(" ")[0])
        self._fail(effect)
        number = len(self.effects) + 1
        if number == self.cut_at and not self.cut_after:
            raise CutError
        self.effects.append(effect)
        answer = act()
        if number == self.cut_at:
            raise CutError
        return answer

    def _fail(self, call: str) -> None:
        if call in self.faults:
            raise self.faults[call]

    def _report(self, slug: str) -> None:
        if slug:
            self.slugs.add(slug)

    @staticmethod
    def _monitor(body: Body) -> str:
        return str(body["metadata"]["annotations"].get("lading/monitor", ""))


class _Monitors:
    def __init__(self, world: World) -> None:
        self._world = world

    def delete(self, slug: str) -> Literal["deleted", "absent"]:
        return self._world.delete_monitor(slug)


class _Branch:
    def __init__(self, world: World) -> None:
        self._world = world

    def standing(self) -> str | None:
        if "standing" in self._world.faults:
            raise self._world.faults["standing"]
        return self._world.branch

    def delete(self, commit: str) -> None:
        self._world.delete_branch(commit)


def _labels(body: Body) -> dict[str, str]:
    return dict(body["metadata"].get("labels") or {})


REFUSED = ServiceError("Sentry: DELETE /x/: expected success, got 403")
UNREACHED = CommandError("origin: expected to tell its refs, got nothing")
NO_CLUSTER = ClusterError("kind/weather: expected an answer, got none")
