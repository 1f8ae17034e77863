"""What a container does: ``python -m reformatters update|validate|archive-grib-files DATASET``."""

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime

from reformatters.catalog import load_dataset
from reformatters.store import Store, StoreError
from reformatters.worker import archive_grib_files, update, validate

OPERATIONS = {
    "update": update,
    "validate": validate,
    "archive-grib-files": archive_grib_files,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one operation and return its exit code; a fault is one line on stderr.

    Effects: files in the store.
    """
    options = _parser().parse_args(arguments)
    try:
        done = OPERATIONS[options.operation](
            load_dataset(options.dataset),
            Store.at(os.environ.get("STORE", "")),
            options.date or datetime.now(tz=UTC).date(),
            index=_whole("JOB_COMPLETION_INDEX", 0),
            count=_whole("JOB_COMPLETIONS", 1),
        )
    except StoreError as error:
        print(f"ERROR: {options.operation} {options.dataset}: {error}", file=sys.stderr)
        return 1
    print(f"{options.operation} {options.dataset}: {done}")
    return 0


def _whole(name: str, default: int) -> int:
    """Return a number that Kubernetes, or the CronJob, puts into the environment."""
    given = os.environ.get(name, str(default))
    if not given.isdecimal():
        raise StoreError(f"{name}: expected a whole number, got {given!r}")
    return int(given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m reformatters",
        description="Keep one weather dataset up to date. STORE says where it stands: a folder, or"
        " a file:// URL.",
    )
    parser.add_argument("operation", choices=OPERATIONS)
    parser.add_argument("dataset", help="a folder of datasets/")
    parser.add_argument(
        "--date", type=date.fromisoformat, help="day to work on, as 2026-08-01 [default: today]"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
