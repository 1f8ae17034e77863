"""Items of a plan: read from a file, or put into the arguments of a job. Nothing is run."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from lading.errors import MisconfiguredError
from lading.jobs.plans import Item, Plan
from lading.services.redaction import redact

_SHOWN = 5


def load_items(path: Path) -> list[dict[str, str]]:
    """Read what ``over=FILE`` names: a line an item, or a JSON object a line in ``.jsonl``.

    Empty lines count for nothing, nor do blanks around an item.

    Raises:
        MisconfiguredError: no such file, or lines that are no items: all of them.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise MisconfiguredError(f"{path}: expected a file of items, got: {reason}") from error
    told = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    faults = [
        f"{path}: line {number}: expected text, got a byte of 0"
        for number, line in told
        if "\0" in line
    ]
    rows: list[dict[str, str]] = []
    for number, line in told:
        row = _parse_row(line) if path.suffix == ".jsonl" else {"item": line}
        if isinstance(row, str):
            faults.append(f"{path}: line {number}: expected {row}, got {redact(line)[:60]!r}")
        else:
            rows.append(row)
    if faults:
        raise MisconfiguredError("\n".join(faults))
    return rows


def make_plan(
    job: str,
    template: Sequence[str],
    rows: Iterable[Mapping[str, str]],
    *,
    per_shard: int = 1,
    key: str = "",
) -> Plan:
    """Make the plan of a job over items. Pure.

    Args:
        job: name of the job.
        template: arguments of every run; ``{item}``, or the name of a field, stands for what the
            item says, which is put in once and as it is.
        rows: what each item says, by field; a line of text is ``{"item": line}``. Fields that the
            template does not use become options of their name, ``--name=value``.
        per_shard: items of a shard.
        key: what makes it another plan of equal items.

    Raises:
        MisconfiguredError: no items, items twice, or one that the template does not use.
    """
    if per_shard < 1:
        raise MisconfiguredError(f"per_shard: expected at least 1 item, got {per_shard}")
    told = list(rows)
    _require_fields(job, template, told)
    items = tuple(_make_item(template, row) for row in told)
    if not items:
        raise MisconfiguredError(f"plan of {job}: expected at least one item, got none")
    _require_unique(job, items)
    return Plan(job=job, items=items, per_shard=per_shard, key=key)


def _require_fields(job: str, template: Sequence[str], rows: Sequence[Mapping[str, str]]) -> None:
    """Refuse items that lack what the template puts in of others: all such fields."""
    names = dict.fromkeys(name for row in rows for name in row)
    faults = []
    for name in (each for each in names if any(f"{{{each}}}" in word for word in template)):
        lacking = [number for number, row in enumerate(rows, 1) if name not in row]
        if lacking:
            faults.append(
                f"plan of {job}: expected {name!r} of each item, found none of {len(lacking)},"
                f" the first is number {lacking[0]}"
            )
    if faults:
        raise MisconfiguredError("\n".join(faults))


def _make_item(template: Sequence[str], row: Mapping[str, str]) -> Item:
    used = {name for name in row if any(f"{{{name}}}" in each for each in template)}
    if set(row) == {"item"} and not used:
        raise MisconfiguredError(
            f"arguments: expected {{item}} where the item {row['item']!r} is to stand,"
            f" got {' '.join(template) or 'nothing'}"
        )
    argv = [_fill(each, row) for each in template]
    # one word each: a value that begins with -- is no option
    argv += [f"--{name.replace('_', '-')}={row[name]}" for name in row if name not in used]
    return Item(name="/".join(row.values()), argv=tuple(argv))


def _fill(text: str, row: Mapping[str, str]) -> str:
    """Put fields where a text names them; what they say is looked at no more."""
    names = "|".join(map(re.escape, row))
    return re.sub(rf"\{{({names})\}}", lambda found: row[found[1]], text)


def _require_unique(job: str, items: Sequence[Item]) -> None:
    twice = [name for name, number in Counter(each.name for each in items).items() if number > 1]
    if twice:
        more = f" and {len(twice) - _SHOWN} more" if len(twice) > _SHOWN else ""
        said = ", ".join(map(repr, twice[:_SHOWN]))
        raise MisconfiguredError(
            f"plan of {job}: expected each item once, got several times: {said}{more}"
        )


def _parse_row(line: str) -> dict[str, str] | str:
    """Read a line of JSON; return what is expected in its place where it is none."""
    wanted = "a JSON object of texts and numbers"
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return wanted
    if not isinstance(row, dict) or not row:
        return wanted
    if not all(isinstance(each, str | int | float) for each in row.values()):
        return wanted
    if any(isinstance(each, bool) for each in row.values()):
        return wanted
    if not all(re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) for name in row):
        return "names of small letters, digits and '_'"
    return {name: str(value) for name, value in row.items()}
