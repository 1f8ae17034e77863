"""``lading ledger``: where it stands, what it holds, what describes it."""

import json

import pytest

from lading.ledger.migrate import REVISIONS
from tests.unit.cli.conftest import Call
from tests.unit.cli.ledger_project import UPLOAD, LedgerProject, log, publish


def test_path(bare_project: LedgerProject, call: Call) -> None:
    """The path alone is printed, so that other commands take it, before there is a file too."""
    answer = call("ledger", "path")
    assert (answer.code, answer.out) == (0, f"{bare_project.file}\n")
    assert not bare_project.file.exists()


def test_check(project: LedgerProject, call: Call) -> None:
    """One line tells the schema and what there is."""
    ledger = project.open()
    log(ledger, publish(ledger), (20, UPLOAD, "one"), (20, UPLOAD, "two"))
    answer = call("ledger", "check")
    assert answer.out == (
        f"{project.file}: schema {REVISIONS[-1]};"
        " 1 project, 1 run, 3 steps, 2 log lines, 0 releases, 0 tokens\n"
    )


@pytest.mark.usefixtures("project")
def test_metadata(call: Call) -> None:
    """What Datasette is given is JSON that describes the database by its name."""
    table = json.loads(call("ledger", "metadata").out)
    assert "ledger" in table["databases"]
