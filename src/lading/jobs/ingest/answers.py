"""What an API's answer says of each record. Pure.

A status code is never taken for a success by itself: an answer of 200 may hold errors, or be the
page of somebody in between. Of each record is said whether it was taken, refused, or is to be
sent again; of all together, where the answer names none.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from lading.services.answers import Answer
from lading.services.redaction import redact

CONTENT_STATUS = frozenset({400, 413, 422})
"""What the request carries is at fault. Source: RFC 9110, 15.5."""
BUSY_STATUS = frozenset({408, 409, 423, 425, 429})
"""Another try may be answered otherwise. 409: the same request is being worked on (IETF draft
"The Idempotency-Key HTTP Header Field", 2.7)."""
_NO_BODY_NEEDED = frozenset({201, 202, 204})
_TOLD_CHARS = 500
_BAD_REQUEST, _SERVER = 400, 500

_GOOD = {
    "ok", "success", "succeeded", "successful", "accepted", "created", "updated", "inserted",
    "upserted", "indexed", "stored", "written", "replaced", "unchanged", "duplicate", "exists",
    "existing", "noop", "skipped", "done", "queued",
}  # fmt: skip
_BAD = {
    "error", "errors", "failed", "failure", "fail", "rejected", "refused", "invalid", "denied",
}  # fmt: skip


class Verdict(Enum):
    """What became of a record."""

    TAKEN = "taken"
    REFUSED = "refused"
    """For good."""
    AGAIN = "again"
    """For the time being."""
    UNSENT = "unsent"
    """The request failed for another record's sake."""


@dataclass(frozen=True, slots=True)
class Said:
    """What an answer says of one record."""

    verdict: Verdict
    message: str = ""
    is_known: bool = True
    """Whether it is known what became of it: an answer that nobody understands tells nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What an answer says."""

    records: tuple[Said, ...] = ()
    """Of each record, in order; empty where it says it of all together."""
    whole: Said | None = None
    """Of all together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Where an API says what."""

    key: tuple[str, ...]
    """Fields that identify a record."""
    errors_field: str = "errors"
    """Path, with dots, of the list of errors."""
    results_field: str = "results"
    """Path, with dots, of the list with an entry a record."""


class _UnreadableError(ValueError):
    """An answer that does not fit what was sent."""


def read_answer(answer: Answer, sent: Sequence[Mapping[str, Any]], shape: Shape) -> Reading:
    """Say what an answer means for each record that was sent.

    Args:
        answer: a success, or one of ``CONTENT_STATUS``.
        sent: the records.
        shape: where it says what.
    """
    try:
        if not answer.is_success:
            return _read_refusal(answer, sent, shape)
        if not answer.content and answer.status in _NO_BODY_NEEDED:
            return Reading(records=(Said(Verdict.TAKEN),) * len(sent))
        return _read_success(answer.table, sent, shape)
    except _UnreadableError as error:
        told = f"{error}, got {answer.describe()}"
        return Reading(whole=Said(Verdict.AGAIN, told, is_known=False))


def _read_success(table: Any, sent: Sequence[Mapping[str, Any]], shape: Shape) -> Reading:
    if isinstance(table, list):
        table = {"": table}
        shape = Shape(key=shape.key, errors_field=shape.errors_field, results_field="")
    if not isinstance(table, dict):
        raise _UnreadableError("expected a JSON object or a list of results")
    results = _at(table, shape.results_field)
    errors = _at(table, shape.errors_field)
    if isinstance(results, list):
        said = _read_results(results, sent, shape.key)
    else:
        said = [Said(Verdict.TAKEN)] * len(sent)
    if errors and not isinstance(errors, int):
        named = _name_errors(errors, sent, shape.key)
        if named is None:
            return Reading(whole=Said(_verdict_of(table), _told(errors)))
        said = [named.get(index, each) for index, each in enumerate(said)]
    elif _tells_failures(table) and all(each.verdict is Verdict.TAKEN for each in said):
        return Reading(whole=Said(_verdict_of(table), _message_of(table)))
    _require_counts(table, said)
    return Reading(records=tuple(said))


def _read_refusal(answer: Answer, sent: Sequence[Mapping[str, Any]], shape: Shape) -> Reading:
    """Read why all of a request was refused; where it names records, the others were not."""
    whole = Reading(whole=Said(Verdict.REFUSED, f"the API answered {answer.describe()}"))
    try:
        table = json.loads(answer.content)
        named = _name_errors(_at(table, shape.errors_field), sent, shape.key)
    except (ValueError, RecursionError):
        return whole
    refused = named and [each for each in named.values() if each.verdict is Verdict.REFUSED]
    if not named or not refused:
        return whole
    unsent = Said(Verdict.UNSENT)
    return Reading(records=tuple(named.get(index, unsent) for index in range(len(sent))))


def _read_results(
    results: Sequence[Any], sent: Sequence[Mapping[str, Any]], key: tuple[str, ...]
) -> list[Said]:
    """Read an entry a record, by index, by key, or in the order in which they were sent."""
    if len(results) != len(sent):
        raise _UnreadableError(f"expected {len(sent)} results, got {len(results)}")
    if not all(isinstance(each, dict) for each in results):
        raise _UnreadableError("expected results that are JSON objects")
    finder = _Finder(sent, key)
    if not any(finder.knows(each) for each in results):  # ids may be the API's own
        return [_read_result(each) for each in results]
    found = [finder.find(each) for each in results]
    if sorted(index for index in found if index is not None) != list(range(len(sent))):
        raise _UnreadableError("expected a result of each record that was sent")
    pairs = zip(found, results, strict=True)
    return [_read_result(each) for _, each in sorted(pairs, key=lambda pair: pair[0] or 0)]


def _read_result(entry: Mapping[str, Any]) -> Said:
    status = entry.get("status", entry.get("code"))
    if _is_bad(entry):
        return Said(_verdict_of(entry), _message_of(entry))
    is_known = status is None or _status_code(status) or str(status).lower() in _GOOD
    if not is_known:
        told = f"expected a status that tells a success or an error, got {status!r}"
        return Said(Verdict.REFUSED, told)
    return Said(Verdict.TAKEN)


def _name_errors(
    errors: Any, sent: Sequence[Mapping[str, Any]], key: tuple[str, ...]
) -> dict[int, Said] | None:
    """Return by index what errors say of records; None where one names no record.

    Raises:
        _UnreadableError: one names a record that was not sent.
    """
    if isinstance(errors, dict):  # by index or by key
        errors = [
            {"id": name, **(each if isinstance(each, dict) else {"message": _told(each)})}
            for name, each in errors.items()
        ]
        if len(sent) > 1 and not all(_Finder(sent, key).knows(each) for each in errors):
            return None
    if not isinstance(errors, list) or not errors:
        return None
    finder = _Finder(sent, key)
    named: dict[int, Said] = {}
    for each in errors:
        index = 0 if len(sent) == 1 else finder.find(each) if isinstance(each, dict) else None
        if index is None:
            return None
        said = Said(_verdict_of(each), _message_of(each))
        before = named.get(index)
        if before is not None:
            both = {said.verdict, before.verdict}
            verdict = Verdict.REFUSED if Verdict.REFUSED in both else Verdict.AGAIN
            said = Said(verdict, f"{before.message}; {said.message}"[:_TOLD_CHARS])
        named[index] = said
    return named


class _Finder:
    """Finds the record that an entry of an answer is about."""

    def __init__(self, sent: Sequence[Mapping[str, Any]], key: tuple[str, ...]) -> None:
        self._count = len(sent)
        self._key = key
        self._by_key: dict[tuple[str, ...], list[int]] = {}
        for index, record in enumerate(sent):
            name = tuple(str(record.get(each)) for each in key)
            self._by_key.setdefault(name, []).append(index)
        self._used: Counter[tuple[str, ...]] = Counter()

    def knows(self, entry: Mapping[str, Any]) -> bool:
        """Say whether an entry is about a record that was sent."""
        name = self._name(entry)
        return name in self._by_key if name else isinstance(entry.get("index"), int)

    def find(self, entry: Mapping[str, Any]) -> int | None:
        """Return the index of the record; None where it names none.

        Raises:
            _UnreadableError: it names one that was not sent.
        """
        index = entry.get("index")
        if isinstance(index, int) and not isinstance(index, bool):
            if not 0 <= index < self._count:
                raise _UnreadableError(f"expected an index below {self._count}, got {index}")
            return index
        name = self._name(entry)
        if name is None:
            return None
        if name not in self._by_key:
            raise _UnreadableError(f"expected a record that was sent, got {', '.join(name)!r}")
        indexes = self._by_key[name]
        at = self._used[name]
        self._used[name] += 1
        return indexes[min(at, len(indexes) - 1)]

    def _name(self, entry: Mapping[str, Any]) -> tuple[str, ...] | None:
        if self._key and all(each in entry for each in self._key):
            return tuple(str(entry[each]) for each in self._key)
        if len(self._key) == 1:
            for each in ("id", "key"):
                if entry.get(each) is not None and not isinstance(entry[each], dict | list):
                    return (str(entry[each]),)
        return None


def _require_counts(table: Mapping[str, Any], said: Sequence[Said]) -> None:
    """Refuse an answer whose own count is not that of the records that it seems to have taken.

    Raises:
        _UnreadableError: naming both.
    """
    taken = sum(each.verdict is Verdict.TAKEN for each in said)
    for name in ("accepted", "stored", "succeeded", "ingested"):
        count = table.get(name)
        if isinstance(count, int) and not isinstance(count, bool) and count != taken:
            raise _UnreadableError(f"expected {taken} records {name}, got {count}")
    for name in ("failed", "rejected", "errors"):
        count = table.get(name)
        is_count = isinstance(count, int) and not isinstance(count, bool)
        if is_count and count != len(said) - taken:
            raise _UnreadableError(f"expected {len(said) - taken} records {name}, got {count}")


def _tells_failures(table: Mapping[str, Any]) -> bool:
    """Say whether an answer calls itself a failure, or counts some."""
    counts = [table.get(name) for name in ("failed", "rejected")]
    return _is_bad(table) or any(isinstance(each, int) and each > 0 for each in counts)


def _is_bad(entry: Mapping[str, Any]) -> bool:
    """Say whether an entry, or a whole answer, calls itself a failure."""
    status = entry.get("status", entry.get("code"))
    code = _status_code(status)
    return (
        any(entry.get(each) is False for each in ("ok", "success"))
        or (code is not None and code >= _BAD_REQUEST)
        or (isinstance(status, str) and status.lower() in _BAD)
        or any(entry.get(each) not in (None, "", [], {}, False, 0) for each in ("error", "errors"))
    )


def _verdict_of(entry: Any) -> Verdict:
    """Say whether what is refused may be taken at another try."""
    if not isinstance(entry, dict):
        return Verdict.REFUSED
    if isinstance(entry.get("retryable"), bool):
        return Verdict.AGAIN if entry["retryable"] else Verdict.REFUSED
    codes = [_status_code(each) for each in _candidates(entry)]
    # of a record 409 is a conflict of its own, which stays
    is_passing = any(
        code is not None and (code >= _SERVER or code in BUSY_STATUS - {409}) for code in codes
    )
    return Verdict.AGAIN if is_passing else Verdict.REFUSED


def _candidates(entry: Mapping[str, Any]) -> Iterator[Any]:
    inner = entry.get("error")
    for table in (entry, inner if isinstance(inner, dict) else {}):
        yield from (table.get(name) for name in ("status", "code", "status_code"))


def _status_code(value: Any) -> int | None:
    """Return a status code of HTTP; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    text = str(value)
    is_code = text.isascii() and text.isdigit() and len(text) == 3  # noqa: PLR2004  RFC 9110, 15
    return int(text) if is_code else None


def _message_of(entry: Any) -> str:
    """Return what an entry says, in one line without secrets."""
    if isinstance(entry, dict):
        for name in ("message", "detail", "reason", "error", "errors", "title"):
            inner = entry.get(name)
            if inner not in (None, "", [], {}):
                return _message_of(inner) if isinstance(inner, dict) else _told(inner)
    return _told(entry)


def _told(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return redact(" ".join(text.split()))[:_TOLD_CHARS]


def _at(table: Any, path: str) -> Any:
    """Return what stands at a path with dots; None where nothing does."""
    for name in path.split("."):
        if not isinstance(table, dict):
            return None
        table = table.get(name)
    return table
