"""Rules that hold between the parts of a configuration, checked once each part is sound."""

import posixpath
from collections.abc import Iterator

from lading.config.models import Channel, Config
from lading.config.problems import nearest


def find_conflicts(config: Config) -> list[str]:
    """Return one line for each rule that the configuration breaks, in file order."""
    channels = [
        problem
        for name, channel in config.channels.items()
        for problem in _channel_conflicts(f"channels.{name}", channel, config)
    ]
    return [*_source_conflicts(config), *_destination_conflicts(config), *channels]


def _source_conflicts(config: Config) -> Iterator[str]:
    """A build that holds what a release writes would ship its own archives."""
    written = {"work": config.work} | {
        f"destinations.{name}.url": each.url for name, each in config.destinations.items()
    }
    for place, url in written.items():
        if _is_inside(url, config.source.url):
            yield f"{place}: expected a place outside source.url {config.source.url!r}, got {url!r}"


def _destination_conflicts(config: Config) -> Iterator[str]:
    seen: dict[str, str] = {}
    for name, each in config.destinations.items():
        other = seen.setdefault(posixpath.normpath(each.url), name)
        if other != name:
            yield (
                f"destinations.{name}.url: expected a place of its own,"
                f" got {each.url!r}, which is destinations.{other} too"
            )


def _is_inside(url: str, folder: str) -> bool:
    inner = posixpath.normpath(url)
    outer = posixpath.normpath(folder)
    is_relative = "://" not in url and not inner.startswith(("/", ".."))
    return inner == outer or inner.startswith(f"{outer}/") or (outer == "." and is_relative)


def _channel_conflicts(place: str, channel: Channel, config: Config) -> Iterator[str]:
    yield from _prefix_conflicts(place, channel)
    for field in ("immutable", "hold"):
        for index, prefix in enumerate(getattr(channel, field)):
            if prefix not in channel.prefixes:
                yield (
                    f"{place}.{field}[{index}]: expected one of the channel's prefixes"
                    f" ({', '.join(channel.prefixes)}), got {prefix!r}"
                    + nearest(prefix, channel.prefixes)
                )
    for index, prefix in enumerate(channel.immutable):
        if "{tag}" not in prefix:
            yield (
                f"{place}.immutable[{index}]: expected a prefix with {{tag}}, since a second"
                f" release could never use another, got {prefix!r}"
            )
    for index, name in enumerate(channel.destinations):
        if name not in config.destinations:
            yield (
                f"{place}.destinations[{index}]: expected one of"
                f" {', '.join(config.destinations)}, got {name!r}"
                + nearest(name, config.destinations)
            )


def _prefix_conflicts(place: str, channel: Channel) -> Iterator[str]:
    for index, prefix in enumerate(channel.prefixes):
        for other in channel.prefixes[:index]:
            if f"{prefix}/".startswith(f"{other}/") or f"{other}/".startswith(f"{prefix}/"):
                yield (
                    f"{place}.prefixes[{index}]: expected prefixes of which none holds another,"
                    f" got {prefix!r} beside {other!r}"
                )
