"""``lading token``: who may read the API, and who may ask it for a publish."""

import argparse
import json
import re
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lading.cli.ledger_here import TIMES, add_config, opened, place_here
from lading.cli.terminal import (
    Column,
    Line,
    can_encode,
    ends_quietly,
    page_width,
    print_page,
    render_table,
)

if TYPE_CHECKING:
    from rich.text import Text

    from lading.ledger.tokens import Token

_COLUMNS = (Column("name", folds=True), Column("role"), Column("made"), Column("valid until"))


def add_token(commands: Any) -> None:
    """Add ``token`` and what it does to the commands."""
    token = commands.add_parser("token", help="tokens of the API: make, list, revoke")
    actions = token.add_subparsers(required=True, metavar="ACTION")
    add = actions.add_parser(
        "add",
        help="make a token, and print it: the only time that anybody sees it",
        description="Make a token. It alone is printed on stdout, once: the ledger keeps a digest.",
        epilog="Exit codes: 0; 1 where there is one of that name; 3 for usage.",
    )
    add.add_argument("name", metavar="NAME", help="what people call it")
    add.add_argument(
        "--role",
        required=True,
        choices=("viewer", "admin"),
        help="viewer reads; admin also asks for publishing",
    )
    add.add_argument(
        "--days", type=_days, default=None, metavar="N", help="end after N days [default: never]"
    )
    add.set_defaults(act=_add)
    listing = actions.add_parser(
        "list", help="show all tokens, not what they are", description=TIMES
    )
    listing.add_argument("--json", action="store_true", help="as JSON")
    listing.set_defaults(act=_list)
    revoke = actions.add_parser("revoke", help="end a token at once; safe to repeat")
    revoke.add_argument("name", metavar="NAME")
    revoke.set_defaults(act=_revoke)
    for each in (add, listing, revoke):
        add_config(each)


def render_tokens(tokens: "list[Token]", width: int, now: datetime) -> "list[Text]":
    """Return a line a token, by name. Pure."""
    lines = []
    for token in tokens:
        until = "for ever" if token.expires_at is None else _minute(token.expires_at)
        if token.revoked_at is not None:
            until = f"revoked {_minute(token.revoked_at)}"
        elif not token.is_valid(now):
            until = f"ended {until}"
        cells = (token.name, token.role, _minute(token.created_at), until)
        lines.append(Line(cells, {} if token.is_valid(now) else {3: "red"}))
    return render_table(_COLUMNS, lines, width)


@ends_quietly
def _add(options: argparse.Namespace) -> None:
    now = datetime.now(UTC)
    ends = None if options.days is None else now + timedelta(days=options.days)
    with opened(place_here(options), is_for_writing=True) as ledger:
        from lading.ledger import tokens  # noqa: PLC0415  bare commands need no SQLAlchemy

        secret = tokens.add_token(ledger, options.name, options.role, now, ends)
    until = f" until {_minute(ends)} UTC" if ends else ""
    sys.stderr.write(
        f"token {options.name}: {options.role}{until}; it is shown this once, keep it now\n"
    )
    sys.stdout.write(f"{secret}\n")


@ends_quietly
def _list(options: argparse.Namespace) -> None:
    now = datetime.now(UTC)
    with opened(place_here(options)) as ledger:
        from lading.ledger.documents import token_table  # noqa: PLC0415  as above
        from lading.ledger.tokens import list_tokens  # noqa: PLC0415

        found = list_tokens(ledger)
    can_encode(sys.stdout)
    if options.json:
        tables = [token_table(each, now) for each in found]
        sys.stdout.write(json.dumps({"tokens": tables}, indent=2) + "\n")
    elif found:
        print_page(render_tokens(found, page_width(sys.stdout), now), sys.stdout)
    else:
        sys.stdout.write("no tokens: `lading token add NAME --role viewer` makes one\n")


@ends_quietly
def _revoke(options: argparse.Namespace) -> None:
    with opened(place_here(options), is_for_writing=True) as ledger:
        from lading.ledger.tokens import revoke_token  # noqa: PLC0415  as above

        revoke_token(ledger, options.name, datetime.now(UTC))
    sys.stderr.write(f"token {options.name}: revoked\n")


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"


def _days(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,4}", text) or int(text) > 36500:  # noqa: PLR2004  a century
        raise argparse.ArgumentTypeError(f"expected days from 1 to 36500, got {text!r}")
    return int(text)
