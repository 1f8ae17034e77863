"""Tokens: shown once, kept as digests."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from lading.errors import LedgerError
from lading.ledger.ledger import Ledger
from lading.ledger.tables import tokens
from lading.ledger.tokens import PREFIX, Token, add_token, find_token, list_tokens, revoke_token
from lading.services.redaction import redact

AT = datetime(2026, 11, 21, 20, 30, tzinfo=UTC)
DAY = timedelta(days=1)


def test_made_and_found(ledger: Ledger) -> None:
    """A token is found by its secret, with its role, and by no other."""
    first = add_token(ledger, "ci", "admin", AT, AT + DAY)
    second = add_token(ledger, "page", "viewer", AT)

    assert first != second
    assert first.startswith(PREFIX)
    assert len(first) == len(PREFIX) + 43
    assert find_token(ledger, first) == Token(
        name="ci", role="admin", created_at=AT, expires_at=AT + DAY
    )
    assert find_token(ledger, second) == Token(name="page", role="viewer", created_at=AT)
    assert [each.name for each in list_tokens(ledger)] == ["ci", "page"]


@pytest.mark.parametrize(
    "wrong",
    ["", PREFIX, "x" * 50, PREFIX + "A" * 43, PREFIX + "A" * 100_000, PREFIX + "é" * 43, "\x00"],
    ids=["none", "prefix", "other", "unknown", "long", "letters", "null"],
)
def test_wrong(ledger: Ledger, wrong: str) -> None:
    """What is no token opens nothing, and breaks nothing."""
    secret = add_token(ledger, "ci", "admin", AT)

    assert find_token(ledger, wrong) is None
    assert find_token(ledger, secret[:-1] + ("A" if secret[-1] != "A" else "B")) is None
    assert find_token(ledger, f" {secret}") is None
    assert find_token(ledger, f"{secret}\n") is None


def test_hashed_at_rest(ledger: Ledger) -> None:
    """The ledger holds a digest, from which nobody gets a token."""
    secret = add_token(ledger, "ci", "admin", AT)
    with ledger.reading() as connection:
        row = connection.execute(select(tokens)).one()

    assert bytes(row.digest) == hashlib.sha256(secret.encode()).digest()
    assert secret not in str(row)


def test_expired_and_revoked(ledger: Ledger) -> None:
    """A token ends at its time, or once it is revoked: the first time stays."""
    secret = add_token(ledger, "ci", "admin", AT, AT + DAY)
    token = find_token(ledger, secret)
    assert token is not None
    assert token.is_valid(AT + DAY / 2)
    assert not token.is_valid(AT + DAY)
    revoke_token(ledger, "ci", AT + DAY / 4)
    revoke_token(ledger, "ci", AT + DAY / 2)

    token = find_token(ledger, secret)
    assert token is not None
    assert token.revoked_at == AT + DAY / 4
    assert not token.is_valid(AT)


def test_names(ledger: Ledger) -> None:
    """A name belongs to one token for ever, can be read, and has to be known to be revoked."""
    first = add_token(ledger, "ci", "admin", AT)
    with pytest.raises(LedgerError, match="token ci: expected a new name"):
        add_token(ledger, "ci", "viewer", AT)
    found = find_token(ledger, first)
    assert found is not None
    assert found.role == "admin"
    for name in ("", "a b", "-x", "a" * 101, "é", "a\n"):
        with pytest.raises(LedgerError, match="token: expected a name"):
            add_token(ledger, name, "viewer", AT)
    with pytest.raises(LedgerError, match="expected a role"):
        add_token(ledger, "other", "root", AT)  # type: ignore[arg-type]
    with pytest.raises(LedgerError, match="token: expected the name"):
        revoke_token(ledger, "nobody", AT)


def test_never_in_logs(sqlite_ledger: Ledger) -> None:
    """A token that gets into a text is taken out of it."""
    secret = add_token(sqlite_ledger, "ci", "admin", AT)

    assert redact(f"got {secret}, and", {}) == "got ***, and"
    assert redact(f"?token={secret}&x=1", {}) == "?token=***&x=1"
    assert redact("lading_a_name_of_a_bundle is none", {}) == "lading_a_name_of_a_bundle is none"
