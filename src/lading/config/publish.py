"""What a lading.toml says of publishing: versions of a project, their assets, their builds."""

from pydantic import Field

from lading.config.values import Endpoint, KeyTemplate, Model, Pattern, RelativePath, Slug


class Build(Model):
    """A file that is made by a command where a version does not bring it."""

    name: Slug = Field(description="Name of the build: `build:<name>` is its task.")
    of: tuple[Pattern, ...] = Field(
        min_length=1, description="Patterns of the files that it is made of, one at a time."
    )
    makes: KeyTemplate = Field(
        description="Path of what is made, in the version; may use {path}, {name}, {stem},"
        " {folder} of the file."
    )
    command: tuple[str, ...] = Field(
        min_length=1,
        description="Program and arguments, never a shell; {input} and {output} are paths.",
    )
    timeout_minutes: int = Field(default=60, ge=1, description="Minutes that a command may take.")


class Publish(Model):
    """Versions of a project as published documents; for channels that have a `root`."""

    base_url: Endpoint = Field(
        default="",
        description="URL under which people read the root of the channel's first destination;"
        " empty: the cloud's own, or URLs relative to release.json.",
    )
    overlays: tuple[Pattern, ...] = Field(
        default=("*.geojson",), description="Patterns of the assets that are overlays."
    )
    tiles: tuple[Pattern, ...] = Field(
        default=("*.pmtiles", "*.mbtiles", "/tiles/**"),
        description="Patterns of the assets that are tiles; all others are files.",
    )
    sums: RelativePath = Field(
        default="",
        description="File of a version, in the form of SHA256SUMS, whose digests its assets must"
        " have; empty: none is asked for.",
    )
    stored: RelativePath = Field(
        default="",
        description="File of a version that names assets which stand in storage already; they are"
        " verified, and copied on the side of the store.",
    )
    build: tuple[Build, ...] = Field(default=(), description="What is made where it is missing.")
