"""What stands at the door: what needs a person, what runs, what is published where."""

from datetime import timedelta

import pytest

from lading.ledger.ledger import Ledger
from lading.ledger.model import ProjectRow, ReleaseRow, Run, RunState
from lading.web import overview
from lading.web.overview import arrange, load_overview, waiting_for_a_person
from tests.unit.ledger.made_runs import NOON, make_run
from tests.unit.web.filled import FAILED_RUN, PROJECT, RUNNING_RUN, STABLE_RUN, fill, write_running


def run_at(hour: int, state: RunState, **facts: object) -> Run:
    """Make a run of an hour."""
    return make_run(state, created_at=NOON + timedelta(hours=hour), run_id=f"run-{hour}", **facts)


def names(runs: list[Run]) -> list[str]:
    """Return the names of runs."""
    return [each.run_id for each in runs]


def test_a_failure_that_was_made_good_needs_nobody() -> None:
    """A later run of the same kind and place has the word."""
    good, bad = run_at(2, "completed"), run_at(1, "failed")
    assert names(waiting_for_a_person([good, bad])) == []
    assert names(waiting_for_a_person([run_at(3, "failed"), good, bad])) == ["run-3"]


def test_a_run_that_goes_on_has_not_made_good_yet() -> None:
    """While it is tried again, what failed is still told."""
    assert names(waiting_for_a_person([run_at(2, "running"), run_at(1, "failed")])) == ["run-1"]


def test_other_places_and_kinds_do_not_count() -> None:
    """Staging makes nothing good in production, nor does a look."""
    bad = run_at(1, "failed")
    for good in (
        run_at(2, "completed", environment="staging"),
        run_at(2, "completed", channel="stable"),
        run_at(2, "completed", project="other"),
        run_at(2, "completed", kind="plan"),
    ):
        assert names(waiting_for_a_person([good, bad])) == ["run-1"]


def test_what_was_killed_needs_a_person_and_what_was_cancelled_does_not() -> None:
    """Somebody cancelled it: he knows."""
    assert names(waiting_for_a_person([run_at(1, "running", is_aborted=True)])) == ["run-1"]
    assert names(waiting_for_a_person([run_at(1, "cancelled")])) == []


def release_of(channel: str, environment: str, hour: int) -> ReleaseRow:
    """Make what stands published somewhere."""
    return ReleaseRow(
        project="demo",
        channel=channel,
        tag="v1",
        environment=environment,
        manifest_sha256="0" * 64,
        published_at=NOON + timedelta(hours=hour),
        run_id="run-1",
    )


def test_production_stands_first() -> None:
    """Then what was published last; a project without releases comes last."""
    found = arrange(
        [ProjectRow(slug="alone"), ProjectRow(slug="demo", title="Demo")],
        [release_of("stable", "production", 1), release_of("nightly", "staging", 9)],
        [run_at(3, "completed"), run_at(2, "failed")],
    )
    assert [project.slug for project, _ in found] == ["demo", "alone"]
    places = found[0][1]
    assert [each.place[1:] for each in places] == [
        ("nightly", "production"),
        ("stable", "production"),
        ("nightly", "staging"),
    ]
    assert places[0].release is None
    assert places[0].last is not None
    assert places[0].last.run.run_id == "run-3"
    assert places[1].last is None


def test_the_door_tells_of_a_month(sqlite_ledger: Ledger) -> None:
    """What failed and what runs are read with their steps, the rest as rows."""
    fill(sqlite_ledger, nights=3)
    write_running(sqlite_ledger)
    view = load_overview(sqlite_ledger)
    assert [each.run.run_id for each in view.failed] == [FAILED_RUN]
    assert view.failed[0].verdict.failed_at == "upload:s3-nightly"
    assert [each.run.run_id for each in view.active] == [RUNNING_RUN]
    assert [each.task for each in view.active[0].running] == [
        "upload:gcs-nightly",
        "upload:s3-nightly",
    ]
    assert view.runs == 6
    assert [project.slug for project, _ in view.projects] == [PROJECT]
    assert not view.recent[0].run.steps


def test_a_channel_that_sleeps_still_has_its_last_run(
    sqlite_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not among the newest runs of the others: it is asked for by itself."""
    monkeypatch.setattr(overview, "_SEEN", 1)
    fill(sqlite_ledger, nights=2)
    ((_, places),) = load_overview(sqlite_ledger).projects
    stable = next(each for each in places if each.place[1] == "stable")
    assert stable.last is not None
    assert stable.last.run.run_id == STABLE_RUN
