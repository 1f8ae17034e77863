"""What the controllers of CronJobs and Jobs do, when a test says so; nothing runs by itself."""

import copy

from tests.fakes.kubernetes_errors import ApiError
from tests.fakes.kubernetes_fields import API_VERSION, Table
from tests.fakes.kubernetes_store import KubernetesStore, Write

CONTROLLER = "kube-controller-manager"
SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"


def start_job(store: KubernetesStore, namespace: str, cron_name: str) -> tuple[str, Table]:
    """Start a Job of a CronJob; return its name, "" where the API refuses it, and the event.

    The Job gets the labels and annotations of the job template alone, and is named by the minute.
    """
    cron = store.get("cronjobs", namespace, cron_name)
    minute = int(store.clock().timestamp()) // 60
    while ("jobs", namespace, f"{cron_name}-{minute}") in store.objects:
        minute += 1
    template = copy.deepcopy(cron["spec"]["jobTemplate"])
    meta = {**template.get("metadata", {}), "name": f"{cron_name}-{minute}"}
    meta["annotations"] = {**meta.get("annotations", {}), SCHEDULED: store.now}
    meta["ownerReferences"] = [_owner(cron)]
    body = {"apiVersion": API_VERSION, "kind": "Job", "metadata": meta, "spec": template["spec"]}
    try:
        job = store.create("jobs", namespace, body, Write(manager=CONTROLLER))
    except ApiError as error:
        return "", _event(cron, "Warning", "FailedCreate", f"Error creating job: {error}")
    _note_start(store, cron, job)
    name = job["metadata"]["name"]
    return name, _event(cron, "Normal", "SuccessfulCreate", f"Created job {name}")


def finish_job(store: KubernetesStore, namespace: str, name: str, *, failed: bool) -> None:
    """End a Job, complete or failed, and note it on its CronJob."""
    now = store.now
    conditions = [
        {"type": each, "status": "True", "lastProbeTime": now, "lastTransitionTime": now}
        for each in (("FailureTarget", "Failed") if failed else ("SuccessCriteriaMet", "Complete"))
    ]
    done: Table = {"failed": 1} if failed else {"succeeded": 1, "completionTime": now}
    job = store.get("jobs", namespace, name)
    status = {"active": None, "ready": 0, "conditions": conditions, **done}
    _set_status(store, "jobs", job, status)
    for owner in job["metadata"].get("ownerReferences", []):
        if ("cronjobs", namespace, owner["name"]) in store.objects:
            cron = store.get("cronjobs", namespace, owner["name"])
            left = [each for each in cron["status"].get("active", []) if each["name"] != name]
            seen = {} if failed else {"lastSuccessfulTime": now}
            _set_status(store, "cronjobs", cron, {"active": left or None, **seen})


def _note_start(store: KubernetesStore, cron: Table, job: Table) -> None:
    parallel = job["spec"].get("parallelism", 1)
    status = {"active": parallel, "ready": parallel, "startTime": store.now}
    _set_status(store, "jobs", job, status)
    meta = job["metadata"]
    entry = {"apiVersion": API_VERSION, "kind": "Job", "uid": meta["uid"]}
    entry |= {"name": meta["name"], "namespace": meta["namespace"]}
    active = [*cron["status"].get("active", []), entry]
    _set_status(store, "cronjobs", cron, {"active": active, "lastScheduleTime": store.now})


def _set_status(store: KubernetesStore, plural: str, body: Table, status: Table) -> None:
    meta = body["metadata"]
    write = Write(manager=CONTROLLER, subresource="status")
    store.patch(plural, meta["namespace"], meta["name"], ("merge", {"status": status}), write)


def _owner(cron: Table) -> Table:
    owner = {"apiVersion": API_VERSION, "kind": "CronJob", "name": cron["metadata"]["name"]}
    return {**owner, "uid": cron["metadata"]["uid"], "controller": True, "blockOwnerDeletion": True}


def _event(body: Table, kind: str, reason: str, message: str) -> Table:
    meta = body["metadata"]
    about = {"kind": body["kind"], "name": meta["name"], "namespace": meta["namespace"]}
    event = {"apiVersion": "v1", "kind": "Event", "type": kind, "reason": reason}
    place = {"name": f"{meta['name']}.{reason.lower()}", "namespace": meta["namespace"]}
    return {**event, "message": message, "metadata": place, "involvedObject": about}
