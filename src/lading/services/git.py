"""What the git repository knows of a release."""

from contextlib import suppress
from pathlib import Path

from lading.errors import CommandError
from lading.services.shell import run_command


def resolve_commit(repository: Path, tag: str) -> str | None:
    """Return the commit that a tag names, or None where this repository does not know.

    Args:
        repository: folder of a work tree or a bare repository.
        tag: the tag, checked against the channel's pattern before.
    """
    if not repository.is_dir():
        return None
    reference = f"refs/tags/{tag}^{{commit}}"
    with suppress(CommandError):
        found = run_command(
            ["git", "rev-parse", "--verify", "--quiet", reference], folder=repository
        )
        return found.strip() or None
    return None
