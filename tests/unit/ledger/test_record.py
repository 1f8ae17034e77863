"""What a run writes, on SQLite and on PostgreSQL."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from lading.errors import LedgerError
from lading.ledger import read, record, tables
from lading.ledger.ledger import Ledger
from lading.ledger.model import Progress, Run, RunState, Target, VersionRow
from tests.unit.ledger.made_rows import (
    AT,
    SHA,
    after,
    begin,
    file_of,
    name_of,
    publish,
    receipt_of,
    start_of,
    step_of,
)


def load(ledger: Ledger, run_id: str) -> Run:
    """Return a run that must be there."""
    run = read.load_run(ledger, run_id)
    assert run is not None
    return run


def events_of(ledger: Ledger, run_id: str) -> list[tuple[Any, ...]]:
    """Return the events of a run: kind, task, percent, note."""
    table = tables.events
    query = select(table.c.kind, table.c.task, table.c.percent, table.c.note)
    with ledger.reading() as connection:
        found = connection.execute(query.where(table.c.run_id == run_id).order_by(table.c.id))
        return [tuple(row) for row in found]


def make_job(ledger: Ledger, number: int = 1, *, attempt: int = 1) -> str:
    """Add a job as a worker has claimed it; return its name."""
    with ledger.writing() as connection:
        project = insert(tables.projects).values(slug="energy", created_at=AT)
        connection.execute(project)
        row = {
            "id": name_of(number),
            "project_id": select(tables.projects.c.id).scalar_subquery(),
            "kind": "publish",
            "environment": "staging",
            "state": "running",
            "is_job": True,
            "claim": "elsewhere/9/9",
            "requested_by": "robot",
            "created_at": AT,
            "attempt": attempt,
            "percent": 40.0,
        }
        connection.execute(insert(tables.runs).values(row))
    return name_of(number)


def test_run_that_begins_is_read_back_with_all_that_was_said(ledger: Ledger) -> None:
    """A run that begins is running, in its first attempt, with its facts and its matrix."""
    assert record.begin_run(ledger, start_of()) == 1
    run = load(ledger, name_of(1))
    start = start_of()
    same = (
        "kind project title channel tag environment is_release command tool_version commit"
        " config_sha256 ci_url owner started_at targets"
    )
    assert {name: getattr(run, name) for name in same.split()} == {
        name: getattr(start, name) for name in same.split()
    }
    assert (run.state, run.attempt, run.created_at) == ("running", 1, start.started_at)
    assert events_of(ledger, run.run_id) == [("run_started", "", 0.0, "")]


def test_begin_may_be_repeated(ledger: Ledger) -> None:
    """A begin that is written twice is one run, one event, one row of the matrix each."""
    assert [record.begin_run(ledger, start_of()) for _ in range(2)] == [1, 1]
    assert read.list_runs(ledger).total == 1
    assert len(load(ledger, name_of(1)).targets) == 2
    assert len(events_of(ledger, name_of(1))) == 1


def test_begin_adopts_a_job_and_leaves_what_was_asked_for(ledger: Ledger) -> None:
    """A job's row keeps its state, claim and request, and gets the facts; progress is new."""
    run_id = make_job(ledger, attempt=3)
    assert record.begin_run(ledger, start_of(kind="publish", environment="staging")) == 3
    run = load(ledger, run_id)
    assert (run.state, run.requested_by, run.created_at) == ("running", "robot", AT)
    assert (run.tag, run.commit, run.started_at) == ("nightly-2025-02-05", "c0ffee", after(1))
    assert run.progress == Progress()
    with ledger.reading() as connection:
        claim = connection.execute(select(tables.runs.c.claim, tables.runs.c.is_job)).one()
    assert tuple(claim) == ("elsewhere/9/9", True)


def test_matrix_of_a_new_attempt_replaces_that_of_the_last(ledger: Ledger) -> None:
    """Targets that the new attempt no longer has are gone; what was proved stays known."""
    run_id = begin(ledger)
    proved = Target(
        task="upload:gcs-nightly", kind="upload", destination="gcs", state="done", verified_at=AT
    )
    record.write_targets(ledger, run_id, [proved])
    only = replace(proved, state="not reached", verified_at=None)
    record.begin_run(ledger, start_of(targets=(only,)))
    (found,) = load(ledger, run_id).targets
    assert (found.state, found.verified_at) == ("not reached", AT)


def test_step_is_one_row_with_an_event_at_each_new_state(ledger: Ledger) -> None:
    """A step keeps its begin, its position and its highest percent; its events tell its states."""
    run_id = begin(ledger)
    running = step_of(percent=60)
    for step in (running, running, step_of(percent=20, started_at=None, detail="slower")):
        record.write_step(ledger, run_id, 1, 0, step, after(2))
    done = step_of(percent=100, state="done", detail="3 files", started_at=None, ended_at=after(3))
    for _ in range(2):
        record.write_step(ledger, run_id, 1, 0, done, after(3))
    run = load(ledger, run_id)
    assert run.steps == (replace(done, started_at=AT),)
    assert run.heartbeat_at == after(3)
    assert events_of(ledger, run_id)[1:] == [
        ("step_started", "upload:gcs-nightly", 60.0, "running"),
        ("step_ended", "upload:gcs-nightly", 100.0, "done"),
    ]


def test_percent_of_a_step_that_runs_never_goes_back(ledger: Ledger) -> None:
    """A step that is written again with less keeps the percent that was seen."""
    run_id = begin(ledger)
    for percent in (60, 20):
        record.write_step(ledger, run_id, 1, 0, step_of(percent=percent), after(2))
    assert load(ledger, run_id).steps[0].progress.percent == 60


def test_progress_is_written_with_events_and_never_goes_back(ledger: Ledger) -> None:
    """A run and its running steps move forward only; steps that have ended stay as they are."""
    run_id = begin(ledger)
    ended = step_of("check", 100, state="done")
    record.write_step(ledger, run_id, 1, 0, ended, after(1))
    record.write_step(ledger, run_id, 1, 1, step_of(), after(1))
    for seconds, percent in ((2, 50.0), (3, 30.0)):
        whole = Progress(percent=percent, done_bytes=5, rate_bytes_s=2.5, left_s=7.5)
        steps = [step_of(percent=percent), step_of("check", 1)]
        record.write_progress(ledger, run_id, 1, whole, steps, after(seconds))
    run = load(ledger, run_id)
    assert run.progress == Progress(percent=50, done_bytes=5, rate_bytes_s=2.5, left_s=7.5)
    assert [each.progress.percent for each in run.steps] == [100, 50]
    assert (run.steps[0].state, run.steps[0].progress) == ("done", ended.progress)
    assert run.heartbeat_at == after(3)
    told = [each for each in events_of(ledger, run_id) if each[0] == "progress"]
    assert [each[1] for each in told] == ["", "upload:gcs-nightly", "check"] * 2


def test_heartbeat_never_goes_back(ledger: Ledger) -> None:
    """Of two that tell, the later moment counts."""
    run_id = begin(ledger)
    for seconds in (9, 4):
        record.write_step(ledger, run_id, 1, 0, step_of(), after(seconds))
    assert load(ledger, run_id).heartbeat_at == after(9)


def test_targets_are_written_by_task_in_their_order(ledger: Ledger) -> None:
    """A row that is given again is changed in its place; a new one stands behind the others."""
    run_id = begin(ledger)
    proved = Target(task="upload:gcs-nightly", kind="upload", state="done", verified_at=AT)
    new = Target(task="zenodo", kind="zenodo", note="skipped: staging")
    record.write_targets(ledger, run_id, [new, proved])
    record.write_targets(ledger, run_id, [replace(proved, state="unchanged", verified_at=None)])
    record.write_targets(ledger, run_id, [])
    targets = load(ledger, run_id).targets
    assert [each.task for each in targets] == [
        "upload:gcs-nightly",
        "promote:gcs-nightly",
        "zenodo",
    ]
    assert targets[0] == replace(proved, state="unchanged")
    assert targets[2] == new


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a\0b", "a\ufffdb"),
        ("x\udcffy", "x\ufffdy"),
        ("äöü 🚢", "äöü 🚢"),
        ("'; DROP TABLE runs", ...),
    ],
    ids=["nul", "half a character", "wide", "sql"],
)
def test_any_text_can_be_written(ledger: Ledger, text: str, written: Any) -> None:
    """What a database refuses in a text is replaced, and the rest is as it was."""
    written = text if written is ... else written
    run_id = begin(ledger, title=text)
    record.write_logs(ledger, run_id, [(AT, 20, text, text)])
    record.write_receipts(ledger, run_id, [receipt_of(facts={text: text})])
    (line,) = read.load_logs(ledger, run_id)
    run = load(ledger, run_id)
    assert (line.task, line.text, run.title) == (written, written, written)
    assert run.receipts[0].facts == {written: written}


def test_numbers_that_json_has_not_become_nothing(ledger: Ledger) -> None:
    """A NaN in a document does not make the database refuse it."""
    run_id = begin(ledger)
    facts: Any = {"rate": float("nan"), "all": [float("inf"), 1.5]}
    record.write_receipts(ledger, run_id, [receipt_of(facts=facts)])
    found: Any = load(ledger, run_id).receipts[0].facts
    assert found == {"rate": None, "all": [None, 1.5]}


def test_receipts_are_written_by_task(ledger: Ledger) -> None:
    """A receipt that is written again replaces the one of its task."""
    run_id = begin(ledger)
    for objects in (1, 3):
        record.write_receipts(ledger, run_id, [receipt_of(objects=objects), receipt_of("zenodo")])
    assert list(load(ledger, run_id).receipts) == [receipt_of(), receipt_of("zenodo")]


def test_manifest_is_written_once_for_equal_releases(ledger: Ledger) -> None:
    """Two runs that ship the same bytes share the rows of their files."""
    for number in (1, 2):
        run_id = begin(ledger, number)
        files = [file_of("b.zip"), file_of("a.zip", url=f"https://example.org/{number}")]
        record.write_manifest(ledger, run_id, SHA, files, doi="10.1/1" if number == 2 else "")
    assert [each.key for each in read.load_artifacts(ledger, SHA)] == ["b.zip", "a.zip"]
    assert [load(ledger, name_of(number)).doi for number in (1, 2)] == ["", "10.1/1"]
    assert {load(ledger, name_of(number)).manifest_sha256 for number in (1, 2)} == {SHA}
    with ledger.reading() as connection:
        row = connection.execute(select(tables.manifests)).one()
    assert (row.files, row.size_bytes, row.channel) == (2, 2000, "nightly")


def test_version_changes_when_its_state_does(ledger: Ledger) -> None:
    """``changed_at`` stays while the state stays, whatever else is told of the version."""
    draft = VersionRow(project="maps", version="7", state="draft", detail="no tiles", changed_at=AT)
    record.write_version(ledger, draft)
    record.write_version(ledger, replace(draft, detail="no files", changed_at=after(5)))
    assert read.list_versions(ledger, "maps") == [replace(draft, detail="no files")]
    ready = replace(draft, state="ready", detail="", changed_at=after(6))
    record.write_version(ledger, ready)
    assert read.list_versions(ledger, "maps") == [ready]


def test_release_keeps_the_moment_and_the_run_that_published_it_first(ledger: Ledger) -> None:
    """A release that is written again gets what is new of it, such as a DOI, and stays itself."""
    first = publish(ledger, 1)
    run_id = begin(ledger, 2)
    again = replace(first, published_at=after(99), run_id=run_id, doi="10.1/1")
    record.write_release(ledger, again)
    assert read.list_releases(ledger) == [replace(first, doi="10.1/1")]


def test_older_release_that_is_published_again_stands_again(ledger: Ledger) -> None:
    """What was published last stands, even where it was published before another."""
    first, second = publish(ledger, 1), publish(ledger, 2)
    assert read.standing_releases(ledger) == [second]
    record.write_release(ledger, replace(first, published_at=after(50)))
    assert read.standing_releases(ledger) == [first]
    record.write_release(ledger, replace(first, published_at=after(60)))
    record.write_release(ledger, replace(second, published_at=after(55)))
    assert read.standing_releases(ledger) == [second]


@pytest.mark.parametrize(("state", "percent"), [("completed", 100), ("failed", 30)])
def test_run_ends_once(ledger: Ledger, state: RunState, percent: float) -> None:
    """The first end counts; a run that ended well is whole."""
    run_id = begin(ledger)
    whole = Progress(percent=30, rate_bytes_s=5, left_s=3)
    record.write_progress(ledger, run_id, 1, whole, [], after(2))
    ends = ((state, 1, "check", "why", after(3)), ("cancelled", 9, "x", "y", after(4)))
    for ended, code, failed_at, error, at in ends:
        record.end_run(
            ledger, run_id, state=ended, exit_code=code, failed_at=failed_at, error=error, at=at
        )
    run = load(ledger, run_id)
    assert (run.state, run.exit_code, run.failed_at, run.error) == (state, 1, "check", "why")
    assert (run.ended_at, run.progress) == (after(3), Progress(percent=percent))
    assert [each for each in events_of(ledger, run_id) if each[0] == "run_ended"] == [
        ("run_ended", "", 0.0, state)
    ]


def test_end_of_a_job_is_the_workers_to_write(ledger: Ledger) -> None:
    """A job's process says what failed and why; the job goes on running in the ledger."""
    run_id = make_job(ledger)
    record.begin_run(ledger, start_of())
    record.end_run(
        ledger, run_id, state="failed", exit_code=1, failed_at="check", error="why", at=after(3)
    )
    run = load(ledger, run_id)
    assert (run.state, run.exit_code, run.ended_at) == ("running", None, None)
    assert (run.failed_at, run.error) == ("check", "why")


def test_unknown_run_is_refused_in_one_line(ledger: Ledger) -> None:
    """Rows of a run that is not there are refused, whoever writes them."""
    acts: list[Any] = [
        lambda: record.write_step(ledger, "none", 1, 0, step_of(), AT),
        lambda: record.write_logs(ledger, "none", [(AT, 20, "", "line")]),
        lambda: record.write_receipts(ledger, "none", [receipt_of()]),
        lambda: record.write_targets(ledger, "none", [Target(task="a", kind="upload")]),
        lambda: record.write_progress(ledger, "none", 1, Progress(), [], AT),
        lambda: record.write_manifest(ledger, "none", SHA, []),
        lambda: record.end_run(
            ledger, "none", state="failed", exit_code=1, failed_at="", error="", at=AT
        ),
    ]
    for act in acts:
        with pytest.raises(LedgerError, match=r"^ledger \S+: expected [^\n]+$"):
            act()
    assert read.list_runs(ledger).total == 0


def test_write_that_fails_leaves_nothing(ledger: Ledger) -> None:
    """A write is done as a whole or not at all."""
    run_id = begin(ledger)
    with pytest.raises(LedgerError):
        record.write_receipts(ledger, run_id, [receipt_of(), receipt_of("b", proved_at=None)])
    assert load(ledger, run_id).receipts == ()


def test_one_publish_at_a_time_is_held_by_the_database(ledger: Ledger) -> None:
    """A second running job of a project and environment is refused, a queued one is not."""
    make_job(ledger)
    row = {
        "id": name_of(2),
        "project_id": select(tables.projects.c.id).scalar_subquery(),
        "kind": "publish",
        "environment": "staging",
        "state": "queued",
        "is_job": True,
        "created_at": AT,
    }
    with ledger.writing() as connection:
        connection.execute(insert(tables.runs).values(row))
    with pytest.raises(LedgerError), ledger.writing() as connection:
        connection.execute(update(tables.runs).values(state="running"))
