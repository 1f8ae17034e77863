"""A run as a textfile for Prometheus' node exporter, on request: the door to its client."""

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lading.errors import MisconfiguredError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_LAST_SUCCESS = "lading_job_last_success_timestamp_seconds"
_STATES = ("done", "skipped", "failed", "left")
_NO_STATES = {"bytes", "dead_letters"}


def require_metrics(path: Path) -> None:
    """Find out before a run whether its metrics can be written after it.

    Raises:
        MisconfiguredError: the package for it is missing, or the folder cannot be written.
    """
    try:
        import prometheus_client  # noqa: F401, PLC0415  an extra, and only asked for at times
    except ImportError as error:
        raise MisconfiguredError(
            f"metrics: expected the package prometheus-client, found none ({error.name})",
            hint="install lading[jobs]",
        ) from error
    folder = path.parent
    if not (folder.is_dir() and os.access(folder, os.W_OK)) or path.is_dir():
        found = "a folder of this name" if path.is_dir() else f"none at {folder}"
        raise MisconfiguredError(
            f"metrics: expected a file in a folder that can be written, found {found}"
        )


def write_metrics(
    path: Path, job: str, *, exit_code: int, counts: Mapping[str, int], seconds: float, at: datetime
) -> None:
    """Write what a run did; the file is replaced in one step.

    ``lading_job_items{job,state}``, ``lading_job_bytes``, ``lading_job_dead_letters``,
    ``lading_job_duration_seconds``, ``lading_job_exit_code``, ``lading_job_last_run_timestamp_``
    ``seconds`` and, of a run that ended with 0, ``lading_job_last_success_timestamp_seconds``;
    that of the run before stays where this one failed.

    Args:
        path: the file; the node exporter reads those that end in ``.prom``.
        job: name of the job.
        exit_code: what the run ended with.
        counts: items by state, and ``bytes`` and ``dead_letters``; what is missing is 0.
        seconds: how long it took.
        at: when it ended, aware.

    Raises:
        MisconfiguredError: the package for it is missing, or the file cannot be written.
    """
    require_metrics(path)
    from prometheus_client import CollectorRegistry, write_to_textfile  # noqa: PLC0415

    registry = CollectorRegistry()
    success = at.timestamp() if exit_code == 0 else _read_last_success(path, job)
    values = {
        "lading_job_bytes": ("Bytes of the items that were done.", counts.get("bytes", 0)),
        "lading_job_dead_letters": ("Dead letters written.", counts.get("dead_letters", 0)),
        "lading_job_duration_seconds": ("How long the last run took.", seconds),
        "lading_job_exit_code": ("What the last run ended with.", exit_code),
        "lading_job_last_run_timestamp_seconds": ("When the last run ended.", at.timestamp()),
        _LAST_SUCCESS: ("When a run last ended with 0.", success),
    }
    for name, (help_text, value) in values.items():
        if value is not None:
            _set(registry, name, help_text, {"job": job}, value)
    _set_items(registry, job, counts)
    try:
        write_to_textfile(str(path), registry)
    except OSError as error:
        raise MisconfiguredError(
            f"metrics: expected a file that can be written, found {path}: {error.strerror}"
        ) from error


def _set(
    registry: "CollectorRegistry",
    name: str,
    help_text: str,
    labels: Mapping[str, str],
    value: float,
) -> None:
    from prometheus_client import Gauge  # noqa: PLC0415  as above

    Gauge(name, help_text, list(labels), registry=registry).labels(**labels).set(value)


def _set_items(registry: "CollectorRegistry", job: str, counts: Mapping[str, int]) -> None:
    """Set the items of each state; the usual ones are always there, so that alerts see zeros."""
    from prometheus_client import Gauge  # noqa: PLC0415  as above

    gauge = Gauge("lading_job_items", "Items of the last run.", ["job", "state"], registry=registry)
    for state in dict.fromkeys((*_STATES, *sorted(counts))):
        if state not in _NO_STATES:
            gauge.labels(job=job, state=state).set(counts.get(state, 0))


def _read_last_success(path: Path, job: str) -> float | None:
    """Return when the job last ended with 0, as the standing file says; None: it does not."""
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415

    try:
        text = path.read_text(encoding="utf-8")
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == _LAST_SUCCESS and sample.labels.get("job") == job:
                    return float(sample.value)
    except (OSError, ValueError, KeyError, IndexError):  # none, or not written by us
        return None
    return None
