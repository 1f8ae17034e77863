"""The fake kubelet runs pods as real processes, and tells how each ended."""

import json
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from lading.k8s.jobs import build_job
from tests.fakes.kubelet import FakeKubelet, Node, expand
from tests.fakes.kubernetes import FakeKubernetes
from tests.unit.k8s.job_world import IMAGE, order

PLAN = order(plan="5a" * 32, completions=3, parallelism=3, retries=1, arguments=())
PLAIN = order(retries=1)
SHOW = "import os, sys, json; print(json.dumps([sys.argv[1:], dict(os.environ)]))"
HANG = "import time; print('up', flush=True); time.sleep(60)"
POLITE = """\
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
print('up', flush=True)
time.sleep(60)
"""
DEAF = """\
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('up', flush=True)
time.sleep(60)
"""
BY_INDEX = """\
import os, pathlib, sys
index = os.environ['JOB_COMPLETION_INDEX']
tries = pathlib.Path('tries-' + index)
tries.write_text(tries.read_text() + 'x' if tries.exists() else 'x')
sys.exit({'0': 0, '1': 65, '2': 75 if len(tries.read_text()) == 1 else 0}[index])
"""
Serve = Callable[..., FakeKubelet]


@pytest.fixture
def server() -> Iterator[FakeKubernetes]:
    """A cluster."""
    with FakeKubernetes() as served:
        yield served


@pytest.fixture
def serve(server: FakeKubernetes, tmp_path: Path) -> Serve:
    """Return what serves a node whose image runs a script."""

    def made(script: str, **more: Any) -> FakeKubelet:
        given = {"cwd": tmp_path, "folder": tmp_path / "pods", "limit_s": 30, **more}
        return FakeKubelet(server, Node(entrypoint=[sys.executable, "-c", script], **given))

    return made


def status(server: FakeKubernetes, name: str) -> Mapping[str, Any]:
    """Return the status of a Job."""
    found: Mapping[str, Any] = server.jobs()[name]["status"]
    return found


def has_ended(server: FakeKubernetes, name: str) -> Callable[[], bool]:
    """Return what says whether a Job has ended."""

    def ended() -> bool:
        told = [each["type"] for each in status(server, name).get("conditions", [])]
        return bool({"Complete", "Failed"} & set(told))

    return ended


def is_up(kubelet: FakeKubelet, count: int = 1) -> Callable[[], bool]:
    """Return what says whether pods have begun to work."""
    return lambda: sum("up" in each.output for each in kubelet.runs) >= count


def test_a_pod(server: FakeKubernetes, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pod gets its arguments as they were given, its own variables, and nothing of ours."""
    monkeypatch.setenv("CANARY", "x")
    made = order(arguments=("$(HOME)", "$$", "a b"), env={"A": "$(HOME)"}, secrets=("api",))
    server.create_plain("data", build_job(made))
    with serve(
        SHOW, secrets={"api": {"API_TOKEN": "hush"}}, environment={"OF": "image"}
    ) as kubelet:
        kubelet.wait_for(has_ended(server, made.name))
    (run,) = kubelet.runs
    argv, environment = json.loads(run.output)
    assert argv == ["get_s3_files", "--", "$(HOME)", "$$", "a b"]
    assert environment.pop("HOME") == environment.pop("TMPDIR") == str(run.folder / "volumes/tmp")
    assert environment.pop("PATH") == os.environ["PATH"]
    environment.pop("LC_CTYPE", None)
    wanted = {"A": "$(HOME)", "API_TOKEN": "hush", "LADING_IMAGE": IMAGE, "OF": "image"}
    assert environment == {**wanted, "HOSTNAME": run.pod.name}
    assert run.exit_code == 0


def test_indexes(server: FakeKubernetes, serve: Serve, tmp_path: Path) -> None:
    """Each index is a process that ends as it will: done, failed for good, tried again."""
    server.create_plain("data", build_job(PLAN))
    with serve(BY_INDEX, cap=2) as kubelet:
        kubelet.wait_for(has_ended(server, PLAN.name))
    found = status(server, PLAN.name)
    assert (found["completedIndexes"], found["failedIndexes"]) == ("0,2", "1")
    assert [len((tmp_path / f"tries-{i}").read_text()) for i in range(3)] == [1, 1, 2]
    assert sorted(run.exit_code or 0 for run in kubelet.runs) == [0, 0, 65, 75]
    hosts = {run.environment["HOSTNAME"] for run in kubelet.runs}
    assert hosts == {f"{PLAN.name}-{index}" for index in range(3)}


def test_cap(server: FakeKubernetes, serve: Serve) -> None:
    """No more processes run than there is room for; the others wait."""
    server.create_plain("data", build_job(PLAN))
    with serve(HANG, cap=2) as kubelet:
        kubelet.wait_for(is_up(kubelet, 2))
        assert len(kubelet.running(PLAN.name)) == 2
        assert status(server, PLAN.name)["active"] == 3
        kubelet.kill(PLAN.name, 0)
        kubelet.wait_for(is_up(kubelet, 3))
        assert len(kubelet.running(PLAN.name)) == 2


def test_killed(server: FakeKubernetes, serve: Serve) -> None:
    """A process that is killed is told as 137, and tried again."""
    server.create_plain("data", build_job(PLAIN))
    with serve(HANG) as kubelet:
        kubelet.wait_for(is_up(kubelet))
        run = kubelet.kill(PLAIN.name)
        kubelet.wait_for(is_up(kubelet, 2))
        assert run.exit_code == 137
        assert status(server, PLAIN.name)["failed"] == 1


@pytest.mark.parametrize(("script", "code"), [(POLITE, 143), (DEAF, 137)])
def test_evicted(server: FakeKubernetes, serve: Serve, script: str, code: int) -> None:
    """An evicted pod gets SIGTERM, at last SIGKILL; it is tried again and not counted."""
    server.create_plain("data", build_job(PLAIN))
    with serve(script, grace_s=0.3) as kubelet:
        kubelet.wait_for(is_up(kubelet))
        run = kubelet.evict(PLAIN.name)
        kubelet.wait_for(is_up(kubelet, 2))
        assert run.exit_code == code
        assert "failed" not in status(server, PLAIN.name)
        assert server.pods.ignored(PLAIN.name) == 1


def test_job_is_deleted(server: FakeKubernetes, serve: Serve) -> None:
    """Pods of a Job that is gone end; one of its name that comes later runs its own."""
    server.create_plain("data", build_job(PLAIN))
    with serve(POLITE) as kubelet:
        kubelet.wait_for(is_up(kubelet))
        with server._guard:  # so that nobody sees that there is none
            server.store.delete("jobs", "data", PLAIN.name, {})
            server.create_plain("data", build_job(PLAIN))
        kubelet.wait_for(lambda: kubelet.runs[0].exit_code == 143)
        kubelet.wait_for(is_up(kubelet, 2))
        assert len(kubelet.running(PLAIN.name)) == 1
        assert "failed" not in status(server, PLAIN.name)
        server.store.delete("jobs", "data", PLAIN.name, {})
        kubelet.wait_for(lambda: kubelet.runs[1].exit_code == 143)


def test_job_fails(server: FakeKubernetes, serve: Serve) -> None:
    """Where one pod ends the Job, those that run are told to end; those that wait never begin."""
    script = f"import os, sys\nos.environ['JOB_COMPLETION_INDEX'] == '1' and sys.exit(78)\n{POLITE}"
    server.create_plain("data", build_job(PLAN))
    with serve(script, cap=2) as kubelet:
        kubelet.wait_for(has_ended(server, PLAN.name))
    assert status(server, PLAN.name)["conditions"][-1]["reason"] == "PodFailurePolicy"
    assert {run.exit_code for run in kubelet.runs} >= {78}
    assert kubelet.running(PLAN.name) == []


def test_secret_is_missing(server: FakeKubernetes, serve: Serve) -> None:
    """A pod whose Secret is not there waits for it."""
    waiting, other = order(secrets=("none",)), order(arguments=("b",))
    server.create_plain("data", build_job(waiting))
    server.create_plain("data", build_job(other))
    with serve(SHOW) as kubelet:
        kubelet.wait_for(has_ended(server, other.name))
        assert kubelet.running(waiting.name) == []
    assert status(server, waiting.name)["active"] == 1


def test_command_is_refused(server: FakeKubernetes, serve: Serve) -> None:
    """A manifest that overrides the entry point fails, and fails the test."""
    body = build_job(PLAIN)
    body["spec"]["template"]["spec"]["containers"][0]["command"] = ["sh"]
    server.create_plain("data", body)
    kubelet = serve(SHOW)
    words = "command: expected none, so that the image's entry point stays, got \\['sh'\\]"
    with pytest.raises(AssertionError, match=words), kubelet:
        kubelet.wait_for(has_ended(server, PLAIN.name))
    assert status(server, PLAIN.name)["failed"] == 2


def test_only_ours(server: FakeKubernetes, serve: Serve) -> None:
    """Jobs of others are not run."""
    theirs = build_job(order(arguments=("b",)))
    theirs["metadata"]["labels"] = {}
    server.create_plain("data", theirs)
    server.create_plain("data", build_job(PLAIN))
    with serve(SHOW) as kubelet:
        kubelet.wait_for(has_ended(server, PLAIN.name))
    assert {run.job for run in kubelet.runs} == {PLAIN.name}


CHILD = """\
import subprocess, sys
print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid, flush=True)
"""


@pytest.mark.parametrize(("script", "code"), [(f"{CHILD}{DEAF}", -signal.SIGKILL), (CHILD, 0)])
def test_everything_ends(server: FakeKubernetes, serve: Serve, script: str, code: int) -> None:
    """A process that a pod has started ends with the pod, whether that is ended or ends."""
    server.create_plain("data", build_job(PLAIN))
    with serve(script) as kubelet:
        kubelet.wait_for(lambda: any(each.output.endswith("\n") for each in kubelet.runs))
        (run,) = kubelet.runs
        child = pidfd_of(int(run.output.split()[0]))
        kubelet.wait_for(lambda: code != 0 or run.exit_code is not None)
    assert run.process is not None
    assert run.process.returncode == code
    assert child is None or has_gone(child)


def pidfd_of(pid: int) -> int | None:
    """Return what tells that a process has ended; None where it has."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def has_gone(pidfd: int) -> bool:
    """Wait until a process has ended, for some seconds; say whether it has."""
    try:
        return bool(select.select([pidfd], [], [], 10)[0])
    finally:
        os.close(pidfd)


def test_bounded(server: FakeKubernetes, serve: Serve) -> None:
    """What never ends is ended, and fails the test."""
    server.create_plain("data", build_job(PLAIN))
    kubelet = serve(HANG, limit_s=0.3)
    with pytest.raises(AssertionError, match="its time is over"), kubelet:
        kubelet.wait_for(lambda: bool(kubelet.faults))
    assert [run.process.returncode for run in kubelet.runs if run.process] == [-signal.SIGKILL]


def test_what_does_not_come_true(serve: Serve) -> None:
    """Waiting for what does not happen ends, and says so."""
    with serve(SHOW) as kubelet, pytest.raises(AssertionError, match=r"come true within 0\.05 s"):
        kubelet.wait_for(lambda: False, 0.05)


@pytest.mark.parametrize(
    ("text", "expanded"),
    [("$(A)", "1"), ("$$(A)", "$(A)"), ("$(B)", "$(B)"), ("$$", "$"), ("$A $", "$A $")],
)
def test_expand(text: str, expanded: str) -> None:
    """Known variables are put in; two dollars are one; what is unknown stays."""
    assert expand(text, {"A": "1"}) == expanded
