"""The pages, as a browser gets them: what they say, what they never are."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from fastapi import FastAPI, HTTPException

from lading.errors import LedgerError
from lading.ledger import record
from lading.ledger.ledger import Ledger, open_ledger
from lading.ledger.model import Step
from lading.web import pages as module
from lading.web.pages import add_pages
from lading.web.showing import content_policy
from tests.unit.web.asking import get, serve
from tests.unit.web.filled import (
    ABORTED_RUN,
    ERROR,
    FAILED_RUN,
    NIGHTS,
    PROJECT,
    RESUME,
    RUNNING_RUN,
    STABLE_DOI,
    TITLE,
    digest_of,
    fill,
    make_start,
    make_targets,
    run_of_night,
    tag_of_night,
    write_running,
)
from tests.unit.web.serving import Client

if TYPE_CHECKING:
    from lading.web.served import Served

LAST = NIGHTS - 1


@pytest.fixture(scope="module")
def month(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Give a client of a server of a month; its tests only read."""
    path = tmp_path_factory.mktemp("month") / "ledger.db"
    shutil.copyfile(sqlite_template, path)
    ledger = open_ledger(f"sqlite:///{path}")
    fill(ledger)
    # the clock of this machine may not be the one of another: it is known to be gone by silence
    dead = make_start(ABORTED_RUN, datetime(2025, 2, 6, 2, 0, tzinfo=UTC), process="elsewhere/1/2")
    record.begin_run(ledger, replace(dead, targets=make_targets()))
    at = dead.started_at
    step = Step(task="upload:gcs-nightly", state="running", started_at=at)
    record.write_step(ledger, ABORTED_RUN, 1, 0, step, at)
    yield serve(ledger)
    ledger.close()


def test_the_overview_says_what_failed_before_anything_else(month: Client) -> None:
    """With why, and the command that resumes; then channels; then runs."""
    text = get(month, "/").text
    order = ["Needs a person", ERROR, RESUME, TITLE, "Recent runs", "All 33 runs"]
    places = [text.index(each) for each in order]
    assert places == sorted(places)
    assert tag_of_night(LAST) in text
    assert "v2025.2.0" in text


def test_a_failed_run_says_what_to_do(month: Client) -> None:
    """Verdict, error and command; each target; each step, why it was not reached; its log."""
    read = get(month, f"/runs/{FAILED_RUN}")
    text = read.text
    assert "failed at upload:s3-nightly; nothing public was changed" in text
    assert text.count(RESUME) == 1
    assert text.index(RESUME) < text.index("Targets")
    assert "3 of 5 files are there" in text
    assert "needs upload:s3-nightly" in text
    assert "What upload:s3-nightly logged last" in text
    assert "staging moves no branch" in text
    assert "data-from" not in {name for _, name, _ in read.attributes}  # nothing moves any more


def test_a_run_that_is_gone_is_aborted(month: Client) -> None:
    """The row says running; its process says nothing; the page says how to resume."""
    read = get(month, f"/runs/{ABORTED_RUN}")
    assert "aborted at upload:gcs-nightly: its process is gone" in read.text
    assert "doit distribute type=nightly tag=nightly-2025-02-06" in read.text
    assert "progress" not in read.tags
    assert "upload:gcs-nightly interrupted" in read.text  # and not running any more


def test_a_published_run_tells_what_changed(month: Client) -> None:
    """Against the night before: what shrank is marked, what is the same is counted."""
    read = get(month, f"/runs/{run_of_night(LAST)}")
    assert "0 added, 0 removed, 3 changed, 2 unchanged" in read.text
    assert "70,000 45,210 -35.4 %" in read.text
    shrunken = [text for tag, text in read.texts if tag == "td" and text == "-33.3 %"]
    assert shrunken == ["-33.3 %"]
    assert "a mark is 30 s" in read.text


def test_the_first_run_has_nothing_to_compare_with(month: Client) -> None:
    """And says so, rather than nothing."""
    text = get(month, f"/runs/{run_of_night(0)}").text
    assert "Nothing to compare with: it is the first release of this channel" in text


def test_a_release_can_be_fetched_proved_and_cited(month: Client) -> None:
    """Each file with its digest, its address and its line; DOI; where it comes from."""
    read = get(month, f"/releases/{digest_of('stable')}/production")
    text = read.text
    assert f"https://doi.org/{STABLE_DOI}" in read.values("href")
    assert f"{TITLE} (2025). Version v2025.2.0. https://doi.org/{STABLE_DOI}" in text
    base = "https://storage.googleapis.com/example-bucket/v2025.2.0"
    assert f"{base}/weather.sqlite.zip" in read.values("href")
    assert f"curl -fL -o weather.sqlite.zip {base}/weather.sqlite.zip && printf" in text
    assert digest_of("weather.sqlite.zip weather 3") in text
    assert digest_of("stable") in text
    assert read.values("class").count("copy") >= 5
    assert "hidden" in {name for tag, name, _ in read.attributes if tag == "button"}


def test_each_destination_of_a_release_is_named(month: Client) -> None:
    """A file has an address in each of its prefixes."""
    hrefs = get(month, f"/releases/{digest_of('night 29')}/production").values("href")
    for base in ("storage.googleapis.com/example-bucket", "example-bucket.s3.amazonaws.com"):
        for prefix in ("nightly", "eel-hole"):
            assert f"https://{base}/{prefix}/notes.json" in hrefs


def test_the_history_has_lines_and_numbers(month: Client) -> None:
    """A picture for each table and file, with a name; the numbers stand beside it as text."""
    read = get(month, f"/history/{PROJECT}/nightly/production")
    assert "iowa_energy.sqlite.zip: generation" in read.text
    assert "244,990 +1.8 %" in read.text
    labels = read.values("aria-label")
    assert any("Bytes of all files over the last 30 releases" in each for each in labels)
    assert len(read.values("d")) == 2 * (1 + 4 + 5)
    assert read.tags.count("svg") == 1 + 4 + 5


@pytest.mark.parametrize(
    "path",
    [
        "/runs/20250101T000000-0000000000",
        "/runs/%3Cscript%3E",
        f"/releases/{'0' * 64}/production",
        f"/releases/{digest_of('stable')}/elsewhere",
        "/history/nobody/nightly/production",
    ],
)
def test_what_the_ledger_does_not_know_is_told_calmly(month: Client, path: str) -> None:
    """A page with a way back, and its status."""
    read = get(month, path, status=404)
    assert "The ledger knows nothing of it" in read.text
    assert "/" in read.values("href")


def test_runs_are_filtered_by_the_address(month: Client) -> None:
    """What is chosen stays chosen, and pages keep it."""
    text = get(month, "/runs?state=failed").text
    assert "1 run " in text
    assert FAILED_RUN in text
    read = get(month, "/runs?channel=nightly&environment=production")
    assert "31 runs" in read.text
    assert "nightly" in read.values("value")
    assert "No such run" in get(month, "/runs?tag=none").text


def test_runs_are_paged(month: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run is on one page, newest first, and the pages lead to each other."""
    monkeypatch.setattr(module, "RUNS_A_PAGE", 20)
    first, second = get(month, "/runs?channel=nightly"), get(month, "/runs?channel=nightly&page=2")
    names = [
        each
        for read in (first, second)
        for each in read.values("href")
        if re.fullmatch(r"/runs/2025.*", each)
    ]
    assert len(names) == len(set(names)) == 32
    assert "/runs?channel=nightly&page=2" in first.values("href")
    assert "/runs?channel=nightly&page=1" in second.values("href")


@pytest.mark.parametrize("page", ["0", "-1", "x", "", "99999999999999999999", "٣", "²", "1e3"])
def test_any_page_number_is_answered(month: Client, page: str) -> None:
    """What is no number is the first page; what is beyond the last has a way back."""
    read = get(month, f"/runs?page={page}")
    assert "33 runs" in read.text


def test_every_page_forbids_what_it_does_not_need(month: Client) -> None:
    """Nothing but its own style and script, no frame, no guess at its type."""
    for path in ("/", "/runs", f"/runs/{FAILED_RUN}", f"/runs/{FAILED_RUN}/live", "/runs/x"):
        headers = month.get(path).headers
        assert headers["content-security-policy"] == content_policy()
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_pages_are_read_only(month: Client, method: str) -> None:
    """There is nothing that a page would change."""
    for path in ("/", "/runs", f"/runs/{FAILED_RUN}"):
        assert month.request(method, path).status_code == 405


def test_only_readers_are_let_in(sqlite_ledger: Ledger) -> None:
    """Each page asks the dependency that it was given."""
    asked = []

    def refuse() -> None:
        asked.append(1)
        raise HTTPException(401)

    app = FastAPI()
    add_pages(app, cast("Served", None), sqlite_ledger, reader=refuse)
    client = Client(app)
    paths = ["/", "/runs", "/runs/x", "/runs/x/live", "/releases/x/y", "/history/x/y/z"]
    assert [client.get(path).status_code for path in paths] == [401] * 6
    assert len(asked) == 6


def test_what_moves_is_marked_and_asked_for_again(sqlite_ledger: Ledger) -> None:
    """The fragment has the same parts as its page; it says when to stop."""
    write_running(sqlite_ledger)
    client = serve(sqlite_ledger)
    page, part = get(client, f"/runs/{RUNNING_RUN}"), get(client, f"/runs/{RUNNING_RUN}/live")
    assert page.values("data-live") == part.values("data-live")
    assert page.values("data-from") == [f"/runs/{RUNNING_RUN}/live"]
    assert part.values("data-every") == ["1000"]
    assert "script" not in part.tags
    assert "42 % · 8.0 MB of 19.0 MB · 2 of 5 items · 400.0 kB/s · 27.0 s left" in page.text
    assert "Load again" in page.text
    record.end_run(
        sqlite_ledger,
        RUNNING_RUN,
        state="failed",
        exit_code=1,
        failed_at="upload:gcs-nightly",
        error="no space",
        at=datetime.now(UTC),
    )
    ended = get(client, f"/runs/{RUNNING_RUN}/live")
    assert ended.values("data-every") == []
    assert "failed at upload:gcs-nightly" in ended.text


def test_a_ledger_that_does_not_answer_is_told(
    sqlite_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page, and 503: the reader may come again."""

    def fail(ledger: Ledger) -> None:
        raise LedgerError(f"ledger {ledger.url}: expected an answer, got none")

    monkeypatch.setattr(module, "load_overview", fail)
    assert "expected an answer" in get(serve(sqlite_ledger), "/", status=503).text


def test_an_empty_ledger_is_a_page(ledger: Ledger) -> None:
    """A first look, before anything was released, on both databases."""
    client = serve(ledger)
    assert "Nothing yet" in get(client, "/").text
    assert "No such run" in get(client, "/runs").text


def test_pages_are_the_same_on_postgres(postgres_url: str) -> None:
    """One ledger for a team: every page is answered from it."""
    ledger = open_ledger(postgres_url)
    fill(ledger, nights=2)
    client = serve(ledger)
    for path, words in {
        "/": "Needs a person",
        "/runs?state=completed": "3 runs",
        f"/runs/{run_of_night(LAST)}": "3 changed, 2 unchanged",
        f"/releases/{digest_of('stable')}/production": STABLE_DOI,
        f"/history/{PROJECT}/nightly/production": "the last 2 releases",
    }.items():
        assert words in get(client, path).text
    ledger.close()
