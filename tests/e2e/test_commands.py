"""doit's commands on a release, as a person types them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lading.tasks.runlock import RunLock
from tests.e2e.project import (
    DODO,
    PREFIXES,
    RELEASE,
    TAG,
    Project,
    make_build,
    make_project,
    public_snapshot,
    snapshot,
    times_of,
)


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a release in production; tests of this module do not change it."""
    project = make_project(tmp_path_factory.mktemp("released") / "project")
    done = project.run(*RELEASE)
    assert done.returncode == 0, done.stdout + done.stderr
    return project


@pytest.fixture
def copied(released: Project, tmp_path: Path) -> Project:
    """A copy of the released project that a test may change."""
    shutil.copytree(released.folder, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


def test_list_needs_no_variables(tmp_path: Path) -> None:
    """`doit list` names the tasks in the order of a release, and leaves nothing behind."""
    project = make_project(tmp_path / "project", parquet=1)
    done = project.run("list")
    names = [line.split()[0] for line in done.stdout.splitlines()]

    assert done.returncode == 0, done.stderr
    assert names == [
        "access",
        "fetch",
        "check",
        "compress_sqlite",
        "zip_parquet",
        "build",
        "doi",
        "manifest",
        "upload",
        "promote",
        "hold",
        "git_merge",
        "zenodo",
        "cloud_run",
        "mark_published",
        "notify",
        "distribute",
        "publish",
        "plan",
        "verify",
        "rollback",
        "prune",
        "unlock",
        "staging_cleanup",
        "k8s_check",
        "k8s_render",
        "k8s_staging",
        "k8s_deploy",
        "k8s_cleanup",
        "k8s_status",
        "job",
        "k8s_job",
    ]
    assert not project.work.exists()


def test_list_all_names_sub_tasks(released: Project) -> None:
    """`doit list --all` names databases, bundles, destinations and, with a tag, prefixes."""
    without = released.run("list", "--all").stdout
    with_tag = released.run("list", "--all", f"tag={TAG}").stdout

    assert "compress_sqlite:energy.sqlite " in without
    assert "zip_parquet:demo_parquet " in without
    assert "upload:gcs-nightly " in without
    assert "upload:s3-stable " in without
    assert "promote:gcs-eel-hole " in with_tag
    assert "upload:s3-stable " not in with_tag


def test_list_works_where_the_build_is_missing(tmp_path: Path) -> None:
    """`doit list --all` works before there is a build: the tasks say what is wrong, when run."""
    project = make_project(tmp_path / "project", parquet=1)
    shutil.rmtree(project.source)
    done = project.run("list", "--all")

    assert done.returncode == 0, done.stderr
    assert "compress_sqlite" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("info", "manifest", f"tag={TAG}"), 0, "up-to-date"),
        (("help", "promote"), 0, "Switch each public prefix"),
        (("help",), 0, "doit"),
        (("tabcompletion", "--hardcode-tasks"), 0, "distribute"),
        (("forget", "manifest", f"tag={TAG}"), 0, "forgetting manifest"),
        (("upload:typo", f"tag={TAG}"), 3, "upload:typo"),
        (("upl*typo", f"tag={TAG}"), 2, "nothing selected"),
        ((), 2, "nothing selected"),
    ],
)
def test_doit_commands(copied: Project, arguments: tuple[str, ...], code: int, said: str) -> None:
    """Each of doit's commands works on a release, or says in words what is wrong."""
    done = copied.run(*arguments)

    assert done.returncode == code, done.stdout + done.stderr
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_second_run_does_nothing_and_says_so(copied: Project) -> None:
    """The same release again changes no file at any destination."""
    before = times_of(copied.clouds)
    planned = copied.run("plan", *RELEASE[1:])
    done = copied.run(*RELEASE)
    after = times_of(copied.clouds)

    assert planned.stdout.splitlines()[-1] == "nothing to do"
    assert done.returncode == 0
    assert "nothing to do: everything is as released" in done.stdout
    assert " done " not in done.stdout
    assert after == before


def test_lost_work_folder_uploads_nothing(copied: Project) -> None:
    """A machine that has no local state makes the archives again and sends no byte."""
    before = times_of(copied.clouds)
    shutil.rmtree(copied.work)
    done = copied.run(*RELEASE)
    after = times_of(copied.clouds)

    assert done.returncode == 0
    assert "upload:gcs-nightly                 unchanged" in done.stdout
    assert after == before


def test_lost_doit_state_costs_checks_only(copied: Project) -> None:
    """Without doit's database every archive stays the same file, and nothing is sent."""
    archives = {path: path.stat().st_ino for path in (copied.work / "archives").iterdir()}
    (copied.work / "releases" / "nightly" / TAG / "production" / "state.sqlite").unlink()
    before = public_snapshot(copied)
    done = copied.run(*RELEASE)

    assert done.returncode == 0
    assert {path: path.stat().st_ino for path in (copied.work / "archives").iterdir()} == archives
    assert public_snapshot(copied) == before


def test_changed_destination_is_repaired(copied: Project) -> None:
    """What somebody changed at a destination is seen by verify and plan; a rerun repairs it."""
    before = public_snapshot(copied)
    nightly = copied.clouds / "gcs" / "nightly"
    (nightly / "notes.json").unlink()
    (nightly / "energy.sqlite.zip").write_bytes(b"other bytes")
    (nightly / "foreign.txt").write_text("not of this release")
    verified = copied.run("verify", f"tag={TAG}")
    planned = copied.run("plan", f"tag={TAG}")
    repaired = copied.run(*RELEASE)

    assert verified.returncode == 1
    assert "gcs nightly: notes.json: expected sha256" in verified.stderr
    assert "run the same `doit distribute` command to repair it" in verified.stderr
    assert "to resume" not in verified.stderr
    assert "foreign.txt: expected no object, found 19 bytes that no release" in verified.stderr
    assert [line.split()[1:3] for line in planned.stdout.splitlines() if "gcs-nightly" in line][
        1:
    ] == [["copy", "1"], ["replace", "1"], ["keep", "11"], ["leave", "1"]]
    assert repaired.returncode == 0
    assert "nightly/foreign.txt: no release put it there, so it stays" in repaired.stdout
    (nightly / "foreign.txt").unlink()
    assert public_snapshot(copied) == before
    assert copied.run("verify", f"tag={TAG}", "deep=1").returncode == 0


def test_deep_verify_sees_changed_bytes_of_the_same_size_and_time(copied: Project) -> None:
    """`verify deep=1` reads the bytes: a change that a listing cannot show is found."""
    path = copied.clouds / "s3" / "eel-hole" / "notes.json"
    found = path.stat()
    data = path.read_bytes()
    with path.open("r+b") as file:
        file.write(bytes([data[0] ^ 1]))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    deep = copied.run("verify", f"tag={TAG}", "deep=1")

    assert deep.returncode == 1
    assert "s3 eel-hole: notes.json: expected" in deep.stderr


def test_verify_works_on_a_machine_that_never_released(copied: Project) -> None:
    """`doit verify` needs the destinations only: neither the build nor the work folder."""
    shutil.rmtree(copied.work)
    shutil.rmtree(copied.source)
    done = copied.run("verify", f"tag={TAG}", "deep=1")

    assert done.returncode == 0, done.stderr
    assert "everything is as released" in done.stdout
    assert not copied.work.exists()


def test_plan_writes_nothing_before_and_after(tmp_path: Path) -> None:
    """`doit plan` tells of a first release what would be made and sent, and writes no file."""
    project = make_project(tmp_path / "project")
    before = snapshot(project.folder, leave_out=("__pycache__",))
    planned = project.run("plan", f"tag={TAG}")
    after = snapshot(project.folder, leave_out=("__pycache__",))

    assert planned.returncode == 0, planned.stderr
    assert "compress_sqlite       make        2" in planned.stdout
    assert "and 3 archives made first" in planned.stdout
    assert "nothing was written" in planned.stdout
    assert after == before


def test_plan_is_what_distribute_does(released: Project, tmp_path: Path) -> None:
    """The plan of a prepared release names the numbers that the release then reports."""
    shutil.copytree(released.folder, tmp_path / "project", symlinks=True)
    project = Project(tmp_path / "project")
    shutil.rmtree(project.source)
    make_build(project.source, parquet=5, seed=3)
    accept = "accept=one table was given up"
    assert project.run("manifest", "tag=nightly-2025-02-06", accept).returncode == 0
    planned = project.run("plan", "tag=nightly-2025-02-06").stdout
    done = project.run("distribute", "tag=nightly-2025-02-06", accept).stdout
    rows = [line.split() for line in planned.splitlines() if "promote:s3-nightly" in line]
    numbers = {row[1]: int(row[2]) for row in rows}
    said = f"{numbers['replace']} replaced, {numbers['delete']} deleted, {numbers['keep']} kept"

    assert "copy" not in numbers
    assert numbers["delete"] == 1
    assert said in done


def test_one_upload_alone(tmp_path: Path) -> None:
    """`doit upload:gcs-nightly tag=...` prepares, fills that depot, and switches nothing."""
    project = make_project(tmp_path / "project")
    done = project.run("-n", "2", "upload:gcs-nightly", "type=nightly", f"tag={TAG}")

    assert done.returncode == 0, done.stderr
    assert list((project.clouds / "gcs" / ".lading" / "objects").iterdir())
    assert not (project.clouds / "gcs" / "nightly").exists()
    assert not (project.clouds / "s3").exists()


def test_two_prefixes_cost_one_upload(released: Project) -> None:
    """The depot of a cloud holds each distinct file once, whatever the number of prefixes."""
    release = json.loads((released.clouds / "gcs" / "nightly" / "release.json").read_bytes())
    depot = {path.name for path in (released.clouds / "gcs" / ".lading" / "objects").iterdir()}

    assert {each["sha256"] for each in release["files"]} < depot
    assert len(depot) == len({each["sha256"] for each in release["files"]}) + 2


def test_staging_leaves_production_alone(copied: Project) -> None:
    """A staging run writes below staging/ only, and its clean-up removes all of that."""
    before = public_snapshot(copied)
    staged = copied.run("distribute", f"tag={TAG}", "staging=yes")
    during = public_snapshot(copied)
    cleaned = copied.run("staging_cleanup")

    assert staged.returncode == 0, staged.stderr
    assert {key: value for key, value in during.items() if "/staging/" not in key} == before
    for prefix in PREFIXES:
        assert f"gcs/staging/{prefix}/release.json" in during
    assert cleaned.returncode == 0
    assert public_snapshot(copied) == before
    assert not (copied.clouds / "gcs" / "staging").exists()


def test_staging_cleanup_refuses_production(copied: Project) -> None:
    """`doit staging_cleanup staging=0` is refused: there is nothing else that it may empty."""
    done = copied.run("staging_cleanup", "staging=0")

    assert done.returncode == 1
    assert "only staging is emptied" in done.stderr


def test_clean_keeps_the_destinations(copied: Project) -> None:
    """`doit clean -a` removes what a release left here, and nothing that is public."""
    before = public_snapshot(copied)
    done = copied.run("clean", "-a", f"tag={TAG}")

    assert done.returncode == 0, done.stderr
    assert not list(copied.work.rglob("*.zip"))
    assert not list(copied.work.rglob("release.json"))
    assert public_snapshot(copied) == before
    assert copied.run(*RELEASE).returncode == 0
    assert public_snapshot(copied) == before


def test_own_tasks_stand_beside_ours(tmp_path: Path) -> None:
    """A project's own tasks, and variables that it names, work beside Lading's."""
    project = make_project(tmp_path / "project", parquet=1)
    (project.folder / "dodo.py").write_text(
        DODO
        + "from doit import get_var\n"
        + "def task_hello():\n"
        + "    '''Say hello.'''\n"
        + "    return {'actions': [f\"echo hello {get_var('region', '?')} > hello.txt\"],\n"
        + "            'task_dep': ['check']}\n"
    )
    text = (project.folder / "lading.toml").read_text()
    (project.folder / "lading.toml").write_text('variables = ["region"]\n' + text)
    listed = project.run("list")
    done = project.run("hello", f"tag={TAG}", "region=west")

    assert "hello" in listed.stdout
    assert done.returncode == 0, done.stderr
    assert (project.folder / "hello.txt").read_text() == "hello west\n"


def test_two_runs_at_once_are_refused(copied: Project) -> None:
    """A second run in the same work folder is refused before it begins, with exit code 2."""
    lock = RunLock(copied.work / "run.lock")
    lock.acquire()
    done = copied.run(*RELEASE)
    lock.release()

    assert done.returncode == 2
    assert "expected no other run, found process" in done.stderr
    assert copied.run(*RELEASE).returncode == 0


def test_unexpected_error_is_one_line_and_a_log(copied: Project) -> None:
    """A fault of the program ends in one line, exit code 2, and a log with the traceback."""
    dodo = copied.folder / "dodo.py"
    broken = (
        "import lading.tasks.inputs as s\n"
        "def boom(*a):\n    raise RuntimeError('boom')\n"
        "s.check = boom\n"
    )
    dodo.write_text(broken + DODO)
    (copied.source / "new.json").write_text("{}")
    done = copied.run(*RELEASE)

    assert done.returncode == 2
    assert "check failed: unexpected RuntimeError: boom" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    log = copied.work / "releases" / "nightly" / TAG / "production" / "logs" / "check.log"
    assert "Traceback" in log.read_text()


def test_init_writes_a_project_that_releases(tmp_path: Path) -> None:
    """`lading init` writes two files that a first release works with, and never replaces one."""
    lading = Path(sys.executable).with_name("lading")
    first, again = (
        subprocess.run(
            [lading, "init", tmp_path / "mine"], capture_output=True, text=True, check=False
        )
        for _ in range(2)
    )
    make_build(tmp_path / "mine" / "data")
    done = Project(tmp_path / "mine").run("distribute", f"tag={TAG}", "staging=1")

    assert first.returncode == 0, first.stderr
    assert again.returncode == 3
    assert "nothing was written" in again.stderr
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "mine/build/clouds/first/staging/nightly/release.json").exists()


def test_promotion_alone_is_refused_without_its_uploads(copied: Project) -> None:
    """`doit -s promote:...`, which skips what it needs, cannot switch to bytes not proved there."""
    before = public_snapshot(copied)
    shutil.rmtree(copied.source)
    make_build(copied.source, seed=9)
    assert copied.run("manifest", f"tag={TAG}").returncode == 0
    done = copied.run("run", "-s", "promote:gcs-nightly", f"tag={TAG}")

    assert done.returncode == 1, done.stdout + done.stderr
    assert "upload:gcs-nightly: expected a receipt of this manifest" in done.stderr
    assert public_snapshot(copied) == before


def test_depot_that_lost_an_object_switches_nothing(copied: Project) -> None:
    """A promotion that finds its depot short of an object changes no public key; a rerun heals."""
    before = public_snapshot(copied)
    release = json.loads((copied.clouds / "gcs" / "nightly" / "release.json").read_bytes())
    for path in (copied.clouds / "gcs" / "nightly").iterdir():
        path.unlink()
    (copied.clouds / "gcs" / release["files"][0]["depot_key"]).unlink()
    alone = copied.run("run", "-s", "promote:gcs-nightly", f"tag={TAG}")
    left = list((copied.clouds / "gcs" / "nightly").iterdir())
    locks = list((copied.clouds / "gcs" / ".lading").rglob("locks/*"))
    healed = copied.run(*RELEASE)

    assert alone.returncode == 1, alone.stdout + alone.stderr
    assert "in the depot, found other or none" in alone.stderr
    assert left == []
    assert locks == []
    assert healed.returncode == 0, healed.stdout + healed.stderr
    assert public_snapshot(copied) == before


@pytest.mark.slow
def test_staged_release_costs_production_no_upload(tmp_path: Path) -> None:
    """What staging has sent is copied inside the cloud for production: no byte goes up twice."""
    project = make_project(tmp_path / "project")
    staged = project.run(*RELEASE, "staging=1")
    planned = project.run("plan", f"tag={TAG}")
    done = project.run(*RELEASE)
    again = project.run("distribute", "tag=v2025.2.5", "staging=1")

    assert staged.returncode == 0, staged.stderr
    assert "upload:gcs-nightly    copy       13" in planned.stdout
    assert "0 objects sent, 0 B; 13 copied in the cloud" in done.stdout
    assert "2 objects sent" in again.stdout
    assert "11 there already" in again.stdout


def test_manifest_carries_the_commit_of_the_tag(tmp_path: Path) -> None:
    """Where the project is a git repository that knows the tag, the manifest names its commit."""
    project = make_project(tmp_path / "project", parquet=1)
    who = {
        f"GIT_{role}_{what}": "a@b.c"
        for role in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    for arguments in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"], ["tag", TAG]):
        subprocess.run(
            ["git", *arguments], cwd=project.folder, env=project.environment(who), check=True
        )
    done = project.run("manifest", f"tag={TAG}")
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=project.folder, capture_output=True, text=True, check=True
    ).stdout.strip()
    manifest = project.work / "releases" / "nightly" / TAG / "release.json"

    assert done.returncode == 0, done.stderr
    assert json.loads(manifest.read_bytes())["commit"] == commit


def test_other_configuration_is_named(tmp_path: Path) -> None:
    """`config=` names another file; its own folder is where its paths start."""
    project = make_project(tmp_path / "project", parquet=1)
    (project.folder / "other").mkdir()
    (project.folder / "lading.toml").rename(project.folder / "other" / "mine.toml")
    project.source.rename(project.folder / "other" / "source")
    done = project.run(*RELEASE, "config=other/mine.toml")

    assert done.returncode == 0, done.stdout + done.stderr
    assert (project.folder / "other" / "clouds" / "gcs" / "nightly" / "release.json").exists()
    assert not project.clouds.exists()


def test_configuration_in_pyproject(tmp_path: Path) -> None:
    """`[tool.lading]` of pyproject.toml is a configuration like any other."""
    project = make_project(tmp_path / "project", parquet=1)
    text = (project.folder / "lading.toml").read_text()
    (project.folder / "lading.toml").unlink()
    tables = text.replace("[[", "[[tool.lading.").replace("\n[", "\n[tool.lading.")
    tables = tables.replace("[tool.lading.[tool.lading.", "[[tool.lading.")
    (project.folder / "pyproject.toml").write_text(tables)
    done = project.run(*RELEASE)

    assert done.returncode == 0, done.stdout + done.stderr
    assert (project.clouds / "s3" / "eel-hole" / "release.json").exists()


def test_verify_of_last_night_says_that_tonight_stands(copied: Project) -> None:
    """A prefix that a later release has taken is told as such, and not object by object."""
    shutil.rmtree(copied.source)
    make_build(copied.source, seed=2)
    assert copied.run("distribute", "tag=nightly-2025-02-06").returncode == 0
    done = copied.run("verify", f"tag={TAG}")

    assert done.returncode == 1
    said = f"gcs nightly: expected {TAG}, found nightly-2025-02-06, which was promoted since"
    assert said in done.stderr
    assert "notes.json" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("size", [50, None])
@pytest.mark.parametrize(
    "made",
    [
        "archives/energy.sqlite.zip",
        "archives/demo_parquet.zip",
        f"releases/nightly/{TAG}/release.json",
        f"releases/nightly/{TAG}/SHA256SUMS",
        f"releases/nightly/{TAG}/check.json",
        f"releases/nightly/{TAG}/production/receipts/upload/gcs-nightly.json",
        f"releases/nightly/{TAG}/production/receipts/promote/s3-eel-hole.json",
        f"releases/nightly/{TAG}/production/state.sqlite",
        "digests.sqlite",
    ],
)
def test_damaged_local_file_is_made_anew(copied: Project, made: str, size: int | None) -> None:
    """A local file that was cut or damaged is made again by the same command, never published."""
    path = copied.work / made
    before = public_snapshot(copied)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle] ^= 1
    path.write_bytes(data[:size] if size else data)
    done = copied.run(*RELEASE)

    assert done.returncode == 0, done.stdout + done.stderr
    assert public_snapshot(copied) == before


def test_damaged_archive_is_never_described(copied: Project) -> None:
    """`doit -s manifest`, which skips what it needs, refuses an archive that is not as made."""
    path = copied.work / "archives" / "energy.sqlite.zip"
    path.write_bytes(path.read_bytes()[:50])
    done = copied.run("run", "-s", "manifest", f"tag={TAG}")

    assert done.returncode == 1, done.stdout + done.stderr
    assert "energy.sqlite.zip: expected the archive as it was made" in done.stderr
