"""What a published version has beside its own files: what commands build, what is stored already.

And the form of its ``release.json``: when it was first published is read from the destinations.
"""

from collections.abc import Container

from lading.config.publish import Build
from lading.errors import LadingError, ManifestError, PrepareError
from lading.prepare.assets import ask_assets
from lading.prepare.built import Making, is_built, making_of
from lading.prepare.digests import DigestCache
from lading.prepare.gates import GateResult
from lading.release.layout import Artifact, Layout
from lading.release.links import assets_url
from lading.release.manifest import Manifest, parse_manifest
from lading.release.names import Release
from lading.release.objects import Digest
from lading.release.publication import PublishedManifest, publish, render_moment
from lading.release.receipts import now_utc
from lading.ship.observe import for_each
from lading.ship.published import find_moment
from lading.ship.stored import StoredPlace, find_stored, has_changed, prove_stored
from lading.ship.versions import look_at_version
from lading.storage import Progress, ReadOnly
from lading.tasks.session import Session

_AT_ONCE = 4  # stored assets that are read
_NO_MOMENT = "0000-00-00T00:00:00Z"


def require_ready(session: Session, release: Release) -> None:
    """Refuse a version that is not ready, before anything is read of it.

    Raises:
        SourceError: saying why it is not.
    """
    if release.is_published:
        look_at_version(session.config, session.base, release.channel, release.tag)


def stored_places(session: Session) -> dict[str, StoredPlace]:
    """Return by sha256 where each asset stands that is in storage already.

    Raises:
        SourceError: the version's list of them is none.
        StoreError: a store cannot be opened.
    """
    notes = session.work / "stored"
    found = (find_stored(session.config, session.base, each, notes) for each in session.stored)
    return {each.digest.sha256: each for each in found}


def stored_digests(session: Session) -> dict[str, Digest]:
    """Return by key what the bytes of each stored asset are, those that were proved."""
    places = stored_places(session)
    found = {each.key: places[each.digest.sha256] for each in session.stored}
    return {key: place.digest for key, place in found.items() if place.is_proved}


def are_stored_as_read(session: Session) -> bool:
    """Say whether every stored asset is the one that was read."""
    try:
        return not any(has_changed(each) for each in stored_places(session).values())
    except LadingError:
        return False


def ask_version(
    session: Session, release: Release, layout: Layout, progress: Progress
) -> list[GateResult]:
    """Ask the gates of a published version's assets, those that are stored already among them."""
    if not release.is_published:
        return []
    results = ask_assets(session.config, session.build, layout, session.cache)
    return results + _ask_stored(session, release, progress)


def _ask_stored(session: Session, release: Release, progress: Progress) -> list[GateResult]:
    places, faults = stored_places(session), dict[str, str]()

    def prove(place: StoredPlace) -> None:
        key = place.asset.key
        try:
            prove_stored(place, place.spool, md5=release.is_deposited(key), progress=progress)
        except LadingError as error:
            faults[place.digest.sha256] = str(error)

    for_each(places.values(), prove, workers=_AT_ONCE)
    told = ((each.key, faults.get(each.digest.sha256, "")) for each in session.stored)
    return [GateResult("stored", key, refused=fault) for key, fault in told]


def rule_of(session: Session, name: str) -> Build:
    """Return a rule of ``publish.build``."""
    return next(each for each in session.config.publish.build if each.name == name)


def making(session: Session, artifact: Artifact, cache: DigestCache) -> Making:
    """Return how a file is built."""
    return making_of(rule_of(session, artifact.made_by), session.base, cache)


def is_known(session: Session, artifact: Artifact, cache: DigestCache) -> bool:
    """Say whether the bytes of what is built, or stored already, are known."""
    if artifact.kind == "stored":
        return artifact.key in stored_digests(session)
    source, target = session.build / artifact.members[0], session.archives / artifact.path
    return is_built(source, target, making(session, artifact, cache), cache)


def require_proved(layout: Layout, digests: Container[str]) -> None:
    """Require that what is described was proved where it stands.

    Raises:
        PrepareError: naming the first stored asset that was not.
    """
    for each in layout.stored:
        if each.key not in digests:
            raise PrepareError(
                f"{each.key}: expected a stored asset that `check` has read, found one that it"
                " has not",
                hint="run the same command; it is read anew",
            )


def published_form(session: Session, release: Release, manifest: Manifest) -> Manifest:
    """Return what ``release.json`` is to say: of a channel with a root the published document.

    Raises:
        StoreError: no destination could tell when this was first published.
    """
    if not release.is_published:
        return manifest
    url = assets_url(session.config, release)
    draft = publish(manifest, session.config.publish, url, _NO_MOMENT)
    moment = _moment_at_destinations(session, release, draft)
    return draft.at(moment or _moment_here(session, draft) or render_moment(now_utc()))


def has_right_moment(session: Session) -> bool:
    """Say whether the destinations, where they tell, agree when this version was published."""
    release, here = session.release, _document(session)
    if release is None or here is None:
        return False
    try:
        found = _moment_at_destinations(session, release, here)
    except LadingError:
        return False
    return found in {"", here.published_at}


def _moment_at_destinations(session: Session, release: Release, draft: PublishedManifest) -> str:
    places = ((each, ReadOnly(session.store(each))) for each in release.destinations)
    return find_moment(places, draft)


def _moment_here(session: Session, draft: PublishedManifest) -> str:
    """Return the moment that an earlier run chose, which was cut before any destination knew."""
    found = _document(session)
    return found.published_at if found and found.at(draft.published_at) == draft else ""


def _document(session: Session) -> PublishedManifest | None:
    try:
        found = parse_manifest(session.manifest_path.read_bytes())
    except (OSError, ManifestError):
        return None
    return found if isinstance(found, PublishedManifest) else None
