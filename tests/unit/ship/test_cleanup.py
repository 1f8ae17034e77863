"""Tests of emptying the staging root, and nothing else."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lading.errors import GuardError, LockedError
from lading.ship.cleanup import clean_staging, plan_staging_cleanup
from lading.ship.locks import PrefixLock
from lading.storage import Body, LocalStore, MemoryStore, StagingGuard, Store

BODY = Body.of_bytes(b"x")
STAGED = ["staging/.lading/objects/ab", "staging/eel-hole/a", "staging/nightly/a"]
OTHERS = [".lading/objects/ab", "nightly/a", "staging-old/a", "staging.txt", "z/staging/a"]
LOCK = "staging/.lading/locks/nightly"


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Return a guarded store with objects in staging and outside."""
    local = request.param == "local"
    inner: Store = LocalStore(tmp_path, "staging/") if local else MemoryStore()
    for key in (*STAGED, *OTHERS):
        inner.put(key, BODY)
    return StagingGuard(inner, "staging/")


def keys(store: Store) -> list[str]:
    """List every key."""
    return [each.key for each in store.list()]


def lock_staging(store: Store) -> None:
    """Take the lock of a staging release."""
    PrefixLock(store, LOCK, channel="nightly", tag="tag-1", manifest_sha256="m").acquire()


def test_staging_is_emptied_and_nothing_else(store: Store) -> None:
    """Every object below the staging root goes; names that only look alike stay."""
    entries = plan_staging_cleanup(store)
    assert [each.key for each in entries] == STAGED
    clean_staging(store, entries)
    assert keys(store) == OTHERS


def test_planning_deletes_nothing(store: Store) -> None:
    """A plan leaves every object."""
    plan_staging_cleanup(store)
    assert keys(store) == sorted([*STAGED, *OTHERS])


def test_may_be_repeated(store: Store) -> None:
    """An empty staging root is cleaned again without an error."""
    for _ in range(2):
        clean_staging(store, plan_staging_cleanup(store))
    assert plan_staging_cleanup(store) == []


def test_live_release_is_not_disturbed(store: Store) -> None:
    """While a staging release is promoted nothing is planned; its owner is named."""
    lock_staging(store)
    with pytest.raises(LockedError, match=r"nightly tag-1 held by process \d+ on"):
        plan_staging_cleanup(store)


def test_expired_lock_is_cleaned(store: Store) -> None:
    """A lock that a killed release left is no hindrance once it has expired, and goes too."""
    lock_staging(store)
    table = {**json.loads(store.get(LOCK)), "expires_at": datetime.now(UTC).isoformat()}
    store.put(LOCK, Body.of_bytes(json.dumps(table).encode()))
    clean_staging(store, plan_staging_cleanup(store))
    assert keys(store) == OTHERS


def test_lock_of_production_is_no_matter(store: Store) -> None:
    """A production release does not hinder the cleaning of staging."""
    inner = store._store  # type: ignore[attr-defined]
    PrefixLock(inner, ".lading/locks/nightly", channel="c", tag="t", manifest_sha256="m").acquire()
    clean_staging(store, plan_staging_cleanup(store))
    assert ".lading/locks/nightly" in keys(store)


def test_objects_outside_are_refused(store: Store) -> None:
    """Were production planned by mistake, the store would refuse, and delete nothing at all."""
    before = keys(store)
    with pytest.raises(GuardError):
        clean_staging(store, store.list())
    assert before == keys(store)


def test_leftovers_of_killed_writers_go(tmp_path: Path) -> None:
    """Temporary files and folders of killed staging runs go with the objects."""
    store = StagingGuard(LocalStore(tmp_path, "staging/"), "staging/")
    store.put("staging/nightly/a", BODY)
    scratch = tmp_path / "staging/.lading/tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    (scratch / "left").write_bytes(b"x")
    clean_staging(store, plan_staging_cleanup(store))
    assert list(tmp_path.rglob("*")) == []
