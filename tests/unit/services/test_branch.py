"""The branch of a channel, moved on real repositories, in folders and over HTTP."""

import base64
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from lading.errors import CommandError, GuardError, Interrupted, LadingError, VerifyError
from lading.release.receipts import Stamp, render_receipt
from lading.services import git_remote
from lading.services.branch import BranchChanges, BranchState, BranchTarget, Relation
from lading.services.git_remote import GitRemote, public_url
from lading.storage.progress import Progress
from tests.fakes.git_http import Call, Fault, GitHttpServer

CANARY = "canary-5f2c9d-token"
TAG = "nightly-2025-02-05"
STAMP = Stamp(
    task="git_merge",
    project="demo",
    channel="nightly",
    tag=TAG,
    environment="production",
    manifest_sha256="0" * 64,
)
WAIT_S = 20


def slow(value: str) -> ParameterSet:
    """Return a variant that the default run leaves out."""
    return pytest.param(value, marks=pytest.mark.slow)


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder as a person."""
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=WAIT_S
    )
    return done.stdout.strip()


@dataclass(frozen=True)
class World:
    """A remote whose main line is c0 to c9, its tag at c8, its branch at c2; and clones of it."""

    folder: Path

    @property
    def remote(self) -> Path:
        """The bare repository that is the remote."""
        return self.folder / "data.git"

    @property
    def full(self) -> Path:
        """A clone with all history."""
        return self.folder / "full"

    @property
    def shallow(self) -> Path:
        """A clone of the tag's commit alone, its head detached, as CI makes one."""
        return self.folder / "shallow"

    def commit(self, name: str) -> str:
        """Return the id of a commit: ``c0`` to ``c9``, or ``side``."""
        return (self.folder / "names" / name).read_text().strip()

    @property
    def nightly(self) -> str:
        """Where the branch stands on the remote; "" where there is none."""
        path = self.remote / "refs" / "heads" / "nightly"
        return path.read_text().strip() if path.exists() else ""

    @property
    def moves(self) -> int:
        """How often the branch was moved, by the log of the remote."""
        return len((self.remote / "logs/refs/heads/nightly").read_text().splitlines())

    def put(self, name: str) -> str:
        """Let the branch stand at a commit, as somebody else would have it."""
        commit = self.commit(name)
        git(self.remote, "update-ref", "refs/heads/nightly", commit)
        return commit

    def target(
        self, clone: Path | None = None, remote: str = "origin", *, read_only: bool = False
    ) -> BranchTarget:
        """Return the target of a release from a clone, the full one unless it is said."""
        scratch = self.folder / "scratch"
        repository = clone or self.full
        return BranchTarget(
            repository, remote, "nightly", TAG, STAMP, scratch=scratch, read_only=read_only
        )

    def point(self, url: str, *clones: Path) -> None:
        """Let clones have another URL for their remote."""
        for clone in clones or (self.full, self.shallow):
            git(clone, "config", "remote.origin.url", url)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repositories of a world, made once."""
    folder = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        set_person(patch, folder)
        init = ["init", "-q", "--template=", "-b", "main"]
        git(folder, *init, "--bare", "data.git")
        git(folder, *init, "seed")
        seed = folder / "seed"
        git(seed, "remote", "add", "origin", str(folder / "data.git"))
        for number in range(10):
            (seed / "data.txt").write_text(f"{number}\n")
            git(seed, "add", "data.txt")
            git(seed, "commit", "-q", "-m", f"c{number}")
            git(seed, "update-ref", f"refs/names/c{number}", "HEAD")
        git(seed, "tag", "-a", "-m", "release", TAG, "refs/names/c8")
        side = git(seed, "commit-tree", "-p", "refs/names/c1", "-m", "side", "HEAD^{tree}")
        git(seed, "update-ref", "refs/names/side", side)
        git(seed, "update-ref", "refs/heads/nightly", "refs/names/c2")
        kept = ["refs/names/*:refs/names/*", "refs/heads/*:refs/heads/*", f"refs/tags/{TAG}"]
        git(seed, "push", "-q", "origin", *kept)
        url = (folder / "data.git").as_uri()
        git(folder, "clone", "-q", "--template=", url, "full")
        shallow = ["--depth=1", f"--branch={TAG}", "-c", "advice.detachedHead=false"]
        git(folder, "clone", "-q", "--template=", *shallow, url, "shallow")
        shutil.copytree(folder / "data.git" / "refs" / "names", folder / "names")
        for each in ("data.git", "full", "shallow"):
            git(folder / each, "repack", "-adq")
        shutil.rmtree(seed)
    return folder


def set_person(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Be a person without settings and without tokens."""
    for name in os.environ:
        if name.startswith(("GIT_", "GH_", "GITHUB_")):
            patch.delenv(name)
    patch.setenv("HOME", str(folder))
    patch.setenv("GIT_CONFIG_GLOBAL", str(folder / "gitconfig"))
    patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for role in ("AUTHOR", "COMMITTER"):
        patch.setenv(f"GIT_{role}_NAME", "a")
        patch.setenv(f"GIT_{role}_EMAIL", "a@example.org")


@pytest.fixture
def world(tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world of one's own; nothing waits in it."""
    set_person(monkeypatch, tmp_path)
    monkeypatch.setattr(git_remote, "_PAUSE_S", 0.0)
    for each in template.iterdir():
        if each.is_dir():
            shutil.copytree(each, tmp_path / each.name, symlinks=True)
    made = World(tmp_path)
    for clone in (made.full, made.shallow):
        config = clone / ".git" / "config"
        config.write_text(config.read_text().replace(template.as_uri(), tmp_path.as_uri()))
    return made


@pytest.fixture
def server(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHttpServer]:
    """The remote over HTTP for who knows the canary, which is in the environment."""
    monkeypatch.setenv("GIT_TOKEN", CANARY)
    with GitHttpServer(world.folder, CANARY) as served:
        world.point(f"{served.url}/data.git")
        yield served
    assert served.errors == []


def move(target: BranchTarget) -> BranchChanges:
    """Bring a branch to where it belongs, as a task does."""
    changes = target.plan(target.observe())
    if not changes.is_empty:
        target.apply(changes)
    target.prove()
    return changes


def basic(token: str) -> str:
    """Return a token as the header that goes over the wire."""
    return "Basic " + base64.b64encode(f"x-access-token:{token}".encode()).decode()


def digests(folder: Path) -> dict[str, str]:
    """Return what the files of a clone are, but for its objects."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "objects" not in path.parts
    }


class TestMove:
    """From an ancestor to the tag's commit."""

    @pytest.mark.parametrize("clone", ["full", "shallow"])
    def test_moves_once(self, world: World, clone: str) -> None:
        """The branch is fast-forwarded to the tag's commit, not its tag object; then it rests."""
        target = world.target(world.folder / clone)
        changes = move(target)

        assert (changes.old, changes.new) == (world.commit("c2"), world.commit("c8"))
        assert changes.is_sure
        assert world.nightly == world.commit("c8")
        assert target.plan(target.observe()).is_empty

    def test_receipt(self, world: World) -> None:
        """The receipt tells the branch, the commit, where it was, and the remote."""
        target = world.target()
        move(target)
        receipt = target.prove()

        assert receipt.task == "git_merge"
        assert receipt.place == f"branch nightly of {world.remote.as_uri()}"
        assert receipt.facts == {
            "branch": "nightly",
            "commit": world.commit("c8"),
            "old": world.commit("c2"),
            "remote": world.remote.as_uri(),
        }

    def test_branch_that_is_absent(self, world: World) -> None:
        """A branch that the remote lacks is made."""
        git(world.remote, "update-ref", "-d", "refs/heads/nightly")
        changes = move(world.target(world.shallow))

        assert changes.old is None
        assert world.nightly == world.commit("c8")

    def test_lightweight_tag(self, world: World) -> None:
        """A tag without an object of its own does as well."""
        for each in (world.remote, world.full):
            git(each, "tag", "-f", TAG, world.commit("c8"))
        move(world.target())

        assert world.nightly == world.commit("c8")

    def test_tag_as_checkout_leaves_it(self, world: World) -> None:
        """An annotated tag that is here without its object is the same tag."""
        git(world.shallow, "tag", "-f", TAG, world.commit("c8"))
        move(world.target(world.shallow))

        assert world.nightly == world.commit("c8")

    @pytest.mark.parametrize("kind", [slow("bare"), "worktree", "url"])
    def test_any_clone(self, world: World, kind: str) -> None:
        """A bare clone and a linked work tree do, and a remote that is a URL and has no name."""
        clone, remote = world.folder / "other", "origin"
        if kind == "bare":
            git(world.folder, "clone", "-q", "--bare", world.remote.as_uri(), "other")
        elif kind == "worktree":
            git(world.full, "worktree", "add", "-q", "--detach", str(clone), TAG)
        else:
            clone, remote = world.full, world.remote.as_uri()
        move(world.target(clone, remote))

        assert world.nightly == world.commit("c8")

    def test_dirty_tree(self, world: World) -> None:
        """Files that were changed, staged or never known stay as they are, and so does the rest."""
        (world.shallow / "data.txt").write_text("changed\n")
        (world.shallow / "staged.txt").write_text("staged\n")
        git(world.shallow, "add", "staged.txt")
        (world.shallow / "new.txt").write_text("new\n")
        before = digests(world.shallow)
        move(world.target(world.shallow))
        changed = dict(digests(world.shallow).items() ^ before.items())

        # the boundary of the history that was fetched, and nothing else
        assert set(changed) <= {".git/shallow"}

    def test_no_commit_is_made(self, world: World) -> None:
        """The remote holds the objects that it held before: nothing was merged."""
        count = ["rev-list", "--all", "--objects", "--count"]
        before = git(world.remote, *count)
        move(world.target())

        assert git(world.remote, *count) == before

    def test_later_tag_beside(self, world: World) -> None:
        """Tags and branches that are only here do not go along, whatever the person has set."""
        git(world.full, "tag", "-a", "-m", "mine", "mine", "refs/tags/" + TAG + "^{commit}")
        for name, value in (
            ("push.followTags", "true"),
            ("push.gpgSign", "true"),
            ("push.default", "matching"),
            ("push.pushOption", "ci.skip"),
            ("push.recurseSubmodules", "only"),
            ("remote.origin.push", "+refs/heads/*:refs/heads/*"),
        ):
            git(world.full, "config", name, value)
        before = git(world.remote, "for-each-ref", "refs/tags", "refs/heads/main")
        move(world.target())

        assert world.nightly == world.commit("c8")
        assert git(world.remote, "for-each-ref", "refs/tags", "refs/heads/main") == before

    def test_hooks_of_the_person(self, world: World) -> None:
        """A hook of the person, which could refuse the push, is not run."""
        hook = world.full / ".git" / "hooks" / "pre-push"
        hook.parent.mkdir()
        hook.write_text("#!/bin/sh\ntouch ../ran\nexit 1\n")
        hook.chmod(0o755)
        move(world.target())

        assert world.nightly == world.commit("c8")
        assert not (world.folder / "ran").exists()

    def test_replaced_commit(self, world: World) -> None:
        """A replacement that is only here does not make a fast-forward."""
        world.put("side")
        git(world.full, "fetch", "-q", "origin", "refs/names/*:refs/names/*")
        git(world.full, "replace", "--graft", world.commit("c8"), world.commit("side"))
        with pytest.raises(VerifyError, match="apart from"):
            move(world.target())

    def test_longer_than_one_step(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """A shallow clone is deepened as far as it takes, and no further."""
        monkeypatch.setattr("lading.services.branch._DEEPER", (2, 4, None))
        state = world.target(world.shallow).observe()

        assert state.relation is Relation.BEHIND
        assert git(world.shallow, "rev-list", "--count", TAG) == "7"
        assert git(world.shallow, "rev-parse", "--is-shallow-repository") == "true"


class TestRefusals:
    """What is not a fast-forward, and tags that do not agree."""

    @pytest.mark.parametrize(
        ("clone", "standing", "relation", "words"),
        [
            ("full", "c9", Relation.AHEAD, "which is ahead of it; a later release has moved it"),
            ("shallow", "c9", Relation.FOREIGN, "which is not an ancestor of it; nothing was"),
            ("full", "side", Relation.FOREIGN, "which is not an ancestor of it; nothing was"),
            ("shallow", "side", Relation.FOREIGN, "which is not an ancestor of it; nothing was"),
        ],
    )
    def test_no_fast_forward(
        self, world: World, clone: str, standing: str, relation: Relation, words: str
    ) -> None:
        """Both commits are named in full, how they lie, what to do; nothing is changed."""
        there = world.put(standing)
        target = world.target(world.folder / clone)
        observed = target.observe()

        assert observed.relation is relation
        with pytest.raises(VerifyError) as caught:
            target.plan(observed)
        text = str(caught.value)
        assert f"expected an ancestor of {world.commit('c8')} (tag {TAG})" in text
        assert f"found {there}" in text
        assert words in text
        assert "\n" not in text
        assert world.nightly == there

    def test_diverged(self, world: World) -> None:
        """A commit that is known here and lies on another line is called that."""
        git(world.full, "fetch", "-q", "origin", "refs/names/*:refs/names/*")
        world.put("side")
        with pytest.raises(VerifyError, match=r"which is apart from it; nothing was changed"):
            world.target().require_access()

    def test_moved_in_between(self, world: World) -> None:
        """A branch that somebody moves after it was observed is left alone; both are named."""
        git(world.full, "fetch", "-q", "origin", "refs/names/*:refs/names/*")
        target = world.target()
        changes = target.plan(target.observe())
        there = world.put("side")
        with pytest.raises(VerifyError, match=f"{world.commit('c8')}.*{there}.*apart"):
            target.apply(changes)

        assert world.nightly == there

    def test_pushed_back_by_force(self, world: World) -> None:
        """A branch that somebody set back to an ancestor in the meantime is moved from there."""
        target = world.target()
        changes = target.plan(target.observe())
        world.put("c1")
        target.apply(changes)

        assert world.nightly == world.commit("c8")

    @pytest.mark.parametrize("there", [True, False])
    def test_tag_missing_here(self, world: World, *, there: bool) -> None:
        """A tag that is not here is named with the repository, and what the remote has."""
        for each in (world.full,) if there else (world.full, world.remote):
            git(each, "tag", "-d", TAG)
        found = world.commit("c8") if there else "none on the remote either"
        hint = "git fetch --no-tags origin" if there else "make the tag"
        with pytest.raises(VerifyError) as caught:
            world.target().require_access()

        assert f"{world.full}: expected the tag {TAG}, found none here" in str(caught.value)
        assert found in str(caught.value)
        assert hint in str(caught.value)

    def test_tag_missing_there(self, world: World) -> None:
        """A tag that the remote lacks is named with the remote, and how it is pushed."""
        git(world.remote, "tag", "-d", TAG)
        words = f"{world.remote.as_uri()}: expected the tag {TAG} at {world.commit('c8')}, found no"
        with pytest.raises(VerifyError, match=words) as caught:
            world.target().require_access()

        assert f"`git push origin refs/tags/{TAG}`" in caught.value.hint

    def test_tags_that_differ(self, world: World) -> None:
        """A tag that names one commit here and another there is refused; both are named."""
        git(world.remote, "tag", "-f", TAG, world.commit("c7"))
        words = f"at {world.commit('c8')}, as here, found it at {world.commit('c7')}"
        with pytest.raises(VerifyError, match=words):
            world.target().require_access()

    def test_branch_of_the_tags_name(self, world: World) -> None:
        """A branch, or a longer name that ends like the tag's, is not taken for the tag."""
        git(world.remote, "update-ref", f"refs/heads/refs/tags/{TAG}", world.commit("c7"))
        git(world.remote, "tag", "-d", TAG)
        with pytest.raises(VerifyError, match="found no such tag there"):
            world.target().require_access()

    def test_hook_of_the_remote(self, world: World) -> None:
        """What a hook of the remote says when it refuses is told, once; the branch stays."""
        hook = world.remote / "hooks" / "pre-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text("#!/bin/sh\necho x >> ran\necho 'only on mondays' >&2\nexit 1\n")
        hook.chmod(0o755)
        target = world.target()
        words = r"! \[remote rejected\].*pre-receive hook declined.*remote: only on mondays"
        with pytest.raises(CommandError, match=words) as caught:
            target.apply(target.plan(target.observe()))

        assert "\n" not in str(caught.value)
        assert world.nightly == world.commit("c2")
        assert (world.remote / "ran").read_text() == "x\n"

    @pytest.mark.parametrize("remote", ["upstream", "/no/such/folder"])
    def test_unknown_remote(self, world: World, remote: str) -> None:
        """A remote that is not there is named."""
        with pytest.raises(CommandError, match=f"{remote}: expected to tell its refs, got fatal:"):
            world.target(remote=remote).observe()

    @pytest.mark.parametrize("name", ["missing", "."])
    def test_no_repository(self, world: World, name: str) -> None:
        """A folder without a repository is named."""
        with pytest.raises(CommandError, match="expected a git repository"):
            world.target(world.folder / name).observe()

    def test_prove_elsewhere(self, world: World) -> None:
        """What does not stand at the commit is not proved; both are named."""
        words = f"expected {world.commit('c8')} .*, found {world.commit('c2')}"
        with pytest.raises(VerifyError, match=words):
            world.target().prove()


class TestReadOnly:
    """What `doit plan` and staging may do."""

    def test_nothing_is_written(self, world: World) -> None:
        """A look says what would be done, and leaves clone and remote as they are."""
        before = digests(world.folder), git(world.shallow, "count-objects", "-v")
        told = world.target(world.shallow, read_only=True).require_access()

        short = world.commit("c2")[:7], world.commit("c8")[:7]
        assert told == (
            f"nightly from {short[0]} to {short[1]}, probably: this clone is too shallow to tell"
        )
        assert (digests(world.folder), git(world.shallow, "count-objects", "-v")) == before

    def test_no_push(self, world: World) -> None:
        """A push by what only reads is refused before git is called."""
        target = world.target(read_only=True)
        changes = target.plan(target.observe())
        with pytest.raises(GuardError, match=r"branch nightly of .*expected to read only"):
            target.apply(changes)

        assert world.nightly == world.commit("c2")


@pytest.mark.parametrize(
    ("old", "sure", "told"),
    [
        ("b" * 40, True, "nightly from bbbbbbb to aaaaaaa"),
        ("a" * 40, True, "nightly at aaaaaaa already"),
        (None, True, "new nightly at aaaaaaa"),
    ],
)
def test_changes_are_told(old: str | None, told: str, *, sure: bool) -> None:
    """A move is told in a few words that fit before and after it."""
    changes = BranchChanges("nightly", old, "a" * 40, sure)

    assert changes.describe() == told
    assert changes.is_empty is (old == "a" * 40)


class TestOverHttp:
    """A remote behind a password."""

    @pytest.mark.parametrize("clone", [slow("full"), "shallow"])
    def test_moves(self, world: World, server: GitHttpServer, clone: str) -> None:
        """The token of the environment moves the branch; the program that told it is gone."""
        move(world.target(world.folder / clone))

        assert world.nightly == world.commit("c8")
        assert {call.authorization for call in server.calls} == {"", basic(CANARY)}
        assert list((world.folder / "scratch").iterdir()) == []

    def test_token_is_nowhere(self, world: World, server: GitHttpServer) -> None:
        """While git pushes the token stands in no argument of any process, and in no file."""
        server.faults = [Fault("hang")]
        target = world.target()
        changes = target.plan(target.observe())
        thread = threading.Thread(target=target.apply, args=(changes,))
        thread.start()
        assert server.hanging.wait(WAIT_S)
        lines = b"".join(path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline"))
        files = [path for path in world.folder.rglob("*") if path.is_file()]
        found = [path for path in files if CANARY.encode() in path.read_bytes()]
        scripts = [path for path in files if path.parent.name == "scratch"]
        server.let_go()
        thread.join(WAIT_S)

        assert b"git\0" in lines
        assert b"/data.git" in lines
        assert CANARY.encode() not in lines
        assert basic(CANARY)[6:].encode() not in lines
        assert found == []
        assert len(scripts) == 1
        assert world.nightly == world.commit("c8")
        assert CANARY.encode() not in render_receipt(target.prove())

    @pytest.mark.parametrize("scope", [slow("credential.helper"), "credential.{url}.helper"])
    def test_helper_does_not_keep_it(self, world: World, server: GitHttpServer, scope: str) -> None:
        """A helper of the person's that keeps passwords does not get the token."""
        git(world.full, "config", scope.format(url=server.url), "store")
        move(world.target())

        assert world.nightly == world.commit("c8")
        assert not (world.folder / ".git-credentials").exists()

    @pytest.mark.parametrize("kind", ["header", "helper"])
    def test_what_the_clone_has_is_used(
        self, world: World, server: GitHttpServer, monkeypatch: pytest.MonkeyPatch, kind: str
    ) -> None:
        """Without a token of ours the header or the helper of the clone does, before GH_TOKEN."""
        monkeypatch.delenv("GIT_TOKEN")
        monkeypatch.setenv("GITHUB_SERVER_URL", server.url)
        monkeypatch.setenv("GH_TOKEN", "wrong-token-for-this")
        if kind == "header":
            value = f"AUTHORIZATION: {basic(CANARY)}"
            git(world.full, "config", f"http.{server.url}/.extraheader", value)
        else:
            helper = f"!f() {{ echo username=x-access-token; echo password={CANARY}; }}; f"
            git(world.full, "config", "credential.helper", helper)
        move(world.target())

        assert world.nightly == world.commit("c8")

    def test_own_token_goes_first(self, world: World, server: GitHttpServer) -> None:
        """A header that CI left in the clone, and that may not push, gives way to GIT_TOKEN."""
        value = f"AUTHORIZATION: {basic('may-only-read')}"
        git(world.full, "config", f"http.{server.url}/.extraheader", value)
        move(world.target())

        assert basic("may-only-read") not in {call.authorization for call in server.calls}

    @pytest.mark.parametrize("name", ["GH_TOKEN", slow("GITHUB_TOKEN")])
    def test_token_of_github(
        self, world: World, server: GitHttpServer, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        """GitHub's token is used for GitHub's server, and for no other."""
        monkeypatch.delenv("GIT_TOKEN")
        monkeypatch.setenv(name, CANARY)
        with pytest.raises(CommandError, match="could not read Username"):
            world.target().observe()
        assert {call.authorization for call in server.calls} == {""}
        monkeypatch.setenv("GITHUB_SERVER_URL", server.url)
        move(world.target())

        assert world.nightly == world.commit("c8")

    def test_redirect_to_a_stranger(self, world: World, server: GitHttpServer) -> None:
        """A host to which the remote leads is not told the token."""
        with GitHttpServer(world.folder, CANARY) as stranger:
            location = f"{stranger.url}/data.git/info/refs?service=git-upload-pack"
            server.faults = [Fault("redirect", lambda _: True, 9, location)]
            with pytest.raises(CommandError):
                world.target().observe()

            assert stranger.calls
            assert {call.authorization for call in stranger.calls} == {""}

    def test_no_right_to_push_is_known_early(self, world: World, server: GitHttpServer) -> None:
        """A token that may read and not write is refused before anything long, with a hint."""
        server.faults = [Fault("403", lambda call: call.asks_to_push, 9)]
        with pytest.raises(CommandError, match=r"error: 403; put a token that may write into GIT"):
            world.target().require_access()

        assert server.pushes == 0

    def test_access_moves_nothing(self, world: World, server: GitHttpServer) -> None:
        """Asking for access moves nothing."""
        told = world.target().require_access()

        assert told.startswith("nightly from ")
        assert world.nightly == world.commit("c2")
        assert server.pushes == 0

    def test_wrong_token(
        self, world: World, server: GitHttpServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A token that is not accepted is said so, once, without the token."""
        monkeypatch.setenv("GIT_TOKEN", "wrong-token-here")
        with pytest.raises(CommandError, match=r"Authentication failed.*GIT_TOKEN") as caught:
            world.target().observe()

        assert "wrong-token-here" not in str(caught.value) + caught.value.stderr
        assert len(server.calls) == 2

    @pytest.mark.parametrize(
        "kind",
        [slow("502"), "502 after", slow("reset"), "reset after"],
    )
    def test_lost_answer(self, world: World, server: GitHttpServer, kind: str) -> None:
        """A push whose answer was lost is decided by asking; it is repeated if it was not done."""
        git(world.remote, "config", "core.logAllRefUpdates", "always")
        server.faults = [Fault(kind)]
        move(world.target())

        assert world.nightly == world.commit("c8")
        assert world.moves == 1
        # git repeats by itself where a connection ends without an answer
        assert server.pushes == (1 if kind == "502 after" else 2)

    def test_no_answer_at_all(self, world: World, server: GitHttpServer) -> None:
        """A remote that fails however often it is tried is an error, and bounded."""
        server.faults = [Fault("502", times=99)]
        target = world.target()
        changes = target.plan(target.observe())
        with pytest.raises(CommandError, match=r"expected refs/heads/nightly to move to .* got "):
            target.apply(changes)

        assert server.pushes == 3
        assert world.nightly == world.commit("c2")

    def test_reading_is_repeated(self, world: World, server: GitHttpServer) -> None:
        """A failure that passes while refs are read is not seen."""
        server.faults = [Fault("502", lambda _: True, 2)]

        assert world.target().observe().relation is Relation.BEHIND

    def test_interrupted_push(self, world: World, server: GitHttpServer) -> None:
        """A run that is stopped ends git at once, and leaves no program behind; then it goes on."""

        class Stop(Progress):
            def relative_update(self, inc: int = 1) -> None:
                del inc
                if server.hanging.is_set():
                    raise Interrupted(signal.SIGTERM)

        server.faults = [Fault("hang")]
        target = world.target()
        with pytest.raises(Interrupted):
            target.apply(target.plan(target.observe()), Stop())

        assert list((world.folder / "scratch").iterdir()) == []
        move(world.target())
        assert world.nightly == world.commit("c8")

    @pytest.mark.parametrize("kind", ["hang", slow("reset after")])
    def test_killed(self, world: World, server: GitHttpServer, kind: str) -> None:
        """A run that is killed while it pushes is finished by the same again, with one move."""
        git(world.remote, "config", "core.logAllRefUpdates", "always")
        server.faults = [Fault(kind)]
        hanging = server.hanging if kind == "hang" else threading.Event()
        code = (
            "import sys; from pathlib import Path;"
            "from tests.unit.services import test_branch as t;"
            "t.move(t.World(Path(sys.argv[1])).target())"
        )
        command = [sys.executable, "-c", code, str(world.folder)]
        root = Path(__file__).parents[3]
        with subprocess.Popen(command, cwd=root) as child:
            if kind == "hang":
                assert hanging.wait(WAIT_S)
                child.kill()
            child.wait(WAIT_S)
        server.let_go()
        move(world.target())

        assert world.nightly == world.commit("c8")
        assert world.moves == 1


class TestPassword:
    """A URL of the person's that holds a password."""

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("https://bot:pw-123456@host/o/r.git", "https://host/o/r.git"),
            ("https://ghp_0123456789abcdef0123@host/r", "https://host/r"),
            ("ssh://git@host:22/o/r.git", "ssh://git@host:22/o/r.git"),
            ("ssh://git:pw-123456@host/o", "ssh://host/o"),
            ("git@github.com:o/r.git", "git@github.com:o/r.git"),
            ("/srv/data.git", "/srv/data.git"),
            ("file:///srv/data.git", "file:///srv/data.git"),
        ],
    )
    def test_is_not_shown(self, url: str, shown: str) -> None:
        """A URL is shown without what may be a password, and else as it is."""
        assert public_url(url) == shown

    def test_is_used_and_not_told(
        self, world: World, server: GitHttpServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A password in the clone's own URL works on, and is in no message and no receipt."""
        monkeypatch.delenv("GIT_TOKEN")
        url = server.url.replace("http://", f"http://x-access-token:{CANARY}@")
        world.point(f"{url}/data.git", world.full)
        target = world.target()
        move(target)
        server.faults = [Fault("403", lambda _: True, 99)]
        with pytest.raises(LadingError) as caught:
            target.observe()

        assert world.nightly == world.commit("c8")
        server.faults = []
        told = str(caught.value) + target.place + render_receipt(target.prove()).decode()
        assert CANARY not in told


class TestAskpass:
    """The program that tells git the token."""

    def answer(self, folder: Path, question: str, *origins: str) -> str:
        """Ask it as git does."""
        script = folder / "askpass.sh"
        script.write_text(git_remote._render_askpass(origins, "CANARY_VARIABLE"))
        done = subprocess.run(
            ["sh", str(script), question],
            env={"CANARY_VARIABLE": CANARY},
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_S,
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    @pytest.mark.parametrize(
        ("question", "answer"),
        [
            ("Username for 'https://git.example.org': ", "x-access-token"),
            ("Password for 'https://x-access-token@git.example.org': ", CANARY),
            ("Password for 'https://bot@git.example.org/o/r.git': ", CANARY),
            ("Username for 'https://[::1]:80': ", "x-access-token"),
            ("Password for 'http://x-access-token@git.example.org': ", ""),
            ("Password for 'https://git.example.org@evil.example': ", ""),
            ("Password for 'https://u@evil.example/x@git.example.org': ", ""),
            ("Password for 'https://git.example.org.evil.example': ", ""),
            ("Password for 'https://git.example.org:444': ", ""),
            ("Enter passphrase for key '/home/a/.ssh/id': ", ""),
            ("Are you sure you want to continue connecting (yes/no)? ", ""),
        ],
    )
    def test_answers_its_hosts(self, tmp_path: Path, question: str, answer: str) -> None:
        """It answers for its hosts and for nobody who looks like them."""
        origins = ("https://git.example.org", "https://[::1]:80")

        assert self.answer(tmp_path, question, *origins) == answer

    @pytest.mark.parametrize(
        ("urls", "origins"),
        [
            (["https://h/o.git", "https://h/o.git"], ["https://h"]),
            (["https://u:p@h:8443/o", "ssh://git@h/o"], ["https://h:8443"]),
            (["http://h/o"], []),
            (["http://127.0.0.1:99/o"], ["http://127.0.0.1:99"]),
            (["https://h';reboot;'/o"], []),
            (["https://h$(reboot)/o"], []),
            (["git@github.com:o/r"], []),
        ],
    )
    def test_hosts(self, urls: list[str], origins: list[str]) -> None:
        """A token goes out over https, or stays on this machine; a strange host gets none."""
        assert git_remote._origins(urls) == origins

    @pytest.mark.parametrize(
        ("variables", "name"),
        [
            ({"GIT_TOKEN": "a", "GH_TOKEN": "b"}, "GIT_TOKEN"),
            ({"GIT_TOKEN": "", "GITHUB_TOKEN": "b"}, "GITHUB_TOKEN"),
            ({"GH_TOKEN": "a", "GITHUB_TOKEN": "b"}, "GH_TOKEN"),
            ({"GH_TOKEN": "a", "GITHUB_SERVER_URL": "https://ghe.example"}, ""),
            ({}, ""),
        ],
    )
    def test_variable(self, variables: dict[str, str], name: str) -> None:
        """The own variable goes before those of GitHub's tools."""
        assert git_remote._token_variable(["https://github.com"], variables) == name


def test_states_are_values() -> None:
    """A plan is made of a state alone: equal states, equal plans."""
    here = Path(__file__).parent
    remote = BranchTarget(here, "/x", "nightly", TAG, STAMP, scratch=Path("s"))
    state = BranchState("a" * 40, "a" * 40, "b" * 40, Relation.BEHIND)

    assert remote.plan(state) == remote.plan(state)


def test_helper_types() -> None:
    """A fault fits pushes unless it is told otherwise."""
    fits: Callable[[Call], bool] = Fault("403").fits

    assert fits(Call("POST", "/d.git/git-receive-pack", "", ""))
    assert not fits(Call("GET", "/d.git/info/refs", "service=git-receive-pack", ""))


def test_remote_without_folder(tmp_path: Path) -> None:
    """A remote of a repository that is not there still has a name."""
    assert GitRemote(tmp_path, "origin", scratch=tmp_path).url == "origin"
