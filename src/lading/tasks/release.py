"""The tasks of a release, in the order in which it reads.

Each creator only says what a task needs, makes and runs; the work is in ``steps``.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from doit import create_after
from doit.tools import config_changed

from lading import __version__
from lading.errors import LadingError
from lading.release.layout import Artifact, Layout, journals_of
from lading.release.names import Prefix, ReleaseDestination, ServiceCall
from lading.ship.depot import DepotTarget
from lading.ship.hold import HoldTarget
from lading.ship.promote import PrefixTarget
from lading.storage import Progress
from lading.tasks import looks, outside, steps, telling, upkeep
from lading.tasks.outside import ROAD
from lading.tasks.session import Session, current
from lading.tasks.steps import Outcome
from lading.tasks.task import Task, file_name, is_settled, make_task


def task_access() -> Iterator[Task]:
    """Ask each destination first for all that a release needs."""
    yield {
        "name": None,
        "doc": "Ask each destination first for all that a release needs.",
    }
    session = current()
    for destination in {each.name: each for each in session.destinations()}.values():
        yield _access_task(destination)
    if session.release and any(not call.skipped for call in session.release.calls):
        doc = "Ask all the outside for what the release's calls need."
        step = make_task("access:outside", outside.require_access)
        yield {**step, "name": "outside", "doc": doc}
    if session.config.slack:
        doc = "Ask Slack whether it will take a message."
        step = make_task("access:notify", telling.access, needs="nothing")
        yield {**step, "name": "notify", "doc": doc}


def task_fetch() -> Task:
    """Download a build that is not on this machine, file by file."""
    session = current()
    if not session.is_remote:
        return {"actions": None, "doc": "Nothing to download: the build is read in place."}
    return {
        **make_task("fetch", steps.fetch, targets=[file_name(session.listing_path)]),
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
        **make_task(
            "check",
            steps.check,
            targets=[file_name(session.report_path)],
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


def task_doi() -> Task:
    """Reserve the DOI that release.json is to name, where the channel asks for one."""
    session = current()
    if session.release is None or not session.release.reserves_doi:
        return {"actions": None, "doc": "Nothing to reserve: no DOI is to stand in release.json."}
    return {
        **make_task(
            "doi",
            outside.reserve_doi,
            targets=[file_name(session.doi_path)],
            uptodate=[partial(outside.is_reserved, session)],
        ),
        "file_dep": [file_name(session.report_path)],
        "task_dep": ["check"],
    }


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
        **make_task(
            "manifest",
            steps.manifest,
            targets=[file_name(session.manifest_path), file_name(session.folder / "SHA256SUMS")],
            uptodate=[config_changed(facts)],
        ),
        "file_dep": [
            file_name(session.report_path),
            *([file_name(session.doi_path)] if release and release.reserves_doi else ()),
            *_source_paths(session, everything=False),
            *(file_name(session.archives / each.path) for each, _ in packed),
        ],
        # named one by one, where they are known from the start: doit begins them in this order
        "task_dep": [
            "check",
            "doi",
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


def task_git_merge() -> Task:
    """Move the channel's branch to the tag, on the remote."""
    return _single_call("git_merge", "the channel names no branch")


def task_zenodo() -> Task:
    """Deposit the release at Zenodo."""
    return _single_call("zenodo", "the channel names no deposit")


def task_cloud_run() -> Iterator[Task]:
    """Let each service read the release."""
    yield {
        "name": None,
        "doc": "Let each service read the release.",
        "task_dep": _before("cloud_run"),
    }
    session = current()
    for call in session.release.calls if session.release else ():
        group, _, name = call.task.partition(":")
        if group == "cloud_run":
            yield {**_call_task(session, call), "name": name, "doc": f"Let {name} read it."}


def task_notify() -> Task:
    """Tell the team, once all of it is done; a run that fails tells at its end."""
    return {**make_task("notify", telling.notify), "task_dep": [*ROAD[:-1]]}


def task_distribute() -> Task:
    """Release: all of the above, and the same command again after any failure."""
    return {"actions": None, "task_dep": ["access", "check", "manifest", "upload", *ROAD]}


def task_plan() -> Task:
    """Show what a release would send, copy, replace and delete; write nothing."""
    return make_task("plan", looks.plan, writes=False, quiet=True)


def task_verify() -> Task:
    """Prove a release again at every destination; deep=1 asks every object."""
    return make_task("verify", looks.verify, writes=False, quiet=True)


def task_rollback() -> Task:
    """Switch a channel's prefixes back to an earlier release."""
    return make_task("rollback", upkeep.rollback, needs="channel")


def task_prune() -> Task:
    """Show what no release needs any more; yes=1 deletes it."""
    acts = current().variables.yes
    return make_task("prune", upkeep.prune, needs="nothing", writes=acts, quiet=True)


def task_unlock() -> Task:
    """Show the locks of a channel's prefixes; yes=1 breaks them."""
    acts = current().variables.yes
    return make_task("unlock", upkeep.unlock, needs="channel", writes=acts, quiet=True)


def task_staging_cleanup() -> Task:
    """Empty the staging root of every destination."""
    return make_task("staging_cleanup", upkeep.staging_cleanup, needs="nothing")


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


def _access_task(destination: ReleaseDestination) -> Task:
    def step(session: Session, progress: Progress) -> Outcome:
        return steps.access(session, destination, progress)

    return {
        **make_task(f"access:{destination.name}", step, needs="nothing"),
        "name": destination.name,
        "doc": f"Ask {destination.name} for all that a release needs.",
    }


def _single_call(name: str, reason: str) -> Task:
    """Return the task of a call that a release makes once, or not at all."""
    session = current()
    calls = session.release.calls if session.release else ()
    found = next((each for each in calls if each.task == name), None)
    if found is None:
        return {"actions": None, "doc": f"Nothing to do: {reason}.", "task_dep": _before(name)}
    return _call_task(session, found)


def _call_task(session: Session, call: ServiceCall) -> Task:
    def step(session: Session, progress: Progress) -> Outcome:
        return outside.settle_call(session, call, progress)

    def make() -> outside.Outside:
        return outside.open_target(outside.call_of(session, call))

    promoted = [
        steps.promote_receipt_path(session, prefix)
        for each in session.destinations()
        for prefix in each.prefixes
    ]
    return {
        **make_task(
            call.task,
            step,
            targets=[file_name(outside.call_receipt_path(session, call))],
            uptodate=[False if call.skipped else partial(is_settled, make)],
        ),
        "file_dep": [file_name(path) for path in (session.manifest_path, *promoted)],
        "task_dep": _before(call.task.partition(":")[0]),
    }


def _before(group: str) -> list[str]:
    """Name what comes before a group on the road: it waits for all of that."""
    return [*ROAD[: ROAD.index(group)]]


def _upload_task(session: Session, destination: ReleaseDestination) -> Task:
    def step(session: Session, progress: Progress) -> Outcome:
        return steps.upload(session, destination, progress)

    def make() -> DepotTarget:
        steps.refuse_rewriting(session, destination)
        return steps.depot_target(session, destination, session.depot(destination))

    return {
        **make_task(
            f"upload:{destination.task}",
            step,
            targets=[file_name(steps.upload_receipt_path(session, destination))],
            uptodate=[partial(is_settled, make)],
        ),
        "name": destination.task,
        "doc": f"Send what is missing to the depot of {destination.name}.",
        "file_dep": [file_name(session.manifest_path)],
        "task_dep": [f"access:{destination.name}", "manifest"],
    }


def _promote_task(session: Session, destination: ReleaseDestination, prefix: Prefix) -> Task:
    def step(session: Session, progress: Progress) -> Outcome:
        return steps.promote(session, destination, prefix, progress)

    def make() -> PrefixTarget:
        return steps.prefix_target(session, destination, prefix, session.store(destination))

    uploads = [steps.upload_receipt_path(session, each) for each in session.destinations()]
    return {
        **make_task(
            f"promote:{prefix.task}",
            step,
            targets=[file_name(steps.promote_receipt_path(session, prefix))],
            uptodate=[partial(is_settled, make)],
        ),
        "name": prefix.task,
        "doc": f"Switch {prefix.name} at {destination.name} to the release.",
        "file_dep": [file_name(path) for path in (session.manifest_path, *uploads)],
        "task_dep": ["upload"],
    }


def _hold_task(session: Session, destination: ReleaseDestination, prefix: Prefix) -> Task:
    def step(session: Session, progress: Progress) -> Outcome:
        return steps.hold(session, destination, prefix, progress)

    def make() -> HoldTarget:
        return steps.hold_target(session, prefix, session.store(destination))

    promoted = steps.promote_receipt_path(session, prefix)
    return {
        **make_task(
            f"hold:{prefix.task}",
            step,
            targets=[file_name(steps.hold_receipt_path(session, prefix))],
            uptodate=[partial(is_settled, make)],
        ),
        "name": prefix.task,
        "doc": f"Hold the objects of {prefix.name} at {destination.name}.",
        "file_dep": [file_name(session.manifest_path), file_name(promoted)],
        "task_dep": _before("hold"),
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
        **make_task(
            f"{group}:{name}",
            step,
            targets=[file_name(session.archives / artifact.path)],
            uptodate=[partial(_is_packed_so, session, artifact)],
        ),
        "name": name,
        "doc": f"Pack {artifact.path}.",
        "file_dep": [
            file_name(each) for path in artifact.members for each in steps.sources_of(session, path)
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


def _layout(session: Session) -> Layout:
    return session.layout_or_none or Layout((), ())


def _source_paths(session: Session, *, everything: bool) -> list[str]:
    """Return the files of the build that a task depends on; none where it cannot be read."""
    layout = session.layout_or_none
    if layout is None:
        return []
    if not everything:
        return [file_name(session.build / path) for path in layout.source_paths]
    passing = journals_of(session.config, [each.path for each in session.files])
    paths = [each.path for each in session.files if each.path not in passing]
    return [file_name(found) for path in paths for found in steps.sources_of(session, path)]
