"""What a server serves is read whole, with every problem of every project at once."""

from pathlib import Path

import pytest

from lading.errors import ConfigError
from lading.web.served import load_served
from tests.unit.web.serving import CONFIG, make_project


def test_the_folder_itself_is_served(tmp_path: Path) -> None:
    """Where nothing is said, the project of the folder is served, with its environments."""
    served = load_served(make_project(tmp_path / "maps"))
    assert list(served.projects) == ["maps"]
    assert served.projects["maps"].environments == ("staging", "production")
    assert served.projects["maps"].folder == tmp_path / "maps"
    assert served.url == f"sqlite:///{tmp_path / 'maps' / 'build' / 'ledger.db'}"


def test_the_named_configuration_is_that_of_the_folder(tmp_path: Path) -> None:
    """A file that was named counts for the project of its own folder as well."""
    (tmp_path / "other.toml").write_text(CONFIG.replace('"maps"', '"charts"', 1), encoding="utf-8")
    assert list(load_served(tmp_path, "other.toml").projects) == ["charts"]


def test_several_projects_share_the_ledger_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each project keeps its folder; the ledger is the one that the environment names."""
    monkeypatch.setenv("LADING_LEDGER_URL", "postgresql://db/lading")
    make_project(tmp_path / "a", text=CONFIG.replace('"maps"', '"tides"', 1))
    make_project(tmp_path / "b", text=CONFIG + '\n[web]\nprojects = [".", "../a"]\n')
    served = load_served(tmp_path / "b")
    assert {name: each.folder.name for name, each in served.projects.items()} == {
        "maps": "b",
        "tides": "a",
    }
    assert served.url == "postgresql+psycopg://db/lading"


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    """A missing project, a wrong one and two of one name are told together, each with its place."""
    make_project(tmp_path / "twin")
    make_project(tmp_path / "wrong", text=CONFIG.replace('tag = "[0-9]+"', "tag = 7", 1))
    text = CONFIG + '\n[web]\nprojects = [".", "gone", "wrong", "twin"]\n'
    make_project(tmp_path / "here", text=text.replace('"gone"', '"../gone"'))
    for name in ("wrong", "twin"):
        (tmp_path / name).rename(tmp_path / "here" / name)
    with pytest.raises(ConfigError) as caught:
        load_served(tmp_path / "here")
    told = caught.value.problems
    assert len(told) == 3
    assert told[0].startswith("web.projects[1] (../gone): lading.toml: expected in")
    assert told[1].startswith(
        "web.projects[2] (wrong): lading.toml: channels.staging.tag: expected"
    )
    assert told[2].startswith("web.projects[3]: expected a project.name of its own, got 'maps'")
    assert "which web.projects[0] has" in told[2]


def test_a_project_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    """One folder under two names is no second project."""
    make_project(tmp_path, text=CONFIG + '\n[web]\nprojects = [".", "./"]\n')
    with pytest.raises(ConfigError, match=r"web\.projects\[1\]: expected a project\.name"):
        load_served(tmp_path)
