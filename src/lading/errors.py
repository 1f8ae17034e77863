"""Every error that leaves Lading, drawn once.

::

    LadingError                 exit 1   a step failed or a gate refused
    ├── UsageError              exit 3   the command line is wrong; nothing was done
    │   └── ConfigError         exit 3   lading.toml is wrong; every problem at once
    ├── RefusedError            exit 2   the run was refused before it began
    ├── SourceError                      the build cannot be read or may not ship
    │   └── LayoutError                  two files want one key, or a key is not allowed
    ├── GateError                        a check of the build refused it
    ├── PrepareError                     an archive could not be made
    ├── ManifestError                    release.json is missing, unreadable or not valid
    ├── StoreError                       a store said no; permanent unless a subclass says so
    │   ├── MissingObjectError           no object under that key
    │   ├── ConditionError               a conditional write lost its race
    │   ├── ChecksumError                the bytes are not those that were announced
    │   ├── UnavailableError             the service did not answer, however often it was asked
    │   └── GuardError                   a write outside the root that this run may touch
    ├── LockedError                      another release holds the prefix
    ├── ImmutableError                   an immutable prefix already holds other bytes
    ├── VerifyError                      the world is not what the receipts say
    ├── RollbackError                    there is nothing to go back to, or not all of it
    ├── CommandError                     a command-line tool failed
    ├── ServiceError                     an outside service said no
    │   ├── UnansweredError              a service did not answer, however often it was asked
    │   └── ClusterError                 a Kubernetes cluster refused, or cannot be reached
    │       └── ConflictError            another field manager holds a field
    ├── JobError                exit 70  a job failed in a way that nobody foresaw
    │   ├── BadDataError        exit 65  data that no further try will make good
    │   ├── TemporaryError      exit 75  what may pass: run the same command again
    │   │   └── LeaseError               another run holds the lease, or took it over
    │   └── MisconfiguredError  exit 78  arguments, settings, a schema, a bucket: nothing was done
    │       └── PlanError                a plan file is missing, or is not what its name says
    ├── AuditError                       the audit trail is not what was written
    ├── LedgerError                      the ledger cannot be read or written
    │   └── LedgerVersionError           its schema is newer than this Lading knows
    └── Interrupted             exit 130, 143   a signal ended the run

A class owns its exit code and, where there is one, the hint that says what to do.
Facts are attributes; the text is made from them.
"""

from collections.abc import Sequence


class LadingError(Exception):
    """A failed step.

    Attributes:
        exit_code: what the process ends with when this error ends it.
        hint: what the person can do about it, one sentence, or "".
    """

    exit_code = 1
    hint = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint or type(self).hint

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}; {self.hint}" if self.hint else message


class UsageError(LadingError):
    """The command line asks for something that does not exist."""

    exit_code = 3


class ConfigError(UsageError):
    """The configuration is wrong.

    Attributes:
        problems: one line a problem, each ``place: expected ..., got ...``.
    """

    def __init__(self, problems: Sequence[str], *, hint: str = "") -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems), hint=hint)


class RefusedError(LadingError):
    """The run may not begin: a variable is missing, a lock is held, nothing is selected."""

    exit_code = 2


class SourceError(LadingError):
    """The build is missing, cannot be read, or holds a name that may not ship."""


class LayoutError(SourceError):
    """The mapping of the build's files to public keys has no answer."""


class GateError(LadingError):
    """One or more gates of ``check`` refused the build."""


class PrepareError(LadingError):
    """An archive could not be made; no half-written file is left."""


class ManifestError(LadingError):
    """The manifest is missing, unreadable, or does not fit the release."""


class StoreError(LadingError):
    """A store refused an operation."""


class MissingObjectError(StoreError):
    """There is no object under the key."""


class ConditionError(StoreError):
    """A conditional write found another state than it was conditioned on.

    Attributes:
        repeated: whether an earlier try of the same write may have been done, its answer lost.
    """

    repeated = False


class ChecksumError(StoreError):
    """The bytes that arrived are not the bytes that were announced."""

    hint = "run the same command again; the file is read anew"


class UnavailableError(StoreError):
    """A service, or the way to it, failed in a manner that may pass.

    Attributes:
        retry_after: seconds that the service asks to wait, or 0.
        tries: how often it was asked.
    """

    hint = "run the same command; what has arrived is not sent again"
    retry_after = 0.0
    tries = 1


class GuardError(StoreError):
    """A write was tried outside the root that this run may touch."""

    hint = "this is a fault in the program, nothing was written; please report it"


class LockedError(LadingError):
    """Another release is being promoted to the same prefix."""


class ImmutableError(LadingError):
    """An immutable prefix holds bytes that differ from this release."""

    hint = "publish under a new tag; an immutable prefix is never rewritten"


class VerifyError(LadingError):
    """What stands at a destination is not what was released."""

    hint = "run the same `doit distribute` command to repair it"


class RollbackError(LadingError):
    """There is no earlier release to go back to, or a destination lacks a part of it."""


class CommandError(LadingError):
    """A command-line tool failed or is missing.

    Attributes:
        exit_code_of_child: what it ended with; None where it never began or had to be ended.
        stderr: what it wrote there, without secrets.
    """

    exit_code_of_child: int | None = None
    stderr = ""


class ServiceError(LadingError):
    """A service outside the stores refused, or is not what the release wants.

    Attributes:
        status: HTTP status code of the answer; 0 where there was none.
    """

    status = 0


class UnansweredError(ServiceError):
    """A service, or the way to it, failed in a manner that may pass.

    Attributes:
        was_sent: whether the request may have been done, its answer lost.
    """

    hint = "run the same command; what is done is not done again"
    was_sent = True


class ClusterError(ServiceError):
    """A Kubernetes cluster refused, or could not be reached."""


class ConflictError(ClusterError):
    """Fields that we want to set belong to another field manager.

    Attributes:
        fields: object, field path and manager of each.
    """

    hint = "undo the change, or take these fields over with take=1"
    fields: tuple[tuple[str, str, str], ...] = ()


class JobError(LadingError):
    """A job failed; its exit codes are those of sysexits.h, which schedulers act on."""

    exit_code = 70


class BadDataError(JobError):
    """Data is wrong, and will be as wrong at the next try."""

    exit_code = 65


class TemporaryError(JobError):
    """Something failed that may work at the next try."""

    exit_code = 75
    hint = "run the same command; what is done is not done again"


class LeaseError(TemporaryError):
    """Another run of the same work holds its lease, or took it over from this one."""


class MisconfiguredError(JobError):
    """What a job was told cannot be done by anybody: nothing was begun."""

    exit_code = 78


class PlanError(MisconfiguredError):
    """A plan file is missing, unreadable, or holds other work than its name says."""


class AuditError(LadingError):
    """An audit trail has gaps, or events that were changed."""


class LedgerError(LadingError):
    """The ledger cannot be read or written; a release goes on without it."""


class LedgerVersionError(LedgerError):
    """The ledger was written by a newer Lading."""

    hint = "upgrade Lading on this machine"


class Interrupted(LadingError):  # noqa: N818  a signal is an event, not an error of anybody
    """A signal asked the run to end.

    Attributes:
        exit_code: 128 + the number of the signal.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"interrupted by signal {signal_number}")
        self.exit_code = 128 + signal_number
