"""What changed between two releases: files, their bytes, the rows of their tables. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lading.ledger.model import ArtifactRow
from lading.web.wording import change_percent

SHRINK_PERCENT = 5.0
"""A file or a table that lost this much, or more, is marked: most losses are mistakes."""


@dataclass(frozen=True, slots=True)
class Change:
    """A number before and after; None where there was, or is, none."""

    name: str
    """Key of a file, or name of a table."""
    before: int | None
    """Before: bytes, or rows."""
    after: int | None
    """After."""

    @property
    def is_shrunken(self) -> bool:
        """Whether it lost so much that a person should look."""
        if self.before is None or self.after is None:
            return False
        percent = change_percent(self.before, self.after)
        return percent is not None and percent <= -SHRINK_PERCENT


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file that is new, gone or other."""

    size: Change
    """Its key, and its bytes."""
    tables: tuple[Change, ...] = ()
    """Its tables whose rows differ, by name."""
    same_tables: int = 0
    """How many of its tables have as many rows as before."""

    @property
    def is_shrunken(self) -> bool:
        """Whether it, or a table of it, lost so much that a person should look."""
        gone = any(each.after is None for each in self.tables) and self.size.after is not None
        return gone or self.size.is_shrunken or any(each.is_shrunken for each in self.tables)


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed: every file of both releases is in exactly one of these."""

    added: tuple[FileChange, ...]
    """Files that are new, by key."""
    removed: tuple[FileChange, ...]
    """Files that are gone, by key."""
    changed: tuple[FileChange, ...]
    """Files of other bytes, by key; those that shrank come first."""
    unchanged: int
    """How many files have the same bytes."""
    total: Change
    """All bytes."""
    rows: Change
    """All rows; None where a release has no tables."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing changed."""
        return not (self.added or self.removed or self.changed)


def compare_files(before: Sequence[ArtifactRow], after: Sequence[ArtifactRow]) -> Changes:
    """Compare the files of two releases by their digests."""
    old, new = {each.key: each for each in before}, {each.key: each for each in after}
    both = [key for key in sorted(new) if key in old]
    changed = [_compare(old[key], new[key]) for key in both if old[key].sha256 != new[key].sha256]
    return Changes(
        added=tuple(_alone(new[key], is_new=True) for key in sorted(new.keys() - old.keys())),
        removed=tuple(_alone(old[key], is_new=False) for key in sorted(old.keys() - new.keys())),
        changed=tuple(sorted(changed, key=lambda each: not each.is_shrunken)),
        unchanged=len(both) - len(changed),
        total=Change("all files", _bytes_of(before), _bytes_of(after)),
        rows=Change("all tables", _rows_of(before), _rows_of(after)),
    )


def compare_tables(before: Mapping[str, int], after: Mapping[str, int]) -> tuple[Change, ...]:
    """Return the tables whose rows differ, by name; those that are new or gone among them."""
    names = sorted({*before, *after})
    every = (Change(name, before.get(name), after.get(name)) for name in names)
    return tuple(each for each in every if each.before != each.after)


def _compare(old: ArtifactRow, new: ArtifactRow) -> FileChange:
    tables = compare_tables(old.rows, new.rows)
    same = len({*old.rows, *new.rows}) - len(tables)
    return FileChange(Change(new.key, old.size_bytes, new.size_bytes), tables, same)


def _alone(file: ArtifactRow, *, is_new: bool) -> FileChange:
    size = (None, file.size_bytes) if is_new else (file.size_bytes, None)
    tables = compare_tables({}, file.rows) if is_new else compare_tables(file.rows, {})
    return FileChange(Change(file.key, *size), tables)


def _bytes_of(files: Sequence[ArtifactRow]) -> int:
    return sum(each.size_bytes for each in files)


def _rows_of(files: Sequence[ArtifactRow]) -> int | None:
    counted = [sum(each.rows.values()) for each in files if each.rows]
    return sum(counted) if counted else None
