"""The gates of a build: each is a result with a place and a reason, and all are asked."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from lading.config.models import Config
from lading.errors import GateError
from lading.prepare.databases import check_database
from lading.prepare.parquet import check_parquet
from lading.release.layout import SourceFile, matches, matches_any
from lading.storage.progress import NO_PROGRESS, Progress

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class GateResult:
    """What one gate said of one place."""

    gate: str
    """Name of the gate."""
    place: str
    """File or pattern it looked at."""
    refused: str
    """Why it refused, or ""."""


def run_gates(
    config: Config, folder: Path, files: Sequence[SourceFile], progress: Progress = NO_PROGRESS
) -> list[GateResult]:
    """Ask every gate, in the order marker, expected files, then files by path.

    A refusal stops no other gate: a person sees all of them at once.
    """
    asked = list(_gates(config, folder, files))
    progress.set_files(len(asked))
    with ThreadPoolExecutor(max_workers=min(8, 2 * (os.cpu_count() or 1))) as pool:
        return list(pool.map(partial(_ask, progress), asked))


def require_gates(results: Sequence[GateResult]) -> None:
    """Refuse a build that a gate refused.

    Raises:
        GateError: naming every refusal, the first five in full.
    """
    refused = [each.refused for each in results if each.refused]
    if refused:
        more = [f"and {len(refused) - _SHOWN} more"] if len(refused) > _SHOWN else []
        raise GateError("\n".join([*refused[:_SHOWN], *more]))


def render_report(results: Sequence[GateResult]) -> bytes:
    """Render the report of ``check``: equal builds give equal bytes."""
    rows = [asdict(each) for each in results]
    return (json.dumps({"schema_version": 1, "gates": rows}, indent=1) + "\n").encode()


_Gate = tuple[str, str, Callable[[], None]]


def _gates(config: Config, folder: Path, files: Sequence[SourceFile]) -> Iterator[_Gate]:
    paths = {each.path for each in files}
    marker = config.source.success_marker
    if marker:
        yield "success_marker", marker, partial(_require_marker, marker, paths, folder)
    for pattern in config.source.expected:
        yield "expected", pattern, partial(_require_match, pattern, paths)
    for file in files:
        if file.path == marker or matches_any(config.layout.leave_out, file.path):
            continue
        if matches_any(config.prepare.sqlite.match, file.path):
            depth = config.prepare.sqlite.integrity
            yield "sqlite", file.path, partial(check_database, folder / file.path, depth)
        elif file.path.endswith(".parquet"):
            yield "parquet", file.path, partial(check_parquet, folder / file.path)
        else:
            yield "readable", file.path, partial(_require_readable, folder / file.path)


def _ask(progress: Progress, gate: _Gate) -> GateResult:
    name, place, ask = gate
    progress.relative_update(0)
    try:
        ask()
    except GateError as error:
        shown, file_name = str(error), Path(place).name
        if not shown.startswith(place):
            # the path in the build says more than the file's name
            shown = place + shown.removeprefix(file_name)
        return GateResult(name, place, shown)
    progress.finish_file(place)
    return GateResult(name, place, "")


def _require_marker(marker: str, paths: set[str], folder: Path) -> None:
    if marker not in paths:
        raise GateError(
            f"{marker}: expected the build's success marker in {folder}, found none:"
            " the build has not ended well"
        )


def _require_readable(path: Path) -> None:
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise GateError(f"{path.name}: expected a readable file, got {error.strerror!r}") from error


def _require_match(pattern: str, paths: set[str]) -> None:
    if not any(matches(pattern, path) for path in paths):
        raise GateError(f"{pattern}: expected at least one file that matches, found none")
