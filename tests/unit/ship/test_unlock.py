"""Tests of showing locks, and of breaking them on a person's word."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from lading.errors import LockedError
from lading.ship.locks import PrefixLock, load_lock, unlock_command
from lading.ship.unlock import break_lock, describe_owner, find_locks
from lading.storage import Body, MemoryStore


def take(store: MemoryStore, name: str, *, channel: str = "stable", tag: str = "v1") -> PrefixLock:
    """Take the lock of a prefix."""
    lock = PrefixLock(store, f".lading/locks/{name}", channel=channel, tag=tag, manifest_sha256=tag)
    lock.acquire()
    return lock


def found(store: MemoryStore, tag: str = "") -> list[str]:
    """Return the prefixes whose locks are found, of a channel with `stable` and `{tag}`."""
    locks = find_locks(store, "", ["stable"], lambda each: [each], tag)
    return [each.prefix for each in locks]


def test_locks_of_the_channel() -> None:
    """Locks of moving prefixes and of those of a tag are found; those of others are not."""
    store = MemoryStore()
    take(store, "stable")
    take(store, "v1")
    take(store, "v2", tag="v2")
    take(store, "nightly", channel="nightly", tag="nightly-1")
    assert found(store) == ["stable", "v1", "v2"]
    assert found(store, "v2") == ["stable", "v2"]


def test_lock_that_cannot_be_read() -> None:
    """An object in the place of a lock is shown, and can be removed."""
    store = MemoryStore()
    store.put(".lading/locks/stable", Body.of_bytes(b"?"))
    (lock,) = find_locks(store, "", ["stable"], lambda each: [each])
    assert (lock.state, describe_owner(lock.state)) == (
        None,
        "cannot be read: no lock of this version",
    )
    break_lock(store, lock)
    assert store.list() == []


def test_owner() -> None:
    """It is told whether the owner is at work, gone, or silent since the lock expired."""
    store = MemoryStore()
    take(store, "stable")
    at_work = load_lock(store, ".lading/locks/stable")
    table = json.loads(store.get(".lading/locks/stable"))
    gone = {**table, "process": table["process"].rpartition("/")[0] + "/1"}
    old = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    silent = {**table, "process": "elsewhere/1/1", "expires_at": old}
    assert describe_owner(at_work) == "may be at work"
    for changed, said in ((gone, "known to be gone"), (silent, "not heard of since it expired")):
        store.put(".lading/locks/stable", Body.of_bytes(json.dumps(changed).encode()))
        assert describe_owner(load_lock(store, ".lading/locks/stable")) == said


def test_lock_that_was_renewed_is_not_broken() -> None:
    """A lock that changed since it was shown stays: somebody is at work."""
    store = MemoryStore()
    held = take(store, "stable")
    (lock,) = find_locks(store, "", ["stable"], lambda each: [each])
    held.acquire()
    with pytest.raises(LockedError, match="expected the lock that was shown, found another"):
        break_lock(store, lock)
    assert load_lock(store, lock.key) is not None


def test_refusal_names_the_command() -> None:
    """Whoever meets a lock is told the command that shows it."""
    store = MemoryStore()
    take(store, "stable")
    with pytest.raises(LockedError, match="`doit unlock type=stable tag=v1`"):
        take(store, "stable", tag="v2")
    state = load_lock(store, ".lading/locks/stable")
    assert state is not None
    staged = unlock_command("staging/.lading/locks/stable", state)
    assert staged == "doit unlock type=stable tag=v1 staging=1"


def test_lock_of_an_environment() -> None:
    """The lock of an environment is shown by the words for environments, whatever its root."""
    store = MemoryStore()
    key = "staging/.lading/locks/maps"
    lock = PrefixLock(store, key, channel="staging", tag="v1", manifest_sha256="m", has_root=True)
    lock.acquire()
    state = load_lock(store, key)
    assert state is not None
    assert unlock_command(key, state) == "doit unlock environment=staging version=v1"
