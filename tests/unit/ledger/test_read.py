"""What is asked of a ledger, on SQLite and on PostgreSQL."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, update

from lading.errors import LedgerError
from lading.ledger import read, record, tables
from lading.ledger.ledger import Ledger
from lading.ledger.model import Progress, VersionRow
from lading.ledger.read import RunFilter
from lading.storage.owner import name_process
from tests.unit.ledger.made_rows import (
    AT,
    SHA,
    after,
    begin,
    file_of,
    name_of,
    publish,
    receipt_of,
    step_of,
)


def end(ledger: Ledger, run_id: str, state: str = "completed") -> None:
    """End a run."""
    record.end_run(ledger, run_id, state=state, exit_code=0, failed_at="", error="", at=after(100))


def change(ledger: Ledger, run_id: str, **values: Any) -> None:
    """Change a run's row, as nobody does but a test."""
    with ledger.writing() as connection:
        connection.execute(update(tables.runs).where(tables.runs.c.id == run_id).values(values))


def names(runs: Sequence[Any]) -> list[str]:
    """Return the names of runs."""
    return [each.run_id for each in runs]


def test_empty_ledger_answers_with_nothing(ledger: Ledger) -> None:
    """What is asked of a ledger without rows has an answer."""
    assert read.list_runs(ledger) == read.Page((), 0)
    assert read.load_run(ledger, "x") is None
    assert read.load_logs(ledger, "x") == []
    assert read.load_artifacts(ledger, SHA) == []
    assert read.list_projects(ledger) == []
    assert read.list_versions(ledger, "x") == []
    assert read.list_releases(ledger) == []
    assert read.standing_releases(ledger) == []
    assert read.load_release(ledger, SHA, "production") is None
    assert read.load_history(ledger, "x", "y", "z") == []
    with pytest.raises(LedgerError, match="expected a run, found none of that kind"):
        read.find_run(ledger, "")


def test_runs_are_listed_newest_first_a_page_at_a_time(ledger: Ledger) -> None:
    """Pages follow each other without gaps; the total counts all of them."""
    made = [begin(ledger, number) for number in (1, 2, 3, 4, 5)]
    pages = [read.list_runs(ledger, limit=2, offset=offset) for offset in (0, 2, 4, 6)]
    assert [names(each.runs) for each in pages] == [made[4:2:-1], made[2:0:-1], made[:1], []]
    assert {each.total for each in pages} == {5}


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (RunFilter(), [4, 3, 2, 1]),
        (RunFilter(project="maps"), [2]),
        (RunFilter(project="none"), []),
        (RunFilter(channel="stable"), [3]),
        (RunFilter(environment="staging"), [3]),
        (RunFilter(tag="v4"), [4]),
        (RunFilter(state="completed"), [4, 1]),
        (RunFilter(kind="check"), [4]),
        (RunFilter(only_releases=True), [3, 2, 1]),
        (RunFilter(only_jobs=True), [2]),
        (RunFilter(project="energy", state="completed", only_releases=True), [1]),
        (RunFilter(project="%"), []),
    ],
    ids=str,
)
def test_runs_are_filtered(ledger: Ledger, wanted: RunFilter, numbers: list[int]) -> None:
    """Each filter keeps what it names, and its total counts just that."""
    begin(ledger, 1)
    begin(ledger, 2, project="maps", title="Maps")
    begin(ledger, 3, channel="stable", environment="staging")
    begin(ledger, 4, tag="v4", kind="check", is_release=False)
    for number in (1, 4):
        end(ledger, name_of(number))
    change(ledger, name_of(2), is_job=True)
    page = read.list_runs(ledger, wanted)
    assert names(page.runs) == [name_of(number) for number in numbers]
    assert page.total == len(numbers)


def test_list_has_no_steps_and_a_run_has_all_of_it(ledger: Ledger) -> None:
    """A run's steps stand in their order; a list is short."""
    run_id = begin(ledger)
    for position, task in ((1, "b"), (0, "z"), (2, "a")):
        record.write_step(ledger, run_id, 1, position, step_of(task), AT)
    record.write_receipts(ledger, run_id, [receipt_of()])
    (listed,) = read.list_runs(ledger).runs
    assert (listed.steps, listed.targets, listed.receipts) == ((), (), ())
    run = read.load_run(ledger, run_id)
    assert run is not None
    assert [each.task for each in run.steps] == ["z", "b", "a"]
    assert (len(run.targets), len(run.receipts)) == (2, 1)
    assert replace(run, steps=(), targets=(), receipts=()) == listed


def test_steps_are_those_of_the_last_attempt(ledger: Ledger) -> None:
    """A job that was taken up again shows what the new attempt did, and nothing older."""
    run_id = begin(ledger)
    record.write_step(ledger, run_id, 1, 0, step_of("check", state="failed"), AT)
    change(ledger, run_id, attempt=2)
    run = read.load_run(ledger, run_id)
    assert run is not None
    assert run.steps == ()
    record.write_step(ledger, run_id, 2, 0, step_of("fetch"), AT)
    run = read.load_run(ledger, run_id)
    assert run is not None
    assert [each.task for each in run.steps] == ["fetch"]


_NOW = timedelta(0)
_QUIET = timedelta(seconds=read.QUIET_S + 5)
_GONE = name_process().rpartition("/")[0] + "/1"  # another start: this number was given again


@pytest.mark.parametrize(
    ("process", "silence", "state", "is_aborted"),
    [
        ("here", _QUIET, "running", False),
        ("gone", _NOW, "running", True),
        ("gone", _NOW, "completed", False),
        ("gone", _NOW, "queued", False),
        ("elsewhere/1/2", _NOW, "running", False),
        ("elsewhere/1/2", _QUIET, "running", True),
        ("", _NOW, "running", False),
        ("", _QUIET, "running", True),
        ("", _QUIET, "failed", False),
    ],
)
def test_run_whose_process_is_gone_is_shown_as_aborted(
    sqlite_ledger: Ledger,
    process: str,
    silence: timedelta,
    state: str,
    is_aborted: bool,  # noqa: FBT001
) -> None:
    """A process that is seen at work may be silent; one that is not seen has a minute."""
    run_id = begin(sqlite_ledger)
    named = {"here": name_process(), "gone": _GONE}.get(process, process)
    heard = datetime.now(UTC) - silence
    change(sqlite_ledger, run_id, process=named, heartbeat_at=heard, state=state)
    run = read.load_run(sqlite_ledger, run_id)
    assert run is not None
    assert run.is_aborted == is_aborted
    assert read.list_runs(sqlite_ledger).runs[0].is_aborted == is_aborted


def test_job_is_aborted_when_its_worker_is_gone(sqlite_ledger: Ledger) -> None:
    """A job whose child has ended waits for its worker to say so; without one it is aborted."""
    run_id = begin(sqlite_ledger)
    values = {"is_job": True, "heartbeat_at": datetime.now(UTC)}
    for process, claim, is_aborted in (
        (_GONE, name_process(), False),
        (name_process(), _GONE, True),
    ):
        change(sqlite_ledger, run_id, process=process, claim=claim, **values)
        assert read.list_runs(sqlite_ledger).runs[0].is_aborted == is_aborted


def test_run_is_found_by_the_beginning_of_its_name(ledger: Ledger) -> None:
    """A whole name, a beginning that only one run has, or nothing for the newest."""
    first, second = begin(ledger, 1), begin(ledger, 2, project="maps")
    assert read.find_run(ledger, "").run_id == second
    assert read.find_run(ledger, "", RunFilter(project="energy")).run_id == first
    assert read.find_run(ledger, first).run_id == first
    assert read.find_run(ledger, first[:15]).run_id == first


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("2025", "expected one run whose name begins with '2025', found {1}, {0}"),
        ("2026", "found none whose name begins with '2026'; the newest are {1}, {0}"),
        ("%", "found none whose name begins with '%'"),
        ("_", "found none whose name begins with '_'"),
    ],
)
def test_run_that_is_not_one_names_the_nearest(ledger: Ledger, name: str, said: str) -> None:
    """A person who mistypes sees the names that there are."""
    made = [begin(ledger, number) for number in (1, 2)]
    with pytest.raises(LedgerError) as caught:
        read.find_run(ledger, name)
    assert said.format(*made) in str(caught.value)


def test_name_that_begins_other_names_is_found_itself(ledger: Ledger) -> None:
    """A whole name is that run, though another one's name begins with it."""
    begin(ledger, 1, run_id="abc")
    begin(ledger, 2, run_id="abcd")
    assert read.find_run(ledger, "abc").run_id == "abc"


@pytest.mark.parametrize(
    ("asked", "texts"),
    [
        ({}, "abcdef"),
        ({"limit": 2}, "ab"),
        ({"limit": 2, "last": True}, "ef"),
        ({"task": "fetch"}, "ace"),
        ({"task": "fetch", "limit": 2, "last": True}, "ce"),
        ({"level": logging.WARNING}, "bdf"),
        ({"level": logging.WARNING, "task": "fetch"}, ""),
        ({"after": 3}, "def"),
        ({"after": 3, "limit": 2}, "de"),
        ({"after": 3, "limit": 2, "last": True}, "ef"),
        ({"after": 6}, ""),
    ],
    ids=str,
)
def test_log_lines_are_asked_for(ledger: Ledger, asked: dict[str, Any], texts: str) -> None:
    """Lines stand in their order: of a task, of a level, after a number, the first or last."""
    run_id, other = begin(ledger, 1), begin(ledger, 2)
    lines = [(after(i), (20, 30)[i % 2], ("fetch", "check")[i % 2], "abcdef"[i]) for i in range(6)]
    record.write_logs(ledger, run_id, lines)
    record.write_logs(ledger, other, lines)
    first = read.load_logs(ledger, run_id)[0].number
    if "after" in asked:
        asked = {**asked, "after": first + asked["after"] - 1}
    found = read.load_logs(ledger, run_id, **asked)
    assert "".join(each.text for each in found) == texts
    assert [(each.at, each.level, each.task) for each in found] == [
        lines["abcdef".index(text)][:3] for text in texts
    ]


def test_projects_are_listed_with_their_runs(ledger: Ledger) -> None:
    """A project without a run is one too; a title that changes is the new one."""
    begin(ledger, 1)
    begin(ledger, 2, title="Energy, renamed")
    begin(ledger, 3, title="")
    record.write_version(ledger, VersionRow(project="maps", version="1", state="draft"))
    assert [asdict(each) for each in read.list_projects(ledger)] == [
        {"slug": "energy", "title": "Energy, renamed", "runs": 3},
        {"slug": "maps", "title": "", "runs": 0},
    ]


def test_versions_are_listed_newest_change_first(ledger: Ledger) -> None:
    """Versions of another project are left out."""
    for seconds, version in enumerate(("1", "2", "3")):
        row = VersionRow(project="maps", version=version, state="ready", changed_at=after(seconds))
        record.write_version(ledger, row)
    record.write_version(ledger, VersionRow(project="other", version="9", state="draft"))
    record.write_version(
        ledger, VersionRow(project="maps", version="1", state="published", changed_at=after(9))
    )
    assert [each.version for each in read.list_versions(ledger, "maps")] == ["1", "3", "2"]


def test_releases_are_listed_and_one_stands_in_each_place(ledger: Ledger) -> None:
    """Places are project, channel and environment; of each the last one stands."""
    nightly = [publish(ledger, number) for number in (1, 2)]
    stable = publish(ledger, 3, channel="stable")
    staging = publish(ledger, 4, environment="staging")
    maps = publish(ledger, 5, project="maps")
    assert read.list_releases(ledger) == [maps, staging, stable, *reversed(nightly)]
    assert read.list_releases(ledger, limit=2) == [maps, staging]
    assert read.list_releases(ledger, "energy", channel="nightly", environment="production") == [
        *reversed(nightly)
    ]
    assert read.standing_releases(ledger) == [nightly[1], staging, stable, maps]


def test_release_is_loaded_by_its_identity_and_environment(ledger: Ledger) -> None:
    """The same bytes in staging and in production are two releases."""
    here = publish(ledger, 1, SHA)
    there = replace(here, environment="staging", published_at=after(99))
    record.write_release(ledger, there)
    assert read.load_release(ledger, SHA, "production") == here
    assert read.load_release(ledger, SHA, "staging") == there
    assert read.load_release(ledger, SHA, "dev") is None


def test_history_has_the_last_releases_with_their_files(ledger: Ledger) -> None:
    """Oldest first; those that are left out are the older ones."""
    made = [publish(ledger, number) for number in (1, 2, 3)]
    found = read.load_history(ledger, "energy", "nightly", "production", limit=2)
    assert [each for each, _ in found] == made[1:]
    assert [files for _, files in found] == [[file_of(rows={"plants": n})] for n in (2, 3)]


def test_job_shows_what_it_answers(ledger: Ledger) -> None:
    """What a job was asked, what it is asked now, and what it answers are read."""
    run_id, other = begin(ledger, 1), begin(ledger, 2)
    result = {"release_url": "https://example.org", "asset_count": 3}
    change(ledger, run_id, cancel_requested_at=AT, result=result, retry_of=other, exit_code=0)
    run = read.load_run(ledger, run_id)
    assert run is not None
    assert (run.is_cancelling, run.result, run.retry_of) == (True, result, other)
    change(ledger, run_id, state="cancelled")
    run = read.load_run(ledger, run_id)
    assert run is not None
    assert not run.is_cancelling


def test_reader_sees_one_moment(ledger_url: str, ledger: Ledger) -> None:
    """What is written between two questions of one reading is not seen in it."""
    run_id = begin(ledger)
    steps: list[str] = []

    def write_between(*told: Any) -> None:
        if "FROM steps" in told[2] and not steps:
            steps.append(told[2])
            record.write_step(ledger, run_id, 1, 0, step_of(), AT)

    event.listen(ledger.engine, "before_cursor_execute", write_between)
    run = read.load_run(ledger, run_id)
    assert run is not None
    assert steps, ledger_url
    assert run.steps == ()


def test_readers_do_not_wait_for_a_writer(ledger: Ledger) -> None:
    """While a transaction writes, others read what was there before it."""
    run_id = begin(ledger)
    with ledger.writing() as connection:
        connection.execute(update(tables.runs).values(percent=50))
        run = read.load_run(ledger, run_id)
    assert run is not None
    assert run.progress == Progress()


def test_overview_is_read_through_indexes(sqlite_ledger: Ledger) -> None:
    """No question of the overview, of a run or of its log scans steps, logs or events."""
    asked: list[tuple[str, Any]] = []
    event.listen(
        sqlite_ledger.engine,
        "before_cursor_execute",
        lambda *told: asked.append((told[2], told[3])) if told[2].startswith("SELECT") else None,
    )
    read.list_runs(sqlite_ledger, RunFilter(project="energy"))
    run_id = begin(sqlite_ledger)
    read.load_run(sqlite_ledger, run_id)
    read.load_logs(sqlite_ledger, run_id, task="a", level=30, last=True)
    read.load_history(sqlite_ledger, "energy", "nightly", "production")
    questions = [*asked]
    assert len(questions) > 5
    with sqlite_ledger.reading() as connection:
        for statement, parameters in questions:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            scanned = {row[3].partition(" ")[2].split()[0] for row in plan if "SCAN" in row[3]}
            assert not scanned & {"steps", "logs", "events", "artifacts", "runs"}, statement
