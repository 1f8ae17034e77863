"""Rules that hold between the parts of a configuration, checked once each part is sound."""

import posixpath
import re
from collections.abc import Iterator

from lading.config.dataset_rules import find_dataset_conflicts
from lading.config.models import Channel, Config, Dispatch, Zenodo
from lading.config.problems import nearest
from lading.config.secret_names import holds_user, is_secret_name


def find_conflicts(config: Config, base: str = "/base") -> list[str]:
    """Return one line for each rule that the configuration breaks, in file order.

    Args:
        config: the configuration.
        base: the absolute folder that its relative paths start from.
    """
    channels = [
        problem
        for name, channel in config.channels.items()
        for problem in _channel_conflicts(f"channels.{name}", channel, config)
    ]
    return [
        *_secrets(config),
        *_source_conflicts(config, base),
        *_destination_conflicts(config, base),
        *_depot_conflicts(config, base),
        *channels,
        *_neighbour_conflicts(config),
        *_root_conflicts(config),
        *_publish_conflicts(config),
        *find_dataset_conflicts(config),
        *_job_conflicts(config),
    ]


def is_nested(one: str, other: str) -> bool:
    """Say whether one prefix holds another, or is the same."""
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def _secrets(config: Config) -> Iterator[str]:
    """A configuration is read by many; what opens a door must not stand in it."""
    for name, value in config.source.options.items():
        is_secret = bool(re.search(r"secret|password|passwd|token|_key$|^key$|credential", name))
        is_secret = is_secret or "@" in str(value)
        if is_secret and value not in {"anon", "google_default", "cloud", True, False}:
            yield (
                f"source.options.{name}: expected no secret in the configuration,"
                " got one; put it into the environment"
            )


def _job_conflicts(config: Config) -> Iterator[str]:
    """What pods get stands in manifests, which many may read; a place twice is a slip."""
    if config.jobs is None:
        return
    for place, names in (("packages", config.jobs.packages), ("stores", config.jobs.stores)):
        for index, name in enumerate(names):
            if name in names[:index]:
                yield f"jobs.{place}[{index}]: expected each once, got {name!r} again"
    for index, url in enumerate(config.jobs.stores):
        if "{" in url:
            yield f"jobs.stores[{index}]: expected one place for all runs, got {url!r}"
    env = config.jobs.kubernetes.env if config.jobs.kubernetes else {}
    for name, value in env.items():
        if is_secret_name(name) or holds_user(value):
            yield (
                f"jobs.kubernetes.env.{name}: expected no secret in the configuration, got one;"
                " put it into a Secret and name that in jobs.kubernetes.secrets"
            )


def _neighbour_conflicts(config: Config) -> Iterator[str]:
    """Channels may share a prefix; one inside another's would be deleted as foreign."""
    seen: list[tuple[str, str, str]] = []
    for name, channel in config.channels.items():
        for index, prefix in enumerate(channel.prefixes):
            whole = prefix.replace("{project}", config.project.name)
            for owner, other, root in seen:
                is_beside = owner == name or whole == other or root != channel.root
                if not is_beside and is_nested(whole, other):
                    yield (
                        f"channels.{name}.prefixes[{index}]: expected a prefix beside those of"
                        f" other channels, got {prefix!r} and {other!r} of {owner}"
                    )
            seen.append((name, whole, channel.root))


def _root_conflicts(config: Config) -> Iterator[str]:
    """Channels with a root are environments: all of them, and each has one of its own."""
    rooted = {name: each.root for name, each in config.channels.items() if each.root}
    owners: dict[str, str] = {}
    for name, channel in config.channels.items():
        if rooted and not channel.root:
            yield (
                f"channels.{name}.root: expected a root, since channels.{next(iter(rooted))}"
                " has one, got none"
            )
        elif channel.root in owners:
            yield (
                f"channels.{name}.root: expected a root of its own, got {channel.root!r},"
                f" which is channels.{owners[channel.root]}'s too"
            )
        if channel.root:
            owners.setdefault(channel.root, name)
        for index, prefix in enumerate(channel.prefixes):
            first = prefix.replace("{project}", config.project.name).partition("/")[0]
            if first == "staging" and not channel.root:
                yield (
                    f"channels.{name}.prefixes[{index}]: expected a prefix outside staging, which"
                    f" Lading keeps, got {prefix!r} of project {config.project.name!r}"
                )


def _publish_conflicts(config: Config) -> Iterator[str]:
    """What only published versions have is never asked for in vain; a build has one name."""
    publish = config.publish
    asked = {"sums": publish.sums, "stored": publish.stored, "build": publish.build}
    if not any(each.root for each in config.channels.values()):
        for field, value in {**asked, "base_url": publish.base_url}.items():
            if value:
                yield f"publish.{field}: expected channels with a root beside it, got none"
    if publish.sums and publish.sums == publish.stored:
        yield f"publish.stored: expected another file than publish.sums, got {publish.stored!r}"
    for index, build in enumerate(publish.build):
        place = f"publish.build[{index}]"
        if build.name in [other.name for other in publish.build[:index]]:
            yield f"{place}.name: expected each name once, got {build.name!r} again"
        for name in ("{input}", "{output}"):
            if not any(name in each for each in build.command):
                yield f"{place}.command: expected {name} in it, got {' '.join(build.command)!r}"


def _source_conflicts(config: Config, base: str) -> Iterator[str]:
    """A build that holds what a release writes would ship its own archives."""
    if not config.channels:
        return  # datasets alone have no build
    written = {"work": config.work} | {
        f"destinations.{name}.url": each.url for name, each in config.destinations.items()
    }
    for place, url in written.items():
        if _is_inside(url, config.source.url, base):
            yield f"{place}: expected a place outside source.url {config.source.url!r}, got {url!r}"


def _destination_conflicts(config: Config, base: str) -> Iterator[str]:
    places = list(config.destinations.items())
    for index, (name, each) in enumerate(places):
        for other, standing in places[:index]:
            if _whole(each.url, base) == _whole(standing.url, base):
                yield (
                    f"destinations.{name}.url: expected a place of its own,"
                    f" got {each.url!r}, which is destinations.{other} too"
                )
            elif _is_inside(each.url, standing.url, base) or _is_inside(
                standing.url, each.url, base
            ):
                yield (
                    f"destinations.{name}.url: expected a place of its own,"
                    f" got {each.url!r} beside {standing.url!r} of destinations.{other}"
                )


def _depot_conflicts(config: Config, base: str) -> Iterator[str]:
    """What stands below a staging root may be emptied at any time; an environment's is its own."""
    roots = {each.root for each in config.channels.values()} - {""} or {"staging"}
    for name, each in config.destinations.items():
        for other, standing in config.destinations.items():
            for root in sorted(roots):
                below = f"{standing.url.rstrip('/')}/{root}"
                if each.depot and _is_inside(each.depot, below, base):
                    yield (
                        f"destinations.{name}.depot: expected a place outside the {root} root of"
                        f" destinations.{other}, got {each.depot!r}"
                    )


def _is_inside(url: str, folder: str, base: str) -> bool:
    inner, outer = _whole(url, base), _whole(folder, base)
    return inner == outer or inner.startswith(f"{outer}/")


def _whole(url: str, base: str) -> str:
    """Write a URL or path so that two of the same place are the same text."""
    if "://" in url and not url.startswith("file://"):
        return posixpath.normpath(url)
    return posixpath.normpath(posixpath.join(base, url.removeprefix("file://")))


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
        for index, prefix in enumerate(getattr(channel, field)):
            if prefix in channel.prefixes and "{tag}" not in prefix:
                yield (
                    f"{place}.{field}[{index}]: expected a prefix with {{tag}}, since a second"
                    f" release could never use another, got {prefix!r}"
                )
    for index, name in enumerate(channel.destinations):
        if name not in config.destinations:
            yield (
                f"{place}.destinations[{index}]: expected one of"
                f" {', '.join(config.destinations)}, got {name!r}"
                + nearest(name, config.destinations)
            )

    yield from _call_conflicts(place, channel, config)


def _call_conflicts(place: str, channel: Channel, config: Config) -> Iterator[str]:
    if channel.zenodo:
        yield from _zenodo_conflicts(f"{place}.zenodo", channel.zenodo, channel, config)
    for index, each in enumerate(channel.cloud_run):
        where = f"{place}.cloud_run[{index}]"
        if each.dispatch and (each.image or each.restart):
            yield f"{where}: expected either an image or dispatch, got both"
        if not each.dispatch and not (each.image and each.region):
            yield f"{where}: expected image and region, or dispatch, got neither"
        if each.service in [other.service for other in channel.cloud_run[:index]]:
            yield f"{where}.service: expected each service once, got {each.service!r} again"
        yield from _dispatch_conflicts(f"{where}.dispatch", each.dispatch, config)


def _zenodo_conflicts(
    place: str, zenodo: Zenodo, channel: Channel, config: Config
) -> Iterator[str]:
    places = channel.destinations or tuple(config.destinations)
    if zenodo.source and zenodo.source not in places:
        yield (
            f"{place}.source: expected one of {', '.join(places)}, got {zenodo.source!r}"
            + nearest(zenodo.source, places)
        )
    if zenodo.dispatch and zenodo.doi:
        yield (
            f"{place}.doi: expected false beside dispatch, since only a run that deposits"
            " itself can reserve a DOI, got true"
        )
    yield from _dispatch_conflicts(f"{place}.dispatch", zenodo.dispatch, config)


def _dispatch_conflicts(place: str, dispatch: Dispatch | None, config: Config) -> Iterator[str]:
    if dispatch and not (dispatch.repository or config.project.github):
        yield f"{place}.repository: expected owner/name here or in project.github, got neither"


def _prefix_conflicts(place: str, channel: Channel) -> Iterator[str]:
    for index, prefix in enumerate(channel.prefixes):
        for other in channel.prefixes[:index]:
            if is_nested(prefix, other):
                yield (
                    f"{place}.prefixes[{index}]: expected prefixes of which none holds another,"
                    f" got {prefix!r} beside {other!r}"
                )
