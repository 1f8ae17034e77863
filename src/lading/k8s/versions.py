"""Versions of a dataset: where the repository says them, and which one may be staged."""

import json
import tomllib
from collections.abc import Mapping
from typing import Any

from lading.config.problems import nearest, render_value
from lading.errors import SourceError, UsageError
from lading.k8s.identity import check_version

_SHOWN = 10


def read_version(data: bytes, place: str, key: str) -> str:
    """Read the version of a dataset from a file of the repository.

    Args:
        data: the file's bytes.
        place: the file's path, or ``PATH at REF``; ``.toml`` is read as TOML, all else as JSON.
            For messages, too.
        key: key of the version, its parts joined by dots.

    Raises:
        SourceError: the file cannot be read as that, has no such key, or holds something else
            there than a version.
    """
    found: Any = _parse(data, place)
    parts = key.split(".")
    for at, part in enumerate(parts):
        if not isinstance(found, Mapping):
            above = ".".join(parts[:at])
            raise SourceError(
                f"{place}: expected a table{f' at key {above!r}' if above else ''},"
                f" got {_described(found)}"
            )
        if part not in found:
            raise SourceError(_missing(place, key, part, list(found)))
        found = found[part]
    if not isinstance(found, str):
        raise SourceError(
            f"{place}: {key}: expected a version as a string, got {_described(found)};"
            " put quotes round it"
        )
    return _checked(found, f"{place}: {key}")


def check_staged_version(
    dataset: str,
    asked: str,
    standing: str,
    main: str | None,
    ref: str,
    place: str = "the repository",
) -> list[str]:
    """Return one line for each reason why a version may not be staged. Pure.

    Args:
        dataset: name of the dataset.
        asked: version that is to be staged.
        standing: version that the repository says, at the commit that is staged.
        main: version that production is deployed from; None: the dataset is new there.
        ref: git's name of what production is deployed from.
        place: file where ``standing`` was read.
    """
    faults = []
    if asked != standing:
        faults.append(f"version: expected {standing}, as {place} says, got {asked}")
    if main is not None and asked == main:
        faults.append(
            f"version: expected another than {main}, which {dataset} has at {ref}: it would write"
            f" the store of production, got {asked}; raise it in {place}"
        )
    return faults


def _parse(data: bytes, place: str) -> Any:
    is_toml = place.partition(" at ")[0].endswith(".toml")
    try:
        text = data.decode("utf-8-sig")
        return tomllib.loads(text) if is_toml else json.loads(text)
    except (ValueError, RecursionError) as error:  # both parsers' errors are ValueErrors
        form = "TOML" if is_toml else "JSON"
        said = " ".join(str(error).split())
        raise SourceError(f"{place}: expected {form}, got an error: {said:.200}") from error


def _missing(place: str, key: str, part: str, known: list[str]) -> str:
    shown = ", ".join(repr(each) for each in known[:_SHOWN]) or "none"
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    asked = repr(key) if key == part else f"{key!r} (its part {part!r})"
    return f"expected key {asked} in {place}, found keys {shown}{more}{nearest(part, known)}"


def _described(value: Any) -> str:
    return f"a list of {len(value)}" if isinstance(value, list) else render_value(value)


def _checked(version: str, place: str) -> str:
    try:
        return check_version(version)
    except UsageError as error:
        raise SourceError(f"{place}: {error}") from error
