"""Jobs as pods: the real doit and kubectl, a cluster of ours, pods that are real processes."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.forked import HURRIED
from tests.e2e.jobs_project import JobsProject, kill, make_jobs_project, wait_for
from tests.e2e.project import REPOSITORY
from tests.fakes.kubelet import FakeKubelet, Node
from tests.fakes.kubernetes import FakeKubernetes, write_kubeconfig
from tests.fakes.registry import FakeRegistry

pytestmark = [
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is missing"),
    pytest.mark.timeout(180),
]
IMAGE = f"registry.example/jobs@sha256:{'ab' * 32}"
SECRET = "s3cr3t-of-the-application"
KUBERNETES = """
[jobs.kubernetes]
context = "test"
namespace = "data"
queue = "batch"
service_account = "jobs"
secrets = ["application"]
env = {{ AWS_REGION = "us-east-1" }}
retries = {retries}
image = "{image}"
"""
DOIT = """\
import sys
from tests.e2e.forked import _hurry
sys.path.remove("")
_hurry(10)
from doit.__main__ import main
sys.exit(main())
"""


@dataclass(frozen=True)
class Site:
    """A project, a cluster and a node."""

    project: JobsProject
    server: FakeKubernetes
    kubelet: FakeKubelet
    variables: dict[str, str]

    def doit(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run doit, whose waiting is shortened."""
        return self.project.doit(*words, **self.variables, **{HURRIED: "10"})

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start doit as a process of its own."""
        paths = os.pathsep.join((str(REPOSITORY), os.environ.get("PYTHONPATH", "")))
        return self.project.start(
            *("-c", DOIT, *words),
            program=Path(sys.executable),
            **{**self.variables, "PYTHONPATH": paths},
        )

    def over(self, *names: str) -> tuple[str, ...]:
        """Write items; return what runs ``hello`` over them."""
        (self.project.folder / "items").write_text("".join(f"{name}\n" for name in names))
        return ("k8s_job:hello", "over=items", "args={item}")

    def jobs(self) -> list[str]:
        """Return the names of the Jobs that stand."""
        return list(self.server.jobs())

    def creations(self) -> int:
        """Return how many Jobs were made."""
        return sum(call.method == "POST" and call.status == 201 for call in self.server.calls)


@pytest.fixture
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A site whose pods are tried twice, or as often as the test says."""
    more = KUBERNETES.format(image=IMAGE, retries=getattr(request, "param", 1))
    folder = tmp_path / "project"
    project = make_jobs_project(folder, store=str(folder / "state"), more=more)
    with FakeKubernetes() as server:
        kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", server)
        given = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        node = Node(
            entrypoint=[sys.executable, "-m", "lading", "run"],
            cwd=folder,
            folder=tmp_path / "pods",
            environment={name: value for name, value in given.items() if value},
            secrets={"application": {"APP_TOKEN": SECRET}},
            limit_s=150,
        )
        with FakeKubelet(server, node) as kubelet:
            variables = {"KUBECONFIG": str(kubeconfig), "APP_TOKEN": SECRET}
            yield Site(project, server, kubelet, variables)


@pytest.mark.slow
def test_over_items(site: Site) -> None:
    """One Indexed Job; a failed index is a letter; ``retry=`` is a smaller one of what is left."""
    with FakeRegistry() as registry:
        digest = registry.push("team/jobs", "v1", "one")
        image = f"{registry.host}/team/jobs:v1"
        done = site.doit(*site.over("ann", "bad", "zoe"), f"image={image}", "per_shard=2")
        assert done.returncode == 1, done.stdout
        assert "expected exit code 0, got 65 (bad data, see `lading dlq list`): 2 done, 1" in (
            done.stderr
        )
        assert site.project.tried() == {"ann": 1, "bad": 1, "zoe": 1}
        assert [letter.item for letter in site.project.letters()] == ["run bad"]
        (name,) = site.jobs()
        body = site.server.jobs()[name]
        (container,) = body["spec"]["template"]["spec"]["containers"]
        assert container["image"] == f"{image}@{digest}"
        assert "command" not in container
        assert body["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "batch"
        assert body["spec"]["completions"] == 2
        assert SECRET not in json.dumps(site.server.jobs())
        assert container["envFrom"] == [{"secretRef": {"name": "application"}}]

        (site.project.folder / "good").touch()
        plan = site.project.end_of()["plan"]
        again = site.doit("k8s_job:hello", f"retry={plan[:12]}", f"image={image}")
        assert again.returncode == 0, again.stdout + again.stderr
    assert site.project.tried() == {"ann": 1, "bad": 2, "zoe": 1}
    assert site.project.letters() == []
    assert len(site.jobs()) == 2
    site.project.require_whole()


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """Read what a process says until it says these words; return all of it."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if words in line:
            return said
    raise AssertionError(said)


@pytest.mark.slow
def test_single(site: Site) -> None:
    """One run as one Job; the same again awaits nothing and submits nothing."""
    done = site.doit("k8s_job:hello", "args=ann")
    assert done.returncode == 0, done.stdout + done.stderr
    again = site.doit("k8s_job:hello", "args=ann")
    assert "is complete since before" in again.stdout
    assert (site.project.tried(), site.creations()) == ({"ann": 1}, 1)
    site.doit("k8s_job:hello", "args=ann", "key=b")
    assert (site.project.tried(), site.creations()) == ({"ann": 2}, 2)
    receipt = site.project.folder / "build/receipts/k8s_jobs/hello.json"
    assert json.loads(receipt.read_text())["exit_code"] == 0


@pytest.mark.slow
def test_killed_doit(site: Site) -> None:
    """A doit that is killed leaves its Job at work; the same command awaits it."""
    words = site.over("ann", "hang1", "bad")
    process = site.start(*words)
    wait_for(lambda: {"ann", "hang1", "bad"} <= set(site.project.tried()), "they are at work")
    kill(process)
    again = site.start(*words)
    said = read_until(again, "was submitted before: awaited")
    (site.project.folder / "go").touch()
    rest, _ = again.communicate(timeout=120)
    assert again.returncode == 1, said + rest
    assert (site.creations(), len(site.jobs())) == (1, 1)
    assert site.project.tried() == {"ann": 1, "bad": 1, "hang1": 1}
    assert [letter.item for letter in site.project.letters()] == ["run bad"]
    assert site.project.kinds() == ["START", "ABORT", "START", "FAIL"]
    site.project.require_whole()


@pytest.mark.slow
def test_two_submit(site: Site) -> None:
    """The second waits for the first, and ends as it does; one Job is made."""
    words = site.over("hang1", "bad")
    first = site.start(*words)
    wait_for(lambda: "hang1" in site.project.tried(), "it is at work")
    second = site.start(*words)
    read_until(second, "waiting: ")
    (site.project.folder / "go").touch()
    for process in (first, second):
        text, _ = process.communicate(timeout=120)
        assert process.returncode == 1, text
        assert "got 65 (bad data" in text
    assert site.creations() == 1
    assert site.project.tried() == {"bad": 1, "hang1": 1}
    assert site.project.kinds() == ["START", "FAIL"]


@pytest.mark.slow
def test_pods_that_end_otherwise(site: Site) -> None:
    """An evicted pod counts for nothing; one that is killed is tried again, and goes on."""
    words = site.over("hang1", "hang2")
    process = site.start(*words)
    wait_for(lambda: {"hang1", "hang2"} <= set(site.project.tried()), "they are at work")
    (job,) = site.jobs()
    site.kubelet.evict(job, 0)
    site.kubelet.kill(job, 1)
    wait_for(lambda: site.project.tried() == {"hang1": 2, "hang2": 2}, "both are tried again")
    (site.project.folder / "go").touch()
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert site.server.pods.ignored(job, 0) == 1
    shards = [site.project.kinds(name) for name in site.project.streams() if name != "hello"]
    assert shards == [["START", "ABORT", "START", "COMPLETE"]] * 2
    site.project.require_whole()


@pytest.mark.slow
def test_setting(site: Site) -> None:
    """78 of a pod fails the Job; nothing is tried again."""
    done = site.doit(*site.over("wrong"))
    assert done.returncode == 1
    assert "got 78 (a setting is wrong)" in done.stderr
    assert site.project.tried() == {"wrong": 1}
    assert site.project.letters() == []


@pytest.mark.slow
def test_cluster_says_no(site: Site) -> None:
    """A cluster that refuses is told in one line, and the next run begins at once."""
    site.server.forbid("create", "jobs")
    done = site.doit(*site.over("ann"))
    assert done.returncode == 1
    assert "forbidden" in done.stderr.lower()
    assert "Traceback" not in done.stdout + done.stderr
    assert site.project.kinds() == ["START", "FAIL"]
