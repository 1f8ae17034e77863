"""``lading logs``: what a run logged, and logs now."""

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from lading.cli.ledger_here import (
    TIMES,
    add_config,
    add_filters,
    add_run_name,
    filter_of,
    opened,
    place_here,
)
from lading.cli.terminal import can_encode, clean, clean_lines, ends_quietly
from lading.config.problems import nearest
from lading.errors import UsageError

if TYPE_CHECKING:
    from lading.ledger.ledger import Ledger
    from lading.ledger.model import LogLine, Run

PAUSE_S = 1.0
"""Seconds between two looks of ``--follow``."""
PAGE = 1000
"""Lines that are read at one time."""
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_HELP = "show what a run logged, and what it logs now"


def add_logs(commands: Any) -> None:
    """Add ``logs`` to the commands."""
    logs = commands.add_parser(
        "logs",
        help=_HELP,
        description=f"{_HELP.capitalize()}: a line each, `HH:MM:SS LEVEL task: text`. {TIMES}",
        epilog="Exit codes: 0; 1 where there is no ledger, or no such run; 3 for usage; 130 where"
        " Ctrl-C ended it.",
    )
    add_run_name(logs)
    add_filters(logs)
    logs.add_argument("--step", default="", metavar="TASK", help="of this step alone")
    logs.add_argument(
        "--level", default="debug", choices=_LEVELS, help="of this level and above [default: all]"
    )
    logs.add_argument(
        "--tail", type=_number, default=None, metavar="N", help="the last N lines [default: all]"
    )
    logs.add_argument(
        "--follow",
        action="store_true",
        help="go on until the run has ended, or its process is gone; say on stderr how it ended",
    )
    logs.add_argument("--json", action="store_true", help="as JSON, an object a line")
    add_config(logs)
    logs.set_defaults(act=_run)


def render_line(line: "LogLine") -> str:
    """Return a log line for people; each line of its text tells time, level and task. Pure."""
    from lading.ledger.documents import name_level  # noqa: PLC0415  bare commands need it not

    where = f"{clean(line.task)}: " if line.task else ""
    head = f"{line.at:%H:%M:%S} {name_level(line.level).upper():<7} {where}"
    return "".join(f"{head}{each}".rstrip() + "\n" for each in clean_lines(line.text) or [""])


def dump_line(line: "LogLine") -> str:
    """Return a log line as JSON. Pure."""
    from lading.ledger.documents import log_table  # noqa: PLC0415  as above

    return json.dumps(log_table(line)) + "\n"


def follow(
    is_over: Callable[[], bool],
    read: Callable[[int], Iterator["LogLine"]],
    show: Callable[["LogLine"], object],
    pause: Callable[[], object],
    after: int = 0,
) -> int:
    """Show lines as they come, each once, until no more can come; return the last number.

    Args:
        is_over: whether the run has ended; asked before the lines are read, so that none that
            was written before its end is missed.
        read: yields the lines of a greater number than this.
        show: is given each.
        pause: waits a little.
        after: number of the line that was shown last.
    """
    while True:
        was_over = is_over()
        for line in read(after):
            show(line)
            after = line.number
        if was_over:
            return after
        pause()


@ends_quietly
def _run(options: argparse.Namespace) -> int:
    place = place_here(options)
    can_encode(sys.stdout)
    with opened(place) as ledger:
        from lading.ledger.read import find_run  # noqa: PLC0415  bare commands need no SQLAlchemy

        run = find_run(ledger, options.run, filter_of(options))
        if options.step and not options.follow:
            _require_step(ledger, run, options.step)
        _show(ledger, run, options)
    return 0


def _show(ledger: "Ledger", run: "Run", options: argparse.Namespace) -> None:
    """Show what there is, then what comes."""
    from lading.ledger.read import load_run  # noqa: PLC0415  as above
    from lading.ledger.verdict import judge  # noqa: PLC0415

    render = dump_line if options.json else render_line
    latest = run

    def is_over() -> bool:
        nonlocal latest
        sys.stdout.flush()
        latest = load_run(ledger, run.run_id) or latest
        return latest.has_ended or latest.is_aborted

    after = _skip(ledger, run.run_id, options)
    last = follow(
        is_over if options.follow else lambda: True,
        lambda number: _read(ledger, run.run_id, options, number),
        lambda line: sys.stdout.write(render(line)),
        lambda: time.sleep(PAUSE_S),
        after,
    )
    sys.stdout.flush()
    if options.follow:
        sys.stderr.write(f"{clean(run.run_id)}: {clean(judge(latest).sentence)}\n")
    elif last == after and options.tail != 0:
        sys.stderr.write(f"{clean(run.run_id)}: no such lines were logged\n")


def _skip(ledger: "Ledger", run_id: str, options: argparse.Namespace) -> int:
    """Return the number of the line before the first one that is to be shown."""
    from lading.ledger.read import load_logs  # noqa: PLC0415  as above

    if options.tail is None:
        return 0
    if options.tail == 0:
        lines = load_logs(ledger, run_id, limit=1, last=True)
        return lines[-1].number if lines else 0
    level = _LEVELS[options.level]
    lines = load_logs(ledger, run_id, task=options.step, level=level, limit=options.tail, last=True)
    return lines[0].number - 1 if lines else 0


def _read(
    ledger: "Ledger", run_id: str, options: argparse.Namespace, after: int
) -> Iterator["LogLine"]:
    """Yield the lines after a number, however many: page by page."""
    from lading.ledger.read import load_logs  # noqa: PLC0415  as above

    level = _LEVELS[options.level]
    while True:
        lines = load_logs(ledger, run_id, task=options.step, level=level, after=after, limit=PAGE)
        yield from lines
        if len(lines) < PAGE:
            return
        after = lines[-1].number


def _require_step(ledger: "Ledger", run: "Run", step: str) -> None:
    """Tell a step that logged nothing from one that the run does not have.

    Raises:
        UsageError: the run has no such step.
    """
    from lading.ledger.read import load_logs  # noqa: PLC0415  as above

    known = {each.task for each in run.steps}
    if step in known or load_logs(ledger, run.run_id, task=step, limit=1):
        return
    named = clean(", ".join(each.task for each in run.steps)) or "none"
    raise UsageError(
        f"--step: expected a step of {clean(run.run_id)}, got {step!r}"
        f"{clean(nearest(step, known))}; it has: {named}"
    )


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise argparse.ArgumentTypeError(f"expected a number from 0 on, got {text!r}")
    return int(text)
