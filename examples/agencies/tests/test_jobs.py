"""The team's jobs and tables, tested as its own CI does: `python -m pytest`."""

import csv
import json
from pathlib import Path

import make_landing
import pyarrow as pa
import pytest
from pyarrow import parquet

from lading import cli
from lading.jobs import ExitCode, require_clean_imports
from lading.jobs.registry import load_registry

HERE = Path(__file__).parents[1]
NAMES = (HERE / "agencies.txt").read_text().split()


def test_imports_change_nothing() -> None:
    """`lading jobs` imports all jobs: none may open a file or a connection then."""
    require_clean_imports("agencies", base=HERE)


def test_all_jobs_can_be_run() -> None:
    """No job is broken, and none has the name of another."""
    found = load_registry(["agencies"], HERE)

    assert found.is_sound
    assert {"daily_totals", "report"} <= {each.name for each in found.jobs}


def test_tables_agree() -> None:
    """Both lists name the same agencies, and each of them has stations."""
    formats = [json.loads(line) for line in (HERE / "formats.jsonl").read_text().splitlines()]
    with (HERE / "readings" / "stations.csv").open(newline="") as file:
        stations = list(csv.DictReader(file))

    assert len(set(NAMES)) == len(NAMES)
    assert [each["agency"] for each in formats] == NAMES
    assert {each["format"] for each in formats} == {"csv", "jsonl"}
    assert {each["agency"] for each in stations} == set(NAMES)
    assert len({each["station"] for each in stations}) == len(stations)


def test_landing_is_the_same_every_time() -> None:
    """Equal arguments give equal objects; each kind of dirt is among them."""
    delivery = make_landing.Delivery(tuple(make_landing.load_agencies()[:4]), objects=20)
    made = [each for _, each in delivery]

    assert made == [each for _, each in delivery]
    assert {kind for each in made for _, kind in each.dirty_rows} == set(make_landing.DIRT)
    assert {each.dirty for each in made} == {"", *make_landing.DIRTY_FILES}


@pytest.fixture
def silver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the silver of an agency, in a project that has the team's jobs."""
    text = (HERE / "lading.toml").read_text().replace("s3://rivers-lake", "lake")
    (tmp_path / "lading.toml").write_text(text)
    (tmp_path / "agencies").symlink_to(HERE / "agencies")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "lake" / "silver" / "ia" / "month=2025-01"
    folder.mkdir(parents=True)
    table = pa.table(
        {
            "day": pa.array([20089, 20089, 20090], pa.date32()),
            "station": ["ia-01", "ia-02", "ia-01"],
            "parameter": ["stage"] * 3,
            "value": [1.0, 2.5, 4.0],
        }
    )
    parquet.write_table(table, folder / "part-00000.parquet")
    return tmp_path / "lake"


def test_daily_totals(silver: Path) -> None:
    """A day is a line of its mean; the second run is not one."""
    argv = ["run", "daily_totals", "--", "--source=lake/silver/ia", "--destination=lake/totals/ia"]
    assert cli.main(argv) == 0
    written = silver / "totals" / "ia" / "daily.csv"
    assert written.read_text() == (
        "day,parameter,readings,stations,mean\n"
        "2025-01-01,stage,2,2,1.75\n"
        "2025-01-02,stage,1,1,4.00\n"
    )
    before = written.stat().st_mtime_ns
    assert cli.main(argv) == 0
    assert written.stat().st_mtime_ns == before


def test_report(silver: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line an agency; where there is no silver, bad data."""
    assert cli.main(["run", "report", "--", "lake/silver"]) == 0
    assert "ia    1 files       3 readings  until 2025-01" in capsys.readouterr().out
    (silver / "empty").mkdir()
    assert cli.main(["run", "report", "--", "lake/empty"]) == ExitCode.BAD_DATA
    assert cli.main(["run", "report"]) == ExitCode.CONFIGURATION
