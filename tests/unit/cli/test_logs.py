"""``lading logs``: what was logged, what comes, each line once."""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lading.cli import logs
from lading.cli.logs import follow, render_line
from lading.ledger.model import LogLine
from lading.storage.owner import name_process
from tests.unit.cli.conftest import Call
from tests.unit.cli.ledger_project import (
    UPLOAD,
    LedgerProject,
    end,
    log,
    make_project,
    publish,
    run_name,
    run_on,
)

LINES = (
    (10, UPLOAD, "asked"),
    (20, "", "two of three"),
    (30, UPLOAD, "slow"),
    (40, UPLOAD, "gone\nfor good"),
)
SHOWN = [
    "12:00:00 DEBUG   upload:gcs-nightly: asked",
    "12:00:01 INFO    two of three",
    "12:00:02 WARNING upload:gcs-nightly: slow",
    "12:00:03 ERROR   upload:gcs-nightly: gone",
    "12:00:03 ERROR   upload:gcs-nightly: for good",
]


@pytest.fixture(scope="module")
def ledger_of_lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a ledger with a run that logged a few lines, after one that did too."""
    project = make_project(tmp_path_factory.mktemp("lines"))
    ledger = project.open()
    log(ledger, publish(ledger, 1), *LINES)
    log(ledger, publish(ledger, 0), *[(50, "check", "of another run")] * 3)
    ledger.close()
    return project.file


@pytest.fixture
def run_id(project: LedgerProject, ledger_of_lines: Path) -> str:
    """Put that ledger into the project in the working folder; return the newer run."""
    shutil.copy(ledger_of_lines, project.file)
    return run_name(1)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), SHOWN),
        (("--level", "warning"), SHOWN[2:]),
        (("--level", "critical"), []),
        (("--step", UPLOAD), [SHOWN[0], *SHOWN[2:]]),
        (("--step", "zenodo"), []),
        (("--tail", "2"), SHOWN[2:]),
        (("--tail", "1", "--level", "debug", "--step", UPLOAD), SHOWN[3:]),
        (("--tail", "0"), []),
        (("--tail", "99"), SHOWN),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
def test_logs(run_id: str, call: Call, words: tuple[str, ...], expected: list[str]) -> None:
    """The lines of a run, of one step, of a level and above, the last ones."""
    answer = call("logs", *words)
    assert (answer.code, answer.lines) == (0, expected)
    nothing = f"{run_id}: no such lines were logged\n"
    assert answer.err == ("" if expected or words == ("--tail", "0") else nothing)


def test_logs_of_many_pages(run_id: str, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read page by page is shown whole, each line once."""
    for size in (1, 2, 4, 5):
        monkeypatch.setattr(logs, "PAGE", size)
        assert call("logs", run_id).lines == SHOWN


def test_logs_as_json(run_id: str, call: Call) -> None:
    """`--json` is an object a line, as they were logged."""
    tables = [json.loads(each) for each in call("logs", "--json", run_id).lines]
    assert [each["level"] for each in tables] == ["debug", "info", "warning", "error"]
    assert tables[3]["text"] == "gone\nfor good"
    assert tables[0]["at"] == "2025-02-05T12:00:00.000Z"
    assert [each["number"] for each in tables] == sorted({each["number"] for each in tables})


def test_a_step_that_the_run_does_not_have(run_id: str, call: Call) -> None:
    """A step that is misspelt is not shown as one that logged nothing."""
    answer = call("logs", run_id, "--step", "uplod:gcs-nightly")
    assert answer.code == 3
    assert "did you mean 'upload:gcs-nightly'?" in answer.err


@pytest.mark.parametrize("number", ["-1", "x", "1.5", "9999999999"])
def test_a_tail_that_is_no_number(
    call: Call, capsys: pytest.CaptureFixture[str], number: str
) -> None:
    """What is no number of lines ends as usage does."""
    with pytest.raises(SystemExit) as ended:
        call("logs", f"--tail={number}")
    assert ended.value.code == 3
    assert "expected a number from 0 on" in capsys.readouterr().err


def test_a_line_steers_nothing() -> None:
    """A text with line ends or sequences cannot pass for other lines."""
    at = datetime(2025, 2, 5, 12, tzinfo=UTC)
    evil = "one\x1b[2J\r12:00:00 ERROR check: forged\n12:00:01 ERROR check: too"
    line = LogLine(number=1, at=at, level=25, task="fetch\n", text=evil)
    assert render_line(line).splitlines() == [
        "12:00:00 INFO    fetch: one",
        "12:00:00 INFO    fetch: 12:00:00 ERROR check: forged",
        "12:00:00 INFO    fetch: 12:00:01 ERROR check: too",
    ]
    assert render_line(LogLine(number=2, at=at, level=50, task="", text="")) == (
        "12:00:00 CRITICAL\n"
    )


def lines_of(*numbers: int) -> list[LogLine]:
    """Make lines of these numbers."""
    at = datetime(2025, 2, 5, 12, tzinfo=UTC)
    return [LogLine(number=each, at=at, level=20, task="", text=str(each)) for each in numbers]


def test_follow_shows_each_line_once() -> None:
    """Lines that come between two looks, and those that came last, are each shown once."""
    written = lines_of(1, 2)
    pauses = [[3], [], [4, 5]]
    shown: list[int] = []

    def read(after: int) -> Iterator[LogLine]:
        return iter([each for each in written if each.number > after])

    last = follow(
        is_over=lambda: not pauses,
        read=read,
        show=lambda line: shown.append(line.number),
        pause=lambda: written.extend(lines_of(*pauses.pop(0))),
    )
    assert shown == [1, 2, 3, 4, 5]
    assert last == 5


def test_follow_misses_nothing_that_was_written_before_the_end() -> None:
    """What is logged after the last look and before the end is still shown."""
    written = lines_of(1)
    shown: list[int] = []

    def is_over() -> bool:
        written.extend(lines_of(2))  # the run logs once more, and ends
        return True

    follow(
        is_over,
        lambda after: (each for each in written if each.number > after),
        lambda line: shown.append(line.number),
        lambda: None,
    )
    assert shown == [1, 2]


def test_follow_until_the_run_ended(
    project: LedgerProject, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--follow` shows what there is, then what comes, and says how the run ended."""
    ledger = project.open()
    run_id = run_on(ledger)
    log(ledger, run_id, (20, UPLOAD, "one"), (20, UPLOAD, "two"))
    events = [lambda: log(ledger, run_id, (20, UPLOAD, "three")), lambda: end(ledger, run_id)]
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        events.pop(0)()

    monkeypatch.setattr("time.sleep", sleep)
    answer = call("logs", "--follow", "--tail", "1")
    assert [each.rpartition(" ")[2] for each in answer.lines] == ["two", "three"]
    assert answer.err == f"{run_id}: published: every object was read back\n"
    assert (answer.code, waited) == (0, [logs.PAUSE_S] * 2)


def test_follow_of_a_run_that_is_gone(
    project: LedgerProject, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose process is gone logs nothing more: nobody waits for it."""
    gone = f"{name_process().partition('/')[0]}/999999999/1"
    run_on(project.open(), process=gone)
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("it waited"))
    answer = call("logs", "--follow", run_name(0))
    assert answer.code == 0
    assert f"{run_name(0)}: aborted at upload:gcs-nightly" in answer.err


def test_follow_until_ctrl_c(
    project: LedgerProject, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C ends it with 130, and no trace."""
    run_on(project.open())

    def sleep(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)
    answer = call("logs", "--follow")
    assert (answer.code, answer.out, answer.err) == (130, "", "")
