"""What comes in: the build is fetched where it is not here, and every gate is asked of it."""

from lading.errors import SourceError
from lading.prepare.gates import accept, examine, render_report, require_gates, warnings_of
from lading.storage import Progress
from lading.storage.bytes import write_atomically
from lading.storage.source import fetch_build, load_fetched
from lading.tasks import assets
from lading.tasks.last_release import compare_with_last
from lading.tasks.session import Session
from lading.tasks.steps import Outcome, need_release
from lading.tasks.wording import count


def fetch(session: Session, progress: Progress) -> Outcome:
    """Download a build that is not on this machine, and freeze its listing."""
    assets.require_ready(session, need_release(session))
    fetched, kept = fetch_build(
        session.source_url,
        session.build,
        session.listing_path,
        options=session.config.source.options,
        digest=session.cache.digest,
        progress=progress,
    )
    return Outcome(f"{count(fetched, 'file')} fetched, {kept} kept", changed=bool(fetched))


def is_fetched(session: Session) -> bool:
    """Say whether every file of the frozen listing is here, byte for byte as it was fetched."""
    if not session.has_listing:
        return False
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
    release = need_release(session)
    assets.require_ready(session, release)
    layout = session.layout_or_none
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
    if layout:
        results = (*results, *assets.ask_version(session, release, layout, progress))
    if layout and not any(each.stops for each in results):
        results = (*results, *compare_with_last(session, release, layout, found))
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
