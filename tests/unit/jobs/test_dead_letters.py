"""Dead letters, as they stand in stores."""

import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.errors import StoreError, TemporaryError, UsageError
from lading.jobs import letter_objects
from lading.jobs.dead_letters import DeadLetters, list_jobs
from lading.jobs.letter_objects import item_of, letters_key
from lading.jobs.letters import (
    DeadLetter,
    Failure,
    letter_table,
    parse_failure,
    parse_letter,
    render_letter,
)
from lading.storage import ALWAYS, Body, Condition, Entry, LocalStore, MemoryStore, Store
from tests.contract.clouds import open_s3

NOON = datetime(2025, 2, 5, 12, tzinfo=UTC)
LONG = "s3://bronze/" + "agency/" * 40 + "ä.csv"


class Clock:
    """Tells a minute more each time it is asked."""

    def __init__(self) -> None:
        self._minutes = count()

    def __call__(self) -> datetime:
        """Return the time."""
        return NOON + timedelta(minutes=next(self._minutes))


def bad(row: int | None, message: str = "bad", payload: str | None = None) -> Failure:
    """Return what is wrong with a row."""
    return Failure(error_class="RowError", message=message, row=row, payload=payload)


@pytest.fixture(params=["memory", "local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Return a store of each kind."""
    if request.param == "s3":
        return open_s3(tmp_path)
    return MemoryStore() if request.param == "memory" else LocalStore(tmp_path / "store")


def test_letters_have_a_life(store: Store) -> None:
    """Put, put again by another run, found, dropped, resolved: in every kind of store."""
    letters = DeadLetters(store, "copy", now=Clock())
    assert letters.put("a/b.csv", [bad(7), bad(2, "x"), bad(None)], run="r1", arguments=["-a"]) == 3
    assert letters.put(LONG, [bad(None)], run="r1") == 1

    assert letters.items() == {"a/b.csv", LONG}
    assert [(each.item, each.row) for each in letters.letters()] == [
        ("a/b.csv", None),
        ("a/b.csv", 2),
        ("a/b.csv", 7),
        (LONG, None),
    ]
    assert letters.put("a/b.csv", [bad(7), bad(8)], run="r2") == 2
    seven, eight = letters.letters("a/b.csv")
    assert (seven.attempt, seven.run) == (2, "r2")
    assert (seven.first_seen, seven.last_seen) == (NOON, NOON + timedelta(minutes=2))
    assert (eight.attempt, eight.first_seen) == (1, eight.last_seen)
    assert letters.find(eight.id[:8]) == eight

    assert letters.drop([seven.id, "f" * 16]) == 1
    assert list(letters.letters("a/b.csv")) == [eight]
    assert letters.resolve("a/b.csv") == 1
    assert letters.resolve("a/b.csv") == 0
    assert letters.resolve(LONG) == 1
    assert store.list() == []


def test_the_same_run_changes_nothing(store: Store) -> None:
    """What a run puts again stands as it stood, to the version of the object."""
    letters = DeadLetters(store, "copy", now=Clock())
    failures = [bad(1, payload="a"), bad(2, payload="b")]
    letters.put("k", failures, run="r1")
    before = store.list()
    letters.put("k", reversed(failures), run="r1")
    assert store.list() == before


def test_nothing_wrong_resolves() -> None:
    """An item put with no failures has no letters any more."""
    letters = DeadLetters(MemoryStore(), "copy")
    letters.put("k", [bad(1)], run="r1")
    assert letters.put("k", [], run="r2") == 0
    assert letters.items() == frozenset()


def test_reasons_of_one_row_are_one_letter() -> None:
    """Two failures of one row and payload have one id: the letter says both."""
    letters = DeadLetters(MemoryStore(), "copy")
    assert letters.put("k", [bad(1, "no date"), bad(1, "no id"), bad(1, "no id")], run="r") == 1
    assert next(letters.letters()).message == "no date; no id"


def test_an_item_may_be_resolved_but_for_a_run() -> None:
    """Letters that the named run put last stay."""
    letters = DeadLetters(MemoryStore(), "copy")
    letters.put("k", [bad(1)], run="r2")
    assert letters.resolve("k", unless_run="r2") == 0
    assert letters.resolve("k", unless_run="r") == 1


def test_secrets_are_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Message, trace, reference and arguments hold no secret; the payload is as it was."""
    secret = "hunter2hunter2"
    monkeypatch.setenv("SOME_TOKEN", secret)
    letters = DeadLetters(MemoryStore(), "copy")
    failure = Failure(
        error_class="E",
        message=f"got {secret}",
        trace=f"trace {secret}",
        payload=f"row {secret}",
        reference=f"https://user:{secret}@host/",
    )
    letters.put("k", [failure], run="r", arguments=["--password", secret])
    letter = next(letters.letters())
    assert secret not in f"{letter.message}{letter.trace}{letter.reference}{letter.arguments}"
    assert letter.payload == f"row {secret}"


def test_endless_messages_are_cut() -> None:
    """A message as long as its data does not fill the store."""
    letters = DeadLetters(MemoryStore(), "copy")
    letters.put("k", [bad(1, "x" * 100_000)], run="r")
    assert len(next(letters.letters()).message) == 4_000


@pytest.mark.parametrize(
    "item",
    [
        *("", ".", "..", "a/b", "a b%2Fc", "ä", "x\ny", "\ud800", "long/x.jsonl"),
        *("x" * 200, "x" * 201, LONG, "ä" * 60),
    ],
)
def test_any_name_of_an_item_stands_in_a_key(item: str, tmp_path: Path) -> None:
    """Whatever an item is called: its letters are found by it, and a listing names it."""
    letters = DeadLetters(LocalStore(tmp_path), "copy")
    letters.put(item, [bad(1)], run="r")
    assert letters.items() == {item}
    assert [each.item for each in letters.letters(item)] == [item]


@given(st.text(max_size=400), st.text(max_size=400))
def test_keys_tell_items_apart(one: str, other: str) -> None:
    """Two items have two keys, and a key that holds a name gives it back."""
    keys = letters_key("job", one), letters_key("job", other)
    assert (keys[0] == keys[1]) == (one == other)
    assert item_of("job", keys[0]) in {one, None}
    assert max(len(part) for part in keys[0].split("/")) <= 210


def test_listing_items_reads_nothing() -> None:
    """The names of items come from one listing, unless one is too long for a key."""
    memory = MemoryStore()
    DeadLetters(memory, "copy").put("a/b", [bad(1)], run="r")
    memory.get = None  # type: ignore[method-assign,assignment]  # any read would fail
    assert DeadLetters(memory, "copy").items() == {"a/b"}


def test_jobs_with_letters_are_listed() -> None:
    """Markers and plans beside them are no dead letters; jobs do not see each other's."""
    memory = MemoryStore()
    for job in ("copy", "alter"):
        DeadLetters(memory, job).put(job, [bad(1)], run="r")
    memory.put(".lading/jobs/other/runs/dead/x.jsonl", Body.of_bytes(b""))
    assert list_jobs(memory) == ["alter", "copy"]
    assert DeadLetters(memory, "copy").items() == {"copy"}


@pytest.mark.parametrize("beginning", ["", "abc", "xyzw", "ABCD", "0" * 17])
def test_ids_begin_with_four_digits(beginning: str) -> None:
    """What is no beginning of an id is refused."""
    with pytest.raises(UsageError, match="expected 4 to 16"):
        DeadLetters(MemoryStore(), "copy").find(beginning)


def test_ids_that_name_none_or_several_are_refused() -> None:
    """The fault names those that there are."""
    letters = DeadLetters(MemoryStore(), "copy")
    letters.put("k", (bad(each) for each in range(3_000)), run="r")
    beginnings: dict[str, list[str]] = {}
    for each in letters.letters():
        beginnings.setdefault(each.id[:4], []).append(each.id)
    twice = next(each for each, ids in beginnings.items() if len(ids) > 1)
    missing = next(f"{each:04x}" for each in range(65_536) if f"{each:04x}" not in beginnings)
    with pytest.raises(UsageError, match=beginnings[twice][0]):
        letters.find(twice)
    with pytest.raises(UsageError, match="found none"):
        letters.find(missing)


def test_what_is_no_letter_is_named() -> None:
    """A spoiled object is told of with its line; the item can be put and resolved all the same."""
    memory = MemoryStore()
    letters = DeadLetters(memory, "copy")
    letters.put("k", [bad(1)], run="r")
    key = letters_key("copy", "k")
    memory.put(key, Body.of_bytes(memory.get(key) + b'{"id": 3}\n'))
    with pytest.raises(StoreError, match=r"k\.jsonl: line 2: expected the fields"):
        list(letters.letters())
    assert letters.put("k", [bad(1)], run="r2") == 1
    assert next(letters.letters()).attempt == 2


class Racing(MemoryStore):
    """Lets another writer in just before a conditional write, as often as is asked."""

    races = 0

    def put(self, key: str, body: Body, *, condition: Condition = ALWAYS, **more: Any) -> Entry:
        """Write, unless somebody else was quicker."""
        if self.races and condition != ALWAYS:
            self.races -= 1
            super().put(key, Body.of_bytes(f"{self.races}\n".encode()))
        return super().put(key, body, condition=condition, **more)


def test_a_lost_race_is_run_again() -> None:
    """Another writer between look and write is seen at the next look; not without end."""
    racing = Racing()
    letters = DeadLetters(racing, "copy")
    racing.races = 3
    assert letters.put("k", [bad(1)], run="r") == 1
    assert [each.row for each in letters.letters()] == [1]
    racing.races = 1_000
    with pytest.raises(TemporaryError, match="others keep changing it"):
        letters.put("k", [bad(2)], run="r")


@pytest.mark.parametrize("kind", ["memory", "local"])
def test_threads_put_what_they_found(kind: str, tmp_path: Path) -> None:
    """Two put items of their own and one in common: all are whole, that one by one of both."""
    place: Store = MemoryStore() if kind == "memory" else LocalStore(tmp_path)
    barrier = threading.Barrier(2, timeout=30)

    def work(run: str) -> None:
        letters = DeadLetters(place, "copy")
        barrier.wait()
        for number in range(10):
            letters.put(f"{run}-{number}", [bad(1)], run=run)
            letters.put("common", [bad(row, payload=run) for row in (1, 2, 3)], run=run)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, ["r1", "r2"]))
    letters = DeadLetters(place, "copy")
    assert letters.items() == {"common", *(f"{r}-{n}" for r in ("r1", "r2") for n in range(10))}
    common = list(letters.letters("common"))
    assert [each.row for each in common] == [1, 2, 3]
    assert len({each.run for each in common}) == 1


def test_threads_that_retry_one_failure_count_every_time(tmp_path: Path) -> None:
    """No attempt is lost where runs put the same failure at once."""
    letters = DeadLetters(LocalStore(tmp_path), "copy")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda run: letters.put("k", [bad(1)], run=f"r{run}"), range(12)))
    assert next(letters.letters()).attempt == 12


def rows_file(path: Path, rows: list[int]) -> Path:
    """Write a file of bad rows."""
    lines = (
        json.dumps({"row": row, "message": f"bad {row}", "payload": f"{row},ä,\u2028x"})
        for row in rows
    )
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read and spill after a thousand bytes, so that pieces end within lines."""
    monkeypatch.setattr(letter_objects, "PIECE_BYTES", 1_000)
    monkeypatch.setattr(letter_objects, "_SPILL_BYTES", 1_000)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("shuffled", [False, True])
def test_files_of_bad_rows_are_put_by_row(tmp_path: Path, *, shuffled: bool) -> None:
    """Each line is a letter, sorted by row; those of before are continued."""
    rows = list(range(1, 201))
    if shuffled:
        random.Random(7).shuffle(rows)
    letters = DeadLetters(LocalStore(tmp_path / "store"), "transform", now=Clock())
    first = rows_file(tmp_path / "first", rows[::2])
    again = rows_file(tmp_path / "again", rows)

    assert letters.put_file("k.csv", first, run="r1", reference="s3://b/k.csv") == 100
    assert letters.put_file("k.csv", again, run="r2", arguments=["-x"]) == 200

    found = list(letters.letters("k.csv"))
    assert [each.row for each in found] == sorted(rows)
    assert {each.row for each in found if each.attempt == 2} == set(rows[::2])
    assert all((each.first_seen == NOON) == (each.attempt == 2) for each in found)
    assert found[0].payload == "1,ä,\u2028x"
    assert {each.error_class for each in found} == {"RowError"}
    version = LocalStore(tmp_path / "store").list()
    assert letters.put_file("k.csv", again, run="r2", arguments=["-x"]) == 200
    assert LocalStore(tmp_path / "store").list() == version


@pytest.mark.parametrize("line", ["{", "[]", '{"row": "1"}', '{"row": 1, "message": 2}'])
def test_a_file_of_something_else_puts_nothing(tmp_path: Path, line: str) -> None:
    """A line that is no bad row is named; nothing is written."""
    memory = MemoryStore()
    path = rows_file(tmp_path / "bad.jsonl", [1, 2])
    path.write_text(path.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"bad\.jsonl: line 3"):
        DeadLetters(memory, "transform").put_file("k", path, run="r")
    assert memory.list() == []


def test_an_empty_file_resolves(tmp_path: Path) -> None:
    """A file without bad rows means that the item is good."""
    letters = DeadLetters(MemoryStore(), "transform")
    letters.put("k", [bad(1)], run="r")
    assert letters.put_file("k", rows_file(tmp_path / "none", []), run="r") == 0
    assert letters.items() == frozenset()


@pytest.mark.slow
def test_very_many_rows_need_little_memory(tmp_path: Path) -> None:
    """A file of 300,000 bad rows is put twice, in any order, within 60 MB more than before."""
    import resource  # noqa: PLC0415  here alone

    rows = [(each * 7919) % 300_000 + 1 for each in range(300_000)]
    path = rows_file(tmp_path / "rows", rows)
    letters = DeadLetters(LocalStore(tmp_path / "store"), "transform")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for run in ("r1", "r2"):
        assert letters.put_file("k", path, run=run) == 300_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60 * 1024


MOMENTS = st.datetimes(
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5))]),
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001  hypothesis adds the zone
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001  as above
)
LETTERS = st.builds(
    DeadLetter,
    id=st.from_regex(r"[0-9a-f]{16}", fullmatch=True),
    job=st.text(),
    run=st.text(),
    item=st.text(),
    row=st.none() | st.integers(1, 10**12),
    attempt=st.integers(1, 99),
    error_class=st.text(),
    message=st.text(),
    trace=st.text(),
    first_seen=MOMENTS,
    last_seen=MOMENTS,
    payload=st.none() | st.text(),
    reference=st.text(),
    arguments=st.lists(st.text()).map(tuple),
)


@settings(max_examples=100)
@given(LETTERS)
def test_letters_are_read_as_they_were_written(letter: DeadLetter) -> None:
    """A letter is one line, and comes back equal."""
    line = render_letter(letter)
    assert line.count(b"\n") == 1
    assert parse_letter(line.decode()) == letter
    assert json.loads(line) == letter_table(letter)


SAMPLE = DeadLetter(
    id="0" * 16,
    job="j",
    run="r",
    item="i",
    row=1,
    attempt=1,
    error_class="E",
    message="m",
    trace="",
    first_seen=NOON,
    last_seen=NOON,
    payload=None,
    reference="",
    arguments=(),
)


@pytest.mark.parametrize(
    "change",
    [
        {"row": "1"},
        {"row": True},
        {"attempt": None},
        {"first_seen": "yesterday"},
        {"first_seen": "2025-02-05T12:00:00"},
        {"arguments": "-x"},
        {"arguments": [1]},
        {"more": 1},
    ],
)
def test_what_is_no_letter_is_not_read(change: dict[str, Any]) -> None:
    """Wrong types, times without a zone and fields that nobody knows are refused."""
    assert parse_letter(json.dumps(letter_table(SAMPLE))) == SAMPLE
    with pytest.raises(ValueError, match=r"expected|Invalid"):
        parse_letter(json.dumps({**letter_table(SAMPLE), **change}))


@pytest.mark.parametrize("text", ["", "3", "{}", "[]", "null"])
def test_what_is_no_object_is_not_read(text: str) -> None:
    """Neither a letter nor a bad row is anything but a JSON object with its fields."""
    with pytest.raises(ValueError, match=r"expected|Expecting"):
        parse_letter(text)
    with pytest.raises(ValueError, match=r"expected|Expecting"):
        parse_failure(text, "E", "")


def test_ids_tell_failures_apart() -> None:
    """Another job, item, row or payload is another failure; another message or run is not."""
    memory = MemoryStore()
    ids = set()
    for job, item, failure in [
        ("a", "k", bad(1)),
        ("b", "k", bad(1)),
        ("a", "l", bad(1)),
        ("a", "k", bad(2)),
        ("a", "k", bad(None)),
        ("a", "k", bad(1, payload="")),
    ]:
        letters = DeadLetters(memory, job)
        letters.put(item, [failure], run="r")
        ids.add(next(letters.letters(item)).id)
        letters.put(item, [replace(failure, message="other")], run="r2")
        assert next(letters.letters(item)).id in ids
    assert len(ids) == 6
