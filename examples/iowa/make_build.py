"""Make the Iowa example build from the CSV files in `sources/`."""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import hashlib
import json
import sqlite3
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterable

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "sources"

Value = str | int | float
Row = tuple[Value, ...]

SQL_TYPES = {"string": "TEXT", "date": "TEXT", "integer": "INTEGER", "number": "REAL"}
ARROW_TYPES = {
    "string": pa.string(),
    "date": pa.date32(),
    "integer": pa.int64(),
    "number": pa.float64(),
}
PARSERS: dict[str, type[str | int | float]] = {
    "string": str,
    "date": str,
    "integer": int,
    "number": float,
}

LICENCE = {
    "name": "other-pd",
    "title": "U.S. Government Work (public domain)",
    "path": "https://www.usa.gov/government-works",
}
EIA = {
    "title": "U.S. Energy Information Administration, Electricity Data Browser",
    "path": "https://www.eia.gov/electricity/data/browser/",
}
NOAA_DAILY = {
    "title": "NOAA National Centers for Environmental Information, Climate Data Online",
    "path": "https://www.ncei.noaa.gov/cdo-web/",
}
NOAA_NORMALS = {
    "title": "NOAA National Centers for Environmental Information, U.S. Climate Normals 1981-2010",
    "path": "https://www.ncei.noaa.gov/products/land-based-station/us-climate-normals",
}
NASA = {
    "title": "NASA Goddard Institute for Space Studies, Surface Temperature Analysis (GISTEMP)",
    "path": "https://data.giss.nasa.gov/gistemp/",
}

# A fixed sample: the kind of file a build leaves behind and a release must not carry.
LOG_NAME = "2025-02-05-0602-build.log"
LOG_TEXT = """\
2025-02-05 06:02:11 INFO  build: start, 4 source files
2025-02-05 06:02:11 INFO  net_generation: 51 rows
2025-02-05 06:02:11 INFO  daily_weather: 2922 rows
2025-02-05 06:02:12 ERROR weather.sqlite: attempt 1 of 2 failed
Traceback (most recent call last):
  File "build.py", line 88, in write_database
    connection.execute("VACUUM")
sqlite3.OperationalError: database is locked
2025-02-05 06:02:17 INFO  weather.sqlite: attempt 2 of 2 succeeded
2025-02-05 06:02:18 WARN  hourly_normals: 8759 rows, hour 0 of 1 January is missing
2025-02-05 06:02:18 INFO  build: done, 2 databases, 6 parquet files
"""


@dataclass(frozen=True)
class Column:
    """One typed column and what it measures."""

    name: str
    type: str
    description: str
    unit: str | None = None


@dataclass(frozen=True)
class Table:
    """One table: where it lives, what it holds and where it comes from."""

    name: str
    database: str
    description: str
    source: dict[str, str]
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    derived_from: str | None = None


TABLES = (
    Table(
        "net_generation",
        "iowa_energy.sqlite",
        "Annual net generation of electricity in Iowa by group of energy sources, 2001-2017.",
        EIA,
        ("year", "source"),
        (
            Column("year", "integer", "Calendar year"),
            Column("source", "string", "Fossil Fuels, Nuclear Energy or Renewables"),
            Column("net_generation_gwh", "integer", "Net generation", "GWh"),
        ),
    ),
    Table(
        "generation_totals",
        "iowa_energy.sqlite",
        "Net generation in Iowa summed over the three groups, and the share of renewables.",
        EIA,
        ("year",),
        (
            Column("year", "integer", "Calendar year"),
            Column("total_gwh", "integer", "Sum of the three groups", "GWh"),
            Column("renewable_share", "number", "Renewables over the sum, 4 decimals", "1"),
        ),
        derived_from="net_generation",
    ),
    Table(
        "daily_weather",
        "weather.sqlite",
        "Daily weather in Seattle and New York, 2012-2015.",
        NOAA_DAILY,
        ("city", "date"),
        (
            Column("city", "string", "Seattle or New York"),
            Column("date", "date", "Day of the observation"),
            Column("precipitation_mm", "number", "Precipitation", "mm"),
            Column("temp_max_c", "number", "Highest temperature of the day", "degC"),
            Column("temp_min_c", "number", "Lowest temperature of the day", "degC"),
            Column("wind_m_s", "number", "Average wind speed", "m/s"),
        ),
    ),
    Table(
        "monthly_weather",
        "weather.sqlite",
        "Monthly sums and means of the daily weather, rounded to 2 decimals.",
        NOAA_DAILY,
        ("city", "month"),
        (
            Column("city", "string", "Seattle or New York"),
            Column("month", "string", "Month as YYYY-MM"),
            Column("days", "integer", "Days counted", "d"),
            Column("precipitation_mm", "number", "Sum of daily precipitation", "mm"),
            Column("temp_max_mean_c", "number", "Mean of the daily highs", "degC"),
            Column("temp_min_mean_c", "number", "Mean of the daily lows", "degC"),
            Column("wind_mean_m_s", "number", "Mean of the daily wind speed", "m/s"),
        ),
        derived_from="daily_weather",
    ),
    Table(
        "hourly_normals",
        "weather.sqlite",
        "Hourly climate normals of Seattle, averages over 1981-2010; 1 January begins at hour 1.",
        NOAA_NORMALS,
        ("month", "day", "hour"),
        (
            Column("month", "integer", "Month, 1-12"),
            Column("day", "integer", "Day of the month"),
            Column("hour", "integer", "Hour of the day, 0-23"),
            Column("pressure_hpa", "number", "Normal air pressure", "hPa"),
            Column("temperature_c", "number", "Normal temperature", "degC"),
            Column("wind_m_s", "number", "Normal wind speed", "m/s"),
        ),
    ),
    Table(
        "global_temperature",
        "weather.sqlite",
        "Global annual mean land-ocean temperature anomaly, 1880-2023.",
        NASA,
        ("year",),
        (
            Column("year", "integer", "Calendar year"),
            Column("anomaly_c", "number", "Difference from the 1951-1980 mean", "degC"),
        ),
    ),
)


def read_rows(table: Table) -> list[Row]:
    """Return the typed rows of a table's CSV file, sorted by their key columns."""
    with (SOURCES / f"{table.name}.csv").open(encoding="utf-8", newline="") as file:
        records = list(csv.DictReader(file))
    rows = [tuple(PARSERS[c.type](record[c.name]) for c in table.columns) for record in records]
    return sorted(rows, key=lambda row: row[: len(table.key)])


def generation_totals(rows: Iterable[Row]) -> list[Row]:
    """Return year, total and renewable share from the net generation rows."""
    by_year: dict[Value, dict[Value, int]] = defaultdict(dict)
    for year, source, amount in rows:
        by_year[year][source] = int(amount)
    totals = {year: sum(groups.values()) for year, groups in by_year.items()}
    return [
        (year, totals[year], round(groups["Renewables"] / totals[year], 4))
        for year, groups in by_year.items()
    ]


def monthly_weather(rows: Iterable[Row]) -> list[Row]:
    """Return one row of sums and means per city and month of the daily rows."""
    groups: dict[tuple[Value, str], list[tuple[float, ...]]] = defaultdict(list)
    for city, date, *measures in rows:
        groups[city, str(date)[:7]].append(tuple(float(m) for m in measures))
    result: list[Row] = []
    for (city, month), days in groups.items():
        rain, *others = (fmean(values) for values in zip(*days, strict=True))
        means = [round(mean, 2) for mean in others]
        result.append((city, month, len(days), round(rain * len(days), 2), *means))
    return result


def load_tables() -> dict[str, list[Row]]:
    """Return the rows of every table by table name."""
    rows = {table.name: read_rows(table) for table in TABLES if table.derived_from is None}
    rows["generation_totals"] = generation_totals(rows["net_generation"])
    rows["monthly_weather"] = monthly_weather(rows["daily_weather"])
    return {table.name: rows[table.name] for table in TABLES}


def create_table(connection: sqlite3.Connection, table: Table, rows: list[Row]) -> None:
    """Create, fill and index one SQLite table."""
    columns = ", ".join(f"{c.name} {SQL_TYPES[c.type]} NOT NULL" for c in table.columns)
    marks = ", ".join("?" for _ in table.columns)
    connection.execute(f"CREATE TABLE {table.name} ({columns})")
    connection.executemany(f"INSERT INTO {table.name} VALUES ({marks})", rows)
    connection.execute(
        f"CREATE UNIQUE INDEX {table.name}_key ON {table.name} ({', '.join(table.key)})"
    )


def write_database(path: Path, tables: list[Table], rows: dict[str, list[Row]]) -> None:
    """Write one compact SQLite database, replacing an older file."""
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA page_size = 4096")
        connection.execute("PRAGMA journal_mode = DELETE")
        with connection:
            for table in tables:
                create_table(connection, table, rows[table.name])
        connection.execute("VACUUM")


def write_parquet(path: Path, table: Table, rows: list[Row]) -> None:
    """Write the rows of one table as a parquet file."""
    arrays = []
    for column, values in zip(table.columns, zip(*rows, strict=True), strict=True):
        cells: list[Any] = list(values)
        if column.type == "date":
            cells = [dt.date.fromisoformat(cell) for cell in cells]
        arrays.append(pa.array(cells, type=ARROW_TYPES[column.type]))
    schema = pa.schema(
        [pa.field(c.name, ARROW_TYPES[c.type], nullable=False) for c in table.columns]
    )
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), path, compression="zstd")


def describe_field(column: Column) -> dict[str, str]:
    """Return the data package field of a column."""
    unit = f" ({column.unit})" if column.unit else ""
    return {"name": column.name, "type": column.type, "description": column.description + unit}


def describe_resource(path: Path, table: Table) -> dict[str, Any]:
    """Return the data package resource of a written parquet file."""
    data = path.read_bytes()
    return {
        "name": table.name,
        "type": "table",
        "path": path.name,
        "description": table.description,
        "format": "parquet",
        "mediatype": "application/vnd.apache.parquet",
        "bytes": len(data),
        "hash": f"sha256:{hashlib.sha256(data).hexdigest()}",
        "sources": [table.source],
        "schema": {
            "fields": [describe_field(column) for column in table.columns],
            "primaryKey": list(table.key),
        },
    }


def describe_package(folder: Path) -> dict[str, Any]:
    """Return the data package of the parquet folder."""
    return {
        "$schema": "https://datapackage.org/profiles/2.0/datapackage.json",
        "name": "iowa_parquet",
        "title": "Iowa electricity and U.S. weather",
        "licenses": [LICENCE],
        "sources": [EIA, NOAA_DAILY, NOAA_NORMALS, NASA],
        "resources": [describe_resource(folder / f"{t.name}.parquet", t) for t in TABLES],
    }


def describe_table(table: Table, rows: list[Row]) -> dict[str, Any]:
    """Return the note of one table: description, units and source."""
    return {
        "database": table.database,
        "parquet": f"parquet/{table.name}.parquet",
        "description": table.description,
        "rows": len(rows),
        "units": {c.name: c.unit for c in table.columns if c.unit},
        "derived_from": table.derived_from,
        "source": table.source["title"],
        "licence": LICENCE["title"],
    }


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write data as indented JSON with a final newline."""
    path.write_bytes((json.dumps(data, indent=2) + "\n").encode("utf-8"))


def make_build(target: Path) -> None:
    """Write the whole build into the target folder."""
    parquet = target / "parquet"
    parquet.mkdir(parents=True, exist_ok=True)
    rows = load_tables()
    for database in sorted({table.database for table in TABLES}):
        tables = [table for table in TABLES if table.database == database]
        write_database(target / database, tables, rows)
    for table in TABLES:
        write_parquet(parquet / f"{table.name}.parquet", table, rows[table.name])
    write_json(parquet / "datapackage.json", describe_package(parquet))
    write_json(
        target / "table_notes.json", {t.name: describe_table(t, rows[t.name]) for t in TABLES}
    )
    (target / LOG_NAME).write_bytes(LOG_TEXT.encode("utf-8"))
    (target / "success").write_bytes(b"")


def main() -> None:
    """Make the build in the folder named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", nargs="?", type=Path, default=HERE / "build")
    make_build(parser.parse_args().target)


if __name__ == "__main__":
    main()
