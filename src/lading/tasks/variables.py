"""The variables of the command line, ``name=value``, checked as a set.

A misspelt ``stagign=1`` is an error with the nearest known name, never a production run.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lading.config import Config
from lading.config.problems import nearest
from lading.errors import UsageError
from lading.release.environments import has_roots

KNOWN = (
    "type",
    "tag",
    "staging",
    "environment",
    "source",
    "accept",
    "config",
    "deep",
    "yes",
    "dataset",
    "version",
    "branch",
    "image",
    "take",
    "running",
    "json",
    "args",
    "over",
    "retry",
    "key",
    "per_shard",
    "workers",
)
_FEWEST_WORDS = 2
_TRUE = {"1", "true", "yes"}
_FALSE = {"0", "false", "no"}


@dataclass(frozen=True, slots=True)
class Variables:
    """What was asked for, each value checked."""

    type: str
    """Channel, or "" where it is left out."""
    tag: str
    """Tag, or "" where it is left out."""
    staging: bool | None
    """Whether it is a staging run; None where it is left out."""
    config: str
    """Path of the configuration, or ""."""
    deep: bool
    """Whether ``verify`` asks every object itself."""
    accept: str
    """Why ``check`` may go on in spite of what differs from the last release, or ""."""
    source: str = ""
    """Path or URL of the build where it is not the one of the configuration, or ""."""
    environment: str = ""
    """Channel with a root of its own that is meant, or ""; another word for ``type``."""
    yes: bool = False
    """Whether ``prune``, ``unlock`` and ``k8s_cleanup`` act; else they only show."""
    dataset: str = ""
    """Dataset whose CronJobs are meant, or ""."""
    version: str = ""
    """Its version, or ""; without a dataset, another word for ``tag``."""
    branch: str = ""
    """Branch ``stage/{dataset}/v{version}`` that names both, or ""."""
    image: str = ""
    """Image that CronJobs run, or ""."""
    take: bool = False
    """Whether fields and CronJobs of others are taken over."""
    running: str = ""
    """What ``k8s_cleanup`` does about running Jobs: ``wait`` or ``orphan``, or ""."""
    json: bool = False
    """Whether ``k8s_status`` answers in JSON."""
    args: str = ""
    """Arguments of a job, as one text."""
    over: str = ""
    """File of the items that a job is run over, or ""."""
    retry: str = ""
    """Plan whose items that are not done are run again, or ""."""
    key: str = ""
    """What makes it another run, or another plan, of the same work; or ""."""
    per_shard: int = 0
    """Items of a shard of a plan; 0 where it is left out."""
    workers: int = 0
    """Shards at one time; 0 where it is left out."""


def parse_variables(given: Mapping[str, str], own: Sequence[str] = ()) -> Variables:
    """Check the variables of a command line.

    Args:
        given: names and values as doit read them.
        own: names that the project's own tasks read (``variables`` in lading.toml).

    Raises:
        UsageError: an unknown name, or a value that is impossible.
    """
    known = (*KNOWN, *own)
    for name, value in given.items():
        if name not in known:
            raise UsageError(
                f"{name}={value}: expected one of {', '.join(known)}, got {name!r}"
                + nearest(name, known)
            )
        if not value and name in KNOWN:
            raise UsageError(f"{name}=: expected a value, got nothing")
    staging = given.get("staging")
    return Variables(
        type=given.get("type", ""),
        tag=given.get("tag", ""),
        staging=None if staging is None else parse_flag("staging", staging),
        config=given.get("config", ""),
        source=given.get("source", ""),
        environment=given.get("environment", ""),
        deep=parse_flag("deep", given.get("deep", "0")),
        accept=_parse_reason(given.get("accept", "")),
        yes=parse_flag("yes", given.get("yes", "0")),
        dataset=given.get("dataset", ""),
        version=given.get("version", ""),
        branch=given.get("branch", ""),
        image=given.get("image", ""),
        take=parse_flag("take", given.get("take", "0")),
        running=_parse_choice("running", given.get("running", ""), ("wait", "orphan")),
        json=parse_flag("json", given.get("json", "0")),
        args=given.get("args", ""),
        over=given.get("over", ""),
        retry=given.get("retry", ""),
        key=given.get("key", ""),
        per_shard=_parse_number("per_shard", given.get("per_shard", "")),
        workers=_parse_number("workers", given.get("workers", "")),
    )


def name_release(variables: Variables, config: Config) -> Variables:
    """Return the variables with channel and tag, in whichever words they were given.

    ``environment=`` is another word for ``type=``, of channels that have a root each; ``version=``
    is another word for ``tag=``, where no dataset is meant.

    Raises:
        UsageError: both words are given and differ; an environment where there is none.
    """
    channel, tag = variables.type, variables.tag
    if variables.environment:
        if config.channels and not has_roots(config):
            raise UsageError(
                "environment: expected channels with a root in lading.toml, found none;"
                " say type=, and staging=1 for a rehearsal"
            )
        channel = _agree("environment", variables.environment, "type", channel)
    is_of_dataset = variables.dataset or variables.branch or (config.datasets and not channel)
    if variables.version and config.channels and not is_of_dataset:
        tag = _agree("version", variables.version, "tag", tag)
    return replace(variables, type=channel, tag=tag)


def _agree(name: str, value: str, other: str, given: str) -> str:
    if given and given != value:
        raise UsageError(f"{name}: expected the same as {other}={given}, got {value!r}")
    return value


def _parse_number(name: str, value: str) -> int:
    if value and not re.fullmatch(r"[1-9][0-9]{0,8}", value):
        raise UsageError(f"{name}: expected a number from 1 on, got {value!r}")
    return int(value or 0)


def _parse_choice(name: str, value: str, choices: Sequence[str]) -> str:
    if value and value not in choices:
        raise UsageError(f"{name}: expected {' or '.join(choices)}, got {value!r}")
    return value


def _parse_reason(text: str) -> str:
    """Read the reason for an exception. It stands in the receipt, so one word is none."""
    reason = " ".join(text.split())
    if text and len(reason.split()) < _FEWEST_WORDS:
        raise UsageError(
            f"accept: expected a reason in words, as accept='utility X has left', got {text!r}"
        )
    return reason


def parse_flag(name: str, value: str) -> bool:
    """Read a flag: 1/0, true/false, yes/no.

    Raises:
        UsageError: any other value.
    """
    lowered = value.lower()
    if lowered not in _TRUE | _FALSE:
        raise UsageError(f"{name}: expected 1/0, true/false or yes/no, got {value!r}")
    return lowered in _TRUE
