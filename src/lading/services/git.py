"""What the git repository knows of a release."""

from contextlib import suppress
from functools import cache
from pathlib import Path

from lading.errors import CommandError, PrepareError
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


@cache
def commit_time(repository: Path, tag: str) -> int:
    """Return when the commit of a tag was made, in seconds since 1970 in UTC.

    Raises:
        PrepareError: this repository does not know the tag.
    """
    commit = resolve_commit(repository, tag)
    if commit is None:
        raise PrepareError(
            f"prepare.entry_time: expected the tag {tag} in {repository}, found none",
            hint="fetch the tags (`git fetch --tags`), or leave entry_time out",
        )
    found = run_command(
        ["git", "log", "-1", "--no-show-signature", "--format=%ct", commit], folder=repository
    )
    return int(found.strip())
