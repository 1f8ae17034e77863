"""Runs, releases and histories as they are shown: what is marked, what is cut, what comes first."""

from dataclasses import replace

from lading.ledger.model import ReceiptRow, ReleaseRow, Run
from lading.ledger.verdict import judge
from lading.web.history_view import view_history
from lading.web.release_view import cite, view_release
from lading.web.run_view import RunView, view_run
from lading.web.showing import Limits
from tests.unit.ledger.made_runs import NOON, make_run, make_step, make_target
from tests.unit.web.filled import make_file

RELEASE = ReleaseRow(
    project="demo",
    channel="nightly",
    tag="v1",
    environment="production",
    manifest_sha256="e" * 64,
    published_at=NOON,
    run_id="run-1",
    url="https://example.org/nightly/release.json",
    files=2,
    size_bytes=30,
)


def view(run: Run, limits: Limits) -> RunView:
    """View a run."""
    return view_run(run, judge(run), at=NOON, tails={}, limits=limits)


def test_a_receipt_of_another_release_is_drift() -> None:
    """What stands there is not what the run ships: it is marked, where both are known."""
    receipts = [
        ReceiptRow(
            task=task, place="", manifest_sha256=sha256, proved_at=NOON, objects=0, size_bytes=0
        )
        for task, sha256 in (("a", "e" * 64), ("b", "f" * 64), ("c", ""))
    ]
    run = make_run(receipts=tuple(receipts), manifest_sha256="e" * 64)
    assert view(run, Limits()).drifted == {"b"}
    assert view(replace(run, manifest_sha256=""), Limits()).drifted == frozenset()


def test_what_failed_is_among_the_steps_that_are_shown() -> None:
    """Of a thousand steps a few are shown; the one that failed is one of them."""
    steps = [make_step(f"step {number}", "done") for number in range(1000)]
    steps[700] = make_step("step 700", "failed")
    targets = tuple(make_target(f"gcs/{number}", "done") for number in range(50))
    run = make_run("failed", steps=tuple(steps), targets=(*targets, make_target("s3/x", "failed")))
    seen = view(run, Limits(bars=3, rows=2))
    assert [each.step.task for each in seen.bars] == ["step 0", "step 1", "step 700"]
    assert [each.state for each in seen.targets] == ["done", "failed"]


def test_a_run_that_is_gone_is_not_live() -> None:
    """Its page asks for nothing, and shows nothing as running."""
    run = make_run("running", ended_at=None, steps=(make_step("upload:gcs", "running"),))
    assert view(run, Limits()).is_live
    assert len(view(run, Limits()).running) == 1
    gone = view(replace(run, is_aborted=True), Limits())
    assert not gone.is_live
    assert gone.running == ()


def test_a_file_has_an_address_in_each_of_few_places() -> None:
    """A release to a thousand prefixes does not have a thousand links a file."""
    targets = tuple(
        replace(make_target(f"gcs/p{number}", "done"), url=f"https://example.org/p{number}/")
        for number in range(1000)
    )
    run = make_run(targets=(replace(targets[0], kind="upload"), *targets))
    seen = view_release(RELEASE, run, [make_file("a.csv", 1, "x")], limit=5)
    assert len(seen.places) == len(seen.files[0].places) == 8
    assert seen.files[0].places[:2] == (
        ("published", "https://example.org/nightly/a.csv"),
        ("gcs/p0", "https://example.org/p0/a.csv"),
    )


def test_an_address_of_its_own_comes_first() -> None:
    """A file that says where it is, such as an asset, is fetched from there."""
    file = replace(make_file("a.csv", 1, "x"), url="https://cdn.example.org/a.csv")
    seen = view_release(RELEASE, None, [file, make_file("b.csv", 1, "y")], limit=1)
    assert seen.files[0].places[0] == ("published", "https://cdn.example.org/a.csv")
    assert "https://cdn.example.org/a.csv" in seen.files[0].line
    assert (len(seen.files), seen.total) == (1, 2)


def test_a_release_on_a_disk_has_no_lines() -> None:
    """What no browser reaches is not offered for download."""
    release = replace(RELEASE, url="build/clouds/gcs/nightly/release.json")
    seen = view_release(release, None, [make_file("a.csv", 1, "x")], limit=5)
    assert (seen.places, seen.line, seen.files[0].line) == ((), "", "")


def test_a_citation_names_title_year_version_and_identifier() -> None:
    """The DOI where there is one, else where it was published."""
    assert cite(RELEASE, "Demo") == "Demo (2025). Version v1. https://example.org/nightly/"
    cited = cite(replace(RELEASE, doi="10.5281/zenodo.1"), "")
    assert cited == "demo (2025). Version v1. https://doi.org/10.5281/zenodo.1"


def test_the_largest_come_first_and_gaps_stay_gaps() -> None:
    """A table that was not there has no number, and what is gone says so."""
    nights = [
        (RELEASE, [make_file("a", 5, "1", {"t": 10}), make_file("old", 7, "1")]),
        (RELEASE, [make_file("a", 6, "2", {"t": 11, "big": 99}), make_file("b", 20, "1")]),
    ]
    seen = view_history(nights, limit=2)
    assert [each.name for each in seen.tables] == ["a: big", "a: t"]
    assert seen.tables[0].values == (None, 99)
    assert [each.name for each in seen.files] == ["b", "old"]
    assert (seen.all_files, seen.all_tables) == (3, 2)
    assert seen.files[1].last is None
    assert seen.total.values == (30, 30)
