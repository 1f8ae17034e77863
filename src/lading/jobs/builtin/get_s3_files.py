"""Copy the files of one agency from a bucket to another, on the side of the store.

Nothing is downloaded: the store copies, each copy is proved by its checksum and read back. What
stands already is not copied again. An example of a job whose items are objects.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from pathspec import GitIgnoreSpec
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from lading.config.values import Pattern
from lading.errors import (
    BadDataError,
    ChecksumError,
    ConditionError,
    MisconfiguredError,
    MissingObjectError,
    StoreError,
    TemporaryError,
)
from lading.jobs.batch import SKIPPED, Batch
from lading.jobs.canonical import digest_json
from lading.jobs.copies import (
    Copied,
    Copy,
    load_table,
    plan_copies,
    plan_deletions,
    update_table,
)
from lading.jobs.keys import state_prefix
from lading.jobs.places import CONTROL, Place, kind_of, list_data, locate
from lading.jobs.refs import ObjectRef, OpenStore
from lading.jobs.retries import Threshold
from lading.jobs.run import Run
from lading.jobs.spec import Arguments, JobSpec
from lading.release.manifest import media_type_of
from lading.release.objects import Digest
from lading.storage import Attributes, Entry, Store
from lading.storage.contract import check_key

_AGENCY = "{agency_id}"


def _agency(value: str) -> str:
    is_name = value.isprintable() and value.strip() == value and not set(value) & set("/\\{}")
    if not value or value.startswith(".") or ".." in value or not is_name:
        what = "an id without '/', '\\', braces or '..' that does not begin with '.'"
        raise PydanticCustomError("expected", "{what}", {"what": what})
    return value


def _folder(value: str) -> str:
    """Make a prefix end in a slash: else that of agency 1 would hold those of 10 and 11."""
    prefix = f"{value.rstrip('/')}/" if value else ""
    try:
        if prefix:
            check_key(prefix[:-1].replace(_AGENCY, "x"))
    except StoreError as error:
        what = "a relative prefix, which may use {agency_id}"
        raise PydanticCustomError("expected", "{what}", {"what": what}) from error
    return prefix


_Prefix = Annotated[str, AfterValidator(_folder)]


class GetS3Files(Arguments):
    """Arguments of ``get_s3_files``."""

    agency_id: Annotated[str, AfterValidator(_agency)] = Field(
        description="The agency whose files are copied."
    )
    source_bucket: Place = Field(description="Where they are: a bucket's name, a URL or a path.")
    destination_bucket: Place = Field(description="Where they are to be, likewise.")
    source_prefix: _Prefix = Field(
        default="{agency_id}/", description="What their keys begin with; '' for all."
    )
    destination_prefix: _Prefix = Field(
        default="{agency_id}/", description="What the keys of the copies begin with instead."
    )
    pattern: Pattern | None = Field(
        default=None, description="Only files that fit, as in .gitignore: '*.csv', '/2024/**'."
    )
    delete: bool = Field(
        default=False, description="Delete copies that were made here and whose original is gone."
    )
    allow_empty: bool = Field(default=False, description="Having nothing to copy is no error.")
    concurrency: int = Field(default=16, ge=1, le=256, description="Copies at one time.")
    max_failed: float = Field(
        default=0.0, ge=0, le=1, description="Share of the files that may fail for good."
    )


@dataclass(frozen=True, slots=True)
class _Route:
    """From where to where."""

    source: Store
    source_prefix: str
    destination: Store
    destination_prefix: str
    pattern: str

    @property
    def state_key(self) -> str:
        """Key of the table of what was copied on this way."""
        places = (
            locate(self.source, self.source_prefix),
            locate(self.destination, self.destination_prefix),
        )
        return f"{state_prefix('get_s3_files')}{digest_json([*places, self.pattern])[:32]}.jsonl"

    def rename(self, key: str) -> str:
        """Return the key of the copy of an object."""
        return self.destination_prefix + key.removeprefix(self.source_prefix)

    def sources(self, *, allow_empty: bool) -> list[Entry]:
        """List the originals."""
        entries = list_data(self.source, self.source_prefix, allow_empty=allow_empty)
        if self.pattern:
            spec, cut = GitIgnoreSpec.from_lines([self.pattern]), len(self.source_prefix)
            entries = [each for each in entries if spec.match_file(each.key[cut:])]
        if not entries and not allow_empty:
            place = locate(self.source, self.source_prefix)
            raise BadDataError(f"{place}: expected objects that fit {self.pattern!r}, found none")
        return [each for each in entries if not self.rename(each.key).startswith(CONTROL)]

    def standing(self) -> list[Entry]:
        """List what stands where copies go."""
        return self.destination.list(self.destination_prefix)


def list_inputs(arguments: GetS3Files, open_store: OpenStore) -> Iterator[ObjectRef]:
    """List what a run will copy.

    Raises:
        MisconfiguredError, StoreError: a place does not exist or cannot be read, or is both.
        BadDataError: there is nothing to copy.
    """
    route = _route(arguments, open_store)
    route.destination.list(f"{state_prefix('get_s3_files')}")  # a missing bucket is told first
    for entry in route.sources(allow_empty=arguments.allow_empty):
        yield ObjectRef.of_entry(route.source.url, entry)


def get_s3_files(arguments: GetS3Files, run: Run) -> int:
    """Copy the files of an agency; see ``docs/jobs-builtin.md``.

    Effects: copies at the destination, and the table of them; with ``delete``, copies whose
    originals are gone are deleted.

    Raises:
        MisconfiguredError, StoreError: a place does not exist or cannot be read or written.
        BadDataError: there is nothing to copy.
    """
    route = _route(arguments, run.open_store)
    sources = route.sources(allow_empty=arguments.allow_empty)
    standing = route.standing()
    table = load_table(run.store, route.state_key)
    copies = plan_copies(sources, standing, table, route.rename)
    copier = _Copier(route, run)
    try:
        report = run.batch(
            copies,
            Batch(
                work=copier.copy,
                name=lambda copy: locate(route.source, copy.source.key),
                size_bytes=lambda copy: copy.source.size_bytes,
                concurrency=arguments.concurrency,
                threshold=Threshold(tolerated=arguments.max_failed),
            ),
        )
        is_whole = run.only is None and not report.failed and not report.left
        if arguments.delete and is_whole:
            gone = plan_deletions({each.key for each in copies}, standing, table)
            copier.delete(gone)
    finally:
        fresh = [each for each in copier.made if table.get(each.key) != each]
        if fresh or copier.gone:
            update_table(run.store, route.state_key, fresh, copier.gone)
    run.log.info("%s: %s", locate(route.source, route.source_prefix), report.describe())
    return report.exit_code


class _Copier:
    """Makes copies, from several threads, and keeps a note of each."""

    def __init__(self, route: _Route, run: Run) -> None:
        self._route = route
        self._run = run
        self._has_worked = False
        self.made: list[Copied] = []
        self.gone: set[str] = set()

    def copy(self, copy: Copy) -> Any:
        """Make one copy, unless it stands.

        Raises:
            BadDataError: this object cannot be copied, while others can.
            TemporaryError: it was replaced meanwhile.
            StoreError: nothing can be read or written.
        """
        if copy.known is not None:
            self._note(copy.key, copy.source, copy.known.copy, copy.known.digest)
            return SKIPPED
        try:
            done = self._copy(copy)
        except (ChecksumError, MissingObjectError) as error:
            raise TemporaryError(f"{error}; it changes while it is copied") from error
        except StoreError as error:
            # of the one kind that is no setting: others could be copied
            if type(error) is StoreError and self._has_worked:
                raise BadDataError(str(error)) from error
            raise
        self._has_worked = True
        return done

    def delete(self, rows: list[Copied]) -> None:
        """Delete copies that stand as they were made."""
        for row in rows:
            self._run.check()
            try:
                self._route.destination.delete_version(row.key, row.copy)
            except ConditionError:
                self._run.log.warning("kept: somebody replaced it", extra={"item": row.key})
                continue
            self.gone.add(row.key)
            self._run.count("deleted")

    def _copy(self, copy: Copy) -> Any:
        source, destination = self._route.source, self._route.destination
        _check_keys(copy)
        entry = source.stat(copy.source.key)  # as it is now: it may have been replaced
        if entry is None:
            self._run.log.warning("gone since it was listed", extra={"item": copy.source.key})
            return SKIPPED
        digest = entry.digest or source.digest(entry.key)
        standing = _find_same(destination, copy.standing, digest)
        if standing is not None:
            self._note(copy.key, entry, standing.version, digest)
            return SKIPPED
        made = destination.copy(
            entry.key,
            copy.key,
            digest=digest,
            attributes=Attributes(media_type=media_type_of(copy.key)),
            source_url=source.url,
            source_version=entry.version,
        )
        _require_stands(destination, made)
        self._note(copy.key, entry, made.version, digest)
        return made.version

    def _note(self, key: str, source: Entry, version: str, digest: Digest) -> None:
        copy = Entry(key=key, size_bytes=digest.size_bytes, version=version)
        self._run.read(ObjectRef.of_entry(self._route.source.url, source, digest))
        self._run.wrote(ObjectRef.of_entry(self._route.destination.url, copy, digest))
        self.made.append(
            Copied(
                key=key,
                source=source.version,
                copy=version,
                size_bytes=digest.size_bytes,
                sha256=digest.sha256,
                crc32c=digest.crc32c,
            )
        )


def _route(arguments: GetS3Files, open_store: OpenStore) -> _Route:
    """Open both places.

    Raises:
        MisconfiguredError: they are of two kinds, or one holds the other.
        StoreError: one cannot be opened.
    """
    route = _Route(
        open_store(arguments.source_bucket),
        arguments.source_prefix.replace(_AGENCY, arguments.agency_id),
        open_store(arguments.destination_bucket),
        arguments.destination_prefix.replace(_AGENCY, arguments.agency_id),
        arguments.pattern or "",
    )
    source = locate(route.source, route.source_prefix)
    destination = locate(route.destination, route.destination_prefix)
    kinds = kind_of(route.source), kind_of(route.destination)
    if kinds[0] != kinds[1]:
        raise MisconfiguredError(
            f"{destination}: expected a store of the kind of {source}, which alone can copy"
            f" from there, got {kinds[1]!r}"
        )
    if source.startswith(destination) or destination.startswith(source):
        raise MisconfiguredError(
            f"{destination}: expected a place apart from the source, got one with {source}"
        )
    return route


def _check_keys(copy: Copy) -> None:
    """Refuse names that buckets allow and other places cannot hold.

    Raises:
        BadDataError: naming the key.
    """
    for key in (copy.source.key, copy.key):
        try:
            check_key(key)
        except StoreError as error:
            raise BadDataError(str(error)) from error


def _find_same(store: Store, standing: Entry | None, digest: Digest) -> Entry | None:
    """Return the object that stands under a key if its bytes are these; costs a call, no read."""
    if standing is None or standing.size_bytes != digest.size_bytes:
        return None
    found = store.stat(standing.key)
    if found is None:
        return None
    # a cloud that does not tell the checksum is quicker told to copy than read
    told = found.digest or (store.digest(found.key) if kind_of(store) == "folder" else None)
    return found if told is not None and told.agrees_with(digest) else None


def _require_stands(store: Store, made: Entry) -> None:
    """Read a copy back.

    Raises:
        TemporaryError: another object stands there.
    """
    found = store.stat(made.key)
    if found is None or (found.version, found.size_bytes) != (made.version, made.size_bytes):
        told = found.version if found else "none"
        raise TemporaryError(
            f"{store.url}/{made.key}: expected version {made.version!r}, found {told!r}"
        )


JOB = JobSpec(
    entrypoint=get_s3_files,
    description="Copy the files of an agency from one bucket to another, on the store's side.",
    arguments=GetS3Files,
    identity=(
        "agency_id",
        "source_bucket",
        "destination_bucket",
        "source_prefix",
        "destination_prefix",
        "pattern",
        "delete",
    ),
    inputs=list_inputs,
    store="destination_bucket",
    by_item=True,
)
