"""What the tests of the commands share: a project in this folder, and a way to call them."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from lading.cli import main
from tests.unit.cli.ledger_project import LedgerProject, make_project


@dataclass(frozen=True)
class Answer:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines on stdout."""
        return self.out.splitlines()


Call = Callable[..., Answer]


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a ledger without runs: made once, copied by each test."""
    project = make_project(tmp_path_factory.mktemp("ledger"))
    project.open().close()
    return project.file


@pytest.fixture
def bare_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LedgerProject:
    """A project in the working folder, without a ledger."""
    monkeypatch.chdir(tmp_path)
    for name in ("LADING_LEDGER_URL", "COLUMNS", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return make_project(tmp_path)


@pytest.fixture
def project(bare_project: LedgerProject, empty_ledger: Path) -> LedgerProject:
    """A project in the working folder, with a ledger that holds nothing."""
    bare_project.file.parent.mkdir()
    shutil.copy(empty_ledger, bare_project.file)
    return bare_project


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Return what calls `lading`, in this process."""

    def act(*words: str) -> Answer:
        code = main(list(words))
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return act
