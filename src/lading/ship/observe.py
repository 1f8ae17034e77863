"""What a listing alone does not tell: the digests of the objects that matter."""

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, cast

from lading.release.layout import REPORT_KEY
from lading.release.objects import Digest
from lading.release.receipts import ProvedObject
from lading.storage import Entry, Store

Item = TypeVar("Item")
_NO_NUMBER = -1


def observe_objects(
    store: Store,
    prefix: str,
    wanted: Mapping[str, Digest],
    known: Mapping[str, ProvedObject],
    *,
    ask_other_sizes: bool = False,
) -> dict[str, ProvedObject]:
    """List a prefix and say of each object what its bytes are.

    An object is asked for its digest only where neither the listing nor the receipt tells
    and where the answer matters: its key is wanted and its size is right, or a person wants
    to know what stands there instead. The report of a run is no part of what is released.

    Args:
        store: where to look.
        prefix: what the keys begin with; left out of the keys returned.
        wanted: what should be there, by key without the prefix.
        known: what was read back before, by key without the prefix.
        ask_other_sizes: ask wanted objects of another size as well.

    Returns:
        One entry per object, by key without the prefix, sorted.
    """
    entries = {each.key.removeprefix(prefix): each for each in store.list(prefix)}
    if REPORT_KEY not in wanted:
        entries.pop(REPORT_KEY, None)
    told = {key: _told(key, each, wanted.get(key), known) for key, each in entries.items()}
    if ask_other_sizes:
        told.update({k: None for k, d in told.items() if d and not d.crc32c and k in wanted})
    asked = [key for key, digest in told.items() if digest is None]
    answers: dict[str, Digest] = {}
    for_each(
        asked,
        lambda key: answers.update({key: store.digest(prefix + key)}),
        workers=store.workers,
    )
    told.update(answers)
    return {
        key: ProvedObject(told[key] or Digest(size_bytes=each.size_bytes), each.version)
        for key, each in sorted(entries.items())
    }


def for_each(items: Iterable[Item], act: Callable[[Item], None], *, workers: int) -> None:
    """Act on items from several threads; after the first error nothing new is begun.

    Args:
        items: the items, in the order in which they are begun.
        act: what to do with one.
        workers: how many threads.

    Raises:
        Exception: the first error, in the order of the items.
    """
    chosen = list(items)
    waiting, turn = iter(enumerate(chosen)), threading.Lock()
    errors: dict[int, BaseException] = {}

    def work() -> None:
        # one future a worker and not one an item: twenty thousand of them are 40 MB
        while True:
            with turn:
                number, item = (_NO_NUMBER, None) if errors else next(waiting, (_NO_NUMBER, None))
            if number == _NO_NUMBER:
                return
            try:
                act(cast("Item", item))
            except BaseException as error:  # noqa: BLE001  raised below, in the order of the items
                with turn:
                    errors[number] = error

    with ThreadPoolExecutor(max_workers=workers) as pool:
        try:
            for future in [pool.submit(work) for _ in chosen[:workers]]:
                future.result()
        except BaseException as error:  # of this thread: a signal
            errors[_NO_NUMBER] = error
            raise
    if errors:
        raise errors[min(errors)]


def note_written(known: dict[str, ProvedObject], key: str, digest: Digest, entry: Entry) -> None:
    """Remember what a store itself said of an object that it has just written."""
    if entry.digest is not None and entry.digest.agrees_with(digest):
        known[key] = ProvedObject(digest, entry.version)


def _told(
    key: str, entry: Entry, wanted: Digest | None, known: Mapping[str, ProvedObject]
) -> Digest | None:
    """Return what is known of an object without asking it, or None where it must be asked."""
    if entry.digest is not None:
        return entry.digest
    if wanted is None or wanted.size_bytes != entry.size_bytes:
        return Digest(size_bytes=entry.size_bytes)
    proved = known.get(key)
    return proved.digest if proved and proved.version == entry.version else None
