"""Calls of a job's entrypoint, and what its answer means as an exit code."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from lading.errors import JobError
from lading.jobs.run import Run
from lading.jobs.spec import Entrypoint, ExitCode, JobSpec

_USAGE = 2  # what argparse ends a process with
_MOST = 255  # a process cannot say more: 256 would be told as 0


@dataclass(frozen=True, slots=True)
class TupleCall:
    """Calls the entrypoint of a job that is given as a tuple."""

    entrypoint: Entrypoint
    """What the module exposes."""
    argv: tuple[str, ...]
    """Its arguments."""

    def __call__(self, run: Run) -> int:
        """Call it; wrong arguments, as argparse tells them, are 78.

        Raises:
            JobError: it returned no exit code, or ended with a text.
        """
        del run  # it may ask ``current_run``
        try:
            return _read_code(self.entrypoint(list(self.argv)))
        except SystemExit as error:
            # a scheduler must not try wrong arguments again
            is_usage = error.code == _USAGE
            return int(ExitCode.CONFIGURATION) if is_usage else _read_exit(error)


@dataclass(frozen=True, slots=True)
class TypedCall:
    """Calls the entrypoint of a job with a specification."""

    spec: JobSpec
    """The specification."""
    arguments: Any = field(repr=False)
    """Its arguments."""

    def __call__(self, run: Run) -> int:
        """Call it; what the specification calls bad data is 65.

        Raises:
            JobError: it returned no exit code, or ended with a text.
        """
        try:
            code = _read_code(self.spec.entrypoint(self.arguments, run))
        except SystemExit as error:
            code = _read_exit(error, self.spec.bad_data)
        return int(ExitCode.BAD_DATA) if code in self.spec.bad_data else code


def _read_code(returned: object) -> int:
    """Read what an entrypoint returned. True may mean either, so that it means nothing here."""
    if returned is None:
        return 0
    if isinstance(returned, int) and not isinstance(returned, bool) and 0 <= returned <= _MOST:
        return int(returned)
    raise JobError(
        f"entrypoint: expected an exit code from 0 to {_MOST} or None, got {returned!r:.60}"
    )


def _read_exit(error: SystemExit, bad_data: Collection[int] = ()) -> int:
    """Read what ``sys.exit`` was called with; a text is what the job says, with exit code 1."""
    if not isinstance(error.code, str):
        return _read_code(error.code)
    said = JobError(error.code.strip() or "ended without a word")
    said.exit_code = int(ExitCode.BAD_DATA) if 1 in bad_data else 1
    raise said from None
