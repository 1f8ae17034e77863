"""``doit plan`` and ``doit verify``: look at everything, write nothing."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from lading.errors import LadingError, VerifyError
from lading.prepare.digests import DigestCache
from lading.release.changes import PrefixChanges, plan_prefix
from lading.release.layout import Artifact, Layout
from lading.release.manifest import Manifest, parse_manifest
from lading.release.names import Prefix, ReleaseDestination
from lading.release.receipts import load_receipt
from lading.ship.depot import DepotTarget
from lading.ship.hold import HoldTarget
from lading.ship.promote import PrefixTarget
from lading.ship.shipment import Shipment
from lading.ship.verify import Finding, load_released_manifest, verify_destination
from lading.storage import Progress, ReadOnly
from lading.storage.source import list_remote
from lading.tasks import steps
from lading.tasks.assets import stored_places
from lading.tasks.display import make_console
from lading.tasks.outside import plan_call, verify_call
from lading.tasks.session import Session
from lading.tasks.steps import Outcome
from lading.tasks.wording import count, format_bytes

_SHOWN_FAULTS = 5
_IDLE = {"keep", "skip", "leave"}


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One line of a plan."""

    target: str
    """What would change."""
    change: str
    """How: make, keep, read, reserve, send, copy, replace, delete, hold, leave, change, skip,
    refuse or unknown."""
    files: int
    """How many files."""
    size_bytes: int
    """How many bytes."""
    note: str = ""
    """What else there is to say."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A release as far as it can be known without writing anything."""

    shipment: Shipment
    """What is known of it."""
    unmade: tuple[Artifact, ...]
    """Archives that have to be made first; their bytes are not known yet."""

    awaits_doi: bool = False
    """Whether a DOI is yet to be reserved that ``release.json`` is to name."""

    @property
    def is_whole(self) -> bool:
        """Whether the manifest is the one that a release would make."""
        return not (self.unmade or self.awaits_doi)

    @property
    def hidden_keys(self) -> set[str]:
        """Keys of which only ``prepare`` will tell the bytes."""
        return {each.key for each in self.unmade}


def plan(session: Session, progress: Progress) -> Outcome:
    """Show what a release would do; write nothing, here or there."""
    release = steps.need_release(session)
    console = make_console(sys.stdout)
    console.print(
        f"plan: {release.project}: {release.channel} {release.tag} ({release.environment})"
    )
    rows = list(_plan_rows(session, progress))
    console.print(_render_plan(rows), soft_wrap=False)
    pending = [row for row in rows if row.change not in _IDLE]
    console.print(
        "nothing to do" if not pending else "nothing was written; `doit distribute` does it"
    )
    refused = [row for row in rows if row.change == "refuse"]
    if refused:
        raise VerifyError(f"{refused[0].target}: {refused[0].note}", hint="see the plan above")
    return Outcome(count(len(pending), "change"), changed=False)


def verify(session: Session, progress: Progress) -> Outcome:
    """Prove the release at every destination; print one line a place.

    Raises:
        VerifyError: naming what is missing, extra or different.
    """
    del progress
    release = steps.need_release(session)
    findings: list[Finding] = []
    for destination in release.destinations:
        receipts = {
            f"upload:{destination.task}": load_receipt(
                steps.upload_receipt_path(session, destination)
            ),
            **{
                f"promote:{prefix.task}": load_receipt(steps.promote_receipt_path(session, prefix))
                for prefix in destination.prefixes
            },
        }
        findings += verify_destination(
            ReadOnly(session.store(destination)),
            ReadOnly(session.depot(destination)),
            destination,
            release,
            local=_local_manifest(session),
            receipts=receipts,
            deep=session.variables.deep,
        )
    findings += _verify_calls(session)
    console = make_console(sys.stdout)
    console.print(
        f"verify: {release.project}: {release.channel} {release.tag} ({release.environment})"
    )
    console.print(_render_findings(findings), soft_wrap=False)
    faults = [f"{each.place}: {fault}" for each in findings for fault in each.faults]
    if faults:
        more = [f"and {len(faults) - _SHOWN_FAULTS} more"] if len(faults) > _SHOWN_FAULTS else []
        for_a_person = all(each.is_for_a_person for each in findings if each.faults)
        hint = "remove it, or set `owned = true` in the channel" if for_a_person else ""
        raise VerifyError("\n".join([*faults[:_SHOWN_FAULTS], *more]), hint=hint)
    depth = "asked object by object" if session.variables.deep else "by listing"
    console.print(f"verified {depth}: everything is as released")
    return Outcome(count(len(findings), "place"), changed=False)


def _verify_calls(session: Session) -> Iterator[Finding]:
    """Prove what the release told the outside, where any destination says what it was."""
    release = steps.need_release(session)
    if all(call.skipped for call in release.calls):
        return
    found = _local_manifest(session)
    for destination in release.destinations if found is None else ():
        store = ReadOnly(session.store(destination))
        found = found or load_released_manifest(store, destination, release.tag)
    for call in release.calls if found else ():
        finding = verify_call(session, call, Shipment(release, found, {})) if found else None
        if finding:
            yield finding


def _plan_rows(session: Session, progress: Progress) -> Iterator[PlanRow]:
    if session.is_remote and not session.has_listing:
        files = list_remote(session.source_url, session.config.source.options)
        size = sum(each.size_bytes for each in files)
        yield PlanRow("fetch", "download", len(files), size, "the rest is known afterwards")
        return
    cache = DigestCache(session.work / "digests.sqlite", read_only=True)
    foreseen = _foresee(session, cache, progress)
    yield from _prepare_rows(session, foreseen)
    release = foreseen.shipment.release
    if foreseen.awaits_doi:
        yield PlanRow("doi", "reserve", 0, 0, "so that release.json names it: that file changes")
    for destination in release.destinations:
        yield from _upload_rows(session, destination, foreseen)
    for destination in release.destinations:
        for prefix in destination.prefixes:
            yield from _promote_rows(session, destination, prefix, foreseen)
    for destination in release.destinations:
        for prefix in destination.prefixes:
            yield from _hold_rows(session, destination, prefix, foreseen)
    for call in release.calls:
        if foreseen.is_whole or call.skipped or call.task == "git_merge":
            change, note = plan_call(session, call, foreseen.shipment)
        else:
            change, note = "change", f"{call.effect}; more is known once the manifest is made"
        yield PlanRow(call.task, change, 0, 0, note)


def _foresee(session: Session, cache: DigestCache, progress: Progress) -> Foreseen:
    release, layout = steps.need_release(session), session.layout
    unmade = tuple(
        each
        for each in (*layout.databases, *layout.bundles, *layout.built, *layout.stored)
        if not steps.is_current(session, each, cache)
    )
    known = Layout(tuple(a for a in layout.artifacts if a not in unmade), layout.left_out)
    manifest = steps.describe(session, known, cache, progress)
    awaits_doi = release.reserves_doi and manifest.doi is None
    shipment = Shipment(release, manifest, steps.paths_of(session, known), stored_places(session))
    return Foreseen(shipment, unmade, awaits_doi)


def _prepare_rows(session: Session, foreseen: Foreseen) -> Iterator[PlanRow]:
    layout = session.layout
    sizes = {each.path: each.size_bytes for each in session.files}
    groups = {
        "compress_sqlite": layout.databases,
        "zip_parquet": layout.bundles,
        "build": layout.built,
    }
    for each in layout.stored:
        sizes[each.key] = each.digest.size_bytes if each.digest else 0
    if layout.stored:
        proved = [each for each in layout.stored if each not in foreseen.unmade]
        for change, chosen in (("read", foreseen.unmade), ("keep", proved)):
            those = [each for each in chosen if each.kind == "stored"]
            if those:
                size = sum(sizes[each.key] for each in those)
                yield PlanRow("stored", change, len(those), size, "proved where they stand")
    for name, group in groups.items():
        make = [each for each in group if each in foreseen.unmade]
        keep = [each for each in group if each not in foreseen.unmade]
        for change, chosen in (("make", make), ("keep", keep)):
            if chosen:
                size = sum(sizes[path] for each in chosen for path in each.members)
                yield PlanRow(name, change, len(chosen), size)


def _upload_rows(
    session: Session, destination: ReleaseDestination, foreseen: Foreseen
) -> Iterator[PlanRow]:
    name = f"upload:{destination.task}"
    known = load_receipt(steps.upload_receipt_path(session, destination))
    try:
        depot = ReadOnly(session.depot(destination))
        target = DepotTarget(depot, destination, foreseen.shipment, known)
        changes = target.plan(target.observe())
    except LadingError as error:
        yield PlanRow(name, "refuse", 0, 0, str(error))
        return
    note = _note_unmade(foreseen)
    groups = (("send", changes.send), ("copy", changes.copy), ("replace", changes.replace))
    for change, objects in groups:
        if objects or (change == "send" and foreseen.unmade):
            size = sum(each.size_bytes for each in objects)
            yield PlanRow(name, change, len(objects), size, note if change == "send" else "")
    if changes.kept:
        size = sum(each.size_bytes for each in changes.kept)
        yield PlanRow(name, "keep", len(changes.kept), size)


def _promote_rows(
    session: Session, destination: ReleaseDestination, prefix: Prefix, foreseen: Foreseen
) -> Iterator[PlanRow]:
    name = f"promote:{prefix.task}"
    known = load_receipt(steps.promote_receipt_path(session, prefix))
    try:
        target = PrefixTarget(
            ReadOnly(session.store(destination)),
            ReadOnly(session.depot(destination)),
            destination,
            prefix,
            foreseen.shipment,
            known=known,
        )
        state = target.observe()
        if not foreseen.is_whole:
            # the manifest is not whole yet, so an immutable prefix cannot be judged
            changes = plan_prefix(foreseen.shipment.objects, state.digests, state.ours)
        else:
            changes = target.plan(state).changes
    except LadingError as error:
        yield PlanRow(name, "refuse", 0, 0, str(error))
        return
    if state.lock is not None:
        cut = f"a promotion of {state.lock.tag} was cut or is going on ({state.lock.owner})"
        yield PlanRow(name, "finish", 0, 0, cut)
    yield from _prefix_rows(name, changes, foreseen)


def _hold_rows(
    session: Session, destination: ReleaseDestination, prefix: Prefix, foreseen: Foreseen
) -> Iterator[PlanRow]:
    if not prefix.held:
        return
    name = f"hold:{prefix.task}"
    known = load_receipt(steps.promote_receipt_path(session, prefix))
    try:
        store = ReadOnly(session.store(destination))
        reason = prefix.hold_skipped or store.cannot_hold()
        if reason:
            yield PlanRow(name, "skip", 0, 0, reason)
            return
        target = HoldTarget(store, prefix, foreseen.shipment, known)
        changes = target.plan(target.observe())
    except LadingError as error:
        yield PlanRow(name, "refuse", 0, 0, str(error))
        return
    if changes.wrong and foreseen.is_whole:
        first = next(iter(changes.wrong))
        told = f"{target.place}/{first}: expected other bytes, found an object that is held"
        yield PlanRow(name, "refuse", len(changes.wrong), 0, told)
    note = _note_unmade(foreseen)
    for change, group in (("hold", changes.hold), ("keep", changes.kept)):
        if group:
            size = sum(each.size_bytes for each in group.values())
            yield PlanRow(name, change, len(group), size, note if change == "hold" else "")


def _note_unmade(foreseen: Foreseen) -> str:
    return f"and {count(len(foreseen.unmade), 'archive')} made first" if foreseen.unmade else ""


def _prefix_rows(name: str, changes: PrefixChanges, foreseen: Foreseen) -> Iterator[PlanRow]:
    note = _note_unmade(foreseen)
    groups = {
        "copy": [each.size_bytes for each in changes.copy.values()],
        "replace": [each.size_bytes for each in changes.replace.values()],
        "delete": [n for key, n in changes.delete.items() if key not in foreseen.hidden_keys],
        "keep": [each.size_bytes for each in changes.kept.values()],
    }
    for change, sizes in groups.items():
        if sizes:
            yield PlanRow(name, change, len(sizes), sum(sizes), note)
            note = ""
    foreign = [n for key, n in changes.foreign.items() if key not in foreseen.hidden_keys]
    if foreign:
        yield PlanRow(name, "leave", len(foreign), sum(foreign), "no release put them there")


def _local_manifest(session: Session) -> Manifest | None:
    try:
        return parse_manifest(session.manifest_path.read_bytes())
    except (OSError, LadingError):
        return None


def _render_plan(rows: Iterable[PlanRow]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("target", "change"):
        table.add_column(title, overflow="fold")
    for title in ("files", "bytes"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("note", overflow="fold")
    for row in rows:
        files = str(row.files) if row.files else ""
        size = format_bytes(row.size_bytes) if row.files else ""
        table.add_row(Text(row.target), Text(row.change), files, size, Text(row.note))
    return table


def _render_findings(findings: Iterable[Finding]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("place", overflow="fold")
    table.add_column("objects", justify="right")
    table.add_column("found")
    for each in findings:
        found = f"{count(len(each.faults), 'fault')}" if each.faults else "as released"
        objects = "" if each.objects is None else str(each.objects)
        table.add_row(Text(each.place), objects, Text(found))
    return table
