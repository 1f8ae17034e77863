"""Kubectl: the real one against an API server of ours, and the errors that it makes of faults."""

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lading.errors import (
    ClusterError,
    CommandError,
    ConflictError,
    GuardError,
    Interrupted,
    UnansweredError,
)
from lading.services import kubectl as module
from lading.services.kubectl import Kubectl
from lading.storage.progress import Progress
from tests.fakes.http_server import Reply, Request
from tests.fakes.kubernetes import FakeKubernetes, write_kubeconfig
from tests.fakes.kubernetes_errors import ApiError

if TYPE_CHECKING:
    from lading.k8s.cluster import Cluster

CANARY = "canary-91c4e7d2-token"
NAME = "staging-gfs-v0-3-0-update"
needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is missing")


def cron_job(name: str = NAME, **spec: object) -> dict[str, Any]:
    """Return a CronJob that the API takes."""
    container = {"name": "main", "image": "example.org/gfs:1"}
    pod = {"containers": [container], "restartPolicy": "Never"}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "lading"}},
        "spec": {
            "schedule": "0 4 * * *",
            "timeZone": "Etc/UTC",
            "jobTemplate": {"spec": {"template": {"spec": pod}}},
            **spec,
        },
    }


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKubernetes]:
    """An API server, known to kubectl as the context ``test``."""
    with FakeKubernetes() as served:
        path = write_kubeconfig(tmp_path / "config", served, token=CANARY)
        monkeypatch.setenv("KUBECONFIG", str(path))
        monkeypatch.setenv("HOME", str(tmp_path))
        yield served
    assert served.errors == []


@pytest.fixture
def kubectl(tmp_path: Path) -> Kubectl:
    """The namespace ``data``; nothing waits."""
    return quick(Kubectl("test", "data", tmp_path))


def quick(made: Kubectl) -> Kubectl:
    """Let the further tries follow at once."""
    made.pauses_s = (0, 0)
    return made


def script(folder: Path, text: str) -> str:
    """Write a program that stands in for kubectl."""
    path = folder / "fake-kubectl"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def refusal(error: ApiError) -> Reply:
    """Return a refusal that does not say when to come back: kubectl itself would wait."""
    body = json.dumps(error.status).encode()
    return Reply(error.code, {"Content-Type": "application/json"}, body)


def failing(status: int, *, times: int = 99, method: str = "") -> Callable[[Request], Reply | None]:
    """Answer the first requests for CronJobs with a status."""
    left = [times]

    def answer(request: Request) -> Reply | None:
        if "/cronjobs" not in request.path or method not in {"", request.method} or not left[0]:
            return None
        left[0] -= 1
        return refusal(ApiError(status))

    return answer


def cut_after(method: str) -> Callable[[Request], None]:
    """Cut the connection when the first request of a method is done."""
    left = [1]

    def cut(request: Request) -> None:
        if request.method == method and left[0]:
            left[0] -= 1
            raise ConnectionResetError

    return cut


def managers(body: dict[str, Any]) -> set[str]:
    """Return the field managers of an object."""
    return {each["manager"] for each in body["metadata"]["managedFields"]}


@needs_kubectl
class TestLook:
    """What only reads."""

    def test_place(self, kubectl: Kubectl) -> None:
        """It is what the room of decisions asks for, and tells context and namespace."""
        cluster: Cluster = kubectl

        assert cluster.place == "test/data"

    def test_known_context(self, server: FakeKubernetes, kubectl: Kubectl) -> None:
        """A context that the kubeconfig has is no error, and the cluster is not asked."""
        kubectl.require_context()

        assert not any(each.path.startswith("/apis") for each in server.calls)

    def test_unknown_context(self, server: FakeKubernetes, tmp_path: Path) -> None:
        """A context that the kubeconfig lacks is told with those that it has, the nearest named."""
        with pytest.raises(ClusterError) as caught:
            Kubectl("tset", "data", tmp_path).require_context()

        words = "expected the context tset in the kubeconfig, found test, other; did you mean test?"
        assert str(caught.value) == f"kubectl: {words}"
        assert not any(each.path.startswith("/apis") for each in server.calls)

    @pytest.mark.slow
    def test_no_kubeconfig(
        self, kubectl: Kubectl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without a kubeconfig there is no context, and one line says so, whatever is asked."""
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
        with pytest.raises(ClusterError, match=r"found none; KUBECONFIG names"):
            kubectl.require_context()
        with pytest.raises(ClusterError, match="expected the context in the kubeconfig"):
            kubectl.cron_jobs()

    def test_namespace_and_context_of_ours(self, server: FakeKubernetes, tmp_path: Path) -> None:
        """The namespace asked is ours, never the context's; the context ours, not the current."""
        server.create_plain("data", cron_job())
        other = Kubectl("other", "data", tmp_path)

        assert [each["metadata"]["name"] for each in other.cron_jobs()] == [NAME]
        assert server.calls[-1].path == "/apis/batch/v1/namespaces/data/cronjobs"

    def test_listing_in_pages(
        self, server: FakeKubernetes, kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """All pages are read; each object says what it is and who manages its fields."""
        names = [f"gfs-{number}" for number in range(5)]
        for name in names:
            server.create_plain("data", cron_job(name))
        monkeypatch.setattr(module, "_PAGE", 2)
        found = kubectl.cron_jobs()

        assert [each["metadata"]["name"] for each in found] == names
        assert {each["kind"] for each in found} == {"CronJob"}
        assert managers(dict(found[0])) == {"kubectl-create"}
        assert len([each for each in server.calls if each.path.endswith("cronjobs")]) == 3

    @pytest.mark.slow
    def test_listing_that_expires(
        self, server: FakeKubernetes, kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A listing whose pages expire is begun anew, a bounded number of times."""
        for name in ("gfs-1", "gfs-2"):
            server.create_plain("data", cron_job(name))
        monkeypatch.setattr(module, "_PAGE", 1)
        left = [1]

        def intercept(request: Request) -> Reply | None:
            if "continue=" not in request.query or not left[0]:
                return None
            left[0] -= 1
            return refusal(ApiError(410, "The provided continue parameter is too old", "Expired"))

        server.intercept = intercept
        assert [each["metadata"]["name"] for each in kubectl.cron_jobs()] == ["gfs-1", "gfs-2"]
        left[0] = 99
        monkeypatch.setattr(module, "_LISTINGS", 1)
        with pytest.raises(UnansweredError, match="got pages that expire"):
            kubectl.cron_jobs()

    def test_jobs_by_selector(self, server: FakeKubernetes, kubectl: Kubectl) -> None:
        """A selector with signs that a URL would take for its own arrives as it is."""
        server.create_plain("data", cron_job())
        job = server.start_job(NAME)
        selector = "!kueue.x-k8s.io/queue-name,app.kubernetes.io/name notin (a,b)"
        (found,) = kubectl.jobs(selector)

        assert (found["metadata"]["name"], found["kind"]) == (job, "Job")
        assert server.calls[-1].query["labelSelector"] == selector


@needs_kubectl
class TestDryRun:
    """An apply that keeps nothing."""

    def test_what_would_stand(self, server: FakeKubernetes, kubectl: Kubectl) -> None:
        """Objects come back with their defaults, in the order given; nothing is kept."""
        found = kubectl.dry_run([cron_job("gfs-b"), cron_job("gfs-a")], take=False)

        assert [each["metadata"]["name"] for each in found] == ["gfs-b", "gfs-a"]
        assert found[0]["spec"]["concurrencyPolicy"] == "Allow"
        assert server.cron_jobs() == {}
        assert kubectl.dry_run([], take=False) == []

    def test_all_that_is_refused(self, server: FakeKubernetes, kubectl: Kubectl) -> None:
        """Every bad object has its line with its name and the server's words; good ones none."""
        long = "gfs-" + "x" * 50
        objects = [cron_job("gfs-good"), cron_job(long), cron_job("gfs-bad", schedule="x")]
        objects.append(cron_job("gfs-unknown", shedule="0 0 * * *"))
        with pytest.raises(ClusterError) as caught:
            kubectl.dry_run(objects, take=False)

        lines = sorted(str(caught.value).splitlines())
        assert [line.split(": ")[:2] for line in lines] == [
            ["test/data", "gfs-bad"],
            ["test/data", "gfs-unknown"],
            ["test/data", long],
        ]
        assert "spec.schedule: Invalid value" in lines[0]
        assert "shedule" in lines[1]
        assert "must be no more than 52 characters" in lines[2]
        assert server.cron_jobs() == {}

    def test_conflicts(self, server: FakeKubernetes, kubectl: Kubectl) -> None:
        """The fields that others hold are told of all objects; ``take`` would take them."""
        objects = [cron_job(f"gfs-{each}", suspend=False) for each in "abc"]
        kubectl.apply(objects, take=False)
        server.edit("data", "gfs-a", "kubectl-patch", {"spec": {"suspend": True}})
        edit = {"spec": {"suspend": True, "schedule": "1 1 * * *"}}
        server.edit("data", "gfs-c", "kubectl-edit", edit)
        with pytest.raises(ConflictError) as caught:
            kubectl.dry_run(objects, take=False)

        assert sorted(caught.value.fields) == [
            ("gfs-a", ".spec.suspend", "kubectl-patch"),
            ("gfs-c", ".spec.schedule", "kubectl-edit"),
            ("gfs-c", ".spec.suspend", "kubectl-edit"),
        ]
        assert 'test/data: gfs-a: .spec.suspend is held by "kubectl-patch"' in str(caught.value)
        assert "take=1" in caught.value.hint
        found = kubectl.dry_run(objects, take=True)
        assert [each["spec"]["suspend"] for each in found] == [False] * 3
        assert server.cron_jobs()["gfs-a"]["spec"]["suspend"] is True

    @pytest.mark.slow
    def test_conflict_of_one(self, server: FakeKubernetes, kubectl: Kubectl) -> None:
        """Of a single object, too, the conflict is named with it."""
        server.create_plain("data", cron_job(), manager="somebody")
        with pytest.raises(ConflictError) as caught:
            kubectl.dry_run([cron_job(schedule="9 9 * * *")], take=False)

        assert caught.value.fields == ((NAME, ".spec.schedule", "somebody"),)

    @pytest.mark.slow
    def test_conflict_beside_what_is_refused(
        self, server: FakeKubernetes, kubectl: Kubectl
    ) -> None:
        """A conflict beside a refusal is told, too, but taking over would not be enough."""
        server.create_plain("data", cron_job("gfs-a"), manager="somebody")
        objects = [cron_job("gfs-a", schedule="9 9 * * *"), cron_job("gfs-b", schedule="x")]
        with pytest.raises(ClusterError) as caught:
            kubectl.dry_run(objects, take=False)

        assert type(caught.value) is ClusterError
        assert 'gfs-a: .spec.schedule is held by "somebody"' in str(caught.value)
        assert "gfs-b: refused: spec.schedule" in str(caught.value)

    @pytest.mark.slow
    def test_missing_namespace(self, server: FakeKubernetes, tmp_path: Path) -> None:
        """A namespace that is not there is told as that."""
        nowhere = quick(Kubectl("test", "nowhere", tmp_path))
        with pytest.raises(ClusterError, match="expected the namespace nowhere, found none"):
            nowhere.dry_run([cron_job()], take=False)
        assert nowhere.cron_jobs() == []
        assert server.writes == []


@needs_kubectl
class TestWrite:
    """What stays."""

    def test_apply_twice(self, server: FakeKubernetes, kubectl: Kubectl) -> None:
        """A set stands as field manager ``lading``; the same set again changes nothing."""
        objects = [cron_job("gfs-a"), cron_job("gfs-b")]
        kubectl.apply(objects, take=False)
        before = {name: each["metadata"] for name, each in server.cron_jobs().items()}
        kubectl.apply(objects, take=False)

        assert {name: each["metadata"] for name, each in server.cron_jobs().items()} == before
        assert managers(server.cron_jobs()["gfs-a"]) == {"lading"}
        # kubectl 1.20 knows no such option: what is applied is checked without it
        assert {each.query.get("fieldValidation") for each in server.writes} <= {"Strict", None}

    @pytest.mark.slow
    def test_take(self, server: FakeKubernetes, kubectl: Kubectl) -> None:
        """Fields of others are left alone, or taken where that is asked for."""
        server.create_plain("data", cron_job(), manager="somebody")
        with pytest.raises(ConflictError):
            kubectl.apply([cron_job(schedule="9 9 * * *")], take=False)

        assert server.cron_jobs()[NAME]["spec"]["schedule"] == "0 4 * * *"
        kubectl.apply([cron_job(schedule="9 9 * * *")], take=True)
        assert server.cron_jobs()[NAME]["spec"]["schedule"] == "9 9 * * *"

    def test_good_ones_stand(self, server: FakeKubernetes, kubectl: Kubectl) -> None:
        """Beside an object that is refused the good ones stand, and the error names the bad."""
        with pytest.raises(ClusterError, match=r"test/data: gfs-b: refused: spec\.schedule"):
            kubectl.apply([cron_job("gfs-a"), cron_job("gfs-b", schedule="x")], take=False)

        assert list(server.cron_jobs()) == ["gfs-a"]

    def test_suspend(self, server: FakeKubernetes, kubectl: Kubectl) -> None:
        """A CronJob is suspended and resumed as ``lading-cleanup``; an absent one is told."""
        server.create_plain("data", cron_job())
        for suspended in (True, False):
            assert kubectl.suspend(NAME, suspended=suspended)
            assert server.cron_jobs()[NAME]["spec"]["suspend"] is suspended
        assert "lading-cleanup" in managers(server.cron_jobs()[NAME])
        assert not kubectl.suspend("gfs-none", suspended=True)

    def test_annotate(self, server: FakeKubernetes, kubectl: Kubectl) -> None:
        """Annotations are set and removed, signs and all; the others stay."""
        server.create_plain("data", cron_job())
        odd = 'a "b" $(c) %d\né'
        assert kubectl.annotate(NAME, {"lading/cleanup": odd, "lading/x": "1"})
        assert kubectl.annotate(NAME, {"lading/x": None, "lading/none": None})
        assert server.cron_jobs()[NAME]["metadata"]["annotations"] == {"lading/cleanup": odd}
        assert not kubectl.annotate("gfs-none", {"lading/x": "1"})

    @pytest.mark.parametrize("orphan", [True, False])
    def test_delete(self, server: FakeKubernetes, kubectl: Kubectl, *, orphan: bool) -> None:
        """A CronJob goes with its Jobs, or without; one that was not there is told."""
        server.create_plain("data", cron_job())
        server.start_job(NAME)
        assert kubectl.delete(NAME, orphan=orphan)
        assert server.cron_jobs() == {}
        assert len(server.jobs()) == (1 if orphan else 0)
        assert not kubectl.delete(NAME, orphan=orphan)

    def test_read_only(self, server: FakeKubernetes, tmp_path: Path) -> None:
        """What may only look makes dry runs, and refuses every write before kubectl is called."""
        looking = Kubectl("test", "data", tmp_path, read_only=True)
        (found,) = looking.dry_run([cron_job()], take=False)
        assert found["metadata"]["name"] == NAME
        before = len(server.calls)
        for write in (
            lambda: looking.apply([cron_job()], take=False),
            lambda: looking.suspend(NAME, suspended=True),
            lambda: looking.annotate(NAME, {}),
            lambda: looking.delete(NAME, orphan=True),
        ):
            with pytest.raises(GuardError, match="test/data: expected to read only, got a"):
                write()
        assert len(server.calls) == before

    def test_warnings(self, server: FakeKubernetes, kubectl: Kubectl) -> None:
        """What the server warns of is no error, and is kept once."""
        headers = {"Content-Type": "application/json", "Warning": '299 - "old: use v2"'}
        body = b'{"metadata": {}, "items": []}'
        server.intercept = lambda request: (
            Reply(200, dict(headers), body) if "/cronjobs" in request.path else None
        )
        assert kubectl.cron_jobs() + kubectl.cron_jobs() == []
        assert kubectl.warnings == ["old: use v2"]


@needs_kubectl
class TestFaults:
    """Answers that do not come, and refusals."""

    @pytest.mark.slow
    def test_passing(self, server: FakeKubernetes, kubectl: Kubectl) -> None:
        """What passes is tried again: a look, a set, a patch."""
        server.create_plain("data", cron_job())
        server.intercept = failing(503, times=1)
        assert len(kubectl.cron_jobs()) == 1
        server.intercept = failing(429, times=1, method="PATCH")
        kubectl.apply([cron_job("gfs-a"), cron_job("gfs-b")], take=False)
        server.intercept = failing(500, times=1, method="PATCH")
        assert kubectl.suspend("gfs-a", suspended=True)

    def test_lasting(self, server: FakeKubernetes, kubectl: Kubectl) -> None:
        """What lasts is met a bounded number of times; one line says that nobody knows."""
        asked: list[str] = []
        fail = failing(503)

        def intercept(request: Request) -> Reply | None:
            asked.append(request.path)
            return fail(request)

        server.intercept = intercept
        with pytest.raises(
            UnansweredError, match=r"test/data: .*expected an answer, got"
        ) as caught:
            kubectl.cron_jobs()

        assert len([path for path in asked if path.endswith("/cronjobs")]) == 3
        assert "\n" not in str(caught.value)

    def test_lost_answer_of_a_deletion(self, server: FakeKubernetes, kubectl: Kubectl) -> None:
        """A deletion whose answer was lost is found done, and told as done."""
        server.create_plain("data", cron_job())
        server.answered = cut_after("DELETE")

        assert kubectl.delete(NAME, orphan=True)
        assert server.cron_jobs() == {}

    @pytest.mark.slow
    def test_lost_answer_of_an_apply(self, server: FakeKubernetes, kubectl: Kubectl) -> None:
        """A set whose answer was lost is applied again, which changes nothing."""
        server.answered = cut_after("PATCH")
        kubectl.apply([cron_job("gfs-a"), cron_job("gfs-b")], take=False)

        assert list(server.cron_jobs()) == ["gfs-a", "gfs-b"]

    @pytest.mark.slow
    def test_silence(self, server: FakeKubernetes, tmp_path: Path) -> None:
        """A server that says nothing is left after the time limit of a request."""
        silent = quick(Kubectl("test", "data", tmp_path, timeout_s=0.4))
        silent.pauses_s = ()
        done = threading.Event()

        def hang(request: Request) -> Reply | None:
            if "/cronjobs" in request.path:
                done.wait(10)
            return None

        server.intercept = hang
        with pytest.raises(UnansweredError, match="expected an answer, got"):
            silent.cron_jobs()
        done.set()

    def test_nobody_the_server_knows(self, server: FakeKubernetes, kubectl: Kubectl) -> None:
        """A login that the server does not know is told as that."""
        server.token = CANARY
        for ask in (kubectl.cron_jobs, lambda: kubectl.apply([cron_job()], take=False)):
            with pytest.raises(
                ClusterError, match=r"expected to be logged in, got .*; log in"
            ) as c:
                ask()
            assert c.value.status == 401
        assert server.writes == []

    def test_forbidden(self, server: FakeKubernetes, kubectl: Kubectl) -> None:
        """What is not allowed is named with verb, resource, namespace, and the rule it needs."""
        server.forbid("list")
        server.forbid("patch")
        words = "expected tester to be allowed to list cronjobs.batch in the namespace data, got"
        with pytest.raises(ClusterError, match=f"^test/data: {words} forbidden; ") as caught:
            kubectl.cron_jobs()
        assert caught.value.status == 403
        assert 'apiGroups: ["batch"], resources: ["cronjobs"], verbs: ["list"]' in caught.value.hint
        with pytest.raises(ClusterError) as caught:
            kubectl.apply([cron_job("gfs-a"), cron_job("gfs-b")], take=False)
        assert str(caught.value).count("to be allowed to patch") == 1
        assert "\n" not in str(caught.value)

    def test_unreachable(
        self, kubectl: Kubectl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A server that is not there is told in one line: nothing was asked."""
        with FakeKubernetes() as served:
            path = write_kubeconfig(tmp_path / "config", served)
            monkeypatch.setenv("KUBECONFIG", str(path))
            monkeypatch.setenv("HOME", str(tmp_path))
        kubectl.pauses_s = ()
        with pytest.raises(ClusterError, match=r"expected to reach the cluster, got .*refused"):
            kubectl.cron_jobs()
        # of a set, part may stand where the server went away in its middle
        with pytest.raises((ClusterError, UnansweredError), match="to reach the cluster") as caught:
            kubectl.apply([cron_job("gfs-a"), cron_job("gfs-b")], take=False)
        assert isinstance(caught.value, UnansweredError)

    @pytest.mark.usefixtures("server")
    def test_verbose_plugin(self, kubectl: Kubectl, tmp_path: Path) -> None:
        """A login program that fails, and tells its tokens, is named; its own words are not."""
        told = f"echo 'error: token {CANARY}' >&2; echo '+ curl {CANARY}' >&2; exit 3"
        plugin = script(tmp_path, told)
        config = json.loads((tmp_path / "config").read_text())
        version = "client.authentication.k8s.io/v1beta1"
        config["users"][0]["user"] = {"exec": {"apiVersion": version, "command": plugin}}
        config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
        (tmp_path / "config").write_text(json.dumps(config))
        with pytest.raises(ClusterError, match=r"got getting credentials.*exit code 3") as caught:
            kubectl.cron_jobs()
        assert CANARY not in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.slow
    @pytest.mark.usefixtures("server")
    def test_nobody_to_log_in(self, kubectl: Kubectl, tmp_path: Path) -> None:
        """Where the kubeconfig has no login, nobody is asked."""
        config = json.loads((tmp_path / "config").read_text())
        config["users"] = []
        config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
        (tmp_path / "config").write_text(json.dumps(config))
        for ask in (kubectl.cron_jobs, lambda: kubectl.apply([cron_job()], take=False)):
            with pytest.raises(ClusterError, match="to be logged in, got no credentials"):
                ask()


class TestProgram:
    """The program itself, which need not be kubectl here."""

    def test_missing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without kubectl one line says so, and how to get it."""
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(CommandError, match=r"found none on the PATH; install kubectl"):
            Kubectl("test", "data", tmp_path).require_context()

    def test_every_call_is_bounded(self, tmp_path: Path) -> None:
        """A kubectl that does not end is ended, and what it did is not known."""
        program = script(tmp_path, f"echo x >> {tmp_path}/asked; exec tail -f /dev/null")
        stuck = quick(Kubectl("test", "data", tmp_path, timeout_s=0.05, program=program))
        with pytest.raises(UnansweredError, match=r"expected an answer, got none within 0\.1 s"):
            stuck.delete(NAME, orphan=True)
        assert (tmp_path / "asked").read_text() == "x\n" * 3

    def test_interrupted(self, tmp_path: Path) -> None:
        """A signal ends the call, and no further try is made."""

        class Ended(Progress):
            def relative_update(self, inc: int = 1) -> None:
                del inc
                raise Interrupted(15)

        program = script(tmp_path, "exec tail -f /dev/null")
        with pytest.raises(Interrupted):
            Kubectl("test", "data", tmp_path, progress=Ended(), program=program).cron_jobs()

    def test_arguments(self, tmp_path: Path) -> None:
        """Context, namespace and a time limit stand in every call; kuberc is switched off."""
        program = script(tmp_path, f'echo "$@" $KUBERC >> {tmp_path}/asked; echo "{{}}" >&2')
        made = quick(Kubectl("test", "data", tmp_path, timeout_s=7, program=program))
        made.suspend(NAME, suspended=True)
        made.delete(NAME, orphan=True)
        made.apply([cron_job()], take=True)
        for line in (tmp_path / "asked").read_text().splitlines():
            assert line.endswith(" --context=test --namespace=data --request-timeout=7s off")

    @pytest.mark.parametrize("said", ["", "garbage", "[]", '{"metadata": 1}'])
    def test_no_json(self, tmp_path: Path, said: str) -> None:
        """What is no object of the API is told in one line."""
        program = script(tmp_path, f"echo '{said}'")
        with pytest.raises(ClusterError, match="expected an object of the API, got"):
            Kubectl("test", "data", tmp_path, program=program).cron_jobs()

    def test_left_out(self, tmp_path: Path) -> None:
        """An object that kubectl does not print is missed."""
        program = script(tmp_path, """echo '{"kind": "List", "metadata": {}, "items": []}'""")
        with pytest.raises(ClusterError, match=f"{NAME}: expected kubectl to print it"):
            Kubectl("test", "data", tmp_path, program=program).dry_run([cron_job()], take=False)

    @pytest.mark.parametrize("form", ["token: {}", 'token: "{}"', '"token": "{}"', "password: {}"])
    def test_secrets_of_the_kubeconfig(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
    ) -> None:
        """What the kubeconfig keeps secret is told nowhere, whoever prints it."""
        (tmp_path / "config").write_text(f"users:\n- user:\n    {form.format(CANARY)}\n")
        monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/none{os.pathsep}{tmp_path}/config")
        told = f"echo 'Warning: <{CANARY}>' >&2; echo 'error: <{CANARY}> is bad' >&2; exit 1"
        made = Kubectl("test", "data", tmp_path, program=script(tmp_path, told))
        with pytest.raises(ClusterError, match=r"<\*\*\*> is bad") as caught:
            made.cron_jobs()
        assert CANARY not in repr(caught.value)
        assert made.warnings == ["<***>"]
