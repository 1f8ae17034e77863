"""What the API's parser of schedules finds wrong, in its words.

Source: the messages of robfig/cron, which the API passes on; ``a/b`` runs from a to the end.
"""

import re
from collections.abc import Iterator

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_BOUNDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    (0, 6, {name: number for number, name in enumerate(_DAYS)}),
)
_NAMED = {"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}
_EVERY = re.compile(r"@every ([0-9]+(\.[0-9]+)?(h|m|s|ms|us|ns))+")


def schedule_fault(schedule: str) -> str:
    """Say what the API's parser finds wrong with a schedule, or ""."""
    text = re.sub(r"^(CRON_)?TZ=\S+\s+", "", schedule)
    if text.startswith("@"):
        known = text in _NAMED or _EVERY.fullmatch(text)
        return "" if known else f"unrecognized descriptor: {text}"
    fields = text.split()
    if len(fields) != len(_BOUNDS):
        return f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
    return next(_faults(fields), "")


def _faults(fields: list[str]) -> Iterator[str]:
    for field, (low, high, names) in zip(fields, _BOUNDS, strict=True):
        for part in field.split(","):
            yield from _shape_faults(part, names)
            yield from _range_faults(part, low, high, names)


def _shape_faults(part: str, names: dict[str, int]) -> Iterator[str]:
    span, *steps = part.split("/")
    ends = span.split("-")
    if len(steps) > 1:
        yield f"too many slashes: {part}"
    if len(ends) > 2:
        yield f"too many hyphens: {part}"
    for text in (*(() if ends[0] in {"*", "?"} else ends), *steps):
        if not (text.isascii() and text.isdigit()) and text.lower() not in names:
            why = f'strconv.Atoi: parsing "{text}": invalid syntax'
            yield f"failed to parse int from {text}: {why}"


def _range_faults(part: str, low: int, high: int, names: dict[str, int]) -> Iterator[str]:
    span, *steps = part.split("/")
    first, last = low, high
    if span[0] not in {"*", "?"}:
        numbers = [
            names[end.lower()] if end.lower() in names else int(end) for end in span.split("-")
        ]
        first, last = numbers[0], numbers[-1]
        last = high if steps and len(numbers) == 1 else last
    if first < low:
        yield f"beginning of range ({first}) below minimum ({low}): {part}"
    if last > high:
        yield f"end of range ({last}) above maximum ({high}): {part}"
    if first > last:
        yield f"beginning of range ({first}) beyond end of range ({last}): {part}"
    if steps and int(steps[0]) == 0:
        yield f"step of range should be a positive number: {part}"
