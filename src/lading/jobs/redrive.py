"""Which runs send dead letters again. Pure."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from lading.jobs.letters import DeadLetter


@dataclass(frozen=True, slots=True, kw_only=True)
class Redrive:
    """One run that does items again."""

    arguments: tuple[str, ...]
    """Arguments of the run that put the letters."""
    items: frozenset[str]
    """Items to do; each is done as a whole, whichever of its letters are named."""
    retries: tuple[str, ...]
    """Letters that are sent again, ``id:attempt``, sorted: they make it a run of its own, and the
    next one that fails another."""


def plan_redrive(letters: Iterable[DeadLetter], ids: Collection[str] = ()) -> list[Redrive]:
    """Return the runs that send letters again: one for each set of arguments, sorted by them.

    Args:
        letters: those of one job, in any order.
        ids: ids of the letters wanted; none: all.
    """
    wanted = frozenset(ids)
    items: dict[tuple[str, ...], set[str]] = {}
    retries: dict[tuple[str, ...], set[str]] = {}
    for each in letters:
        if not wanted or each.id in wanted:
            items.setdefault(each.arguments, set()).add(each.item)
            retries.setdefault(each.arguments, set()).add(f"{each.id}:{each.attempt}")
    return [
        Redrive(
            arguments=arguments,
            items=frozenset(items[arguments]),
            retries=tuple(sorted(retries[arguments])),
        )
        for arguments in sorted(items)
    ]
