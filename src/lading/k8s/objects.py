"""CronJobs as they are to stand: named, filled, and marked with who they are."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from lading.k8s.cluster import JsonObject
from lading.k8s.identity import DOMAIN, MANAGED_BY, MANAGER, Identity
from lading.k8s.json_data import canonical_json, sort_keys
from lading.k8s.placeholders import fill
from lading.k8s.rollout import CronJob
from lading.k8s.templates import Template


def build_cron_job(
    template: Template, name: str, schedule: str, identity: Identity, monitor: str, namespace: str
) -> CronJob:
    """Make a CronJob of a template; equal arguments give equal bytes. Pure.

    Args:
        template: the manifest, with its placeholders.
        name: name in the cluster.
        schedule: schedule, moved where schedules are staggered.
        identity: who it is; written on the CronJob, its job template and its pod template, beside
            the labels and annotations that the manifest gives them.
        monitor: slug of its monitor; "" where none watches it.
        namespace: its namespace.

    Raises:
        ClusterError: the manifest uses a placeholder for which ``identity`` has no value.
    """
    values = _values(template, name, schedule, identity)
    body = fill(template.body, values, template.place)
    spec = {**body["spec"], "schedule": schedule, "timeZone": template.time_zone}
    digest = digest_spec(spec)
    labels = identity.labels(template.role)
    annotations = identity.annotations(template.role, digest, monitor)

    def mark(meta: Mapping[str, Any]) -> dict[str, Any]:
        return {
            **meta,
            "labels": {**(meta.get("labels") or {}), **labels},
            "annotations": {**(meta.get("annotations") or {}), **annotations},
        }

    meta = {**body["metadata"], "name": name, "namespace": namespace}
    body = {**body, "metadata": mark(meta), "spec": _with_templates(spec, mark)}
    return CronJob(
        role=template.role,
        name=name,
        schedule=schedule,
        time_zone=template.time_zone,
        monitor=monitor,
        spec_sha256=digest,
        body=sort_keys(body),
    )


def digest_spec(spec: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a CronJob's spec: what runs, when, and in what image.

    Left out are ``suspend``, which is an operator's to set, and our own labels and annotations:
    the digest of what was built is the digest of what it was built from.

    Returns:
        64 hexadecimal digits.
    """
    bare = {key: value for key, value in spec.items() if key != "suspend"}
    return hashlib.sha256(canonical_json(_with_templates(bare, _without_ours))).hexdigest()


def strip_suspend(body: JsonObject) -> JsonObject:
    """Return a CronJob that says nothing of ``suspend``, so that what is set stays."""
    spec = {key: value for key, value in body["spec"].items() if key != "suspend"}
    return {**body, "spec": spec}


def _values(template: Template, name: str, schedule: str, identity: Identity) -> dict[str, str]:
    return {
        "image": identity.image,
        "name": name,
        "schedule": schedule,
        "time_zone": template.time_zone,
        "dataset": identity.dataset,
        "version": identity.version,
        "role": template.role,
        "commit": identity.commit,
        "store": next(iter(identity.stores), ""),
        "environment": identity.environment,
    }


def _with_templates(
    spec: Mapping[str, Any], change: Callable[[Mapping[str, Any]], dict[str, Any]]
) -> dict[str, Any]:
    """Return a CronJob's spec with the metadata of its job and pod template changed."""
    job = spec["jobTemplate"]
    pod = job["spec"]["template"]
    pod = {**pod, "metadata": change(pod.get("metadata") or {})}
    job_spec = {**job["spec"], "template": pod}
    job = {**job, "metadata": change(job.get("metadata") or {}), "spec": job_spec}
    return {**spec, "jobTemplate": job}


def _without_ours(meta: Mapping[str, Any]) -> dict[str, Any]:
    bare = {key: value for key, value in meta.items() if key not in {"labels", "annotations"}}
    for key in ("labels", "annotations"):
        kept = {
            name: value
            for name, value in (meta.get(key) or {}).items()
            if not name.startswith(DOMAIN) and (name, value) != (MANAGED_BY, MANAGER)
        }
        if kept:
            bare[key] = kept
    return bare
