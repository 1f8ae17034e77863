"""What the git repository knows of a release."""

import posixpath
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from lading.errors import CommandError, PrepareError
from lading.services.shell import hear_command, run_command


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


def head_commit(repository: Path) -> str | None:
    """Return the commit that is checked out; None outside a repository, or before the first."""
    return resolve_ref(repository, "HEAD")


def resolve_ref(repository: Path, ref: str) -> str | None:
    """Return the commit that a ref names, or None where this repository does not know.

    Args:
        repository: folder of a work tree or a bare repository.
        ref: a branch, a tag, a remote's branch as ``origin/main``, or a commit.
    """
    if not ref or ref.startswith("-") or not repository.is_dir():
        return None
    with suppress(CommandError):
        found = run_command(
            ["git", "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}"], folder=repository
        )
        return found.strip() or None
    return None


def read_file_at(repository: Path, ref: str, path: str) -> bytes | None:
    """Return the content of a file as a ref has it; None where there is no such file.

    As ``read_files_at``, of one.
    """
    return read_files_at(repository, ref, [path]).get(path)


def read_files_at(repository: Path, ref: str, paths: Sequence[str]) -> dict[str, bytes]:
    """Return the contents of files as a ref has them, by path; what is no file is left out.

    Args:
        repository: folder of a work tree, or below one, or a bare repository.
        ref: as of ``resolve_ref``.
        paths: relative to that folder, with ``/``; none with a line break.

    Raises:
        CommandError: there is no repository, or it does not know the ref.
    """
    try:
        prefix = run_command(["git", "rev-parse", "--show-prefix"], folder=repository).strip("\n")
    except CommandError as error:
        raise CommandError(f"{repository}: expected a git repository; {error}") from error
    commit = resolve_ref(repository, ref)
    if commit is None:
        raise CommandError(
            f"{repository}: expected the ref {ref}, found none",
            hint=f"fetch it: `{_fetch_of(repository, ref)}`",
        )
    inside = {path: posixpath.normpath(posixpath.join(prefix, path)) for path in paths}
    inside = {path: name for path, name in inside.items() if name.split("/")[0] != ".."}
    asked = [f"{commit}:{name}\n" for name in inside.values()]
    batch = ["git", "cat-file", "--batch"]
    said = hear_command(batch, folder=repository, stdin="".join(asked)).printed
    return {
        path: data for path, data in zip(inside, _answers(said), strict=False) if data is not None
    }


def _answers(said: bytes) -> Iterator[bytes | None]:
    """Yield what ``git cat-file --batch`` said of each object: its bytes, or None of no file."""
    while said:
        head, _, said = said.partition(b"\n")
        words = head.rsplit(b" ", 2)
        if words[-1] in {b"missing", b"ambiguous"} or not words[-1].isdigit():
            yield None
            continue
        size = int(words[-1])
        yield said[:size] if words[-2] == b"blob" else None
        said = said[size + 1 :]


def _fetch_of(repository: Path, ref: str) -> str:
    """Return the command that brings a ref here, also into a clone of one branch."""
    remote, _, branch = ref.removeprefix("refs/remotes/").partition("/")
    known = run_command(["git", "remote"], folder=repository).split()
    if branch and remote in known:
        return f"git fetch {remote} +refs/heads/{branch}:refs/remotes/{remote}/{branch}"
    return "git fetch --all --tags"
