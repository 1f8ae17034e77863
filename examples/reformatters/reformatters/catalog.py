"""What a dataset is: its template, which states the version that this code writes."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reformatters.store import StoreError

FOLDER = Path(__file__).parents[1] / "datasets"


@dataclass(frozen=True)
class Dataset:
    """A dataset, as its template states it."""

    name: str
    """Its name."""
    template: dict[str, Any]
    """Metadata of its root group, zarr v3."""

    @property
    def version(self) -> str:
        """The version that this code writes."""
        version: str = self.template["attributes"]["dataset_version"]
        return version


def load_dataset(name: str) -> Dataset:
    """Return a dataset by name.

    Raises:
        StoreError: there is none of that name.
    """
    names = sorted(each.name for each in FOLDER.iterdir())
    if name not in names:
        raise StoreError(f"expected one of {len(names)} datasets, got {name!r}")
    return Dataset(name, json.loads((FOLDER / name / "zarr.json").read_text(encoding="utf-8")))
