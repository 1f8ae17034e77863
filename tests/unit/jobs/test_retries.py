"""What failures mean, and how long to wait after one."""

import errno
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import (
    AuditError,
    BadDataError,
    ChecksumError,
    ClusterError,
    ConditionError,
    ConfigError,
    GuardError,
    Interrupted,
    JobError,
    LeaseError,
    ManifestError,
    MisconfiguredError,
    MissingObjectError,
    PlanError,
    ServiceError,
    SourceError,
    StoreError,
    TemporaryError,
    UnansweredError,
    UnavailableError,
    UsageError,
)
from lading.jobs.retries import (
    FailureClass,
    RetryPolicy,
    choose_pause_s,
    classify,
    ends_batch,
    exit_code_of,
)

BAD, TEMPORARY = FailureClass.BAD_DATA, FailureClass.TEMPORARY
CONFIGURATION, UNFORESEEN = FailureClass.CONFIGURATION, FailureClass.UNFORESEEN
CODES = {BAD: 65, UNFORESEEN: 70, TEMPORARY: 75, CONFIGURATION: 78}


def service(status: int, kind: type[ServiceError] = ServiceError) -> ServiceError:
    """Return what a service said no with."""
    error = kind("no")
    error.status = status
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (BadDataError("x"), BAD),
        (SourceError("x"), BAD),
        (ManifestError("x"), BAD),
        (MissingObjectError("x"), BAD),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"), BAD),
        (service(422), BAD),
        (service(400), BAD),
        (TemporaryError("x"), TEMPORARY),
        (UnavailableError("x"), TEMPORARY),
        (UnansweredError("x"), TEMPORARY),
        (ChecksumError("x"), TEMPORARY),
        (ConditionError("x"), TEMPORARY),
        (ConnectionResetError("x"), TEMPORARY),
        (TimeoutError("x"), TEMPORARY),
        (OSError(errno.ENETUNREACH, "x"), TEMPORARY),
        (OSError(errno.EAGAIN, "x"), TEMPORARY),
        (socket.gaierror(socket.EAI_AGAIN, "x"), TEMPORARY),
        (MisconfiguredError("x"), CONFIGURATION),
        (PlanError("x"), CONFIGURATION),
        (UsageError("x"), CONFIGURATION),
        (ConfigError(["x"]), CONFIGURATION),
        (GuardError("x"), CONFIGURATION),
        (PermissionError("x"), CONFIGURATION),
        (StoreError("x"), CONFIGURATION),
        (service(403), CONFIGURATION),
        (service(422, ClusterError), CONFIGURATION),
        (OSError(errno.ENOSPC, "x"), CONFIGURATION),
        (OSError(errno.ENOENT, "x"), UNFORESEEN),
        (socket.gaierror(socket.EAI_NONAME, "x"), UNFORESEEN),
        (OSError("no number"), UNFORESEEN),
        (ValueError("x"), UNFORESEEN),
        (KeyError("x"), UNFORESEEN),
        (JobError("x"), UNFORESEEN),
        (AuditError("x"), UNFORESEEN),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else str(each),
)
def test_errors_have_a_class_and_its_exit_code(error: Exception, expected: FailureClass) -> None:
    """Each error means one thing, in a batch and as the exit code of a job."""
    assert classify(error) is expected
    assert exit_code_of(error) == CODES[expected]


def test_signals_and_lost_leases_end_everything() -> None:
    """A signal keeps its own exit code; nothing else ends the other items."""
    assert exit_code_of(Interrupted(15)) == 143
    assert exit_code_of(LeaseError("x")) == 75
    ending = (LeaseError("x"), Interrupted(2), KeyboardInterrupt())
    assert all(ends_batch(each) for each in ending)
    assert not any(ends_batch(each) for each in (TemporaryError("x"), BadDataError("x")))


def test_pauses_grow_to_the_longest() -> None:
    """A whole share doubles from the first to the longest, however many tries there are."""
    policy = RetryPolicy(first_pause_s=1, longest_pause_s=5)
    pauses = [choose_pause_s(policy, each, ValueError(), 1.0) for each in (1, 2, 3, 4, 5_000)]
    assert pauses == [1, 2, 4, 5, 5]


@given(
    attempt=st.integers(1, 100),
    share=st.floats(0, 1),
    asked=st.floats(0, 1e6),
    longest=st.floats(0, 100),
)
def test_pauses_honour_what_is_asked(
    attempt: int, share: float, asked: float, longest: float
) -> None:
    """No pause is longer than the policy's longest, or shorter than what a service asks."""
    error = UnavailableError("busy")
    error.retry_after = asked
    pause = choose_pause_s(RetryPolicy(longest_pause_s=longest), attempt, error, share)
    assert min(asked, longest) <= pause <= longest
