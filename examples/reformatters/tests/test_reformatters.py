"""The worker, as a container runs it; `python -m pytest` of the job `quality` runs these."""

import json
from pathlib import Path

import pytest
from reformatters.__main__ import main
from reformatters.catalog import FOLDER
from reformatters.kubernetes import UPDATES, cron_jobs
from reformatters.worker import HOURS

DAY = "--date=2026-08-01"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that STORE names, as a URL."""
    monkeypatch.setenv("STORE", (tmp_path / "v0.2.0").as_uri())
    return tmp_path / "v0.2.0"


def read_all(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file below a folder, by path."""
    files = (each for each in folder.rglob("*") if each.is_file())
    return {each.relative_to(folder).as_posix(): each.read_bytes() for each in files}


@pytest.mark.parametrize("name", sorted(each.name for each in FOLDER.iterdir()))
def test_a_template_is_of_its_dataset(name: str) -> None:
    """Each template names its own dataset, and a version."""
    attributes = json.loads((FOLDER / name / "zarr.json").read_text())["attributes"]

    assert attributes["dataset_id"] == name
    assert attributes["dataset_version"]


@pytest.mark.parametrize("name", sorted(UPDATES))
def test_workers_are_told_how_many_they_are(name: str) -> None:
    """What an Indexed Job asks for is what its workers share the work by."""
    update = cron_jobs(name, "image")[0]["spec"]["jobTemplate"]["spec"]
    variables = update["template"]["spec"]["containers"][0]["env"]

    said = {each["name"]: each["value"] for each in variables}
    assert said["JOB_COMPLETIONS"] == str(update.get("completions", 1))


def test_updates_make_a_day_whole(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers of one Indexed Job, in any order, write what one worker alone would."""
    monkeypatch.setenv("JOB_COMPLETIONS", "5")
    for index in (3, 0, 4, 1, 2):
        assert main(["validate", "noaa-gfs-analysis", DAY]) == 1
        monkeypatch.setenv("JOB_COMPLETION_INDEX", str(index))
        assert main(["update", "noaa-gfs-analysis", DAY]) == 0

    assert main(["validate", "noaa-gfs-analysis", DAY]) == 0
    assert len(read_all(store)) == len(HOURS) + 1  # and the group


def test_an_update_may_be_repeated(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second time nothing is written, and the bytes are the same."""
    assert main(["update", "noaa-gfs-analysis", DAY]) == 0
    before = read_all(store)
    capsys.readouterr()

    assert main(["update", "noaa-gfs-analysis", DAY]) == 0

    assert "0 of 24 hours written" in capsys.readouterr().out
    assert read_all(store) == before


def test_a_hole_is_found(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A validation names the hours that are missing, and fails."""
    assert main(["update", "noaa-gfs-analysis", DAY]) == 0
    (store / "2026/08/01/07.json").unlink()

    assert main(["validate", "noaa-gfs-analysis", DAY]) == 1
    assert "found none or others at 07" in capsys.readouterr().err


@pytest.mark.usefixtures("store")
def test_another_version_is_never_overwritten(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Code of one version refuses the store of another."""
    assert main(["update", "noaa-gfs-analysis", DAY]) == 0
    group = tmp_path / "v0.2.0" / "zarr.json"
    group.write_text(group.read_text().replace("0.2.0", "0.1.0"))

    assert main(["update", "noaa-gfs-analysis", DAY]) == 1
    said = "expected noaa-gfs-analysis 0.2.0, found noaa-gfs-analysis 0.1.0"
    assert said in capsys.readouterr().err
    monkeypatch.setenv("STORE", "s3://bucket")
    assert main(["update", "noaa-gfs-analysis", DAY]) == 1
    assert "expected a folder or a file:// URL" in capsys.readouterr().err


def test_files_are_archived_once(store: Path) -> None:
    """The listing of a day's files is kept, and stays as it is."""
    for _ in range(2):
        assert main(["archive-grib-files", "dwd-icon-eu-forecast-5-day", DAY]) == 0

    assert list(read_all(store)) == ["archive/2026-08-01.json"]
