"""The example's image, built from its Dockerfile as it stands and run as Kubernetes would.

Debian's buildah builds it, without a daemon and without a registry: the base image is this
machine's own Python under the name that the Dockerfile asks for.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.images import Builder, base_of, needs_buildah

EXAMPLE = Path(__file__).parents[2] / "examples" / "reformatters"
pytestmark = needs_buildah


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    """Return a builder that has the base image that the Dockerfile names."""
    found = Builder(tmp_path_factory.mktemp("image"))
    found.add_base(base_of(EXAMPLE / "Dockerfile"), {})
    yield found
    found.clear()


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """Return a copy of the example."""
    ignored = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(EXAMPLE, tmp_path / "context", ignore=ignored))


def test_the_image_builds_and_its_entry_point_starts(builder: Builder, context: Path) -> None:
    """Every instruction passes, the smoke run last, and the image is nobody's root."""
    done = builder.build(context)

    assert done.returncode == 0, done.stdout + done.stderr
    smoke = done.stdout.partition('RUN ["python", "-m", "reformatters", "--help"]')[2]
    assert "usage: python -m reformatters" in smoke
    config = builder.config()
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["python", "-m", "reformatters"]


def test_the_image_does_the_work(builder: Builder, context: Path, tmp_path: Path) -> None:
    """What a CronJob's args ask for is done in the image, as the user that it names."""
    store = tmp_path / "store"
    store.mkdir()
    os.chown(store, 10001, 10001)
    assert builder.build(context).returncode == 0

    for operation in ("update", "validate"):
        words = [operation, "noaa-gfs-analysis", "--date=2026-08-01"]
        done = builder.run(words, {store: "/store"}, {"STORE": "/store/v"})
        assert done.returncode == 0, done.stdout + done.stderr

    group = json.loads((store / "v" / "zarr.json").read_text())
    assert group["attributes"]["dataset_version"] == "0.2.0"
    assert (store / "v" / "zarr.json").stat().st_uid == 10001


def test_an_image_that_cannot_start_is_not_made(builder: Builder, context: Path) -> None:
    """A module that is missing ends the build at the smoke run."""
    (context / "reformatters" / "store.py").unlink()

    done = builder.build(context)
    assert done.returncode != 0
    assert "reformatters.store" in done.stderr + done.stdout
