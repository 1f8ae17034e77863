"""``lading status``: the verdict first, and an exit code that says it too."""

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from lading.storage.owner import name_process
from tests.unit.cli.conftest import Call
from tests.unit.cli.ledger_project import (
    COMMAND,
    PROMOTE,
    UPLOAD,
    LedgerProject,
    begin,
    end,
    fail,
    publish,
    run_name,
    run_on,
    step,
    target,
    texts,
)

if TYPE_CHECKING:
    from lading.ledger.model import StepState


def test_published(project: LedgerProject, call: Call) -> None:
    """A release that is out: the verdict, the matrix, the steps, where it comes from; code 0."""
    publish(project.open())
    answer = call("status")
    assert answer.code == 0
    assert max(map(len, answer.lines)) <= 80
    assert texts(answer.lines) == [
        "published: every object was read back",
        "",
        "demo nightly nightly-2025-02-05",
        f"run {run_name(0)}, began 2025-02-05 12:00:00 UTC, took 3 min 00 s",
        "",
        "what where files size state verified at (UTC)",
        "upload gcs 3 2.5 MB done 2025-02-05 12:01:00",
        "promote gcs/nightly 3 2.5 MB done 2025-02-05 12:01:00",
        "zenodo sandbox 3 2.5 MB done 2025-02-05 12:01:00",
        "",
        "step state took detail",
        "upload:gcs-nightly done 1 min 05 s 3 files, 2.5 MB",
        "promote:gcs-nightly done 1 min 05 s 3 files, 2.5 MB",
        "zenodo done 1 min 05 s 3 files, 2.5 MB",
        "",
        "tag nightly-2025-02-05",
        "commit c0ffee",
        "CI run https://ci.example/7",
        "process process 7 on laptop",
    ]


def test_failed(project: LedgerProject, call: Call) -> None:
    """A release that failed: where, why, the command that resumes, the log to read; code 1."""
    fail(project.open(), error="no such bucket\nit was 'demo'")
    answer = call("status")
    assert answer.code == 1
    assert answer.lines[:5] == [
        "failed at upload:gcs-nightly; nothing public was changed by this run",
        "  no such bucket",
        "  it was 'demo'",
        f"resume with: {COMMAND}",
        f"its log:     lading logs {run_name(0)} --step upload:gcs-nightly",
    ]


def test_partial(project: LedgerProject, call: Call) -> None:
    """A release that readers see, and that is not done, is partial; code 1."""
    ledger = project.open()
    run_id = begin(ledger)
    target(ledger, run_id, PROMOTE, "done")
    end(ledger, run_id, "failed", failed_at="zenodo", error="Zenodo is away")
    answer = call("status")
    assert answer.code == 1
    assert answer.lines[0].startswith("partial: failed at zenodo; every public prefix has")


def test_running(project: LedgerProject, call: Call) -> None:
    """A run that goes on: how far, how fast, how long still; code 0."""
    run_on(project.open())
    answer = call("status")
    assert answer.code == 0
    assert answer.lines[0] == (
        "running at upload:gcs-nightly: 43 %, 430 B of 1.0 kB, 2.0 MB/s, 2 min 05 s left"
    )


def test_killed(project: LedgerProject, call: Call) -> None:
    """A run goes on as long as its process does, and is aborted the moment it is killed."""
    child = subprocess.Popen(["sleep", "60"])
    try:
        run_on(project.open(), process=name_process(child.pid))
        before = call("status")
    finally:
        child.kill()
        child.wait()
    after = call("status")
    assert (before.code, before.out.partition(" ")[0]) == (0, "running")
    assert (after.code, after.out.partition(" ")[0]) == (1, "aborted")


def test_what_a_target_says(project: LedgerProject, call: Call) -> None:
    """A link is not folded; what its step says stands there alone, unless it was skipped."""
    ledger = project.open()
    run_id = begin(ledger)
    url = f"https://a.example/{'x' * 90}"
    states: dict[str, StepState] = {UPLOAD: "done", PROMOTE: "skipped"}
    for task, state in states.items():
        step(ledger, run_id, task, state, f"why {state}")
        target(ledger, run_id, task, state, note=f"why {state}", url=url)
    end(ledger, run_id)
    lines = call("status").lines
    assert lines.count(f"  {url}") == 2
    assert lines.count("  why skipped") == 1
    assert lines.count("  why done") == 0


def test_aborted(project: LedgerProject, call: Call) -> None:
    """A run whose process is gone does not run for ever: aborted, its step too; code 1."""
    gone = f"{name_process().partition('/')[0]}/999999999/1"
    run_on(project.open(), process=gone)
    answer = call("status")
    assert answer.code == 1
    assert answer.lines[0].startswith("aborted at upload:gcs-nightly: its process is gone")
    assert f"resume with: {COMMAND}" in answer.lines
    assert "upload:gcs-nightly interrupted at 43 %" in texts(answer.lines)
    assert "last heard of" in answer.out


def test_the_run_that_is_meant(project: LedgerProject, call: Call) -> None:
    """The newest run is shown, or the one whose name begins so, or the newest that fits."""
    ledger = project.open()
    publish(ledger, 0)
    fail(ledger, 1)
    assert run_name(1) in call("status").out
    assert run_name(0) in call("status", run_name(0)).out
    assert run_name(0) in call("status", run_name(0)[:8]).out
    assert call("status", "--channel", "nightly", "--project", "demo").code == 1
    for words in (("--channel", "stable"), ("--environment", "dev"), ("--project", "other")):
        assert call("status", *words).code == 1


@pytest.mark.parametrize("name", ["2025", "1999", "../x", "%"])
def test_no_such_run(project: LedgerProject, call: Call, name: str) -> None:
    """A name that no run, or more than one, begins with is one line that names the nearest."""
    ledger = project.open()
    publish(ledger, 0)
    publish(ledger, 1)
    answer = call("status", name)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("ERROR: ")
    assert run_name(1) in answer.err


def test_json(project: LedgerProject, call: Call) -> None:
    """`--json` tells the same, with the same exit code."""
    fail(project.open())
    answer = call("status", "--json")
    table = json.loads(answer.out)
    assert answer.code == 1
    assert table["run_id"] == run_name(0)
    assert table["verdict"]["word"] == "failed"
    assert table["verdict"]["resume"] == COMMAND
    assert [each["task"] for each in table["steps"]] == [UPLOAD]
    assert table["started_at"] == "2025-02-05T12:00:00.000Z"


def test_what_steers_a_terminal_is_not_printed(project: LedgerProject, call: Call) -> None:
    """Texts of a ledger are anybody's: none moves the cursor, or takes a line of its own."""
    ledger = project.open()
    evil = "\x1b[2J\x1b]0;x\x07\rpublished: all is well"
    run_id = begin(ledger, title=evil, tool_version=evil)
    step(ledger, run_id, UPLOAD, "failed", evil)
    target(ledger, run_id, UPLOAD, "failed", note=f"why\n{evil}", url=f"https://a.example/{evil}")
    end(ledger, run_id, "failed", failed_at=f"{UPLOAD}\n{evil}", error=f"no\n{evil}")
    answer = call("status")
    assert answer.out.replace("\n", "").isprintable()
    assert not any(line.startswith("published") for line in answer.lines)
    again = call("status", "--json").out
    assert again.replace("\n", "").isprintable()


def test_a_long_error_is_cut(project: LedgerProject, call: Call) -> None:
    """A trace of many lines does not push the way on out of sight: the log has all of it."""
    fail(project.open(), error="\n".join(f"line {number}" for number in range(100)))
    lines = call("status").lines
    assert lines[20:23] == ["  line 19", "  ... and 80 more lines", f"resume with: {COMMAND}"]
