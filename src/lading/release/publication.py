"""The published document: ``release.json`` of a project's version in one environment.

It is a manifest in other words: everything that ships, verifies, goes back or prunes takes both.
``schemas/publication.schema.json`` is made of these models:
``python -m lading.release.publication``.
"""

import json
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import quote

from pydantic import Field, ValidationError

from lading.config.publish import Publish
from lading.release.layout import RELEASE_KEY, matches_any
from lading.release.manifest import (
    SCHEMA_DIALECT,
    Frozen,
    Manifest,
    ManifestFile,
    Tool,
    fault_of_manifest,
    order_files,
    table_of,
)

GROUPS: tuple["Group", ...] = ("overlays", "tiles", "files")
Group = Literal["overlays", "tiles", "files"]
_MOMENT = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$"
_VERSION = 2


class Asset(ManifestFile):
    """One asset of a version."""

    url: str = Field(
        description="Where it is found: an absolute URL, or one relative to this document."
    )


class Assets(Frozen):
    """The assets of a version; each stands in one list, and each list is sorted by key."""

    overlays: tuple[Asset, ...] = Field(description="What is drawn over a map.")
    tiles: tuple[Asset, ...] = Field(description="Maps, cut into tiles.")
    files: tuple[Asset, ...] = Field(description="All others.")


class Publication(Frozen):
    """The published document of a project's version, as it is written."""

    schema_version: Literal[2] = Field(description="Version of this format.")
    project: str = Field(description="Name of the project.")
    version: str = Field(description="The version.")
    environment: str = Field(description="Name of the environment.")
    published_at: str = Field(
        pattern=_MOMENT,
        description="When this content was first published there, in UTC.",
        json_schema_extra={"format": "date-time"},
    )
    commit: str | None = Field(description="Git commit of a tag of this name, where there is one.")
    doi: str | None = Field(
        default=None, description="DOI of this version, where one was reserved."
    )
    source: str = Field(description="Path or URL of the version's files, as configured.")
    tool: Tool = Field(description="What made this document.")
    assets: Assets = Field(description="All that was published.")


class PublishedManifest(Manifest):
    """The published document as a manifest: its channel is the environment, its tag the version."""

    schema_version: Literal[2]  # type: ignore[assignment]  # another format of the same
    files: tuple[Asset, ...]
    groups: dict[str, Group]
    """The list that each asset stands in, by key."""
    published_at: str
    """When this content was first published there, in UTC."""

    def table(self) -> dict[str, Any]:
        """Return what ``release.json`` says, without what is not known."""
        doi = {"doi": self.doi} if self.doi else {}
        return {
            "schema_version": self.schema_version,
            "project": self.project,
            "version": self.tag,
            "environment": self.channel,
            "published_at": self.published_at,
            "commit": self.commit,
            **doi,
            "source": self.source,
            "tool": self.tool.model_dump(mode="json"),
            "assets": {
                group: [_table(each) for each in self.files if self.groups[each.key] == group]
                for group in GROUPS
            },
        }

    def at(self, published_at: str) -> "PublishedManifest":
        """Return the same content, published at another moment."""
        return self.model_copy(update={"published_at": published_at})


def publish(
    manifest: Manifest, rules: Publish, base_url: str, published_at: str
) -> PublishedManifest:
    """Make the published document of a manifest.

    Args:
        manifest: what is published.
        rules: which asset is what.
        base_url: URL of the folder that assets are found in, ending in a slash; "": URLs are
            relative to the document.
        published_at: see ``render_moment``.
    """
    return PublishedManifest(
        schema_version=_VERSION,
        project=manifest.project,
        channel=manifest.channel,
        tag=manifest.tag,
        commit=manifest.commit,
        doi=manifest.doi,
        source=manifest.source,
        tool=manifest.tool,
        files=tuple(
            Asset(**dict(each), url=base_url + quote(each.key, safe="/-._~"))
            for each in manifest.files
        ),
        groups={each.key: _group_of(rules, each.key) for each in manifest.files},
        published_at=published_at,
    )


def parse_published(data: bytes, place: str = RELEASE_KEY) -> PublishedManifest:
    """Parse a published document.

    Raises:
        ManifestError: it is none; the message begins with ``place``.
    """
    try:
        found = Publication.model_validate_json(data, strict=True)
        lists: dict[Group, tuple[Asset, ...]] = {
            group: getattr(found.assets, group) for group in GROUPS
        }
        return PublishedManifest(
            schema_version=_VERSION,
            project=found.project,
            channel=found.environment,
            tag=found.version,
            commit=found.commit,
            doi=found.doi,
            source=found.source,
            tool=found.tool,
            files=order_files(each for rows in lists.values() for each in rows),
            groups={each.key: group for group, rows in lists.items() for each in rows},
            published_at=found.published_at,
        )
    except ValidationError as error:
        raise fault_of_manifest(error, place, _VERSION) from error


def render_moment(moment: datetime) -> str:
    """Write a moment as the document has it: UTC, to the second."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def render_publication_schema() -> str:
    """Render the JSON Schema of the published document."""
    schema = {"$schema": SCHEMA_DIALECT, **Publication.model_json_schema(), "title": RELEASE_KEY}
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


def _group_of(rules: Publish, key: str) -> Group:
    if matches_any(rules.overlays, key):
        return "overlays"
    return "tiles" if matches_any(rules.tiles, key) else "files"


def _table(asset: Asset) -> dict[str, Any]:
    table = table_of(asset)
    return {"key": table.pop("key"), "url": table.pop("url"), **table}


if __name__ == "__main__":
    print(render_publication_schema(), end="")  # noqa: T201  the command's output
