"""How a ledger's schema comes to be, and what becomes of older and newer ones."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text

from lading.errors import LedgerVersionError
from lading.ledger import read
from lading.ledger.engines import WRITES, make_engine
from lading.ledger.faults import parse_url
from lading.ledger.ledger import open_ledger
from lading.ledger.migrate import (
    NEW_SQLITE,
    REVISIONS,
    SCRIPTS,
    VERSION_TABLE,
    render_new_sqlite,
    upgrade,
)
from lading.ledger.tables import METADATA
from lading.ledger.views import VIEWS
from tests.unit.ledger.bad_media import open_folder, read_only
from tests.unit.ledger.made_rows import begin

_NEWER = '''
"""A step that this Lading does not know."""

from alembic import op
from sqlalchemy import Column, Text

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add what only a newer Lading reads."""
    op.add_column("runs", Column("weather", Text))
'''

_OPEN = """
import sys
from lading.ledger.ledger import open_ledger
from lading.ledger.migrate import upgrade
import alembic.command
print("ready", flush=True)
sys.stdin.readline()
open_ledger(sys.argv[1], timeout_s=30).close()
print("open", flush=True)
"""

_STOP_IN_THE_MIDST = """
import sys
from lading.ledger.engines import WRITES, make_engine
from lading.ledger.faults import parse_url
from lading.ledger.migrate import upgrade
engine = make_engine(parse_url(sys.argv[1]), 10)
with engine.connect().execution_options(**{WRITES: True}) as connection, connection.begin():
    upgrade(connection)
    print("in the midst", flush=True)
    sys.stdin.readline()
"""


def migrate(url: str, revision: str, scripts: Path = SCRIPTS) -> None:
    """Bring a database to a schema, as a Lading of that time did."""
    engine = make_engine(parse_url(url), 10.0)
    with engine.connect().execution_options(**{WRITES: True}) as connection, connection.begin():
        upgrade(connection, revision, scripts)
    engine.dispose()


def revision_of(url: str) -> str:
    """Return the schema that a database says it has."""
    engine = make_engine(parse_url(url), 10.0)
    with engine.begin() as connection:
        found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one()
    engine.dispose()
    return str(found)


@pytest.fixture
def started() -> Iterator[list["subprocess.Popen[str]"]]:
    """Give a list of processes that are ended in any case."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for each in processes:
        each.kill()
        each.communicate(timeout=30)


def start(code: str, url: str) -> "subprocess.Popen[str]":
    """Start Python, and wait until it says that it is as far as it is to be."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert stream(process.stdout).readline(), stream(process.stderr).read()
    return process


def stream(found: IO[str] | None) -> IO[str]:
    """Return a stream that is there."""
    assert found is not None
    return found


def test_tables_are_what_migrations_make(empty_url: str) -> None:
    """Who changes ``tables.py`` writes a migration: columns, types, keys and indexes agree."""
    ledger = open_ledger(empty_url)
    # Alembic cannot compare an empty default in SQLite; both are made by the same file
    is_server = empty_url.startswith("postgresql")
    options = {"version_table": VERSION_TABLE, "compare_server_default": is_server}
    with ledger.writing() as connection:
        context = MigrationContext.configure(connection, opts=options)
        differences = compare_metadata(context, METADATA)
        views = set(inspect(connection).get_view_names())
    ledger.close()
    assert not differences
    assert views == {each.name for each in VIEWS}


def test_a_new_file_is_what_migrations_make(tmp_path: Path) -> None:
    """What an empty SQLite file gets at once is what all migrations make of one.

    To write it anew: ``NEW_SQLITE.write_text(render_new_sqlite(connection))``.
    """
    engine = create_engine(f"sqlite:///{tmp_path / 'migrated.db'}")
    with engine.begin() as connection:
        upgrade(connection)
        made = render_new_sqlite(connection)
    engine.dispose()
    kept = NEW_SQLITE.read_text(encoding="utf-8")
    # indexes of a table are made in any order
    assert sorted(made.split(";\n\n")) == sorted(kept.split(";\n\n"))
    assert f"'{REVISIONS[-1]}'" in made


def test_a_new_file_does_not_need_alembic(tmp_path: Path) -> None:
    """A first release in a folder makes its ledger without an import that takes 0.3 s."""
    code = (
        "import sys; from lading.ledger.ledger import open_ledger;"
        " open_ledger(sys.argv[1]).close(); sys.exit('alembic' in sys.modules)"
    )
    url = f"sqlite:///{tmp_path / 'new.db'}"
    done = subprocess.run([sys.executable, "-c", code, url], timeout=60, check=False)
    assert done.returncode == 0


def test_known_revisions_are_the_files_in_their_order() -> None:
    """The fast path knows each migration, without Alembic."""
    settings = Config()
    settings.set_main_option("script_location", str(SCRIPTS))
    found = [each.revision for each in ScriptDirectory.from_config(settings).walk_revisions()]
    assert tuple(reversed(found)) == REVISIONS


def test_open_ledger_does_not_need_alembic(sqlite_url: str) -> None:
    """A ledger whose schema fits is opened without an import that takes 0.3 s."""
    code = (
        "import sys; from lading.ledger.ledger import open_ledger;"
        " open_ledger(sys.argv[1]).close(); sys.exit('alembic' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, sqlite_url], timeout=60, check=True)


@pytest.mark.parametrize("is_for_writing", [True, False], ids=["writer", "reader"])
def test_older_ledger_is_upgraded_in_place(empty_url: str, is_for_writing: bool) -> None:  # noqa: FBT001
    """A ledger of the first schema keeps its rows, and gets the views that it lacks."""
    migrate(empty_url, "0001")
    engine = make_engine(parse_url(empty_url), 10.0)
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO projects (slug, title, created_at) VALUES ('old', 'Old', :at)"),
            {"at": "2025-02-05T20:30:12.345678Z"},
        )
    engine.dispose()
    ledger = open_ledger(empty_url, is_for_writing=is_for_writing)
    assert [each.slug for each in read.list_projects(ledger)] == ["old"]
    with ledger.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM overview")).scalar() == 0
    ledger.close()
    assert revision_of(empty_url) == REVISIONS[-1]


def test_older_ledger_that_cannot_be_written_is_read() -> None:
    """A reader of a read-only disk takes an older schema as it is."""
    with open_folder() as folder:
        url = f"sqlite:///{folder}/ledger.db"
        migrate(url, "0001")
        with read_only(folder):
            reader = open_ledger(url, is_for_writing=False)
            assert read.list_runs(reader).total == 0
            reader.close()
        assert revision_of(url) == "0001"


@pytest.mark.parametrize("is_for_writing", [True, False], ids=["writer", "reader"])
def test_newer_ledger_is_refused_and_left_alone(
    empty_url: str,
    tmp_path: Path,
    is_for_writing: bool,  # noqa: FBT001
) -> None:
    """A ledger that a newer Lading made is named with both schemas, and what to do."""
    scripts = tmp_path / "migrations"
    shutil.copytree(SCRIPTS, scripts)
    (scripts / "versions" / "v0003_weather.py").write_text(_NEWER, encoding="utf-8")
    migrate(empty_url, "head", scripts)
    with pytest.raises(LedgerVersionError) as caught:
        open_ledger(empty_url, is_for_writing=is_for_writing)
    assert re.fullmatch(
        r"ledger \S+: expected schema 0002 or older, found '0003';"
        r" upgrade Lading on this machine",
        str(caught.value),
    )
    assert revision_of(empty_url) == "0003"


def test_processes_that_open_an_empty_ledger_at_once_all_succeed(
    empty_url: str, started: list["subprocess.Popen[str]"]
) -> None:
    """One of them makes the schema; the others wait for it."""
    started.extend(start(_OPEN, empty_url) for _ in range(2))
    for each in started:
        stream(each.stdin).write("go\n")
        stream(each.stdin).flush()
    for each in started:
        assert stream(each.stdout).readline() == "open\n", stream(each.stderr).read()
    assert revision_of(empty_url) == REVISIONS[-1]


def test_kill_in_the_midst_of_a_migration_leaves_what_there_was(
    empty_url: str, started: list["subprocess.Popen[str]"]
) -> None:
    """A process that is killed before it is done leaves no half of a schema, and nobody waits."""
    started.append(start(_STOP_IN_THE_MIDST, empty_url))
    started[0].kill()
    started[0].wait(30)
    ledger = open_ledger(empty_url, timeout_s=20.0)
    begin(ledger)
    assert read.list_runs(ledger).total == 1
    ledger.close()
