"""Make the versions of the example anew: the same bytes each time.

python3 make_versions.py

The coast, its harbours and its ferries are invented; nothing here is a map of any place.
"""

import hashlib
import json
import math
import random
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
VERSIONS = {"v1": 60, "v2": 72}
"""Harbours of each version; those of v1 are in v2, too."""

Feature = dict[str, Any]


def main() -> None:
    """Write the coastline to the library, then each version below `versions`."""
    coast = _coast()
    library = HERE / "library"
    library.mkdir(exist_ok=True)
    _write(library / "coastline.geojson", [_feature("LineString", coast, {"name": "Eastholm"})])
    for version, harbours in VERSIONS.items():
        _make_version(HERE / "versions" / version, version, coast, harbours)


def _make_version(folder: Path, version: str, coast: list[list[float]], harbours: int) -> None:
    overlays = folder / "overlays"
    overlays.mkdir(parents=True, exist_ok=True)
    places = _harbours(coast, harbours)
    _write(overlays / "harbours.geojson", places)
    _write(overlays / "ferries.geojson", _ferries(places))
    if version == "v2":
        _write(overlays / "anchorages.geojson", _anchorages(places))
    text = f"# Sources\n\nVersion {version}: {harbours} harbours. Invented, for an example.\n"
    (folder / "sources.md").write_text(text, encoding="utf-8")
    _write_stored(folder / "stored.json")
    _write_sums(folder)
    (folder / "success").touch()


def _coast() -> list[list[float]]:
    """Return a closed line around an island, 400 points of longitude and latitude."""
    points = []
    for step in range(400):
        angle = 2 * math.pi * step / 400
        radius = 0.8 + 0.12 * math.sin(5 * angle) + 0.05 * math.cos(11 * angle)
        points.append(
            [round(12 + 1.6 * radius * math.cos(angle), 4), round(57 + radius * math.sin(angle), 4)]
        )
    return [*points, points[0]]


def _harbours(coast: list[list[float]], number: int) -> list[Feature]:
    chance = random.Random(7)
    found = []
    for index in range(number):
        longitude, latitude = coast[chance.randrange(len(coast))]
        facts = {
            "id": index + 1,
            "name": f"Harbour {index + 1}",
            "berths": chance.randrange(5, 400),
            "depth_m": round(chance.uniform(1.5, 14), 1),
        }
        found.append(_feature("Point", [longitude, latitude], facts))
    return found


def _ferries(harbours: list[Feature]) -> list[Feature]:
    lines = []
    for index in range(0, len(harbours) - 1, 2):
        ends = [each["geometry"]["coordinates"] for each in harbours[index : index + 2]]
        facts = {
            "line": index // 2 + 1,
            "from": harbours[index]["properties"]["name"],
            "to": harbours[index + 1]["properties"]["name"],
        }
        lines.append(_feature("LineString", ends, facts))
    return lines


def _anchorages(harbours: list[Feature]) -> list[Feature]:
    areas = []
    for each in harbours[::6]:
        longitude, latitude = each["geometry"]["coordinates"]
        corners = [(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]
        ring = [[round(longitude + 0.02 * x, 4), round(latitude + 0.01 * y, 4)] for x, y in corners]
        areas.append(_feature("Polygon", [ring], {"near": each["properties"]["name"]}))
    return areas


def _feature(kind: str, coordinates: Any, properties: dict[str, Any]) -> Feature:
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def _write(path: Path, features: list[Feature]) -> None:
    table = {"type": "FeatureCollection", "features": features}
    path.write_text(json.dumps(table, separators=(",", ":")) + "\n", encoding="utf-8")


def _write_stored(path: Path) -> None:
    data = (HERE / "library" / "coastline.geojson").read_bytes()
    asset = {
        "key": "base/coastline.geojson",
        "url": "library/coastline.geojson",
        "size_bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    path.write_text(json.dumps([asset], indent=1) + "\n", encoding="utf-8")


def _write_sums(folder: Path) -> None:
    paths = [*sorted(folder.glob("overlays/*.geojson")), folder / "sources.md"]
    lines = [
        f"{hashlib.sha256(each.read_bytes()).hexdigest()}  {each.relative_to(folder).as_posix()}\n"
        for each in paths
    ]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
