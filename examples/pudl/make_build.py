"""Make a build with the names and shapes of a real PUDL build, as small as you like.

The same arguments give the same bytes (with the same versions of SQLite, numpy and pyarrow).
The figures in the tables are random; only names, types and proportions are true to life.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Columns = dict[str, np.ndarray[Any, Any]]

# Sizes of a real nightly, in MiB: one database is three quarters of all.
DATABASES = {
    "pudl": 15421,
    "ferc714_xbrl": 1413,
    "ferc1_xbrl": 1219,
    "censusdp1tract": 805,
    "ferc1_dbf": 759,
    "ferc2_dbf": 283,
    "ferc6_dbf": 154,
    "ferc2_xbrl": 127,
    "ferc6_xbrl": 91,
    "ferc60_xbrl": 28,
    "ferc60_dbf": 8,
}
DBF_FORMS = ("ferc1_dbf", "ferc2_dbf", "ferc6_dbf", "ferc60_dbf")
XBRL_FORMS = ("ferc1_xbrl", "ferc2_xbrl", "ferc6_xbrl", "ferc60_xbrl", "ferc714_xbrl")

# Every combination is a table: 2 x 12 x 3 x 5 = 360 of them.
LAYERS = ("core", "out")
SOURCES = (
    *("censusdp1tract", "eia176", "eia860", "eia861", "eia923", "eia930"),
    *("eiaaeo", "epacems", "ferc1", "ferc714", "gridpathratoolkit", "nrelatb"),
)
PERIODS = ("hourly", "monthly", "yearly")
TOPICS = ("emissions", "fuel", "generators", "plants", "utilities")
SCHEDULES = ("balance_sheet", "fuel", "income", "officers", "plants", "purchases", "sales")

FUELS = np.array(["BIT", "DFO", "LFG", "NG", "NUC", "SUB", "SUN", "WAT", "WND"])
STATES = np.array(["CA", "CO", "IA", "IL", "NC", "NY", "OH", "PA", "TX", "WA", "WY"])

# How --mb is shared out, and what a row comes to; both measured, both approximate.
SQLITE_SHARE, PARQUET_SHARE, FORMS_SHARE = 0.62, 0.35, 0.03
SQLITE_ROW_BYTES, PARQUET_ROW_BYTES = 51, 9.5
PARQUET_FRAME_BYTES = 2900  # a parquet file without rows
FEWEST_ROWS = 10
GAP_SHARE = 0.15
BATCH_ROWS = 100_000

LOG_TEXT = """\
2025-02-05 06:02:11 INFO  etl: start
Traceback (most recent call last):
RuntimeError: what a log tells is not for the public
"""


class Recipe(NamedTuple):
    """What a build is made from."""

    mb: float
    seed: int
    change: float


def table_names() -> list[str]:
    """Return the names of the parquet tables, in the order of their sizes."""
    combined = itertools.product(TOPICS, PERIODS, SOURCES, LAYERS)
    return [f"{layer}_{source}__{period}_{topic}" for topic, period, source, layer in combined]


def make_rng(*parts: str | int) -> np.random.Generator:
    """Return a random generator that depends on the parts only."""
    return np.random.default_rng(zlib.crc32("/".join(map(str, parts)).encode()))


def sample_columns(rng: np.random.Generator, rows: int) -> Columns:
    """Return the columns of a monthly plant table: sorted keys, repeated text, gaps."""
    plant = np.sort(rng.integers(1, rows // 40 + 2, rows))
    capacity = np.round(rng.gamma(2.0, 60.0, rows), 1)
    generation = np.round(capacity * rng.uniform(0, 730, rows), 0)
    generation[rng.random(rows) < GAP_SHARE] = np.nan
    return {
        "plant_id_eia": plant,
        "report_date": np.datetime64("2001-01", "M") + rng.integers(0, 289, rows),
        "energy_source_code": rng.choice(FUELS, rows),
        "state": STATES[plant % len(STATES)],
        "capacity_mw": capacity,
        "net_generation_mwh": generation,
    }


def sqlite_cells(column: np.ndarray[Any, Any]) -> list[Any]:
    """Return a column as SQLite takes it: dates as text, gaps as NULL."""
    is_date = column.dtype.kind == "M"
    cells: list[Any] = (column.astype("datetime64[D]").astype(str) if is_date else column).tolist()
    return [None if cell != cell else cell for cell in cells]  # noqa: PLR0124  only NaN differs from itself


def write_database(path: Path, size_bytes: float, rng: np.random.Generator) -> None:
    """Write one indexed SQLite database of about the size asked for."""
    rows = max(FEWEST_ROWS, round(size_bytes / SQLITE_ROW_BYTES))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(
            "CREATE TABLE plants_monthly (plant_id_eia INTEGER, report_date DATE,"
            " energy_source_code TEXT, state TEXT, capacity_mw REAL, net_generation_mwh REAL)"
        )
        for start in range(0, rows, BATCH_ROWS):
            columns = sample_columns(rng, min(BATCH_ROWS, rows - start))
            records = zip(*map(sqlite_cells, columns.values()), strict=True)
            with connection:
                connection.executemany(
                    "INSERT INTO plants_monthly VALUES (?, ?, ?, ?, ?, ?)", records
                )
        connection.execute("CREATE INDEX by_plant ON plants_monthly (plant_id_eia)")


def write_table(path: Path, rows: int, rng: np.random.Generator) -> dict[str, Any]:
    """Write one parquet file; return its Frictionless resource."""
    columns = sample_columns(rng, rows)
    columns["report_date"] = columns["report_date"].astype("datetime64[D]")
    pq.write_table(pa.table(columns), path, compression="snappy")
    data = path.read_bytes()
    return {
        "name": path.stem,
        "path": path.name,
        "bytes": len(data),
        "hash": f"sha256:{hashlib.sha256(data).hexdigest()}",
    }


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON."""
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def write_package(
    folder: Path, name: str, rows: dict[str, int], seed: int, changed: frozenset[str] = frozenset()
) -> None:
    """Write a folder of parquet tables and the datapackage.json that describes them."""
    folder.mkdir()
    resources = [
        write_table(folder / f"{table}.parquet", count, make_rng(seed, table, table in changed))
        for table, count in rows.items()
    ]
    write_json(
        folder / "datapackage.json",
        {
            "$schema": "https://datapackage.org/profiles/2.0/datapackage.json",
            "name": name,
            "licenses": [{"name": "CC-BY-4.0"}],
            "resources": resources,
        },
    )


def share_rows(names: list[str], size_bytes: float) -> dict[str, int]:
    """Share a size out among tables: few are large, most are tiny."""
    weights = 1 / np.arange(1, len(names) + 1) ** 1.2
    room = max(0.0, size_bytes - PARQUET_FRAME_BYTES * len(names))
    rows = room / PARQUET_ROW_BYTES * weights / weights.sum()
    return {name: max(FEWEST_ROWS, int(n)) for name, n in zip(names, rows, strict=True)}


def write_databases(out: Path, size_bytes: float, seed: int) -> None:
    """Write the eleven SQLite databases."""
    whole = sum(DATABASES.values())
    for name, share in DATABASES.items():
        write_database(out / f"{name}.sqlite", size_bytes * share / whole, make_rng(seed, name))


def write_tables(out: Path, size_bytes: float, recipe: Recipe) -> None:
    """Write the parquet tables of the project, and how many rows each has."""
    names = table_names()
    rows = share_rows(names, size_bytes)
    order = make_rng(recipe.seed, "change").permutation(len(names))
    changed = frozenset(names[n] for n in order[: round(len(names) * recipe.change)])
    write_package(out / "parquet", "pudl_parquet", rows, recipe.seed, changed)
    lines = ["table_name,row_count", *(f"{name},{count}" for name, count in sorted(rows.items()))]
    (out / "etl_full_row_counts.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_forms(out: Path, size_bytes: float, seed: int) -> None:
    """Write the nine folders of FERC forms, and the two descriptions of each XBRL form."""
    forms = (*DBF_FORMS, *XBRL_FORMS)
    for form in forms:
        names = [f"{form}_{schedule}" for schedule in SCHEDULES]
        write_package(out / form, form, share_rows(names, size_bytes / len(forms)), seed)
    for form in XBRL_FORMS:
        described = [{"name": schedule, "path": f"{form}.sqlite"} for schedule in SCHEDULES]
        write_json(out / f"{form}_datapackage.json", {"name": form, "resources": described})
        labels = {f"{form}:{schedule}": {"label": schedule} for schedule in SCHEDULES}
        write_json(out / f"{form}_taxonomy_metadata.json", labels)


def write_private_files(out: Path) -> None:
    """Write what must never be published: logs and the database of the tests."""
    (out / "2025-02-05-0602-abc123def-nightly.log").write_text(LOG_TEXT, encoding="utf-8")
    (out / "parquet" / "validation.log").write_text(LOG_TEXT, encoding="utf-8")
    (out / "pudl_dbt_tests.duckdb").write_bytes(bytes(8192))


def make_build(out: Path, recipe: Recipe) -> None:
    """Write a whole build into a new folder; the success marker comes last."""
    out.mkdir(parents=True)
    size_bytes = recipe.mb * 1e6
    write_databases(out, size_bytes * SQLITE_SHARE, recipe.seed)
    write_tables(out, size_bytes * PARQUET_SHARE, recipe)
    write_forms(out, size_bytes * FORMS_SHARE, recipe.seed)
    write_private_files(out)
    (out / "success").touch()


def main() -> None:
    """Make the build that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder to make; it must not exist")
    parser.add_argument("--mb", type=float, default=30.0, help="about how large, in MB")
    parser.add_argument("--seed", type=int, default=1, help="other figures in every table")
    parser.add_argument(
        "--change",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of the parquet tables, 0 to 1, that differ from a build without it",
    )
    args = parser.parse_args()
    make_build(args.out, Recipe(args.mb, args.seed, args.change))
    sizes = [path.stat().st_size for path in args.out.rglob("*") if path.is_file()]
    print(f"{args.out}: {len(sizes)} files, {sum(sizes) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
