"""What a git repository knows of a release, asked of the real git."""

import os
import subprocess
from pathlib import Path

import pytest

from lading.services.git import resolve_commit


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder, apart from the person's own settings."""
    environment = {
        "PATH": os.environ["PATH"],
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@example.org",
    }
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit."""
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "one")
    return tmp_path


@pytest.mark.parametrize("annotated", [True, False])
def test_tag_names_its_commit(repository: Path, *, annotated: bool) -> None:
    """A tag, annotated or not, resolves to the commit, and not to the tag object."""
    git(repository, "tag", *(["-a", "-m", "v1"] if annotated else []), "v1")

    assert resolve_commit(repository, "v1") == git(repository, "rev-parse", "HEAD")


def test_branch_of_the_same_name_is_no_tag(repository: Path) -> None:
    """A branch that is called like the tag is not taken for it."""
    git(repository, "branch", "v1")

    assert resolve_commit(repository, "v1") is None


@pytest.mark.parametrize("tag", ["v2", "--help", "v1 v2"])
def test_unknown_tag_is_not_known(repository: Path, tag: str) -> None:
    """A tag that this repository lacks is unknown, whatever its name."""
    assert resolve_commit(repository, tag) is None


def test_folder_without_git_knows_nothing(tmp_path: Path) -> None:
    """Outside a repository, or where there is no folder, nothing is known and nothing fails."""
    assert resolve_commit(tmp_path / "missing", "v1") is None


def test_bare_repository_answers(repository: Path) -> None:
    """A bare repository, as CI has it, answers as well."""
    git(repository, "tag", "v1")
    git(repository, "clone", "-q", "--bare", ".", "bare.git")

    assert resolve_commit(repository / "bare.git", "v1") == git(repository, "rev-parse", "v1")
