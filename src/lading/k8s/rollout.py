"""What is to stand in a cluster: the CronJobs of one version of one dataset."""

from collections.abc import Sequence
from dataclasses import dataclass

from lading.k8s.cluster import JsonObject
from lading.k8s.identity import Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class CronJob:
    """One CronJob, as it is to be applied."""

    role: str
    """What it does for the dataset, e.g. ``update``."""
    name: str
    """Its name in the cluster."""
    schedule: str
    """Its schedule, moved where schedules are staggered."""
    time_zone: str
    """Time zone of the schedule, e.g. ``Etc/UTC``."""
    monitor: str
    """Slug of the monitor that watches it; "" where none does."""
    spec_sha256: str
    """Digest of its spec, without identity and without ``suspend``."""
    body: JsonObject
    """The object; keys sorted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """All CronJobs of one version of one dataset in one environment."""

    identity: Identity
    """Who they are."""
    context: str
    """kubectl's context."""
    namespace: str
    """Their namespace."""
    cron_jobs: tuple[CronJob, ...]
    """In the order of their names."""

    @property
    def bodies(self) -> Sequence[JsonObject]:
        """The objects."""
        return [each.body for each in self.cron_jobs]
