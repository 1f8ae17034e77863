"""A SQLite database of any size, shaped like a public energy database; the same bytes each time.

Four tables with the columns, widths and shares of such a release: hourly emissions of
generating units (about 60 %), monthly generation (20 %), yearly plants (12 %) and long text
keys of regulatory filings (8 %), with four indexes and a primary key. Figures are rounded as
agencies round them, series have daily shapes, and codes repeat.
"""

import math
import random
import sqlite3
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count, islice
from pathlib import Path
from typing import Any

SEED = 2025
_MEASURED = ("Measured", "Measured", "Measured", "Calculated", "Measured and Substitute")
_STATES = "AZ CA CO FL GA IL NY OH PA TX WA WY".split()
_FUELS = "natural_gas distillate_oil bituminous subbituminous wind solar hydro nuclear".split()
_MOVERS = "CA CS CT GT HY IC PV ST WT".split()
_WORDS = (
    "River Creek Lake Valley Point Ridge Prairie Harbor Mesa Canyon Station Power Energy Center"
    " Solar Wind North South East West Old New Big Little Cedar Eagle Union Summit Liberty Ash"
).split()
_CONCEPTS = (
    "Utility Plant In Service Operating Maintenance Expense Revenue Depreciation Amortization"
    " Accumulated Electric Steam Transmission Distribution Balance Cost Total Other Net"
).split()
_SCHEMA = """
pragma page_size = 4096; pragma journal_mode = off; pragma synchronous = off;
create table hourly_emissions (
  plant_id_eia integer, plant_id_epa integer, emissions_unit_id_epa text,
  operating_datetime_utc text, year integer, state text,
  operating_time_hours real, gross_load_mw real, heat_content_mmbtu real,
  steam_load_1000_lbs real, so2_mass_lbs real, so2_mass_measurement_code text,
  nox_mass_lbs real, nox_rate_lbs_mmbtu real, nox_mass_measurement_code text,
  co2_mass_tons real);
create table monthly_generation (
  plant_id_eia integer, plant_name_eia text, report_date text, prime_mover_code text,
  energy_source_code text, fuel_consumed_mmbtu real, fuel_consumed_units real,
  fuel_mmbtu_per_unit real, net_generation_mwh real, data_maturity text);
create table plants_annual (
  plant_id_eia text, report_year integer, plant_name text, utility_name text, city text,
  county text, state text, {floats}, primary key (plant_id_eia, report_year));
create table filing_facts (
  filing_name text, entity_id text, concept text, period text, value real, unit text);
""".format(floats=", ".join(f"value_{n:02} real" for n in range(18)))
_INDEXES = """
create index emissions_by_plant on hourly_emissions (plant_id_eia, operating_datetime_utc);
create index generation_by_plant on monthly_generation (plant_id_eia);
create index generation_by_date on monthly_generation (report_date);
create index facts_by_concept on filing_facts (concept);
"""
# table, share of the size, bytes a row with its share of the indexes
_PLAN = (
    ("hourly_emissions", 0.60, 126),
    ("monthly_generation", 0.20, 125),
    ("plants_annual", 0.12, 272),
    ("filing_facts", 0.08, 180),
)


def write_database(path: Path, size_bytes: int, *, seed: int = SEED) -> None:
    """Write a database of about this size. Equal arguments give equal bytes.

    Effects: ``path`` is replaced.
    """
    path.unlink(missing_ok=True)
    makers = (_hourly_emissions, _monthly_generation, _plants_annual, _filing_facts)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.executescript(_SCHEMA)
        for (table, share, row_bytes), make in zip(_PLAN, makers, strict=True):
            # S311: figures of a benchmark, not secrets
            rows = make(random.Random(f"{seed} {table}"))
            first = next(rows)
            wanted = max(1, int(size_bytes * share / row_bytes))
            insert = f"insert into {table} values ({', '.join('?' * len(first))})"
            connection.execute("begin")
            connection.execute(insert, first)
            connection.executemany(insert, islice(rows, wanted - 1))
            connection.execute("commit")
        connection.executescript(_INDEXES)
    finally:
        connection.close()


def _hourly_emissions(rng: random.Random) -> Iterator[tuple[Any, ...]]:
    """Yield hours, unit by unit and quarter by quarter."""
    hours = 24 * 91
    for quarter in count():
        first = datetime(1995, 1, 1) + timedelta(hours=hours * (quarter % 100))  # noqa: DTZ001
        stamps = [str(first + timedelta(hours=hour)) for hour in range(hours)]
        for _ in range(300):
            plant, state = rng.randrange(3, 66_000), rng.choice(_STATES)
            unit = rng.choice(("1", "2", "3", "4", "CT1", "CT2", "GT-1", "**GT2", "BW73"))
            capacity, rate = rng.uniform(20, 700), rng.uniform(7, 12)
            so2, nox, co2 = rng.uniform(0.01, 1.5), rng.uniform(0.02, 0.6), rng.uniform(0.05, 0.11)
            is_on = rng.random() < 0.8
            for hour, stamp in enumerate(stamps):
                is_on ^= rng.random() < 0.01
                year = first.year
                if not is_on:
                    yield (plant, plant, unit, stamp, year, state, 0.0, 0.0, 0.0, *[None] * 7)
                    continue
                time = 1.0 if rng.random() < 0.95 else round(rng.random(), 2)
                shape = 0.65 + 0.25 * math.sin(hour % 24 / 24 * math.tau)
                load = round(capacity * shape * rng.uniform(0.9, 1.1) * time, 1)
                heat = round(load * rate * rng.uniform(0.95, 1.05), 3)
                nox_rate = round(nox * rng.uniform(0.8, 1.2), 4)
                yield (
                    plant, plant, unit, stamp, year, state, time, load, heat,
                    round(load * 8.3 * rng.uniform(0.98, 1.02), 2),
                    round(heat * so2 * rng.uniform(0.9, 1.1), 3), rng.choice(_MEASURED),
                    round(heat * nox_rate, 3), nox_rate, rng.choice(_MEASURED),
                    round(heat * co2, 3),
                )  # fmt: skip


def _monthly_generation(rng: random.Random) -> Iterator[tuple[Any, ...]]:
    """Yield months, plant by plant."""
    while True:
        plant, name = rng.randrange(1, 66_000), _name(rng, 3)
        mover, fuel = rng.choice(_MOVERS), rng.choice(_FUELS)
        base, per_unit = rng.lognormvariate(9, 2), rng.uniform(0.9, 25)
        for year in range(2001, 2025):
            for month in range(1, 13):
                made = round(base * (1 + 0.3 * math.sin(month / 12 * math.tau)) * rng.random(), 3)
                heat = round(made * rng.uniform(8, 11), 1)
                content = round(per_unit * rng.uniform(0.98, 1.02), 3)
                date = f"{year}-{month:02}-01"
                units = round(heat / content, 1)
                yield plant, name, date, mover, fuel, heat, units, content, made, "final"


def _plants_annual(rng: random.Random) -> Iterator[tuple[Any, ...]]:
    """Yield years, plant by plant."""
    for plant in count(1):
        name, utility = _name(rng, 3), f"{_name(rng, 2)} Company"
        place = (f"{rng.choice(_WORDS)}ville", f"{rng.choice(_WORDS)} County", rng.choice(_STATES))
        bases = [rng.lognormvariate(10, 3) for _ in range(18)]
        for year in range(1994, 2025):
            values = [
                round(each * rng.uniform(0.8, 1.2), 2) if rng.random() > 0.1 else None
                for each in bases
            ]
            yield f"plant_{plant:07}", year, name, utility, *place, *values


def _filing_facts(rng: random.Random) -> Iterator[tuple[Any, ...]]:
    """Yield facts, filing by filing."""
    concepts = ["ferc:" + "".join(rng.sample(_CONCEPTS, 5)) for _ in range(900)]
    while True:
        entity, year = f"C{rng.randrange(10**6):06}", rng.randrange(2021, 2025)
        filing = f"{_name(rng, 3).replace(' ', '_')}_form1_Q4_{rng.randrange(10**10):010}"
        for concept in rng.sample(concepts, 300):
            value = float(round(rng.lognormvariate(12, 3)))
            yield filing, entity, concept, f"{year}-01-01/{year}-12-31", value, "USD"


def _name(rng: random.Random, words: int) -> str:
    return " ".join(rng.choice(_WORDS) for _ in range(words))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: energy_tables.py FILE MEGABYTES")
    write_database(Path(sys.argv[1]), int(sys.argv[2]) * 1_000_000)
