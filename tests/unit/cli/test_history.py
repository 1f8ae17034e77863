"""``lading history``: the runs, newest first, one line each."""

import json
import shutil
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.cli.history import STATES
from lading.cli.history_view import shorten
from lading.ledger.model import RunState
from lading.storage.owner import name_process
from tests.unit.cli.conftest import Call
from tests.unit.cli.ledger_project import (
    PROMOTE,
    UPLOAD,
    LedgerProject,
    begin,
    end,
    fail,
    make_project,
    publish,
    run_name,
    run_on,
    step,
    target,
    texts,
)


@pytest.fixture(scope="module")
def ledger_of_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a ledger with a run of each kind of verdict."""
    project = make_project(tmp_path_factory.mktemp("runs"))
    ledger = project.open()
    publish(ledger, 0)
    same = begin(ledger, 1)
    step(ledger, same, UPLOAD, "unchanged")
    end(ledger, same, number=1)
    fail(ledger, 2, environment="staging")
    half = begin(ledger, 3, channel="stable", tag="v1.2.3")
    target(ledger, half, PROMOTE, "done")
    end(ledger, half, "failed", number=3, failed_at="zenodo")
    end(ledger, begin(ledger, 4, kind="check", is_release=False), number=4)
    run_on(ledger, 5, process=f"{name_process().partition('/')[0]}/999999999/1")
    ledger.close()
    return project.file


@pytest.fixture
def runs(project: LedgerProject, ledger_of_runs: Path) -> None:
    """Put that ledger into the project in the working folder."""
    shutil.copy(ledger_of_runs, project.file)


@pytest.mark.usefixtures("runs")
def test_history(call: Call) -> None:
    """Each run is one line of 80 columns; partial and unchanged are told from their kin."""
    answer = call("history")
    assert answer.code == 0
    assert max(map(len, answer.lines)) <= 80
    assert texts(answer.lines) == [
        "began what verdict took size run",
        "02-10 12:00 nightly-2025-02-05 aborted - - 20250210T120000",
        "02-09 12:00 …htly-2025-02-05 check done 0:03:00 - 20250209T120000",
        "02-08 12:00 stable v1.2.3 partial 0:03:00 - 20250208T120000",
        "02-07 12:00 …-2025-02-05 (staging) failed 0:03:00 - 20250207T120000",
        "02-06 12:00 nightly-2025-02-05 unchanged 0:03:00 - 20250206T120000",
        "02-05 12:00 nightly-2025-02-05 published 0:03:00 2.5 MB 20250205T120000",
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--limit", "2"), [5, 4]),
        (("--state", "failed"), [3, 2]),
        (("--state", "running"), [5]),
        (("--state", "queued"), []),
        (("--channel", "stable"), [3]),
        (("--environment", "staging"), [2]),
        (("--kind", "check"), [4]),
        (("--project", "demo", "--limit", "1"), [5]),
        (("--project", "other"), []),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
@pytest.mark.usefixtures("runs")
def test_history_of_some(call: Call, words: tuple[str, ...], expected: list[int]) -> None:
    """Filters and the limit say which runs are shown."""
    table = json.loads(call("history", "--json", *words).out)
    assert [each["run_id"] for each in table["runs"]] == [run_name(each) for each in expected]


def test_history_without_runs(project: LedgerProject, call: Call) -> None:
    """A ledger without runs, and filters that none passes, say so."""
    assert call("history").lines == ["no runs"]
    publish(project.open())
    assert call("history", "--project", "other").lines == ["no runs"]


@pytest.mark.usefixtures("runs")
def test_history_tells_what_it_does_not_show(call: Call) -> None:
    """A list that is cut says how many more there are, and JSON how many in all."""
    assert call("history", "--limit", "2").lines[-1] == "... and 4 more: --limit shows them"
    table = json.loads(call("history", "--limit", "2", "--json").out)
    assert table["total"] == 6
    words = {each["verdict"]["word"] for each in json.loads(call("history", "--json").out)["runs"]}
    assert words == {"published", "unchanged", "failed", "partial", "done", "aborted"}


def test_history_of_what_goes_on(project: LedgerProject, call: Call) -> None:
    """A run that goes on shows how far it is, and for how long."""
    run_on(project.open())
    line = texts(call("history").lines)[1]
    assert "nightly-2025-02-05 running 43%" in line
    assert " days - 20250205T120000" in line


@pytest.mark.parametrize("number", ["0", "-1", "many", "100000"])
def test_a_limit_that_is_none(call: Call, capsys: pytest.CaptureFixture[str], number: str) -> None:
    """What is no number of runs ends as usage does."""
    with pytest.raises(SystemExit) as ended:
        call("history", f"--limit={number}")
    assert ended.value.code == 3
    assert "expected a number from 1 to 99999" in capsys.readouterr().err


def test_states_are_the_ledgers() -> None:
    """The states that can be asked for are those that the ledger has."""
    assert get_args(RunState) == STATES


@settings(max_examples=50)
@given(st.lists(st.integers(0, 999), unique=True, min_size=1))
def test_short_names_are_beginnings_that_tell_runs_apart(numbers: list[int]) -> None:
    """A short name is the beginning of one run alone of those shown, and never shorter than 15."""
    names = [f"20250205T120000-{number:010x}" for number in numbers]
    short = shorten(names)
    assert len(set(short)) == len(names)
    assert all(whole.startswith(each) for whole, each in zip(names, short, strict=True))
    assert min(map(len, short)) >= 15
