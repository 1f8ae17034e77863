"""Tests of the order in which a release begins its work."""

from pathlib import Path

import pytest

from tests.e2e.project import RELEASE, make_database, make_project

ROWS = {"a": 30, "b": 9000, "c": 300, "d": 20_000, "e": 3000}


@pytest.mark.parametrize(
    "hash_seed", ["1", *(pytest.param(each, marks=pytest.mark.slow) for each in "02")]
)
def test_largest_database_begins_first(tmp_path: Path, hash_seed: str) -> None:
    """Databases begin by size and then the bundle, whatever order the interpreter's sets have."""
    project = make_project(tmp_path)
    for path in project.source.glob("*.sqlite"):
        path.unlink()
    for name, rows in ROWS.items():
        make_database(project.source / f"{name}.sqlite", rows)

    # one at a time: four would race for the line that they print
    arguments = ("-n", "1", *RELEASE, "staging=1")
    done = project.run(*arguments, environment={"PYTHONHASHSEED": hash_seed})

    assert done.returncode == 0, done.stderr
    begun = [line.split()[0] for line in done.stdout.splitlines() if line.endswith(" start")]
    packed = [name for name in begun if name.startswith(("compress", "zip"))]
    assert packed == [
        "compress_sqlite:d.sqlite",
        "compress_sqlite:b.sqlite",
        "compress_sqlite:e.sqlite",
        "compress_sqlite:c.sqlite",
        "compress_sqlite:a.sqlite",
        "zip_parquet:demo_parquet",
    ]
