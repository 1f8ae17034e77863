"""The CronJobs, as data: ``lading.toml`` names `cron_jobs`, and Lading deploys what it returns.

Nothing here knows of staging: names, image, labels and the store's URL are put in by Lading.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Updates:
    """When a dataset is updated and validated, and what an update takes."""

    update: str
    """Schedule of the update, in UTC."""
    validate: str
    """Schedule of the validation, in UTC."""
    workers: int = 1
    """Completions: an update is shared among so many pods."""
    at_once: int = 1
    """Parallelism: so many of them run at a time."""
    cpu: str = "1"
    """CPU of a pod."""
    memory: str = "2Gi"
    """Memory of a pod."""
    minutes: int = 60
    """An update that takes longer is ended."""


# An agency publishes a run some hours after the time that the run is named after: the minutes
# here are when its last file usually is there.
UPDATES = {
    "noaa-gfs-analysis": Updates("2 5,11,17,23 * * *", "40 5,11,17,23 * * *", 4, 4),
    "noaa-gfs-forecast": Updates("8 5,11,17,23 * * *", "48 5,11,17,23 * * *", 24, 12, memory="8Gi"),
    "noaa-gefs-analysis": Updates("15 0,6,12,18 * * *", "55 0,6,12,18 * * *", 3, 3),
    "noaa-gefs-forecast-10-day": Updates(
        "32 4,10,16,22 * * *", "28 5,11,17,23 * * *", 62, 31, "2", "14Gi", 90
    ),
    "noaa-gefs-forecast-35-day": Updates("5 7 * * *", "35 10 * * *", 182, 60, "3", "14Gi", 210),
    "noaa-hrrr-analysis": Updates("57 * * * *", "27 * * * *", 2, 2, memory="4Gi", minutes=25),
    "noaa-hrrr-forecast-18-hour": Updates(
        "51 * * * *", "21 * * * *", 6, 6, memory="6Gi", minutes=30
    ),
    "noaa-hrrr-forecast-48-hour": Updates(
        "53 1,7,13,19 * * *", "33 2,8,14,20 * * *", 16, 16, memory="6Gi"
    ),
    "noaa-hrrr-forecast-48-hour-virtual": Updates("58 1,7,13,19 * * *", "23 2,8,14,20 * * *"),
    "noaa-cfs-analysis": Updates("20 3 * * *", "10 4 * * *"),
    "noaa-rtofs-forecast-8-day": Updates("40 18 * * *", "40 19 * * *", 8, 8),
    "ecmwf-ifs-ens-forecast-15-day-0-25-degree": Updates(
        "45 8 * * *", "15 12 * * *", 255, 85, "3", "16Gi", 200
    ),
    "ecmwf-ifs-ens-forecast-46-day-0-25-degree": Updates(
        "30 21 * * *", "30 23 * * *", 101, 51, "3", "16Gi", 110
    ),
    "ecmwf-aifs-single-forecast": Updates("5 1,7,13,19 * * *", "35 1,7,13,19 * * *", 11, 11),
    "ecmwf-aifs-single-forecast-virtual": Updates("10 1,7,13,19 * * *", "38 1,7,13,19 * * *"),
    "ecmwf-aifs-ens-forecast": Updates(
        "25 1,7,13,19 * * *", "5 3,9,15,21 * * *", 51, 51, memory="8Gi", minutes=95
    ),
    "eccc-gdps-forecast-10-day": Updates("12 5,17 * * *", "12 6,18 * * *", 10, 10),
    "nasa-imerg-analysis-early": Updates("20,50 * * * *", "5 * * * *", minutes=14),
    "nasa-imerg-analysis-late": Updates("35 * * * *", "55 * * * *", minutes=20),
    "nasa-smap-level3-36km": Updates("30 14 * * *", "30 15 * * *"),
}


def cron_jobs(dataset: str, image: str) -> list[dict[str, Any]]:
    """Return the CronJobs of a dataset: one that updates, one that validates.

    Args:
        dataset: its name.
        image: what the containers run.
    """
    found = UPDATES[dataset]
    validation = Updates(found.validate, found.validate, minutes=15)
    return [
        _cron_job(dataset, "update", found.update, found, image),
        _cron_job(dataset, "validate", found.validate, validation, image),
    ]


def _cron_job(dataset: str, role: str, schedule: str, takes: Updates, image: str) -> dict[str, Any]:
    pod = {
        "restartPolicy": "Never",
        "securityContext": {"runAsNonRoot": True},
        "containers": [_container(dataset, role, takes, image)],
    }
    job: dict[str, Any] = {
        "backoffLimit": 2,
        "activeDeadlineSeconds": takes.minutes * 60,
        "ttlSecondsAfterFinished": 24 * 3600,
        "template": {"spec": pod},
    }
    if takes.workers > 1:
        job |= {
            "completionMode": "Indexed",
            "completions": takes.workers,
            "parallelism": takes.at_once,
        }
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": f"{dataset}-{role}"},
        "spec": {
            "schedule": schedule,
            "timeZone": "Etc/UTC",
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": 600,
            "jobTemplate": {"spec": job},
        },
    }


def _container(dataset: str, role: str, takes: Updates, image: str) -> dict[str, Any]:
    wanted = {"cpu": takes.cpu, "memory": takes.memory}
    return {
        "name": "worker",
        "image": image,
        "args": [role, dataset],  # never `command`: it would replace the entry point
        "env": [
            {"name": "STORE", "value": "{store}"},
            {"name": "CRON_JOB_NAME", "value": "{name}"},
            # Kubernetes tells a worker which one it is, but not how many there are
            {"name": "JOB_COMPLETIONS", "value": str(takes.workers)},
        ],
        "resources": {"requests": wanted, "limits": {"memory": takes.memory}},
        "securityContext": {"allowPrivilegeEscalation": False},
    }
