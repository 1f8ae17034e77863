"""Numbers and moments as the page's readers take them in. Pure."""

import math
from datetime import UTC, datetime

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_THOUSAND = 1000
_LEAST_PERCENT = 0.05
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400


def format_bytes(size_bytes: float) -> str:
    """Write a size in decimal units, as clouds bill it: ``1.2 MB``."""
    if not math.isfinite(size_bytes):
        return "?"
    if abs(round(size_bytes)) < _THOUSAND:
        return f"{size_bytes:.0f} B"
    size_bytes, unit = size_bytes / _THOUSAND, 1
    while abs(round(size_bytes, 1)) >= _THOUSAND and unit < len(_UNITS) - 1:
        size_bytes, unit = size_bytes / _THOUSAND, unit + 1
    return f"{size_bytes:,.1f} {_UNITS[unit]}"


def format_count(number: int, noun: str = "") -> str:
    """Write a number, with its noun where one is given: ``1 file``, ``20,000 files``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}" if noun else f"{number:,}"


def format_percent(percent: float) -> str:
    """Write a share: ``42 %``. It is cut, never rounded up: 100 % is said when all is done."""
    if not math.isfinite(percent):
        return "?"
    return f"{math.floor(min(max(percent, 0.0), 100.0))} %"


def format_duration(seconds: float) -> str:
    """Write a duration: ``0.4 s``, ``3 min 05 s``, ``2 h 10 min``, ``3 d 4 h``."""
    if not math.isfinite(seconds):
        return "?"
    seconds = max(seconds, 0.0)
    if round(seconds, 1) < _MINUTE_S:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S:02d} s"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S:02d} min"
    return f"{whole // _DAY_S} d {whole % _DAY_S // _HOUR_S} h"


def format_whole(seconds: float) -> str:
    """Write a duration of whole seconds, minutes or hours: ``30 s``, ``5 min``, ``2 h``."""
    for unit_s, unit in ((_HOUR_S, "h"), (_MINUTE_S, "min"), (1, "s")):
        if seconds >= unit_s and seconds % unit_s == 0:
            return f"{int(seconds // unit_s)} {unit}"
    return format_duration(seconds)


def format_moment(moment: datetime) -> str:
    """Write a moment: ``2026-11-21 20:30 UTC``."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def format_clock(moment: datetime) -> str:
    """Write the time of a day: ``20:30:12``."""
    return f"{moment.astimezone(UTC):%H:%M:%S}"


def format_ago(moment: datetime, now: datetime) -> str:
    """Write how long ago a moment was, in its largest unit: ``5 min ago``, ``3 d ago``."""
    seconds = (now - moment).total_seconds()
    if seconds < 1:
        return "now"
    for unit_s, unit in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if seconds >= unit_s:
            return f"{int(seconds // unit_s):,} {unit} ago"
    return f"{int(seconds)} s ago"


def change_percent(before: float, after: float) -> float | None:
    """Return by how many per cent something grew; None where there was nothing before."""
    if not before or not math.isfinite(before) or not math.isfinite(after):
        return None
    return (after - before) / before * 100


def format_change(before: float, after: float) -> str:
    """Write by how much something grew: ``+3.2 %``, ``no change``, or ``new`` of what was nil."""
    if before == after:
        return "no change"
    percent = change_percent(before, after)
    if percent is None:
        return "new"
    if after == 0:
        return "-100 %"
    if abs(percent) < _LEAST_PERCENT:  # a change that rounds to nothing is still one
        return "< +0.1 %" if percent > 0 else "> -0.1 %"
    return f"{percent:+,.1f} %"
