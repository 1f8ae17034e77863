"""What each task does, as a function of the session: one step of a release each.

A step returns its outcome for the closing table. It never prints and never names itself.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from lading.errors import (
    GateError,
    LadingError,
    PrepareError,
    RefusedError,
    SourceError,
    VerifyError,
)
from lading.prepare import archives
from lading.prepare.baseline import compare, read_manifest
from lading.prepare.databases import at_rest, check_database, live_journal
from lading.prepare.describe import describe_release, digest_artifacts, locate
from lading.prepare.digests import DigestCache
from lading.prepare.gates import (
    Examination,
    GateResult,
    Rows,
    Sizes,
    accept,
    count_tables,
    examine,
    load_tables,
    render_report,
    require_gates,
    results_of,
    sources_in,
    warnings_of,
)
from lading.release.layout import RELEASE_KEY, Artifact, Layout
from lading.release.manifest import Manifest, documents_of, parse_manifest
from lading.release.names import Prefix, Release, ReleaseDestination, resolve_release
from lading.services.git import commit_time, resolve_commit
from lading.ship.cleanup import clean_staging, plan_staging_cleanup
from lading.ship.depot import DepotTarget
from lading.ship.history import promotion_before
from lading.ship.promote import PrefixTarget
from lading.ship.receipts import load_receipt, render_receipt
from lading.ship.shipment import Shipment
from lading.ship.target import settle
from lading.storage import Progress, ReadOnly, Store, open_store
from lading.storage.bytes import write_atomically
from lading.storage.source import fetch_build, load_fetched
from lading.tasks.session import Session
from lading.tasks.wording import count, format_bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a step ended."""

    summary: str
    """What was done, in a few words."""
    changed: bool = True
    """Whether anything was done at all."""
    warnings: tuple[str, ...] = ()
    """What a person should look at, one line each."""


def need_release(session: Session) -> Release:
    """Return the release.

    Raises:
        RefusedError: no tag was given.
    """
    if session.release is None:
        raise RefusedError("tag: expected tag=... on the command line, got nothing")
    return session.release


def fetch(session: Session, progress: Progress) -> Outcome:
    """Download a build that is not on this machine, and freeze its listing."""
    need_release(session)
    fetched, kept = fetch_build(
        session.source_url,
        session.build,
        session.listing_path,
        digest=session.cache.digest,
        progress=progress,
    )
    return Outcome(f"{count(fetched, 'file')} fetched, {kept} kept", changed=bool(fetched))


def is_fetched(session: Session) -> bool:
    """Say whether every file of the frozen listing is here, byte for byte as it was fetched."""
    try:
        fetched = load_fetched(session.listing_path)
        return all(
            session.cache.digest(session.build / path).sha256 == sha256
            for path, sha256 in fetched.items()
        )
    except SourceError:
        return False


def check(session: Session, progress: Progress) -> Outcome:
    """Ask every gate, digest every file; write the report, also of a refused build."""
    release, layout = need_release(session), session.layout_or_none
    deposited = {
        path
        for each in (layout.artifacts if layout else ())
        if each.kind == "file" and release.is_deposited(each.key)
        for path in each.members
    }
    found = examine(
        session.config,
        session.build,
        session.files,
        cache=session.cache,
        scratch=session.snapshots,
        with_md5=deposited,
        progress=progress,
    )
    results = found.results
    if layout and not any(each.stops for each in results):
        results = (*results, *_beside_last_release(session, layout, found))
    results = accept(results, session.variables.accept)
    tables = {
        path: {"sources": found.sources[path], "size_bytes": found.sizes[path], "rows": rows}
        for path, rows in found.rows.items()
    }
    write_atomically(session.report_path, render_report(results, tables))
    require_gates(results)
    shipped = count(len(session.layout.artifacts), "public file")
    warned = sum(bool(each.warned) for each in results)
    accepted = sum(bool(each.accepted) for each in results)
    parts = [f"{count(len(results) - warned - accepted, 'gate')} passed"]
    if warned:
        parts.append(f"{warned} warned")
    if accepted:
        parts.append(f"{accepted} accepted")
    return Outcome(", ".join([*parts, shipped]), warnings=warnings_of(results))


def _beside_last_release(session: Session, layout: Layout, found: Examination) -> list[GateResult]:
    """Compare with what readers have: the channel's public release, also in a rehearsal."""
    try:
        last = find_last_release(session)
    except LadingError as error:
        told = f"last release: expected to compare with it, but could not read it: {error}"
        return [GateResult("last_release", need_release(session).channel, warned=told)]
    if last is None:
        return []
    sizes = {each.path: each.size_bytes for each in session.files} | found.sizes
    return results_of(compare(session.config.gates, layout, found.rows, sizes, last))


def find_last_release(session: Session) -> Manifest | None:
    """Return the manifest of the channel's last public release, or None where there is none yet.

    It is never this release: where readers have that already, the one before it is taken, so
    that a run that goes on judges as the one that was cut.

    Raises:
        LadingError: no place could tell, and one could not be read.
    """
    release = need_release(session)
    moving = {
        each for each in session.config.channels[release.channel].prefixes if "{tag}" not in each
    }
    public = resolve_release(session.config, release.channel, release.tag, staging=False)
    faults: list[LadingError] = []
    for destination in public.destinations:
        for prefix in destination.prefixes:
            if prefix.name not in moving:
                continue
            try:
                found = _last_of(session, release, destination, prefix)
            except LadingError as error:
                faults.append(error)  # another place may tell
                continue
            if found is not None:
                return found
    if faults:
        raise faults[0]
    return None


def _last_of(
    session: Session, release: Release, destination: ReleaseDestination, prefix: Prefix
) -> Manifest | None:
    store = ReadOnly(open_store(destination.url, session.base))
    found = read_manifest(store, f"{prefix.key_prefix}{RELEASE_KEY}", release.channel)
    if found is None or found.tag != release.tag:
        return found
    before = promotion_before(store, prefix, release.tag)
    key = destination.manifest_key(before.tag) if before else ""
    return read_manifest(store, key, release.channel) if before else None


def known_tables(session: Session, layout: Layout, cache: DigestCache) -> tuple[Rows, Sizes]:
    """Return rows and sizes at rest of all that ships: from the report of ``check``, else counted.

    A database that was left open is not counted here, since that takes a snapshot; nor is a
    broken one, which ``check`` refuses.
    """
    report = load_tables(session.report_path)
    rows: Rows = {}
    sizes = {each.path: each.size_bytes for each in session.files}
    for path in layout.source_paths:
        told = report.get(path)
        if told and told.sources == archives.digests_of(sources_of(session, path), cache):
            rows[path], sizes[path] = told.rows, told.size_bytes
        elif live_journal(session.build / path) is None:
            with suppress(GateError):
                rows.update(count_tables(session.config, session.build, path))
    return rows, sizes


def sources_of(session: Session, path: str) -> list[Path]:
    """Return a file of the build, and the journal that belongs to it where one is live."""
    return sources_in(session.config, session.build, path)


def compress_sqlite(session: Session, artifact: Artifact, progress: Progress) -> Outcome:
    """Pack one database, or a snapshot of it where it was left open."""
    source, target = session.build / artifact.members[0], session.archives / artifact.path
    members = sources_of(session, artifact.members[0])
    packing = packing_of(session, artifact)
    if archives.is_archive_current(members, target, packing, session.cache):
        return _archive_outcome(session, artifact, made=False)
    made_of = {path: session.cache.digest(path).sha256 for path in members}
    with at_rest(source, (session.snapshots / artifact.path).parent) as still:
        is_snapshot = still != source
        if is_snapshot:
            check_database(still, session.config.prepare.sqlite.integrity)
        archives.compress_file(
            still,
            target,
            packing,
            cache=session.cache,
            made_of=made_of,
            md5=need_release(session).is_deposited(artifact.key),
            progress=progress,
        )
    outcome = _archive_outcome(session, artifact, made=True)
    return replace(outcome, summary=f"{outcome.summary}, a snapshot") if is_snapshot else outcome


def zip_parquet(session: Session, artifact: Artifact, progress: Progress) -> Outcome:
    """Pack one bundle."""
    made = archives.store_bundle(
        [session.build / path for path in artifact.members],
        session.archives / artifact.path,
        packing_of(session, artifact),
        cache=session.cache,
        md5=need_release(session).is_deposited(artifact.key),
        progress=progress,
    )
    return _archive_outcome(session, artifact, made=made)


def manifest(session: Session, progress: Progress) -> Outcome:
    """Describe the release: ``release.json`` and ``SHA256SUMS``.

    Raises:
        PrepareError: an archive is not the one that was made; it is never described.
    """
    for artifact in (*session.layout.databases, *session.layout.bundles):
        if not is_current(session, artifact, session.cache):
            raise PrepareError(
                f"{session.archives / artifact.path}: expected the archive as it was made, found"
                " other bytes or none",
                hint="run the same command; it is made anew",
            )
    described = describe(session, session.layout, session.cache, progress)
    for key, data in documents_of(described).items():
        write_atomically(session.folder / key, data)
    return Outcome(f"{count(len(described.files), 'file')}, {format_bytes(described.size_bytes)}")


def describe(session: Session, layout: Layout, cache: DigestCache, progress: Progress) -> Manifest:
    """Digest the public files of a layout and describe them. Effects: none but the cache."""
    release = need_release(session)
    digests = digest_artifacts(release, layout, session.build, session.archives, cache, progress)
    repository = session.base / session.config.project.repository
    rows, sizes = known_tables(session, layout, cache)
    commit = resolve_commit(repository, release.tag)
    return describe_release(release, layout, digests, rows, sizes, commit=commit)


def is_current(session: Session, artifact: Artifact, cache: DigestCache) -> bool:
    """Say whether an archive stands that was made of these members, byte for byte."""
    members = [each for path in artifact.members for each in sources_of(session, path)]
    target = session.archives / artifact.path
    return archives.is_archive_current(members, target, packing_of(session, artifact), cache)


def packing_of(session: Session, artifact: Artifact) -> archives.Packing:
    """Return how an archive of this kind is made.

    Raises:
        PrepareError: the commit's time is asked for and the tag is not known.
    """
    moment = None
    if session.config.prepare.entry_time == "commit" and session.release:
        repository = session.base / session.config.project.repository
        moment = commit_time(repository, session.release.tag)
    level = session.config.prepare.sqlite.level if artifact.kind == "sqlite" else ""
    return archives.Packing(level, archives.entry_time(moment))


def upload(session: Session, destination: ReleaseDestination, progress: Progress) -> Outcome:
    """Send to the depot of one destination what it lacks; write the receipt."""
    refuse_rewriting(session, destination)
    target = depot_target(session, destination, session.depot(destination))
    changes, receipt = settle(target, progress)
    write_atomically(upload_receipt_path(session, destination), render_receipt(receipt))
    if changes.is_empty:
        return Outcome(f"{count(len(changes.kept), 'object')} there already", changed=False)
    size = format_bytes(sum(each.size_bytes for each in changes.sent))
    parts = [f"{count(len(changes.sent), 'object')} sent, {size}"]
    if changes.copy:
        parts.append(f"{len(changes.copy)} copied in the cloud")
    if changes.kept:
        parts.append(f"{len(changes.kept)} there already")
    return Outcome("; ".join(parts))


def refuse_rewriting(session: Session, destination: ReleaseDestination) -> None:
    """Refuse a release that an immutable prefix of a destination refuses, before any byte is sent.

    Every promotion waits for every upload, so that such a release moves no prefix anywhere.

    Raises:
        ImmutableError: naming the prefix, the key and both digests.
    """
    for prefix in destination.prefixes:
        if prefix.immutable:
            target = prefix_target(session, destination, prefix, session.store(destination))
            target.plan(target.observe())


def promote(
    session: Session, destination: ReleaseDestination, prefix: Prefix, progress: Progress
) -> Outcome:
    """Switch one public prefix; write the receipt.

    Raises:
        VerifyError: a destination is not proved to hold this manifest (doit was told to run
            this task alone, for example).
    """
    require_uploads(session)
    store = session.store(destination)
    target = prefix_target(session, destination, prefix, store)
    plan, receipt = settle(target, progress)
    write_atomically(promote_receipt_path(session, prefix), render_receipt(receipt))
    changes = plan.changes
    if plan.is_empty or changes.is_empty:
        return Outcome(f"{count(len(changes.kept), 'object')} as released", changed=False)
    numbers = {
        "new": changes.copy,
        "replaced": changes.replace,
        "deleted": changes.delete,
        "kept": changes.kept,
    }
    return Outcome(", ".join(f"{len(each)} {word}" for word, each in numbers.items() if each))


def require_uploads(session: Session) -> None:
    """Hold the first promise, whatever doit was told: all uploads of this manifest are proved.

    Raises:
        VerifyError: naming the first upload that is not.
    """
    wanted = load_shipment(session).manifest_sha256
    for destination in need_release(session).destinations:
        receipt = load_receipt(upload_receipt_path(session, destination))
        if receipt is None or receipt.manifest_sha256 != wanted:
            raise VerifyError(
                f"upload:{destination.task}: expected a receipt of this manifest"
                f" ({wanted[:16]}…), found another or none"
            )


def staging_cleanup(session: Session, progress: Progress) -> Outcome:
    """Empty the staging root of every destination.

    Raises:
        RefusedError: ``staging=0`` was asked for.
    """
    if session.variables.staging is False:
        raise RefusedError("staging: expected 1 or nothing, since only staging is emptied; got 0")
    del progress
    objects, size = 0, 0
    urls = {url for d in session.config.destinations.values() for url in (d.url, d.depot) if url}
    for url in sorted(urls):
        store = open_store(url, session.base, root="staging/")
        entries = plan_staging_cleanup(store)
        clean_staging(store, entries)
        objects, size = objects + len(entries), size + sum(each.size_bytes for each in entries)
    places = count(len(urls), "place")
    return Outcome(
        f"{count(objects, 'object')} deleted, {format_bytes(size)}, in {places}",
        changed=bool(objects),
    )


def load_shipment(session: Session) -> Shipment:
    """Load the manifest that was made on this machine, with the files that it describes.

    Raises:
        SourceError: there is none, or it is of another tool's making.
    """
    release = need_release(session)
    try:
        found = parse_manifest(session.manifest_path.read_bytes(), str(session.manifest_path))
    except OSError as error:
        raise SourceError(f"{session.manifest_path}: expected a manifest, found none") from error
    paths = {
        each.key: locate(each, session.build, session.archives) for each in session.layout.artifacts
    }
    return Shipment(release, found, paths)


def depot_target(session: Session, destination: ReleaseDestination, store: Store) -> DepotTarget:
    """Return the depot of a destination as a target of this release."""
    known = load_receipt(upload_receipt_path(session, destination))
    return DepotTarget(store, destination, load_shipment(session), known)


def prefix_target(
    session: Session, destination: ReleaseDestination, prefix: Prefix, store: Store
) -> PrefixTarget:
    """Return a prefix as a target of this release."""
    return PrefixTarget(
        store,
        session.depot(destination),
        destination,
        prefix,
        load_shipment(session),
        known=load_receipt(promote_receipt_path(session, prefix)),
    )


def upload_receipt_path(session: Session, destination: ReleaseDestination) -> Path:
    """Return where the receipt of an upload is kept."""
    return session.run_folder / "receipts" / "upload" / f"{destination.task}.json"


def promote_receipt_path(session: Session, prefix: Prefix) -> Path:
    """Return where the receipt of a promotion is kept."""
    return session.run_folder / "receipts" / "promote" / f"{prefix.task}.json"


def _archive_outcome(session: Session, artifact: Artifact, *, made: bool) -> Outcome:
    before = sum((session.build / path).stat().st_size for path in artifact.members)
    after = (session.archives / artifact.path).stat().st_size
    share = f"{format_bytes(before)} to {format_bytes(after)}"
    return Outcome(share if made else f"{share}, unchanged", changed=made)
