"""The tasks, in the order in which a release reads; then those of staged versions.

Each creator only says what a task needs, makes and runs; the work is in ``steps`` and
``staging``. doit lists creators by the line that they stand on.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from doit import create_after
from doit.tools import config_changed

from lading import __version__
from lading.release.environments import has_roots
from lading.release.links import assets_url
from lading.tasks import (
    assets,
    datasets,
    inputs,
    looks,
    outside,
    publishing,
    steps,
    telling,
    upkeep,
)
from lading.tasks.outside import ROAD
from lading.tasks.parts import (
    access_task,
    archive_name,
    archive_task,
    call_task,
    hold_task,
    job_tasks,
    largest_first,
    late,
    layout_of,
    promote_task,
    single_call,
    source_paths,
    steps_before,
    upload_task,
)
from lading.tasks.session import current
from lading.tasks.task import Task, file_name, make_task


def task_access() -> Iterator[Task]:
    """Ask each destination first for all that a release needs."""
    yield {
        "name": None,
        "doc": "Ask each destination first for all that a release needs.",
    }
    session = current()
    for destination in {each.name: each for each in session.destinations()}.values():
        yield access_task(destination)
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
        **make_task("fetch", inputs.fetch, targets=[file_name(session.listing_path)]),
        # the listing of a tag is frozen: it stands only once the download was whole
        "uptodate": [partial(inputs.is_fetched, session)],
    }


def task_check() -> Task:
    """Ask every gate: marker, files, databases, tables, and what the last release had."""
    session = current()
    config = session.config.model_dump(
        mode="json", include={"source", "prepare", "gates", "layout"}
    )
    published = session.release is not None and session.release.is_published
    if published:
        config["publish"] = session.config.publish.model_dump(mode="json")
    return {
        **make_task(
            "check",
            inputs.check,
            targets=[file_name(session.report_path)],
            uptodate=[
                config_changed({**config, "accept": session.variables.accept, "tool": __version__}),
                *([partial(assets.are_stored_as_read, session)] if published else ()),
            ],
        ),
        "file_dep": source_paths(session, everything=True),
        "task_dep": ["fetch"],
    }


def task_compress_sqlite() -> Iterator[Task]:
    """Pack each SQLite database into a zip."""
    yield {"name": None, "doc": "Pack each SQLite database into a zip."}
    session = current()
    for artifact in largest_first(session, layout_of(session).databases):
        yield archive_task(session, artifact, "compress_sqlite", steps.compress_sqlite)


def task_zip_parquet() -> Iterator[Task]:
    """Pack each folder of parquet files into a stored zip."""
    yield {"name": None, "doc": "Pack each folder of parquet files into a stored zip."}
    session = current()
    for artifact in largest_first(session, layout_of(session).bundles):
        yield archive_task(session, artifact, "zip_parquet", steps.zip_parquet)


def task_build() -> Iterator[Task]:
    """Build by a command what a version does not bring."""
    yield {"name": None, "doc": "Build by a command what a version does not bring."}
    session = current()
    for rule in session.config.publish.build:
        yield publishing.build_task(session, rule)


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
    layout = layout_of(session)
    packed = [
        *((each, "compress_sqlite") for each in largest_first(session, layout.databases)),
        *((each, "zip_parquet") for each in largest_first(session, layout.bundles)),
    ]
    release = session.release
    facts: dict[str, Any] = {
        "release": [release.project, release.source_url, release.deposit_ignore] if release else [],
        "layout": {each.key: publishing.made_of(each) for each in layout.artifacts},
        "tool": __version__,
    }
    published = release is not None and release.is_published
    if release and published:
        rules = session.config.publish.model_dump(mode="json")
        facts["publish"] = [rules, assets_url(session.config, release)]
    return {
        **make_task(
            "manifest",
            steps.manifest,
            targets=[file_name(session.manifest_path), file_name(session.folder / "SHA256SUMS")],
            uptodate=[
                config_changed(facts),
                *([partial(assets.has_right_moment, session)] if published else ()),
            ],
        ),
        "file_dep": [
            file_name(session.report_path),
            *(file_name(session.archives / each.path) for each in layout.built),
            *([file_name(session.doi_path)] if release and release.reserves_doi else ()),
            *source_paths(session, everything=False),
            *(file_name(session.archives / each.path) for each, _ in packed),
        ],
        # named one by one, where they are known from the start: doit begins them in this order
        "task_dep": [
            "check",
            "doi",
            *(
                f"{group}:{archive_name(each)}"
                for each, group in packed
                if not session.awaits_listing
            ),
            "compress_sqlite",
            "zip_parquet",
            *(["build"] if session.config.publish.build else ()),
        ],
    }


def task_upload() -> Iterator[Task]:
    """Send what is missing to the depot of each destination."""
    yield {"name": None, "doc": "Send what is missing to the depot of each destination."}
    session = current()
    for destination in session.destinations():
        yield upload_task(session, destination)


def task_promote() -> Iterator[Task]:
    """Switch each public prefix, once every destination holds every byte."""
    yield {
        "name": None,
        "doc": "Switch each public prefix, once every destination holds every byte.",
    }
    session = current()
    for destination in session.destinations():
        for prefix in destination.prefixes:
            yield promote_task(session, destination, prefix)


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
                yield hold_task(session, destination, prefix)


def task_git_merge() -> Task:
    """Move the channel's branch to the tag, on the remote."""
    return single_call("git_merge", "the channel names no branch")


def task_zenodo() -> Task:
    """Deposit the release at Zenodo."""
    return single_call("zenodo", "the channel names no deposit")


def task_cloud_run() -> Iterator[Task]:
    """Let each service read the release."""
    yield {
        "name": None,
        "doc": "Let each service read the release.",
        "task_dep": steps_before("cloud_run"),
    }
    session = current()
    for call in session.release.calls if session.release else ():
        group, _, name = call.task.partition(":")
        if group == "cloud_run":
            yield {**call_task(session, call), "name": name, "doc": f"Let {name} read it."}


def task_mark_published() -> Task:
    """Prove a version published, once all that is public is done."""
    session = current()
    if not has_roots(session.config):
        return {"actions": None, "doc": "Nothing to prove: the channels have no root."}
    return publishing.mark_task(session)


def task_notify() -> Task:
    """Tell the team, once all of it is done; a run that fails tells at its end."""
    return {**make_task("notify", telling.notify), "task_dep": [*ROAD[:-1], *_marks()]}


def task_distribute() -> Task:
    """Release: all of the above, and the same command again after any failure."""
    road = ["access", "check", "manifest", "upload", *ROAD[:-1], *_marks(), ROAD[-1]]
    return {"actions": None, "task_dep": road}


def task_publish() -> Task:
    """Publish a version to an environment: `doit publish version=7 environment=staging`."""
    return publishing.publish_task(current())


def _marks() -> list[str]:
    """Name the task that proves a version published, where there are versions."""
    return ["mark_published"] if has_roots(current().config) else []


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


def task_k8s_check() -> Task:
    """Validate datasets, manifests, names and schedules; needs no cluster."""
    return make_task(
        "k8s_check",
        late("staging", "check"),
        writes=False,
        quiet=True,
        needs=datasets.require_known,
    )


def task_k8s_render() -> Task:
    """Write the manifests as files, for review and for plain CI."""
    return make_task("k8s_render", late("staging", "render"), needs=datasets.require_known)


def task_k8s_staging() -> Task:
    """Roll out a version of a dataset beside production."""
    return make_task("k8s_staging", late("staging", "stage"), needs=datasets.need_staged)


def task_k8s_deploy() -> Task:
    """Roll out production, of all datasets or one."""
    return make_task("k8s_deploy", late("staging", "deploy"), needs=datasets.require_production)


def task_k8s_cleanup() -> Task:
    """Show what ends a staged version; yes=1 ends it."""
    acts = current().variables.yes
    return make_task(
        "k8s_cleanup",
        late("staging_looks", "cleanup"),
        writes=acts,
        quiet=True,
        needs=datasets.require_version,
    )


def task_k8s_status() -> Task:
    """Show how every version stands: live, receipt and branch; json=1 as JSON."""
    return make_task(
        "k8s_status",
        late("staging_looks", "status"),
        writes=False,
        quiet=True,
        needs=datasets.require_dataset,
    )


def task_job() -> Iterator[Task]:
    """Run a job of the registry; args="..." are its arguments, over=FILE runs it over items."""
    return job_tasks(
        "job",
        "jobs",
        'Run a job of the registry; args="..." are its arguments, over=FILE its items.',
    )


def task_k8s_job() -> Iterator[Task]:
    """Run a job on Kubernetes, as one Job; over=FILE scatters it over its indexes."""
    return job_tasks(
        "k8s_job",
        "cluster_jobs",
        "Run a job on Kubernetes, as one Job; over=FILE scatters it over its indexes.",
    )


_NEED_LISTING = {"check", "build", "compress_sqlite", "zip_parquet", "manifest"}
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
    if session.awaits_listing and group in _NEED_LISTING:
        return create_after(executed="fetch", creates=[group])(found)  # type: ignore[no-any-return]
    return found
