"""The ledger in Datasette: what its pages say of the database. Pure."""

import json
from typing import Any

from lading.ledger.views import TABLES, VIEWS, TableWords, View

FILE_STEM = "ledger"
"""Name of the database in Datasette: its file's, without the ending."""
_LOCKED = "tokens"


def render_metadata() -> str:
    """Render Datasette's ``metadata.json``: what each table, view and column is, in words.

    Use: ``datasette ledger.db -m metadata.json``.

    Source: Datasette, "Metadata"; "Facets", "Units"; "Authentication and permissions".
    """
    tables = {each.name: _table(each) for each in TABLES}
    document = {
        "title": "Lading: what happened",
        "databases": {
            FILE_STEM: {
                "description": "The ledger of releases: runs, steps, logs, receipts, files."
                " Begin with the view overview. Times are UTC, sizes are bytes.",
                "tables": {**{each.name: _view(each) for each in VIEWS}, **tables},
            }
        },
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _view(view: View) -> dict[str, Any]:
    words: dict[str, Any] = {"description": view.description, "columns": dict(view.columns)}
    if view.sort_desc:
        words["sort_desc"] = view.sort_desc
    if view.facets:
        words["facets"] = list(view.facets)
    if units := {name: unit for name in view.columns if (unit := _unit(name))}:
        words["units"] = units
    return words


def _unit(column: str) -> str:
    """Return the unit that Datasette shows of a column's numbers: seconds have it in the name."""
    if column == "bytes_per_s":
        return "B/s"
    return "B" if column.endswith("_bytes") else ""


def _table(table: TableWords) -> dict[str, Any]:
    words: dict[str, Any] = {"description": table.description}
    if table.sort_desc:
        words["sort_desc"] = table.sort_desc
    if table.facets:
        words["facets"] = list(table.facets)
    if table.is_hidden:
        words["hidden"] = True
    if table.name == _LOCKED:
        words["allow"] = False  # nobody needs to see these there
    return words
