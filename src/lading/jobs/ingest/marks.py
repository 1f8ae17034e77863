"""What was sent before, as marks in a store: a run that was killed does not send it again.

A mark says which rows of a file the API has taken, and the digest of what they held. It is an
object whose name says it all, so that one listing tells what is done; only one with gaps is read.
What the rows hold may change, and change back: a mark has a generation, and only those of the
last one count.
"""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from lading.errors import MissingObjectError
from lading.jobs.ingest.records import Record
from lading.storage import Body, Store

_NAME = re.compile(
    r"(?P<file>[0-9a-f]{16})/(?P<start>\d+)-(?P<stop>\d+)-(?P<generation>\d+)"
    r"-(?P<gaps>\d+)-(?P<sha256>[0-9a-f]{32})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Rows of a file that were taken."""

    file: str
    """16 hexadecimal digits of the digest of the file's URL."""
    start: int
    """The first row."""
    stop: int
    """The row after the last."""
    generation: int
    """How often these rows held something else before, and one more."""
    gaps: int
    """How many rows between were not taken."""
    sha256: str
    """32 hexadecimal digits of the digest of what the rows hold that were taken."""
    missing: frozenset[int] = frozenset()
    """The rows that were not taken."""

    @property
    def name(self) -> str:
        """Its name, without the prefix of all."""
        return f"{self.file}/{self.start}-{self.stop}-{self.generation}-{self.gaps}-{self.sha256}"

    @property
    def taken(self) -> frozenset[int]:
        """The rows that were taken."""
        return frozenset(range(self.start, self.stop)) - self.missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What marks say of some rows."""

    taken: frozenset[int]
    """Rows that need not be sent."""
    generation: int
    """Generation of what is sent now."""
    replaced: tuple[Mark, ...]
    """Marks that the next one replaces."""


def settle(marks: Iterable[Mark], texts: Mapping[int, str]) -> Settled:
    """Say which rows were taken as they are. Pure.

    Args:
        marks: those of any of these rows.
        texts: what the rows hold, by row; without gaps.
    """
    start, stop = min(texts), max(texts) + 1
    marks = tuple(marks)
    top = max((each.generation for each in marks), default=1)
    believed = [
        each
        for each in marks
        if each.generation == top
        and start <= each.start
        and each.stop <= stop
        and each.sha256 == digest_rows(texts, each.taken)
    ]
    # what they hold has changed: sending it is another request than sending what was there
    is_stale = any(each.generation == top and each not in believed for each in marks)
    return Settled(
        taken=frozenset().union(*(each.taken for each in believed)),
        generation=top + is_stale,
        replaced=marks,
    )


def digest_rows(texts: Mapping[int, str], rows: Collection[int]) -> str:
    """Return the digest of what some rows hold, 32 hexadecimal digits. Pure."""
    digest = hashlib.sha256()
    for row in sorted(rows):
        digest.update(f"{row}:{texts.get(row, '')}\n".encode())
    return digest.hexdigest()[:32]


def name_file(url: str) -> str:
    """Return how marks name a file. Pure."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


class Cut:
    """Rows of a file that are sent together, and what has become of them.

    Args:
        marks: where they are remembered.
        records: the rows, without gaps.
    """

    def __init__(self, marks: "Marks", records: Sequence[Record]) -> None:
        self._marks = marks
        self._file = name_file(records[0].file_url)
        self._texts = {each.row: each.text for each in records}
        start, stop = min(self._texts), max(self._texts) + 1
        self._rows = frozenset(range(start, stop))
        found = settle(marks.touching(self._file, start, stop), self._texts)
        self.records = {each.row: each for each in records if not each.fault}
        """The rows that can be sent."""
        self.generation = found.generation
        self.taken = set(found.taken)
        self.sent_with: dict[int, tuple[int, ...]] = {}
        """By row the rows that it was sent with, of those of which no answer came."""
        self._replaced = found.replaced

    def note(self, rows: Collection[int]) -> None:
        """Remember rows that were taken.

        Effects: one mark more in the store; those that it replaces are gone.

        Raises:
            StoreError: it cannot be written.
        """
        if not set(rows) - self.taken:
            return
        self.taken |= set(rows)
        missing = self._rows - self.taken
        mark = Mark(
            file=self._file,
            start=min(self._rows),
            stop=max(self._rows) + 1,
            generation=self.generation,
            gaps=len(missing),
            sha256=digest_rows(self._texts, self.taken),
            missing=missing,
        )
        self._marks.replace(self._replaced, mark)
        self._replaced = (mark,)


class Marks:
    """The marks of what was sent to one place. Safe from several threads, each with its cut.

    Args:
        store: where they stand.
        prefix: what their keys begin with, ending in a slash.

    Raises:
        StoreError: they cannot be listed.
    """

    def __init__(self, store: Store, prefix: str) -> None:
        self._store = store
        self._prefix = prefix
        self._found: dict[str, list[Mark]] = defaultdict(list)
        for entry in store.list(prefix):
            mark = parse_mark(entry.key.removeprefix(prefix))
            if mark is not None:
                self._found[mark.file].append(mark)

    def touching(self, file: str, start: int, stop: int) -> list[Mark]:
        """Return the marks of some rows of a file as they stood at the beginning.

        Raises:
            StoreError: one cannot be read.
        """
        found = self._found.get(file, ())
        return [self._whole(each) for each in found if each.start < stop and each.stop > start]

    def add(self, record: Record) -> None:
        """Remember one record that was taken by itself, as it was when it was refused before."""
        touching = self.touching(name_file(record.file_url), record.row, record.row + 1)
        mark = Mark(
            file=name_file(record.file_url),
            start=record.row,
            stop=record.row + 1,
            generation=max((each.generation for each in touching), default=1),
            gaps=0,
            sha256=digest_rows({record.row: record.text}, [record.row]),
        )
        self.replace((), mark)

    def replace(self, before: Iterable[Mark], mark: Mark) -> None:
        """Put a mark, then remove those that it replaces: of one place, the last counts."""
        data = json.dumps({"missing": sorted(mark.missing)}).encode()
        self._store.put(f"{self._prefix}{mark.name}", Body.of_bytes(data))
        self._store.delete(
            f"{self._prefix}{each.name}" for each in before if each.name != mark.name
        )

    def _whole(self, mark: Mark) -> Mark:
        if not mark.gaps:
            return mark
        try:
            table = json.loads(self._store.get(f"{self._prefix}{mark.name}"))
            missing = frozenset(map(int, table["missing"]))
        except (ValueError, KeyError, TypeError, MissingObjectError):
            missing = frozenset(range(mark.start, mark.stop))  # then nothing is believed
        return replace(mark, missing=missing)


def parse_mark(name: str) -> Mark | None:
    """Read the name of a mark; None where it is none. Pure."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    return Mark(
        file=found["file"],
        start=int(found["start"]),
        stop=int(found["stop"]),
        generation=int(found["generation"]),
        gaps=int(found["gaps"]),
        sha256=found["sha256"],
    )
