"""From (configuration, type, tag, staging) to every name that a run will use.

Whether a run is a staging run is decided here and nowhere else: the rest of the code
gets roots, prefixes and calls in which the answer already stands.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lading.config.models import Channel, Config, Destination
from lading.config.problems import nearest
from lading.config.rules import is_nested
from lading.config.values import RESERVED_PREFIXES
from lading.errors import UsageError

Environment = Literal["production", "staging"]

STAGING_ROOT = "staging/"
CONTROL = ".lading/"
_SAFE_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


@dataclass(frozen=True, slots=True)
class Prefix:
    """One public prefix at one destination."""

    destination: str
    """Name of the destination."""
    name: str
    """The prefix as people say it, e.g. ``nightly``."""
    root: str
    """Root of this run inside the destination: ``""`` or ``"staging/"``."""
    immutable: bool
    """Whether its objects may never be replaced."""
    cache_control: str = "no-cache"
    """How long caches may keep its objects."""
    owned: bool = False
    """Whether all that stands below it is Lading's, so that what it did not put there goes."""
    held: bool = False
    """Whether the channel asks for a hold on its objects."""

    @property
    def hold_skipped(self) -> str:
        """Why this run holds nothing below it though the channel asks for it, or ``""``."""
        return "staging" if self.root else ""

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
    """Root of this run inside it: ``""`` or ``"staging/"``."""
    channel: str
    """Name of the channel."""
    prefixes: tuple[Prefix, ...]
    """The prefixes to switch, in the order of the configuration."""
    cache_depot: str = ""
    """How long caches may keep the objects of its depot."""

    @property
    def task(self) -> str:
        """The name after the colon in ``upload:<destination>-<channel>``."""
        return f"{self.name}-{self.channel}"

    @property
    def depot_prefix(self) -> str:
        """What the keys of the depot's objects begin with."""
        return f"{self.root}{CONTROL}objects/"

    @property
    def sibling_depot_prefix(self) -> str:
        """What the keys of the depot of the other environment begin with: same cloud, read only."""
        root = "" if self.root else STAGING_ROOT
        return f"{root}{CONTROL}objects/"

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
    """The git tag."""
    environment: Environment
    """Production or staging."""
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
        tag: the git tag.
        staging: whether this run may only touch the staging roots.

    Raises:
        UsageError: unknown channel; a tag that fits no channel, more than one, or another
            than the one named; a tag that cannot stand in a key.
    """
    name = _resolve_channel(config, channel, tag)
    chosen = config.channels[name]
    root = root_of(staging=staging)
    _check_prefixes([_fill(prefix, name, tag) for prefix in chosen.prefixes], tag)
    return Release(
        project=config.project.name,
        channel=name,
        tag=tag,
        environment="staging" if staging else "production",
        source_url=_fill(config.source.url, name, tag),
        destinations=tuple(_resolve_destinations(config, name, chosen.prefixes, tag, root)),
        calls=tuple(_resolve_calls(chosen, tag, staging=staging)),
        deposit_ignore=chosen.zenodo.ignore if chosen.zenodo else None,
        reserves_doi=bool(chosen.zenodo and chosen.zenodo.doi and not staging),
    )


def root_of(*, staging: bool) -> str:
    """Return the root of an environment inside a destination."""
    return STAGING_ROOT if staging else ""


def resolve_channel(
    config: Config, channel: str, *, staging: bool
) -> tuple[ReleaseDestination, ...]:
    """Resolve the destinations of a channel, with those of its prefixes that need no tag.

    Raises:
        UsageError: unknown channel.
    """
    _check_channel(config, channel)
    moving = [each for each in config.channels[channel].prefixes if "{tag}" not in each]
    root = root_of(staging=staging)
    return tuple(_resolve_destinations(config, channel, moving, "", root))


def resolve_everything(config: Config, *, staging: bool) -> tuple[ReleaseDestination, ...]:
    """Resolve every destination once, with all prefixes of all channels that need no tag."""
    found: dict[str, list[Prefix]] = {name: [] for name in config.destinations}
    for channel in config.channels:
        for each in resolve_channel(config, channel, staging=staging):
            found[each.name] += each.prefixes
    return tuple(
        ReleaseDestination(
            name=name,
            url=config.destinations[name].url,
            depot_url=config.destinations[name].depot or config.destinations[name].url,
            root=root_of(staging=staging),
            channel="",
            prefixes=tuple({each.name: each for each in prefixes}.values()),
        )
        for name, prefixes in found.items()
    )


def tagged_prefixes(config: Config, channel: str, tag: str) -> tuple[str, ...]:
    """Name the prefixes that a tag of a channel has of its own; none of an unknown channel."""
    prefixes = config.channels[channel].prefixes if channel in config.channels else ()
    return tuple(_fill(each, channel, tag) for each in prefixes if "{tag}" in each)


def release_folder(work: Path, channel: str, tag: str) -> Path:
    """Return the folder of a release's listing, report and manifest, below the work folder."""
    return work / "releases" / channel / tag


def _check_channel(config: Config, channel: str) -> None:
    channels = config.channels
    if channel not in channels:
        raise UsageError(
            f"type: expected one of {', '.join(channels)}, got {channel!r}"
            + nearest(channel, channels)
        )


def _resolve_channel(config: Config, channel: str, tag: str) -> str:
    channels = config.channels
    if channel:
        _check_channel(config, channel)
    fitting = [name for name, each in channels.items() if re.fullmatch(each.tag, tag)]
    patterns = ", ".join(f"{name}: {each.tag}" for name, each in channels.items())
    if fitting and not _SAFE_TAG.fullmatch(tag):
        raise UsageError(
            f"tag: expected letters, digits and . _ + - only, since it stands in keys, got {tag!r}"
        )
    if not fitting:
        raise UsageError(f"tag: expected a tag that fits a channel ({patterns}), got {tag!r}")
    if channel and channel not in fitting:
        raise UsageError(
            f"tag: expected a tag of channel {channel} ({channels[channel].tag}),"
            f" got {tag!r}, which is one of {', '.join(fitting)}"
        )
    if not channel and len(fitting) > 1:
        raise UsageError(
            f"type: expected one of {', '.join(fitting)}, since {tag!r} fits each; got none"
        )
    return channel or fitting[0]


def _check_prefixes(prefixes: list[str], tag: str) -> None:
    """Refuse a tag that makes a prefix one that Lading keeps, or two of them the same."""
    for index, prefix in enumerate(prefixes):
        if prefix.partition("/")[0] in RESERVED_PREFIXES:
            raise UsageError(
                f"tag: expected prefixes outside {' and '.join(RESERVED_PREFIXES)},"
                f" got {prefix!r} from {tag!r}"
            )
        for other in prefixes[:index]:
            if is_nested(prefix, other):
                raise UsageError(
                    f"tag: expected prefixes of which none holds another, got {prefix!r}"
                    f" beside {other!r} from {tag!r}"
                )


def _resolve_destinations(
    config: Config, name: str, prefixes: Iterable[str], tag: str, root: str
) -> Iterator[ReleaseDestination]:
    channel = config.channels[name]
    for destination in channel.destinations or config.destinations:
        place: Destination = config.destinations[destination]
        yield ReleaseDestination(
            name=destination,
            url=place.url,
            depot_url=place.depot or place.url,
            root=root,
            channel=name,
            cache_depot=place.cache_versioned,
            prefixes=tuple(
                Prefix(
                    destination=destination,
                    name=_fill(prefix, name, tag),
                    root=root,
                    # a staging copy of an immutable prefix may be made again
                    immutable=prefix in channel.immutable and not root,
                    cache_control=place.cache_versioned
                    if "{tag}" in prefix
                    else place.cache_moving,
                    owned=channel.owned or bool(root),
                    held=prefix in channel.hold,
                )
                for prefix in prefixes
            ),
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


def _fill(template: str, channel: str, tag: str) -> str:
    return template.replace("{tag}", tag).replace("{channel}", channel)
