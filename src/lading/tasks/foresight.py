"""What a run is to change and how much work that is, as far as it is known. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from lading.config import Config
from lading.ledger.model import Target
from lading.ledger.progress import ONE_ITEM, Work
from lading.release.layout import Layout, SourceFile
from lading.release.links import prefix_url
from lading.release.manifest import Manifest
from lading.release.names import Release

_ZIPPED = 0.35
"""Share of a database that its zip is likely to have; only until it is made."""
_DOCUMENTS = 2


def foresee_targets(config: Config, release: Release, tasks: Iterable[str]) -> list[Target]:
    """Return what a run of these tasks is to change, in the order of the road.

    Args:
        config: the configuration.
        release: the release.
        tasks: names of the tasks that will run.
    """
    wanted = set(tasks)
    return [each for each in _targets(config, release) if each.task in wanted]


def with_manifest(targets: Iterable[Target], manifest: Manifest) -> list[Target]:
    """Return the targets with the files and bytes that are to stand there."""
    files, size = len(manifest.files) + _DOCUMENTS, manifest.size_bytes
    return [
        replace(each, planned_files=files, planned_bytes=size) if each.destination else each
        for each in targets
    ]


def foresee_work(
    tasks: Iterable[str],
    layout: Layout | None,
    files: Iterable[SourceFile],
    manifest: Manifest | None = None,
    *,
    is_remote: bool = False,
) -> dict[str, Work]:
    """Return the work of each task, in bytes and items; ``ONE_ITEM`` where nobody knows.

    Args:
        tasks: names of the tasks that will run.
        layout: what ships, where it is known.
        files: the files of the build.
        manifest: the release, where it is described by now.
        is_remote: whether the build is to be downloaded.
    """
    sizes = {each.path: each.size_bytes for each in files}
    build = Work(sum(sizes.values()), len(sizes))
    public = _public_work(layout, sizes, manifest)
    packed = _packed_work(layout, sizes)
    by_group = {
        "fetch": build if is_remote else ONE_ITEM,
        "check": build,
        "build": _built_work(layout, sizes),
        "manifest": Work(public.size_bytes),
        "upload": public,
        "promote": public,
        "hold": Work(0, public.items),
    }
    known = {
        task: packed.get(task) or by_group.get(task.partition(":")[0], ONE_ITEM) for task in tasks
    }
    return {task: work if work.units else ONE_ITEM for task, work in known.items()}


def _targets(config: Config, release: Release) -> Iterator[Target]:
    for each in release.destinations:
        yield Target(task=f"upload:{each.task}", kind="upload", destination=each.name, name="depot")
    for kind in ("promote", "hold"):
        for prefix in release.prefixes:
            if kind == "promote" or prefix.held:
                yield Target(
                    task=f"{kind}:{prefix.task}",
                    kind=kind,
                    destination=prefix.destination,
                    name=prefix.name,
                    url=prefix_url(config, release, prefix),
                )
    for call in release.calls:
        kind, _, name = call.task.partition(":")
        yield Target(task=call.task, kind=kind, name=name or call.effect, note=call.skipped)


def _public_work(
    layout: Layout | None, sizes: Mapping[str, int], manifest: Manifest | None
) -> Work:
    if manifest is not None:
        return Work(manifest.size_bytes, len(manifest.files) + _DOCUMENTS)
    if layout is None:
        return Work()
    size = 0.0
    for each in layout.artifacts:
        share = _ZIPPED if each.kind == "sqlite" else 1.0
        size += share * sum(sizes.get(path, 0) for path in each.members)
    return Work(int(size), len(layout.artifacts) + _DOCUMENTS)


def _built_work(layout: Layout | None, sizes: Mapping[str, int]) -> Work:
    built = [each for each in (layout.artifacts if layout else ()) if each.kind == "built"]
    return Work(sum(sizes.get(path, 0) for e in built for path in e.members), len(built))


def _packed_work(layout: Layout | None, sizes: Mapping[str, int]) -> dict[str, Work]:
    groups = {"sqlite": "compress_sqlite", "bundle": "zip_parquet"}
    return {
        f"{groups[each.kind]}:{each.path.removesuffix('.zip')}": Work(
            sum(sizes.get(path, 0) for path in each.members), len(each.members)
        )
        for each in (layout.artifacts if layout else ())
        if each.kind in groups
    }
