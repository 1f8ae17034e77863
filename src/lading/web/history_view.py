"""The last releases of a channel as lines: bytes in all, rows by table, bytes by file. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lading.ledger.model import ArtifactRow, ReleaseRow
from lading.web.charts import Spark, draw_spark
from lading.web.diff import Change

SPARK_WIDTH, SPARK_HEIGHT = 120, 28
TOTAL_WIDTH, TOTAL_HEIGHT = 640, 120


@dataclass(frozen=True, slots=True)
class Series:
    """One thing that is measured in each release."""

    name: str
    """A table, a file, or everything."""
    values: tuple[int | None, ...]
    """Its measure, oldest release first; None where the release has no such thing."""
    spark: Spark
    """The values, drawn."""
    change: Change
    """The last but one beside the last."""

    @property
    def last(self) -> int | None:
        """Its measure in the newest release."""
        return self.values[-1] if self.values else None


@dataclass(frozen=True, slots=True)
class HistoryView:
    """What is shown of the last releases of a channel."""

    releases: tuple[ReleaseRow, ...]
    """The releases, oldest first."""
    total: Series
    """Bytes in all."""
    tables: tuple[Series, ...]
    """Rows by table, largest first, as many as are shown."""
    files: tuple[Series, ...]
    """Bytes by file, largest first, as many as are shown."""
    all_tables: int
    """How many tables there are."""
    all_files: int
    """How many files there are."""


def view_history(
    history: Sequence[tuple[ReleaseRow, Sequence[ArtifactRow]]], *, limit: int
) -> HistoryView:
    """Make out of releases and their files, oldest first, what is shown of them."""
    releases = tuple(release for release, _ in history)
    tables = _columns(history, _rows_by_table)
    files = _columns(history, lambda each: {each.key: each.size_bytes})
    sizes = [release.size_bytes for release in releases]
    return HistoryView(
        releases=releases,
        total=_series("all files", sizes, TOTAL_WIDTH, TOTAL_HEIGHT, from_zero=True),
        tables=_largest(tables, limit),
        files=_largest(files, limit),
        all_tables=len(tables),
        all_files=len(files),
    )


def _rows_by_table(file: ArtifactRow) -> Mapping[str, int]:
    return {name if name == file.key else f"{file.key}: {name}": n for name, n in file.rows.items()}


def _columns(
    history: Sequence[tuple[ReleaseRow, Sequence[ArtifactRow]]],
    measure: Callable[[ArtifactRow], Mapping[str, int]],
) -> dict[str, list[int | None]]:
    columns: dict[str, list[int | None]] = {}
    for index, (_, files) in enumerate(history):
        for file in files:
            for name, value in measure(file).items():
                columns.setdefault(name, [None] * len(history))[index] = value
    return columns


def _largest(columns: Mapping[str, list[int | None]], limit: int) -> tuple[Series, ...]:
    def rank(name: str) -> tuple[int, str]:
        known = [each for each in columns[name] if each is not None]
        return -known[-1], name

    names = sorted(columns, key=rank)[:limit]
    return tuple(_series(n, columns[n], SPARK_WIDTH, SPARK_HEIGHT) for n in names)


def _series(
    name: str,
    values: Sequence[int | None],
    width: float,
    height: float,
    *,
    from_zero: bool = False,
) -> Series:
    spark = draw_spark(values, width, height, from_zero=from_zero)
    before = values[-2] if len(values) > 1 else None
    change = Change(name, before, values[-1] if values else None)
    return Series(name, tuple(values), spark, change)
