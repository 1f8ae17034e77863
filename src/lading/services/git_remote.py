"""A remote of a git repository: asked and pushed to as git would, apart from the person's habits.

A token reaches git through the environment and a small program that git asks for it; never
through a URL, an argument or a setting. The program answers for the hosts of this remote alone.
"""

import os
import re
import shlex
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from lading.errors import CommandError
from lading.services.redaction import redact
from lading.services.shell import run_command
from lading.storage.progress import NO_PROGRESS, Progress

_ASK_S, _PUSH_S, _FETCH_S = 60.0, 300.0, 900.0
_ATTEMPTS = 3
_PAUSE_S = 1.0
_REMOTE_LINES = 3
# what another try would meet as well
_FINAL = re.compile(
    r"rejected|declined|denied|Authentication failed|could not read|not found|error: 4[01]\d"
    r"|not appear to be a git repository|Could not resolve host|not a git repository"
)
_ACCESS = re.compile(r"denied|Authentication failed|could not read \w+ for|error: 40[13]|publickey")
_ACCESS_HINT = (
    "put a token that may write into GIT_TOKEN; what the clone itself holds (a credential helper,"
    " the header that actions/checkout leaves) gives way to it"
)
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_SAFE_ORIGIN = re.compile(r"https?://[\w.:\[\]-]+", re.ASCII)
# neither hooks nor settings of the person may alter what a release does
_OPTIONS = (
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "push.followTags=false"),
    *("-c", "push.gpgSign=false"),
    *("-c", "push.negotiate=false"),
    *("-c", "push.pushOption="),
    *("-c", "push.recurseSubmodules=no"),
)
_VARIABLES = {
    "GCM_INTERACTIVE": "never",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
}
_ASKPASS = """\
#!/bin/sh
# Answers git's question for the user and the password of these hosts; holds no secret.
asked=${{1#*\\'}}
asked=${{asked%%\\'*}}
host=${{asked#*://}}
host=${{host%%/*}}
case "${{asked%%://*}}://${{host##*@}}" in
{origins}) ;;
*) exit 1 ;;
esac
case "$1" in
Username*) echo x-access-token ;;
Password*) printf '%s\\n' "${variable}" ;;
*) exit 1 ;;
esac
"""


class GitRemote:
    """One remote, as one local repository sees it.

    Args:
        repository: folder of a work tree or a bare repository.
        name: name of the remote, or its URL without a password.
        scratch: folder for a file without secrets while git runs.
    """

    def __init__(self, repository: Path, name: str, *, scratch: Path) -> None:
        self._repository = repository
        self._name = name
        self._scratch = scratch

    @property
    def url(self) -> str:
        """Its URL without user and password; its name where git does not know it."""
        try:
            return public_url(self._urls[0])
        except CommandError:
            return self._name

    def find_refs(self, *names: str) -> dict[str, str]:
        """Return the object that each ref names on the remote; what is not there is left out.

        Raises:
            CommandError: the remote did not answer, or said no.
        """
        said = self._ask(["ls-remote", "--", self._name, *names], "to tell its refs", _ASK_S)
        rows = (line.split("\t") for line in said.splitlines() if "\t" in line)
        # git takes a name for the end of one
        return {name: sha for sha, name in rows if name in names}

    def deepen(self, reference: str, commits: int | None) -> None:
        """Fetch more of the history below a ref of the remote.

        Effects: objects appear in the local repository, and its shallow boundary moves; no ref,
        no setting, no file of the work tree changes.

        Args:
            reference: full name of the ref.
            commits: how many more; None for all.

        Raises:
            CommandError: the remote did not answer, or said no.
        """
        depth = "--unshallow" if commits is None else f"--deepen={commits}"
        keep = ("--no-tags", "--no-prune", "--no-write-fetch-head", "--no-recurse-submodules")
        aside = ("--refmap=", "--no-auto-maintenance", "--no-write-commit-graph", "--quiet")
        fetch = ["fetch", *keep, *aside, depth, "--", self._name, reference]
        self._ask(fetch, f"the history of {reference}", _FETCH_S)

    def push(
        self,
        commit: str,
        reference: str,
        *,
        dry_run: bool = False,
        progress: Progress = NO_PROGRESS,
    ) -> None:
        """Move a ref of the remote to a commit, where that is a fast-forward.

        Effects: the ref on the remote, unless it is a dry run. It is never forced, and it moves
        from where the remote said that it is, or not at all.

        Raises:
            CommandError: the remote refused or did not answer; in the second case it may have
                moved.
        """
        more = ["--dry-run"] if dry_run else []
        self._send(f"{commit}:{reference}", more, f"{reference} to move to {commit}", progress)

    def delete(
        self,
        reference: str,
        commit: str,
        *,
        dry_run: bool = False,
        progress: Progress = NO_PROGRESS,
    ) -> None:
        """Delete a ref of the remote where it still stands at a commit.

        Effects: the ref on the remote, unless it is a dry run.

        Raises:
            CommandError: it stands elsewhere or is gone, or the remote refused or did not answer;
                in the last case it may be gone.
        """
        more = [f"--force-with-lease={reference}:{commit}", *(["--dry-run"] if dry_run else [])]
        self._send(f":{reference}", more, f"{reference}, at {commit}, to be deleted", progress)

    def _send(self, spec: str, more: Sequence[str], expected: str, progress: Progress) -> None:
        """Push once, apart from the person's hooks and settings."""
        options = ("--no-verify", "--no-progress", "--no-follow-tags", "--no-signed", *more)
        push = ["push", *options, "--recurse-submodules=no", "--", self._name, spec]
        try:
            self._run(push, _PUSH_S, progress)
        except CommandError as error:
            raise self._refusal(expected, error) from error

    def _ask(self, arguments: Sequence[str], expected: str, timeout_s: float) -> str:
        """Run a command that may be repeated; not where another try would meet the same."""
        for left in reversed(range(_ATTEMPTS)):
            try:
                return self._run(arguments, timeout_s)
            except CommandError as error:
                if not left or is_final(error):
                    raise self._refusal(expected, error) from error
            pause()
        raise AssertionError(arguments)

    def _refusal(self, expected: str, error: CommandError) -> CommandError:
        """Return the error of a command with what the remote itself has said."""
        lines = [line.strip() for line in error.stderr.splitlines()]
        # of a cut or refused transfer, git's "fatal:" tells only that it ended
        reasons = [line for line in lines if line.startswith(("! ", "error: RPC", "fatal:"))]
        said = [line for line in lines if re.match(r"remote: .*\w", line)]
        told = "; ".join([*reasons[:1], *said[:_REMOTE_LINES]]) or str(error)
        hint = _ACCESS_HINT if _ACCESS.search(error.stderr) else error.hint
        failed = CommandError(f"{self.url}: expected {expected}, got {told}", hint=hint)
        failed.exit_code_of_child, failed.stderr = error.exit_code_of_child, error.stderr
        return failed

    def _run(
        self, arguments: Sequence[str], timeout_s: float, progress: Progress = NO_PROGRESS
    ) -> str:
        with self._access() as (options, variables):
            return run_command(
                ["git", *_OPTIONS, *options, *arguments],
                folder=self._repository,
                timeout_s=timeout_s,
                environment={**_VARIABLES, **variables},
                progress=progress,
            )

    @cached_property
    def _urls(self) -> list[str]:
        """Return what is read from, then what is pushed to; they may hold a password."""
        read = ["git", "ls-remote", "--get-url", self._name]
        found = [run_command(read, folder=self._repository).strip()]
        try:
            push = ["git", "remote", "get-url", "--push", "--all", self._name]
            found += run_command(push, folder=self._repository).split()
        except CommandError:
            pass  # it is a URL, or unknown: git will say so when it is asked
        return found

    @contextmanager
    def _access(self) -> Iterator[tuple[list[str], dict[str, str]]]:
        """Give the options and variables by which git may use a token, where there is one."""
        origins = _origins(self._urls)
        variable = _token_variable(origins, os.environ)
        if not variable or (variable != "GIT_TOKEN" and self._has_helper()):
            yield [], {}
            return
        # a helper would keep the token for later
        options = ["-c", "credential.helper="]
        if variable == "GIT_TOKEN":  # meant for this and nothing else, so that it goes first
            options += [p for each in origins for p in ("-c", f"http.{each}/.extraHeader=")]
        self._scratch.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(prefix="askpass-", suffix=".sh", dir=self._scratch)
        script = Path(name)
        try:
            with os.fdopen(number, "w", encoding="utf-8") as file:
                file.write(_render_askpass(origins, variable))
            script.chmod(0o700)
            secret = {variable: os.environ[variable]}
            yield options, {"GIT_ASKPASS": str(script.absolute()), **secret}
        finally:
            script.unlink(missing_ok=True)

    def _has_helper(self) -> bool:
        """Say whether the person has told git where passwords are."""
        asked = ["git", "config", "--get-regexp", r"^credential\.(.*\.)?helper$"]
        try:
            found = run_command(asked, folder=self._repository)
        except CommandError:
            return False
        return any(line.partition(" ")[2] for line in found.splitlines())


def is_final(error: CommandError) -> bool:
    """Say whether another try would meet the same."""
    return error.exit_code_of_child is None or bool(_FINAL.search(error.stderr))


def pause() -> None:
    """Wait before another try."""
    time.sleep(_PAUSE_S)


def public_url(url: str) -> str:
    """Return a URL without what may be a password."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if at and (parts.scheme in {"http", "https"} or ":" in user):
        url = parts._replace(netloc=host).geturl()
    return redact(url) if "://" not in url or not at else url


def _origins(urls: Sequence[str]) -> list[str]:
    """Return scheme and host of those to which a token may be sent."""
    found = (urlsplit(each) for each in urls)
    safe = (_origin(each) for each in found if _is_safe(each))
    return [each for each in dict.fromkeys(safe) if _SAFE_ORIGIN.fullmatch(each)]


def _is_safe(parts: SplitResult) -> bool:
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)


def _origin(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _token_variable(origins: Sequence[str], environment: Mapping[str, str]) -> str:
    """Return the name of the variable that holds a token for these; "" where none does."""
    if not origins:
        return ""
    if environment.get("GIT_TOKEN"):
        return "GIT_TOKEN"
    server = environment.get("GITHUB_SERVER_URL") or "https://github.com"
    if set(origins) != {server.rstrip("/")}:
        return ""
    return next((name for name in ("GH_TOKEN", "GITHUB_TOKEN") if environment.get(name)), "")


def _render_askpass(origins: Sequence[str], variable: str) -> str:
    patterns = "|".join(shlex.quote(each) for each in origins)
    return _ASKPASS.format(origins=patterns, variable=variable)
