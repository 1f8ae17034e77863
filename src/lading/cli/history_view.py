"""Runs as lines of a list, one each in 80 columns. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from lading.cli.terminal import STATE_STYLES, clean
from lading.tasks.wording import format_bytes

if TYPE_CHECKING:
    from rich.text import Text

    from lading.ledger.model import Run

_TIME_DIGITS = 15  # 20261121T203000: of two runs, nearly always enough
_WHEN, _WORD, _TOOK, _SIZE = 11, 11, 8, 8
_GAPS = 5
_MANY_HOURS = 100


def render_history(runs: "Sequence[Run]", total: int, width: int, now: datetime) -> "list[Text]":
    """Return a line a run, in the order given, and how many more there are.

    Args:
        runs: releases with their steps and targets, others as in a list.
        total: how many there are in all.
        width: columns of the page.
        now: for how long something has been going on.
    """
    from rich.text import Text  # noqa: PLC0415  bare commands need none of it

    if not runs:
        return [Text("no runs")]
    names = shorten([clean(each.run_id) for each in runs])
    is_one = len({each.project for each in runs}) == 1
    subjects = [clean(_what(each, is_one=is_one)) for each in runs]
    room = width - _WHEN - _WORD - _TOOK - _SIZE - max(map(len, names)) - _GAPS
    head = _line(("began", "what", "verdict", "took", "size", "run"), room, ("bold",) * 6)
    page = [head]
    for run, subject, name in zip(runs, subjects, names, strict=True):
        word, style = _word(run)
        at = run.started_at or run.created_at
        cells = (f"{at:%m-%d %H:%M}", subject, word, _took(run, now), _size(run), name)
        page.append(_line(cells, room, ("", "", style, "", "", "")))
    rest = total - len(runs)
    return [*page, Text(f"... and {rest} more: --limit shows them")] if rest > 0 else page


def shorten(names: Sequence[str]) -> list[str]:
    """Return as much of each name as tells it from the others, at least its time."""
    length = _TIME_DIGITS
    while len({each[:length] for each in names}) < len(set(names)):
        length += 1
    return [each[:length] for each in names]


def _what(run: "Run", *, is_one: bool) -> str:
    channel = "" if run.channel and run.channel in run.tag else run.channel
    parts = ["" if is_one else run.project, channel, run.tag, "" if run.is_release else run.kind]
    text = " ".join(filter(None, parts)) or run.kind
    is_plain = run.environment in {"", "production", run.channel}
    return text if is_plain else f"{text} ({run.environment})"


def _word(run: "Run") -> tuple[str, str]:
    from lading.ledger.verdict import judge  # noqa: PLC0415  as above

    word = judge(run).word
    percent = f" {int(run.progress.percent)}%" if word == "running" else ""
    return f"{word}{percent}", STATE_STYLES.get(word, "")


def _took(run: "Run", now: datetime) -> str:
    if run.started_at is None or (run.ended_at is None and run.is_aborted):
        return "-"
    took = max((run.ended_at or now) - run.started_at, timedelta())
    minutes, seconds = divmod(int(took.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours < _MANY_HOURS else f"{took.days} days"


def _size(run: "Run") -> str:
    """Return the size of the release: of all files that are to stand in a prefix."""
    planned = max((each.planned_bytes for each in run.targets), default=0)
    return format_bytes(planned) if planned else "-"


def _line(cells: Sequence[str], room: int, styles: Sequence[str]) -> "Text":
    from rich.text import Text  # noqa: PLC0415  as above

    widths = (_WHEN, room, _WORD, _TOOK, _SIZE, 0)
    text = Text()
    for number, (cell, width, style) in enumerate(zip(cells, widths, styles, strict=True)):
        text.append(_fit(cell, width, is_right=number in {3, 4}) if width else cell, style=style)
        text.append(" ")
    text.rstrip()
    return text


def _fit(cell: str, width: int, *, is_right: bool) -> str:
    """Fit a cell; of one that is too long the end stays, which tells runs apart."""
    from rich.cells import cell_len  # noqa: PLC0415  as above

    if cell_len(cell) > width:
        while cell_len(cell) >= width:
            cell = cell[1:]
        cell = f"…{cell}"
    space = " " * (width - cell_len(cell))
    return f"{space}{cell}" if is_right else f"{cell}{space}"
