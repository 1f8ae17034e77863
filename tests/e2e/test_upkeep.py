"""What a person does between releases, as he types it: go back, prune, unlock, ask for access."""

import json
import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lading.ship.locks import PrefixLock
from lading.storage import LocalStore
from tests.e2e.project import (
    CLOUDS,
    CONFIG,
    PREFIXES,
    RELEASE,
    TAG,
    Project,
    history_of,
    make_build,
    make_project,
    public_snapshot,
    snapshot,
)

NEXT = "nightly-2025-02-06"
THIRD = "nightly-2025-02-07"
HELD = CONFIG.replace('immutable = ["{tag}"]', 'immutable = ["{tag}"]\nhold = ["{tag}"]')


@pytest.fixture(scope="module")
def two_nights(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with two nights and a stable release; tests of this module do not change it."""
    project = make_project(
        tmp_path_factory.mktemp("upkeep") / "project", config=f"prune_after_hours = 0\n{HELD}"
    )
    for seed, tag in enumerate((TAG, NEXT, "v2025.2.0")):
        release(project, tag, seed)
    return project


@pytest.fixture
def project(two_nights: Project, tmp_path: Path) -> Project:
    """A copy of the project that a test may change."""
    shutil.copytree(two_nights.folder, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


def release(project: Project, tag: str, seed: int) -> None:
    """Make another build and release it."""
    shutil.rmtree(project.source)
    make_build(project.source, seed=seed)
    done = project.run("distribute", f"tag={tag}")
    assert done.returncode == 0, done.stdout + done.stderr


def standing(project: Project) -> set[str]:
    """Return the tags that stand at the moving prefixes of the nightly channel."""
    return {
        json.loads((project.clouds / cloud / prefix / "release.json").read_bytes())["tag"]
        for cloud in CLOUDS
        for prefix in PREFIXES
    }


def depots(project: Project) -> dict[str, str]:
    """Return what the depots hold."""
    return {k: v for k, v in public_snapshot(project).items() if "/.lading/objects/" in k}


def require_narrow(done: subprocess.CompletedProcess[str]) -> None:
    """Ask that the tables that were printed fit 80 columns."""
    rows = [line for line in done.stdout.splitlines() if " start" not in line]
    wide = [line for line in rows if len(line) > 80 and not line.startswith(("rollback", "hold"))]
    assert wide == []


def test_rollback_and_forward_again(project: Project) -> None:
    """Every moving prefix goes back to the night before, is proved, and comes forward again."""
    fixed = snapshot(project.clouds / "gcs" / "v2025.2.0")
    done = project.run("rollback", "type=nightly")
    tag_stands = standing(project)
    verified = project.run("verify", f"tag={TAG}", "deep=1")
    again = project.run("rollback", "type=nightly")
    forward = project.run("distribute", f"tag={NEXT}", "accept=seed of the test")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "brings readers forward again" in done.stdout
    assert tag_stands == {TAG}
    assert verified.returncode == 0, verified.stderr
    assert f"{TAG} stands; `tag=...` goes further back" in again.stdout
    assert forward.returncode == 0, forward.stdout + forward.stderr
    assert history_of(project)["gcs/.lading/history/nightly"] == [TAG, NEXT, TAG, NEXT]
    assert snapshot(project.clouds / "gcs" / "v2025.2.0") == fixed
    require_narrow(done)


def test_rollback_needs_no_build_and_no_state(project: Project) -> None:
    """A machine that knows nothing but the configuration goes back as well."""
    shutil.rmtree(project.work)
    shutil.rmtree(project.source)
    done = project.run("rollback", f"tag={TAG}")

    assert done.returncode == 0, done.stdout + done.stderr
    assert standing(project) == {TAG}
    receipts = project.work / "releases" / "nightly" / TAG / "production" / "receipts"
    assert len(list((receipts / "rollback").iterdir())) == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "type: expected one of nightly, stable, got nothing"),
        (("type=nigthly",), 3, "did you mean 'nightly'?"),
        (("type=nightly", "tag=nightly-1999-01-01"), 1, "tag: expected one of the history"),
        (("type=stable",), 1, "gcs stable: expected a release before v2025.2.0, found none"),
        (("type=nightly", "staging=1"), 1, "gcs nightly: expected a history of promotions"),
    ],
)
def test_rollback_that_cannot_be(
    project: Project, arguments: tuple[str, ...], code: int, said: str
) -> None:
    """Where there is nothing to go back to one line says so, and nothing is switched."""
    before = public_snapshot(project)
    done = project.run("rollback", *arguments)

    assert done.returncode == code, done.stdout + done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert public_snapshot(project) == before


def test_rollback_is_refused_where_one_depot_is_short(project: Project) -> None:
    """An object that one depot lost stops the rollback before any prefix anywhere moves."""
    manifest = project.clouds / "s3" / ".lading" / "releases" / "nightly" / f"{TAG}.json"
    key = json.loads(manifest.read_bytes())["files"][-1]["depot_key"]
    (project.clouds / "s3" / key).unlink()
    before = public_snapshot(project)
    done = project.run("rollback", "type=nightly")

    assert done.returncode == 1
    assert "they were pruned" in done.stderr
    assert public_snapshot(project) == before


def test_prune_shows_first_and_deletes_on_a_word(project: Project) -> None:
    """Prune prints what would go and keeps it; with yes=1 it goes, and all that is needed stays."""
    release(project, THIRD, 5)
    before = public_snapshot(project)
    shown = project.run("prune")
    unchanged = public_snapshot(project) == before
    done = project.run("prune", "yes=1")
    after = public_snapshot(project)
    again = project.run("prune")

    assert shown.returncode == 0, shown.stderr
    assert "nothing was deleted; the same command with yes=1 does it" in shown.stdout
    assert unchanged
    assert done.returncode == 0, done.stderr
    gone = before.keys() - after.keys()
    assert gone
    assert {key for key in gone if "/.lading/objects/" not in key} == {
        f"{cloud}/.lading/releases/nightly/{TAG}.json" for cloud in CLOUDS
    }
    assert "nothing to prune" in again.stdout
    for each in (shown, done, again):
        require_narrow(each)
    for tag in (THIRD, "v2025.2.0"):
        assert project.run("verify", f"tag={tag}", "deep=1").returncode == 0
    assert project.run("rollback", "type=nightly").returncode == 0
    assert standing(project) == {NEXT}


def test_prune_leaves_what_is_young(project: Project) -> None:
    """Without a time of one's own nothing goes that is younger than a day."""
    release(project, THIRD, 5)
    text = (project.folder / "lading.toml").read_text()
    (project.folder / "lading.toml").write_text(text.replace("prune_after_hours = 0\n", ""))
    before = depots(project)
    done = project.run("prune", "yes=1")

    assert "nothing to prune" in done.stdout
    assert depots(project) == before


def test_prune_refuses_while_a_release_is_under_way(project: Project) -> None:
    """A lock that is held refuses the pruning, in one line."""
    release(project, THIRD, 5)
    take(project, "s3", "nightly")
    before = public_snapshot(project)
    done = project.run("prune", "yes=1")

    assert done.returncode == 1
    assert "expected no release under way, found nightly tag-1" in done.stderr
    assert public_snapshot(project) == before


def take(project: Project, cloud: str, prefix: str, root: str = "") -> PrefixLock:
    """Take the lock of a prefix, as a release that goes on in this process."""
    store = LocalStore(project.clouds / cloud)
    key = f"{root}.lading/locks/{prefix}"
    lock = PrefixLock(store, key, channel="nightly", tag="tag-1", manifest_sha256="m")
    lock.acquire()
    return lock


def test_unlock_shows_first_and_breaks_on_a_word(project: Project) -> None:
    """A lock is shown with its owner and left; with yes=1 it goes, and the next step is told."""
    take(project, "gcs", "nightly")
    before = public_snapshot(project)
    refused = project.run("rollback", "type=nightly")
    shown = project.run("unlock", "type=nightly")
    unchanged = public_snapshot(project) == before
    done = project.run("unlock", "type=nightly", "yes=1")
    none = project.run("unlock", "type=nightly")

    assert refused.returncode == 1
    assert "`doit unlock type=nightly tag=tag-1`" in refused.stderr
    assert shown.returncode == 0, shown.stderr
    assert f"process {os.getpid()} on" in shown.stdout
    assert "may be at work" in shown.stdout
    assert unchanged
    assert done.returncode == 0, done.stderr
    assert "readers may find a prefix half switched" in done.stdout
    assert "`doit distribute type=nightly tag=tag-1` mends it" in done.stdout
    assert "no lock stands at a prefix of nightly" in none.stdout
    for each in (shown, done, none):
        require_narrow(each)


def test_unlock_of_another_channel_or_environment(project: Project) -> None:
    """Locks of other channels, and of the other environment, are not touched."""
    take(project, "gcs", "nightly")
    take(project, "gcs", "nightly", "staging/")
    other = project.run("unlock", "type=stable", "yes=1")
    staged = project.run("unlock", "type=nightly", "staging=1", "yes=1")

    assert "no lock stands" in other.stdout
    assert "1 lock broken" in staged.stdout
    locks = sorted(project.clouds.rglob(".lading/locks/*"))
    assert [each.relative_to(project.clouds).as_posix() for each in locks] == [
        "gcs/.lading/locks/nightly"
    ]


def test_hold_is_skipped_with_the_reason(project: Project) -> None:
    """Where a place cannot hold the task says so, in the plan too, and the release goes on."""
    planned = project.run("plan", "tag=v2025.2.0")
    staged = project.run("plan", "tag=v2025.2.0", "staging=1")
    done = project.run("hold", "tag=v2025.2.0")

    assert [line.split()[1:] for line in planned.stdout.splitlines() if "hold:s3" in line] == [
        ["skip", "a", "folder", "has", "no", "holds"]
    ]
    assert [line.split()[1:] for line in staged.stdout.splitlines() if "hold:s3" in line] == [
        ["skip", "staging"]
    ]
    assert done.returncode == 0, done.stderr
    assert "skipped" in done.stdout
    assert "a folder has no holds" in done.stdout


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder(tmp_path: Path) -> None:
    """A destination that cannot be written is one line, before anything is made."""
    project = make_project(tmp_path / "project", parquet=1)
    (project.clouds / "s3").mkdir(parents=True)
    (project.clouds / "s3").chmod(0o555)
    require_refused(project)


def test_destination_that_is_a_file(tmp_path: Path) -> None:
    """A destination in whose place a file stands is one line, before anything is made."""
    project = make_project(tmp_path / "project", parquet=1)
    project.clouds.mkdir()
    (project.clouds / "s3").write_text("no folder")
    require_refused(project)


def require_refused(project: Project) -> None:
    """Ask that a release is refused by the access to s3 before check begins."""
    done = project.run(*RELEASE)
    checked = project.run("check", f"tag={TAG}")

    assert done.returncode == 1, done.stdout + done.stderr
    assert "access:s3 failed" in done.stderr
    assert "access:gcs" in done.stdout
    assert not any(
        line.startswith("check ") and "start" in line for line in done.stdout.splitlines()
    )
    assert "compress_sqlite:energy.sqlite      start" not in done.stdout
    assert not list(project.work.rglob("*.zip"))
    assert checked.returncode == 0, checked.stderr


def test_access_is_asked_first_and_changes_nothing(project: Project) -> None:
    """Access leaves no object behind, and a run of it alone has nothing to do."""
    before = public_snapshot(project)
    done = project.run("access")

    assert done.returncode == 0, done.stderr
    assert "may list, write, read and delete" in done.stdout
    assert "nothing to do" in done.stdout
    assert public_snapshot(project) == before


def test_access_in_staging_stays_in_staging(tmp_path: Path) -> None:
    """Asked in staging, without a tag, nothing is written outside the staging root."""
    project = make_project(tmp_path / "project", parquet=1)
    (project.clouds / "gcs" / ".lading").mkdir(parents=True)
    moment = (datetime.now(UTC) - timedelta(days=1)).timestamp()
    os.utime(project.clouds / "gcs" / ".lading", (moment, moment))
    done = project.run("access", "staging=1")

    assert done.returncode == 0, done.stderr
    assert (project.clouds / "gcs" / ".lading").stat().st_mtime == moment


def test_foreign_object_is_told_and_kept(project: Project) -> None:
    """What no release put below a prefix is warned about, told by verify, and never deleted."""
    path = project.clouds / "gcs" / "nightly" / "theirs.txt"
    path.write_text("not of a release")
    verified = project.run("verify", f"tag={NEXT}")
    shutil.rmtree(project.source)
    make_build(project.source, seed=7)
    done = project.run("distribute", f"tag={THIRD}")

    assert verified.returncode == 1
    said = "gcs nightly: theirs.txt: expected no object, found 16 bytes that no release put there"
    assert f"{said}; remove it, or set `owned = true` in the channel" in verified.stderr
    assert done.returncode == 0, done.stderr
    assert "gcs: nightly/theirs.txt: no release put it there, so it stays" in done.stdout
    assert path.exists()


def test_owned_prefix_is_emptied_of_foreign_objects(project: Project) -> None:
    """With `owned = true` what no release put there is deleted by the next run."""
    text = (project.folder / "lading.toml").read_text()
    text = text.replace("[channels.nightly]", "[channels.nightly]\nowned = true")
    (project.folder / "lading.toml").write_text(text)
    path = project.clouds / "gcs" / "nightly" / "theirs.txt"
    path.write_text("not of a release")
    release(project, THIRD, 7)

    assert not path.exists()
    assert project.run("verify", f"tag={THIRD}").returncode == 0
