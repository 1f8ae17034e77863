"""What a run knows of its project."""

from pathlib import Path

import pytest

from lading.config.jobs import Jobs
from lading.errors import MisconfiguredError
from lading.jobs.settings import JobSettings, load_settings, settings_here

TOML = '[project]\nname = "acme"\n[jobs]\nstores = ["./state"]\nlease_seconds = 60\n'


def test_without_a_configuration(tmp_path: Path) -> None:
    """A folder alone is a project: its memory stands below ``build``."""
    settings = load_settings(tmp_path)
    assert (settings.base, settings.project, settings.config_path) == (tmp_path, "jobs", None)
    assert settings.stores == ("build/jobs",)
    assert settings.open_store(settings.stores[0]).url == str(tmp_path / "build/jobs")


def test_with_one(tmp_path: Path) -> None:
    """``[jobs]`` of a lading.toml, or of a pyproject.toml, counts."""
    (tmp_path / "lading.toml").write_text(TOML)
    settings = load_settings(tmp_path)
    assert (settings.project, settings.stores) == ("acme", ("./state",))
    assert settings.jobs.lease_seconds == 60
    assert settings.config_path == tmp_path / "lading.toml"
    (tmp_path / "lading.toml").unlink()
    (tmp_path / "pyproject.toml").write_text(
        '[tool.lading.project]\nname = "other"\n[tool.lading.jobs]\n'
    )
    assert load_settings(tmp_path).project == "other"


@pytest.mark.parametrize("text", ["", "# [tool.lading] is for others\n[tool.ruff]\n"])
def test_a_pyproject_of_others(tmp_path: Path, text: str) -> None:
    """A pyproject.toml without our table is no configuration."""
    (tmp_path / "pyproject.toml").write_text(text)
    assert load_settings(tmp_path).config_path is None


def test_another_file(tmp_path: Path) -> None:
    """``--config`` names another file; relative paths start beside it."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/jobs.toml").write_text(TOML)
    settings = load_settings(tmp_path, "etc/jobs.toml")
    assert settings.base == tmp_path / "etc"


def test_every_command_has_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``LADING_CONFIG`` counts for all commands, and a file that is named before it."""
    for name in ("one", "other"):
        (tmp_path / f"{name}.toml").write_text(TOML.replace("acme", name))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LADING_CONFIG", "one.toml")
    assert settings_here().project == "one"
    assert settings_here("other.toml").project == "other"
    monkeypatch.delenv("LADING_CONFIG")
    assert settings_here().project == "jobs"


@pytest.mark.parametrize(
    ("name", "text"),
    [("lading.toml", "[jobs]\nlease = 3\n"), ("pyproject.toml", "[tool"), ("lading.toml", "")],
)
def test_problems(tmp_path: Path, name: str, text: str) -> None:
    """A configuration with problems is 78, with all of them."""
    (tmp_path / name).write_text(text)
    with pytest.raises(MisconfiguredError) as caught:
        load_settings(tmp_path)
    assert name in str(caught.value)


def test_no_such_file(tmp_path: Path) -> None:
    """A file that was named and is not there is an error, not a default."""
    with pytest.raises(MisconfiguredError, match="expected a TOML file, found none"):
        load_settings(tmp_path, "nowhere.toml")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://lake/silver/permits", "s3://lake/silver"),
        ("s3://lake/silver", "s3://lake/silver"),
        ("s3://lake/silvery", "s3://lake"),
        ("s3://lake", "s3://lake"),
        ("s3://other/silver/permits", "s3://other"),
        ("gs://other/x/", "gs://other"),
        ("out/silver", "out/silver"),
        ("file:///tmp/x", "file:///tmp/x"),
        ("state/silver", "state"),
        ("./state/silver", "state"),
        ("/base/state", "state"),
        ("file:///base/out/../state/x", "state"),
        ("./states", "./states"),
    ],
)
def test_where_a_job_remembers(url: str, expected: str) -> None:
    """In the store that holds the place, the longest; else in its bucket, or its folder."""
    jobs = Jobs(stores=("s3://lake", "s3://lake/silver/", "state"))
    settings = JobSettings(base=Path("/base"), jobs=jobs)
    assert settings.state_store(url).rstrip("/") == expected
