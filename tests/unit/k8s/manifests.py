"""Manifests that the tests of this room begin with."""

import copy
from pathlib import Path
from typing import Any

import yaml

from lading.k8s.identity import Identity
from lading.k8s.templates import Template

DATASET = "noaa-gfs-analysis"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
IMAGE = f"registry.example/updates:{COMMIT}"
FILE = "k8s/gfs.yaml"

_MANIFEST: dict[str, Any] = {
    "apiVersion": "batch/v1",
    "kind": "CronJob",
    "metadata": {"name": f"{DATASET}-update"},
    "spec": {
        "schedule": "30 5 * * *",
        "jobTemplate": {
            "spec": {
                "template": {
                    "spec": {
                        "restartPolicy": "Never",
                        "containers": [
                            {
                                "name": "update",
                                "image": "{image}",
                                "args": ["update", "{dataset}", "--store={store}"],
                            }
                        ],
                    }
                }
            }
        },
    },
}


def manifest(**changes: Any) -> dict[str, Any]:
    """Return a right manifest, with values at dotted ways (dots as ``__``) changed.

    ``...`` takes a value out.
    """
    body = copy.deepcopy(_MANIFEST)
    for way, value in changes.items():
        *parents, last = (int(each) if each.isdigit() else each for each in way.split("__"))
        table: Any = body
        for each in parents:
            table = table[each] if isinstance(each, int) else table.setdefault(each, {})
        if value is ...:
            del table[last]
        else:
            table[last] = value
    return body


def write_manifests(folder: Path, *bodies: Any, file: str = FILE) -> str:
    """Write manifests into a file of a repository; return its path from there."""
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump_all(bodies))
    return file


def template(role: str = "update", /, **changes: Any) -> Template:
    """Return a template with ``changes`` as ``manifest`` takes them."""
    return Template(role=role, body=manifest(**changes), place=f"{FILE}[0]")


def identity(**changes: Any) -> Identity:
    """Return the identity of a staged version."""
    known: dict[str, Any] = {
        "project": "weather",
        "environment": "staging",
        "dataset": DATASET,
        "version": "0.3.0",
        "branch": f"stage/{DATASET}/v0.3.0",
        "commit": COMMIT,
        "image": IMAGE,
        "stores": (f"s3://weather/{DATASET}/v0.3.0.zarr",),
    }
    return Identity(**{**known, **changes})
