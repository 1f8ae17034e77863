"""What a git repository knows of a release, asked of the real git."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lading.errors import CommandError, PrepareError
from lading.services.git import (
    commit_time,
    head_commit,
    read_file_at,
    read_files_at,
    resolve_commit,
    resolve_ref,
)

MOMENT = 1_738_713_600  # 2025-02-05 00:00:00 UTC


def git(folder: Path, *arguments: str, **variables: str) -> str:
    """Run git in a folder, apart from the person's own settings."""
    environment = {
        "PATH": os.environ["PATH"],
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@example.org",
        **variables,
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


def commit_at(folder: Path, date: str) -> None:
    """Commit something at a time of its own, written long before by its author."""
    dates = {"GIT_COMMITTER_DATE": date, "GIT_AUTHOR_DATE": "2001-01-01T00:00:00Z"}
    git(folder, "commit", "-q", "--allow-empty", "-m", "two", **dates)


class TestCommitTime:
    """When the commit of a tag was made."""

    @pytest.mark.parametrize("annotated", [True, False])
    @pytest.mark.parametrize(
        "date",
        ["2025-02-05T00:00:00Z", "2025-02-05T05:45:00+0545", "2025-02-04T16:00:00-0800"],
    )
    def test_is_told_in_utc(self, repository: Path, date: str, *, annotated: bool) -> None:
        """The committer's time counts, whatever its zone; not the author's, not the tag's."""
        commit_at(repository, date)
        options = ["-a", "-m", "v1"] if annotated else []
        git(repository, "tag", *options, "v1", GIT_COMMITTER_DATE="2030-01-01T00:00:00Z")

        assert commit_time(repository, "v1") == MOMENT

    def test_is_that_of_the_tag(self, repository: Path) -> None:
        """What was committed since is of no account, nor is a branch of the tag's name."""
        commit_at(repository, "2025-02-05T00:00:00Z")
        git(repository, "tag", "v1")
        commit_at(repository, "2026-01-01T00:00:00Z")
        git(repository, "branch", "v1")

        assert commit_time(repository, "v1") == MOMENT

    def test_bare_repository(self, repository: Path) -> None:
        """A bare repository, as CI has it, answers as well."""
        commit_at(repository, "2025-02-05T00:00:00Z")
        git(repository, "tag", "v1")
        git(repository, "clone", "-q", "--bare", ".", "bare.git")

        assert commit_time(repository / "bare.git", "v1") == MOMENT

    @pytest.mark.parametrize("folder", [".", "missing"])
    def test_unknown_tag(self, repository: Path, folder: str) -> None:
        """A tag that is not known here is refused in one line, with what to do."""
        git(repository, "branch", "v2")
        place = repository / folder
        expected = (
            f"prepare.entry_time: expected the tag v2 in {place}, found none; fetch the tags"
            " (`git fetch --tags`), or leave entry_time out"
        )

        with pytest.raises(PrepareError, match=f"^{re.escape(expected)}$"):
            commit_time(place, "v2")

    def test_tag_that_was_fetched_since(self, repository: Path) -> None:
        """That a tag was not known is not remembered."""
        with pytest.raises(PrepareError):
            commit_time(repository, "v1")
        commit_at(repository, "2025-02-05T00:00:00Z")
        git(repository, "tag", "v1")

        assert commit_time(repository, "v1") == MOMENT

    @pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="nothing to sign with")
    def test_signed_commit(self, repository: Path) -> None:
        """A repository that shows signatures in its log tells the time all the same."""
        key = repository / "key"
        make_key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
        subprocess.run(make_key, check=True, timeout=60)
        signers = repository / "signers"
        signers.write_text(f"a@example.org {key.with_suffix('.pub').read_text()}")
        for name, value in (
            ("gpg.format", "ssh"),
            ("user.signingkey", str(key)),
            ("gpg.ssh.allowedSignersFile", str(signers)),
            ("commit.gpgsign", "true"),
            ("log.showSignature", "true"),
        ):
            git(repository, "config", name, value)
        commit_at(repository, "2025-02-05T00:00:00Z")
        git(repository, "tag", "v1")
        assert "signature" in git(repository, "log", "-1")

        assert commit_time(repository, "v1") == MOMENT


class TestRefs:
    """What a ref names."""

    def test_every_way_to_say_it(self, repository: Path) -> None:
        """A branch, a tag, a remote's branch, HEAD and a short commit name the same commit."""
        commit = git(repository, "rev-parse", "HEAD")
        git(repository, "tag", "-a", "-m", "v1", "v1")
        git(repository, "update-ref", "refs/remotes/origin/main", commit)
        git(repository, "branch", "stage/gfs/v0.3.0")
        for ref in ("HEAD", "v1", "origin/main", "stage/gfs/v0.3.0", commit, commit[:9]):
            assert resolve_ref(repository, ref) == commit
        assert head_commit(repository) == commit

    @pytest.mark.parametrize("ref", ["", "origin/main", "--since=now", "a b", "f" * 40])
    def test_unknown(self, repository: Path, ref: str) -> None:
        """What is no ref here is None, and never taken for an option."""
        assert resolve_ref(repository, ref) is None

    def test_nothing_to_ask(self, tmp_path: Path) -> None:
        """Without a commit, a repository or a folder there is no head."""
        assert head_commit(tmp_path / "missing") is None
        assert head_commit(tmp_path) is None
        git(tmp_path, "init", "-q")
        assert head_commit(tmp_path) is None


class TestReadFileAt:
    """A file as a ref has it."""

    BYTES = b"\xff\x00\r\n{}\n"

    @pytest.fixture
    def filled(self, repository: Path) -> Path:
        """A repository whose main has files in a folder; its work tree has changed since."""
        (repository / "team" / "gfs").mkdir(parents=True)
        (repository / "team" / "gfs" / "zarr.json").write_bytes(self.BYTES)
        git(repository, "add", "team")
        git(repository, "commit", "-q", "-m", "files")
        git(repository, "update-ref", "refs/remotes/origin/main", "HEAD")
        (repository / "team" / "gfs" / "zarr.json").write_bytes(b"changed")
        return repository

    @pytest.mark.parametrize(
        ("folder", "path"),
        [
            (".", "team/gfs/zarr.json"),
            ("team", "gfs/zarr.json"),
            ("team", "./gfs/zarr.json"),
            ("team/gfs", "zarr.json"),
            ("team/gfs", "../../team/gfs/zarr.json"),
        ],
    )
    def test_bytes(self, filled: Path, folder: str, path: str) -> None:
        """It is read byte for byte, relative to the folder, as committed and not as it lies."""
        assert read_file_at(filled / folder, "origin/main", path) == self.BYTES

    def test_bare(self, filled: Path) -> None:
        """A bare repository does as well."""
        git(filled, "clone", "-q", "--bare", ".", "bare.git")

        assert read_file_at(filled / "bare.git", "HEAD", "team/gfs/zarr.json") == self.BYTES

    @pytest.mark.parametrize("path", ["zarr.json", "team", "team/gfs/", "../x", "/team", "new"])
    def test_no_such_file(self, filled: Path, path: str) -> None:
        """What is no file at that ref is None: a folder, a path outside, one not committed."""
        (filled / "new").write_text("x")

        assert read_file_at(filled, "origin/main", path) is None

    def test_many(self, filled: Path) -> None:
        """Of many, each path has its own bytes; what is no file, or lies outside, is left out."""
        (filled / "empty").write_text("")
        git(filled, "add", "empty")
        git(filled, "commit", "-q", "-m", "empty")
        paths = ["../x", "none", "empty", "team", "none 1 2", "team/gfs/zarr.json", "empty"]

        assert read_files_at(filled, "HEAD", paths) == {
            "empty": b"",
            "team/gfs/zarr.json": self.BYTES,
        }
        assert read_files_at(filled, "HEAD", []) == {}

    def test_empty_file(self, filled: Path) -> None:
        """An empty file is there."""
        (filled / "empty").write_text("")
        git(filled, "add", "empty")
        git(filled, "commit", "-q", "-m", "empty")

        assert read_file_at(filled, "HEAD", "empty") == b""

    def test_unknown_ref(self, filled: Path) -> None:
        """A ref that is not here is told in one line, with how to fetch it: no missing file."""
        git(filled, "remote", "add", "upstream", "https://example.org/data.git")
        fetch = "git fetch upstream +refs/heads/main:refs/remotes/upstream/main"
        words = f"{filled}: expected the ref upstream/main, found none; fetch it: `{fetch}`"
        with pytest.raises(CommandError, match=f"^{re.escape(words)}$"):
            read_file_at(filled, "upstream/main", "team/gfs/zarr.json")
        with pytest.raises(CommandError, match="fetch --all --tags"):
            read_file_at(filled, "v9", "team/gfs/zarr.json")

    def test_no_repository(self, tmp_path: Path) -> None:
        """Outside a repository one line says so."""
        with pytest.raises(CommandError, match="expected a git repository") as caught:
            read_file_at(tmp_path, "HEAD", "x")
        assert "\n" not in str(caught.value)
