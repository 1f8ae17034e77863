"""The real kubectl works with the fake Kubernetes, and says what it says of a real server."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.fakes.kubernetes import FakeKubernetes, serve_kubernetes, write_kubeconfig
from tests.unit.fakes.kubernetes_client import (
    POD,
    REMOVED,
    Table,
    changed,
    cron_job,
    environment,
)

PROGRAM = shutil.which("kubectl") or ""
pytestmark = pytest.mark.skipif(not PROGRAM, reason="kubectl is missing")
APPLY = ("apply", "--server-side", "--field-manager=lading", "-f", "-")


class Kubectl:
    """kubectl for one server."""

    def __init__(self, server: FakeKubernetes, environment: dict[str, str]) -> None:
        self.server = server
        self._environment = {**os.environ, **environment}

    def __call__(
        self, *arguments: str, objects: Sequence[Table] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Call kubectl; the objects go to it as one List."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        return subprocess.run(
            [PROGRAM, *arguments],
            input=json.dumps(listed) if objects else "",
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def minor(self) -> int:
        """The client's minor version."""
        said = self("version", "--client", "-o", "json").stdout
        return int(re.sub(r"\D", "", json.loads(said)["clientVersion"]["minor"]))


@pytest.fixture
def kubectl(tmp_path: Path) -> Iterator[Kubectl]:
    """Serve a cluster, and kubectl for it."""
    with serve_kubernetes(tmp_path, token="hush") as served:
        yield Kubectl(served.server, dict(served.environment))
    assert served.server.errors == []


def test_apply_and_get(kubectl: Kubectl) -> None:
    """A List is applied, read back, and found unchanged by its label."""
    done = kubectl(*APPLY, "-o", "json", objects=[cron_job("a"), cron_job("b")])
    assert done.returncode == 0, done.stderr
    kept = kubectl("get", "cronjobs", "-l", "app in (x,y)", "-o", "json")
    assert [each["metadata"]["name"] for each in json.loads(kept.stdout)["items"]] == ["a", "b"]
    raw = kubectl("get", "--raw", "/apis/batch/v1/namespaces/data/cronjobs?labelSelector=app%3Dx")
    items = json.loads(raw.stdout)["items"]
    assert items[0]["metadata"]["managedFields"][0]["manager"] == "lading"
    assert kubectl("get", "cronjobs", "-A").stdout.count("data") == 2
    assert kubectl("-n", "other", "get", "cronjobs").stderr.startswith("No resources found")


def test_dry_run_tells_all_and_keeps_nothing(kubectl: Kubectl) -> None:
    """A dry run reports every object that would be refused, and writes nothing."""
    bad = [cron_job("A"), cron_job("b"), cron_job("c", spec__schedule="x")]
    done = kubectl(*APPLY, "--dry-run=server", objects=bad)
    assert done.returncode == 1
    assert "cronjob.batch/b serverside-applied (server dry run)" in done.stdout
    assert 'CronJob.batch "A" is invalid: metadata.name: Invalid value: "A"' in done.stderr
    assert 'CronJob.batch "c" is invalid: spec.schedule: Invalid value: "x"' in done.stderr
    assert kubectl.server.cron_jobs() == {}
    assert kubectl.server.writes == []


def test_single_fault(kubectl: Kubectl) -> None:
    """One bad object is told in kubectl's own form."""
    done = kubectl(*APPLY, objects=[cron_job("a", spec__schedule="x")])
    told = 'The CronJob "a" is invalid: spec.schedule: Invalid value: "x": expected exactly 5'
    assert done.stderr.startswith(told)


@pytest.mark.parametrize("mode", ["--server-side", "--server-side=false"])
def test_a_list_is_no_transaction(kubectl: Kubectl, mode: str) -> None:
    """With one bad object of three, the good ones are made."""
    listed = [cron_job("a"), cron_job("B"), cron_job("c")]
    assert kubectl("apply", mode, "-f", "-", objects=listed).returncode == 1
    assert list(kubectl.server.cron_jobs()) == ["a", "c"]


def test_one_name_twice(kubectl: Kubectl) -> None:
    """Two objects of one name in a List are no error; the last one stands."""
    twice = [cron_job("a"), cron_job("a", spec__schedule="1 * * * *")]
    done = kubectl(*APPLY, objects=twice)
    assert done.returncode == 0
    assert done.stdout == "cronjob.batch/a serverside-applied\n" * 2
    assert kubectl.server.cron_jobs()["a"]["spec"]["schedule"] == "1 * * * *"


def test_conflict(kubectl: Kubectl) -> None:
    """Suspended by an operator: a manifest without suspend keeps it, one with it conflicts."""
    kubectl(*APPLY, objects=[cron_job("a")])
    patched = kubectl("patch", "cronjob", "a", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    assert patched.returncode == 0
    assert kubectl(*APPLY, objects=[cron_job("a")]).returncode == 0
    refused = kubectl(*APPLY, objects=[cron_job("a", spec__suspend=False)])
    told = (
        'Apply failed with 1 conflict: conflict with "kubectl-patch" using batch/v1: .spec.suspend'
    )
    assert refused.returncode == 1
    assert told in refused.stderr
    assert kubectl.server.cron_jobs()["a"]["spec"]["suspend"] is True
    forced = kubectl(*APPLY, "--force-conflicts", objects=[cron_job("a", spec__suspend=False)])
    assert forced.returncode == 0
    assert kubectl.server.cron_jobs()["a"]["spec"]["suspend"] is False


def test_client_side_apply_resumes(kubectl: Kubectl) -> None:
    """Client-side apply takes a suspension away without a word."""
    body = [cron_job("a", spec__suspend=False)]
    assert kubectl("apply", "-f", "-", objects=body).stdout == "cronjob.batch/a created\n"
    kubectl.server.edit("data", "a", "kubectl-patch", {"spec": {"suspend": True}})
    assert kubectl("apply", "-f", "-", objects=body).stdout == "cronjob.batch/a configured\n"
    assert kubectl.server.cron_jobs()["a"]["spec"]["suspend"] is False


def test_move_from_client_side(kubectl: Kubectl) -> None:
    """Newer kubectl moves what client-side apply owned, so that a dropped variable goes."""
    kubectl("apply", "-f", "-", objects=[cron_job("a")])
    bare = changed(cron_job("a"), {f"{POD}.containers.0.env": REMOVED})
    assert kubectl(*APPLY, "--force-conflicts", objects=[bare]).returncode == 0
    moved = kubectl.minor >= 26
    assert environment(kubectl.server.cron_jobs()["a"]) == ([] if moved else ["A"])


def test_diff(kubectl: Kubectl) -> None:
    """A diff ends with 0 for the same, 1 for another or new, more for a bad object."""
    diff = ("diff", "--server-side", "--field-manager=lading", "-f", "-")
    assert kubectl(*diff, objects=[cron_job("a")]).returncode == 1
    kubectl(*APPLY, objects=[cron_job("a")])
    assert kubectl(*diff, objects=[cron_job("a")]).returncode == 0
    done = kubectl(*diff, objects=[cron_job("a", spec__schedule="1 * * * *")])
    assert (done.returncode, "+  schedule: 1 * * * *" in done.stdout) == (1, True)
    done = kubectl(*diff, objects=[cron_job("a", spec__schedule="x")])
    assert done.returncode > 1
    assert "expected exactly 5 fields" in done.stderr
    assert len(kubectl.server.writes) == 1


def test_delete(kubectl: Kubectl) -> None:
    """Deleting says what was there; Jobs go along unless they are orphaned."""
    server = kubectl.server
    kubectl(*APPLY, objects=[cron_job("a"), cron_job("b"), cron_job("c")])
    server.start_job("a")
    left = server.start_job("b")
    done = kubectl("delete", "cronjob", "a", "none")
    assert (done.returncode, "NotFound" in done.stderr) == (1, True)
    assert "a" not in server.cron_jobs()
    assert kubectl("delete", "cronjob", "b", "--cascade=orphan").returncode == 0
    assert list(server.jobs()) == [left]
    assert kubectl("delete", "cronjob", "b", "--ignore-not-found").returncode == 0
    assert "No resources found" in kubectl("delete", "cronjob", "-l", "app=no").stdout
    assert kubectl("delete", "cronjob", "-l", "app=x", "--wait=false").returncode == 0
    assert server.cron_jobs() == {}


def test_annotate(kubectl: Kubectl) -> None:
    """An annotation is set and removed under a manager's name."""
    kubectl(*APPLY, objects=[cron_job("a")])
    manager = "--field-manager=lading-cleanup"
    assert kubectl("annotate", "cronjob", "a", "lading/cleanup=now", manager).returncode == 0
    assert kubectl.server.cron_jobs()["a"]["metadata"]["annotations"] == {"lading/cleanup": "now"}
    assert kubectl("annotate", "cronjob", "a", "lading/cleanup-", manager).returncode == 0
    assert "annotations" not in kubectl.server.cron_jobs()["a"]["metadata"]
    assert {call.manager for call in kubectl.server.writes} == {"lading", "lading-cleanup"}


def test_contexts(kubectl: Kubectl, tmp_path: Path) -> None:
    """The kubeconfig has two contexts, and may hold a wrong token."""
    contexts = kubectl("config", "get-contexts", "-o", "name").stdout.split()
    assert sorted(contexts) == ["other", "test"]
    path = write_kubeconfig(tmp_path / "wrong", kubectl.server, token="wrong")
    done = kubectl(f"--kubeconfig={path}", "get", "cronjobs")
    assert "You must be logged in to the server" in done.stderr
    assert "wrong" not in done.stderr


def test_forbidden_and_busy(kubectl: Kubectl) -> None:
    """What the server refuses, kubectl passes on."""
    kubectl.server.forbid("list")
    told = 'cronjobs.batch is forbidden: User "tester" cannot list resource "cronjobs"'
    assert told in kubectl("get", "cronjobs").stderr
    kubectl.server.refuse_next(1, 503)
    done = kubectl(*APPLY, objects=[cron_job("a")])
    assert (done.returncode, "currently unable to handle" in done.stderr) == (1, True)
    assert kubectl.server.cron_jobs() == {}
