"""The ledger's views: what they answer, how they are described, and how Datasette shows them."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from sqlalchemy import inspect, text, update

from lading.ledger import record, tables
from lading.ledger.datasette import render_metadata
from lading.ledger.ledger import Ledger, open_ledger
from lading.ledger.migrate import VERSION_TABLE
from lading.ledger.model import Step, Target
from lading.ledger.views import TABLES, VIEWS
from tests.unit.ledger.made_rows import (
    after,
    begin,
    file_of,
    name_of,
    publish,
    receipt_of,
    step_of,
)

_UP_S = 60.0


def fill(ledger: Ledger) -> None:
    """Write two releases and a run that failed and one that fell silent."""
    first = publish(ledger, 1)
    record.write_step(ledger, first.run_id, 1, 0, _step("fetch", 0.0, 1.5), after(2))
    moved = replace(step_of().progress, done_bytes=4000, done_files=2)
    upload = replace(_step("upload:gcs-nightly", 1.5, 5.5), progress=moved)
    record.write_step(ledger, first.run_id, 1, 1, upload, after(6))
    record.write_receipts(ledger, first.run_id, [receipt_of()])
    _end(ledger, first.run_id, "completed")
    _end(ledger, publish(ledger, 5).run_id, "completed")
    failed = begin(ledger, 7)
    failure = replace(_step("check", 7.0, 8.0), state="failed", detail="too few rows")
    record.write_step(ledger, failed, 1, 0, failure, after(8))
    record.write_logs(ledger, failed, [(after(8), 40, "check", "too few rows")])
    _end(ledger, failed, "failed")
    silent = datetime.now(UTC) - timedelta(seconds=90)
    begin(ledger, 9, channel="stable", started_at=silent)


def _step(task: str, began: float, ended: float) -> Step:
    return Step(task=task, state="done", started_at=after(began), ended_at=after(ended))


def _end(ledger: Ledger, run_id: str, state: str) -> None:
    record.end_run(
        ledger,
        run_id,
        state=state,
        exit_code=0,
        failed_at="" if state == "completed" else "check",
        error="",
        at=after(61.25),
    )


def rows_of(ledger: Ledger, view: str, columns: str, order: str) -> list[tuple[Any, ...]]:
    """Return what a view answers."""
    query = text(f"SELECT {columns} FROM {view} ORDER BY {order}")
    with ledger.reading() as connection:
        return [tuple(row) for row in connection.execute(query)]


@pytest.mark.parametrize(
    ("view", "columns", "order", "expected"),
    [
        (
            "overview",
            "channel, standing_tag, size_bytes, last_run_id, last_state, last_failed_at, runs",
            "channel",
            [
                ("nightly", "v5", 1000, name_of(7), "failed", "check", 3),
                ("stable", None, None, name_of(9), "running", "", 1),
            ],
        ),
        (
            "current_releases",
            "project, channel, tag, files",
            "tag",
            [("energy", "nightly", "v5", 1)],
        ),
        (
            "run_timings",
            "run_id, waited_s, elapsed_s, steps, slowest_step",
            "run_id",
            [
                (name_of(1), 0, 60.25, 2, "upload:gcs-nightly"),
                (name_of(5), 0, 56.25, 0, None),
                (name_of(7), 0, 54.25, 1, "check"),
                (name_of(9), 0, None, 0, None),
            ],
        ),
        (
            "step_timings",
            "task, elapsed_s, done_bytes, bytes_per_s",
            "run_id, position",
            [("fetch", 1.5, 0, 0), ("upload:gcs-nightly", 4, 4000, 1000), ("check", 1, 0, 0)],
        ),
        ("failed_steps", "task, state, detail", "task", [("check", "failed", "too few rows")]),
        ("stuck_runs", "run_id, channel, silent_s > 89", "run_id", [(name_of(9), "stable", 1)]),
        (
            "target_matrix",
            "task, state",
            "run_id, position LIMIT 2",
            [("upload:gcs-nightly", "not reached"), ("promote:gcs-nightly", "not reached")],
        ),
        ("run_receipts", "task, objects", "task", [("promote:gcs-nightly", 3)]),
        (
            "run_artifacts",
            "tag, key, size_bytes, sha256",
            "tag",
            [("v1", "energy.zip", 1000, "b" * 64), ("v5", "energy.zip", 1000, "b" * 64)],
        ),
        (
            "table_history",
            "tag, file, table_name, rows, change",
            "tag",
            [("v1", "energy.zip", "plants", 1, None), ("v5", "energy.zip", "plants", 5, 4)],
        ),
        ("log_tail", "level, task, text", "number", [("error", "check", "too few rows")]),
    ],
    ids=[each.name for each in VIEWS],
)
def test_view_answers(
    ledger: Ledger, view: str, columns: str, order: str, expected: list[tuple[Any, ...]]
) -> None:
    """A view answers the same, in figures, on both databases."""
    fill(ledger)
    found = rows_of(ledger, view, columns, order)
    assert found == expected  # a Decimal of PostgreSQL is equal to its figure


def test_all_that_can_be_looked_at_is_described(ledger: Ledger) -> None:
    """Views, their columns and tables have their words, in the order of the database."""
    with ledger.reading() as connection:
        look = inspect(connection)
        found = {
            name: tuple(each["name"] for each in look.get_columns(name))
            for name in look.get_view_names()
        }
    assert found == {each.name: tuple(each.columns) for each in VIEWS}
    assert {each.name for each in TABLES} == {*tables.METADATA.tables, VERSION_TABLE}
    for view in VIEWS:
        assert {view.sort_desc, *view.facets} <= {*view.columns}
        assert all(words.endswith(".") for words in (view.description, *view.columns.values()))
    for table in TABLES:
        columns = tables.METADATA.tables.get(table.name)
        assert {*filter(None, (table.sort_desc, *table.facets))} <= set(
            columns.c.keys() if columns is not None else ()
        )


def test_every_level_has_its_word(sqlite_ledger: Ledger) -> None:
    """Levels between the known ones have the word of the one below."""
    run_id = begin(sqlite_ledger)
    levels = (5, 10, 20, 25, 30, 40, 50, 60)
    record.write_logs(sqlite_ledger, run_id, [(after(1), each, "", "") for each in levels])
    found = [row[0] for row in rows_of(sqlite_ledger, "log_tail", "level", "number")]
    assert found == ["debug", "debug", "info", "info", "warning", "error", "critical", "critical"]


def test_older_release_that_stands_again_is_the_current_one(ledger: Ledger) -> None:
    """The view says what ``standing_releases`` says."""
    first = publish(ledger, 1)
    publish(ledger, 2)
    record.write_release(ledger, replace(first, published_at=after(99)))
    columns = "tag, stands_since > published_at"
    assert rows_of(ledger, "current_releases", columns, "tag") == [("v1", True)]
    assert rows_of(ledger, "overview", "standing_tag", "channel") == [("v1",)]


def test_artifacts_of_a_run_that_shares_its_manifest_are_its_own(ledger: Ledger) -> None:
    """Two runs of the same bytes each show all files."""
    for number in (1, 2):
        run_id = begin(ledger, number)
        record.write_manifest(ledger, run_id, "e" * 64, [file_of("a"), file_of("b")])
    found = rows_of(ledger, "run_artifacts", "run_id, key", "run_id, key")
    assert found == [(name_of(number), key) for number in (1, 2) for key in "ab"]


def test_targets_of_many_runs_are_counted_by_state(ledger: Ledger) -> None:
    """The matrix is one row for each target of each run."""
    for number in (1, 2):
        run_id = begin(ledger, number)
        done = Target(task="zenodo", kind="zenodo", state="done", verified_at=after(1))
        record.write_targets(ledger, run_id, [done])
    columns = "state, count(*) OVER (PARTITION BY state)"
    found = rows_of(ledger, "target_matrix", f"DISTINCT {columns}", "state")
    assert found == [("done", 2), ("not reached", 4)]


def test_views_of_steps_show_the_last_attempt(ledger: Ledger) -> None:
    """A job that was taken up again shows what the new attempt did; what never began is no time."""
    run_id = begin(ledger)
    failure = replace(_step("check", 1, 9), state="failed")
    record.write_step(ledger, run_id, 1, 0, failure, after(9))
    with ledger.writing() as connection:
        connection.execute(update(tables.runs).values(attempt=2))
    record.write_step(ledger, run_id, 2, 0, _step("fetch", 10, 11), after(11))
    skipped = Step(task="zenodo", state="skipped", ended_at=after(12))
    record.write_step(ledger, run_id, 2, 1, skipped, after(12))
    assert rows_of(ledger, "failed_steps", "task", "task") == []
    assert rows_of(ledger, "step_timings", "task, elapsed_s", "task") == [
        ("fetch", 1),
        ("zenodo", None),
    ]
    assert rows_of(ledger, "run_timings", "steps, slowest_step", "run_id") == [(2, "fetch")]


def test_run_that_was_heard_of_is_not_stuck(ledger: Ledger) -> None:
    """A run is stuck after a minute of silence, and never once it has ended."""
    now = datetime.now(UTC)
    for number, silent_s in ((1, 30), (2, 90), (3, 90)):
        begin(ledger, number, started_at=now - timedelta(seconds=silent_s))
    _end(ledger, name_of(3), "failed")
    assert rows_of(ledger, "stuck_runs", "run_id", "run_id") == [(name_of(2),)]


@pytest.fixture(scope="module")
def datasette_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of a Datasette that shows a ledger, as the guide starts it."""
    folder = tmp_path_factory.mktemp("datasette")
    ledger = open_ledger(f"sqlite:///{folder}/ledger.db")
    fill(ledger)
    ledger.close()
    (folder / "metadata.json").write_text(render_metadata(), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    program = str(Path(sys.executable).with_name("datasette"))
    command = [program, "ledger.db", "-m", "metadata.json"]
    command += ["--port", str(port), "--setting", "facet_time_limit_ms", "5000"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        _wait_for(port, process, folder / "log")
        yield f"http://127.0.0.1:{port}/ledger"
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + _UP_S
    while process.poll() is None and time.monotonic() < until:
        with socket.socket() as connection:
            connection.settimeout(1.0)
            if connection.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(log.read_text())


def fetch(url: str) -> str:
    """Return what an address answers."""
    with urlopen(url, timeout=30) as answer:
        content: bytes = answer.read()
    return content.decode()


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_datasette_shows_each_view_with_its_words(datasette_url: str, view: Any) -> None:
    """Every view answers rows, sorted and with facets, and says what it and its columns are."""
    answer = json.loads(fetch(f"{datasette_url}/{view.name}.json?_shape=objects"))
    assert answer["rows"]
    assert answer["columns"] == [*view.columns]
    assert {*view.facets} <= {*answer["facet_results"]}
    keys = [row[view.sort_desc] for row in answer["rows"]]
    assert keys == sorted(keys, key=str, reverse=True)
    page = fetch(f"{datasette_url}/{view.name}")
    assert view.description in page
    for name, words in view.columns.items():
        assert f'data-column-description="{words}"' in page, name


def test_datasette_begins_with_what_matters(datasette_url: str) -> None:
    """The database's page leads to the views; tokens are neither named nor shown."""
    page = fetch(datasette_url)
    assert "Begin with the view overview" in page
    assert all(f"/ledger/{view.name}" in page for view in VIEWS)
    is_hidden = {
        e["name"]: e["hidden"] for e in json.loads(fetch(f"{datasette_url}.json"))["tables"]
    }
    assert is_hidden["lading_version"]
    assert not is_hidden["runs"]
    assert "tokens" not in is_hidden
    with pytest.raises(HTTPError, match="403"):
        fetch(f"{datasette_url}/tokens.json")
    assert "4.0&nbsp;kB" in fetch(f"{datasette_url}/step_timings")
