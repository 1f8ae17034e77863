"""The ledger as JSON: names that stay, times in UTC, numbers as numbers."""

import json
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from lading.ledger import documents
from lading.ledger.model import (
    ArtifactRow,
    LogLine,
    Progress,
    ProjectRow,
    ReceiptRow,
    ReleaseRow,
    Run,
    Step,
    Target,
    VersionRow,
)
from lading.ledger.tokens import Token
from lading.ledger.verdict import Verdict
from tests.unit.ledger.made_runs import NOON, make_run, make_step, make_target

STEP = replace(make_step("fetch", "done"), ended_at=NOON + timedelta(seconds=1.23456))
TARGET = replace(make_target("gcs/nightly", "done"), verified_at=NOON)
RECEIPT = ReceiptRow(
    task="zenodo", place="z", manifest_sha256="ab", proved_at=NOON, objects=1, size_bytes=2
)
ARTIFACT = ArtifactRow(key="a.csv", size_bytes=1, sha256="ab", media_type="text/csv")
RELEASE = ReleaseRow(
    project="demo",
    channel="nightly",
    tag="7",
    environment="dev",
    manifest_sha256="ab",
    published_at=NOON,
    run_id="r",
)
VERSION = VersionRow(project="demo", version="7", state="ready")


def test_times() -> None:
    """A time is written in UTC, to the millisecond, whatever zone it came in; none is null."""
    east = datetime(2025, 2, 5, 13, 0, 0, 987654, tzinfo=timezone(timedelta(hours=1)))
    assert documents.write_moment(east) == "2025-02-05T12:00:00.987Z"
    assert documents.write_moment(datetime(2025, 2, 5, tzinfo=UTC)) == "2025-02-05T00:00:00.000Z"
    assert documents.write_moment(None) is None


@pytest.mark.parametrize(
    ("level", "name"),
    [
        (0, "debug"),
        (10, "debug"),
        (19, "debug"),
        (20, "info"),
        (30, "warning"),
        (40, "error"),
        (99, "critical"),
    ],
)
def test_levels(level: int, name: str) -> None:
    """A level is called by the highest name that it reaches."""
    assert documents.name_level(level) == name


@pytest.mark.parametrize(
    ("percent", "shown"), [(0, 0), (43.219, 43.22), (99.999, 99.99), (100.0, 100.0)]
)
def test_percent(percent: float, shown: float) -> None:
    """What is not done is never rounded up to the whole."""
    assert documents.progress_table(Progress(percent=percent))["percent"] == shown


def test_run() -> None:
    """A run is whole: its verdict, and what belongs to it; a row of a list is without that."""
    run = make_run("failed", steps=(STEP,), targets=(TARGET,), receipts=(RECEIPT,))
    table = documents.run_table(run)
    assert table["verdict"]["word"] == "partial"
    assert [each["task"] for each in table["steps"]] == ["fetch"]
    assert [each["task"] for each in table["targets"]] == ["promote:gcs-nightly"]
    assert [each["task"] for each in table["receipts"]] == ["zenodo"]
    assert table["elapsed_s"] == 180.0
    row = documents.run_table(run, Verdict("failed", "failed"), is_full=False)
    assert row["verdict"]["word"] == "failed"
    assert set(table) - set(row) == {"steps", "targets", "receipts"}
    assert documents.runs_table([run], 9)["total"] == 9


def test_what_has_not_ended_has_no_duration() -> None:
    """A duration that nobody knows is null, not 0."""
    assert documents.run_table(make_run("running"))["elapsed_s"] is None
    assert documents.step_table(make_step("fetch", "running"))["elapsed_s"] is None
    assert documents.step_table(STEP)["elapsed_s"] == 1.235


@pytest.mark.parametrize(
    ("write", "value"),
    [
        (documents.run_table, make_run(steps=(STEP,), targets=(TARGET,), receipts=(RECEIPT,))),
        (documents.progress_table, Progress()),
        (documents.step_table, STEP),
        (documents.target_table, TARGET),
        (documents.receipt_table, RECEIPT),
        (documents.log_table, LogLine(number=1, at=NOON, level=20, task="", text="x")),
        (documents.artifact_table, ARTIFACT),
        (documents.release_table, RELEASE),
        (documents.version_table, VERSION),
        (documents.project_table, ProjectRow(slug="demo")),
    ],
    ids=lambda each: type(each).__name__,
)
def test_nothing_is_left_out(write: Callable[[Any], dict[str, Any]], value: Any) -> None:
    """Each field of the model is in its document, under its own name, as JSON takes it."""
    table = json.loads(json.dumps(write(value)))
    names = {each.name for each in fields(value)}
    assert names <= set(table)
    assert isinstance(value, Run | Step | Progress | Target | LogLine) or names == set(table)


def test_token() -> None:
    """Of a token there is all that may be known, and whether it opens anything now."""
    token = Token(name="ci", role="admin", created_at=NOON, expires_at=NOON)
    table = documents.token_table(token, NOON)
    assert set(table) == {*(each.name for each in fields(token)), "is_valid"}
    assert table["is_valid"] is False
    assert documents.token_table(token, NOON - timedelta(seconds=1))["is_valid"] is True
