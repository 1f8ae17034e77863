"""Rows that are written by their own name: added, or brought up to date, in one statement."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

Row = Mapping[str, Any]
Changes = Callable[[Any], Mapping[str, Any]]
"""Given the columns of the new row: what a row that is there gets otherwise, by column."""


def insert_into(connection: Connection, table: Table) -> postgresql.Insert:
    """Return the insert of the database at hand: both know ``ON CONFLICT``, in the same words."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)  # type: ignore[return-value]  # it has the same methods
    return postgresql.insert(table)


def upsert(
    connection: Connection,
    table: Table,
    rows: Sequence[Row],
    *,
    key: Sequence[str],
    changes: Changes = lambda _: {},
) -> None:
    """Add rows, or bring those up to date that are there.

    Args:
        connection: in a transaction that writes.
        table: the table.
        rows: each with the same columns.
        key: columns of a unique constraint: a row's name.
        changes: what a row that is there gets otherwise than from the new one.
    """
    if not rows:
        return
    statement = insert_into(connection, table)
    new = statement.excluded
    given = {name: new[name] for name in rows[0] if name not in key}
    statement = statement.on_conflict_do_update(
        index_elements=[table.c[name] for name in key], set_={**given, **changes(new)}
    )
    connection.execute(statement, [dict(row) for row in rows])


def add_missing(
    connection: Connection, table: Table, rows: Sequence[Row], *, key: Sequence[str]
) -> None:
    """Add the rows that are not there; leave the others as they are."""
    if not rows:
        return
    statement = insert_into(connection, table).on_conflict_do_nothing(
        index_elements=[table.c[name] for name in key]
    )
    connection.execute(statement, [dict(row) for row in rows])
