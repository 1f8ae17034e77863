"""Dead letters: items that failed for good, kept until somebody sends them again or drops them.

One object an item, with a JSON line a letter: a job that finds a thousand bad rows in a file
writes one object, and writing it again changes nothing. So an item's name must be its own among
all items of a job in a store: a key, a URL, an id. It holds no secret.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import groupby
from pathlib import Path

from lading.errors import (
    ConditionError,
    MissingObjectError,
    StoreError,
    TemporaryError,
    UsageError,
)
from lading.jobs.bad_rows import read_bad_rows
from lading.jobs.keys import ROOT, dead_letters_prefix
from lading.jobs.letter_objects import (
    PIECE_BYTES,
    Draft,
    item_of,
    job_of,
    letters_key,
    read_lines,
)
from lading.jobs.letters import (
    DeadLetter,
    Failure,
    Origin,
    continue_letter,
    letter_table,
    make_letter,
    merge_letters,
    parse_letter,
    render_letter,
    row_order,
)
from lading.release.receipts import now_utc
from lading.services.redaction import redactor
from lading.storage import IF_ABSENT, Body, Condition, Entry, Store

__all__ = [
    "DeadLetter",
    "DeadLetters",
    "Failure",
    "letter_table",
    "list_jobs",
    "parse_letter",
]

SHORTEST_ID = 4
"""Digits of an id that name a letter, at least."""
_RACES = 50
_AT_ONCE = 64
_NAMED = 5
_ID = re.compile(rb'"id": "([0-9a-f]{16})"')  # in a text of JSON the quotes are escaped


class DeadLetters:
    """The dead letters of one job in one store. Safe from several threads and processes.

    Args:
        store: where they stand.
        job: name of the job.
        now: tells the time; another one in tests.
    """

    def __init__(self, store: Store, job: str, *, now: Callable[[], datetime] = now_utc) -> None:
        self._store = store
        self._job = job
        self._now = now

    def put(
        self,
        item: str,
        failures: Iterable[Failure],
        *,
        run: str,
        arguments: Sequence[str] = (),
    ) -> int:
        """Keep all failures of an item; whatever was kept of it before is replaced.

        Letters that stood there keep their ``first_seen``, and count one attempt more where
        another run put them; the same run putting the same again changes nothing. Several
        failures of one row with one payload are one letter that says them all. No failures at
        all resolve the item.

        Args:
            item: name of the item.
            failures: what is wrong with it.
            run: UUID of the run.
            arguments: of the run.

        Returns:
            How many letters stand for it.

        Effects: one object is replaced in one step.

        Raises:
            TemporaryError: others keep changing it.
            StoreError: the store refused.
        """
        kept = sorted(failures, key=lambda each: row_order(each.row))
        return self._replace(item, lambda: kept, run, arguments)

    def put_file(
        self,
        item: str,
        path: Path,
        *,
        run: str,
        arguments: Sequence[str] = (),
        error_class: str = "RowError",
        reference: str = "",
    ) -> int:
        """As ``put``, of a file with a JSON line a bad row: ``row``, ``message``, ``payload``.

        It is read and written line by line: memory stays bounded however many they are.

        Raises:
            ValueError: a line is none of these; nothing was written.
            OSError: the file cannot be read.
            TemporaryError, StoreError: as ``put``.
        """
        return self._replace(
            item, lambda: read_bad_rows(path, error_class, reference), run, arguments
        )

    def resolve(self, item: str, *, unless_run: str = "") -> int:
        """Remove the letters of an item that is good now.

        Args:
            item: name of the item.
            unless_run: letters that this run put last stay; "": none does.

        Returns:
            How many letters are gone.
        """
        own = f'"run": "{unless_run}"'.encode()
        return self._strike(
            letters_key(self._job, item), lambda line: not unless_run or own not in line
        )

    def items(self) -> frozenset[str]:
        """Return the names of the items that have letters: one listing.

        Nothing is read but the first line of those whose names are too long for a key.
        """
        return frozenset(name for name, _ in self._entries())

    def letters(self, item: str = "") -> Iterator[DeadLetter]:
        """Yield all letters, or those of an item, by item and row.

        Raises:
            StoreError: what stands there is no letter; naming object and line.
            TemporaryError: it was replaced while it was read.
        """
        for entry, number, line in self._lines(self._chosen(item)):
            yield self._parse(entry, number, line)

    def find(self, beginning: str) -> DeadLetter:
        """Return the letter whose id begins so.

        Raises:
            UsageError: none does, or several do; or it is no beginning of 4 digits or more.
        """
        found = self.search([beginning])[beginning]
        if len(found) == 1:
            return found[0]
        expected = f"{self._job}: expected a dead letter whose id begins with {beginning!r}"
        if not found:
            raise UsageError(f"{expected}, found none")
        named = ", ".join(sorted(each.id for each in found[:_NAMED]))
        raise UsageError(f"{expected}, found {len(found)}: {named}")

    def search(self, beginnings: Sequence[str]) -> dict[str, list[DeadLetter]]:
        """Return the letters whose ids begin so, by beginning; all objects are read once.

        Raises:
            UsageError: a beginning is no 4 to 16 hexadecimal digits.
        """
        for each in beginnings:
            if not re.fullmatch(rf"[0-9a-f]{{{SHORTEST_ID},16}}", each):
                raise UsageError(
                    f"id: expected {SHORTEST_ID} to 16 hexadecimal digits, got {each!r}"
                )
        found: dict[str, list[DeadLetter]] = {each: [] for each in beginnings}
        for entry, number, line in self._lines(self._chosen("")):
            name = _id_of(line)
            for beginning in (each for each in found if name.startswith(each)):
                found[beginning].append(self._parse(entry, number, line))
        return found

    def drop(self, ids: Iterable[str]) -> int:
        """Remove letters for good; return how many there were."""
        wanted, gone = frozenset(ids), 0
        for _, entry in self._entries():
            if gone == len(wanted):
                break
            gone += self._strike(entry.key, lambda line: _id_of(line) in wanted)
        return gone

    def _replace(
        self,
        item: str,
        failures: Callable[[], Iterable[Failure]],
        run: str,
        arguments: Sequence[str],
    ) -> int:
        key, redact = letters_key(self._job, item), redactor()
        origin = Origin(
            job=self._job,
            run=run,
            item=item,
            arguments=tuple(redact(each) for each in arguments),
            seen_at=self._now(),
        )
        for _ in range(_RACES):
            standing = self._store.stat(key)
            with Draft() as draft:
                made = (make_letter(origin, each, redact) for each in failures())
                for letter in _follow(made, self._before(standing)):
                    draft.add(render_letter(letter))
                if not draft.lines:
                    self.resolve(item)
                    return 0
                if self._write(key, standing, draft.body()):
                    return draft.lines
        raise self._contended(key)

    def _strike(self, key: str, goes: Callable[[bytes], bool]) -> int:
        """Remove the lines that ``goes`` names from an object; return how many."""
        for _ in range(_RACES):
            standing = self._store.stat(key)
            if standing is None:
                return 0
            gone = 0
            with Draft() as draft:
                for line in self._read(standing):
                    if goes(line):
                        gone += 1
                    else:
                        draft.add(line + b"\n")
                if not gone or self._write(key, standing, draft.body() if draft.lines else None):
                    return gone
        raise self._contended(key)

    def _write(self, key: str, standing: Entry | None, body: Body | None) -> bool:
        """Replace an object by a body, or by none; False where it is no longer that one."""
        try:
            if body is None:
                if standing is not None:
                    self._store.delete_version(key, standing.version)
            elif standing is None:
                self._store.put(key, body, condition=IF_ABSENT)
            elif not self._is_same(standing, body):
                self._store.put(key, body, condition=Condition(if_version=standing.version))
        except ConditionError:
            return False
        return True

    def _is_same(self, standing: Entry, body: Body) -> bool:
        if standing.size_bytes != body.digest.size_bytes:
            return False
        try:
            known = standing.digest or self._store.digest(standing.key)
        except MissingObjectError:
            return False
        return known.agrees_with(body.digest)

    def _contended(self, key: str) -> TemporaryError:
        return TemporaryError(
            f"{self._store.url}/{key}: expected to replace it, but others keep changing it"
        )

    def _before(self, standing: Entry | None) -> Iterator[DeadLetter]:
        """Yield the letters that stand, as far as they are some: they are replaced anyway."""
        for line in self._read(standing) if standing else ():
            try:
                yield parse_letter(line.decode())
            except ValueError:
                continue

    def _read(self, entry: Entry) -> Iterator[bytes]:
        """Yield the lines of an object; one that is gone by now has none."""
        try:
            yield from (line for line in read_lines(self._store, entry) if line)
        except MissingObjectError:
            return

    def _entries(self) -> list[tuple[str, Entry]]:
        """Return the objects of all items with the items' names, sorted by name."""
        found = []
        for entry in self._store.list(dead_letters_prefix(self._job)):
            if not job_of(entry.key):
                continue
            name = item_of(self._job, entry.key)
            if name is None:  # too long for a key
                line = next(self._read(entry), None)
                name = None if line is None else self._parse(entry, 1, line).item
            if name is not None:
                found.append((name, entry))
        return sorted(found, key=lambda each: each[0])

    def _chosen(self, item: str) -> list[Entry]:
        if not item:
            return [entry for _, entry in self._entries()]
        standing = self._store.stat(letters_key(self._job, item))
        return [] if standing is None else [standing]

    def _lines(self, entries: Sequence[Entry]) -> Iterator[tuple[Entry, int, bytes]]:
        """Yield the numbered lines of objects; small ones are read several at once."""
        with ThreadPoolExecutor(self._store.workers) as pool:
            for start in range(0, len(entries), _AT_ONCE):
                group = entries[start : start + _AT_ONCE]
                small = [each for each in group if each.size_bytes * _AT_ONCE <= PIECE_BYTES]
                texts = pool.map(lambda each: list(self._read(each)), small)
                read = {each.key: lines for each, lines in zip(small, texts, strict=True)}
                for entry in group:
                    lines = read.pop(entry.key, None) or self._read(entry)
                    yield from ((entry, number, line) for number, line in enumerate(lines, 1))

    def _parse(self, entry: Entry, number: int, line: bytes) -> DeadLetter:
        try:
            return parse_letter(line.decode())
        except ValueError as error:
            place = f"{self._store.url}/{entry.key}"
            now = self._store.stat(entry.key)
            if now is None or now.version != entry.version:
                raise TemporaryError(f"{place}: expected to read it, but it was replaced") from None
            raise StoreError(f"{place}: line {number}: {error}") from error


def list_jobs(store: Store) -> list[str]:
    """Return the names of the jobs that have dead letters, sorted."""
    return sorted({job_of(entry.key) for entry in store.list(ROOT)} - {""})


def _follow(letters: Iterable[DeadLetter], before: Iterator[DeadLetter]) -> Iterator[DeadLetter]:
    """Yield letters, each continuing the one of its id from before; both are sorted by row."""
    groups = groupby(before, _row_of)
    standing = next(groups, None)
    for row, group in groupby(letters, _row_of):
        while standing is not None and standing[0] < row:
            standing = next(groups, None)
        is_known = standing is not None and standing[0] == row
        known = {each.id: each for each in standing[1]} if standing and is_known else {}
        for letter in merge_letters(list(group)):
            yield continue_letter(letter, known[letter.id]) if letter.id in known else letter


def _row_of(letter: DeadLetter) -> int:
    return row_order(letter.row)


def _id_of(line: bytes) -> str:
    found = _ID.search(line)
    return found[1].decode() if found else ""
