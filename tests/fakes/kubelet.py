"""A node of the fake Kubernetes: pods of Jobs run as processes of this machine.

A pod gets what a node would give it: the image's entry point before its ``args``, the variables
of its manifest and nothing of this process, an empty folder where an ``emptyDir`` is mounted, its
index, and SIGTERM before it is deleted. A manifest that says ``command`` is refused: it would
override the entry point.
"""

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.fakes.kubernetes import FakeKubernetes
from tests.fakes.kubernetes_fields import Table
from tests.fakes.kubernetes_pods import FakePod

OURS = {"app.kubernetes.io/managed-by": "lading"}
_LOOK_S = 0.02
_REFERENCE = re.compile(r"\$(?:\$|\(([A-Za-z_][A-Za-z0-9_.-]*)\))")
_REFUSED = 128  # what a container that cannot be started ends with


@dataclass
class PodRun:
    """A pod that runs here, or has."""

    job: str
    """Its Job."""
    uid: str
    """Of its Job."""
    pod: FakePod
    """The pod."""
    argv: tuple[str, ...]
    """What was started."""
    environment: Mapping[str, str]
    """Its variables."""
    folder: Path
    """Its own: its output, and what it wrote where it had an ``emptyDir``."""
    process: subprocess.Popen[bytes] | None = None
    """The process; None where it could not be started."""
    exit_code: int | None = None
    """As Kubernetes tells it: 128 and the number of the signal that ended it."""
    is_evicted: bool = False
    """Whether it was evicted."""
    told_at: float | None = field(default=None, repr=False)
    """When it was told to end, on the monotonic clock."""

    @property
    def output(self) -> str:
        """What it wrote to stdout and stderr."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def signal(self, number: int) -> None:
        """Send a signal to all its processes; it is the first of its own group."""
        if self.process is not None and self.process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def look(self) -> int | None:
        """Return how it ended, or None; what its first process left behind ends with that."""
        if self.process is None:
            return _REFUSED
        # looked at before it is buried: until then nobody else gets its number
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        if os.waitid(os.P_PID, self.process.pid, how) is None:
            return None
        self.signal(signal.SIGKILL)
        code = self.process.wait()
        return 128 - code if code < 0 else code


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node, and the one image that it has."""

    entrypoint: Sequence[str]
    """Entry point of the image, e.g. ``[sys.executable, "-m", "lading", "run"]``."""
    cwd: Path
    """Working directory of the image."""
    folder: Path
    """Where the pods have their folders."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that the image sets, beside the PATH of this process."""
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Secrets of the namespace: their entries, by name."""
    namespace: str = "data"
    """The namespace."""
    cap: int = 4
    """Pods that run at one time; others wait for a place."""
    grace_s: float = 5
    """Seconds between SIGTERM and SIGKILL."""
    limit_s: float = 120
    """Seconds after which everything is ended, and leaving it raises."""


class FakeKubelet:
    """Runs the pods of our Jobs, in a thread, for as long as it is entered.

    Args:
        server: whose Jobs; those with the label ``managed-by=lading``.
        node: where they run.

    Attributes:
        runs: every pod that was started, in that order.
        faults: what no node would do: leaving it raises them.
    """

    def __init__(self, server: FakeKubernetes, node: Node) -> None:
        self.runs: list[PodRun] = []
        self.faults: list[str] = []
        self._server = server
        self._node = node
        self._until = time.monotonic() + node.limit_s
        self._guard = threading.RLock()
        self._changed = threading.Condition(self._guard)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="kubelet", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        if error is None and self.faults:
            raise AssertionError("\n".join(self.faults))

    def close(self) -> None:
        """End all processes; nothing is reported of them."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=30)
        for run in self.runs:
            run.signal(signal.SIGKILL)
            if run.process is not None:
                run.process.wait(timeout=30)

    def wait_for(self, is_so: Callable[[], bool], timeout_s: float = 30) -> None:
        """Wait until something is so; it is asked again and again, and must not wait itself.

        Raises:
            AssertionError: it is not so in time.
        """
        with self._changed:
            if not self._changed.wait_for(is_so, timeout_s):
                told = "".join(f"\n{run.pod.name}: {run.output[-300:]}" for run in self.runs[-3:])
                raise AssertionError(f"it did not come true within {timeout_s:g} s{told}")

    def running(self, job: str) -> list[PodRun]:
        """Return the pods of a Job that run now."""
        with self._guard:
            return [each for each in self.runs if each.job == job and each.exit_code is None]

    def evict(self, job: str, index: int = 0) -> PodRun:
        """Evict the pod of an index: SIGTERM, and it is told as DisruptionTarget."""
        with self._guard:
            run = self._find(job, index)
            run.is_evicted = True
            self._tell(run)
            return run

    def kill(self, job: str, index: int = 0) -> PodRun:
        """Kill the pod of an index as if memory had run out: exit code 137."""
        with self._guard:
            run = self._find(job, index)
            run.signal(signal.SIGKILL)
            return run

    def _find(self, job: str, index: int) -> PodRun:
        found = [each for each in self.running(job) if each.pod.index == index]
        if not found:
            raise LookupError(f"{job}: expected a process of index {index}, found none")
        return found[0]

    # the thread

    def _work(self) -> None:
        while not self._stop.wait(_LOOK_S):
            # one state of the cluster from the first look to the last: a Job may be made anew
            with self._changed, self._server._guard:
                try:
                    self._look()
                    self._changed.notify_all()
                except Exception as error:  # noqa: BLE001  told by the test's own thread
                    self.faults.append(f"kubelet: {type(error).__name__}: {error}")
                    return
                if time.monotonic() > self._until:
                    self.faults.append("kubelet: its time is over")
                    return

    def _look(self) -> None:
        jobs = self._server.jobs(self._node.namespace)
        ours = {name: body for name, body in jobs.items() if _is_ours(body)}
        for name in ours:
            self._server.pods.start(name, self._node.namespace)
            for pod in self._server.pods.stopping(name, self._node.namespace):
                self._stop_pod(name, pod)
        for run in [each for each in self.runs if each.exit_code is None]:
            self._look_at(run, is_wanted=_uid(ours.get(run.job)) == run.uid)
        for name, body in ours.items():
            for pod in self._server.pods.running(name, self._node.namespace):
                self._start_pod(body, pod)

    def _stop_pod(self, job: str, pod: FakePod) -> None:
        run = self._run_of(pod)
        if run is not None:
            self._tell(run)
        else:  # it never began
            self._server.pods.end(job, pod.index, 137, namespace=self._node.namespace)

    def _look_at(self, run: PodRun, *, is_wanted: bool) -> None:
        """See whether a pod has ended, or is to; report its end where its Job is still there."""
        if not is_wanted:
            self._tell(run)
        run.exit_code = run.look()
        if run.exit_code is None:
            if run.told_at is not None and time.monotonic() - run.told_at > self._node.grace_s:
                run.signal(signal.SIGKILL)
            return
        if is_wanted:
            self._server.pods.end(
                run.job,
                run.pod.index,
                run.exit_code,
                evicted=run.is_evicted,
                namespace=self._node.namespace,
            )

    def _tell(self, run: PodRun) -> None:
        if run.told_at is None:
            run.told_at = time.monotonic()
            run.signal(signal.SIGTERM)

    def _run_of(self, pod: FakePod) -> PodRun | None:
        return next((each for each in self.runs if each.pod.name == pod.name), None)

    def _start_pod(self, body: Table, pod: FakePod) -> None:
        alive = sum(each.exit_code is None for each in self.runs)
        if self._run_of(pod) is not None or alive >= self._node.cap:
            return
        (container,) = body["spec"]["template"]["spec"]["containers"]
        if any(name not in self._node.secrets for name in _secret_names(container)):
            return  # as a real one: it waits for the Secret
        run = self._make_run(body, container, pod)
        self.runs.append(run)
        if container.get("command"):
            self.faults.append(
                f"{pod.name}: command: expected none, so that the image's entry"
                f" point stays, got {container['command']}"
            )
        else:
            run.process = self._spawn(run)

    def _spawn(self, run: PodRun) -> subprocess.Popen[bytes]:
        with (run.folder / "log").open("wb") as log:
            return subprocess.Popen(
                run.argv,
                cwd=self._node.cwd,
                env=dict(run.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _make_run(self, body: Table, container: Table, pod: FakePod) -> PodRun:
        name, spec = body["metadata"]["name"], body["spec"]
        folder = self._node.folder / pod.name
        folder.mkdir(parents=True)
        (folder / "log").touch()
        is_indexed = spec.get("completionMode") == "Indexed"
        given: dict[str, str] = {}
        for secret in _secret_names(container):
            given |= self._node.secrets[secret]
        for each in container.get("env") or []:
            given[each["name"]] = expand(each.get("value", ""), given)
        if is_indexed:
            given.setdefault("JOB_COMPLETION_INDEX", str(pod.index))
        args = [expand(each, given) for each in container.get("args") or []]
        places = {mount: _make(folder / "volumes", mount) for mount in _empty_dirs(spec, container)}
        moved = {key: places.get(value, value) for key, value in given.items()}
        return PodRun(
            job=name,
            uid=body["metadata"]["uid"],
            pod=pod,
            argv=(*self._node.entrypoint, *args),
            environment={
                "PATH": os.environ["PATH"],
                "HOSTNAME": f"{name}-{pod.index}" if is_indexed else pod.name,
                **self._node.environment,
                **moved,
            },
            folder=folder,
        )


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Put variables where a text says ``$(NAME)``, as a node does; ``$$`` is one ``$``.

    What is not known stays as it is.
    """

    def one(found: re.Match[str]) -> str:
        return "$" if found[1] is None else variables.get(found[1], found[0])

    return _REFERENCE.sub(one, text)


def _is_ours(body: Table) -> bool:
    labels = body["metadata"].get("labels") or {}
    return OURS.items() <= labels.items()


def _uid(body: Table | None) -> str:
    return "" if body is None else str(body["metadata"]["uid"])


def _secret_names(container: Table) -> list[str]:
    return [each["secretRef"]["name"] for each in container.get("envFrom") or []]


def _empty_dirs(spec: Table, container: Table) -> list[str]:
    """Return where a container has an empty folder mounted."""
    volumes = spec["template"]["spec"].get("volumes") or []
    names = {each["name"] for each in volumes if "emptyDir" in each}
    mounts = container.get("volumeMounts") or []
    return [each["mountPath"] for each in mounts if each["name"] in names]


def _make(root: Path, mount: str) -> str:
    path = root / mount.strip("/")
    path.mkdir(parents=True, exist_ok=True)
    return str(path)
