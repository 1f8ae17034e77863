"""How a Job stands, read from its status."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import ClusterError
from lading.k8s.job_state import gone, parse_indexes, read_job, render_indexes

INDEXES = st.sets(st.integers(0, 300))


def job(completions: int | None = 4, **status: Any) -> dict[str, Any]:
    """Return a Job with a status; an Indexed one where it has completions."""
    mode = "NonIndexed" if completions is None else "Indexed"
    spec = {"completionMode": mode, "completions": completions or 1}
    return {"metadata": {"name": "a", "uid": "u"}, "spec": spec, "status": status}


def condition(kind: str, status: str = "True", **more: str) -> dict[str, Any]:
    """Return a condition."""
    at = "2025-02-05T04:00:00Z"
    return {"type": kind, "status": status, "lastTransitionTime": at, **more}


@pytest.mark.parametrize(
    ("text", "indexes"),
    [("", ()), ("0", (0,)), ("1,3-5", (1, 3, 4, 5)), ("0-2,9", (0, 1, 2, 9)), ("0,1", (0, 1))],
)
def test_indexes(text: str, indexes: tuple[int, ...]) -> None:
    """Indexes and ranges are read, and written as the controller writes them."""
    assert parse_indexes(text, 10) == indexes
    assert render_indexes(indexes) == text


@given(indexes=INDEXES)
def test_indexes_round_trip(indexes: set[int]) -> None:
    """What is written is read as the same indexes."""
    text = render_indexes(indexes)
    assert parse_indexes(text, 301) == tuple(sorted(indexes))
    assert len(text.split(",")) <= len(indexes) or not indexes


@pytest.mark.parametrize(
    "text", ["x", "1,", "-1", "1-", "3-1", "1,1", "2,1", "0-10", "10", "1 2", "0-9999999999", "٣"]
)
def test_no_indexes(text: str) -> None:
    """What is no rising list of indexes below the limit is refused, and never counted out."""
    with pytest.raises(ClusterError, match=r"expected indexes below 10 as '1,3-5', got"):
        parse_indexes(text, 10)


PHASES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {}, "pending"),
    ({}, {"startTime": "2025-02-05T03:00:00Z", "active": 2}, "running"),
    ({"suspend": True}, {"startTime": None}, "suspended"),
    ({}, {"startTime": "t", "conditions": [condition("FailureTarget")]}, "running"),
    ({}, {"startTime": "t", "conditions": [condition("SuccessCriteriaMet")]}, "running"),
    ({}, {"conditions": [condition("Failed", "False")]}, "pending"),
    ({}, {"conditions": [condition("Suspended", "False"), condition("Complete")]}, "complete"),
    ({"suspend": True}, {"conditions": [condition("Failed")]}, "failed"),
]


@pytest.mark.parametrize(("spec", "status", "phase"), PHASES)
def test_phases(spec: dict[str, Any], status: dict[str, Any], phase: str) -> None:
    """Only the conditions Complete and Failed end a Job; what comes before them does not."""
    body = job(**{**status, "startTime": None})
    body["status"]["startTime"] = "2025-02-05T03:00:00Z" if status.get("startTime") else None
    body["spec"] |= spec
    state = read_job(body)
    assert state.phase == phase
    assert state.is_over == (phase in {"complete", "failed"})


def test_failed() -> None:
    """A Job that failed says why, and which indexes are done, failed, and were never ended."""
    told = {"reason": "FailedIndexes", "message": "Job has failed indexes"}
    state = read_job(
        job(
            6,
            completedIndexes="0,3",
            failedIndexes="1,2",
            failed=3,
            succeeded=2,
            startTime="2025-02-05T03:00:00Z",
            conditions=[condition("FailureTarget", **told), condition("Failed", **told)],
        )
    )
    assert (state.completed, state.failed, state.unfinished) == ((0, 3), (1, 2), (4, 5))
    assert (state.reason, state.message) == ("FailedIndexes", "Job has failed indexes")
    assert (state.failed_pods, state.succeeded_pods, state.active_pods) == (3, 2, 0)
    assert state.started_at == datetime(2025, 2, 5, 3, tzinfo=UTC)
    assert state.finished_at == datetime(2025, 2, 5, 4, tzinfo=UTC)
    assert state.describe() == (
        "failed: 2 of 6 indexes done, 2 failed, some of its indexes failed for good"
        " (FailedIndexes: Job has failed indexes)"
    )


def test_plain() -> None:
    """A plain Job has no indexes, and tells how often it was tried."""
    done = [condition("Complete", reason="CompletionsReached", message="m")]
    state = read_job(job(None, completionTime="2025-02-05T05:00:00Z", conditions=done))
    assert (state.completed, state.failed, state.unfinished) == ((), (), ())
    assert (state.phase, state.reason, state.message, state.cause) == ("complete", "", "", "")
    assert state.finished_at == datetime(2025, 2, 5, 5, tzinfo=UTC)
    assert state.describe() == "complete"
    running = read_job(job(None, startTime="2025-02-05T03:00:00Z", active=1, failed=2))
    assert running.describe() == "running: 2 failed tries, 1 pods running"


def test_gone() -> None:
    """A Job that was removed is told as it was last seen."""
    last = read_job(job(4, completedIndexes="0", active=2, startTime="2025-02-05T03:00:00Z"))
    state = gone("a", last)
    assert (state.phase, state.completed, state.active_pods) == ("gone", (0,), 0)
    assert state.is_over
    assert gone("b", None).describe() == "gone"


def test_odd_cause() -> None:
    """A reason that is not known is told in Kubernetes' own words."""
    state = read_job(job(None, conditions=[condition("Failed", reason="New", message="odd")]))
    assert state.cause == "it failed (New: odd)"
