"""The gates of a build: each is a result with a place and a reason, and all are asked."""

import json
import os
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from lading.config.models import Config
from lading.errors import GateError, SourceError
from lading.prepare.archives import digests_of
from lading.prepare.baseline import Difference
from lading.prepare.databases import (
    at_rest,
    check_database,
    count_rows,
    live_journal,
    refuse_live,
)
from lading.prepare.digests import DigestCache
from lading.prepare.parquet import check_parquet
from lading.release.layout import SourceFile, journals_of, matches, matches_any, own_files
from lading.storage.progress import NO_PROGRESS, Progress

_SHOWN = 5
_JUDGEMENTS = {"unexpected", "lost", "rows", "sizes"}  # what a person may know better

Rows = dict[str, dict[str, int]]
"""Path in the build to table to rows."""
Sizes = dict[str, int]
"""Path in the build to size in bytes."""


class TableReport(BaseModel):
    """What the report of ``check`` keeps of one file with tables."""

    model_config = ConfigDict(frozen=True, strict=True)

    sources: dict[str, str]
    """sha256 by name of all that it was read from."""
    size_bytes: int
    """Its size at rest."""
    rows: dict[str, int]
    """Its rows by table."""


@dataclass(frozen=True, slots=True)
class GateResult:
    """What one gate said of one place."""

    gate: str
    """Name of the gate."""
    place: str
    """File, pattern, table or prefix it looked at."""
    refused: str = ""
    """Why it refused, or ""."""
    warned: str = ""
    """What it warned of, or ""."""
    accepted: str = ""
    """The reason a person gave for going on in spite of a refusal, or ""."""

    @property
    def stops(self) -> bool:
        """Whether the build may not go on."""
        return bool(self.refused and not self.accepted)


@dataclass(frozen=True, slots=True)
class Examination:
    """All that was learned of a build by looking at its files."""

    results: tuple[GateResult, ...]
    """What the gates said: marker, expected files, then files by path."""
    rows: Rows
    """The rows of every sound file that has tables."""
    sizes: Sizes
    """The sizes of those files at rest: of the snapshot, where a database was left open."""
    sources: dict[str, dict[str, str]]
    """Of each of those files, sha256 by name of all that it was read from."""


def examine(
    config: Config,
    folder: Path,
    files: Sequence[SourceFile],
    *,
    cache: DigestCache,
    scratch: Path,
    with_md5: Container[str] = (),
    progress: Progress = NO_PROGRESS,
) -> Examination:
    """Ask every gate that looks at the build alone, and digest its files beside.

    A refusal stops no other gate: a person sees all of them at once. The largest files are
    begun first, so that all cores are busy to the end.

    Args:
        config: the configuration.
        folder: the build.
        files: its listing.
        cache: learns the digests of all files.
        scratch: folder for snapshots of databases that were left open.
        with_md5: paths in the build of which MD5 is wanted as well.
        progress: told of each gate that ends.
    """
    asked = list(_gates(config, folder, files, scratch, cache))
    progress.set_files(len(asked))
    with ThreadPoolExecutor(max_workers=min(8, 2 * (os.cpu_count() or 1))) as pool:
        jobs = {}
        for gate in sorted(asked, key=lambda each: -each.size_bytes):
            jobs[gate.name, gate.place] = pool.submit(_ask, progress, gate)
            if gate.path is not None:
                pool.submit(_digest, cache, gate.path, md5=gate.place in with_md5)
        answers = [jobs[gate.name, gate.place].result() for gate in asked]
    return Examination(
        results=tuple(result for result, _ in answers),
        rows={result.place: each.rows for result, each in answers if each},
        sizes={result.place: each.size_bytes for result, each in answers if each},
        sources={result.place: each.sources for result, each in answers if each},
    )


def results_of(differences: Sequence[Difference]) -> list[GateResult]:
    """Return what a comparison with the last release says, as results of gates."""
    return [
        GateResult(each.gate, each.place, **{each.verdict: each.reason}) for each in differences
    ]


def accept(results: Sequence[GateResult], reason: str) -> tuple[GateResult, ...]:
    """Let a person's reason stand beside every refusal that is a judgement.

    Args:
        results: what the gates said.
        reason: why the release may go on, or "". It covers what was lost, shrank, grew or was
            not expected; never a file that is missing or broken.
    """
    return tuple(
        replace(each, accepted=reason) if each.refused and each.gate in _JUDGEMENTS else each
        for each in results
    )


def sources_in(config: Config, folder: Path, path: str) -> list[Path]:
    """Return a file of a build, and the journal that belongs to it where one is live."""
    source = folder / path
    if not matches_any(config.prepare.sqlite.match, path):
        return [source]
    journal = live_journal(source)
    return [source, journal] if journal else [source]


def load_tables(report: Path) -> dict[str, TableReport]:
    """Return what a report of ``check`` says of files with tables; nothing where it is broken."""
    try:
        tables = json.loads(report.read_bytes())["tables"]
        return {path: TableReport.model_validate(each) for path, each in tables.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}


def count_tables(config: Config, folder: Path, path: str) -> Rows:
    """Return the rows of one file of the build; nothing where it has no tables.

    Raises:
        GateError: it is broken.
    """
    if matches_any(config.prepare.sqlite.match, path):
        return {path: count_rows(folder / path)}
    name = PurePosixPath(path).stem
    return {path: {name: check_parquet(folder / path)}} if path.endswith(".parquet") else {}


def require_gates(results: Sequence[GateResult]) -> None:
    """Refuse a build that a gate refused.

    Raises:
        GateError: naming every refusal, the first five in full.
    """
    stopping = [each for each in results if each.stops]
    if not stopping:
        return
    lines = [each.refused for each in stopping]
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    can_accept = all(each.gate in _JUDGEMENTS for each in stopping)
    hint = "where that is right, run it again with accept='why it is right'" if can_accept else ""
    raise GateError("\n".join([*lines[:_SHOWN], *more]), hint=hint)


def warnings_of(results: Sequence[GateResult]) -> tuple[str, ...]:
    """Return what the gates warned of, the first five in full."""
    lines = [each.warned for each in results if each.warned]
    more = [f"and {len(lines) - _SHOWN} more, see check.json"] if len(lines) > _SHOWN else []
    return (*lines[:_SHOWN], *more)


def render_report(results: Sequence[GateResult], rows: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Render the report of ``check``: equal builds give equal bytes.

    Args:
        results: what the gates said.
        rows: path in the build to what a ``TableReport`` says of it.
    """
    gates = [{k: v for k, v in asdict(each).items() if v or k == "refused"} for each in results]
    table = {"schema_version": 2, "gates": gates, "tables": dict(sorted(rows.items()))}
    return (json.dumps(table, indent=1, ensure_ascii=False) + "\n").encode()


_Ask = Callable[[], TableReport | None]
"""Refuses by raising; returns what it learned of a file with tables."""


@dataclass(frozen=True, slots=True)
class _Gate:
    name: str
    place: str
    ask: _Ask
    path: Path | None = None
    size_bytes: int = 0
    severity: Literal["warned", "refused"] = "refused"


def _gates(
    config: Config,
    folder: Path,
    files: Sequence[SourceFile],
    scratch: Path,
    cache: DigestCache,
) -> Iterator[_Gate]:
    paths = {each.path for each in files}
    marker = config.source.success_marker
    if marker:
        yield _Gate("success_marker", marker, partial(_require_marker, marker, paths, folder))
    for pattern in config.source.expected:
        yield _Gate("expected", pattern, partial(_require_match, pattern, paths))
    yield from _unexpected(config, files)
    unasked = journals_of(config, paths) | own_files(config)
    for file in files:
        if file.path in unasked or matches_any(config.layout.leave_out, file.path):
            continue
        path = folder / file.path
        name = "readable"
        ask: _Ask = partial(_require_readable, path)
        if matches_any(config.prepare.sqlite.match, file.path):
            name, ask = "sqlite", partial(_ask_database, config, folder, file.path, scratch, cache)
        elif file.path.endswith(".parquet"):
            name, ask = "parquet", partial(_ask_parquet, path, cache)
        yield _Gate(name, file.path, ask, path, file.size_bytes)


def _unexpected(config: Config, files: Sequence[SourceFile]) -> Iterator[_Gate]:
    source = config.source
    if not source.expected or config.gates.unexpected == "allow":
        return
    paths = [each.path for each in files]
    known = own_files(config) | journals_of(config, paths)
    named = (*source.expected, *source.optional)
    for path in paths:
        if path in known or matches_any(config.layout.leave_out, path):
            continue
        if not matches_any(named, path):
            severity: Literal["warned", "refused"] = (
                "refused" if config.gates.unexpected == "refuse" else "warned"
            )
            yield _Gate("unexpected", path, partial(_tell_unexpected, path), severity=severity)


def _ask(progress: Progress, gate: _Gate) -> tuple[GateResult, TableReport | None]:
    progress.relative_update(0)
    try:
        found = gate.ask()
    except GateError as error:
        shown, file_name = str(error), Path(gate.place).name
        if not shown.startswith(gate.place):
            # the path in the build says more than the file's name
            shown = gate.place + shown.removeprefix(file_name)
        return GateResult(gate.name, gate.place, **{gate.severity: shown}), None
    progress.finish_file(gate.place)
    return GateResult(gate.name, gate.place), found


def _digest(cache: DigestCache, path: Path, *, md5: bool) -> None:
    """Digest a file ahead of those who need it; they meet its faults themselves."""
    with suppress(SourceError):
        cache.digest(path, md5=md5)


def _ask_database(
    config: Config, folder: Path, path: str, scratch: Path, cache: DigestCache
) -> TableReport:
    source = folder / path
    if config.prepare.sqlite.live == "refuse":
        refuse_live(source)
    parts = sources_in(config, folder, path)
    sources = _digests(parts, cache) if len(parts) > 1 else {}  # of a snapshot: before it is made
    with at_rest(source, (scratch / path).parent) as still:
        check_database(still, config.prepare.sqlite.integrity)
        size, rows = still.stat().st_size, count_rows(still)
    return TableReport(sources=sources or _digests(parts, cache), size_bytes=size, rows=rows)


def _ask_parquet(path: Path, cache: DigestCache) -> TableReport:
    rows = {path.stem: check_parquet(path)}
    sources = _digests([path], cache)
    return TableReport(sources=sources, size_bytes=path.stat().st_size, rows=rows)


def _digests(paths: Sequence[Path], cache: DigestCache) -> dict[str, str]:
    try:
        return digests_of(paths, cache)
    except SourceError as error:
        raise GateError(str(error)) from error


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


def _tell_unexpected(path: str) -> None:
    raise GateError(
        f"{path}: expected only files that source.expected or source.optional name, found another"
    )
