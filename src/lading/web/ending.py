"""What the end of a child means for its job. Pure."""

import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Why = Literal["", "cancelled", "late", "stopped", "lost"]
"""Why a child was ended: not at all, its job was cancelled, its time was over, its worker was
asked to end, its job is another worker's."""
State = Literal["completed", "failed", "cancelled", "again", "back", "none"]
"""What becomes of a job: it ends; is tried again in a while; goes back into the queue; is left
to another worker."""

_LOCKED = re.compile(r"expected no other run, found process \w+ at work")
_REFUSED = 2  # what doit ends with where a run may not begin
_FAULT = re.compile(r"^(ERROR: |[\w:.-]+ failed: )")
_ENDED: Mapping[Why, State] = {"lost": "none", "cancelled": "cancelled", "stopped": "back"}
_TOLD_LINES, _TOLD_CHARS = 3, 1000


@dataclass(frozen=True, slots=True)
class Ending:
    """What becomes of a job."""

    state: State
    """Its state."""
    error: str = ""
    """Why, as its worker sees it."""
    is_outside: bool = False
    """Whether the child cannot know why it ended."""


def judge_end(exit_code: int, why: Why, errors: str, timeout_minutes: int) -> Ending:
    """Judge how a job ended.

    What is published is published: a child that ended well while it was asked to stop has
    completed its job.

    Args:
        exit_code: of the child; negative where a signal ended it.
        why: why it was ended, where it was.
        errors: the end of what it wrote to stderr, redacted.
        timeout_minutes: the time that a job may take.
    """
    if exit_code == 0 and why != "lost":
        return Ending("completed")
    if why == "late":
        late = f"expected an end within {timeout_minutes} minutes, was at work"
        return Ending("failed", late, is_outside=True)
    if why:
        return Ending(_ENDED[why])
    if exit_code == _REFUSED and _LOCKED.search(errors):
        return Ending("again")
    return Ending("failed", pick_error(exit_code, errors), is_outside=exit_code < 0)


def pick_error(exit_code: int, errors: str) -> str:
    """Say in few lines why a child failed: what it called an error, else its last words."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    told = [line for line in lines if _FAULT.match(line)][:_TOLD_LINES] or lines[-1:]
    said = "\n".join(line.removeprefix("ERROR: ")[:_TOLD_CHARS] for line in told)
    if exit_code < 0:
        ended = f"ended by {_name_signal(-exit_code)}"
        return f"{ended}: {said}" if said else ended
    return said or f"ended with exit code {exit_code}, and said nothing"


def was_asked_to_end(exit_code: int) -> bool:
    """Say whether a child ended because somebody asked it to, such as a machine that halts."""
    asked = {signal.SIGTERM, signal.SIGINT}
    return exit_code in {-each for each in asked} | {128 + each for each in asked}


def _name_signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
