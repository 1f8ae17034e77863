"""What a deposit still needs, decided from what stands; nothing is asked."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from lading.errors import ServiceError, VerifyError
from lading.services.deposit_marker import Marker, parse_marker, render_marker
from lading.services.deposit_plan import (
    DepositFile,
    DepositState,
    Standing,
    compare_files,
    plan_deposit,
    refusal_of_draft,
    require_limits,
    says,
)
from lading.services.inveniordm import Deposit, FileEntry

OURS = Marker(project="energy", channel="stable", tag="v2", manifest_sha256="0" * 64)
EARLIER = Marker(project="energy", channel="stable", tag="v1")
LEFT = Marker(project="energy", channel="stable", tag="v1.9")
NIGHTLY = Marker(project="energy", channel="nightly", tag="n1")


def file(key: str, md5: str = "a" * 32, size_bytes: int = 3) -> DepositFile:
    """Return a file to deposit."""
    return DepositFile(key, size_bytes, md5, lambda: nullcontext(Path(key)))


def entry(key: str, md5: str = "a" * 32, size_bytes: int = 3, *, whole: bool = True) -> FileEntry:
    """Return a file that stands."""
    return FileEntry(key, size_bytes, md5, whole)


def standing(
    marker: Marker | None, *entries: FileEntry, published: bool = False, doi: str = "", **more: Any
) -> Standing:
    """Return a draft or a version."""
    metadata = {"additional_descriptions": [render_marker(marker)] if marker else [], **more}
    deposit = Deposit(
        id="1",
        concept="0",
        is_published=published,
        link="https://x.example/1",
        doi=doi,
        metadata=metadata,
    )
    return Standing(deposit, {each.key: each for each in entries})


FULL = entry("x")


@pytest.mark.parametrize("is_noted", [True, False])
@pytest.mark.parametrize("publishes", [True, False])
@pytest.mark.parametrize(
    ("draft", "previous", "accepted"),
    [
        (standing(OURS), None, "always"),
        (standing(OURS, FULL), standing(EARLIER), "always"),
        (standing(EARLIER), standing(EARLIER), "always"),
        (standing(EARLIER, FULL), standing(EARLIER), "never"),
        (standing(NIGHTLY), standing(NIGHTLY), "always"),
        (standing(NIGHTLY, FULL), standing(NIGHTLY), "never"),
        (standing(NIGHTLY), standing(EARLIER), "never"),
        (standing(LEFT), standing(EARLIER), "publishing"),
        (standing(LEFT, FULL), standing(EARLIER), "publishing"),
        (standing(LEFT, FULL), None, "publishing"),
        (standing(None, FULL), None, "never"),
        (standing(None, FULL), standing(None), "never"),
        (standing(None, FULL), standing(EARLIER), "never"),
        (standing(None), None, "noted"),
        (standing(None), standing(EARLIER), "noted"),
        (standing(None), standing(None), "always"),
    ],
)
def test_whose_draft_it_is(
    draft: Standing,
    previous: Standing | None,
    accepted: str,
    publishes: bool,  # noqa: FBT001
    is_noted: bool,  # noqa: FBT001
) -> None:
    """A draft is written to only where nothing of anybody else's can be lost."""
    refusal = refusal_of_draft(
        draft, OURS, previous=previous, publishes=publishes, is_noted=is_noted
    )
    expected = {"always": True, "never": False, "publishing": publishes, "noted": is_noted}
    assert (not refusal) == expected[accepted]


@pytest.mark.parametrize("tag", ["v1", "v1.0.", "nightly-2025-02-05", "a&b<c>", "q,x.y"])
@pytest.mark.parametrize("sha256", ["", "0f" * 32])
def test_a_marker_is_read_as_it_was_written(tag: str, sha256: str) -> None:
    """A marker survives its way through HTML, with any tag."""
    marker = Marker(project="energy-2", channel="stable", tag=tag, manifest_sha256=sha256)
    assert parse_marker({"additional_descriptions": [{}, render_marker(marker)]}) == marker
    text = render_marker(marker)["description"]
    wrapped = {"additional_descriptions": [{"description": f"<p>{text}</p>\n"}]}
    assert parse_marker(wrapped) == marker


@pytest.mark.parametrize(
    "text", ["", "Deposited by Lading", "Deposited by Lading: project a, channel b, tag c. And d"]
)
def test_what_is_no_marker_is_none(text: str) -> None:
    """Other words are not taken for a marker."""
    assert parse_marker({"additional_descriptions": [{"description": text}]}) is None


@pytest.mark.parametrize(
    ("found", "send", "drop", "keep"),
    [
        ([], {"a", "b"}, (), ()),
        ([entry("a"), entry("b")], set(), (), ("a", "b")),
        ([entry("a", "b" * 32), entry("b")], {"a"}, ("a",), ("b",)),
        ([entry("a", size_bytes=2), entry("b")], {"a"}, ("a",), ("b",)),
        ([entry("a", whole=False), entry("b")], {"a"}, ("a",), ("b",)),
        ([entry("a"), entry("b"), entry("c")], set(), ("c",), ("a", "b")),
    ],
)
def test_what_differs_is_sent_or_dropped(
    found: list[FileEntry], send: set[str], drop: tuple[str, ...], keep: tuple[str, ...]
) -> None:
    """A file is right with its size, its md5, and whole; all else is deleted and sent."""
    difference = compare_files({key: file(key) for key in "ab"}, {e.key: e for e in found})
    assert (set(difference.send), difference.drop, difference.keep) == (send, drop, keep)


def plan(state: DepositState, *, publishes: bool = True, reserves: bool = False) -> Any:
    """Plan a release of two files."""
    metadata = {"title": "T", "additional_descriptions": [render_marker(OURS)]}
    files = {key: file(key) for key in "ab"}
    return plan_deposit(state, OURS, files, metadata, publishes=publishes, reserves=reserves)


def test_what_stands_as_it_shall_needs_nothing() -> None:
    """A version of this tag, or a draft that is whole and stays one, is left alone."""
    both = (entry("a"), entry("b"))
    assert plan(DepositState(published=standing(OURS, *both, published=True))).is_empty
    draft = standing(OURS, *both, title="T")
    assert plan(DepositState(draft=draft), publishes=False).is_empty
    assert plan(DepositState(draft=draft), publishes=False).describe() == "nothing to do"
    assert not plan(DepositState(draft=draft), publishes=True).is_empty
    assert not plan(DepositState(draft=draft), publishes=False, reserves=True).is_empty
    reserved = standing(OURS, *both, title="T", doi="10.1/1")
    assert plan(DepositState(draft=reserved), publishes=False, reserves=True).is_empty


def test_an_empty_draft_of_unchanged_files_is_not_taken_for_done() -> None:
    """Files that are still to be linked are something to do."""
    previous = standing(EARLIER, entry("a"), entry("b"), published=True)
    state = DepositState(draft=standing(OURS, title="T"), previous=previous)
    changes = plan(state, publishes=False)
    assert changes.links
    assert not changes.is_empty
    assert changes.files.is_empty
    assert changes.describe() == "draft 1: 0 files to send (0 bytes), 2 unchanged, left as a draft"


def test_where_nothing_is_alike_nothing_is_linked() -> None:
    """Files that would be deleted at once are not planned to be linked."""
    previous = standing(EARLIER, entry("a", "b" * 32), entry("z"), published=True)
    changes = plan(DepositState(previous=previous))
    assert (changes.start, changes.links, changes.files.drop) == ("version", False, ())
    assert set(changes.files.send) == {"a", "b"}


def test_another_release_of_the_same_tag_is_refused_by_name() -> None:
    """The files that differ are named, the first few of them."""
    found = [entry(key) for key in "acdef"]
    with pytest.raises(VerifyError, match=r"found others published: c to delete, d .* and 2 more"):
        plan(DepositState(published=standing(OURS, *found, published=True)))


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ([file(f"{i}") for i in range(3)], "at most 2 files, got 3"),
        ([file("a", size_bytes=2 * 10**9)], "at most 1 GB, got 2.0 GB"),
        ([file("a/b")], "names without '/', got 'a/b'"),
        ([file("a", size_bytes=0)], "no empty files, got 'a'"),
        ([file("a", md5="")], "files with an md5, got 'a'"),
        ([], "at least one file, got none"),
    ],
)
def test_limits(files: list[DepositFile], told: str) -> None:
    """What the service would refuse after hours is refused at once."""
    with pytest.raises(ServiceError, match=told):
        require_limits(files, max_files=2, max_bytes=10**9)


def test_within_the_limits() -> None:
    """A release at the limits is let through."""
    require_limits([file("a", size_bytes=5 * 10**8), file("b", size_bytes=5 * 10**8)], 2, 10**9)


@pytest.mark.parametrize(
    ("wanted", "found", "same"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": 1}, {}, False),
        ([{"id": "x"}], [{"id": "x", "title": {"en": "X"}}], True),
        ([{"id": "x"}], [{"id": "x"}, {"id": "y"}], False),
        ("<p>a &amp; b</p>", "<p >a & b</p>", True),
        ("<font>a</font>b", "ab", True),
        ("a b", "ab", False),
        ("a", "b", False),
        ("a", ["a"], False),
        (["a"], "a", False),
        ({"a": 1}, None, False),
    ],
)
def test_what_was_written_is_known_again(wanted: Any, found: Any, same: bool) -> None:  # noqa: FBT001
    """What the service adds is no difference; what it lacks is one."""
    assert says(wanted, found) == same
