"""The fake Kubernetes keeps who owns which field, as server-side apply does."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.fakes.kubernetes import FakeKubernetes
from tests.fakes.kubernetes_apply import LAST_APPLIED
from tests.unit.fakes.kubernetes_client import (
    POD,
    REMOVED,
    Client,
    Table,
    changed,
    cron_job,
    environment,
    said,
)

SUSPENDED = {"spec": {"suspend": True}}
OWNED_OF_POD: Table = {
    "f:restartPolicy": {},
    "f:containers": {
        'k:{"name":"main"}': {
            ".": {},
            "f:name": {},
            "f:image": {},
            "f:env": {'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}}},
        }
    },
}
CONTAINER = f"{POD}.containers.0"


@pytest.fixture
def client() -> Iterator[Client]:
    """Serve a cluster."""
    times = (datetime(2026, 11, 20, tzinfo=UTC) + timedelta(seconds=n) for n in range(1000))
    with FakeKubernetes(clock=lambda: next(times)) as server:
        yield Client(server)
    assert server.errors == []


def test_defaults_belong_to_nobody(client: Client) -> None:
    """What is applied is owned, what the server fills in is not."""
    body = client.apply(cron_job()).json()
    assert body["spec"]["suspend"] is False
    assert body["spec"]["concurrencyPolicy"] == "Allow"
    assert (body["spec"]["successfulJobsHistoryLimit"], body["metadata"]["generation"]) == (
        3,
        1,
    )
    pod = body["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["terminationMessagePath"] == "/dev/termination-log"
    assert pod["containers"][0]["imagePullPolicy"] == "IfNotPresent"
    assert pod["containers"][0]["resources"] == {}
    assert (pod["dnsPolicy"], pod["terminationGracePeriodSeconds"]) == ("ClusterFirst", 30)
    [(owner, fields)] = client.owners().items()
    assert owner == "lading Apply"
    assert json.loads(fields) == {
        "f:metadata": {"f:labels": {"f:app": {}}},
        "f:spec": {
            "f:schedule": {},
            "f:jobTemplate": {
                "f:metadata": {"f:labels": {"f:of": {}}},
                "f:spec": {"f:template": {"f:spec": OWNED_OF_POD}},
            },
        },
    }


def test_create_owns_defaults(client: Client) -> None:
    """Who creates owns what the server filled in, too."""
    client.create(cron_job())
    [(owner, fields)] = client.owners().items()
    assert owner == "maker Update"
    assert '"f:suspend"' in fields


def test_one_conflict(client: Client) -> None:
    """A field that another manager has set otherwise is not taken, and nothing is applied."""
    client.apply(cron_job())
    client.merge("a-update", SUSPENDED)
    refused = client.apply(cron_job(spec__suspend=False, spec__schedule="1 * * * *"))
    assert refused.status_code == 409
    assert refused.json()["reason"] == "Conflict"
    assert said(refused) == (
        'Apply failed with 1 conflict: conflict with "kubectl-patch" using batch/v1: .spec.suspend'
    )
    assert refused.json()["details"]["causes"] == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "kubectl-patch" using batch/v1',
            "field": ".spec.suspend",
        }
    ]
    assert client.server.cron_jobs()["a-update"]["spec"]["schedule"] == "0 * * * *"


def test_two_conflicts(client: Client) -> None:
    """All fields that others hold are told, by manager."""
    client.apply(cron_job())
    images = {"name": "main", "image": "r/i:2"}
    pod = {"template": {"spec": {"containers": [images]}}}
    client.merge("a-update", {"spec": {"timeZone": "Etc/UTC", "suspend": True}})
    client.strategic("a-update", {"spec": {"jobTemplate": {"spec": pod}}})
    refused = client.apply(cron_job(spec__suspend=False, spec__timeZone="Europe/Oslo"), "lading")
    assert said(refused) == (
        'Apply failed with 3 conflicts: conflicts with "csa" using batch/v1:\n'
        f'- .{POD}.containers[name="main"].image\n'
        'conflicts with "kubectl-patch" using batch/v1:\n- .spec.suspend\n- .spec.timeZone'
    )


def test_conflict_with_applier(client: Client) -> None:
    """A conflict with another applier names no version."""
    client.apply(cron_job(), "other")
    refused = client.apply(cron_job(spec__schedule="1 * * * *"))
    assert said(refused).endswith('1 conflict: conflict with "other": .spec.schedule')


def test_force(client: Client) -> None:
    """With force, the field changes hands."""
    client.apply(cron_job())
    client.merge("a-update", SUSPENDED)
    taken = client.apply(cron_job(spec__suspend=False), force="true")
    assert taken.json()["spec"]["suspend"] is False
    assert list(client.owners()) == ["lading Apply"]


def test_same_value_is_shared(client: Client) -> None:
    """The same value may be applied by two; it stays until both have let it go."""
    client.apply(cron_job(spec__timeZone="Etc/UTC"))
    assert client.apply(cron_job(spec__timeZone="Etc/UTC"), "other").status_code == 200
    assert client.apply(cron_job()).json()["spec"]["timeZone"] == "Etc/UTC"
    assert "timeZone" not in client.apply(cron_job(), "other").json()["spec"]


def test_omitted_is_kept(client: Client) -> None:
    """What an operator set and the manifest does not name stays as it is."""
    client.apply(cron_job())
    client.merge("a-update", SUSPENDED)
    again = client.apply(cron_job(spec__schedule="1 * * * *")).json()
    assert (again["spec"]["suspend"], again["spec"]["schedule"]) == (True, "1 * * * *")
    assert again["metadata"]["generation"] == 3


def test_dropped_is_removed(client: Client) -> None:
    """What the applier named before and names no more is removed, if nobody else owns it."""
    first = cron_job(metadata__annotations={"a": "1", "b": "2"})
    client.apply(first)
    client.merge("a-update", {"metadata": {"annotations": {"b": "3"}}})
    changes = {f"{CONTAINER}.env": REMOVED, "metadata.annotations": REMOVED}
    left = client.apply(changed(first, changes)).json()
    assert environment(left) == []
    assert left["metadata"]["annotations"] == {"b": "3"}


def test_lists_by_key(client: Client) -> None:
    """Variables of two managers stand side by side; a container goes with who named it."""
    client.apply(cron_job())
    side = {"name": "side", "image": "r/s:1"}
    mine = {"name": "main", "env": [{"name": "B", "value": "2"}]}
    other = cron_job()
    other["spec"] = {"jobTemplate": {"spec": {"template": {"spec": {"containers": [mine, side]}}}}}
    both = client.apply(other, "other").json()
    assert sorted(environment(both)) == ["A", "B"]
    other["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"] = [mine]
    one = client.apply(other, "other").json()
    pod = one["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert [each["name"] for each in pod["containers"]] == ["main"]


def test_nothing_new_changes_nothing(client: Client) -> None:
    """Applying the same again keeps version, generation and the managers' times."""
    first = client.apply(cron_job()).json()
    assert client.apply(cron_job()).json() == first


def test_labels_named_as_parts(client: Client) -> None:
    """A label may be called as a part of an object is."""
    client.apply(cron_job(metadata__labels={"spec": "1", "template": "2"}))
    left = client.apply(cron_job(metadata__labels={"spec": "1"})).json()
    assert left["metadata"]["labels"] == {"spec": "1"}


def test_migration(client: Client) -> None:
    """A client may write the managers itself; an empty one takes them all away."""
    client.create(cron_job(), fieldManager="kubectl-client-side-apply")
    held = client.server.cron_jobs()["a-update"]["metadata"]["managedFields"]
    moved = [{**held[0], "manager": "lading", "operation": "Apply"}]
    patch = [{"op": "replace", "path": "/metadata/managedFields", "value": moved}]
    assert client.json_patch("a-update", patch).status_code == 200
    assert list(client.owners()) == ["lading Apply"]
    assert (
        environment(client.apply(changed(cron_job(), {f"{CONTAINER}.env": REMOVED})).json()) == []
    )


def test_no_managers_any_more(client: Client) -> None:
    """An empty manager takes all away; the next applier then conflicts with what was there."""
    client.apply(cron_job())
    client.merge("a-update", {"metadata": {"managedFields": [{}]}, **SUSPENDED})
    assert client.owners() == {}
    refused = client.apply(cron_job(spec__schedule="1 * * * *"))
    assert 'conflict with "before-first-apply" using batch/v1: .spec.schedule' in said(refused)
    assert client.apply(cron_job()).status_code == 200


def test_update_takes(client: Client) -> None:
    """Who changes a field otherwise than by apply takes it from its managers."""
    client.apply(cron_job())
    client.merge("a-update", {"spec": {"schedule": "1 * * * *"}})
    owners = client.owners()
    assert "f:schedule" not in owners["lading Apply"]
    assert json.loads(owners["kubectl-patch Update"]) == {"f:spec": {"f:schedule": {}}}


@pytest.mark.parametrize(("manager", "status"), [("kubectl", 200), ("lading", 409)])
def test_kubectl_takes_its_own(client: Client, manager: str, status: int) -> None:
    """Only kubectl's own manager takes over what its client-side apply last said."""
    notes = {LAST_APPLIED: json.dumps(cron_job())}
    made = cron_job(metadata__annotations=notes)
    client.create(made, fieldManager="kubectl-client-side-apply")
    assert client.apply(cron_job(spec__schedule="1 * * * *"), manager).status_code == status


def test_managers_are_not_applied(client: Client) -> None:
    """What is applied names no managers."""
    refused = client.apply(cron_job(metadata__managedFields=[{"manager": "a"}]))
    assert (refused.status_code, said(refused)) == (400, "metadata.managedFields must be nil")


def test_raw_apply_does_not_migrate(client: Client) -> None:
    """Without that, a variable of client-side apply stays where the applier drops it."""
    client.create(cron_job(), fieldManager="kubectl-client-side-apply")
    applied = client.apply(changed(cron_job(), {f"{CONTAINER}.env": REMOVED})).json()
    assert environment(applied) == ["A"]


def test_needs_a_manager(client: Client) -> None:
    """Apply without a field manager is refused."""
    refused = client.apply(cron_job(), "")
    assert refused.status_code == 422
    assert "fieldManager: Required value: is required for apply patch" in said(refused)
