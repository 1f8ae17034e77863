"""What a server serves: its projects, its ledger, its limits."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lading.config import Config, LoadedConfig, load_config
from lading.config.ledger import Web
from lading.errors import ConfigError
from lading.ledger.names import ledger_url


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectHere:
    """One project on this machine."""

    slug: str
    """Its name in URLs: ``project.name`` of its configuration."""
    folder: Path
    """Folder of its lading.toml and dodo.py, absolute."""
    config: Config
    """Its configuration."""

    @property
    def environments(self) -> tuple[str, ...]:
        """The environments that it can be published to: its channels that have a root."""
        return tuple(name for name, each in self.config.channels.items() if each.root)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """All that a server needs to know."""

    base: Path
    """Folder that it was started for, absolute."""
    work: Path
    """Folder of its ledger, locks and logs of workers."""
    url: str
    """URL of the ledger; may hold a password."""
    web: Web
    """Limits and the like."""
    projects: Mapping[str, ProjectHere]
    """Its projects by slug."""


def load_served(folder: Path, config_name: str = "") -> Served:
    """Load what a server serves from the configuration of a folder.

    Its ledger is that of the folder, whatever its projects write of their own.

    Args:
        folder: where the configuration stands.
        config_name: path of its file from there; "" for the usual ones.

    Raises:
        ConfigError: of any project, all problems at once; two projects of one name.
    """
    loaded = load_config(folder, config_name)
    web, work = loaded.config.web, loaded.base / loaded.config.work
    found: list[tuple[str, ProjectHere]] = []
    problems: list[str] = []
    for number, name in enumerate(web.projects):
        place = f"web.projects[{number}]"
        try:
            found.append((place, _load_project(loaded, name)))
        except ConfigError as error:
            problems += [f"{place} ({name}): {each}" for each in error.problems]
    problems += _find_doubles(found)
    if problems:
        raise ConfigError(problems)
    return Served(
        base=loaded.base,
        work=work,
        url=ledger_url(loaded.config.ledger, work, os.environ),
        web=web,
        projects={each.slug: each for _, each in found},
    )


def _load_project(serving: LoadedConfig, name: str) -> ProjectHere:
    folder = (serving.base / name).resolve()
    loaded = serving if folder == serving.base else load_config(folder)
    return ProjectHere(slug=loaded.config.project.name, folder=folder, config=loaded.config)


def _find_doubles(found: list[tuple[str, ProjectHere]]) -> list[str]:
    first: dict[str, tuple[str, Path]] = {}
    problems = []
    for place, project in found:
        other, folder = first.setdefault(project.slug, (place, project.folder))
        if other != place:
            problems.append(
                f"{place}: expected a project.name of its own, got {project.slug!r} in"
                f" {project.folder}, which {other} has in {folder}"
            )
    return problems
