"""What an account must not show: secrets, and where things stand on a machine.

A row is redacted when it is written. A report leaves the machine, so it is done once more here,
with what this process calls secret; and paths lose the folders that are nobody's business.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lading.ledger.model import LogLine, ReceiptRow, Run, Step, Target
from lading.services.redaction import redactor

Hide = Callable[[str], str]
# a path from the root, of two parts or more, that is no part of a URL, a key or a word
_ROOTED = re.compile(r"(?<![\w/.:~$-])(?:file://)?/(?:[\w.@+=-]+/)+[\w.@+=*-]*")
_OF_MACHINES = re.compile(
    r"(?:file://)?/(?:home|Users|root|tmp|private|var|opt|srv|mnt|media|data|builds|github|runner"
    r"|__w|workspace|work|app|usr|etc|scratch|nfs|Volumes|run)/"
)


def make_hide(folder: Path | None = None) -> Hide:
    """Return what takes secrets and local folders out of a text.

    Args:
        folder: paths below it are told from it; this process's own unless it is given.
    """
    redact = redactor()
    base = str(folder or Path.cwd())
    inside = re.compile(rf"(?:file://)?{re.escape(base)}(?:/|(?![\w.-]))") if base != "/" else None

    def hide(text: str) -> str:
        text = redact(text)
        if "/" not in text:
            return text
        if inside is not None:
            text = inside.sub("", text)
        return _ROOTED.sub(_last_part, text)

    return hide


def hide_in_run(run: Run, hide: Hide) -> Run:
    """Return a run whose texts are hidden in."""
    return replace(
        run,
        error=hide(run.error),
        command=hide(run.command),
        steps=tuple(hide_in_step(each, hide) for each in run.steps),
        targets=tuple(hide_in_target(each, hide) for each in run.targets),
        receipts=tuple(_hide_in_receipt(each, hide) for each in run.receipts),
        result={},  # an API's answer; what a page shows of it stands in its own fields
    )


def hide_in_step(step: Step, hide: Hide) -> Step:
    """Return a step whose texts are hidden in."""
    return replace(step, detail=hide(step.detail)) if step.detail else step


def hide_in_target(target: Target, hide: Hide) -> Target:
    """Return a row of the matrix whose texts are hidden in."""
    return replace(target, note=hide(target.note), name=hide(target.name), url=hide(target.url))


def hide_in_line(line: LogLine, hide: Hide) -> LogLine:
    """Return a log line whose text is hidden in."""
    return replace(line, text=hide(line.text))


def _hide_in_receipt(receipt: ReceiptRow, hide: Hide) -> ReceiptRow:
    facts = {hide(name): hide(value) for name, value in receipt.facts.items()}
    return replace(receipt, place=hide(receipt.place), facts=facts)


def _last_part(found: re.Match[str]) -> str:
    path = found.group()
    if not _OF_MACHINES.match(path):
        return path
    return "…/" + path.rstrip("/").rpartition("/")[2]
