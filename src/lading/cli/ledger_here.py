"""The ledger of the project in this folder, opened for a command."""

import argparse
import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lading.config.load import LoadedConfig, load_config
from lading.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lading.ledger.ledger import Ledger
    from lading.ledger.read import RunFilter

TIMES = "Times are UTC."
"""What each command says of the times that it shows."""
_FILE = "sqlite:///"


@dataclass(frozen=True, slots=True)
class Place:
    """A project, and where its ledger is to stand."""

    loaded: LoadedConfig
    """Its configuration."""
    url: str
    """URL of the ledger; may hold a password."""

    @property
    def work(self) -> Path:
        """Folder of everything that Lading makes on this machine."""
        return self.loaded.base / self.loaded.config.work

    @property
    def file(self) -> Path | None:
        """The file that the ledger stands in; None of a server's."""
        return Path(self.url.removeprefix(_FILE)) if self.url.startswith(_FILE) else None


def add_config(parser: Any) -> None:
    """Add the option that names another configuration."""
    parser.add_argument(
        "--config",
        default="",
        metavar="FILE",
        help="configuration in the place of lading.toml",
    )


def add_filters(parser: Any) -> None:
    """Add the options that say which runs are meant."""
    parser.add_argument("--project", default="", metavar="NAME", help="of this project alone")
    parser.add_argument("--channel", default="", metavar="NAME", help="of this channel alone")
    parser.add_argument(
        "--environment",
        default="",
        metavar="NAME",
        help="of this environment alone: production, staging, or a channel that has a root",
    )


def add_run_name(parser: Any) -> None:
    """Add the run that a command is about."""
    parser.add_argument(
        "run",
        nargs="?",
        default="",
        metavar="RUN",
        help="name of a run, or its beginning [default: the newest]; `lading history` shows them",
    )


def place_here(options: argparse.Namespace) -> Place:
    """Find out where the ledger of this folder's project stands.

    Raises:
        ConfigError: of the configuration, all problems at once.
        LedgerError: the configuration wants no ledger.
    """
    from lading.ledger.names import ledger_url  # noqa: PLC0415  bare commands need no ledger

    loaded = load_config(Path.cwd(), options.config)
    config = loaded.config
    if not config.ledger.enabled:
        raise LedgerError(
            f"{loaded.path.name}: ledger.enabled: expected true, got false; runs are not recorded"
        )
    return Place(loaded, ledger_url(config.ledger, loaded.base / config.work, os.environ))


@contextmanager
def opened(place: Place, *, is_for_writing: bool = False) -> "Iterator[Ledger]":
    """Open a ledger, and close it.

    Raises:
        LedgerError: there is none yet, or it cannot be opened.
    """
    if not is_for_writing and place.file is not None and not place.file.exists():
        raise LedgerError(f"ledger: expected {place.file}, found none", hint="a release writes it")
    from lading.ledger.ledger import open_ledger  # noqa: PLC0415  SQLAlchemy: 0.3 s

    ledger = open_ledger(place.url, is_for_writing=is_for_writing)
    try:
        yield ledger
    finally:
        ledger.close()


def filter_of(options: argparse.Namespace, **more: Any) -> "RunFilter":
    """Return which runs the options mean."""
    from lading.ledger.read import RunFilter  # noqa: PLC0415  as above

    return RunFilter(
        project=options.project,
        channel=options.channel,
        environment=options.environment,
        **more,
    )
