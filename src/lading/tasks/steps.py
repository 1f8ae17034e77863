"""What each task does, as a function of the session: one step of a release each.

A step returns its outcome for the closing table. It never prints and never names itself.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from lading.errors import (
    PrepareError,
    RefusedError,
    SourceError,
    VerifyError,
)
from lading.prepare import archives
from lading.prepare.databases import at_rest, check_database
from lading.prepare.describe import describe_release, digest_artifacts, locate
from lading.prepare.digests import DigestCache
from lading.prepare.gates import sources_in
from lading.release.changes import PrefixChanges
from lading.release.layout import RELEASE_KEY, Artifact, Layout
from lading.release.manifest import Manifest, documents_of, parse_manifest
from lading.release.names import Prefix, Release, ReleaseDestination
from lading.release.receipts import load_receipt, render_receipt
from lading.services.git import commit_time, resolve_commit
from lading.ship.depot import DepotTarget
from lading.ship.hold import HoldTarget
from lading.ship.promote import PrefixTarget
from lading.ship.shipment import Shipment
from lading.ship.target import settle
from lading.storage import Progress, Store
from lading.storage.bytes import write_atomically
from lading.tasks import assets
from lading.tasks.last_release import known_tables
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
    notes: tuple[str, ...] = ()
    """What stands below the closing table, one line each."""
    skipped: bool = False
    """Whether it was left out, for the reason in ``summary``."""


def need_release(session: Session) -> Release:
    """Return the release.

    Raises:
        RefusedError: no tag was given.
    """
    if session.release is None:
        raise RefusedError("tag: expected tag=... on the command line, got nothing")
    return session.release


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
        PrepareError: an archive is not the one that was made; it is never described. Nor is a
            stored asset that was not read.
        ManifestError: it would not be what its schema says; nothing was written.
        ServiceError: the channel asks for a deposit, which could not take these files.
    """
    layout = session.layout
    for artifact in (*layout.databases, *layout.bundles, *layout.built):
        if not is_current(session, artifact, session.cache):
            raise PrepareError(
                f"{session.archives / artifact.path}: expected the archive as it was made, found"
                " other bytes or none",
                hint="run the same command; it is made anew",
            )
    assets.require_proved(layout, assets.stored_digests(session))
    described = describe(session, layout, session.cache, progress)
    _require_deposit(session, described)
    documents = documents_of(described)
    parse_manifest(documents[RELEASE_KEY])
    for key, data in documents.items():
        write_atomically(session.folder / key, data)
    return Outcome(f"{count(len(described.files), 'file')}, {format_bytes(described.size_bytes)}")


def describe(session: Session, layout: Layout, cache: DigestCache, progress: Progress) -> Manifest:
    """Digest the public files of a layout and describe them. Effects: none but the cache."""
    release = need_release(session)
    proved = assets.stored_digests(session)
    digests = digest_artifacts(
        release, layout, session.build, session.archives, cache, known=proved, progress=progress
    )
    repository = session.repository
    rows, sizes = known_tables(session, layout, cache)
    commit = resolve_commit(repository, release.tag)
    doi = load_doi(session.doi_path) if release.reserves_doi else ""
    found = describe_release(release, layout, digests, rows, sizes, commit=commit, doi=doi)
    return assets.published_form(session, release, found)


def _require_deposit(session: Session, manifest: Manifest) -> None:
    """Refuse, before a byte is sent anywhere, a release that its deposit could not take."""
    zenodo = session.config.channels[need_release(session).channel].zenodo
    if zenodo:
        from lading.tasks.deposits import require_room  # noqa: PLC0415  of those that deposit

        require_room(manifest, zenodo)


def load_doi(path: Path) -> str:
    """Load the DOI that was reserved for the release; "" where none was yet."""
    try:
        return str(json.loads(path.read_bytes())["doi"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def is_current(session: Session, artifact: Artifact, cache: DigestCache) -> bool:
    """Say whether an archive stands that was made of these members, byte for byte.

    Of what a command builds, too; of a stored asset, whether it was read.
    """
    if artifact.kind in {"built", "stored"}:
        return assets.is_known(session, artifact, cache)
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
        moment = commit_time(session.repository, session.release.tag)
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
    told = tell_foreign(prefix, changes)
    if plan.is_empty or changes.is_empty:
        summary = f"{count(len(changes.kept), 'object')} as released"
        return Outcome(summary, changed=False, warnings=told)
    numbers = {
        "new": changes.copy,
        "replaced": changes.replace,
        "deleted": changes.delete,
        "kept": changes.kept,
    }
    summary = ", ".join(f"{len(each)} {word}" for word, each in numbers.items() if each)
    return Outcome(summary, warnings=told)


def access(session: Session, destination: ReleaseDestination, progress: Progress) -> Outcome:
    """Ask a destination and its depot, before anything long, for all that a release needs.

    Raises:
        StoreError: a place in which this run could not list, write, read and delete.
    """
    del progress
    places = {}
    for each in session.destinations():
        if each.name == destination.name and session.channel in {"", each.channel}:
            found = session.store(each), session.depot(each)
            places.update({(place.url, each.root): place for place in found})
    for (_, root), place in places.items():
        place.require_access(root)
    return Outcome("may list, write, read and delete", changed=False)


def hold(
    session: Session, destination: ReleaseDestination, prefix: Prefix, progress: Progress
) -> Outcome:
    """Hold every object of the release below one prefix; write the receipt."""
    store = session.store(destination)
    reason = prefix.hold_skipped or store.cannot_hold()
    if reason:
        told = f"{reason}: temporary hold on every object of {prefix.name}"
        return Outcome(told, changed=False, skipped=True)
    changes, receipt = settle(hold_target(session, prefix, store), progress)
    write_atomically(hold_receipt_path(session, prefix), render_receipt(receipt))
    if changes.is_empty:
        return Outcome(f"{count(len(changes.kept), 'object')} held already", changed=False)
    kept = f", {len(changes.kept)} already" if changes.kept else ""
    return Outcome(f"{count(len(changes.hold), 'object')} held{kept}")


def tell_foreign(prefix: Prefix, changes: PrefixChanges) -> tuple[str, ...]:
    """Say which objects below a prefix were left alone, since no release put them there."""
    if not changes.foreign:
        return ()
    first = next(iter(changes.foreign))
    more = f" and {len(changes.foreign) - 1} more" if len(changes.foreign) > 1 else ""
    told = f"{prefix.destination}: {prefix.name}/{first}{more}: no release put it there"
    return (f"{told}, so it stays; remove it, or set `owned = true` in the channel",)


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
    return Shipment(
        release, found, paths_of(session, session.layout), assets.stored_places(session)
    )


def paths_of(session: Session, layout: Layout) -> dict[str, Path]:
    """Return by key where the bytes of public files stand on this machine."""
    return {
        each.key: locate(each, session.build, session.archives)
        for each in layout.artifacts
        if each.kind != "stored"
    }


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


def hold_target(session: Session, prefix: Prefix, store: Store) -> HoldTarget:
    """Return the holds of a prefix as a target of this release."""
    known = load_receipt(promote_receipt_path(session, prefix))
    return HoldTarget(store, prefix, load_shipment(session), known)


def upload_receipt_path(session: Session, destination: ReleaseDestination) -> Path:
    """Return where the receipt of an upload is kept."""
    return session.run_folder / "receipts" / "upload" / f"{destination.task}.json"


def promote_receipt_path(session: Session, prefix: Prefix) -> Path:
    """Return where the receipt of a promotion is kept."""
    return session.run_folder / "receipts" / "promote" / f"{prefix.task}.json"


def hold_receipt_path(session: Session, prefix: Prefix) -> Path:
    """Return where the receipt of a hold is kept."""
    return session.run_folder / "receipts" / "hold" / f"{prefix.task}.json"


def _archive_outcome(session: Session, artifact: Artifact, *, made: bool) -> Outcome:
    before = sum((session.build / path).stat().st_size for path in artifact.members)
    after = (session.archives / artifact.path).stat().st_size
    share = f"{format_bytes(before)} to {format_bytes(after)}"
    return Outcome(share if made else f"{share}, unchanged", changed=made)
