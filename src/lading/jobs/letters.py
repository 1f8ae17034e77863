"""What is kept of an item that failed for good, and how it stands in a store. Pure."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any

_MESSAGE_LENGTH = 4_000
_TRACE_LENGTH = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """An item that failed for good."""

    id: str
    """16 hexadecimal digits, from job, item, row and payload: the same failure, the same id."""
    job: str
    """Name of the job."""
    run: str
    """UUID of the run that failed last."""
    item: str
    """Name of the item: a key, an id, a date."""
    row: int | None
    """Number of the row in the item, from 1 without the header; None: the item as a whole."""
    attempt: int
    """How often it has failed for good."""
    error_class: str
    """Class of the error."""
    message: str
    """What was expected, what was found."""
    trace: str
    """Where it was raised, or "" where the data alone is at fault."""
    first_seen: datetime
    """When it failed first; aware, UTC."""
    last_seen: datetime
    """When it failed last; aware, UTC."""
    payload: str | None
    """The original as text, or None where ``reference`` stands for it."""
    reference: str
    """URL of the original, or ""."""
    arguments: tuple[str, ...]
    """Arguments of the run, for a retry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What a job says of an item, or of a row of it, that failed for good."""

    error_class: str
    """Class of the error."""
    message: str
    """What was expected, what was found."""
    row: int | None = None
    """Number of the row, from 1; None: the item as a whole."""
    trace: str = ""
    """Where it was raised."""
    payload: str | None = None
    """The original as text."""
    reference: str = ""
    """URL of the original."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What the letters of one item, put by one run, have in common."""

    job: str
    """Name of the job."""
    run: str
    """UUID of the run."""
    item: str
    """Name of the item."""
    arguments: tuple[str, ...]
    """Arguments of the run, without secrets."""
    seen_at: datetime
    """When it failed; aware, UTC."""


def letter_id(job: str, item: str, row: int | None, payload: str | None) -> str:
    """Return the id of a letter: the same failure, the same id."""
    named = json.dumps([job, item, row, payload])
    return hashlib.sha256(named.encode()).hexdigest()[:16]


def make_letter(origin: Origin, failure: Failure, redact: Callable[[str], str]) -> DeadLetter:
    """Make the letter of a failure that is seen for the first time.

    Secrets are taken out of message, trace and reference; not of the payload, which is the user's
    data, nor of the names of job and item, which find it. A message or trace without end is cut.
    """
    return DeadLetter(
        id=letter_id(origin.job, origin.item, failure.row, failure.payload),
        job=origin.job,
        run=origin.run,
        item=origin.item,
        row=failure.row,
        attempt=1,
        error_class=failure.error_class,
        message=_cut(redact(failure.message), _MESSAGE_LENGTH),
        trace=_cut(redact(failure.trace), _TRACE_LENGTH) if failure.trace else "",
        first_seen=origin.seen_at,
        last_seen=origin.seen_at,
        payload=failure.payload,
        reference=redact(failure.reference) if failure.reference else "",
        arguments=origin.arguments,
    )


def continue_letter(letter: DeadLetter, before: DeadLetter) -> DeadLetter:
    """Return a letter that follows one of its id: seen first when that was, and once more.

    Where the same run put both, nothing has happened but that it put it again.
    """
    if letter.run == before.run:
        return replace(
            letter,
            attempt=before.attempt,
            first_seen=before.first_seen,
            last_seen=before.last_seen,
        )
    return replace(letter, attempt=before.attempt + 1, first_seen=before.first_seen)


def merge_letters(letters: Sequence[DeadLetter]) -> list[DeadLetter]:
    """Return letters with ids of their own, by id: what several say of one failure is joined."""
    merged: dict[str, DeadLetter] = {}
    for each in letters:
        known = merged.setdefault(each.id, each)
        if each.message not in known.message:
            text = _cut(f"{known.message}; {each.message}", _MESSAGE_LENGTH)
            merged[each.id] = replace(known, message=text)
    return [merged[name] for name in sorted(merged)]


def row_order(row: int | None) -> int:
    """Return where a row stands among those of its item: what is said of the whole comes first."""
    return -1 if row is None else row


def letter_table(letter: DeadLetter) -> dict[str, Any]:
    """Return a letter as JSON takes it."""
    table = {name: getattr(letter, name) for name in _NAMES}
    table["arguments"] = list(letter.arguments)
    for name in ("first_seen", "last_seen"):
        table[name] = table[name].astimezone(UTC).isoformat()
    return table


def render_letter(letter: DeadLetter) -> bytes:
    """Return a letter as it stands in a store: a JSON line, names sorted, ASCII only."""
    return json.dumps(letter_table(letter), sort_keys=True).encode() + b"\n"


def parse_letter(line: str) -> DeadLetter:
    """Read a letter as it stands in a store, a JSON line.

    Raises:
        ValueError: it is none.
    """
    table = json.loads(line)
    if not isinstance(table, dict):
        raise ValueError(f"expected a JSON object, got {line[:60]!r}")  # noqa: TRY004  as documented
    if faults := sorted(_NAMES ^ table.keys()):
        raise ValueError(f"expected the fields of a dead letter, got or missed {faults}")
    wrong = sorted(name for name, kinds in _KINDS.items() if type(table[name]) not in kinds)
    if wrong or not all(isinstance(each, str) for each in table["arguments"]):
        raise ValueError(f"expected a dead letter, got other types at {wrong or ['arguments']}")
    return DeadLetter(**{**table, **dict(_converted(table))})


def parse_failure(line: str, error_class: str, reference: str) -> Failure:
    """Read a line of a file of bad rows: ``row``, ``message``, ``payload``.

    Raises:
        ValueError: it is none.
    """
    table = json.loads(line)
    expected = "expected a JSON object with row, message and payload"
    if not isinstance(table, dict):
        raise ValueError(f"{expected}, got {line[:60]!r}")  # noqa: TRY004  as documented
    row, message, payload = table.get("row"), table.get("message"), table.get("payload")
    if type(row) not in _NUMBER_OR_NONE or not isinstance(message, str):
        raise ValueError(f"{expected}, got row {row!r} and message {message!r}")
    if not isinstance(payload, str | None):
        raise ValueError(f"{expected}, got payload {payload!r}")  # noqa: TRY004  as documented
    return Failure(
        error_class=error_class, message=message, row=row, payload=payload, reference=reference
    )


_NAMES = frozenset(each.name for each in fields(DeadLetter))
_NUMBER_OR_NONE: set[type] = {int, type(None)}
_KINDS: Mapping[str, set[type]] = {
    **{name: {str} for name in _NAMES},
    "attempt": {int},
    "row": _NUMBER_OR_NONE,
    "payload": {str, type(None)},
    "arguments": {list},
}


def _converted(table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "arguments", tuple(table["arguments"])
    for name in ("first_seen", "last_seen"):
        moment = datetime.fromisoformat(table[name])
        if moment.tzinfo is None:
            raise ValueError(f"{name}: expected a time with its zone, got {table[name]!r}")
        yield name, moment.astimezone(UTC)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
