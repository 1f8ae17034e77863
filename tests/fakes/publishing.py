"""A small project with environments, for tests: its configuration, and versions of its source."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lading.config.load import parse_config
from lading.config.models import Config


def make_maps_config(source: str = "versions/{tag}", **more: Any) -> Config:
    """Return a configuration of two environments and one destination.

    Args:
        source: ``source.url``.
        more: further tables; ``channels`` takes the place of the two.
    """
    channels = {
        name: {"tag": r"v\d+", "root": name, "prefixes": ["{project}"]}
        for name in ("staging", "production")
    }
    table = {
        "project": {"name": "maps"},
        "source": {"url": source},
        "destinations": {"gcs": {"url": "gcs"}},
        "channels": channels,
        **more,
    }
    return parse_config(table, "lading.toml")


def make_version(
    folder: Path, files: Mapping[str, bytes] | None = None, *, ready: bool = True
) -> Path:
    """Write a version: files by name, and the marker where it is ready; return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in (files or {}).items():
        (folder / name).write_bytes(data)
    if ready:
        (folder / "success").touch()
    return folder
