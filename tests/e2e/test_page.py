"""The page in a real browser: what a person sees, on a phone and at a desk."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lading.ledger import record
from lading.ledger.ledger import Ledger, open_ledger
from lading.ledger.model import Progress, Step
from lading.web.account import load_account
from lading.web.report import render_report
from tests.e2e.project import RECORDED, Project, make_project
from tests.e2e.served import Server, serving
from tests.unit.web.filled import (
    ERROR,
    FAILED_RUN,
    MB,
    NIGHTS,
    PROJECT,
    RESUME,
    RUNNING_RUN,
    digest_of,
    fill,
    run_of_night,
    write_running,
)

pytest.importorskip("playwright", reason="no Playwright")

from tests.e2e.browsing import (
    CHROMIUM,
    CONTRAST,
    DESK,
    PHONE,
    opened_browser,
    shots_folder,
    visiting,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no {CHROMIUM}"),
    pytest.mark.xdist_group("page"),  # one browser, one server
]
LIMIT_S = 60.0
PAGES = {
    "overview": "/",
    "runs": "/runs",
    "failed": f"/runs/{FAILED_RUN}",
    "published": f"/runs/{run_of_night(NIGHTS - 1)}",
    "release": f"/releases/{digest_of('stable')}/production",
    "history": f"/history/{PROJECT}/nightly/production",
    "missing": "/runs/nothing",
}
WRITER = """
import sys, time
from lading.ledger.ledger import open_ledger
from tests.unit.web.filled import write_running
write_running(open_ledger(sys.argv[1]), sys.argv[2])
print("written", flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Give one browser for all."""
    with opened_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of pictures."""
    return shots_folder(tmp_path_factory.mktemp("shots"))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give a project whose ledger tells of a month."""
    made = make_project(tmp_path_factory.mktemp("page") / "project", parquet=2, config=RECORDED)
    ledger = open_ledger(ledger_of(made))
    fill(ledger)
    ledger.close()
    return made


@pytest.fixture(scope="module")
def server(project: Project) -> Iterator[Server]:
    """Give the server of that project, open to all."""
    with serving(project.folder, "--open", "--workers", "0") as started:
        yield started


@pytest.fixture
def ledger(project: Project) -> Iterator[Ledger]:
    """Give the ledger that the page shows."""
    opened = open_ledger(ledger_of(project))
    yield opened
    opened.close()


def ledger_of(project: Project) -> str:
    """Return the URL of a project's ledger."""
    project.work.mkdir(exist_ok=True)
    return f"sqlite:///{project.work / 'ledger.db'}"


def wait_for(holds: Callable[[], Any], what: str) -> Any:
    """Wait until something is seen; return it."""
    until = time.monotonic() + LIMIT_S
    while not (found := holds()):
        assert time.monotonic() < until, what
        time.sleep(0.05)
    return found


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_pages_are_readable(
    browser: "Browser", server: Server, shots: Path, size: tuple[int, int], scheme: Any
) -> None:
    """No page scrolls sideways, asks anybody else, complains, or is too faint to read."""
    with visiting(browser, shots, size, color_scheme=scheme) as visit:
        for name, path in PAGES.items():
            visit.page.goto(server.url + path)
            visit.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            assert visit.page.evaluate(CONTRAST) == [], name
            visit.shoot(f"{name}-{size[0]}-{scheme}")
            if name == "missing":  # the browser itself tells of a 404
                visit.said.clear()
            visit.check(server.url)


@pytest.mark.parametrize("has_script", [True, False], ids=["script", "no-script"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_what_failed_is_seen_first(
    browser: "Browser", server: Server, shots: Path, size: tuple[int, int], *, has_script: bool
) -> None:
    """Verdict, error and the command that resumes are in sight without scrolling."""
    with visiting(browser, shots, size, java_script_enabled=has_script) as visit:
        for path, box in {"/": "article.verdict", PAGES["failed"]: ".verdict"}.items():
            visit.page.goto(server.url + path)
            assert visit.is_in_sight(box)
            shown = visit.page.locator(box).first.inner_text()
            assert "failed at upload:s3-nightly; nothing public was changed" in shown
            assert ERROR in shown
            assert RESUME in shown
        assert visit.page.locator("button.copy").first.is_visible() == has_script
        visit.page.locator("summary", has_text="of the run").click()
        assert visit.page.locator(".log").last.is_visible()  # details need no script


def test_what_is_copied_is_the_command(browser: "Browser", server: Server, shots: Path) -> None:
    """One press of the button, or of a key on it."""
    rights = ["clipboard-read", "clipboard-write"]
    with visiting(browser, shots, DESK, permissions=rights) as visit:
        page = visit.page
        page.goto(server.url + PAGES["failed"])
        page.get_by_role("button", name="Copy the command that resumes").click()
        page.get_by_text("Copied").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == RESUME
        page.goto(server.url + PAGES["release"])
        page.get_by_role("button", name="Copy the SHA-256 of notes.json").focus()
        page.keyboard.press("Enter")
        page.get_by_text("Copied").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == digest_of("notes.json notes 25")
        visit.check(server.url)


def test_a_line_can_be_marked_by_hand(browser: "Browser", server: Server, shots: Path) -> None:
    """Without a script what is marked is the line itself: two spaces stay two."""
    with visiting(browser, shots, PHONE, java_script_enabled=False) as visit:
        visit.page.goto(server.url + PAGES["release"])
        visit.page.locator(".files summary").first.click()
        line = visit.page.locator(".files details .copyable code").first
        assert "  iowa_energy.sqlite.zip' | sha256sum -c -" in line.inner_text()
        assert line.inner_text() == line.text_content()


def test_a_keyboard_and_a_screen_reader_find_their_way(
    browser: "Browser", server: Server, shots: Path
) -> None:
    """The first stop skips to the content; landmarks, headings and rows have names."""
    with visiting(browser, shots, PHONE) as visit:
        page = visit.page
        page.goto(server.url + PAGES["failed"])
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        assert page.get_by_role("main").count() == 1
        assert page.get_by_role("heading", level=1).count() == 1
        table = page.get_by_role("table", name="Targets")
        assert table.get_by_role("row").count() == 8  # they are tables on a phone too
        assert table.get_by_role("columnheader").count() == 4
        assert table.get_by_role("rowheader", name="upload s3").count() == 1


def move_on(ledger: Ledger, run_id: str, percent: float) -> None:
    """Write that a run, and its upload, are so far."""
    now = datetime.now(UTC)
    done = Progress(percent=percent, done_bytes=int(percent * MB), size_bytes=100 * MB)
    step = Step(task="upload:gcs-nightly", state="running", started_at=now, progress=done)
    record.write_progress(ledger, run_id, 1, done, [step], now)


def test_a_run_moves_while_one_looks(
    browser: "Browser", server: Server, ledger: Ledger, shots: Path
) -> None:
    """Percent goes up without a reload; what is open and where one reads stay; it stops."""
    write_running(ledger)
    with visiting(browser, shots, PHONE) as visit:
        page = visit.page
        page.goto(f"{server.url}/runs/{RUNNING_RUN}")
        percent = page.locator("[data-live=progress] .percent").first
        assert percent.inner_text() == "42 %"
        visit.shoot("running-360-light")
        page.get_by_text("lines of the run").click()
        log = page.locator(".log")
        assert not log.is_visible()  # it was open, and was closed by hand
        page.evaluate("scrollTo(0, 700)")
        place = "document.getElementById('h-steps').getBoundingClientRect().top"
        before = page.evaluate(place)
        for now in (43, 57, 99.9):
            move_on(ledger, RUNNING_RUN, now)
            page.wait_for_function(
                "now => document.querySelector('[data-live=progress] .percent')"
                ".textContent === now && document.title.includes(now)",
                arg=f"{int(now)} %",
            )
        assert page.evaluate("scrollY") > 500
        assert abs(page.evaluate(place) - before) <= 1  # what is above it has other lines now
        assert not log.is_visible()
        record.end_run(
            ledger, RUNNING_RUN, state="failed", exit_code=1, failed_at="upload:gcs-nightly",
            error="no space", at=datetime.now(UTC),
        )  # fmt: skip
        page.locator("main[data-ended]").wait_for(state="attached")
        assert "failed at upload:gcs-nightly" in page.locator(".verdict").inner_text()
        assert page.locator("progress").count() == 0
        asked = len(visit.asked)
        page.wait_for_timeout(1500)
        assert len(visit.asked) == asked  # nothing is asked for any more
        visit.check(server.url)


def test_a_run_whose_process_is_killed_is_aborted(
    browser: "Browser", server: Server, project: Project, shots: Path
) -> None:
    """Kill -9: the open page says so in its next look, with the command that resumes."""
    run_id = "20250207T040000-00000000c1"
    command = [sys.executable, "-c", WRITER, ledger_of(project), run_id]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        with visiting(browser, shots, PHONE) as visit:
            page = visit.page
            page.goto(f"{server.url}/runs/{run_id}")
            assert "running at upload:gcs-nightly" in page.locator(".verdict").inner_text()
            writer.kill()
            writer.wait(10)
            page.get_by_text("its process is gone").wait_for()
            assert "doit distribute type=nightly" in page.locator("#resume").inner_text()
            visit.shoot("aborted-360-light")
            page.goto(server.url)
            assert "its process is gone" in page.locator("article.verdict").first.inner_text()
            visit.check(server.url)


@pytest.mark.slow
def test_a_server_that_comes_back_is_found_again(
    browser: "Browser", tmp_path: Path, shots: Path
) -> None:
    """While it is away the page says so and keeps what it shows; then it goes on."""
    project = make_project(tmp_path / "project", parquet=1)
    ledger = open_ledger(ledger_of(project))
    write_running(ledger)
    with (
        serving(project.folder, "--open", "--workers", "0") as server,
        visiting(browser, shots, DESK) as visit,
    ):
        page, url = visit.page, server.url
        page.goto(f"{url}/runs/{RUNNING_RUN}")
        server.end()
        page.get_by_text("The server does not answer; trying again.").wait_for()
        assert "running at" in page.locator(".verdict").inner_text()
        server.start("--open", "--workers", "0", "--port", url.rpartition(":")[2])
        move_on(ledger, RUNNING_RUN, 88)
        page.get_by_text("88 %").first.wait_for()
        assert page.locator("#link-state").inner_text() == ""
    ledger.close()


@pytest.mark.parametrize("has_script", [True, False], ids=["script", "no-script"])
def test_a_report_opens_from_a_disk(
    browser: "Browser", ledger: Ledger, tmp_path: Path, shots: Path, *, has_script: bool
) -> None:
    """One file: it asks for nothing, shows all, and copies where scripts may run."""
    account = load_account(ledger, run_of_night(NIGHTS - 1))
    assert account is not None
    path = tmp_path / "report.html"
    path.write_bytes(render_report(account))
    for size in (PHONE, DESK):
        with visiting(browser, shots, size, java_script_enabled=has_script) as visit:
            visit.page.goto(path.as_uri())
            assert visit.is_in_sight(".verdict")
            assert "published: every object" in visit.page.locator(".verdict").inner_text()
            assert visit.page.get_by_text("The last 30 releases").is_visible()
            visit.shoot(f"report-{size[0]}-light")
            assert visit.page.locator("button.copy").first.is_visible() == has_script
            if has_script:
                visit.page.locator("button.copy").first.click()
                visit.page.get_by_text("Copied").wait_for()
            visit.check(path.as_uri())
