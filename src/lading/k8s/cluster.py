"""What is asked of a cluster: one namespace, CronJobs and their Jobs."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

JsonObject = Mapping[str, Any]
"""An object of the API, as its JSON."""


class Cluster(Protocol):
    """One namespace of one cluster. Every call names both, whatever kubectl's defaults are.

    All methods raise:
        CommandError: kubectl is missing.
        ClusterError: the cluster could not be reached, or said no, in one line a fault.
        UnansweredError: it did not answer; what was asked may have been done.
        GuardError: a write was asked of one that may only look.
    """

    @property
    def place(self) -> str:
        """Context and namespace, as ``context/namespace``."""

    def cron_jobs(self) -> list[JsonObject]:
        """Return every CronJob of the namespace, with its ``managedFields``."""

    def jobs(self, selector: str) -> list[JsonObject]:
        """Return the Jobs that a label selector matches."""

    def dry_run(self, objects: Sequence[JsonObject], *, take: bool) -> list[JsonObject]:
        """Apply on the server without keeping anything; return what would stand, in their order.

        Args:
            objects: what to apply.
            take: whether fields of other managers are taken over.

        Raises:
            ConflictError: another manager holds a field with another value; all of them named.
            ClusterError: with a line for each object that the API refuses.
        """

    def apply(self, objects: Sequence[JsonObject], *, take: bool) -> None:
        """Apply on the server as field manager ``lading``; as ``dry_run``, but it stays."""

    def suspend(self, name: str, *, suspended: bool) -> bool:
        """Suspend or resume a CronJob as field manager ``lading-cleanup``.

        Returns:
            False where there is none of that name.
        """

    def annotate(self, name: str, annotations: Mapping[str, str | None]) -> bool:
        """Set annotations of a CronJob as ``lading-cleanup``, or remove them (None).

        Returns:
            False where there is none of that name.
        """

    def delete(self, name: str, *, orphan: bool) -> bool:
        """Delete a CronJob, with its Jobs, or leaving them (``orphan``).

        Returns:
            False where there was none of that name.
        """


class JobCluster(Protocol):
    """What is asked of a namespace to submit a Job and to await its end.

    All methods raise what those of ``Cluster`` raise.
    """

    @property
    def place(self) -> str:
        """Context and namespace, as ``context/namespace``."""

    def create_job(self, body: JsonObject) -> bool:
        """Create a Job.

        Returns:
            False where one of that name stands already, whoever made it: of an earlier try whose
            answer was lost, perhaps.
        """

    def job(self, name: str) -> JsonObject | None:
        """Return a Job, or None where there is none of that name.

        Raises:
            UnansweredError: the cluster did not answer, or could not be reached.
        """

    def delete_job(self, name: str) -> bool:
        """Delete a Job with its pods.

        Returns:
            False where there was none of that name.
        """
