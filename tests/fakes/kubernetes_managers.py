"""Managers of an object: who owns which paths, as ``metadata.managedFields`` has it.

A path is a tuple of elements as ``fieldsV1`` writes them: ``f:name`` a field, ``k:{...}`` an
element of a list by its key, ``v:...`` an element of a set.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.fakes.kubernetes_fields import API_VERSION, KEY_DEFAULTS, Table

Path = tuple[str, ...]
Paths = frozenset[Path]


@dataclass(frozen=True)
class Owner:
    """A manager, told apart by what it did and where."""

    manager: str
    operation: str
    subresource: str = ""

    def __str__(self) -> str:
        said = json.dumps(self.manager)
        if self.subresource:
            said += f" with subresource {json.dumps(self.subresource)}"
        return f"{said} using {API_VERSION}" if self.operation == "Update" else said


@dataclass
class Owned:
    """What a manager owns, and since when."""

    paths: Paths
    time: str


@dataclass
class Managers:
    """All managers of an object."""

    owned: dict[Owner, Owned] = field(default_factory=dict)

    @classmethod
    def of(cls, body: Table | None) -> "Managers":
        """Read ``metadata.managedFields``."""
        found = cls()
        for entry in ((body or {}).get("metadata") or {}).get("managedFields") or []:
            if not entry:
                continue
            owner = Owner(
                entry.get("manager", ""), entry["operation"], entry.get("subresource", "")
            )
            paths = frozenset(_read_fields(entry.get("fieldsV1") or {}, ()))
            found.owned[owner] = Owned(paths, entry.get("time", ""))
        return found

    def render(self) -> list[Table]:
        """Return ``metadata.managedFields``."""
        entries = []
        order = sorted(
            self.owned.items(), key=lambda each: (each[0].operation, each[1].time, each[0].manager)
        )
        for owner, owned in order:
            if not owned.paths:
                continue
            entry = {
                "manager": owner.manager,
                "operation": owner.operation,
                "apiVersion": API_VERSION,
                "time": owned.time,
                "fieldsType": "FieldsV1",
                "fieldsV1": _render_fields(owned.paths),
            }
            if owner.subresource:
                entry["subresource"] = owner.subresource
            entries.append(entry)
        return entries

    def set_paths(self, owner: Owner, paths: Iterable[Path], now: str) -> None:
        """Set what a manager owns; the time changes only where that does."""
        given = frozenset(paths)
        held = self.owned.get(owner)
        if held is None or held.paths != given:
            self.owned[owner] = Owned(given, now)

    def drop(self, gone: Iterable[Path], but: Owner, now: str) -> None:
        """Take paths, and all below them, from every other manager."""
        lost = set(gone)
        for owner, owned in list(self.owned.items()):
            if owner != but:
                left = {p for p in owned.paths if not is_within(p, lost)}
                self.set_paths(owner, left, now)


def is_within(path: Path, roots: set[Path]) -> bool:
    """Say whether a path is one of some, or below one."""
    return any(path[:end] in roots for end in range(1, len(path) + 1))


def key_text(element: object, keys: tuple[str, ...]) -> str:
    """Return the path element of an element of a list that is known by keys."""
    given = element if isinstance(element, dict) else {}
    found = {key: given.get(key, KEY_DEFAULTS.get(key)) for key in sorted(keys)}
    return "k:" + json.dumps(found, separators=(",", ":"))


def path_text(path: Path) -> str:
    """Write a path as the API names it: ``.spec.containers[name="a"].image``."""
    said = ""
    for each in path:
        kind, _, rest = each.partition(":")
        if kind == "f":
            said += f".{rest}"
        elif kind == "k":
            keys = json.loads(rest).items()
            said += "[" + ",".join(f"{key}={json.dumps(value)}" for key, value in keys) + "]"
        else:
            said += f"[={rest}]"
    return said


def conflict_message(conflicts: list[tuple[Owner, Path]]) -> str:
    """Tell conflicts as the API does: each manager once, sorted."""
    if len(conflicts) == 1:
        owner, path = conflicts[0]
        return f"Apply failed with 1 conflict: conflict with {owner}: {path_text(path)}"
    said = []
    for owner in sorted({owner for owner, _ in conflicts}, key=str):
        lines = [f"- {path_text(path)}" for other, path in conflicts if other == owner]
        said.append(f"conflicts with {owner}:\n" + "\n".join(lines))
    return f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(said)


def _render_fields(paths: Paths) -> Table:
    tree: Table = {}
    for path in sorted(paths):
        at = tree
        for each in path:
            at = at.setdefault(each, {})
    for path in paths:
        at = tree
        for each in path:
            at = at[each]
        if at:
            at["."] = {}
    return tree


def _read_fields(tree: Table, path: Path) -> Iterable[Path]:
    for name, below in tree.items():
        if name == ".":
            yield path
            continue
        if not below:
            yield (*path, name)
        yield from _read_fields(below, (*path, name))
