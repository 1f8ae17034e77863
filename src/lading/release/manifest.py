"""The manifest: ``release.json`` and ``SHA256SUMS``, the same bytes for the same release.

A reader finds for each public file its digests and the key of its immutable copy in the
depot, so that he can fetch one consistent release even while a prefix is being switched.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lading.errors import ManifestError
from lading.release.layout import RELEASE_KEY, SUMS_KEY, fault_of_name
from lading.release.names import CONTROL
from lading.release.objects import Digest, digest_bytes

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SHA256 = r"^[0-9a-f]{64}$"
_PUBLISHED = 2  # schema_version of the published document of a version
_MEDIA_TYPES = {
    "csv": "text/csv",
    "duckdb": "application/octet-stream",
    "geojson": "application/geo+json",
    "gz": "application/gzip",
    "html": "text/html",
    "json": "application/json",
    "mbtiles": "application/vnd.sqlite3",
    "md": "text/markdown",
    "mvt": "application/vnd.mapbox-vector-tile",
    "parquet": "application/vnd.apache.parquet",
    "pdf": "application/pdf",
    "pmtiles": "application/vnd.pmtiles",
    "png": "image/png",
    "sqlite": "application/vnd.sqlite3",
    "txt": "text/plain",
    "webp": "image/webp",
    "xml": "application/xml",
    "yaml": "application/yaml",
    "yml": "application/yaml",
    "zip": "application/zip",
}


class Frozen(BaseModel):
    """What stands in ``release.json``: nothing more, and as it was read."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Origin(Frozen):
    """What a public file was made of."""

    kind: Literal["file", "sqlite", "bundle", "built", "stored"] = Field(
        description="The file itself, a zipped database, a stored bundle of a folder, what a"
        " command built of a file, or an asset that stood in storage already."
    )
    path: str = Field(
        description="Path in the build: of the file, the database, or the folder; of an asset that"
        " stood in storage its URL."
    )
    size_bytes: int | None = Field(
        default=None, ge=0, description="Size in the build, before anything was packed."
    )


class ManifestFile(Frozen):
    """One public file."""

    key: str = Field(description="Key inside a prefix.")
    size_bytes: int = Field(ge=0, description="Size in bytes.")
    sha256: str = Field(pattern=_SHA256, description="SHA-256, lower-case hex.")
    crc32c: str = Field(description="CRC32C, base64 of the big-endian value.")
    md5: str | None = Field(
        default=None, description="MD5, lower-case hex; only of files that Zenodo gets."
    )
    media_type: str = Field(description="Media type.")
    rows: dict[str, int] | None = Field(
        default=None,
        description="Rows by table: of a database, of a parquet file, of each parquet file in a"
        " bundle; not given for other files.",
    )
    origin: Origin = Field(description="What it was made of.")
    depot_key: str = Field(description="Key of the immutable copy, from the root of the depot.")

    @property
    def digest(self) -> Digest:
        """The file's digests as one value."""
        return Digest(
            size_bytes=self.size_bytes,
            sha256=self.sha256,
            crc32c=self.crc32c,
            md5=self.md5 or "",
        )


class Tool(Frozen):
    """What made the manifest."""

    name: str = Field(description="Name of the tool.")
    version: str = Field(description="Its version.")


class Manifest(Frozen):
    """One release, described."""

    schema_version: Literal[1] = Field(description="Version of this format.")
    project: str = Field(description="Name of the project.")
    channel: str = Field(description="Name of the channel.")
    tag: str = Field(description="The git tag.")
    commit: str | None = Field(description="Git commit of the tag, where it is known.")
    doi: str | None = Field(
        default=None, description="DOI of this version, where one was reserved before the release."
    )
    source: str = Field(description="Path or URL of the build, as configured.")
    tool: Tool = Field(description="What made this manifest.")
    files: tuple[ManifestFile, ...] = Field(description="Every public file, sorted by key.")

    @model_validator(mode="after")
    def _check_keys(self) -> "Manifest":
        keys = [each.key for each in self.files]
        if len(set(keys)) != len(keys):
            raise ValueError("expected each key once")
        for each in self.files:
            if fault := fault_of_name(each.key):
                raise ValueError(f"expected keys that can ship, got {each.key!r}: {fault}")
            if each.depot_key != depot_key_of(each.sha256):
                raise ValueError(f"expected the depot key of its sha256 for {each.key!r}")
        return self

    @property
    def size_bytes(self) -> int:
        """Sum of the sizes of the files."""
        return sum(each.size_bytes for each in self.files)

    def table(self) -> dict[str, Any]:
        """Return what ``release.json`` says, without what is not known."""
        table = self.model_dump(mode="json")
        if table["doi"] is None:
            del table["doi"]
        table["files"] = [table_of(each) for each in self.files]
        return table


def media_type_of(key: str) -> str:
    """Name the media type of a key by its extension; ``application/octet-stream`` if unknown."""
    if key == SUMS_KEY:
        return "text/plain"
    extension = PurePosixPath(key).suffix.removeprefix(".").lower()
    return _MEDIA_TYPES.get(extension, "application/octet-stream")


def depot_key_of(sha256: str) -> str:
    """Return the key of an object in the depot, from the depot's root."""
    return f"{CONTROL}objects/{sha256}"


def table_of(file: ManifestFile) -> dict[str, Any]:
    """Return what ``release.json`` says of a file, without what is not known."""
    table = file.model_dump(mode="json")
    for optional in ("md5", "rows"):
        if table[optional] is None:
            del table[optional]
    if table["origin"]["size_bytes"] is None:
        del table["origin"]["size_bytes"]
    return table


def render_manifest(manifest: Manifest) -> bytes:
    """Render ``release.json``: equal manifests give equal bytes."""
    return (json.dumps(manifest.table(), indent=1, ensure_ascii=False) + "\n").encode()


def render_sums(manifest: Manifest) -> bytes:
    """Render ``SHA256SUMS``: what ``sha256sum -c`` reads in the folder of a prefix."""
    rows = [(each.key, each.sha256) for each in manifest.files]
    rows.append((RELEASE_KEY, digest_bytes(render_manifest(manifest)).sha256))
    return "".join(f"{sha256}  {key}\n" for key, sha256 in sorted(rows)).encode()


def parse_manifest(data: bytes, place: str = RELEASE_KEY) -> Manifest:
    """Parse ``release.json``: a manifest, or the published document of a version.

    Raises:
        ManifestError: not one of these formats; the message begins with ``place``.
    """
    try:
        return Manifest.model_validate_json(data, strict=True)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        if any(
            each["loc"] == ("schema_version",) and each["input"] == _PUBLISHED for each in faults
        ):
            from lading.release import publication  # noqa: PLC0415  it is made of this module

            return publication.parse_published(data, place)
        raise fault_of_manifest(error, place, 1) from error


def fault_of_manifest(error: ValidationError, place: str, schema_version: int) -> ManifestError:
    """Return the error of a ``release.json`` that is not of a format."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    fault = first["msg"].removeprefix("Value error, ")
    return ManifestError(
        f"{place}: expected a manifest of schema_version {schema_version},"
        f" got a fault{f' at {where}' if where else ''}: {fault}"
    )


def documents_of(manifest: Manifest) -> dict[str, bytes]:
    """Return the two documents of a release, in the order in which they are switched."""
    return {SUMS_KEY: render_sums(manifest), RELEASE_KEY: render_manifest(manifest)}


def objects_of(manifest: Manifest) -> dict[str, Digest]:
    """Return every object of a prefix: files sorted by key, then the two documents."""
    documents = documents_of(manifest)
    return {
        **{each.key: each.digest for each in manifest.files},
        **{key: digest_bytes(data) for key, data in documents.items()},
    }


def order_files(files: Iterable[ManifestFile]) -> tuple[ManifestFile, ...]:
    """Sort the files of a manifest by key, as bytes, so that no locale matters."""
    return tuple(sorted(files, key=lambda each: each.key.encode()))


def render_manifest_schema() -> str:
    """Render the JSON Schema of ``release.json``."""
    schema: Mapping[str, Any] = {
        "$schema": SCHEMA_DIALECT,
        **Manifest.model_json_schema(),
        "title": RELEASE_KEY,
    }
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    print(render_manifest_schema(), end="")  # noqa: T201  the command's output
