"""``job:<name>``: a job as a task, run as ``lading run`` runs it, in a process of its own."""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

from rich.text import Text

from lading.errors import CommandError, MisconfiguredError, UsageError
from lading.jobs.registry import Registry, load_registry
from lading.jobs.stopping import PARENT_VARIABLE, leash
from lading.jobs.words import split_words
from lading.storage import Progress
from lading.tasks.display import make_console
from lading.tasks.session import Session
from lading.tasks.steps import Outcome

_LOOK_S = 0.2
_END_S = 30.0
_MEANINGS = {
    65: "bad data, see `lading dlq list`",
    70: "an error that the job did not foresee",
    75: "it may work at the next try",
    78: "a setting is wrong",
    137: "it was killed",
}


def registry_of(session: Session) -> Registry:
    """Return the jobs of the project, which are looked for once in a process."""
    packages = session.config.jobs.packages if session.config.jobs else ()
    return _load(packages, session.base)


@cache
def _load(packages: tuple[str, ...], base: Path) -> Registry:
    return load_registry(packages, base)


def require(session: Session) -> None:
    """Refuse a run whose variables cannot be read, before anything begins.

    Raises:
        UsageError: naming the variable.
    """
    require_variables(session)
    variables = session.variables
    if variables.key and not variables.over:
        raise UsageError("key: expected only beside over=FILE, got without it")


def require_variables(session: Session) -> None:
    """Refuse variables that no job takes together, here or on Kubernetes.

    Raises:
        UsageError: naming them.
    """
    variables = session.variables
    try:
        split_words(variables.args)
    except MisconfiguredError as error:
        raise UsageError(f"args: {error}") from error
    if variables.over and variables.retry:
        raise UsageError("over, retry: expected one of both, got both")
    if variables.over and not (session.base / variables.over).is_file():
        raise UsageError(f"over={variables.over}: expected a file of items, found none")
    if variables.retry and (variables.args or variables.key or variables.per_shard):
        raise UsageError(
            "retry: expected neither args, key nor per_shard beside it: the plan says all of that"
        )
    if variables.per_shard and not variables.over:
        raise UsageError("per_shard: expected only beside over=FILE, got without it")
    if variables.workers and not (variables.over or variables.retry):
        raise UsageError("workers: expected only beside over=FILE or retry=PLAN, got without them")


def run(name: str, session: Session, progress: Progress) -> Outcome:
    """Run a job, or a plan of it, and print what it logs.

    Effects: those of the job; a receipt of how it ended.

    Raises:
        CommandError: it ended with another exit code than 0.
    """
    receipt = receipt_path(session, name)
    receipt.parent.mkdir(parents=True, exist_ok=True)
    receipt.unlink(missing_ok=True)  # one of before would speak for a run that was killed
    code, last = _hear([*_command(session, name, receipt)], session.base, progress)
    told = _read_receipt(receipt)
    said = str(told.get("message", "")) or last
    if code:
        raise CommandError(fault_of(name, code, said))
    return Outcome(said, changed=not told.get("was_done"))


def fault_of(name: str, code: int, said: str) -> str:
    """Say in one line how a job failed.

    Args:
        name: of the job.
        code: what its process ended with; below 0 for a signal that nobody heard.
        said: what it said at its end.
    """
    number = 128 - code if code < 0 else code
    meaning = f" ({_MEANINGS[number]})" if number in _MEANINGS else ""
    told = said.removeprefix(f"ended with exit code {number}").removeprefix(": ")
    told = f": {told}" if told else ""
    return f"job {name}: expected exit code 0, got {number}{meaning}{told}"


def receipt_path(session: Session, name: str) -> Path:
    """Return where the receipt of a job's last run stands."""
    return session.work / "receipts" / "jobs" / f"{name}.json"


def _command(session: Session, name: str, receipt: Path) -> Iterator[str]:
    variables = session.variables
    # -P: what stands in this folder is not imported in the place of a library
    yield from (sys.executable, "-P", "-m", "lading", "run", name, "--log=text")
    yield f"--config={session.base / session.config_name}"
    yield f"--receipt={receipt}"
    for option, value in (
        ("over", variables.over),
        ("retry", variables.retry),
        ("key", variables.key),
        ("per-shard", variables.per_shard),
        ("workers", variables.workers),
    ):
        if value:
            yield f"--{option}={value}"
    yield from ("--", *split_words(variables.args))


def _hear(command: Sequence[str], folder: Path, progress: Progress) -> tuple[int, str]:
    """Run a command, print each line that it says, and return its exit code and the last one."""
    console, lines = make_console(sys.stdout), queue.Queue[str | None]()
    with leash() as pipe:
        child = subprocess.Popen(  # noqa: S603  this interpreter; no shell sees the words
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="backslashreplace",  # a job may print anything
            env={**os.environ, "PYTHONUNBUFFERED": "1", PARENT_VARIABLE: str(pipe)},
            pass_fds=(pipe,),
        )
        threading.Thread(target=partial(_read, child, lines), daemon=True).start()
        last = ""
        try:
            while (line := _next(lines, child, progress)) is not None:
                last = line.strip() or last
                console.print(Text(line), soft_wrap=True)
            return child.wait(), _without_time(last)
        finally:
            _end(child)


def _read(child: subprocess.Popen[str], lines: "queue.Queue[str | None]") -> None:
    assert child.stdout is not None  # noqa: S101  it was asked for
    try:
        for line in child.stdout:
            lines.put(line.rstrip("\n"))
    finally:
        lines.put(None)


def _next(
    lines: "queue.Queue[str | None]", child: subprocess.Popen[str], progress: Progress
) -> str | None:
    """Return the next line; None where there is none: what a child left running says nothing."""
    is_over = False
    while True:
        progress.relative_update(0)
        with suppress(queue.Empty):
            return lines.get(timeout=_LOOK_S)
        if is_over:
            return None
        is_over = child.poll() is not None


def _end(child: subprocess.Popen[str]) -> None:
    """End a child that is still at work: it gives its lease back where it hears of its end."""
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(_END_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _read_receipt(path: Path) -> dict[str, Any]:
    try:
        table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # it ended before it could say anything
        return {}
    return table


def _without_time(line: str) -> str:
    """Return what a line of the log says, without when, who and how loud."""
    _, _, said = line.partition(": ")
    return said.removeprefix("ERROR ").removeprefix("WARNING ") or line
