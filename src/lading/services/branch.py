"""The channel's branch: fast-forwarded on the remote to the commit of the release's tag.

The commit is pushed straight to the branch's ref. Nothing is checked out and nothing merged, so
that a shallow clone and a dirty tree do as well as any.
"""

from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from lading.errors import CommandError, GuardError, VerifyError
from lading.release.receipts import Receipt, Stamp
from lading.services.git import resolve_commit
from lading.services.git_remote import GitRemote, is_final, pause
from lading.services.shell import run_command
from lading.storage.progress import NO_PROGRESS, Progress

_DEEPER = (64, 512, 4096, None)  # commits at a time; None: all that there are
_ATTEMPTS = 3
_SHORT = 7  # characters of a commit, where it is read and not compared


class Relation(Enum):
    """Where a branch stands, seen from the commit of the tag."""

    SAME = "at"
    """At the commit itself."""
    ABSENT = "no branch beside"
    """There is no such branch yet."""
    BEHIND = "behind"
    """At an ancestor: a fast-forward leads to the commit."""
    AHEAD = "ahead of"
    """At a descendant: a later release has been here."""
    DIVERGED = "apart from"
    """On another line."""
    FOREIGN = "not an ancestor of"
    """At a commit that this clone lacks, and that is no ancestor."""
    UNKNOWN = "not known to be an ancestor of"
    """This clone is too shallow to tell."""


@dataclass(frozen=True, slots=True)
class BranchState:
    """What the local repository and the remote say; each commit in full, None: it is not there."""

    commit: str | None
    """Commit of the tag in the local repository."""
    tagged: str | None
    """Commit of the tag on the remote."""
    standing: str | None
    """Commit of the branch on the remote."""
    relation: Relation
    """Where the branch stands, seen from the local tag."""


@dataclass(frozen=True, slots=True)
class BranchChanges:
    """The move that a branch still needs."""

    branch: str
    """The branch."""
    old: str | None
    """Commit where it stands; None: it is made."""
    new: str
    """Commit where it belongs."""
    is_sure: bool = True
    """Whether this is known to be a fast-forward."""

    @property
    def is_empty(self) -> bool:
        """Whether it stands where it belongs."""
        return self.old == self.new

    def describe(self) -> str:
        """Return the move in a few words."""
        new = self.new[:_SHORT]
        if self.is_empty:
            return f"{self.branch} at {new} already"
        if self.old is None:
            return f"new {self.branch} at {new}"
        unsure = "" if self.is_sure else ", probably: this clone is too shallow to tell"
        return f"{self.branch} from {self.old[:_SHORT]} to {new}{unsure}"


class BranchTarget:
    """The branch of a channel on a remote, as a target of a release.

    Args:
        repository: folder of a work tree or a bare repository that knows the tag.
        remote: name of the remote, or its URL without a password.
        branch: the branch.
        tag: the release's tag.
        stamp: what its receipt says of the release.
        scratch: folder for a file without secrets while git runs.
        read_only: fetch nothing into the repository, and push nothing.
    """

    def __init__(
        self,
        repository: Path,
        remote: str,
        branch: str,
        tag: str,
        stamp: Stamp,
        *,
        scratch: Path,
        read_only: bool = False,
    ) -> None:
        self._repository = repository
        self._remote_name = remote
        self._remote = GitRemote(repository, remote, scratch=scratch)
        self._branch = branch
        self._tag = tag
        self._stamp = stamp
        self._read_only = read_only
        self._old = ""

    @property
    def place(self) -> str:
        """The branch and the URL of the remote, without user and password."""
        return f"branch {self._branch} of {self._remote.url}"

    def require_access(self) -> str:
        """Ask whether the branch may be moved, as far as a remote says so without moving it.

        Returns:
            What would be done.

        Raises:
            CommandError: the remote did not answer, or refuses a push from here.
            VerifyError: as ``plan``.
        """
        changes = self.plan(self.observe())
        if not (changes.is_empty or self._read_only):
            self._remote.push(changes.new, self._ref, dry_run=True)
        return changes.describe()

    def observe(self) -> BranchState:
        """Ask the local repository and the remote.

        Effects: none on the remote. Where a shallow clone cannot tell whether a push would be
        a fast-forward, history is fetched into it until it can, unless this only reads.

        Raises:
            CommandError: there is no repository, or the remote did not answer.
        """
        shallow = self._is_shallow()
        commit = resolve_commit(self._repository, self._tag)
        tag = f"refs/tags/{self._tag}"
        found = self._remote.find_refs(self._ref, tag, f"{tag}^{{}}")
        tagged, standing = found.get(f"{tag}^{{}}", found.get(tag)), found.get(self._ref)
        if commit is None or tagged != commit:
            return BranchState(commit, tagged, standing, Relation.UNKNOWN)
        relation = self._relate(standing, commit, shallow=shallow)
        for commits in () if self._read_only else _DEEPER:
            if relation is not Relation.UNKNOWN:
                break
            self._remote.deepen(tag, commits)
            relation = self._relate(standing, commit, shallow=self._is_shallow())
        return BranchState(commit, tagged, standing, relation)

    def plan(self, observed: BranchState) -> BranchChanges:
        """Return the move still needed.

        Raises:
            VerifyError: the tag is missing, here or there, or names two commits; or the branch
                stands at a commit from where no fast-forward leads to the tag's.
        """
        commit = self._require_tag(observed)
        relation = observed.relation
        if relation in {Relation.AHEAD, Relation.DIVERGED, Relation.FOREIGN}:
            raise VerifyError(
                f"{self.place}: expected an ancestor of {commit} (tag {self._tag}), found"
                f" {observed.standing}, which is {relation.value} it",
                hint=self._way_out(relation),
            )
        is_sure = relation is not Relation.UNKNOWN
        return BranchChanges(self._branch, observed.standing, commit, is_sure)

    def exclusive(self) -> AbstractContextManager[bool]:
        """Hold off nobody: the remote moves a branch from where it stands, or not at all."""
        return nullcontext(enter_result=False)

    def apply(self, changes: BranchChanges, progress: Progress = NO_PROGRESS) -> None:
        """Push the commit to the branch. Safe to repeat: a branch moves once.

        Effects: the branch on the remote.

        Raises:
            GuardError: this only reads.
            CommandError: the remote refused, or did not answer however often it was tried.
            VerifyError: the branch was moved elsewhere in the meantime.
        """
        if self._read_only:
            raise GuardError(f"{self.place}: expected to read only, got a push")
        for left in reversed(range(_ATTEMPTS)):
            progress.relative_update(0)
            try:
                self._remote.push(changes.new, self._ref, progress=progress)
                break
            except CommandError as error:
                # what was answered may have been lost on the way
                if self._has_moved(changes, error):
                    break
                if not left or is_final(error):
                    raise
            pause()
        self._old = changes.old or ""

    def prove(self) -> Receipt:
        """Ask the remote where the branch stands.

        Raises:
            CommandError: the remote did not answer.
            VerifyError: it does not stand at the commit of the tag.
        """
        commit = resolve_commit(self._repository, self._tag)
        standing = self._remote.find_refs(self._ref).get(self._ref)
        if commit is None or standing != commit:
            raise VerifyError(
                f"{self.place}: expected {commit or 'the commit of a tag that is missing here'}"
                f" (tag {self._tag}), found {standing or 'no such branch'}"
            )
        facts = {"branch": self._branch, "commit": commit, "remote": self._remote.url}
        return self._stamp.receipt(self.place, facts | ({"old": self._old} if self._old else {}))

    @property
    def _ref(self) -> str:
        return f"refs/heads/{self._branch}"

    def _is_shallow(self) -> bool:
        if not self._repository.is_dir():
            raise CommandError(f"{self._repository}: expected a git repository, found no folder")
        asked = ["git", "rev-parse", "--is-shallow-repository"]
        try:
            return run_command(asked, folder=self._repository).strip() == "true"
        except CommandError as error:
            raise CommandError(
                f"{self._repository}: expected a git repository; {error}", hint=error.hint
            ) from error

    def _relate(self, standing: str | None, commit: str, *, shallow: bool) -> Relation:
        """Say where a commit of the remote stands, seen from one that is known here."""
        if standing is None:
            return Relation.ABSENT
        if standing == commit:
            return Relation.SAME
        known = self._is_known(standing)
        if known and self._is_ancestor(standing, commit):
            return Relation.BEHIND
        if known and self._is_ancestor(commit, standing):
            return Relation.AHEAD
        if shallow:  # here a "no" means nothing
            return Relation.UNKNOWN
        return Relation.DIVERGED if known else Relation.FOREIGN

    def _is_known(self, commit: str) -> bool:
        return self._answer("cat-file", "-e", f"{commit}^{{commit}}")

    def _is_ancestor(self, older: str, newer: str) -> bool:
        return self._answer("merge-base", "--is-ancestor", older, newer)

    def _answer(self, *question: str) -> bool:
        alone = {"GIT_NO_LAZY_FETCH": "1", "GIT_NO_REPLACE_OBJECTS": "1"}
        try:
            run_command(["git", *question], folder=self._repository, environment=alone)
        except CommandError as error:
            if error.exit_code_of_child is None:
                raise
            return False
        return True

    def _require_tag(self, observed: BranchState) -> str:
        """Return the commit that the tag names both here and on the remote."""
        tag, url = self._tag, self._remote.url
        fetch = f"`git fetch --no-tags {self._remote_name} refs/tags/{tag}:refs/tags/{tag}`"
        if observed.commit is None:
            there = observed.tagged or "none on the remote either"
            raise VerifyError(
                f"{self._repository}: expected the tag {tag}, found none here ({url}: {there})",
                hint=f"fetch it: {fetch}" if observed.tagged else "make the tag and push it",
            )
        if observed.tagged is None:
            raise VerifyError(
                f"{url}: expected the tag {tag} at {observed.commit}, found no such tag there",
                hint=f"push it: `git push {self._remote_name} refs/tags/{tag}`",
            )
        if observed.tagged != observed.commit:
            raise VerifyError(
                f"{url}: expected the tag {tag} at {observed.commit}, as here, found it at"
                f" {observed.tagged}",
                hint="one of the two was moved; release under a new tag, or make them agree",
            )
        return observed.commit

    def _way_out(self, relation: Relation) -> str:
        if relation is Relation.AHEAD:
            return "a later release has moved it; nothing was changed, and nothing need be"
        return (
            "nothing was changed; a release never forces a branch: a person moves it back to an"
            " ancestor of the tag, or merges it and releases under a new tag"
        )

    def _has_moved(self, changes: BranchChanges, error: CommandError) -> bool:
        """Say whether the branch stands where it belongs although a push has failed.

        Raises:
            VerifyError: it stands somewhere from where no fast-forward leads on.
        """
        with suppress(CommandError):
            standing = self._remote.find_refs(self._ref).get(self._ref)
            if standing == changes.new:
                return True
            if standing != changes.old:
                try:
                    self.plan(self.observe())
                except VerifyError as moved:
                    raise moved from error
        return False
