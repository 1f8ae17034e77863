"""The branch of a staged version: deleted on the remote once nothing runs from it."""

from contextlib import suppress
from pathlib import Path
from typing import Literal

from lading.errors import CommandError, GuardError, VerifyError
from lading.services.git_remote import GitRemote, is_final, pause
from lading.storage.progress import NO_PROGRESS, Progress

_ATTEMPTS = 3
_ROOT = "stage/"


class StagingBranch:
    """One branch below ``stage/`` of a remote.

    Args:
        repository: folder of a work tree or a bare repository; need not know the branch.
        remote: name of the remote, or its URL without a password.
        branch: the branch.
        scratch: folder for a file without secrets while git runs.
        read_only: delete nothing.
    """

    def __init__(
        self, repository: Path, remote: str, branch: str, *, scratch: Path, read_only: bool = False
    ) -> None:
        self._remote = GitRemote(repository, remote, scratch=scratch)
        self._branch = branch
        self._read_only = read_only

    @property
    def place(self) -> str:
        """The branch and the URL of the remote, without user and password."""
        return f"branch {self._branch} of {self._remote.url}"

    def standing(self) -> str | None:
        """Return the commit where it stands on the remote; None where it is gone.

        Raises:
            CommandError: the remote did not answer, or said no.
        """
        return self._remote.find_refs(self._ref).get(self._ref)

    def delete(self, commit: str, progress: Progress = NO_PROGRESS) -> Literal["deleted", "absent"]:
        """Delete it where it still stands at a commit. Safe to repeat.

        Effects: the branch on the remote. A lost answer is looked up; the end is read back.

        Args:
            commit: in full, what was deployed.
            progress: asked now and then; what it raises ends git.

        Returns:
            ``absent`` where there was none before.

        Raises:
            GuardError: this only reads, or it is no branch below ``stage/``.
            CommandError: the remote refused, or did not answer however often it was tried.
            VerifyError: it stands elsewhere.
        """
        self._guard()
        if not self._is_there(commit):
            return "absent"
        for left in reversed(range(_ATTEMPTS)):
            progress.relative_update(0)
            try:
                self._remote.delete(self._ref, commit, progress=progress)
                break
            except CommandError as error:
                # what was answered may have been lost on the way
                if self._has_gone(commit, error):
                    return "deleted"
                if not left or is_final(error):
                    raise
            pause()
        if there := self.standing():
            raise VerifyError(
                f"{self.place}: expected it to be gone, found it at {there}",
                hint="somebody made it anew, or the remote did not do what it said",
            )
        return "deleted"

    @property
    def _ref(self) -> str:
        return f"refs/heads/{self._branch}"

    def _guard(self) -> None:
        if self._read_only:
            raise GuardError(f"{self.place}: expected to read only, got a deletion")
        if not self._branch.startswith(_ROOT):
            raise GuardError(
                f"{self.place}: expected a branch below {_ROOT}, got {self._branch!r}",
                hint="nothing else is ever deleted; delete it by hand, if it is to go",
            )

    def _is_there(self, commit: str) -> bool:
        """Say whether it stands at the commit, or is gone.

        Raises:
            CommandError: the remote did not answer.
            VerifyError: it stands elsewhere.
        """
        standing = self.standing()
        if standing not in {None, commit}:
            raise VerifyError(
                f"{self.place}: expected {commit or 'the commit of the deploy'}, found {standing}",
                hint="it was pushed to since the deploy; nothing was deleted",
            )
        return standing is not None

    def _has_gone(self, commit: str, error: CommandError) -> bool:
        """Say whether it is gone although a deletion has failed.

        Raises:
            VerifyError: it stands elsewhere.
        """
        with suppress(CommandError):
            try:
                return not self._is_there(commit)
            except VerifyError as moved:
                raise moved from error
        return False
