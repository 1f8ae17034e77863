"""A process of its own that reads parquet footers: paths on stdin, answers on stdout.

    python -m lading.prepare.footers

Each line of input is a path as JSON; each answer is a JSON list of the number of rows, the
end of the data in bytes and the fault, "" where there is none. The library is native code
that a damaged footer can end; here that ends this process and not a release.
"""

import json
import sys

import pyarrow as pa
import pyarrow.parquet as pq


def read_footer(path: str) -> tuple[int, int, str]:
    """Return rows, end of the data in bytes, and what is wrong with a footer, or ""."""
    try:
        found = pq.read_metadata(path)
        groups = [found.row_group(n) for n in range(found.num_row_groups)]
        columns = [group.column(n) for group in groups for n in range(group.num_columns)]
    except (pa.ArrowException, OSError, ValueError) as error:
        return 0, 0, str(error).partition("\n")[0] or type(error).__name__
    rows = sum(group.num_rows for group in groups)
    if rows != found.num_rows:
        return 0, 0, f"{found.num_rows} rows, and row groups of {rows}"
    end = 0
    for column in columns:
        start = column.data_page_offset
        if column.has_dictionary_page:
            start = min(start, column.dictionary_page_offset)
        end = max(end, start + column.total_compressed_size)
    return rows, end, ""


def main() -> None:
    """Answer until there is no more to be asked."""
    for line in sys.stdin:
        sys.stdout.write(json.dumps(read_footer(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
