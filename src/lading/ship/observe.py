"""What a listing alone does not tell: the digests of the objects that matter."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from lading.release.objects import Digest
from lading.ship.receipts import ProvedObject, Receipt
from lading.storage import Entry, Store

WORKERS = 8
Item = TypeVar("Item")


def observe_objects(
    store: Store,
    prefix: str,
    wanted: Mapping[str, Digest],
    known: Receipt | None,
    *,
    ask_other_sizes: bool = False,
) -> dict[str, ProvedObject]:
    """List a prefix and say of each object what its bytes are.

    An object is asked for its digest only where neither the listing nor the receipt tells
    and where the answer matters: its key is wanted and its size is right, or a person wants
    to know what stands there instead.

    Args:
        store: where to look.
        prefix: what the keys begin with; left out of the keys returned.
        wanted: what should be there, by key without the prefix.
        known: what was read back before.
        ask_other_sizes: ask wanted objects of another size as well.

    Returns:
        One entry per object, by key without the prefix, sorted.
    """
    entries = {each.key.removeprefix(prefix): each for each in store.list(prefix)}
    told = {key: _told(key, each, wanted.get(key), known) for key, each in entries.items()}
    if ask_other_sizes:
        told.update({k: None for k, d in told.items() if d and not d.crc32c and k in wanted})
    asked = [key for key, digest in told.items() if digest is None]
    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        answers = pool.map(lambda key: store.digest(prefix + key), asked)
        told.update(zip(asked, answers, strict=True))
    return {
        key: ProvedObject(told[key] or Digest(size_bytes=each.size_bytes), each.version)
        for key, each in sorted(entries.items())
    }


def for_each(items: Iterable[Item], act: Callable[[Item], None]) -> None:
    """Act on items from several threads; after the first error nothing new is begun.

    Raises:
        Exception: the first error, in the order of the items.
    """
    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        futures = [pool.submit(act, item) for item in items]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _told(key: str, entry: Entry, wanted: Digest | None, known: Receipt | None) -> Digest | None:
    """Return what is known of an object without asking it, or None where it must be asked."""
    if entry.digest is not None:
        return entry.digest
    if wanted is None or wanted.size_bytes != entry.size_bytes:
        return Digest(size_bytes=entry.size_bytes)
    return known.knows(key, entry.version) if known else None
