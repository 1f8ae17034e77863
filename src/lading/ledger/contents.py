"""What a ledger holds, in numbers."""

from sqlalchemy import func, select

from lading.ledger import tables
from lading.ledger.ledger import Ledger
from lading.ledger.migrate import REVISIONS, read_state

_COUNTED = {
    "project": tables.projects,
    "run": tables.runs,
    "step": tables.steps,
    "log line": tables.logs,
    "release": tables.releases,
    "token": tables.tokens,
}


def count_rows(ledger: Ledger) -> dict[str, int]:
    """Return how many projects, runs, steps, log lines, releases and tokens there are, by noun.

    Raises:
        LedgerError: the database does not answer.
    """
    with ledger.reading() as connection:
        return {
            noun: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for noun, table in _COUNTED.items()
        }


def read_schema(ledger: Ledger) -> str:
    """Return which schema it has: ``0001``, and whether this Lading would write a newer one.

    Raises:
        LedgerError: the database does not answer, or holds something else.
    """
    with ledger.reading() as connection:
        is_current = read_state(connection, ledger.url) == "current"
    return REVISIONS[-1] if is_current else f"older than {REVISIONS[-1]}"
