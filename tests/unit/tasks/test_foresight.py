"""What a run is to change, and how much work that is, before it is done."""

from pathlib import Path

from lading.config.load import load_config
from lading.ledger.progress import ONE_ITEM, Work
from lading.release.layout import SourceFile, plan_layout
from lading.release.names import Release, resolve_release
from lading.tasks.foresight import foresee_targets, foresee_work

REPOSITORY = Path(__file__).parents[3]
CONFIG = load_config(REPOSITORY).config
TAG = "nightly-2025-02-05"
FILES = [
    SourceFile("success", 0),
    SourceFile("iowa_energy.sqlite", 1000),
    SourceFile("parquet/a.parquet", 300),
    SourceFile("parquet/b.parquet", 200),
    SourceFile("parquet/datapackage.json", 50),
]


def release(*, staging: bool = False, tag: str = TAG) -> Release:
    """Resolve the example's release."""
    return resolve_release(CONFIG, "", tag, staging=staging)


def tasks_of(what: Release) -> list[str]:
    """Name the tasks of a release that change something outside."""
    return [
        *(f"upload:{each.task}" for each in what.destinations),
        *(f"promote:{each.task}" for each in what.prefixes),
        *(f"hold:{each.task}" for each in what.prefixes if each.held),
        *(each.task for each in what.calls),
    ]


def test_targets_are_a_row_a_place() -> None:
    """A depot each, a prefix each, a call each, in the order of the road."""
    found = foresee_targets(CONFIG, release(), tasks_of(release()))
    assert [each.task for each in found] == tasks_of(release())
    assert {each.state for each in found} == {"not reached"}
    assert [(e.destination, e.name) for e in found if e.kind == "promote"] == [
        ("gcs", "nightly"),
        ("gcs", "eel-hole"),
        ("s3", "nightly"),
        ("s3", "eel-hole"),
    ]


def test_holds_are_rows_where_they_are_asked_for() -> None:
    """Only a prefix that is held has a row for it."""
    stable = release(tag="v2025.2.0")
    found = foresee_targets(CONFIG, stable, tasks_of(stable))
    assert [e.name for e in found if e.kind == "hold"] == ["v2025.2.0", "v2025.2.0"]


def test_staging_says_why_it_skips() -> None:
    """What staging leaves out is in the matrix, with its reason."""
    found = foresee_targets(CONFIG, release(staging=True), tasks_of(release(staging=True)))
    assert {each.note for each in found if not each.destination} == {"staging"}


def test_only_what_runs() -> None:
    """A run of one step has its rows only."""
    found = foresee_targets(CONFIG, release(), ["upload:gcs-nightly", "check"])
    assert [each.task for each in found] == ["upload:gcs-nightly"]


def test_work_is_that_of_the_files() -> None:
    """What reads the build weighs as the build, what sends as what is sent."""
    layout = plan_layout(CONFIG, FILES)
    names = ["check", "upload:gcs-nightly", "compress_sqlite:iowa_energy.sqlite", "notify", "fetch"]
    work = foresee_work(names, layout, FILES)
    assert work["check"] == Work(1550, 5)
    assert work["compress_sqlite:iowa_energy.sqlite"] == Work(1000, 1)
    assert work["upload:gcs-nightly"].size_bytes == 350 + 500 + 550 + 50  # zip, files, bundle, json
    assert work["notify"] == work["fetch"] == ONE_ITEM


def test_work_before_the_files_are_known() -> None:
    """Each task is one item as long as nobody knows."""
    work = foresee_work(["fetch", "check", "upload:gcs-nightly"], None, [], is_remote=True)
    assert set(work.values()) == {ONE_ITEM}
