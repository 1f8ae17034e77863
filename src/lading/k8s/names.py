"""Names of CronJobs: what people expect to read, within what three services allow.

A name is made once, when its CronJob is rendered; who a live CronJob is stands on it as
annotations. A plain staging name can be read back: the dataset holds no ``-v<digit>``, every
segment of the version begins with a digit, and a role begins with a letter. So two plain names
are equal only where dataset, version and role are; all others bear a digest.
"""

import hashlib
import re
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from lading.errors import ClusterError

_CRON_JOB = 52
_INDEXED = 53
_SLUG = 50
_HASH = 6
_DATASET_KEPT = 6
_ROLE = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_PLAIN_DATASET = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_PLAIN_VERSION = re.compile(r"[0-9][a-z0-9]*(\.[0-9][a-z0-9]*)*")
_LOOKS_LIKE_VERSION = re.compile(r"-v[0-9]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """What one CronJob does for its dataset, as far as its name depends on it."""

    name: str
    """Its name, e.g. ``update``."""
    completions: int = 1
    """Completions of an Indexed Job; 1 otherwise."""
    monitored: bool = False
    """Whether a monitor bears the CronJob's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How long the name of a CronJob may be."""

    length: int
    """Characters."""
    reason: str
    """Who says so, and of what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A name and whose it is."""

    name: str
    """Name of the CronJob."""
    owner: str
    """Whose it is, for people, e.g. ``staging noaa-gfs-analysis 0.3.0 update``."""
    key: Hashable
    """Whose it is, for comparing: dataset, version, environment and role."""


def limit_of(role: Role) -> Limit:
    """Return the shortest limit that holds for the CronJob of a role.

    Source: Kubernetes, validation of batch/v1 (a CronJob's name leaves 11 of 63 characters to its
    Jobs; ``{job}-{index}``, of which the Job takes ``-`` and 8 digits, must be a DNS label);
    getsentry/relay, relay-monitors, SLUG_LENGTH.
    """
    digits = len(str(max(role.completions - 1, 0)))
    limits = [
        Limit(length=_CRON_JOB, reason="Kubernetes: a CronJob's name"),
        Limit(
            length=_INDEXED - digits,
            reason=f"Kubernetes: pods of an Indexed Job with {role.completions} completions",
        ),
    ]
    if role.monitored:
        limits.append(Limit(length=_SLUG, reason="Sentry: a monitor's slug"))
    return min(limits, key=lambda limit: limit.length)


def name_cron_jobs(
    dataset: str, version: str | None, roles: Sequence[Role], *, prefix: str
) -> dict[str, str]:
    """Return the names of all CronJobs of one version of a dataset, by role.

    They share one stem, which the tightest role decides. It is ``{prefix}{dataset}-v{version}``
    with ``-`` for ``.``, in production ``{prefix}{dataset}``, where all names fit and can be read
    back. Else the dataset is cut, where it has to be the version too, and a digest of both
    follows.

    Args:
        dataset: its name, as people say it.
        version: its version; None in production, whose names outlive versions.
        roles: all its roles, in any order.
        prefix: what the names begin with; "" in production.

    Raises:
        ClusterError: a role is no label or stands there twice, or leaves no room for a name.
    """
    _require_roles(dataset, [role.name for role in roles])
    if not roles:
        return {}
    tightest = min(roles, key=lambda role: (_room(role), role.name))
    stem = _plain_stem(dataset, version, prefix)
    if stem is None or len(stem) > _room(tightest):
        stem = _hashed_stem(dataset, version, prefix, _room(tightest))
    names = {role.name: f"{stem}-{role.name}" for role in roles}
    fault = check_name(names[tightest.name], tightest)
    if fault is not None:
        raise ClusterError(fault, hint="shorten the role, or the prefix")
    return names


def require_unique(named: Iterable[Named]) -> list[str]:
    """Return a line for each two that share a name; equal keys are one and the same.

    The order of names and of pairs is that in which they are given.
    """
    owners: dict[str, dict[Hashable, str]] = {}
    for each in named:
        owners.setdefault(each.name, {}).setdefault(each.key, each.owner)
    return [
        f"CronJob {name!r}: expected one owner, got {first} and {second}; rename a dataset or a"
        " role"
        for name, keys in owners.items()
        for first, second in combinations(keys.values(), 2)
    ]


def check_name(name: str, role: Role) -> str | None:
    """Return what is wrong with the name of a role's CronJob, in one line; None where nothing is.

    Dots, of which Kubernetes only warns, are refused: pods bear the name as their host's.
    """
    limit = limit_of(role)
    if len(name) > limit.length:
        return (
            f"CronJob {name!r}: expected at most {limit.length} characters ({limit.reason}),"
            f" got {len(name)}"
        )
    if not _LABEL.fullmatch(name):
        return (
            f"CronJob {name!r}: expected small letters, digits and '-', first and last no '-'"
            " (Kubernetes: a DNS label), got other characters"
        )
    return None


def _require_roles(dataset: str, roles: Sequence[str]) -> None:
    for role in roles:
        if not _ROLE.fullmatch(role):
            raise ClusterError(
                f"role of {dataset}: expected small letters, digits and '-', a letter first and no"
                f" '-' last, as archive-grib-files, got {role!r}"
            )
        if roles.count(role) > 1:
            raise ClusterError(f"role of {dataset}: expected each role once, got {role!r} again")


def _room(role: Role) -> int:
    return limit_of(role).length - len(role.name) - 1


def _plain_stem(dataset: str, version: str | None, prefix: str) -> str | None:
    if not _PLAIN_DATASET.fullmatch(dataset):
        return None
    if version is None:
        return f"{prefix}{dataset}"
    if _LOOKS_LIKE_VERSION.search(dataset) or not _PLAIN_VERSION.fullmatch(version):
        return None
    return f"{prefix}{dataset}-v{version.replace('.', '-')}"


def _hashed_stem(dataset: str, version: str | None, prefix: str, room: int) -> str:
    """Return a stem that fits the room, or the shortest there is."""
    digest = hashlib.sha256(f"{dataset}\0{version or ''}".encode()).hexdigest()[:_HASH]
    slug = _slug(dataset)
    left = room - len(prefix) - len(digest) - 1
    if version is None:
        parts = [_cut(slug, left), digest]
    else:
        left -= len("-v")
        said = _cut_version(_slug(version), left - min(len(slug), _DATASET_KEPT))
        parts = [_cut(slug, left - len(said)), f"v{said}", digest]
    return prefix + "-".join(part for part in parts if part)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _cut(slug: str, length: int) -> str:
    return slug[: max(length, 1)].rstrip("-")


def _cut_version(slug: str, length: int) -> str:
    """Cut at the end of a segment where one fits: a part of a number is another number."""
    if len(slug) <= length:
        return slug
    cut = slug[: max(length + 1, 1)]
    return cut.rpartition("-")[0] or _cut(slug, length)
