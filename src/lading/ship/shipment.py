"""A release ready to be sent: its manifest, and where the bytes of each object stand."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lading.release.manifest import Manifest, documents_of, objects_of
from lading.release.names import Release
from lading.release.objects import Digest, digest_bytes
from lading.storage import Body


@dataclass(frozen=True)
class Shipment:
    """A manifest and its bytes."""

    release: Release
    """The names of this run."""
    manifest: Manifest
    """What is released."""
    paths: Mapping[str, Path]
    """File on this machine by key; empty on a machine that only verifies."""

    @cached_property
    def objects(self) -> dict[str, Digest]:
        """Every object of a prefix by key, in the order in which they are switched."""
        return objects_of(self.manifest)

    @cached_property
    def documents(self) -> dict[str, bytes]:
        """The two documents by key, in the order in which they are switched."""
        return documents_of(self.manifest)

    @cached_property
    def manifest_sha256(self) -> str:
        """Identity of the release: the sha256 of its ``release.json``."""
        return digest_bytes([*self.documents.values()][-1]).sha256

    @cached_property
    def bodies(self) -> dict[str, Body]:
        """What to send, by sha256."""
        bodies = {
            file.sha256: Body(file.digest, self.paths[file.key], media_type=file.media_type)
            for file in self.manifest.files
            if file.key in self.paths
        }
        for key, data in self.documents.items():
            media_type = "application/json" if key.endswith(".json") else "text/plain"
            body = Body.of_bytes(data, media_type)
            bodies[body.digest.sha256] = body
        return bodies
