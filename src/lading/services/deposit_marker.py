"""The mark that a deposit of ours bears: by it a draft is known as ours, and a version as released.

It is an additional description of the record, of the type technical-info, and tells a reader
which release he looks at.
"""

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_TEXT = re.compile(
    r"Deposited by Lading: project (?P<project>[a-z0-9_-]+), channel (?P<channel>[a-z0-9_-]+),"
    r" tag (?P<tag>\S+?)\.(?: Its release\.json has the sha256 (?P<sha256>[0-9a-f]{64})\.)?"
)
_TAGS = re.compile(r"<[^<>]*>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """Which release a deposit is of."""

    project: str
    """Name of the project."""
    channel: str
    """Name of the channel."""
    tag: str
    """The git tag."""
    manifest_sha256: str = ""
    """The sha256 of release.json; "" as long as there is none."""

    def has_series_of(self, other: "Marker | None") -> bool:
        """Say whether both are of one project and channel."""
        return other is not None and (self.project, self.channel) == (other.project, other.channel)

    def has_release_of(self, other: "Marker | None") -> bool:
        """Say whether both are of one project, channel and tag."""
        return other is not None and self.has_series_of(other) and self.tag == other.tag


def render_marker(marker: Marker) -> dict[str, Any]:
    """Render a marker as an additional description of a record."""
    text = f"Deposited by Lading: project {marker.project}, channel {marker.channel},"
    text += f" tag {marker.tag}."
    if marker.manifest_sha256:
        text += f" Its release.json has the sha256 {marker.manifest_sha256}."
    # a description is HTML, and is cleaned as such by the service
    return {"description": html.escape(text, quote=False), "type": {"id": "technical-info"}}


def parse_marker(metadata: Mapping[str, Any]) -> Marker | None:
    """Return the marker in the metadata of a record, or None where there is none."""
    for each in metadata.get("additional_descriptions") or ():
        found = _TEXT.fullmatch(plain_text(str(each.get("description", ""))))
        if found:
            return Marker(
                project=found["project"],
                channel=found["channel"],
                tag=found["tag"],
                manifest_sha256=found["sha256"] or "",
            )
    return None


def plain_text(text: str) -> str:
    """Return a text without HTML tags, its whitespace as single blanks."""
    return " ".join(html.unescape(_TAGS.sub(" ", text)).split())
