"""Read a schema file, in TOML, YAML or JSON, with all that it names beside it."""

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import yaml
from pydantic import ValidationError

from lading.config.problems import render_problems
from lading.errors import MisconfiguredError, MissingObjectError, StoreError, UnavailableError
from lading.jobs.refs import ObjectRef, OpenStore
from lading.jobs.transform.rules import find_conflicts
from lading.jobs.transform.schema import Schema
from lading.release.objects import digest_bytes

_KINDS = (".toml", ".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A small file that a run reads: the schema, or a lookup."""

    ref: ObjectRef
    """Where it stands, and its digest."""
    data: bytes
    """Its bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSchema:
    """A schema with the tables that it looks up."""

    schema: Schema
    """The model; its name is never ""."""
    document: Document
    """The schema file."""
    lookups: tuple[Document, ...]
    """One for each of ``schema.lookups``, in order."""

    @property
    def refs(self) -> list[ObjectRef]:
        """All files, for the fingerprint of a run's inputs."""
        return [self.document.ref, *(each.ref for each in self.lookups)]


def load_schema(place: str, open_store: OpenStore) -> LoadedSchema:
    """Load a schema and its lookups.

    Args:
        place: path or URL of the schema file.
        open_store: opens the stores of both.

    Raises:
        MisconfiguredError: a file is missing, or the schema has problems: all of them, a line
            each.
    """
    document = read_document(place, open_store, "--schema")
    schema = parse_schema(document.data, PurePosixPath(place).name)
    folder = place.rpartition("/")[0]
    lookups, problems = [], []
    for number, each in enumerate(schema.lookups):
        where = f"{PurePosixPath(place).name}: lookups[{number}].file"
        try:
            lookups.append(read_document(_beside(folder, each.file), open_store, where))
        except MisconfiguredError as error:
            problems.append(str(error))
    if problems:
        raise MisconfiguredError("\n".join(problems))
    return LoadedSchema(schema=schema, document=document, lookups=tuple(lookups))


def parse_schema(data: bytes, file_name: str) -> Schema:
    """Make a model of a schema file.

    Args:
        data: its bytes.
        file_name: its name: the ending tells the language; each problem begins with it.

    Raises:
        MisconfiguredError: one line a problem.
    """
    table = _read(data, file_name)
    problems = list(_keys_that_are_no_text(table, ""))
    if not problems:
        try:
            text = json.dumps(table, default=str)
            schema = Schema.model_validate_json(text, strict=True)
        except ValidationError as error:
            problems = render_problems(error, Schema)
        else:
            problems = find_conflicts(schema)
    if problems:
        raise MisconfiguredError("\n".join(f"{file_name}: {each}" for each in problems))
    stem = PurePosixPath(file_name).stem
    return schema if schema.name else schema.model_copy(update={"name": stem})


def read_document(place: str, open_store: OpenStore, what: str) -> Document:
    """Read a small file from wherever it is.

    Args:
        place: its path or URL.
        open_store: opens the store of its folder.
        what: what a problem begins with.

    Raises:
        MisconfiguredError: there is none, or it cannot be read.
        UnavailableError: the store did not answer.
    """
    folder, _, name = place.rpartition("/")
    if not name:
        raise MisconfiguredError(f"{what}: expected a file, got {place!r}")
    try:
        store = open_store(folder or ("/" if place.startswith("/") else "."))
        data = store.get(name)
    except MissingObjectError as error:
        raise MisconfiguredError(f"{what}: expected a file, found none at {place}") from error
    except UnavailableError:
        raise
    except StoreError as error:
        raise MisconfiguredError(f"{what}: expected a readable file, got: {error}") from error
    digest = digest_bytes(data)
    ref = ObjectRef(
        store_url=store.url,
        key=name,
        size_bytes=len(data),
        sha256=digest.sha256,
        crc32c=digest.crc32c,
    )
    return Document(ref=ref, data=data)


def _beside(folder: str, file: str) -> str:
    is_whole = "://" in file or file.startswith("/") or not folder
    return file if is_whole else f"{folder}/{file}"


def _read(data: bytes, file_name: str) -> dict[str, Any]:
    kind = PurePosixPath(file_name).suffix.lower()
    if kind not in _KINDS:
        raise MisconfiguredError(
            f"{file_name}: expected a file that ends in {', '.join(_KINDS)}, got {kind!r}"
        )
    try:
        text = data.decode("utf-8-sig")
        table = _parse(text, kind)
    except UnicodeDecodeError as error:
        raise MisconfiguredError(f"{file_name}: expected UTF-8 text, got {error.reason}") from error
    except (ValueError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())
        language = {".toml": "TOML", ".json": "JSON"}.get(kind, "YAML")
        raise MisconfiguredError(f"{file_name}: expected {language}, got: {said}") from error
    if not isinstance(table, dict):
        raise MisconfiguredError(f"{file_name}: expected a table, got {type(table).__name__}")
    return table


def _parse(text: str, kind: str) -> Any:
    if kind == ".toml":
        return tomllib.loads(text)
    return json.loads(text) if kind == ".json" else yaml.safe_load(text)


def _keys_that_are_no_text(value: Any, place: str) -> Iterator[str]:
    """Find what YAML made of keys without quotes: yes and no are no text there, nor is 1."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            if isinstance(key, str):
                yield from _keys_that_are_no_text(each, f"{place}.{key}" if place else key)
            else:
                yield f"{place}: expected text as a key, got {key!r}; put it in quotes"
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _keys_that_are_no_text(each, f"{place}[{number}]")
