"""A build that lost, shrank or grew against the last release: told, refused, or accepted."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.project import (
    CONFIG,
    DOIT,
    RELEASE,
    TAG,
    Project,
    end_group,
    lines_with,
    make_database,
    make_project,
    public_snapshot,
    snapshot,
    times_of,
)

NEXT_TAG = "nightly-2025-02-06"
TONIGHT = ("distribute", "type=nightly", f"tag={NEXT_TAG}")
TOMORROW = ("distribute", "type=nightly", "tag=nightly-2025-02-07")
REASON = "the agency closed two plants"
HINT = "where that is right, run it again with accept='why it is right'"
KILL_WITHIN_S = 60
AND_DIE = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    connection.execute(statement)
os._exit(0)
"""
COMMIT_WHILE_PACKING = """
import subprocess, sys
from contextlib import contextmanager
import lading.tasks.steps as steps

at_rest = steps.at_rest

@contextmanager
def at_rest_for_a_moment(path, scratch):
    with at_rest(path, scratch) as still:
        if path.name == "energy.sqlite":
            quiet = "pragma wal_autocheckpoint = 0"
            command = [sys.executable, "-c", {script!r}, str(path), quiet, {insert!r}]
            subprocess.run(command, check=True)
        yield still

steps.at_rest = at_rest_for_a_moment
"""
KATHMANDU = {"TZ": "Asia/Kathmandu"}

FILL = """
with recursive n (i) as (select 1 union all select i + 1 from n where i < {rows})
insert into t (name, value) select
  'plant ' || (i * 7919 % 4001) || ' ' || hex(i * 2654435761 % 1000003),
  (i * 48271 % 2147483647) / 1000.0
from n
"""


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


@pytest.fixture(scope="module")
def large_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of about 100 MB, so that packing it takes a moment."""
    path = tmp_path_factory.mktemp("large") / "energy.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("pragma synchronous = off")
        connection.execute("pragma journal_mode = off")
        connection.execute("create table t (id integer primary key, name text, value real)")
        connection.execute(FILL.format(rows=2_600_000))
    assert path.stat().st_size > 80_000_000
    return path


def remake(project: Project, **rows: int) -> None:
    """Make databases of the build anew, with other numbers of rows."""
    for name, number in rows.items():
        (project.source / f"{name}.sqlite").unlink()
        make_database(project.source / f"{name}.sqlite", number)


def configure(project: Project, old: str, new: str) -> None:
    """Change the configuration of a project."""
    text = (project.folder / "lading.toml").read_text()
    assert old in text
    (project.folder / "lading.toml").write_text(text.replace(old, new))


def report_of(project: Project, tag: str = NEXT_TAG) -> dict[str, Any]:
    """Return the report of ``check``."""
    found: dict[str, Any] = json.loads(
        (project.work / "releases" / "nightly" / tag / "check.json").read_bytes()
    )
    return found


def judged(report: dict[str, Any], verdict: str) -> list[tuple[str, str]]:
    """Return gate and place of what was refused, warned of or accepted."""
    return [(each["gate"], each["place"]) for each in report["gates"] if each.get(verdict)]


def whole_folder(project: Project) -> dict[str, str]:
    """Return sha256 by path of every file of a project."""
    return snapshot(project.folder, leave_out=("__pycache__",))


class TestReleaseTellsItsRows:
    """What the next release will be compared with."""

    def test_rows_and_sizes(self, released: Project) -> None:
        """release.json tells rows by table and sizes before packing; check.json the same rows."""
        release = json.loads((released.clouds / "s3" / "nightly" / "release.json").read_bytes())
        files = {each["key"]: each for each in release["files"]}
        tables = {f"table_00{number}": 200 for number in range(6)}

        assert files["energy.sqlite.zip"]["rows"] == {"t": 4000}
        assert files["weather.sqlite.zip"]["rows"] == {"t": 1500}
        assert files["demo_parquet.zip"]["rows"] == tables
        assert files["table_003.parquet"]["rows"] == {"table_003": 200}
        assert "rows" not in files["notes.json"]
        size = (released.source / "energy.sqlite").stat().st_size
        assert files["energy.sqlite.zip"]["origin"]["size_bytes"] == size
        members = sum(each.stat().st_size for each in (released.source / "parquet").iterdir())
        assert files["demo_parquet.zip"]["origin"]["size_bytes"] == members
        report = report_of(released, TAG)
        assert report["tables"]["energy.sqlite"]["rows"] == {"t": 4000}
        assert report["tables"]["parquet/table_003.parquet"]["rows"] == {"table_003": 200}
        assert judged(report, "refused") + judged(report, "warned") == []


class TestFewerRows:
    """A table that lost a share of its rows."""

    def test_too_many_lost_is_refused(self, copied: Project) -> None:
        """Three rows in ten gone: one line a finding, what to do, and nothing public moved."""
        remake(copied, energy=2800, weather=1050)
        before = public_snapshot(copied)
        done = copied.run(*TONIGHT)

        assert done.returncode == 1, done.stdout + done.stderr
        energy, weather, *_ = done.stderr.splitlines()
        assert energy == (
            f"check failed: energy.sqlite.zip: t: expected about the 4000 rows of {TAG},"
            " found 2800: 30.0 % fewer, the limit is 20 %"
        )
        assert weather == (
            f"weather.sqlite.zip: t: expected about the 1500 rows of {TAG},"
            f" found 1050: 30.0 % fewer, the limit is 20 %; {HINT}"
        )
        assert len(done.stderr.splitlines()) == 4  # and how all stands, and how to go on
        assert public_snapshot(copied) == before
        found = [("rows", "energy.sqlite.zip: t"), ("rows", "weather.sqlite.zip: t")]
        assert judged(report_of(copied), "refused") == found
        assert not (copied.work / "releases" / "nightly" / NEXT_TAG / "release.json").exists()

    def test_accepted_with_a_reason(self, copied: Project) -> None:
        """With a reason it is released; the reason stands beside what it covers, and nowhere else.

        The same command again has nothing to do.
        """
        remake(copied, energy=2800)
        refused = copied.run(*TONIGHT)
        done = copied.run(*TONIGHT, f"accept={REASON}")
        report = report_of(copied)
        before = times_of(copied.clouds)
        again = copied.run(*TONIGHT, f"accept={REASON}")

        assert refused.returncode == 1
        assert done.returncode == 0, done.stdout + done.stderr
        assert ", 1 accepted, " in done.stdout
        assert judged(report, "accepted") == [("rows", "energy.sqlite.zip: t")]
        assert {each.get("accepted", REASON) for each in report["gates"]} == {REASON}
        release = json.loads((copied.clouds / "gcs" / "nightly" / "release.json").read_bytes())
        assert release["tag"] == NEXT_TAG
        assert again.returncode == 0, again.stderr
        assert "check                           up to date" in again.stdout
        assert "nothing to do: everything is as released" in again.stdout
        assert times_of(copied.clouds) == before
        assert report_of(copied) == report

    def test_reason_is_that_of_the_command_line(self, copied: Project) -> None:
        """Another reason takes the place of the first; without one the build is refused again."""
        remake(copied, energy=2800)
        first = copied.run("check", *TONIGHT[1:], f"accept={REASON}")
        second = copied.run("check", *TONIGHT[1:], "accept=three plants it was")
        reasons = {each.get("accepted") for each in report_of(copied)["gates"]}
        third = copied.run("check", *TONIGHT[1:])

        assert (first.returncode, second.returncode, third.returncode) == (0, 0, 1)
        assert reasons == {None, "three plants it was"}
        assert judged(report_of(copied), "accepted") == []

    @pytest.mark.parametrize("reason", ["yes", "1", "because-I-say-so"])
    def test_one_word_is_no_reason(self, copied: Project, reason: str) -> None:
        """A word that is no reason is refused as a bad command line: one line, nothing done."""
        remake(copied, energy=2800)
        before = whole_folder(copied)
        done = copied.run(*TONIGHT, f"accept={reason}")

        assert done.returncode == 3
        assert done.stderr.strip() == (
            "ERROR: accept: expected a reason in words, as accept='utility X has left',"
            f" got {reason!r}"
        )
        assert whole_folder(copied) == before

    def test_few_lost_is_told(self, copied: Project) -> None:
        """One row in twenty gone: told in one line, kept in the report, and released."""
        remake(copied, energy=3800)
        done = copied.run(*TONIGHT)

        assert done.returncode == 0, done.stdout + done.stderr
        assert ", 1 warned, " in done.stdout
        (line,) = lines_with(done.stdout, "check warns: ")
        assert line == (
            f"check warns: energy.sqlite.zip: t: expected about the 4000 rows of {TAG},"
            " found 3800: 5.0 % fewer, the limit is 1 %"
        )
        assert "released: every object was read back" in done.stdout
        assert judged(report_of(copied), "warned") == [("rows", "energy.sqlite.zip: t")]

    def test_limits_of_the_configuration(self, copied: Project) -> None:
        """The limits are those of the configuration; to change one asks the gates again."""
        remake(copied, energy=3800)
        assert copied.run("check", *TONIGHT[1:]).returncode == 0
        configure(copied, "[layout]\n", "[gates.rows]\nrefuse_loss = 0.05\n[layout]\n")
        done = copied.run("check", *TONIGHT[1:])

        assert done.returncode == 1
        assert "found 3800: 5.0 % fewer, the limit is 5 %" in done.stderr

    def test_more_rows_are_told(self, copied: Project) -> None:
        """Twice the rows are told and released."""
        remake(copied, energy=8000)
        done = copied.run(*TONIGHT)

        assert done.returncode == 0, done.stdout + done.stderr
        assert "found 8000: 100.0 % more, the limit is 50 %" in done.stdout

    def test_reason_covers_no_broken_build(self, copied: Project) -> None:
        """No reason lets a build pass that has not ended well, or a database that is damaged."""
        before = public_snapshot(copied)
        (copied.source / "success").unlink()
        with (copied.source / "energy.sqlite").open("r+b") as file:
            file.truncate(8192)
        done = copied.run(*TONIGHT, f"accept={REASON}")

        assert done.returncode == 1
        assert "success: expected the build's success marker" in done.stderr
        assert "energy.sqlite: expected " in done.stderr
        assert "accept=" not in done.stderr.partition("1 task failed")[0]
        assert judged(report_of(copied), "accepted") == []
        assert public_snapshot(copied) == before


class TestOpenDatabase:
    """A database that was left open, beside the last release."""

    def test_size_is_that_of_all_that_was_committed(self, copied: Project) -> None:
        """A database whose rows are all in its log yet is not taken for one that lost them."""
        path = copied.source / "energy.sqlite"
        path.unlink()
        statements = [
            "pragma journal_mode = wal",
            "pragma wal_autocheckpoint = 0",
            "create table t (id integer primary key, name text, value real)",
            FILL.format(rows=4000),
        ]
        subprocess.run([sys.executable, "-c", AND_DIE, str(path), *statements], check=True)
        assert path.stat().st_size < path.with_name("energy.sqlite-wal").stat().st_size / 10
        done = copied.run("check", *TONIGHT[1:])

        assert done.returncode == 0, done.stderr
        assert report_of(copied)["tables"]["energy.sqlite"]["rows"] == {"t": 4000}

    def test_commit_while_it_is_packed(self, copied: Project) -> None:
        """What is committed during the packing is packed by the next run, and counted with it."""
        path = copied.source / "energy.sqlite"
        insert = "insert into t (name, value) values ('new', 1)"
        wal = ["pragma journal_mode = wal", "pragma wal_autocheckpoint = 0", insert]
        subprocess.run([sys.executable, "-c", AND_DIE, str(path), *wal], check=True)
        dodo = copied.folder / "dodo.py"
        plain = dodo.read_text()
        dodo.write_text(COMMIT_WHILE_PACKING.format(script=AND_DIE, insert=insert) + plain)
        copied.run(*TONIGHT)
        dodo.write_text(plain)
        done = copied.run(*TONIGHT)

        assert done.returncode == 0, done.stdout + done.stderr
        with closing(sqlite3.connect(path)) as connection:
            (committed,) = connection.execute("select count(*) from t").fetchone()
        assert committed > 4001
        public = copied.clouds / "gcs" / "nightly"
        release = json.loads((public / "release.json").read_bytes())
        with zipfile.ZipFile(public / "energy.sqlite.zip") as archive:
            archive.extractall(copied.folder / "unpacked")
        with closing(sqlite3.connect(copied.folder / "unpacked/energy.sqlite")) as connection:
            (packed,) = connection.execute("select count(*) from t").fetchone()
        rows = {each["key"]: each.get("rows") for each in release["files"]}
        assert (packed, rows["energy.sqlite.zip"]) == (committed, {"t": committed})


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace('"sources"', '"sourced"'),
        lambda text: text.replace('"rows"', '"rowz"'),
        lambda _: '{"tables": null}',
        lambda _: '{"tables": [1]}',
        lambda _: '{"tables": {"energy.sqlite": 5}}',
        lambda _: "[]",
        lambda text: text[:400],
    ],
    ids=["sources", "rows", "null", "list", "number", "other", "cut"],
)
def test_damaged_report_is_none(copied: Project, damage: Callable[[str], str]) -> None:
    """`plan` counts anew where the report of check is damaged, or of another version."""
    path = copied.work / "releases" / "nightly" / TAG / "check.json"
    path.write_text(damage(path.read_text()))
    done = copied.run("plan", f"tag={TAG}")

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "nothing to do"


class TestLost:
    """What the last release had and this build has not."""

    def test_table(self, copied: Project) -> None:
        """A table that is gone is refused by its name; a person may accept it."""
        with closing(sqlite3.connect(copied.source / "energy.sqlite")) as connection:
            connection.execute("alter table t rename to plants")
        before = public_snapshot(copied)
        refused = copied.run(*TONIGHT)
        unmoved = public_snapshot(copied)
        done = copied.run(*TONIGHT, f"accept={REASON}")

        assert refused.returncode == 1
        said = f"energy.sqlite.zip: t: expected the table that {TAG} has, found none; {HINT}"
        assert refused.stderr.splitlines()[0] == f"check failed: {said}"
        assert unmoved == before
        assert done.returncode == 0, done.stderr
        assert judged(report_of(copied), "accepted") == [("lost", "energy.sqlite.zip: t")]

    def test_file(self, copied: Project) -> None:
        """A public file that is gone is refused by its key; accepted, it goes away."""
        (copied.source / "notes.json").unlink()
        before = public_snapshot(copied)
        refused = copied.run(*TONIGHT)
        unmoved = public_snapshot(copied)
        done = copied.run(*TONIGHT, f"accept={REASON}")

        assert refused.returncode == 1
        said = f"notes.json: expected the public file that {TAG} has, found none; {HINT}"
        assert refused.stderr.splitlines()[0] == f"check failed: {said}"
        assert unmoved == before
        assert done.returncode == 0, done.stderr
        assert not (copied.clouds / "gcs" / "nightly" / "notes.json").exists()

    @pytest.mark.parametrize(("setting", "told"), [("warn", 1), ("allow", 0)])
    def test_as_it_is_configured(self, copied: Project, setting: str, told: int) -> None:
        """A configuration may want it told only, or not at all."""
        configure(copied, "[layout]\n", f'[gates]\nlost = "{setting}"\n[layout]\n')
        (copied.source / "notes.json").unlink()
        done = copied.run("check", *TONIGHT[1:])

        assert done.returncode == 0, done.stderr
        assert len(list(lines_with(done.stdout, "check warns: notes.json: expected"))) == told

    def test_many_findings_are_counted(self, copied: Project) -> None:
        """Of many findings five are told in full, and the others are counted."""
        for path in (copied.source / "parquet").glob("table_00[1-5].parquet"):
            path.unlink()
        done = copied.run(*TONIGHT)
        lines = done.stderr.splitlines()

        assert done.returncode == 1
        assert len(lines) == 8  # five, what is more, how all stands, and the way on
        assert lines[5].startswith("and 6 more; where that is right")  # five files; bundle; size
        assert len(judged(report_of(copied), "refused")) == 11


class TestUnexpected:
    """A file that the configuration does not name."""

    EXPECTED = 'expected = ["/*.sqlite", "/parquet/"]\noptional = ["/notes.json", "/gone.json"]\n'

    @pytest.mark.parametrize(
        ("setting", "code", "place"), [("warn", 0, "stdout"), ("refuse", 1, "stderr")]
    )
    def test_told_or_refused(self, copied: Project, setting: str, code: int, place: str) -> None:
        """It is told or refused by its path, as it is configured, and no other file is."""
        configure(copied, 'url = "source"\n', f'url = "source"\n{self.EXPECTED}')
        configure(copied, "[layout]\n", f'[gates]\nunexpected = "{setting}"\n[layout]\n')
        (copied.source / "odd.csv").write_text("a,b\n")
        done = copied.run("check", *TONIGHT[1:])
        said = "odd.csv: expected only files that source.expected or source.optional name"

        assert done.returncode == code, done.stderr
        assert len(list(lines_with(getattr(done, place), said))) in {1, 2}
        assert (HINT in done.stderr) == bool(code)
        verdict = "refused" if code else "warned"
        assert judged(report_of(copied), verdict) == [("unexpected", "odd.csv")]

    def test_accepted(self, copied: Project) -> None:
        """A file that is refused ships once a person has given a reason."""
        configure(copied, 'url = "source"\n', f'url = "source"\n{self.EXPECTED}')
        configure(copied, "[layout]\n", '[gates]\nunexpected = "refuse"\n[layout]\n')
        (copied.source / "odd.csv").write_text("a,b\n")
        done = copied.run(*TONIGHT, "accept=new in this release")

        assert done.returncode == 0, done.stderr
        assert (copied.clouds / "s3" / "eel-hole" / "odd.csv").read_text() == "a,b\n"

    @pytest.mark.parametrize("expected", [True, False])
    def test_allowed(self, copied: Project, *, expected: bool) -> None:
        """It is not told where the configuration allows it, or names no file at all."""
        if expected:
            configure(copied, 'url = "source"\n', f'url = "source"\n{self.EXPECTED}')
            configure(copied, "[layout]\n", '[gates]\nunexpected = "allow"\n[layout]\n')
        (copied.source / "odd.csv").write_text("a,b\n")
        done = copied.run("check", *TONIGHT[1:])

        assert done.returncode == 0, done.stderr
        assert "check warns" not in done.stdout
        assert judged(report_of(copied), "warned") == []


class TestLastRelease:
    """Which release a build is compared with."""

    def test_first_release_has_none(self, tmp_path: Path) -> None:
        """Before the first release there is nothing to compare with, and nothing is told."""
        project = make_project(tmp_path / "project", parquet=1)
        done = project.run("check", *RELEASE[1:])

        assert done.returncode == 0, done.stderr
        assert "warned" not in done.stdout

    @pytest.mark.slow
    def test_rehearsal_is_compared_with_production(self, copied: Project) -> None:
        """A staging run is judged by what readers have, twice over, and writes below staging/ only.

        Were it compared with the rehearsal before, the second would pass.
        """
        remake(copied, energy=2800)
        before = public_snapshot(copied)
        refused = copied.run(*TONIGHT, "staging=1")
        unmoved = public_snapshot(copied)
        accepted = copied.run(*TONIGHT, "staging=1", f"accept={REASON}")
        during = public_snapshot(copied)
        again = copied.run(*TOMORROW, "staging=1")

        assert refused.returncode == 1
        assert f"expected about the 4000 rows of {TAG}, found 2800" in refused.stderr
        assert unmoved == before
        assert accepted.returncode == 0, accepted.stderr
        assert {key: value for key, value in during.items() if "/staging/" not in key} == before
        assert "gcs/staging/nightly/release.json" in during
        assert again.returncode == 1
        assert f"expected about the 4000 rows of {TAG}, found 2800" in again.stderr
        assert public_snapshot(copied) == during

    def test_other_channel_is_none(self, copied: Project) -> None:
        """The first release of another channel is compared with nothing, its second with that."""
        remake(copied, energy=2800)
        first = copied.run("distribute", "tag=v2025.2.5")
        remake(copied, energy=1400)
        second = copied.run("distribute", "tag=v2025.2.6")

        assert first.returncode == 0, first.stderr
        assert "warned" not in first.stdout
        assert second.returncode == 1
        assert "expected about the 2800 rows of v2025.2.5, found 1400" in second.stderr

    @pytest.mark.slow
    def test_older_release_is_compared_with_what_readers_have(self, copied: Project) -> None:
        """An older release, made again, is compared with the moving prefix that it would replace.

        Its own prefix, which is never rewritten, would find it equal to itself.
        """
        remake(copied, energy=2800)
        older = copied.run("distribute", "tag=v2025.2.5")
        remake(copied, energy=4000)
        newer = copied.run("distribute", "tag=v2025.2.6")
        remake(copied, energy=2800)
        again = copied.run("check", "tag=v2025.2.5", "staging=1")

        assert older.returncode == 0, older.stderr
        assert newer.returncode == 0, newer.stderr
        assert again.returncode == 1, again.stdout
        assert "expected about the 4000 rows of v2025.2.6, found 2800" in again.stderr

    def test_each_release_is_compared_with_the_one_before(self, copied: Project) -> None:
        """Small steps are told one by one, each against the release before it."""
        remake(copied, energy=3400)
        first = copied.run(*TONIGHT)
        remake(copied, energy=2900)
        second = copied.run(*TOMORROW)

        assert "found 3400: 15.0 % fewer" in first.stdout
        assert second.returncode == 0, second.stderr
        assert f"expected about the 3400 rows of {NEXT_TAG}, found 2900" in second.stdout

    def test_release_that_readers_have_already(self, copied: Project) -> None:
        """A release made again is judged beside the one before it, never beside itself."""
        remake(copied, energy=2800)
        done = copied.run(*TONIGHT, f"accept={REASON}")
        again = copied.run("check", *TONIGHT[1:], "staging=1")
        accepted = copied.run("check", *TONIGHT[1:], "staging=1", f"accept={REASON}")

        assert done.returncode == 0, done.stderr
        assert again.returncode == 1, again.stdout
        assert f"expected about the 4000 rows of {TAG}, found 2800" in again.stderr
        assert accepted.returncode == 0, accepted.stderr
        assert judged(report_of(copied), "accepted") == [("rows", "energy.sqlite.zip: t")]

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "data", [b"", b"{", b"{}", b"\xff" * 40], ids=["empty", "cut", "another", "noise"]
    )
    def test_unreadable(self, copied: Project, data: bytes) -> None:
        """A last release that cannot be read is told in one line with its place, and replaced."""
        for path in copied.clouds.glob("*/*/release.json"):
            path.write_bytes(data)
        checked = copied.run("check", *TONIGHT[1:])
        done = copied.run(*TONIGHT)
        verified = copied.run("verify", *TONIGHT[1:])

        assert checked.returncode == 0, checked.stdout + checked.stderr
        (line,) = lines_with(checked.stdout, "check warns: last release: expected to compare")
        assert "clouds/gcs/nightly/release.json: expected a manifest" in line
        assert judged(report_of(copied), "warned") == [("last_release", "nightly")]
        assert done.returncode == 0, done.stdout + done.stderr
        assert verified.returncode == 0, verified.stderr


class TestPacking:
    """A database whose packing takes a moment, and is cut."""

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "stood",
        [pytest.param(False, id="first"), pytest.param(True, id="again")],
    )
    def test_killed(self, tmp_path: Path, large_database: Path, *, stood: bool) -> None:
        """Killed while it packs, no half of an archive has its name; the next run finishes."""
        config = CONFIG.replace("[prepare.sqlite]\n", '[prepare.sqlite]\nlevel = "small"\n')
        project = make_project(tmp_path / "project", parquet=1, config=config)
        archives = project.work / "archives"
        if stood:
            assert project.run("compress_sqlite", f"tag={TAG}").returncode == 0
        before = snapshot(archives, leave_out=("weather", "parquet")) if stood else {}
        shutil.copyfile(large_database, project.source / "energy.sqlite")
        process = project.start("-n", "1", "compress_sqlite:energy.sqlite", *RELEASE[1:])
        part, end = archives / ".energy.sqlite.zip.part", time.monotonic() + KILL_WITHIN_S
        while process.poll() is None and time.monotonic() < end:
            if part.exists() and part.stat().st_size > 1_000_000:
                break
        end_group(process, signal.SIGKILL)

        assert process.returncode == -signal.SIGKILL
        assert part.exists()
        leave_out = (".part", "weather", "parquet")
        assert snapshot(archives, leave_out=leave_out) == before
        done = project.run(*RELEASE)
        assert done.returncode == 0, done.stdout + done.stderr
        assert list(project.work.rglob("*.part")) == []
        with zipfile.ZipFile(project.clouds / "gcs" / "nightly" / "energy.sqlite.zip") as archive:
            (entry,) = archive.infolist()
            assert entry.file_size == large_database.stat().st_size
            assert archive.testzip() is None

    @pytest.mark.slow
    @pytest.mark.usefixtures("namespace")
    def test_full_disk(self, tmp_path: Path) -> None:
        """A disk that fills while packing is told in one line; the old archive stays as it was."""
        project = make_project(tmp_path / "project", parquet=1)
        larger = tmp_path / "larger.sqlite"
        make_database(larger, 4000)
        with closing(sqlite3.connect(larger)) as connection:
            connection.execute("create table noise as select randomblob(900000) as b")
            connection.commit()
        script = (
            "mkdir build && mount -t tmpfs -o size=700k none build\n"
            f"{DOIT} {' '.join(RELEASE)}\n"
            "sha256sum build/archives/energy.sqlite.zip* >before\n"
            f"cp {larger} source/energy.sqlite\n"
            f"code=0; {DOIT} {' '.join(TONIGHT)} || code=$?\n"
            "sha256sum -c before; find build -name '*.part'; exit $code"
        )
        done = in_namespace(script, project.folder)
        failed = list(lines_with(done.stderr, "failed: "))

        assert done.returncode == 1, done.stdout + done.stderr
        assert len(failed) == 1, done.stderr
        assert failed[0].startswith("compress_sqlite:energy.sqlite failed: energy.sqlite.zip: ")
        assert failed[0].endswith("got 'No space left on device'")
        assert "build/archives/energy.sqlite.zip: OK" in done.stdout
        assert "build/archives/energy.sqlite.zip.receipt.json: OK" in done.stdout
        assert ".part" not in done.stdout


def in_namespace(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
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
        probe = in_namespace("mkdir m && mount -t tmpfs none m", tmp_path)
    except FileNotFoundError:
        pytest.skip("no unshare on this machine")
    if probe.returncode:
        pytest.skip(f"this machine does not allow mounts: {probe.stderr.strip()}")


class TestEntryTime:
    """The time of the files inside archives."""

    @pytest.fixture
    def tagged(self, tmp_path: Path) -> Project:
        """A project in a git repository that knows the tag, with the commit's time asked for."""
        asked = '[prepare]\nentry_time = "commit"\n[prepare.sqlite]\n'
        config = CONFIG.replace("[prepare.sqlite]\n", asked)
        project = make_project(tmp_path / "project", parquet=1, config=config)
        who = {
            f"GIT_{role}_{what}": value
            for role in ("AUTHOR", "COMMITTER")
            for what, value in (
                ("NAME", "a"),
                ("EMAIL", "a@b.c"),
                ("DATE", "2025-02-05T03:30:20+0545"),
            )
        }
        for arguments in (
            ["init", "-q"],
            ["commit", "-q", "--allow-empty", "-m", "x"],
            ["tag", TAG],
        ):
            subprocess.run(
                ["git", *arguments], cwd=project.folder, env=project.environment(who), check=True
            )
        return project

    def times(self, project: Project) -> set[tuple[int, ...]]:
        """Return the times of all entries of all archives that were made."""
        found: set[tuple[int, ...]] = set()
        for path in (project.work / "archives").glob("*.zip"):
            with zipfile.ZipFile(path) as archive:
                found |= {entry.date_time for entry in archive.infolist()}
        return found

    def test_commit(self, tagged: Project) -> None:
        """Entries carry the time of the tag's commit in UTC, whatever zone is set."""
        done = tagged.run("manifest", f"tag={TAG}", environment=KATHMANDU)
        made = self.times(tagged)
        again = tagged.run("manifest", f"tag={TAG}", environment={"TZ": "UTC"})

        assert done.returncode == 0, done.stdout + done.stderr
        assert made == {(2025, 2, 4, 21, 45, 20)}
        assert "nothing to do" in again.stdout

    def test_default_is_fixed(self, tagged: Project) -> None:
        """Where nothing is asked for, the time is the first that a zip can tell."""
        configure(tagged, 'entry_time = "commit"', "")
        assert tagged.run("manifest", f"tag={TAG}", environment=KATHMANDU).returncode == 0
        assert self.times(tagged) == {(1980, 1, 1, 0, 0, 0)}

    @pytest.mark.slow
    def test_source_date_epoch_wins(self, tagged: Project) -> None:
        """SOURCE_DATE_EPOCH beats the commit's time."""
        environment = {**KATHMANDU, "SOURCE_DATE_EPOCH": "1700000000"}
        done = tagged.run("manifest", f"tag={TAG}", environment=environment)

        assert done.returncode == 0, done.stderr
        assert self.times(tagged) == {(2023, 11, 14, 22, 13, 20)}

    def test_unknown_tag(self, tagged: Project) -> None:
        """A tag that the repository does not know is told in one line, with what to do."""
        done = tagged.run("manifest", f"tag={NEXT_TAG}")
        planned = tagged.run("plan", f"tag={NEXT_TAG}")
        failed = {line.partition(" failed: ")[2] for line in lines_with(done.stderr, "failed: ")}
        said = f"prepare.entry_time: expected the tag {NEXT_TAG} in {tagged.folder}, found none"

        assert done.returncode == 1
        assert failed == {f"{said}; fetch the tags (`git fetch --tags`), or leave entry_time out"}
        assert "Traceback" not in done.stdout + done.stderr
        assert planned.returncode == 1
        assert said in planned.stderr
        assert list((tagged.work).rglob("*.zip")) == []
