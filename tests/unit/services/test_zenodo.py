"""A release as a deposit, against an InvenioRDM that refuses and fails as the real one does."""

import json
import ssl
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import stamina

from lading.errors import GuardError, Interrupted, ServiceError, UnansweredError, VerifyError
from lading.release.receipts import render_receipt
from lading.services.deposit_marker import Marker, parse_marker, render_marker
from lading.services.inveniordm import InvenioRdm
from lading.ship.target import settle
from lading.storage.progress import NO_PROGRESS, Progress
from tests.fakes.inveniordm import FakeInvenioRdm
from tests.fakes.inveniordm_state import Draft, StoredFile
from tests.unit.services.deposits import FILES, METADATA, TAG, TOKEN, KilledError, Scene

NEXT = "v2025.3.0"
CHANGED = {**FILES, "a.zip": b"changed", "c.csv": b"1,2\n"}
del CHANGED["b.parquet"]


@pytest.fixture
def swift(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Repeat without waiting; read the certificates of the machine once."""
    monkeypatch.setattr(ssl, "create_default_context", cache(ssl.create_default_context))
    with stamina.set_testing(True, attempts=8, cap=True):
        yield


@pytest.fixture
def scene(tmp_path: Path, swift: None) -> Iterator[Scene]:
    """A service with nothing in it, and clocks that do not wait."""
    del swift
    with FakeInvenioRdm() as fake:
        yield Scene(fake, tmp_path)
        assert fake.errors == []


def marked(tag: str, channel: str = "stable") -> dict[str, Any]:
    """Return metadata with a marker."""
    marker = Marker(project="energy", channel=channel, tag=tag)
    return {**METADATA, "version": tag, "additional_descriptions": [render_marker(marker)]}


def stand(
    scene: Scene,
    *keys: str,
    metadata: dict[str, Any] | None = None,
    follows: Draft | None = None,
    owner: str = "us",
) -> Draft:
    """Put a draft there, as somebody else left it."""
    state = scene.fake.state
    draft = state.begin(
        owner, follows.concept if follows else "", follows.index + 1 if follows else 1
    )
    draft.metadata = METADATA if metadata is None else metadata
    draft.files = {key: StoredFile(key, b"by hand") for key in keys}
    return draft


def test_a_first_record_is_published_with_the_files_and_proved(scene: Scene) -> None:
    """The first release of a channel begins a record, publishes it, and tells its concept."""
    target = scene.target(doi=True)
    changes, receipt = settle(target)
    assert changes.describe() == "a first record: 3 files to send (1,003 bytes), then published"
    assert scene.published() == [(TAG, FILES)]
    (version,) = scene.fake.state.drafts.values()
    assert receipt.facts == {
        "record": version.id,
        "concept": version.concept,
        "doi": f"10.5072/zenodo.{version.id}",
        "url": f"{scene.fake.url}/records/{version.id}",
        "state": "published",
        "files": "3",
    }
    assert f'concept = "{version.concept}"' in target.summary
    assert version.metadata["version"] == TAG
    assert parse_marker(version.metadata) == Marker(
        project="energy", channel="stable", tag=TAG, manifest_sha256="1" * 64
    )


@pytest.mark.parametrize("publish", [True, False])
@pytest.mark.parametrize("forgets", [True, False])
def test_a_second_run_writes_nothing(scene: Scene, publish: bool, forgets: bool) -> None:  # noqa: FBT001
    """What is there is seen, with the notes of the first run and without."""
    first = settle(scene.target(publish=publish, doi=True))[1]
    scene.fake.calls.clear()
    journal = scene.journal("another") if forgets else None
    changes, again = settle(scene.target(publish=publish, doi=True, journal=journal))
    assert changes.is_empty
    assert again.facts == first.facts
    assert scene.fake.writes() == []


def test_a_second_run_on_the_next_day_keeps_the_date_of_the_draft(scene: Scene) -> None:
    """A draft that waits for a person keeps the date on which it was made."""
    settle(scene.target(publish=False))
    (draft,) = scene.fake.state.drafts.values()
    draft.metadata["publication_date"] = "2025-02-01"
    changes, _ = settle(scene.target(publish=False))
    assert changes.is_empty


def test_a_new_version_sends_only_what_has_changed(scene: Scene) -> None:
    """Unchanged files are linked by the service; what left the release is deleted."""
    settle(scene.target())
    scene.fake.calls.clear()
    changes, _ = settle(scene.target(CHANGED, tag=NEXT))
    assert changes.describe().endswith(": 2 files to send (11 bytes), 1 unchanged, then published")
    assert scene.published() == [(TAG, FILES), (NEXT, dict(sorted(CHANGED.items())))]
    assert len({each.concept for each in scene.fake.state.drafts.values()}) == 1
    assert scene.fake.writes().count("content") == 2
    assert scene.fake.writes().count("delete_file") == 2


def test_a_release_of_the_same_files_is_a_version_of_its_own(scene: Scene) -> None:
    """Where nothing has changed, nothing is sent, and the tag is published all the same."""
    settle(scene.target())
    scene.fake.calls.clear()
    settle(scene.target(tag=NEXT))
    assert scene.published() == [(TAG, FILES), (NEXT, FILES)]
    assert "content" not in scene.fake.writes()


def test_where_nothing_is_alike_nothing_is_linked(scene: Scene) -> None:
    """Files that would be deleted at once are not linked."""
    settle(scene.target())
    scene.fake.calls.clear()
    settle(scene.target({"z.csv": b"z"}, tag=NEXT))
    assert "import" not in scene.fake.writes()
    assert scene.published()[-1] == (NEXT, {"z.csv": b"z"})


@pytest.mark.parametrize("knows_concepts", [True, False])
@pytest.mark.parametrize("names", ["concept", "version"])
def test_a_configured_concept_gets_the_version(
    scene: Scene,
    names: str,
    knows_concepts: bool,  # noqa: FBT001
) -> None:
    """The concept may be named by itself or by any version, and may bear no marker of ours."""
    by_hand = stand(scene, "old.csv")
    by_hand.is_published = True
    if names == "concept" and not knows_concepts:
        pytest.skip("such a service does not know what is asked")
    scene.fake.state.knows_concepts = knows_concepts
    concept = by_hand.concept if names == "concept" else by_hand.id
    target = scene.target(concept=concept)
    assert target.require_access() == f"Zenodo, concept {by_hand.concept}"
    settle(target)
    assert scene.published() == [("", {"old.csv": b"by hand"}), (TAG, FILES)]
    assert "into lading.toml" not in target.summary
    assert target.place == f"{scene.fake.url}/records/{concept}"


def test_a_draft_is_left_and_its_link_told(scene: Scene) -> None:
    """Where a person publishes, the draft is whole, and the receipt and the summary name it."""
    target = scene.target(publish=False)
    _, receipt = settle(target)
    (draft,) = scene.fake.state.drafts.values()
    assert not draft.is_published
    assert receipt.facts["state"] == "draft"
    assert receipt.facts["url"] == f"{scene.fake.url}/uploads/{draft.id}"
    assert receipt.facts["url"] in target.summary


def test_a_draft_that_a_person_published_is_proved_as_published(scene: Scene) -> None:
    """Once the person has published the draft, the same command finds nothing to do."""
    settle(scene.target(publish=False))
    (draft,) = scene.fake.state.drafts.values()
    scene.fake.state.publish(draft)
    changes, receipt = settle(scene.target(publish=False))
    assert changes.is_empty
    assert receipt.facts["state"] == "published"


def test_a_draft_that_a_person_discarded_is_made_again(scene: Scene) -> None:
    """Notes that name a draft which is gone lead nobody astray."""
    settle(scene.target(publish=False))
    scene.fake.state.drafts.clear()
    settle(scene.target(publish=False))
    (draft,) = scene.fake.state.drafts.values()
    assert {key: each.stored for key, each in draft.files.items()} == FILES


def test_a_tag_that_is_published_with_other_files_is_refused(scene: Scene) -> None:
    """A tag has one version: other files under it are named, and nothing is written."""
    settle(scene.target())
    settle(scene.target(tag=NEXT))
    scene.fake.calls.clear()
    with pytest.raises(VerifyError, match=r"a\.zip.*b\.parquet to delete.*under a new tag"):
        settle(scene.target(CHANGED))
    assert scene.fake.writes() == []


def test_an_older_tag_is_found_among_the_versions(scene: Scene) -> None:
    """The command of an older release finds its version, and makes no second one."""
    settle(scene.target())
    settle(scene.target(CHANGED, tag=NEXT))
    changes, receipt = settle(scene.target(journal=scene.journal("lost")))
    assert changes.is_empty
    assert receipt.facts["record"] == min(scene.fake.state.drafts)


def test_an_older_tag_is_found_by_its_notes_where_the_search_lags(scene: Scene) -> None:
    """A version that our notes name needs no search."""
    settle(scene.target())
    settle(scene.target(CHANGED, tag=NEXT))
    scene.fake.search_lags = 9
    changes, receipt = settle(scene.target())
    assert changes.is_empty
    assert receipt.facts["record"] == min(scene.fake.state.drafts)


def test_a_draft_by_hand_is_not_touched(scene: Scene) -> None:
    """A draft with files that somebody began is named, and keeps its files."""
    settle(scene.target())
    (version,) = scene.fake.state.drafts.values()
    draft = stand(scene, "theirs.csv", follows=version)
    scene.fake.calls.clear()
    with pytest.raises(ServiceError, match=r"expected a draft of Lading's, found one with 1 files"):
        settle(scene.target(tag=NEXT))
    assert scene.fake.writes() == []
    assert set(draft.files) == {"theirs.csv"}


def test_a_draft_by_hand_that_no_search_shows_is_not_touched(scene: Scene) -> None:
    """What the service hands out as the next version is judged before it is written to."""
    settle(scene.target())
    (version,) = scene.fake.state.drafts.values()
    draft = stand(scene, "theirs.csv", follows=version, metadata={"title": "By hand"})
    target = scene.target(tag=NEXT, concept=version.id)
    scene.fake.search_lags = 2  # the versions, then our own
    changes = target.plan(target.observe())
    assert changes.start == "version"
    scene.fake.calls.clear()
    with pytest.raises(ServiceError, match="expected a draft of Lading's"):
        target.apply(changes, NO_PROGRESS)
    assert scene.fake.writes() == ["new_version"]
    assert (set(draft.files), draft.metadata) == ({"theirs.csv"}, {"title": "By hand"})


def test_a_draft_of_another_tag_waits_for_its_person(scene: Scene) -> None:
    """Where a person publishes, the draft of an earlier tag is named and left."""
    settle(scene.target(publish=False))
    with pytest.raises(ServiceError, match=f"found one of tag {TAG}; publish or discard"):
        settle(scene.target(CHANGED, tag=NEXT, publish=False))


def test_a_draft_of_a_run_that_was_cut_becomes_that_of_the_next_tag(scene: Scene) -> None:
    """Where nobody looks at drafts, that of an earlier tag is emptied of what is not released."""
    settle(scene.target())
    (version,) = scene.fake.state.drafts.values()
    stand(scene, "left.csv", "a.zip", follows=version, metadata=marked("v2025.2.9"))
    settle(scene.target(CHANGED, tag=NEXT))
    assert scene.published()[-1] == (NEXT, dict(sorted(CHANGED.items())))
    assert len(scene.fake.state.drafts) == 2


def test_several_concepts_are_not_guessed(scene: Scene) -> None:
    """Where two concepts bear our marker, a person must say which."""
    for _ in range(2):
        stand(scene, metadata=marked("v2025.1.0")).is_published = True
    with pytest.raises(ServiceError, match=r"found 2: .*zenodo\.concept"):
        scene.target().observe()


def test_deposits_of_other_channels_are_not_ours(scene: Scene) -> None:
    """Another channel's record is not taken for this one's, nor anybody else's."""
    stand(scene, metadata=marked("v2025.1.0", "nightly")).is_published = True
    stand(scene, metadata=marked("v2025.1.0"), owner="them").is_published = True
    settle(scene.target())
    assert len({each.concept for each in scene.fake.state.drafts.values()}) == 3


def test_a_doi_is_reserved_before_the_files_are_known(scene: Scene) -> None:
    """The DOI that release.json names is that of the version, however often it is asked for."""
    early = scene.target({}, manifest_sha256="", doi=True)
    doi = early.reserve_doi()
    assert early.reserve_doi() == doi
    assert (
        scene.target({}, manifest_sha256="", doi=True, journal=scene.journal("x")).reserve_doi()
        == doi
    )
    _, receipt = settle(scene.target(doi=True, expected_doi=doi))
    assert receipt.facts["doi"] == doi
    assert scene.target({}, manifest_sha256="", doi=True).reserve_doi() == doi
    assert len(scene.fake.state.drafts) == 1
    later = scene.target({}, manifest_sha256="", tag=NEXT, doi=True).reserve_doi()
    assert later != doi
    settle(scene.target(CHANGED, tag=NEXT, doi=True, expected_doi=later))
    assert [version for version, _ in scene.published()] == [TAG, NEXT]


@pytest.mark.parametrize("stands", ["nothing", "a version", "a draft"])
def test_a_doi_that_release_json_does_not_name_is_never_published(
    scene: Scene, stands: str
) -> None:
    """Where the draft of the DOI is gone, the release stops before a file is sent."""
    if stands == "a version":
        settle(scene.target())
    elif stands == "a draft":
        scene.target({}, tag=NEXT, doi=True).reserve_doi()
    before = scene.published()
    scene.fake.calls.clear()
    with pytest.raises(VerifyError, match=r"DOI 10\.5072/other, found .*draft that is gone"):
        settle(scene.target(tag=NEXT, doi=True, expected_doi="10.5072/other"))
    assert scene.published() == before
    assert set(scene.fake.writes()) <= {"new_version"}


def test_metadata_that_is_not_taken_stops_before_a_file_is_sent(scene: Scene) -> None:
    """What the service finds wrong is told by field, and mended by the next run."""
    wrong = {**METADATA, "rights": [{"id": "no-such"}]}
    for _ in range(2):
        with pytest.raises(ServiceError, match=r"metadata\.rights: Invalid value no-such"):
            settle(scene.target(metadata=wrong))
    assert "register" not in scene.fake.writes()
    settle(scene.target())
    assert scene.published() == [(TAG, FILES)]


def test_limits_are_kept_before_anything_is_asked_for(scene: Scene) -> None:
    """A release over the limits is refused with every reason, and nothing is written."""
    contents = {"a/b.csv": b"1", "empty.csv": b"", "c.csv": b"123"}
    with pytest.raises(ServiceError, match=r"at most 2 files, got 3; .*'a/b\.csv'; .*'empty\.csv'"):
        settle(scene.target(contents, max_files=2))
    with pytest.raises(ServiceError, match="at least one file"):
        settle(scene.target({}))
    assert scene.fake.writes() == []


def test_a_token_that_is_not_known_is_told_by_its_variable(scene: Scene) -> None:
    """The variable is named, and the token is not."""
    target = scene.target(api=scene.api(token="canary-of-a-token"))
    with pytest.raises(ServiceError, match="got 401 for the one in ZENODO_TOKEN") as caught:
        target.require_access()
    assert "canary" not in str(caught.value)


def test_a_concept_that_is_not_there_is_told(scene: Scene) -> None:
    """A concept of another service, or a misspelt one, is found before anything long."""
    with pytest.raises(ServiceError, match=r"expected a record or a concept '77', found none"):
        scene.target(concept="77").require_access()


def test_a_look_writes_nothing(scene: Scene) -> None:
    """A plan and a proof get by with a client that refuses every write."""
    settle(scene.target())
    for tag in (TAG, NEXT):
        target = scene.target(tag=tag, api=scene.api(read_only=True))
        target.plan(target.observe())
    scene.target(api=scene.api(read_only=True)).prove()
    target = scene.target(tag=NEXT, api=scene.api(read_only=True))
    with pytest.raises(GuardError):
        target.apply(target.plan(target.observe()), NO_PROGRESS)


def test_files_that_were_changed_behind_us_are_told_by_the_proof(scene: Scene) -> None:
    """A proof reads the files themselves, not what was done."""
    settle(scene.target())
    (version,) = scene.fake.state.drafts.values()
    version.files["a.zip"].stored = b"other"
    with pytest.raises(VerifyError, match=r"others published: a\.zip"):
        scene.target().prove()


def test_a_draft_without_a_file_is_told_by_the_proof(scene: Scene) -> None:
    """A draft is proved as a version is."""
    settle(scene.target(publish=False))
    (draft,) = scene.fake.state.drafts.values()
    del draft.files["a.zip"]
    with pytest.raises(VerifyError, match=r"found other: a\.zip missing"):
        scene.target(publish=False).prove()
    with pytest.raises(VerifyError, match="found a draft"):
        scene.target(publish=True).prove()


FAULTS = [
    ("create", "502"),
    ("create", "502-after"),
    ("create", "reset-after"),
    ("create", "html"),
    ("create", "429-after"),
    ("new_version", "502"),
    ("new_version", "504-after"),
    ("update", "502"),
    ("update", "502-after"),
    ("import", "502"),
    ("import", "502-after"),
    ("register", "502"),
    ("register", "reset-after"),
    ("content", "reset"),
    ("content", "502"),
    ("content", "504-after"),
    ("content", "truncate"),
    ("content", "forget"),
    ("content", "429"),
    ("content", "429-reset"),
    ("commit", "502"),
    ("commit", "502-after"),
    ("commit", "reset"),
    ("delete_file", "502"),
    ("delete_file", "502-after"),
    ("doi", "502"),
    ("doi", "502-after"),
    ("publish", "502"),
    ("publish", "504-after"),
    ("publish", "html"),
    ("publish", "reset-after"),
    ("files", "html"),
    ("mine", "429"),
    ("record", "502"),
    ("latest", "reset"),
    ("draft", "502"),
]


@pytest.mark.parametrize("times", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("operation", "kind"), FAULTS)
def test_a_fault_that_passes_is_survived(
    scene: Scene, operation: str, kind: str, times: int
) -> None:
    """Each fault ends in one version of each tag, with the right files."""
    scene.fake.fail(operation, kind, times)
    settle(scene.target(doi=True))
    settle(scene.target(CHANGED, tag=NEXT, doi=True))
    assert scene.published() == [(TAG, FILES), (NEXT, dict(sorted(CHANGED.items())))]
    assert len(scene.fake.state.drafts) == 2


@pytest.mark.parametrize(
    ("operation", "kind", "error"),
    [
        ("content", "truncate", VerifyError),
        ("content", "reset", UnansweredError),
        ("content", "forget", ServiceError),
        ("publish", "502", UnansweredError),
        ("create", "502", UnansweredError),
    ],
)
def test_a_fault_that_stays_ends_and_the_next_run_goes_on(
    scene: Scene, operation: str, kind: str, error: type[Exception]
) -> None:
    """A fault is not fought for ever; nothing half is published, and the same command mends it."""
    scene.fake.fail(operation, kind, 500)
    with pytest.raises(error) as caught:
        settle(scene.target())
    assert "\n" not in str(caught.value)
    assert scene.published() == []
    scene.fake._faults.clear()
    settle(scene.target())
    assert scene.published() == [(TAG, FILES)]
    assert len(scene.fake.state.drafts) == 1


def test_a_large_file_whose_answer_is_always_lost_is_sent_once(scene: Scene) -> None:
    """Where the bytes have arrived, they are completed, not sent again."""
    scene.fake.fail("content", "504-after", 3)
    settle(scene.target())
    assert scene.fake.writes().count("content") == 3
    assert scene.published() == [(TAG, FILES)]


@pytest.mark.parametrize("lags", [0, 1, 5])
@pytest.mark.parametrize("forgets", [True, False])
def test_a_first_record_whose_beginning_was_lost_is_found_again(
    scene: Scene,
    lags: int,
    forgets: bool,  # noqa: FBT001
) -> None:
    """A search that lags behind makes no second record, where the notes say that one was begun."""
    if forgets and lags:
        pytest.skip("without notes and without a search nobody can know")
    killed = scene.api(number=2, after=True)  # a search, then the record
    with pytest.raises(KilledError):
        settle(scene.target(api=killed))
    assert len(scene.fake.state.drafts) == 1
    scene.fake.search_lags = lags
    settle(scene.target(journal=scene.journal("lost") if forgets else None))
    assert scene.published() == [(TAG, FILES)]
    assert len(scene.fake.state.drafts) == 1


def run_killed(scene: Scene, number: int, *, first: bool, after: bool, forgets: bool) -> int:
    """Kill a run at a request, repeat it, and look at what stands.

    Returns:
        How many requests the run takes, where none is killed.
    """
    tag, contents = (TAG, FILES) if first else (NEXT, CHANGED)
    theirs = stand(scene, "theirs.csv", metadata={"title": "By hand"})
    if not first:
        settle(scene.target(doi=True))
    client = scene.client(number=number, after=after)
    target = scene.target(contents, tag=tag, doi=True, api=InvenioRdm(client, scene.slept.append))
    if number:
        with pytest.raises(KilledError):
            settle(target)
        journal = scene.journal("lost") if forgets else None
        target = scene.target(contents, tag=tag, doi=True, journal=journal)
    settle(target)
    expected = [(tag, dict(sorted(contents.items())))]
    if not first:
        expected.insert(0, (TAG, FILES))
    assert scene.published() == expected, number
    assert len(scene.fake.state.drafts) == len(expected) + 1, number
    assert (set(theirs.files), theirs.metadata) == ({"theirs.csv"}, {"title": "By hand"})
    assert scene.fake.errors == []
    return client.asked


@pytest.mark.slow
@pytest.mark.parametrize(
    "turns",
    [
        "all",
        *(
            pytest.param(each, marks=pytest.mark.slow)
            for each in ("before", "after", "before, forgetting", "after, forgetting")
        ),
    ],
)
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.usefixtures("swift")
def test_a_run_that_is_killed_at_any_request_is_gone_on_with(
    tmp_path: Path,
    first: bool,  # noqa: FBT001
    turns: str,
) -> None:
    """Whichever request is the last, the same command ends in one version with the right files."""
    number, total = 0, 1
    while number < total:
        with FakeInvenioRdm() as fake:
            scene = Scene(fake, tmp_path / str(number))
            scene.folder.mkdir()
            after = number % 2 == 0 if turns == "all" else "after" in turns
            forgets = number % 4 < 2 if turns == "all" else "forgetting" in turns
            asked = run_killed(scene, number, first=first, after=after, forgets=forgets)
        total = total if number else asked
        number += 1
    assert total > 15


def test_a_stop_that_a_person_asks_for_ends_the_sending(scene: Scene) -> None:
    """What the progress raises comes out as it is, and the next run goes on."""

    class Stopping(Progress):
        def relative_update(self, inc: int = 1) -> None:
            if inc:
                raise Interrupted(15)

    target = scene.target()
    with pytest.raises(Interrupted):
        target.apply(target.plan(target.observe()), Stopping())
    assert scene.published() == []
    settle(scene.target())
    assert scene.published() == [(TAG, FILES)]


def test_progress_ends_at_the_size_of_what_was_sent(scene: Scene) -> None:
    """Bytes that were sent in vain are taken back."""

    class Counting(Progress):
        done = 0

        def relative_update(self, inc: int = 1) -> None:
            Counting.done += inc

    scene.fake.fail("content", "truncate")
    scene.fake.fail("content", "reset")
    target = scene.target()
    target.apply(target.plan(target.observe()), Counting())
    assert Counting.done == sum(map(len, FILES.values()))


def test_a_file_that_shrank_is_not_sent(scene: Scene) -> None:
    """A file that is not what release.json says is refused before a byte is sent."""
    target = scene.target()
    target._files["a.zip"] = replace(target._files["a.zip"], size_bytes=401)
    with pytest.raises(VerifyError, match=r"a\.zip: expected a file of 401 bytes to send, got 400"):
        settle(target)
    assert scene.published() == []


def test_a_person_who_publishes_meanwhile_is_no_fault(scene: Scene) -> None:
    """A draft that is published while we ask for it is seen as published."""
    target = scene.target()
    changes = target.plan(target.observe())

    def publish() -> None:
        (draft,) = scene.fake.state.drafts.values()
        scene.fake.state.publish(draft)

    writes = count_before_publish(scene)
    scene.fake.cut(writes, publish)
    target.apply(changes, NO_PROGRESS)
    assert target.prove().facts["state"] == "published"


def count_before_publish(scene: Scene) -> int:
    """Return which request of an apply is the one that publishes."""
    with FakeInvenioRdm() as fake:
        other = Scene(fake, scene.folder / "other")
        other.folder.mkdir()
        target = other.target()
        changes = target.plan(target.observe())
        fake.calls.clear()
        target.apply(changes, NO_PROGRESS)
        return [each.operation for each in fake.calls].index("publish") + 1


def test_what_was_damaged_at_the_service_is_not_published(scene: Scene) -> None:
    """The whole draft is read back before it is published, not only each file as it was sent."""
    target = scene.target()
    changes = target.plan(target.observe())

    def damage() -> None:
        (draft,) = scene.fake.state.drafts.values()
        draft.files["a.zip"].stored = b"other"

    scene.fake.cut(count_before_publish(scene) - 1, damage)
    with pytest.raises(VerifyError, match=r"found other: a\.zip"):
        target.apply(changes, NO_PROGRESS)
    assert scene.published() == []


def test_a_publication_whose_answer_was_lost_is_not_asked_for_again(scene: Scene) -> None:
    """The record is read back first: it may stand already."""
    scene.fake.fail("publish", "504-after")
    settle(scene.target())
    assert scene.fake.writes().count("publish") == 1


def test_what_a_person_chose_stays(scene: Scene) -> None:
    """Access to a record is a person's choice, and a new version keeps it."""
    by_hand = stand(scene, "old.csv")
    by_hand.is_published = True
    by_hand.access = {"record": "public", "files": "restricted"}
    settle(scene.target(concept=by_hand.id))
    newest = max(scene.fake.state.drafts.values(), key=lambda each: each.index)
    assert newest.access == {"record": "public", "files": "restricted"}


def test_no_doi_is_reserved_in_a_draft_by_hand(scene: Scene) -> None:
    """A DOI is not worth somebody else's draft."""
    settle(scene.target())
    (version,) = scene.fake.state.drafts.values()
    draft = stand(scene, "theirs.csv", follows=version)
    scene.fake.calls.clear()
    with pytest.raises(ServiceError, match="expected a draft of Lading's"):
        scene.target({}, tag=NEXT, doi=True).reserve_doi()
    assert (scene.fake.writes(), draft.doi) == ([], "")


def test_no_secret_is_told(scene: Scene, tmp_path: Path) -> None:
    """The token stands in no receipt, no note, no message and no request but its header."""
    scene.fake.fail("commit", "502-after", 1)
    _, receipt = settle(scene.target())
    told = render_receipt(receipt).decode() + json.dumps([each.path for each in scene.fake.calls])
    told += "".join(path.read_text() for path in tmp_path.glob("*.json"))
    scene.fake.fail("*", "502", 100)
    with pytest.raises(UnansweredError) as caught:
        scene.target().observe()
    assert TOKEN not in told + str(caught.value) + repr(caught.value)


def test_every_request_names_us(scene: Scene) -> None:
    """Zenodo refuses unnamed tools."""
    settle(scene.target())
    assert {each.agent.partition("/")[0] for each in scene.fake.calls} == {"lading"}
