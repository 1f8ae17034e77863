"""A release ready to be sent: its manifest, and where the bytes of each object stand."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from lading.release.manifest import Manifest, ManifestFile, documents_of, media_type_of, objects_of
from lading.release.names import Release
from lading.release.objects import Digest, digest_bytes
from lading.ship.stored import StoredPlace
from lading.storage import Attributes, Body


@dataclass(frozen=True)
class Shipment:
    """A manifest and its bytes."""

    release: Release
    """The names of this run."""
    manifest: Manifest
    """What is released."""
    paths: Mapping[str, Path]
    """File on this machine by key; empty on a machine that only verifies."""
    stored: Mapping[str, StoredPlace] = field(default_factory=dict)
    """Where an asset stands that is in storage already, by sha256."""

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
    def media_types(self) -> dict[str, str]:
        """The media type of every object of a prefix by key."""
        return {
            **{each.key: each.media_type for each in self.manifest.files},
            **{key: media_type_of(key) for key in self.documents},
        }

    def opened(self, file: ManifestFile) -> AbstractContextManager[Path]:
        """Give the bytes of a file, here, while a block runs."""
        if file.key in self.paths:
            return nullcontext(self.paths[file.key])
        return self.stored[file.sha256].fetched()

    def bodies(self, cache_control: str = "") -> dict[str, Body]:
        """Return what to send, by sha256; of assets in storage all but their bytes.

        Args:
            cache_control: how long caches may keep it.
        """
        bodies = {}
        for key, digest in self.objects.items():
            attributes = Attributes(media_type=self.media_types[key], cache_control=cache_control)
            if key in self.documents:
                bodies[digest.sha256] = Body(digest, None, self.documents[key], attributes)
            elif key in self.paths:
                bodies[digest.sha256] = Body(digest, self.paths[key], b"", attributes)
            elif digest.sha256 in self.stored:
                bodies.setdefault(digest.sha256, Body(digest, None, b"", attributes))
        return bodies
