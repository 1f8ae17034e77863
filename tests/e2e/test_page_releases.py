"""Real releases, looked on at in a real browser: to their end, and killed on the way."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lading.ledger.ledger import Ledger, open_ledger
from lading.ledger.read import load_run
from tests.e2e.project import RECORDED, Project, end_group, make_database, make_project
from tests.e2e.served import serving

pytest.importorskip("playwright", reason="no Playwright")

from tests.e2e.browsing import (
    CHROMIUM,
    DESK,
    PHONE,
    Visit,
    opened_browser,
    shots_folder,
    visiting,
)

if TYPE_CHECKING:
    import subprocess

    from playwright.sync_api import Browser

pytestmark = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no {CHROMIUM}"),
    pytest.mark.xdist_group("page"),  # one browser at a time
]
LIMIT_S = 60.0
LOOKS = 4
WATCH = """
window.seen = { percent: [], verdict: [] };
const note = (list, selector) => {
  const text = document.querySelector(selector)?.textContent.trim();
  if (text && list.at(-1) !== text) list.push(text);
};
new MutationObserver(() => {
  note(window.seen.percent, "[data-live=progress] .percent");
  note(window.seen.verdict, "[data-live=verdict] .sentence span:last-child");
}).observe(document, { subtree: true, childList: true, characterData: true });
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


class Release:
    """A release of a project whose database is big enough that one can look on.

    Args:
        folder: of the project.
        rows: of the database.
    """

    command = "doit distribute type=nightly tag=nightly-2025-02-05 staging=1"

    def __init__(self, folder: Path, rows: int) -> None:
        self.project = make_project(folder, parquet=2, config=RECORDED)
        database = self.project.source / "energy.sqlite"
        database.unlink()
        make_database(database, rows)

    def start(self) -> "subprocess.Popen[str]":
        """Begin it."""
        return self.project.start(*self.command.split()[1:])


def open_running(visit: Visit, url: str) -> None:
    """Go to the run that goes on now, by the overview."""
    visit.page.add_init_script(WATCH)

    def find() -> bool:
        visit.page.goto(url)
        return bool(visit.page.locator("[data-live=active] h3 a").count())

    wait_for(find, "no run on the overview")
    visit.page.locator("[data-live=active] h3 a").first.click()


def let_it_be_seen(process: "subprocess.Popen[str]", ledger: Ledger, visit: Visit) -> None:
    """Hold a release whenever its ledger says something new, until the page says it as well."""
    run_id, shown = visit.page.url.rpartition("/")[2], -1

    def is_further() -> bool:
        run = load_run(ledger, run_id)
        assert run is not None
        return run.has_ended or int(run.progress.percent) > shown

    for _ in range(LOOKS):
        wait_for(is_further, f"more than {shown} %")
        os.killpg(process.pid, signal.SIGSTOP)
        run = load_run(ledger, run_id)
        assert run is not None
        if run.has_ended:
            break
        shown = int(run.progress.percent)
        # or more: a stop takes effect a moment after it was asked for
        visit.page.wait_for_function(
            "now => parseInt(document.querySelector('[data-live=progress] .percent')?.textContent)"
            " >= now",
            arg=shown,
        )
        os.killpg(process.pid, signal.SIGCONT)
    os.killpg(process.pid, signal.SIGCONT)


def percents_of(visit: Visit) -> list[int]:
    """Return each percentage that was seen, in order."""
    return [int(each.split()[0]) for each in visit.page.evaluate("window.seen.percent")]


@pytest.mark.slow  # a machine that is fast for a moment shows one percentage only
def test_a_release_is_watched_to_its_end(browser: "Browser", tmp_path: Path, shots: Path) -> None:
    """A real release, the page open: percent moves, only up; the verdict is right at the end."""
    release = Release(tmp_path / "project", rows=1_200_000)
    ledger = open_ledger(ledger_of(release.project))
    with serving(release.project.folder, "--open", "--workers", "0") as server:
        process = release.start()
        try:
            with visiting(browser, shots, DESK) as visit:
                open_running(visit, server.url)
                let_it_be_seen(process, ledger, visit)
                visit.page.locator("main[data-ended]").wait_for(state="attached", timeout=60_000)
                verdict = visit.page.locator(".verdict").inner_text()
                seen = percents_of(visit)
                visit.shoot("released-1280-light")
                visit.check(server.url)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGCONT)
            output, _ = process.communicate(timeout=60)
            ledger.close()
    assert process.returncode == 0, output
    assert "published" in verdict
    assert seen == sorted(seen)
    assert len(seen) > 1, seen


@pytest.mark.slow
def test_a_release_that_is_killed_is_shown_and_resumed(
    browser: "Browser", tmp_path: Path, shots: Path
) -> None:
    """Kill -9 of a real release: aborted, and the command that is shown finishes it."""
    release = Release(tmp_path / "project", rows=400_000)
    ledger_of(release.project)
    with (
        serving(release.project.folder, "--open", "--workers", "0") as server,
        visiting(browser, shots, PHONE) as visit,
    ):
        process = release.start()
        try:
            open_running(visit, server.url)
        finally:
            end_group(process, signal.SIGKILL)
        visit.page.get_by_text("its process is gone").wait_for()
        assert visit.is_in_sight(".verdict")
        command = visit.page.locator("#resume").inner_text()
        visit.shoot("killed-360-light")
        assert command == release.command
        done = release.project.run(*command.split()[1:])
        assert done.returncode == 0, done.stderr
        visit.page.goto(server.url)
        assert visit.page.locator("[data-live=failed] article").count() == 0
        assert "published" in visit.page.locator(".recent li").first.inner_text()
