"""The report of a run: one file, small whatever the run was, that says nothing of its machine."""

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lading.ledger.ledger import Ledger
from lading.ledger.model import ArtifactRow, LogLine, ReceiptRow, ReleaseRow, Step
from lading.ledger.verdict import judge
from lading.web.account import Account, Release, load_account
from lading.web.report import LIMIT_BYTES, render_report
from tests.unit.ledger.made_runs import NOON, make_run, make_step, make_target
from tests.unit.web.filled import FAILED_RUN, NIGHTS, digest_of, fill, run_of_night
from tests.unit.web.reading import Read, read_page

LAST = NIGHTS - 1
TEXTS = ("plain words ", "<&>\"'", "🦆\u202e", "/home/jane/", "x")


def load(ledger: Ledger, run_id: str) -> Account:
    """Load an account that is there."""
    found = load_account(ledger, run_id)
    assert found is not None
    return found


def read_report(account: Account) -> Read:
    """Render a report, and take it apart."""
    data = render_report(account)
    assert len(data) <= LIMIT_BYTES
    return read_page(data.decode())


def test_a_published_run_is_told_whole(sqlite_ledger: Ledger) -> None:
    """Verdict, targets, steps, changes, history, files, citation and origin, in this order."""
    fill(sqlite_ledger)
    read = read_report(load(sqlite_ledger, run_of_night(LAST)))
    words = [
        "published: every object was read back",
        "Targets",
        "compress_sqlite:iowa_energy.sqlite",
        "3 changed, 2 unchanged",
        "The last 30 releases",
        "Cite and verify",
        "weather.sqlite.zip",
        "7 receipts",
        "Provenance",
        digest_of("night 29"),
        "Report of ",
    ]
    places = [read.text.index(each) for each in words[:6]]
    assert places == sorted(places)
    assert all(each in read.text for each in words)


def test_a_failed_run_is_told_with_its_log(sqlite_ledger: Ledger) -> None:
    """What failed, why, how to resume, and what it logged last."""
    fill(sqlite_ledger, nights=1)
    text = read_report(load(sqlite_ledger, FAILED_RUN)).text
    assert "failed at upload:s3-nightly; nothing public was changed" in text
    assert "Resume with doit distribute type=nightly tag=nightly-2025-02-06 staging=1" in text
    assert "503 SlowDown, trying again in 4 s" in text
    assert "Cite and verify" not in text  # there is no release


def test_it_stands_alone(sqlite_ledger: Ledger) -> None:
    """It opens from a disk: no page of a server is linked, nothing is asked for or posted."""
    fill(sqlite_ledger, nights=2)
    data = render_report(load(sqlite_ledger, run_of_night(LAST))).decode()
    read = read_page(data)
    links = [value for tag, name, value in read.attributes if (tag, name) == ("a", "href")]
    assert links[0] == "#main"
    assert all(each.startswith("https://") for each in links[1:])
    assert not {"form", "input", "iframe", "img"} & set(read.tags)
    assert "data-from" not in {name for _, name, _ in read.attributes}
    assert "default-src 'none'" in read.values("content")[-1]


def test_it_is_the_same_for_the_same_account(sqlite_ledger: Ledger) -> None:
    """Equal accounts give equal bytes."""
    fill(sqlite_ledger, nights=2)
    account = load(sqlite_ledger, run_of_night(LAST))
    assert render_report(account) == render_report(account)


def test_it_tells_nothing_of_its_machine(
    sqlite_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders and secrets are out, wherever they stood in the account."""
    monkeypatch.setenv("EXAMPLE_TOKEN", "s3cr3t-of-the-house")
    fill(sqlite_ledger, nights=1)
    account = load(sqlite_ledger, FAILED_RUN)
    told = f"{Path.cwd()}/build/x and /home/jane/y said s3cr3t-of-the-house"
    run = replace(
        account.run,
        error=told,
        command=told,
        steps=(*account.run.steps, make_step("more", "failed", told)),
        targets=(replace(account.run.targets[0], note=told, name=told),),
        receipts=(
            ReceiptRow(
                task="t", place=told, manifest_sha256="", proved_at=NOON, objects=0, size_bytes=0,
                facts={"said": told},
            ),
        ),
    )  # fmt: skip
    line = LogLine(number=1, at=NOON, level=40, task="", text=told)
    data = render_report(
        replace(account, run=run, verdict=judge(run), tails={"more": (line,)})
    ).decode()
    assert "build/x and …/y said ***" in data
    assert "s3cr3t" not in data
    assert "/home/" not in data
    assert str(Path.cwd()) not in data


def make_files(count: int, words: str, night: int) -> tuple[ArtifactRow, ...]:
    """Make files; half of them have other bytes each night, some have tables."""
    return tuple(
        ArtifactRow(
            key=f"{words}{number}",
            size_bytes=1000 + night,
            sha256=digest_of(f"{number} {night if number % 2 else 0}"),
            media_type=words,
            rows={f"{words}{table}": night + table for table in range(3 if number < 50 else 0)},
        )
        for number in range(count)
    )


def make_account(files: int, steps: int, lines: int, words: str, nights: int = 2) -> Account:
    """Make an account of any size, all of its texts being the same words."""
    receipt = ReceiptRow(
        task=words, place=words, manifest_sha256="f" * 64, proved_at=NOON, objects=1, size_bytes=1,
        facts={words: words},
    )  # fmt: skip
    run = make_run(
        "failed",
        error=words,
        failed_at=f"{words}7",
        command=words,
        title=words,
        ci_url=f"https://example.org/{words}",
        manifest_sha256="e" * 64,
        steps=tuple(
            Step(
                task=f"{words}{number}",
                state="failed" if number == 7 else "done",
                detail=words,
                started_at=NOON + timedelta(seconds=number),
                ended_at=NOON + timedelta(seconds=number + 1),
            )
            for number in range(steps)
        ),
        targets=tuple(
            replace(
                make_target(f"gcs/{words}{number}", "done"), url=f"https://example.org/{number}"
            )
            for number in range(steps // 10)
        ),
        receipts=(receipt,) * (steps // 10),
    )
    history: list[Release] = [
        (
            ReleaseRow(
                project=words, channel=words, tag=words, environment="production",
                manifest_sha256=f"{night:064d}" if night < nights - 1 else "e" * 64,
                published_at=NOON + timedelta(days=night), run_id="r", files=files,
                size_bytes=files * 1000, doi=words,
            ),
            make_files(files, words, night),
        )
        for night in range(nights)
    ]  # fmt: skip
    line = LogLine(number=1, at=NOON, level=40, task=words, text=words)
    return Account(
        run=run,
        verdict=judge(run),
        release=history[-1][0],
        artifacts=history[-1][1],
        tails={words: (line,) * lines, "": (line,) * lines},
        history=tuple(history),
        at=NOON,
    )


@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow])
@given(
    files=st.integers(0, 1_500),
    steps=st.integers(0, 500),
    lines=st.integers(0, 200),
    words=st.sampled_from(TEXTS),
    times=st.integers(0, 400),
)
@example(files=20_000, steps=10_000, lines=40, words="out_eia923__", times=1)
@example(files=100, steps=300, lines=40, words="&", times=10_000)
@example(files=20, steps=10, lines=40, words="log ", times=40_000)
def test_it_is_small_whatever_the_run(
    files: int, steps: int, lines: int, words: str, times: int
) -> None:
    """20,000 files, 10,000 steps, megabytes of log: below the limit, and what is cut is told."""
    text = read_report(make_account(files, steps, lines, words * times)).text
    shown = {int(each.replace(",", "")) for each in re.findall(r"([\d,]+) steps? more", text)}
    assert bool(shown) == (text.count("Steps") == 1 and "steps more left out" in text)
    if files == 20_000:
        assert re.search(r"1\d,\d{3} files more left out: release.json and SHA256SUMS", text)
        assert re.search(r"9,\d{3} steps more left out", text)
        assert "out_eia923__7" in text  # what failed is among those that are shown
    if times > 30_000:
        assert "more characters left out" in text


def test_a_history_is_drawn_from_two_releases_on(sqlite_ledger: Ledger) -> None:
    """One release is no line."""
    fill(sqlite_ledger, nights=1)
    assert "svg" in read_report(load(sqlite_ledger, run_of_night(LAST))).tags
    assert "Rows by table" not in read_report(load(sqlite_ledger, run_of_night(LAST))).text
