"""The ``lading`` command: what has no place among a release's tasks."""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from lading import __version__
from lading.cli.audit import add_audit
from lading.cli.dlq import add_dlq
from lading.cli.history import add_history
from lading.cli.jobs import add_jobs
from lading.cli.ledger import add_ledger
from lading.cli.logs import add_logs
from lading.cli.project import add_init
from lading.cli.report import add_report
from lading.cli.run import add_run, run
from lading.cli.serve import add_serve
from lading.cli.status import add_status
from lading.cli.token import add_token
from lading.errors import LadingError, UsageError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; an error is one line on stderr."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["run"]:
        return run(given[1:])
    options = _parser().parse_args(given)
    try:
        return options.act(options) or 0
    except LadingError as error:
        sys.stderr.write(f"ERROR: {error}\n")
        return error.exit_code


def _deposit(options: argparse.Namespace) -> None:
    # here: `lading init` needs neither the stores nor HTTP
    from lading.tasks.public_deposit import Lines, Order, deposit_public  # noqa: PLC0415

    order = Order(
        env=options.env,
        source_dir=options.source_dir,
        ignore_regex=options.ignore_regex,
        manifest=options.manifest,
        publish=options.publish,
    )
    print(deposit_public(Path.cwd(), order, Lines(sys.stdout)))  # noqa: T201  the command's output


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and ends as doit does for usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(UsageError.exit_code, f"ERROR: {message}; see `{self.prog} --help`\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="lading",
        description="Ship datasets. A release itself is run by doit: see `doit list`.",
    )
    parser.add_argument("--version", action="version", version=f"lading {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_init(commands)
    add_status(commands)
    add_logs(commands)
    add_history(commands)
    add_report(commands)
    add_ledger(commands)
    add_token(commands)
    add_serve(commands)
    _add_deposit(commands)
    add_jobs(commands)
    add_run(commands)
    add_dlq(commands)
    add_audit(commands)
    return parser


def _add_deposit(commands: Any) -> None:
    deposit = commands.add_parser(
        "deposit", help="deposit a public release at Zenodo, from any machine"
    )
    deposit.add_argument("--env", required=True, choices=("sandbox", "production"))
    deposit.add_argument(
        "--source-dir", required=True, metavar="URL", help="a public prefix, as s3://bucket/nightly"
    )
    deposit.add_argument(
        "--ignore-regex", default="", metavar="REGEX", help="searched in keys that are left out"
    )
    deposit.add_argument(
        "--manifest",
        required=True,
        type=_sha256,
        metavar="SHA256",
        help="of release.json: which release it is, whatever stands there by now",
    )
    deposit.add_argument(
        "--publish",
        required=True,
        action=argparse.BooleanOptionalAction,
        help="publish, or leave a draft",
    )
    deposit.set_defaults(act=_deposit)


def _sha256(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise argparse.ArgumentTypeError(f"expected 64 hexadecimal digits, got {text!r}")
    return text
