"""Bad input, as a person would give it: one clear line, the right exit code, nothing harmed."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.project import CONFIG, DOIT, RELEASE, Project, make_project, public_snapshot

TONIGHT = ("distribute", "type=nightly", "tag=nightly-2025-02-06")
CHANGE = "update t set name = name || 1"


@pytest.fixture(scope="module")
def released_once(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose release of last night is public, for all tests."""
    project = make_project(tmp_path_factory.mktemp("released") / "project")
    done = project.run(*RELEASE)
    assert done.returncode == 0, done.stdout + done.stderr
    return project


@pytest.fixture
def released(released_once: Project, tmp_path: Path) -> Project:
    """A copy of it that a test may change."""
    shutil.copytree(released_once.folder, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


def _refuse_marker(source: Path) -> None:
    (source / "success").unlink()


def _not_a_database(source: Path) -> None:
    (source / "energy.sqlite").write_text("this is no database, whatever its name says")


def _corrupt_page(source: Path) -> None:
    with (source / "energy.sqlite").open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * 4096)


def _truncate_database(source: Path) -> None:
    with (source / "energy.sqlite").open("r+b") as file:
        file.truncate(4096 * 2)


def _die_while_writing(path: Path, *statements: str) -> None:
    """Run statements on a database in another process, which dies without closing it."""
    script = (
        "import os, sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "for statement in sys.argv[2:]:\n"
        "    c.execute(statement)\n"
        "os._exit(0)\n"
    )
    command = [sys.executable, "-c", script, str(path), "pragma cache_size=1", *statements]
    subprocess.run(command, check=True)


def _live_wal(source: Path) -> None:
    path = source / "energy.sqlite"
    _die_while_writing(path, "pragma journal_mode=wal", CHANGE, "begin", "delete from t")
    assert path.with_name("energy.sqlite-wal").stat().st_size


def _hot_journal(source: Path) -> None:
    path = source / "energy.sqlite"
    _die_while_writing(path, "begin", CHANGE)
    assert path.with_name("energy.sqlite-journal").stat().st_size


def _empty_parquet(source: Path) -> None:
    (source / "parquet" / "table_001.parquet").write_bytes(b"")


def _truncate_parquet(source: Path) -> None:
    path = source / "parquet" / "table_001.parquet"
    path.write_bytes(path.read_bytes()[:-100])


def _empty_bundle(source: Path) -> None:
    for path in (source / "parquet").glob("*.parquet"):
        path.unlink()


def _two_packages(source: Path) -> None:
    shutil.copy(source / "parquet" / "datapackage.json", source / "parquet" / "b_datapackage.json")


def _same_key(source: Path) -> None:
    shutil.copy(source / "parquet" / "table_001.parquet", source / "table_001.parquet")


def _differ_in_case(source: Path) -> None:
    (source / "NOTES.json").write_text("{}")


def _control_character(source: Path) -> None:
    (source / "bad\nname.json").write_text("{}")


def _link_out(source: Path) -> None:
    (source / "secrets.json").symlink_to("/etc/hostname")


def _remove_source(source: Path) -> None:
    shutil.rmtree(source)


def _empty_source(source: Path) -> None:
    shutil.rmtree(source)
    source.mkdir()


def _source_is_a_file(source: Path) -> None:
    shutil.rmtree(source)
    source.write_text("not a folder")


BAD_BUILDS: list[tuple[Callable[[Path], None], str, str]] = [
    (_refuse_marker, "success", "expected the build's success marker"),
    (_not_a_database, "energy.sqlite", "expected a SQLite database"),
    (_corrupt_page, "energy.sqlite", "expected a sound SQLite database"),
    (_truncate_database, "energy.sqlite", "it is cut short"),
    (_empty_parquet, "parquet/table_001.parquet", "expected a parquet file, found 0 bytes"),
    (_truncate_parquet, "parquet/table_001.parquet", "expected a parquet footer"),
    (_empty_bundle, "parquet", "prepare.bundles: expected files *.parquet"),
    (_two_packages, "b_datapackage.json", "expected exactly one *datapackage.json in parquet"),
    (_same_key, "'table_001.parquet'", "expected one file for the key"),
    (_differ_in_case, "'NOTES.json'", "expected names that differ in more than case"),
    (_control_character, "'bad\\nname.json'", "control characters"),
    (_link_out, "'secrets.json'", "which leads out"),
    (_remove_source, "source", "expected the folder of a build"),
    (_empty_source, "source", "found an empty folder"),
    (_source_is_a_file, "source", "found a file"),
]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read every file")
@pytest.mark.parametrize("name", ["energy.sqlite", "notes.json", "parquet/table_001.parquet"])
def test_unreadable_file_is_refused(released: Project, name: str) -> None:
    """A file that may not be read is refused by name, before anything is made of it."""
    before = public_snapshot(released)
    (released.source / name).chmod(0)
    done = released.run(*TONIGHT)

    assert done.returncode == 1, done.stdout + done.stderr
    assert f"check failed: {name}: expected a readable file, got 'Permission denied'" in done.stderr
    assert public_snapshot(released) == before


@pytest.mark.parametrize(
    ("spoil", "place", "reason"), BAD_BUILDS, ids=[row[0].__name__.strip("_") for row in BAD_BUILDS]
)
def test_bad_build_is_refused(
    released: Project, spoil: Callable[[Path], None], place: str, reason: str
) -> None:
    """A bad build ends in one clear line and exit code 1, and the public state is untouched."""
    before = public_snapshot(released)
    spoil(released.source)
    done = released.run(*TONIGHT)

    assert_refused(done, place, reason)
    assert public_snapshot(released) == before
    assert list(released.work.rglob("*.part")) == []


def assert_refused(done: subprocess.CompletedProcess[str], place: str, reason: str) -> None:
    """Hold that a release was refused by ``check`` in one clear line."""
    failed = [line for line in done.stderr.splitlines() if "failed: " in line]

    assert done.returncode == 1, done.stdout + done.stderr
    assert len(failed) == 1, done.stderr
    assert failed[0].startswith("check failed: ")
    assert reason in failed[0]
    assert place in failed[0]
    assert "Traceback" not in done.stdout + done.stderr
    assert "run the same command: doit distribute type=nightly" in done.stderr


def state_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return time and bytes of everything below a folder, folders by their time alone."""
    return {
        path.relative_to(folder).as_posix(): (
            path.stat().st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in [folder, *sorted(folder.rglob("*"))]
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("leave_open", "kind"),
    [
        (_live_wal, "a live write-ahead log energy.sqlite-wal"),
        (_hot_journal, "a hot journal energy.sqlite-journal"),
    ],
    ids=["live_wal", "hot_journal"],
)
def test_open_database_is_refused_where_the_configuration_says_so(
    released: Project, leave_open: Callable[[Path], None], kind: str
) -> None:
    """With ``live = "refuse"`` a database that was left open ends the release in one line."""
    config = released.folder / "lading.toml"
    live = '[prepare.sqlite]\nlive = "refuse"\n'
    config.write_text(config.read_text().replace("[prepare.sqlite]\n", live))
    public = public_snapshot(released)
    leave_open(released.source)
    before = state_of(released.source)
    done = released.run(*TONIGHT)

    assert_refused(done, "energy.sqlite", f"expected a closed database, found {kind} of ")
    assert "close the program that writes it" in done.stderr
    assert public_snapshot(released) == public
    assert state_of(released.source) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("leave_open", "end"),
    [(_live_wal, "1"), (_hot_journal, "")],
    ids=["live_wal", "hot_journal"],
)
def test_open_database_is_released_as_of_its_last_commit(
    released: Project, tmp_path: Path, leave_open: Callable[[Path], None], end: str
) -> None:
    """What is public opens and holds what was committed; the source is untouched, to the time."""
    leave_open(released.source)
    before = state_of(released.source)
    done = released.run(*TONIGHT)

    assert done.returncode == 0, done.stdout + done.stderr
    assert state_of(released.source) == before
    keys = set(public_snapshot(released))
    assert not {key for key in keys if key.endswith(("-wal", "-shm", "-journal", ".sqlite"))}
    assert not (released.work / "snapshots").exists()
    for cloud in ("gcs", "s3"):
        with zipfile.ZipFile(released.clouds / cloud / "nightly/energy.sqlite.zip") as archive:
            assert archive.namelist() == ["energy.sqlite"]
            archive.extractall(tmp_path / cloud)
        with closing(sqlite3.connect(tmp_path / cloud / "energy.sqlite")) as connection:
            assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
            names = connection.execute("select id, name from t order by id").fetchall()
        assert names == [(row, f"plant {row % 37}{end}") for row in range(4000)]
    release = json.loads((released.clouds / "gcs/nightly/release.json").read_bytes())
    files = {each["key"]: each for each in release["files"]}
    assert files["energy.sqlite.zip"]["rows"] == {"t": 4000}
    again = released.run(*TONIGHT)
    assert "nothing to do: everything is as released" in again.stdout, again.stdout + again.stderr


@pytest.mark.slow
def test_log_that_has_grown_makes_a_new_archive(released: Project) -> None:
    """What was committed to the log since is released by the next run of the same command."""
    _live_wal(released.source)
    path = released.source / "energy.sqlite"
    first = released.run(*TONIGHT)
    before = path.read_bytes()
    insert = "insert into t (name, value) values ('new', 1)"
    _die_while_writing(path, "pragma wal_autocheckpoint=0", insert)
    assert path.read_bytes() == before
    second = released.run(*TONIGHT)
    release = json.loads((released.clouds / "s3/eel-hole/release.json").read_bytes())

    assert first.returncode == 0, first.stdout + first.stderr
    assert second.returncode == 0, second.stdout + second.stderr
    files = {each["key"]: each for each in release["files"]}
    assert files["energy.sqlite.zip"]["rows"] == {"t": 4001}
    with zipfile.ZipFile(released.clouds / "s3/eel-hole/energy.sqlite.zip") as archive:
        archive.extractall(released.folder / "unpacked")
    with closing(sqlite3.connect(released.folder / "unpacked" / "energy.sqlite")) as connection:
        assert connection.execute("select count(*) from t").fetchone() == (4001,)


BAD_LINES = [
    (("type=nigtly", "tag=nightly-2025-02-05"), 3, "type: expected one of nightly, stable"),
    (("type=stable", "tag=nightly-2025-02-05"), 3, "tag: expected a tag of channel stable"),
    (("tag=weekly-2025-02-05",), 3, "tag: expected a tag that fits a channel"),
    (("tag=v2025.2.3; rm -rf /",), 3, "got 'v2025.2.3; rm -rf /'"),
    (("tag=nightly-2025-02-05x",), 3, "got 'nightly-2025-02-05x'"),
    (("tag=nightly-2025-02-05", "stagign=1"), 3, "did you mean 'staging'?"),
    (("tag=nightly-2025-02-05", "stage=1"), 3, "did you mean 'staging'?"),
    (("tag=nightly-2025-02-05", "staging=maybe"), 3, "staging: expected 1/0, true/false or yes/no"),
    (("tag=nightly-2025-02-05", "staging="), 3, "staging=: expected a value, got nothing"),
    (("tag=nightly-2025-02-05", "staging=1", "staging=0"), 3, "staging: expected one value, got 2"),
    (("tag=nightly-2025-02-05", "config=nowhere.toml"), 3, "config=nowhere.toml: expected"),
    ((), 2, "tag: expected tag=... on the command line, got nothing"),
]


@pytest.mark.parametrize(("variables", "code", "reason"), BAD_LINES)
def test_bad_command_line_is_refused(
    tmp_path: Path, variables: tuple[str, ...], code: int, reason: str
) -> None:
    """A bad command line ends in one line on stderr, and nothing is done."""
    project = make_project(tmp_path / "project", parquet=1)
    done = project.run("distribute", *variables)

    assert done.returncode == code
    assert reason in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not project.clouds.exists()
    assert list(project.work.rglob("*.zip")) == []


BAD_CONFIGS = [
    (None, "lading.toml: expected in "),
    ("", "lading.toml: expected [project] and [channels], [datasets] or [jobs], got none"),
    ("[project", "lading.toml: expected TOML, got "),
    (
        CONFIG.replace('"eel-hole"', "5"),
        "prefixes[1]: expected a string, got 5",
    ),
    (CONFIG.replace("prefixes", "prefixs", 1), "(did you mean 'prefixes'?)"),
]


@pytest.mark.parametrize(("text", "reason"), BAD_CONFIGS)
@pytest.mark.parametrize("command", ["list", "distribute"])
def test_bad_configuration_is_refused(
    tmp_path: Path, text: str | None, reason: str, command: str
) -> None:
    """A bad configuration ends every command with its problems and exit code 3."""
    project = make_project(tmp_path / "project", parquet=1)
    path = project.folder / "lading.toml"
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    done = project.run(command)

    assert done.returncode == 3
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("cloud", ["gcs", "s3"])
def test_destination_that_is_a_file(released: Project, cloud: str) -> None:
    """A destination that is a file is refused first; the other is left as it was."""
    shutil.rmtree(released.clouds / cloud)
    (released.clouds / cloud).write_text("in the way")
    before = public_snapshot(released)
    done = released.run(*TONIGHT)

    assert done.returncode == 1
    assert f"access:{cloud} failed: " in done.stderr
    assert "Not a directory" in done.stderr or "a file stands there" in done.stderr
    assert public_snapshot(released) == before


def _in_namespace(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script where it may mount file systems of its own."""
    return subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-ec", script],
        cwd=folder,
        env={**os.environ, "CI": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def namespace(tmp_path: Path) -> None:
    """Skip where this machine lets nobody mount a file system."""
    try:
        probe = _in_namespace("mkdir m && mount -t tmpfs none m", tmp_path)
    except FileNotFoundError:
        pytest.skip("no unshare on this machine")
    if probe.returncode:
        pytest.skip(f"this machine does not allow mounts: {probe.stderr.strip()}")


@pytest.mark.usefixtures("namespace")
def test_full_work_disk(released: Project) -> None:
    """A full disk under the archives is said in one line; no half-written archive is left."""
    before = public_snapshot(released)
    shutil.rmtree(released.work)
    connection = sqlite3.connect(released.source / "energy.sqlite")
    connection.execute("create table noise as select randomblob(400000) as b")
    connection.close()
    script = (
        "mkdir build && mount -t tmpfs -o size=250k none build\n"
        f"code=0; {DOIT} {' '.join(TONIGHT)} || code=$?\n"
        "find build -name '*.zip' -size +100k; find build -name '*.part'; exit $code"
    )
    done = _in_namespace(script, released.folder)

    assert done.returncode == 1, done.stdout + done.stderr
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert ".part" not in done.stdout
    assert "build/archives/energy.sqlite.zip" not in done.stdout
    assert public_snapshot(released) == before


@pytest.mark.usefixtures("namespace")
def test_full_destination(tmp_path: Path) -> None:
    """A full destination fails its upload in one line, and no prefix anywhere appears."""
    project = make_project(tmp_path / "project")
    (project.clouds / "gcs").mkdir(parents=True)
    script = (
        "mount -t tmpfs -o size=40k none clouds/gcs\n"
        f"code=0; {DOIT} {' '.join(RELEASE)} || code=$?\n"
        "find clouds/gcs/nightly clouds/s3/nightly clouds/gcs/.lading/tmp -type f; exit $code"
    )
    done = _in_namespace(script, project.folder)

    assert done.returncode == 1, done.stdout + done.stderr
    assert "upload:gcs-nightly failed: " in done.stderr
    assert "No space left on device" in done.stderr
    assert "clouds/" not in done.stdout.partition("to resume")[2]
    assert not (project.clouds / "s3" / "nightly").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("namespace")
def test_read_only_destination(released: Project) -> None:
    """A read-only destination fails in one line; `plan` needs no write access to it."""
    before = public_snapshot(released)
    script = (
        "mount --bind clouds clouds && mount -o remount,ro,bind clouds\n"
        f"{DOIT} plan {' '.join(TONIGHT[1:])}\n"
        f"code=0; {DOIT} {' '.join(TONIGHT)} || code=$?; exit $code"
    )
    done = _in_namespace(script, released.folder)

    assert done.returncode == 1, done.stdout + done.stderr
    assert "Read-only file system" in done.stderr
    assert "nothing was written" in done.stdout
    assert public_snapshot(released) == before
