"""What one command line means: variables, configuration, release, folders. Made once."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import doit
import doit.doit_cmd
from doit.exceptions import InvalidTask

from lading.config import Config, load_config
from lading.errors import LadingError, SourceError, UsageError
from lading.prepare.build import list_build
from lading.prepare.digests import DigestCache
from lading.release.environments import root_of
from lading.release.layout import Layout, SourceFile, plan_layout
from lading.release.names import (
    Release,
    ReleaseDestination,
    release_folder,
    resolve_channel,
    resolve_release,
)
from lading.release.stored import StoredAsset, parse_stored
from lading.storage import Store, open_store
from lading.storage.open import local_path
from lading.storage.source import is_listing_of, load_listing
from lading.tasks.variables import KNOWN, Variables, name_release, parse_variables


@dataclass(frozen=True)
class Session:
    """Everything that the tasks of one command line share."""

    base: Path
    """Folder of the configuration: relative paths start here."""
    config: Config
    """The configuration."""
    variables: Variables
    """What was asked for."""
    release: Release | None
    """The release, or None where no tag was given."""
    config_name: str = "lading.toml"
    """Name of the configuration's file in that folder."""

    @property
    def work(self) -> Path:
        """Folder of everything that Lading makes on this machine."""
        return self.base / self.config.work

    @property
    def archives(self) -> Path:
        """Folder of the archives; shared by all releases, since unchanged ones are kept."""
        return self.work / "archives"

    @property
    def snapshots(self) -> Path:
        """Folder of snapshots of databases that were left open, while they are needed."""
        return self.work / "snapshots"

    @property
    def folder(self) -> Path:
        """Folder of this release: listing, check report, manifest."""
        if self.release is None:
            return self.work / "releases" / "none"
        return release_folder(self.work, self.release.channel, self.release.tag)

    @property
    def run_folder(self) -> Path:
        """Folder of this release in this environment: receipts, state, logs."""
        return self.folder / (self.release.environment if self.release else "none")

    @property
    def source_url(self) -> str:
        """Path or URL of the build."""
        return self.release.source_url if self.release else self.config.source.url

    @property
    def is_remote(self) -> bool:
        """Whether the build has to be fetched."""
        return local_path(self.source_url, self.base) is None

    @cached_property
    def awaits_listing(self) -> bool:
        """Whether, when first asked, the files of the build were yet to be learned by fetching."""
        return self.is_remote and not self.has_listing

    @property
    def has_listing(self) -> bool:
        """Whether the files of this build, and not of another source, were fetched once."""
        return is_listing_of(self.listing_path, self.source_url)

    @property
    def calls_folder(self) -> Path:
        """Folder of what calls to the outside have begun, for the same command to go on."""
        return self.run_folder / "calls"

    @property
    def repository(self) -> Path:
        """The git repository that the tags belong to."""
        return self.base / self.config.project.repository

    @property
    def doi_path(self) -> Path:
        """Where the DOI that was reserved for this release stands."""
        return self.run_folder / "doi.json"

    @property
    def listing_path(self) -> Path:
        """Where the frozen listing of a fetched build stands."""
        return self.folder / "inputs.json"

    @property
    def build(self) -> Path:
        """Folder of the build on this machine."""
        return local_path(self.source_url, self.base) or self.folder / "build"

    @property
    def report_path(self) -> Path:
        """Where the report of ``check`` is made."""
        return self.folder / "check.json"

    @property
    def manifest_path(self) -> Path:
        """Where ``release.json`` is made."""
        return self.folder / "release.json"

    @cached_property
    def cache(self) -> DigestCache:
        """The digests of local files."""
        return DigestCache(self.work / "digests.sqlite")

    @cached_property
    def files(self) -> tuple[SourceFile, ...]:
        """The files of the build.

        Raises:
            SourceError: see ``list_build`` and ``load_listing``.
        """
        return load_listing(self.listing_path) if self.is_remote else list_build(self.build)

    @cached_property
    def layout(self) -> Layout:
        """What ships under which key.

        Raises:
            SourceError, LayoutError: see ``plan_layout`` and ``parse_stored``.
        """
        version = self.release.tag if self.release else ""
        return plan_layout(self.config, self.files, version=version, stored=self.stored)

    @cached_property
    def stored(self) -> tuple[StoredAsset, ...]:
        """The assets of the version that stand in storage already, as its list names them.

        Raises:
            SourceError: see ``parse_stored``.
        """
        name = self.config.publish.stored
        if not name or not any(each.path == name for each in self.files):
            return ()
        try:
            return parse_stored((self.build / name).read_bytes(), name)
        except OSError as error:
            raise SourceError(
                f"{name}: expected a readable file, got {error.strerror!r}"
            ) from error

    @cached_property
    def layout_or_none(self) -> Layout | None:
        """The layout, or None where the build cannot be read: then the tasks say why."""
        try:
            return self.layout
        except LadingError:
            return None

    @property
    def root(self) -> str:
        """Root of this run inside every destination; "" where no environment was named."""
        return root_of(self.config, self.channel, staging=bool(self.variables.staging))

    @property
    def channel(self) -> str:
        """Name of the channel that was asked for, or ""."""
        return self.release.channel if self.release else self.variables.type

    def destinations(self) -> list[ReleaseDestination]:
        """Return the destinations of this release, or, without a tag, those of every channel."""
        if self.release is not None:
            return list(self.release.destinations)
        staging = bool(self.variables.staging)
        return [
            replace(each, prefixes=())
            for channel in self.config.channels
            for each in resolve_channel(self.config, channel, staging=staging)
        ]

    def store(self, destination: ReleaseDestination) -> Store:
        """Open the store of a destination's public objects, guarded in staging."""
        return self._open(destination.name, destination.url, destination.root)

    def depot(self, destination: ReleaseDestination) -> Store:
        """Open the store of a destination's depot, guarded in staging."""
        return self._open(destination.name, destination.depot_url, destination.root)

    def places(self, root: str) -> dict[str, Store]:
        """Open every place of every destination by URL, guarded where ``root`` is not "".

        Depots that stand elsewhere are places too.
        """
        return {
            url: self._open(name, url, root)
            for name, each in self.config.destinations.items()
            for url in (each.url, each.depot)
            if url
        }

    def _open(self, name: str, url: str, root: str) -> Store:
        return open_store(
            url,
            self.base,
            root=root,
            options=self.config.destinations[name],
            sessions=self.run_folder / "sessions",
        )


def open_session(given: Mapping[str, str], folder: Path) -> Session:
    """Make a session of a command line.

    Args:
        given: the variables as doit read them.
        folder: where to look for the configuration.

    Raises:
        UsageError, ConfigError: with every problem in it.
    """
    loaded = load_config(folder, given.get("config", ""), given.get("source", ""))
    variables = name_release(parse_variables(given, loaded.config.variables), loaded.config)
    release, staging = None, bool(variables.staging)
    if variables.tag:
        release = resolve_release(loaded.config, variables.type, variables.tag, staging=staging)
    elif variables.type:
        resolve_channel(loaded.config, variables.type, staging=staging)  # says what is wrong
    return Session(loaded.base, loaded.config, variables, release, loaded.path.name)


@cache
def current() -> Session:
    """Return the session of this process's command line.

    Raises:
        InvalidTask: one line, exit code 3 under every doit command.
    """
    try:
        return open_session(_given_variables(), Path.cwd())
    except UsageError as error:
        raise InvalidTask(str(error)) from error


def _given_variables() -> dict[str, str]:
    names = [each.partition("=")[0] for each in sys.argv[1:] if "=" in each]
    twice = [name for name in KNOWN if names.count(name) > 1]
    if twice:
        raise UsageError(f"{twice[0]}: expected one value, got {names.count(twice[0])}")
    # doit has no public way to list the names given; None before doit has read them
    return dict(getattr(doit.doit_cmd, "_CMDLINE_VARS", None) or {})
