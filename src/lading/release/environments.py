"""Environments: the roots that a destination has inside, and which of them a run may write.

Channels without a root share two, production ("") and staging ("staging/"). A channel with a
root is an environment itself: everything of it stands below, and nothing of it outside.
"""

import re
from dataclasses import dataclass

from lading.config.models import Config
from lading.config.problems import nearest
from lading.errors import UsageError

STAGING_ROOT = "staging/"
_SAFE_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


@dataclass(frozen=True, slots=True)
class Environment:
    """Where a run may write, inside every destination."""

    name: str
    """``production`` or ``staging``; of a channel with a root, its name."""
    root: str
    """Its root: "", or a folder that ends in a slash."""
    siblings: tuple[str, ...]
    """Roots of the other environments."""
    is_staging: bool
    """Whether it is a rehearsal: never of a channel with a root."""


def is_safe(tag: str) -> bool:
    """Say whether a tag may stand in keys, in paths, and on a command line."""
    return bool(_SAFE_TAG.fullmatch(tag))


def has_roots(config: Config) -> bool:
    """Say whether the channels are environments: each has a root, or none has."""
    return any(each.root for each in config.channels.values())


def root_of(config: Config, channel: str, *, staging: bool) -> str:
    """Return the root of an environment inside a destination.

    Args:
        config: the configuration.
        channel: a channel; "" of those that have no root.
        staging: whether the staging root is meant, of those that have none.
    """
    own = config.channels[channel].root if channel in config.channels else ""
    if own:
        return f"{own}/"
    return STAGING_ROOT if staging else ""


def environment_of(config: Config, channel: str, *, staging: bool) -> Environment:
    """Return the environment of a run.

    Args:
        config: the configuration.
        channel: its channel; "" of any that has no root.
        staging: whether the staging root is meant.

    Raises:
        UsageError: staging of channels that have a root each.
    """
    if not has_roots(config):
        roots = {"production": "", "staging": STAGING_ROOT}
        name = "staging" if staging else "production"
        other = "production" if staging else "staging"
        return Environment(name, roots[name], (roots[other],), is_staging=staging)
    if staging:
        raise UsageError(
            "staging: expected no staging=1, since each channel is an environment of its own;"
            f" say environment= with one of {', '.join(config.channels)}"
        )
    own = root_of(config, channel, staging=False)
    all_roots = (root_of(config, each, staging=False) for each in config.channels)
    siblings = tuple(each for each in all_roots if each != own)
    return Environment(channel, own, siblings, is_staging=False)


def words_of(config: Config) -> tuple[str, str]:
    """Name what a channel and a tag are called on the command line."""
    return ("environment", "version") if has_roots(config) else ("type", "tag")


def check_channel(config: Config, channel: str) -> None:
    """Refuse a channel that there is not.

    Raises:
        UsageError: naming the nearest.
    """
    channels = config.channels
    if channel not in channels:
        raise UsageError(
            f"{words_of(config)[0]}: expected one of {', '.join(channels)}, got {channel!r}"
            + nearest(channel, channels)
        )


def find_channel(config: Config, channel: str, tag: str) -> str:
    """Return the channel of a tag; ``channel``, where one was named.

    Raises:
        UsageError: unknown channel; a tag that fits no channel, more than one, or another
            than the one named; a tag that cannot stand in a key.
    """
    channels = config.channels
    of_channel, of_tag = words_of(config)
    if channel:
        check_channel(config, channel)
    fitting = [name for name, each in channels.items() if re.fullmatch(each.tag, tag)]
    patterns = ", ".join(f"{name}: {each.tag}" for name, each in channels.items())
    if fitting and not is_safe(tag):
        raise UsageError(
            f"{of_tag}: expected letters, digits and . _ + - only, since it stands in keys,"
            f" got {tag!r}"
        )
    if not fitting:
        raise UsageError(
            f"{of_tag}: expected a {of_tag} that fits a channel ({patterns}), got {tag!r}"
        )
    if channel and channel not in fitting:
        raise UsageError(
            f"{of_tag}: expected a {of_tag} of channel {channel} ({channels[channel].tag}),"
            f" got {tag!r}, which is one of {', '.join(fitting)}"
        )
    if not channel and len(fitting) > 1:
        raise UsageError(
            f"{of_channel}: expected one of {', '.join(fitting)}, since {tag!r} fits each; got none"
        )
    return channel or fitting[0]
