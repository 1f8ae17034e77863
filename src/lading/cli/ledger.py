"""``lading ledger``: where the ledger stands, what it holds, and how others open it."""

import argparse
import sys
from typing import Any

from lading.cli.ledger_here import add_config, opened, place_here
from lading.cli.terminal import can_encode, ends_quietly
from lading.tasks.wording import count


def add_ledger(commands: Any) -> None:
    """Add ``ledger`` and what it does to the commands."""
    ledger = commands.add_parser("ledger", help="where the ledger stands, and what it holds")
    actions = ledger.add_subparsers(required=True, metavar="ACTION")
    path = actions.add_parser(
        "path",
        help="print where it stands: a file, or a URL without its password",
        epilog="Exit code: 0 whether it is there or not; 1 where the configuration wants none.",
    )
    path.set_defaults(act=_path)
    metadata = actions.add_parser(
        "metadata",
        help="print what describes it to Datasette, as JSON",
        description="Print what describes the ledger to Datasette, as JSON:"
        " `lading ledger metadata > metadata.json`, then"
        ' `datasette "$(lading ledger path)" --metadata metadata.json`.',
    )
    metadata.set_defaults(act=_metadata)
    check = actions.add_parser(
        "check",
        help="open it, and say its schema and what it holds in one line",
        epilog="Exit codes: 0; 1 where there is none, or it cannot be opened.",
    )
    check.set_defaults(act=_check)
    for each in (path, metadata, check):
        add_config(each)


@ends_quietly
def _path(options: argparse.Namespace) -> None:
    place = place_here(options)
    if place.file is not None:
        sys.stdout.write(f"{place.file}\n")
        return
    from lading.ledger.faults import parse_url, show_url  # noqa: PLC0415  SQLAlchemy: 0.3 s

    sys.stdout.write(f"{show_url(parse_url(place.url))}\n")


@ends_quietly
def _metadata(options: argparse.Namespace) -> None:
    from lading.ledger.datasette import render_metadata  # noqa: PLC0415  as above

    place_here(options)
    can_encode(sys.stdout)
    sys.stdout.write(render_metadata().rstrip("\n") + "\n")


@ends_quietly
def _check(options: argparse.Namespace) -> None:
    with opened(place_here(options)) as ledger:
        from lading.ledger.contents import count_rows, read_schema  # noqa: PLC0415  as above

        schema, counts = read_schema(ledger), count_rows(ledger)
        place = ledger.url.removeprefix("sqlite:///")
    held = ", ".join(count(number, noun) for noun, number in counts.items())
    sys.stdout.write(f"{place}: schema {schema}; {held}\n")
