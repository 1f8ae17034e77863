"""A big release to both clouds in a process of its own, which says what it took.

    python -m tests.e2e.big_release FOLDER GCS_URL S3_URL

Ships all files below ``FOLDER/files`` to one prefix of the bucket ``big`` of each cloud, as a
release does: both depots, then both prefixes, then receipts, which a later run reads.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lading.config.load import parse_config
from lading.config.models import Config
from lading.prepare.describe import describe_release
from lading.prepare.digests import DigestCache
from lading.release.layout import Artifact, Layout
from lading.release.names import resolve_release
from lading.release.receipts import Receipt, load_receipt, render_receipt
from lading.ship.depot import DepotTarget
from lading.ship.promote import PrefixTarget
from lading.ship.shipment import Shipment
from lading.ship.target import settle
from lading.storage import open_store

BUCKET = "big"


@dataclass(frozen=True)
class Took:
    """What a run has taken."""

    peak_mib: float
    """Most memory that the process ever had."""
    before_mib: float
    """The same, before anything was sent."""
    describe_s: float
    """Seconds to digest and describe the files."""
    ship_s: float
    """Seconds to ship them."""
    changed: int
    """Objects that were sent, copied or replaced."""


def make_config(gcs_url: str, s3_url: str) -> Config:
    """Return a configuration with the two buckets."""
    table = {
        "project": {"name": "big"},
        "source": {"url": "source"},
        "destinations": {
            "gcs": {"url": f"gs://{BUCKET}", "endpoint": gcs_url, "anonymous": True},
            "s3": {"url": f"s3://{BUCKET}", "endpoint": s3_url},
        },
        "channels": {"nightly": {"tag": "night-.*", "prefixes": ["nightly"]}},
    }
    return parse_config(table, "lading.toml")


def make_shipment(folder: Path, config: Config) -> Shipment:
    """Describe all files of a folder."""
    files = folder / "files"
    paths = {p.relative_to(files).as_posix(): p for p in sorted(files.rglob("*")) if p.is_file()}
    layout = Layout(tuple(Artifact(key, "file", key, (key,)) for key in paths), ())
    cache = DigestCache(folder / "digests.sqlite")
    digests = cache.digest_all((path, False) for path in paths.values())
    sizes = {key: path.stat().st_size for key, path in paths.items()}
    release = resolve_release(config, "", "night-1", staging=False)
    manifest = describe_release(release, layout, digests, {}, sizes, commit=None)
    return Shipment(release, manifest, paths)


def ship(folder: Path, config: Config, shipment: Shipment) -> int:
    """Release; return how many objects were changed anywhere."""
    changed = 0

    def settled(name: str, make: Any) -> None:
        nonlocal changed
        path = folder / f"{name}.json"
        known: Receipt | None = load_receipt(path)
        plan, receipt = settle(make(known))
        changed += 0 if plan.is_empty else 1
        path.write_bytes(render_receipt(receipt))

    stores = {
        each.name: open_store(
            each.url,
            folder,
            options=config.destinations[each.name],
            sessions=folder / "sessions",
        )
        for each in shipment.release.destinations
    }
    places = shipment.release.destinations
    with ThreadPoolExecutor(len(places)) as pool:  # as doit does: both clouds at once
        jobs = [
            pool.submit(
                settled,
                f"upload-{each.name}",
                lambda known, each=each: DepotTarget(stores[each.name], each, shipment, known),
            )
            for each in places
        ]
        for job in jobs:
            job.result()
        jobs = [
            pool.submit(
                settled,
                f"promote-{each.name}",
                lambda known, each=each: PrefixTarget(
                    stores[each.name],
                    stores[each.name],
                    each,
                    each.prefixes[0],
                    shipment,
                    known=known,
                ),
            )
            for each in places
        ]
        for job in jobs:
            job.result()
    return changed


def peak_mib() -> float:
    """Return the most memory that this process ever had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def main() -> None:
    """Ship, and say what it took."""
    folder, gcs_url, s3_url = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    config = make_config(gcs_url, s3_url)
    begun = time.monotonic()
    shipment = make_shipment(folder, config)
    described = time.monotonic()
    before = peak_mib()
    changed = ship(folder, config, shipment)
    took = Took(
        peak_mib=round(peak_mib(), 1),
        before_mib=round(before, 1),
        describe_s=round(described - begun, 2),
        ship_s=round(time.monotonic() - described, 2),
        changed=changed,
    )
    sys.stdout.write(json.dumps(asdict(took)) + "\n")


if __name__ == "__main__":
    main()
