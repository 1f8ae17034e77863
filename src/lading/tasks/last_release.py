"""What is known of the release that readers have: what ``check`` judges a build by."""

from contextlib import suppress

from lading.errors import GateError, LadingError
from lading.prepare import archives
from lading.prepare.baseline import compare, read_manifest
from lading.prepare.databases import live_journal
from lading.prepare.digests import DigestCache
from lading.prepare.gates import (
    Examination,
    GateResult,
    Rows,
    Sizes,
    count_tables,
    load_tables,
    results_of,
    sources_in,
)
from lading.release.layout import RELEASE_KEY, Layout
from lading.release.manifest import Manifest
from lading.release.names import Prefix, Release, ReleaseDestination, resolve_release
from lading.ship.history import promotion_before
from lading.storage import ReadOnly
from lading.tasks.session import Session


def compare_with_last(
    session: Session, release: Release, layout: Layout, found: Examination
) -> list[GateResult]:
    """Compare with what readers have: the channel's public release, also in a rehearsal."""
    try:
        last = find_last_release(session, release)
    except LadingError as error:
        told = f"last release: expected to compare with it, but could not read it: {error}"
        return [GateResult("last_release", release.channel, warned=told)]
    if last is None:
        return []
    sizes = {each.path: each.size_bytes for each in session.files} | found.sizes
    return results_of(compare(session.config.gates, layout, found.rows, sizes, last))


def find_last_release(session: Session, release: Release) -> Manifest | None:
    """Return the manifest of the channel's last public release, or None where there is none yet.

    It is never this release: where readers have that already, the one before it is taken, so
    that a run that goes on judges as the one that was cut.

    Raises:
        LadingError: no place could tell, and one could not be read.
    """
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
    store = ReadOnly(session.store(destination))
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
        if told and told.sources == archives.digests_of(
            sources_in(session.config, session.build, path), cache
        ):
            rows[path], sizes[path] = told.rows, told.size_bytes
        elif live_journal(session.build / path) is None:
            with suppress(GateError):
                rows.update(count_tables(session.config, session.build, path))
    return rows, sizes
