"""``lading report``: a run as one HTML file."""

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lading.cli.ledger_here import (
    Place,
    add_config,
    add_filters,
    add_run_name,
    filter_of,
    opened,
    place_here,
)
from lading.cli.terminal import clean, ends_quietly
from lading.errors import LedgerError, UsageError

if TYPE_CHECKING:
    from lading.ledger.ledger import Ledger
    from lading.ledger.model import Run

_HELP = "write a run as one HTML file"
_STDOUT = "-"


def add_report(commands: Any) -> None:
    """Add ``report`` to the commands."""
    report = commands.add_parser(
        "report",
        help=_HELP,
        description="Write a run as one HTML file, which opens from a disk, a bucket or a mail."
        " Its path is printed. Of a published release it is also"
        " put beside release.json of each moving prefix, where `report.beside_release` of the"
        " configuration asks for that.",
        epilog="Needs the extra `web`. Exit codes: 0; 1 where there is no ledger, or no such run;"
        " 3 for usage, or without the extra.",
    )
    add_run_name(report)
    add_filters(report)
    report.add_argument(
        "--output",
        default="",
        metavar="FILE",
        help="write it there; `-` is stdout [default: reports/RUN.html in the work folder]",
    )
    report.add_argument(
        "--no-put", action="store_true", help="put it nowhere, whatever the configuration asks for"
    )
    add_config(report)
    report.set_defaults(act=_run)


@ends_quietly
def _run(options: argparse.Namespace) -> int:
    place = place_here(options)
    with opened(place) as ledger:
        from lading.ledger.read import find_run  # noqa: PLC0415  bare commands need no SQLAlchemy

        run = find_run(ledger, options.run, filter_of(options))
        page = _render(ledger, run)
        refusal = "" if options.no_put else _refusal(place, ledger, run)
    if options.output == _STDOUT:
        sys.stdout.flush()
        sys.stdout.buffer.write(page)
        sys.stdout.buffer.flush()
    else:
        print(_write(place, run, options.output, page))  # noqa: T201  the command's output
    if place.loaded.config.report.beside_release and not options.no_put:
        _put(place, run, page, refusal)
    return 0


def _render(ledger: "Ledger", run: "Run") -> bytes:
    try:
        # here: the extra `web`
        from lading.web.account import load_account  # noqa: PLC0415
        from lading.web.report import render_report  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "lading":
            raise
        raise UsageError(
            f"report: expected the extra `web`, found no module {error.name!r}",
            hint="pip install 'lading[web]'",
        ) from error
    account = load_account(ledger, run.run_id)
    if account is None:
        raise LedgerError(f"ledger: expected the run {run.run_id}, found it gone")
    return render_report(account)


def _write(place: Place, run: "Run", output: str, page: bytes) -> Path:
    """Write the file whole, or not at all; return where it is, as it was asked for."""
    from lading.storage.bytes import write_atomically  # noqa: PLC0415  bare commands need it not
    from lading.tasks.reports import report_path  # noqa: PLC0415

    name = re.sub(r"[^0-9A-Za-z_-]", "_", run.run_id)  # a name from a ledger is no path
    path = Path(output) if output else report_path(place.work, name)
    if path.is_dir():
        raise UsageError(f"--output: expected a file, got the folder {output!r}")
    write_atomically(path, page)
    return path


def _refusal(place: Place, ledger: "Ledger", run: "Run") -> str:
    """Say why a report may not stand beside release.json: that is another release's, or none's."""
    from lading.ledger.read import standing_releases  # noqa: PLC0415  as above
    from lading.ledger.verdict import judge  # noqa: PLC0415

    if not place.loaded.config.report.beside_release:
        return ""
    if (word := judge(run).word) not in {"published", "unchanged"}:
        return f"the run is {word}"
    here = (run.project, run.channel, run.environment)
    for each in standing_releases(ledger):
        if (each.project, each.channel, each.environment) == here:
            is_same = each.manifest_sha256 == run.manifest_sha256
            return "" if is_same else f"{each.tag} of {each.run_id} stands there now"
    return "the ledger knows of no release that stands there"


def _put(place: Place, run: "Run", page: bytes, refusal: str) -> None:
    """Put the report beside its release.json, or say why not; on stderr, stdout has the file."""
    if refusal:
        sys.stderr.write(f"not put beside release.json: {clean(refusal)}\n")
        return
    from lading.tasks.reports import put_report  # noqa: PLC0415  doit: bare commands need it not

    for url in put_report(place.loaded, run, page):
        sys.stderr.write(f"put {clean(url)}\n")
