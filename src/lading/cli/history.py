"""``lading history``: the runs of a ledger, newest first."""

import argparse
import json
import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lading.cli.ledger_here import (
    TIMES,
    add_config,
    add_filters,
    filter_of,
    opened,
    place_here,
)
from lading.cli.terminal import can_encode, ends_quietly, page_width, print_page

if TYPE_CHECKING:
    from lading.ledger.ledger import Ledger
    from lading.ledger.model import Run

STATES = ("queued", "running", "completed", "failed", "cancelled")
"""States of a run, as the ledger has them; spelt out, for bare commands need no ledger."""
_HELP = "show the runs, newest first, a line each"


def add_history(commands: Any) -> None:
    """Add ``history`` to the commands."""
    history = commands.add_parser(
        "history",
        help=_HELP,
        description=f"{_HELP.capitalize()}: when it began, what it was for, how it ended, how long"
        " it took, the size of what it releases. A run is named by as much of its name as tells"
        f" it from the others here: `lading status` takes that. {TIMES}",
        epilog="Exit codes: 0; 1 where there is no ledger; 3 for usage.",
    )
    add_filters(history)
    history.add_argument(
        "--state",
        default="",
        choices=STATES,
        help="of this state alone; an aborted run counts as running",
    )
    history.add_argument(
        "--kind", default="", metavar="TASKS", help="of what was asked for, such as distribute"
    )
    history.add_argument(
        "--limit", type=_number, default=20, metavar="N", help="so many at most [default: 20]"
    )
    history.add_argument("--json", action="store_true", help="as JSON, without steps and targets")
    add_config(history)
    history.set_defaults(act=_run)


@ends_quietly
def _run(options: argparse.Namespace) -> int:
    place = place_here(options)
    with opened(place) as ledger:
        # here: bare commands need no SQLAlchemy
        from lading.ledger.documents import run_table  # noqa: PLC0415
        from lading.ledger.read import list_runs  # noqa: PLC0415
        from lading.ledger.verdict import judge  # noqa: PLC0415

        wanted = filter_of(options, state=options.state, kind=options.kind)
        page = list_runs(ledger, wanted, limit=options.limit)
        runs = [_whole(ledger, each) for each in page.runs]
    can_encode(sys.stdout)
    if options.json:
        tables = [run_table(each, judge(each), is_full=False) for each in runs]
        sys.stdout.write(json.dumps({"runs": tables, "total": page.total}, indent=2) + "\n")
        return 0
    from lading.cli.history_view import render_history  # noqa: PLC0415  as above

    lines = render_history(runs, page.total, page_width(sys.stdout), datetime.now(UTC))
    print_page(lines, sys.stdout)
    return 0


def _whole(ledger: "Ledger", run: "Run") -> "Run":
    """Return a release with its steps and targets: only they tell partial and unchanged."""
    from lading.ledger.read import load_run  # noqa: PLC0415  as above

    if not run.is_release or run.state == "queued":
        return run
    whole = load_run(ledger, run.run_id)
    return whole or run


def _number(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,4}", text):
        raise argparse.ArgumentTypeError(f"expected a number from 1 to 99999, got {text!r}")
    return int(text)
