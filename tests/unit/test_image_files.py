"""The Dockerfile of the example and the one that `lading init --kubernetes` writes, read alone.

tests/e2e/test_image.py builds the example's.
"""

import os
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from tests.unit.dockerfile_rules import (
    copied_files,
    find_problems,
    parse_dockerfile,
    smoke_command,
)

EXAMPLE = Path(__file__).parents[2] / "examples" / "reformatters"
TEXT = (EXAMPLE / "Dockerfile").read_text(encoding="utf-8")
TEMPLATE = (files("lading") / "templates/kubernetes/Dockerfile.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", [TEXT, TEMPLATE], ids=["example", "template"])
def test_a_dockerfile_keeps_the_rules(text: str) -> None:
    """A base with a tag, no secret, nobody's root, an entry point without a shell, a smoke run."""
    assert find_problems(text) == []


@pytest.mark.parametrize(
    ("sound", "broken", "said"),
    [
        ("\nFROM python:3.12.11-slim-bookworm", "\nFROM python", "FROM"),
        ("\nFROM python:3.12.11-slim-bookworm", "\nFROM python:latest", "FROM"),
        ("\nFROM python:3.12.11-slim-bookworm", "\nFROM registry:5000/python", "FROM"),
        ("\nFROM python:3.12.11-slim-bookworm", "\nARG TAG\nFROM python:$TAG", "FROM"),
        ("USER 10001:10001\n", "", "USER"),
        ("USER 10001:10001\n", "USER 0\n", "USER"),
        ("USER 10001:10001\n", "USER worker\n", "USER"),
        ('ENTRYPOINT ["python", "-m", "reformatters"]', "ENTRYPOINT python -m r", "ENTRYPOINT"),
        ('ENTRYPOINT ["python", ', 'ENTRYPOINT ["sh", "-c", "python", ', "ENTRYPOINT"),
        ('RUN ["python", "-m", "reformatters", "--help"]', "", "RUN"),
        ('RUN ["python", "-m", "reformatters", "--help"]', 'RUN ["python", "--help"]', "RUN"),
        ('RUN ["python", "-m", "reformatters", "--help"]', "RUN python -m reformatters", "RUN"),
        ("WORKDIR /app", "ARG GITHUB_TOKEN\nWORKDIR /app", "ARG"),
        ("PYTHONPATH=/app", "PYTHONPATH=/app \\\n    API_KEY=x", "ENV"),
        ("COPY datasets/ datasets/", "COPY . .", "COPY"),
        ("COPY datasets/ datasets/", "ADD https://example.org/x.tar.gz /x", "ADD"),
    ],
)
def test_the_rules_see_a_breach(sound: str, broken: str, said: str) -> None:
    """Each rule fails on a Dockerfile that breaks it, and names the instruction."""
    assert sound in TEXT

    found = find_problems(TEXT.replace(sound, broken, 1))
    assert [each for each in found if each.startswith(f"{said}:")], found


def test_the_last_stage_counts() -> None:
    """What an earlier stage does well does not excuse the image that ships."""
    found = find_problems(f"{TEXT}\nFROM python:3.12 AS last\nCOPY --from=0 /app /app\n")

    assert [each.partition(":")[0] for each in found] == ["USER", "ENTRYPOINT"]


def context(folder: Path) -> Path:
    """Copy the example, with what a work tree has beside it."""
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".env", ".git/config", "reformatters/__pycache__/x.pyc", "build/receipt.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("TOKEN=1")
    return folder


def image_tree(folder: Path, source: Path) -> Path:
    """Make the files of the image's WORKDIR, and nothing else."""
    for name, path in copied_files(parse_dockerfile(TEXT), source).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / name)
    return folder


def test_only_the_code_and_its_templates_are_copied(tmp_path: Path) -> None:
    """The image holds the package and every template: no git, bytecode, test or environment."""
    copied = set(copied_files(parse_dockerfile(TEXT), context(tmp_path / "tree")))

    datasets = {f"datasets/{each.name}/zarr.json" for each in (EXAMPLE / "datasets").iterdir()}
    package = {f"reformatters/{each.name}" for each in (EXAMPLE / "reformatters").glob("*.py")}
    assert copied == datasets | package


def test_dockerignore_leaves_out_all_but_what_is_copied(tmp_path: Path) -> None:
    """Even `COPY . .` would bring nothing that the Dockerfile does not name."""
    tree = context(tmp_path / "tree")
    everything = parse_dockerfile("FROM a:1\nCOPY . .\n")

    wanted = copied_files(parse_dockerfile(TEXT), tree)
    assert set(copied_files(everything, tree).values()) == set(wanted.values())
    (tree / ".dockerignore").unlink()
    assert tree / ".env" in copied_files(everything, tree).values()


def run_smoke(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run what the Dockerfile ends with, by this Python and on the copied files alone."""
    python, *words = smoke_command(parse_dockerfile(TEXT))
    assert python == "python"
    return subprocess.run(
        [sys.executable, "-s", *words],
        cwd=os.sep,
        env={"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_smoke_run_passes_on_what_is_copied(tmp_path: Path) -> None:
    """The entry point starts from the copied files, and says what it can do."""
    done = run_smoke(image_tree(tmp_path / "app", context(tmp_path / "tree")))

    assert (done.returncode, done.stderr) == (0, "")
    assert "{update,validate,archive-grib-files}" in done.stdout


def test_the_smoke_run_sees_a_file_that_is_not_copied(tmp_path: Path) -> None:
    """A module that the Dockerfile, or .dockerignore, leaves out is found before the push."""
    tree = context(tmp_path / "tree")
    with (tree / ".dockerignore").open("a") as file:
        file.write("reformatters/store.py\n")

    done = run_smoke(image_tree(tmp_path / "app", tree))
    assert done.returncode == 1
    assert "reformatters.store" in done.stderr
