"""The one door to command-line tools: a time limit, no shell, and the child's own words.

What a child says is told without secrets, and a child is ended with us.
"""

import logging
import os
import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sh

from lading.errors import CommandError
from lading.services.redaction import redact
from lading.storage.progress import NO_PROGRESS, Progress

_LOG = logging.getLogger(__name__)
_LOOK_S = 0.2  # how often a child is looked after
_PAUSE_S = 0.5  # before a command that is safe to repeat is repeated
_TOLD_LINES = 2
_TOLD_CHARS = 400
_INSTALL = {
    "gcloud": "install the Google Cloud CLI, https://cloud.google.com/sdk/docs/install",
    "gh": "install the GitHub CLI, https://cli.github.com",
    "git": "install git, https://git-scm.com/downloads",
    "kubectl": "install kubectl, https://kubernetes.io/docs/tasks/tools",
}
_ALWAYS = {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "CLOUDSDK_CORE_DISABLE_PROMPTS": "1"}


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said."""

    printed: bytes
    """What it printed."""
    stderr: str
    """What it wrote there, without secrets."""

    @property
    def stdout(self) -> str:
        """What it printed, as text."""
        return self.printed.decode(errors="replace")


def has_program(program: str) -> bool:
    """Say whether a program is found on the PATH."""
    return shutil.which(program) is not None


def run_command(
    arguments: Sequence[str],
    *,
    folder: Path,
    timeout_s: float = 60,
    environment: Mapping[str, str] | None = None,
    stdin: str = "",
    attempts: int = 1,
    progress: Progress = NO_PROGRESS,
) -> str:
    """Run a command and return what it printed.

    No shell sees the arguments, which may not hold secrets: everybody on the machine can read
    them. Nothing is asked of the person.

    Args:
        arguments: the program and its arguments.
        folder: where to run it.
        timeout_s: after how many seconds it is ended.
        environment: variables beside those of this process; secrets belong here, or into stdin.
        stdin: what it reads.
        attempts: how often it may be tried; more than once only what is safe to repeat.
        progress: asked now and then; what it raises ends the command, with its children.

    Raises:
        CommandError: the program is missing, took too long, or failed; with the last lines of
            its standard error.
    """
    _require(arguments, folder)
    for left in reversed(range(attempts)):
        try:
            return _run(arguments, folder, timeout_s, environment or {}, stdin, progress).stdout
        except CommandError:
            if not left:
                raise
            time.sleep(_PAUSE_S)
    raise AssertionError(attempts)


def hear_command(
    arguments: Sequence[str],
    *,
    folder: Path,
    timeout_s: float = 60,
    environment: Mapping[str, str] | None = None,
    stdin: str = "",
    progress: Progress = NO_PROGRESS,
) -> Said:
    """Run a command once, as ``run_command``, and return all that it said.

    Raises:
        CommandError: as ``run_command``.
    """
    _require(arguments, folder)
    return _run(arguments, folder, timeout_s, environment or {}, stdin, progress)


def _require(arguments: Sequence[str], folder: Path) -> None:
    """Refuse what no other try would find."""
    program = arguments[0]
    if not has_program(program):
        raise CommandError(
            f"{program}: expected the program, found none on the PATH",
            hint=_INSTALL.get(program, ""),
        )
    if not folder.is_dir():
        raise CommandError(f"{_name(arguments)}: expected the folder {folder}, found none")


def _run(
    arguments: Sequence[str],
    folder: Path,
    timeout_s: float,
    environment: Mapping[str, str],
    stdin: str,
    progress: Progress,
) -> Said:
    program, *rest = arguments
    variables = {**os.environ, **_ALWAYS, **environment}
    try:
        child = sh.Command(program)(
            *rest,
            _cwd=str(folder),
            _in=stdin,
            _tty_out=False,
            _env=variables,
            _bg=True,
            _bg_exc=False,
            _new_session=True,
        )
    except (sh.CommandNotFound, sh.ForkException) as error:  # no program of this machine
        reason = redact(str(error).strip().splitlines()[-1], variables)
        raise CommandError(f"{_name(arguments)}: expected to start, got {reason}") from None
    # sh's own errors tell all arguments and all output: none is kept as a cause
    began = time.monotonic()
    try:
        _wait(child, timeout_s, progress)
        stderr = redact(child.stderr.decode(errors="replace"), variables)
        return Said(bytes(child.stdout), stderr)
    except sh.TimeoutException:
        raise CommandError(
            f"{_name(arguments)}: expected an end within {timeout_s:g} s, found it still at work"
        ) from None
    except sh.ErrorReturnCode as error:
        raise _failure(arguments, error, variables) from None
    finally:
        _end(child)
        _LOG.info("%s took %.1f s", _name(arguments), time.monotonic() - began)


def _wait(child: Any, timeout_s: float, progress: Progress) -> None:
    until, pause = time.monotonic() + timeout_s, 0.002
    while child.is_alive():
        progress.relative_update(0)
        if time.monotonic() > until:
            raise sh.TimeoutException(None, child.call_args)
        time.sleep(pause)
        pause = min(1.2 * pause, _LOOK_S)
    child.wait()  # for its last words, too


def _end(child: Any) -> None:
    """End a child that is still at work, and its children with it."""
    if child.is_alive():
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        with suppress(sh.ErrorReturnCode, sh.TimeoutException):
            child.wait(timeout=5)


def _failure(arguments: Sequence[str], error: Any, variables: Mapping[str, str]) -> CommandError:
    stderr = redact(error.stderr.decode(errors="replace"), variables).strip()
    told = "; ".join(each[:_TOLD_CHARS] for each in _told(stderr)) or "(nothing)"
    failed = CommandError(
        f"{_name(arguments)}: expected exit code 0, got {error.exit_code}: {told}"
    )
    failed.exit_code_of_child, failed.stderr = error.exit_code, stderr
    return failed


def _told(stderr: str) -> Iterator[str]:
    """Pick the lines that say why: errors where there are some, never advice."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("hint:")]
    faults = [line for line in lines if line.startswith(("fatal:", "error:", "ERROR:", "! "))]
    yield from faults[:_TOLD_LINES] or lines[-1:]


def _name(arguments: Sequence[str]) -> str:
    """Name a command by its program and the words that follow, without options and values."""
    words = []
    for each in arguments[1:4]:
        if each.startswith("-") or not each.isascii() or not each.replace("-", "").isalpha():
            break
        words.append(each)
    return " ".join([Path(arguments[0]).name, *words])
