"""Server-side apply and what every other write does to the managers of an object.

Source: "Server-Side Apply" of kubernetes.io; conflicts, removal and migration by what a real API
server answered.
"""

import copy
import json
from collections.abc import Callable, Iterable
from typing import Any

from tests.fakes.kubernetes_decode import check_typed
from tests.fakes.kubernetes_fields import FREE, Shape, Table
from tests.fakes.kubernetes_managers import (
    Managers,
    Owner,
    Path,
    Paths,
    conflict_message,
    is_within,
    key_text,
)

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_NODE, _ITEM = object(), object()
_POD = "f:template f:spec f:containers"
_SKELETONS = (
    "f:metadata",
    "f:status",
    f"f:spec {_POD}",
    "f:spec f:template f:metadata",
    f"f:spec f:jobTemplate f:spec {_POD}",
    "f:spec f:jobTemplate f:spec f:template f:metadata",
    "f:spec f:jobTemplate f:metadata",
)
_SKELETON = {
    tuple(each.split()[:end]) for each in _SKELETONS for end in range(1, len(each.split()) + 1)
}
_UNOWNED = (
    "name namespace uid resourceVersion generation creationTimestamp selfLink managedFields"
    " deletionTimestamp deletionGracePeriodSeconds"
)
_OURS = {("f:apiVersion",), ("f:kind",)} | {
    ("f:metadata", f"f:{name}") for name in _UNOWNED.split()
}


class TypedError(Exception):
    """An applied configuration does not fit the schema; each fault with its path."""

    def __init__(self, faults: list[str]) -> None:
        text = faults[0] if len(faults) == 1 else "errors:\n" + "\n".join(f"  {f}" for f in faults)
        super().__init__(text)


class ManagersError(Exception):
    """Other managers hold fields with other values."""

    def __init__(self, conflicts: list[tuple[Owner, Path]]) -> None:
        super().__init__(conflict_message(conflicts))
        self.conflicts = conflicts


def apply(
    live: Table | None, config: Table, shape: Shape, owner: Owner, now: str, *, force: bool
) -> tuple[Table, Managers]:
    """Apply a configuration; return what stands then and who owns it.

    Raises:
        TypedError: the configuration does not fit the schema.
        ManagersError: others hold fields with other values.
    """
    if faults := check_typed(config, shape, ""):
        raise TypedError(faults)
    managers = _managers_before(live, shape, now)
    named = {p for p, kind in walk(config, shape).items() if kind is not _NODE and _is_ownable(p)}
    last = managers.owned[owner].paths if owner in managers.owned else frozenset()
    merged = merge(copy.deepcopy(live or {}), config, shape)
    merged.setdefault("metadata", {}).pop("managedFields", None)
    managers.set_paths(owner, named, now)
    merged = _prune(merged, shape, last, managers)
    changed, removed = compare(live or {}, merged, shape)
    if changed or removed:
        may = changed if force else _takeable(live, owner, shape)
        _settle(managers, owner, (changed, removed), now, may)
    return merged, managers


def _settle(
    managers: Managers, owner: Owner, found: tuple[set[Path], set[Path]], now: str, may: set[Path]
) -> None:
    """Take what changed from its other managers, as far as the applier may.

    Raises:
        ManagersError: it may not take all.
    """
    changed, removed = found
    conflicts = [
        (other, path)
        for other, owned in managers.owned.items()
        if other != owner
        for path in sorted(owned.paths & changed)
    ]
    if refused := [each for each in conflicts if each[1] not in may]:
        raise ManagersError(refused)
    managers.drop({path for _, path in conflicts} | removed, owner, now)


def _takeable(live: Table | None, owner: Owner, shape: Shape) -> set[Path]:
    """Return what kubectl takes over: what its own client-side apply said, and still stands."""
    notes = ((live or {}).get("metadata") or {}).get("annotations") or {}
    if owner.manager != "kubectl" or LAST_APPLIED not in notes:
        return set()
    said, stands = walk(json.loads(notes[LAST_APPLIED]), shape), walk(live, shape)
    return {path for path, text in said.items() if stands.get(path) == text}


def _managers_before(live: Table | None, shape: Shape, now: str) -> Managers:
    managers = Managers.of(live)
    if live is not None and not managers.owned:
        owner = Owner("before-first-apply", "Update")
        managers.set_paths(owner, (p for p in walk(live, shape) if _is_ownable(p)), now)
    return managers


def record_update(
    live: Table | None, new: Table, shape: Shape, owner: Owner, now: str
) -> list[Table]:
    """Return the managers of an object after it was written in another way than by apply."""
    given = new["metadata"].get("managedFields")
    if given and not any(given):
        return []
    managers = Managers.of(new if given and not owner.subresource else live)
    changed, removed = compare(live or {}, new, shape)
    if owner.subresource:
        changed = {p for p in changed if p[0] == "f:status"}
    else:
        changed = {p for p in changed if _is_ownable(p)}
    managers.drop(changed | removed, owner, now)
    held = managers.owned[owner].paths if owner in managers.owned else frozenset()
    left = {p for p in held if not is_within(p, removed)}
    if changed or left != held:
        managers.set_paths(owner, left | changed, now)
    return managers.render()


def _is_ownable(path: Path) -> bool:
    is_skeleton = path in _SKELETON
    return not (path[:2] in _OURS or path[:1] in _OURS or path[0] == "f:status" or is_skeleton)


def walk(value: Any, shape: Shape, path: Path = ()) -> dict[Path, Any]:
    """Return every path of a value, with the text of leaves."""
    found: dict[Path, Any] = {}
    if isinstance(value, dict) and value and shape.kind != "atomic":
        if path:
            found[path] = _NODE
        for name, each in value.items():
            found |= walk(each, shape.child(name) or FREE, (*path, f"f:{name}"))
    elif isinstance(value, list) and shape.kind == "keyed" and value:
        found[path] = _NODE
        for each in value:
            at = (*path, key_text(each, shape.keys))
            found |= walk(each, shape.element, at)
            found[at] = _ITEM
    elif isinstance(value, list) and shape.kind == "set":
        found[path] = _NODE
        found |= {(*path, f"v:{json.dumps(each)}"): json.dumps(each) for each in value}
    else:
        found[path] = json.dumps(value, sort_keys=True)
    return found


def compare(old: Table, new: Table, shape: Shape) -> tuple[set[Path], set[Path]]:
    """Return the paths that were added or changed, and those that were removed."""
    before, after = walk(old, shape), walk(new, shape)
    changed = {path for path, text in after.items() if before.get(path) != text}
    grown = {p for p in changed if after[p] is _NODE and p in before}
    return {p for p in changed - grown if _is_ownable_or_status(p)}, set(before) - set(after)


def _is_ownable_or_status(path: Path) -> bool:
    return (path[0] == "f:status" and len(path) > 1) or _is_ownable(path)


def merge(live: Any, config: Any, shape: Shape) -> Any:
    """Merge an applied value into a live one."""
    if isinstance(config, dict) and isinstance(live, dict) and shape.kind != "atomic":
        merged = dict(live)
        for name, each in config.items():
            merged[name] = merge(live.get(name), each, shape.child(name) or FREE)
        return merged
    if isinstance(config, list) and isinstance(live, list) and shape.kind in {"keyed", "set"}:
        return _merge_lists(live, config, shape)
    return copy.deepcopy(config)


def _merge_lists(live: list[Any], config: list[Any], shape: Shape) -> list[Any]:
    """Keep the order that was applied; what only the live list has stays where it stood."""
    name: Callable[[Any], str] = (
        (lambda each: key_text(each, shape.keys)) if shape.kind == "keyed" else json.dumps
    )
    held = {name(each): each for each in live}
    given = {name(each): each for each in config}
    order, rest = [], list(given)
    for key in held:
        if key not in given:
            order.append(key)
        elif key in rest:
            order += rest[: rest.index(key) + 1]
            rest = rest[rest.index(key) + 1 :]
    return [_merged(held, given, key, shape.element) for key in order + rest]


def _merged(held: Table, given: Table, key: str, shape: Shape) -> Any:
    return merge(held.get(key), given[key], shape) if key in given else held[key]


def _prune(merged: Table, shape: Shape, last: Paths, managers: Managers) -> Table:
    """Remove what the applier named before, names no more, and nobody else owns."""
    owned = _with_parents({path for each in managers.owned.values() for path in each.paths})
    gone = {path for path in _with_parents(last) if path not in owned}
    pruned: Table = _without(merged, shape, (), gone)
    return pruned


def _with_parents(paths: Iterable[Path]) -> set[Path]:
    return {path[:end] for path in paths for end in range(1, len(path) + 1)}


def _without(value: Any, shape: Shape, path: Path, gone: set[Path]) -> Any:
    if isinstance(value, dict) and shape.kind != "atomic":
        kept = {}
        for name, each in value.items():
            at = (*path, f"f:{name}")
            if at not in gone:
                kept[name] = _without(each, shape.child(name) or FREE, at, gone)
        return kept
    if isinstance(value, list) and shape.kind in {"keyed", "set"}:
        named = [(_element_path(path, each, shape), each) for each in value]
        return [_without(each, shape.element, at, gone) for at, each in named if at not in gone]
    return value


def _element_path(path: Path, element: Any, shape: Shape) -> Path:
    said = key_text(element, shape.keys) if shape.kind == "keyed" else f"v:{json.dumps(element)}"
    return (*path, said)
