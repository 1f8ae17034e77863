"""Equal inputs give equal bytes, on any machine."""

import os
import random
import shutil
from pathlib import Path

from tests.e2e.project import RELEASE, Project, make_project, public_snapshot, snapshot


def test_artifacts_are_the_same_on_another_machine(tmp_path: Path) -> None:
    """Another folder, umask, order of times, locale and time zone change no byte of a release."""
    first = make_project(tmp_path / "one")
    second = Project(tmp_path / "somewhere" / "else" / "two words")
    shutil.copytree(first.folder, second.folder)
    paths = [path for path in second.source.rglob("*") if path.is_file()]
    random.Random(1).shuffle(paths)
    for moment, path in enumerate(paths):
        os.utime(path, (1_600_000_000 + moment * 977, 1_600_000_000 + moment * 977))
        path.chmod(0o600)
    done = first.run(*RELEASE)
    before = os.umask(0o077)
    try:
        other = second.run(
            *RELEASE,
            environment={
                "LC_ALL": "tr_TR.UTF-8",
                "LANG": "tr_TR.UTF-8",
                "TZ": "Asia/Kathmandu",
                "PYTHONHASHSEED": "77",
            },
        )
    finally:
        os.umask(before)

    assert done.returncode == 0, done.stderr
    assert other.returncode == 0, other.stderr
    assert public_snapshot(second) == public_snapshot(first)
    made = ("digests.sqlite", "state.sqlite", "/receipts/", "run.lock", "summary.md", "ledger.db")
    assert snapshot(second.work, leave_out=made) == snapshot(first.work, leave_out=made)
    public = second.clouds / "gcs" / "nightly" / "release.json"
    assert public.stat().st_mode & 0o777 == 0o644


def test_touched_files_are_the_same_release(tmp_path: Path) -> None:
    """Files with new times and the same bytes make no new archive and move nothing."""
    project = make_project(tmp_path / "project")
    assert project.run(*RELEASE).returncode == 0
    before = {path: path.stat().st_ino for path in project.work.rglob("*.zip")}
    for path in project.source.rglob("*"):
        os.utime(path)
    done = project.run(*RELEASE)

    assert done.returncode == 0
    assert "nothing to do" in done.stdout
    assert {path: path.stat().st_ino for path in project.work.rglob("*.zip")} == before
