"""Jobs through the real kubectl, against an API server of ours."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lading.errors import ClusterError, GuardError, UnansweredError
from lading.services.kubectl import Kubectl
from tests.fakes.http_server import Reply, Request
from tests.fakes.kubernetes import FakeKubernetes, write_kubeconfig
from tests.unit.fakes.kubernetes_client import job

if TYPE_CHECKING:
    from lading.k8s.cluster import JobCluster

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is missing")
NAME = "get-s3-files-0123456789"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKubernetes]:
    """An API server, known to kubectl as the context ``test``."""
    with FakeKubernetes() as served:
        path = write_kubeconfig(tmp_path / "config", served)
        monkeypatch.setenv("KUBECONFIG", str(path))
        monkeypatch.setenv("HOME", str(tmp_path))
        yield served
    assert served.errors == []


@pytest.fixture
def kubectl(tmp_path: Path) -> Kubectl:
    """The namespace ``data``; nothing waits."""
    made = Kubectl("test", "data", tmp_path)
    made.pauses_s = (0, 0)
    return made


def refusing(status: int, method: str, times: int = 99) -> Callable[[Request], Reply | None]:
    """Answer the first requests of a method for Jobs with a status."""
    left = [times]

    def answer(request: Request) -> Reply | None:
        if "/jobs" not in request.path or request.method != method or not left[0]:
            return None
        left[0] -= 1
        return Reply(status, {"Content-Type": "text/plain"}, b"upstream")

    return answer


def cut_once(method: str) -> Callable[[Request], None]:
    """Cut the connection when the first request of a method is done."""
    left = [1]

    def cut(request: Request) -> None:
        if request.method == method and left[0]:
            left[0] -= 1
            raise ConnectionResetError

    return cut


def test_create_and_read(server: FakeKubernetes, kubectl: Kubectl) -> None:
    """A Job is created once, strictly, under our name, and read back as it stands."""
    cluster: JobCluster = kubectl
    assert cluster.job(NAME) is None
    assert cluster.create_job(job(NAME))
    assert not cluster.create_job(job(NAME))
    found = cluster.job(NAME)
    assert found is not None
    assert found == server.jobs()[NAME]
    (manager,) = {each["manager"] for each in found["metadata"]["managedFields"]}
    assert manager == "lading"
    sent = [call for call in server.calls if call.method == "POST"]
    assert [call.status for call in sent] == [201, 409]
    assert {call.content_type for call in sent} == {"application/json"}
    assert {call.query["fieldValidation"] for call in sent} == {"Strict"}


def test_delete(server: FakeKubernetes, kubectl: Kubectl) -> None:
    """A Job is deleted with its pods; one that is not there is told."""
    server.create_plain("data", job(NAME))
    server.pods.start(NAME)
    assert kubectl.delete_job(NAME)
    assert not kubectl.delete_job(NAME)
    assert server.jobs() == {}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (job("x" * 62, completionMode="Indexed", completions=2), "refused: metadata.name: Invalid"),
        (job(NAME, foo=1), 'refused: Job in version "v1" cannot be .*unknown field "spec.foo"'),
    ],
)
def test_refused(
    server: FakeKubernetes, kubectl: Kubectl, body: dict[str, Any], words: str
) -> None:
    """What the API refuses is told in one line, in its words, and not tried again."""
    with pytest.raises(ClusterError, match=f"^test/data: .*{words}") as caught:
        kubectl.create_job(body)
    assert "\n" not in str(caught.value)
    assert caught.value.status in {400, 422}
    assert len([call for call in server.calls if call.method == "POST"]) == 1


def test_forbidden(server: FakeKubernetes, kubectl: Kubectl) -> None:
    """What is not allowed is named with verb and resource."""
    server.forbid("create", "jobs")
    words = "expected tester to be allowed to create jobs.batch in the namespace data"
    with pytest.raises(ClusterError, match=words) as caught:
        kubectl.create_job(job(NAME))
    assert 'resources: ["jobs"], verbs: ["create"]' in caught.value.hint


@pytest.mark.usefixtures("server")
def test_no_namespace(tmp_path: Path) -> None:
    """A namespace that is not there is told as that."""
    lost = Kubectl("test", "nowhere", tmp_path)
    with pytest.raises(ClusterError, match="expected the namespace nowhere, found none"):
        lost.create_job(job(NAME))
    assert lost.job(NAME) is None


def test_read_only(server: FakeKubernetes, tmp_path: Path) -> None:
    """One that only looks creates and deletes nothing."""
    server.create_plain("data", job(NAME))
    looking = Kubectl("test", "data", tmp_path, read_only=True)
    assert looking.job(NAME) is not None
    with pytest.raises(GuardError, match="expected to read only, got a Job"):
        looking.create_job(job("b"))
    with pytest.raises(GuardError, match="expected to read only, got a deletion"):
        looking.delete_job(NAME)
    assert server.writes == []


def test_lost_answers(server: FakeKubernetes, kubectl: Kubectl) -> None:
    """A Job whose making was not answered is met at the next try; a deletion is told as done."""
    server.answered = cut_once("POST")
    assert not kubectl.create_job(job(NAME))
    assert list(server.jobs()) == [NAME]
    server.answered = cut_once("DELETE")
    assert kubectl.delete_job(NAME)
    assert server.jobs() == {}


def test_passing(server: FakeKubernetes, kubectl: Kubectl) -> None:
    """A server that is not ready is asked again."""
    server.intercept = refusing(503, "POST", times=2)
    assert kubectl.create_job(job(NAME))


def test_lasting(server: FakeKubernetes, kubectl: Kubectl) -> None:
    """One that stays so is told as one that did not answer, whoever asked."""
    kubectl.pauses_s = ()
    server.intercept = refusing(503, "POST")
    with pytest.raises(UnansweredError):
        kubectl.create_job(job(NAME))
    server.intercept = refusing(500, "GET")
    with pytest.raises(UnansweredError):
        kubectl.job(NAME)


def test_unreachable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kubectl: Kubectl) -> None:
    """A server that is away may come back: who waits for a Job is told that nobody answered."""
    with FakeKubernetes() as served:
        path = write_kubeconfig(tmp_path / "config", served)
        monkeypatch.setenv("KUBECONFIG", str(path))
        monkeypatch.setenv("HOME", str(tmp_path))
    kubectl.pauses_s = ()
    with pytest.raises(UnansweredError, match=r"expected to reach the cluster, got .*refused"):
        kubectl.job(NAME)
    with pytest.raises(ClusterError, match=r"expected to reach the cluster, got .*refused"):
        kubectl.create_job(job(NAME))
