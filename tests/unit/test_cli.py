"""The lading command, called in this process."""

import re
from pathlib import Path

import pytest

from lading import __version__
from lading.cli import main
from lading.config import load_config


def test_init_writes_a_configuration_that_loads(tmp_path: Path) -> None:
    """What `lading init` writes is a sound configuration, with both channels."""
    assert main(["init", str(tmp_path / "new")]) == 0
    assert list(load_config(tmp_path / "new").config.channels) == ["nightly", "stable"]


@pytest.mark.parametrize("name", ["dodo.py", "lading.toml"])
def test_init_replaces_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Where one of the files stands, nothing is written: exit code 3 and one line."""
    (tmp_path / name).write_text("mine")

    assert main(["init", str(tmp_path)]) == 3
    assert "found one; nothing was written" in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == [name]


WORKFLOWS = {"ci.yml", "distribute.yml", "zenodo-data-release.yml"}


def workflows_in(folder: Path) -> set[str]:
    """Return the names of the workflows of a folder."""
    return {each.name for each in (folder / ".github" / "workflows").glob("*")}


def test_init_github_writes_a_whole_project(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a new folder `lading init --github` writes the configuration and the workflows."""
    assert main(["init", "--github", str(tmp_path / "new")]) == 0
    assert list(load_config(tmp_path / "new").config.channels) == ["nightly", "stable"]
    assert workflows_in(tmp_path / "new") == WORKFLOWS
    assert "docs/how-to-release.md" in capsys.readouterr().out


def test_init_alone_writes_no_workflows(tmp_path: Path) -> None:
    """Without --github nothing is written below .github."""
    assert main(["init", str(tmp_path)]) == 0
    assert sorted(each.name for each in tmp_path.iterdir()) == ["dodo.py", "lading.toml"]


def test_init_github_beside_a_configuration(tmp_path: Path) -> None:
    """Where a configuration stands, the workflows come beside it, and nothing else."""
    assert main(["init", str(tmp_path)]) == 0
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}

    assert main(["init", "--github", str(tmp_path)]) == 0

    assert workflows_in(tmp_path) == WORKFLOWS
    after = {each.name: each.read_bytes() for each in tmp_path.iterdir() if each.is_file()}
    assert after == before


def test_init_github_beside_pyproject(tmp_path: Path) -> None:
    """A pyproject.toml counts as the configuration only where it holds one."""
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")

    assert main(["init", "--github", str(tmp_path)]) == 0
    assert (tmp_path / "lading.toml").exists()


def test_init_github_takes_the_configuration_of_pyproject(tmp_path: Path) -> None:
    """Where pyproject.toml holds the configuration, no second one is written."""
    assert main(["init", str(tmp_path / "new")]) == 0
    toml = (tmp_path / "new" / "lading.toml").read_text().replace("keep =", "[tool.lading]\nkeep =")
    toml = re.sub(r"(?m)^\[+(?!tool)", lambda found: f"{found[0]}tool.lading.", toml)
    (tmp_path / "pyproject.toml").write_text(toml)

    assert main(["init", "--github", str(tmp_path)]) == 0
    assert workflows_in(tmp_path) == WORKFLOWS
    assert not (tmp_path / "lading.toml").exists()


@pytest.mark.parametrize("name", sorted(WORKFLOWS - {"ci.yml"}))
def test_init_github_replaces_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Where one of its workflows stands, nothing at all is written: exit code 3 and one line."""
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / name).write_text("mine")

    assert main(["init", "--github", str(tmp_path)]) == 3
    assert f"{name}: expected no such file, found one" in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == [".github"]
    assert workflows_in(tmp_path) == {name}


def test_init_github_keeps_a_ci(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nearly every project has a ci.yml: it is kept, and told."""
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "ci.yml").write_text("mine")

    assert main(["init", "--github", str(tmp_path)]) == 0
    assert workflows_in(tmp_path) == WORKFLOWS
    assert (folder / "ci.yml").read_text() == "mine"
    assert "kept" in capsys.readouterr().out


def test_init_github_beside_a_wrong_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A configuration that cannot be read is one line and exit code 3; nothing is written."""
    (tmp_path / "lading.toml").write_text("channels = 3")

    assert main(["init", "--github", str(tmp_path)]) == 3
    assert "lading.toml" in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ["lading.toml"]


DEPLOYMENTS = {"ci.yml", "deploy-staging.yml", "deploy.yml"}
KUBERNETES = {"Dockerfile", "dodo.py", "lading.toml", "k8s"}


def test_init_kubernetes_writes_a_configuration_that_loads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `lading init --kubernetes` writes is a sound configuration, with a dataset alone."""
    assert main(["init", "--kubernetes", str(tmp_path)]) == 0

    config = load_config(tmp_path).config
    assert (list(config.datasets), list(config.channels)) == (["example"], [])
    assert {each.name for each in tmp_path.iterdir()} == KUBERNETES
    assert "`doit k8s_check`" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--kubernetes", "--github"], ["--kubernetes"]])
@pytest.mark.parametrize("name", ["Dockerfile", "lading.toml", "k8s/example.yaml"])
def test_init_kubernetes_replaces_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, arguments: list[str]
) -> None:
    """Where one of its files stands, nothing at all is written, also no workflow."""
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")

    assert main(["init", *arguments, str(tmp_path)]) == 3
    assert f"{name}: expected no such file, found one" in capsys.readouterr().err
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == [tmp_path / name]


def test_init_kubernetes_with_workflows_writes_all_or_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --github come the workflows that deploy; where one stands, nothing is written."""
    assert main(["init", "--kubernetes", "--github", str(tmp_path / "new")]) == 0
    assert workflows_in(tmp_path / "new") == DEPLOYMENTS
    assert "docs/how-to-stage.md" in capsys.readouterr().out
    standing = tmp_path / "old" / ".github" / "workflows" / "deploy.yml"
    standing.parent.mkdir(parents=True)
    standing.write_text("mine")

    assert main(["init", "--kubernetes", "--github", str(tmp_path / "old")]) == 3
    assert [each.name for each in (tmp_path / "old").iterdir()] == [".github"]


def test_init_github_writes_what_the_configuration_has(tmp_path: Path) -> None:
    """Datasets bring the workflows that deploy, channels those that release; both bring all."""
    assert main(["init", "--kubernetes", str(tmp_path / "one")]) == 0
    assert main(["init", str(tmp_path / "two")]) == 0
    datasets = (tmp_path / "one" / "lading.toml").read_text().partition("[kubernetes]")
    with (tmp_path / "two" / "lading.toml").open("a") as file:
        file.write("".join(datasets[1:]))

    for name in ("one", "two"):
        assert main(["init", "--github", str(tmp_path / name)]) == 0

    assert workflows_in(tmp_path / "one") == DEPLOYMENTS
    assert workflows_in(tmp_path / "two") == DEPLOYMENTS | WORKFLOWS
    assert not (tmp_path / "two" / "Dockerfile").exists()


def test_init_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file in the place of the folder is one line and exit code 3."""
    (tmp_path / "file").write_text("")

    assert main(["init", str(tmp_path / "file" / "below")]) == 3
    assert "expected a writable folder" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["publish"], ["init", "a", "b"], ["--no-such-option"]])
def test_wrong_usage_is_exit_code_3(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong usage ends in one line on stderr and exit code 3, as under doit."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 3
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`lading --version` tells the version of the package."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])

    assert ended.value.code == 0
    assert capsys.readouterr().out == f"lading {__version__}\n"
