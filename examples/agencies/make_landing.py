"""Make what the agencies have delivered: small objects with known dirt, and the truth about them.

    python make_landing.py landing --truth truth.json
    python make_landing.py s3://rivers-landing --objects 101 --only ia

The same arguments give the same bytes, and an object does not change when more are made after it.
What stands as it is to be is left alone. The truth says of each agency which readings silver must
hold, at which revision, and each row and file that must end as a dead letter.
"""

import argparse
import csv
import gzip
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from lading.storage import Body, Store
from lading.storage.open import open_store

HERE = Path(__file__).parent
FIRST_DAY = date(2025, 1, 1)
NAMES = ("reading", "station", "date", "parameter", "value", "quality", "revision", "remark")
DATES = ("%Y-%m-%d", "%d/%m/%Y", "%Y%m%d")
PARAMETERS = {"00060": (5.0, 900.0), "00065": (0.2, 9.0), "00010": (-1.0, 24.0)}
REMARKS = ("", "", "", "ice", 'gauge "B", rebuilt', "Río crecido")

# What is wrong with a row, and what stands there instead. `broken` is no column: the row itself.
DIRT = {
    "number": ("value", "12,4 m"),
    "code": ("parameter", "99999"),
    "required": ("station", "  "),
    "date": ("date", "2025-02-30"),
    "broken": ("", ""),
    "station": ("station", "zz-99"),
    "range": ("value", "-9999"),
}
DIRTY_FILES = ("columns", "binary", "empty", "encoding")
DIRTY_FILE_EVERY, DIRTY_FILE_AT = 40, 3
BINARY = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 3


@dataclass(frozen=True)
class Agency:
    """One that delivers."""

    name: str
    """Its id."""
    format: str
    """``csv`` or ``jsonl``."""
    place: int
    """Its place among all agencies."""


@dataclass(frozen=True)
class Made:
    """One object."""

    key: str
    """Its key below the agency's folder: the same for all agencies of a format."""
    data: bytes
    """Its bytes."""
    readings: tuple[tuple[str, int], ...]
    """Good rows in their order: id and revision."""
    dirty_rows: tuple[tuple[int, str], ...]
    """Bad rows: number from 1, without the header, and what is wrong."""
    dirty: str
    """What is wrong with all of it, or ""."""


@dataclass
class Truth:
    """What is known of an agency's delivery."""

    objects: int = 0
    """How many there are."""
    rows: int = 0
    """Rows of files that can be read, dirty ones included."""
    duplicates: int = 0
    """Good rows that another row with the same id replaces."""
    readings: dict[str, int] = field(default_factory=dict)
    """What silver holds: revision by id."""
    dirty_rows: list[tuple[str, int, str]] = field(default_factory=list)
    """Key, number of the row, what is wrong."""
    dirty_files: list[tuple[str, str]] = field(default_factory=list)
    """Key, what is wrong."""

    def add(self, made: Made) -> None:
        """Count an object."""
        self.objects += 1
        if made.dirty:
            self.dirty_files.append((made.key, made.dirty))
        self.rows += len(made.readings) + len(made.dirty_rows)
        self.dirty_rows += [(made.key, row, kind) for row, kind in made.dirty_rows]
        for name, revision in made.readings:
            self.duplicates += name in self.readings
            self.readings[name] = max(revision, self.readings.get(name, 0))

    @property
    def table(self) -> dict[str, Any]:
        """It as JSON takes it."""
        return {**vars(self), "good": len(self.readings)}


def load_agencies(path: Path = HERE / "formats.jsonl") -> list[Agency]:
    """Read which agency delivers what."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [Agency(each["agency"], each["format"], place) for place, each in enumerate(rows)]


def make_object(agency: Agency, number: int, seed: int = 1, *, is_clean: bool = False) -> Made:
    """Make one object of an agency; nothing but the arguments decides what is in it.

    Args:
        agency: whose.
        number: its number, from 1: one a day.
        seed: another one makes other figures.
        is_clean: whether it is without dirt, as when the agency has mended it.
    """
    day = FIRST_DAY + timedelta(days=number - 1)
    dirty = "" if is_clean else _dirt_of_file(agency, number)
    ending = ".gz" if number % 3 == 0 else ""
    rows = _readings(agency, number, seed)
    dirty_at, kind = (0, "") if is_clean else _dirt_of_row(agency, number, len(rows))
    if kind:
        column, text = DIRT[kind]
        rows[dirty_at - 1] = {**rows[dirty_at - 1], **({column: text} if column else {})}
    lines = [_render(agency, row) for row in rows]
    if kind == "broken":
        line = lines[dirty_at - 1]
        lines[dirty_at - 1] = f"{line},and,more" if agency.format == "csv" else line[:-9]
    data = _spoil(agency, dirty, lines)
    good = [(row["reading"], int(row["revision"])) for row in rows]
    if kind:
        del good[dirty_at - 1]
    return Made(
        key=f"{day.isoformat()}.{agency.format}{ending}",
        data=gzip.compress(data, mtime=0) if ending and dirty != "empty" else data,
        readings=() if dirty else tuple(good),
        dirty_rows=((dirty_at, kind),) if kind and not dirty else (),
        dirty=dirty,
    )


def _dirt_of_file(agency: Agency, number: int) -> str:
    """One object in forty cannot be read at all."""
    if number % DIRTY_FILE_EVERY != DIRTY_FILE_AT:
        return ""
    kind = DIRTY_FILES[(agency.place + number // DIRTY_FILE_EVERY) % len(DIRTY_FILES)]
    # a JSON line without a field is a row, not a file
    return "encoding" if kind == "columns" and agency.format == "jsonl" else kind


def _dirt_of_row(agency: Agency, number: int, rows: int) -> tuple[int, str]:
    """In one object of three, one row is bad; never the last one."""
    if (number + 2) % 3:
        return 0, ""
    kinds = list(DIRT)
    return number % (rows - 1) + 1, kinds[(agency.place + number // 3) % len(kinds)]


def _readings(agency: Agency, number: int, seed: int) -> list[dict[str, str]]:
    """Return the rows of an object, without dirt; some replace one of it, or of the day before."""
    rows = list(_day(agency, number, seed))
    random = Random(f"again {seed} {agency.name} {number}")
    if (number + 2) % 4 == 0:
        again = random.choice(rows)
        revision = random.choice((1, 2))  # 1: the very same row
        rows.append({**again, "revision": str(revision), "remark": ""})
    if number % 5 == 0:
        rows.append({**random.choice(_day(agency, number - 1, seed)), "revision": "3"})
    return rows


@cache
def _day(agency: Agency, number: int, seed: int) -> tuple[dict[str, str], ...]:
    random = Random(f"{seed} {agency.name} {number}")
    day = (FIRST_DAY + timedelta(days=number - 1)).strftime(DATES[agency.place % len(DATES)])
    rows = []
    for station in (1, 2, 3):
        for parameter in random.sample(sorted(PARAMETERS), 2):
            low, high = PARAMETERS[parameter]
            row = {
                "reading": f"{agency.name}-{number:04d}-{len(rows) + 1:02d}",
                "station": f"{agency.name}-{station:02d}".upper() + " " * random.randrange(2),
                "date": day,
                "parameter": parameter,
                "value": f"{random.uniform(low, high):.2f}",
                "quality": random.choice(("A", "P", "p ", "NA")),
                "revision": "1",
                "remark": random.choice(REMARKS),
            }
            rows.append(row)
    return tuple(rows)


def _render(agency: Agency, row: dict[str, str]) -> str:
    if agency.format == "csv":
        text = io.StringIO()
        csv.writer(text, lineterminator="").writerow([row[name] for name in NAMES])
        return text.getvalue()
    table: dict[str, Any] = {**row, "revision": int(row["revision"])}
    if row["value"].replace(".", "").isdigit():
        table["value"] = float(row["value"])
    return json.dumps(table, ensure_ascii=False)


def _spoil(agency: Agency, dirty: str, lines: list[str]) -> bytes:
    """Return the bytes of an object, or what stands in their place."""
    header = [",".join(NAMES)] if agency.format == "csv" else []
    if dirty == "empty":
        return b""
    if dirty == "binary":
        return BINARY
    if dirty == "columns":
        header = [header[0].replace("parameter", "param")]
    text = "".join(f"{line}\n" for line in [*header, *lines])
    if dirty == "encoding":
        return text.replace("2025", "2025\N{NO-BREAK SPACE}", 1).encode("latin-1")
    return text.encode()


@dataclass(frozen=True)
class Delivery:
    """What is made."""

    agencies: tuple[Agency, ...]
    """Whose."""
    objects: int = 100
    """How many of each agency."""
    seed: int = 1
    """Another one makes other figures."""
    is_clean: bool = False
    """Whether all is without dirt."""

    def __iter__(self) -> Iterator[tuple[Agency, Made]]:
        """Make all objects, those of an agency in the order of their days."""
        for agency in self.agencies:
            for number in range(1, self.objects + 1):
                yield agency, make_object(agency, number, self.seed, is_clean=self.is_clean)

    def tell_truth(self) -> dict[str, Truth]:
        """Return what is known of it, by agency."""
        truth = {each.name: Truth() for each in self.agencies}
        for agency, made in self:
            truth[agency.name].add(made)
        return truth

    def put(self, store: Store) -> int:
        """Put the objects that do not stand as they are to be; return how many.

        Effects: objects ``<agency>/<day>.<format>`` in the store.
        """
        standing = {each.key: each.size_bytes for each in store.list()}

        def put_one(agency: Agency, made: Made) -> int:
            key = f"{agency.name}/{made.key}"
            if standing.get(key) == len(made.data) and store.get(key) == made.data:
                return 0
            store.put(key, Body.of_bytes(made.data, "application/octet-stream"))
            return 1

        with ThreadPoolExecutor(store.workers) as threads:
            futures = [threads.submit(put_one, *each) for each in self]
            return sum(each.result() for each in futures)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Make what the agencies have delivered.")
    parser.add_argument("landing", help="where to: a folder or a URL such as s3://bucket")
    parser.add_argument("--objects", type=int, default=100, help="of an agency [default: 100]")
    parser.add_argument("--only", nargs="*", default=[], help="these agencies [default: all]")
    parser.add_argument("--seed", type=int, default=1, help="another one makes other figures")
    parser.add_argument("--clean", action="store_true", help="without dirt: all was mended")
    parser.add_argument("--truth", type=Path, help="JSON file of what must come out")
    options = parser.parse_args()
    agencies = [each for each in load_agencies() if each.name in options.only or not options.only]
    delivery = Delivery(tuple(agencies), options.objects, options.seed, options.clean)
    made = delivery.put(open_store(options.landing, Path.cwd()))
    print(f"{made} of {len(agencies) * options.objects} objects put into {options.landing}")
    if options.truth:
        tables = {name: each.table for name, each in delivery.tell_truth().items()}
        options.truth.write_text(json.dumps(tables, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
