"""``lading status``: what became of a run, and where everything stands."""

import argparse
import json
import sys
from datetime import UTC, datetime
from typing import Any

from lading.cli.ledger_here import (
    TIMES,
    add_config,
    add_filters,
    add_run_name,
    filter_of,
    opened,
    place_here,
)
from lading.cli.terminal import can_encode, ends_quietly, page_width, print_page

_HELP = "say what became of a run, and how to go on"
_DESCRIPTION = f"""\
Say what became of a run: published, failed at X, running; and how to go on. Then
for each thing outside that it changes: files, size, state, and when a read-back
last proved it; then its steps in their order, and where it comes from.
{TIMES}
"""
_EPILOG = """\
exit codes, so that a script can ask:
   0  the run is done (published, unchanged), goes on (running), or waits (queued)
   1  there is something to resume (failed, partial, interrupted, aborted, cancelled);
      or there is no ledger, or no such run
   3  usage or configuration
"""


def add_status(commands: Any) -> None:
    """Add ``status`` to the commands."""
    status = commands.add_parser(
        "status",
        help=_HELP,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_run_name(status)
    add_filters(status)
    status.add_argument("--json", action="store_true", help="all of it, as JSON")
    add_config(status)
    status.set_defaults(act=_run)


@ends_quietly
def _run(options: argparse.Namespace) -> int:
    place = place_here(options)
    with opened(place) as ledger:
        # here: bare commands need no SQLAlchemy
        from lading.ledger.documents import run_table  # noqa: PLC0415
        from lading.ledger.read import find_run  # noqa: PLC0415
        from lading.ledger.verdict import judge  # noqa: PLC0415

        run = find_run(ledger, options.run, filter_of(options))
    verdict = judge(run)
    can_encode(sys.stdout)
    if options.json:
        sys.stdout.write(json.dumps(run_table(run, verdict), indent=2) + "\n")
    else:
        from lading.cli.status_view import render_status  # noqa: PLC0415  as above

        page = render_status(run, verdict, page_width(sys.stdout), datetime.now(UTC))
        print_page(page, sys.stdout)
    return 1 if verdict.is_open else 0
