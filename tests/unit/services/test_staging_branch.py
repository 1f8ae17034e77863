"""The branch of a staged version, deleted on real repositories, in folders and over HTTP."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lading.errors import CommandError, GuardError, VerifyError
from lading.services import git_remote
from lading.services.git_remote import GitRemote
from lading.services.staging_branch import StagingBranch
from tests.fakes.git_http import Call, Fault, GitHttpServer

BRANCH = "stage/gfs/v0.3.0"
CANARY = "canary-7d1e0a-token"
WAIT_S = 20


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder as a person."""
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=WAIT_S
    )
    return done.stdout.strip()


@dataclass(frozen=True)
class World:
    """A remote with a branch that was deployed, and a clone of main alone that lacks it."""

    folder: Path

    @property
    def remote(self) -> Path:
        """The bare repository that is the remote."""
        return self.folder / "data.git"

    @property
    def clone(self) -> Path:
        """A shallow clone of main."""
        return self.folder / "shallow"

    @property
    def deployed(self) -> str:
        """The commit that was deployed."""
        return (self.folder / "names" / "deployed").read_text().strip()

    @property
    def later(self) -> str:
        """A commit on top of it."""
        return (self.folder / "names" / "later").read_text().strip()

    @property
    def standing(self) -> str:
        """Where the branch stands on the remote; "" where it is gone."""
        return git(self.remote, "for-each-ref", "--format=%(objectname)", f"refs/heads/{BRANCH}")

    def put(self, commit: str) -> None:
        """Let the branch stand at a commit, as somebody else would have it."""
        git(self.remote, "update-ref", f"refs/heads/{BRANCH}", commit)

    def branch(self, name: str = BRANCH, *, read_only: bool = False) -> StagingBranch:
        """Return a branch as seen from the clone."""
        scratch = self.folder / "scratch"
        return StagingBranch(self.clone, "origin", name, scratch=scratch, read_only=read_only)

    def hook(self, name: str, text: str) -> None:
        """Let the remote run a hook."""
        path = self.remote / "hooks" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)


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
        (folder / "names").mkdir()
        for number in range(3):
            git(seed, "commit", "-q", "--allow-empty", "-m", str(number))
        tip = git(seed, "rev-parse", "HEAD")
        for name in ("deployed", "later"):
            tip = git(seed, "commit-tree", "-p", tip, "-m", name, "HEAD^{tree}")
            (folder / "names" / name).write_text(tip)
            git(seed, "update-ref", f"refs/names/{name}", tip)
        stage = f"refs/names/deployed:refs/heads/{BRANCH}"
        names = "refs/names/*:refs/names/*"
        git(seed, "push", "-q", str(folder / "data.git"), "main", stage, names)
        url = (folder / "data.git").as_uri()
        git(folder, "clone", "-q", "--template=", "--depth=1", url, "shallow")
        shutil.rmtree(seed)
    return folder


@pytest.fixture
def world(tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world of one's own; nothing waits in it."""
    set_person(monkeypatch, tmp_path)
    monkeypatch.setattr(git_remote, "_PAUSE_S", 0.0)
    for each in template.iterdir():
        if each.is_dir():
            shutil.copytree(each, tmp_path / each.name, symlinks=True)
    made = World(tmp_path)
    git(made.clone, "config", "remote.origin.url", made.remote.as_uri())
    return made


@pytest.fixture
def server(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHttpServer]:
    """The remote over HTTP for who knows the canary, which is in the environment."""
    monkeypatch.setenv("GIT_TOKEN", CANARY)
    with GitHttpServer(world.folder, CANARY) as served:
        git(world.clone, "config", "remote.origin.url", f"{served.url}/data.git")
        yield served
    assert served.errors == []


class TestDelete:
    """The branch where it was deployed from."""

    def test_is_deleted_once(self, world: World) -> None:
        """The branch goes, also from a shallow clone that never knew it; then it is absent."""
        assert world.branch().standing() == world.deployed
        assert world.branch().delete(world.deployed) == "deleted"
        assert world.standing == ""
        assert world.branch().standing() is None
        assert world.branch().delete(world.deployed) == "absent"

    def test_nothing_else_goes(self, world: World) -> None:
        """Branches whose names end or begin alike stay, and main does."""
        for name in (f"old/{BRANCH}", f"{BRANCH}1", "gfs/v0.3.0"):
            git(world.remote, "branch", name, world.deployed)
        world.branch().delete(world.deployed)

        left = git(world.remote, "for-each-ref", "--format=%(refname:short)", "refs/heads")
        assert left.split() == ["gfs/v0.3.0", "main", f"old/{BRANCH}", f"{BRANCH}1"]

    @pytest.mark.slow
    def test_habits_of_the_person(self, world: World) -> None:
        """Hooks and settings of the clone, which would refuse or push more, do not count."""
        hook = world.clone / ".git" / "hooks" / "pre-push"
        hook.parent.mkdir()
        hook.write_text("#!/bin/sh\nexit 1\n")
        hook.chmod(0o755)
        git(world.clone, "config", "push.gpgSign", "true")
        git(world.clone, "config", "remote.origin.push", "+refs/heads/*:refs/heads/new-*")

        assert world.branch().delete(world.deployed) == "deleted"
        assert "new-" not in git(world.remote, "for-each-ref")

    def test_place(self, world: World) -> None:
        """The place names branch and remote, without a password."""
        git(world.clone, "config", "remote.origin.url", "https://me:secret@example.org/data.git")

        assert world.branch().place == f"branch {BRANCH} of https://example.org/data.git"


class TestRefusals:
    """What is not deleted, and why."""

    def test_moved_branch(self, world: World) -> None:
        """A branch that was pushed to since stays; both commits are named in one line."""
        world.put(world.later)
        with pytest.raises(VerifyError) as caught:
            world.branch().delete(world.deployed)

        text = str(caught.value)
        assert f"{BRANCH} of {world.remote.as_uri()}: expected {world.deployed}" in text
        assert f"found {world.later}; it was pushed to since the deploy; nothing was" in text
        assert "\n" not in text
        assert world.standing == world.later

    def test_moved_in_between(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """A branch that somebody moves between the look and the deletion stays."""
        delete = GitRemote.delete

        def move_first(remote: GitRemote, reference: str, commit: str, **more: object) -> None:
            world.put(world.later)
            delete(remote, reference, commit, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(GitRemote, "delete", move_first)
        with pytest.raises(VerifyError, match=f"{world.deployed}, found {world.later}"):
            world.branch().delete(world.deployed)

        assert world.standing == world.later

    @pytest.mark.slow
    def test_gone_in_between(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """A branch that somebody deletes between the look and the deletion is gone: that is all."""
        delete = GitRemote.delete

        def delete_first(remote: GitRemote, reference: str, commit: str, **more: object) -> None:
            git(world.remote, "update-ref", "-d", f"refs/heads/{BRANCH}")
            delete(remote, reference, commit, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(GitRemote, "delete", delete_first)

        assert world.branch().delete(world.deployed) == "deleted"

    @pytest.mark.slow
    def test_made_anew(self, world: World) -> None:
        """A branch that stands again after the deletion is told: done means observed."""
        world.hook("post-receive", f"git update-ref refs/heads/{BRANCH} {world.later}")
        with pytest.raises(VerifyError, match=f"expected it to be gone, found it at {world.later}"):
            world.branch().delete(world.deployed)

    def test_refused_by_a_hook(self, world: World) -> None:
        """A remote that refuses is asked once; its words are told, and the branch stands."""
        world.hook("pre-receive", f"echo x >> {world.folder}/asked\necho kept >&2\nexit 1")
        with pytest.raises(
            CommandError, match=r"pre-receive hook declined.*remote: kept"
        ) as caught:
            world.branch().delete(world.deployed)

        assert f"expected refs/heads/{BRANCH}, at {world.deployed}, to be deleted" in str(
            caught.value
        )
        assert (world.folder / "asked").read_text() == "x\n"
        assert world.standing == world.deployed

    def test_unreachable_remote(self, world: World) -> None:
        """A remote that is not there is named in one line."""
        shutil.rmtree(world.remote)
        with pytest.raises(CommandError, match=r"data\.git.*to tell its refs") as caught:
            world.branch().delete(world.deployed)

        assert "\n" not in str(caught.value)

    def test_read_only(self, world: World) -> None:
        """What may only look tells where the branch stands and deletes nothing."""
        branch = world.branch(read_only=True)

        assert branch.standing() == world.deployed
        with pytest.raises(GuardError, match="expected to read only, got a deletion"):
            branch.delete(world.deployed)
        assert world.standing == world.deployed

    @pytest.mark.parametrize("name", ["main", "stage", "old/stage/gfs/v1"])
    def test_no_staging_branch(self, world: World, name: str) -> None:
        """No branch but those below stage/ is ever deleted, whatever an annotation says."""
        tip = git(world.remote, "rev-parse", "main")
        with pytest.raises(GuardError, match=f"below stage/, got '{name}'"):
            world.branch(name).delete(tip)

        assert git(world.remote, "rev-parse", "main") == tip


class TestOverHttp:
    """Answers that are lost on the way."""

    def test_with_a_token(self, world: World, server: GitHttpServer) -> None:
        """The token of the environment is used, and one push does it."""
        assert world.branch().delete(world.deployed) == "deleted"
        assert (server.pushes, world.standing) == (1, "")

    @pytest.mark.parametrize("kind", ["502 after", "reset after"])
    def test_lost_answer(self, world: World, server: GitHttpServer, kind: str) -> None:
        """A deletion whose answer was lost is looked up, and told as done."""
        server.faults = [Fault(kind)]

        assert world.branch().delete(world.deployed) == "deleted"
        assert world.standing == ""
        # curl itself may send a request again whose connection was reset
        assert server.pushes == 1 or kind == "reset after"

    @pytest.mark.slow
    def test_passing_fault(self, world: World, server: GitHttpServer) -> None:
        """A push that did not arrive is repeated."""
        server.faults = [Fault("502")]

        assert world.branch().delete(world.deployed) == "deleted"
        assert (server.pushes, world.standing) == (2, "")

    @pytest.mark.parametrize(("kind", "pushes"), [("502", 3), ("403", 1)])
    def test_lasting_fault(
        self, world: World, server: GitHttpServer, kind: str, pushes: int
    ) -> None:
        """A fault that stays is met a bounded number of times, a refusal once; no token is told."""
        server.faults = [Fault(kind, times=99)]
        with pytest.raises(CommandError) as caught:
            world.branch().delete(world.deployed)

        assert CANARY not in str(caught.value)
        assert (server.pushes, world.standing) == (pushes, world.deployed)

    def test_no_reading_back(self, world: World, server: GitHttpServer) -> None:
        """A remote that falls silent after the push is an error: nobody saw the branch go."""
        is_late: Callable[[Call], bool] = lambda call: server.pushes > 0 and not call.is_push  # noqa: E731
        server.faults = [Fault("502", fits=is_late, times=99)]
        with pytest.raises(CommandError, match="to tell its refs"):
            world.branch().delete(world.deployed)


class TestGitRemote:
    """The deletion itself."""

    def test_dry_run(self, world: World) -> None:
        """A dry run deletes nothing, and meets a moved branch as the deletion would."""
        remote = GitRemote(world.clone, "origin", scratch=world.folder / "scratch")
        remote.delete(f"refs/heads/{BRANCH}", world.deployed, dry_run=True)
        assert world.standing == world.deployed

        with pytest.raises(CommandError, match=r"\[rejected\].*stale info"):
            remote.delete(f"refs/heads/{BRANCH}", world.later, dry_run=True)
