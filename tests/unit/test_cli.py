"""The lading command, called in this process."""

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
