"""Small releases for tests: a configuration, names and bytes, without a build or a command."""

from collections.abc import Mapping
from pathlib import Path

from lading.config.load import parse_config
from lading.config.models import Config
from lading.prepare.describe import describe_release
from lading.release.layout import Artifact, Layout
from lading.release.names import Release, resolve_release
from lading.ship.shipment import Shipment
from lading.storage.bytes import digest_file

NIGHTLY = "nightly-2025-02-05"
NEXT_NIGHTLY = "nightly-2025-02-06"
STABLE = "v2025.2.1"


def make_config() -> Config:
    """Return a configuration with one destination, two channels and an immutable prefix."""
    table = {
        "project": {"name": "sample"},
        "source": {"url": "source"},
        "destinations": {"gcs": {"url": "gcs"}},
        "channels": {
            "nightly": {
                "tag": r"nightly-\d{4}-\d{2}-\d{2}",
                "prefixes": ["nightly", "eel-hole"],
                "zenodo": {"env": "sandbox", "ignore": r"\.parquet$"},
            },
            "stable": {
                "tag": r"v\d{4}\.\d{1,2}\.\d{1,2}",
                "prefixes": ["{tag}", "stable"],
                "immutable": ["{tag}"],
            },
        },
    }
    return parse_config(table, "lading.toml")


def make_release(tag: str = NIGHTLY, *, staging: bool = False) -> Release:
    """Resolve a release of that configuration."""
    return resolve_release(make_config(), "", tag, staging=staging)


def make_shipment(folder: Path, files: Mapping[str, bytes], release: Release) -> Shipment:
    """Write files below a folder and describe them as a release."""
    paths = {key: folder / key for key in sorted(files)}
    for key, path in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[key])
    layout = Layout(tuple(Artifact(key, "file", key, (key,)) for key in paths), ())
    digests = [digest_file(path, md5=True) for path in paths.values()]
    sizes = {key: len(data) for key, data in files.items()}
    manifest = describe_release(release, layout, digests, {}, sizes, commit=None)
    return Shipment(release, manifest, paths)
