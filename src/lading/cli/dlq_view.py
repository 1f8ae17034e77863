"""Dead letters as people read them.

What stands in them is anybody's: it never steers a terminal.
"""

import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections import Counter

    from lading.jobs.letters import DeadLetter

MOST = 50
"""Letters that a table shows, at most."""
_WIDTH = 160  # where nobody tells how wide the page is
_WIDEST, _NARROWEST = 40, 20  # columns: of any but the last, of the last


def render_letters(letters: "Sequence[DeadLetter]", number: int) -> str:
    """Return a table of letters, a line each, and the number of those that it does not show.

    Args:
        letters: those to show.
        number: how many there are.
    """
    head = ("id", "job", "item#row", "tries", "class", "last seen (UTC)", "message")
    rows = [
        (
            each.id[:8],
            each.job,
            _end_of(_visible(name_place(each)), _WIDEST),
            str(each.attempt),
            each.error_class,
            f"{each.last_seen:%Y-%m-%d %H:%M:%S}",
            each.message,
        )
        for each in letters
    ]
    rest = number - len(letters)
    return _render_table(head, rows) + (f"... and {rest} more\n" if rest else "")


def render_counts(items: "Counter[str]", letters: "Counter[str]") -> str:
    """Return a table of jobs with their numbers of items and letters."""
    rows = [(job, str(items[job]), str(letters[job])) for job in sorted(letters)]
    return _render_table(("job", "items", "letters"), rows)


def render_letter_in_full(letter: "DeadLetter", store_url: str) -> str:
    """Return all that is known of a letter."""
    facts = {
        "id": letter.id,
        "job": letter.job,
        "item": letter.item,
        "row": "the item as a whole" if letter.row is None else str(letter.row),
        "tries": str(letter.attempt),
        "class": letter.error_class,
        "message": letter.message,
        "first seen": letter.first_seen.isoformat(),
        "last seen": letter.last_seen.isoformat(),
        "run": letter.run,
        "arguments": " ".join(letter.arguments),
        "reference": letter.reference,
        "store": store_url,
    }
    text = "".join(f"{name:<12}{_visible(fact)}\n" for name, fact in facts.items() if fact)
    for name, block in (("payload", letter.payload), ("trace", letter.trace)):
        if block:
            text += f"\n{name}:\n" + "".join(f"  {_visible(each)}\n" for each in _lines(block))
    return text


def name_place(letter: "DeadLetter") -> str:
    """Return item and row, as messages name them."""
    return letter.item if letter.row is None else f"{letter.item}#{letter.row}"


def count(number: int, noun: str) -> str:
    """Write a number with its noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _render_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return lines as wide as the page: the last column has what the others leave."""
    from rich.cells import cell_len  # noqa: PLC0415  `lading init` needs none of it

    table = [head, *([_visible(each) for each in row] for row in rows)]
    widths = [min(max(map(cell_len, cells)), _WIDEST) for cells in zip(*table, strict=True)]
    page = shutil.get_terminal_size((_WIDTH, 24)).columns
    widths[-1] = max(page - sum(widths[:-1]) - 2 * len(widths[:-1]), _NARROWEST)
    lines = ("  ".join(map(_fit, row, widths)).rstrip() for row in table)
    return "".join(f"{line}\n" for line in lines)


def _fit(text: str, width: int) -> str:
    from rich.cells import cell_len, set_cell_size  # noqa: PLC0415  as above

    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return f"{set_cell_size(text, width - 1)}…"


def _end_of(text: str, width: int) -> str:
    """Cut the beginning of a name: what tells it from others, and the row, stand at its end."""
    from rich.cells import cell_len  # noqa: PLC0415  as above

    if cell_len(text) <= width:
        return text
    while cell_len(text) >= width:
        text = text[1:]
    return f"…{text}"


def _visible(text: str) -> str:
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def _lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n")
