"""What keeps destinations in order between releases: a step each.

``prune`` and ``unlock`` only show what they would do, unless ``yes=1`` is given.
"""

import posixpath
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lading.errors import RefusedError
from lading.release.environments import has_roots, words_of
from lading.release.names import (
    CONTROL,
    ReleaseDestination,
    release_folder,
    resolve_channel,
    resolve_everything,
    tagged_prefixes,
)
from lading.release.receipts import Receipt, render_receipt
from lading.ship.cleanup import clean_staging, plan_staging_cleanup
from lading.ship.prune import (
    PruneChanges,
    Records,
    observe_records,
    plan_prune,
    prune_depot,
    prune_place,
    refuse_locked,
)
from lading.ship.rollback import (
    Site,
    choose_promotion,
    load_histories,
    require_rollback,
    targets_of,
)
from lading.ship.target import settle
from lading.ship.unlock import StandingLock, break_lock, describe_owner, find_locks
from lading.storage import Progress, ReadOnly, Store
from lading.storage.bytes import write_atomically
from lading.tasks.display import make_console
from lading.tasks.session import Session
from lading.tasks.steps import Outcome
from lading.tasks.wording import count, format_bytes


def staging_cleanup(session: Session, progress: Progress) -> Outcome:
    """Empty the staging root of every destination.

    Raises:
        RefusedError: ``staging=0`` was asked for, or no channel has a staging root.
    """
    if has_roots(session.config):
        raise RefusedError(
            "staging_cleanup: expected channels without a root, since what stands below an"
            " environment's root is published; found channels that have one"
        )
    if session.variables.staging is False:
        raise RefusedError("staging: expected 1 or nothing, since only staging is emptied; got 0")
    del progress
    objects, size = 0, 0
    places = resolve_everything(session.config, staging=True)
    stores = _by_url([session.store(e) for e in places] + [session.depot(e) for e in places])
    for store in stores:
        entries = plan_staging_cleanup(store)
        clean_staging(store, entries)
        objects, size = objects + len(entries), size + sum(each.size_bytes for each in entries)
    return Outcome(
        f"{count(objects, 'object')} deleted, {format_bytes(size)},"
        f" in {count(len(stores), 'place')}",
        changed=bool(objects),
    )


def rollback(session: Session, progress: Progress) -> Outcome:
    """Bring every moving prefix of a channel back to one earlier release; write the receipts.

    Raises:
        RollbackError: there is none, or a destination lacks a part of it; nothing was switched.
    """
    destinations = resolve_channel(
        session.config, session.channel, staging=bool(session.variables.staging)
    )
    sites = [Site(each, session.store(each), session.depot(each)) for each in destinations]
    tag = session.variables.tag
    promotion = choose_promotion(load_histories(sites, tag), tag)
    manifests = require_rollback(sites, promotion)
    switched = []
    for place, target in targets_of(sites, promotion, manifests).items():
        plan, receipt = settle(target, progress)
        _keep_receipt(session, receipt)
        if not plan.is_empty:
            switched.append(place)
    forward = "`doit distribute` of a newer tag brings readers forward again"
    if switched:
        return Outcome(f"{', '.join(switched)} back to {promotion.tag}", notes=(forward,))
    further = "" if tag else "; `tag=...` goes further back"
    return Outcome(f"{promotion.tag} stands{further}", changed=False, notes=(forward,))


@dataclass(frozen=True, slots=True)
class Depot:
    """A depot, and the places that are filled from it: what one of them needs, all keep."""

    root: str
    """Root of its environment, in all of them."""
    names: tuple[str, ...]
    """The destinations that share it, for people."""
    store: Store
    """The store that it stands in."""
    places: Mapping[str, Store]
    """By URL, every store that may hold records of releases made from it."""
    prefixes: Mapping[str, frozenset[str]]
    """By URL, the configured prefixes that need no tag."""


def prune(session: Session, progress: Progress) -> Outcome:
    """Show what no release needs any more; delete it where ``yes=1`` was given.

    Raises:
        LockedError: a release is being promoted.
        ManifestError: what is needed cannot be known; nothing was deleted.
    """
    del progress
    console, acts = make_console(sys.stdout), session.variables.yes
    depots = _depots(session)
    records = [_records(session, each) for each in depots]
    planned = [
        _plan_prune(session, depot, found) for depot, found in zip(depots, records, strict=True)
    ]
    if acts:
        # a release that has begun since is not disturbed
        if records != [_records(session, each) for each in depots]:
            raise RefusedError("prune: expected no release meanwhile, found one; run it again")
        for depot, changes in zip(depots, planned, strict=True):
            for url, place in depot.places.items():
                prune_place(place, changes)
                place.abandon(changes.uploads[url])
            prune_depot(depot.store, changes)
    console.print(_render_prune(zip(depots, planned, strict=True)), soft_wrap=False)
    if all(each.is_empty for each in planned):
        _tell(console, "nothing to prune")
    elif acts:
        _tell(console, "pruned: what a rollback or a standing release needs was kept")
    else:
        _tell(console, "nothing was deleted; the same command with yes=1 does it")
    return Outcome("", changed=acts)


def _depots(session: Session) -> list[Depot]:
    """Return the depots of the channel that was asked for, or all, in the order of the file."""
    everything = resolve_everything(session.config, staging=bool(session.variables.staging))
    sharing: dict[tuple[str, str], list[ReleaseDestination]] = {}
    for each in everything:
        sharing.setdefault((_whole(session, each.depot_url), each.root), []).append(each)
    chosen = _chosen(session)
    return [
        _depot(session, group)
        for group in sharing.values()
        if chosen & {(each.name, each.root) for each in group}
    ]


def _depot(session: Session, group: Sequence[ReleaseDestination]) -> Depot:
    acts = session.variables.yes
    store = _opened(session.depot(group[0]), acts=acts)
    places, prefixes = {store.url: store}, {store.url: frozenset[str]()}
    for each in group:
        place = _opened(session.store(each), acts=acts)
        places[place.url] = place
        moving = {prefix.name for prefix in each.prefixes}
        prefixes[place.url] = prefixes.get(place.url, frozenset()) | moving
    named = has_roots(session.config)
    names = tuple(f"{each.name} {each.environment}" if named else each.name for each in group)
    return Depot(group[0].root, names, store, places, prefixes)


def _records(session: Session, depot: Depot) -> list[Records]:
    tagged = partial(tagged_prefixes, session.config)
    for place in depot.places.values():
        refuse_locked(place, depot.root)
    return [
        observe_records(place, depot.root, depot.prefixes[url], tagged)
        for url, place in depot.places.items()
    ]


def _plan_prune(session: Session, depot: Depot, records: Sequence[Records]) -> PruneChanges:
    below = f"{depot.root}{CONTROL}objects/"
    unfinished = {}
    for place, found in zip(depot.places.values(), records, strict=True):
        names = sorted({*found.history, *depot.prefixes[place.url]})
        begun = [below, *(f"{depot.root}{name}/" for name in names)]
        unfinished[place.url] = [each for prefix in begun for each in place.unfinished(prefix)]
    return plan_prune(
        records,
        depot.store.list(below),
        unfinished,
        keep=session.config.keep,
        before=datetime.now(UTC) - timedelta(hours=session.config.prune_after_hours),
    )


def unlock(session: Session, progress: Progress) -> Outcome:
    """Show the locks of a channel's prefixes; break them where ``yes=1`` was given.

    Raises:
        LockedError: a lock was renewed or taken over since it was looked at.
    """
    del progress
    console, acts = make_console(sys.stdout), session.variables.yes
    found: list[tuple[ReleaseDestination, Store, StandingLock]] = []
    staging = bool(session.variables.staging)
    for destination in resolve_channel(session.config, session.channel, staging=staging):
        store = session.store(destination)
        locks = find_locks(
            store,
            session.root,
            [each.name for each in destination.prefixes],
            partial(tagged_prefixes, session.config, session.channel),
            session.variables.tag,
        )
        found += [(destination, store, lock) for lock in locks]
    if not found:
        _tell(console, f"no lock stands at a prefix of {session.channel}")
        return Outcome("", changed=False)
    console.print(_render_locks(found), soft_wrap=False)
    if not acts:
        _tell(console, "nothing was changed; the same command with yes=1 breaks them")
        return Outcome("", changed=False)
    for _, store, lock in found:
        break_lock(store, lock)
    tags = sorted({lock.state.tag for _, _, lock in found if lock.state})
    flag = " staging=1" if staging else ""
    channel, tag_word = words_of(session.config)
    _tell(console, f"{count(len(found), 'lock')} broken; readers may find a prefix half switched")
    for tag in tags or ["..."]:
        _tell(
            console,
            f"`doit distribute {channel}={session.channel} {tag_word}={tag}{flag}` mends it",
        )
    return Outcome("")


def _chosen(session: Session) -> set[tuple[str, str]]:
    """Name the destinations of the channel that was asked for, or all, and their roots."""
    config, staging = session.config, bool(session.variables.staging)
    if session.channel:
        places = resolve_channel(config, session.channel, staging=staging)
    else:
        places = resolve_everything(config, staging=staging)
    return {(each.name, each.root) for each in places}


def _whole(session: Session, url: str) -> str:
    """Write a place so that two names of the same one are the same text."""
    is_url = "://" in url and not url.startswith("file://")
    plain = url if is_url else str(session.base / url.removeprefix("file://"))
    return posixpath.normpath(plain)


def _opened(store: Store, *, acts: bool) -> Store:
    return store if acts else ReadOnly(store)


def _by_url(stores: Iterable[Store]) -> list[Store]:
    return [each for _, each in sorted({each.url: each for each in stores}.items())]


def _keep_receipt(session: Session, receipt: Receipt) -> None:
    folder = release_folder(session.work, receipt.channel, receipt.tag) / receipt.environment
    name = receipt.task.partition(":")[2]
    path = folder / "receipts" / "rollback" / f"{name}.json"
    write_atomically(path, render_receipt(receipt))


def _render_prune(rows: Iterable[tuple[Depot, PruneChanges]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("destination", overflow="fold")
    for title in ("objects", "bytes", "unfinished", "manifests", "history"):
        table.add_column(title, justify="right", no_wrap=True)
    for depot, changes in rows:
        numbers = [
            sum(map(len, part.values()))
            for part in (changes.uploads, changes.manifests, changes.history)
        ]
        table.add_row(
            Text(", ".join(depot.names)),
            str(len(changes.objects)),
            format_bytes(changes.size_bytes),
            *map(str, numbers),
        )
    return table


def _render_locks(found: Iterable[tuple[ReleaseDestination, Store, StandingLock]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("prefix", "lock", "says"):
        table.add_column(title, overflow="fold")
    for destination, _, lock in found:
        state, facts = lock.state, {"owner": describe_owner(lock.state)}
        if state is not None:
            facts = {
                "release": f"{state.channel} {state.tag}",
                "owner": f"{state.owner}: {describe_owner(state)}",
                "since": f"{state.acquired_at:%Y-%m-%d %H:%M:%S} UTC",
                "expires": f"{state.expires_at:%Y-%m-%d %H:%M:%S} UTC",
            }
        for index, (fact, says) in enumerate(facts.items()):
            place = "" if index else f"{destination.name} {lock.prefix}"
            table.add_row(Text(place), Text(fact), Text(says))
    return table


def _tell(console: Console, text: str) -> None:
    console.print(Text(text), soft_wrap=False)
