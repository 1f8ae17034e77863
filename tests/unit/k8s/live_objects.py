"""Live CronJobs as an API server would tell them, made by hand for pure decisions."""

from collections.abc import Mapping, Sequence
from typing import Any

from lading.k8s.identity import Identity
from lading.k8s.rollout import CronJob, Rollout

STAGED = Identity(
    project="weather",
    environment="staging",
    dataset="noaa-gfs-analysis",
    version="0.3.0",
    branch="stage/noaa-gfs-analysis/v0.3.0",
    commit="a" * 40,
    image="registry.example/weather:" + "a" * 40,
    stores=("s3://weather/noaa-gfs-analysis/v0.3.0.zarr",),
)
PRODUCTION = Identity(
    project="weather",
    environment="production",
    dataset="noaa-gfs-analysis",
    version="0.2.9",
    branch="main",
    commit="b" * 40,
    image="registry.example/weather:" + "b" * 40,
    stores=("s3://weather/noaa-gfs-analysis/v0.2.9.zarr",),
)
SPEC_SHA256 = "5" * 64


def spec(schedule: str = "0 6 * * *", **more: Any) -> dict[str, Any]:
    """Return the spec of a CronJob."""
    return {"schedule": schedule, "timeZone": "Etc/UTC", "jobTemplate": {"spec": {}}, **more}


def cron_job(
    identity: Identity = STAGED, role: str = "update", name: str = "", **more: Any
) -> CronJob:
    """Return a CronJob that is to be applied."""
    name = name or f"{identity.environment}-{role}"
    body: dict[str, Any] = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {
            "name": name,
            "namespace": "data",
            "labels": identity.labels(role),
            "annotations": identity.annotations(role, SPEC_SHA256, name),
        },
        "spec": spec(**more),
    }
    return CronJob(
        role=role,
        name=name,
        schedule=body["spec"]["schedule"],
        time_zone="Etc/UTC",
        monitor=name,
        spec_sha256=SPEC_SHA256,
        body=body,
    )


def rollout(identity: Identity = STAGED, roles: Sequence[str] = ("update", "validate")) -> Rollout:
    """Return a rollout of some roles."""
    return Rollout(
        identity=identity,
        context="test",
        namespace="data",
        cron_jobs=tuple(cron_job(identity, role) for role in roles),
    )


def fields(*paths: str) -> dict[str, Any]:
    """Return a ``fieldsV1`` of paths of plain names, as ``spec.suspend``."""
    found: dict[str, Any] = {}
    for path in paths:
        below = found
        for part in path.split("."):
            below = below.setdefault(f"f:{part}", {})
    return found


def live_body(
    job: CronJob,
    *,
    managers: Mapping[str, Sequence[str]] | None = None,
    annotations: Mapping[str, str] | None = None,
    active: Sequence[str] = (),
    **changed: Any,
) -> dict[str, Any]:
    """Return a CronJob as it stands after an apply.

    Args:
        job: what was applied.
        managers: by other field manager, the paths that it holds.
        annotations: beside its own.
        active: names of Jobs that run.
        changed: fields of the spec.
    """
    taken = {path for paths in (managers or {}).values() for path in paths}
    ours = {"spec.schedule", "spec.timeZone", *(f"spec.{name}" for name in changed)} - taken
    entries = [{"manager": "lading", "operation": "Apply", "fieldsV1": fields(*sorted(ours))}]
    entries += [
        {
            "manager": name,
            "operation": "Update",
            "fieldsV1": fields(*paths),
            "time": "2026-11-21T10:00:00Z",
        }
        for name, paths in (managers or {}).items()
    ]
    meta = dict(job.body["metadata"])
    return {
        **job.body,
        "metadata": {
            **meta,
            "uid": f"uid-{job.name}",
            "annotations": {**meta["annotations"], **(annotations or {})},
            "managedFields": entries,
        },
        "spec": {**job.body["spec"], "suspend": False, **changed},
        "status": {"active": [{"name": name} for name in active]} if active else {},
    }
