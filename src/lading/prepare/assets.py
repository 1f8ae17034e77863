"""What `check` asks of a version's own assets: none is empty, and each has the right digest."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from lading.config import Config
from lading.errors import GateError, SourceError
from lading.prepare.digests import DigestCache
from lading.prepare.gates import GateResult
from lading.release.layout import Layout, journals_of, own_files

_LINE = re.compile(r"\\?([0-9a-fA-F]{64}) [ *](?:\./)?(.+)")


def ask_assets(
    config: Config, folder: Path, layout: Layout, cache: DigestCache
) -> list[GateResult]:
    """Ask the gates of a version's own assets.

    Args:
        config: the configuration.
        folder: the version.
        layout: what ships of it.
        cache: where digests are looked up.
    """
    results = []
    for path in layout.source_paths:
        size = (folder / path).stat().st_size if (folder / path).is_file() else -1
        empty = f"{path}: expected an asset with content, found an empty file"
        results.append(GateResult("empty", path, refused="" if size else empty))
    return [*results, *_ask_sums(config, folder, layout, cache)]


def parse_sums(data: bytes, place: str) -> dict[str, str]:
    """Parse a file of the form of SHA256SUMS: sha256 by path.

    Raises:
        GateError: a line is none, or two name one file; every fault, one a line.
    """
    found: dict[str, str] = {}
    faults = []
    for number, line in enumerate(data.decode(errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        fitting = _LINE.fullmatch(line)
        if fitting is None:
            faults.append(
                f"{place}:{number}: expected a sha256, two spaces and a path, got {line!r}"
            )
        elif fitting[2] in found:
            faults.append(f"{place}:{number}: expected each path once, got {fitting[2]!r} again")
        else:
            found[fitting[2]] = fitting[1].lower()
    if faults:
        raise GateError("\n".join(faults))
    return found


def _ask_sums(
    config: Config, folder: Path, layout: Layout, cache: DigestCache
) -> Iterator[GateResult]:
    name = config.publish.sums
    if not name:
        return
    try:
        sums = parse_sums((folder / name).read_bytes(), name)
    except OSError as error:
        told = f"{name}: expected the digests of the version, got {error.strerror!r}"
        yield GateResult("sums", name, refused=told)
        return
    except GateError as error:
        yield GateResult("sums", name, refused=str(error))
        return
    silent = own_files(config) | journals_of(config, layout.source_paths)
    for path in sorted({*layout.source_paths, *sums} - silent):
        yield GateResult("sums", path, refused=_fault_of(folder, path, name, sums, cache))


def _fault_of(
    folder: Path, path: str, name: str, sums: Mapping[str, str], cache: DigestCache
) -> str:
    if path not in sums:
        return f"{path}: expected a line in {name}, found none"
    inside = (folder / path).resolve().is_relative_to(folder.resolve())
    if not inside or not (folder / path).is_file():
        return f"{path}: expected the file that {name} names, found none"
    try:
        found = cache.digest(folder / path).sha256
    except SourceError as error:
        return str(error)
    if found == sums[path]:
        return ""
    return f"{path}: expected sha256 {sums[path]} as {name} says, found {found}"
