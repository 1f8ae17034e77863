"""What a release tells its people, as a Slack message within Slack's limits. No I/O."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lading.services.announcement import (
    Announcement,
    Stage,
    cut,
    format_duration,
    one_line,
    order_stages,
    safe_url,
)

Block = dict[str, Any]

HEADER_CHARS, SECTION_CHARS = 150, 3000
"""Slack's own limits: Block Kit reference, header and section."""
MESSAGE_CHARS = 9000
"""All blocks together; beyond some 13,000 Slack says msg_blocks_too_long (bolt-js issue 2509)."""

_FOLDED = {"unchanged": 3, "up to date": 3, "not reached": 5, "done": 15}
_TOLD_FAILURES = 5
_FAILURES, _TABLE, _LINKS = 2600, 2600, 1200
_TEXT, _COMMAND, _NAME, _DETAIL = 600, 2000, 120, 90


def render_message(announcement: Announcement) -> tuple[str, list[Block]]:
    """Render a Slack message.

    Returns:
        The text of notifications, and the blocks: headline, what failed, how to resume, the
        stage table, links. Both within Slack's limits, whatever the announcement holds.
    """
    headline, failed = announcement.headline, announcement.failed
    first = f": {failed[0].task}: {one_line(failed[0].detail)}" if failed else ""
    text = _mrkdwn(f"{headline}{first}", _TEXT)
    blocks: list[Block] = [
        {"type": "header", "text": {"type": "plain_text", "text": _header(headline)}}
    ]
    if failed:
        each_chars = _FAILURES // min(len(failed), _TOLD_FAILURES) - _NAME - 40
        told = [
            f"*{_mrkdwn(_unformatted(one_line(each.task)), _NAME)}* failed\n"
            + _preformatted(each.detail or "no word of why", each_chars)
            for each in failed[:_TOLD_FAILURES]
        ]
        blocks.append(_section("\n".join(told)))
    if announcement.is_open and announcement.resume:
        command = _preformatted(announcement.resume, _COMMAND)
        blocks.append(_section(f"To resume, run the same command:\n{command}"))
    rows = order_stages(announcement.stages, _FOLDED)
    if rows:
        blocks.append(_section(_preformatted(_table(rows), _TABLE)))
    links = "".join(f" · {each}" for each in _links(announcement.links))
    blocks.append(_section(f"Took {format_duration(announcement.elapsed_s)}{links}"))
    return text, blocks


def _table(rows: Sequence[Stage]) -> str:
    """Return a line a row; the last one tells how many there was no room for."""
    room = _TABLE - 40
    lines: list[str] = []
    for number, each in enumerate(rows):
        took = f"  {format_duration(each.elapsed_s)}" if each.elapsed_s else ""
        detail = f"  {cut(one_line(each.detail), _DETAIL)}" if each.detail else ""
        name = cut(one_line(each.task), _NAME)
        line = f"{cut(one_line(each.state), _NAME):<9}  {name}{detail}{took}"
        room -= _escaped_chars(line) + 1
        if room < 0:
            return "\n".join([*lines, f"{len(rows) - number:,} more rows"])
        lines.append(line)
    return "\n".join(lines)


def _links(links: Mapping[str, str]) -> Iterator[str]:
    room = _LINKS
    for name, url in links.items():
        told = _mrkdwn(_unformatted(one_line(name).replace("|", "/")), _NAME)
        safe = safe_url(url)
        link = f"<{safe.replace('&', '&amp;')}|{told}>"
        if safe and len(link) + 3 <= room:
            room -= len(link) + 3
            yield link


def _section(text: str) -> Block:
    # verbatim: Slack makes no links or mentions of its own out of what stands there
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def _preformatted(text: str, limit: int) -> str:
    # a space of no width: three backticks in a row would close it
    broken = re.sub("`(?=`)", "`\u200b", text.strip())
    return f"```\n{_mrkdwn(broken, limit)}\n```"


def _unformatted(text: str) -> str:
    """Part formatting characters from their words, outside of preformatted text."""
    return re.sub("([*_~`])", "\u200b\\1\u200b", text)


def _mrkdwn(text: str, limit: int) -> str:
    """Escape a text as Slack asks, and cut it between two characters.

    Source: Slack, "Formatting message text", section "Escaping text".
    """
    if _escaped_chars(text) <= limit:
        return "".join(map(_escape, text))
    kept, left = [], limit - 1
    for each in text:
        left -= _escaped_chars(each)
        if left < 0:
            break
        kept.append(_escape(each))
    return "".join(kept) + "…"


def _escape(character: str) -> str:
    return {"&": "&amp;", "<": "&lt;", ">": "&gt;"}.get(character, character)


def _escaped_chars(text: str) -> int:
    """Return how long a text is for Slack: escaped, in UTF-16 units, the longest way to count."""
    return sum(len(_escape(each)) + (each > "\uffff") for each in text)


def _header(text: str) -> str:
    """Cut a text as Slack may count it; plain text knows no escapes."""
    while len(text) + sum(each > "\uffff" for each in text) > HEADER_CHARS:
        text = f"{text[:-2]}…"
    return text
