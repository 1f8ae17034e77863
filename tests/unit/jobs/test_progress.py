"""Progress of a run as lines of its log."""

import io
import logging

from lading.jobs.progress import LoggedProgress


def test_lines() -> None:
    """A line each half minute, with items and bytes, and none where nothing was begun."""
    out, now = io.StringIO(), [0.0]
    logger = logging.Logger("x")  # noqa: LOG001  known to nobody else
    logger.addHandler(logging.StreamHandler(out))
    progress = LoggedProgress(logging.LoggerAdapter(logger, {}), lambda: now[0])
    now[0] = 100
    progress.relative_update(0)
    progress.set_files(1000)
    progress.set_size(2_000_000)
    for second in range(100, 200):
        now[0] = second
        progress.relative_update(12_345)
        progress.finish_file("a")
    assert out.getvalue().splitlines() == [
        "0 of 1000 items, 12.3 kB of 2.0 MB",
        "30 of 1000 items, 382.7 kB of 2.0 MB",
        "60 of 1000 items, 753.0 kB of 2.0 MB",
        "90 of 1000 items, 1.1 MB of 2.0 MB",
    ]


def test_unknown_numbers() -> None:
    """What is not known beforehand is counted; several batches of a run add up."""
    progress = LoggedProgress(logging.LoggerAdapter(logging.getLogger("lading.tests"), {}))
    progress.relative_update(1500)
    progress.finish_file("a")
    assert progress.describe() == "1 items, 1.5 kB"
    progress.set_files(2)
    progress.set_files(3)
    assert progress.describe() == "1 of 5 items, 1.5 kB"
