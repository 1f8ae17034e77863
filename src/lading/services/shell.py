"""The one door to command-line tools: a time limit, no shell, and the child's own words."""

import os
from collections.abc import Sequence
from pathlib import Path

import sh

from lading.errors import CommandError


def run_command(arguments: Sequence[str], *, folder: Path, timeout_s: float = 60) -> str:
    """Run a command and return what it printed.

    No shell sees the arguments. Nothing is asked of the person.

    Args:
        arguments: the program and its arguments.
        folder: where to run it.
        timeout_s: after how many seconds it is ended.

    Raises:
        CommandError: the program is missing, took too long, or failed; with the last line of
            its standard error.
    """
    program, *rest = arguments
    try:
        command = sh.Command(program)
        output = command(
            *rest,
            _cwd=str(folder),
            _timeout=timeout_s,
            _tty_out=False,
            _env={**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
        )
    except sh.CommandNotFound as error:
        raise CommandError(f"{program}: expected the program, found none on the PATH") from error
    except sh.TimeoutException as error:
        raise CommandError(
            f"{program} {rest[0]}: expected an end within {timeout_s:g} s"
        ) from error
    except sh.ErrorReturnCode as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines() or ["(nothing)"]
        raise CommandError(
            f"{program} {rest[0]}: expected exit code 0, got {error.exit_code}: {lines[-1]}"
        ) from error
    return str(output)
