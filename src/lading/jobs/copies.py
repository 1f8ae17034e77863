"""What was copied from one prefix to another, and what is still to be copied.

What is to be done is decided without I/O, from listings and the table in which a job remembers.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from lading.errors import ConditionError, MissingObjectError, TemporaryError
from lading.jobs.canonical import canonical_json
from lading.release.objects import Digest
from lading.storage import IF_ABSENT, Body, Condition, Entry, Store

_RACES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """A copy that was made, as the job remembers it."""

    key: str
    """Key of the copy."""
    source: str
    """Version of the original."""
    copy: str
    """Version of the copy."""
    size_bytes: int
    """Size of both."""
    sha256: str = ""
    """Lower-case hex, or ""."""
    crc32c: str = ""
    """Base64, or ""."""

    @property
    def digest(self) -> Digest:
        """What the bytes are."""
        return Digest(size_bytes=self.size_bytes, sha256=self.sha256, crc32c=self.crc32c)


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """An object that is to stand at the destination."""

    source: Entry
    """The original, as it was listed."""
    key: str
    """Key of the copy."""
    standing: Entry | None
    """What was listed under that key."""
    known: Copied | None
    """What is remembered of it, where that still holds: then nothing is to be done."""


def plan_copies(
    sources: Iterable[Entry],
    standing: Iterable[Entry],
    table: Mapping[str, Copied],
    rename: Callable[[str], str],
) -> list[Copy]:
    """Say what is to be copied, and what stands as it should. Pure.

    Args:
        sources: the originals.
        standing: what stands at the destination.
        table: what is remembered, by key of the copy.
        rename: makes the key of the copy of that of the original.
    """
    found = {each.key: each for each in standing}
    copies = []
    for source in sources:
        key = rename(source.key)
        known, there = table.get(key), found.get(key)
        is_same = (
            known is not None
            and there is not None
            and (known.source, known.copy) == (source.version, there.version)
            and known.size_bytes == source.size_bytes == there.size_bytes
        )
        copies.append(
            Copy(source=source, key=key, standing=there, known=known if is_same else None)
        )
    return copies


def plan_deletions(
    wanted: Collection[str], standing: Iterable[Entry], table: Mapping[str, Copied]
) -> list[Copied]:
    """Say which copies have lost their originals. Pure.

    Only those count that were made here, and that nobody has replaced since.

    Args:
        wanted: keys of the copies whose originals stand.
        standing: what stands at the destination.
        table: what is remembered, by key of the copy.
    """
    versions = {each.key: each.version for each in standing}
    return [
        row
        for key, row in sorted(table.items())
        if key not in wanted and versions.get(key) == row.copy
    ]


def render_table(rows: Iterable[Copied]) -> bytes:
    """Return a table as JSON lines, sorted by key."""
    lines = [canonical_json(asdict(each)) for each in sorted(rows, key=lambda each: each.key)]
    return b"".join(line + b"\n" for line in lines)


def parse_table(data: bytes) -> dict[str, Copied]:
    """Read a table, by key.

    Raises:
        ValueError: it is none.
    """
    try:
        rows = [Copied(**json.loads(line)) for line in data.splitlines()]
        return {each.key: each for each in rows}
    except (TypeError, AttributeError) as error:
        raise ValueError(f"expected a table of copies, got {data[:60]!r}") from error


def load_table(store: Store, key: str) -> dict[str, Copied]:
    """Return what is remembered: nothing, where it is lost or no table.

    Raises:
        StoreError: it cannot be read.
    """
    try:
        return parse_table(store.get(key))
    except (MissingObjectError, ValueError):
        return {}


def update_table(store: Store, key: str, made: Sequence[Copied], gone: Collection[str]) -> None:
    """Remember copies, and forget others. Two at once both get their word in.

    Effects: the table is written, where it changes.

    Raises:
        TemporaryError: others write it without end.
        StoreError: it cannot be read or written.
    """
    for _ in range(_RACES):
        entry = store.stat(key)
        before = load_table(store, key) if entry else {}
        after = {**before, **{each.key: each for each in made}}
        after = {name: row for name, row in after.items() if name not in gone}
        if after == before:
            return
        condition = Condition(if_version=entry.version) if entry else IF_ABSENT
        body = Body.of_bytes(render_table(after.values()), "application/x-ndjson")
        try:
            store.put(key, body, condition=condition)
        except ConditionError:
            continue
        return
    raise TemporaryError(f"{store.url}/{key}: expected to write it, others do without end")
