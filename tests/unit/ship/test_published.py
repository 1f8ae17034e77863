"""Tests of what a destination says of a version that was published there."""

from dataclasses import replace

import pytest

from lading.errors import StoreError, UnavailableError, VerifyError
from lading.release.manifest import render_manifest
from lading.release.names import ReleaseDestination, resolve_release
from lading.release.publication import PublishedManifest
from lading.ship.published import find_moment, prove_published
from lading.storage import Body, Entry, Store
from lading.storage.memory import MemoryStore
from tests.fakes.publishing import make_maps_config
from tests.unit.release.test_publication import MOMENT, document, make_file, make_manifest

LATER = "2025-03-01T00:00:00Z"
DRAFT = document(make_manifest(make_file("a.csv"))).at("0000-00-00T00:00:00Z")
OTHER = document(make_manifest(make_file("a.csv", b"other")))
KEPT = "staging/.lading/releases/staging/v1.json"


def destination() -> ReleaseDestination:
    """Return the destination of the environment."""
    (found,) = resolve_release(make_maps_config(), "staging", "v1", staging=False).destinations
    return found


def store_of(**documents: PublishedManifest | bytes) -> MemoryStore:
    """Return a store of documents, by the name of a place."""
    keys = {
        "kept": KEPT,
        "replaced": KEPT.replace(".json", "@0123456789abcdef.json"),
        "tenth": KEPT.replace("v1", "v10"),
        "stands": "staging/maps/release.json",
        "elsewhere": "production/maps/release.json",
    }
    store = MemoryStore()
    for name, found in documents.items():
        data = found if isinstance(found, bytes) else render_manifest(found)
        store.put(keys[name], Body.of_bytes(data))
    return store


def find(*stores: Store) -> str:
    """Ask stores when the draft was first published."""
    return find_moment([(destination(), each) for each in stores], DRAFT)


@pytest.mark.parametrize("place", ["kept", "replaced", "stands"])
def test_found(place: str) -> None:
    """The moment is that of the same content, kept, kept beside another, or standing."""
    assert find(store_of(**{place: DRAFT.at(MOMENT)})) == MOMENT


@pytest.mark.parametrize("place", ["tenth", "elsewhere"])
def test_not_of_this(place: str) -> None:
    """Neither a longer version's name nor another environment tells of this one."""
    assert find(store_of(**{place: DRAFT.at(MOMENT)})) == ""


def test_other_content_has_its_own_moment() -> None:
    """Other content under the same version is no answer; the content that was replaced is one."""
    assert find(store_of(kept=OTHER, stands=OTHER)) == ""
    assert find(store_of(kept=OTHER, replaced=DRAFT.at(MOMENT), stands=OTHER)) == MOMENT


def test_what_is_no_document() -> None:
    """A manifest of format 1, and what is none at all, say nothing."""
    plain = render_manifest(make_manifest(make_file("a.csv")))
    assert find(store_of(kept=plain, stands=b"hello")) == ""
    assert find(MemoryStore()) == ""


def test_first_that_tells() -> None:
    """Destinations are asked in their order; what the history kept goes before what stands."""
    first = store_of(stands=DRAFT.at(LATER))
    second = store_of(kept=DRAFT.at(MOMENT), stands=DRAFT.at(LATER))
    assert find(second, first) == MOMENT
    assert find(first, second) == LATER


class Silent(MemoryStore):
    """A store that does not answer."""

    def list(self, prefix: str = "") -> list[Entry]:
        """Raise."""
        raise UnavailableError(f"{prefix}: no answer")


def test_silence() -> None:
    """Where one is silent another may tell; where nobody tells, silence is not taken for never."""
    assert find(Silent(), store_of(kept=DRAFT.at(MOMENT))) == MOMENT
    with pytest.raises(StoreError, match="no answer"):
        find(Silent(), MemoryStore())


def test_proved() -> None:
    """A document that stands byte for byte is proved, by its key."""
    store = store_of(stands=DRAFT)
    (found,) = prove_published(destination(), store, render_manifest(DRAFT)).items()
    assert found[0] == "staging/maps/release.json"
    assert found[1].version


@pytest.mark.parametrize(("standing", "told"), [(OTHER, "found sha256 "), (None, "found none")])
def test_not_proved(standing: PublishedManifest | None, told: str) -> None:
    """Another document, or none, is told with its place."""
    store = store_of(stands=standing) if standing else MemoryStore()
    with pytest.raises(VerifyError, match=f"staging/maps/release.json: expected .*, {told}"):
        prove_published(destination(), store, render_manifest(DRAFT))


def test_every_prefix_is_proved() -> None:
    """One prefix that is right does not stand for another."""
    place = destination()
    (prefix,) = place.prefixes
    both = replace(place, prefixes=(prefix, replace(prefix, name="old")))
    with pytest.raises(VerifyError, match=r"staging/old/release\.json"):
        prove_published(both, store_of(stands=DRAFT), render_manifest(DRAFT))
