"""Versions of a project, as its source shows them: which there are, and which are ready.

No file is opened and none is digested: a version is ready once its success marker stands.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from re import findall, fullmatch
from typing import Literal

from lading.config import Config
from lading.config.problems import nearest
from lading.errors import SourceError, UsageError
from lading.release.environments import check_channel, has_roots, is_safe
from lading.release.names import resolve_release
from lading.storage.open import local_path
from lading.storage.source import has_remote, list_folders

_TAG = "{tag}"


@dataclass(frozen=True, slots=True)
class SourceVersion:
    """One version of a project, as its source shows it."""

    version: str
    """Its name: what takes the place of ``{tag}`` in ``source.url``."""
    state: Literal["draft", "ready"]
    """Whether it may be published."""
    detail: str = ""
    """What a draft lacks, or ""."""
    stands: bool = True
    """Whether anything of it is there."""


def list_versions(config: Config, base: Path) -> tuple[SourceVersion, ...]:
    """List the versions that stand at the source, sorted by name as people count.

    Only names that fit a channel are versions. Where the last segment of ``source.url`` is not
    ``{tag}``, versions cannot be listed and there are none.

    Args:
        config: the configuration.
        base: its folder.

    Raises:
        SourceError: the source cannot be read.
    """
    found: dict[str, SourceVersion] = {}
    for channel, each in config.channels.items():
        url = config.source.url.replace("{channel}", channel)
        place, _, last = url.rstrip("/").rpartition("/")
        if last != _TAG or _TAG in place:
            continue
        for name in _folders(config, base, place or "."):
            if name not in found and is_safe(name) and fullmatch(each.tag, name):
                found[name] = _look(config, base, url.replace(_TAG, name), name)
    return tuple(found[name] for name in sorted(found, key=_count))


def see_version(config: Config, base: Path, environment: str, version: str) -> SourceVersion:
    """Say how a version stands that is to be published to an environment.

    Args:
        config: the configuration.
        base: its folder.
        environment: the environment: name of a channel that has a root.
        version: the version.

    Raises:
        UsageError: there is no such environment, or the version does not fit it.
        SourceError: the source cannot be read.
    """
    if not has_roots(config):
        raise UsageError(
            "environment: expected a project whose channels have a root, got one without"
        )
    check_channel(config, environment)
    release = resolve_release(config, environment, version, staging=False)
    return _look(config, base, release.source_url, version)


def look_at_version(config: Config, base: Path, environment: str, version: str) -> SourceVersion:
    """Return a version that may be published to an environment.

    Args:
        config: the configuration.
        base: its folder.
        environment: the environment: name of a channel that has a root.
        version: the version.

    Raises:
        UsageError: there is no such environment, or the version does not fit it.
        SourceError: it is not ready; the message says why.
    """
    found = see_version(config, base, environment, version)
    if found.state != "ready":
        near = [each.version for each in list_versions(config, base) if each.state == "ready"]
        raise SourceError(
            f"version {version}: expected a version that is ready, found {found.detail}"
            + nearest(version, near)
        )
    return found


def _folders(config: Config, base: Path, url: str) -> Iterable[str]:
    folder = local_path(url, base)
    if folder is None:
        return list_folders(url, config.source.options)
    try:
        return [each.name for each in folder.iterdir() if each.is_dir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SourceError(
            f"source.url: expected a readable folder {url}, got {error.strerror!r}"
        ) from error


def _look(config: Config, base: Path, url: str, version: str) -> SourceVersion:
    marker = config.source.success_marker
    folder = local_path(url, base)
    if folder is not None:
        stands, is_marked = folder.is_dir(), not marker or (folder / marker).is_file()
    else:
        options = config.source.options
        is_marked = has_remote(f"{url.rstrip('/')}/{marker}", options) if marker else True
        stands = (bool(marker) and is_marked) or has_remote(url, options)
    if not stands:
        return SourceVersion(version, "draft", f"nothing at {url}", stands=False)
    if not is_marked:
        return SourceVersion(version, "draft", f"no {marker} at {url}: it has not ended well")
    return SourceVersion(version, "ready")


def _count(version: str) -> list[tuple[int, str]]:
    """Sort v2 before v10: numbers as numbers, all else as text."""
    parts = findall(r"[0-9]+|[^0-9]+", version)
    return [(int(each), "") if each.isdecimal() else (-1, each) for each in parts]
