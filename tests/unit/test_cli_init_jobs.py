"""``lading init --jobs``: a project of jobs that is sound as it is written."""

import re
import tomllib
from pathlib import Path

import pytest

from lading.cli import main
from lading.cli.project import init_jobs
from lading.config import load_config
from lading.config.load import parse_config
from tests.unit.dockerfile_rules import copied_files, find_problems, parse_dockerfile

FILES = {
    *("dodo.py", "lading.toml", "Dockerfile", ".dockerignore"),
    *("jobs/__init__.py", "jobs/make_sample.py", "jobs/sum_numbers.py", "tests/test_jobs.py"),
}


def files_in(folder: Path) -> set[str]:
    """Return the files of a folder, by their path below it."""
    return {each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file()}


def test_init_jobs_writes_a_configuration_that_loads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `lading init --jobs` writes is a sound configuration with jobs alone, and says on."""
    assert main(["init", "--jobs", str(tmp_path)]) == 0

    config = load_config(tmp_path).config
    assert config.jobs is not None
    assert config.jobs.packages == ("jobs",)
    assert (list(config.channels), list(config.datasets)) == ([], [])
    assert files_in(tmp_path) == FILES
    assert "`lading run make_sample -- data/raw`" in capsys.readouterr().out


def test_what_is_commented_out_is_sound(tmp_path: Path) -> None:
    """Every example in lading.toml may be taken in: each is what Lading reads."""
    init_jobs(tmp_path)
    lines = (tmp_path / "lading.toml").read_text().splitlines()
    taken = [line.removeprefix("# ") for line in lines if is_example(line)]
    kept = [line for line in lines if not line.startswith(("#", "stores"))]

    config = parse_config(tomllib.loads("\n".join((*kept, *taken))), "lading.toml")
    assert config.jobs is not None
    assert config.jobs.kubernetes is not None
    assert config.jobs.kubernetes.queue == "jobs"
    assert list(config.destinations) == ["bucket"]


def is_example(line: str) -> bool:
    """Say whether a line is TOML that is commented out."""
    return re.match(r"# (\[\S+\]|\w+ = )", line) is not None


@pytest.mark.parametrize("name", sorted(FILES))
def test_init_jobs_replaces_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Where one of its files stands, nothing at all is written: exit code 3 and one line."""
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")

    assert main(["init", "--jobs", str(tmp_path)]) == 3
    assert f"{name}: expected no such file, found one" in capsys.readouterr().err
    assert files_in(tmp_path) == {name}


def test_init_is_for_one_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Jobs and datasets at once are refused: each has a lading.toml of its own."""
    with pytest.raises(SystemExit) as ended:
        main(["init", "--jobs", "--kubernetes", str(tmp_path)])

    assert ended.value.code == 3
    assert "not allowed with" in capsys.readouterr().err
    assert files_in(tmp_path) == set()


def test_init_jobs_with_workflows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --github comes a ci.yml: there is neither a release nor a deployment."""
    assert main(["init", "--jobs", "--github", str(tmp_path)]) == 0

    assert files_in(tmp_path) == {*FILES, ".github/workflows/ci.yml"}
    assert "docs/how-to-jobs.md" in capsys.readouterr().out


def test_the_dockerfile_keeps_the_rules(tmp_path: Path) -> None:
    """A base with a tag, no secret, nobody's root, an entry point without a shell, a smoke run."""
    init_jobs(tmp_path)
    text = (tmp_path / "Dockerfile").read_text()

    assert find_problems(text) == []
    assert 'RUN ["lading", "jobs", "--check"]' in text


def test_the_image_gets_the_configuration_and_the_jobs(tmp_path: Path) -> None:
    """What is copied is what a pod reads, and .dockerignore lets nothing else through."""
    init_jobs(tmp_path)
    (tmp_path / ".env").write_text("TOKEN=1")
    copied = copied_files(parse_dockerfile((tmp_path / "Dockerfile").read_text()), tmp_path)
    everything = copied_files(parse_dockerfile("FROM a:1\nCOPY . .\n"), tmp_path)

    wanted = {"lading.toml", *(each for each in FILES if each.startswith("jobs/"))}
    assert set(copied) == wanted
    assert set(everything.values()) == set(copied.values())
