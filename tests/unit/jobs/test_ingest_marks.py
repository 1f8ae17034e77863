"""What was taken before, and which rows go together when the rest is sent."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.jobs.ingest.api import idempotency_key
from lading.jobs.ingest.marks import Cut, Marks, digest_rows, name_file, parse_mark, settle
from lading.jobs.ingest.records import Record
from lading.jobs.ingest.sending import choose_requests
from lading.storage import Body, MemoryStore

URL = "silver/a.parquet"
PREFIX = ".lading/sent/"


def records(texts: dict[int, str]) -> list[Record]:
    """Return rows of a file."""
    return [
        Record(file_url=URL, row=row, table={"id": row}, text=text) for row, text in texts.items()
    ]


def rows(start: int, stop: int, text: str = "a") -> dict[int, str]:
    """Return what some rows hold."""
    return {row: f"{text}{row}" for row in range(start, stop)}


def keys(store: MemoryStore) -> list[str]:
    """Return the names of all marks."""
    return [each.key.removeprefix(PREFIX) for each in store.list(PREFIX)]


class TestMarks:
    """Marks in a store."""

    def test_taken(self) -> None:
        """Rows that were noted are taken, in a later run as well; others are not."""
        store = MemoryStore()
        cut = Cut(Marks(store, PREFIX), records(rows(1, 11)))
        assert (cut.taken, cut.generation) == (set(), 1)
        cut.note([1, 2, 5])
        cut.note([3])
        later = Cut(Marks(store, PREFIX), records(rows(1, 11)))

        assert later.taken == {1, 2, 3, 5}
        assert later.generation == 1
        assert len(keys(store)) == 1

    def test_nothing_new(self) -> None:
        """What is noted twice is written once."""
        store = MemoryStore()
        cut = Cut(Marks(store, PREFIX), records(rows(1, 4)))
        cut.note([1, 2, 3])
        version = store.list(PREFIX)[0].version
        cut.note([1, 2])

        assert store.list(PREFIX)[0].version == version

    def test_changed(self) -> None:
        """Rows that hold something else now are not taken, and are of the next generation."""
        store = MemoryStore()
        Cut(Marks(store, PREFIX), records(rows(1, 4))).note([1, 2, 3])
        changed = Cut(Marks(store, PREFIX), records(rows(1, 4, "b")))
        assert (changed.taken, changed.generation) == (set(), 2)
        changed.note([1, 2, 3])
        back = Cut(Marks(store, PREFIX), records(rows(1, 4)))

        assert (back.taken, back.generation) == (set(), 3)
        assert len(keys(store)) == 1

    def test_killed_between(self) -> None:
        """A mark that a killed run could not remove does not count beside the one after it."""
        store = MemoryStore()
        Cut(Marks(store, PREFIX), records(rows(1, 4))).note([1, 2, 3])
        [first] = keys(store)
        Cut(Marks(store, PREFIX), records(rows(1, 4, "b"))).note([1, 2, 3])
        store.put(f"{PREFIX}{first}", Body.of_bytes(b'{"missing": []}'))

        assert Cut(Marks(store, PREFIX), records(rows(1, 4, "b"))).taken == {1, 2, 3}
        assert Cut(Marks(store, PREFIX), records(rows(1, 4))).taken == set()

    def test_other_cuts(self) -> None:
        """Marks within other cuts count; those that reach beyond cannot be proved and do not."""
        store = MemoryStore()
        Cut(Marks(store, PREFIX), records(rows(1, 6))).note(range(1, 6))
        Cut(Marks(store, PREFIX), records(rows(6, 11))).note(range(6, 11))

        assert Cut(Marks(store, PREFIX), records(rows(1, 11))).taken == set(range(1, 11))
        assert Cut(Marks(store, PREFIX), records(rows(1, 9))).taken == set(range(1, 6))

    def test_other_file(self) -> None:
        """Marks of one file say nothing of another."""
        store = MemoryStore()
        Cut(Marks(store, PREFIX), records(rows(1, 4))).note([1, 2, 3])
        other = [Record(file_url="b", row=each.row, text=each.text) for each in records(rows(1, 4))]

        assert Cut(Marks(store, PREFIX), other).taken == set()

    @pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"missing": 3}', b'{"missing": ["x"]}'])
    def test_damaged(self, data: bytes) -> None:
        """A mark that cannot be read is not believed."""
        store = MemoryStore()
        Cut(Marks(store, PREFIX), records(rows(1, 4))).note([1, 3])
        [name] = keys(store)
        store.put(f"{PREFIX}{name}", Body.of_bytes(data))

        assert Cut(Marks(store, PREFIX), records(rows(1, 4))).taken == set()

    @pytest.mark.parametrize("name", ["", "notes.txt", f"{'0' * 16}/1-2-1-0-xyz", "a/b/c"])
    def test_no_mark(self, name: str) -> None:
        """Other objects are no marks."""
        assert parse_mark(name) is None

    @given(
        st.lists(
            st.tuples(st.integers(1, 12), st.integers(1, 5), st.sampled_from("ab")), max_size=6
        ),
        st.data(),
    )
    def test_never_too_much(self, history: list[tuple[int, int, str]], data: st.DataObject) -> None:
        """Whatever was sent in whatever cuts, only rows whose last content this is are taken."""
        store, last = MemoryStore(), dict[int, str]()
        for start, size, text in history:
            texts = rows(start, start + size, text)
            cut = Cut(Marks(store, PREFIX), records(texts))
            sent = data.draw(st.sets(st.sampled_from(sorted(texts))))
            cut.note(sent)
            last |= {row: texts[row] for row in sent | cut.taken}
        for text in "ab":
            texts = rows(1, 18, text)
            for row in Cut(Marks(store, PREFIX), records(texts)).taken:
                assert last[row] == texts[row]

    def test_settle_nothing(self) -> None:
        """Without marks nothing is taken."""
        found = settle([], rows(1, 3))

        assert (found.taken, found.generation, found.replaced) == (frozenset(), 1, ())

    def test_names(self) -> None:
        """A mark is read as it was named."""
        store = MemoryStore()
        Cut(Marks(store, PREFIX), records(rows(1, 4))).note([1, 3])
        [name] = keys(store)
        mark = parse_mark(name)

        assert mark is not None
        assert mark.name == name
        assert (mark.file, mark.start, mark.stop, mark.gaps) == (name_file(URL), 1, 4, 1)
        assert mark.sha256 == digest_rows(rows(1, 4), [1, 3])


class TestRequests:
    """Which rows go into one request."""

    @pytest.mark.parametrize(
        ("wanted", "sent_with", "expected"),
        [
            (set(range(8)), {}, [tuple(range(8))]),
            (set(), {}, []),
            ({4, 5, 6, 7}, {}, [(4, 5, 6, 7)]),
            ({3}, {}, [(3,)]),
            ({1, 4, 5, 6, 7}, {}, [(1,), (4, 5, 6, 7)]),
            ({0, 2, 3}, {0: (0, 2, 3), 2: (0, 2, 3), 3: (0, 2, 3)}, [(0, 2, 3)]),
            ({0, 1, 2}, {1: (1, 2), 2: (1, 2)}, [(1, 2), (0,)]),
            ({0, 1}, {1: (1, 2)}, [(0, 1)]),
        ],
    )
    def test_choose(
        self, wanted: set[int], sent_with: dict[int, tuple[int, ...]], expected: list[object]
    ) -> None:
        """Requests of before are repeated; the rest goes in halves, as it did."""
        assert list(choose_requests(range(8), wanted, sent_with)) == expected

    @given(st.integers(1, 40), st.data())
    def test_each_once(self, count: int, data: st.DataObject) -> None:
        """Each row that is wanted is in one request, and no other is in any."""
        wanted = data.draw(st.sets(st.integers(0, count - 1)))
        chosen = list(choose_requests(range(count), wanted, {}))

        assert sorted(itertools.chain(*chosen)) == sorted(wanted)


class TestKeys:
    """Keys of requests."""

    def test_equal(self) -> None:
        """Equal requests have equal keys, in every process and release."""
        given_records = records({1: "a", 2: "b"})

        assert idempotency_key("u", given_records) == (
            "5d8adb2fc0829cf212404407888dab023f28fe6471f53ac9737ab33b1538e5be"
        )

    def test_different(self) -> None:
        """Another place, content, order, number, generation or salt is another request."""
        both = records({1: "a", 2: "b"})
        salted = [Record(file_url=URL, row=1, text="a", salt="x\n"), both[1]]
        found = {
            idempotency_key("u", both),
            idempotency_key("v", both),
            idempotency_key("u", both[::-1]),
            idempotency_key("u", both[:1]),
            idempotency_key("u", both, 2),
            idempotency_key("u", both, 3),
            idempotency_key("u", salted),
            idempotency_key("u", records({1: "ab", 2: ""})),
        }

        assert len(found) == 8
