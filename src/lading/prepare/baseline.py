"""A build beside the last release of its channel: what was lost, what shrank, what grew.

All decisions here are pure; the last release is its public ``release.json``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from lading.config.models import Gates, Limits
from lading.prepare.describe import rows_of
from lading.release.layout import Artifact, Layout
from lading.release.manifest import Manifest, ManifestFile, parse_manifest
from lading.storage import Store

Verdict = Literal["warned", "refused"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs from the last release by more than a limit."""

    gate: str
    """``lost``, ``rows`` or ``sizes``."""
    place: str
    """The public key, and the table where there is one."""
    verdict: Verdict
    """Whether it is told or refused."""
    reason: str
    """What was expected and what was found."""


def read_manifest(store: Store, key: str, channel: str) -> Manifest | None:
    """Return a manifest; None where there is none, or one of another channel.

    Raises:
        LadingError: the place cannot be asked, or holds something else under that name.
    """
    if store.stat(key) is None:
        return None
    found = parse_manifest(store.get(key), f"{store.url}/{key}")
    return found if found.channel == channel else None


def compare(
    gates: Gates,
    layout: Layout,
    rows: Mapping[str, Mapping[str, int]],
    sizes: Mapping[str, int],
    last: Manifest,
) -> list[Difference]:
    """Compare a build with the last release, by public key.

    Args:
        gates: the limits.
        layout: what would ship.
        rows: path in the build to table to rows, of every file with tables that is sound.
        sizes: path in the build to size in bytes.
        last: the last release.
    """
    artifacts = {each.key: each for each in layout.artifacts}
    return [
        difference
        for file in last.files
        for difference in _compare_file(gates, file, artifacts.get(file.key), rows, sizes, last.tag)
    ]


def _compare_file(
    gates: Gates,
    file: ManifestFile,
    artifact: Artifact | None,
    rows: Mapping[str, Mapping[str, int]],
    sizes: Mapping[str, int],
    tag: str,
) -> Iterator[Difference]:
    if artifact is None:
        yield from _lost(gates, file.key, f"expected the public file that {tag} has, found none")
        return
    if file.origin.size_bytes:
        stored = artifact.digest.size_bytes if artifact.digest else 0
        size = stored + sum(sizes[path] for path in artifact.members)
        yield from _moved("sizes", file.key, gates.sizes, file.origin.size_bytes, size, tag)
    found = rows_of(artifact, rows)
    if found is None or file.rows is None:
        return
    for table, before in file.rows.items():
        place = f"{file.key}: {table}"
        if table not in found:
            yield from _lost(gates, place, f"expected the table that {tag} has, found none")
        elif before:
            yield from _moved("rows", place, gates.rows, before, found[table], tag)


def _lost(gates: Gates, place: str, reason: str) -> Iterator[Difference]:
    if gates.lost != "allow":
        verdict: Verdict = "refused" if gates.lost == "refuse" else "warned"
        yield Difference("lost", place, verdict, f"{place}: {reason}")


def _moved(
    gate: str, place: str, limits: Limits, before: int, after: int, tag: str
) -> Iterator[Difference]:
    share = abs(after - before) / before
    is_loss = after < before
    refuse = limits.refuse_loss if is_loss else limits.refuse_gain
    warn = limits.warn_loss if is_loss else limits.warn_gain
    verdict: Verdict
    if refuse is not None and share >= refuse:
        verdict, limit = "refused", refuse
    elif warn is not None and share >= warn:
        verdict, limit = "warned", warn
    else:
        return
    unit = "rows" if gate == "rows" else "bytes"
    change = f"{share * 100:.1f} % {'fewer' if is_loss else 'more'}"
    yield Difference(
        gate,
        place,
        verdict,
        f"{place}: expected about the {before} {unit} of {tag}, found {after}: {change},"
        f" the limit is {limit * 100:g} %",
    )
