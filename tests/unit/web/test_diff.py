"""What changed between two releases: each file is told of once, losses first."""

from hypothesis import given
from hypothesis import strategies as st

from lading.ledger.model import ArtifactRow
from lading.web.diff import Change, compare_files, compare_tables
from tests.unit.web.filled import files_of_night, make_file

FILES = st.dictionaries(
    st.sampled_from("abcdefgh"),
    st.tuples(st.integers(0, 10**12), st.sampled_from("123"), st.booleans()),
    max_size=8,
)


def made(table: dict[str, tuple[int, str, bool]]) -> list[ArtifactRow]:
    """Make files of their sizes, bytes and whether they have a table."""
    return [make_file(k, n, b, {"t": n} if has else None) for k, (n, b, has) in table.items()]


@given(FILES, FILES)
def test_each_file_is_told_of_once(
    old: dict[str, tuple[int, str, bool]], new: dict[str, tuple[int, str, bool]]
) -> None:
    """Added, removed, changed and unchanged part the files of both releases."""
    changes = compare_files(made(old), made(new))
    told = [each.size.name for each in (*changes.added, *changes.removed, *changes.changed)]
    assert len(told) == len(set(told))
    assert len(told) + changes.unchanged == len({*old, *new})
    assert {each.size.name for each in changes.added} == new.keys() - old.keys()
    assert {each.size.name for each in changes.removed} == old.keys() - new.keys()


def test_what_shrank_comes_first_and_is_marked() -> None:
    """A table that lost a third of its rows stands before one that grew."""
    changes = compare_files(files_of_night(28), files_of_night(29))
    assert [each.size.name for each in changes.changed] == [
        "weather.sqlite.zip",
        "iowa_energy.sqlite.zip",
        "notes.json",
    ]
    assert [each.is_shrunken for each in changes.changed] == [True, False, False]
    assert changes.changed[0].tables == (Change("hourly", 70_000, 45_210),)
    assert changes.unchanged == 2
    assert changes.rows.is_shrunken


def test_a_table_that_is_gone_is_marked() -> None:
    """A file that grew and lost a table is told of as a loss."""
    before = [make_file("db.zip", 10, "1", {"plants": 3, "fuel": 4})]
    after = [make_file("db.zip", 20, "2", {"fuel": 4})]
    changed = compare_files(before, after).changed[0]
    assert changed.is_shrunken
    assert changed.tables == (Change("plants", 3, None),)
    assert changed.same_tables == 1


def test_equal_releases_have_no_changes() -> None:
    """The same files give nothing, and say how many they are."""
    changes = compare_files(files_of_night(3), files_of_night(3))
    assert changes.is_empty
    assert changes.unchanged == 4


def test_tables_are_compared_by_name() -> None:
    """New ones have no before, gone ones no after."""
    assert compare_tables({"a": 1, "b": 2}, {"b": 2, "c": 3}) == (
        Change("a", 1, None),
        Change("c", None, 3),
    )


def test_little_loss_is_no_mark() -> None:
    """Four per cent less is how data lives; five is asked about; nothing before is no loss."""
    assert not Change("t", 100, 96).is_shrunken
    assert Change("t", 100, 95).is_shrunken
    assert not Change("t", 0, 0).is_shrunken
