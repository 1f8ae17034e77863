"""Cut an overlay into tiles: a zip of GeoJSON, one file a tile, `{z}/{x}/{y}.geojson`.

python3 make_tiles.py overlays/harbours.geojson tiles/harbours.zip

These are tiles of GeoJSON and no vector tiles of any standard: enough for an example, with the
standard library alone. A feature is in each tile that its bounding box touches; it is not clipped.
Tiles are those of Web Mercator, zoom 4 to 7; equal overlays give equal bytes. In life this would be
tippecanoe, or another maker of PMTiles.
"""

import json
import math
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ZOOMS = range(4, 8)
MAX_LATITUDE = 85.05112878


def main(source: Path, target: Path) -> None:
    """Cut the overlay at `source` into the archive at `target`."""
    features = json.loads(source.read_text(encoding="utf-8"))["features"]
    tiles: dict[tuple[int, int, int], list[Any]] = {}
    for feature in features:
        for tile in _tiles_of(feature):
            tiles.setdefault(tile, []).append(feature)
    if not tiles:
        sys.exit(f"{source.name}: expected at least one feature, found none")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for (zoom, column, row), inside in sorted(tiles.items()):
            entry = zipfile.ZipInfo(f"{zoom}/{column}/{row}.geojson")  # of 1980: the same bytes
            table = {"type": "FeatureCollection", "features": inside}
            archive.writestr(entry, json.dumps(table, separators=(",", ":")))


def _tiles_of(feature: Any) -> Iterator[tuple[int, int, int]]:
    points = [*_points(feature["geometry"]["coordinates"])]
    west, east = min(x for x, _ in points), max(x for x, _ in points)
    south, north = min(y for _, y in points), max(y for _, y in points)
    for zoom in ZOOMS:
        left, top = _tile(west, north, zoom)
        right, bottom = _tile(east, south, zoom)
        for column in range(left, right + 1):
            for row in range(top, bottom + 1):
                yield zoom, column, row


def _points(coordinates: Any) -> Iterator[tuple[float, float]]:
    if isinstance(coordinates[0], list):
        for each in coordinates:
            yield from _points(each)
    else:
        yield coordinates[0], coordinates[1]


def _tile(longitude: float, latitude: float, zoom: int) -> tuple[int, int]:
    side = 2**zoom
    angle = math.radians(max(-MAX_LATITUDE, min(MAX_LATITUDE, latitude)))
    column = int((longitude + 180) / 360 * side)
    row = int((1 - math.asinh(math.tan(angle)) / math.pi) / 2 * side)
    return min(max(column, 0), side - 1), min(max(row, 0), side - 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
