"""Tests of the wrappers that refuse writes."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import GuardError, MissingObjectError
from lading.release.objects import digest_bytes
from lading.storage import Body, LocalStore, MemoryStore, ReadOnly, StagingGuard, Store

DIGEST = digest_bytes(b"x")
BODY = Body.of_bytes(b"x")
WRITES: dict[str, Callable[[Store, str], object]] = {
    "put": lambda store, key: store.put(key, BODY),
    "copy": lambda store, key: store.copy("staging/a", key, digest=DIGEST),
    "delete": lambda store, key: store.delete(["staging/a", key]),
}
OUTSIDE = {
    "production": "nightly/a",
    "control": ".lading/locks/nightly",
    "name that begins alike": "staging-old/a",
    "root itself": "staging",
    "upper case": "STAGING/a",
    "absolute": "/staging/a",
    "inside another": "nightly/staging/a",
    "space in front": " staging/a",
    "nothing": "",
}


def filled() -> MemoryStore:
    """Return a store with an object in staging and one in production."""
    store = MemoryStore()
    store.put("staging/a", BODY)
    store.put("nightly/a", BODY)
    return store


def contents(store: Store) -> dict[str, str]:
    """Return every key with its version."""
    return {each.key: each.version for each in store.list()}


@pytest.mark.parametrize("verb", WRITES)
@pytest.mark.parametrize("key", OUTSIDE.values(), ids=OUTSIDE)
def test_writes_outside_the_root_are_refused(verb: str, key: str) -> None:
    """No write reaches the store under a key outside the root, and the message names the key."""
    store = filled()
    before = contents(store)
    with pytest.raises(GuardError, match="expected writes below 'staging/'") as caught:
        WRITES[verb](StagingGuard(store, "staging/"), key)
    assert repr(key) in str(caught.value)
    assert before == contents(store)


@given(key=st.text(max_size=12).filter(lambda key: not key.startswith("staging/")))
def test_no_other_key_is_written(key: str) -> None:
    """Whatever the key: outside the root it is never put, copied to or deleted."""
    store = filled()
    before = contents(store)
    for write in WRITES.values():
        with pytest.raises(GuardError):
            write(StagingGuard(store, "staging/"), key)
    assert before == contents(store)


def test_one_key_outside_spares_all() -> None:
    """A delete that names one key outside deletes none of the others."""
    store = filled()
    with pytest.raises(GuardError):
        StagingGuard(store, "staging/").delete(iter(["staging/a", "nightly/a"]))
    assert {"staging/a", "nightly/a"} == set(contents(store))


def test_climbing_out_of_the_root_is_refused(tmp_path: Path) -> None:
    """A key that begins with the root and climbs out of it reaches nothing."""
    (tmp_path / "nightly").mkdir()
    guarded = StagingGuard(LocalStore(tmp_path, "staging/"), "staging/")
    for write in WRITES.values():
        with pytest.raises(Exception, match=r"\.\."):
            write(guarded, "staging/../nightly/a")
    assert list((tmp_path / "nightly").iterdir()) == []


def test_writes_below_the_root_pass() -> None:
    """Below the root every write does what the store does."""
    store = filled()
    guarded = StagingGuard(store, "staging/")
    guarded.put("staging/b", Body.of_bytes(b"b"))
    guarded.copy("staging/b", "staging/c", digest=digest_bytes(b"b"))
    guarded.delete(["staging/a"])
    guarded.sweep()
    assert {"staging/b", "staging/c", "nightly/a"} == set(contents(store))


def test_copies_may_come_from_outside() -> None:
    """Production may be read: a copy from there into staging passes."""
    guarded = StagingGuard(filled(), "staging/")
    guarded.copy("nightly/a", "staging/b", digest=DIGEST)
    assert guarded.get("staging/b") == b"x"


@pytest.mark.parametrize("wrap", [ReadOnly, lambda store: StagingGuard(store, "staging/")])
def test_reads_pass(wrap: Callable[[Store], Store]) -> None:
    """A guard hides nothing that can be read."""
    store = filled()
    guarded = wrap(store)
    assert store.list() == guarded.list()
    assert store.list("night") == guarded.list("night")
    assert store.stat("nightly/a") == guarded.stat("nightly/a")
    assert guarded.get("nightly/a", 0, 1) == b"x"
    assert store.digest("nightly/a") == guarded.digest("nightly/a")
    assert store.url == guarded.url
    with pytest.raises(MissingObjectError):
        guarded.get("nightly/none")


@pytest.mark.parametrize("verb", WRITES)
def test_read_only_refuses_every_write(verb: str) -> None:
    """In a dry run no key at all can be written, and the message names the one tried."""
    store = filled()
    before = contents(store)
    with pytest.raises(GuardError, match=r"expected no writes .* to 'staging/[ab]'"):
        WRITES[verb](ReadOnly(store), "staging/b")
    assert before == contents(store)


def test_read_only_refuses_to_sweep() -> None:
    """In a dry run nothing is swept, since that would delete."""
    with pytest.raises(GuardError):
        ReadOnly(filled()).sweep()


def test_staging_writes_temporary_files_in_staging_only(tmp_path: Path) -> None:
    """A guarded folder puts its temporary files below the root too: production is not touched."""
    guarded = StagingGuard(LocalStore(tmp_path, "staging/"), "staging/")
    guarded.put("staging/a", BODY)
    guarded.copy("staging/a", "staging/b", digest=DIGEST)
    assert [each.name for each in tmp_path.iterdir()] == ["staging"]


def test_staging_sweep_leaves_production(tmp_path: Path) -> None:
    """Sweeping in staging leaves what a killed production run left, for that to resume."""
    scratch = tmp_path / ".lading/tmp"
    scratch.mkdir(parents=True)
    (scratch / "left").write_bytes(b"x")
    StagingGuard(LocalStore(tmp_path, "staging/"), "staging/").sweep()
    assert (scratch / "left").exists()
