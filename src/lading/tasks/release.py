"""The tasks of a release, in the order in which it reads.

Each creator only says what a task needs, makes and runs; the work is in ``steps``.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from doit import create_after
from doit.exceptions import TaskFailed
from doit.tools import config_changed

from lading import __version__
from lading.errors import LadingError, SourceError
from lading.release.layout import Artifact, Layout, journals_of
from lading.release.names import Prefix, ReleaseDestination
from lading.ship.depot import DepotTarget
from lading.ship.hold import HoldTarget
from lading.ship.promote import PrefixTarget
from lading.ship.target import Target
from lading.storage import Progress
from lading.tasks import looks, steps, upkeep
from lading.tasks.board import BOARD
from lading.tasks.session import Session, current
from lading.tasks.steps import Outcome

Task = dict[str, Any]
Step = Callable[[Session, Progress], Outcome]


def task_access() -> Iterator[Task]:
    """Ask each destination first for all that a release needs."""
    yield {
        "name": None,
        "doc": "Ask each destination first for all that a release needs.",
    }
    session = current()
    for destination in {each.name: each for each in session.destinations()}.values():
        yield _access_task(destination)


def task_fetch() -> Task:
    """Download a build that is not on this machine, file by file."""
    session = current()
    if not session.is_remote:
        return {"actions": None, "doc": "Nothing to download: the build is read in place."}
    return {
        **_task("fetch", steps.fetch, targets=[_name(session.listing_path)]),
        # the listing of a tag is frozen: it stands only once the download was whole
        "uptodate": [partial(steps.is_fetched, session)],
    }


def task_check() -> Task:
    """Ask every gate: marker, files, databases, tables, and what the last release had."""
    session = current()
    config = session.config.model_dump(
        mode="json", include={"source", "prepare", "gates", "layout"}
    )
    return {
        **_task(
            "check",
            steps.check,
            targets=[_name(session.report_path)],
            uptodate=[
                config_changed({**config, "accept": session.variables.accept, "tool": __version__})
            ],
        ),
        "file_dep": _source_paths(session, everything=True),
        "task_dep": ["fetch"],
    }


def task_compress_sqlite() -> Iterator[Task]:
    """Pack each SQLite database into a zip."""
    yield {"name": None, "doc": "Pack each SQLite database into a zip."}
    session = current()
    for artifact in _largest_first(session, _layout(session).databases):
        yield _archive_task(session, artifact, "compress_sqlite", steps.compress_sqlite)


def task_zip_parquet() -> Iterator[Task]:
    """Pack each folder of parquet files into a stored zip."""
    yield {"name": None, "doc": "Pack each folder of parquet files into a stored zip."}
    session = current()
    for artifact in _largest_first(session, _layout(session).bundles):
        yield _archive_task(session, artifact, "zip_parquet", steps.zip_parquet)


def task_manifest() -> Task:
    """Describe every public file: release.json and SHA256SUMS."""
    session = current()
    layout = _layout(session)
    packed = [
        *((each, "compress_sqlite") for each in _largest_first(session, layout.databases)),
        *((each, "zip_parquet") for each in _largest_first(session, layout.bundles)),
    ]
    release = session.release
    facts = {
        "release": [release.project, release.source_url, release.deposit_ignore] if release else [],
        "layout": {each.key: [each.kind, *each.members] for each in layout.artifacts},
        "tool": __version__,
    }
    return {
        **_task(
            "manifest",
            steps.manifest,
            targets=[_name(session.manifest_path), _name(session.folder / "SHA256SUMS")],
            uptodate=[config_changed(facts)],
        ),
        "file_dep": [
            _name(session.report_path),
            *_source_paths(session, everything=False),
            *(_name(session.archives / each.path) for each, _ in packed),
        ],
        # named one by one, where they are known from the start: doit begins them in this order
        "task_dep": [
            "check",
            *(
                f"{group}:{_archive_name(each)}"
                for each, group in packed
                if not session.awaits_listing
            ),
            "compress_sqlite",
            "zip_parquet",
        ],
    }


def task_upload() -> Iterator[Task]:
    """Send what is missing to the depot of each destination."""
    yield {"name": None, "doc": "Send what is missing to the depot of each destination."}
    session = current()
    for destination in session.destinations():
        yield _upload_task(session, destination)


def task_promote() -> Iterator[Task]:
    """Switch each public prefix, once every destination holds every byte."""
    yield {
        "name": None,
        "doc": "Switch each public prefix, once every destination holds every byte.",
    }
    session = current()
    for destination in session.destinations():
        for prefix in destination.prefixes:
            yield _promote_task(session, destination, prefix)


def task_hold() -> Iterator[Task]:
    """Hold the objects of each prefix that is to be held."""
    yield {
        "name": None,
        "doc": "Hold the objects of each prefix that is to be held.",
    }
    session = current()
    for destination in session.destinations():
        for prefix in destination.prefixes:
            if prefix.held:
                yield _hold_task(session, destination, prefix)


def task_distribute() -> Task:
    """Release: all of the above, and the same command again after any failure."""
    needed = ["access", "check", "manifest", "upload", "promote", "hold"]
    return {"actions": None, "task_dep": needed}


def task_plan() -> Task:
    """Show what a release would send, copy, replace and delete; write nothing."""
    return _task("plan", looks.plan, writes=False, quiet=True)


def task_verify() -> Task:
    """Prove a release again at every destination; deep=1 asks every object."""
    return _task("verify", looks.verify, writes=False, quiet=True)


def task_rollback() -> Task:
    """Switch a channel's prefixes back to an earlier release."""
    return _task("rollback", upkeep.rollback, needs="channel")


def task_prune() -> Task:
    """Show what no release needs any more; yes=1 deletes it."""
    acts = current().variables.yes
    return _task("prune", upkeep.prune, needs="nothing", writes=acts, quiet=True)


def task_unlock() -> Task:
    """Show the locks of a channel's prefixes; yes=1 breaks them."""
    acts = current().variables.yes
    return _task("unlock", upkeep.unlock, needs="channel", writes=acts, quiet=True)


def task_staging_cleanup() -> Task:
    """Empty the staging root of every destination."""
    return _task("staging_cleanup", upkeep.staging_cleanup, needs="nothing")


_CREATORS: dict[str, Callable[[], Any]] = {
    name: creator for name, creator in globals().items() if name.startswith("task_")
}


def creator(name: str) -> Callable[[], Any]:
    """Return a task creator for a dodo.py.

    Where the files of a build are known only once it was fetched, the creators that need
    them are delayed until then; afterwards they are static like all others.
    """
    session = current()
    found = _CREATORS[name]
    group = name.removeprefix("task_")
    if session.awaits_listing and group in {"check", "compress_sqlite", "zip_parquet", "manifest"}:
        return create_after(executed="fetch", creates=[group])(found)  # type: ignore[no-any-return]
    return found


def _task(
    name: str,
    step: Step,
    *,
    needs: Literal["release", "channel", "nothing"] = "release",
    writes: bool = True,
    quiet: bool = False,
    targets: Sequence[str] = (),
    uptodate: Sequence[Any] = (),
) -> Task:
    """Return what all tasks have in common."""

    def run() -> Any:
        try:
            with BOARD.at_work():
                outcome = step(current(), BOARD.progress(name))
        except LadingError as error:
            return TaskFailed(str(error))
        if quiet:
            return True
        made = {target: _sha256_of(target) for target in targets}
        return {
            "summary": outcome.summary,
            "changed": outcome.changed,
            "warnings": list(outcome.warnings),
            "notes": list(outcome.notes),
            "skipped": outcome.skipped,
            "made": made,
        }

    meta = {
        "needs_release": needs == "release",
        "needs_channel": needs == "channel",
        "writes": writes,
        "quiet": quiet,
    }
    return {
        "actions": [run],
        "clean": True,
        "io": {"capture": False},
        "meta": {"lading": meta},
        "targets": list(targets),
        "uptodate": [*uptodate, partial(_stand_as_made, targets)] if targets else [],
    }


def _stand_as_made(targets: Sequence[str], task: Any, values: Mapping[str, Any]) -> bool:
    """Say whether each target is, byte for byte, what the task made; doit asks for existence only.

    A truncated archive would else be described and published as it is.
    """
    del task
    made = values.get("made", {})
    return all(_sha256_of(target) == made.get(target, "nothing") for target in targets)


def _sha256_of(target: str) -> str:
    try:
        return current().cache.digest(Path(target)).sha256
    except SourceError:
        return ""


def _access_task(destination: ReleaseDestination) -> Task:
    def step(session: Session, progress: Progress) -> Outcome:
        return steps.access(session, destination, progress)

    return {
        **_task(f"access:{destination.name}", step, needs="nothing"),
        "name": destination.name,
        "doc": f"Ask {destination.name} for all that a release needs.",
    }


def _upload_task(session: Session, destination: ReleaseDestination) -> Task:
    def step(session: Session, progress: Progress) -> Outcome:
        return steps.upload(session, destination, progress)

    def make() -> DepotTarget:
        steps.refuse_rewriting(session, destination)
        return steps.depot_target(session, destination, session.depot(destination))

    return {
        **_task(
            f"upload:{destination.task}",
            step,
            targets=[_name(steps.upload_receipt_path(session, destination))],
            uptodate=[partial(_is_settled, make)],
        ),
        "name": destination.task,
        "doc": f"Send what is missing to the depot of {destination.name}.",
        "file_dep": [_name(session.manifest_path)],
        "task_dep": [f"access:{destination.name}", "manifest"],
    }


def _promote_task(session: Session, destination: ReleaseDestination, prefix: Prefix) -> Task:
    def step(session: Session, progress: Progress) -> Outcome:
        return steps.promote(session, destination, prefix, progress)

    def make() -> PrefixTarget:
        return steps.prefix_target(session, destination, prefix, session.store(destination))

    uploads = [steps.upload_receipt_path(session, each) for each in session.destinations()]
    return {
        **_task(
            f"promote:{prefix.task}",
            step,
            targets=[_name(steps.promote_receipt_path(session, prefix))],
            uptodate=[partial(_is_settled, make)],
        ),
        "name": prefix.task,
        "doc": f"Switch {prefix.name} at {destination.name} to the release.",
        "file_dep": [_name(path) for path in (session.manifest_path, *uploads)],
        "task_dep": ["upload"],
    }


def _hold_task(session: Session, destination: ReleaseDestination, prefix: Prefix) -> Task:
    def step(session: Session, progress: Progress) -> Outcome:
        return steps.hold(session, destination, prefix, progress)

    def make() -> HoldTarget:
        return steps.hold_target(session, prefix, session.store(destination))

    promoted = steps.promote_receipt_path(session, prefix)
    return {
        **_task(
            f"hold:{prefix.task}",
            step,
            targets=[_name(steps.hold_receipt_path(session, prefix))],
            uptodate=[partial(_is_settled, make)],
        ),
        "name": prefix.task,
        "doc": f"Hold the objects of {prefix.name} at {destination.name}.",
        "file_dep": [_name(session.manifest_path), _name(promoted)],
        "task_dep": [f"promote:{prefix.task}"],
    }


def _archive_task(
    session: Session,
    artifact: Artifact,
    group: str,
    pack: Callable[[Session, Artifact, Progress], Outcome],
) -> Task:
    name = _archive_name(artifact)

    def step(session: Session, progress: Progress) -> Outcome:
        return pack(session, artifact, progress)

    return {
        **_task(
            f"{group}:{name}",
            step,
            targets=[_name(session.archives / artifact.path)],
            uptodate=[partial(_is_packed_so, session, artifact)],
        ),
        "name": name,
        "doc": f"Pack {artifact.path}.",
        "file_dep": [
            _name(each) for path in artifact.members for each in steps.sources_of(session, path)
        ],
        "task_dep": ["check"],
    }


def _archive_name(artifact: Artifact) -> str:
    return artifact.path.removesuffix(".zip")


def _is_packed_so(session: Session, artifact: Artifact) -> bool:
    """Say whether the archive stands as it would be made now; its members are files of the task."""
    try:
        return steps.is_current(session, artifact, session.cache)
    except LadingError:
        return False


def _largest_first(session: Session, artifacts: Sequence[Artifact]) -> list[Artifact]:
    """Order archives so that all cores are busy to the end."""
    if not artifacts:  # the build may not be there
        return []
    sizes = {each.path: each.size_bytes for each in session.files}
    return sorted(artifacts, key=lambda each: -sum(sizes[path] for path in each.members))


def _name(path: Path) -> str:
    """Name a file for doit: from its folder, so that state and project may be moved together."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _layout(session: Session) -> Layout:
    return session.layout_or_none or Layout((), ())


def _source_paths(session: Session, *, everything: bool) -> list[str]:
    """Return the files of the build that a task depends on; none where it cannot be read."""
    layout = session.layout_or_none
    if layout is None:
        return []
    if not everything:
        return [_name(session.build / path) for path in layout.source_paths]
    passing = journals_of(session.config, [each.path for each in session.files])
    paths = [each.path for each in session.files if each.path not in passing]
    return [_name(found) for path in paths for found in steps.sources_of(session, path)]


def _is_settled(make: Callable[[], Target[Any, Any]]) -> bool:
    """Say whether a target needs nothing; a target that cannot be asked must be run."""
    try:
        target = make()
        return bool(target.plan(target.observe()).is_empty)
    except LadingError:
        return False
