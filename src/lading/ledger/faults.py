"""Errors of a database in one line, without a password."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc
from sqlalchemy.engine import URL, make_url

from lading.errors import LedgerError

_EXPECTED = "ledger: expected a URL such as 'postgresql://user@host:5432/lading'"
_LONGEST = 300
_SECRETS = frozenset({"password", "passfile", "sslpassword", "sslkey"})


class AwayError(LedgerError):
    """The database does not answer, is locked or full: what may pass."""


def parse_url(url: str) -> URL:
    """Parse the URL of a ledger.

    All that follows ``sqlite:///`` is a path, whatever it holds.

    Raises:
        LedgerError: it is none, or names a database that a ledger cannot stand in.
    """
    if url.startswith("sqlite:///"):
        return URL.create("sqlite", database=url.removeprefix("sqlite:///"))
    try:
        parsed = make_url(url)
    except (exc.ArgumentError, ValueError):
        raise LedgerError(f"{_EXPECTED}, got one that is none") from None
    if parsed.drivername != "postgresql+psycopg":
        raise LedgerError(f"{_EXPECTED}, got one of kind {parsed.drivername!r}")
    return parsed


def show_url(url: URL) -> str:
    """Return a URL as anybody may see it: without a password."""
    if url.get_backend_name() == "sqlite":
        return f"sqlite:///{url.database}"
    shown = URL.create(
        "postgresql",
        username=url.username,
        host=url.host,
        port=url.port,
        database=url.database,
        query=url.difference_update_query(_SECRETS).query,
    )
    return shown.render_as_string(hide_password=True)


@contextmanager
def told_in_one_line(place: str, secrets: tuple[str, ...] = ()) -> Iterator[None]:
    """Turn errors of the database into ours.

    Args:
        place: the ledger, as anybody may see it.
        secrets: what the line must not hold.

    Raises:
        AwayError: what may pass.
        LedgerError: what will not.
    """
    try:
        yield
    except (exc.SQLAlchemyError, sqlite3.Error) as error:
        raise fault_of(error, place, secrets) from error


def fault_of(error: Exception, place: str, secrets: tuple[str, ...] = ()) -> LedgerError:
    """Say in one line what a database said."""
    cause = getattr(error, "orig", None) or error
    said = " ".join(str(cause).split())[:_LONGEST] or type(cause).__name__
    for secret in filter(None, secrets):
        said = said.replace(secret, "***")
    kind = AwayError if _may_pass(error) else LedgerError
    return kind(f"ledger {place}: expected a database that answers, got {said!r}")


def secrets_in(url: URL) -> tuple[str, ...]:
    """Return what of a URL must not be seen."""
    named = [value for name, value in url.query.items() if name in _SECRETS]
    found = [url.password, *named]
    return tuple(str(each) for each in found if each)


def _may_pass(error: Exception) -> bool:
    # a full, read-only or broken disk may be mended while a release goes on, and so may a server
    passing = (
        exc.OperationalError,
        exc.InterfaceError,
        exc.InternalError,
        exc.TimeoutError,
        sqlite3.OperationalError,
    )
    is_cut = isinstance(error, exc.DBAPIError) and error.connection_invalidated
    return is_cut or isinstance(error, passing)
