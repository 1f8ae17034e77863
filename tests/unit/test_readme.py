"""The README says what the program does: its tables cannot fall behind."""

from pathlib import Path

import pytest

import lading.tasks
from lading.tasks.variables import KNOWN

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
TASKS = [name.removeprefix("task_") for name in lading.tasks.__all__ if name != "DOIT_CONFIG"]


@pytest.mark.parametrize("name", KNOWN)
def test_every_variable_stands_in_the_table(name: str) -> None:
    """Each variable of the command line has a row."""
    assert f"| `{name}=` |" in README


@pytest.mark.parametrize("name", TASKS)
def test_every_task_stands_in_the_table(name: str) -> None:
    """Each task has a row."""
    assert f"\n| `{name}`" in README or f"\n| `{name}:<" in README


def test_dodo_names_every_task_in_the_order_of_a_release() -> None:
    """Four files read all tasks aloud, in their order: releases, publishing, datasets, jobs."""
    files = (
        REPOSITORY / "dodo.py",
        REPOSITORY / "examples" / "overlays" / "dodo.py",
        REPOSITORY / "examples" / "reformatters" / "dodo.py",
        REPOSITORY / "src" / "lading" / "templates" / "jobs" / "dodo.py.txt",
    )
    order = [name for name in lading.tasks.__all__ if name != "DOIT_CONFIG"]
    named: set[str] = set()
    for each in files:
        lines = each.read_text(encoding="utf-8").splitlines()
        names = [line.strip(" ,") for line in lines if line.startswith("    task_")]
        assert names == [name for name in order if name in names]
        named |= set(names)
    assert named == set(order)


def test_links_lead_somewhere() -> None:
    """Each relative link of the README names a file or folder of the repository."""
    targets = [part.partition(")")[0] for part in README.split("](")[1:]]
    local = [target for target in targets if "://" not in target]

    assert local
    assert [target for target in local if not (REPOSITORY / target).exists()] == []
