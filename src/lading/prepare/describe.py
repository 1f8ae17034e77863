"""From a layout and the digests of its files to a manifest."""

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from lading import __version__
from lading.prepare.digests import DigestCache
from lading.release.layout import Artifact, Layout
from lading.release.manifest import (
    Manifest,
    ManifestFile,
    Origin,
    Tool,
    depot_key_of,
    media_type_of,
    order_files,
)
from lading.release.names import Release
from lading.release.objects import Digest
from lading.storage.progress import NO_PROGRESS, Progress


def locate(artifact: Artifact, build: Path, archives: Path) -> Path:
    """Return where the bytes of a public file stand on this machine."""
    return (build if artifact.kind == "file" else archives) / artifact.path


def describe_release(
    release: Release,
    layout: Layout,
    digests: Iterable[Digest],
    rows: Mapping[str, Mapping[str, int]],
    sizes: Mapping[str, int],
    *,
    commit: str | None,
    doi: str = "",
) -> Manifest:
    """Describe a release.

    Args:
        release: the release.
        layout: its public files.
        digests: one a public file, in the layout's order.
        rows: path in the build to table to rows.
        sizes: path in the build to size in bytes.
        commit: git commit of the tag, where it is known.
        doi: DOI that was reserved for the release, or "".
    """
    return Manifest(
        schema_version=1,
        project=release.project,
        channel=release.channel,
        tag=release.tag,
        commit=commit,
        doi=doi or None,
        source=release.source_url,
        tool=Tool(name="lading", version=__version__),
        files=order_files(
            _describe_file(
                artifact, digest, rows, sizes, with_md5=release.is_deposited(artifact.key)
            )
            for artifact, digest in zip(layout.artifacts, digests, strict=True)
        ),
    )


def digest_artifacts(
    release: Release,
    layout: Layout,
    build: Path,
    archives: Path,
    cache: DigestCache,
    *,
    known: Mapping[str, Digest] | None = None,
    progress: Progress = NO_PROGRESS,
) -> list[Digest]:
    """Digest every public file once, in the layout's order; MD5 only of what is deposited.

    Those in ``known``, by key, are not on this machine and were proved where they stand.
    """
    told = dict(known or {})
    here = [each for each in layout.artifacts if each.key not in told]
    paths = [(locate(each, build, archives), release.is_deposited(each.key)) for each in here]
    progress.set_size(sum(path.stat().st_size for path, _ in paths if path.exists()))
    found = cache.digest_all(paths, progress)
    told.update({each.key: digest for each, digest in zip(here, found, strict=True)})
    return [told[each.key] for each in layout.artifacts]


def rows_of(artifact: Artifact, rows: Mapping[str, Mapping[str, int]]) -> dict[str, int] | None:
    """Return the rows of a public file by table, sorted; None where it has no tables."""
    found = {table: n for path in artifact.members for table, n in rows.get(path, {}).items()}
    return dict(sorted(found.items())) if any(path in rows for path in artifact.members) else None


def _describe_file(
    artifact: Artifact,
    digest: Digest,
    rows: Mapping[str, Mapping[str, int]],
    sizes: Mapping[str, int],
    *,
    with_md5: bool,
) -> ManifestFile:
    # the cache may know an MD5 that this release does not ask for: the bytes must not tell
    path = artifact.members[0] if artifact.members else artifact.path
    if artifact.kind == "bundle":
        path = str(PurePosixPath(path).parent)
    before = sum(sizes[each] for each in artifact.members) if artifact.members else None
    return ManifestFile(
        key=artifact.key,
        size_bytes=digest.size_bytes,
        sha256=digest.sha256,
        crc32c=digest.crc32c,
        md5=digest.md5 if with_md5 else None,
        media_type=media_type_of(artifact.key),
        rows=rows_of(artifact, rows),
        origin=Origin(kind=artifact.kind, path=path, size_bytes=before),
        depot_key=depot_key_of(digest.sha256),
    )
