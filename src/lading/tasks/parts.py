"""The tasks that release.py names, one by one: what each needs, makes and asks."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module

from lading.errors import LadingError
from lading.jobs.spec import Job
from lading.release.layout import Artifact, Layout, journals_of
from lading.release.names import Prefix, ReleaseDestination, ServiceCall
from lading.ship.depot import DepotTarget
from lading.ship.hold import HoldTarget
from lading.ship.promote import PrefixTarget
from lading.storage import Progress
from lading.tasks import outside, steps
from lading.tasks.outside import ROAD
from lading.tasks.session import Session, current
from lading.tasks.steps import Outcome
from lading.tasks.task import Step, Task, file_name, is_settled, make_task


def access_task(destination: ReleaseDestination) -> Task:
    """Return the task that asks a destination for all that a release needs."""

    def step(session: Session, progress: Progress) -> Outcome:
        return steps.access(session, destination, progress)

    return {
        **make_task(f"access:{destination.name}", step, needs="nothing"),
        "name": destination.name,
        "doc": f"Ask {destination.name} for all that a release needs.",
    }


def single_call(name: str, reason: str) -> Task:
    """Return the task of a call that a release makes once, or not at all."""
    session = current()
    calls = session.release.calls if session.release else ()
    found = next((each for each in calls if each.task == name), None)
    if found is None:
        return {"actions": None, "doc": f"Nothing to do: {reason}.", "task_dep": steps_before(name)}
    return call_task(session, found)


def call_task(session: Session, call: ServiceCall) -> Task:
    """Return the task of one call; it is up to date as long as its target needs nothing."""

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
        "task_dep": steps_before(call.task.partition(":")[0]),
    }


def steps_before(group: str) -> list[str]:
    """Name what comes before a group on the road: it waits for all of that."""
    return [*ROAD[: ROAD.index(group)]]


def upload_task(session: Session, destination: ReleaseDestination) -> Task:
    """Return the task that fills the depot of a destination."""

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


def promote_task(session: Session, destination: ReleaseDestination, prefix: Prefix) -> Task:
    """Return the task that switches a prefix, once all destinations hold all bytes."""

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


def hold_task(session: Session, destination: ReleaseDestination, prefix: Prefix) -> Task:
    """Return the task that holds the objects of a prefix."""

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
        "task_dep": steps_before("hold"),
    }


def archive_task(
    session: Session,
    artifact: Artifact,
    group: str,
    pack: Callable[[Session, Artifact, Progress], Outcome],
) -> Task:
    """Return the task that packs one archive."""
    name = archive_name(artifact)

    def step(session: Session, progress: Progress) -> Outcome:
        return pack(session, artifact, progress)

    return {
        **make_task(
            f"{group}:{name}",
            step,
            targets=[file_name(session.archives / artifact.path)],
            uptodate=[partial(is_packed_so, session, artifact)],
        ),
        "name": name,
        "doc": f"Pack {artifact.path}.",
        "file_dep": [
            file_name(each) for path in artifact.members for each in steps.sources_of(session, path)
        ],
        "task_dep": ["check"],
    }


def archive_name(artifact: Artifact) -> str:
    """Return the name after the colon in ``compress_sqlite:<name>``."""
    return artifact.path.removesuffix(".zip")


def is_packed_so(session: Session, artifact: Artifact) -> bool:
    """Say whether the archive stands as it would be made now; its members are files of the task."""
    try:
        return steps.is_current(session, artifact, session.cache)
    except LadingError:
        return False


def largest_first(session: Session, artifacts: Sequence[Artifact]) -> list[Artifact]:
    """Order archives so that all cores are busy to the end."""
    if not artifacts:  # the build may not be there
        return []
    sizes = {each.path: each.size_bytes for each in session.files}
    return sorted(artifacts, key=lambda each: -sum(sizes[path] for path in each.members))


def layout_of(session: Session) -> Layout:
    """Return the layout, or an empty one where the build cannot be read: then the tasks say why."""
    return session.layout_or_none or Layout((), ())


def source_paths(session: Session, *, everything: bool) -> list[str]:
    """Return the files of the build that a task depends on; none where it cannot be read."""
    layout = session.layout_or_none
    if layout is None:
        return []
    if not everything:
        return [file_name(session.build / path) for path in layout.source_paths]
    passing = journals_of(session.config, [each.path for each in session.files])
    paths = [each.path for each in session.files if each.path not in passing]
    return [file_name(found) for path in paths for found in steps.sources_of(session, path)]


def job_tasks(group: str, module: str, doc: str) -> Iterator[Task]:
    """Yield the group of the project's jobs, sound and broken; it is empty without ``[jobs]``.

    Of jobs that claim one name, which are all broken, the first stands for it. What is wrong
    beside single jobs is told with the group.
    """
    session = current()
    if session.config.jobs is None:
        yield {"name": None, "doc": doc}
        return
    from lading.tasks.jobs import registry_of  # noqa: PLC0415  releases need no jobs

    registry = registry_of(session)
    yield {"name": None, "doc": "; ".join((doc, *registry.faults))}
    names: set[str] = set()
    for each in registry.jobs:
        if each.name not in names:
            yield job_task(each, group, module, "run")
        names.add(each.name)


def job_task(job: Job, group: str, module: str, name: str) -> Task:
    """Return the task that runs a job, here or on Kubernetes."""

    def step(session: Session, progress: Progress) -> Outcome:
        found = getattr(import_module(f"lading.tasks.{module}"), name)
        outcome: Outcome = found(job.name, session, progress)
        return outcome

    def requires(session: Session) -> None:
        import_module(f"lading.tasks.{module}").require(session)

    return {
        **make_task(f"{group}:{job.name}", step, writes=False, needs=requires),
        "name": job.name,
        "doc": job.description or f"broken: {job.error}",
    }


def late(module: str, name: str) -> Step:
    """Return a step that is imported when it runs."""

    def run(session: Session, progress: Progress) -> Outcome:
        step: Step = getattr(import_module(f"lading.tasks.{module}"), name)
        return step(session, progress)

    return run
