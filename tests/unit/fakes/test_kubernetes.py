"""The fake Kubernetes holds: what is kept, deleted, selected and refused."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.fakes.http_server import Request
from tests.fakes.kubernetes import FakeKubernetes
from tests.unit.fakes.kubernetes_client import (
    CRON_JOBS,
    JOBS,
    POD,
    REMOVED,
    Client,
    Table,
    changed,
    cron_job,
    environment,
    job,
    said,
)

SUSPENDED = {"spec": {"suspend": True}}
CONTAINER = f"{POD}.containers.0"


@pytest.fixture
def client() -> Iterator[Client]:
    """Serve a cluster."""
    clock = datetime(2026, 11, 20, 12, 15, tzinfo=UTC)
    with FakeKubernetes(clock=lambda: clock) as server:
        yield Client(server)
    assert server.errors == []


class TestWrites:
    """What is kept."""

    def test_dry_run_keeps_nothing(self, client: Client) -> None:
        """With dryRun=All everything is answered, nothing kept, and no write recorded."""
        client.create(cron_job())
        before, writes = client.server.cron_jobs(), len(client.server.writes)
        assert client.create(cron_job("b"), dryRun="All").status_code == 201
        assert client.apply(cron_job("c"), dryRun="All").status_code == 201
        fresh = cron_job(spec__schedule="9 * * * *")
        assert client.apply(fresh, dryRun="All", force="true").json()["metadata"]["generation"] == 2
        assert client.put(fresh, dryRun="All").json()["spec"]["schedule"] == "9 * * * *"
        assert client.delete("a-update", dryRun=["All"]).status_code == 200
        assert client.create(cron_job("b"), dryRun="Some").status_code == 422
        assert client.server.cron_jobs() == before
        assert len(client.server.writes) == writes
        assert sum(call.dry_run for call in client.server.calls) == 6

    def test_generation(self, client: Client) -> None:
        """The generation rises with the spec alone, the version with every change."""
        made = client.create(cron_job()).json()["metadata"]
        note = {"metadata": {"annotations": {"a": "b"}}}
        noted = client.merge("a-update", note).json()["metadata"]
        suspended = client.merge("a-update", SUSPENDED).json()["metadata"]
        assert [made["generation"], noted["generation"], suspended["generation"]] == [1, 1, 2]
        versions = [int(each["resourceVersion"]) for each in (made, noted, suspended)]
        assert versions[0] < versions[1] < versions[2]
        assert len({each["uid"] for each in (made, noted, suspended)}) == 1

    def test_exists(self, client: Client) -> None:
        """What exists is not created again."""
        client.create(cron_job())
        refused = client.create(cron_job())
        assert (refused.status_code, refused.json()["reason"]) == (409, "AlreadyExists")
        assert said(refused) == 'cronjobs.batch "a-update" already exists'

    def test_absent(self, client: Client) -> None:
        """What does not exist is not found."""
        asked = (client.get("/none"), client.merge("none", {}), client.delete("none"))
        for refused in (*asked, client.put(cron_job("none"))):
            assert refused.status_code == 404
            assert said(refused) == 'cronjobs.batch "none" not found'

    def test_stale(self, client: Client) -> None:
        """What was made from an older state is refused, so is what is meant for another object."""
        old = client.create(cron_job()).json()
        client.merge("a-update", SUSPENDED)
        refused = client.put(old)
        assert refused.status_code == 409
        assert "the object has been modified; please apply your changes to" in said(refused)
        refused = client.delete("a-update", preconditions={"uid": "another"})
        assert refused.status_code == 409
        assert "Precondition failed: UID in precondition: another" in said(refused)
        assert list(client.server.cron_jobs()) == ["a-update"]

    def test_put_replaces(self, client: Client) -> None:
        """A replaced object loses what the new one does not say."""
        client.create(cron_job(spec__timeZone="Etc/UTC"))
        done = client.put(cron_job()).json()
        assert "timeZone" not in done["spec"]
        assert done["spec"]["suspend"] is False

    def test_empty_is_left_out(self, client: Client) -> None:
        """What the API's types leave out when empty is not kept; a status is not written so."""
        env = [{"name": "A", "value": ""}]
        changes = {f"{CONTAINER}.env": env, f"{POD}.hostNetwork": False, "metadata.labels": {}}
        changes |= {f"{POD}.securityContext": {}, f"{POD}.nodeSelector": {}, "spec.timeZone": None}
        body = client.create(changed(cron_job(), changes)).json()
        pod = body["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        assert pod["containers"][0]["env"] == [{"name": "A"}]
        assert pod["securityContext"] == {}
        assert not {"hostNetwork", "nodeSelector"} & set(pod)
        assert "labels" not in body["metadata"]
        done = client.merge("a-update", {"status": {"lastScheduleTime": "now"}})
        assert done.json()["status"] == {}

    def test_strategic_patch(self, client: Client) -> None:
        """A strategic patch merges lists by key, deletes by directive and keeps the order asked."""
        client.create(cron_job())
        patch: Table = {
            "$setElementOrder/containers": [{"name": "main"}],
            "containers": [
                {
                    "name": "main",
                    "$setElementOrder/env": [{"name": "C"}, {"name": "B"}],
                    "env": [
                        {"name": "B", "value": "2"},
                        {"name": "C", "value": "3"},
                        {"name": "A", "$patch": "delete"},
                    ],
                }
            ],
        }
        pod = {"spec": {"jobTemplate": {"spec": {"template": {"spec": patch}}}}}
        assert environment(client.strategic("a-update", pod).json()) == ["C", "B"]

    def test_merge_patch_replaces_lists(self, client: Client) -> None:
        """A merge patch replaces lists and removes by null; unknown fields are said."""
        client.create(cron_job(spec__timeZone="Etc/UTC"))
        done = client.merge("a-update", {"spec": {"timeZone": None, "xyz": 1}})
        assert "timeZone" not in done.json()["spec"]
        assert "unknown field" in done.headers["Warning"]

    def test_json_patch_fails(self, client: Client) -> None:
        """A JSON patch of a path that is not there is refused."""
        client.create(cron_job())
        patch = [{"op": "replace", "path": "/spec/none/x", "value": 1}]
        assert client.json_patch("a-update", patch).status_code == 422

    def test_wrong_places(self, client: Client) -> None:
        """Name, namespace and kind must be those of the URL."""
        wrong = cron_job(metadata__namespace="other")
        assert "namespace of the provided object" in said(client.create(wrong))
        assert said(client.create(job(), CRON_JOBS)).startswith("Job in version")
        assert client.create(cron_job(), "/apis/batch/v2/x").status_code == 404
        refused = client.create(cron_job(), CRON_JOBS.replace("data", "none"))
        assert said(refused) == 'namespaces "none" not found'


class TestJobs:
    """What the controllers do."""

    def test_start_and_finish(self, client: Client) -> None:
        """A Job is named by the minute, has the job template's labels, and is noted."""
        client.create(cron_job())
        server = client.server
        name = server.start_job("a-update")
        assert name == "a-update-29919615"
        started = server.jobs()[name]
        assert started["metadata"]["labels"]["of"] == "template"
        assert "app" not in started["metadata"]["labels"]
        cron = server.cron_jobs()["a-update"]
        [owner] = started["metadata"]["ownerReferences"]
        assert owner["uid"] == cron["metadata"]["uid"]
        assert started["status"]["active"] == 1
        assert [each["name"] for each in cron["status"]["active"]] == [name]
        assert cron["status"]["lastScheduleTime"] == "2026-11-20T12:15:00Z"
        assert cron["metadata"]["generation"] == 1
        server.finish_job(name)
        ended = server.jobs()[name]["status"]
        assert [each["type"] for each in ended["conditions"]][-1] == "Complete"
        assert "active" not in ended
        assert "active" not in server.cron_jobs()["a-update"]["status"]
        second = server.start_job("a-update")
        server.finish_job(second, failed=True)
        assert server.jobs()[second]["status"]["conditions"][-1]["type"] == "Failed"
        assert [each["reason"] for each in server.events] == ["SuccessfulCreate"] * 2

    def test_controller_owns_status(self, client: Client) -> None:
        """The controller owns the status, and so no rollout conflicts with it."""
        client.apply(cron_job())
        client.server.start_job("a-update")
        assert "kube-controller-manager Update" in client.owners()
        assert client.apply(cron_job(spec__schedule="1 * * * *")).status_code == 200
        assert client.server.cron_jobs()["a-update"]["status"]["active"]

    @pytest.mark.parametrize(
        ("policy", "left"), [("Background", 0), ("Foreground", 0), ("Orphan", 1), (None, 0)]
    )
    def test_delete(self, client: Client, policy: str | None, left: int) -> None:
        """Deleting a CronJob deletes its Jobs, unless they are orphaned; others stay."""
        client.create(cron_job())
        client.create(cron_job("b"))
        client.server.start_job("a-update")
        kept = client.server.start_job("b")
        options = {"propagationPolicy": policy} if policy else {}
        done = client.delete("a-update", **options).json()
        assert (done["status"], done["details"]["kind"]) == ("Success", "cronjobs")
        jobs = client.server.jobs()
        assert len(jobs) == left + 1
        owners = [each["metadata"].get("ownerReferences") for each in jobs.values()]
        assert [owner is None for owner in owners].count(True) == left
        assert kept in jobs

    def test_delete_of_a_job_warns(self, client: Client) -> None:
        """Deleting a Job by plain HTTP warns that its pods stay."""
        client.create(job(), JOBS)
        assert "child pods are preserved" in client.delete("once", JOBS).headers["Warning"]

    def test_suspend_leaves_jobs(self, client: Client) -> None:
        """Suspending a CronJob leaves its running Jobs alone."""
        client.create(cron_job())
        name = client.server.start_job("a-update")
        client.merge("a-update", SUSPENDED)
        assert client.server.jobs()[name]["status"]["active"] == 1

    @pytest.mark.parametrize(("length", "starts"), [(51, True), (52, False)])
    def test_indexed_name(self, client: Client, length: int, *, starts: bool) -> None:
        """An Indexed CronJob of 11 workers and 52 characters is accepted, and never starts."""
        body = cron_job("a" * length)
        spec = {"completionMode": "Indexed", "completions": 11, "parallelism": 11}
        body["spec"]["jobTemplate"]["spec"] |= spec
        assert client.create(body).status_code == 201
        assert bool(client.server.start_job("a" * length)) == starts
        [event] = client.server.events
        assert event["reason"] == ("SuccessfulCreate" if starts else "FailedCreate")
        assert ("invalid DNS label" in event["message"]) != starts


SELECTORS = [
    ("", ["a", "b", "c"]),
    ("app=x", ["a"]),
    ("app==x", ["a"]),
    ("app!=x", ["b", "c"]),
    ("app in (x, y)", ["a", "b"]),
    ("app notin (x,y)", ["c"]),
    ("app", ["a", "b"]),
    ("!app", ["c"]),
    ("app in (x,y),tier=one", ["b"]),
    ("app.kubernetes.io/managed-by=lading", []),
]


class TestAsked:
    """What is listed, refused and recorded."""

    @pytest.mark.parametrize(("selector", "found"), SELECTORS)
    def test_selectors(self, client: Client, selector: str, found: list[str]) -> None:
        """A label selector chooses by equality, by set and by presence."""
        client.create(cron_job("a"))
        client.create(cron_job("b", metadata__labels={"app": "y", "tier": "one"}))
        client.create(cron_job("c", metadata__labels=REMOVED))
        listed = client.get(labelSelector=selector).json()
        assert [each["metadata"]["name"] for each in listed["items"]] == found
        assert listed["kind"] == "CronJobList"

    def test_bad_selectors(self, client: Client) -> None:
        """A selector that cannot be read is refused."""
        assert client.get(labelSelector="a in b").status_code == 400
        refused = client.get(fieldSelector="spec.suspend=true")
        assert said(refused) == "field label not supported: spec.suspend"

    def test_field_selector_and_pages(self, client: Client) -> None:
        """A list is chosen by name, and given in pages."""
        for name in "abc":
            client.create(cron_job(name))
        [one] = client.get(fieldSelector="metadata.name=b").json()["items"]
        assert one["metadata"]["name"] == "b"
        first = client.get(limit="2").json()
        rest = client.get(limit="2", **{"continue": first["metadata"]["continue"]}).json()
        assert [len(each["items"]) for each in (first, rest)] == [2, 1]
        assert "continue" not in rest["metadata"]

    def test_namespaces_are_apart(self, client: Client) -> None:
        """Objects of one name stand in two namespaces."""
        client.server.create_plain("other", cron_job())
        client.create(cron_job())
        client.delete("a-update")
        assert list(client.server.cron_jobs("other")) == ["a-update"]
        assert client.server.cron_jobs() == {}
        everywhere = client.http.get("/apis/batch/v1/cronjobs").json()["items"]
        assert [each["metadata"]["namespace"] for each in everywhere] == ["other"]

    def test_token(self) -> None:
        """Without the right token nothing is answered."""
        with FakeKubernetes(token="hush") as server:
            for token, status in (("", 401), ("wrong", 401), ("hush", 200)):
                assert Client(server, token).get().status_code == status

    def test_forbid(self, client: Client) -> None:
        """What is forbidden is refused in the API's words; apply needs leave to create, too."""
        client.server.forbid("list")
        client.server.forbid("create")
        refused = client.get()
        assert refused.status_code == 403
        assert said(refused) == (
            'cronjobs.batch is forbidden: User "tester" cannot list resource "cronjobs" in API'
            ' group "batch" in the namespace "data"'
        )
        assert 'cronjobs.batch "a-update" is forbidden' in said(client.apply(cron_job()))
        assert client.get("/none").status_code == 404

    @pytest.mark.parametrize(
        ("status", "reason"),
        [(429, "TooManyRequests"), (500, "InternalError"), (503, "ServiceUnavailable")],
    )
    def test_refuse_next(self, client: Client, status: int, reason: str) -> None:
        """As many requests as asked are refused, and nothing is done."""
        client.server.refuse_next(2, status, retry_after_s=1)
        for _ in range(2):
            refused = client.create(cron_job())
            assert (refused.status_code, refused.json()["reason"]) == (status, reason)
            assert refused.headers["Retry-After"] == "1"
        assert client.server.cron_jobs() == {}
        assert client.create(cron_job()).status_code == 201

    @pytest.mark.parametrize("done", [False, True])
    def test_cut(self, client: Client, *, done: bool) -> None:
        """A connection is cut before a request is done, or after."""

        def cut(request: Request) -> Any:
            raise ConnectionError(request.path)

        setattr(client.server, "answered" if done else "intercept", cut)
        with pytest.raises(httpx.TransportError):
            client.create(cron_job())
        assert bool(client.server.cron_jobs()) == done

    def test_calls(self, client: Client) -> None:
        """Every request is recorded with its manager, in order."""
        client.apply(cron_job(), dryRun="All")
        client.apply(cron_job())
        client.get()
        client.delete("a-update")
        calls = client.server.calls
        assert [(c.method, c.manager, c.dry_run) for c in calls[:3]] == [
            ("PATCH", "lading", True),
            ("PATCH", "lading", False),
            ("GET", "", False),
        ]
        assert calls[-1].path == f"{CRON_JOBS}/a-update"
        assert [call.method for call in client.server.writes] == ["PATCH", "DELETE"]

    def test_edit_of_an_operator(self, client: Client) -> None:
        """A test edits as an operator would, under his manager's name."""
        client.server.create_plain("data", cron_job())
        client.server.edit("data", "a-update", "kubectl-edit", SUSPENDED)
        assert list(client.owners()) == ["kubectl-create Update", "kubectl-edit Update"]
        assert client.server.get("a-update") == client.get("/a-update").json()
        assert client.server.get("none") is None

    def test_many_at_once(self, client: Client) -> None:
        """Requests of many threads all are kept, each once."""

        def create(prefix: str) -> None:
            own = Client(client.server)
            for number in range(10):
                own.create(cron_job(f"{prefix}-{number}"))

        threads = [threading.Thread(target=create, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        held = client.server.cron_jobs().values()
        assert len({each["metadata"]["resourceVersion"] for each in held}) == 40
