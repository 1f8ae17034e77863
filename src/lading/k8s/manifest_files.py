"""Manifests from a file of the repository, YAML or JSON; nothing of it is ever run."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from lading.errors import ClusterError
from lading.k8s.json_data import NoJson, plain_data

_TAG = "tag:yaml.org,2002:"
_NO_JSON = {
    f"{_TAG}timestamp": "the date or time",
    f"{_TAG}binary": "the binary value",
    f"{_TAG}value": "the value",
}


def read_manifests(path: str, repository: Path) -> list[tuple[str, Any]]:
    """Read the documents of a file, with the place of each: ``k8s/a.yaml[1]``.

    Empty documents count and are left out.

    Args:
        path: the file, from the repository's folder.
        repository: that folder.

    Raises:
        ClusterError: no such file below that folder; not YAML or JSON, with the line; a key
            twice in one mapping; or what JSON does not know (a date, ``.nan``, a key that is
            a number). One line a fault.
    """
    text = _read(path, repository)
    faults: list[str] = []
    parse = _parse_json if path.endswith(".json") else _parse_yaml
    documents = parse(text, path, faults)
    found = [
        (place, plain_data(each, place, faults))
        for place, each in ((f"{path}[{at}]", each) for at, each in enumerate(documents))
        if each is not None
    ]
    if faults:
        raise ClusterError("\n".join(faults))
    if not found:
        raise ClusterError(f"{path}: expected CronJobs, got an empty file")
    return found


def _read(path: str, repository: Path) -> str:
    file = repository / path
    if not file.resolve().is_relative_to(repository.resolve()):
        raise ClusterError(f"{path}: expected a file of the repository, got one outside of it")
    try:
        data = file.read_bytes()
    except OSError as error:
        found = "none" if isinstance(error, FileNotFoundError) else repr(error.strerror)
        raise ClusterError(f"{path}: expected a file of the repository, got {found}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ClusterError(f"{path}: line {line}: expected UTF-8, got other bytes") from error


def _parse_json(text: str, path: str, faults: list[str]) -> Sequence[Any]:
    def as_table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        faults.extend(
            f"{path}: expected each key once in a mapping, got {key!r} twice"
            for key, count in Counter(key for key, _ in pairs).items()
            if count > 1
        )
        return dict(pairs)

    try:
        found = json.loads(text, object_pairs_hook=as_table, parse_constant=NoJson)
    except json.JSONDecodeError as error:
        if not text.strip():
            return []
        raise ClusterError(f"{path}: line {error.lineno}: expected JSON, got {error.msg!r}") from (
            error
        )
    except (RecursionError, ValueError) as error:
        raise ClusterError(f"{path}: expected JSON, got {error!s:.100}") from error
    return [found]


def _parse_yaml(text: str, path: str, faults: list[str]) -> Sequence[Any]:
    documents: list[Any] = []
    try:
        loader = _Loader(text)
        while loader.check_data():  # type: ignore[no-untyped-call]  # not in the stubs
            documents.append(loader.get_data())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}: line {mark.line + 1}" if mark else path
        raise ClusterError(f"{place}: expected YAML, got {error.problem or error.context!r}") from (
            error
        )
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise ClusterError(f"{path}: line {line}: expected YAML, got {error.reason!r}") from error
    except (ValueError, LookupError, AttributeError, RecursionError) as error:
        # PyYAML lets through what Python says of `!!int x`, `!!bool x` and 1000 brackets
        raise ClusterError(f"{path}: expected YAML, got {error!s:.100}") from error
    faults.extend(
        f"{path}: line {line}: expected each key once in a mapping, got {key!r} twice"
        for line, key in loader.doubled
    )
    return documents


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which would take the last of two equal keys without a word."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.doubled: list[tuple[int, str]] = []

    def compose_mapping_node(self, anchor: Any) -> Any:
        # before aliases are merged in: what a mapping overrides on purpose is no double
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    self.doubled.append((key.start_mark.line + 1, key.value))
                seen.add((key.tag, key.value))
        return node

    def construct_odd(self, node: yaml.ScalarNode) -> NoJson:
        return NoJson(f"{_NO_JSON[node.tag]} {node.value!r:.40} without quotes")

    def construct_number(self, node: yaml.ScalarNode) -> Any:
        # YAML 1.1 reads 12:30 as 750; kubectl does not
        if ":" in str(node.value):
            return NoJson(f"the number to base 60 {node.value!r:.40} without quotes")
        if node.tag.endswith("int"):
            return self.construct_yaml_int(node)
        return self.construct_yaml_float(node)


for _tag in _NO_JSON:
    _Loader.add_constructor(_tag, _Loader.construct_odd)
for _tag in (f"{_TAG}int", f"{_TAG}float"):
    _Loader.add_constructor(_tag, _Loader.construct_number)
