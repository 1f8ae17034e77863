"""Numbers and command lines as people read them."""

import shlex
from collections.abc import Sequence
from pathlib import Path

_UNITS = ("B", "kB", "MB", "GB", "TB")
_THOUSAND = 1000
_MINUTE_S = 60
_HOUR_S = 3600


def format_bytes(size_bytes: float) -> str:
    """Write a size in decimal units, as clouds bill it: ``1.2 MB``."""
    if round(size_bytes) < _THOUSAND:
        return f"{size_bytes:.0f} B"
    size_bytes, unit = size_bytes / _THOUSAND, 1
    while round(size_bytes, 1) >= _THOUSAND and unit < len(_UNITS) - 1:
        size_bytes, unit = size_bytes / _THOUSAND, unit + 1
    return f"{size_bytes:.1f} {_UNITS[unit]}"


def format_duration(seconds: float) -> str:
    """Write a duration: ``0.4 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if round(seconds, 1) < _MINUTE_S:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S:02d} s"
    return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S:02d} min"


def count(number: int, noun: str) -> str:
    """Write a number with its noun: ``1 file``, ``2 files``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def resume_command(arguments: Sequence[str]) -> str:
    """Return the command line that was given, as one can paste it."""
    program = Path(arguments[0]).name
    name = "python -m doit" if program == "__main__.py" else program
    return " ".join([name, *(shlex.quote(each) for each in arguments[1:])])
