"""Tokens of the API: shown once, kept as digests, compared in constant time.

A token is 256 random bits. A password needs a slow, salted hash, because people choose few of
them and reuse them; there is no list of 2^256 random tokens to try, and no two are alike. One
round of SHA-256 tells as little of them, and lets each request be checked in microseconds.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import Row, func, literal, select

from lading.errors import LedgerError
from lading.ledger.columns import Moment
from lading.ledger.ledger import Ledger
from lading.ledger.tables import tokens
from lading.ledger.upsert import insert_into

Role = Literal["viewer", "admin"]
PREFIX = "lading_"
"""What every token begins with, so that one is seen where it does not belong."""
_BYTES = 32
_FORM = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")
_NAME = re.compile(r"[A-Za-z0-9][\w.@+-]{0,99}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One token, as far as it may be known."""

    name: str
    """What people call it."""
    role: Role
    """viewer reads; admin also asks for publishing."""
    created_at: datetime
    """When it was made."""
    expires_at: datetime | None = None
    """When it ends; None: never."""
    revoked_at: datetime | None = None
    """When it was revoked; None: it was not."""

    def is_valid(self, at: datetime) -> bool:
        """Say whether it opens anything at this time."""
        is_over = self.expires_at is not None and self.expires_at <= at
        return self.revoked_at is None and not is_over


def add_token(
    ledger: Ledger, name: str, role: Role, at: datetime, expires_at: datetime | None = None
) -> str:
    """Make a token and return it: the only time that anybody sees it.

    Raises:
        LedgerError: there is one of that name; a name or a role that cannot be; or the database
            does not answer.
    """
    if not _NAME.fullmatch(name):
        raise LedgerError(
            "token: expected a name of up to 100 letters, digits and ._@+-, beginning with a"
            f" letter or digit, got {name!r}"
        )
    if role not in get_args(Role):
        raise LedgerError(f"token {name}: expected a role of {get_args(Role)}, got {role!r}")
    secret = PREFIX + secrets.token_urlsafe(_BYTES)
    values = {
        "name": name,
        "role": role,
        "digest": _digest(secret),
        "created_at": at,
        "expires_at": expires_at,
    }
    with ledger.writing() as connection:
        insert = insert_into(connection, tokens).values(values)
        added = insert.on_conflict_do_nothing(index_elements=[tokens.c.name])
        if connection.execute(added.returning(tokens.c.id)).first() is None:
            raise LedgerError(
                f"token {name}: expected a new name, found a token of that name",
                hint="a revoked one keeps its name: what was asked with it stays told apart",
            )
    return secret


def find_token(ledger: Ledger, secret: str) -> Token | None:
    """Return the token that a secret is, valid or not; None where it is none.

    Every token of the ledger is compared, in constant time each, whichever it is.

    Raises:
        LedgerError: the database does not answer.
    """
    if not _FORM.fullmatch(secret):
        return None
    given = _digest(secret)
    with ledger.reading() as connection:
        rows = connection.execute(select(tokens)).all()
    found = [row for row in rows if hmac.compare_digest(bytes(row.digest), given)]
    return _token(found[0]) if found else None


def list_tokens(ledger: Ledger) -> list[Token]:
    """Return all tokens, by name.

    Raises:
        LedgerError: the database does not answer.
    """
    with ledger.reading() as connection:
        rows = connection.execute(select(tokens)).all()
    return sorted(map(_token, rows), key=lambda each: each.name)


def revoke_token(ledger: Ledger, name: str, at: datetime) -> None:
    """Revoke a token. Safe to repeat: the first time stays.

    Raises:
        LedgerError: there is none of that name; or the database does not answer.
    """
    first = func.coalesce(tokens.c.revoked_at, literal(at, Moment))
    revoked = tokens.update().where(tokens.c.name == name).values(revoked_at=first)
    with ledger.writing() as connection:
        if not connection.execute(revoked).rowcount:
            raise LedgerError(f"token: expected the name of one that there is, got {name!r}")


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _token(row: Row[Any]) -> Token:
    return Token(
        name=row.name,
        role=row.role,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
