"""Names of runs, and where a project's ledger stands."""

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from lading.config.ledger import Ledger
from lading.ledger.names import is_run_name, ledger_url, name_run
from tests.unit.ledger.made_rows import AT, after


def test_names_of_runs_sort_as_they_began() -> None:
    """A name tells its moment in UTC, wherever it was made, and is no other run's."""
    elsewhere = AT.astimezone(timezone(timedelta(hours=5)))
    names = [name_run(each) for each in (elsewhere, after(1), after(3600), after(86_400))]
    assert names == sorted(names)
    assert names[0].startswith("20250205T203012-")
    assert len({name_run(AT) for _ in range(100)}) == 100
    assert all(map(is_run_name, [*names, name_run()]))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20250205T203012",
        "20250205T203012-5F3A09C1DE",
        "20250205T203012-5f3a09c1de\n",
        "../20250205T203012-5f3a09c1de",
    ],
)
def test_other_texts_are_no_names(text: str) -> None:
    """What comes from outside is checked before it is looked for."""
    assert not is_run_name(text)


def test_ledger_stands_beside_the_build_unless_told_otherwise(tmp_path: Path) -> None:
    """The variable comes first, then the configuration, then a file in the work folder."""
    team = Ledger(url="postgresql://robot@db.example.org/lading")
    environment = {"LADING_LEDGER_URL": "postgres://robot:word@other.example.org/lading"}
    assert ledger_url(Ledger(), tmp_path, {}) == f"sqlite:///{tmp_path}/ledger.db"
    assert ledger_url(team, tmp_path, {}) == "postgresql+psycopg://robot@db.example.org/lading"
    for settings in (team, Ledger()):
        assert ledger_url(settings, tmp_path, environment) == (
            "postgresql+psycopg://robot:word@other.example.org/lading"
        )
    assert ledger_url(team, tmp_path, {"LADING_LEDGER_URL": ""}).endswith("@db.example.org/lading")


def test_variable_has_the_name_that_the_configuration_says(tmp_path: Path) -> None:
    """A project may have its own variable; the usual one is not read then."""
    settings = Ledger(url_variable="OUR_LEDGER")
    environment = {"OUR_LEDGER": "sqlite:////data/a.db", "LADING_LEDGER_URL": "sqlite:////b.db"}
    assert ledger_url(settings, tmp_path, environment) == "sqlite:////data/a.db"


def test_file_is_named_from_the_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A relative work folder is made absolute: a child in another folder finds the same file."""
    monkeypatch.chdir(tmp_path)
    assert ledger_url(Ledger(), Path("work"), {}) == f"sqlite:///{tmp_path}/work/ledger.db"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_names_that_postgresql_has_for_itself_are_one(scheme: str, tmp_path: Path) -> None:
    """Which driver is used is not for people to say."""
    at = datetime.now().astimezone()
    assert is_run_name(name_run(at))
    url = ledger_url(Ledger(url=f"{scheme}://h/d"), tmp_path, {})
    assert url == "postgresql+psycopg://h/d"
