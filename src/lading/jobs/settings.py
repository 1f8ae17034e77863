"""What a run knows of its project: the configuration, or its defaults where there is none."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lading.config import Config, Destination, load_config
from lading.config.jobs import Jobs
from lading.config.load import has_config
from lading.errors import ConfigError, MisconfiguredError
from lading.storage import Store, open_store
from lading.storage.open import local_path

CONFIG_VARIABLE = "LADING_CONFIG"
"""Variable that names a configuration in the place of the ``lading.toml`` of a folder."""
_WORK = "build"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """Settings of jobs, as they stand in a project."""

    base: Path
    """The project's folder: relative paths start here, and packages are looked for."""
    project: str = "jobs"
    """Name of the project: the namespace of its jobs in the audit trail."""
    work: str = _WORK
    """Folder of everything made on this machine, from ``base``."""
    jobs: Jobs = field(default_factory=Jobs)
    """``[jobs]`` of the configuration."""
    destinations: Mapping[str, Destination] = field(default_factory=dict)
    """How clouds are reached."""
    config_path: Path | None = None
    """The configuration, absolute; None where there is none."""

    @property
    def stores(self) -> tuple[str, ...]:
        """URLs of the places that remember; the first is that of plans."""
        return self.jobs.stores or (f"{self.work}/jobs",)

    def state_store(self, url: str) -> str:
        """Return where a job that writes to a URL keeps what it remembers.

        It is the one of ``stores`` that holds the URL, the longest; else the bucket itself; else,
        on this machine, the folder. However a folder is written, it is the same.
        """
        place = self._place(url)
        holding = [each for each in self.stores if _holds(self._place(each), place)]
        if holding:
            return max(holding, key=len)
        scheme, separator, rest = url.partition("://")
        if not separator or scheme == "file":
            return url
        return f"{scheme}://{rest.partition('/')[0]}"

    def open_store(self, url: str) -> Store:
        """Open the store of a path or URL; a bare name of a bucket is none of both.

        Raises:
            MisconfiguredError: no store for this kind of URL, or it cannot be set up.
        """
        options = next((each for each in self.destinations.values() if _holds(each.url, url)), None)
        return open_store(url, self.base, options=options)

    def _place(self, url: str) -> str:
        folder = local_path(url, self.base)
        return url if folder is None else os.path.normpath(folder)


def _holds(outer: str, url: str) -> bool:
    return f"{url.rstrip('/')}/".startswith(f"{outer.rstrip('/')}/")


def settings_here(name: str = "") -> JobSettings:
    """Load the settings of the project in the working folder, as every command has them.

    Args:
        name: path of another configuration; "": the one that ``LADING_CONFIG`` names, if any.

    Raises:
        MisconfiguredError: as ``load_settings``.
    """
    return load_settings(Path.cwd(), name or os.environ.get(CONFIG_VARIABLE, ""))


def load_settings(folder: Path, name: str = "") -> JobSettings:
    """Load the settings of the project in a folder.

    Args:
        folder: where to look for a ``lading.toml``; without one, defaults hold.
        name: path of another configuration, or "".

    Raises:
        MisconfiguredError: the configuration has problems: all of them at once.
    """
    try:
        if not name and not has_config(folder):
            return JobSettings(base=folder.resolve())
        loaded = load_config(folder, name)
    except ConfigError as error:
        raise MisconfiguredError(str(error)) from error
    return settings_of(loaded.config, loaded.path)


def settings_of(config: Config, path: Path) -> JobSettings:
    """Return the settings that a configuration gives."""
    return JobSettings(
        base=path.parent,
        config_path=path,
        project=config.project.name,
        work=config.work,
        jobs=config.jobs or Jobs(),
        destinations=config.destinations,
    )
