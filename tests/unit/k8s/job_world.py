"""A namespace in which Jobs are submitted and awaited, without kubectl; and orders for it."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lading.errors import ClusterError
from lading.k8s.cluster import JsonObject
from lading.k8s.job_order import JobOrder
from tests.fakes.kubernetes import FakeKubernetes
from tests.fakes.kubernetes_errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGE = f"registry.example.org/team/jobs@sha256:{'ab' * 32}"


def order(**changes: Any) -> JobOrder:
    """Return an order, changed."""
    given: dict[str, Any] = {
        "job": "get_s3_files",
        "arguments": ("--agency-id", "a1"),
        "image": IMAGE,
        "namespace": "data",
        "deadline_s": 3600,
        "ttl_s": 600,
        "cpu": "500m",
        "memory": "1Gi",
    }
    return JobOrder(**{**given, **changes})


class Clock:
    """A clock that only moves when it is told to, or slept on."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.at_sleep: list[Callable[[], object]] = []

    def __call__(self) -> float:
        """Return the seconds."""
        return self.now_s

    def date(self) -> datetime:
        """Return the time."""
        return datetime(2025, 2, 5, tzinfo=UTC) + timedelta(seconds=self.now_s)

    def sleep(self, seconds: float) -> None:
        """Move on; then the next of what is to happen happens."""
        self.now_s += seconds
        if self.at_sleep:
            self.at_sleep.pop(0)()


class StoreCluster:
    """The fake's own store as a ``JobCluster``.

    Attributes:
        faults: raised by the next calls, in order; None lets a call through. An error that is
            given with ``after`` set is raised when the call is done.
        calls: what was asked.
    """

    place = "test/data"

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.server = FakeKubernetes(clock=self.clock.date)
        self.faults: list[Exception | None] = []
        self.after: Exception | None = None
        self.calls: list[str] = []

    def create_job(self, body: JsonObject) -> bool:
        """Create a Job."""
        self._begin("create")
        try:
            self.server.create_plain("data", dict(body))
        except ApiError as error:
            if error.reason == "AlreadyExists":
                return False
            raise ClusterError(str(error)) from error
        lost, self.after = self.after, None
        if lost is not None:
            raise lost
        return True

    def job(self, name: str) -> JsonObject | None:
        """Return a Job."""
        self._begin("job")
        return self.server.jobs().get(name)

    def delete_job(self, name: str) -> bool:
        """Delete a Job."""
        self._begin("delete")
        found = self.server.jobs().get(name)
        if found is not None:
            self.server.store.delete("jobs", "data", name, {})
        return found is not None

    def _begin(self, call: str) -> None:
        self.calls.append(call)
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault
