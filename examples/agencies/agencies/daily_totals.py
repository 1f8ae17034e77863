"""What an agency measured, day by day: a small CSV file made of its silver.

A job with a specification: its arguments are typed and checked, it says what identifies a run and
what it reads. So it is done once, and again only when silver, or what it wrote, has changed.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Iterator
from statistics import fmean

from pydantic import Field

from lading.jobs import Arguments, BadDataError, JobSpec, ObjectRef, Resources, Run
from lading.jobs.refs import OpenStore
from lading.storage import Body, Entry, Store

NAMES = ("day", "parameter", "readings", "stations", "mean")


class DailyTotals(Arguments):
    """Arguments of ``daily_totals``."""

    source: str = Field(description="Silver of an agency: a path or a URL.")
    destination: str = Field(description="Where daily.csv is written, likewise.")
    places: int = Field(default=2, ge=0, le=9, description="Decimal places of the mean.")


def list_inputs(arguments: DailyTotals, open_store: OpenStore) -> Iterator[ObjectRef]:
    """List what a run reads; it is asked before it begins."""
    store = open_store(arguments.source)
    for entry in _files(store):
        yield ObjectRef.of_entry(store.url, entry)


def daily_totals(arguments: DailyTotals, run: Run) -> None:
    """Write ``daily.csv``: a line for each day and parameter.

    Raises:
        BadDataError: there is no silver.
    """
    source = run.open_store(arguments.source)
    readings: dict[tuple[str, str], list[tuple[str, float]]] = defaultdict(list)
    for entry in _files(source):
        run.check()  # a signal, or a lease that was lost, ends it here
        for row in _rows(source.get(entry.key)):
            key = row["day"].isoformat(), row["parameter"]
            readings[key].append((row["station"], row["value"]))
        run.count("files")
    if not readings:
        raise BadDataError(f"{source.url}: expected silver of an agency, found none")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(NAMES)
    for (day, parameter), found in sorted(readings.items()):
        mean = fmean(sorted(value for _, value in found))
        stations = len({station for station, _ in found})
        writer.writerow([day, parameter, len(found), stations, f"{mean:.{arguments.places}f}"])
    # equal bytes are not written again; what is written here is believed as long as it stands
    body = Body.of_bytes(text.getvalue().encode(), "text/csv")
    run.put(run.open_store(arguments.destination), "daily.csv", body)


def _files(store: Store) -> list[Entry]:
    return [each for each in store.list() if each.key.endswith(".parquet")]


def _rows(data: bytes) -> list[dict]:
    # a heavy library is imported when it is used: `lading jobs` imports every job
    from pyarrow import parquet  # noqa: PLC0415

    names = ["day", "station", "parameter", "value"]
    return parquet.read_table(io.BytesIO(data), columns=names).to_pylist()


JOB = JobSpec(
    entrypoint=daily_totals,
    description="Write what an agency measured, day by day, as a small CSV file",
    arguments=DailyTotals,
    identity=("source", "destination", "places"),
    inputs=list_inputs,
    store="destination",
    resources=Resources(cpu="500m", memory="512Mi"),
)
