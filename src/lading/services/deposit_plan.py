"""What a deposit still needs, decided without asking: whose draft it is, which files differ."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lading.errors import ServiceError, VerifyError
from lading.services.deposit_marker import Marker, parse_marker, plain_text
from lading.services.inveniordm import Deposit, FileEntry

_NAMED = 3  # files that a message names
_GIGABYTE = 10**9
Start = Literal["nothing", "record", "version", "draft"]


@dataclass(frozen=True, slots=True)
class DepositFile:
    """A file that a deposit shall have."""

    key: str
    """Its name; a deposit has no folders."""
    size_bytes: int
    """Its size."""
    md5: str
    """Lower-case hex: the one digest that InvenioRDM tells."""
    open: Callable[[], AbstractContextManager[Path]] = field(compare=False, repr=False)
    """Gives the file while it is sent; asked for only when it must be."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A record or a draft with its files, as it was read."""

    deposit: Deposit
    """The record or the draft."""
    files: Mapping[str, FileEntry]
    """Its files by key."""

    @property
    def marker(self) -> Marker | None:
        """Which release it says that it is of."""
        return parse_marker(self.deposit.metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositState:
    """What stands of a concept."""

    published: Standing | None = None
    """The published version of this release."""
    previous: Standing | None = None
    """The latest published version, where that is another."""
    draft: Standing | None = None
    """The draft of the next version, or of a first record."""
    is_noted: bool = False
    """Whether the draft is one that this release began, by its own notes."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How the files of a deposit differ from those that it shall have."""

    send: Mapping[str, DepositFile]
    """Files that are missing, or there with other bytes, or not whole."""
    drop: tuple[str, ...]
    """Keys that are not of the release, or not of its bytes."""
    keep: tuple[str, ...]
    """Keys that are right."""

    @property
    def is_empty(self) -> bool:
        """Whether there is no difference."""
        return not (self.send or self.drop)

    def describe(self) -> str:
        """Name the first few files that differ."""
        names = [f"{key} to delete" if key not in self.send else key for key in self.drop]
        names += [f"{key} missing" for key in self.send if key not in self.drop]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return ", ".join(names[:_NAMED]) + more


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositChanges:
    """What a deposit still needs."""

    start: Start
    """What it begins with: a first record, a new version, the draft that stands, or nothing."""
    draft: str = ""
    """Identifier of the draft that stands; "" where there is none."""
    previous: str = ""
    """Identifier of the latest published version; "" where there is none."""
    files: Difference = field(default_factory=lambda: Difference({}, (), ()))
    """What is to do with its files once those of the previous version are linked."""
    links: bool = False
    """Whether files of the previous version shall be linked."""
    describes: bool = False
    """Whether the metadata must be written."""
    reserves: bool = False
    """Whether a DOI must be reserved."""
    publishes: bool = False
    """Whether it shall be published."""

    @property
    def is_empty(self) -> bool:
        """Whether it needs nothing."""
        begins = self.start in {"record", "version"}
        writes = self.links or self.describes or self.reserves or self.publishes
        return not (begins or writes or not self.files.is_empty)

    def describe(self) -> str:
        """Say it in a few words."""
        if self.is_empty:
            return "nothing to do"
        what = {
            "record": "a first record",
            "version": f"a new version after {self.previous}",
            "draft": f"draft {self.draft}",
        }[self.start]
        size = sum(each.size_bytes for each in self.files.send.values())
        parts = [f"{what}: {len(self.files.send)} files to send ({size:,} bytes)"]
        parts += [f"{len(self.files.keep)} unchanged"] if self.files.keep else []
        parts += ["then published" if self.publishes else "left as a draft"]
        return ", ".join(parts)


def refusal_of_draft(
    draft: Standing,
    ours: Marker,
    *,
    previous: Standing | None,
    publishes: bool,
    is_noted: bool = False,
) -> str:
    """Say why a draft may not be touched; "" where it is ours.

    ========================== ============== ================================================
    marker of the draft        files          answer
    ========================== ============== ================================================
    ours, this tag             any            ours: it is gone on with
    that of the last version   none           ours: an empty beginning, whoever made it
    that of the last version   some           refused: somebody began a version by hand
    ours, another tag          any            ours where the channel publishes by itself, for
                                              then it is left of a run that was cut; refused
                                              where it waits for a person
    none                       none           ours where we noted that we began it, or where
                                              the last version has no marker either: then
                                              nothing in it can be lost; else refused
    none                       some           refused
    of another series          any            refused
    ========================== ============== ================================================

    Args:
        draft: the draft.
        ours: the marker of this release.
        previous: the latest published version; None: there is none.
        publishes: whether the channel publishes by itself.
        is_noted: whether our own notes name the draft.
    """
    marker, count = draft.marker, len(draft.files)
    last = previous.marker if previous else None
    if ours.has_release_of(marker):
        return ""
    if not count and marker is not None and marker == last:
        return ""
    if marker is not None and marker != last and ours.has_series_of(marker):
        return "" if publishes else f"expected no draft, found one of tag {marker.tag}"
    is_bare = previous is not None and last is None
    if not count and marker is None and (is_noted or is_bare):
        return ""
    whose = f", marked as {marker.project} {marker.channel} {marker.tag}" if marker else ""
    return f"expected a draft of Lading's, found one with {count} files{whose}"


def require_our_draft(
    draft: Standing,
    ours: Marker,
    *,
    previous: Standing | None,
    publishes: bool,
    is_noted: bool = False,
) -> None:
    """Require that a draft may be written to; see ``refusal_of_draft``.

    Raises:
        ServiceError: it may not.
    """
    if draft.deposit.is_published:
        raise ServiceError(f"{draft.deposit.link}: expected a draft, found it published")
    refusal = refusal_of_draft(
        draft, ours, previous=previous, publishes=publishes, is_noted=is_noted
    )
    if refusal:
        raise ServiceError(
            f"{draft.deposit.link}: {refusal}",
            hint="publish or discard that draft, then run the same command",
        )


def compare_files(files: Mapping[str, DepositFile], found: Mapping[str, FileEntry]) -> Difference:
    """Compare the files that a deposit shall have with those that it has."""
    right = {key for key, each in found.items() if key in files and is_right(files[key], each)}
    return Difference(
        send={key: each for key, each in files.items() if key not in right},
        drop=tuple(key for key in found if key not in right),
        keep=tuple(key for key in files if key in right),
    )


def is_right(file: DepositFile, found: FileEntry) -> bool:
    """Say whether a file stands whole, with the right bytes."""
    return found.is_complete and (found.size_bytes, found.md5) == (file.size_bytes, file.md5)


def require_limits(files: Sequence[DepositFile], max_files: int, max_bytes: int) -> None:
    """Require that a deposit may have these files.

    Source: Zenodo's "General policies" (100 files, 50 GB); zenodo-rdm's configuration
    (RECORDS_RESOURCES_ALLOW_EMPTY_FILES is False), November 2026.

    Raises:
        ServiceError: it may not, with every reason.
    """
    total = sum(each.size_bytes for each in files)
    problems = []
    if not files:
        problems.append("expected at least one file, got none")
    if len(files) > max_files:
        problems.append(f"expected at most {max_files} files, got {len(files)}")
    if total > max_bytes:
        problems.append(
            f"expected at most {max_bytes / _GIGABYTE:g} GB, got {total / _GIGABYTE:.1f} GB"
        )
    problems += _named("names without '/'", [each.key for each in files if "/" in each.key])
    problems += _named("no empty files", [each.key for each in files if not each.size_bytes])
    problems += _named("files with an md5", [each.key for each in files if not each.md5])
    if problems:
        raise ServiceError(
            f"deposit: {'; '.join(problems)}", hint="leave files out by zenodo.ignore"
        )


def plan_deposit(
    state: DepositState,
    ours: Marker,
    files: Mapping[str, DepositFile],
    metadata: Mapping[str, Any],
    *,
    publishes: bool,
    reserves: bool,
) -> DepositChanges:
    """Return what a deposit still needs.

    Args:
        state: what stands.
        ours: the marker of this release.
        files: what it shall have, by key.
        metadata: what it shall say of itself.
        publishes: whether it shall be published.
        reserves: whether it shall have a DOI before that.

    Raises:
        ServiceError: the draft that stands is not ours.
        VerifyError: this tag is published with other files.
    """
    if state.published:
        require_same_files(state.published, files)
        return DepositChanges(start="nothing")
    last, draft = state.previous, state.draft
    links, difference = _missing(files, draft, last)
    if draft is None:
        return DepositChanges(
            start="version" if last else "record",
            previous=last.deposit.id if last else "",
            files=difference,
            links=links,
            describes=True,
            reserves=reserves,
            publishes=publishes,
        )
    require_our_draft(draft, ours, previous=last, publishes=publishes, is_noted=state.is_noted)
    return DepositChanges(
        start="draft",
        draft=draft.deposit.id,
        previous=last.deposit.id if last else "",
        files=difference,
        links=links,
        describes=not says(metadata, draft.deposit.metadata),
        reserves=reserves and not draft.deposit.doi,
        publishes=publishes,
    )


def require_same_files(published: Standing, files: Mapping[str, DepositFile]) -> None:
    """Require that a published version has these files and no others.

    Raises:
        VerifyError: it has others.
    """
    difference = compare_files(files, published.files)
    if not difference.is_empty:
        raise VerifyError(
            f"{published.deposit.link}: expected the {len(files)} files of this release,"
            f" found others published: {difference.describe()}",
            hint="a published version is never changed: publish under a new tag",
        )


def says(wanted: Any, found: Any) -> bool:
    """Say whether metadata that was read says what was written.

    The service adds titles and names, and cleans HTML: what is wanted must be there, texts being
    compared as a reader sees them.
    """
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(
            says(each, found.get(key)) for key, each in wanted.items()
        )
    if isinstance(wanted, str):
        return isinstance(found, str) and _reads_as(wanted, found)
    if isinstance(wanted, Sequence):
        return (
            isinstance(found, Sequence)
            and not isinstance(found, str)
            and len(wanted) == len(found)
            and all(map(says, wanted, found))
        )
    return bool(wanted == found)


def _reads_as(wanted: str, found: str) -> bool:
    ours, theirs = plain_text(wanted), plain_text(found)
    # a tag that is cleaned away may join words
    return "".join(ours.split()) == "".join(theirs.split()) if "<" in wanted else ours == theirs


def _missing(
    files: Mapping[str, DepositFile], draft: Standing | None, previous: Standing | None
) -> tuple[bool, Difference]:
    """Return whether files of the previous version shall be linked, and what then differs."""
    if draft and draft.files:
        return False, compare_files(files, draft.files)
    linked = compare_files(files, previous.files if previous else {})
    if linked.keep:
        return True, linked
    return False, compare_files(files, {})


def _named(expected: str, keys: Sequence[str]) -> list[str]:
    if not keys:
        return []
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return [f"expected {expected}, got {', '.join(map(repr, keys[:_NAMED]))}{more}"]
