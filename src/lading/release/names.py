"""From (configuration, type, tag, staging) to every name that a run will use.

Whether a run is a staging run is decided here and nowhere else: the rest of the code
gets roots, prefixes and calls in which the answer already stands.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from lading.config.models import Channel, Config, Destination
from lading.config.rules import is_nested
from lading.config.values import RESERVED_PREFIXES
from lading.errors import UsageError
from lading.release.environments import (
    Environment,
    check_channel,
    environment_of,
    find_channel,
    has_roots,
)

CONTROL = ".lading/"


@dataclass(frozen=True, slots=True)
class Prefix:
    """One public prefix at one destination."""

    destination: str
    """Name of the destination."""
    name: str
    """The prefix as people say it, e.g. ``nightly``."""
    root: str
    """Root of this run inside the destination: ``""``, ``"staging/"``, or the channel's own."""
    immutable: bool
    """Whether its objects may never be replaced."""
    cache_control: str = "no-cache"
    """How long caches may keep its objects."""
    owned: bool = False
    """Whether all that stands below it is Lading's, so that what it did not put there goes."""
    held: bool = False
    """Whether the channel asks for a hold on its objects."""
    is_staging: bool = False
    """Whether it is written by a staging run."""

    @property
    def hold_skipped(self) -> str:
        """Why this run holds nothing below it though the channel asks for it, or ``""``."""
        return "staging" if self.is_staging else ""

    @property
    def task(self) -> str:
        """The name after the colon in ``promote:<destination>-<prefix>``."""
        return f"{self.destination}-{self.name}"

    @property
    def key_prefix(self) -> str:
        """What every key of the prefix begins with, ending in a slash."""
        return f"{self.root}{self.name}/"

    @property
    def lock_key(self) -> str:
        """Key of the lock that stands while the prefix is switched."""
        return f"{self.root}{CONTROL}locks/{self.name}"

    @property
    def history_prefix(self) -> str:
        """What the keys of the prefix's history begin with."""
        return f"{self.root}{CONTROL}history/{self.name}/"


@dataclass(frozen=True, slots=True)
class ReleaseDestination:
    """One destination as this run sees it."""

    name: str
    """Name in the configuration."""
    url: str
    """Root URL or path of the public objects."""
    depot_url: str
    """Root URL or path that the depot stands in."""
    root: str
    """Root of this run inside it: ``""``, ``"staging/"``, or the channel's own."""
    channel: str
    """Name of the channel."""
    prefixes: tuple[Prefix, ...]
    """The prefixes to switch, in the order of the configuration."""
    cache_depot: str = ""
    """How long caches may keep the objects of its depot."""
    environment: str = "production"
    """Environment of this run."""
    siblings: tuple[str, ...] = ()
    """Roots of the other environments inside it."""

    @property
    def task(self) -> str:
        """The name after the colon in ``upload:<destination>-<channel>``."""
        return f"{self.name}-{self.channel}"

    @property
    def depot_prefix(self) -> str:
        """What the keys of the depot's objects begin with."""
        return f"{self.root}{CONTROL}objects/"

    @property
    def sibling_depot_prefixes(self) -> tuple[str, ...]:
        """What the keys of other environments' depots begin with: same cloud, read only."""
        return tuple(f"{root}{CONTROL}objects/" for root in self.siblings)

    def manifest_key(self, tag: str) -> str:
        """Key under which the manifest of a promoted release is kept."""
        return manifest_key(self.root, self.channel, tag)


@dataclass(frozen=True, slots=True)
class ServiceCall:
    """One thing outside the stores that the channel asks for."""

    task: str
    """Name of the task, e.g. ``git_merge``."""
    effect: str
    """What it changes, in words."""
    skipped: str
    """Why this run does not do it, or ``""``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Everything that a run of one release will use."""

    project: str
    """Name of the project."""
    channel: str
    """Name of the channel."""
    tag: str
    """The git tag, or the version."""
    environment: str
    """Production or staging; of a channel with a root, its name."""
    source_url: str
    """Path or URL of the build, placeholders filled."""
    destinations: tuple[ReleaseDestination, ...]
    """Where it goes, in the order of the configuration."""
    calls: tuple[ServiceCall, ...]
    """What else the channel asks for, in the order of a release."""
    deposit_ignore: str | None
    """Regular expression of keys that Zenodo does not get; None where nothing is deposited."""
    reserves_doi: bool = False
    """Whether a DOI is reserved before the manifest is made; never in staging."""
    is_staging: bool = False
    """Whether this is a staging run; never of a channel with a root."""
    is_published: bool = False
    """Whether ``release.json`` is the published document of a version: the channel has a root."""

    @property
    def prefixes(self) -> tuple[Prefix, ...]:
        """Every public prefix of every destination."""
        return tuple(prefix for each in self.destinations for prefix in each.prefixes)

    def is_deposited(self, key: str) -> bool:
        """Say whether a file of this key goes to Zenodo."""
        if self.deposit_ignore is None:
            return False
        return not (self.deposit_ignore and re.search(self.deposit_ignore, key))


def manifest_key(root: str, channel: str, tag: str, sha256: str = "") -> str:
    """Return the key under which the manifest of a promoted release is kept.

    Args:
        root: root of the environment.
        channel: its channel.
        tag: its tag.
        sha256: of the manifest, where the tag was released again with other bytes since.
    """
    replaced = f"@{sha256[:16]}" if sha256 else ""  # no tag holds an @
    return f"{root}{CONTROL}releases/{channel}/{tag}{replaced}.json"


def resolve_release(config: Config, channel: str, tag: str, *, staging: bool) -> Release:
    """Resolve a release.

    Args:
        config: the configuration.
        channel: name of the channel (``type=``), or "" to infer it from the tag.
        tag: the git tag, or the version.
        staging: whether this run may only touch the staging roots.

    Raises:
        UsageError: unknown channel; a tag that fits no channel, more than one, or another
            than the one named; a tag that cannot stand in a key; staging of channels that
            have a root each.
    """
    name = find_channel(config, channel, tag)
    chosen = config.channels[name]
    place = environment_of(config, name, staging=staging)
    prefixes = [_fill_prefix(config, prefix, name, tag) for prefix in chosen.prefixes]
    _check_prefixes(config, prefixes, tag)
    return Release(
        project=config.project.name,
        channel=name,
        tag=tag,
        environment=place.name,
        source_url=_fill(config.source.url, name, tag),
        destinations=tuple(_resolve_destinations(config, name, chosen.prefixes, tag, place)),
        calls=tuple(_resolve_calls(chosen, tag, staging=staging)),
        deposit_ignore=chosen.zenodo.ignore if chosen.zenodo else None,
        reserves_doi=bool(chosen.zenodo and chosen.zenodo.doi and not staging),
        is_staging=staging,
        is_published=bool(chosen.root),
    )


def resolve_channel(
    config: Config, channel: str, *, staging: bool
) -> tuple[ReleaseDestination, ...]:
    """Resolve the destinations of a channel, with those of its prefixes that need no tag.

    Raises:
        UsageError: unknown channel; staging of channels that have a root each.
    """
    check_channel(config, channel)
    moving = [each for each in config.channels[channel].prefixes if "{tag}" not in each]
    place = environment_of(config, channel, staging=staging)
    return tuple(_resolve_destinations(config, channel, moving, "", place))


def resolve_everything(config: Config, *, staging: bool) -> tuple[ReleaseDestination, ...]:
    """Resolve every destination once a root, with all prefixes below it that need no tag.

    Raises:
        UsageError: staging of channels that have a root each.
    """
    found: dict[tuple[str, str], list[ReleaseDestination]] = {}
    if not has_roots(config):  # a destination of no channel has a depot as well
        place = environment_of(config, "", staging=staging)
        none = {
            (name, place.root): _destination(config, name, place) for name in config.destinations
        }
        found = {key: [each] for key, each in none.items()}
    for channel in config.channels:
        for each in resolve_channel(config, channel, staging=staging):
            found.setdefault((each.name, each.root), []).append(each)
    return tuple(
        replace(
            group[0],
            channel="",
            prefixes=tuple({p.name: p for each in group for p in each.prefixes}.values()),
        )
        for group in found.values()
    )


def tagged_prefixes(config: Config, channel: str, tag: str) -> tuple[str, ...]:
    """Name the prefixes that a tag of a channel has of its own; none of an unknown channel."""
    prefixes = config.channels[channel].prefixes if channel in config.channels else ()
    return tuple(_fill_prefix(config, each, channel, tag) for each in prefixes if "{tag}" in each)


def release_folder(work: Path, channel: str, tag: str) -> Path:
    """Return the folder of a release's listing, report and manifest, below the work folder."""
    return work / "releases" / channel / tag


def _check_prefixes(config: Config, prefixes: list[str], tag: str) -> None:
    """Refuse a tag that makes a prefix one that Lading keeps, or two of them the same."""
    kept = RESERVED_PREFIXES[1:] if has_roots(config) else RESERVED_PREFIXES
    for index, prefix in enumerate(prefixes):
        if prefix.partition("/")[0] in kept:
            raise UsageError(
                f"tag: expected prefixes outside {' and '.join(kept)}, got {prefix!r} from {tag!r}"
            )
        for other in prefixes[:index]:
            if is_nested(prefix, other):
                raise UsageError(
                    f"tag: expected prefixes of which none holds another, got {prefix!r}"
                    f" beside {other!r} from {tag!r}"
                )


def _resolve_destinations(
    config: Config, name: str, prefixes: Iterable[str], tag: str, environment: Environment
) -> Iterator[ReleaseDestination]:
    channel = config.channels[name]
    for destination in channel.destinations or config.destinations:
        place: Destination = config.destinations[destination]
        yield replace(
            _destination(config, destination, environment),
            channel=name,
            prefixes=tuple(
                Prefix(
                    destination=destination,
                    name=_fill_prefix(config, prefix, name, tag),
                    root=environment.root,
                    # a staging copy of an immutable prefix may be made again
                    immutable=prefix in channel.immutable and not environment.is_staging,
                    cache_control=place.cache_versioned
                    if "{tag}" in prefix
                    else place.cache_moving,
                    owned=channel.owned or environment.is_staging,
                    held=prefix in channel.hold,
                    is_staging=environment.is_staging,
                )
                for prefix in prefixes
            ),
        )


def _destination(config: Config, name: str, environment: Environment) -> ReleaseDestination:
    place = config.destinations[name]
    return ReleaseDestination(
        name=name,
        url=place.url,
        depot_url=place.depot or place.url,
        root=environment.root,
        channel="",
        prefixes=(),
        cache_depot=place.cache_versioned,
        environment=environment.name,
        siblings=environment.siblings,
    )


def _resolve_calls(channel: Channel, tag: str, *, staging: bool) -> Iterator[ServiceCall]:
    skipped = "staging" if staging else ""
    if channel.branch:
        yield ServiceCall("git_merge", f"branch {channel.branch} moved to {tag}", skipped)
    if channel.zenodo:
        what = "published" if channel.zenodo.publish else "left as a draft"
        place = channel.zenodo.url or f"Zenodo {channel.zenodo.env}"
        way = f" by {channel.zenodo.dispatch.workflow}" if channel.zenodo.dispatch else ""
        yield ServiceCall("zenodo", f"deposit at {place}{way}, {what}", skipped)
    for each in channel.cloud_run:
        effect = f"{each.image} in {each.region}"
        if each.dispatch:
            effect = f"deployed by {each.dispatch.workflow} of {each.dispatch.repository}".rstrip()
        yield ServiceCall(f"cloud_run:{each.service}", effect, skipped)


def _fill_prefix(config: Config, template: str, channel: str, tag: str) -> str:
    return _fill(template, channel, tag).replace("{project}", config.project.name)


def _fill(template: str, channel: str, tag: str) -> str:
    return template.replace("{tag}", tag).replace("{channel}", channel)
