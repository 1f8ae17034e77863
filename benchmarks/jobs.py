"""Lading's jobs beside what a team would write instead, on the same input in one run.

    python benchmarks/jobs.py --megabytes 1000 --rounds 3

Two parts. The first transforms generated CSV to silver: casts, trims, dates, codes, a lookup,
one row a key, a folder a month. The peers are the same query in plain duckdb, which drops bad
rows without a word, and a pandas script (``pip install pandas``; named as missing otherwise).
Ours is the whole of ``lading run transform``: interpreter, marker, audit trail, every bad row with
its number and its reasons in the dead letters, files flushed to the disk. Each is a process of
its own, timed from its start to its end; peak memory is that of the process. Rows that came out
are counted and compared after every run.

The second part is what the batch runner costs an item, without any work.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

ROW_BYTES = 90
FILES = 4
HEADER = "plant_id,day,fuel,mwh,hour,is_final,state,updated,price,note"
SCHEMA = {
    "nulls": ["", "n/a"],
    "columns": [
        {"name": "plant_id"},
        {"name": "day", "type": "date", "dates": ["%d/%m/%Y", "%Y-%m-%d"], "required": True},
        {
            "name": "fuel",
            "case": "lower",
            "codes": {"wind": "Wind", "sun": "Solar", "hydro": "Hydro", "gas": "Gas"},
        },
        {"name": "mwh", "type": "float64"},
        {"name": "hour", "type": "int32", "min": 0, "max": 23},
        {"name": "is_final", "type": "bool"},
        {"name": "state"},
        {"name": "updated", "type": "timestamp"},
        {"name": "price", "type": "decimal(12,2)"},
        {"name": "note"},
    ],
    "lookups": [{"file": "states.csv", "on": {"state": "code"}, "take": {"region": "region"}}],
    "key": ["plant_id", "day", "hour"],
    "keep": "last",
    "order_by": "updated",
    "partition_by": ["month(day)"],
}
# one query, as a person would write it who does not ask for bad rows
PLAIN = """
COPY (
  SELECT t.*, s.region, strftime(day, '%Y-%m') AS month
  FROM (
    SELECT nullif(trim(plant_id), '') AS plant_id,
      CAST(try_strptime(trim(day), ['%d/%m/%Y', '%Y-%m-%d']) AS DATE) AS day,
      CASE lower(trim(fuel)) WHEN 'wind' THEN 'Wind' WHEN 'sun' THEN 'Solar'
        WHEN 'hydro' THEN 'Hydro' WHEN 'gas' THEN 'Gas' END AS fuel,
      TRY_CAST(mwh AS DOUBLE) AS mwh, TRY_CAST(hour AS INTEGER) AS hour,
      TRY_CAST(is_final AS BOOLEAN) AS is_final, nullif(trim(state), '') AS state,
      TRY_CAST(updated AS TIMESTAMP) AS updated,
      TRY_CAST(nullif(trim(price), 'n/a') AS DECIMAL(12, 2)) AS price,
      nullif(trim(note), '') AS note
    FROM read_csv('{source}/*.csv', all_varchar = true, header = true, ignore_errors = true)
  ) t JOIN read_csv('{states}', all_varchar = true, header = true) s ON s.code = t.state
  WHERE plant_id IS NOT NULL AND day IS NOT NULL AND fuel IS NOT NULL AND mwh IS NOT NULL
    AND hour BETWEEN 0 AND 23 AND is_final IS NOT NULL
  QUALIFY row_number() OVER (PARTITION BY plant_id, day, hour ORDER BY updated DESC) = 1
) TO '{target}' (FORMAT parquet, PARTITION_BY (month))
"""


@dataclass
class Contender:
    """One way to do a piece of work."""

    name: str
    command: list[str]
    target: Path
    """The folder that it makes."""
    needs: str = ""
    """A package without which it cannot run."""
    walls: list[float] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)


def main() -> None:
    """Run what was asked for and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=50, help="size of the CSV")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each; medians are shown")
    parser.add_argument("--items", type=int, default=100_000, help="items of the second part")
    parser.add_argument("--part", choices=("transform", "batch"), action="append")
    parser.add_argument("--skip", action="append", default=[], help="name of a contender")
    parser.add_argument("--folder", type=Path, help="where to work; default: temporary")
    parser.add_argument("--call", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.call:
        name, source, target = arguments.call
        CALLS[name](Path(source), Path(target))
        return
    print(describe_machine(), flush=True)
    parts = arguments.part or ["transform", "batch"]
    if "transform" in parts:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            transform_part(Path(folder), arguments)
    if "batch" in parts:
        batch_part(arguments)


def describe_machine() -> str:
    """Return what a reader has to know of the machine."""
    told = []
    for name in ("duckdb", "pyarrow", "pandas"):
        try:
            told.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            told.append(f"no {name}")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    python = platform.python_version()
    return f"{cores} cores, {platform.machine()}, Python {python}, {', '.join(told)}"


# ---- the transformation


def transform_part(folder: Path, arguments: argparse.Namespace) -> None:
    """CSV with dirty rows to silver."""
    bronze = folder / "bronze"
    bronze.mkdir()
    rows = arguments.megabytes * 1_000_000 // ROW_BYTES
    bad = generate(bronze, rows)
    (folder / "schema.json").write_text(json.dumps(SCHEMA))
    states = "".join(f"S{number},Region {number % 5}\n" for number in range(50))
    (folder / "states.csv").write_text(f"code,region\n{states}")
    size = sum(each.stat().st_size for each in bronze.iterdir())
    print(f"\n## transform: {size:,} bytes of CSV, {rows:,} rows, {bad:,} of them bad\n")
    contenders = [
        call("plain duckdb", "plain", folder),
        call("pandas", "pandas", folder, needs="pandas"),
        Contender("lading transform", lading(folder), folder / "lading"),
    ]
    contenders = [each for each in contenders if each.name not in arguments.skip]
    present = [each for each in contenders if not each.needs or find_spec(each.needs)]
    counts: dict[str, int] = {}
    for number in range(arguments.rounds):
        for each in present:
            measure(each)
            counts[each.name] = count_rows(each.target)
            print(f"  round {number + 1}: {each.name}: {each.walls[-1]:.2f} s", file=sys.stderr)
    if len(set(counts.values())) > 1:
        sys.exit(f"expected the same number of rows from all, got {counts}")
    letters = count_letters(folder / "lading")
    print_table(contenders, present)
    if "lading transform" in counts:
        print(f"\nDead letters of lading transform: {letters:,} of {bad:,} bad rows.")
        if letters != bad:
            sys.exit(1)


def generate(folder: Path, rows: int) -> int:
    """Write CSV files from seeds; one row in a thousand is bad, one in a hundred repeats a key.

    Returns:
        How many rows are bad.
    """
    import duckdb

    connection = duckdb.connect()
    # seven kinds of bad rows; the last two have too many and too few fields
    kind = "CASE WHEN hash(i * 41) % 1000 = 0 THEN 1 + hash(i * 43) % 7 ELSE 0 END"
    line = """
      concat_ws(',',
        CASE WHEN hash(i * 47) % 100 = 0 THEN 'P' || (i // 50 * 50) ELSE 'P' || i END,
        CASE WHEN kind = 1 THEN '31/02/2021'
          WHEN hash(i * 53) % 4 = 0 THEN strftime(day, '%Y-%m-%d')
          ELSE strftime(day, '%d/%m/%Y') END,
        CASE kind WHEN 2 THEN 'peat' ELSE
          ['Wind', ' sun', 'HYDRO', 'gas '][CAST(1 + hash(i * 5) % 4 AS INTEGER)] END,
        CASE kind WHEN 3 THEN 'many' ELSE CAST((hash(i * 7) % 1000000) / 100.0 AS VARCHAR) END,
        CASE kind WHEN 4 THEN '25' ELSE CAST(i // 50 % 24 AS VARCHAR) END,
        ['yes', 'no', 'true', '0'][CAST(1 + hash(i * 13) % 4 AS INTEGER)],
        CASE kind WHEN 5 THEN 'S99' ELSE 'S' || (hash(i * 17) % 50) END,
        strftime(TIMESTAMP '2021-01-01' + to_seconds(i), '%Y-%m-%d %H:%M:%S'),
        CASE WHEN hash(i * 23) % 100 = 0 THEN 'n/a' ELSE CAST(hash(i * 29) % 100000 AS VARCHAR) END
      ) || CASE kind WHEN 6 THEN ',"a note",1,2' WHEN 7 THEN '' ELSE
        ',"note ' || (hash(i * 31) % 100000) || ', as filed"' END
    """
    bad = 0
    for number in range(FILES):
        day = "DATE '2020-01-01' + CAST(i // 50 % 730 AS INTEGER)"
        source = (
            f"SELECT i, {kind} AS kind, {day} AS day FROM range({number}, {rows}, {FILES}) t(i)"
        )
        query = f'SELECT {line} AS "{HEADER}" FROM ({source})'
        options = "FORMAT csv, HEADER true, QUOTE '', ESCAPE '', DELIMITER '\x01'"
        connection.execute(f"COPY ({query}) TO '{folder}/{number:03}.csv' ({options})")
        found = connection.execute(f"SELECT count(*) FROM ({source}) WHERE kind > 0").fetchone()
        bad += found[0] if found else 0
    return bad


def call(name: str, function: str, folder: Path, needs: str = "") -> Contender:
    """Return a contender that is one of this file's functions, in a process of its own."""
    target = folder / function
    command = [sys.executable, __file__, "--call", function, str(folder), str(target)]
    return Contender(name, command, target, needs)


def lading(folder: Path) -> list[str]:
    """Return the command that a user types."""
    options = ["--schema", str(folder / "schema.json"), "--source", str(folder / "bronze")]
    options += ["--destination", str(folder / "lading")]
    return [sys.executable, "-m", "lading", "run", "transform", "--", *options]


def plain(folder: Path, target: Path) -> None:
    """Do it with one query of duckdb's."""
    import duckdb

    query = PLAIN.format(source=folder / "bronze", states=folder / "states.csv", target=target)
    duckdb.connect().execute(query)


def pandas(folder: Path, target: Path) -> None:
    """Do it with pandas, as scripts do."""
    import pandas as pd

    files = sorted((folder / "bronze").glob("*.csv"))
    options = {"dtype": str, "keep_default_na": False, "on_bad_lines": "skip"}
    frame = pd.concat([pd.read_csv(each, **options) for each in files], ignore_index=True)
    for name in frame.columns:
        frame[name] = frame[name].str.strip()
        frame[name] = frame[name].where(~frame[name].isin(["", "n/a"]))
    day = pd.to_datetime(frame["day"], format="%d/%m/%Y", errors="coerce")
    frame["day"] = day.fillna(pd.to_datetime(frame["day"], format="%Y-%m-%d", errors="coerce"))
    codes = {"wind": "Wind", "sun": "Solar", "hydro": "Hydro", "gas": "Gas"}
    frame["fuel"] = frame["fuel"].str.lower().map(codes)
    answers = {"yes": True, "true": True, "no": False, "0": False}
    frame["is_final"] = frame["is_final"].map(answers)
    frame["updated"] = pd.to_datetime(frame["updated"], errors="coerce")
    for name in ("mwh", "hour", "price"):
        frame[name] = pd.to_numeric(frame[name], errors="coerce")
    states = pd.read_csv(folder / "states.csv", dtype=str)
    frame = frame.merge(states, left_on="state", right_on="code").drop(columns="code")
    needed = ["plant_id", "day", "fuel", "mwh", "hour", "is_final", "note"]
    frame = frame.dropna(subset=needed)
    frame = frame[frame["hour"].between(0, 23)]
    frame = frame.sort_values("updated").drop_duplicates(["plant_id", "day", "hour"], keep="last")
    frame["month"] = frame["day"].dt.strftime("%Y-%m")
    frame.to_parquet(target, partition_cols=["month"], index=False)


CALLS: dict[str, Callable[[Path, Path], None]] = {"plain": plain, "pandas": pandas}


def measure(contender: Contender) -> None:
    """Run a contender once."""
    shutil.rmtree(contender.target, ignore_errors=True)
    os.sync()  # what was written before is not to slow it down
    begun = time.perf_counter()
    process = subprocess.Popen(
        contender.command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    problems = process.stderr.read() if process.stderr else ""
    _, status, used = os.wait4(process.pid, 0)
    contender.walls.append(time.perf_counter() - begun)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{contender.name}: exit {process.returncode}: {problems}")
    contender.peaks.append(used.ru_maxrss * 1024)
    contender.cpus.append(used.ru_utime + used.ru_stime)


def count_rows(target: Path) -> int:
    """Count the rows of all Parquet files below a folder."""
    import pyarrow.parquet as pq

    return sum(pq.read_metadata(each).num_rows for each in target.rglob("*.parquet"))


def count_letters(target: Path) -> int:
    """Count the dead letters that stand below a destination."""
    letters = (target / ".lading" / "jobs" / "transform" / "dead").rglob("*")
    return sum(len(each.read_bytes().splitlines()) for each in letters if each.is_file())


def print_table(contenders: list[Contender], present: list[Contender]) -> None:
    """Print medians, and how fast each is beside the first that is present."""
    base = statistics.median(present[0].walls)
    print(f"| | wall s (least, most) | times as fast as {present[0].name} | CPU s | peak MB |")
    print("| --- | --- | --- | --- | --- |")
    for each in contenders:
        if each not in present:
            print(f"| {each.name} | missing: {each.needs} is not installed | | | |")
            continue
        wall = statistics.median(each.walls)
        print(
            f"| {each.name} | {wall:.2f} ({min(each.walls):.2f}, {max(each.walls):.2f})"
            f" | {base / wall:.2f} | {statistics.median(each.cpus):.1f}"
            f" | {max(each.peaks) / 1e6:.0f} |",
            flush=True,
        )


# ---- the batch runner


class Host:
    """Takes what a batch tells, and keeps none of it."""

    def check(self) -> None:
        """Never end."""

    def wants(self, item: str) -> bool:
        """Want every item."""
        del item
        return True

    def began(self, items: int | None, size_bytes: int | None) -> None:
        """Take note."""

    def ended(self, name: str, state: str, size_bytes: int, error: Exception | None) -> None:
        """Take note."""

    def bury(self, item: str, failure: object) -> None:
        """Take note."""

    def revive(self, item: str) -> None:
        """Take note."""


def batch_part(arguments: argparse.Namespace) -> None:
    """Items that need no work."""
    from lading.jobs.batch import Batch
    from lading.jobs.batch_runner import run_batch

    print(f"\n## batch: {arguments.items:,} items without work\n")
    print("| | microseconds an item (least, most) |\n| --- | --- |")
    for concurrency in (1, 8):
        batch: Batch[int] = Batch(work=lambda item: item, concurrency=concurrency)
        walls = []
        for _ in range(arguments.rounds):
            begun = time.perf_counter()
            report = run_batch(range(arguments.items), batch, Host())
            walls.append(1e6 * (time.perf_counter() - begun) / arguments.items)
            if report.done != arguments.items:
                sys.exit(f"expected {arguments.items} items done, got {report.done}")
        told = f"{statistics.median(walls):.1f} ({min(walls):.1f}, {max(walls):.1f})"
        print(f"| {concurrency} at once | {told} |", flush=True)


if __name__ == "__main__":
    main()
