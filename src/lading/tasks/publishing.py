"""The steps that only versions of channels with a root have: build, and mark published."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from lading.config.publish import Build
from lading.errors import LadingError, UsageError
from lading.prepare.built import build_file
from lading.release.environments import has_roots
from lading.release.layout import RELEASE_KEY, Artifact
from lading.release.links import document_url
from lading.release.publication import PublishedManifest
from lading.release.receipts import ProvedObject, Receipt, now_utc, render_receipt
from lading.services.shell import run_command
from lading.ship.published import prove_published
from lading.ship.shipment import Shipment
from lading.storage import Progress, ReadOnly
from lading.storage.bytes import write_atomically
from lading.tasks import outside, steps
from lading.tasks.assets import is_known, making
from lading.tasks.session import Session
from lading.tasks.steps import Outcome
from lading.tasks.task import Task, file_name, make_task
from lading.tasks.wording import count


def require_roots(session: Session) -> None:
    """Refuse to publish a project whose channels are no environments.

    Raises:
        UsageError: saying what to do instead.
    """
    if not has_roots(session.config):
        raise UsageError(
            "publish: expected channels with a root in lading.toml, found none;"
            " `doit distribute` releases"
        )


def publish_task(session: Session) -> Task:
    """Return the task that is the whole road of a version."""
    if has_roots(session.config):
        return {"actions": None, "task_dep": ["distribute"]}
    refused = make_task("publish", mark_published, needs=require_roots)
    return {**refused, "doc": "Nothing to publish: the channels have no root."}


def made_of(artifact: Artifact) -> list[str]:
    """Return all that a public file is made of, for doit to compare."""
    stored = [artifact.path, artifact.digest.sha256] if artifact.digest else []
    return [artifact.kind, *artifact.members, *stored]


def build_task(session: Session, rule: Build) -> Task:
    """Return the task that makes what a rule makes, where the version does not bring it."""
    layout = session.layout_or_none
    artifacts = [each for each in layout.built if each.made_by == rule.name] if layout else []

    def step(session: Session, progress: Progress) -> Outcome:
        return build(session, rule, artifacts, progress)

    return {
        **make_task(
            f"build:{rule.name}",
            step,
            targets=[file_name(session.archives / each.path) for each in artifacts],
            uptodate=[partial(are_built, session, artifacts)],
        ),
        "name": rule.name,
        "doc": f"Build {rule.makes} where the version does not bring it.",
        "file_dep": sorted({file_name(session.build / each.members[0]) for each in artifacts}),
        "task_dep": ["check"],
    }


def are_built(session: Session, artifacts: list[Artifact]) -> bool:
    """Say whether each stands as it would be built now."""
    try:
        return all(is_known(session, each, session.cache) for each in artifacts)
    except LadingError:
        return False


def build(session: Session, rule: Build, artifacts: list[Artifact], progress: Progress) -> Outcome:
    """Build what a rule makes of the files of the version."""
    progress.set_files(len(artifacts))
    run = partial(_run, session, progress)
    built = 0
    for each in artifacts:
        progress.start_file(each.path)
        built += build_file(
            rule,
            session.build / each.members[0],
            session.archives / each.path,
            making(session, each, session.cache),
            run=run,
            cache=session.cache,
        )
        progress.finish_file(each.path)
    if not artifacts:
        return Outcome("nothing to build: the version brings it", changed=False)
    kept = len(artifacts) - built
    words = [f"{count(built, 'file')} built"] if built else []
    words += [f"{count(kept, 'file')} unchanged"] if kept else []
    return Outcome(", ".join(words), changed=bool(built))


def _run(session: Session, progress: Progress, arguments: Sequence[str], timeout_s: float) -> None:
    run_command(arguments, folder=session.base, timeout_s=timeout_s, progress=progress)


def mark_task(session: Session) -> Task:
    """Return the task that proves a version published, once all that is public is done."""
    prefixes = [prefix for each in session.destinations() for prefix in each.prefixes]
    promoted = [steps.promote_receipt_path(session, prefix) for prefix in prefixes]
    return {
        **make_task(
            "mark_published",
            mark_published,
            targets=[file_name(mark_receipt_path(session))],
            uptodate=[partial(is_published, session)],
        ),
        "file_dep": [file_name(path) for path in (session.manifest_path, *promoted)],
        "task_dep": [*outside.ROAD[:-1]],
    }


def is_published(session: Session) -> bool:
    """Say whether the document stands everywhere, as it was made."""
    try:
        _prove(session)
    except LadingError:
        return False
    return True


def mark_published(session: Session, progress: Progress) -> Outcome:
    """Read the document back at every prefix of every destination; write the receipt.

    Raises:
        VerifyError: a prefix says anything else.
    """
    del progress
    release = steps.need_release(session)
    shipment, proved = _prove(session)
    outside.require_promotions(session, shipment.manifest_sha256)
    manifest = shipment.manifest
    url = document_url(session.config, release)
    moment = manifest.published_at if isinstance(manifest, PublishedManifest) else ""
    receipt = Receipt(
        task="mark_published",
        place=url,
        channel=release.channel,
        tag=release.tag,
        environment=release.environment,
        manifest_sha256=shipment.manifest_sha256,
        proved_at=now_utc(),
        objects=proved,
        facts={
            "release_url": url,
            "published_at": moment,
            "asset_count": str(len(manifest.files)),
            "size_bytes": str(manifest.size_bytes),
        },
    )
    write_atomically(mark_receipt_path(session), render_receipt(receipt))
    told = f"{release.tag} in {release.environment} since {moment}"
    return Outcome(told, notes=(f"{RELEASE_KEY}: {url}",))


def mark_receipt_path(session: Session) -> Path:
    """Return where the receipt of a published version is kept."""
    return session.run_folder / "receipts" / "mark_published.json"


def _prove(session: Session) -> tuple[Shipment, dict[str, ProvedObject]]:
    """Read every document back, by destination and key.

    Raises:
        VerifyError: a prefix says anything else.
    """
    shipment = steps.load_shipment(session)
    document = shipment.documents[RELEASE_KEY]
    proved = {}
    for destination in steps.need_release(session).destinations:
        store = ReadOnly(session.store(destination))
        for key, each in prove_published(destination, store, document).items():
            proved[f"{destination.name}/{key}"] = each
    return shipment, proved
