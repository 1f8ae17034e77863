"""Tests of what a live CronJob tells of itself."""

from datetime import UTC, datetime

from lading.k8s.live import LiveCronJob, find_drift, read_live
from tests.unit.k8s.live_objects import STAGED, cron_job, live_body


def live(**given: object) -> LiveCronJob:
    """Return one live CronJob."""
    (found,) = read_live([live_body(cron_job(STAGED), **given)])  # type: ignore[arg-type]
    return found


def test_what_it_says() -> None:
    """Name, uid, role, monitor and digest are read from the object."""
    found = live()
    assert (found.name, found.uid, found.role) == ("staging-update", "uid-staging-update", "update")
    assert found.monitor == "staging-update"
    assert found.spec_sha256 == "5" * 64
    assert found.identity == STAGED


def test_times() -> None:
    """Times of the status are aware; none where it never ran."""
    found = live()
    assert found.last_scheduled is None
    body = {**found.body, "status": {"lastScheduleTime": "2026-11-21T06:00:00Z"}}
    assert LiveCronJob(body, None).last_scheduled == datetime(2026, 11, 21, 6, tzinfo=UTC)


def test_holders_of_lists() -> None:
    """A field of a container is named by the container's key."""
    body = live_body(cron_job(STAGED))
    body["metadata"]["managedFields"] = [
        {
            "manager": "kubectl-edit",
            "operation": "Update",
            "fieldsV1": {
                "f:spec": {
                    "f:containers": {
                        'k:{"name":"main"}': {".": {}, "f:image": {}, "f:args": {}},
                        'v:"x"': {},
                    }
                }
            },
        },
        {
            "manager": "controller",
            "operation": "Update",
            "subresource": "status",
            "fieldsV1": {"f:status": {"f:active": {}}},
        },
    ]
    held = LiveCronJob(body, None).holders()
    assert sorted(held) == [
        '.spec.containers["x"]',
        '.spec.containers[name="main"].args',
        '.spec.containers[name="main"].image',
    ]


def test_no_drift() -> None:
    """What a rollout applied is no drift, and neither is an operator's suspension."""
    assert find_drift(live()) == []
    assert find_drift(live(managers={"kubectl-patch": ["spec.suspend"]}, suspend=True)) == []


def test_drift() -> None:
    """A field that somebody else has set is told with who and when."""
    (found,) = find_drift(live(managers={"kubectl-edit": ["spec.schedule"]}))
    assert found.describe() == ".spec.schedule set by 'kubectl-edit' at 2026-11-21T10:00:00Z"


def test_made_by() -> None:
    """A stranger is named by its label, else by who made it."""
    body = live_body(cron_job(STAGED))
    body["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "Helm"}
    assert LiveCronJob(body, None).made_by == "Helm"
    body["metadata"]["labels"] = {}
    body["metadata"]["managedFields"][0]["manager"] = "kubectl-create"
    assert LiveCronJob(body, None).made_by == "kubectl-create"
    body["metadata"]["managedFields"] = []
    assert LiveCronJob(body, None).made_by == "nobody that it names"
