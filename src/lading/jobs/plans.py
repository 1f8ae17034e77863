"""A plan: which items a job is run over, frozen in a file that is named after its own digest.

A shard is the work of one pod, or of one process here: some items, in the order of the plan.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lading.errors import ConditionError, MisconfiguredError, MissingObjectError, PlanError
from lading.jobs.keys import PLANS, plan_key
from lading.storage import IF_ABSENT, Body, Store

_FORMAT = "lading-plan/1"
_DIGITS = 64
_SHORTEST = 4
_SHOWN = 5
_CHANGED_HINT = "make the plan anew from its items, with the same arguments"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One item: one run of the job."""

    name: str
    """Its name, unique in the plan."""
    argv: tuple[str, ...]
    """The arguments of its run."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which items a job is run over. Its file is made once, and its digest, however often asked."""

    job: str
    """Name of the job."""
    items: tuple[Item, ...]
    """All items, in order."""
    per_shard: int = 1
    """Items of a shard; the last may have fewer."""
    key: str = ""
    """What makes it another plan of equal items, or ""."""
    retry_of: str = ""
    """Digest of the first plan, where these are items of it that were not done; or ""."""

    @cached_property
    def data(self) -> bytes:
        """The file: equal plans have equal bytes."""
        table = {
            "format": _FORMAT,
            "job": self.job,
            "key": self.key,
            "retry_of": self.retry_of,
            "per_shard": self.per_shard,
            "items": [{"name": each.name, "argv": list(each.argv)} for each in self.items],
        }
        return (json.dumps(table, sort_keys=True, separators=(",", ":")) + "\n").encode()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the file, 64 hexadecimal digits: the plan's name."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def root(self) -> str:
        """Digest of the first plan of these items: what is done of one is done of the other."""
        return self.retry_of or self.digest

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-len(self.items) // self.per_shard)

    def shard(self, index: int) -> tuple[Item, ...]:
        """Return the items of a shard.

        Raises:
            MisconfiguredError: there is no shard of that number.
        """
        if not 0 <= index < self.shards:
            raise MisconfiguredError(
                f"plan {self.digest[:12]}: expected an index from 0 to {self.shards - 1},"
                f" got {index}"
            )
        return self.items[index * self.per_shard : (index + 1) * self.per_shard]


def smaller_plan(plan: Plan, names: Iterable[str]) -> Plan:
    """Return the plan of some items of another, in its order. Pure.

    Raises:
        MisconfiguredError: none of the items is in it.
    """
    wanted = set(names)
    items = tuple(each for each in plan.items if each.name in wanted)
    if not items:
        raise MisconfiguredError(
            f"plan {plan.digest[:12]}: expected items to try again, found none"
        )
    return Plan(
        job=plan.job,
        items=items,
        per_shard=plan.per_shard,
        key=plan.key,
        retry_of=plan.root,
    )


def save_plan(store: Store, plan: Plan) -> str:
    """Keep a plan in a store, where it never changes; return its key.

    Raises:
        PlanError: what stands there was changed.
    """
    key = plan_key(plan.digest)
    if store.stat(key) is None:
        with suppress(ConditionError):  # somebody else has just kept it
            store.put(key, Body.of_bytes(plan.data), condition=IF_ABSENT)
            return key
    load_plan(store, plan.digest)
    return key


def load_plan(store: Store, digest: str) -> Plan:
    """Read a plan, and prove that it is the one that its name says.

    Raises:
        PlanError: there is none, or the file was changed.
    """
    if not re.fullmatch(rf"[0-9a-f]{{{_DIGITS}}}", digest):
        raise PlanError(f"plan: expected {_DIGITS} hexadecimal digits, got {digest[:80]!r}")
    key = plan_key(digest)
    try:
        data = store.get(key)
    except MissingObjectError as error:
        raise PlanError(f"{store.url}/{key}: expected a plan, found none") from error
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        raise PlanError(
            f"{store.url}/{key}: expected the plan {digest}, found {found}: the file was changed",
            hint=_CHANGED_HINT,
        )
    return parse_plan(data)


def find_plan(store: Store, beginning: str) -> Plan:
    """Read the plan whose digest begins so.

    Raises:
        PlanError: none does, several do, or it was changed.
    """
    if len(beginning) == _DIGITS:
        return load_plan(store, beginning)
    if not re.fullmatch(rf"[0-9a-f]{{{_SHORTEST},{_DIGITS}}}", beginning):
        raise PlanError(
            f"plan: expected {_SHORTEST} to {_DIGITS} hexadecimal digits, got {beginning[:80]!r}"
        )
    found = sorted(
        each.key.removeprefix(PLANS).partition("/")[0]
        for each in store.list(PLANS + beginning)
        if each.key.endswith("/plan.json")
    )
    if len(found) != 1:
        said = ", ".join(each[:12] for each in found[:_SHOWN]) or "none"
        raise PlanError(f"plan {beginning}: expected one in {store.url}, found {said}")
    return load_plan(store, found[0])


def parse_plan(data: bytes) -> Plan:
    """Read a plan's file.

    Raises:
        PlanError: it is none.
    """
    try:
        table: dict[str, Any] = json.loads(data)
        if table["format"] != _FORMAT:
            raise PlanError(f"plan: expected the format {_FORMAT}, got {table['format']!r}")
        return Plan(
            job=str(table["job"]),
            items=tuple(
                Item(name=str(each["name"]), argv=tuple(map(str, each["argv"])))
                for each in table["items"]
            ),
            per_shard=int(table["per_shard"]),
            key=str(table["key"]),
            retry_of=str(table["retry_of"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise PlanError(f"plan: expected a plan of Lading, got {data[:60]!r}") from error
