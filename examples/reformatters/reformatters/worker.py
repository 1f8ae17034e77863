"""What keeps a dataset up to date. Every operation may be repeated: it does nothing twice.

An Indexed Job shares the hours of a day among its workers. All of them compute the same list and
each takes its own part, so that no queue is needed.
"""

import hashlib
from datetime import date

from reformatters.catalog import Dataset
from reformatters.store import Store, StoreError

HOURS = range(24)
GROUP = "zarr.json"


def update(dataset: Dataset, store: Store, day: date, *, index: int, count: int) -> str:
    """Write the hours of a day that fall to this worker; the first one writes the group as well.

    Raises:
        StoreError: the store holds another dataset or version, or there is no such worker.
    """
    if not 0 <= index < count:
        raise StoreError(f"JOB_COMPLETION_INDEX: expected below {count}, got {index}")
    _require_ours(dataset, store)
    written = 0
    for hour in HOURS[index::count]:
        written += store.write(_key(day, hour), _field(dataset, day, hour))
    if index == 0:
        store.write(GROUP, dataset.template)
    return f"{day} worker {index} of {count}: {written} of {len(HOURS[index::count])} hours written"


def validate(dataset: Dataset, store: Store, day: date, *, index: int, count: int) -> str:
    """Say that a day is whole.

    Raises:
        StoreError: it is not; the hours that are missing or wrong are named.
    """
    del index, count  # one worker looks at all
    if _require_ours(dataset, store) is None:
        raise StoreError(f"{GROUP}: expected the group, found none")
    wrong = [hour for hour in HOURS if store.read(_key(day, hour)) != _field(dataset, day, hour)]
    if wrong:
        hours = ", ".join(f"{hour:02d}" for hour in wrong)
        raise StoreError(f"{day}: expected {len(HOURS)} hours, found none or others at {hours}")
    return f"{day}: all {len(HOURS)} hours are there"


def archive_grib_files(dataset: Dataset, store: Store, day: date, *, index: int, count: int) -> str:
    """Keep a listing of the files that a day was made from: the agency deletes them soon.

    Raises:
        StoreError: the store holds another dataset or version.
    """
    del index, count  # one worker does it
    _require_ours(dataset, store)
    files = {f"{dataset.name}.{hour:02d}.grib2": _digest(dataset, day, hour) for hour in HOURS}
    written = store.write(f"archive/{day}.json", {"day": str(day), "sha256": files})
    return f"{day}: {'wrote' if written else 'kept'} the listing of {len(files)} files"


def _require_ours(dataset: Dataset, store: Store) -> str | None:
    """Return the version that stands in a store, None in an empty one.

    A staged version whose STORE points at production's must end here, and not in the data.
    """
    group = store.read(GROUP)
    if group is None:
        return None
    found = group.get("attributes", {})
    here = (found.get("dataset_id"), found.get("dataset_version"))
    if here != (dataset.name, dataset.version):
        raise StoreError(
            f"{GROUP}: expected {dataset.name} {dataset.version}, found {here[0]} {here[1]}"
        )
    return dataset.version


def _field(dataset: Dataset, day: date, hour: int) -> dict[str, object]:
    """Return one hour: figures that stand for weather, the same at each call."""
    digest = bytes.fromhex(_digest(dataset, day, hour))
    return {
        "dataset": dataset.name,
        "time": f"{day}T{hour:02d}:00:00Z",
        "temperature_2m": [round(each / 5 - 20, 1) for each in digest[:8]],
    }


def _digest(dataset: Dataset, day: date, hour: int) -> str:
    return hashlib.sha256(f"{dataset.name} {day} {hour}".encode()).hexdigest()


def _key(day: date, hour: int) -> str:
    return f"{day:%Y/%m/%d}/{hour:02d}.json"
