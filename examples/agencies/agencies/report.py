"""How much silver there is, agency by agency. The smallest kind of job: a function of its words.

lading run report -- s3://rivers-lake/silver
"""

import argparse
import io

from lading.jobs import BadDataError, current_run


def report(argv: list[str]) -> int:
    """Print a line an agency: its files, readings and last month."""
    # imported when it runs: `lading jobs` imports all jobs, and reads none of their data
    from pyarrow import parquet  # noqa: PLC0415

    parser = argparse.ArgumentParser(prog="report")
    parser.add_argument("silver", help="folder of the agencies' folders: a path or a URL")
    store = current_run().open_store(parser.parse_args(argv).silver)
    files: dict[str, list[str]] = {}
    for entry in store.list():
        agency, _, name = entry.key.partition("/")
        if name.endswith(".parquet"):
            files.setdefault(agency, []).append(name)
    if not files:
        raise BadDataError(f"{store.url}: expected silver of agencies, found none")
    for agency, names in sorted(files.items()):
        found = [store.get(f"{agency}/{name}") for name in names]
        rows = sum(parquet.read_metadata(io.BytesIO(each)).num_rows for each in found)
        last = max(names).partition("/")[0].removeprefix("month=")
        print(f"{agency}  {len(names):3d} files  {rows:6d} readings  until {last}")
    return 0


JOB = (report, "Print how many readings silver holds, agency by agency")
