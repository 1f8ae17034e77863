"""Rollouts as YAML files that people review: the same bytes for the same CronJobs."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import yaml

from lading.errors import ClusterError, StoreError
from lading.k8s.cluster import JsonObject
from lading.k8s.rollout import Rollout
from lading.storage.bytes import sync_folder as make_durable
from lading.storage.bytes import write_atomically

HEADER = b"# rendered by lading; edit its source instead\n"
"""First line of every file of ours."""
_ENVIRONMENTS = ("production", "staging")
# numbers and booleans to kubectl's YAML, which PyYAML's would leave bare: 1e3, 08, 0o17, y
_NUMBER = re.compile(
    r"[-+]?(\.\d+|\d+(\.\d*)?)(e[-+]?\d+)?|[-+]?0[xob][0-9a-f]+|[yn]", re.IGNORECASE
)
# line breaks to YAML 1.1, which would come back as others
_BREAKS = re.compile("[\x85\u2028\u2029\ufeff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderChanges:
    """What was done to a folder of rendered files; all paths from that folder, in order."""

    written: tuple[str, ...]
    """Files that were new or other."""
    removed: tuple[str, ...]
    """Files of ours that are rendered no more."""
    strangers: tuple[str, ...]
    """Files that somebody else put there; left alone."""


def render_yaml(body: JsonObject) -> bytes:
    """Render an object as YAML that ``yaml.safe_load`` and kubectl read as what it is. Pure.

    Keys sorted, block style, texts of several lines as they are, nothing wrapped, no aliases;
    the first line says whose file it is.
    """
    text = yaml.dump(
        body,
        Dumper=_Dumper,
        sort_keys=True,
        default_flow_style=False,
        allow_unicode=True,
        width=inf,
    )
    return HEADER + text.encode()


def file_names(rollouts: Sequence[Rollout]) -> dict[str, bytes]:
    """Render rollouts: ``{environment}/{name}.yaml`` and its bytes, in the order of the paths.

    Raises:
        ClusterError: two CronJobs of one environment have one name; a line for each.
    """
    files: dict[str, bytes] = {}
    faults = []
    for rollout in rollouts:
        for each in rollout.cron_jobs:
            path = f"{rollout.identity.environment}/{each.name}.yaml"
            data = render_yaml(each.body)
            if files.setdefault(path, data) != data:
                faults.append(f"{path}: expected one CronJob of that name, got two that differ")
    if faults:
        raise ClusterError("\n".join(faults))
    return dict(sorted(files.items()))


def sync_folder(folder: Path, files: Mapping[str, bytes]) -> FolderChanges:
    """Make a folder hold these files, and no other one of ours.

    Effects: writes what differs, each file whole; removes ``*.yaml`` below ``production/`` and
    ``staging/`` that begin with our first line and are not among the files. What somebody else
    put there is left alone. Safe to repeat.

    Args:
        folder: the folder; made where it is missing.
        files: all files that it is to hold, by path from the folder.

    Raises:
        ClusterError: a file of somebody else stands where one of ours is to go; nothing was done.
        StoreError: a file cannot be read, written or removed.
    """
    found = _read_all(folder)
    strangers = sorted(path for path, data in found.items() if not data.startswith(HEADER))
    if in_the_way := [path for path in strangers if path in files]:
        raise ClusterError(
            "\n".join(
                f"{path}: expected a file that lading rendered, got another one; move it away"
                for path in in_the_way
            )
        )
    written = sorted(path for path in files if found.get(path) != files[path])
    for path in written:
        write_atomically(folder / path, files[path])
    removed = sorted(found.keys() - files.keys() - set(strangers))
    for path in removed:
        _remove(folder / path)
    return FolderChanges(written=tuple(written), removed=tuple(removed), strangers=tuple(strangers))


def _read_all(folder: Path) -> dict[str, bytes]:
    try:
        return {
            each.relative_to(folder).as_posix(): each.read_bytes()
            for environment in _ENVIRONMENTS
            for each in (folder / environment).glob("*.yaml")
            if each.is_file()
        }
    except OSError as error:
        raise StoreError(f"{folder}: expected to read it, got {error.strerror!r}") from error


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
        make_durable(path.parent)
    except OSError as error:
        raise StoreError(f"{path}: expected to remove it, got {error.strerror!r}") from error


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper without aliases, and with texts of several lines as they are."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True

    def represent_text(self, text: str) -> yaml.ScalarNode:
        style = None
        if _BREAKS.search(text):
            style = '"'
        elif "\n" in text:
            style = "|"
        elif _NUMBER.fullmatch(text.replace("_", "")):
            style = "'"
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _Dumper.represent_text)
