"""Lists of what was written, and whether it still stands."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import ChecksumError, MissingObjectError
from lading.jobs.keys import listing_key
from lading.jobs.outputs import (
    latest,
    load_listing,
    plan_looks,
    put_listing,
    render_listing,
    verify_outputs,
)
from lading.jobs.refs import ObjectRef
from lading.storage import Body, LocalStore, MemoryStore, Store
from tests.fakes.stores import FakeWatchedStore
from tests.unit.jobs.trails import FakeAskedStore, write


@pytest.fixture(params=["memory", "local"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Return a store that tells digests with each entry, and one that does not."""
    return MemoryStore("memory://a") if request.param == "memory" else LocalStore(tmp_path / "a")


class TestListing:
    """Lists named after their digest."""

    def test_is_read_as_it_was_written(self, store: Store) -> None:
        """What is listed comes back, by place."""
        refs = write(store, ["b", "a"])
        assert load_listing(store, put_listing(store, refs)) == refs[::-1]

    def test_lines(self) -> None:
        """A line is an object's table, without what is not known."""
        ref = ObjectRef(store_url="s3://a", key="k", size_bytes=1, crc32c="AAAAAA==")
        table = {"store_url": "s3://a", "key": "k", "size_bytes": 1, "crc32c": "AAAAAA=="}
        assert json.loads(render_listing([ref])) == table

    def test_last_named_counts(self) -> None:
        """Of a place that was written twice the last is listed, once."""
        one = ObjectRef(store_url="s3://a", key="k", size_bytes=1, version="2")
        assert latest([one, replace(one, version="1")]) == [replace(one, version="1")]

    def test_stands_once(self, store: Store) -> None:
        """A list that stands is not written again; one with other bytes is."""
        watched = FakeWatchedStore(store)
        sha256 = put_listing(watched, [])
        put_listing(watched, [])
        assert watched.writes == [("put", listing_key(sha256))]

        store.put(listing_key(sha256), Body.of_bytes(b"x"))
        put_listing(watched, [])
        assert load_listing(store, sha256) == []

    def test_changed_or_missing(self, store: Store) -> None:
        """A list that is gone, or is another than its name says, is never taken for one."""
        sha256 = put_listing(store, write(store, ["a"]))
        store.put(listing_key(sha256), Body.of_bytes(b""))
        with pytest.raises(ChecksumError, match=f"{sha256}.jsonl: expected sha256 {sha256}"):
            load_listing(store, sha256)

        store.delete([listing_key(sha256)])
        with pytest.raises(MissingObjectError):
            load_listing(store, sha256)


class TestVerify:
    """Whether outputs stand."""

    def test_all_good(self, store: Store) -> None:
        """What stands as it was written is good."""
        refs = write(store, ["a/1", "a/2", "b"])
        assert verify_outputs(refs, lambda _: store) == []

    def test_equal_version_costs_no_digest(self, tmp_path: Path) -> None:
        """Where the version is the one that was written, no byte is read."""
        watched = FakeWatchedStore(LocalStore(tmp_path))
        verify_outputs(write(watched, ["a", "b"]), lambda _: watched)
        assert [verb for verb, _ in watched.reads if verb != "list"] == []

    def test_rewritten_with_the_same_bytes(self, store: Store) -> None:
        """Another version of the same bytes is good: a restored backup, a copied bucket."""
        refs = write(store, ["a", "b"])
        write(store, ["a", "b"])
        assert verify_outputs(refs, lambda _: store) == []

    @pytest.mark.parametrize("many", [0, 30])
    def test_missing_changed_and_cut(self, store: Store, many: int) -> None:
        """An output that is missing or other is a line with both digests, asked or listed."""
        keys = ["x/changed", "x/cut", "x/missing", *(f"x/good{each}" for each in range(many))]
        refs = write(store, keys)
        store.delete(["x/missing"])
        store.put("x/changed", Body.of_bytes(b"bytes of x/chxnged"))
        store.put("x/cut", Body.of_bytes(b"b"))
        place, known = store.url, [f"crc32c {each.crc32c}" for each in refs]
        other = f"crc32c {Body.of_bytes(b'bytes of x/chxnged').digest.crc32c}"

        assert verify_outputs(refs, lambda _: store) == [
            f"{place}/x/changed: expected {known[0]} (18 bytes), found {other} (18 bytes)",
            f"{place}/x/cut: expected {known[1]} (14 bytes), found 1 bytes",
            f"{place}/x/missing: expected {known[2]} (18 bytes), found none",
        ]

    def test_unknown_is_never_taken_for_equal(self) -> None:
        """An output with neither version nor digest cannot be proved, even of the right size."""
        store = MemoryStore("memory://a")
        ref = replace(write(store, ["a"])[0], version="", sha256="", crc32c="")
        assert verify_outputs([ref], lambda _: store) == [
            "memory://a/a: expected version unknown (10 bytes), found version 1 (10 bytes)"
        ]

    def test_several_stores(self, tmp_path: Path) -> None:
        """Each output is looked for in its own store."""
        stores: dict[str, Store] = {
            str(tmp_path / name): LocalStore(tmp_path / name) for name in "ab"
        }
        refs = [ref for each in stores.values() for ref in write(each, ["k"])]
        stores[str(tmp_path / "b")].delete(["k"])
        assert [each.split(":")[0] for each in verify_outputs(refs, stores.__getitem__)] == [
            f"{tmp_path}/b/k"
        ]

    def test_many_cost_a_listing(self) -> None:
        """More than twenty below one folder are listed together, and none is asked for alone."""
        asked = FakeAskedStore(MemoryStore("memory://a"))
        refs = write(asked, [f"silver/agency={each}/part.parquet" for each in range(40)])
        assert verify_outputs(refs, lambda _: asked) == []
        assert asked.reads == [("list", "silver/")]

        asked.reads.clear()
        assert verify_outputs(refs[:20], lambda _: asked) == []
        assert sorted(asked.reads) == sorted(("stat", each.key) for each in refs[:20])


_keys = st.lists(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join), unique=True, max_size=80
)


@given(_keys)
def test_every_key_is_looked_at(keys: list[str]) -> None:
    """Each key is below just one prefix that is listed, or asked for; nothing lists the root."""
    prefixes, singles = plan_looks(keys)

    assert "" not in prefixes
    assert set(singles) <= set(keys)
    for key in keys:
        assert sum(key.startswith(each) for each in prefixes) + singles.count(key) == 1
