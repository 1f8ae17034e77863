"""What failed, of which class, and how often it is tried again. Pure."""

import errno
import socket
from dataclasses import dataclass
from enum import StrEnum

from lading.errors import (
    BadDataError,
    ChecksumError,
    ClusterError,
    ConditionError,
    GuardError,
    Interrupted,
    JobError,
    LeaseError,
    LockedError,
    ManifestError,
    MisconfiguredError,
    MissingObjectError,
    ServiceError,
    SourceError,
    StoreError,
    TemporaryError,
    UnansweredError,
    UnavailableError,
    UsageError,
)


class FailureClass(StrEnum):
    """What a failure means for whoever would try again."""

    BAD_DATA = "bad data"
    """Trying again is useless: to the dead letters."""
    TEMPORARY = "temporary"
    """It may work at the next try."""
    CONFIGURATION = "configuration"
    """Nothing can work until somebody changes a setting: everything stops."""
    UNFORESEEN = "unforeseen"
    """The job did not foresee it: to the dead letters, with its trace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often an item that failed for the time being is tried, and how long between."""

    attempts: int = 4
    """Tries in all."""
    first_pause_s: float = 0.5
    """Seconds before the second try, at most; doubled for each further one."""
    longest_pause_s: float = 30.0
    """No pause is longer, whatever a service asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """How many items may fail for good.

    Whatever it says, one failed item never stops the others: only ``stop_after`` does.
    """

    tolerated: float = 0.0
    """Share of the items that were tried, 0 to 1, that may fail for good while the run still
    ends with 0."""
    stop_after: int | None = None
    """Items failed for good after which the rest is not tried any more; None: never."""


_EXIT_CODES = {
    FailureClass.BAD_DATA: 65,
    FailureClass.UNFORESEEN: 70,
    FailureClass.TEMPORARY: 75,
    FailureClass.CONFIGURATION: 78,
}

# the first that fits counts
_BY_TYPE: tuple[tuple[type[BaseException], FailureClass], ...] = (
    (BadDataError, FailureClass.BAD_DATA),
    (TemporaryError, FailureClass.TEMPORARY),
    (MisconfiguredError, FailureClass.CONFIGURATION),
    (UsageError, FailureClass.CONFIGURATION),
    (GuardError, FailureClass.CONFIGURATION),
    (MissingObjectError, FailureClass.BAD_DATA),
    (SourceError, FailureClass.BAD_DATA),
    (ManifestError, FailureClass.BAD_DATA),
    (UnicodeDecodeError, FailureClass.BAD_DATA),
    (ChecksumError, FailureClass.TEMPORARY),
    (UnavailableError, FailureClass.TEMPORARY),
    (UnansweredError, FailureClass.TEMPORARY),
    # somebody else was quicker: the next try sees what stands there now
    (ConditionError, FailureClass.TEMPORARY),
    (LockedError, FailureClass.TEMPORARY),
    (StoreError, FailureClass.CONFIGURATION),
    (ClusterError, FailureClass.CONFIGURATION),
    (PermissionError, FailureClass.CONFIGURATION),
    (ConnectionError, FailureClass.TEMPORARY),
    (TimeoutError, FailureClass.TEMPORARY),
)

_PASSING = {
    errno.EAGAIN,
    errno.EBUSY,
    errno.ECONNABORTED,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.EINTR,
    errno.ENETDOWN,
    errno.ENETRESET,
    errno.ENETUNREACH,
    errno.EPIPE,
    errno.ESTALE,
    errno.ETIMEDOUT,
}
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}

# RFC 9110, 15.5: what the request carries is at fault, not how it was sent
_OF_THE_CONTENT = {400, 413, 422}


def classify(error: BaseException) -> FailureClass:
    """Say what a failure means. Pure.

    An error of which nothing is known is unforeseen. One that ``ends_batch`` is classified, too:
    whoever works through items asks that first.
    """
    for kind, found in _BY_TYPE:
        if isinstance(error, kind):
            return found
    if isinstance(error, ServiceError):
        is_content = error.status in _OF_THE_CONTENT
        return FailureClass.BAD_DATA if is_content else FailureClass.CONFIGURATION
    if isinstance(error, OSError):
        return _classify_os(error)
    return FailureClass.UNFORESEEN


def ends_batch(error: BaseException) -> bool:
    """Say whether an error ends the work on all items, whichever item it met. Pure.

    The lease was lost, a signal came, or the interpreter is to end.
    """
    return isinstance(error, LeaseError | Interrupted) or not isinstance(error, Exception)


def exit_code_of(error: BaseException) -> int:
    """Return what ``lading run`` ends with when an error ends a job. Pure."""
    if isinstance(error, JobError | Interrupted):
        return error.exit_code
    return _EXIT_CODES[classify(error)]


def choose_pause_s(policy: RetryPolicy, attempt: int, error: BaseException, share: float) -> float:
    """Return the seconds to wait before another try. Pure.

    A share of an exponentially growing pause, so that those who failed together do not come back
    together; at least what the service asks, never more than the policy's longest.

    Args:
        policy: how long.
        attempt: number of the try that failed, from 1.
        error: why it failed; its ``retry_after`` is what the service asks, in seconds.
        share: a random number from 0 to 1.
    """
    longest = policy.longest_pause_s
    # beyond 2^60 the pause is the longest, and a float would overflow
    grown = min(longest, policy.first_pause_s * 2.0 ** min(attempt - 1, 60))
    asked = getattr(error, "retry_after", 0.0)
    asked = float(asked) if isinstance(asked, int | float) else 0.0
    return max(share * grown, min(asked, longest))


def _classify_os(error: OSError) -> FailureClass:
    is_name_unresolved = isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN
    if error.errno in _PASSING or is_name_unresolved:
        return FailureClass.TEMPORARY
    return FailureClass.CONFIGURATION if error.errno in _NO_ROOM else FailureClass.UNFORESEEN
