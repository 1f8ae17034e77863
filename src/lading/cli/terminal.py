"""What commands print: 80 columns and no colour where nobody watches; texts steer no terminal."""

import argparse
import functools
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.text import Text

PLAIN_WIDTH = 80
STATE_STYLES = {
    "done": "green",
    "published": "bold green",
    "unchanged": "cyan",
    "up to date": "cyan",
    "running": "bold",
    "queued": "yellow",
    "skipped": "yellow",
    "cancelled": "bold yellow",
    "partial": "bold red",
    "failed": "bold red",
    "interrupted": "bold red",
    "aborted": "bold red",
    "not reached": "dim",
}
"""How verdicts and states of steps look where there is colour."""
_SEQUENCES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?")
_NARROWEST = 12
_GAP = 2


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    title: str
    """What stands above it."""
    is_right: bool = False
    """Whether its cells stand at its right: numbers."""
    folds: bool = False
    """Whether its cells are folded where the page is too narrow for all."""


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a table."""

    cells: Sequence[str]
    """Its cells, one a column."""
    styles: Mapping[int, str] = field(default_factory=dict)
    """Style by number of the cell."""
    below: Sequence[str] = ()
    """What stands below it, each on a line of its own that is never folded: URLs, reasons."""


def clean(text: str) -> str:
    """Return a text on one line that steers no terminal: anybody's words may stand in it."""
    plain = _SEQUENCES.sub("", text)
    return "".join(each if each.isprintable() else " " for each in plain).rstrip()


def clean_lines(text: str) -> list[str]:
    """Return the lines of a text, each cleaned; none of an empty text."""
    return [clean(each) for each in text.splitlines()]


def render_table(columns: Sequence[Column], lines: Iterable[Line], width: int) -> "list[Text]":
    """Lay out a table, one line a row where it fits; "" cells stay empty. Pure."""
    from rich.text import Text  # noqa: PLC0415  bare commands need none of it

    rows = [Line([clean(cell) for cell in line.cells], line.styles, line.below) for line in lines]
    widths = _widths(columns, [line.cells for line in rows], width)
    page = _lay_out(columns, Line([each.title for each in columns], {}), widths, "bold")
    for line in rows:
        page += _lay_out(columns, line, widths)
        page += [Text(f"  {clean(each)}", style="dim") for each in line.below]
    return page


def print_page(page: "Iterable[Text]", stream: IO[str]) -> None:
    """Print lines; what is longer than the page is left to the terminal, so that it can be copied.

    Effects: writes to the stream, in colours where it is a terminal and nobody minds.
    """
    from rich.console import Console  # noqa: PLC0415  as above

    is_live = stream.isatty() and not os.environ.get("CI")
    console = Console(
        file=stream,
        force_terminal=is_live,
        no_color=not is_live or bool(os.environ.get("NO_COLOR")),
        highlight=False,
        markup=False,
        emoji=False,
    )
    for line in page:
        line.rstrip()
        console.print(line, soft_wrap=True)


def page_width(stream: IO[str]) -> int:
    """Return the columns of a terminal, 80 of what is none."""
    if not stream.isatty():
        return PLAIN_WIDTH
    try:
        return max(os.get_terminal_size(stream.fileno()).columns, PLAIN_WIDTH)
    except OSError:
        return PLAIN_WIDTH


def ends_quietly(
    act: Callable[[argparse.Namespace], int | None],
) -> Callable[[argparse.Namespace], int]:
    """Make a command end without a trace where its reader has gone, or somebody pressed Ctrl-C."""

    @functools.wraps(act)
    def run(options: argparse.Namespace) -> int:
        try:
            code = act(options) or 0
            sys.stdout.flush()
        except BrokenPipeError:
            # Python's "Note on SIGPIPE": else the interpreter flushes once more at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except KeyboardInterrupt:
            return 128 + signal.SIGINT
        return code

    return run


def can_encode(stream: IO[str]) -> None:
    """Let a stream replace what its encoding has no letters for, rather than fail."""
    reconfigure: Any = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """Return how wide the columns are: as they want it, less what the folding ones give up."""
    from rich.cells import cell_len  # noqa: PLC0415  as above

    cells = [[each.title for each in columns], *rows]
    wanted = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    folding = [number for number, each in enumerate(columns) if each.folds]
    while folding and sum(wanted) + _GAP * (len(wanted) - 1) > width:
        widest = max(folding, key=lambda number: wanted[number])
        if wanted[widest] <= _NARROWEST:
            break
        wanted[widest] -= 1
    return wanted


def _lay_out(
    columns: Sequence[Column], line: Line, widths: Sequence[int], style: str = ""
) -> "list[Text]":
    from rich.text import Text  # noqa: PLC0415  as above

    folded = [
        _fold(cell, width) if column.folds else [cell]
        for column, cell, width in zip(columns, line.cells, widths, strict=True)
    ]
    page = []
    for depth in range(max(map(len, folded))):
        text = Text()
        for number, parts in enumerate(folded):
            part = parts[depth] if depth < len(parts) else ""
            padded = _pad(part, widths[number], is_right=columns[number].is_right)
            text.append(padded, style=line.styles.get(number, style))
            text.append(" " * _GAP)
        text.rstrip()
        page.append(text)
    return page


def _fold(cell: str, width: int) -> list[str]:
    """Fold a cell at its spaces, and a word that is longer anywhere."""
    from rich.cells import cell_len, chop_cells  # noqa: PLC0415  as above

    folded: list[str] = [""]
    for word in cell.split(" "):
        longer = f"{folded[-1]} {word}" if folded[-1] else word
        if cell_len(longer) <= width:
            folded[-1] = longer
        else:
            folded += chop_cells(word, width)
    return [each for each in folded if each] or [""]


def _pad(text: str, width: int, *, is_right: bool) -> str:
    from rich.cells import cell_len  # noqa: PLC0415  as above

    space = " " * (width - cell_len(text))
    return f"{space}{text}" if is_right else f"{text}{space}"
